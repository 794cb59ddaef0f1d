package shmkit

import (
	"context"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"shmkit/internal/capi"
)

// Party is this process's membership among those who use the locks of a region. The kernel ends it when
// the process dies, in whatever way, and gives what the process held to the next who wants it.
//
// A context that has ended already ends a wait before it begins, also where there was nothing to wait for. What a
// method answers after Leave is ErrClosed.
//
// Locks belong to the process and not to a thread: any goroutine may unlock what another has locked, and
// the goroutines of a process exclude each other as processes do. Whoever waits waits in Go's netpoller:
// no thread is held.
//
// A thread of the library, which sleeps, comes with each party. A party that is forgotten stays joined.
type Party struct {
	region *Region
	calls  sync.RWMutex // held for writing by Leave alone
	handle capi.Party
	left   atomic.Bool
	named  bool // without a region: to leave it unmaps its one object
}

// PartyOption says how to join: PartySlots, PartyCells, PartyRiskShrink.
type PartyOption func(*partySettings)

type partySettings struct {
	slots, cells int
	flags        uint32
}

// PartySlots is how many processes there is room for in a table that Join makes, 64 without it. A process
// takes one, and one more for every 2000 locks that it has used.
func PartySlots(processes int) PartyOption {
	return func(s *partySettings) { s.slots = processes }
}

// PartyCells is how many objects there is room for in a table that Join makes that count by process
// (read-write locks, barriers, semaphores whose units come back), 32 without it.
func PartyCells(objects int) PartyOption {
	return func(s *partySettings) { s.cells = objects }
}

// PartyRiskShrink joins although the memory can be taken away (Region.CanShrink). A page that is gone ends
// the process that uses a lock on it, and what a dying process holds may stay locked.
func PartyRiskShrink() PartyOption {
	return func(s *partySettings) { s.flags |= capi.PartyCanShrink }
}

const partyMax = 4096

// PartySize is how many bytes a table takes; 0 stands for the default of PartySlots and PartyCells. It is 0
// for more than 4096 of either.
func PartySize(slots, cells int) int {
	if slots < 0 || slots > partyMax || cells < 0 || cells > partyMax {
		return 0
	}
	return capi.PartySize(uint32(slots), uint32(cells))
}

// Join joins the party whose table is at this offset, a multiple of 8: PartySize bytes. Zeros become a
// table, whoever comes first; the others find it. A lock is used through the party that it was made in.
//
// Region.Close is EBUSY until Leave. From then on the region's memory stays mapped, also after Close,
// until neither it nor a lock in it can be reached any more: a lock that is used too late answers ErrClosed,
// and never touches memory that is gone.
//
// Errors: EINVAL (neither zeros nor a table; a table of other options; a private region); EACCES (a region
// for reading); ErrUnsealed (the memory can be taken away); ENOLCK (all slots are taken, or no thread is to
// be had); ENOMEM (the party sets aside as many addresses as the region has).
func (r *Region) Join(offset int, options ...PartyOption) (*Party, error) {
	const op = "Join"
	if err := r.enter(op); err != nil {
		return nil, err
	}
	defer r.leave()
	if offset < 0 {
		return nil, refused(op, syscall.EINVAL, "the offset is %d", offset)
	}
	var s partySettings
	for _, option := range options {
		if option == nil {
			return nil, refused(op, syscall.EINVAL, "an option is nil")
		}
		option(&s)
	}
	if s.slots < 0 || s.slots > partyMax || s.cells < 0 || s.cells > partyMax {
		return nil, refused(op, syscall.EINVAL, "%d slots and %d cells: 0 to %d of each", s.slots, s.cells, partyMax)
	}
	m := r.further()
	m.keep.Store(true)
	handle, f := r.held.Join(offset, s.flags, uint32(s.slots), uint32(s.cells))
	if f != nil {
		return nil, failure(op, f)
	}
	m.parties.Add(1)
	return &Party{region: r, handle: handle}, nil
}

// Leave ends the membership; to leave again does nothing. EBUSY while this process holds a lock of the party, has
// units of a tracked semaphore, or waits for something of the party: then it stays joined.
func (p *Party) Leave() error { return p.leave("Leave") }

func (p *Party) leave(op string) error {
	if p == nil || p.region == nil && !p.named {
		return nil
	}
	p.calls.Lock()
	defer p.calls.Unlock()
	if p.left.Load() {
		return nil
	}
	if f := p.handle.Leave(); f != nil {
		return refused(op, f.Errno(), "something of the party is held, or waited for: %s", f.Message)
	}
	p.left.Store(true)
	if !p.named {
		p.region.more.Load().parties.Add(-1)
	}
	return nil
}

// call runs a call of C, which does not wait.
func (p *Party) call(op string, call func(capi.Party) *capi.Failure) error {
	forceGC()
	p.calls.RLock()
	defer p.calls.RUnlock()
	if p.left.Load() {
		return &Error{Op: op, Message: "the party was left", cause: ErrClosed}
	}
	return failure(op, call(p.handle))
}

// make makes an object of zeros, or finds it, and tells where it is.
func (p *Party) make(op string, offset, size int, call func(capi.Party, unsafe.Pointer) *capi.Failure) (at unsafe.Pointer, err error) {
	if p == nil || p.region == nil {
		return nil, refused(op, syscall.EINVAL, "the party is nil, or was made by no function of this package")
	}
	if offset < 0 || offset > int(p.region.reach.Load())-size {
		return nil, refused(op, syscall.EINVAL, "%d bytes at offset %d are not in the region: it has %d", size, offset, p.region.Size())
	}
	at = unsafe.Add(p.region.data, offset)
	return at, p.call(op, func(party capi.Party) *capi.Failure { return call(party, at) })
}

// wait tries until the answer is not EAGAIN; in between a descriptor tells when that may be. ctx ends it.
func (p *Party) wait(ctx context.Context, op string, try func(capi.Party, capi.Watch) *capi.Failure) error {
	return p.waitOr(ctx, op, try, func(_ *watch, err error) error { return err })
}

// waitOr is wait, for what has more to do where that fails, as by the end of ctx: giveUp makes the answer of the
// error, with a watch that may still wait.
func (p *Party) waitOr(ctx context.Context, op string, try func(capi.Party, capi.Watch) *capi.Failure, giveUp func(*watch, error) error) error {
	if ctx.Err() != nil {
		return ended(op, ctx)
	}
	w, err := takeWatch(op)
	if err != nil {
		return err
	}
	defer w.giveBack()
	if err = p.waitBy(ctx, op, w, try); err != nil {
		return giveUp(w, err)
	}
	return err
}

// waitBy is what wait does with a watch.
func (p *Party) waitBy(ctx context.Context, op string, w *watch, try func(capi.Party, capi.Watch) *capi.Failure) error {
	raw, err := w.file.SyscallConn()
	if err != nil {
		return caused(op, err)
	}
	var result error
	done := func(uintptr) bool {
		result = p.call(op, func(party capi.Party) *capi.Failure { return try(party, w.Watch) })
		failed, _ := result.(*Error)
		return failed == nil || failed.Errno != syscall.EAGAIN
	}
	if ctx.Done() == nil {
		err = waited(op, ctx, raw.Read(done))
	} else {
		err = until(ctx, op, w.file, toReceive, w.file.SetReadDeadline, func() error { return raw.Read(done) })
	}
	if err != nil {
		return err
	}
	return result
}

// watch is a descriptor in the netpoller. Some that are not in use are kept: to open one takes as long as a
// short wait.
type watch struct {
	capi.Watch
	file *os.File
}

var watches sync.Pool

func takeWatch(op string) (*watch, error) {
	if w, kept := watches.Get().(*watch); kept {
		return w, nil
	}
	opened, fd, f := capi.OpenWatch()
	if f != nil {
		return nil, failure(op, f)
	}
	duplicate, err := fcntl(fd, syscall.F_DUPFD_CLOEXEC)
	if err != nil {
		opened.Close()
		return nil, caused(op, err)
	}
	w := &watch{opened, os.NewFile(uintptr(duplicate), "watch")}
	runtime.AddCleanup(w, capi.Watch.Close, opened)
	return w, nil
}

// giveBack ends what it still waits for, so that another one gets the wake-up.
func (w *watch) giveBack() {
	w.Cancel()
	watches.Put(w)
}

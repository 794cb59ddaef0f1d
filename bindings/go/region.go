package shmkit

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"unicode"
	"unsafe"

	"shmkit/internal/capi"
)

// Region is a range of memory that processes share, whichever mechanism of the kernel made it.
//
// Every method may be called by any goroutine at any time, also while another closes the region:
// whoever comes later gets ErrClosed. What processes write into the memory is not ordered by that; use
// sync/atomic (View with a struct of atomic fields). The race detector does not look at the memory of
// regions: it finds no races there, and does not know that an atomic there has ordered anything else.
type Region struct { // one cache line: what else there is costs a twentieth of opening anonymous memory
	state state
	held  *held
	data  unsafe.Pointer
	reach atomic.Int64 // how many bytes there are from data on: the size, and twice that in a mirror
	more  atomic.Pointer[more]
	facts
}

// facts are what never changes, and outlives Close.
type facts struct {
	name     string
	kind     Kind
	mirror   bool
	private  bool
	growable bool
	created  bool
}

// more is what few regions need.
type more struct {
	sizeMax  int        // where it is growable
	pageSize int        // where huge pages were asked for
	changing sync.Mutex // one change of the pages' rights at a time

	parties atomic.Int32 // how many are joined
	keep    atomic.Bool  // locks may be reached that lie in it: it is unmapped when they are not, and it is not

	idle   chan struct{} // for a Close that has to wait: the last user sends
	ended  chan struct{} // for those who close again meanwhile: Close closes it
	failed *capi.Failure // what Close met
}

// further makes the rest of a region where there is none.
func (r *Region) further() *more {
	m := r.more.Load()
	if m == nil {
		m = &more{idle: make(chan struct{}, 1), ended: make(chan struct{})}
		if !r.more.CompareAndSwap(nil, m) {
			m = r.more.Load()
		}
	}
	return m
}

// state is one word, so that a copy costs two atomic additions: who uses the region, and how.
//
//	bit 63       closed: nobody new
//	bit 62       copies may fault, and go under the guard
//	bit 61       read-only
//	bit 60       the memory can be taken away
//	bit 59       the rights of some pages were changed; set under changing
//	bit 58       gone: Close has ended
//	bits 31-57   how many plain copies are running; they are short
//	bits 0-30    how many other users there are
type state struct{ word atomic.Int64 }

const (
	user      = 1
	plainCopy = 1 << 31
	gone      = 1 << 58
	protected = 1 << 59
	canShrink = 1 << 60
	readOnly  = 1 << 61
	mayFault  = 1 << 62
	closed    = -1 << 63
	users     = plainCopy - 1
	copies    = gone - plainCopy
)

func (s *state) has(flag int64) bool { return s.word.Load()&flag != 0 }

// newRegion makes a region of what C has opened. It sets field by field: a copy of several would have to wait
// for each of them.
func (b *block) newRegion(name string, flags Flag, created bool) *Region {
	r, opened := b.allocate(), &b.opened
	r.held.Handle, r.data = opened.Handle(), opened.Data()
	r.name = name
	r.kind = Kind(opened.Kind())
	r.mirror = flags&Mirror != 0
	r.private = flags&Private != 0
	r.growable = opened.SizeMax() > opened.Size() || flags&growable != 0
	r.created = created
	if r.growable || opened.HugePage() != 0 {
		m := r.further()
		m.sizeMax, m.pageSize = opened.SizeMax(), opened.HugePage()
	}
	r.setSize(opened.Size())
	word := int64(0)
	if opened.CanShrink() {
		word |= canShrink | mayFault
	}
	if opened.ReadOnly() {
		word |= readOnly
	}
	r.state.word.Store(word)
	return r
}

func (r *Region) setSize(size int) {
	if r.mirror {
		size *= 2
	}
	r.reach.Store(int64(size))
}

// enter begins a use of the region, which leave ends; in between it is not closed.
func (r *Region) enter(op string) error {
	forceGC()
	if r.isNone() {
		return refused(op, syscall.EINVAL, "the region is nil, or was made by no function of this package")
	}
	if r.state.word.Add(user) < 0 {
		r.leave()
		return wasClosed(op)
	}
	return nil
}

func (r *Region) isNone() bool { return r == nil || r.data == nil }

func (r *Region) leave() {
	if word := r.state.word.Add(-user); word < 0 {
		r.last(word)
	}
}

func (r *Region) leaveCopy() {
	if word := r.state.word.Add(-plainCopy); word < 0 {
		r.last(word)
	}
}

// last tells Close when a use that has ended was the last.
func (r *Region) last(word int64) {
	if word&(users|copies) == 0 {
		select {
		case r.further().idle <- struct{}{}:
		default:
		}
	}
}

func wasClosed(op string) error {
	return &Error{Op: op, Message: "the region is closed", cause: ErrClosed}
}

// Close unmaps the region, once all calls and callbacks that use it have ended, and waits for them.
// It must not be called in such a callback: that would wait for itself. Names, files and System V
// segments stay, but with UnlinkLast and UnlinkCreator the name goes where that is due.
//
// Closing again does nothing and returns the same result. A region that becomes unreachable is closed
// too, at some time, and perhaps not before others that were made at the time; a program that cares for
// its memory does not rely on it.
func (r *Region) Close() error {
	if r.isNone() {
		return nil
	}
	notInCallback(r)
	m := r.more.Load()
	if m != nil && m.parties.Load() > 0 && r.state.word.Load() >= 0 {
		return refused("Close", syscall.EBUSY, "a party of %s is joined", r.what())
	}
	word := r.state.word.Or(closed)
	if word < 0 {
		return r.closedAgain()
	}
	for ; word&(users|copies) != 0; word = r.state.word.Load() {
		<-r.further().idle
	}
	var f *capi.Failure
	if m = r.more.Load(); m == nil || !m.keep.Load() {
		f = r.held.Close()
		r.held.Handle = capi.Handle{}
	}
	if f != nil {
		r.further().failed = f
	}
	r.state.word.Or(gone)
	if m = r.more.Load(); m != nil {
		close(m.ended)
	}
	return failure("Close", f)
}

func (r *Region) closedAgain() error {
	if !r.state.has(gone) {
		// Close sees what is made here, or has ended before.
		if m := r.further(); !r.state.has(gone) {
			<-m.ended
		}
	}
	if m := r.more.Load(); m != nil {
		return failure("Close", m.failed)
	}
	return nil
}

// known are the region's facts; those of no region are zero.
func (r *Region) known() facts {
	if r == nil {
		return facts{}
	}
	return r.facts
}

// Size is the region's size in bytes.
func (r *Region) Size() int {
	if r == nil {
		return 0
	}
	size := int(r.reach.Load())
	if r.mirror {
		size /= 2
	}
	return size
}

// SizeMax is how large the region can become in place: its size, unless it is growable.
func (r *Region) SizeMax() int {
	if r != nil && r.growable {
		return r.more.Load().sizeMax
	}
	return r.Size()
}

// PageSize is the size of the pages behind the region: larger than os.Getpagesize where they are from
// a pool (Huge2M).
func (r *Region) PageSize() int {
	if r.isNone() {
		return 0
	}
	if m := r.more.Load(); m != nil && m.pageSize != 0 {
		return m.pageSize
	}
	return capi.PageSize
}

// Kind is the mechanism behind the region.
func (r *Region) Kind() Kind { return r.known().kind }

// Name is the name or path that the region was made or opened with; "" where it has none.
func (r *Region) Name() string { return r.known().name }

// Rights are what this process may do with the region: ReadWrite, or Read where it was opened so, received
// so, or frozen.
func (r *Region) Rights() Rights {
	switch {
	case r.isNone():
		return NoAccess
	case r.state.has(readOnly):
		return Read
	}
	return ReadWrite
}

// Created tells whether the call that returned the region made its object, rather than found it.
func (r *Region) Created() bool { return r.known().created }

// CanShrink tells whether the memory can be taken away: true for files, POSIX objects, memfds without
// SealShrink, and pages from a pool of huge pages. Bytes, View, Slice, ReadAt and WriteAt then still
// answer with an error; what UnsafeBytes gives can end the process.
func (r *Region) CanShrink() bool { return r != nil && r.state.has(canShrink) }

// String names the region for people: "memfd frames, 4096 bytes".
func (r *Region) String() string {
	if r.isNone() {
		return "no region"
	}
	return fmt.Sprintf("%s, %d bytes", r.what(), r.Size())
}

func (r *Region) what() string {
	if r.name == "" {
		return r.kind.String()
	}
	return fmt.Sprintf("%v %s", r.kind, printable(r.name))
}

// printable keeps what a stranger has put into a name from a terminal.
func printable(name string) string {
	if strings.ContainsFunc(name, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return strconv.Quote(name)
	}
	return name
}

// File returns a duplicate of the region's descriptor, which the caller closes: for
// exec.Cmd.ExtraFiles, or another library. FromFile makes a region of it again. EOPNOTSUPP for a kind
// without one. PublishReadOnly refuses afterwards, as others could have it for writing.
func (r *Region) File() (*os.File, error) {
	if err := r.enter("File"); err != nil {
		return nil, err
	}
	defer r.leave()
	fd, f := r.held.FD()
	if f != nil {
		return nil, failure("File", f)
	}
	duplicate, err := fcntl(fd, syscall.F_DUPFD_CLOEXEC)
	if err != nil {
		return nil, refused("File", err.(syscall.Errno), "cannot duplicate descriptor %d: %v", fd, err)
	}
	return os.NewFile(uintptr(duplicate), r.what()), nil
}

// SysVID is the id of the System V segment behind the region; EOPNOTSUPP for other kinds.
func (r *Region) SysVID() (SysVID, error) {
	if err := r.enter("SysVID"); err != nil {
		return 0, err
	}
	defer r.leave()
	id, f := r.held.SysVID()
	return SysVID(id), failure("SysVID", f)
}

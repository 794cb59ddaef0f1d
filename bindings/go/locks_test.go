package shmkit_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"shmkit"
)

// What the processes of these tests share: a party's table, and behind it these.
var (
	mutexAt   = shmkit.PartySize(0, 0)
	counterAt = mutexAt + 64
	eventAt   = mutexAt + 128
	unitsAt   = mutexAt + 192
	rwmutexAt = mutexAt + 256
	onceAt    = mutexAt + 320
	barrierAt = mutexAt + 384
	condAt    = mutexAt + 448
	boardSize = mutexAt + 512
)

// board is a region with a party, and a mutex, whose dead owners are counted.
type board struct {
	region  *shmkit.Region
	party   *shmkit.Party
	mutex   *shmkit.Mutex
	repairs int
}

func joined(region *shmkit.Region) (*board, error) {
	b := &board{region: region}
	var err error
	if b.party, err = region.Join(0); err != nil {
		return nil, err
	}
	b.mutex, err = b.party.Mutex(mutexAt, func() error {
		b.repairs++
		return nil
	})
	return b, err
}

func newBoard(t *testing.T) *board {
	t.Helper()
	nothingLeft(t)
	region, err := shmkit.Create("board", boardSize)
	ok(t, err)
	b, err := joined(region)
	ok(t, err)
	t.Cleanup(func() {
		ok(t, b.party.Leave())
		ok(t, b.region.Close())
		*b = board{} // the test keeps what its cleanups have used
	})
	return b
}

// nothingLeft waits at the test's end until what locks keep is gone: memory, for those who are late, and the
// descriptors of watches.
func nothingLeft(t *testing.T) {
	before := takeStock()
	t.Cleanup(func() {
		if left := leftSince(before); left != "" {
			t.Error("the test left behind:\n" + left)
		}
	})
}

func (b *board) rwmutex() (*shmkit.RWMutex, error) {
	return b.party.RWMutex(rwmutexAt, func() error {
		b.repairs++
		return nil
	})
}

// increment is no atomic addition: what another does in between is lost.
func (b *board) increment() error {
	var bytes [8]byte
	if _, err := b.region.ReadAt(bytes[:], int64(counterAt)); err != nil {
		return err
	}
	binary.NativeEndian.PutUint64(bytes[:], binary.NativeEndian.Uint64(bytes[:])+1)
	_, err := b.region.WriteAt(bytes[:], int64(counterAt))
	return err
}

func (b *board) count(t *testing.T) int {
	t.Helper()
	var bytes [8]byte
	_, err := b.region.ReadAt(bytes[:], int64(counterAt))
	ok(t, err)
	return int(binary.NativeEndian.Uint64(bytes[:]))
}

// inherited is the board of a helper: its region is descriptor 3.
func inherited() (*board, error) {
	region, err := shmkit.FromFile(os.NewFile(3, "board"))
	if err != nil {
		return nil, err
	}
	return joined(region)
}

func (b *board) start(t *testing.T, helper string, args ...string) *process {
	t.Helper()
	file, err := b.region.File()
	ok(t, err)
	defer file.Close()
	return start(t, helper, []*os.File{file}, args...)
}

func init() {
	helpers["increment"] = func(h *helper) error {
		b, err := inherited()
		if err != nil {
			return err
		}
		turns, _ := strconv.Atoi(h.args[0])
		for range turns {
			b.mutex.Lock()
			err := b.increment()
			b.mutex.Unlock()
			if err != nil {
				return err
			}
		}
		return b.party.Leave()
	}
	helpers["lock and wait"] = func(h *helper) error {
		b, err := inherited()
		if err != nil {
			return err
		}
		b.mutex.Lock()
		h.say("locked")
		if _, err := h.hear(); err != nil {
			return err
		}
		b.mutex.Unlock()
		return b.party.Leave()
	}
	helpers["take units"] = func(h *helper) error {
		b, err := inherited()
		if err != nil {
			return err
		}
		units, err := b.party.Semaphore(unitsAt, 2, true)
		if err != nil {
			return err
		}
		for range 2 {
			if err := units.Acquire(context.Background()); err != nil {
				return err
			}
		}
		h.say("taken")
		_, err = h.hear()
		return err
	}
	helpers["lock to read or write, and wait"] = func(h *helper) error {
		b, err := inherited()
		if err != nil {
			return err
		}
		m, err := b.rwmutex()
		if err != nil {
			return err
		}
		if h.args[0] == "read" {
			m.RLock()
		} else {
			m.Lock()
		}
		h.say("locked")
		_, err = h.hear()
		return err
	}
	helpers["begin once, and wait"] = func(h *helper) error {
		b, err := inherited()
		if err != nil {
			return err
		}
		once, err := b.party.Once(onceAt)
		if err != nil {
			return err
		}
		return once.Do(context.Background(), func() error {
			h.say("begun")
			_, err := h.hear()
			return err
		})
	}
	helpers["wait for event"] = func(h *helper) error {
		b, err := inherited()
		if err != nil {
			return err
		}
		event, err := b.party.Event(eventAt, false)
		if err != nil {
			return err
		}
		h.say("waiting")
		if err := event.Wait(context.Background()); err != nil {
			return err
		}
		h.say("passed")
		return b.party.Leave()
	}
}

func TestMutexExcludesProcessesAndGoroutines(t *testing.T) {
	b := newBoard(t)
	turns := rounds(5000)
	others := []*process{
		b.start(t, "increment", strconv.Itoa(turns)),
		b.start(t, "increment", strconv.Itoa(turns)),
	}
	var group sync.WaitGroup
	const goroutines = 3
	for range goroutines {
		group.Add(1)
		go func() {
			defer group.Done()
			for range turns {
				if err := b.mutex.LockContext(t.Context()); err != nil {
					t.Error(err)
					return
				}
				err := b.increment()
				b.mutex.Unlock()
				if err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	group.Wait()
	for _, other := range others {
		other.ends()
	}
	check(t, b.count(t) == turns*(goroutines+len(others)), "%d counted", b.count(t))
}

func TestMutexOfADeadOwner(t *testing.T) {
	b := newBoard(t)
	owner := b.start(t, "lock and wait")
	owner.hears("locked")
	pid, err := b.mutex.Owner()
	ok(t, err)
	check(t, pid == owner.cmd.Process.Pid, "the owner is %d, not %d", pid, owner.cmd.Process.Pid)
	check(t, !b.mutex.TryLock(), "locked what another has")

	got := make(chan error, 1)
	go func() { got <- b.mutex.LockContext(t.Context()) }()
	owner.kill()
	ok(t, <-got)
	check(t, b.repairs == 1, "%d repairs", b.repairs)
	b.mutex.Unlock()
	b.mutex.Lock()
	check(t, b.repairs == 1, "repaired again: %d", b.repairs)
	b.mutex.Unlock()
}

func TestMutexOwner(t *testing.T) {
	b := newBoard(t)
	pid, err := b.mutex.Owner()
	ok(t, err)
	check(t, pid == 0, "nobody has it, and the owner is %d", pid)
	b.mutex.Lock()
	pid, err = b.mutex.Owner()
	ok(t, err)
	check(t, pid == os.Getpid(), "the owner is %d, not this process", pid)
	b.mutex.Unlock()
	var word [4]byte
	binary.NativeEndian.PutUint32(word[:], 0x3ffffffe)
	_, err = b.region.WriteAt(word[:], int64(mutexAt))
	ok(t, err)
	pid, err = b.mutex.Owner()
	refused(t, err, syscall.ESRCH, "Owner")
	check(t, pid == 0, "no member has it, and the owner is %d", pid)
	_, err = b.region.WriteAt(make([]byte, len(word)), int64(mutexAt))
	ok(t, err)
}

func TestMutexBeyondRepair(t *testing.T) {
	b := newBoard(t)
	why := errors.New("no idea")
	mutex, err := b.party.Mutex(mutexAt, func() error { return why })
	ok(t, err)
	check(t, !mutex.Created(), "made a second time")
	owner := b.start(t, "lock and wait")
	owner.hears("locked")
	owner.kill()
	err = mutex.LockContext(t.Context())
	check(t, errors.Is(err, why), "%v", err)
	refused(t, b.mutex.LockContext(t.Context()), syscall.ENOTRECOVERABLE, "LockContext")
	panics(t, syscall.ENOTRECOVERABLE, b.mutex.Lock)
	panics(t, syscall.ENOTRECOVERABLE, func() { b.mutex.TryLock() })
}

func TestMutexWaitsHoldNoThreads(t *testing.T) {
	b := newBoard(t)
	b.mutex.Lock()
	before := threads()
	const waiters = 200
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, waiters)
	var started sync.WaitGroup
	for range waiters {
		started.Add(1)
		looked := &looksAt{Context: ctx, looked: sync.OnceFunc(started.Done)}
		go func() { ended <- b.mutex.LockContext(looked) }()
	}
	started.Wait()
	more := threads() - before
	check(t, more < 20, "%d goroutines wait, and there are %d more threads", waiters, more)
	refused(t, b.party.Leave(), syscall.EBUSY, "Leave")
	cancel()
	for range waiters {
		refused(t, <-ended, context.Canceled, "LockContext")
	}
	b.mutex.Unlock()
	check(t, b.mutex.TryLock(), "nobody has it")
	b.mutex.Unlock()
}

// looksAt tells when somebody looks at the context's end.
type looksAt struct {
	context.Context
	looked func()
}

func (c *looksAt) Done() <-chan struct{} {
	c.looked()
	return c.Context.Done()
}

func TestMutexOfAnotherIsNotOurs(t *testing.T) {
	b := newBoard(t)
	panics(t, syscall.EPERM, b.mutex.Unlock)
	owner := b.start(t, "lock and wait")
	owner.hears("locked")
	panics(t, syscall.EPERM, b.mutex.Unlock)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	refused(t, b.mutex.LockContext(ctx), context.DeadlineExceeded, "LockContext")
	owner.say("go on")
	owner.ends()
	ok(t, b.mutex.LockContext(t.Context()))
	check(t, b.repairs == 0, "nobody died, and %d repairs", b.repairs)
	b.mutex.Unlock()
}

func TestPartyEnds(t *testing.T) {
	nothingLeft(t)
	region, err := shmkit.Create("board", boardSize)
	ok(t, err)
	b, err := joined(region)
	ok(t, err)
	b.mutex.Lock()
	refused(t, b.party.Leave(), syscall.EBUSY, "Leave")
	refused(t, region.Close(), syscall.EBUSY, "Close")
	b.mutex.Unlock()
	ok(t, b.party.Leave())
	ok(t, b.party.Leave())
	ok(t, region.Close())
	ok(t, region.Close())
	// The memory is still there for whoever is late.
	refused(t, b.mutex.LockContext(t.Context()), shmkit.ErrClosed, "LockContext")
	panics(t, shmkit.ErrClosed, b.mutex.Lock)
	panics(t, shmkit.ErrClosed, b.mutex.Unlock)
	_, err = b.party.Event(eventAt, false)
	refused(t, err, shmkit.ErrClosed, "Event")
	_, err = region.Join(0)
	refused(t, err, shmkit.ErrClosed, "Join")
}

func TestPartyRefuses(t *testing.T) {
	b := newBoard(t)
	nothing := func() error { return nil }
	for name, call := range map[string]func() error{
		"a negative offset":       func() error { _, err := b.region.Join(-8); return err },
		"an odd offset":           func() error { _, err := b.region.Join(4); return err },
		"no room":                 func() error { _, err := b.region.Join(boardSize); return err },
		"a table of other slots":  func() error { _, err := b.region.Join(0, shmkit.PartySlots(7)); return err },
		"too many slots":          func() error { _, err := b.region.Join(0, shmkit.PartySlots(4097)); return err },
		"a nil option":            func() error { _, err := b.region.Join(0, nil); return err },
		"a mutex without repair":  func() error { _, err := b.party.Mutex(mutexAt, nil); return err },
		"a mutex before":          func() error { _, err := b.party.Mutex(-8, nothing); return err },
		"a mutex at an odd place": func() error { _, err := b.party.Mutex(mutexAt+4, nothing); return err },
		"a mutex behind":          func() error { _, err := b.party.Mutex(boardSize-32, nothing); return err },
		"a mutex in the table":    func() error { _, err := b.party.Mutex(64, nothing); return err },
		"an event on a mutex":     func() error { _, err := b.party.Event(mutexAt, false); return err },
	} {
		t.Run(name, func(t *testing.T) { refused(t, call(), syscall.EINVAL, "") })
	}
	ones := make([]byte, shmkit.MutexSize)
	for i := range ones {
		ones[i] = 0xff
	}
	_, err := b.region.WriteAt(ones, int64(eventAt))
	ok(t, err)
	_, err = b.party.Mutex(eventAt, nothing)
	refused(t, err, syscall.EINVAL, "Mutex")

	file, err := shmkit.CreateFile(newPath(t), boardSize)
	ok(t, err)
	defer file.Close()
	_, err = file.Join(0)
	refused(t, err, shmkit.ErrUnsealed, "Join")
	party, err := file.Join(0, shmkit.PartyRiskShrink())
	ok(t, err)
	ok(t, party.Leave())
	check(t, shmkit.PartySize(1, 1) > 0 && shmkit.PartySize(-1, 0) == 0 && shmkit.PartySize(0, 5000) == 0, "PartySize")
	ok(t, (*shmkit.Party)(nil).Leave())
}

func TestEvent(t *testing.T) {
	b := newBoard(t)
	event, err := b.party.Event(eventAt, false)
	ok(t, err)
	check(t, event.Created(), "found")
	waiter := b.start(t, "wait for event")
	waiter.hears("waiting")
	ok(t, event.Set())
	waiter.hears("passed")
	waiter.ends()
	ok(t, event.Wait(t.Context()))
	set, err := event.IsSet()
	ok(t, err)
	check(t, set, "not set")
	was, err := event.Reset()
	ok(t, err)
	check(t, was, "was not set")
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	refused(t, event.Wait(ctx), context.DeadlineExceeded, "Wait")
	_, err = b.party.Event(eventAt, true)
	refused(t, err, syscall.EINVAL, "Event")
}

func TestSemaphore(t *testing.T) {
	b := newBoard(t)
	units, err := b.party.Semaphore(unitsAt, 1, false)
	ok(t, err)
	check(t, units.Created(), "found")
	ok(t, units.Acquire(t.Context()))
	taken, err := units.TryAcquire()
	ok(t, err)
	check(t, !taken, "took what is not there")
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	refused(t, units.Acquire(ctx), context.DeadlineExceeded, "Acquire")
	const waiters = 20
	ended := make(chan error, waiters)
	for range waiters {
		go func() { ended <- units.Acquire(t.Context()) }()
	}
	for range waiters {
		ok(t, units.Release())
	}
	for range waiters {
		ok(t, <-ended)
	}
	ok(t, units.Release())
	value, err := units.Value()
	ok(t, err)
	check(t, value == 1, "%d units", value)
	taken, err = units.TryAcquire()
	ok(t, err)
	check(t, taken, "did not take what is there")
	_, err = b.party.Semaphore(unitsAt, 1, true)
	refused(t, err, syscall.EINVAL, "Semaphore")
	_, err = b.party.Semaphore(unitsAt, -1, false)
	refused(t, err, syscall.EINVAL, "Semaphore")
}

func TestSemaphoreUnitsOfTheDead(t *testing.T) {
	b := newBoard(t)
	units, err := b.party.Semaphore(unitsAt, 2, true)
	ok(t, err)
	refused(t, units.Release(), syscall.EPERM, "Release")
	taker := b.start(t, "take units")
	taker.hears("taken")
	taken, err := units.TryAcquire()
	ok(t, err)
	check(t, !taken, "took what another has")
	got := make(chan error, 2)
	for range 2 {
		go func() { got <- units.Acquire(t.Context()) }()
	}
	taker.kill()
	for range 2 {
		ok(t, <-got)
		ok(t, units.Release())
	}
}

func TestRWMutex(t *testing.T) {
	b := newBoard(t)
	m, err := b.rwmutex()
	ok(t, err)
	check(t, m.Created(), "found")
	panics(t, syscall.EPERM, m.Unlock)
	m.RLock()
	m.RLocker().Lock()
	check(t, m.TryRLock() && !m.TryLock(), "two read")
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	refused(t, m.LockContext(ctx), context.DeadlineExceeded, "LockContext")
	check(t, m.TryRLock(), "a writer that has given up keeps readers out")
	wrote := make(chan error, 1)
	go func() { wrote <- m.LockContext(t.Context()) }()
	m.RLocker().Unlock()
	for range 3 {
		m.RUnlock()
	}
	ok(t, <-wrote)
	check(t, !m.TryRLock() && !m.TryLock(), "somebody writes")
	const readers = 20
	read := make(chan error, readers)
	for range readers {
		go func() { read <- m.RLockContext(t.Context()) }()
	}
	m.Unlock()
	for range readers {
		ok(t, <-read)
		m.RUnlock()
	}
	var group sync.WaitGroup
	turns := rounds(500)
	for range 3 {
		group.Add(2)
		go func() {
			defer group.Done()
			for range turns {
				m.Lock()
				err := b.increment()
				m.Unlock()
				if err != nil {
					t.Error(err)
				}
			}
		}()
		go func() {
			defer group.Done()
			for range turns {
				m.RLock()
				_ = b.mutex // what is read does not matter
				m.RUnlock()
			}
		}()
	}
	group.Wait()
	check(t, b.count(t) == 3*turns, "%d counted", b.count(t))
	check(t, b.repairs == 0, "nobody died, and %d repairs", b.repairs)
	_, err = b.party.RWMutex(rwmutexAt, nil)
	refused(t, err, syscall.EINVAL, "RWMutex")
}

func TestRWMutexOfTheDead(t *testing.T) {
	b := newBoard(t)
	m, err := b.rwmutex()
	ok(t, err)
	got := make(chan error, 1)
	for i, test := range []struct {
		has  string
		want func(context.Context) error
		end  func()
	}{
		{"read", m.LockContext, m.Unlock},
		{"write", m.LockContext, m.Unlock},
		{"write", m.RLockContext, m.RUnlock},
	} {
		owner := b.start(t, "lock to read or write, and wait", test.has)
		owner.hears("locked")
		check(t, !m.TryLock(), "locked what another has")
		go func() { got <- test.want(t.Context()) }()
		owner.kill()
		ok(t, <-got)
		check(t, b.repairs == i, "%d repairs", b.repairs)
		check(t, m.TryRLock() == (i == 2), "is it for reading?")
		if i == 2 {
			m.RUnlock()
		}
		test.end()
	}
	why := errors.New("no idea")
	broken, err := b.party.RWMutex(rwmutexAt, func() error { return why })
	ok(t, err)
	owner := b.start(t, "lock to read or write, and wait", "write")
	owner.hears("locked")
	owner.kill()
	err = broken.RLockContext(t.Context())
	check(t, errors.Is(err, why), "%v", err)
	refused(t, m.LockContext(t.Context()), syscall.ENOTRECOVERABLE, "LockContext")
	panics(t, syscall.ENOTRECOVERABLE, m.RLock)
}

func TestOnce(t *testing.T) {
	b := newBoard(t)
	once, err := b.party.Once(onceAt)
	ok(t, err)
	check(t, once.Created(), "found")
	other := b.start(t, "begin once, and wait")
	other.hears("begun")
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	refused(t, once.Do(ctx, b.increment), context.DeadlineExceeded, "Do")
	const goroutines = 20
	ended := make(chan error, goroutines)
	for range goroutines {
		go func() { ended <- once.Do(t.Context(), b.increment) }()
	}
	other.kill()
	for range goroutines {
		ok(t, <-ended)
	}
	check(t, b.count(t) == 1, "%d times", b.count(t))
	ok(t, once.Do(t.Context(), func() error { return errors.New("done twice") }))
}

func TestOnceThatFails(t *testing.T) {
	b := newBoard(t)
	once, err := b.party.Once(onceAt)
	ok(t, err)
	why := errors.New("not now")
	err = once.Do(t.Context(), func() error { return why })
	check(t, err == why, "%v", err)
	panics(t, why, func() { _ = once.Do(t.Context(), func() error { panic(why) }) })
	ok(t, once.Do(t.Context(), b.increment))
	check(t, b.count(t) == 1, "%d times", b.count(t))
	_, err = b.party.Once(mutexAt)
	refused(t, err, syscall.EINVAL, "Once")
}

// panics fails the test unless the call panics with an error that is this one.
func panics(t *testing.T, target error, call func()) {
	t.Helper()
	defer func() {
		t.Helper()
		err, _ := recover().(error)
		check(t, errors.Is(err, target), "%v, and not %v", err, target)
	}()
	call()
	panic(fmt.Errorf("it returned"))
}

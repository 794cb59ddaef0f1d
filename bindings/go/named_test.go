package shmkit_test

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"shmkit"
)

func init() {
	helpers["begin once by name, and wait"] = func(h *helper) error {
		once, err := shmkit.OpenOnce(h.args[0], shmkit.NamedFind())
		if err != nil {
			return err
		}
		return once.Do(context.Background(), func() error {
			h.say("begun")
			_, err := h.hear()
			return err
		})
	}
	helpers["lock by name, and wait"] = func(h *helper) error {
		mutex, err := shmkit.OpenMutex(h.args[0], func() error { return nil }, shmkit.NamedFind())
		if err != nil {
			return err
		}
		mutex.Lock()
		h.say("locked")
		_, err = h.hear()
		return err
	}
}

func TestNamedLocks(t *testing.T) {
	nothingLeft(t)
	name := fmt.Sprintf("shmkit go test %d", os.Getpid())
	repairs := 0
	repair := func() error { repairs++; return nil }
	_, err := shmkit.OpenMutex(name, repair, shmkit.NamedFind())
	refused(t, err, syscall.ENOENT, "OpenMutex")
	refused(t, shmkit.UnlinkNamed(name), syscall.ENOENT, "UnlinkNamed")
	mutex, err := shmkit.OpenMutex(name, repair, shmkit.NamedMode(0o640))
	ok(t, err)
	owner := start(t, "lock by name, and wait", nil, name)
	owner.hears("locked")
	check(t, !mutex.TryLock(), "locked what another has")
	got := make(chan error, 1)
	go func() { got <- mutex.LockContext(t.Context()) }()
	owner.kill()
	ok(t, <-got)
	check(t, repairs == 1, "%d repairs", repairs)
	refused(t, mutex.Close(), syscall.EBUSY, "Close")
	mutex.Unlock()
	check(t, mutex.TryLock(), "nobody has it")
	mutex.Unlock()
	_, err = shmkit.OpenEvent(name, false)
	refused(t, err, syscall.EINVAL, "OpenEvent")
	ok(t, mutex.Close())
	ok(t, mutex.Close())
	// Its memory is gone.
	refused(t, mutex.LockContext(t.Context()), shmkit.ErrClosed, "LockContext")
	panics(t, shmkit.ErrClosed, mutex.Unlock)
	ok(t, shmkit.UnlinkNamed(name))

	event, err := shmkit.OpenEvent(name, false)
	ok(t, err)
	same, err := shmkit.OpenEvent(name, false, shmkit.NamedFind(), shmkit.NamedAnyOwner())
	ok(t, err)
	go func() { got <- event.Wait(t.Context()) }()
	ok(t, same.Set())
	ok(t, <-got)
	ok(t, same.Close())
	ok(t, event.Close())
	refused(t, event.Set(), shmkit.ErrClosed, "Set")
	ok(t, shmkit.UnlinkNamed(name))

	for what, call := range map[string]func() error{
		"no name":      func() error { _, err := shmkit.OpenMutex("", repair); return err },
		"a NUL":        func() error { _, err := shmkit.OpenMutex("a\x00b", repair); return err },
		"a NUL again":  func() error { return shmkit.UnlinkNamed("a\x00b") },
		"no repair":    func() error { _, err := shmkit.OpenMutex(name, nil); return err },
		"a nil option": func() error { _, err := shmkit.OpenEvent(name, true, nil); return err },
		"a mode":       func() error { _, err := shmkit.OpenEvent(name, true, shmkit.NamedMode(0o1777)); return err },
	} {
		t.Run(what, func(t *testing.T) { refused(t, call(), syscall.EINVAL, "") })
	}
	b := newBoard(t)
	refused(t, b.mutex.Close(), syscall.EINVAL, "Close")
}

func TestNamedRWMutex(t *testing.T) {
	nothingLeft(t)
	name := fmt.Sprintf("shmkit go test %d", os.Getpid())
	repairs := 0
	repair := func() error { repairs++; return nil }
	m, err := shmkit.OpenRWMutex(name, repair)
	ok(t, err)
	_, err = shmkit.OpenMutex(name, repair)
	refused(t, err, syscall.EINVAL, "OpenMutex")
	other, err := shmkit.OpenRWMutex(name, repair, shmkit.NamedFind())
	ok(t, err)
	m.RLock()
	check(t, other.TryRLock() && !other.TryLock(), "two read")
	refused(t, m.Close(), syscall.EBUSY, "Close")
	m.RUnlock()
	other.RUnlock()
	other.Lock()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	refused(t, m.RLockContext(ctx), context.DeadlineExceeded, "RLockContext")
	other.Unlock()
	ok(t, other.Close())
	ok(t, m.Close())
	ok(t, m.Close())
	panics(t, shmkit.ErrClosed, m.RLock)
	ok(t, shmkit.UnlinkNamed(name))
	_, err = shmkit.OpenRWMutex(name, nil)
	refused(t, err, syscall.EINVAL, "OpenRWMutex")
	_, err = shmkit.OpenRWMutex("a\x00b", repair)
	refused(t, err, syscall.EINVAL, "OpenRWMutex")
	check(t, repairs == 0, "nobody died, and %d repairs", repairs)
}

func TestNamedSemaphore(t *testing.T) {
	nothingLeft(t)
	name := fmt.Sprintf("shmkit go test %d", os.Getpid())
	units, err := shmkit.OpenSemaphore(name, 1, true)
	ok(t, err)
	_, err = shmkit.OpenSemaphore(name, 1, false)
	refused(t, err, syscall.EINVAL, "OpenSemaphore")
	other, err := shmkit.OpenSemaphore(name, 1, true, shmkit.NamedFind())
	ok(t, err)
	ok(t, units.Acquire(t.Context()))
	taken, err := other.TryAcquire()
	ok(t, err)
	check(t, !taken, "took what another has")
	refused(t, units.Close(), syscall.EBUSY, "Close")
	got := make(chan error, 1)
	go func() { got <- other.Acquire(t.Context()) }()
	ok(t, units.Release())
	ok(t, <-got)
	ok(t, other.Release())
	ok(t, other.Close())
	ok(t, units.Close())
	refused(t, units.Release(), shmkit.ErrClosed, "Release")
	ok(t, shmkit.UnlinkNamed(name))
	for _, bad := range []int{-1, 1 << 31} {
		_, err = shmkit.OpenSemaphore(name, bad, false)
		refused(t, err, syscall.EINVAL, "OpenSemaphore")
	}
	_, err = shmkit.OpenSemaphore("", 1, false)
	refused(t, err, syscall.EINVAL, "OpenSemaphore")
}

func TestNamedOnce(t *testing.T) {
	nothingLeft(t)
	name := fmt.Sprintf("shmkit go test %d", os.Getpid())
	once, err := shmkit.OpenOnce(name)
	ok(t, err)
	other := start(t, "begin once by name, and wait", nil, name)
	other.hears("begun")
	times := 0
	do := func() error { times++; return nil }
	ended := make(chan error, 1)
	go func() { ended <- once.Do(t.Context(), do) }()
	other.kill()
	ok(t, <-ended)
	ok(t, once.Do(t.Context(), do))
	check(t, times == 1, "%d times", times)
	ok(t, once.Close())
	refused(t, once.Do(t.Context(), do), shmkit.ErrClosed, "Do")
	ok(t, shmkit.UnlinkNamed(name))
	_, err = shmkit.OpenOnce(name, shmkit.NamedFind())
	refused(t, err, syscall.ENOENT, "OpenOnce")
}

package shmkit

import (
	"context"
	"sync"
	"syscall"
	"unsafe"

	"shmkit/internal/capi"
)

// RWMutexSize is how many bytes a RWMutex takes in its region.
const RWMutexSize = 56

// RWMutex is a lock between processes that many have for reading, or one for writing. It lies in a region, and
// processes that are written in C and Rust use the same. It is a sync.Locker, for writing.
//
// A reader that dies holds up nobody. When the process that writes dies, the next who locks it, for reading or
// writing, first runs the repair function that Party.RWMutex was given, with the lock held for writing.
//
// Whoever waits to write keeps new readers waiting, so that a stream of them starves nobody: a goroutine that
// reads must not lock for reading again. A goroutine that waits holds no thread.
type RWMutex struct {
	party  *Party
	at     unsafe.Pointer
	repair func() error
	made   bool
}

var _ sync.Locker = (*RWMutex)(nil)

// RWMutex is the lock at this offset of the party's region, a multiple of 8: RWMutexSize bytes, zeros or a
// lock. It takes one of the party's cells (PartyCells).
//
// repair is what it is for Party.Mutex; only a writer's death calls for it.
//
// Errors: EINVAL (also a lock of another party, or no repair); ENOLCK (no cell is left); ErrClosed.
func (p *Party) RWMutex(offset int, repair func() error) (*RWMutex, error) {
	const op = "RWMutex"
	if repair == nil {
		return nil, refused(op, syscall.EINVAL, "no function repairs what a dead writer leaves")
	}
	m := &RWMutex{party: p, repair: repair}
	var err error
	m.at, err = p.make(op, offset, RWMutexSize, func(party capi.Party, at unsafe.Pointer) (f *capi.Failure) {
		m.made, f = party.RWLockInit(at)
		return f
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Created tells whether Party.RWMutex made the lock, rather than found it; of one by name it does not know, and says false.
func (m *RWMutex) Created() bool { return m.made }

// Lock locks for writing, and waits as long as need be. It panics as Mutex.Lock does.
func (m *RWMutex) Lock() { must(m.write(context.Background(), "Lock")) }

// LockContext locks for writing, unless ctx ends before. Its errors are those of Mutex.LockContext.
func (m *RWMutex) LockContext(ctx context.Context) error { return m.write(ctx, "LockContext") }

// RLock locks for reading, and waits as long as need be. It panics as Mutex.Lock does.
func (m *RWMutex) RLock() { must(m.read(context.Background(), "RLock")) }

// RLockContext locks for reading, unless ctx ends before. Its errors are those of Mutex.LockContext.
func (m *RWMutex) RLockContext(ctx context.Context) error { return m.read(ctx, "RLockContext") }

// TryLock locks for writing if nobody reads or writes, and tells whether it did. It panics as Lock does.
func (m *RWMutex) TryLock() bool {
	const op = "TryLock"
	died := false
	err := m.party.call(op, func(party capi.Party) (f *capi.Failure) {
		died, f = party.RWLockTryWrite(m.at)
		return f
	})
	return tried(m.written(op, died, err))
}

// TryRLock locks for reading if nobody writes, or waits to write, and tells whether it did. It panics as Lock
// does.
func (m *RWMutex) TryRLock() bool {
	const op = "TryRLock"
	for {
		died := false
		err := m.party.call(op, func(party capi.Party) (f *capi.Failure) {
			died, f = party.RWLockTryRead(m.at)
			return f
		})
		if err = m.written(op, died, err); err != nil || !died {
			return tried(err)
		}
		m.Unlock()
	}
}

// Unlock unlocks what this process has locked for writing. It panics with an *Error where it has not (EPERM).
func (m *RWMutex) Unlock() { must(m.unlock("Unlock")) }

// RUnlock gives back one of this process's locks for reading. It panics with an *Error where it has none
// (EPERM).
func (m *RWMutex) RUnlock() { must(m.unlock("RUnlock")) }

// RLocker is a sync.Locker whose Lock and Unlock are RLock and RUnlock.
func (m *RWMutex) RLocker() sync.Locker { return (*readLocker)(m) }

type readLocker RWMutex

func (l *readLocker) Lock()   { (*RWMutex)(l).RLock() }
func (l *readLocker) Unlock() { (*RWMutex)(l).RUnlock() }

func (m *RWMutex) unlock(op string) error {
	return m.party.call(op, func(party capi.Party) *capi.Failure { return party.RWLockUnlock(m.at) })
}

func (m *RWMutex) write(ctx context.Context, op string) error {
	died := false
	err := m.party.wait(ctx, op, func(party capi.Party, w capi.Watch) (f *capi.Failure) {
		died, f = party.RWLockWriteWatch(m.at, w)
		return f
	})
	return m.written(op, died, err)
}

func (m *RWMutex) read(ctx context.Context, op string) error {
	for {
		died := false
		err := m.party.wait(ctx, op, func(party capi.Party, w capi.Watch) (f *capi.Failure) {
			died, f = party.RWLockReadWatch(m.at, w)
			return f
		})
		if err = m.written(op, died, err); err != nil || !died {
			return err
		}
		// It was repaired under a lock for writing.
		m.Unlock()
	}
}

// written is what comes after a lock that C has got: the repair, where a writer died.
func (m *RWMutex) written(op string, died bool, err error) error {
	if err != nil || !died {
		return err
	}
	repaired := false
	defer func() {
		if !repaired {
			m.Unlock()
		}
	}()
	if err := m.repair(); err != nil {
		return beyondRepair(op, "a writer of the lock has died", err)
	}
	err = m.party.call(op, func(party capi.Party) *capi.Failure { return party.RWLockConsistent(m.at) })
	repaired = err == nil
	return err
}

// must is for calls that have no error to return.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// tried tells whether a try has got it, and panics where it could not be tried.
func tried(err error) bool {
	if failed, _ := err.(*Error); failed != nil && failed.Errno == syscall.EBUSY {
		return false
	}
	must(err)
	return true
}

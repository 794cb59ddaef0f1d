package shmkit

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"shmkit/internal/capi"
)

// MutexSize is how many bytes a Mutex takes in its region.
const MutexSize = 40

// Mutex is a lock between processes that survives its owner: it lies in a region, and processes that are
// written in C and Rust use the same. It is a sync.Locker.
//
// When the process that owns it dies, the next who locks it first runs the repair function that Party.Mutex
// was given, with the lock held, as what the lock guards may be half done.
//
// Locking what nobody has is no call of C. A goroutine that waits holds no thread. One that locks twice waits
// for itself: the owner is the process.
type Mutex struct {
	party  *Party
	word   *uint32 // 0 free; or the owner's number and bits, which C looks at
	state  *uint32 // not 0: beyond repair
	number atomic.Uint32
	repair func() error
	made   bool
}

var _ sync.Locker = (*Mutex)(nil)

// Mutex is the lock at this offset of the party's region, a multiple of 8: MutexSize bytes, zeros or a lock.
//
// repair brings what the lock guards into order after its owner has died; the lock is held meanwhile. Where
// it fails, nobody gets the lock any more, ever: ENOTRECOVERABLE. A repair that has nothing to do returns nil.
//
// Errors: EINVAL (also a lock of another party, or no repair); ErrClosed.
func (p *Party) Mutex(offset int, repair func() error) (*Mutex, error) {
	const op = "Mutex"
	if repair == nil {
		return nil, refused(op, syscall.EINVAL, "no function repairs what a dead owner leaves")
	}
	made := false
	at, err := p.make(op, offset, MutexSize, func(party capi.Party, at unsafe.Pointer) (f *capi.Failure) {
		made, f = party.MutexInit(at)
		return f
	})
	if err != nil {
		return nil, err
	}
	return &Mutex{party: p, word: (*uint32)(at), state: (*uint32)(unsafe.Add(at, 4)), repair: repair, made: made}, nil
}

// Created tells whether Party.Mutex made the lock, rather than found it; of one by name it does not know, and says false.
func (m *Mutex) Created() bool { return m.made }

// Lock locks, and waits as long as need be. It panics with an *Error where that is impossible: the lock is
// beyond repair, the party was left, or this process lacks memory or descriptors. LockContext returns it.
func (m *Mutex) Lock() {
	if !m.lockAtOnce() {
		if err := m.lock(context.Background(), "Lock"); err != nil {
			panic(err)
		}
	}
}

// LockContext locks, unless ctx ends before, or has ended.
//
// Errors: what ended ctx; ENOTRECOVERABLE (so it is where the repair fails, whose error it matches as well);
// ErrClosed (the party was left); ENOLCK, ENOMEM, EMFILE.
func (m *Mutex) LockContext(ctx context.Context) error {
	if ctx.Err() == nil && m.lockAtOnce() {
		return nil
	}
	return m.lock(ctx, "LockContext")
}

// TryLock locks if nobody has the lock, and tells whether it did. It panics as Lock does.
func (m *Mutex) TryLock() bool {
	if m.lockAtOnce() {
		return true
	}
	err := m.try("TryLock")
	failed, _ := err.(*Error)
	switch {
	case err == nil:
		return true
	case failed != nil && failed.Errno == syscall.EBUSY:
		return false
	}
	panic(err)
}

// Unlock unlocks. It panics with an *Error where this process does not have the lock (EPERM), but not if the lock
// is beyond repair: so it can be deferred before a Cond.Wait that finds that.
func (m *Mutex) Unlock() {
	if number := m.number.Load(); number != 0 && atomic.CompareAndSwapUint32(m.word, number, 0) {
		runtime.KeepAlive(m)
		return
	}
	err := m.party.call("Unlock", func(party capi.Party) *capi.Failure {
		f := party.MutexUnlock(unsafe.Pointer(m.word))
		if f != nil && f.Errno() == syscall.EPERM && atomic.LoadUint32(m.state) != 0 {
			return nil
		}
		return f
	})
	if err != nil {
		panic(err)
	}
}

// Owner is the process that has the lock, by its number in its own PID namespace: 0 for nobody. It is old news
// as soon as it is told.
//
// Errors: ESRCH (the owner is no member of the party, as one that is dying just now); ErrClosed.
func (m *Mutex) Owner() (pid int, err error) {
	err = m.party.call("Owner", func(party capi.Party) (f *capi.Failure) {
		pid, f = party.MutexOwner(unsafe.Pointer(m.word))
		return f
	})
	return pid, err
}

// lockAtOnce is C's shm_mutex_lock for a lock that this process has used, and nobody has.
func (m *Mutex) lockAtOnce() bool {
	number := m.number.Load()
	if number == 0 || !atomic.CompareAndSwapUint32(m.word, 0, number) {
		return false
	}
	if atomic.LoadUint32(m.state) != 0 || m.party.left.Load() {
		atomic.CompareAndSwapUint32(m.word, number, 0)
		return false
	}
	runtime.KeepAlive(m)
	return true
}

func (m *Mutex) try(op string) error {
	died := false
	err := m.party.call(op, func(party capi.Party) (f *capi.Failure) {
		died, f = party.MutexTryLock(unsafe.Pointer(m.word))
		return f
	})
	return m.locked(op, died, err)
}

func (m *Mutex) lock(ctx context.Context, op string) error {
	died := false
	err := m.party.wait(ctx, op, func(party capi.Party, w capi.Watch) (f *capi.Failure) {
		died, f = party.MutexLockWatch(unsafe.Pointer(m.word), w)
		return f
	})
	return m.locked(op, died, err)
}

// locked is what comes after a lock that C has got: the repair.
func (m *Mutex) locked(op string, died bool, err error) error {
	if err != nil {
		return err
	}
	// Without a number every call goes to C, under the party's lock: a named one's memory goes with the party.
	if m.number.Load() == 0 && !m.party.named {
		err := m.party.call(op, func(party capi.Party) *capi.Failure {
			m.number.Store(party.MutexNumber(unsafe.Pointer(m.word)))
			return nil
		})
		if err != nil {
			return err
		}
	}
	if !died {
		return nil
	}
	repaired := false
	defer func() {
		if !repaired {
			m.Unlock()
		}
	}()
	if err := m.repair(); err != nil {
		return beyondRepair(op, "the owner of the lock has died", err)
	}
	err = m.party.call(op, func(party capi.Party) *capi.Failure { return party.MutexConsistent(unsafe.Pointer(m.word)) })
	repaired = err == nil
	return err
}

// beyondRepair is the error of a lock whose repair has failed.
func beyondRepair(op, what string, why error) error {
	const errno = syscall.ENOTRECOVERABLE
	return &Error{
		Op: op, Code: Code(-int(errno)), Errno: errno, cause: errors.Join(errno, why),
		Message: what + ", and what it guards could not be repaired: " + why.Error(),
	}
}

package shmkit

import (
	"context"
	"syscall"
	"unsafe"

	"shmkit/internal/capi"
)

// SemaphoreSize is how many bytes a Semaphore takes in its region.
const SemaphoreSize = 32

// Semaphore is a number of units that processes take and give. It lies in a region, and processes that are
// written in C and Rust use the same.
//
// A process that is killed while it waits takes no wake-up with it. A goroutine that waits holds no thread.
type Semaphore struct {
	party *Party
	at    unsafe.Pointer
	made  bool
}

// Semaphore is the semaphore at this offset of the party's region, a multiple of 8: SemaphoreSize bytes, zeros
// or a semaphore. There are so many units at first; one that is found has its own.
//
// What a process has taken stays taken when it dies. With tracked a unit belongs to the process that took it,
// which alone gives it back, and comes back when that dies; there are never more than units. Whoever finds the
// semaphore has to say the same. A tracked one takes one of the party's cells (PartyCells).
//
// Errors: EINVAL (also units below 0 or above 2147483647, and none with tracked); ENOLCK (no cell is left);
// ErrClosed.
func (p *Party) Semaphore(offset, units int, tracked bool) (*Semaphore, error) {
	const op = "Semaphore"
	flags, err := semaphoreKind(op, units, tracked)
	if err != nil {
		return nil, err
	}
	s := &Semaphore{party: p}
	s.at, err = p.make(op, offset, SemaphoreSize, func(party capi.Party, at unsafe.Pointer) (f *capi.Failure) {
		s.made, f = party.SemaphoreInit(at, uint32(units), flags)
		return f
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

const semaphoreMax = 1<<31 - 1

func semaphoreKind(op string, units int, tracked bool) (flags uint32, err error) {
	if units < 0 || int64(units) > semaphoreMax {
		return 0, refused(op, syscall.EINVAL, "%d units: 0 to %d", units, semaphoreMax)
	}
	if tracked {
		flags = capi.SemaphoreTracked
	}
	return flags, nil
}

// Created tells whether Party.Semaphore made the semaphore, rather than found it; of one by name it does not know, and says false.
func (s *Semaphore) Created() bool { return s.made }

// Acquire takes a unit, and waits for one until ctx ends.
//
// Errors: what ended ctx; ErrClosed (the party was left); ENOLCK, ENOMEM, EMFILE.
func (s *Semaphore) Acquire(ctx context.Context) error {
	return s.party.wait(ctx, "Acquire", func(party capi.Party, w capi.Watch) *capi.Failure {
		return party.SemaphoreWaitWatch(s.at, w)
	})
}

// TryAcquire takes a unit if there is one, and tells whether it did. Errors: ErrClosed; EINVAL; ENOLCK, ENOMEM.
func (s *Semaphore) TryAcquire() (bool, error) {
	err := s.party.call("TryAcquire", func(party capi.Party) *capi.Failure { return party.SemaphoreTryWait(s.at) })
	if failed, _ := err.(*Error); failed != nil && failed.Errno == syscall.EAGAIN {
		return false, nil
	}
	return err == nil, err
}

// Release gives a unit, and wakes one who waits.
//
// Errors: EOVERFLOW (there are 2147483647); EPERM (it is tracked, and this process has no unit); ErrClosed.
func (s *Semaphore) Release() error {
	return s.party.call("Release", func(party capi.Party) *capi.Failure { return party.SemaphorePost(s.at) })
}

// Value is how many units there are to be taken. It is old news as soon as it is told.
func (s *Semaphore) Value() (units int, err error) {
	err = s.party.call("Value", func(party capi.Party) (f *capi.Failure) {
		units, f = party.SemaphoreValue(s.at)
		return f
	})
	return units, err
}

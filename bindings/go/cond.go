package shmkit

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"shmkit/internal/capi"
)

// CondSize is how many bytes a Cond takes in its region.
const CondSize = 48

// Cond is where those who hold a Mutex wait until another one says that what it guards has changed. It lies in a
// region, and processes that are written in C and Rust use the same.
//
// No wake-up is lost with a process that dies, nor with a wait that its context ends. A goroutine that waits holds
// no thread.
type Cond struct {
	party *Party
	at    unsafe.Pointer
	word  *uint64
	made  bool
}

// condIdle is the word's upper half while nobody waits.
const condIdle = 'C' << 24

// Cond is the condition at this offset of the party's region, a multiple of 8: CondSize bytes, zeros or a
// condition.
//
// Errors: EINVAL (also a condition of another party), ErrClosed.
func (p *Party) Cond(offset int) (*Cond, error) {
	c := &Cond{party: p}
	var err error
	c.at, err = p.make("Cond", offset, CondSize, func(party capi.Party, at unsafe.Pointer) (f *capi.Failure) {
		c.made, f = party.CondInit(at)
		return f
	})
	if err != nil {
		return nil, err
	}
	c.word = (*uint64)(unsafe.Add(c.at, 24))
	return c, nil
}

// Created tells whether Party.Cond made the condition, rather than found it.
func (c *Cond) Created() bool { return c.made }

// Wait unlocks m, a mutex of the same party that this process has, waits until it is woken or ctx ends, and
// locks m again, which ctx does not end. It returns nil without Signal or Broadcast, too, as when a process
// joins the party, leaves it, or dies; so look again:
//
//	for !ready() {
//		if err := cond.Wait(ctx, m); err != nil {
//			return err // which unlocks m, if that was deferred
//		}
//	}
//
// Whatever Wait returns, m is locked as it was before; but not after ENOTRECOVERABLE, when nobody can lock it any
// more: then its Unlock does nothing. Where its owner has died meanwhile its repair function has run.
//
// Errors: what ended ctx (then another one who waits has the wake-up that this may have got); ENOTRECOVERABLE (so
// it is where the repair fails, whose error it matches as well). And those that end it at once: EPERM (this
// process does not have m), EINVAL (m is nil, or of another party), ErrClosed (the party was left), ENOLCK, ENOMEM,
// EMFILE.
func (c *Cond) Wait(ctx context.Context, m *Mutex) error {
	const op = "Cond.Wait"
	if m == nil || m.party != c.party {
		return refused(op, syscall.EINVAL, "the mutex is nil, or another party's")
	}
	died, unlocked := false, false
	err := c.party.waitOr(ctx, op, func(party capi.Party, w capi.Watch) (f *capi.Failure) {
		died, f = party.CondWaitWatch(c.at, unsafe.Pointer(m.word), w)
		unlocked = f != nil && f.Errno() == syscall.EAGAIN
		return f
	}, func(w *watch, failed error) error {
		if !unlocked {
			return failed
		}
		giveUp := sync.OnceFunc(w.Cancel)
		err := c.party.waitBy(context.Background(), op, w, func(party capi.Party, w capi.Watch) (f *capi.Failure) {
			giveUp() // under the party's lock: at no moment could it be left
			died, f = party.MutexLockWatch(unsafe.Pointer(m.word), w)
			return f
		})
		if err := m.locked(op, died, err); err != nil {
			return err
		}
		died = false
		return failed
	})
	if err != nil {
		return err
	}
	return m.locked(op, died, nil)
}

// Signal wakes one who waits, if anybody does, and is no call of C if nobody does. The caller need not have the
// mutex; but who changes what is waited for has to.
//
// Errors: ErrClosed.
func (c *Cond) Signal() error {
	if c.idle() {
		return nil
	}
	return c.party.call("Signal", func(party capi.Party) *capi.Failure { return party.CondSignal(c.at) })
}

// Broadcast wakes all who wait. Else it is as Signal.
func (c *Cond) Broadcast() error {
	if c.idle() {
		return nil
	}
	return c.party.call("Broadcast", func(party capi.Party) *capi.Failure { return party.CondBroadcast(c.at) })
}

// idle tells whether nobody waits; the mutex has ordered this after what one who waits has written.
func (c *Cond) idle() bool {
	idle := atomic.LoadUint64(c.word)>>32 == condIdle && !c.party.left.Load()
	runtime.KeepAlive(c)
	return idle
}

package shmkit

import (
	"context"
	"errors"
	"syscall"
	"unsafe"

	"shmkit/internal/capi"
)

// BarrierSize is how many bytes a Barrier takes in its region.
const BarrierSize = 32

// Barrier is where so many wait for each other, goroutines and threads of any processes. It lies in a region, and
// processes that are written in C and Rust use the same. When as many wait as it is for all go on, and it begins
// anew.
//
// It does not wait for the dead: when a member dies, each of the other processes is told once, by ErrPeerDied: all
// of its goroutines that wait, or the first that waits next. To end without Party.Leave is to die, also by os.Exit.
// Who leaves has not died: nobody is told, and the others wait for as many as before. A process that dies before it
// has called Party.Barrier is not noticed.
//
// A goroutine that waits holds no thread.
type Barrier struct {
	party *Party
	at    unsafe.Pointer
	made  bool
}

const barrierMax = 1<<20 - 1

// Barrier is the barrier at this offset of the party's region, a multiple of 8: BarrierSize bytes, zeros or a
// barrier. It is for count who wait, from 1 to 1048575; whoever finds it has to say the same. It takes one of the
// party's cells (PartyCells).
//
// From then on until Party.Leave this process is a member, whose death is noticed. So let each of them call this
// before anything can go wrong.
//
// Errors: EINVAL (also a barrier of another party, or for another count); ENOLCK (no cell is left); ErrClosed.
func (p *Party) Barrier(offset, count int) (*Barrier, error) {
	const op = "Barrier"
	if count < 1 || count > barrierMax {
		return nil, refused(op, syscall.EINVAL, "a barrier for %d: it takes 1 to %d", count, barrierMax)
	}
	b := &Barrier{party: p}
	var err error
	b.at, err = p.make(op, offset, BarrierSize, func(party capi.Party, at unsafe.Pointer) (f *capi.Failure) {
		b.made, f = party.BarrierInit(at, uint32(count))
		return f
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Created tells whether Party.Barrier made the barrier, rather than found it.
func (b *Barrier) Created() bool { return b.made }

// Wait waits until as many wait as the barrier is for, or ctx ends. For one of those who have met, no matter which,
// serial is true: what is to be done once is its to do, for which the others do not wait, unless all Wait again.
// Each sees what all of them had written before.
//
// Where ctx ends it is, for the others too, as if this had not waited. Where they had met just before they have
// met this as well, and Wait succeeds.
//
// Errors: ErrPeerDied (a member has died, nothing of it writes any more, and nobody has passed: repair, put
// another process in its place, and wait again); what ended ctx; ErrClosed (the party was left); ENOLCK, ENOMEM,
// EMFILE.
func (b *Barrier) Wait(ctx context.Context) (serial bool, err error) {
	const op = "Barrier.Wait"
	err = b.party.waitOr(ctx, op, func(party capi.Party, w capi.Watch) (f *capi.Failure) {
		serial, f = party.BarrierWaitWatch(b.at, w)
		return f
	}, func(w *watch, failed error) error {
		err := b.party.call(op, func(party capi.Party) *capi.Failure { return party.BarrierCancelWatch(b.at, w.Watch) })
		if errors.Is(err, syscall.ECANCELED) {
			return failed
		}
		return err // the others had met before
	})
	return serial, err
}

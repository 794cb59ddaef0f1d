package shmkit

import (
	"context"
	"sync/atomic"
	"unsafe"

	"shmkit/internal/capi"
)

// OnceSize is how many bytes a Once takes in its region.
const OnceSize = 32

// Once is something that one of many processes does, and once. It lies in a region, and processes that are
// written in C and Rust use the same. A goroutine that waits holds no thread.
type Once struct {
	party *Party
	at    unsafe.Pointer
	done  *uint32 // 1: done, for ever; nil: C looks, under the party's lock, as a named one's memory goes with that
	made  bool
}

// Once is the once at this offset of the party's region, a multiple of 8: OnceSize bytes, zeros or a once.
//
// Errors: EINVAL, ErrClosed.
func (p *Party) Once(offset int) (*Once, error) {
	o := &Once{party: p}
	var err error
	o.at, err = p.make("Once", offset, OnceSize, func(party capi.Party, at unsafe.Pointer) (f *capi.Failure) {
		o.made, f = party.OnceInit(at)
		return f
	})
	if err != nil {
		return nil, err
	}
	o.done = (*uint32)(unsafe.Add(o.at, 24))
	return o, nil
}

// Created tells whether Party.Once made the once, rather than found it; of one by name it does not know, and says false.
func (o *Once) Created() bool { return o.made }

// Do calls f, unless it is done; while another does it, Do waits until ctx ends. It is done when an f has
// returned nil. Where f fails, panics, or dies with its process, the next one who waits does it: after a death
// what the other did may be half done, so let f begin anew. In f, Do waits for itself.
//
// Errors: f's; what ended ctx; ErrClosed (the party was left); ENOLCK, ENOMEM, EMFILE.
func (o *Once) Do(ctx context.Context, f func() error) error {
	const op = "Do"
	if o.done != nil && atomic.LoadUint32(o.done) == 1 && !o.party.left.Load() {
		return nil
	}
	ours := false
	err := o.party.wait(ctx, op, func(party capi.Party, w capi.Watch) (f *capi.Failure) {
		ours, f = party.OnceBeginWatch(o.at, w)
		return f
	})
	if err != nil || !ours {
		return err
	}
	end := func(done bool) error {
		return o.party.call(op, func(party capi.Party) *capi.Failure { return party.OnceEnd(o.at, done) })
	}
	ended := false
	defer func() {
		if !ended {
			_ = end(false) // f has panicked
		}
	}()
	result := f()
	ended = true
	if err := end(result == nil); result == nil {
		return err
	}
	return result
}

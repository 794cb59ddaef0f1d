package shmkit

import (
	"context"
	"unsafe"

	"shmkit/internal/capi"
)

// EventSize is how many bytes an Event takes in its region.
const EventSize = 32

// Event is what processes wait for until one sets it. It lies in a region.
//
// A waiter that is killed takes no wake-up with it. A goroutine that waits holds no thread.
type Event struct {
	party *Party
	at    unsafe.Pointer
	made  bool
}

// Event is the event at this offset of the party's region, a multiple of 8: EventSize bytes, zeros or an
// event. It stays set until Reset; with autoReset each Set lets one pass, who resets it. Whoever finds the
// event has to say the same.
//
// Errors: EINVAL, ErrClosed.
func (p *Party) Event(offset int, autoReset bool) (*Event, error) {
	flags := uint32(0)
	if autoReset {
		flags = capi.EventAutoReset
	}
	e := &Event{party: p}
	var err error
	e.at, err = p.make("Event", offset, EventSize, func(party capi.Party, at unsafe.Pointer) (f *capi.Failure) {
		e.made, f = party.EventInit(at, flags)
		return f
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Created tells whether Party.Event made the event, rather than found it; of one by name it does not know, and says false.
func (e *Event) Created() bool { return e.made }

// Set sets the event: all who wait pass, and all who come, until it is reset; with autoReset one of them.
// Whoever passes sees what was written before. The error of this and the others but Wait is ErrClosed.
func (e *Event) Set() error {
	return e.party.call("Set", func(party capi.Party) *capi.Failure { return party.EventSet(e.at) })
}

// Reset resets the event, and tells whether it was set.
func (e *Event) Reset() (was bool, err error) {
	err = e.party.call("Reset", func(party capi.Party) (f *capi.Failure) {
		was, f = party.EventReset(e.at)
		return f
	})
	return was, err
}

// IsSet tells whether the event is set.
func (e *Event) IsSet() (set bool, err error) {
	err = e.party.call("IsSet", func(party capi.Party) (f *capi.Failure) {
		set, f = party.EventIsSet(e.at)
		return f
	})
	return set, err
}

// Wait waits until the event is set, or ctx ends. Errors: what ended ctx; ErrClosed (the party was left); EMFILE,
// ENOMEM.
func (e *Event) Wait(ctx context.Context) error {
	return e.party.wait(ctx, "Event.Wait", func(party capi.Party, w capi.Watch) *capi.Failure { return party.EventWaitWatch(e.at, w) })
}

package shmkit

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"
)

// A wait in the netpoller ends by the deadline of its connection, which all that wait there share. So
// the deadline stays in the past until every wait has ended that had to, and the others wait again.

// side is one side of a connection: who sends and who receives wait apart.
type side struct {
	conn      any
	direction direction
}

var endings = newEnds()

type ends struct {
	sync.Mutex
	changed *sync.Cond
	running map[side]int // how many waits of a side have to end now
	begun   int          // how many ever had to
}

func newEnds() *ends {
	e := &ends{running: map[side]int{}}
	e.changed = sync.NewCond(e)
	return e
}

// until calls wait, which waits on a side of a connection, and ends it when ctx ends.
func (e *ends) until(ctx context.Context, side side, setDeadline func(time.Time) error, wait func() error) error {
	begun := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		e.begin(side, setDeadline)
		close(begun)
	})
	err := e.again(ctx, side, wait)
	if !stop() {
		<-begun
		e.finish(side, setDeadline)
	}
	return err
}

// again calls wait until what ended it was no other's deadline.
func (e *ends) again(ctx context.Context, side side, wait func() error) error {
	for {
		before := e.quiet(ctx, side)
		err := wait()
		if !errors.Is(err, os.ErrDeadlineExceeded) || ctx.Err() != nil || e.quiet(ctx, side) == before {
			return err
		}
	}
}

// quiet waits until no wait of the side has to end, but that of ctx, and tells how many ever had to.
func (e *ends) quiet(ctx context.Context, side side) int {
	e.Lock()
	defer e.Unlock()
	for e.running[side] > 0 && ctx.Err() == nil {
		e.changed.Wait()
	}
	return e.begun
}

func (e *ends) begin(side side, setDeadline func(time.Time) error) {
	e.Lock()
	defer e.Unlock()
	e.begun++
	e.running[side]++
	setDeadline(time.Unix(1, 0))
	e.changed.Broadcast()
}

func (e *ends) finish(side side, setDeadline func(time.Time) error) {
	e.Lock()
	defer e.Unlock()
	if e.running[side]--; e.running[side] == 0 {
		delete(e.running, side)
		setDeadline(time.Time{})
	}
	e.changed.Broadcast()
}

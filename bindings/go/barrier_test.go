package shmkit_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"shmkit"
)

func init() {
	// So often as it is told; what it says then is how that ended.
	helpers["meet"] = func(h *helper) error {
		b, err := inherited()
		if err != nil {
			return err
		}
		count, _ := strconv.Atoi(h.args[0])
		barrier, err := b.party.Barrier(barrierAt, count)
		if err != nil {
			return err
		}
		h.say("member")
		for {
			if _, err := h.hear(); err != nil {
				return b.party.Leave()
			}
			switch serial, err := barrier.Wait(context.Background()); {
			case errors.Is(err, shmkit.ErrPeerDied):
				h.say("a peer has died")
			case err != nil:
				return err
			case serial:
				h.say("serial")
			default:
				h.say("passed")
			}
		}
	}
}

// member starts a process that is one.
func (b *board) member(t *testing.T, count int) *process {
	t.Helper()
	p := b.start(t, "meet", strconv.Itoa(count))
	p.hears("member")
	return p
}

func (b *board) barrier(t *testing.T, count int) *shmkit.Barrier {
	t.Helper()
	barrier, err := b.party.Barrier(barrierAt, count)
	ok(t, err)
	return barrier
}

// arrived waits until so many wait.
func (b *board) arrived(t *testing.T, count uint32) {
	t.Helper()
	eventually(t, "so many wait", func() bool {
		word, err := shmkit.Load[uint32](b.region, barrierAt)
		ok(t, err)
		return word&(1<<20-1) == count
	})
}

// met is what Wait has returned.
type met struct {
	serial bool
	err    error
}

func waitAt(barrier *shmkit.Barrier, ctx context.Context) chan met {
	end := make(chan met, 1)
	go func() {
		serial, err := barrier.Wait(ctx)
		end <- met{serial, err}
	}()
	return end
}

func TestBarrier(t *testing.T) {
	b := newBoard(t)
	barrier := b.barrier(t, 2)
	check(t, barrier.Created(), "found")
	other := b.member(t, 2)
	for range 100 {
		other.say("wait")
		serial, err := barrier.Wait(t.Context())
		ok(t, err)
		if serial {
			other.hears("passed")
		} else {
			other.hears("serial")
		}
	}
	other.ends()
	for _, bad := range []int{-1, 0, 3, 1 << 20, 1 << 40} {
		_, err := b.party.Barrier(barrierAt, bad)
		refused(t, err, syscall.EINVAL, "Barrier")
	}
	for _, at := range []int{-8, mutexAt, barrierAt + 4, boardSize - 24} {
		_, err := b.party.Barrier(at, 2)
		refused(t, err, syscall.EINVAL, "Barrier")
	}
}

// Goroutines of a process count each, and wait without threads.
func TestBarrierOfManyGoroutines(t *testing.T) {
	b := newBoard(t)
	const waiters = 300
	barrier := b.barrier(t, waiters+1)
	before := threads()
	for range 3 {
		ended := make(chan met, waiters)
		for range waiters {
			go func() {
				serial, err := barrier.Wait(t.Context())
				ended <- met{serial, err}
			}()
		}
		b.arrived(t, waiters)
		// Some are for the calls of C that have run at once, and one is the library's for each 127 watches.
		more := threads() - before
		check(t, more < waiters/2, "%d goroutines wait, and there are %d more threads", waiters, more)
		refused(t, b.party.Leave(), syscall.EBUSY, "Leave")
		serial, err := barrier.Wait(t.Context())
		ok(t, err)
		check(t, serial, "the last one is not the one")
		for range waiters {
			end := <-ended
			ok(t, end.err)
			check(t, !end.serial, "two are the one")
		}
	}
}

func TestBarrierOfTheDead(t *testing.T) {
	b := newBoard(t)
	barrier := b.barrier(t, 3)
	dies, other := b.member(t, 3), b.member(t, 3)
	one, another := waitAt(barrier, t.Context()), waitAt(barrier, t.Context())
	b.arrived(t, 2)
	dies.kill()
	for _, end := range []chan met{one, another} {
		got := <-end
		refused(t, got.err, shmkit.ErrPeerDied, "Wait")
	}
	// This process has heard; the other one hears when it waits.
	other.say("wait")
	other.hears("a peer has died")
	one, another = waitAt(barrier, t.Context()), waitAt(barrier, t.Context())
	b.arrived(t, 2)
	other.say("wait")
	other.hears("serial")
	ok(t, (<-one).err)
	ok(t, (<-another).err)

	// One that dies while it waits.
	other.say("wait")
	b.arrived(t, 1)
	other.kill()
	_, err := barrier.Wait(t.Context())
	refused(t, err, shmkit.ErrPeerDied, "Wait")
	b.arrived(t, 0)
}

func TestBarrierGivenUp(t *testing.T) {
	b := newBoard(t)
	barrier := b.barrier(t, 2)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := barrier.Wait(ended)
	refused(t, err, context.Canceled, "Wait")
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		end := waitAt(barrier, ctx)
		b.arrived(t, 1)
		cancel()
		refused(t, (<-end).err, context.Canceled, "Wait")
		b.arrived(t, 0)
	}
	end := waitAt(barrier, t.Context())
	b.arrived(t, 1)
	serial, err := barrier.Wait(t.Context())
	ok(t, err)
	check(t, serial, "the last one is not the one")
	ok(t, (<-end).err)
}

// Where a context ends at the moment at which all have met, all of them know the same.
func TestBarrierGivenUpInTheLastMoment(t *testing.T) {
	b := newBoard(t)
	barrier := b.barrier(t, 2)
	turns := rounds(2000)
	var ours, theirs atomic.Int64
	var group sync.WaitGroup
	group.Add(1)
	done, stop := context.WithCancel(t.Context())
	go func() {
		defer group.Done()
		for done.Err() == nil {
			if _, err := barrier.Wait(done); err == nil {
				theirs.Add(1)
			} else if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
	}()
	for turn := 0; int(ours.Load()) < turns; turn++ {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(turn%50)*time.Microsecond)
		if _, err := barrier.Wait(ctx); err == nil {
			ours.Add(1)
		} else {
			check(t, errors.Is(err, context.DeadlineExceeded), "%v", err)
		}
		cancel()
	}
	stop()
	group.Wait()
	check(t, ours.Load() == theirs.Load(), "%d times, and the other %d", ours.Load(), theirs.Load())
}

// A process that gives up by being killed, at any moment, and others that go on.
func TestBarrierUnderKills(t *testing.T) {
	b := newBoard(t)
	barrier := b.barrier(t, 2)
	for range rounds(20) {
		dies := b.member(t, 2)
		dies.say("wait")
		go dies.cmd.Process.Kill()
		within(t, "a wait for one who dies", func() {
			// It has met us before, or is told.
			for {
				_, err := barrier.Wait(t.Context())
				if err != nil {
					refused(t, err, shmkit.ErrPeerDied, "Wait")
					break
				}
			}
		})
		dies.kill()
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := barrier.Wait(ctx)
	refused(t, err, context.DeadlineExceeded, "Wait")
}

func TestBarrierAfterLeave(t *testing.T) {
	nothingLeft(t)
	region, err := shmkit.Create("board", boardSize)
	ok(t, err)
	b, err := joined(region)
	ok(t, err)
	barrier := b.barrier(t, 2)
	cond := b.cond(t)
	ok(t, b.party.Leave())
	ok(t, region.Close())
	_, err = barrier.Wait(t.Context())
	refused(t, err, shmkit.ErrClosed, "Wait")
	refused(t, cond.Wait(t.Context(), b.mutex), shmkit.ErrClosed, "Wait")
	refused(t, cond.Signal(), shmkit.ErrClosed, "Signal")
	refused(t, cond.Broadcast(), shmkit.ErrClosed, "Broadcast")
	_, err = b.party.Barrier(barrierAt, 2)
	refused(t, err, shmkit.ErrClosed, "Barrier")
	_, err = b.party.Cond(condAt)
	refused(t, err, shmkit.ErrClosed, "Cond")
}

package shmkit_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"shmkit"
)

func init() {
	// Each line puts one.
	helpers["put"] = func(h *helper) error {
		b, err := inherited()
		if err != nil {
			return err
		}
		cond, err := b.party.Cond(condAt)
		if err != nil {
			return err
		}
		h.say("ready")
		for {
			line, err := h.hear()
			if err != nil {
				return b.party.Leave()
			}
			count, _ := strconv.Atoi(line)
			for range count {
				if err := b.put(cond); err != nil {
					return err
				}
			}
		}
	}
	helpers["take"] = func(h *helper) error {
		b, err := inherited()
		if err != nil {
			return err
		}
		cond, err := b.party.Cond(condAt)
		if err != nil {
			return err
		}
		h.say("ready")
		for {
			if err := b.take(context.Background(), cond); err != nil {
				return err
			}
			h.say("taken")
		}
	}
}

func (b *board) cond(t *testing.T) *shmkit.Cond {
	t.Helper()
	cond, err := b.party.Cond(condAt)
	ok(t, err)
	return cond
}

// left is how many there are to be taken; the mutex guards them.
func (b *board) left() (count uint64, err error) { return shmkit.Load[uint64](b.region, counterAt) }

func (b *board) put(cond *shmkit.Cond) error {
	b.mutex.Lock()
	err := b.increment()
	b.mutex.Unlock()
	return errors.Join(err, cond.Signal())
}

// take waits until there is one, and takes it.
func (b *board) take(ctx context.Context, cond *shmkit.Cond) error {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	for {
		left, err := b.left()
		if err != nil {
			return err
		}
		if left > 0 {
			return shmkit.Store(b.region, counterAt, left-1)
		}
		if err := cond.Wait(ctx, b.mutex); err != nil {
			return err
		}
	}
}

// waiting waits until at least so many have begun to wait.
func (b *board) waiting(t *testing.T, count uint64) {
	t.Helper()
	eventually(t, "so many wait", func() bool {
		word, err := shmkit.Load[uint64](b.region, condAt+24)
		ok(t, err)
		return word<<8>>40 >= count
	})
}

// held tells whether the mutex is.
func (b *board) held(t *testing.T) bool {
	t.Helper()
	owner, err := b.mutex.Owner()
	ok(t, err)
	return owner != 0
}

func TestCond(t *testing.T) {
	b := newBoard(t)
	cond := b.cond(t)
	check(t, cond.Created() && !b.cond(t).Created(), "made twice")
	ok(t, cond.Signal())
	ok(t, cond.Broadcast())
	putter := b.start(t, "put")
	putter.hears("ready")
	const turns = 100
	for range turns {
		putter.say("1")
		ok(t, b.take(t.Context(), cond))
	}
	const takers = 20
	ended := make(chan error, takers)
	for range takers {
		go func() { ended <- b.take(t.Context(), cond) }()
	}
	b.waiting(t, takers)
	refused(t, b.party.Leave(), syscall.EBUSY, "Leave")
	putter.say("%d", takers)
	for range takers {
		ok(t, <-ended)
	}
	for range takers {
		go func() { ended <- b.take(t.Context(), cond) }()
	}
	b.waiting(t, takers)
	b.mutex.Lock()
	for range takers {
		ok(t, b.increment())
	}
	b.mutex.Unlock()
	ok(t, cond.Broadcast())
	for range takers {
		ok(t, <-ended)
	}
	putter.ends()
	check(t, b.count(t) == 0 && !b.held(t), "%d are left", b.count(t))
	for _, at := range []int{-8, mutexAt, condAt + 4, boardSize - 40} {
		_, err := b.party.Cond(at)
		refused(t, err, syscall.EINVAL, "Cond")
	}
}

func TestCondRefuses(t *testing.T) {
	b := newBoard(t)
	cond := b.cond(t)
	refused(t, cond.Wait(t.Context(), b.mutex), syscall.EPERM, "Wait")
	refused(t, cond.Wait(t.Context(), nil), syscall.EINVAL, "Wait")
	another, err := b.region.Join(0)
	ok(t, err)
	theirs, err := another.Mutex(mutexAt, func() error { return nil })
	ok(t, err)
	theirs.Lock()
	refused(t, cond.Wait(t.Context(), theirs), syscall.EINVAL, "Wait")
	theirs.Unlock()
	ok(t, another.Leave())
	// What refuses leaves the mutex as it was.
	b.mutex.Lock()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	refused(t, cond.Wait(ended, b.mutex), context.Canceled, "Wait")
	check(t, b.held(t), "it was let go")
	b.mutex.Unlock()
}

func TestCondGivenUp(t *testing.T) {
	b := newBoard(t)
	cond := b.cond(t)
	for turn := range 100 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(turn%20)*100*time.Microsecond)
		b.mutex.Lock()
		// Somebody may have joined.
		for {
			if err := cond.Wait(ctx, b.mutex); err != nil {
				refused(t, err, context.DeadlineExceeded, "Wait")
				break
			}
		}
		check(t, b.held(t), "it is not locked again")
		b.mutex.Unlock()
		cancel()
	}
	// The mutex comes after the context's end, as late as that may be.
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.take(ctx, cond) }()
	b.waiting(t, 1)
	b.mutex.Lock()
	cancel()
	select {
	case err := <-ended:
		t.Fatalf("it has come back without the mutex: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	b.mutex.Unlock()
	refused(t, <-ended, context.Canceled, "Wait")
}

// Contexts end at any moment, in two processes; whatever is put is taken.
func TestCondLosesNoSignal(t *testing.T) {
	b := newBoard(t)
	cond := b.cond(t)
	other := b.start(t, "take")
	other.hears("ready")
	putter := b.start(t, "put")
	putter.hears("ready")
	const takers = 8
	turns := rounds(2000)
	ctx, stop := context.WithCancel(t.Context())
	taken := make(chan bool, turns)
	var g group
	for range takers {
		g.start(func() {
			for ctx.Err() == nil {
				ctx, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(300))*time.Microsecond)
				err := b.take(ctx, cond)
				cancel()
				if err == nil {
					taken <- true
				} else if ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
	}
	theirs := make(chan bool, turns)
	heard := make(chan bool)
	go func() {
		defer close(heard)
		for {
			if line, err := other.out.ReadString('\n'); err != nil || line != "taken\n" {
				return
			}
			theirs <- true
		}
	}()
	for range turns / 10 {
		putter.say("10")
		within(t, "all are taken", func() {
			for range 10 {
				select {
				case <-taken:
				case <-theirs:
				}
			}
		})
	}
	stop()
	g.Wait()
	putter.ends()
	other.cmd.Process.Kill()
	<-heard
	other.kill()
}

func TestCondOfADeadOwner(t *testing.T) {
	b := newBoard(t)
	cond := b.cond(t)
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { ended <- b.take(ctx, cond) }()
	b.waiting(t, 1)
	owner := b.start(t, "lock and wait")
	owner.hears("locked")
	owner.kill()
	// The dead one's mutex comes to whoever waits, repaired.
	eventually(t, "it has looked", func() bool {
		b.waiting(t, 1)
		b.mutex.Lock()
		defer b.mutex.Unlock()
		return b.repairs == 1
	})
	ok(t, b.put(cond))
	ok(t, <-ended)

	why := errors.New("no idea")
	broken, err := b.party.Mutex(mutexAt, func() error { return why })
	ok(t, err)
	broken.Lock()
	go func() {
		var err error
		for err == nil {
			err = cond.Wait(ctx, broken)
		}
		ended <- err
	}()
	b.waiting(t, 1)
	owner = b.start(t, "lock and wait")
	owner.hears("locked")
	cancel()
	owner.kill()
	err = <-ended
	refused(t, err, syscall.ENOTRECOVERABLE, "Wait", "no idea")
	check(t, errors.Is(err, why), "%v", err)
	check(t, !b.held(t), "it is locked")
}

// A process that is killed takes no signal with it.
func TestCondUnderKills(t *testing.T) {
	b := newBoard(t)
	cond := b.cond(t)
	for range rounds(20) {
		dies := b.start(t, "take")
		dies.hears("ready")
		ended := make(chan error, 1)
		go func() { ended <- b.take(t.Context(), cond) }()
		b.waiting(t, 1)
		go dies.cmd.Process.Kill()
		ok(t, b.put(cond))
		within(t, "a signal that another may have got", func() {
			for {
				select {
				case err := <-ended:
					ok(t, err)
					return
				default:
				}
				// The other one has had it before it died.
				if left, err := b.left(); err != nil || left == 0 {
					ok(t, errors.Join(err, b.put(cond)))
				}
				runtime.Gosched()
			}
		})
		dies.kill()
		b.mutex.Lock()
		ok(t, shmkit.Store(b.region, counterAt, uint64(0)))
		b.mutex.Unlock()
	}
}

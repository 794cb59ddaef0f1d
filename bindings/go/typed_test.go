package shmkit_test

import (
	"errors"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"shmkit"
)

// counters is what two processes count in.
type counters struct {
	ready  atomic.Uint32
	_      [60]byte
	count  atomic.Int64
	bits   atomic.Uint32
	seen   atomic.Bool
	matrix [2][3]float64
	nested struct{ a, b int16 }
}

func init() {
	helpers["counter"] = func(h *helper) error {
		r, err := shmkit.OpenPOSIX(h.args[0], shmkit.SizeMin(int(unsafe.Sizeof(counters{}))))
		if err != nil {
			return err
		}
		rounds, err := strconv.Atoi(h.args[1])
		if err != nil {
			return err
		}
		err = shmkit.View(r, 0, func(c *counters) error {
			c.ready.Add(1)
			for c.ready.Load() < 2 {
			}
			for range rounds {
				c.count.Add(1)
				c.bits.Or(2)
			}
			c.matrix[1][2] = math.Pi
			c.nested.b = -7
			c.seen.Store(true)
			return nil
		})
		return errors.Join(err, r.Close())
	}
}

func TestAtomicsOfTwoProcesses(t *testing.T) {
	name := newName(t)
	r := opened(t)(shmkit.CreatePOSIX(name, int(unsafe.Sizeof(counters{}))))
	const rounds = 100000
	p := start(t, "counter", nil, name, strconv.Itoa(rounds))
	ok(t, shmkit.View(r, 0, func(c *counters) error {
		c.ready.Add(1)
		for c.ready.Load() < 2 {
			time.Sleep(time.Microsecond)
		}
		for range rounds {
			c.count.Add(1)
			c.bits.Or(1)
		}
		return nil
	}))
	p.ends()
	ok(t, shmkit.View(r, 0, func(c *counters) error {
		equal(t, c.count.Load(), 2*rounds)
		equal(t, c.bits.Load(), 3)
		equal(t, c.matrix[1][2], math.Pi)
		equal(t, c.nested.b, -7)
		check(t, c.seen.Load(), "it was not stored")
		return nil
	}))
}

func TestBoundsOfViews(t *testing.T) {
	forEveryKind(t, func(t *testing.T, m maker) {
		r := opened(t)(m.create(t, 100))
		view := func(offset int) error { return shmkit.View(r, offset, func(*uint64) error { return nil }) }
		slice := func(offset, count int) error {
			return shmkit.Slice(r, offset, count, func(v []uint64) error {
				if len(v) != count || cap(v) != count {
					return errors.New("another length")
				}
				return nil
			})
		}
		for _, offset := range []int{0, 8, 88} {
			ok(t, view(offset))
		}
		for _, offset := range []int{1, 4, 89, 93, 101, math.MaxInt} {
			refused(t, view(offset), syscall.EINVAL, "View", "uint64")
		}
		for _, offset := range []int{96, 104, math.MaxInt &^ 7} {
			refused(t, view(offset), syscall.ERANGE, "View", "100")
		}
		for _, offset := range []int{-1, -8, math.MinInt} {
			refused(t, view(offset), syscall.EINVAL, "View")
		}
		for _, at := range [][2]int{{0, 12}, {0, 0}, {88, 1}, {96, 0}, {8, 11}} {
			ok(t, slice(at[0], at[1]))
		}
		for _, at := range [][2]int{{0, 13}, {96, 1}, {104, 0}, {8, 12}, {0, math.MaxInt}, {8, math.MaxInt/8 + 1}, {0, 1 << 61}, {math.MaxInt &^ 7, 0}, {math.MaxInt &^ 7, math.MaxInt}} {
			refused(t, slice(at[0], at[1]), syscall.ERANGE, "Slice")
		}
		for _, at := range [][2]int{{0, -1}, {-8, 1}, {-8, 0}, {0, math.MinInt}, {math.MinInt, math.MinInt}, {1, 1}, {4, 0}} {
			refused(t, slice(at[0], at[1]), syscall.EINVAL, "Slice")
		}
		// To the last byte.
		ok(t, shmkit.View(r, 0, func(v *[100]byte) error { v[99] = 'z'; return nil }))
		equal(t, read(t, r, 99, 1), "z")
		refused(t, shmkit.View(r, 1, func(*[100]byte) error { return nil }), syscall.ERANGE)
		ok(t, shmkit.View(r, 98, func(v *uint16) error { return nil }))
		ok(t, shmkit.Slice(r, 99, 1, func(v []int8) error { equal(t, v[0], 'z'); return nil }))
	})
}

func TestTypesThatAreRefused(t *testing.T) {
	r := opened(t)(shmkit.Create("types", page))
	type named string
	refuse(t, r, new(string), "string")
	refuse(t, r, new(named), "string")
	refuse(t, r, new(*int), "ptr")
	refuse(t, r, new(unsafe.Pointer), "unsafe.Pointer")
	refuse(t, r, new([]byte), "slice")
	refuse(t, r, new(map[int]int), "map")
	refuse(t, r, new(func()), "func")
	refuse(t, r, new(chan int), "chan")
	refuse(t, r, new(any), "interface")
	refuse(t, r, new(error), "interface")
	refuse(t, r, new(bool), "bool")
	refuse(t, r, new([3]bool), "bool")
	refuse(t, r, new(struct {
		a struct{ b [2]struct{ c string } }
	}), "string")
	refuse(t, r, new(struct {
		a int
		_ bool
	}), "bool")
	refuse(t, r, new(struct {
		_ [0]func()
		a int
	}), "func")
	refuse(t, r, new(atomic.Pointer[int]), "")
	refuse(t, r, new(atomic.Value), "interface")
	refuse(t, r, new(time.Time), "ptr")
	refuse(t, r, new(struct{}), "size")
	refuse(t, r, new([0]int), "size")
	refuse(t, r, new([1 << 20]struct{}), "size")

	accept[int](t, r)
	accept[uintptr](t, r)
	accept[complex128](t, r)
	accept[[4][4]float32](t, r)
	accept[atomic.Bool](t, r)
	accept[atomic.Uintptr](t, r)
	accept[syscall.Stat_t](t, r)
	accept[struct {
		a struct{}
		b time.Duration
	}](t, r)
}

func refuse[T any](t *testing.T, r *shmkit.Region, _ *T, word string) {
	t.Helper()
	called := func(*T) error { return errors.New("called") }
	refused(t, shmkit.View(r, 0, called), syscall.EINVAL, "View", word)
	refused(t, shmkit.Slice(r, 0, 0, func([]T) error { return errors.New("called") }), syscall.EINVAL, "Slice", word)
}

func accept[T any](t *testing.T, r *shmkit.Region) {
	t.Helper()
	ok(t, shmkit.View(r, 0, func(v *T) error { return nil }))
	ok(t, shmkit.Slice(r, 0, 2, func(v []T) error { return nil }))
}

// Types are looked at once, by whoever comes first.
func TestTypesBesideEachOther(t *testing.T) {
	type good struct{ a atomic.Uint32 }
	type bad struct{ a *int }
	r := opened(t)(shmkit.Create("types", page))
	var users sync.WaitGroup
	for range 50 {
		users.Add(1)
		go func() {
			defer users.Done()
			if err := shmkit.View(r, 0, func(v *good) error { v.a.Add(1); return nil }); err != nil {
				t.Error(err)
			}
			if err := shmkit.View(r, 0, func(v *bad) error { v.a = nil; return nil }); !errors.Is(err, syscall.EINVAL) {
				t.Error(err)
			}
		}()
	}
	users.Wait()
}

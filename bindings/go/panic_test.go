package shmkit_test

import (
	"errors"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"shmkit"
)

// lenders are all that lend memory to a callback.
var lenders = map[string]func(r *shmkit.Region, use func()) error{
	"Bytes": func(r *shmkit.Region, use func()) error { return r.Bytes(func([]byte) error { use(); return nil }) },
	"Pointer": func(r *shmkit.Region, use func()) error {
		return r.Pointer(func(unsafe.Pointer) error { use(); return nil })
	},
	"View": func(r *shmkit.Region, use func()) error {
		return shmkit.View(r, 0, func(*int64) error { use(); return nil })
	},
	"Slice": func(r *shmkit.Region, use func()) error {
		return shmkit.Slice(r, 0, 1, func([]int64) error { use(); return nil })
	},
}

func TestPanicsGoThrough(t *testing.T) {
	forEveryKind(t, func(t *testing.T, m maker) {
		r, err := m.create(t, 100)
		ok(t, err)
		for _, lend := range lenders {
			for _, value := range []any{errOfTheCallback, "text", 7, &struct{ a int }{1}} {
				equal(t, panicOf(func() { lend(r, func() { panic(value) }) }), value)
			}
			_, is := panicOf(func() { lend(r, func() { panic(nil) }) }).(*runtime.PanicNilError)
			check(t, is, "panic(nil) is another one")

			var none *int
			value := panicOf(func() { lend(r, func() { *none = 1 }) })
			fault, is := value.(runtime.Error)
			check(t, is && strings.Contains(fault.Error(), "nil pointer dereference"), "%v", value)
			_, is = panicOf(func() { lend(r, func() { _ = make([]int, 1)[len(m.name)] }) }).(runtime.Error)
			check(t, is, "an index out of range is another panic")

			ended := make(chan struct{})
			go func() {
				defer close(ended)
				lend(r, runtime.Goexit)
				t.Error("Goexit returns")
			}()
			<-ended
			check(t, !debug.SetPanicOnFault(false), "faults stay panics")
		}
		write(t, r, 0, "usable")
		// Nothing is left that Close would wait for.
		within(t, "Close after panics", func() { ok(t, r.Close()) })
	})
}

// A fault elsewhere is the program's own, and no error of the region.
func TestFaultsElsewhere(t *testing.T) {
	r := opened(t)(shmkit.Create("here", 100))
	elsewhere, err := syscall.Mmap(-1, 0, page, syscall.PROT_NONE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	ok(t, err)
	defer syscall.Munmap(elsewhere)
	value := panicOf(func() { r.Bytes(func([]byte) error { elsewhere[0] = 1; return nil }) })
	fault, is := value.(interface{ Addr() uintptr })
	check(t, is && fault.Addr() == uintptr(unsafe.Pointer(&elsewhere[0])), "%v", value)
	// What the caller had set is as it was.
	for _, before := range []bool{true, false} {
		debug.SetPanicOnFault(before)
		ok(t, r.Bytes(func([]byte) error { return nil }))
		_, err := r.ReadAt(make([]byte, 200), 0)
		check(t, err != nil, "beyond the end")
		equal(t, debug.SetPanicOnFault(false), before)
	}
}

// Callbacks of two regions, one in the other: each answers for its own memory.
func TestNestedCallbacks(t *testing.T) {
	outer, outerFile := truncated(t)
	inner, innerFile := truncated(t)
	afterInner := false
	refused(t, outer.Bytes(func(o []byte) error {
		err := inner.Bytes(func([]byte) error { o[page] = 1; return nil })
		afterInner = true
		return err
	}), shmkit.ErrShrunk, "Bytes")
	check(t, !afterInner, "the outer's fault ended in the inner's callback")
	ok(t, outer.Bytes(func(o []byte) error {
		refused(t, inner.Bytes(func(i []byte) error { i[page] = 1; return nil }), shmkit.ErrShrunk)
		_, err := outer.ReadAt(make([]byte, 1), int64(page))
		refused(t, err, shmkit.ErrShrunk)
		o[0] = 1
		return nil
	}))
	// The same region twice.
	equal(t, outer.Bytes(func([]byte) error {
		refused(t, outer.Bytes(func(again []byte) error { again[2*page] = 1; return nil }), shmkit.ErrShrunk)
		return errOfTheCallback
	}), errOfTheCallback)
	ok(t, outerFile.Truncate(int64(3*page)))
	ok(t, innerFile.Truncate(int64(3*page)))
	write(t, outer, int64(page), "both")
	write(t, inner, int64(page), "both")
}

// A copy from or to what another region has lent, and that is gone: the other's error, and this region is
// left as it was.
func TestCopiesOfLentMemoryThatIsGone(t *testing.T) {
	lender, _ := truncated(t)
	queue := ipcQueue(t)
	ok(t, queue.TrySend(1, []byte("stays")))
	for _, m := range makers {
		r, err := m.create(t, page)
		ok(t, err)
		for name, copying := range map[string]func(gone []byte) error{
			"WriteAt": func(gone []byte) error { _, err := r.WriteAt(gone[:64], 0); return err },
			"ReadAt":  func(gone []byte) error { _, err := r.ReadAt(gone[:64], 0); return err },
			"TrySend": func(gone []byte) error { return queue.TrySend(2, gone[:64]) },
			"Peek":    func(gone []byte) error { _, _, err := queue.Peek(0, false, gone); return err },
		} {
			err := lender.Bytes(func(b []byte) error { return copying(b[page:]) })
			if !errors.Is(err, shmkit.ErrShrunk) {
				t.Errorf("%s, %s: %v", m.name, name, err)
			}
		}
		write(t, r, 0, "usable")
		ok(t, r.Protect(0, page, shmkit.ReadWrite))
		within(t, "Close of "+m.name, func() { ok(t, r.Close()) })
	}
}

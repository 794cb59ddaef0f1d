package shmkit_test

import (
	"os"
	"os/signal"
	"syscall"
	"testing"
	"unsafe"

	"shmkit"
)

func init() {
	// pointer does what must be alone in its process: it installs the handler of SIGBUS.
	helpers["pointer"] = func(h *helper) error {
		t := &inHelper{}
		t.run(func() {
			if h.args[0] == "notified before" {
				signal.Notify(make(chan os.Signal, 100))
			}
			usePointer(t)
			if h.args[0] == "notified after" {
				signal.Notify(make(chan os.Signal, 100))
				usePointer(t)
			}
			if h.args[0] == "reset" {
				signal.Notify(make(chan os.Signal, 100))
				signal.Reset()
				usePointer(t)
				signal.Ignore(syscall.SIGBUS)
				usePointer(t)
			}
		})
		return t.failed
	}
}

func init() {
	// unguarded takes the handler of SIGBUS away, as a C library can, that installs its own later.
	helpers["unguarded"] = func(h *helper) error {
		t := &inHelper{}
		t.run(func() {
			usePointer(t)
			var none [4]uintptr // SIG_DFL
			_, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(syscall.SIGBUS), uintptr(unsafe.Pointer(&none)), 0, 8, 0, 0)
			check(t, errno == 0, "rt_sigaction: %v", errno)
			r, err := shmkit.CreatePOSIX(h.args[0], page)
			ok(t, err)
			ok(t, r.Unlink())
			refused(t, r.Pointer(func(unsafe.Pointer) error { panic("called") }), shmkit.ErrUnguarded, "Pointer")
			write(t, r, 0, "usable")
			ok(t, r.Close())
		})
		return t.failed
	}
}

func TestPointerWithoutItsHandler(t *testing.T) { start(t, "unguarded", nil, newName(t)).ends() }

func TestPointer(t *testing.T) {
	for _, mode := range []string{"alone", "notified before", "notified after", "reset"} {
		t.Run(mode, func(t *testing.T) { start(t, "pointer", nil, mode).ends() })
	}
}

func usePointer(t testing.TB) {
	file, err := os.CreateTemp("", testPrefix)
	ok(t, err)
	defer os.Remove(file.Name())
	defer file.Close()
	ok(t, file.Truncate(int64(3*page)))
	r, err := shmkit.FromFile(file)
	ok(t, err)
	defer r.Close()
	ok(t, r.Pointer(func(data unsafe.Pointer) error {
		*(*byte)(data) = 'p'
		return nil
	}))
	equal(t, read(t, r, 0, 1), "p")
	ok(t, file.Truncate(int64(page)))
	reads := func(offset int, want byte) {
		t.Helper()
		refused(t, r.Pointer(func(data unsafe.Pointer) error {
			equal(t, *(*byte)(unsafe.Add(data, offset)), want)
			*(*byte)(unsafe.Add(data, offset)) = 'l' // is lost
			return nil
		}), shmkit.ErrShrunk, "Pointer")
	}
	reads(page, 0)
	reads(2*page+7, 0)
	// While a page is replaced, others see its zeros too, and only Pointer tells.
	refused(t, r.Pointer(func(data unsafe.Pointer) error {
		_ = *(*byte)(unsafe.Add(data, page))
		equal(t, read(t, r, int64(page), 1), "\x00")
		return nil
	}), shmkit.ErrShrunk, "Pointer")
	// A callback's own failure comes first, and a panic is not held up.
	equal(t, r.Pointer(func(data unsafe.Pointer) error {
		_ = *(*byte)(unsafe.Add(data, page))
		return errOfTheCallback
	}), errOfTheCallback)
	equal(t, panicOf(func() {
		r.Pointer(func(data unsafe.Pointer) error { _ = *(*byte)(unsafe.Add(data, page)); panic("through") })
	}), any("through"))
	// Outside, faults are Go's as before.
	_, err = r.ReadAt(make([]byte, 1), int64(page))
	refused(t, err, shmkit.ErrShrunk, "ReadAt")
	refused(t, r.Bytes(func(b []byte) error { b[page] = 1; return nil }), shmkit.ErrShrunk, "Bytes")
	ok(t, file.Truncate(int64(3*page)))
	ok(t, r.Pointer(func(data unsafe.Pointer) error {
		equal(t, *(*byte)(unsafe.Add(data, page)), 0)
		return nil
	}))
	refused(t, r.Protect(0, page, shmkit.Read), syscall.EINVAL, "Protect")
	write(t, r, 0, "and on")

	// Another file's fault in the callback is no matter of the region's.
	var none *int
	value := panicOf(func() { r.Pointer(func(unsafe.Pointer) error { *none = 1; return nil }) })
	_, is := value.(error)
	check(t, is, "%v", value)

	protected, err := shmkit.FromFile(file)
	ok(t, err)
	defer protected.Close()
	ok(t, protected.Protect(0, page, shmkit.Read))
	refused(t, protected.Pointer(func(unsafe.Pointer) error { return nil }), syscall.EINVAL, "Pointer")
}

func TestPointerOfMemoryThatCannotShrink(t *testing.T) {
	for _, m := range makers {
		if m.shrink {
			continue
		}
		r := opened(t)(m.create(t, 100))
		ok(t, r.Pointer(func(data unsafe.Pointer) error {
			copy(unsafe.Slice((*byte)(data), 100), "by pointer")
			return nil
		}))
		equal(t, read(t, r, 0, 10), "by pointer")
		equal(t, r.Pointer(func(unsafe.Pointer) error { return errOfTheCallback }), errOfTheCallback)
	}
	r := opened(t)(shmkit.Create("frozen later", page))
	ok(t, r.Pointer(func(unsafe.Pointer) error { return nil }))
	ok(t, r.Protect(0, page, shmkit.ReadWrite))
	ok(t, r.Pointer(func(unsafe.Pointer) error { return nil }))
	ok(t, r.Freeze())
}

//go:build shmkit_debug

package shmkit

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"unsafe"
)

// With the tag shmkit_debug, for a program's tests: every call begins with a garbage collection, so that
// what is kept alive too short is found; a callback gets a mapping of its own of the region, which goes to
// no access when it ends, so that whoever keeps a view dies where he uses it ("unexpected fault address");
// and Close in a callback panics. All are slow, and each callback of a shared region costs addresses for
// good.

func forceGC() { runtime.GC() }

// borrowers are the goroutines in callbacks, and the regions of these.
var borrowers sync.Map

type borrower struct {
	goroutine string
	region    *Region
}

func borrowerOf(r *Region) borrower {
	var stack [64]byte // "goroutine 7 [running]:"
	name, _, _ := strings.Cut(string(stack[:runtime.Stack(stack[:], false)]), "[")
	return borrower{name, r}
}

func notInCallback(r *Region) {
	if _, within := borrowers.Load(borrowerOf(r)); within {
		panic("shmkit_debug: Close of " + r.String() + " in a callback of it waits for itself")
	}
}

// inCallback notes that this goroutine is in a callback, until it is called back.
func inCallback(r *Region) (leave func()) {
	who := borrowerOf(r)
	if _, nested := borrowers.LoadOrStore(who, nil); nested {
		return func() {}
	}
	return func() { borrowers.Delete(who) }
}

// borrow makes the mapping of a callback.
func borrow(r *Region, reach int64) (data unsafe.Pointer, back func()) {
	leave := inCallback(r)
	data, unmap := mapAgain(r, reach)
	return data, func() {
		unmap()
		leave()
	}
}

// mapAgain maps a region once more. Private memory has no second mapping, and one of memory whose
// rights were changed would have others: there views are not caught. Freeze finds it in its way, EBUSY.
func mapAgain(r *Region, reach int64) (data unsafe.Pointer, unmap func()) {
	lent := func() {}
	r.further().changing.Lock()
	defer r.further().changing.Unlock()
	length := uintptr(reach+int64(r.PageSize())-1) &^ uintptr(r.PageSize()-1)
	if length == 0 || r.private || r.state.has(protected) || r.PageSize() != syscall.Getpagesize() {
		return r.data, lent
	}
	const mayMove, fixed, fixedMap = 1, 2, 0x10
	const nothing = syscall.MAP_PRIVATE | syscall.MAP_ANONYMOUS | syscall.MAP_NORESERVE
	reserved, errno := call(syscall.SYS_MMAP, 0, length, syscall.PROT_NONE, nothing, ^uintptr(0), 0)
	// A mirror is two mappings, and mremap duplicates one.
	parts := uintptr(1)
	if r.mirror {
		parts = 2
	}
	for part := uintptr(0); part < parts && errno == 0; part++ {
		at := part * length / parts
		_, errno = call(syscall.SYS_MREMAP, uintptr(r.data)+at, 0, length/parts, mayMove|fixed, reserved+at, 0)
		if errno == syscall.EINVAL { // it is frozen, and so has become private
			call(syscall.SYS_MUNMAP, reserved, length, 0, 0, 0, 0)
			return r.data, lent
		}
	}
	if errno != 0 {
		panic(fmt.Sprintf("shmkit_debug: no mapping for a callback: %v", errno))
	}
	return pointer(reserved), func() {
		if _, errno := call(syscall.SYS_MMAP, reserved, length, syscall.PROT_NONE, nothing|fixedMap, ^uintptr(0), 0); errno != 0 {
			panic(fmt.Sprintf("shmkit_debug: the mapping of a callback stays: %v", errno))
		}
	}
}

func call(number, a, b, c, d, e, f uintptr) (uintptr, syscall.Errno) {
	result, _, errno := syscall.Syscall6(number, a, b, c, d, e, f)
	return result, errno
}

// pointer is an address that the kernel gave, of which Go knows nothing.
func pointer(address uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&address)) }

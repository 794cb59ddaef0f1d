//go:build shmkit_debug

package shmkit

import (
	"fmt"
	"runtime"
	"syscall"
	"unsafe"
)

// With the tag shmkit_debug, for a program's tests: every call begins with a garbage collection, so that
// what is kept alive too short is found; and a callback gets a mapping of its own of the region, which
// goes to no access when it ends, so that whoever keeps a view dies where he uses it ("unexpected fault
// address"). Both are slow, and each callback of a shared region costs addresses for good.

func forceGC() { runtime.GC() }

// borrow makes the mapping of a callback. Private memory has no second mapping: there views are not
// caught.
func borrow(r *Region) (data unsafe.Pointer, back func()) {
	length := uintptr(r.reach.Load()+int64(r.pageSize)-1) &^ uintptr(r.pageSize-1)
	if length == 0 || r.private || r.pageSize != syscall.Getpagesize() {
		return r.data, func() {}
	}
	// A mirror is two mappings, and mremap duplicates one.
	parts := uintptr(1)
	if r.mirror {
		parts = 2
	}
	reserved := call("mmap", syscall.SYS_MMAP, 0, length, syscall.PROT_NONE, syscall.MAP_PRIVATE|syscall.MAP_ANONYMOUS|syscall.MAP_NORESERVE, ^uintptr(0), 0)
	for part := range parts {
		const mayMove, fixed = 1, 2
		at := part * length / parts
		call("mremap", syscall.SYS_MREMAP, uintptr(r.data)+at, 0, length/parts, mayMove|fixed, reserved+at, 0)
	}
	return pointer(reserved), func() {
		const fixed = 0x10
		call("mmap", syscall.SYS_MMAP, reserved, length, syscall.PROT_NONE, syscall.MAP_PRIVATE|syscall.MAP_ANONYMOUS|syscall.MAP_NORESERVE|fixed, ^uintptr(0), 0)
	}
}

func call(name string, number, a, b, c, d, e, f uintptr) uintptr {
	result, _, errno := syscall.Syscall6(number, a, b, c, d, e, f)
	if errno != 0 {
		panic(fmt.Sprintf("shmkit_debug: %s: %v", name, errno))
	}
	return result
}

// pointer is an address that the kernel gave, of which Go knows nothing.
func pointer(address uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&address)) }

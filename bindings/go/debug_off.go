//go:build !shmkit_debug

package shmkit

import "unsafe"

// forceGC is for tests: see debug_on.go.
func forceGC() {}

// borrow is the memory that a callback gets, and how to take it back.
func borrow(r *Region, reach int64) (data unsafe.Pointer, back func()) { return r.data, func() {} }

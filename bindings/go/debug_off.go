//go:build !shmkit_debug

package shmkit

import "unsafe"

// What these do with the tag shmkit_debug, debug_on.go says.

func forceGC() {}

// borrow is the memory that a callback gets, and how to take it back.
func borrow(r *Region, reach int64) (data unsafe.Pointer, back func()) { return r.data, func() {} }

func inCallback(*Region) (leave func()) { return func() {} }

func notInCallback(*Region) {}

package shmkit_test

import (
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"shmkit"
)

// descriptorsOf counts the descriptors of memfds with this name.
func descriptorsOf(name string) (count int) {
	for _, fd := range openFDs() {
		if strings.Contains(fd, "memfd:"+name) {
			count++
		}
	}
	return count
}

func mappingsOf(name string) (count int) {
	for _, line := range sharedMaps() {
		if strings.Contains(line, "memfd:"+name) {
			count++
		}
	}
	return count
}

//go:noinline
func forgotten(t *testing.T, name string, count int) {
	for range count {
		r, err := shmkit.Create(name, page)
		ok(t, err)
		write(t, r, 0, "x")
	}
}

//go:noinline
func forgottenButItsBytes(t *testing.T, name string) []byte {
	r, err := shmkit.Create(name, page)
	ok(t, err)
	b, err := r.UnsafeBytes()
	ok(t, err)
	copy(b, "kept")
	return b
}

func TestUnreachableRegionsAreClosed(t *testing.T) {
	unchanged(t, func() {
		forgotten(t, "forgotten", 10)
		eventually(t, "the end of regions that nobody can reach", func() bool {
			runtime.GC()
			return descriptorsOf("forgotten") == 0 && mappingsOf("forgotten") == 0
		})
	})
}

// While a callback or a copy runs, the region is in use, whoever has forgotten it.
func TestRegionsInUseAreNotClosed(t *testing.T) {
	create := func() *shmkit.Region {
		r, err := shmkit.Create("used", page)
		ok(t, err)
		return r
	}
	for range 5 {
		ok(t, create().Bytes(func(b []byte) error {
			for range 3 {
				runtime.GC()
			}
			b[0] = 1
			return nil
		}))
	}
	eventually(t, "the end of regions that were used", func() bool {
		runtime.GC()
		return descriptorsOf("used") == 0
	})
}

func TestUnsafeBytesKeepTheRegion(t *testing.T) {
	b := forgottenButItsBytes(t, "kept")
	forgotten(t, "forgotten", 1)
	eventually(t, "the end of the region that nobody can reach", func() bool {
		runtime.GC()
		return descriptorsOf("forgotten") == 0
	})
	equal(t, descriptorsOf("kept"), 1)
	equal(t, string(b[:4]), "kept")
	// Nobody can close it any more: the test does so by other means.
	for _, fd := range openFDs() {
		if number, target, _ := strings.Cut(fd, " "); strings.Contains(target, "memfd:kept") {
			ok(t, syscall.Close(must(strconv.Atoi(number))))
		}
	}
	ok(t, munmap(b))
}

func munmap(b []byte) error {
	_, _, errno := syscall.Syscall(syscall.SYS_MUNMAP, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

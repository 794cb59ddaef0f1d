//go:build shmkit_debug

package shmkit_test

import (
	"errors"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"

	"shmkit"
)

// keepers keep a view beyond its callback, and use it.
var keepers = map[string]func(r *shmkit.Region) (use func(), err error){
	"Bytes": func(r *shmkit.Region) (func(), error) {
		var kept []byte
		err := r.Bytes(func(b []byte) error { b[0] = 1; kept = b; return nil })
		return func() { kept[len(kept)-1]++ }, err
	},
	"View": func(r *shmkit.Region) (func(), error) {
		var kept *atomic.Int64
		err := shmkit.View(r, 8, func(v *atomic.Int64) error { v.Add(1); kept = v; return nil })
		return func() { kept.Add(1) }, err
	},
	"Slice": func(r *shmkit.Region) (func(), error) {
		var kept []uint32
		err := shmkit.Slice(r, 0, 4, func(v []uint32) error { v[3] = 1; kept = v; return nil })
		return func() { kept[3]++ }, err
	},
}

func TestKeptViewsAreCaught(t *testing.T) {
	kept := func(t *testing.T, r *shmkit.Region) {
		for name, keep := range keepers {
			use, err := keep(r)
			ok(t, err)
			before := debug.SetPanicOnFault(true)
			value := panicOf(use)
			debug.SetPanicOnFault(before)
			fault, is := value.(interface{ Addr() uintptr })
			check(t, is && fault.Addr() != 0, "%s: %v", name, value)
		}
		// Without harm to the region.
		write(t, r, 0, "usable")
		equal(t, read(t, r, 0, 6), "usable")
	}
	forEveryKind(t, func(t *testing.T, m maker) {
		kept(t, opened(t)(m.create(t, 100)))
		kept(t, opened(t)(m.create(t, 3*page)))
		if m.fd {
			kept(t, opened(t)(m.create(t, 2*page, shmkit.Mirror)))
			growing := opened(t)(m.create(t, 100, shmkit.GrowableTo(10*page)))
			kept(t, growing)
			ok(t, growing.Grow(5*page))
			kept(t, growing)
		}
	})
	one, other := pair(t)
	ok(t, shmkit.SendRegion(soon(t), one, opened(t)(shmkit.Create("kept", page))))
	kept(t, opened(t)(shmkit.RecvRegion(soon(t), other)))
}

func init() {
	helpers["keeper"] = func(h *helper) error {
		r, err := shmkit.Create("kept", page)
		if err != nil {
			return err
		}
		use, err := keepers[h.args[0]](r)
		if err != nil {
			return err
		}
		h.say("kept")
		use()
		return errors.New("nobody has noticed")
	}
}

func TestKeptViewsEndTheProcess(t *testing.T) {
	for name := range keepers {
		p := start(t, "keeper", nil, name)
		p.hears("kept")
		err := p.wait()
		check(t, err != nil && strings.Contains(p.errors.String(), "unexpected fault address"), "%v\n%s", err, p.errors)
	}
}

// In a callback the memory is the region's, as without the tag.
func TestBorrowedMemoryIsTheRegions(t *testing.T) {
	forEveryKind(t, func(t *testing.T, m maker) {
		r := opened(t)(m.create(t, 3*page))
		ok(t, r.Bytes(func(b []byte) error {
			b[2*page] = 'b'
			equal(t, read(t, r, int64(2*page), 1), "b")
			write(t, r, int64(page), "w")
			equal(t, b[page], 'w')
			return r.Bytes(func(again []byte) error {
				check(t, unsafe.SliceData(b) != unsafe.SliceData(again), "the same mapping")
				equal(t, again[page], 'w')
				return nil
			})
		}))
		reader := opened(t)(m.create(t, page, shmkit.ReadOnly))
		refused(t, reader.Bytes(func(b []byte) error { b[0] = 1; return nil }), syscall.EACCES)
		if m.kind != shmkit.SysV {
			private := opened(t)(m.create(t, page, shmkit.Private))
			ok(t, private.Bytes(func(b []byte) error { b[0] = 'p'; return nil }))
			equal(t, read(t, private, 0, 1), "p")
		}
	})
	info := func(r *shmkit.Region) int { return must(shmkit.StatSysV(must(r.SysVID()))).Attached }
	segment := opened(t)(shmkit.CreateSysV(0, page, shmkit.AutoRemove))
	for range 3 {
		ok(t, segment.Bytes(func([]byte) error { return nil }))
	}
	equal(t, info(segment), 1)
}

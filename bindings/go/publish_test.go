package shmkit_test

import (
	"errors"
	"sync/atomic"
	"syscall"
	"testing"

	"shmkit"
)

func TestPublishing(t *testing.T) {
	r := opened(t)(shmkit.Create("published", page))
	// A program that Go starts is no child that inherits the memory.
	start(t, "peer-none", nil).ends()
	ok(t, r.PublishReadOnly())
	ok(t, r.PublishReadOnly())
	write(t, r, 0, "still written")
	seals := must(r.Seals())
	check(t, seals&shmkit.SealFutureWrite != 0 && seals&shmkit.SealSeal != 0, "%#x", seals)
	refused(t, r.Freeze(), syscall.EPERM, "Freeze")
	// Nobody opens it again for writing.
	file := must(r.File())
	defer file.Close()
	_, err := file.WriteAt([]byte("x"), 0)
	check(t, errors.Is(err, syscall.EPERM), "%v", err)

	for name, expose := range map[string]func(r *shmkit.Region){
		"File": func(r *shmkit.Region) { must(r.File()).Close() },
		"sent": func(r *shmkit.Region) {
			one, _ := pair(t)
			ok(t, shmkit.SendRegion(soon(t), one, r))
		},
	} {
		exposed := opened(t)(shmkit.Create("exposed", page))
		expose(exposed)
		err := exposed.PublishReadOnly()
		if err == nil {
			t.Errorf("%s: it is published", name)
			continue
		}
		refused(t, err, syscall.EBUSY, "PublishReadOnly")
	}
	for _, m := range makers {
		if m.kind != shmkit.Memfd {
			refused(t, opened(t)(m.create(t, page)).PublishReadOnly(), syscall.EOPNOTSUPP)
			refused(t, opened(t)(m.create(t, page)).Freeze(), syscall.EOPNOTSUPP)
		}
	}
}

func init() {
	helpers["peer-none"] = func(*helper) error { return nil }
}

func TestFreezing(t *testing.T) {
	r := opened(t)(shmkit.Create("frozen", 2*page))
	write(t, r, 0, "for good")
	ok(t, r.Freeze())
	ok(t, r.Freeze())
	equal(t, read(t, r, 0, 8), "for good")
	_, err := r.WriteAt([]byte("x"), 0)
	refused(t, err, syscall.EACCES, "WriteAt")
	refused(t, r.Bytes(func(b []byte) error { b[page] = 1; return nil }), syscall.EACCES, "Bytes", "4096")
	one, other := pair(t)
	ok(t, shmkit.SendRegion(soon(t), one, r))
	got := opened(t)(shmkit.RecvRegion(soon(t), other))
	equal(t, read(t, got, 0, 8), "for good")
	_, err = got.WriteAt([]byte("x"), 0)
	refused(t, err, syscall.EACCES)
	file := must(r.File())
	defer file.Close()
	same, err := shmkit.FromFile(file)
	refusedRegion(t, same, err, syscall.EPERM, "FromFile")

	// Where somebody has it for writing, it stays as it is.
	shared := opened(t)(shmkit.Create("shared", page))
	ok(t, shmkit.SendRegion(soon(t), one, shared))
	theirs := opened(t)(shmkit.RecvRegion(soon(t), other))
	refused(t, shared.Freeze(), syscall.EBUSY, "Freeze")
	write(t, shared, 0, "writable")
	ok(t, theirs.Close())
	ok(t, shared.Freeze())
}

// Goroutines write while another freezes: a success or EACCES, and nothing is written afterwards.
func TestFreezingBesideWriters(t *testing.T) {
	for range rounds(20) {
		r, err := shmkit.Create("frozen", 4*page)
		ok(t, err)
		var writers group
		var running atomic.Int32
		for i := range 4 {
			writers.start(func() {
				p := make([]byte, 4*page)
				for {
					running.Add(1)
					var err error
					if i%2 == 0 {
						_, err = r.WriteAt(p, 0)
					} else {
						err = r.Bytes(func(b []byte) error { clear(b); return nil })
					}
					if err != nil {
						refusedInGoroutine(t, err, syscall.EACCES)
						return
					}
				}
			})
		}
		eventually(t, "writers", func() bool { return running.Load() > 20 })
		// A debug build lends mappings of their own: others, to the kernel.
		for err = r.Freeze(); errors.Is(err, syscall.EBUSY) && debugBuild; {
			err = r.Freeze()
		}
		ok(t, err)
		within(t, "writers of a frozen region", writers.Wait)
		ok(t, r.Close())
	}
}

func refusedInGoroutine(t testing.TB, err, want error) {
	if !errors.Is(err, want) {
		t.Errorf("%v, and not %v", err, want)
	}
}

func TestMirror(t *testing.T) {
	for _, m := range makers {
		if !m.fd {
			r, err := m.create(t, page, shmkit.Mirror)
			refusedRegion(t, r, err, syscall.EINVAL, "MIRROR")
			continue
		}
		unchanged(t, func() {
			r, err := m.create(t, 2*page, shmkit.Mirror)
			ok(t, err)
			equal(t, r.Size(), 2*page)
			equal(t, r.SizeMax(), 2*page)
			write(t, r, int64(2*page-3), "around the end")
			equal(t, read(t, r, 0, 11), "und the end"[:11])
			equal(t, read(t, r, int64(2*page), 11), "und the end"[:11])
			ok(t, r.Bytes(func(b []byte) error {
				if len(b) != 4*page || cap(b) != 4*page {
					return errors.New("a mirror of another length")
				}
				b[3*page] = 'm'
				if b[page] != 'm' {
					return errors.New("no mirror")
				}
				return nil
			}))
			ok(t, shmkit.View(r, 2*page-8, func(v *[2]uint64) error { v[1] = 7; return nil }))
			ok(t, shmkit.View(r, 0, func(v *uint64) error { equal(t, *v, 7); return nil }))
			_, err = r.WriteAt([]byte("xx"), int64(4*page-1))
			refused(t, err, syscall.ERANGE)
			ok(t, r.Check(page, 3*page))
			refused(t, r.Check(page, 3*page+1), syscall.ERANGE, "twice")
			if m.shrink {
				file := must(r.File())
				ok(t, file.Truncate(int64(page)))
				_, err := r.ReadAt(make([]byte, 1), int64(3*page))
				refused(t, err, shmkit.ErrShrunk)
				refused(t, r.Bytes(func(b []byte) error { b[page]++; return nil }), shmkit.ErrShrunk)
				file.Close()
			}
			ok(t, r.Close())
			equal(t, r.Size(), 2*page)
		})
	}
	r, err := shmkit.Create("mirror", page+1, shmkit.Mirror)
	refusedRegion(t, r, err, syscall.EINVAL)
	r, err = shmkit.Create("mirror", page, shmkit.Mirror, shmkit.GrowableTo(2*page))
	refusedRegion(t, r, err, syscall.EINVAL)
	one, other := pair(t)
	plain := opened(t)(shmkit.Create("mirror", page))
	ok(t, shmkit.SendRegion(soon(t), one, plain))
	mirrored := opened(t)(shmkit.RecvRegion(soon(t), other, shmkit.Mirror))
	write(t, mirrored, int64(page), "x")
	equal(t, read(t, plain, 0, 1), "x")
}

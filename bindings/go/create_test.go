package shmkit_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"shmkit"
)

// maker makes a region of a kind, with a name of its own.
type maker struct {
	name   string
	kind   shmkit.Kind
	shrink bool // whether others can take the memory away
	fd     bool // whether there is a descriptor
	create func(t testing.TB, size int, options ...shmkit.Option) (*shmkit.Region, error)
}

var makers = []maker{
	{"memfd", shmkit.Memfd, false, true, func(_ testing.TB, size int, options ...shmkit.Option) (*shmkit.Region, error) {
		return shmkit.Create(testPrefix, size, options...)
	}},
	{"anonymous", shmkit.Anonymous, false, false, func(_ testing.TB, size int, options ...shmkit.Option) (*shmkit.Region, error) {
		return shmkit.CreateAnonymous(size, options...)
	}},
	{"file", shmkit.File, true, true, func(t testing.TB, size int, options ...shmkit.Option) (*shmkit.Region, error) {
		return shmkit.CreateFile(newPath(t), size, options...)
	}},
	{"POSIX", shmkit.POSIX, true, true, func(t testing.TB, size int, options ...shmkit.Option) (*shmkit.Region, error) {
		return shmkit.CreatePOSIX(newName(t), size, options...)
	}},
	{"SystemV", shmkit.SysV, false, false, func(_ testing.TB, size int, options ...shmkit.Option) (*shmkit.Region, error) {
		return shmkit.CreateSysV(shmkit.SysVPrivate, size, append(options, shmkit.AutoRemove)...)
	}},
	{"SystemVAt", shmkit.SysV, false, false, func(t testing.TB, size int, options ...shmkit.Option) (*shmkit.Region, error) {
		path := newPath(t)
		ok(t, os.WriteFile(path, nil, 0o600))
		return shmkit.CreateSysVAt(path, 1, size, append(options, shmkit.AutoRemove)...)
	}},
	{"descriptor", shmkit.Descriptor, true, true, func(t testing.TB, size int, options ...shmkit.Option) (*shmkit.Region, error) {
		file, err := os.Create(newPath(t))
		ok(t, err)
		defer file.Close()
		ok(t, file.Truncate(int64(size)))
		return shmkit.FromFile(file, options...)
	}},
}

// forEveryKind runs a test for each maker.
func forEveryKind(t *testing.T, test func(t *testing.T, m maker)) {
	for _, m := range makers {
		t.Run(m.name, func(t *testing.T) { test(t, m) })
	}
}

func TestEveryKindHasItsSizeAndZeros(t *testing.T) {
	forEveryKind(t, func(t *testing.T, m maker) {
		for _, size := range []int{1, 100, page - 1, page, page + 1, 3*page + 17} {
			unchanged(t, func() {
				r, err := m.create(t, size)
				ok(t, err)
				equal(t, r.Size(), size)
				equal(t, r.SizeMax(), size)
				equal(t, r.PageSize(), page)
				equal(t, r.Kind(), m.kind)
				equal(t, r.CanShrink(), m.shrink)
				allZero(t, r)
				write(t, r, int64(size-1), "x")
				equal(t, read(t, r, int64(size-1), 1), "x")
				ok(t, r.Bytes(func(b []byte) error {
					if len(b) != size || cap(b) != size || b[size-1] != 'x' {
						return fmt.Errorf("%d bytes of %d, %q at the end", len(b), cap(b), b[size-1])
					}
					return nil
				}))
				ok(t, r.Close())
			})
		}
	})
}

func TestWhoMadeIt(t *testing.T) {
	forEveryKind(t, func(t *testing.T, m maker) {
		equal(t, opened(t)(m.create(t, 1)).Created(), m.kind != shmkit.Descriptor)
	})
}

func TestNamesAndStrings(t *testing.T) {
	path, name := newPath(t), newName(t)
	for _, row := range []struct {
		name, says string
	}{
		{"frames", "memfd frames, 100 bytes"},
		{"", "memfd, 100 bytes"},
	} {
		r := opened(t)(shmkit.Create(row.name, 100))
		equal(t, r.Name(), row.name)
		equal(t, r.String(), row.says)
		equal(t, fmt.Sprint(r), row.says)
	}
	equal(t, opened(t)(shmkit.CreateFile(path, 5)).String(), "file "+path+", 5 bytes")
	equal(t, opened(t)(shmkit.OpenFile(path)).Name(), path)
	equal(t, opened(t)(shmkit.CreatePOSIX("//"+name, 5)).Name(), "//"+name)
	equal(t, opened(t)(shmkit.OpenPOSIX(name)).String(), "POSIX object "+name+", 5 bytes")
	equal(t, opened(t)(shmkit.CreateAnonymous(7)).String(), "anonymous memory, 7 bytes")
	equal(t, opened(t)(shmkit.CreateSysV(0, 7, shmkit.AutoRemove)).String(), "System V segment, 7 bytes")
	equal(t, shmkit.Descriptor.String(), "descriptor")
	strange := opened(t)(shmkit.Create("\x1b[2J\n", 1, shmkit.ReadOnly))
	equal(t, strange.String(), `memfd "\x1b[2J\n", 1 bytes`)
	_, err := strange.WriteAt([]byte("x"), 0)
	refused(t, err, syscall.EACCES)
	equal(t, shmkit.Kind(77).String(), "Kind(77)")
	var none *shmkit.Region
	equal(t, none.String(), "no region")
}

func TestReadOnlyAndPrivate(t *testing.T) {
	forEveryKind(t, func(t *testing.T, m maker) {
		r := opened(t)(m.create(t, page, shmkit.ReadOnly))
		n, err := r.WriteAt([]byte("x"), 0)
		equal(t, n, 0)
		refused(t, err, syscall.EACCES, "WriteAt", m.kind.String())
		refused(t, r.Bytes(func(b []byte) error { b[7] = 1; return nil }), syscall.EACCES, "Bytes", "7")
		check(t, errors.Is(err, os.ErrPermission), "%v is no os.ErrPermission", err)
		allZero(t, r)

		r, err = m.create(t, page, shmkit.Private)
		if m.kind == shmkit.SysV {
			refusedRegion(t, r, err, syscall.EINVAL, "PRIVATE")
			return
		}
		ok(t, err)
		write(t, r, 0, "private")
		equal(t, read(t, r, 0, 7), "private")
		if m.fd {
			file, err := r.File()
			ok(t, err)
			defer file.Close()
			same := opened(t)(shmkit.FromFile(file))
			allZero(t, same)
		}
		ok(t, r.Close())
	})
}

func TestOptionsThatManyTake(t *testing.T) {
	forEveryKind(t, func(t *testing.T, m maker) {
		for _, option := range []shmkit.Option{shmkit.Populate, shmkit.Locked, shmkit.NoFork, shmkit.NoDump} {
			unchanged(t, func() {
				r, err := m.create(t, 100, option)
				ok(t, err)
				write(t, r, 0, "there")
				equal(t, read(t, r, 0, 5), "there")
				ok(t, r.Close())
			})
		}
	})
}

func TestFlagsOfAMapping(t *testing.T) {
	for _, row := range []struct {
		option shmkit.Option
		flag   string // as /proc/self/smaps has it
	}{{shmkit.Locked, "lo"}, {shmkit.NoFork, "dc"}, {shmkit.NoDump, "dd"}} {
		r := opened(t)(shmkit.CreatePOSIX(newName(t), page, row.option))
		flags := vmFlags(t, r)
		check(t, slices.Contains(flags, row.flag), "%v of %v lack %q", flags, r, row.flag)
		ok(t, r.Close())
	}
}

// vmFlags are the flags of the region's mapping.
func vmFlags(t *testing.T, r *shmkit.Region) []string {
	t.Helper()
	return strings.Fields(smaps(t, r)["VmFlags"])
}

// smaps are the kernel's figures of a region's mapping.
func smaps(t *testing.T, r *shmkit.Region) map[string]string {
	t.Helper()
	figures := make(map[string]string)
	found := false
	head := fmt.Sprintf("%x-", address(t, r))
	for _, line := range lines("/proc/self/smaps") {
		found = found || strings.HasPrefix(line, head)
		if name, figure, is := strings.Cut(line, ":"); is && found {
			figures[name] = figure
			if name == "VmFlags" {
				return figures
			}
		}
	}
	t.Fatalf("no mapping of %v", r)
	return nil
}

// address is where a region begins.
func address(t testing.TB, r *shmkit.Region) uintptr {
	t.Helper()
	b, err := r.UnsafeBytes()
	ok(t, err)
	return uintptr(unsafe.Pointer(&b[0]))
}

func TestSealsOfANewRegion(t *testing.T) {
	for _, row := range []struct {
		options []shmkit.Option
		want    shmkit.Seal
	}{
		{nil, shmkit.SealShrink | shmkit.SealGrow | shmkit.SealExec},
		{[]shmkit.Option{shmkit.GrowableTo(1 << 20)}, shmkit.SealShrink | shmkit.SealExec},
		{[]shmkit.Option{shmkit.Sealed(0)}, 0},
		{[]shmkit.Option{shmkit.Sealed(shmkit.SealGrow)}, shmkit.SealGrow},
		{[]shmkit.Option{shmkit.Sealed(shmkit.SealShrink | shmkit.SealSeal)}, shmkit.SealShrink | shmkit.SealSeal},
	} {
		r := opened(t)(shmkit.Create("seals", page, row.options...))
		seals, err := r.Seals()
		ok(t, err)
		equal(t, seals, row.want)
		equal(t, r.CanShrink(), row.want&shmkit.SealShrink == 0)
	}
	for _, m := range makers {
		r := opened(t)(m.create(t, page))
		seals, err := r.Seals()
		switch {
		case m.kind == shmkit.POSIX:
			ok(t, err)
			equal(t, seals, shmkit.SealSeal)
			refused(t, r.Seal(shmkit.SealShrink), syscall.EPERM)
		case !m.fd:
			refused(t, err, syscall.EOPNOTSUPP)
			refused(t, r.Seal(shmkit.SealShrink), syscall.EOPNOTSUPP)
			check(t, errors.Is(err, errors.ErrUnsupported), "%v is no errors.ErrUnsupported", err)
		}
	}
}

func TestSealing(t *testing.T) {
	r := opened(t)(shmkit.Create("seals", page, shmkit.Sealed(0)))
	check(t, r.CanShrink(), "unsealed, and cannot shrink")
	refused(t, r.Seal(shmkit.SealShrink|shmkit.SealWrite), syscall.EBUSY)
	seals, err := r.Seals()
	ok(t, err)
	equal(t, seals, 0)
	ok(t, r.Seal(shmkit.SealShrink))
	check(t, !r.CanShrink(), "sealed, and can shrink")
	write(t, r, 0, "still")
	equal(t, read(t, r, 0, 5), "still")
	ok(t, r.Seal(shmkit.SealSeal))
	refused(t, r.Seal(shmkit.SealGrow), syscall.EPERM)
	for _, unknown := range []shmkit.Seal{1 << 6, 1 << 30, 1 << 31} {
		refused(t, r.Seal(unknown), syscall.EINVAL, "seal")
		bad, err := shmkit.Create("seals", page, shmkit.Sealed(unknown))
		refusedRegion(t, bad, err, syscall.EINVAL, "seal")
	}
}

// Sealing an object that was truncated before must not make plain copies of what can fault.
func TestSealingWhatHasShrunk(t *testing.T) {
	r := opened(t)(shmkit.Create("seals", 2*page, shmkit.Sealed(0)))
	file, err := r.File()
	ok(t, err)
	defer file.Close()
	ok(t, file.Truncate(100))
	ok(t, r.Seal(shmkit.SealShrink|shmkit.SealGrow))
	_, err = r.ReadAt(make([]byte, 2*page), 0)
	refused(t, err, shmkit.ErrShrunk)
	_, err = r.WriteAt([]byte("x"), int64(page))
	refused(t, err, shmkit.ErrShrunk)
	past := opened(t)(shmkit.FromFile(file, shmkit.Size(3*page), shmkit.PastEnd))
	_, err = past.ReadAt(make([]byte, 10), int64(2*page))
	refused(t, err, shmkit.ErrShrunk)
}

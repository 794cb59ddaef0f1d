package shmkit_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"shmkit"
)

func TestFileCreationIsExclusive(t *testing.T) {
	path := newPath(t)
	first := opened(t)(shmkit.CreateFile(path, 10))
	write(t, first, 0, "first")
	r, err := shmkit.CreateFile(path, 10)
	refusedRegion(t, r, err, syscall.EEXIST, "CreateFile", filepath.Base(path))
	check(t, errors.Is(err, fs.ErrExist), "%v is no fs.ErrExist", err)

	found := opened(t)(shmkit.CreateFile(path, 5, shmkit.OrOpen))
	check(t, !found.Created(), "it was there")
	equal(t, found.Size(), 5)
	equal(t, read(t, found, 0, 5), "first")
	r, err = shmkit.CreateFile(path, 11, shmkit.OrOpen)
	refusedRegion(t, r, err, syscall.EINVAL, "11", "10")

	old := inode(t, path)
	second := opened(t)(shmkit.CreateFile(path, 20, shmkit.Replace))
	check(t, second.Created(), "it was made")
	check(t, inode(t, path) != old, "the same file")
	equal(t, read(t, first, 0, 5), "first")
	refused(t, first.Unlink(), syscall.ESTALE, filepath.Base(path))
	ok(t, second.Unlink())
	refused(t, second.Unlink(), syscall.ENOENT, filepath.Base(path))
	made := opened(t)(shmkit.CreateFile(path, 5, shmkit.OrOpen))
	check(t, made.Created(), "it was made")
}

func TestFileKeepsItsBytes(t *testing.T) {
	path := newPath(t)
	r := opened(t)(shmkit.CreateFile(path, 10000))
	write(t, r, 9995, "hello")
	ok(t, r.Flush(0, 10000))
	ok(t, r.FlushAsync(9000, 1000))
	ok(t, r.Close())
	content, err := os.ReadFile(path)
	ok(t, err)
	equal(t, len(content), 10000)
	equal(t, string(content[9995:]), "hello")
	equal(t, read(t, opened(t)(shmkit.OpenFile(path)), 9995, 5), "hello")
}

func TestFileParts(t *testing.T) {
	path := newPath(t)
	content := make([]byte, 3*page)
	content[page], content[2*page] = 1, 2
	ok(t, os.WriteFile(path, content, 0o600))
	r := opened(t)(shmkit.OpenFile(path, shmkit.Offset(int64(page)), shmkit.Size(100)))
	equal(t, r.Size(), 100)
	equal(t, read(t, r, 0, 1), "\x01")
	r = opened(t)(shmkit.OpenFile(path, shmkit.Offset(int64(2*page)), shmkit.SizeMin(page)))
	equal(t, r.Size(), page)
	equal(t, read(t, r, 0, 1), "\x02")
	for _, bad := range []struct {
		want    error
		word    string
		options []shmkit.Option
	}{
		{syscall.EINVAL, "offset", []shmkit.Option{shmkit.Offset(1)}},
		{syscall.EINVAL, "offset", []shmkit.Option{shmkit.Offset(-4096)}},
		{syscall.EINVAL, "", []shmkit.Option{shmkit.Offset(int64(3 * page))}},
		{syscall.EINVAL, "", []shmkit.Option{shmkit.Offset(1 << 62)}},
		{syscall.EINVAL, "", []shmkit.Option{shmkit.Size(3*page + 1)}},
		{syscall.EINVAL, "size", []shmkit.Option{shmkit.Size(0)}},
		{syscall.EINVAL, "size", []shmkit.Option{shmkit.Size(-1)}},
		{syscall.EINVAL, "size", []shmkit.Option{shmkit.SizeMin(-1)}},
		{syscall.EINVAL, "12289", []shmkit.Option{shmkit.SizeMin(3*page + 1)}},
		{syscall.EINVAL, "", []shmkit.Option{shmkit.SizeMax(3 * page)}},
		{syscall.EOVERFLOW, "", []shmkit.Option{shmkit.Offset(1<<63 - 4096), shmkit.Size(4097), shmkit.PastEnd}},
	} {
		unchanged(t, func() {
			r, err := shmkit.OpenFile(path, bad.options...)
			refusedRegion(t, r, err, bad.want, "OpenFile", bad.word)
		})
	}
	past := opened(t)(shmkit.OpenFile(path, shmkit.Size(5*page), shmkit.PastEnd))
	equal(t, past.Size(), 5*page)
	equal(t, read(t, past, int64(page), 1), "\x01")
	_, err := past.ReadAt(make([]byte, 1), int64(3*page))
	refused(t, err, shmkit.ErrShrunk, "ReadAt", "12288")
}

func TestModesAndUmask(t *testing.T) {
	mode := func(path string) fs.FileMode {
		info, err := os.Stat(path)
		ok(t, err)
		return info.Mode().Perm()
	}
	withUmask(0o027, func() {
		for _, row := range []struct {
			options []shmkit.Option
			want    fs.FileMode
		}{
			{nil, 0o600},
			{[]shmkit.Option{shmkit.Mode(0o666)}, 0o640},
			{[]shmkit.Option{shmkit.Mode(0o640), shmkit.Mode(0o777)}, 0o750},
			{[]shmkit.Option{shmkit.Mode(0o400)}, 0o400},
		} {
			path, name := newPath(t), newName(t)
			opened(t)(shmkit.CreateFile(path, 1, row.options...))
			equal(t, mode(path), row.want)
			opened(t)(shmkit.CreatePOSIX(name, 1, row.options...))
			equal(t, mode("/dev/shm/"+name), row.want)
		}
		// The umask is no matter of these.
		r := opened(t)(shmkit.CreateSysV(0, 1, shmkit.AutoRemove, shmkit.Mode(0o666)))
		id, err := r.SysVID()
		ok(t, err)
		info, err := shmkit.StatSysV(id)
		ok(t, err)
		equal(t, info.Mode, 0o666)
		memory := opened(t)(shmkit.Create("mode", 1, shmkit.Mode(0o666)))
		file, err := memory.File()
		ok(t, err)
		defer file.Close()
		stat, err := file.Stat()
		ok(t, err)
		equal(t, stat.Mode().Perm(), 0o666)
	})
	for _, bad := range []fs.FileMode{0, 0o1000, fs.ModeSetuid | 0o600, fs.ModeDir | 0o700, 1 << 31} {
		r, err := shmkit.Create("mode", 1, shmkit.Mode(bad))
		refusedRegion(t, r, err, syscall.EINVAL, "mode")
	}
}

func TestFilesThatAreNone(t *testing.T) {
	directory, fifo, empty, link := t.TempDir(), newPath(t), newPath(t), newPath(t)
	ok(t, syscall.Mkfifo(fifo, 0o600))
	ok(t, os.WriteFile(empty, nil, 0o600))
	ok(t, os.Symlink(link, link))
	for _, row := range []struct {
		path string
		want []error
	}{
		{"", []error{syscall.ENOENT}},
		{directory + "/none", []error{syscall.ENOENT, fs.ErrNotExist}},
		{empty + "/x", []error{syscall.ENOTDIR}},
		{link, []error{syscall.ELOOP}},
		{empty, []error{syscall.EINVAL}},
		{directory, []error{syscall.ENODEV, syscall.EISDIR}},
		{"/dev/zero", []error{syscall.ENODEV}},
		{"/dev/null", []error{syscall.ENODEV}},
		{"with\x00NUL", []error{syscall.EINVAL}},
	} {
		unchanged(t, func() {
			r, err := shmkit.OpenFile(row.path)
			check(t, r == nil && err != nil, "%q is a region", row.path)
			sound(t, err)
			is := false
			for _, want := range row.want {
				is = is || errors.Is(err, want)
			}
			check(t, is, "%q: %v", row.path, err)
		})
	}
	// A pipe that nobody writes must not be waited for.
	within(t, "opening a FIFO", func() {
		r, err := shmkit.OpenFile(fifo, shmkit.ReadOnly)
		if r != nil || !(errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.ENXIO)) {
			t.Errorf("%v, %v", r, err)
		}
	})
}

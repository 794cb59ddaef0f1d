package shmkit_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"

	"shmkit"
)

func TestReaderAt(t *testing.T) {
	forEveryKind(t, func(t *testing.T, m maker) {
		r := opened(t)(m.create(t, 5000))
		content := make([]byte, 5000)
		for i := range content {
			content[i] = byte(i * 7)
		}
		n, err := r.WriteAt(content, 0)
		ok(t, err)
		equal(t, n, 5000)
		some := rounds(5000)
		ok(t, iotest.TestReader(io.NewSectionReader(r, 0, int64(some)), content[:some]))
		rest, err := io.ReadAll(io.NewSectionReader(r, 100, 10000))
		ok(t, err)
		check(t, bytes.Equal(rest, content[100:]), "other bytes")

		for _, row := range []struct {
			off  int64
			size int
			n    int
			want error
		}{
			{0, 5000, 5000, nil}, {4999, 1, 1, nil}, {4999, 2, 1, io.EOF}, {0, 5001, 5000, io.EOF}, {5000, 1, 0, io.EOF},
			{5001, 1, 0, io.EOF}, {math.MaxInt64, 1, 0, io.EOF}, {math.MaxInt64, 5000, 0, io.EOF}, {1, 1 << 20, 4999, io.EOF},
			{0, 0, 0, nil}, {5000, 0, 0, nil}, {6000, 0, 0, nil}, {math.MaxInt64, 0, 0, nil},
		} {
			p := make([]byte, row.size)
			n, err := r.ReadAt(p, row.off)
			equal(t, n, row.n)
			equal(t, err, row.want)
			check(t, n == 0 || bytes.Equal(p[:n], content[row.off:int(row.off)+n]), "other bytes")
		}
		for _, off := range []int64{-1, math.MinInt64, -5000} {
			for _, p := range [][]byte{nil, make([]byte, 1), make([]byte, 10000)} {
				n, err := r.ReadAt(p, off)
				equal(t, n, 0)
				refused(t, err, syscall.EINVAL, "ReadAt", "offset")
				n, err = r.WriteAt(p, off)
				equal(t, n, 0)
				refused(t, err, syscall.EINVAL, "WriteAt", "offset")
			}
		}
		for _, row := range []struct {
			off  int64
			size int
		}{{5000, 1}, {4999, 2}, {0, 5001}, {math.MaxInt64, 1}, {5001, 0}, {math.MaxInt64, 0}, {math.MaxInt64 - 1, 5000}} {
			n, err := r.WriteAt(make([]byte, row.size), row.off)
			equal(t, n, 0)
			refused(t, err, syscall.ERANGE, "WriteAt", "5000")
		}
		n, err = r.WriteAt(nil, 5000)
		ok(t, err)
		equal(t, n, 0)
		n, err = io.NewOffsetWriter(r, 4000).Write(content[:1000])
		ok(t, err)
		equal(t, n, 1000)
		equal(t, read(t, r, 4000, 1000), string(content[:1000]))
	})
}

func TestResultOfTheCallback(t *testing.T) {
	r := opened(t)(shmkit.Create("callback", 16))
	equal(t, r.Bytes(func([]byte) error { return errOfTheCallback }), errOfTheCallback)
	equal(t, shmkit.View(r, 0, func(*int64) error { return errOfTheCallback }), errOfTheCallback)
	equal(t, shmkit.Slice(r, 0, 2, func([]int64) error { return io.EOF }), io.EOF)
	ok(t, r.Bytes(func([]byte) error { return nil }))
}

// What the compiler must not leave out.
var (
	text  string
	some  []byte
	index int
	same  bool
)

// truncated is a region of three pages whose file has one, and the file.
func truncated(t testing.TB, options ...shmkit.Option) (*shmkit.Region, *os.File) {
	t.Helper()
	file, err := os.Create(newPath(t))
	ok(t, err)
	t.Cleanup(func() { file.Close() })
	ok(t, file.Truncate(int64(3*page)))
	r := opened(t)(shmkit.FromFile(file, options...))
	write(t, r, 0, "first")
	ok(t, file.Truncate(int64(page)))
	return r, file
}

func TestTruncated(t *testing.T) {
	for _, options := range [][]shmkit.Option{nil, {shmkit.Private}} {
		r, file := truncated(t, options...)
		equal(t, read(t, r, 0, 5), "first")
		for name, touch := range map[string]func() error{
			"ReadAt":  func() error { _, err := r.ReadAt(make([]byte, 10), int64(page)); return err },
			"WriteAt": func() error { _, err := r.WriteAt(make([]byte, 10), int64(2*page)); return err },
			"whole":   func() error { n, err := r.ReadAt(make([]byte, 3*page), 0); equal(t, n, page); return err },
			"past":    func() error { n, err := r.ReadAt(make([]byte, 4*page), 1); equal(t, n, page-1); return err },
			"write": func() error {
				n, err := r.WriteAt(bytes.Repeat([]byte("w"), 2*page), int64(page-7))
				equal(t, n, 7)
				equal(t, read(t, r, int64(page-7), 7), "wwwwwww")
				return err
			},
			"Bytes": func() error {
				return r.Bytes(func(b []byte) error { b[2*page+1]++; return nil })
			},
			"string": func() error { return r.Bytes(func(b []byte) error { text = string(b); return nil }) },
			"clone":  func() error { return r.Bytes(func(b []byte) error { some = bytes.Clone(b); return nil }) },
			"compare": func() error {
				return r.Bytes(func(b []byte) error { same = bytes.Equal(b[page:], make([]byte, 2*page)); return nil })
			},
			"index":  func() error { return r.Bytes(func(b []byte) error { index = bytes.IndexByte(b, 77); return nil }) },
			"hash":   func() error { return r.Bytes(func(b []byte) error { sha256.Sum256(b); return nil }) },
			"clear":  func() error { return r.Bytes(func(b []byte) error { clear(b); return nil }) },
			"append": func() error { return r.Bytes(func(b []byte) error { some = append(b, 1); return nil }) },
			"View": func() error {
				return shmkit.View(r, page, func(v *atomic.Int64) error { v.Add(1); return nil })
			},
			"Slice": func() error {
				return shmkit.Slice(r, 0, 3*page/8, func(v []uint64) error {
					for i := range v {
						v[i] = 1
					}
					return nil
				})
			},
			"Check":    func() error { return r.Check(page, 1) },
			"Prefault": func() error { return r.Prefault(0, 3*page) },
		} {
			if err := touch(); err == nil {
				t.Errorf("%s succeeds", name)
			} else {
				refused(t, err, shmkit.ErrShrunk)
			}
		}
		ok(t, file.Truncate(int64(3*page)))
		equal(t, read(t, r, int64(page), 1), "\x00")
		write(t, r, int64(2*page), "again")
		ok(t, r.Check(0, 3*page))
	}
}

// Deferred calls of the callback run, and the system calls' own errors are theirs.
func TestWhatAFaultLeaves(t *testing.T) {
	r, _ := truncated(t)
	ran := false
	refused(t, r.Bytes(func(b []byte) error {
		defer func() { ran = true }()
		b[page] = 1
		return nil
	}), shmkit.ErrShrunk, "Bytes", "4096")
	check(t, ran, "a deferred call did not run")
	ok(t, r.Bytes(func(b []byte) error {
		file, err := os.Create(newPath(t))
		ok(t, err)
		defer file.Close()
		_, err = file.Write(b[page : 2*page])
		check(t, errors.Is(err, syscall.EFAULT), "%v", err)
		return nil
	}))
}

// Another goroutine truncates the file again and again: a success or ErrShrunk, and never death.
func TestTruncatedAllTheTime(t *testing.T) {
	file, err := os.Create(newPath(t))
	ok(t, err)
	defer file.Close()
	ok(t, file.Truncate(int64(16*page)))
	r := opened(t)(shmkit.FromFile(file))
	var there, shrunk atomic.Int64
	count := func(err error) {
		switch {
		case err == nil:
			there.Add(1)
		case errors.Is(err, shmkit.ErrShrunk):
			shrunk.Add(1)
		default:
			t.Error(err)
		}
	}
	var stop atomic.Bool
	var truncater, users group
	truncater.start(func() {
		for !stop.Load() {
			for _, size := range []int{0, 16 * page, 5 * page, 16 * page} {
				file.Truncate(int64(size))
				// Let each size be seen.
				for seen := there.Load() + shrunk.Load(); there.Load()+shrunk.Load() < seen+3 && !stop.Load(); {
					runtime.Gosched()
				}
			}
		}
	})
	for _, use := range []func(p []byte) error{
		func(p []byte) error { _, err := r.ReadAt(p, 100); return err },
		func(p []byte) error { _, err := r.WriteAt(p, 5); return err },
		func(p []byte) error { return r.Bytes(func(b []byte) error { copy(p, b[8*page:]); return nil }) },
		func(p []byte) error { return r.Bytes(func(b []byte) error { clear(b); return nil }) },
		func([]byte) error {
			return shmkit.View(r, 8*page, func(v *atomic.Uint64) error {
				if !raceBuild { // there C does it, whose faults Go cannot turn into panics
					v.Add(1)
				}
				return nil
			})
		},
		func([]byte) error {
			return shmkit.Slice(r, 0, 16*page/8, func(v []uint64) error {
				for i := range v {
					v[i]++
				}
				return nil
			})
		},
	} {
		users.start(func() {
			p := make([]byte, 8*page)
			for range rounds(1000) {
				count(use(p))
				runtime.Gosched()
			}
		})
	}
	within(t, "users", users.Wait)
	stop.Store(true)
	truncater.Wait()
	check(t, there.Load() > 0 && shrunk.Load() > 0, "%d there, %d shrunk", there.Load(), shrunk.Load())
}

func TestProtected(t *testing.T) {
	forEveryKind(t, func(t *testing.T, m maker) {
		r := opened(t)(m.create(t, 3*page))
		write(t, r, int64(page), "middle")
		ok(t, r.Protect(page, page, shmkit.NoAccess))
		check(t, r.Grow(5*page) != nil, "it grows") // and forgets nothing
		_, err := r.ReadAt(make([]byte, 3*page), 0)
		refused(t, err, syscall.EACCES, "ReadAt")
		_, err = r.WriteAt([]byte("x"), int64(page))
		refused(t, err, syscall.EACCES, "WriteAt")
		refused(t, r.Bytes(func(b []byte) error { _ = string(b[page : page+1]); return nil }), syscall.EACCES, "Bytes")
		refused(t, r.Check(page, 1), syscall.EACCES)
		write(t, r, 0, "first")
		equal(t, read(t, r, 0, 5), "first")

		ok(t, r.Protect(page, page, shmkit.Read))
		equal(t, read(t, r, int64(page), 6), "middle")
		_, err = r.WriteAt([]byte("x"), int64(page))
		refused(t, err, syscall.EACCES, "WriteAt")
		refused(t, shmkit.View(r, page, func(v *int64) error { *v = 1; return nil }), syscall.EACCES, "View")
		ok(t, r.Protect(0, 3*page, shmkit.ReadWrite))
		write(t, r, int64(page), "again")

		reader := opened(t)(m.create(t, page, shmkit.ReadOnly))
		refused(t, reader.Protect(0, page, shmkit.ReadWrite), syscall.EACCES, "Protect")
	})
}

// Rights change beside goroutines that write: a success or EACCES.
func TestProtectedMeanwhile(t *testing.T) {
	r := opened(t)(shmkit.Create("protect", 4*page))
	var stop atomic.Bool
	var writers group
	for range 4 {
		writers.start(func() {
			p := make([]byte, 4*page)
			for !stop.Load() {
				if _, err := r.WriteAt(p, 0); err != nil && !errors.Is(err, syscall.EACCES) {
					t.Error(err)
					return
				}
				if _, err := r.ReadAt(p, 0); err != nil && !errors.Is(err, syscall.EACCES) {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range rounds(200) {
		ok(t, r.Protect(0, 4*page, []shmkit.Rights{shmkit.NoAccess, shmkit.Read, shmkit.ReadWrite}[i%3]))
	}
	stop.Store(true)
	writers.Wait()
}

func TestUnsafeBytes(t *testing.T) {
	r := opened(t)(shmkit.Create("unsafe", 100))
	b, err := r.UnsafeBytes()
	ok(t, err)
	equal(t, len(b), 100)
	equal(t, cap(b), 100)
	copy(b, "unsafe")
	equal(t, read(t, r, 0, 6), "unsafe")
}

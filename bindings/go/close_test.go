package shmkit_test

import (
	"errors"
	"io"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"

	"shmkit"
)

func TestCloseWaits(t *testing.T) {
	forEveryKind(t, func(t *testing.T, m maker) {
		for name, lend := range lenders {
			r, err := m.create(t, 100)
			ok(t, err)
			inside, leave := make(chan struct{}), make(chan struct{})
			var used, closed group
			used.start(func() {
				if err := lend(r, func() {
					close(inside)
					<-leave
					// A close is pending: what begins now is refused, and waits for nothing.
					_, err := r.ReadAt(make([]byte, 1), 0)
					refused(t, err, shmkit.ErrClosed)
					refused(t, r.Bytes(func([]byte) error { return nil }), shmkit.ErrClosed)
					refused(t, shmkit.View(r, 0, func(*int8) error { return nil }), shmkit.ErrClosed)
					refused(t, r.Check(0, 1), shmkit.ErrClosed)
				}); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
			<-inside
			var done atomic.Int32
			for range 4 {
				closed.start(func() {
					ok(t, r.Close())
					done.Add(1)
				})
			}
			eventually(t, "a close that is pending", func() bool {
				_, err := r.ReadAt(nil, 0)
				return errors.Is(err, shmkit.ErrClosed)
			})
			equal(t, done.Load(), 0)
			close(leave)
			within(t, "Close", closed.Wait)
			used.Wait()
			ok(t, r.Close())
		}
	})
}

// A thousand goroutines use the region in every way while others close it: success or ErrClosed.
func TestCloseBesideUsers(t *testing.T) {
	forEveryKind(t, func(t *testing.T, m maker) {
		for range 2 {
			r, err := m.create(t, page)
			ok(t, err)
			uses := []func(p []byte) error{
				func(p []byte) error { _, err := r.ReadAt(p, 0); return err },
				func(p []byte) error { _, err := r.WriteAt(p, 100); return err },
				func(p []byte) error { return r.Bytes(func(b []byte) error { _ = b[7]; return nil }) },
				func(p []byte) error { return shmkit.View(r, 0, func(v *atomic.Int64) error { v.Add(1); return nil }) },
				func(p []byte) error { return r.Pointer(func(unsafe.Pointer) error { return nil }) },
				func(p []byte) error { return r.Check(0, page) },
				func(p []byte) error { return r.Prefault(0, page) },
				func(p []byte) error { return r.Flush(0, page) },
				func(p []byte) error { _, err := r.Nodes(0, page); return err },
				func(p []byte) error { _ = r.String(); return nil },
			}
			var users, closers group
			var running atomic.Int32
			for i := range rounds(1000) {
				users.start(func() {
					running.Add(1)
					p := make([]byte, 64)
					// Each call of C at the same time needs a thread.
					mine := uses[:4]
					if i%20 == 0 {
						mine = uses
					}
					for n := range 100 {
						if err := mine[(i+n)%len(mine)](p); err != nil {
							if !errors.Is(err, shmkit.ErrClosed) {
								t.Error(err)
							}
							return
						}
					}
				})
			}
			for range 3 {
				closers.start(func() {
					for int(running.Load()) < rounds(1000)/2 {
						runtime.Gosched()
					}
					if err := r.Close(); err != nil {
						t.Error(err)
					}
				})
			}
			within(t, "Close beside users", closers.Wait)
			within(t, "users of a closed region", users.Wait)
		}
	})
}

// The result of Close stays what it was.
func TestCloseAgain(t *testing.T) {
	name := newName(t)
	r, err := shmkit.CreatePOSIX(name, 100, shmkit.UnlinkLast)
	ok(t, err)
	ok(t, r.Close())
	for range 3 {
		ok(t, r.Close())
	}
	var closer io.Closer = r
	ok(t, closer.Close())
}

// A region that is being sent is not closed before that has ended.
func TestCloseWaitsForASend(t *testing.T) {
	one, other := pair(t)
	r, err := shmkit.Create("sent", 100)
	ok(t, err)
	count := fill(t, one)
	sent, closed := make(chan error, 1), make(chan error, 1)
	go func() { sent <- shmkit.SendRegion(soon(t), one, r) }()
	eventually(t, "a send that waits", func() bool { return goroutinesIn("waitRaw") == 1 })
	go func() { closed <- r.Close() }()
	eventually(t, "a close that is pending", func() bool {
		_, err := r.ReadAt(nil, 0)
		return errors.Is(err, shmkit.ErrClosed)
	})
	empty(t, other, count)
	ok(t, <-sent)
	ok(t, <-closed)
	got := opened(t)(shmkit.RecvRegion(soon(t), other))
	equal(t, got.Size(), 100)
	_, err = got.SysVID()
	refused(t, err, syscall.EOPNOTSUPP)
}

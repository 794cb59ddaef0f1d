package shmkit_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"

	"shmkit"
)

func init() {
	// follower receives a growable region, and for each line follows, or grows it to that size.
	helpers["follower"] = func(h *helper) error {
		conn, err := net.FileConn(os.NewFile(3, "socket"))
		if err != nil {
			return err
		}
		r, err := shmkit.RecvRegion(context.Background(), conn.(*net.UnixConn), shmkit.SizeMax(1<<20))
		if err != nil {
			return err
		}
		h.say("%d of %d", r.Size(), r.SizeMax())
		for {
			line, err := h.hear()
			if err != nil {
				return r.Close()
			}
			grown := false
			if size, err := strconv.Atoi(line); err == nil {
				if err := r.Grow(size); err != nil {
					return err
				}
			} else if grown, err = r.Follow(); err != nil {
				return err
			}
			last := make([]byte, 1)
			if _, err := r.ReadAt(last, int64(r.Size()-1)); err != nil {
				return err
			}
			h.say("%v %d %q", grown, r.Size(), last)
		}
	}
}

func TestGrowingAcrossProcesses(t *testing.T) {
	one, other := pair(t)
	file := must(other.File())
	p := start(t, "follower", []*os.File{file})
	file.Close()
	r := opened(t)(shmkit.Create("growing", 100, shmkit.GrowableTo(1<<20)))
	equal(t, r.SizeMax(), 1<<20)
	ok(t, shmkit.SendRegion(soon(t), one, r))
	p.hears("100 of 1048576")
	b, err := r.UnsafeBytes()
	ok(t, err)
	ok(t, r.Grow(5*page))
	equal(t, r.Size(), 5*page)
	write(t, r, int64(5*page-1), "x")
	p.say("follow")
	p.hears(fmt.Sprintf("true %d \"x\"", 5*page))
	p.say("follow")
	p.hears(fmt.Sprintf("false %d \"x\"", 5*page))
	p.say("%d", 100000)
	p.hears(`false 100000 "\x00"`)
	_, err = r.ReadAt(make([]byte, 1), 99999)
	check(t, err != nil, "it has not followed yet")
	grown, err := r.Follow()
	ok(t, err)
	check(t, grown, "it grows")
	equal(t, r.Size(), 100000)
	write(t, r, 99999, "y")
	now, err := r.UnsafeBytes()
	ok(t, err)
	check(t, &now[0] == &b[0], "the region has moved")
	p.ends()
}

func TestGrowing(t *testing.T) {
	for _, m := range makers {
		if !m.fd {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			unchanged(t, func() {
				r, err := m.create(t, 100, shmkit.GrowableTo(10*page))
				ok(t, err)
				equal(t, r.SizeMax(), 10*page)
				ok(t, r.Grow(50))
				equal(t, r.Size(), 100)
				ok(t, r.Grow(0))
				for _, size := range []int{101, page, 10 * page} {
					ok(t, r.Grow(size))
					equal(t, r.Size(), size)
					equal(t, read(t, r, int64(size-1), 1), "\x00")
				}
				refused(t, r.Grow(10*page+1), syscall.EFBIG, "Grow")
				refused(t, r.Grow(1<<62), syscall.EFBIG, "Grow")
				equal(t, r.Size(), 10*page)
				ok(t, r.Close())
				equal(t, r.Size(), 10*page)
				equal(t, r.SizeMax(), 10*page)
			})
		})
	}
	one, other := pair(t)
	r := opened(t)(shmkit.Create("growing", 100, shmkit.GrowableTo(10*page)))
	ok(t, shmkit.SendRegion(soon(t), one, r))
	bad, err := shmkit.RecvRegion(soon(t), other)
	refusedRegion(t, bad, err, syscall.EINVAL, "RecvRegion")
	ok(t, shmkit.SendRegion(soon(t), one, r))
	capped := opened(t)(shmkit.RecvRegion(soon(t), other, shmkit.SizeMax(5*page)))
	ok(t, r.Grow(7*page))
	grown := must(capped.Follow())
	check(t, grown, "it grows")
	equal(t, capped.Size(), 5*page)
	equal(t, capped.SizeMax(), 5*page)
}

func TestGrowingWhatSomebodyTruncates(t *testing.T) {
	name := newName(t)
	r := opened(t)(shmkit.CreatePOSIX(name, 3*page, shmkit.GrowableTo(10*page)))
	ok(t, os.Truncate("/dev/shm/"+name, int64(page)))
	_, err := r.Follow()
	refused(t, err, shmkit.ErrShrunk, "Follow")
	equal(t, r.Size(), 3*page)
	_, err = r.ReadAt(make([]byte, 1), int64(2*page))
	refused(t, err, shmkit.ErrShrunk)
}

// Readers and writers beside one that grows: never a byte beyond the size that they have seen.
func TestGrowingBesideUsers(t *testing.T) {
	r := opened(t)(shmkit.Create("growing", 1, shmkit.GrowableTo(200*page)))
	var stop atomic.Bool
	var users group
	for range 4 {
		users.start(func() {
			for !stop.Load() {
				size := r.Size()
				if _, err := r.WriteAt([]byte{1}, int64(size-1)); err != nil {
					t.Error(err)
				}
				err := r.Bytes(func(b []byte) error {
					if len(b) < size {
						return errors.New("it has become smaller")
					}
					b[len(b)-1]++
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range rounds(800) {
		ok(t, r.Grow(i*1000))
	}
	stop.Store(true)
	users.Wait()
}

package shmkit_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"shmkit"
)

// The frame, as docs/layout.md has it.
const (
	atMagic, atVersion, atKind, atSize, atOffset, atRights, atFlags, atReserve, atReserved, frameSize = 0, 8, 12, 16, 24, 32, 36, 40, 48, 64
)

// honest is the frame of a memfd of two pages.
func honest() []byte {
	frame := make([]byte, frameSize)
	copy(frame, "shmkit\x00R")
	put32(frame, atVersion, 1)
	put32(frame, atKind, 1)
	put64(frame, atSize, uint64(2*page))
	put32(frame, atRights, 3)
	return frame
}

func put32(frame []byte, at int, value uint32) { binary.NativeEndian.PutUint32(frame[at:], value) }
func put64(frame []byte, at int, value uint64) { binary.NativeEndian.PutUint64(frame[at:], value) }

// memfd is memory of the size, sealed with these.
func memfd(t testing.TB, size int, seals int) int {
	t.Helper()
	name := []byte("hostile\x00")
	const cloexec, allowSealing, addSeals = 1, 2, 1033
	fd, _, errno := syscall.Syscall(memfdCreate(), uintptr(unsafe.Pointer(&name[0])), cloexec|allowSealing, 0)
	check(t, errno == 0, "memfd_create: %v", errno)
	ok(t, syscall.Ftruncate(int(fd), int64(size)))
	if seals != 0 {
		_, _, errno = syscall.Syscall(syscall.SYS_FCNTL, fd, addSeals, uintptr(seals))
		check(t, errno == 0, "F_ADD_SEALS: %v", errno)
	}
	return int(fd)
}

// memfdCreate is the number of memfd_create(2): of amd64, and of all with the generic table.
func memfdCreate() uintptr {
	if runtime.GOARCH == "amd64" {
		return 319
	}
	return 279
}

const sealShrink, sealGrow, sealWrite = 2, 4, 8

func sendRaw(t testing.TB, fd int, payload []byte, control []byte) {
	t.Helper()
	n, err := syscall.SendmsgN(fd, payload, control, nil, syscall.MSG_NOSIGNAL)
	ok(t, err)
	equal(t, n, len(payload))
}

// hostile is a pair whose one end is a bare descriptor.
func hostile(t testing.TB, kind int) (peer int, conn *net.UnixConn) {
	t.Helper()
	one, other := socketpair(t, kind)
	conn = unixConn(t, other)
	return one, conn
}

func forBothTypes(t *testing.T, test func(t *testing.T, kind int)) {
	t.Run("seqpacket", func(t *testing.T) { test(t, syscall.SOCK_SEQPACKET) })
	t.Run("stream", func(t *testing.T) { test(t, syscall.SOCK_STREAM) })
}

// inOrder checks that an honest frame arrives.
func inOrder(t testing.TB, peer int, conn *net.UnixConn) {
	t.Helper()
	memory := memfd(t, 2*page, sealShrink|sealGrow)
	defer syscall.Close(memory)
	sendRaw(t, peer, honest(), syscall.UnixRights(memory))
	r, err := shmkit.RecvRegion(soon(t), conn)
	ok(t, err)
	equal(t, r.Size(), 2*page)
	ok(t, r.Close())
}

func TestHostileFrames(t *testing.T) {
	forBothTypes(t, func(t *testing.T, kind int) {
		memory := memfd(t, 2*page, sealShrink|sealGrow)
		defer syscall.Close(memory)
		peer, conn := hostile(t, kind)
		defer syscall.Close(peer)
		inOrder(t, peer, conn)
		refuse := func(frame []byte, want error) {
			t.Helper()
			unchanged(t, func() {
				sendRaw(t, peer, frame, syscall.UnixRights(memory))
				r, err := shmkit.RecvRegion(soon(t), conn)
				refusedRegion(t, r, err, want, "RecvRegion", "region")
			})
		}
		for at := range 8 {
			frame := honest()
			frame[at] ^= 1
			refuse(frame, shmkit.ErrNotRegion)
		}
		for _, version := range []uint32{0, 2, 1 << 24, 1<<32 - 1} {
			frame := honest()
			put32(frame, atVersion, version)
			refuse(frame, shmkit.ErrVersion)
		}
		for at, values := range map[int][]uint32{
			atKind: {0, 3, 6, 7, 1<<32 - 1}, atRights: {0, 2, 4, 7, 1<<32 - 1}, atFlags: {2, 3, 1 << 31, 1<<32 - 1},
		} {
			for _, value := range values {
				frame := honest()
				put32(frame, at, value)
				refuse(frame, shmkit.ErrNotRegion)
			}
		}
		for at, values := range map[int][]uint64{
			atSize: {0, 8193, 1 << 32, 1 << 62, 1<<63 - 1, 1<<64 - 1}, atOffset: {1, 4096, 1 << 62, 1 << 63, 1<<64 - 4096, 1<<64 - 8192, 1<<64 - 1},
			atReserve: {1, 8192, 1 << 63, 1<<64 - 1}, atReserved: {1, 1 << 63}, atReserved + 8: {1, 1 << 63},
		} {
			for _, value := range values {
				frame := honest()
				put64(frame, at, value)
				refuse(frame, shmkit.ErrNotRegion)
			}
		}
		refuse(make([]byte, frameSize), shmkit.ErrNotRegion)
		inOrder(t, peer, conn)
	})
}

func TestHostileDescriptors(t *testing.T) {
	forBothTypes(t, func(t *testing.T, kind int) {
		peer, conn := hostile(t, kind)
		defer syscall.Close(peer)
		sealed := memfd(t, 2*page, sealShrink|sealGrow)
		defer syscall.Close(sealed)
		open := func(path string, flags int) int { return must(syscall.Open(path, flags|syscall.O_CLOEXEC, 0)) }
		again := func(flags int) int { return open("/proc/self/fd/"+strconv.Itoa(sealed), flags) }
		pipe := make([]int, 2)
		ok(t, syscall.Pipe2(pipe, syscall.O_CLOEXEC))
		const oPath = 0o10000000
		for name, row := range map[string]struct {
			fd   int
			want error
		}{
			"unsealed":       {memfd(t, 2*page, 0), shmkit.ErrUnsealed},
			"grow alone":     {memfd(t, 2*page, sealGrow), shmkit.ErrUnsealed},
			"write alone":    {memfd(t, 2*page, sealWrite), shmkit.ErrUnsealed},
			"can grow":       {memfd(t, 2*page, sealShrink), shmkit.ErrNotRegion},
			"too small":      {memfd(t, 2*page-1, sealShrink|sealGrow), shmkit.ErrNotRegion},
			"empty":          {memfd(t, 0, sealShrink|sealGrow), shmkit.ErrNotRegion},
			"frozen":         {memfd(t, 2*page, sealShrink|sealGrow|sealWrite), shmkit.ErrNotRegion},
			"O_PATH":         {again(oPath), shmkit.ErrNotRegion},
			"for reading":    {again(syscall.O_RDONLY), shmkit.ErrNotRegion},
			"for writing":    {again(syscall.O_WRONLY), shmkit.ErrNotRegion},
			"pipe":           {pipe[0], shmkit.ErrNotRegion},
			"pipe's end":     {pipe[1], shmkit.ErrNotRegion},
			"directory":      {open("/", syscall.O_RDONLY), shmkit.ErrNotRegion},
			"/dev/zero":      {open("/dev/zero", syscall.O_RDWR), shmkit.ErrNotRegion},
			"/dev/null":      {open("/dev/null", syscall.O_RDWR), shmkit.ErrNotRegion},
			"the connection": {must(syscall.Dup(peer)), shmkit.ErrNotRegion},
		} {
			unchanged(t, func() {
				sendRaw(t, peer, honest(), syscall.UnixRights(row.fd))
				r, err := shmkit.RecvRegion(soon(t), conn)
				if !errors.Is(err, row.want) {
					t.Errorf("%s: %v", name, err)
				}
				refusedRegion(t, r, err, row.want, "RecvRegion")
			})
			ok(t, syscall.Close(row.fd))
		}
		inOrder(t, peer, conn)
	})
}

func TestHostileMessages(t *testing.T) {
	forBothTypes(t, func(t *testing.T, kind int) {
		memory := memfd(t, 2*page, sealShrink|sealGrow)
		defer syscall.Close(memory)
		peer, conn := hostile(t, kind)
		defer syscall.Close(peer)
		for _, count := range []int{0, 2, 3, 100, 253} {
			for _, receive := range []func() error{
				func() error { _, err := shmkit.RecvRegion(soon(t), conn); return err },
				func() error {
					_, err := shmkit.RecvFiles(soon(t), conn, 1, make([]byte, frameSize))
					return err
				},
			} {
				unchanged(t, func() {
					var control []byte
					if count > 0 {
						control = syscall.UnixRights(slices.Repeat([]int{memory}, count)...)
					}
					sendRaw(t, peer, honest(), control)
					err := receive()
					refused(t, err, syscall.EPROTO, "descriptor")
				})
				// A stream's rest is in the way of what comes next.
				if kind == syscall.SOCK_STREAM {
					syscall.Close(peer)
					peer, conn = hostile(t, kind)
				}
			}
		}
		// 254 are more than the kernel carries.
		err := syscall.Sendmsg(peer, honest(), syscall.UnixRights(slices.Repeat([]int{memory}, 254)...), nil, 0)
		equal(t, err, error(syscall.EINVAL))
		inOrder(t, peer, conn)
		if kind == syscall.SOCK_SEQPACKET {
			for _, length := range []int{0, 1, 63, 65, 5000} {
				unchanged(t, func() {
					frame := slices.Concat(honest(), make([]byte, 5000))[:length]
					sendRaw(t, peer, frame, syscall.UnixRights(memory))
					r, err := shmkit.RecvRegion(soon(t), conn)
					refusedRegion(t, r, err, syscall.EPROTO)
				})
				inOrder(t, peer, conn)
			}
		}
	})
}

// Peers of a stream that trickle, and that close half way.
func TestTricklingPeers(t *testing.T) {
	memory := memfd(t, 2*page, sealShrink|sealGrow)
	defer syscall.Close(memory)
	for length := 1; length < frameSize; length += 9 {
		unchanged(t, func() {
			one, other := socketpair(t, syscall.SOCK_STREAM)
			conn := unixConn(t, other)
			sendRaw(t, one, honest()[:length], syscall.UnixRights(memory))
			syscall.Close(one)
			r, err := shmkit.RecvRegion(soon(t), conn)
			check(t, r == nil, "a region of %d bytes", length)
			sound(t, err)
			check(t, errors.Is(err, syscall.EPROTO) || errors.Is(err, syscall.ECONNRESET), "%v", err)
			conn.Close()
		})
	}
	// The frame in pieces: a region or an error, and no wait beyond ctx.
	unchanged(t, func() {
		peer, conn := hostile(t, syscall.SOCK_STREAM)
		sendRaw(t, peer, honest()[:10], syscall.UnixRights(memory))
		r, err := shmkit.RecvRegion(soon(t), conn)
		refusedRegion(t, r, err, syscall.EPROTO, "close")
		syscall.Close(peer)
		conn.Close()
	})
	// A payload in pieces is put together, within ctx.
	unchanged(t, func() {
		peer, conn := hostile(t, syscall.SOCK_STREAM)
		sendRaw(t, peer, []byte("t"), syscall.UnixRights(memory))
		received := make(chan error, 1)
		payload := make([]byte, 8)
		go func() {
			files, err := shmkit.RecvFiles(soon(t), conn, 1, payload)
			closeAll(files)
			received <- err
		}()
		for _, b := range []byte("rickled") {
			eventually(t, "a wait for more", func() bool { return goroutinesIn("waitRaw") == 1 })
			sendRaw(t, peer, []byte{b}, nil)
		}
		ok(t, <-received)
		equal(t, string(payload), "trickled")

		sendRaw(t, peer, []byte("half"), syscall.UnixRights(memory))
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Millisecond)
		defer cancel()
		files, err := shmkit.RecvFiles(ctx, conn, 1, payload)
		check(t, files == nil, "%v", files)
		refused(t, err, context.DeadlineExceeded, "RecvFiles")
		syscall.Close(peer)
		conn.Close()
	})
	// More descriptors with the rest are too many, and closed.
	unchanged(t, func() {
		peer, conn := hostile(t, syscall.SOCK_STREAM)
		sendRaw(t, peer, []byte("ab"), syscall.UnixRights(memory))
		sendRaw(t, peer, []byte("cd"), syscall.UnixRights(slices.Repeat([]int{memory}, 253)...))
		files, err := shmkit.RecvFiles(soon(t), conn, 1, make([]byte, 4))
		check(t, files == nil, "%v", files)
		refused(t, err, syscall.EPROTO, "RecvFiles", "descriptors")
		syscall.Close(peer)
		conn.Close()
	})
	// The peer closes in the middle of a payload.
	unchanged(t, func() {
		peer, conn := hostile(t, syscall.SOCK_STREAM)
		sendRaw(t, peer, []byte("half"), syscall.UnixRights(memory))
		syscall.Close(peer)
		files, err := shmkit.RecvFiles(soon(t), conn, 1, make([]byte, 100))
		check(t, files == nil, "%v", files)
		refused(t, err, syscall.ECONNRESET, "RecvFiles", "96")
		conn.Close()
	})
}

func init() {
	// limited has so few descriptors that it cannot receive one.
	helpers["limited"] = func(h *helper) error {
		t := &inHelper{}
		t.run(func() {
			one, other, err := shmkit.Pair()
			ok(t, err)
			r, err := shmkit.Create("limited", 100)
			ok(t, err)
			ctx := context.Background()
			file, err := r.File()
			ok(t, err)
			for _, pass := range []struct{ send, receive func() error }{
				{
					func() error { return shmkit.SendRegion(ctx, one, r) },
					func() error { _, err := shmkit.RecvRegion(ctx, other); return err },
				},
				{
					func() error { return shmkit.SendFile(ctx, one, file) },
					func() error { _, err := shmkit.RecvFile(ctx, other); return err },
				},
			} {
				ok(t, pass.send())
				free := takeDescriptors(t)
				before := len(openFDsWithout(t))
				refused(t, pass.receive(), syscall.EMFILE)
				equal(t, len(openFDsWithout(t)), before)
				for what, make := range map[string]func() error{
					"Create":      func() error { _, err := shmkit.Create("x", 1); return err },
					"CreatePOSIX": func() error { _, err := shmkit.CreatePOSIX(testPrefix+"-limited", 1); return err },
					"File":        func() error { _, err := r.File(); return err },
					"Listen":      func() error { _, err := shmkit.Listen("@" + testPrefix + "-limited"); return err },
					"Dial":        func() error { _, err := shmkit.Dial(ctx, "@"+testPrefix+"-limited"); return err },
					"Pair":        func() error { _, _, err := shmkit.Pair(); return err },
				} {
					err := make()
					check(t, err != nil, "%s succeeds", what)
					refused(t, err, syscall.EMFILE, what)
				}
				free()
				ok(t, shmkit.SendRegion(ctx, one, r))
				got, err := shmkit.RecvRegion(ctx, other)
				ok(t, err)
				ok(t, got.Close())
			}
			// One descriptor is free: what needs two leaves none behind.
			for what, make := range map[string]func() error{
				"Pair":   func() error { _, _, err := shmkit.Pair(); return err },
				"Listen": func() error { _, err := shmkit.Listen(h.args[0]); return err },
			} {
				free := takeDescriptors(t)
				ok(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: limitNow(t) + 1, Max: limitMax(t)}))
				before := len(openFDsWithout(t))
				refused(t, make(), syscall.EMFILE, what)
				equal(t, len(openFDsWithout(t)), before)
				free()
			}
			_, err = os.Lstat(h.args[0])
			check(t, os.IsNotExist(err), "Listen left its file")
		})
		return t.failed
	}
}

// takeDescriptors lowers the limit so that no descriptor is free; what it returns raises it again.
func takeDescriptors(t testing.TB) (free func()) {
	var before syscall.Rlimit
	ok(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before))
	// The numbers below the highest one are taken too.
	highest := 0
	for _, fd := range openFDs() {
		number, _, _ := strings.Cut(fd, " ")
		highest = max(highest, must(strconv.Atoi(number)))
	}
	var taken []int
	for {
		fd, err := syscall.Dup(0)
		ok(t, err)
		if fd > highest {
			syscall.Close(fd)
			break
		}
		taken = append(taken, fd)
	}
	ok(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(highest + 1), Max: before.Max}))
	return func() {
		for _, fd := range taken {
			syscall.Close(fd)
		}
		ok(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before))
	}
}

func limitNow(t testing.TB) uint64 {
	var limit syscall.Rlimit
	ok(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	return limit.Cur
}

func limitMax(t testing.TB) uint64 {
	var limit syscall.Rlimit
	ok(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	return limit.Max
}

// openFDsWithout are the open descriptors, told without opening one.
func openFDsWithout(t testing.TB) (fds []int) {
	for fd := range 1024 {
		if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0); errno == 0 {
			fds = append(fds, fd)
		}
	}
	return fds
}

func TestAtTheLimitOfDescriptors(t *testing.T) {
	start(t, "limited", nil, newPath(t)).ends()
}

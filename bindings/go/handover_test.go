package shmkit_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"shmkit"
)

func TestARegionArrives(t *testing.T) {
	forEveryConnection(t, func(t *testing.T, one, other syscall.Conn, _ bool) {
		ctx := soon(t)
		unchanged(t, func() {
			for _, size := range []int{1, 100, page, 3*page + 1} {
				sent, err := shmkit.Create("sent", size)
				ok(t, err)
				write(t, sent, int64(size-1), "s")
				ok(t, shmkit.SendRegion(ctx, one, sent))
				got, err := shmkit.RecvRegion(ctx, other, shmkit.SizeMin(size), shmkit.SizeMax(size))
				ok(t, err)
				equal(t, got.Size(), size)
				equal(t, got.Kind(), shmkit.Memfd)
				equal(t, got.Name(), "")
				check(t, !got.Created() && !got.CanShrink(), "%v", got)
				equal(t, read(t, got, int64(size-1), 1), "s")
				write(t, got, 0, "g")
				equal(t, read(t, sent, 0, 1), "g")
				ok(t, sent.Close())
				equal(t, read(t, got, 0, 1), "g")
				ok(t, got.Close())
			}
		})
	})
}

func TestRightsThatArrive(t *testing.T) {
	one, other := pair(t)
	ctx := soon(t)
	received := func(options ...shmkit.Option) *shmkit.Region {
		return opened(t)(shmkit.RecvRegion(ctx, other, options...))
	}
	r := opened(t)(shmkit.Create("rights", page))
	ok(t, shmkit.SendRegion(ctx, one, r))
	narrowed := received(shmkit.ReadOnly)
	_, err := narrowed.WriteAt([]byte("x"), 0)
	refused(t, err, syscall.EACCES)
	ok(t, shmkit.SendRegion(ctx, one, r))
	private := received(shmkit.Private)
	write(t, private, 0, "mine")
	allZero(t, r)
	refused(t, shmkit.SendRegion(ctx, one, private), syscall.EOPNOTSUPP)

	// What the kernel cannot enforce is not sent, unless the risk is taken.
	reader := opened(t)(shmkit.Create("reader", page, shmkit.ReadOnly))
	refused(t, shmkit.SendRegion(ctx, one, reader), shmkit.ErrUnenforceable, "SendRegion")
	risky := opened(t)(shmkit.Create("reader", page, shmkit.ReadOnly, shmkit.RiskReopen))
	ok(t, shmkit.SendRegion(ctx, one, risky))
	_, err = received().WriteAt([]byte("x"), 0)
	refused(t, err, syscall.EACCES)

	published := opened(t)(shmkit.Create("published", page))
	ok(t, published.PublishReadOnly())
	write(t, published, 0, "by its maker")
	ok(t, shmkit.SendRegion(ctx, one, published))
	got := received()
	equal(t, read(t, got, 0, 12), "by its maker")
	_, err = got.WriteAt([]byte("x"), 0)
	refused(t, err, syscall.EACCES)
	file := must(got.File())
	defer file.Close()
	again, err := shmkit.FromFile(file)
	refusedRegion(t, again, err, syscall.EPERM, "FromFile")

	// Memory that others can take away is refused, unless that risk is taken.
	for _, m := range makers {
		r := opened(t)(m.create(t, 100))
		if !m.fd {
			refused(t, shmkit.SendRegion(ctx, one, r), syscall.EOPNOTSUPP)
			continue
		}
		ok(t, shmkit.SendRegion(ctx, one, r))
		if m.shrink {
			bad, err := shmkit.RecvRegion(ctx, other)
			refusedRegion(t, bad, err, shmkit.ErrUnsealed, "RecvRegion")
			ok(t, shmkit.SendRegion(ctx, one, r))
		}
		got := received(shmkit.RiskShrink)
		equal(t, got.CanShrink(), m.shrink)
		write(t, got, 0, m.name)
		equal(t, read(t, r, 0, len(m.name)), m.name)
	}
	bad, err := shmkit.RecvRegion(ended(), other)
	refusedRegion(t, bad, err, context.Canceled)
}

func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestFilesArrive(t *testing.T) {
	forEveryConnection(t, func(t *testing.T, one, other syscall.Conn, stream bool) {
		ctx := soon(t)
		path := newPath(t)
		ok(t, os.WriteFile(path, []byte("content"), 0o600))
		file, err := os.Open(path)
		ok(t, err)
		defer file.Close()
		unchanged(t, func() {
			ok(t, shmkit.SendFile(ctx, one, file))
			got, err := shmkit.RecvFile(ctx, other)
			ok(t, err)
			content, err := io.ReadAll(got)
			ok(t, err)
			equal(t, string(content), "content")
			at, err := file.Seek(0, io.SeekCurrent)
			ok(t, err)
			equal(t, at, 7) // the same open file
			got.Close()
			for _, row := range [][2]int{{1, 1}, {1, 2}, {2, 1}, {253, 1}, {253, 4000}, {3, 100000}} {
				count, length := row[0], row[1]
				payload := bytes.Repeat([]byte("p"), length)
				sent := make(chan error, 1)
				go func() { sent <- shmkit.SendFiles(ctx, one, slices.Repeat([]*os.File{file}, count), payload) }()
				into := make([]byte, length)
				files, err := shmkit.RecvFiles(ctx, other, count, into)
				ok(t, err)
				ok(t, <-sent)
				equal(t, len(files), count)
				check(t, bytes.Equal(into, payload), "another payload")
				closeAll(files)
			}
		})
		for _, count := range []int{0, -1, 254, 1 << 40} {
			_, err := shmkit.RecvFiles(ctx, other, count, make([]byte, 1))
			refused(t, err, syscall.EINVAL, "RecvFiles", "253")
		}
		_, err = shmkit.RecvFiles(ctx, other, 1, nil)
		refused(t, err, syscall.EINVAL, "RecvFiles", "payload")
		refused(t, shmkit.SendFiles(ctx, one, nil, []byte("x")), syscall.EINVAL, "SendFiles")
		refused(t, shmkit.SendFiles(ctx, one, []*os.File{file}, nil), syscall.EINVAL, "SendFiles", "payload")
		refused(t, shmkit.SendFiles(ctx, one, slices.Repeat([]*os.File{file}, 254), []byte("x")), syscall.EINVAL, "SendFiles", "254")
		refused(t, shmkit.SendFiles(ctx, one, []*os.File{file, nil}, []byte("x")), syscall.EINVAL, "SendFiles", "nil")
		closed, err := os.Open(path)
		ok(t, err)
		closed.Close()
		refused(t, shmkit.SendFiles(ctx, one, []*os.File{file, closed}, []byte("x")), os.ErrClosed, "SendFiles")
		if !stream {
			refused(t, shmkit.SendFiles(ctx, one, []*os.File{file}, make([]byte, 1<<24)), syscall.EMSGSIZE, "SendFiles")
		}
		works(t, one, other)
	})
}

func TestOtherCountsThanExpected(t *testing.T) {
	one, other := pair(t)
	ctx := soon(t)
	file, err := os.Open("/")
	ok(t, err)
	defer file.Close()
	unchanged(t, func() {
		for _, row := range [][4]int{{1, 1, 2, 1}, {2, 1, 1, 1}, {1, 2, 1, 1}, {1, 1, 1, 2}, {253, 10, 1, 10}, {3, 5, 253, 5}} {
			ok(t, shmkit.SendFiles(ctx, one, slices.Repeat([]*os.File{file}, row[0]), make([]byte, row[1])))
			files, err := shmkit.RecvFiles(ctx, other, row[2], make([]byte, row[3]))
			check(t, files == nil, "%v", files)
			refused(t, err, syscall.EPROTO, "RecvFiles")
		}
		ok(t, shmkit.SendFiles(ctx, one, []*os.File{file, file}, []byte{0}))
		got, err := shmkit.RecvFile(ctx, other)
		check(t, got == nil, "%v", got)
		refused(t, err, syscall.EPROTO, "RecvFile")
	})
	works(t, one, other)
}

// A stream's payload in the middle of which ctx ends.
func TestContextEndsHalfWay(t *testing.T) {
	file, err := os.Open("/")
	ok(t, err)
	defer file.Close()
	unchanged(t, func() {
		a, b := socketpair(t, syscall.SOCK_STREAM)
		one, other := unixConn(t, a), unixConn(t, b)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
		defer cancel()
		refused(t, shmkit.SendFiles(ctx, one, []*os.File{file}, make([]byte, 1<<24)), context.DeadlineExceeded, "SendFiles")
		// The peer sees a part, and then the end.
		one.Close()
		files, err := shmkit.RecvFiles(soon(t), other, 1, make([]byte, 1<<24))
		check(t, files == nil, "%v", files)
		refused(t, err, syscall.ECONNRESET, "RecvFiles", "close")
		other.Close()

		a, b = socketpair(t, syscall.SOCK_STREAM)
		one, other = unixConn(t, a), unixConn(t, b)
		ok(t, shmkit.SendFiles(soon(t), one, []*os.File{file}, make([]byte, 10)))
		late, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
		defer cancel()
		files, err = shmkit.RecvFiles(late, other, 1, make([]byte, 11))
		check(t, files == nil, "%v", files)
		refused(t, err, context.DeadlineExceeded, "RecvFiles")
		one.Close()
		other.Close()
	})
}

// Credentials come with each message of a socket that asks for them.
func TestCredentialsAreNoMatterOfOurs(t *testing.T) {
	forEveryConnection(t, func(t *testing.T, one, other syscall.Conn, stream bool) {
		raw := must(other.SyscallConn())
		ok(t, raw.Control(func(fd uintptr) { ok(t, syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_PASSCRED, 1)) }))
		works(t, one, other)
		file, err := os.Open("/")
		ok(t, err)
		defer file.Close()
		ok(t, shmkit.SendFiles(soon(t), one, []*os.File{file}, []byte("a longer payload")))
		payload := make([]byte, 16)
		files, err := shmkit.RecvFiles(soon(t), other, 1, payload)
		ok(t, err)
		closeAll(files)
		equal(t, string(payload), "a longer payload")
	})
}

func TestManySendAtOnce(t *testing.T) {
	forEveryConnection(t, func(t *testing.T, one, other syscall.Conn, _ bool) {
		ctx := soon(t)
		unchanged(t, func() {
			var senders group
			for range 8 {
				senders.start(func() {
					r, err := shmkit.Create("many", 100)
					if err != nil {
						t.Error(err)
						return
					}
					defer r.Close()
					for range 25 {
						if err := shmkit.SendRegion(ctx, one, r); err != nil && !errors.Is(err, syscall.ETOOMANYREFS) {
							t.Error(err)
						}
					}
				})
			}
			for range 8 * 25 {
				got, err := shmkit.RecvRegion(ctx, other)
				ok(t, err)
				equal(t, got.Size(), 100)
				got.Close()
			}
			within(t, "senders", senders.Wait)
		})
	})
}

func init() {
	// peer receives a region on descriptor 3, writes to it, and sends it back.
	helpers["peer"] = func(h *helper) error {
		conn, err := net.FileConn(os.NewFile(3, "socket"))
		if err != nil {
			return err
		}
		defer conn.Close()
		ctx := context.Background()
		r, err := shmkit.RecvRegion(ctx, conn.(*net.UnixConn), shmkit.SizeMax(1<<20))
		if err != nil {
			return err
		}
		if _, err := r.WriteAt([]byte("from the child"), 0); err != nil {
			return err
		}
		return shmkit.SendRegion(ctx, conn.(*net.UnixConn), r)
	}
	// inherited maps descriptor 3.
	helpers["inherited"] = func(h *helper) error {
		r, err := shmkit.FromFile(os.NewFile(3, "region"))
		if err != nil {
			return err
		}
		h.say("%v", r)
		if _, err := r.WriteAt([]byte("from the child"), 0); err != nil {
			return err
		}
		return r.Close()
	}
	// dialler connects by a path, and sends what it makes there.
	helpers["dialler"] = func(h *helper) error {
		conn, err := shmkit.Dial(context.Background(), h.args[0])
		if err != nil {
			return err
		}
		r, err := shmkit.Create("dialled", 5000)
		if err != nil {
			return err
		}
		if _, err := r.WriteAt([]byte("dialled"), 4990); err != nil {
			return err
		}
		return shmkit.SendRegion(context.Background(), conn, r)
	}
}

func TestWithAnotherProcess(t *testing.T) {
	one, other := pair(t)
	file := must(other.File())
	p := start(t, "peer", []*os.File{file})
	file.Close()
	other.Close()
	r := opened(t)(shmkit.Create("there and back", 1000))
	ok(t, shmkit.SendRegion(soon(t), one, r))
	back := opened(t)(shmkit.RecvRegion(soon(t), one))
	p.ends()
	equal(t, read(t, r, 0, 14), "from the child")
	equal(t, read(t, back, 0, 14), "from the child")
	_, err := shmkit.RecvRegion(soon(t), one)
	refused(t, err, syscall.ECONNRESET)

	for _, path := range []string{"@" + newSocketName(), newPath(t)} {
		listener, err := shmkit.Listen(path)
		ok(t, err)
		p := start(t, "dialler", nil, path)
		conn, err := shmkit.Accept(soon(t), listener)
		ok(t, err)
		peer, err := shmkit.PeerOf(conn)
		ok(t, err)
		equal(t, peer.PID, p.cmd.Process.Pid)
		equal(t, peer.UID, os.Getuid())
		equal(t, peer.GID, os.Getgid())
		if peer.PIDFD != nil {
			peer.PIDFD.Close()
		}
		got := opened(t)(shmkit.RecvRegion(soon(t), conn))
		p.ends()
		equal(t, read(t, got, 4990, 7), "dialled")
		conn.Close()
		ok(t, listener.Close())
		_, err = os.Lstat(path)
		check(t, strings.HasPrefix(path, "@") || os.IsNotExist(err), "the socket's file was left")
	}
}

func TestInheritance(t *testing.T) {
	for _, m := range makers {
		if !m.fd {
			continue
		}
		r := opened(t)(m.create(t, 1000))
		unchanged(t, func() {
			file := must(r.File())
			p := start(t, "inherited", []*os.File{file})
			file.Close()
			line := p.hear()
			check(t, strings.HasSuffix(line, ", 1000 bytes"), "%s", line)
			p.ends()
		})
		equal(t, read(t, r, 0, 14), "from the child")
	}
	// Without being asked for, nothing is inherited: every descriptor is close-on-exec.
	r := opened(t)(shmkit.Create("closed on exec", 1))
	file := must(r.File())
	defer file.Close()
	one, other := pair(t)
	for _, conn := range []syscall.Conn{one, other, file} {
		ok(t, must(conn.SyscallConn()).Control(func(fd uintptr) {
			flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFD, 0)
			check(t, errno == 0 && flags&syscall.FD_CLOEXEC != 0, "descriptor %d: %#x, %v", fd, flags, errno)
		}))
	}
}

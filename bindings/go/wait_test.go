package shmkit_test

import (
	"context"
	"errors"
	"net"
	"os"

	"syscall"
	"testing"
	"time"

	"shmkit"
)

// waits are all that wait to receive.
var waits = map[string]func(ctx context.Context, conn syscall.Conn) error{
	"RecvRegion": func(ctx context.Context, conn syscall.Conn) error {
		r, err := shmkit.RecvRegion(ctx, conn)
		r.Close()
		return err
	},
	"RecvFile": func(ctx context.Context, conn syscall.Conn) error {
		file, err := shmkit.RecvFile(ctx, conn)
		file.Close()
		return err
	},
	"RecvFiles": func(ctx context.Context, conn syscall.Conn) error {
		files, err := shmkit.RecvFiles(ctx, conn, 1, make([]byte, 1))
		closeAll(files)
		return err
	},
}

func closeAll(files []*os.File) {
	for _, file := range files {
		file.Close()
	}
}

// works checks that a connection is in order.
func works(t testing.TB, one, other syscall.Conn) {
	t.Helper()
	ctx := soon(t)
	sent := opened(t)(shmkit.Create("works", 100))
	ok(t, shmkit.SendRegion(ctx, one, sent))
	got, err := shmkit.RecvRegion(ctx, other)
	ok(t, err)
	equal(t, got.Size(), 100)
	ok(t, got.Close())
}

func TestContextHasEnded(t *testing.T) {
	forEveryConnection(t, func(t *testing.T, one, other syscall.Conn, _ bool) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		r := opened(t)(shmkit.Create("ended", 1))
		refused(t, shmkit.SendRegion(ctx, one, r), context.Canceled, "SendRegion")
		file := must(r.File())
		defer file.Close()
		refused(t, shmkit.SendFile(ctx, one, file), context.Canceled, "SendFile")
		refused(t, shmkit.SendFiles(ctx, one, []*os.File{file}, []byte("x")), context.Canceled, "SendFiles")
		for op, wait := range waits {
			refused(t, wait(ctx, other), context.Canceled, op)
		}
		works(t, one, other)
	})
}

func TestContextEndsAWait(t *testing.T) {
	forEveryConnection(t, func(t *testing.T, one, other syscall.Conn, _ bool) {
		works(t, one, other)
		unchanged(t, func() {
			for op, wait := range waits {
				ctx, cancel := context.WithTimeout(context.Background(), 3*time.Millisecond)
				refused(t, wait(ctx, other), context.DeadlineExceeded, op, "deadline")
				cancel()
				cancellable, cancel := context.WithCancel(context.Background())
				time.AfterFunc(3*time.Millisecond, cancel)
				refused(t, wait(cancellable, other), context.Canceled, op)
			}
		})
		// Nothing stays behind that would end the next wait.
		works(t, one, other)
		done := make(chan error, 1)
		go func() { done <- waits["RecvRegion"](context.Background(), other) }()
		ok(t, shmkit.SendRegion(context.Background(), one, opened(t)(shmkit.Create("x", 1))))
		ok(t, <-done)
	})
}

func TestContextEndsASend(t *testing.T) {
	forEveryConnection(t, func(t *testing.T, one, other syscall.Conn, _ bool) {
		r := opened(t)(shmkit.Create("full", 100))
		file := must(r.File())
		defer file.Close()
		count := fill(t, one)
		unchanged(t, func() {
			for op, send := range map[string]func(ctx context.Context) error{
				"SendRegion": func(ctx context.Context) error { return shmkit.SendRegion(ctx, one, r) },
				"SendFile":   func(ctx context.Context) error { return shmkit.SendFile(ctx, one, file) },
				"SendFiles":  func(ctx context.Context) error { return shmkit.SendFiles(ctx, one, []*os.File{file}, []byte("x")) },
			} {
				ctx, cancel := context.WithTimeout(context.Background(), 3*time.Millisecond)
				refused(t, send(ctx), context.DeadlineExceeded, op)
				cancel()
			}
		})
		// Nothing of it was sent.
		empty(t, other, count)
		works(t, one, other)
		// And a wait for room ends when there is room.
		count = fill(t, one)
		done := make(chan error, 1)
		go func() { done <- shmkit.SendRegion(soon(t), one, r) }()
		empty(t, other, count)
		ok(t, <-done)
		ok(t, waits["RecvRegion"](soon(t), other))
	})
}

func TestCauseOfAContext(t *testing.T) {
	_, other := pair(t)
	cause := errors.New("the user has left")
	ctx, cancel := context.WithCancelCause(context.Background())
	time.AfterFunc(time.Millisecond, func() { cancel(cause) })
	_, err := shmkit.RecvFile(ctx, other)
	refused(t, err, context.Canceled, "the user has left")
	refused(t, err, cause)
	late, cancelLate := context.WithTimeoutCause(context.Background(), time.Millisecond, cause)
	defer cancelLate()
	_, err = shmkit.RecvFile(late, other)
	refused(t, err, context.DeadlineExceeded, "the user has left")
	refused(t, err, cause)
}

// Many wait on one connection, and one context ends them all: nobody is forgotten.
func TestOneContextEndsManyWaits(t *testing.T) {
	forEveryConnection(t, func(t *testing.T, one, other syscall.Conn, _ bool) {
		for range rounds(20) {
			ctx, cancel := context.WithCancel(context.Background())
			var waiting group
			for range 20 {
				waiting.start(func() {
					if err := waits["RecvRegion"](ctx, other); !errors.Is(err, context.Canceled) {
						t.Errorf("%v", err)
					}
				})
			}
			cancel()
			within(t, "waits whose context has ended", waiting.Wait)
		}
		works(t, one, other)
	})
}

// The end of one wait is no end of another's on the same connection, nor does it wait for it.
func TestWaitsEndApart(t *testing.T) {
	forEveryConnection(t, func(t *testing.T, one, other syscall.Conn, _ bool) {
		patient := make(chan error, 2)
		go func() { patient <- waits["RecvRegion"](context.Background(), other) }()
		go func() { patient <- waits["RecvRegion"](soon(t), other) }()
		within(t, "a wait behind others", func() {
			var waiting group
			for range 10 {
				waiting.start(func() {
					for range 10 {
						ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
						if err := waits["RecvRegion"](ctx, other); !errors.Is(err, context.DeadlineExceeded) {
							t.Errorf("%v", err)
						}
						cancel()
					}
				})
			}
			waiting.Wait()
		})
		r := opened(t)(shmkit.Create("patience", 1))
		for range 2 {
			ok(t, shmkit.SendRegion(soon(t), one, r))
			ok(t, <-patient)
		}
	})
}

// Contexts end at the moment when something comes: it is received or it stays, and no wait is lost.
func TestContextEndsWhenSomethingComes(t *testing.T) {
	forEveryConnection(t, func(t *testing.T, one, other syscall.Conn, _ bool) {
		r := opened(t)(shmkit.Create("race", 1))
		unchanged(t, func() {
			for range rounds(300) {
				ctx, cancel := context.WithCancel(context.Background())
				done := make(chan error, 1)
				go func() { done <- waits["RecvRegion"](ctx, other) }()
				go cancel()
				ok(t, shmkit.SendRegion(context.Background(), one, r))
				if err := <-done; err != nil {
					refused(t, err, context.Canceled)
					ok(t, waits["RecvRegion"](soon(t), other))
				}
			}
		})
	})
}

func TestWaitingHoldsNoThread(t *testing.T) {
	before := threads()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var waiting group
	for range 200 {
		_, other := pair(t)
		waiting.start(func() { waits["RecvRegion"](ctx, other) })
	}
	eventually(t, "200 goroutines in the poller", func() bool { return goroutinesIn("waitRaw") == 200 })
	check(t, threads() < before+50, "%d threads, before %d", threads(), before)
	cancel()
	within(t, "the end of all", waiting.Wait)
}

func TestConnectionIsClosedMeanwhile(t *testing.T) {
	for _, c := range connections {
		t.Run(c.name, func(t *testing.T) {
			for op, wait := range waits {
				for _, ctx := range []context.Context{context.Background(), soon(t)} {
					_, other := c.pair(t)
					closer, is := other.(interface{ Close() error })
					if !is {
						continue // a RawConn is closed by its owner
					}
					done := make(chan error, 1)
					go func() { done <- wait(ctx, other) }()
					eventually(t, "a wait", func() bool { return goroutinesIn("waitRaw") == 1 })
					ok(t, closer.Close())
					within(t, op+" on a connection that was closed", func() {
						err := <-done
						sound2(t, err, net.ErrClosed, os.ErrClosed)
					})
					err := wait(ctx, other)
					sound2(t, err, net.ErrClosed, os.ErrClosed)
				}
			}
		})
	}
}

// sound2 checks that an error is one of two.
func sound2(t testing.TB, err, one, other error) {
	t.Helper()
	if !errors.Is(err, one) {
		refused(t, err, other)
	} else {
		refused(t, err, one)
	}
}

func TestPeerHasClosed(t *testing.T) {
	for _, kind := range []int{syscall.SOCK_SEQPACKET, syscall.SOCK_STREAM} {
		for op, wait := range waits {
			fd, peer := socketpair(t, kind)
			one := unixConn(t, fd)
			done := make(chan error, 1)
			go func() { done <- wait(context.Background(), one) }()
			eventually(t, "a wait", func() bool { return goroutinesIn("waitRaw") == 1 })
			ok(t, syscall.Close(peer))
			refused(t, <-done, syscall.ECONNRESET, op)
			refused(t, wait(soon(t), one), syscall.ECONNRESET, op)
			r := opened(t)(shmkit.Create("x", 1))
			refused(t, shmkit.SendRegion(soon(t), one, r), syscall.EPIPE, "SendRegion")
		}
	}
}

func TestSocketsThatBlock(t *testing.T) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	ok(t, err)
	one, other := socketFile(t, fds[0]), socketFile(t, fds[1])
	for op, wait := range waits {
		refused(t, wait(soon(t), other), syscall.EINVAL, op, "blocks", "SetNonblock")
		refused(t, wait(soon(t), shmkit.RawConn(must(other.SyscallConn()))), syscall.EINVAL, op, "blocks")
	}
	r := opened(t)(shmkit.Create("x", 1))
	refused(t, shmkit.SendRegion(soon(t), one, r), syscall.EINVAL, "SendRegion", "net.FileConn")
	// The remedy.
	connected, err := net.FileConn(one)
	ok(t, err)
	defer connected.Close()
	ok(t, shmkit.SendRegion(soon(t), connected.(*net.UnixConn), r))
	connected2, err := net.FileConn(other)
	ok(t, err)
	defer connected2.Close()
	ok(t, waits["RecvRegion"](soon(t), connected2.(*net.UnixConn)))
}

func TestNoUnixSockets(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skip("no TCP here:", err)
	}
	defer listener.Close()
	conn, err := net.Dial("tcp", listener.Addr().String())
	ok(t, err)
	defer conn.Close()
	r := opened(t)(shmkit.Create("x", 1))
	refused(t, shmkit.SendRegion(soon(t), conn.(syscall.Conn), r), syscall.EOPNOTSUPP, "SendRegion")
	_, err = shmkit.PeerOf(conn.(syscall.Conn))
	refused(t, err, syscall.EOPNOTSUPP, "PeerOf")
	readable, writable, err := os.Pipe()
	ok(t, err)
	defer readable.Close()
	defer writable.Close()
	ok(t, syscall.SetNonblock(int(writable.Fd()), true))
	refused(t, shmkit.SendRegion(soon(t), writable, r), syscall.ENOTSOCK, "SendRegion")
	directory, err := os.Open("/")
	ok(t, err)
	defer directory.Close()
	err = shmkit.SendRegion(soon(t), directory, r)
	sound(t, err)
}

// A deadline that the program itself has set is told as such, and not waited beyond.
func TestDeadlinesOfTheProgram(t *testing.T) {
	one, other := pair(t)
	for _, ctx := range []context.Context{context.Background(), soon(t)} {
		ok(t, other.SetReadDeadline(time.Unix(1, 0)))
		for op, wait := range waits {
			within(t, op+" after a deadline", func() {
				err := wait(ctx, other)
				if !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("%s: %v", op, err)
				}
			})
		}
		ok(t, other.SetReadDeadline(time.Time{}))
		works(t, one, other)
	}
}

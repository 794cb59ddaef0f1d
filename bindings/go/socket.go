package shmkit

import (
	"context"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"shmkit/internal/capi"
)

// Listen opens a Unix socket of type SOCK_SEQPACKET that waits for connections. The path has at most 107
// bytes; "@name" is a name in the abstract namespace, which any user of the machine may connect to and
// which goes with the socket.
//
// A socket file whose socket is gone is replaced; anything else that stands there is EADDRINUSE. The
// file is removed when the listener is closed. Errors: EINVAL (an empty path), ENAMETOOLONG, EADDRINUSE,
// EACCES, ENOENT, ENOTDIR, EROFS, EMFILE.
func Listen(path string) (*net.UnixListener, error) {
	const op = "Listen"
	if err := noNUL(op, "the path", path); err != nil {
		return nil, err
	}
	fd, f := capi.Listen(path)
	if f != nil {
		return nil, failure(op, f)
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close()
	abstract := strings.HasPrefix(path, "@")
	listener, err := net.FileListener(file)
	if err != nil {
		if !abstract {
			os.Remove(path)
		}
		return nil, caused(op, err)
	}
	unix := listener.(*net.UnixListener)
	unix.SetUnlinkOnClose(!abstract)
	return unix, nil
}

// Accept waits for a connection and takes it, or ends with ctx. To end the wait, the listener's deadline
// is used, and none is set afterwards.
func Accept(ctx context.Context, listener *net.UnixListener) (*net.UnixConn, error) {
	const op = "Accept"
	if listener == nil {
		return nil, refused(op, syscall.EINVAL, "the listener is nil")
	}
	if ctx.Err() != nil {
		return nil, ended(op, ctx)
	}
	var conn *net.UnixConn
	err := until(ctx, op, listener, toReceive, listener.SetDeadline, func() (err error) {
		conn, err = listener.AcceptUnix()
		return err
	})
	return conn, err
}

// Dial connects to a listening SOCK_SEQPACKET socket, and waits while its queue is full, until ctx ends.
// The path is as for Listen. Errors: EINVAL, ENAMETOOLONG, ENOENT (nothing is there), ECONNREFUSED
// (nobody listens), EACCES, EPROTOTYPE (the listener is of another type), EMFILE.
func Dial(ctx context.Context, path string) (*net.UnixConn, error) {
	const op = "Dial"
	if err := noNUL(op, "the path", path); err != nil {
		return nil, err
	}
	// The kernel tells nobody when a queue has room again.
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		if ctx.Err() != nil {
			return nil, ended(op, ctx)
		}
		fd, f := capi.Connect(path)
		if f == nil {
			return connOf(op, fd, path)
		}
		if f.Code != -int(syscall.ETIMEDOUT) {
			return nil, failure(op, f)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// Pair makes two connected sockets of type SOCK_SEQPACKET: one for this process, and one for a child,
// which gets its File by exec.Cmd.ExtraFiles and calls net.FileConn on it.
func Pair() (*net.UnixConn, *net.UnixConn, error) {
	const op = "Pair"
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, caused(op, err)
	}
	one, err := connOf(op, fds[0], "pair")
	if err != nil {
		syscall.Close(fds[1])
		return nil, nil, err
	}
	other, err := connOf(op, fds[1], "pair")
	if err != nil {
		one.Close()
		return nil, nil, err
	}
	return one, other, nil
}

// connOf takes over a connected socket.
func connOf(op string, fd int, name string) (*net.UnixConn, error) {
	file := os.NewFile(uintptr(fd), name)
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, caused(op, err)
	}
	return conn.(*net.UnixConn), nil
}

package shmkit

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"shmkit/internal/capi"
)

// What waits for a socket waits in Go's netpoller: the calls into C never block.

type direction int

const (
	toReceive direction = iota
	toSend
)

// exchange tries until the socket has something, or room; ctx ends the wait.
func exchange(ctx context.Context, op string, conn syscall.Conn, direction direction, try func(socket int) *capi.Failure) error {
	var f *capi.Failure
	err := wait(ctx, op, conn, direction, func(socket uintptr) bool {
		f = try(int(socket))
		return f == nil || f.Code != -int(syscall.EAGAIN)
	})
	if err != nil {
		return err
	}
	return failure(op, f)
}

// wait calls done again whenever the socket is ready, until it returns true.
func wait(ctx context.Context, op string, conn syscall.Conn, direction direction, done func(socket uintptr) bool) error {
	if err := ctx.Err(); err != nil {
		return ended(op, ctx)
	}
	raw, err := rawOf(op, conn)
	if err != nil {
		return err
	}
	if ctx.Done() == nil {
		return waited(op, ctx, waitRaw(raw, direction, done))
	}
	// Mostly nothing has to be waited for, and then ctx costs nothing.
	finished := false
	err = waitRaw(raw, direction, func(socket uintptr) bool {
		finished = done(socket)
		return true
	})
	if err != nil || finished {
		return waited(op, ctx, err)
	}
	deadline, undo, err := deadlines(op, conn, raw)
	if err != nil {
		return err
	}
	defer undo()
	return waited(op, ctx, until(ctx, deadline, direction, done))
}

// deadliner is a connection whose waits can be ended.
type deadliner interface {
	syscall.Conn
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// deadlines is the connection, or one for the same socket, that can be ended.
func deadlines(op string, conn syscall.Conn, raw syscall.RawConn) (deadliner, func(), error) {
	if conn, ok := conn.(deadliner); ok {
		return conn, func() {}, nil
	}
	var fd int
	var err error
	if failed := raw.Control(func(socket uintptr) { fd, err = fcntl(int(socket), syscall.F_DUPFD_CLOEXEC) }); failed != nil {
		err = failed
	}
	if err != nil {
		return nil, nil, caused(op, err)
	}
	file := os.NewFile(uintptr(fd), "socket")
	return file, func() { file.Close() }, nil
}

// until waits with a deadline that ctx brings forward.
func until(ctx context.Context, conn deadliner, direction direction, done func(socket uintptr) bool) error {
	set := conn.SetReadDeadline
	if direction == toSend {
		set = conn.SetWriteDeadline
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	over := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		set(time.Unix(1, 0))
		close(over)
	})
	err = waitRaw(raw, direction, done)
	if !stop() {
		<-over
		set(time.Time{})
	}
	return err
}

func waitRaw(raw syscall.RawConn, direction direction, done func(socket uintptr) bool) error {
	if direction == toSend {
		return raw.Write(done)
	}
	return raw.Read(done)
}

// waited says what ended a wait.
func waited(op string, ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		return ended(op, ctx)
	}
	return caused(op, err)
}

func ended(op string, ctx context.Context) error {
	return &Error{Op: op, Message: "gave up: " + context.Cause(ctx).Error(), cause: context.Cause(ctx)}
}

// control calls once, without waiting.
func control(op string, conn syscall.Conn, call func(socket int) *capi.Failure) error {
	raw, err := rawOf(op, conn)
	if err != nil {
		return err
	}
	var f *capi.Failure
	if err := raw.Control(func(fd uintptr) { f = call(int(fd)) }); err != nil {
		return caused(op, err)
	}
	return failure(op, f)
}

// rawOf is the raw connection, which must not block: a thread would.
func rawOf(op string, conn syscall.Conn) (syscall.RawConn, error) {
	unix, known := conn.(*net.UnixConn)
	if conn == nil || known && unix == nil {
		return nil, refused(op, syscall.EINVAL, "the connection is nil")
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, caused(op, err)
	}
	if known {
		return raw, nil
	}
	var flags int
	var failed error
	if err := raw.Control(func(fd uintptr) { flags, failed = fcntl(int(fd), syscall.F_GETFL) }); err != nil {
		return nil, caused(op, err)
	}
	if failed != nil {
		return nil, caused(op, failed)
	}
	if flags&syscall.O_NONBLOCK == 0 {
		return nil, refused(op, syscall.EINVAL, "the socket blocks: make a connection of it by net.FileConn, or call syscall.SetNonblock before os.NewFile")
	}
	return raw, nil
}

// RawConn makes a syscall.Conn of a syscall.RawConn, for SendRegion and the like. The socket must not
// block. A wait that ctx can end costs a descriptor of its own.
func RawConn(raw syscall.RawConn) syscall.Conn { return rawConn{raw} }

type rawConn struct{ raw syscall.RawConn }

func (c rawConn) SyscallConn() (syscall.RawConn, error) {
	if c.raw == nil {
		return nil, os.ErrInvalid
	}
	return c.raw, nil
}

// sendRest sends what is left of a payload on a stream.
func sendRest(ctx context.Context, op string, conn syscall.Conn, rest []byte) error {
	var failed error
	err := wait(ctx, op, conn, toSend, func(socket uintptr) bool {
		for len(rest) > 0 {
			n, err := ignoringEINTR(func() (int, error) {
				return syscall.SendmsgN(int(socket), rest, nil, nil, syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL)
			})
			if err == syscall.EAGAIN {
				return false
			}
			if err != nil {
				failed = err
				return true
			}
			rest = rest[n:]
		}
		return true
	})
	if err == nil && failed != nil {
		err = caused(op, failed)
	}
	return err
}

// recvRest receives what is left of a payload on a stream. Whatever descriptors come with it are too
// many: the kernel closes them.
func recvRest(ctx context.Context, op string, conn syscall.Conn, rest []byte) error {
	var failed error
	err := wait(ctx, op, conn, toReceive, func(socket uintptr) bool {
		for len(rest) > 0 {
			var flags int
			n, err := ignoringEINTR(func() (n int, err error) {
				n, _, flags, _, err = syscall.Recvmsg(int(socket), rest, nil, syscall.MSG_DONTWAIT)
				return n, err
			})
			switch {
			case err == syscall.EAGAIN:
				return false
			case err != nil:
				failed = caused(op, err)
			case n == 0:
				failed = refused(op, syscall.ECONNRESET, "the peer closed the connection with %d bytes still to come", len(rest))
			case flags&syscall.MSG_CTRUNC != 0:
				failed = refused(op, syscall.EPROTO, "more descriptors came than were expected")
			}
			if failed != nil {
				return true
			}
			rest = rest[n:]
		}
		return true
	})
	if err == nil {
		err = failed
	}
	return err
}

func isStream(socket int) bool {
	kind, err := syscall.GetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_TYPE)
	return err == nil && kind == syscall.SOCK_STREAM
}

func ignoringEINTR(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != syscall.EINTR {
			return n, err
		}
	}
}

func fcntl(fd, command int) (int, error) {
	result, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), uintptr(command), 0)
	if errno != 0 {
		return 0, errno
	}
	return int(result), nil
}

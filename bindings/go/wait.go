package shmkit

import (
	"cmp"
	"context"
	"errors"
	"net"
	"os"
	"reflect"
	"sync"
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
	a := attempts.Get().(*attempt)
	a.try = try
	err := wait(ctx, op, conn, direction, a.done)
	f := a.failure
	a.try, a.failure = nil, nil
	attempts.Put(a)
	if err != nil {
		return err
	}
	return failure(op, f)
}

// attempt is what exchange does at a socket. It is used again, as is look: what the compiler makes of
// function literals here, six allocations, costs a twentieth of a hand-over.
type attempt struct {
	try     func(socket int) *capi.Failure
	failure *capi.Failure
	done    func(socket uintptr) bool
}

var attempts = sync.Pool{New: func() any {
	a := new(attempt)
	a.done = func(socket uintptr) bool {
		a.failure = a.try(int(socket))
		return a.failure == nil || a.failure.Code != -int(syscall.EAGAIN)
	}
	return a
}}

// look is what wait does at a socket before it waits.
type look struct {
	done     func(socket uintptr) bool
	finished bool
	once     func(socket uintptr)
}

var looks = sync.Pool{New: func() any {
	l := new(look)
	l.once = func(socket uintptr) { l.finished = l.done(socket) }
	return l
}}

func lookOnce(raw syscall.RawConn, done func(socket uintptr) bool) (finished bool, err error) {
	l := looks.Get().(*look)
	l.done, l.finished = done, false
	err = raw.Control(l.once)
	finished = l.finished
	l.done = nil
	looks.Put(l)
	return finished, err
}

// wait calls done again whenever the socket is ready, until it returns true.
func wait(ctx context.Context, op string, conn syscall.Conn, direction direction, done func(socket uintptr) bool) error {
	if ctx.Err() != nil {
		return ended(op, ctx)
	}
	raw, err := rawOf(op, conn)
	if err != nil {
		return err
	}
	// Mostly nothing has to be waited for, and then ctx costs nothing. Control does not queue behind those
	// who wait.
	if finished, err := lookOnce(raw, done); err != nil || finished {
		return waited(op, ctx, err)
	}
	if set := deadlineOf(conn, direction); set != nil {
		return until(ctx, op, conn, direction, set, func() error { return waitRaw(raw, direction, done) })
	}
	if ctx.Done() == nil {
		return waited(op, ctx, waitRaw(raw, direction, done))
	}
	// What has no deadline gets one by another descriptor of the same socket.
	file, err := duplicate(op, raw)
	if err != nil {
		return err
	}
	defer file.Close()
	return wait(ctx, op, file, direction, done)
}

func duplicate(op string, raw syscall.RawConn) (*os.File, error) {
	var fd int
	var err error
	if failed := raw.Control(func(socket uintptr) { fd, err = fcntl(int(socket), syscall.F_DUPFD_CLOEXEC) }); failed != nil {
		err = failed
	}
	if err != nil {
		return nil, caused(op, err)
	}
	return os.NewFile(uintptr(fd), "socket"), nil
}

// deadlineOf is what sets the deadline of a connection, where it has one.
func deadlineOf(conn syscall.Conn, direction direction) func(time.Time) error {
	switch conn.(type) {
	case *net.UnixConn, *os.File:
		conn := conn.(interface {
			SetReadDeadline(time.Time) error
			SetWriteDeadline(time.Time) error
		})
		if direction == toSend {
			return conn.SetWriteDeadline
		}
		return conn.SetReadDeadline
	}
	return nil
}

// until runs a wait on conn that ctx ends by the deadline.
func until(ctx context.Context, op string, conn any, direction direction, deadline func(time.Time) error, wait func() error) error {
	giveBack := takeTurn(ctx, conn, direction)
	if giveBack == nil {
		return ended(op, ctx)
	}
	defer giveBack()
	over := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		deadline(time.Unix(1, 0))
		close(over)
	})
	err := wait()
	if !stop() {
		<-over
		deadline(time.Time{})
	}
	return waited(op, ctx, err)
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

// ended is the error of a context, which matches its cause as well.
func ended(op string, ctx context.Context) error {
	why := context.Cause(ctx)
	e := &Error{Op: op, Message: "gave up: " + why.Error(), cause: why}
	if !errors.Is(why, ctx.Err()) {
		e.cause = errors.Join(ctx.Err(), why)
	}
	return e
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

// rawOf is the raw connection of a Unix socket, which must not block: a thread would.
func rawOf(op string, conn syscall.Conn) (syscall.RawConn, error) {
	if conn == nil || conn == syscall.Conn(rawConn{}) {
		return nil, refused(op, syscall.EINVAL, "the connection is nil")
	}
	if value := reflect.ValueOf(conn); value.Kind() == reflect.Pointer && value.IsNil() {
		return nil, refused(op, syscall.EINVAL, "the connection is nil, of type %T", conn)
	}
	_, known := conn.(*net.UnixConn)
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, caused(op, err)
	}
	if known {
		return raw, nil
	}
	var flags, domain int
	var failed error
	err = raw.Control(func(fd uintptr) {
		if domain, failed = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_DOMAIN); failed == nil {
			flags, failed = fcntl(int(fd), syscall.F_GETFL)
		}
	})
	if err != nil || failed != nil {
		return nil, caused(op, cmp.Or(err, failed))
	}
	if domain != syscall.AF_UNIX {
		// TCP can swallow a descriptor, and say success.
		return nil, refused(op, syscall.EOPNOTSUPP, "that is no Unix socket, but one of domain %d", domain)
	}
	if flags&syscall.O_NONBLOCK == 0 {
		return nil, refused(op, syscall.EINVAL, "the socket blocks: make a connection of it by net.FileConn, or call syscall.SetNonblock before os.NewFile")
	}
	return raw, nil
}

// RawConn makes a syscall.Conn of a syscall.RawConn, for SendRegion and the like. The socket must not
// block. A wait that ctx can end costs a descriptor of its own, and goes on when the socket is closed here.
func RawConn(raw syscall.RawConn) syscall.Conn { return rawConn{raw} }

type rawConn struct{ raw syscall.RawConn }

func (c rawConn) SyscallConn() (syscall.RawConn, error) { return c.raw, nil }

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
// many. What else comes, as credentials, is no matter of ours.
func recvRest(ctx context.Context, op string, conn syscall.Conn, rest []byte) error {
	var failed error
	err := wait(ctx, op, conn, toReceive, func(socket uintptr) bool {
		for len(rest) > 0 {
			var control [2048]byte // more than FilesMax need
			var controls int
			n, err := ignoringEINTR(func() (n int, err error) {
				n, controls, _, _, err = syscall.Recvmsg(int(socket), rest, control[:], syscall.MSG_DONTWAIT|syscall.MSG_CMSG_CLOEXEC)
				return n, err
			})
			switch {
			case err == syscall.EAGAIN:
				return false
			case err != nil:
				failed = caused(op, err)
			case n == 0:
				failed = refused(op, syscall.ECONNRESET, "the peer closed the connection with %d bytes still to come", len(rest))
			case closeReceived(control[:controls]) > 0:
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

// closeReceived closes the descriptors that came with a message, and counts them.
func closeReceived(control []byte) (count int) {
	messages, _ := syscall.ParseSocketControlMessage(control)
	for _, message := range messages {
		fds, _ := syscall.ParseUnixRights(&message)
		for _, fd := range fds {
			syscall.Close(fd)
		}
		count += len(fds)
	}
	return count
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

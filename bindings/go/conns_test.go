package shmkit_test

import (
	"net"
	"os"
	"syscall"
	"testing"

	"shmkit"
)

// noConns are connections that are nil, in each way that there is.
func noConns() []syscall.Conn {
	return []syscall.Conn{nil, (*net.UnixConn)(nil), (*os.File)(nil), shmkit.RawConn(nil), (*net.TCPConn)(nil)}
}

func socketpair(t testing.TB, kind int) (int, int) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, kind|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	ok(t, err)
	return fds[0], fds[1]
}

func unixConn(t testing.TB, fd int) *net.UnixConn {
	t.Helper()
	file := os.NewFile(uintptr(fd), "socket")
	defer file.Close()
	conn, err := net.FileConn(file)
	ok(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.UnixConn)
}

func socketFile(t testing.TB, fd int) *os.File {
	file := os.NewFile(uintptr(fd), "socket")
	t.Cleanup(func() { file.Close() })
	return file
}

// connections are the ways to give a connection: pairs that are connected.
var connections = []struct {
	name   string
	stream bool
	pair   func(t testing.TB) (syscall.Conn, syscall.Conn)
}{
	{"Pair", false, func(t testing.TB) (syscall.Conn, syscall.Conn) { return pair2(pair(t)) }},
	{"stream", true, func(t testing.TB) (syscall.Conn, syscall.Conn) {
		one, other := socketpair(t, syscall.SOCK_STREAM)
		return unixConn(t, one), unixConn(t, other)
	}},
	{"file", false, func(t testing.TB) (syscall.Conn, syscall.Conn) {
		one, other := socketpair(t, syscall.SOCK_SEQPACKET)
		return socketFile(t, one), socketFile(t, other)
	}},
	{"streamFile", true, func(t testing.TB) (syscall.Conn, syscall.Conn) {
		one, other := socketpair(t, syscall.SOCK_STREAM)
		return socketFile(t, one), socketFile(t, other)
	}},
	{"RawConn", false, func(t testing.TB) (syscall.Conn, syscall.Conn) {
		one, other := pair(t)
		return shmkit.RawConn(must(one.SyscallConn())), shmkit.RawConn(must(other.SyscallConn()))
	}},
	{"streamRawConn", true, func(t testing.TB) (syscall.Conn, syscall.Conn) {
		one, other := socketpair(t, syscall.SOCK_STREAM)
		return shmkit.RawConn(must(unixConn(t, one).SyscallConn())), shmkit.RawConn(must(socketFile(t, other).SyscallConn()))
	}},
	{"Dial", false, func(t testing.TB) (syscall.Conn, syscall.Conn) {
		ctx := soon(t)
		listener, err := shmkit.Listen("@" + newSocketName())
		ok(t, err)
		defer listener.Close()
		one, err := shmkit.Dial(ctx, listener.Addr().String())
		ok(t, err)
		other, err := shmkit.Accept(ctx, listener)
		ok(t, err)
		t.Cleanup(func() { one.Close(); other.Close() })
		return one, other
	}},
}

func pair2(one, other *net.UnixConn) (syscall.Conn, syscall.Conn) { return one, other }

func forEveryConnection(t *testing.T, test func(t *testing.T, one, other syscall.Conn, stream bool)) {
	for _, c := range connections {
		t.Run(c.name, func(t *testing.T) {
			one, other := c.pair(t)
			test(t, one, other, c.stream)
		})
	}
}

// fill sends until the socket takes no more, and returns how many messages went. Each has a byte.
func fill(t testing.TB, conn syscall.Conn) (count int) {
	t.Helper()
	raw, err := conn.SyscallConn()
	ok(t, err)
	ok(t, raw.Control(func(fd uintptr) {
		for syscall.Sendto(int(fd), []byte{0}, syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, nil) == nil {
			count++
		}
	}))
	return count
}

// empty receives what fill has sent.
func empty(t testing.TB, conn syscall.Conn, count int) {
	t.Helper()
	raw, err := conn.SyscallConn()
	ok(t, err)
	ok(t, raw.Control(func(fd uintptr) {
		for range count {
			if _, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_DONTWAIT); err != nil {
				t.Error(err)
				return
			}
		}
	}))
}

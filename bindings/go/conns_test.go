package shmkit_test

import (
	"net"
	"os"
	"syscall"

	"shmkit"
)

// noConns are connections that are nil, in each way that there is.
func noConns() []syscall.Conn {
	return []syscall.Conn{nil, (*net.UnixConn)(nil), (*os.File)(nil), shmkit.RawConn(nil), (*net.TCPConn)(nil)}
}

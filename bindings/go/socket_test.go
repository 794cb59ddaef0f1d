package shmkit_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"shmkit"
)

func TestListening(t *testing.T) {
	path := newPath(t)
	first, err := shmkit.Listen(path)
	ok(t, err)
	_, err = shmkit.Listen(path)
	refused(t, err, syscall.EADDRINUSE, "Listen", filepath.Base(path))
	// A socket whose owner was killed is replaced; a file that is none is not.
	first.SetUnlinkOnClose(false)
	ok(t, first.Close())
	_, err = shmkit.Dial(soon(t), path)
	refused(t, err, syscall.ECONNREFUSED, "Dial")
	second, err := shmkit.Listen(path)
	ok(t, err)
	ok(t, second.Close())
	_, err = os.Lstat(path)
	check(t, errors.Is(err, fs.ErrNotExist), "the file was left")
	_, err = shmkit.Dial(soon(t), path)
	refused(t, err, syscall.ENOENT, "Dial", filepath.Base(path))
	ok(t, os.WriteFile(path, nil, 0o600))
	_, err = shmkit.Listen(path)
	refused(t, err, syscall.EADDRINUSE, "Listen")

	abstract := "@" + newSocketName()
	third, err := shmkit.Listen(abstract)
	ok(t, err)
	_, err = shmkit.Listen(abstract)
	refused(t, err, syscall.EADDRINUSE, "Listen", "abstract")
	ok(t, third.Close())
	fourth, err := shmkit.Listen(abstract)
	ok(t, err)
	ok(t, fourth.Close())
}

func TestPathsOfSockets(t *testing.T) {
	directory := t.TempDir()
	for _, row := range []struct {
		path string
		want error
	}{
		{"", syscall.EINVAL}, {"@", syscall.EINVAL}, {"with\x00NUL", syscall.EINVAL}, {"@with\x00NUL", syscall.EINVAL},
		{strings.Repeat("n", 108), syscall.ENAMETOOLONG}, {"@" + strings.Repeat("n", 107), syscall.ENAMETOOLONG}, {strings.Repeat("n", 1<<20), syscall.ENAMETOOLONG},
		{directory + "/none/x", syscall.ENOENT},
	} {
		unchanged(t, func() {
			_, err := shmkit.Listen(row.path)
			refused(t, err, row.want, "Listen")
			_, err = shmkit.Dial(soon(t), row.path)
			refused(t, err, row.want, "Dial")
		})
	}
	long := strings.Repeat("n", 107)
	t.Chdir(directory)
	for _, path := range []string{long, "@" + long[1:]} {
		unchanged(t, func() {
			listener, err := shmkit.Listen(path)
			ok(t, err)
			conn, err := shmkit.Dial(soon(t), path)
			ok(t, err)
			ok(t, conn.Close())
			ok(t, listener.Close())
			_, err = os.Lstat(path)
			check(t, errors.Is(err, fs.ErrNotExist), "the file was left")
		})
	}
	stream, err := net.Listen("unix", "stream")
	ok(t, err)
	defer stream.Close()
	_, err = shmkit.Dial(soon(t), "stream")
	refused(t, err, syscall.EPROTOTYPE, "Dial")
}

func TestAcceptingAndDialling(t *testing.T) {
	name := "@" + newSocketName()
	listener, err := shmkit.Listen(name)
	ok(t, err)
	defer listener.Close()
	_, err = shmkit.Accept(ended(), listener)
	refused(t, err, context.Canceled, "Accept")
	_, err = shmkit.Dial(ended(), name)
	refused(t, err, context.Canceled, "Dial")
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Millisecond)
	defer cancel()
	_, err = shmkit.Accept(ctx, listener)
	refused(t, err, context.DeadlineExceeded, "Accept")

	// Many wait; one context ends them all, and none of the others.
	var waiting group
	patient := make(chan error, 1)
	go func() {
		conn, err := shmkit.Accept(context.Background(), listener)
		if err == nil {
			conn.Close()
		}
		patient <- err
	}()
	short, cancel := context.WithCancel(context.Background())
	for range 20 {
		waiting.start(func() {
			_, err := shmkit.Accept(short, listener)
			refusedInGoroutine(t, err, context.Canceled)
		})
	}
	cancel()
	within(t, "Accept whose context has ended", waiting.Wait)
	conn, err := shmkit.Dial(soon(t), name)
	ok(t, err)
	ok(t, <-patient)
	conn.Close()

	closed := make(chan error, 1)
	go func() { _, err := shmkit.Accept(soon(t), listener); closed <- err }()
	listener.Close()
	refused(t, <-closed, net.ErrClosed, "Accept")
	_, err = shmkit.Accept(soon(t), listener)
	refused(t, err, net.ErrClosed, "Accept")
	_, err = shmkit.Accept(soon(t), &net.UnixListener{})
	sound(t, err)
}

func TestDiallingAFullQueue(t *testing.T) {
	// A listener with room for one.
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	ok(t, err)
	name := newSocketName()
	ok(t, syscall.Bind(fd, &syscall.SockaddrUnix{Name: "@" + name}))
	ok(t, syscall.Listen(fd, 0))
	file := socketFile(t, fd)
	listener, err := net.FileListener(file)
	ok(t, err)
	defer listener.Close()
	first, err := shmkit.Dial(soon(t), "@"+name)
	ok(t, err)
	defer first.Close()
	unchanged(t, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
		defer cancel()
		_, err = shmkit.Dial(ctx, "@"+name)
		refused(t, err, context.DeadlineExceeded, "Dial")
	})
	dialled := make(chan error, 1)
	go func() {
		second, err := shmkit.Dial(soon(t), "@"+name)
		if err == nil {
			second.Close()
		}
		dialled <- err
	}()
	accepted, err := shmkit.Accept(soon(t), listener.(*net.UnixListener))
	ok(t, err)
	accepted.Close()
	ok(t, <-dialled)
}

func TestPeers(t *testing.T) {
	one, _ := pair(t)
	unchanged(t, func() {
		peer, err := shmkit.PeerOf(one)
		ok(t, err)
		equal(t, peer.PID, os.Getpid())
		if peer.PIDFD != nil {
			ok(t, peer.PIDFD.Close())
		}
	})
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_NONBLOCK, 0)
	ok(t, err)
	_, err = shmkit.PeerOf(socketFile(t, fd))
	refused(t, err, syscall.ENOTCONN, "PeerOf")
	one.Close()
	_, err = shmkit.PeerOf(one)
	refused(t, err, net.ErrClosed, "PeerOf")
}

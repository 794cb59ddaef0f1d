// Waits for one region from sender, and shows what came.
//
//	receiver SOCKET           a path, or @name for the abstract namespace
//
// The sender is not trusted: the library checks the region before it maps it, this program what the
// sender wrote into it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"shmkit"
	"shmkit.examples/message"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: receiver SOCKET")
		os.Exit(2)
	}
	message.Exit(show(os.Args[1]))
}

func show(socket string) error {
	region, err := receive(socket)
	if err != nil {
		return err
	}
	defer region.Close()
	file, err := region.File()
	if err != nil {
		return err
	}
	defer file.Close()
	if err := message.PrintRegion("receiver", region, file); err != nil {
		return err
	}
	if err := printShrink(file); err != nil {
		return err
	}

	// The sender can still write: its numbers are read once, then checked, then used.
	head, err := shmkit.Load[message.Head](region, 0)
	if err != nil {
		return err
	}
	return region.Bytes(func(b []byte) error {
		text, inside := part(b, head.TextOffset, head.TextSize)
		data, alsoInside := part(b, head.FileOffset, head.FileSize)
		if !inside || !alsoInside {
			return errors.New("receiver: the head of the region points out of it")
		}
		fmt.Printf("共享内存中的文件内容是: %s\n", text)
		message.PrintSHA256("receiver: sha256", data, "-")
		return nil
	})
}

// receive waits for one connection, and for a region from it. A signal ends the wait, so that the
// socket's file goes.
func receive(socket string) (*shmkit.Region, error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	listener, err := shmkit.Listen(socket)
	if err != nil {
		return nil, err
	}
	fmt.Printf("waiting on %s\n", socket)
	conn, err := shmkit.Accept(ctx, listener)
	listener.Close()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	sender, err := shmkit.PeerOf(conn)
	if err != nil {
		return nil, err
	}
	sender.PIDFD.Close()
	region, err := shmkit.RecvRegion(ctx, conn, shmkit.ReadOnly, shmkit.SizeMin(message.HeadSize))
	if err != nil {
		return nil, err
	}
	fmt.Printf("receiver: process %d, connected to process %d\n", os.Getpid(), sender.PID)
	return region, nil
}

// printShrink shows that nobody can make the region smaller, not even by its own descriptor.
func printShrink(file *os.File) error {
	err := file.Truncate(0)
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return errors.New("receiver: the region could be shrunk")
	}
	fmt.Printf("receiver: shrinking it: %s\n", message.Text(errno))
	if errno != syscall.EPERM {
		return err
	}
	return nil
}

// part is size bytes of b from an offset on, if they are in it.
func part(b []byte, offset, size uint64) ([]byte, bool) {
	if offset > uint64(len(b)) || size > uint64(len(b))-offset {
		return nil, false
	}
	return b[offset:][:size], true
}

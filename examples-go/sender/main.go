// Puts a text and a file into a region and hands it to receiver, a process started on its own.
//
//	receiver SOCKET           first, in one terminal
//	sender SOCKET FILE        then, in another
//
// The file is read straight into the region: its bytes are in memory once, for both processes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"shmkit"
	"shmkit.examples/message"
)

const text = "这段内容是保存在共享内存里的,接收方和发送方都能根据自己的fd访问到这块内容"

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: sender SOCKET FILE")
		os.Exit(2)
	}
	message.Exit(send(os.Args[1], os.Args[2]))
}

func send(socket, path string) error {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // so that a FIFO does not wait
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: not a regular file", path)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := shmkit.Dial(ctx, socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	receiver, err := shmkit.PeerOf(conn)
	if err != nil {
		return err
	}
	receiver.PIDFD.Close()
	fmt.Printf("sender: process %d, connected to process %d\n", os.Getpid(), receiver.PID)

	head := message.Head{
		TextOffset: uint64(message.HeadSize),
		TextSize:   uint64(len(text)),
		FileOffset: uint64(message.HeadSize + len(text)),
		FileSize:   uint64(info.Size()),
	}
	region, err := shmkit.Create("sender", int(head.FileOffset+head.FileSize))
	if err != nil {
		return err
	}
	defer region.Close()
	if err := shmkit.Store(region, 0, head); err != nil {
		return err
	}
	err = region.Bytes(func(b []byte) error {
		copy(b[head.TextOffset:], text)
		return readFile(file, b[head.FileOffset:])
	})
	if err != nil {
		return err
	}
	if err := shmkit.SendRegion(context.Background(), conn, region); err != nil {
		return err
	}
	conn.Close()

	// The region is the receiver's too from here on; this process only reads it.
	shared, err := region.File()
	if err != nil {
		return err
	}
	defer shared.Close()
	if err := message.PrintRegion("sender", region, shared); err != nil {
		return err
	}
	return region.Bytes(func(b []byte) error {
		message.PrintSHA256("sender: sha256", b[head.FileOffset:], path)
		return nil
	})
}

// readFile reads exactly as many bytes as there is room; a file that is shorter or longer by now is an
// error.
func readFile(file *os.File, data []byte) error {
	for done := 0; done < len(data); {
		n, err := io.ReadFull(file, data[done:min(done+message.Chunk, len(data))])
		if err != nil {
			return changed(file, data, err)
		}
		message.ShowProgress("reading", done, done+n, len(data))
		done += n
	}
	if n, err := file.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		return changed(file, data, err)
	}
	return nil
}

// changed is the error for a read that did not go as the file's size said.
func changed(file *os.File, data []byte, err error) error {
	if err == nil || err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%s: changed while it was read: it had %d bytes", file.Name(), len(data))
	}
	return err
}

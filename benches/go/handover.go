package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
	"shmkit"
)

// Both ends are in one process, so that the work is timed and not the waking of a sleeper.

func handoverFD(b *bench) (ours, reference step, err error) {
	near, far, file, err := connected(b)
	if err != nil {
		return nil, nil, err
	}
	raw, err := newRawPair(near, far, 1, 1)
	ctx := context.Background()
	ours = func() error {
		if err := shmkit.SendFile(ctx, near, file); err != nil {
			return err
		}
		received, err := shmkit.RecvFile(ctx, far)
		if err != nil {
			return err
		}
		return received.Close()
	}
	reference = func() error {
		if err := raw.send(file); err != nil {
			return err
		}
		fds, err := raw.receive()
		if err != nil {
			return err
		}
		return os.NewFile(uintptr(fds[0]), "received").Close()
	}
	return ours, reference, err
}

func handoverFDs(b *bench) (ours, reference step, err error) {
	near, far, file, err := connected(b)
	if err != nil {
		return nil, nil, err
	}
	files := make([]*os.File, shmkit.FilesMax)
	for i := range files {
		files[i] = file
	}
	raw, err := newRawPair(near, far, len(files), 1)
	ctx, payload := context.Background(), make([]byte, 1)
	ours = func() error {
		if err := shmkit.SendFiles(ctx, near, files, payload); err != nil {
			return err
		}
		received, err := shmkit.RecvFiles(ctx, far, len(files), payload)
		if err != nil {
			return err
		}
		return closeAll(received)
	}
	reference = func() error {
		if err := raw.send(files...); err != nil {
			return err
		}
		fds, err := raw.receive()
		if err != nil {
			return err
		}
		received := make([]*os.File, len(fds))
		for i, fd := range fds {
			received[i] = os.NewFile(uintptr(fd), "received")
		}
		return closeAll(received)
	}
	return ours, reference, err
}

func closeAll(files []*os.File) error {
	for _, file := range files {
		if err := file.Close(); err != nil {
			return err
		}
	}
	return nil
}

func handoverRegion(b *bench) (ours, reference step, err error) {
	near, far, _, err := connected(b)
	if err != nil {
		return nil, nil, err
	}
	region, err := shmkit.Create("bench", size)
	if err != nil {
		return nil, nil, err
	}
	file, err := region.File()
	if err != nil {
		return nil, nil, err
	}
	const frame = 64 // as long as the library's
	raw, err := newRawPair(near, far, 1, frame)
	ctx := context.Background()
	ours = func() error {
		if err := shmkit.SendRegion(ctx, near, region); err != nil {
			return err
		}
		return closed(shmkit.RecvRegion(ctx, far))
	}
	reference = func() error {
		if err := raw.send(file); err != nil {
			return err
		}
		return raw.receiveRegion(size)
	}
	return ours, reference, err
}

// handoverTiny is what a region is not for: the whole life of one that carries 64 bytes once.
func handoverTiny(b *bench) (ours, reference step, err error) {
	near, far, _, err := connected(b)
	sent, read := bytes.Repeat([]byte{7}, 64), make([]byte, 64)
	same := func() error {
		if !bytes.Equal(read, sent) {
			return errors.New("other bytes arrived than were sent")
		}
		return nil
	}
	ctx := context.Background()
	ours = func() error {
		region, err := shmkit.Create("bench", len(sent))
		if err != nil {
			return err
		}
		defer region.Close()
		if _, err := region.WriteAt(sent, 0); err != nil {
			return err
		}
		if err := shmkit.SendRegion(ctx, near, region); err != nil {
			return err
		}
		received, err := shmkit.RecvRegion(ctx, far)
		if err != nil {
			return err
		}
		defer received.Close()
		if _, err := received.ReadAt(read, 0); err != nil {
			return err
		}
		return same()
	}
	reference = func() error {
		if _, err := near.Write(sent); err != nil {
			return err
		}
		if _, err := io.ReadFull(far, read); err != nil {
			return err
		}
		return same()
	}
	return ours, reference, err
}

// connected is a pair of sockets, and a memfd to send.
func connected(b *bench) (near, far *net.UnixConn, file *os.File, err error) {
	near, far, err = shmkit.Pair()
	if err != nil {
		return nil, nil, nil, err
	}
	b.atEnd(func() { near.Close(); far.Close() })
	fd, err := unix.MemfdCreate("bench", unix.MFD_CLOEXEC)
	return near, far, os.NewFile(uintptr(fd), "sent"), err
}

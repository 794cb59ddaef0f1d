package shmkit_test

import (
	"context"
	"fmt"
	"io/fs"
	"math"
	"os"
	"syscall"
	"testing"
	"time"

	"shmkit"
)

func ipcQueue(t testing.TB) shmkit.SysVQueue {
	t.Helper()
	queue, created, err := shmkit.CreateSysVQueue(ipcKey(t))
	if err != nil || !created {
		t.Fatal(created, err)
	}
	return queue
}

func TestSysVQueue(t *testing.T) {
	ctx, key := context.Background(), ipcKey(t)
	_, err := shmkit.OpenSysVQueue(key)
	ipcFails(t, err, fs.ErrNotExist, fmt.Sprintf("%#x", int32(key)))
	queue, created, err := shmkit.CreateSysVQueue(key, shmkit.OrOpen, shmkit.Mode(0o640))
	ipcOK(t, err)
	found, foundCreated, err := shmkit.CreateSysVQueue(key, shmkit.OrOpen)
	ipcOK(t, err)
	if !created || foundCreated || found != queue {
		t.Fatal(queue, created, found, foundCreated)
	}
	_, _, err = shmkit.CreateSysVQueue(key)
	ipcFails(t, err, fs.ErrExist)
	found, err = shmkit.OpenSysVQueue(key)
	ipcOK(t, err)

	for at, kind := range []int{3, 2, 3, 1, 2} {
		ipcOK(t, queue.Send(ctx, kind, []byte{'a' + byte(at)}))
	}
	buffer := make([]byte, 10)
	receive := func(want shmkit.SysVWant, kind int, text string) {
		t.Helper()
		n, got, err := found.Receive(ctx, want, buffer)
		if err != nil || got != kind || string(buffer[:n]) != text {
			t.Fatalf("%q of type %d, %v; want %q of type %d", buffer[:n], got, err, text, kind)
		}
	}
	receive(shmkit.SysVWant{Type: 2}, 2, "b")
	receive(shmkit.SysVWant{Except: 3}, 1, "d")
	receive(shmkit.SysVWant{AtMost: 3}, 2, "e")
	n, kind, err := queue.Peek(1, false, buffer)
	switch {
	case err == nil && (kind != 3 || string(buffer[:n]) != "c"):
		t.Fatal(n, kind)
	case err != nil:
		ipcFails(t, err, syscall.ENOSYS, "MSG_COPY")
	}
	receive(shmkit.SysVWant{}, 3, "a")
	receive(shmkit.SysVWant{}, 3, "c")

	ipcOK(t, queue.TrySend(math.MaxInt, nil))
	receive(shmkit.SysVWant{}, math.MaxInt, "")
	ipcOK(t, queue.TrySend(1, []byte("0123456789ab")))
	_, _, err = queue.Receive(ctx, shmkit.SysVWant{}, buffer)
	ipcFails(t, err, syscall.E2BIG, "10 bytes")
	info, err := queue.Stat()
	ipcOK(t, err)
	if info.Key != key || info.Messages != 1 || info.Bytes != 12 || info.Mode != 0o640 || info.SenderPID != os.Getpid() ||
		info.ReceiverPID != os.Getpid() || info.OwnerUID != os.Geteuid() || time.Since(info.SentAt) > time.Minute {
		t.Fatalf("%+v", info)
	}
	receive(shmkit.SysVWant{Truncate: true}, 1, "0123456789")
	ipcOK(t, queue.SetBytesMax(4))
	ipcOK(t, queue.TrySend(1, []byte("123")))
	ipcFails(t, queue.TrySend(1, []byte("123")), syscall.EAGAIN, "3 bytes", "at most 4")
	ipcOK(t, queue.Remove())
	ipcFails(t, queue.Remove(), syscall.EINVAL, fmt.Sprint(int32(queue)))
}

func TestSysVQueueRefuses(t *testing.T) {
	ctx, key, queue := context.Background(), ipcKey(t), ipcQueue(t)
	create := func(key shmkit.SysVKey, options ...shmkit.Option) error {
		_, _, err := shmkit.CreateSysVQueue(key, options...)
		return err
	}
	open := func(key shmkit.SysVKey) error { _, err := shmkit.OpenSysVQueue(key); return err }
	receive := func(want shmkit.SysVWant) error {
		_, _, err := queue.Receive(ctx, want, nil)
		return err
	}
	tryReceive := func(want shmkit.SysVWant) error {
		_, _, err := queue.TryReceive(want, nil)
		return err
	}
	peek := func(index int) error { _, _, err := queue.Peek(index, false, nil); return err }
	for _, row := range []struct {
		err   error
		want  syscall.Errno
		words string
	}{
		{create(-1), syscall.EINVAL, "ftok"},
		{create(key, shmkit.AutoRemove), syscall.EINVAL, "OrOpen and Mode"},
		{open(-1), syscall.EINVAL, "ftok"},
		{open(0), syscall.EINVAL, "IPC_PRIVATE"},
		{queue.Send(ctx, 0, nil), syscall.EINVAL, "0 is no message type"},
		{queue.TrySend(-3, nil), syscall.EINVAL, "-3 is no message type"},
		{queue.Send(ctx, 1, make([]byte, 100<<20)), syscall.EINVAL, "msgmax"},
		{receive(shmkit.SysVWant{Type: -1}), syscall.EINVAL, "-1"},
		{receive(shmkit.SysVWant{Type: 1, AtMost: 1}), syscall.EINVAL, "only one"},
		{tryReceive(shmkit.SysVWant{Except: 1, AtMost: 1}), syscall.EINVAL, "only one"},
		{tryReceive(shmkit.SysVWant{}), syscall.ENOMSG, "none"},
		{tryReceive(shmkit.SysVWant{AtMost: 7}), syscall.ENOMSG, "at most type 7"},
		{peek(-1), syscall.EINVAL, "-1"},
		{queue.SetBytesMax(-1), syscall.EINVAL, "-1"},
		{queue.SetOwner(0, 1<<32, 0o600), syscall.EINVAL, "4294967296"},
		{shmkit.SysVQueue(-1).Remove(), syscall.EINVAL, "-1"},
	} {
		ipcFails(t, row.err, row.want, row.words)
	}
}

func TestSysVQueueWait(t *testing.T) {
	receiving := func(ctx context.Context, queue shmkit.SysVQueue) chan error {
		result, watching := make(chan error), watch(ctx)
		go func() {
			buffer := make([]byte, 10)
			n, kind, err := queue.Receive(watching, shmkit.SysVWant{Type: 2}, buffer)
			if err == nil && (kind != 2 || string(buffer[:n]) != "two") {
				err = fmt.Errorf("%q of type %d", buffer[:n], kind)
			}
			result <- err
		}()
		<-watching.waits
		return result
	}
	queue := ipcQueue(t)
	result := receiving(context.Background(), queue)
	ipcOK(t, queue.Send(context.Background(), 1, []byte("one")))
	ipcOK(t, queue.Send(context.Background(), 2, []byte("two")))
	ipcOK(t, <-result)

	ctx, cancel := context.WithCancel(context.Background())
	result = receiving(ctx, queue)
	cancel()
	ipcFails(t, <-result, context.Canceled)
	ipcFails(t, queue.Send(ctx, 2, nil), context.Canceled)

	// Full: it waits for room.
	ipcOK(t, queue.SetBytesMax(4))
	ctx, cancel = context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	ipcFails(t, queue.Send(ctx, 2, []byte("two")), context.DeadlineExceeded)
	sent := make(chan error)
	watching := watch(context.Background())
	go func() { sent <- queue.Send(watching, 2, []byte("two")) }()
	<-watching.waits
	_, _, err := queue.Receive(context.Background(), shmkit.SysVWant{Type: 1, Truncate: true}, nil)
	ipcOK(t, err)
	ipcOK(t, <-sent)

	buffer := make([]byte, 10)
	n, _, err := queue.Receive(context.Background(), shmkit.SysVWant{Type: 2}, buffer)
	ipcOK(t, err)
	equal(t, string(buffer[:n]), "two")
	result = receiving(context.Background(), queue)
	watching = watch(context.Background())
	go func() { sent <- queue.Send(watching, 3, []byte("12345")) }() // never fits
	<-watching.waits
	ipcOK(t, queue.Remove())
	ipcFails(t, <-result, syscall.EIDRM, "removed")
	ipcFails(t, <-sent, syscall.EIDRM, "removed")
}

package shmkit

import (
	"context"
	"io/fs"
	"syscall"
	"time"

	"shmkit/internal/capi"
)

// SysVQueue is the kernel's number for a System V message queue, as ipcs(1) shows it. The queue stays,
// with what is in it, until it is removed, or the machine restarts.
type SysVQueue int32

// SysVWant says which message to receive: the oldest, or the oldest of those that one of Type, Except
// and AtMost names. Types are positive.
type SysVWant struct {
	Type     int  // of this type
	Except   int  // of any other type
	AtMost   int  // of the lowest type up to this one
	Truncate bool // cut off what the buffer has no room for: the rest is lost. Else such a message is E2BIG, and stays
}

// CreateSysVQueue creates a message queue. With OrOpen an existing one is opened, and created is false.
//
// Options: OrOpen; Mode, which the umask does not narrow, without its execute bits.
// Errors: EEXIST, EINVAL, ENOSPC (msgmni; the message has the limit).
func CreateSysVQueue(key SysVKey, options ...Option) (queue SysVQueue, created bool, err error) {
	const op = "CreateSysVQueue"
	orOpen, mode, err := creation(op, options)
	if err != nil {
		return 0, false, err
	}
	var flags uint32
	if orOpen {
		flags = capi.QueueOrOpen
	}
	id, made, f := capi.CreateQueue(int32(key), flags, mode)
	if f != nil {
		return 0, false, failure(op, f)
	}
	return SysVQueue(id), made || !orOpen, nil
}

// OpenSysVQueue opens the queue that has this key. Whether it may be used, its use tells.
func OpenSysVQueue(key SysVKey) (SysVQueue, error) {
	id, f := capi.OpenQueue(int32(key))
	return SysVQueue(id), failure("OpenSysVQueue", f)
}

// Remove removes the queue and its messages at once: whoever waits for it gets EIDRM.
func (q SysVQueue) Remove() error { return failure("SysVQueue.Remove", capi.RemoveQueue(int(q))) }

// Send sends a message of a positive type, and waits for room; ctx ends the wait, and then nothing was
// sent. It waits as SysVSemaphores.Operate does.
//
// Errors: EINVAL (also a message over msgmax), EIDRM (removed, perhaps while it waited), EACCES.
func (q SysVQueue) Send(ctx context.Context, kind int, message []byte) error {
	message = ours(message)
	return retry(ctx, "SysVQueue.Send", syscall.EAGAIN, func() *capi.Failure {
		return capi.TrySendQueue(int(q), int64(kind), message)
	})
}

// TrySend is Send without waiting: EAGAIN.
func (q SysVQueue) TrySend(kind int, message []byte) error {
	return failure("SysVQueue.TrySend", capi.TrySendQueue(int(q), int64(kind), ours(message)))
}

// ours is a copy in Go's memory. C copies messages too, and would die where a region has lent the memory and
// it is gone; here that is a fault of Go's, which the region's callback turns into an error.
func ours(message []byte) []byte { return append([]byte(nil), message...) }

// Receive takes a message out of the queue, and waits for one; ctx ends the wait, and then none was
// taken. It tells how many bytes are in the buffer, and the message's type. It waits as
// SysVSemaphores.Operate does.
//
// Errors: EINVAL, EIDRM (removed, perhaps while it waited), E2BIG, EACCES.
func (q SysVQueue) Receive(ctx context.Context, want SysVWant, buffer []byte) (n, kind int, err error) {
	const op = "SysVQueue.Receive"
	kind, flags, err := want.raw(op)
	if err != nil {
		return 0, 0, err
	}
	var received int64
	message := make([]byte, len(buffer))
	err = retry(ctx, op, syscall.ENOMSG, func() (f *capi.Failure) {
		n, received, f = capi.TryReceiveQueue(int(q), int64(kind), flags, message)
		return f
	})
	copy(buffer, message[:n])
	return n, int(received), err
}

// TryReceive is Receive without waiting: ENOMSG.
func (q SysVQueue) TryReceive(want SysVWant, buffer []byte) (n, kind int, err error) {
	const op = "SysVQueue.TryReceive"
	kind, flags, err := want.raw(op)
	if err != nil {
		return 0, 0, err
	}
	message := make([]byte, len(buffer))
	n, received, f := capi.TryReceiveQueue(int(q), int64(kind), flags, message)
	copy(buffer, message[:n])
	return n, int(received), failure(op, f)
}

// Peek copies a message, which stays; the oldest has index 0. Never waits: ENOMSG where there are not as
// many. ENOSYS where the kernel cannot do it.
func (q SysVQueue) Peek(index int, truncate bool, buffer []byte) (n, kind int, err error) {
	const op = "SysVQueue.Peek"
	if err := isIndex(op, index); err != nil {
		return 0, 0, err
	}
	message := make([]byte, len(buffer))
	n, received, f := capi.PeekQueue(int(q), uint32(index), truncating(truncate), message)
	copy(buffer, message[:n])
	return n, int(received), failure(op, f)
}

// SysVQueueInfo is what the kernel knows of a queue. Times are zero for never.
type SysVQueueInfo struct {
	Key                           SysVKey // 0 for a private queue
	Messages, Bytes               int     // how many are in it
	BytesMax                      int     // how many bytes it holds
	SentAt, ReceivedAt, ChangedAt time.Time
	OwnerUID, OwnerGID            int
	CreatorUID, CreatorGID        int
	SenderPID, ReceiverPID        int // who sent and received last; 0 for none
	Mode                          fs.FileMode
}

// Stat reads what the kernel knows of the queue.
func (q SysVQueue) Stat() (SysVQueueInfo, error) {
	info, f := capi.StatQueue(int(q))
	if f != nil {
		return SysVQueueInfo{}, failure("SysVQueue.Stat", f)
	}
	return SysVQueueInfo{
		Key: SysVKey(info.Key), Messages: int(info.Messages), Bytes: int(info.Bytes), BytesMax: int(info.BytesMax),
		SentAt: at(info.SentAt), ReceivedAt: at(info.ReceivedAt), ChangedAt: at(info.ChangedAt),
		OwnerUID: int(info.OwnerUID), OwnerGID: int(info.OwnerGID),
		CreatorUID: int(info.CreatorUID), CreatorGID: int(info.CreatorGID),
		SenderPID: int(info.SenderPID), ReceiverPID: int(info.ReceiverPID),
		Mode: fs.FileMode(info.Mode),
	}, nil
}

// SetOwner changes the queue's owner and its permission bits, without those to execute. A uid or gid of
// -1 keeps what it has.
func (q SysVQueue) SetOwner(uid, gid int, permissions fs.FileMode) error {
	const op = "SysVQueue.SetOwner"
	if err := isOwner(op, uid, gid, permissions); err != nil {
		return err
	}
	return failure(op, capi.SetQueueOwner(int(q), uint32(uid), uint32(gid), uint32(permissions)))
}

// SetBytesMax changes how many bytes the queue holds; its messages stay. EPERM: more than msgmnb, or
// neither owner nor creator.
func (q SysVQueue) SetBytesMax(bytes int) error {
	const op = "SysVQueue.SetBytesMax"
	if bytes < 0 {
		return refused(op, syscall.EINVAL, "a queue cannot hold %d bytes", bytes)
	}
	return failure(op, capi.SetQueueBytesMax(int(q), uint64(bytes)))
}

// raw is a message's type and flags as C has them.
func (w SysVWant) raw(op string) (kind int, flags uint32, err error) {
	said := 0
	for _, way := range []struct {
		kind  int
		flags uint32
	}{{w.Type, 0}, {w.Except, capi.QueueExcept}, {w.AtMost, capi.QueueAtMost}} {
		if way.kind != 0 {
			kind, flags = way.kind, way.flags
			said++
		}
	}
	if said > 1 {
		return 0, 0, refused(op, syscall.EINVAL, "of Type, Except and AtMost, only one can be given")
	}
	return kind, flags | truncating(w.Truncate), nil
}

func truncating(truncate bool) uint32 {
	if truncate {
		return capi.QueueTruncate
	}
	return 0
}

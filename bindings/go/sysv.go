package shmkit

import (
	"context"
	"io/fs"
	"math"
	"syscall"
	"time"

	"shmkit/internal/capi"
)

// SysVKey is the number under which processes find a System V segment, a set of semaphores or a queue,
// each by itself.
type SysVKey int32

// SysVPrivate is the key of what nobody finds by a key.
const SysVPrivate SysVKey = 0

// SysVID is the kernel's number for one System V segment, as ipcs(1) shows it.
type SysVID int32

// SysVKeyOf is the key of a path and a project of 0 to 255, as ftok(3) makes it, but with errors. Few
// bits of both enter it: two paths can have the same key. CreateSysVAt notices.
func SysVKeyOf(path string, project int) (SysVKey, error) {
	const op = "SysVKeyOf"
	if err := noNUL(op, "the path", path); err != nil {
		return 0, err
	}
	if err := isProject(op, project); err != nil {
		return 0, err
	}
	key, f := capi.SysVKey(path, project)
	return SysVKey(key), failure(op, f)
}

// CreateSysV creates a System V segment and attaches it. It outlives every process until it is removed
// (RemoveSysV, AutoRemove), or the machine restarts.
//
// An existing segment is EEXIST, unless OrOpen; then the region has the existing segment's size, and
// one smaller than size is EINVAL.
//
// Options: ReadOnly, OrOpen, Populate, Locked, NoReserve, NoFork, NoDump, AutoRemove, Huge2M, Huge1G,
// HugeFallback; Mode, which the umask does not narrow.
// Errors: EEXIST, EINVAL (also a size over shmmax), ENOSPC (shmmni or shmall; the message has the
// limit), EACCES, ENOMEM.
func CreateSysV(key SysVKey, size int, options ...Option) (*Region, error) {
	return open("CreateSysV", "", "", &size, options, func(o capi.Options, opened *capi.Opened) *capi.Failure {
		return capi.CreateSysV(int32(key), size, o, opened)
	})
}

// AttachSysV attaches all of the segment that has this key; Region.Close detaches it.
//
// Options: ReadOnly, Populate, Locked, NoFork, NoDump, AutoRemove; SizeMin. Errors: ENOENT, EACCES,
// EINVAL, ENOMEM, EPERM (AutoRemove of another user's segment).
func AttachSysV(key SysVKey, options ...Option) (*Region, error) {
	return open("AttachSysV", "", "", nil, options, func(o capi.Options, opened *capi.Opened) *capi.Failure {
		return capi.AttachSysV(int32(key), o, opened)
	})
}

// AttachSysVID attaches all of the segment that has this id, also one that is marked removed. Options
// as for AttachSysV. Errors: EINVAL (no such id), EIDRM, EACCES, ENOMEM.
func AttachSysVID(id SysVID, options ...Option) (*Region, error) {
	return open("AttachSysVID", "", "", nil, options, func(o capi.Options, opened *capi.Opened) *capi.Failure {
		return capi.AttachSysVID(int(id), o, opened)
	})
}

// CreateSysVAt is CreateSysV with the key of a path and a project of 0 to 255, and an identity of that
// path stored behind the region's bytes, so that a segment made for another path under the same key is
// noticed: ErrCollision. Options as for CreateSysV, but no huge pages.
func CreateSysVAt(path string, project, size int, options ...Option) (*Region, error) {
	const op = "CreateSysVAt"
	if err := isProject(op, project); err != nil {
		return nil, err
	}
	return open(op, path, "the path", &size, options, func(o capi.Options, opened *capi.Opened) *capi.Failure {
		return capi.CreateSysVAt(path, project, size, o, opened)
	})
}

// AttachSysVAt attaches the segment that CreateSysVAt made for this path and project. Options as for
// AttachSysV. Errors also: ErrCollision; EAGAIN (its creator has not finished).
func AttachSysVAt(path string, project int, options ...Option) (*Region, error) {
	const op = "AttachSysVAt"
	if err := isProject(op, project); err != nil {
		return nil, err
	}
	return open(op, path, "the path", nil, options, func(o capi.Options, opened *capi.Opened) *capi.Failure {
		return capi.AttachSysVAt(path, project, o, opened)
	})
}

// isProject keeps numbers from being cut off on their way to C, which refuses the rest.
func isProject(op string, project int) error {
	if project != int(int32(project)) {
		return refused(op, syscall.EINVAL, "the project is %d, and may be 0 to 255", project)
	}
	return nil
}

// RemoveSysV marks a segment removed (IPC_RMID): its key is free at once, its memory goes with its last
// user. Errors: EINVAL (no such id), EIDRM, EPERM (neither owner nor creator).
func RemoveSysV(id SysVID) error { return failure("RemoveSysV", capi.RemoveSysV(int(id))) }

// LockSysV keeps a segment's pages in memory for all its users, once they are touched; UnlockSysV ends
// that.
func LockSysV(id SysVID) error { return failure("LockSysV", capi.LockSysV(int(id))) }

// UnlockSysV ends LockSysV.
func UnlockSysV(id SysVID) error { return failure("UnlockSysV", capi.UnlockSysV(int(id))) }

// SetSysVOwner changes a segment's owner and its permission bits, at most 0777. A uid or gid of -1
// keeps what it has.
func SetSysVOwner(id SysVID, uid, gid int, permissions fs.FileMode) error {
	const op = "SetSysVOwner"
	if err := isOwner(op, uid, gid, permissions); err != nil {
		return err
	}
	return failure(op, capi.SetSysVOwner(int(id), uint32(uid), uint32(gid), uint32(permissions)))
}

// SysVInfo is what the kernel knows of a segment. Times are zero for never; pids are those of this
// process's PID namespace, 0 for a process that is not in it.
type SysVInfo struct {
	Key                               SysVKey // 0 for a private segment, and for one that is marked removed
	ID                                SysVID
	Size                              int // as asked for at creation, in bytes
	Attached                          int // how many mappings there are, of all processes
	AttachedAt, DetachedAt, ChangedAt time.Time
	OwnerUID, OwnerGID                int
	CreatorUID, CreatorGID            int
	CreatorPID, LastPID               int // LastPID attached or detached last
	Mode                              fs.FileMode
	Removed                           bool // it goes with its last user
	Locked                            bool
}

// StatSysV reads what the kernel knows of a segment. Errors: EINVAL (no such id), EIDRM, EACCES.
func StatSysV(id SysVID) (SysVInfo, error) {
	info, f := capi.StatSysV(int(id))
	if f != nil {
		return SysVInfo{}, failure("StatSysV", f)
	}
	return SysVInfo{
		Key:        SysVKey(info.Key),
		ID:         SysVID(info.ID),
		Size:       int(info.SizeBytes),
		Attached:   int(info.AttachCount),
		AttachedAt: at(info.AttachedAt),
		DetachedAt: at(info.DetachedAt),
		ChangedAt:  at(info.ChangedAt),
		OwnerUID:   int(info.OwnerUID),
		OwnerGID:   int(info.OwnerGID),
		CreatorUID: int(info.CreatorUID),
		CreatorGID: int(info.CreatorGID),
		CreatorPID: int(info.CreatorPID),
		LastPID:    int(info.LastPID),
		Mode:       fs.FileMode(info.Mode),
		Removed:    info.Removed != 0,
		Locked:     info.Locked != 0,
	}, nil
}

func isOwner(op string, uid, gid int, permissions fs.FileMode) error {
	isID := func(id int) bool { return id >= -1 && id < math.MaxUint32 }
	if permissions&^fs.ModePerm != 0 || !isID(uid) || !isID(gid) {
		return refused(op, syscall.EINVAL, "user %d, group %d or mode %v is out of range", uid, gid, permissions)
	}
	return nil
}

// at is a time of the kernel's, zero for never.
func at(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

// creation is what the options of a call come to that creates semaphores or a queue.
func creation(op string, options []Option) (orOpen bool, mode uint32, err error) {
	o, err := settle(op, options)
	if err != nil {
		return false, 0, err
	}
	mode = o.Mode
	orOpen = o.Flags&uint32(OrOpen) != 0
	o.Mode = 0
	o.Flags &^= uint32(OrOpen)
	if o != (capi.Options{}) {
		return false, 0, refused(op, syscall.EINVAL, "it takes the options OrOpen and Mode, and no others")
	}
	return orOpen, mode, nil
}

// retry tries until the kernel has an answer, with pauses in which no thread waits; ctx ends them.
func retry(ctx context.Context, op string, busy syscall.Errno, try func() *capi.Failure) error {
	if ctx.Err() != nil {
		return ended(op, ctx)
	}
	const longest = 4 * time.Millisecond
	var timer *time.Timer
	for pause := 50 * time.Microsecond; ; pause = min(2*pause, longest) {
		f := try()
		switch {
		case f == nil:
			return nil
		case f.Code == -int(syscall.EINVAL) && timer != nil:
			// What was there and is not was removed.
			return refused(op, syscall.EIDRM, "it was removed while the call waited")
		case f.Code != -int(busy):
			return failure(op, f)
		}
		if timer == nil {
			timer = time.NewTimer(pause)
			defer timer.Stop()
		} else {
			timer.Reset(pause)
		}
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ended(op, ctx)
		}
	}
}

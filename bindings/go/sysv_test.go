package shmkit_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"shmkit"
)

func init() {
	helpers["sysv-user"] = func(h *helper) error {
		key, err := strconv.Atoi(h.args[0])
		if err != nil {
			return err
		}
		r, err := shmkit.AttachSysV(shmkit.SysVKey(key))
		if err != nil {
			return err
		}
		p := make([]byte, 5)
		if _, err := r.ReadAt(p, 0); err != nil {
			return err
		}
		h.say("%s", p)
		if _, err := r.WriteAt([]byte("reply"), 100); err != nil {
			return err
		}
		h.say("written")
		h.hear()
		return r.Close()
	}
}

func TestSysVAcrossProcesses(t *testing.T) {
	key := newKey(t)
	r := opened(t)(shmkit.CreateSysV(key, 5000))
	equal(t, r.Size(), 5000)
	write(t, r, 0, "hello")
	id, err := r.SysVID()
	ok(t, err)
	began := time.Now().Add(-time.Minute)
	user := start(t, "sysv-user", nil, fmt.Sprint(int(key)))
	user.hears("hello")
	user.hears("written")
	equal(t, read(t, r, 100, 5), "reply")
	info, err := shmkit.StatSysV(id)
	ok(t, err)
	want := shmkit.SysVInfo{
		Key: key, ID: id, Size: 5000, Attached: 2, Mode: 0o600,
		OwnerUID: os.Getuid(), OwnerGID: os.Getgid(), CreatorUID: os.Getuid(), CreatorGID: os.Getgid(),
		CreatorPID: os.Getpid(), LastPID: user.cmd.Process.Pid,
		AttachedAt: info.AttachedAt, ChangedAt: info.ChangedAt, DetachedAt: info.DetachedAt,
	}
	equal(t, info, want)
	check(t, info.AttachedAt.After(began) && info.ChangedAt.After(began), "%+v", info)
	user.kill()
	info, err = shmkit.StatSysV(id)
	ok(t, err)
	equal(t, info.Attached, 1)
	check(t, info.DetachedAt.After(began), "%+v", info)
}

func TestSysVCreationIsExclusive(t *testing.T) {
	key := newKey(t)
	r, err := shmkit.AttachSysV(key)
	refusedRegion(t, r, err, syscall.ENOENT, "AttachSysV")
	first := opened(t)(shmkit.CreateSysV(key, 5000))
	r, err = shmkit.CreateSysV(key, 5000)
	refusedRegion(t, r, err, syscall.EEXIST, "CreateSysV")
	found := opened(t)(shmkit.CreateSysV(key, 100, shmkit.OrOpen))
	check(t, !found.Created(), "it was there")
	equal(t, found.Size(), 5000)
	r, err = shmkit.CreateSysV(key, 5001, shmkit.OrOpen)
	refusedRegion(t, r, err, syscall.EINVAL, "5001")
	r, err = shmkit.AttachSysV(key, shmkit.SizeMin(5001))
	refusedRegion(t, r, err, syscall.EINVAL, "5001")
	equal(t, opened(t)(shmkit.AttachSysV(key, shmkit.SizeMin(5000))).Size(), 5000)

	id, err := first.SysVID()
	ok(t, err)
	ok(t, shmkit.RemoveSysV(id))
	ok(t, shmkit.RemoveSysV(id))
	info, err := shmkit.StatSysV(id)
	ok(t, err)
	check(t, info.Removed && info.Key == 0, "%+v", info)
	r, err = shmkit.AttachSysV(key)
	refusedRegion(t, r, err, syscall.ENOENT)
	opened(t)(shmkit.AttachSysVID(id))
	second := opened(t)(shmkit.CreateSysV(key, 10, shmkit.OrOpen))
	check(t, second.Created(), "it was made")
	ok(t, shmkit.RemoveSysV(must(second.SysVID())))
	refused(t, second.Unlink(), syscall.EOPNOTSUPP)
	_, err = second.File()
	refused(t, err, syscall.EOPNOTSUPP, "File")
	_, err = opened(t)(shmkit.Create("", 1)).SysVID()
	refused(t, err, syscall.EOPNOTSUPP, "SysVID")
}

// must is for what cannot fail in its place.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func TestSysVGoesWithItsLastUser(t *testing.T) {
	key := newKey(t)
	r := opened(t)(shmkit.CreateSysV(key, 100, shmkit.AutoRemove))
	id := must(r.SysVID())
	other := opened(t)(shmkit.AttachSysVID(id, shmkit.ReadOnly))
	write(t, r, 0, "x")
	equal(t, read(t, other, 0, 1), "x")
	ok(t, r.Close())
	equal(t, read(t, other, 0, 1), "x")
	ok(t, other.Close())
	_, err := shmkit.StatSysV(id)
	sound(t, err)
	check(t, errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EIDRM), "%v", err)
}

func TestSysVIDs(t *testing.T) {
	for _, id := range []shmkit.SysVID{-1, math.MinInt32, math.MaxInt32} {
		number := fmt.Sprint(int(id))
		r, err := shmkit.AttachSysVID(id)
		refusedRegion(t, r, err, syscall.EINVAL, "AttachSysVID", number)
		_, err = shmkit.StatSysV(id)
		refused(t, err, syscall.EINVAL, "StatSysV", number)
		refused(t, shmkit.RemoveSysV(id), syscall.EINVAL, "RemoveSysV", number)
		refused(t, shmkit.LockSysV(id), syscall.EINVAL, "LockSysV", number)
		refused(t, shmkit.UnlockSysV(id), syscall.EINVAL, "UnlockSysV", number)
		refused(t, shmkit.SetSysVOwner(id, 0, 0, 0o600), syscall.EINVAL, "SetSysVOwner", number)
	}
	r, err := shmkit.CreateSysV(-1, page)
	refusedRegion(t, r, err, syscall.EINVAL, "-1")
	r, err = shmkit.AttachSysV(-1)
	refusedRegion(t, r, err, syscall.EINVAL, "-1")
	r, err = shmkit.AttachSysV(0)
	refusedRegion(t, r, err, syscall.EINVAL, "0")
}

func TestSysVSetAndLock(t *testing.T) {
	id := must(opened(t)(shmkit.CreateSysV(0, page, shmkit.AutoRemove, shmkit.Mode(0o640))).SysVID())
	uid, gid := os.Getuid(), os.Getgid()
	ok(t, shmkit.SetSysVOwner(id, uid, gid, 0o604))
	equal(t, must(shmkit.StatSysV(id)).Mode, fs.FileMode(0o604))
	ok(t, shmkit.SetSysVOwner(id, -1, -1, 0o600))
	info := must(shmkit.StatSysV(id))
	check(t, info.Mode == 0o600 && info.OwnerUID == uid && info.OwnerGID == gid, "%+v", info)
	ok(t, shmkit.SetSysVOwner(id, uid, gid, 0o604))
	ok(t, shmkit.LockSysV(id))
	check(t, must(shmkit.StatSysV(id)).Locked, "it is locked")
	ok(t, shmkit.UnlockSysV(id))
	check(t, !must(shmkit.StatSysV(id)).Locked, "it is not locked")
	for _, bad := range []struct {
		uid, gid int
		mode     fs.FileMode
	}{
		{-2, gid, 0o600}, {uid, -2, 0o600}, {1 << 32, gid, 0o600}, {uid, math.MaxInt, 0o600}, {math.MinInt, gid, 0o600},
		{math.MaxUint32, gid, 0o600}, {uid, gid, 0o1000}, {uid, gid, fs.ModeSetuid}, {uid, gid, 1 << 31},
	} {
		refused(t, shmkit.SetSysVOwner(id, bad.uid, bad.gid, bad.mode), syscall.EINVAL, "SetSysVOwner")
	}
	equal(t, must(shmkit.StatSysV(id)).Mode, fs.FileMode(0o604))
}

func TestSysVAtAPath(t *testing.T) {
	path := "/dev/shm/" + newName(t)
	ok(t, os.WriteFile(path, nil, 0o600))
	key, err := shmkit.SysVKeyOf(path, 5)
	ok(t, err)
	t.Cleanup(func() { removeKey(key) })
	r, err := shmkit.AttachSysVAt(path, 5)
	refusedRegion(t, r, err, syscall.ENOENT, "AttachSysVAt", filepath.Base(path))
	made := opened(t)(shmkit.CreateSysVAt(path, 5, 100))
	equal(t, made.Size(), 100)
	equal(t, must(shmkit.StatSysV(must(made.SysVID()))).Key, key)
	found := opened(t)(shmkit.AttachSysVAt(path, 5))
	equal(t, found.Size(), 100)
	write(t, made, 0, "same")
	equal(t, read(t, found, 0, 4), "same")
	r, err = shmkit.CreateSysVAt(path, 5, 100)
	refusedRegion(t, r, err, syscall.EEXIST, filepath.Base(path))
	check(t, !opened(t)(shmkit.CreateSysVAt(path, 5, 100, shmkit.OrOpen)).Created(), "it was there")

	other := collides(t, key)
	r, err = shmkit.AttachSysVAt(other, 5)
	refusedRegion(t, r, err, shmkit.ErrCollision, filepath.Base(other))
	r, err = shmkit.CreateSysVAt(other, 5, 100, shmkit.OrOpen)
	refusedRegion(t, r, err, shmkit.ErrCollision, filepath.Base(other))
	equal(t, shmkit.ErrCollision.Name(), "SHMKIT_E_COLLISION")

	// A segment under the key that was made by other means has no identity.
	ok(t, shmkit.RemoveSysV(must(made.SysVID())))
	opened(t)(shmkit.CreateSysV(key, 5000))
	r, err = shmkit.AttachSysVAt(path, 5)
	refusedRegion(t, r, err, shmkit.ErrCollision, filepath.Base(path))
}

// collides makes a path whose key is the same. Inodes of a memory file system are numbered one after
// the other, and 16 bits of them enter the key.
func collides(t *testing.T, key shmkit.SysVKey) string {
	path := "/dev/shm/" + newName(t)
	for range 1 << 18 {
		ok(t, os.WriteFile(path, nil, 0o600))
		if must(shmkit.SysVKeyOf(path, 5)) == key {
			return path
		}
		ok(t, os.Remove(path))
	}
	t.Skip("no other path has this key")
	return ""
}

func TestSysVKeys(t *testing.T) {
	path := newPath(t)
	ok(t, os.WriteFile(path, nil, 0o600))
	var stat syscall.Stat_t
	ok(t, syscall.Stat(path, &stat))
	equal(t, must(shmkit.SysVKeyOf(path, 200)), shmkit.SysVKey(int32(uint32(200)<<24|uint32(stat.Dev&255)<<16|uint32(stat.Ino&0xffff))))
	for _, project := range []int{-1, 256, math.MaxInt32, 1 << 32, math.MinInt, 1<<32 + 5} {
		number := fmt.Sprint(project)
		_, err := shmkit.SysVKeyOf(path, project)
		refused(t, err, syscall.EINVAL, "SysVKeyOf", number)
		r, err := shmkit.CreateSysVAt(path, project, 1)
		refusedRegion(t, r, err, syscall.EINVAL, "CreateSysVAt", number)
		r, err = shmkit.AttachSysVAt(path, project)
		refusedRegion(t, r, err, syscall.EINVAL, "AttachSysVAt", number)
	}
	for _, row := range []struct {
		path string
		want error
	}{{"", syscall.ENOENT}, {path + "-none", syscall.ENOENT}, {path + "/x", syscall.ENOTDIR}, {path + "\x00", syscall.EINVAL}} {
		_, err := shmkit.SysVKeyOf(row.path, 1)
		refused(t, err, row.want, "SysVKeyOf")
		r, err := shmkit.CreateSysVAt(row.path, 1, 1)
		refusedRegion(t, r, err, row.want, "CreateSysVAt")
		r, err = shmkit.AttachSysVAt(row.path, 1)
		refusedRegion(t, r, err, row.want, "AttachSysVAt")
	}
}

package shmkit_test

import (
	"errors"
	"os"
	"syscall"
	"testing"

	"shmkit"
)

func init() {
	// full runs in namespaces of its own, with a /dev/shm of 16 pages.
	helpers["full"] = func(h *helper) error {
		t := &inHelper{}
		t.run(func() {
			ok(t, syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""))
			ok(t, syscall.Mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=64k"))
			useFullMemory(t)
		})
		return t.failed
	}
	// onDisk runs in namespaces of its own, where /dev/shm is no memory.
	helpers["onDisk"] = func(h *helper) error {
		t := &inHelper{}
		t.run(func() {
			ok(t, syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""))
			ok(t, syscall.Mount(h.args[0], "/dev/shm", "", syscall.MS_BIND, ""))
			r, err := shmkit.CreatePOSIX("disk", 1)
			refusedRegion(t, r, err, shmkit.ErrOnDisk, "CreatePOSIX")
			r, err = shmkit.CreatePOSIX("disk", 1, shmkit.RiskDisk)
			ok(t, err)
			ok(t, r.Close())
			r, err = shmkit.OpenPOSIX("disk")
			refusedRegion(t, r, err, shmkit.ErrOnDisk, "OpenPOSIX")
			ok(t, shmkit.UnlinkPOSIX("disk"))
		})
		return t.failed
	}
}

// inNamespaces starts a helper that may mount, and has no System V objects of others; as root of a user
// namespace where the user is none.
func inNamespaces(t *testing.T, name string, args ...string) *process {
	t.Helper()
	attributes := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWIPC}
	if os.Getuid() != 0 {
		attributes.Cloneflags |= syscall.CLONE_NEWUSER
		attributes.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attributes.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	p, err := tryStart(t, name, nil, attributes, args...)
	if errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EINVAL) {
		t.Skip("a mount namespace is not permitted here:", err)
	}
	ok(t, err)
	return p
}

func TestFullMemory(t *testing.T) { inNamespaces(t, "full").ends() }

func TestDevShmOnADisk(t *testing.T) {
	var stat syscall.Statfs_t
	directory := t.TempDir()
	ok(t, syscall.Statfs(directory, &stat))
	const tmpfs, ramfs = 0x01021994, 0x858458f6
	if stat.Type == tmpfs || stat.Type == ramfs {
		t.Skip("no disk: the temporary directory lies in memory")
	}
	inNamespaces(t, "onDisk", directory).ends()
}

func useFullMemory(t testing.TB) {
	r, err := shmkit.CreatePOSIX("large", 17*page)
	refusedRegion(t, r, err, syscall.ENOSPC, "CreatePOSIX")
	_, err = os.Stat("/dev/shm/large")
	check(t, os.IsNotExist(err), "a name was left")
	first, err := shmkit.CreatePOSIX("first", 10*page, shmkit.GrowableTo(100*page))
	ok(t, err)
	refused(t, first.Grow(17*page), syscall.ENOSPC, "Grow")
	equal(t, first.Size(), 10*page)

	// What was not reserved is an error at its first touch.
	sparse, err := shmkit.CreatePOSIX("sparse", 100*page, shmkit.NoReserve)
	ok(t, err)
	refused(t, sparse.Bytes(func(b []byte) error { clear(b); return nil }), shmkit.ErrShrunk, "Bytes")
	_, err = sparse.WriteAt(make([]byte, page), int64(50*page))
	refused(t, err, shmkit.ErrShrunk, "WriteAt")
	refused(t, sparse.Prefault(0, 100*page), shmkit.ErrShrunk, "Prefault")
	ok(t, sparse.Close())
	ok(t, shmkit.UnlinkPOSIX("sparse"))
	write(t, first, int64(10*page-1), "x")
	ok(t, first.Close())
	ok(t, first.Close())
	ok(t, shmkit.UnlinkPOSIX("first"))
}

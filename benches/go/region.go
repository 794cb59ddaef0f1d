package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	"shmkit"
)

const size = 64 << 10

func memfdCycle(*bench) (ours, reference step, err error) {
	ours = func() error { return closed(shmkit.Create("bench", size)) }
	reference = func() error { return rawMemfdCycle("bench", size) }
	return ours, reference, nil
}

func anonymousCycle(*bench) (ours, reference step, err error) {
	ours = func() error { return closed(shmkit.CreateAnonymous(size)) }
	reference = func() error { return rawAnonymousCycle(size) }
	return ours, reference, nil
}

func fileCycle(b *bench) (ours, reference step, err error) {
	path := b.path("file.cycle")
	ours = func() error {
		if err := closed(shmkit.CreateFile(path, size)); err != nil {
			return err
		}
		return unix.Unlink(path)
	}
	reference = func() error {
		if err := rawFileCycle(b.directory, path, size); err != nil {
			return err
		}
		return unix.Unlink(path)
	}
	return ours, reference, nil
}

func fileOpen(b *bench) (ours, reference step, err error) {
	path := b.path("file.open")
	ours = func() error { return closed(shmkit.OpenFile(path)) }
	reference = func() error { return rawFileOpenCycle(path) }
	return ours, reference, closed(shmkit.CreateFile(path, size))
}

func posixCycle(b *bench) (ours, reference step, err error) {
	name, path := b.posix()
	ours = func() error {
		if err := closed(shmkit.CreatePOSIX(name, size)); err != nil {
			return err
		}
		return shmkit.UnlinkPOSIX(name)
	}
	reference = func() error {
		if err := rawPOSIXCycle(path, size); err != nil {
			return err
		}
		return unix.Unlink(path)
	}
	return ours, reference, nil
}

func posixOpen(b *bench) (ours, reference step, err error) {
	name, path := b.posix()
	ours = func() error { return closed(shmkit.OpenPOSIX(name)) }
	reference = func() error { return rawPOSIXOpenCycle(path) }
	return ours, reference, closed(shmkit.CreatePOSIX(name, size))
}

func sysvCycle(*bench) (ours, reference step, err error) {
	key, err := freeKey()
	ours = func() error {
		region, err := shmkit.CreateSysV(key, size)
		if err != nil {
			return err
		}
		return errors.Join(remove(region), region.Close())
	}
	reference = func() error { return rawSysVCycle(int(key), size) }
	return ours, reference, err
}

func sysvAttach(b *bench) (ours, reference step, err error) {
	key, err := freeKey()
	if err != nil {
		return nil, nil, err
	}
	segment, err := shmkit.CreateSysV(key, size)
	if err != nil {
		return nil, nil, err
	}
	b.atEnd(func() { remove(segment) })
	ours = func() error { return closed(shmkit.AttachSysV(key)) }
	reference = func() error { return rawSysVAttachCycle(int(key)) }
	return ours, reference, nil
}

// closed ends a region that was just made.
func closed(region *shmkit.Region, err error) error {
	if err != nil {
		return err
	}
	return region.Close()
}

func remove(region *shmkit.Region) error {
	id, err := region.SysVID()
	if err != nil {
		return err
	}
	return shmkit.RemoveSysV(id)
}

// path is that of a file that goes at the end, whether or not it is there.
func (b *bench) path(name string) string {
	path := filepath.Join(b.directory, fmt.Sprintf("go.%s.%d", name, os.Getpid()))
	b.atEnd(func() { unix.Unlink(path) })
	return path
}

// posix is the same for a POSIX object.
func (b *bench) posix() (name, path string) {
	name = fmt.Sprintf("/shmkit-bench-go.%d", os.Getpid())
	path = "/dev/shm" + name
	b.atEnd(func() { unix.Unlink(path) })
	return name, path
}

// freeKey is a key that no segment has.
func freeKey() (shmkit.SysVKey, error) {
	first := 0x53480000 | os.Getpid()&0xffff
	for step := range 0x100 {
		key := first + step<<16
		if _, err := unix.SysvShmGet(key, 0, 0); err == unix.ENOENT {
			return shmkit.SysVKey(key), nil
		}
	}
	return 0, errors.New("no System V key is free")
}

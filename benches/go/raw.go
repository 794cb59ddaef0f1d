package main

import (
	"errors"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// The system calls that shmkit makes, made with golang.org/x/sys/unix: what a careful Go program has
// without shmkit. ../src/raw.rs is the same in Rust, and says more.

func rawMemfdCycle(name string, size int) error {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Fchmod(fd, 0o600); err != nil {
		return err
	}
	if err := reserve(fd, size); err != nil {
		return err
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_EXEC); err != nil {
		return err
	}
	return mapCycle(fd, size, unix.MAP_SHARED)
}

func rawAnonymousCycle(size int) error {
	return mapCycle(-1, size, unix.MAP_SHARED|unix.MAP_ANONYMOUS)
}

func rawFileCycle(directory, path string, size int) error {
	fd, err := nameless(directory)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return nameAndMap(fd, path, size)
}

func rawPOSIXCycle(path string, size int) error {
	fd, err := nameless("/dev/shm")
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := inMemory(fd); err != nil {
		return err
	}
	return nameAndMap(fd, path, size)
}

func rawFileOpenCycle(path string) error {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	size, err := regularSize(fd)
	if err != nil {
		return err
	}
	return mapCycle(fd, size, unix.MAP_SHARED)
}

func rawPOSIXOpenCycle(path string) error {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	size, err := regularSize(fd)
	if err != nil {
		return err
	}
	if err := inMemory(fd); err != nil {
		return err
	}
	return mapCycle(fd, size, unix.MAP_SHARED)
}

func rawSysVCycle(key, size int) error {
	id, err := unix.SysvShmGet(key, size, unix.IPC_CREAT|unix.IPC_EXCL|0o600)
	if err != nil {
		return err
	}
	data, err := unix.SysvShmAttach(id, 0, 0)
	if _, removed := unix.SysvShmCtl(id, unix.IPC_RMID, nil); err == nil {
		err = removed
	}
	if err != nil {
		return err
	}
	return unix.SysvShmDetach(data)
}

// SysvShmAttach itself asks for the size.
func rawSysVAttachCycle(key int) error {
	id, err := unix.SysvShmGet(key, 0, 0)
	if err != nil {
		return err
	}
	data, err := unix.SysvShmAttach(id, 0, 0)
	if err != nil {
		return err
	}
	return unix.SysvShmDetach(data)
}

func reserve(fd, size int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	if limit.Cur < uint64(size) {
		return unix.EFBIG
	}
	return unix.Fallocate(fd, 0, 0, int64(size))
}

func nameless(directory string) (int, error) {
	return unix.Open(directory, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
}

func nameAndMap(fd int, path string, size int) error {
	if err := reserve(fd, size); err != nil {
		return err
	}
	data, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	return errors.Join(unix.Linkat(fd, "", unix.AT_FDCWD, path, unix.AT_EMPTY_PATH), unix.Munmap(data))
}

func mapCycle(fd, size, flags int) error {
	data, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, flags)
	if err != nil {
		return err
	}
	return unix.Munmap(data)
}

// inMemory refuses a /dev/shm on a disk.
func inMemory(fd int) error {
	var stat unix.Statfs_t
	if err := unix.Fstatfs(fd, &stat); err != nil {
		return err
	}
	if stat.Type != unix.TMPFS_MAGIC {
		return unix.ENODEV
	}
	return nil
}

func regularSize(fd int) (int, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return 0, err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return 0, unix.ENODEV
	}
	return int(stat.Size), nil
}

// rawPair is both ends of a connection, with exact buffers that are made once.
type rawPair struct {
	near, far syscall.RawConn
	fds       []int
	payload   []byte
	control   []byte
}

func newRawPair(near, far syscall.Conn, files, bytes int) (*rawPair, error) {
	one, err := near.SyscallConn()
	if err != nil {
		return nil, err
	}
	other, err := far.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &rawPair{one, other, make([]int, files), make([]byte, bytes), make([]byte, unix.CmsgSpace(4*files))}, nil
}

func (p *rawPair) send(files ...*os.File) error {
	for i, file := range files {
		p.fds[i] = int(file.Fd())
	}
	rights := unix.UnixRights(p.fds...)
	var n int
	var err error
	failed := p.near.Write(func(socket uintptr) bool {
		n, err = unix.SendmsgN(int(socket), p.payload, rights, nil, unix.MSG_NOSIGNAL)
		return err != unix.EAGAIN
	})
	runtime.KeepAlive(files)
	if failed != nil {
		return failed
	}
	if err == nil && n != len(p.payload) {
		err = unix.EPROTO
	}
	return err
}

func (p *rawPair) receive() ([]int, error) {
	var n, controlLength, flags int
	var err error
	failed := p.far.Read(func(socket uintptr) bool {
		n, controlLength, flags, _, err = unix.Recvmsg(int(socket), p.payload, p.control, unix.MSG_CMSG_CLOEXEC)
		return err != unix.EAGAIN
	})
	if failed != nil {
		return nil, failed
	}
	if err != nil {
		return nil, err
	}
	header, data, _, err := unix.ParseOneSocketControlMessage(p.control[:controlLength])
	if err != nil {
		return nil, err
	}
	fds, err := unix.ParseUnixRights(&unix.SocketControlMessage{Header: header, Data: data})
	if err != nil {
		return nil, err
	}
	if n != len(p.payload) || len(fds) != len(p.fds) || flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		for _, fd := range fds {
			unix.Close(fd)
		}
		return nil, unix.EPROTO
	}
	return fds, nil
}

// receiveRegion is what comes behind the message: the checks, the mapping, its end.
func (p *rawPair) receiveRegion(size int) error {
	fds, err := p.receive()
	if err != nil {
		return err
	}
	fd := fds[0]
	defer unix.Close(fd)
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return err
	}
	seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	if err != nil {
		return err
	}
	has, err := regularSize(fd)
	if err != nil {
		return err
	}
	if flags&unix.O_ACCMODE != unix.O_RDWR || seals&unix.F_SEAL_SHRINK == 0 || has < size {
		return unix.EPROTO
	}
	return mapCycle(fd, size, unix.MAP_SHARED)
}

package shmkit

import (
	"os"
	"syscall"

	"shmkit/internal/capi"
)

// Create makes a region of memory without a name (memfd_create(2)), to be handed to other processes by
// SendRegion or File. The name is shown in /proc only; there is nothing to open by it.
//
// The memory is reserved, not executable, of mode 0600, and sealed, so that nobody can shrink or grow
// it. The size is in bytes, and kept to the byte; only huge pages round it up.
//
// Options: ReadOnly, Private, Populate, Locked, NoReserve, NoFork, NoDump, RiskReopen, Mirror, Huge2M,
// Huge1G, HugeFallback; Mode, Sealed, GrowableTo.
// Errors: EINVAL, ENOSPC or ENOMEM (no memory, or no huge page), EOPNOTSUPP (no huge pages of this
// size), EFBIG (RLIMIT_FSIZE), EMFILE.
func Create(name string, size int, options ...Option) (*Region, error) {
	return open("Create", name, "the name", &size, options, func(o capi.Options, opened *capi.Opened) *capi.Failure {
		return capi.Create(name, size, o, opened)
	})
}

// CreateAnonymous makes a region of anonymous memory. Only children made by a bare fork share it, so
// in a Go program it is memory of its own, outside the garbage-collected heap.
//
// Options: ReadOnly, Private, Populate, Locked, NoReserve, NoFork, NoDump, WipeOnFork.
func CreateAnonymous(size int, options ...Option) (*Region, error) {
	return open("CreateAnonymous", "", "", &size, options, func(o capi.Options, opened *capi.Opened) *capi.Failure {
		return capi.CreateAnonymous(size, o, opened)
	})
}

// CreateFile creates a file of size zero bytes, its blocks reserved, and maps it. No other process
// sees it before it has its size, and a creator that is killed leaves nothing.
//
// An existing file is EEXIST, unless Replace or OrOpen; with OrOpen one smaller than size is EINVAL,
// and a larger one is mapped as far as size.
//
// Options: ReadOnly, Private, Replace, OrOpen, Populate, Locked, NoReserve, NoFork, NoDump, RiskReopen,
// Mirror; Mode, GrowableTo.
func CreateFile(path string, size int, options ...Option) (*Region, error) {
	return open("CreateFile", path, "the path", &size, options, func(o capi.Options, opened *capi.Opened) *capi.Failure {
		return capi.CreateFile(path, size, o, opened)
	})
}

// OpenFile maps an existing file, all of it unless Size says less. The mapping never changes the
// file's size.
//
// Options: ReadOnly, Private, PastEnd, Populate, Locked, NoReserve, NoFork, NoDump, RiskReopen, Mirror,
// Huge2M, Huge1G; Size, Offset, SizeMin, GrowableTo.
// Errors: ENOENT, EACCES and others of the path; ENODEV (no regular file); EINVAL (also an empty file,
// or more bytes than it has); EOVERFLOW.
func OpenFile(path string, options ...Option) (*Region, error) {
	return open("OpenFile", path, "the path", nil, options, func(o capi.Options, opened *capi.Opened) *capi.Failure {
		return capi.OpenFile(path, o.Size, o, opened)
	})
}

// FromFile makes a region of an open file: a disk's file, a memfd, what File has given or a child has
// inherited by exec.Cmd.ExtraFiles. The file stays the caller's, and may be closed: the region keeps a
// duplicate. Seals are not asked for, as RecvRegion does: see CanShrink.
//
// Options: as for OpenFile. Errors: EBADF; ENODEV (pipes, directories, devices); EACCES (opened without
// the rights); EPERM (sealed against the writing that was asked for); EINVAL; EOVERFLOW.
func FromFile(file *os.File, options ...Option) (*Region, error) {
	const op = "FromFile"
	var region *Region
	err := withFD(op, file, func(fd int) (err error) {
		region, err = open(op, "", "", nil, options, func(o capi.Options, opened *capi.Opened) *capi.Failure {
			return capi.FromFD(fd, o.Size, o, opened)
		})
		return err
	})
	return region, err
}

// CreatePOSIX creates a POSIX shared memory object, as shm_open(3) has it, its memory reserved, and
// maps it. Leading slashes of the name are dropped; then 1 to 255 bytes without a slash.
//
// The object appears under its name with all its bytes, zeros. Any process that may write to it can
// also truncate it (Region.CanShrink). An existing object is EEXIST, unless Replace or OrOpen; with
// OrOpen one smaller than size is EINVAL, and a larger one is mapped as far as size.
//
// The name stays until UnlinkPOSIX or Region.Unlink, unless its creator says UnlinkLast or
// UnlinkCreator; who finds it with OrOpen changes nothing of that. Then it goes with a Close. A process
// that ends without closing, by a signal, os.Exit or log.Fatal, leaves it to the next that opens it.
//
// Options: as for CreateFile, and RiskDisk, UnlinkLast, UnlinkCreator.
// Errors: EINVAL (also a bad name), ENAMETOOLONG, EEXIST, EACCES, ENOSPC (/dev/shm is full), ErrOnDisk.
func CreatePOSIX(name string, size int, options ...Option) (*Region, error) {
	return open("CreatePOSIX", name, "the name", &size, options, func(o capi.Options, opened *capi.Opened) *capi.Failure {
		return capi.CreatePOSIX(name, size, o, opened)
	})
}

// OpenPOSIX maps all of an existing POSIX shared memory object, from the Offset on.
//
// Options: ReadOnly, Private, Populate, Locked, NoReserve, NoFork, NoDump, RiskReopen, RiskDisk, Mirror;
// Offset, SizeMin, GrowableTo. Errors: ENOENT, EACCES, EINVAL, ENAMETOOLONG, ErrOnDisk.
func OpenPOSIX(name string, options ...Option) (*Region, error) {
	return open("OpenPOSIX", name, "the name", nil, options, func(o capi.Options, opened *capi.Opened) *capi.Failure {
		return capi.OpenPOSIX(name, o, opened)
	})
}

// UnlinkPOSIX removes a POSIX name, whatever it names by now; Region.Unlink looks first. Whoever has
// the object mapped keeps it.
func UnlinkPOSIX(name string) error {
	const op = "UnlinkPOSIX"
	if err := noNUL(op, "the name", name); err != nil {
		return err
	}
	return failure(op, capi.UnlinkPOSIX(name))
}

// Unlink removes the name of a POSIX region or the path of a file region, if it still names this
// region's object: otherwise ESTALE, and the name stays. ENOENT where the name is gone, EOPNOTSUPP
// where the region has none.
func (r *Region) Unlink() error {
	if err := r.enter("Unlink"); err != nil {
		return err
	}
	defer r.leave()
	return failure("Unlink", r.held.Unlink())
}

// open is what all that make a region have in common: their options, their name, their size.
func open(op, name, what string, size *int, options []Option, call func(capi.Options, *capi.Opened) *capi.Failure) (*Region, error) {
	o, err := settle(op, options)
	if err != nil {
		return nil, err
	}
	if err := noNUL(op, what, name); err != nil {
		return nil, err
	}
	if size != nil && *size < 0 {
		return nil, refused(op, syscall.EINVAL, "the size is %d", *size)
	}
	b := takeBlock()
	defer b.giveBack()
	if f := call(o, &b.opened); f != nil {
		return nil, failure(op, f)
	}
	flags := Flag(o.Flags)
	// C tells it only where OrOpen leaves it open.
	created := b.opened.Created() || size != nil && flags&OrOpen == 0
	return b.newRegion(name, flags, created), nil
}

// noNUL refuses what C would see only a part of.
func noNUL(op, what, s string) error {
	if capi.HasNUL(s) {
		return refused(op, syscall.EINVAL, "%s %q has a NUL byte in it", what, s)
	}
	return nil
}

// withFD lends the number of an open file, which is not closed meanwhile.
func withFD(op string, file *os.File, use func(fd int) error) error {
	if file == nil {
		return refused(op, syscall.EINVAL, "the file is nil")
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return caused(op, err)
	}
	var result error
	if err := raw.Control(func(fd uintptr) { result = use(int(fd)) }); err != nil {
		return caused(op, err)
	}
	return result
}

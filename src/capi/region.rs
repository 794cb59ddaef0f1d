use std::ffi::{c_char, c_int, c_void};

use super::args::{self, shm_error};
use crate::region::{self, Advice, Region, Rights, Seals};

/// Map for reading only: shm_region_write answers -EACCES, a store through the pointer raises
/// SIGSEGV, and a receiver of the region gets it for reading.
pub const SHMKIT_REGION_READ_ONLY: u32 = 1;
/// Copy on write: this process's writes stay its own (MAP_PRIVATE). Not for System V.
pub const SHMKIT_REGION_PRIVATE: u32 = 2;
/// shm_file_create, shm_posix_create: put a new object in the place of an existing one. Whoever
/// uses the old one keeps it; for a moment there may be no object under the name. A link is
/// replaced itself; a directory, socket or pipe is -ENODEV.
pub const SHMKIT_REGION_REPLACE: u32 = 4;
/// shm_file_open, shm_region_from_fd: the mapping may be longer than its file. Access through the
/// pointer beyond the file's last page raises SIGBUS; shm_region_read and _write answer
/// SHMKIT_E_SHRUNK.
pub const SHMKIT_REGION_PAST_END: u32 = 8;
/// shm_file_create, shm_posix_create, shm_sysv_create, shm_sysv_create_at: open the object where it
/// exists already (mode is then of no account). The call returns 1 when it created, 0 when it
/// found. A finder may run before the creator has written anything: the object has its size, and
/// zeros.
pub const SHMKIT_REGION_OR_OPEN: u32 = 16;
/// Touch every page before the call returns, as shm_region_prefault does.
pub const SHMKIT_REGION_POPULATE: u32 = 32;
/// Keep the pages in memory (mlock), within RLIMIT_MEMLOCK.
pub const SHMKIT_REGION_LOCKED: u32 = 64;
/// Creating: do not reserve the memory. Sparse and quick, but a full file system or machine then
/// shows at the first touch, as SIGBUS or SHMKIT_E_SHRUNK. Opening: MAP_NORESERVE.
pub const SHMKIT_REGION_NO_RESERVE: u32 = 128;
/// A child made by fork() does not get the mapping (MADV_DONTFORK), and must not use or close the
/// handle that it has inherited.
pub const SHMKIT_REGION_NO_FORK: u32 = 256;
/// System V: mark the segment removed as soon as it is attached, so that it is destroyed with its
/// last user. Nobody finds it by its key from then on; shm_sysv_attach_id still attaches.
pub const SHMKIT_REGION_AUTO_REMOVE: u32 = 512;
/// shm_recv_region: accept a descriptor that other processes can shrink. Use shm_region_read and
/// _write: access through the pointer can raise SIGBUS at any time.
pub const SHMKIT_REGION_RISK_SHRINK: u32 = 1024;
/// Making, opening or receiving a read-only region: shm_send_region may send it later, although the
/// kernel cannot keep its receiver from opening it again for writing.
pub const SHMKIT_REGION_RISK_REOPEN: u32 = 2048;
/// shm_posix_create, shm_posix_open: accept that /dev/shm is not a memory file system here, so that
/// the object lies on a disk.
pub const SHMKIT_REGION_RISK_DISK: u32 = 4096;
/// The region can grow in place, up to size_max: so many addresses are set aside when it is made or
/// opened, and shm_region_grow and shm_region_follow move no pointer. Shared regions with a
/// descriptor, on ordinary pages, without _LOCKED, _PAST_END and _MIRROR. A memfd is then not
/// sealed against growing. Not for shm_recv_region: there the sender's region tells, and size_max.
pub const SHMKIT_REGION_GROWABLE: u32 = 8192;
/// Map the bytes twice in a row: byte i lies at data + i and at data + size + i, so that a record
/// that runs over the end of a ring lies in one piece. shm_region_size counts the bytes once, and
/// has to be whole pages; offsets and lengths reach as far as twice the size, and
/// shm_region_protect, _lock, _advise and _place work on addresses. Keep a ring's cursors in
/// another region. Shared regions with a descriptor, on ordinary pages, that do not grow. Each
/// process asks for itself.
pub const SHMKIT_REGION_MIRROR: u32 = 16384;
/// shm_region_create, shm_sysv_create: pages of 2 MiB from the machine's pool
/// (/sys/kernel/mm/hugepages); the size is rounded up to them. Opening and receiving: accept a
/// region on such pages, too. Page boundaries are then those of shm_region_page_size.
pub const SHMKIT_REGION_HUGE_2M: u32 = 32768;
/// The same with pages of 1 GiB. Opening and receiving may name both, creating only one.
pub const SHMKIT_REGION_HUGE_1G: u32 = 65536;
/// Creating: where the machine cannot give the huge pages, take the next smaller ones (1 GiB, 2
/// MiB, ordinary, where the size is not rounded). shm_region_page_size tells what it was.
pub const SHMKIT_REGION_HUGE_FALLBACK: u32 = 131072;
/// Leave the region out of core dumps (MADV_DONTDUMP).
pub const SHMKIT_REGION_NO_DUMP: u32 = 262144;
/// shm_anon_create with _PRIVATE: a child made by fork() finds zeros (MADV_WIPEONFORK). The kernel
/// does it for no other memory: -EINVAL.
pub const SHMKIT_REGION_WIPE_ON_FORK: u32 = 524288;
/// shm_posix_create: the name goes with its last user: the shm_region_close of the last region that
/// a process made or opened under it. When the last user ended without closing (kill, exit, exec),
/// the next process that opens or creates the name through this library removes it first. Children
/// made by fork(), and receivers of the region, are no users of the name; but what a killed process
/// had open counts until the children that it left have ended too.
///
/// Only processes of the object's owner remove the name: with another user the last close leaves
/// it. The object is marked in its mode (sticky, and executable for its owner): chmod(2) takes the
/// mark away, and then the name stays. A record lock (fcntl(2), lockf(3)) on all of the object
/// waits for its users: lock a range.
pub const SHMKIT_REGION_UNLINK_LAST: u32 = 1048576;
/// shm_posix_create: the name goes with its creator: with this region's shm_region_close, or, when
/// its process ended without, with the next process that opens or creates it through this library.
/// Whoever has the object open keeps it. Otherwise as _UNLINK_LAST, and not together with it.
pub const SHMKIT_REGION_UNLINK_CREATOR: u32 = 2097152;

/// Nobody may add seals (F_SEAL_SEAL). The numbers are the kernel's.
pub const SHMKIT_SEAL_SEAL: u32 = 1;
/// Nobody may make the object smaller (F_SEAL_SHRINK).
pub const SHMKIT_SEAL_SHRINK: u32 = 2;
/// Nobody may make the object larger (F_SEAL_GROW).
pub const SHMKIT_SEAL_GROW: u32 = 4;
/// Nobody may write, ever. -EBUSY while a writable shared mapping lives (F_SEAL_WRITE).
pub const SHMKIT_SEAL_WRITE: u32 = 8;
/// Nobody may write but through mappings that exist already (F_SEAL_FUTURE_WRITE, Linux 5.1).
pub const SHMKIT_SEAL_FUTURE_WRITE: u32 = 16;
/// Nobody may make the object executable (F_SEAL_EXEC, Linux 6.3; ignored on older kernels).
pub const SHMKIT_SEAL_EXEC: u32 = 32;
/// In shm_region_options.seals: create without any seal. Then nobody receives the region without
/// SHMKIT_REGION_RISK_SHRINK.
pub const SHMKIT_SEAL_NONE: u32 = 1073741824;

/// A sealable memory file (memfd_create), made here, received, or from a descriptor.
pub const SHMKIT_KIND_MEMFD: c_int = 1;
/// Another file that was opened elsewhere: shm_region_from_fd, shm_recv_region.
pub const SHMKIT_KIND_DESCRIPTOR: c_int = 2;
/// Anonymous memory, shared with children made by fork(). No descriptor.
pub const SHMKIT_KIND_ANONYMOUS: c_int = 3;
/// A file with a path.
pub const SHMKIT_KIND_FILE: c_int = 4;
/// A POSIX shared memory object, as shm_open(3) has it.
pub const SHMKIT_KIND_POSIX: c_int = 5;
/// A System V segment. No descriptor.
pub const SHMKIT_KIND_SYSV: c_int = 6;

/// shm_region_protect: no access at all.
pub const SHMKIT_RIGHTS_NONE: u32 = 0;
/// shm_region_protect: reading.
pub const SHMKIT_RIGHTS_READ: u32 = 1;
/// shm_holder: writing. Of a descriptor that was opened for that alone; no region has it without
/// reading.
pub const SHMKIT_RIGHTS_WRITE: u32 = 2;
/// shm_region_protect: reading and writing.
pub const SHMKIT_RIGHTS_READ_WRITE: u32 = 3;

/// shm_region_advise: no special treatment (MADV_NORMAL).
pub const SHMKIT_ADVICE_NORMAL: c_int = 0;
/// Pages are touched in no order (MADV_RANDOM).
pub const SHMKIT_ADVICE_RANDOM: c_int = 1;
/// Pages are touched in order (MADV_SEQUENTIAL).
pub const SHMKIT_ADVICE_SEQUENTIAL: c_int = 2;
/// Pages are needed soon (MADV_WILLNEED).
pub const SHMKIT_ADVICE_WILL_NEED: c_int = 3;
/// Use huge pages where the system allows them by advice (MADV_HUGEPAGE).
pub const SHMKIT_ADVICE_HUGE: c_int = 4;
/// Use no huge pages (MADV_NOHUGEPAGE).
pub const SHMKIT_ADVICE_NO_HUGE: c_int = 5;
/// Make huge pages now, whatever the system's setting (MADV_COLLAPSE, Linux 6.1).
pub const SHMKIT_ADVICE_COLLAPSE: c_int = 6;
/// Leave the pages out of a core dump (MADV_DONTDUMP).
pub const SHMKIT_ADVICE_NO_DUMP: c_int = 7;
/// Put the pages into a core dump again (MADV_DODUMP).
pub const SHMKIT_ADVICE_DUMP: c_int = 8;

/// A mapped range of memory that processes share, whichever kernel mechanism made it. Opaque.
pub struct shm_region(());

/// How to make or open a region. NULL in its place means all defaults, and so does a field that is
/// 0. Start from `shm_region_options o = { .size = sizeof o };`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct shm_region_options {
    /// sizeof(shm_region_options). 0 is -EINVAL. A newer program's larger struct is accepted while
    /// what this library does not know in it is 0, and is -E2BIG otherwise.
    pub size: u32,
    /// SHMKIT_REGION_ flags. One that is unknown, or that the call has no use for, is -EINVAL.
    pub flags: u32,
    /// Permission bits of the object to be created, at most 0777; 0 means 0600. The umask applies
    /// to files and POSIX objects, not to memfd and System V.
    pub mode: u32,
    /// shm_region_create: SHMKIT_SEAL_ bits; 0 means SHRINK | GROW | EXEC, and SHRINK | EXEC with
    /// _GROWABLE, which does not go with GROW.
    pub seals: u32,
    /// Where in the file the region begins, in bytes, a multiple of the page size: shm_file_open,
    /// shm_region_from_fd, shm_posix_open.
    pub offset: u64,
    /// Opening, attaching, receiving: a smaller object is -EINVAL, with the sizes in the message.
    pub size_min: u64,
    /// Receiving: a larger region is -EFBIG; 0 means no cap, but a growable region is refused. With
    /// _GROWABLE, and for a growable region received: how far it may grow here, in bytes, and no
    /// less than its size.
    pub size_max: u64,
}

/// ---- Making and opening regions ---------------------------------------------------------
///
/// Makes a region without a name, to be handed over: memory with a descriptor (memfd_create(2)).
///
/// The memory is reserved, close-on-exec, not executable, of mode 0600, and sealed, so that no
/// holder can shrink or grow it: access through its pointer never raises SIGBUS, for anybody.
///
/// `name`: shown in /proc only, 249 bytes at most; need not be unique.
/// `size`: in bytes, kept to the byte; what remains of the last page is zeros that all may touch.
/// Only huge pages round it up (_HUGE_2M, _HUGE_1G): shm_region_size tells to what. They are set
/// aside in the pool, but not for good: a hole that a peer punches, a limit of the cgroup, or
/// _NO_RESERVE can leave none for a page at its first touch, so such a region counts as one that
/// can shrink (shm_region_can_shrink); shm_region_prefault finds out. Receivers need no
/// _RISK_SHRINK.
/// `options`: flags READ_ONLY PRIVATE POPULATE LOCKED NO_RESERVE NO_FORK NO_DUMP RISK_REOPEN
/// GROWABLE MIRROR HUGE_2M HUGE_1G HUGE_FALLBACK; mode, without execute bits unless
/// SHMKIT_SEAL_EXEC is left out; seals; size_max.
/// `region`: the new region, the caller's, to be closed once with shm_region_close.
/// `error`: NULL, or filled on failure.
/// Returns 0, or: -EINVAL an argument; -ENOSPC or -ENOMEM no memory, or no huge page is left in the
/// pool; -EOPNOTSUPP no huge pages of this size here; -EFBIG over RLIMIT_FSIZE; -EMFILE, -ENFILE no
/// descriptor is left; -EAGAIN, -ENOMEM, -EPERM over RLIMIT_MEMLOCK (_LOCKED).
#[no_mangle]
pub unsafe extern "C" fn shm_region_create(
    name: *const c_char,
    size: usize,
    options: *const shm_region_options,
    region: *mut *mut shm_region,
    error: *mut shm_error,
) -> c_int {
    args::open(region, error, || {
        Region::create_c(args::string(name, "name")?, size, &args::options(options)?)
    })
}

/// Makes a region of a descriptor from elsewhere: a file, a memfd, an object of shm_open(3).
///
/// `fd`: stays the caller's; the region keeps a duplicate of its own.
/// `size`: in bytes from the offset; 0 means all of it. More than the file has is -EINVAL, unless
/// SHMKIT_REGION_PAST_END.
/// `options`: flags READ_ONLY PRIVATE PAST_END POPULATE LOCKED NO_RESERVE NO_FORK NO_DUMP
/// RISK_REOPEN GROWABLE MIRROR HUGE_2M HUGE_1G; offset; size_min; size_max.
/// Returns 0, or: -EBADF no open descriptor, or one that was opened with O_PATH; -ENODEV no regular
/// file (pipes, directories, devices: /dev/zero would map, and share nothing); -EOPNOTSUPP huge
/// pages stand behind it, and neither _HUGE_2M nor _HUGE_1G accepts them; -EACCES opened without
/// the rights for the mapping; -EPERM sealed against the writing that was asked for; -EINVAL an
/// argument, an offset that is no multiple of the page size, an empty file; -EOVERFLOW offset +
/// size; -ENOMEM too long, or too many mappings. The region is the caller's to close.
#[no_mangle]
pub unsafe extern "C" fn shm_region_from_fd(
    fd: c_int,
    size: usize,
    options: *const shm_region_options,
    region: *mut *mut shm_region,
    error: *mut shm_error,
) -> c_int {
    args::open(region, error, || Region::from_fd(&fd, size, &args::options(options)?))
}

/// Makes a region of anonymous memory, zeroed, to be shared with children made by fork().
///
/// `size`: in bytes.
/// `options`: flags READ_ONLY PRIVATE POPULATE LOCKED NO_RESERVE NO_FORK NO_DUMP WIPE_ON_FORK.
/// Returns 0, or: -EINVAL an argument; -ENOMEM no memory; -EAGAIN, -ENOMEM, -EPERM over
/// RLIMIT_MEMLOCK (_LOCKED). The region is the caller's to close, in each process.
#[no_mangle]
pub unsafe extern "C" fn shm_anon_create(
    size: usize,
    options: *const shm_region_options,
    region: *mut *mut shm_region,
    error: *mut shm_error,
) -> c_int {
    args::open(region, error, || Region::anon_create(size, &args::options(options)?))
}

/// Creates a file of `size` zero bytes, its blocks reserved, and maps it.
///
/// The file appears under its path with all its bytes, zeros: no opener sees it empty, and a
/// creator that is killed leaves nothing (O_TMPFILE and linkat(2); on a file system without
/// O_TMPFILE a hidden temporary name is used, which a kill can leave).
///
/// `path`: of the new file; its directory must exist. An existing file is -EEXIST, unless _REPLACE
/// or _OR_OPEN. With _OR_OPEN an existing file smaller than `size` is -EINVAL, and a larger one is
/// mapped as far as `size`.
/// `options`: flags READ_ONLY PRIVATE REPLACE OR_OPEN POPULATE LOCKED NO_RESERVE NO_FORK NO_DUMP
/// RISK_REOPEN GROWABLE MIRROR; mode, which the umask narrows; size_max.
/// Returns 0, with _OR_OPEN 1 when it created and 0 when it found, or: -EINVAL an argument;
/// -EEXIST; -ENOENT, -ENOTDIR, -EACCES, -EROFS, -ELOOP the path; -EOPNOTSUPP a hugetlbfs;
/// -ENAMETOOLONG; -ENOSPC, -EDQUOT the file system is full; -EFBIG over RLIMIT_FSIZE; -ENODEV,
/// -EISDIR, -ENXIO what exists is no regular file. The region is the caller's to close; the file
/// stays until it is unlinked.
#[no_mangle]
pub unsafe extern "C" fn shm_file_create(
    path: *const c_char,
    size: usize,
    options: *const shm_region_options,
    region: *mut *mut shm_region,
    error: *mut shm_error,
) -> c_int {
    args::create(region, error, || {
        let options = args::options(options)?;
        Ok((Region::file_create_c(args::string(path, "path")?, size, &options)?, options))
    })
}

/// Maps an existing file. The mapping never changes the file's size.
///
/// `path`: the file; a symbolic link is followed.
/// `size`: in bytes from the offset; 0 means all of it. More than the file has is -EINVAL, unless
/// SHMKIT_REGION_PAST_END.
/// `options`: flags READ_ONLY PRIVATE PAST_END POPULATE LOCKED NO_RESERVE NO_FORK NO_DUMP
/// RISK_REOPEN GROWABLE MIRROR HUGE_2M HUGE_1G; offset; size_min; size_max.
/// Returns 0, or: -ENOENT, -ENOTDIR, -EACCES, -EROFS, -ELOOP, -ENAMETOOLONG the path; -ENODEV,
/// -EISDIR, -ENXIO no regular file; -EOPNOTSUPP as for shm_region_from_fd; -EINVAL an argument, an
/// offset that is no multiple of the page size, an empty file; -EOVERFLOW; -ENOMEM. The region is
/// the caller's to close.
#[no_mangle]
pub unsafe extern "C" fn shm_file_open(
    path: *const c_char,
    size: usize,
    options: *const shm_region_options,
    region: *mut *mut shm_region,
    error: *mut shm_error,
) -> c_int {
    args::open(region, error, || {
        Region::file_open_c(args::string(path, "path")?, size, &args::options(options)?)
    })
}

/// Creates a POSIX shared memory object, its memory reserved, and maps it. shm_open(3) opens it
/// too.
///
/// The object appears under its name with all its bytes, zeros: no opener sees it empty, and a
/// creator that is killed leaves nothing. Any process that may write to it can also truncate it:
/// then access through the pointer raises SIGBUS, and shm_region_read and _write answer
/// SHMKIT_E_SHRUNK.
///
/// `name`: leading slashes are dropped; then 1 to 255 bytes without a slash, not "." or "..". An
/// existing object is -EEXIST, unless _REPLACE or _OR_OPEN. With _OR_OPEN an existing object
/// smaller than `size` is -EINVAL, and a larger one is mapped as far as `size`.
/// `options`: flags READ_ONLY PRIVATE REPLACE OR_OPEN POPULATE LOCKED NO_RESERVE NO_FORK NO_DUMP
/// RISK_REOPEN RISK_DISK GROWABLE MIRROR UNLINK_LAST UNLINK_CREATOR; mode, which the umask narrows,
/// with the last two without execute bits; size_max.
/// Returns 0, with _OR_OPEN 1 when it created and 0 when it found, or: -EINVAL an argument, a bad
/// name; -ENAMETOOLONG; -EEXIST; -EACCES; -ELOOP a symbolic link stands there; -ENODEV, -EISDIR,
/// -ENXIO no regular file stands there; -ENOSPC /dev/shm is full; -EFBIG over RLIMIT_FSIZE;
/// SHMKIT_E_ON_DISK; -EAGAIN another process has held the lock under which names go
/// (shm_region_unlink) for a second; -EPERM what stands there is due to go, and another user's. The
/// region is the caller's to close; the name stays until shm_posix_unlink or shm_region_unlink,
/// unless _UNLINK_LAST or _UNLINK_CREATOR, for which /proc has to be mounted.
#[no_mangle]
pub unsafe extern "C" fn shm_posix_create(
    name: *const c_char,
    size: usize,
    options: *const shm_region_options,
    region: *mut *mut shm_region,
    error: *mut shm_error,
) -> c_int {
    args::create(region, error, || {
        let options = args::options(options)?;
        Ok((Region::posix_create_c(args::string(name, "name")?, size, &options)?, options))
    })
}

/// Maps all of an existing POSIX shared memory object, from the offset on.
///
/// `name`: as for shm_posix_create.
/// `options`: flags READ_ONLY PRIVATE POPULATE LOCKED NO_RESERVE NO_FORK NO_DUMP RISK_REOPEN
/// RISK_DISK GROWABLE MIRROR; offset; size_min; size_max.
/// Returns 0, or: -ENOENT; -EACCES; -EINVAL an argument, a bad name, an object that is still empty;
/// -ENAMETOOLONG; -ELOOP a symbolic link; -ENODEV, -EISDIR, -ENXIO no regular file;
/// SHMKIT_E_ON_DISK; -ENOMEM; -EAGAIN, -EPERM as for shm_posix_create. An object whose _UNLINK_LAST
/// or _UNLINK_CREATOR is due is removed, and -ENOENT. The region is the caller's to close.
#[no_mangle]
pub unsafe extern "C" fn shm_posix_open(
    name: *const c_char,
    options: *const shm_region_options,
    region: *mut *mut shm_region,
    error: *mut shm_error,
) -> c_int {
    args::open(region, error, || Region::posix_open_c(args::string(name, "name")?, &args::options(options)?))
}

/// Removes a POSIX name (shm_unlink(3)), whatever it names by now: shm_region_unlink looks first.
/// Whoever has the object mapped or open keeps it.
///
/// Returns 0, or: -ENOENT; -EACCES; -EPERM another user's object in a sticky directory; -EINVAL,
/// -ENAMETOOLONG a bad name.
#[no_mangle]
pub unsafe extern "C" fn shm_posix_unlink(name: *const c_char, error: *mut shm_error) -> c_int {
    args::report(error, || region::posix_unlink(args::text(name, "name")?))
}

/// Removes the name of a POSIX region or the path of a file region, if it still names this region's
/// object: a name that was removed and made again by others stays.
///
/// Device and inode are compared under a lock on the name's directory (flock(2)) that _REPLACE and
/// whoever looks before it removes take too. Linux cannot remove a name by its inode: a program
/// that exchanges the name without that lock (shm_posix_unlink, and a new object), in the
/// microseconds between the look and the removal, can still lose its object's name. A relative path
/// is taken from the directory that is current now; a path that was a symbolic link is -ESTALE, as
/// the link is another file.
/// Returns 0, or: -EINVAL NULL; -EOPNOTSUPP the region has no name; -ENOENT the name is gone;
/// -ESTALE it names another object now, and stays; -EAGAIN another process has held the lock for a
/// second; -EACCES no right to remove from the directory, or to read it; -EPERM, -EROFS.
#[no_mangle]
pub unsafe extern "C" fn shm_region_unlink(region: *const shm_region, error: *mut shm_error) -> c_int {
    args::report(error, || args::known(&region)?.unlink())
}

/// ---- Using a region ---------------------------------------------------------------------
///
/// The region's first byte in this process, at a page's start; NULL for NULL. Other processes have
/// other addresses: store offsets in a region, never pointers. Valid until shm_region_close.
#[no_mangle]
pub unsafe extern "C" fn shm_region_data(region: *const shm_region) -> *mut c_void {
    args::peek(&region).map_or(std::ptr::null_mut(), |region| region.as_ptr().cast())
}

/// The region's size in bytes; 0 for NULL.
#[no_mangle]
pub unsafe extern "C" fn shm_region_size(region: *const shm_region) -> usize {
    args::peek(&region).map_or(0, Region::size)
}

/// How large the region can become in place, in bytes: with SHMKIT_REGION_GROWABLE what was set
/// aside for it, otherwise its size; 0 for NULL.
#[no_mangle]
pub unsafe extern "C" fn shm_region_size_max(region: *const shm_region) -> usize {
    args::peek(&region).map_or(0, Region::size_max)
}

/// The size of the pages behind the region, in bytes: the ordinary page's, or 2 MiB or 1 GiB where
/// it was made of pages from a pool (SHMKIT_REGION_HUGE_2M); 0 for NULL. Ordinary memory that the
/// kernel has put onto huge pages itself (SHMKIT_ADVICE_HUGE, _COLLAPSE) counts as ordinary.
#[no_mangle]
pub unsafe extern "C" fn shm_region_page_size(region: *const shm_region) -> usize {
    args::peek(&region).map_or(0, Region::page_size)
}

/// The region's descriptor. It stays the region's: do not close it; it is gone after
/// shm_region_close.
///
/// Returns the descriptor, or: -EINVAL NULL; -EOPNOTSUPP the kind has none (anonymous, System V).
#[no_mangle]
pub unsafe extern "C" fn shm_region_fd(region: *const shm_region) -> c_int {
    args::answer(args::region(&region).and_then(Region::fd))
}

/// Which mechanism stands behind the region: SHMKIT_KIND_…, or -EINVAL for NULL.
#[no_mangle]
pub unsafe extern "C" fn shm_region_kind(region: *const shm_region) -> c_int {
    args::answer(args::region(&region).map(|region| region.kind() as c_int))
}

/// What this process may do with the region: SHMKIT_RIGHTS_READ or _READ_WRITE, or -EINVAL for
/// NULL. A region that was received has what its sender gave and the receiver's options left of it.
/// shm_region_protect changes pages, not this; shm_region_freeze leaves _READ.
#[no_mangle]
pub unsafe extern "C" fn shm_region_rights(region: *const shm_region) -> c_int {
    args::answer(args::region(&region).map(|region| region.rights().bits() as c_int))
}

/// The name or path that the region was made or opened with; NULL where it has none (anonymous,
/// System V by key, received, from a descriptor). The region's string.
#[no_mangle]
pub unsafe extern "C" fn shm_region_name(region: *const shm_region) -> *const c_char {
    args::peek(&region).and_then(Region::name_c).map_or(std::ptr::null(), |name| name.as_ptr())
}

/// Whether the memory behind the region can be taken away, so that access through the pointer can
/// raise SIGBUS: 1 for files, POSIX objects, memfds without the seal SHRINK, and pages from a pool
/// of huge pages; 0 for sealed memfds, anonymous memory and System V; -EINVAL for NULL.
#[no_mangle]
pub unsafe extern "C" fn shm_region_can_shrink(region: *const shm_region) -> c_int {
    args::answer(args::region(&region).map(|region| c_int::from(region.can_shrink())))
}

/// Copies bytes out of the region, checked: an error where access through the pointer would be out
/// of bounds or raise a signal, also when the file is truncated during the call.
///
/// A bounds check and a memcpy where the memory cannot be taken away (shm_region_can_shrink), and
/// where it can but the region is guarded (shm_guard_enable); otherwise a copy by the kernel, which
/// costs a system call. Memory goes by whole pages: what a truncated file leaves of its last page
/// reads as zeros. Bytes that another process writes meanwhile arrive old or new, in any mixture.
/// `buffer`: at least `length` bytes; after a failure its content is undefined.
/// Returns 0, or: -EINVAL NULL; -ERANGE offset + length is beyond the region; SHMKIT_E_SHRUNK the
/// backing does not hold these bytes; -EACCES shm_region_protect forbids it; -EFAULT `buffer` is
/// not writable (only noticed on a copy by the kernel). shm_region_check gives the sentence.
#[no_mangle]
pub unsafe extern "C" fn shm_region_read(
    region: *const shm_region,
    offset: usize,
    buffer: *mut c_void,
    length: usize,
) -> c_int {
    args::answer(args::region(&region).and_then(|region| region.copy_out(offset, buffer.cast(), length)))
}

/// Copies bytes into the region, checked as shm_region_read is. After a failure a prefix may have
/// been copied.
///
/// Returns 0, or: -EACCES the region is read-only, or shm_region_protect forbids it; and as
/// shm_region_read, where -EFAULT says that `buffer` is not readable.
#[no_mangle]
pub unsafe extern "C" fn shm_region_write(
    region: *mut shm_region,
    offset: usize,
    buffer: *const c_void,
    length: usize,
) -> c_int {
    args::answer(args::region(&region).and_then(|region| region.copy_in(offset, buffer.cast(), length)))
}

/// The address of `length` bytes at `offset`, after a check of the bounds and of the alignment. The
/// macro SHMKIT_AT of shmkit_helpers.h makes a typed pointer of it.
///
/// `alignment`: a power of two; 1 for none.
/// `pointer`: valid until shm_region_close; not protected against SIGBUS.
/// Returns 0, or: -EINVAL NULL, the address is not a multiple of `alignment`, or that is no power
/// of two; -ERANGE beyond the region.
#[no_mangle]
pub unsafe extern "C" fn shm_region_at(
    region: *const shm_region,
    offset: usize,
    length: usize,
    alignment: usize,
    pointer: *mut *mut c_void,
) -> c_int {
    args::locate(pointer, || {
        args::region(&region).and_then(|region| region.locate(offset, length, alignment))
    })
}

/// Says in a sentence whether these bytes can be read (and written, where the region is writable):
/// the reason behind an error of shm_region_read and _write, with the numbers.
///
/// Returns 0, or: -EINVAL NULL; -ERANGE beyond the region; SHMKIT_E_SHRUNK with the size that the
/// backing has now; -EACCES shm_region_protect forbids it. Another process may truncate the file
/// right afterwards: this is a diagnosis, no guarantee. Of the pages the first alone is touched,
/// unless shm_region_protect was called.
#[no_mangle]
pub unsafe extern "C" fn shm_region_check(
    region: *const shm_region,
    offset: usize,
    length: usize,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || args::known(&region)?.check(offset, length))
}

/// Writes a range to the file on disk and waits until it is there (msync(2), MS_SYNC). Other
/// processes see the bytes without it. For memory without a file there is nothing to do. Works on
/// whole pages, as shm_region_flush_async, _prefault, _lock and _unlock do; a length of 0 is
/// nothing.
///
/// Returns 0, or: -EINVAL NULL; -ERANGE beyond the region; -EIO the device.
#[no_mangle]
pub unsafe extern "C" fn shm_region_flush(region: *mut shm_region, offset: usize, length: usize) -> c_int {
    args::answer(args::region(&region).and_then(|region| region.flush_code(offset, length)))
}

/// Starts to write a range to the file on disk and returns (sync_file_range(2); on Linux
/// msync(MS_ASYNC) does nothing). shm_region_flush waits for it.
///
/// Returns 0, or: -EINVAL NULL; -ERANGE beyond the region; -EIO the device.
#[no_mangle]
pub unsafe extern "C" fn shm_region_flush_async(
    region: *mut shm_region,
    offset: usize,
    length: usize,
) -> c_int {
    args::answer(args::region(&region).and_then(|region| region.flush_async_code(offset, length)))
}

/// Touches every page of a range now, so that later accesses do not wait for page faults
/// (MADV_POPULATE_WRITE, or _READ where the region is read-only; before Linux 5.14 for reading
/// only, page by page).
///
/// Returns 0, or: -EINVAL NULL; -ERANGE beyond the region; -ENOMEM no memory; SHMKIT_E_SHRUNK the
/// backing does not hold the range, or has no room for it; -EACCES shm_region_protect forbids it.
#[no_mangle]
pub unsafe extern "C" fn shm_region_prefault(
    region: *mut shm_region,
    offset: usize,
    length: usize,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || args::known(&region)?.prefault(offset, length))
}

/// Tells the kernel how a range will be used (madvise(2)). Only advice that cannot lose data is on
/// offer.
///
/// `offset`: on a page boundary. `advice`: SHMKIT_ADVICE_….
/// Returns 0, or: -EINVAL NULL, unknown advice, an offset that is no multiple of the page size,
/// advice that this kernel or kind of memory does not know; -ERANGE beyond the region; -ENOMEM,
/// -EAGAIN no memory for huge pages (_COLLAPSE).
#[no_mangle]
pub unsafe extern "C" fn shm_region_advise(
    region: *mut shm_region,
    offset: usize,
    length: usize,
    advice: c_int,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || args::known(&region)?.advise(offset, length, Advice::from_raw(advice)?))
}

/// No mutex: keeps the pages of a range from being swapped out (mlock(2)), until shm_region_unlock
/// or shm_region_close.
///
/// Returns 0, or: -EINVAL NULL; -ERANGE beyond the region; -ENOMEM, -EAGAIN, -EPERM over
/// RLIMIT_MEMLOCK, whose value is in the message.
#[no_mangle]
pub unsafe extern "C" fn shm_region_lock(
    region: *mut shm_region,
    offset: usize,
    length: usize,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || args::known(&region)?.lock(offset, length))
}

/// Ends shm_region_lock for a range (munlock(2)).
///
/// Returns 0, or: -EINVAL NULL; -ERANGE beyond the region.
#[no_mangle]
pub unsafe extern "C" fn shm_region_unlock(
    region: *mut shm_region,
    offset: usize,
    length: usize,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || args::known(&region)?.unlock(offset, length))
}

/// Changes what this process may do with a range (mprotect(2)). From then on access through the
/// pointer raises SIGSEGV where it is forbidden; shm_region_read and _write answer -EACCES there,
/// and go through the kernel for the whole region. A shm_region_read or _write that another thread
/// has begun at that moment can still raise SIGSEGV.
///
/// `offset`: on a page boundary. `rights`: SHMKIT_RIGHTS_…, no more than the region was opened
/// with.
/// Returns 0, or: -EINVAL NULL, unknown rights, an offset that is no multiple of the page size;
/// -ERANGE beyond the region; -EACCES more rights than the region has. For a guarded region
/// (shm_guard_enable) always -EINVAL.
#[no_mangle]
pub unsafe extern "C" fn shm_region_protect(
    region: *mut shm_region,
    offset: usize,
    length: usize,
    rights: u32,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || args::known(&region)?.protect(offset, length, Rights::from_raw(rights)?))
}

/// The seals that the region's object has: SHMKIT_SEAL_ bits.
///
/// Returns the bits, 0 or positive, or: -EINVAL NULL, or a file system without seals (a disk's);
/// -EOPNOTSUPP the kind has no descriptor. POSIX objects always answer SHMKIT_SEAL_SEAL.
#[no_mangle]
pub unsafe extern "C" fn shm_region_seals(region: *const shm_region) -> c_int {
    args::answer(args::region(&region).and_then(Region::seals_code).map(|seals| seals.bits() as c_int))
}

/// Adds seals to a memfd region, for every process and for good (fcntl(2), F_ADD_SEALS). All of
/// them or none.
///
/// `seals`: SHMKIT_SEAL_ bits.
/// Returns 0, or: -EINVAL NULL, unknown seals, a file system without seals; -EBUSY SEAL_WRITE while
/// a writable shared mapping lives, this region's own too; -EPERM sealed against seals, or a
/// read-only descriptor; -EOPNOTSUPP the kind has no descriptor.
#[no_mangle]
pub unsafe extern "C" fn shm_region_seal(
    region: *mut shm_region,
    seals: u32,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || args::known(&region)?.seal(Seals::from_raw(seals)?))
}

/// Unmaps the region and closes its descriptor. Names, files and System V segments stay; but with
/// SHMKIT_REGION_UNLINK_LAST or _UNLINK_CREATOR the name goes where that is due. In a child made by
/// fork() it does not: that is for the process that made or opened the region.
///
/// To be called once for each region, when no thread uses it any more: the handle and every pointer
/// into the region are dangling afterwards, and using them is undefined. NULL is fine. SHMKIT_CLOSE
/// of shmkit_helpers.h sets the variable to NULL, so that closing twice is harmless.
/// Returns 0, or: -EBUSY a guarded section is open (shm_guard_begin), and the region stays. After
/// any other failure the region is gone all the same: a negative errno from munmap(2) or close(2);
/// -EAGAIN another process has held the lock under which names go for a second, -EPERM the object
/// is another user's: a name that was due stays, for the next who opens it to remove.
#[no_mangle]
pub unsafe extern "C" fn shm_region_close(region: *mut shm_region) -> c_int {
    let may = args::peek(&region).map_or(Ok(()), Region::may_close);
    args::answer(may.and_then(|()| args::take(region).map_or(Ok(()), |mut region| region.close_code())))
}

//! Files and descriptors: open(2), fstat(2), statx(2), fallocate(2), linkat(2), flock(2), F_OFD_SETLK of fcntl(2).

use std::ffi::{c_int, CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

pub(crate) use nix::fcntl::OFlag;
use nix::fcntl::{self, AtFlags, FallocateFlags, FcntlArg};
use nix::sys::stat::Mode;
use nix::sys::statfs::{fstatfs, HUGETLBFS_MAGIC};
use nix::unistd;

use super::filesystem::Room;
use super::{mmap::page_size, uninterrupted, Errno, Result};

pub(crate) use nix::sys::stat::FileStat;

pub(crate) fn open(path: &CStr, flags: OFlag, mode: u32) -> Result<OwnedFd> {
    uninterrupted(|| fcntl::open(path, flags | OFlag::O_CLOEXEC, Mode::from_bits_truncate(mode)))
}

/// A file of `directory` without a name, to be given one by [`link`] or to vanish.
pub(crate) fn open_nameless(directory: &CStr, mode: u32) -> Result<OwnedFd> {
    open(directory, OFlag::O_TMPFILE | OFlag::O_RDWR, mode)
}

/// Whether this process may make files in a directory.
pub(crate) fn may_create_in(directory: &CStr) -> Result<()> {
    let place = open(directory, OFlag::O_PATH | OFlag::O_DIRECTORY, 0)?;
    let rights = unistd::AccessFlags::W_OK | unistd::AccessFlags::X_OK;
    unistd::faccessat(&place, c".", rights, AtFlags::AT_EACCESS)
}

/// Gives an open file a name, unless something stands there (EEXIST). Needs no temporary name.
pub(crate) fn link(fd: BorrowedFd<'_>, path: &CStr) -> Result<()> {
    match unistd::linkat(fd, c"", fcntl::AT_FDCWD, path, AtFlags::AT_EMPTY_PATH) {
        // Before Linux 6.10 only CAP_DAC_READ_SEARCH may link by descriptor alone.
        Err(Errno::ENOENT | Errno::EPERM) => {
            let own = in_proc(fd);
            unistd::linkat(fcntl::AT_FDCWD, own.as_c_str(), fcntl::AT_FDCWD, path, AtFlags::AT_SYMLINK_FOLLOW)
        }
        result => result,
    }
}

pub(crate) fn unlink(path: &CStr) -> Result<()> {
    uninterrupted(|| unistd::unlink(path))
}

pub(crate) fn open_directory(path: &CStr) -> Result<OwnedFd> {
    open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY, 0)
}

/// Removes a name of an open directory.
pub(crate) fn unlink_in(directory: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    uninterrupted(|| unistd::unlinkat(directory, name, unistd::UnlinkatFlags::NoRemoveDir))
}

/// What stands under a name of an open directory itself, be it a symbolic link.
pub(crate) fn stat_in(directory: BorrowedFd<'_>, name: &CStr) -> Result<FileStat> {
    nix::sys::stat::fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)
}

/// Opens a file once more, as its mode allows: an open file of its own, where a duplicate is the same one.
pub(crate) fn reopen(fd: BorrowedFd<'_>, flags: OFlag) -> Result<OwnedFd> {
    match open(&in_proc(fd), flags, 0) {
        // Not the file, which is open, but /proc.
        Err(Errno::ENOENT | Errno::ENOTDIR) => Err(Errno::EOPNOTSUPP),
        opened => opened,
    }
}

fn in_proc(fd: BorrowedFd<'_>) -> CString {
    CString::new(format!("/proc/self/fd/{}", fd.as_raw_fd())).expect("digits have no NUL")
}

pub(crate) fn stat(fd: BorrowedFd<'_>) -> Result<FileStat> {
    nix::sys::stat::fstat(fd)
}

pub(crate) fn stat_path(path: &CStr) -> Result<FileStat> {
    nix::sys::stat::stat(path)
}

/// What stands there itself, be it a symbolic link.
pub(crate) fn stat_name(path: &CStr) -> Result<FileStat> {
    nix::sys::stat::lstat(path)
}

/// musl has no function for it before 1.2.5.
pub(super) fn statx(parent: RawFd, name: &CStr, flags: c_int, mask: u32) -> Result<libc::statx> {
    let mut found = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY (kernel): it reads the name, and fills the struct when it succeeds; all zeros is valid too.
    unsafe {
        let result = libc::syscall(libc::SYS_statx, parent, name.as_ptr(), flags, mask, found.as_mut_ptr());
        Errno::result(result).map(|_| found.assume_init())
    }
}

/// A file's mode, as far as the kernel knows it: a file system of another process's making (FUSE, a
/// network's) is not asked, whose answer can take for ever.
pub(crate) fn mode_without_asking(fd: BorrowedFd<'_>) -> Result<u32> {
    let flags = libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC;
    match statx(fd.as_raw_fd(), c"", flags, libc::STATX_TYPE) {
        Ok(found) => Ok(u32::from(found.stx_mode)),
        // Not in this kernel, or filtered.
        Err(Errno::ENOSYS | Errno::EPERM) => Ok(stat(fd)?.st_mode),
        Err(errno) => Err(errno),
    }
}

pub(crate) fn is_link(stat: &FileStat) -> bool {
    stat.st_mode & libc::S_IFMT == libc::S_IFLNK
}

pub(crate) fn is_socket(stat: &FileStat) -> bool {
    stat.st_mode & libc::S_IFMT == libc::S_IFSOCK
}

/// The kind of a file that is no regular one, by its mode.
pub(crate) fn irregular(mode: u32) -> Option<&'static str> {
    match mode & libc::S_IFMT {
        libc::S_IFREG => None,
        libc::S_IFDIR => Some("a directory"),
        libc::S_IFIFO => Some("a pipe"),
        libc::S_IFSOCK => Some("a socket"),
        libc::S_IFCHR | libc::S_IFBLK => Some("a device"),
        _ => Some("no regular file"),
    }
}

/// Of a file that was opened with O_PATH.
pub(crate) fn change_mode_of_bare(fd: BorrowedFd<'_>, mode: u32) -> Result<()> {
    let (path, mode) = (in_proc(fd), Mode::from_bits_truncate(mode));
    nix::sys::stat::fchmodat(
        fcntl::AT_FDCWD,
        path.as_c_str(),
        mode,
        nix::sys::stat::FchmodatFlags::FollowSymlink,
    )
}

pub(crate) fn change_mode(fd: BorrowedFd<'_>, mode: u32) -> Result<()> {
    nix::sys::stat::fchmod(fd, Mode::from_bits_truncate(mode))
}

pub(crate) fn resize(fd: BorrowedFd<'_>, size: u64) -> Result<()> {
    let size = libc::off_t::try_from(size).map_err(|_| Errno::EFBIG)?;
    uninterrupted(|| unistd::ftruncate(fd, size))
}

/// Makes an empty file `size` bytes long, with room for them. In steps, so that a program that gets
/// signals all the time gets through too: an interrupted step begins again.
pub(crate) fn reserve(fd: BorrowedFd<'_>, size: u64) -> Result<()> {
    const STEP: i64 = 64 << 20;
    let size = libc::off_t::try_from(size).map_err(|_| Errno::EFBIG)?;
    let mut done = 0;
    while done < size {
        let step = STEP.min(size - done);
        match uninterrupted(|| fcntl::fallocate(fd, FallocateFlags::empty(), done, step)) {
            Ok(()) => done += step,
            // A file system without fallocate(2): glibc writes the blocks one by one.
            Err(Errno::EOPNOTSUPP) => return uninterrupted(|| fcntl::posix_fallocate(fd, 0, size)),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Starts to write a range to the device, and returns.
pub(crate) fn start_writing(fd: BorrowedFd<'_>, offset: u64, length: u64) -> Result<()> {
    // SAFETY (kernel): numbers only.
    Errno::result(unsafe {
        libc::sync_file_range(fd.as_raw_fd(), offset as i64, length as i64, libc::SYNC_FILE_RANGE_WRITE)
    })
    .map(drop)
}

/// Whether the file lies in memory only.
pub(crate) fn in_memory(fd: BorrowedFd<'_>) -> Result<bool> {
    Ok(Room::of(fd)?.in_memory())
}

/// How many bytes the file's system has left; None where it has no limit of its own.
pub(crate) fn free_space(fd: BorrowedFd<'_>) -> Result<Option<u64>> {
    let system = fstatfs(fd)?;
    Ok((system.blocks() > 0).then(|| system.blocks_free().saturating_mul(system.block_size() as u64)))
}

/// The size of the huge pages behind the file, if it is on such. Only a block size of its own makes
/// that worth a call.
pub(crate) fn huge_page_size(fd: BorrowedFd<'_>, stat: &FileStat) -> Result<Option<usize>> {
    let block = stat.st_blksize as usize;
    let huge = block != page_size() && fstatfs(fd)?.filesystem_type() == HUGETLBFS_MAGIC;
    Ok(huge.then_some(block))
}

/// Makes a file longer, with room for what is new; never shorter. All or nothing where the file system
/// has it so (tmpfs).
pub(crate) fn extend(fd: BorrowedFd<'_>, from: u64, length: u64) -> Result<()> {
    let (Ok(from), Ok(length)) = (libc::off_t::try_from(from), libc::off_t::try_from(length)) else {
        return Err(Errno::EFBIG);
    };
    let extend = || fcntl::fallocate(fd, FallocateFlags::empty(), from, length);
    match extend() {
        // An interrupted one begins again: under a storm of signals it would never end.
        Err(Errno::EINTR) => super::without_signals(extend),
        extended => extended,
    }
}

/// `fcntl(fd, F_GETFL)`; EBADF where `fd` is no open descriptor.
pub(crate) fn open_flags(fd: RawFd) -> Result<OFlag> {
    control(fd, libc::F_GETFL, 0).map(OFlag::from_bits_retain)
}

/// A duplicate, close-on-exec; EBADF where `fd` is no open descriptor.
pub(crate) fn duplicate(fd: RawFd) -> Result<OwnedFd> {
    let copy = control(fd, libc::F_DUPFD_CLOEXEC, 0)?;
    // SAFETY (kernel): a fresh descriptor, nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// `fcntl(2)` with a number as its argument.
pub(crate) fn control(fd: RawFd, command: c_int, argument: c_int) -> Result<c_int> {
    // SAFETY (kernel): the commands above take numbers; a bad descriptor is EBADF.
    Errno::result(unsafe { libc::fcntl(fd, command, argument) })
}

/// `flock(fd, LOCK_EX | LOCK_NB)`: held until the descriptor is closed.
pub(crate) fn try_lock(fd: BorrowedFd<'_>) -> Result<()> {
    // SAFETY (kernel): numbers only.
    Errno::result(unsafe { libc::flock(fd.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }).map(drop)
}

/// Ends [`try_lock`] at once, whoever else has the same open file.
pub(crate) fn unlock(fd: BorrowedFd<'_>) -> Result<()> {
    // SAFETY (kernel): numbers only.
    Errno::result(unsafe { libc::flock(fd.as_raw_fd(), libc::LOCK_UN) }).map(drop)
}

/// A lock on a byte of a file, behind its end, so that it is in nobody's way. An open file holds it: it ends with
/// the last descriptor, and the last mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    Shared,
    /// For descriptors that are open for writing.
    Exclusive,
}

/// The byte behind the last that a file can have.
pub(crate) const LAST: libc::off_t = libc::off_t::MAX;

/// Takes the lock, or answers EAGAIN.
pub(crate) fn hold(fd: BorrowedFd<'_>, byte: libc::off_t, hold: Hold) -> Result<()> {
    fcntl::fcntl(fd, FcntlArg::F_OFD_SETLK(&lock(byte, kind(hold)))).map(drop)
}

/// Ends [`hold`] at once, whoever else has the same open file.
pub(crate) fn let_go(fd: BorrowedFd<'_>, byte: libc::off_t) -> Result<()> {
    fcntl::fcntl(fd, FcntlArg::F_OFD_SETLK(&lock(byte, libc::F_UNLCK))).map(drop)
}

/// What other open files hold that is in the way of this.
pub(crate) fn held(fd: BorrowedFd<'_>, byte: libc::off_t, hold: Hold) -> Result<Option<Hold>> {
    let mut lock = lock(byte, kind(hold));
    fcntl::fcntl(fd, FcntlArg::F_OFD_GETLK(&mut lock))?;
    Ok(match c_int::from(lock.l_type) {
        libc::F_UNLCK => None,
        libc::F_RDLCK => Some(Hold::Shared),
        _ => Some(Hold::Exclusive),
    })
}

fn kind(hold: Hold) -> c_int {
    match hold {
        Hold::Shared => libc::F_RDLCK,
        Hold::Exclusive => libc::F_WRLCK,
    }
}

fn lock(byte: libc::off_t, kind: c_int) -> libc::flock {
    let (l_type, l_whence) = (kind as libc::c_short, libc::SEEK_SET as libc::c_short);
    libc::flock { l_type, l_whence, l_start: byte, l_len: 1, l_pid: 0 }
}

/// `close(2)` with its result.
pub(crate) fn close(fd: OwnedFd) -> Result<()> {
    match unistd::close(fd) {
        // The descriptor is gone all the same.
        Err(Errno::EINTR) => Ok(()),
        closed => closed,
    }
}

/// By memchr(3): the standard library looks byte by byte.
pub(crate) fn has_slash(name: &[u8]) -> bool {
    // SAFETY: it reads as many bytes as there are.
    !unsafe { libc::memchr(name.as_ptr().cast(), b'/'.into(), name.len()) }.is_null()
}

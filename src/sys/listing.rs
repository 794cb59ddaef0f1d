//! Looking around in directories, those of /proc above all: getdents64(2), statx(2), readlinkat(2). Relative
//! to an open directory, so that another process never takes the place of one that has ended.

use std::ffi::{c_int, CStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::fcntl::{self, OFlag};
use nix::sys::stat::Mode;

use super::{file, uninterrupted, Errno, Result};

/// Where the name of an entry of getdents64 begins, behind d_ino, d_off, d_reclen and d_type.
const NAME: usize = 19;

pub(crate) fn open_directory(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    open(parent, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY)
}

pub(crate) fn open(parent: BorrowedFd<'_>, name: &CStr, flags: OFlag) -> Result<OwnedFd> {
    uninterrupted(|| fcntl::openat(parent, name, flags | OFlag::O_CLOEXEC, Mode::empty()))
}

/// Calls `each` with every name in a directory, but for "." and "..".
pub(crate) fn list(
    directory: BorrowedFd<'_>,
    buffer: &mut Vec<u8>,
    mut each: impl FnMut(&CStr),
) -> Result<()> {
    buffer.resize(buffer.capacity().max(32 << 10), 0);
    loop {
        let (fd, room) = (directory.as_raw_fd(), buffer.len());
        // SAFETY (kernel): it fills at most `room` bytes of our own.
        let read = unsafe { libc::syscall(libc::SYS_getdents64, fd, buffer.as_mut_ptr().cast::<u8>(), room) };
        let mut rest = match Errno::result(read)? {
            0 => return Ok(()),
            read => &buffer[..read as usize],
        };
        while let Some(length) = rest.get(16..18) {
            let length = usize::from(u16::from_ne_bytes([length[0], length[1]]));
            let Some(entry) = rest.get(..length).filter(|_| length > NAME) else { break };
            rest = &rest[length..];
            match CStr::from_bytes_until_nul(&entry[NAME..]) {
                Ok(name) if name != c"." && name != c".." => each(name),
                _ => {}
            }
        }
    }
}

/// Reads a whole file into `text`.
pub(crate) fn read(parent: BorrowedFd<'_>, name: &CStr, text: &mut Vec<u8>) -> Result<()> {
    let file = open(parent, name, OFlag::O_RDONLY | OFlag::O_NONBLOCK)?;
    read_open(file.as_fd(), text)
}

/// The same of a file that is open, and was not read yet.
pub(crate) fn read_open(file: BorrowedFd<'_>, text: &mut Vec<u8>) -> Result<()> {
    text.clear();
    loop {
        if text.capacity() - text.len() < 4096 {
            text.reserve(64 << 10);
        }
        let room = text.spare_capacity_mut();
        // SAFETY (kernel): it fills as many bytes of the spare room as it says.
        unsafe {
            let read = libc::read(file.as_raw_fd(), room.as_mut_ptr().cast(), room.len());
            match Errno::result(read) {
                Ok(0) => return Ok(()),
                Ok(read) => text.set_len(text.len() + read as usize),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

pub(crate) fn link(parent: BorrowedFd<'_>, name: &CStr) -> Result<OsString> {
    fcntl::readlinkat(parent, name)
}

/// What statx(2) tells of a file. Times are nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stat {
    pub device: u64,
    pub inode: u64,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub links: u32,
    pub size: u64,
    /// Memory or disk that it takes, in bytes.
    pub used: u64,
    pub accessed_ns: i64,
    pub modified_ns: i64,
    pub changed_ns: i64,
    /// None where the file system does not keep it.
    pub born_ns: Option<i64>,
    /// Of the mount that it was reached through (Linux 5.8).
    pub mount: Option<u64>,
}

impl Stat {
    pub fn is_regular(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFREG
    }
}

/// The file that a name leads to.
pub(crate) fn stat(parent: BorrowedFd<'_>, name: &CStr) -> Result<Stat> {
    statx(parent.as_raw_fd(), name, 0)
}

/// What stands under the name itself, be it a symbolic link.
pub(crate) fn stat_name(parent: BorrowedFd<'_>, name: &CStr) -> Result<Stat> {
    statx(parent.as_raw_fd(), name, libc::AT_SYMLINK_NOFOLLOW)
}

pub(crate) fn stat_open(file: BorrowedFd<'_>) -> Result<Stat> {
    statx(file.as_raw_fd(), c"", libc::AT_EMPTY_PATH)
}

/// A file system of another process's making (FUSE, a network's) is not asked: its answer can take for ever.
fn statx(parent: c_int, name: &CStr, flags: c_int) -> Result<Stat> {
    let mask = libc::STATX_BASIC_STATS | libc::STATX_BTIME | libc::STATX_MNT_ID;
    let how = flags | libc::AT_STATX_DONT_SYNC | libc::AT_NO_AUTOMOUNT;
    match file::statx(parent, name, how, mask) {
        Ok(found) => Ok(from_statx(&found)),
        // Not in this kernel, or filtered.
        Err(Errno::ENOSYS | Errno::EPERM) => fstatat(parent, name, flags),
        Err(errno) => Err(errno),
    }
}

fn from_statx(found: &libc::statx) -> Stat {
    let ns = |time: libc::statx_timestamp| nanoseconds(time.tv_sec, time.tv_nsec.into());
    let has = |mask| found.stx_mask & mask != 0;
    Stat {
        device: libc::makedev(found.stx_dev_major, found.stx_dev_minor),
        inode: found.stx_ino,
        mode: found.stx_mode.into(),
        uid: found.stx_uid,
        gid: found.stx_gid,
        links: found.stx_nlink,
        size: found.stx_size,
        used: found.stx_blocks.saturating_mul(512),
        accessed_ns: ns(found.stx_atime),
        modified_ns: ns(found.stx_mtime),
        changed_ns: ns(found.stx_ctime),
        born_ns: has(libc::STATX_BTIME).then(|| ns(found.stx_btime)),
        mount: has(libc::STATX_MNT_ID).then_some(found.stx_mnt_id),
    }
}

fn fstatat(parent: c_int, name: &CStr, flags: c_int) -> Result<Stat> {
    let mut found = MaybeUninit::<libc::stat>::uninit();
    // SAFETY (kernel): fstatat fills the struct when it succeeds.
    let found = unsafe {
        Errno::result(libc::fstatat(parent, name.as_ptr(), found.as_mut_ptr(), flags))?;
        found.assume_init()
    };
    Ok(Stat {
        device: found.st_dev,
        inode: found.st_ino,
        mode: found.st_mode,
        uid: found.st_uid,
        gid: found.st_gid,
        links: found.st_nlink as u32,
        size: found.st_size as u64,
        used: (found.st_blocks as u64).saturating_mul(512),
        accessed_ns: nanoseconds(found.st_atime, found.st_atime_nsec),
        modified_ns: nanoseconds(found.st_mtime, found.st_mtime_nsec),
        changed_ns: nanoseconds(found.st_ctime, found.st_ctime_nsec),
        born_ns: None,
        mount: None,
    })
}

fn nanoseconds(seconds: i64, rest: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

/// How many clock ticks there are in a second (the unit of /proc/PID/stat).
pub(crate) fn ticks_per_second() -> u64 {
    // SAFETY (kernel): sysconf reads a constant.
    (unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).max(1) as u64
}

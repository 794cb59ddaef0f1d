//! Whether a file is open or mapped anywhere: F_SETLEASE of fcntl(2).
#![forbid(unsafe_code)]

use std::ffi::c_int;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::{file::control, Errno, Result};

/// Not in the libc crate for glibc (linux/fcntl.h, the same for all but alpha, mips and sparc).
const F_SETSIG: c_int = 10;

/// Whether this descriptor's open file is the only one of its inode. The kernel grants a write lease to nobody
/// else: descriptors and mappings of any process count, also of processes that we cannot see, and descriptors
/// that are on their way through a socket. Only those opened with O_PATH do not.
///
/// For the file's owner or CAP_LEASE: EACCES. The lease is given back at once. Who opens the file in between
/// waits, or with O_NONBLOCK is told EWOULDBLOCK; this process then gets a SIGURG, which does nothing unless
/// a handler was installed for it.
pub(crate) fn is_sole(file: BorrowedFd<'_>) -> Result<bool> {
    let fd = file.as_raw_fd();
    // By default it would be SIGIO, which kills.
    control(fd, F_SETSIG, libc::SIGURG)?;
    match control(fd, libc::F_SETLEASE, libc::F_WRLCK) {
        Ok(_) => control(fd, libc::F_SETLEASE, libc::F_UNLCK).map(|_| true),
        Err(Errno::EAGAIN) => Ok(false),
        Err(errno) => Err(errno),
    }
}

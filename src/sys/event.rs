//! A descriptor that becomes readable when somebody says so: eventfd(2).

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::{Errno, Result};

/// Not readable yet, and never waited for by read(2).
pub(crate) fn new() -> Result<OwnedFd> {
    // SAFETY (kernel): a new descriptor is nobody else's.
    unsafe {
        let fd = Errno::result(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Makes it readable.
pub(crate) fn signal(fd: BorrowedFd<'_>) {
    let one = 1u64.to_ne_bytes();
    // SAFETY (kernel): it reads 8 bytes. EAGAIN: somebody has filled it, and it is readable.
    unsafe { libc::write(fd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
}

/// It is not readable any more.
pub(crate) fn drain(fd: BorrowedFd<'_>) {
    let mut count = [0u8; 8];
    // SAFETY (kernel): it fills 8 bytes. EAGAIN: its user has read it.
    unsafe { libc::read(fd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
}

//! Memory files and seals: memfd_create(2), fcntl(2).

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::memfd::MFdFlags;

use super::{Errno, Result};

const NOEXEC_SEAL: MFdFlags = MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
const EXEC: MFdFlags = MFdFlags::from_bits_retain(libc::MFD_EXEC);

/// `int memfd_create(const char *name, unsigned flags)`, close-on-exec and sealable; ENODEV where the
/// machine has no huge pages of that size.
///
/// One of MFD_NOEXEC_SEAL and MFD_EXEC is passed, because Linux 6.3 and later complain about neither;
/// older kernels know neither and answer EINVAL.
pub(crate) fn create(name: &CStr, executable: bool, huge: Option<usize>) -> Result<OwnedFd> {
    let mut flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    if let Some(page_size) = huge {
        let size = page_size.trailing_zeros() << libc::MFD_HUGE_SHIFT;
        flags |= MFdFlags::MFD_HUGETLB | MFdFlags::from_bits_retain(size);
    }
    let exec = if executable { EXEC } else { NOEXEC_SEAL };
    match nix::sys::memfd::memfd_create(name, flags | exec) {
        // A name that is too long is EINVAL too, and stays so.
        Err(Errno::EINVAL) => nix::sys::memfd::memfd_create(name, flags),
        result => result,
    }
}

/// `fcntl(fd, F_GET_SEALS)`.
pub(crate) fn seals(fd: BorrowedFd<'_>) -> Result<u32> {
    // SAFETY (kernel): F_GET_SEALS takes no argument and touches no memory of ours.
    Errno::result(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GET_SEALS) }).map(|seals| seals as u32)
}

/// `fcntl(fd, F_ADD_SEALS, seals)`: all or none.
pub(crate) fn add_seals(fd: BorrowedFd<'_>, seals: u32) -> Result<()> {
    // SAFETY (kernel): F_ADD_SEALS takes a number and touches no memory of ours.
    Errno::result(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, seals as libc::c_int) }).map(drop)
}

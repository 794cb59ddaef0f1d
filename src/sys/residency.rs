//! Which pages are in memory: mincore(2).

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::unistd::{faccessat, AccessFlags};

use super::{mmap::page_size, Errno, Result};

/// Fills `pages`, a byte for each page from `start` on: 1 in its lowest bit for what is in memory. Only looks;
/// ENOMEM where something is not mapped.
pub(crate) fn mincore(start: usize, pages: &mut [u8]) -> Result<()> {
    let length = pages.len().checked_mul(page_size()).ok_or(Errno::ENOMEM)?;
    // SAFETY (kernel): it fills a byte a page, and touches no page.
    let result = unsafe { libc::mincore(start as *mut _, length, pages.as_mut_ptr()) };
    Errno::result(result).map(drop)
}

/// Whether mincore tells the truth of a file's pages. Where this process could not write to the file, it says
/// that all are in memory, whatever is (Linux 5.2).
pub(crate) fn is_told(file: BorrowedFd<'_>) -> bool {
    let owned = super::listing::stat_open(file).is_ok_and(|stat| stat.uid == super::own_user());
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let writable = || {
        let flags = nix::fcntl::AtFlags::AT_EACCESS;
        faccessat(nix::fcntl::AT_FDCWD, path.as_str(), AccessFlags::W_OK, flags).is_ok()
    };
    owned || writable()
}

//! A region over any descriptor of a file.
#![forbid(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::options::{window, Object};
use super::{Backing, Flags, Options, Parts, Region, Seals};
use crate::error::{Code, During, Error, Result};
use crate::sys::{file, memfd, mmap, Errno};

impl Region {
    /// Makes a region of a descriptor's file. The region keeps a duplicate of its own.
    pub fn from_fd(fd: &impl AsRawFd, size: usize, options: &Options) -> Result<Region> {
        const CALL: &str = "shm_region_from_fd";
        let flags = Flags::WITH_DESCRIPTOR | Flags::PAST_END | Flags::NO_RESERVE | Flags::HUGE;
        options.allow(CALL, flags)?;
        options.without_seals(CALL)?;
        let number = fd.as_raw_fd();
        let what = || format!("the file of descriptor {number}");
        let tried = || format!("cannot map {}", what());
        if file::open_flags(number).during(tried)?.contains(file::OFlag::O_PATH) {
            let message = format!("cannot map {}: it was opened with O_PATH", what());
            return Err(Error::new(Errno::EBADF, message));
        }
        let fd = file::duplicate(number).during(tried)?;
        let seals = seals(fd.as_fd());
        let object = regular(fd.as_fd(), options, what)?;
        let size = window(object, size as u64, options, what)?;
        Region::over_descriptor(fd, seals, (size, object.page_size), options, what)
    }

    /// Maps a file that was checked already. `seals` were read before its size was.
    pub(crate) fn over_descriptor(
        fd: OwnedFd,
        seals: Option<Seals>,
        (size, page_size): (usize, usize),
        options: &Options,
        what: impl Fn() -> String,
    ) -> Result<Region> {
        // Other files either have no seals at all, or F_SEAL_SEAL alone.
        let is_memfd = seals.is_some_and(|seals| seals != Seals::SEAL);
        let backing = if is_memfd { Backing::Memfd(fd) } else { Backing::Descriptor(fd) };
        let can_shrink = !seals.is_some_and(|seals| seals.contains(Seals::SHRINK))
            || options.flags.contains(Flags::PAST_END);
        let parts = Parts { backing, size, page_size, name: None, lease: None, created: false, can_shrink };
        Region::map_as(parts, options, Some(&what))
    }
}

/// The seals of a file, where its file system has them.
pub(crate) fn seals(fd: BorrowedFd<'_>) -> Option<Seals> {
    memfd::seals(fd).ok().map(Seals::from_bits_retain)
}

/// A regular file's size and pages; ENODEV for anything else, as the kernel answers to mapping it. A
/// device such as /dev/zero would map, and share nothing. Huge pages only where the caller accepts them.
pub(crate) fn regular(fd: BorrowedFd<'_>, options: &Options, what: impl Fn() -> String) -> Result<Object> {
    let stat = file::stat(fd).during(|| format!("cannot look at {}", what()))?;
    object(fd, &stat, options, what)
}

/// The same, where the kernel was asked already.
pub(crate) fn object(
    fd: BorrowedFd<'_>,
    stat: &file::FileStat,
    options: &Options,
    what: impl Fn() -> String,
) -> Result<Object> {
    if let Some(instead) = file::irregular(stat.st_mode) {
        let message =
            format!("cannot map {}: it is {instead}, and only regular files are shared memory", what());
        return Err(Error::new(Code::from(Errno::ENODEV), message));
    }
    let page_size = page_size(fd, stat, options, &what)?;
    Ok(Object { size: stat.st_size as u64, page_size })
}

/// The size of the pages behind a file, which the caller has to accept if they are huge.
pub(crate) fn page_size(
    fd: BorrowedFd<'_>,
    stat: &file::FileStat,
    options: &Options,
    what: impl Fn() -> String,
) -> Result<usize> {
    match file::huge_page_size(fd, stat).during(|| format!("cannot look at {}", what()))? {
        None => Ok(mmap::page_size()),
        Some(page_size) if options.flags.accept_pages(page_size) => Ok(page_size),
        Some(page_size) => {
            let message = format!(
                "cannot map {}: huge pages of {page_size} bytes stand behind it, which can run out (HUGE_2M \
                 and HUGE_1G accept them)",
                what()
            );
            Err(Error::new(Errno::EOPNOTSUPP, message))
        }
    }
}

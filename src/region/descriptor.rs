//! A region over any descriptor of a file.
#![forbid(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::options::window;
use super::{Backing, Flags, Options, Parts, Region, Seals};
use crate::error::{Code, During, Error, Result};
use crate::sys::{file, memfd, Errno};

impl Region {
    /// Makes a region of a descriptor's file. The region keeps a duplicate of its own.
    pub fn from_fd(fd: &impl AsRawFd, size: usize, options: &Options) -> Result<Region> {
        const CALL: &str = "shm_region_from_fd";
        options.allow(CALL, Flags::WITH_DESCRIPTOR | Flags::PAST_END | Flags::NO_RESERVE)?;
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
        let object_size = regular_size(fd.as_fd(), what)?;
        let size = window(object_size, size as u64, options, what)?;
        Region::over_descriptor(fd, seals, size, options, what)
    }

    /// Maps a file that was checked already. `seals` were read before its size was.
    pub(crate) fn over_descriptor(
        fd: OwnedFd,
        seals: Option<Seals>,
        size: usize,
        options: &Options,
        what: impl Fn() -> String,
    ) -> Result<Region> {
        // Other files either have no seals at all, or F_SEAL_SEAL alone.
        let is_memfd = seals.is_some_and(|seals| seals != Seals::SEAL);
        let backing = if is_memfd { Backing::Memfd(fd) } else { Backing::Descriptor(fd) };
        let can_shrink = !seals.is_some_and(|seals| seals.contains(Seals::SHRINK))
            || options.flags.contains(Flags::PAST_END);
        Region::map_as(Parts { backing, size, name: None, created: false, can_shrink }, options, Some(&what))
    }
}

/// The seals of a file, where its file system has them.
pub(crate) fn seals(fd: BorrowedFd<'_>) -> Option<Seals> {
    memfd::seals(fd).ok().map(Seals::from_bits_retain)
}

/// The size of a regular file on ordinary pages; ENODEV for anything else, as the kernel answers to
/// mapping it. A device such as /dev/zero would map, and share nothing.
pub(crate) fn regular_size(fd: BorrowedFd<'_>, what: impl Fn() -> String) -> Result<u64> {
    let stat = file::stat(fd).during(|| format!("cannot look at {}", what()))?;
    if let Some(instead) = file::irregular(stat.st_mode) {
        let message =
            format!("cannot map {}: it is {instead}, and only regular files are shared memory", what());
        return Err(Error::new(Code::from(Errno::ENODEV), message));
    }
    if file::on_huge_pages(fd, &stat).during(|| format!("cannot look at {}", what()))? {
        let message = format!("cannot map {}: huge pages stand behind it, which can run out", what());
        return Err(Error::new(Errno::EOPNOTSUPP, message));
    }
    Ok(stat.st_size as u64)
}

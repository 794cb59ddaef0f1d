//! The memory or blocks of a new object: reserved when it is made, or refused with the reason.
#![forbid(unsafe_code)]

use std::os::fd::BorrowedFd;

use super::{Flags, Options};
use crate::error::{During, Error, Result};
use crate::sys::{file, limits, Errno};

/// Gives a new file its size, and its memory or blocks unless the caller does without.
pub(super) fn give_size(
    fd: BorrowedFd<'_>,
    size: usize,
    options: &Options,
    what: impl Fn() -> String,
) -> Result<()> {
    let size = size as u64;
    within_file_size(size, &what)?;
    if options.flags.contains(Flags::NO_RESERVE) {
        return file::resize(fd, size).during(|| format!("cannot make {} {size} bytes long", what()));
    }
    if size >= WORTH_A_LOOK {
        room_for(fd, size, &what)?;
    }
    file::reserve(fd, size).during(|| format!("cannot reserve {size} bytes for {}", what()))
}

/// Gives a new file on huge pages its size, in whole pages. Mapping it takes them from the pool.
pub(super) fn give_huge_size(
    fd: BorrowedFd<'_>,
    size: usize,
    page_size: usize,
    what: impl Fn() -> String,
) -> Result<usize> {
    let size = whole_huge_pages(size, page_size, &what)?;
    within_file_size(size as u64, &what)?;
    file::resize(fd, size as u64).during(|| format!("cannot make {} {size} bytes long", what()))?;
    Ok(size)
}

pub(super) fn whole_huge_pages(size: usize, page_size: usize, what: impl Fn() -> String) -> Result<usize> {
    let whole = size.checked_next_multiple_of(page_size).filter(|&size| i64::try_from(size).is_ok());
    whole.ok_or_else(|| {
        let message = format!("cannot create {} of {size} bytes: no address range is that long", what());
        Error::new(Errno::ENOMEM, message)
    })
}

/// Says with a failure how many huge pages the machine has.
pub(super) fn in_pool(error: Error, page_size: usize) -> Error {
    let Some((all, free)) = limits::huge_pool(page_size).filter(|_| out_of_memory(&error)) else {
        return error;
    };
    let path = limits::huge_pool_path(page_size);
    let message = format!("{error} ({free} of {all} huge pages of {page_size} bytes are free: {path})");
    Error::new(error.code(), message)
}

fn out_of_memory(error: &Error) -> bool {
    [Some(Errno::ENOMEM as i32), Some(Errno::ENOSPC as i32)].contains(&error.errno())
}

pub(crate) fn no_such_pages(tried: &str) -> Error {
    Error::new(Errno::EOPNOTSUPP, format!("{tried}: this machine has no pages of that size"))
}

/// Makes a file reach as far as `end`, with memory or blocks from `from` on, unless the caller does without.
/// Never shorter, whoever else does the same: fallocate(2) alone, no ftruncate(2). What others made longer
/// without a reservation gets it too.
pub(super) fn extend(
    fd: BorrowedFd<'_>,
    from: u64,
    end: u64,
    options: &Options,
    what: impl Fn() -> String + Copy,
) -> Result<()> {
    let tried = || format!("cannot make {} {end} bytes long", what());
    let has = file::stat(fd).during(tried)?.st_size as u64;
    if end > has {
        within_file_size(end, what)?;
    }
    // What was truncated meanwhile needs its memory again.
    let from = from.min(has);
    if options.flags.contains(Flags::NO_RESERVE) {
        return if end > has { file::extend(fd, end - 1, 1).during(tried) } else { Ok(()) };
    }
    if end - from >= WORTH_A_LOOK {
        room_for(fd, end - from, what)?;
    }
    file::extend(fd, from, end - from).during(tried)
}

/// Beyond the limit the kernel would send SIGXFSZ, which kills.
fn within_file_size(size: u64, what: impl Fn() -> String) -> Result<()> {
    match limits::file_size().filter(|&limit| size > limit) {
        None => Ok(()),
        Some(limit) => {
            let message = format!(
                "cannot reserve {size} bytes for {}: RLIMIT_FSIZE is {limit} bytes (ulimit -f)",
                what()
            );
            Err(Error::new(Errno::EFBIG, message))
        }
    }
}

/// From here on, looking at what there is costs nothing beside reserving it.
const WORTH_A_LOOK: u64 = 16 << 20;

/// Refuses what cannot be reserved before the attempt does harm: a disk would fill up first, and for
/// memory the kernel would kill processes, until this one.
fn room_for(fd: BorrowedFd<'_>, size: u64, what: impl Fn() -> String) -> Result<()> {
    let tried = || format!("cannot reserve {size} bytes for {}", what());
    if let Some(free) = file::free_space(fd).during(tried)?.filter(|&free| size > free) {
        return Err(Error::new(Errno::ENOSPC, format!("{}: its file system has {free} bytes free", tried())));
    }
    if file::in_memory(fd).during(tried)? {
        if let Some(available) = limits::available_memory().filter(|&available| size > available) {
            let message = format!("{}: the machine has {available} bytes available", tried());
            return Err(Error::new(Errno::ENOMEM, message));
        }
    }
    Ok(())
}

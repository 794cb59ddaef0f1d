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
    // Beyond the limit the kernel would send SIGXFSZ, which kills.
    if let Some(limit) = limits::file_size().filter(|&limit| size > limit) {
        let message =
            format!("cannot reserve {size} bytes for {}: RLIMIT_FSIZE is {limit} bytes (ulimit -f)", what());
        return Err(Error::new(Errno::EFBIG, message));
    }
    if options.flags.contains(Flags::NO_RESERVE) {
        return file::resize(fd, size).during(|| format!("cannot make {} {size} bytes long", what()));
    }
    if size >= WORTH_A_LOOK {
        room_for(fd, size, &what)?;
    }
    file::reserve(fd, size).during(|| format!("cannot reserve {size} bytes for {}", what()))
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

//! What creating a region refuses before it asks the kernel: in one place, for those who make one and for those
//! who ask whether they could.
#![forbid(unsafe_code)]

use std::ffi::CStr;

use super::options::{creatable, Options};
use super::{lease, Flags, Kind, Seals};
use crate::error::{During, Error, Result};
use crate::sys::{file, Errno};

/// The call that makes a region of a kind, as messages name it.
pub(crate) fn call(kind: Kind) -> &'static str {
    match kind {
        Kind::Memfd => "shm_region_create",
        Kind::Descriptor => "shm_region_from_fd",
        Kind::Anonymous => "shm_anon_create",
        Kind::File => "shm_file_create",
        Kind::Posix => "shm_posix_create",
        Kind::SysV => "shm_sysv_create",
    }
}

/// The flags that it takes.
fn flags(kind: Kind) -> Flags {
    const HUGE: Flags = Flags::HUGE.union(Flags::HUGE_FALLBACK);
    const NAMED: Flags =
        Flags::WITH_DESCRIPTOR.union(Flags::REPLACE).union(Flags::OR_OPEN).union(Flags::NO_RESERVE);
    match kind {
        Kind::Memfd => Flags::WITH_DESCRIPTOR | Flags::NO_RESERVE | HUGE,
        Kind::Descriptor => Flags::WITH_DESCRIPTOR | Flags::PAST_END | Flags::NO_RESERVE | Flags::HUGE,
        Kind::Anonymous => Flags::ANY | Flags::PRIVATE | Flags::NO_RESERVE | Flags::WIPE_ON_FORK,
        Kind::File => NAMED,
        Kind::Posix => NAMED | Flags::RISK_DISK | Flags::UNLINK_LAST | Flags::UNLINK_CREATOR,
        Kind::SysV => Flags::ANY | Flags::AUTO_REMOVE | Flags::OR_OPEN | Flags::NO_RESERVE | HUGE,
    }
}

/// Refuses what no kernel could make. A segment's size is left to the kernel.
#[inline(always)]
pub(crate) fn check(kind: Kind, size: usize, options: &Options, what: impl Fn() -> String) -> Result<()> {
    if kind != Kind::SysV {
        creatable(size, &what)?;
    }
    match options.say_nothing() {
        true => Ok(()),
        false => check_options(kind, size, options, what),
    }
}

#[inline(never)]
fn check_options(kind: Kind, size: usize, options: &Options, what: impl Fn() -> String) -> Result<()> {
    let call = call(kind);
    options.allow(call, flags(kind))?;
    match kind {
        Kind::Memfd => {}
        Kind::Anonymous if options.flags & (Flags::WIPE_ON_FORK | Flags::PRIVATE) == Flags::WIPE_ON_FORK => {
            let message = format!("{call} takes WIPE_ON_FORK only with PRIVATE: a child shares other memory");
            return Err(Error::new(Errno::EINVAL, message));
        }
        Kind::Posix => lease::check(options)?,
        _ => {}
    }
    if kind != Kind::Memfd {
        options.without_seals(call)?;
    }
    options.without_offset(call)?;
    if kind != Kind::SysV {
        options.shaped(size, &what)?;
    }
    if kind == Kind::Memfd {
        sealable(options, what)?;
    }
    Ok(())
}

/// The seals of a new memfd.
pub(super) fn seals(options: &Options) -> Seals {
    options.seals.unwrap_or(match options.flags.contains(Flags::GROWABLE) {
        true => Seals::DEFAULT - Seals::GROW,
        false => Seals::DEFAULT,
    })
}

fn sealable(options: &Options, what: impl Fn() -> String) -> Result<()> {
    let seals = seals(options);
    let refuse = |message| Err(Error::new(Errno::EINVAL, message));
    // The kernel's answer to a seal behind the region's own mapping.
    if seals.contains(Seals::WRITE) && !options.flags.contains(Flags::PRIVATE) {
        let message = format!(
            "cannot create {} sealed against writing (WRITE): its own mapping is shared (PRIVATE is not, and \
             FUTURE_WRITE seals others)",
            what()
        );
        return Err(Error::new(Errno::EBUSY, message));
    }
    if options.flags.contains(Flags::GROWABLE) && seals.contains(Seals::GROW) {
        return refuse(format!("cannot create {}: it is to be GROWABLE and sealed against growing", what()));
    }
    if seals.contains(Seals::EXEC) && options.mode & 0o111 != 0 {
        let (what, mode) = (what(), options.mode);
        return refuse(format!("cannot create {what} of mode {mode:#o}: it is sealed against execution"));
    }
    Ok(())
}

/// Whether this process may make files in a directory.
pub(crate) fn may_create_in(directory: &CStr, what: impl Fn() -> String) -> Result<()> {
    file::may_create_in(directory).during(|| format!("cannot create {}", what()))
}

//! POSIX shared memory objects: files of /dev/shm, as glibc's shm_open(3) makes them.
#![forbid(unsafe_code)]

use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, BorrowedFd};

use super::descriptor;
use super::lease;
use super::name::Name;
use super::naming::{self, Unnamed};
use super::options::window;
use super::reserve::give_size;
use super::{c_name, creation, Backing, Flags, Kind, Options, Parts, Region};
use crate::error::{shown, During, Error, Result, SHMKIT_E_ON_DISK};
use crate::sys::file::{self, OFlag};
use crate::sys::{mmap, Errno};

pub(crate) const DIRECTORY: &CStr = c"/dev/shm";
/// What stands before a name in its path.
const BEFORE: &CStr = c"/dev/shm/";
const NAME_MAX: usize = 255;

impl Region {
    /// Creates an object of `size` zero bytes, its memory reserved, and maps it.
    pub fn posix_create(name: impl AsRef<OsStr>, size: usize, options: &Options) -> Result<Region> {
        Region::posix_create_c(&c_name(name.as_ref(), "name")?, size, options)
    }

    pub(crate) fn posix_create_c(name: &CStr, size: usize, options: &Options) -> Result<Region> {
        let what = || describe(name);
        creation::check(Kind::Posix, size, options, what)?;
        check(name)?;
        let mut path = Name::none();
        let path = path.set(BEFORE, name);
        let make = || {
            let (fd, unnamed) = Unnamed::open(DIRECTORY, options.mode_or_default())
                .during(|| format!("cannot create {}", what()))?;
            in_memory(fd.as_fd(), options, what)?;
            give_size(fd.as_fd(), size, options, what)?;
            let lease = lease::prepare(fd.as_fd(), path, options, what)?;
            let (backing, page_size, name) = (Backing::Posix(fd), mmap::page_size(), Some(path));
            let parts = Parts { backing, size, page_size, name, lease, created: true, can_shrink: true };
            Ok((Region::map(parts, options)?, unnamed))
        };
        naming::create(path, options, what, make, || open(path, size, options))
    }

    /// Maps all of an existing object.
    pub fn posix_open(name: impl AsRef<OsStr>, options: &Options) -> Result<Region> {
        Region::posix_open_c(&c_name(name.as_ref(), "name")?, options)
    }

    pub(crate) fn posix_open_c(name: &CStr, options: &Options) -> Result<Region> {
        const CALL: &str = "shm_posix_open";
        options.allow(CALL, Flags::WITH_DESCRIPTOR | Flags::NO_RESERVE | Flags::RISK_DISK)?;
        options.without_seals(CALL)?;
        check(name)?;
        open(Name::none().set(BEFORE, name), 0, options)
    }
}

/// Removes a name. Whoever has the object mapped or open keeps it.
pub fn unlink(name: impl AsRef<OsStr>) -> Result<()> {
    let name = c_name(name.as_ref(), "name")?;
    check(&name)?;
    file::unlink(Name::none().set(BEFORE, &name)).during(|| format!("cannot remove {}", describe(&name)))
}

fn open(path: &CStr, size: usize, options: &Options) -> Result<Region> {
    let what = || describe(name(path));
    let access = if options.flags.contains(Flags::READ_ONLY) || options.flags.contains(Flags::PRIVATE) {
        OFlag::O_RDONLY
    } else {
        OFlag::O_RDWR
    };
    // Whatever was planted under the name: not followed, not waited for.
    let flags = access | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let (fd, stat, lease) = lease::open(path, flags, what)?;
    let object = descriptor::object(fd.as_fd(), &stat, options, what)?;
    in_memory(fd.as_fd(), options, what)?;
    let (size, page_size) = (window(object, size as u64, options, what)?, object.page_size);
    let (backing, name) = (Backing::Posix(fd), Some(path));
    Region::map(Parts { backing, size, page_size, name, lease, created: false, can_shrink: true }, options)
}

fn describe(name: &CStr) -> String {
    format!("the POSIX object {}", shown(name.to_bytes()))
}

/// Refuses what is no name by shm_open's rules. The name is its path's end, as it was given.
fn check(name: &CStr) -> Result<()> {
    let mut bare = name.to_bytes();
    while let [b'/', rest @ ..] = bare {
        bare = rest;
    }
    let good = !matches!(bare, [] | b"." | b"..") && bare.len() <= NAME_MAX && !file::has_slash(bare);
    match good {
        true => Ok(()),
        false => Err(no_name(name, bare)),
    }
}

#[cold]
fn no_name(name: &CStr, bare: &[u8]) -> Error {
    let (errno, why) = match bare {
        _ if bare.len() > NAME_MAX => {
            (Errno::ENAMETOOLONG, format!("it has {} bytes, and {NAME_MAX} are allowed", bare.len()))
        }
        [] | b"." | b".." => (Errno::EINVAL, "nothing is behind the slashes but a directory".to_string()),
        _ => (Errno::EINVAL, "only leading slashes are allowed".to_string()),
    };
    Error::new(errno, format!("{} is no name of a POSIX object: {why}", shown(name.to_bytes())))
}

/// The name that a path was made of.
pub(super) fn name(path: &CStr) -> &CStr {
    CStr::from_bytes_with_nul(&path.to_bytes_with_nul()[BEFORE.count_bytes()..])
        .expect("the end of a C string")
}

/// Where no memory file system is mounted on /dev/shm, shm_open silently uses the disk below it.
fn in_memory(fd: BorrowedFd<'_>, options: &Options, what: impl Fn() -> String) -> Result<()> {
    if options.flags.contains(Flags::RISK_DISK)
        || file::in_memory(fd).during(|| format!("cannot look at the file system of {}", what()))?
    {
        return Ok(());
    }
    Err(on_disk(what))
}

pub(crate) fn on_disk(what: impl Fn() -> String) -> Error {
    let message =
        format!("{} would lie on a disk: no tmpfs is mounted on /dev/shm (RISK_DISK allows it)", what());
    Error::own(SHMKIT_E_ON_DISK, message)
}

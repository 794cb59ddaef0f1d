//! Files with a path.
#![forbid(unsafe_code)]

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::descriptor::{self, regular};
use super::naming::{self, Unnamed};
use super::options::window;
use super::reserve::give_size;
use super::{c_name, creation, Backing, Flags, Kind, Options, Parts, Region};
use crate::error::{shown, During, Error, Result};
use crate::sys::file::{self, OFlag};
use crate::sys::Errno;

impl Region {
    /// Creates a file of `size` zero bytes, its blocks reserved, and maps it.
    pub fn file_create(path: impl AsRef<OsStr>, size: usize, options: &Options) -> Result<Region> {
        Region::file_create_c(&c_name(path.as_ref(), "path")?, size, options)
    }

    pub(crate) fn file_create_c(path: &CStr, size: usize, options: &Options) -> Result<Region> {
        let what = || describe(path);
        creation::check(Kind::File, size, options, what)?;
        let directory = parent(path)?;
        let make = || {
            let (fd, unnamed) = Unnamed::open(&directory, options.mode_or_default())
                .during(|| format!("cannot create {}", what()))?;
            let stat = file::stat(fd.as_fd()).during(|| format!("cannot look at {}", what()))?;
            let page_size = descriptor::page_size(fd.as_fd(), &stat, options, what)?;
            give_size(fd.as_fd(), size, options, what)?;
            let (backing, name) = (Backing::File(fd), Some(path));
            let parts =
                Parts { backing, size, page_size, name, lease: None, created: true, can_shrink: true };
            Ok((Region::map(parts, options)?, unnamed))
        };
        naming::create(path, options, what, make, || open(path, size, options))
    }

    /// Maps `size` bytes of an existing file, or all of it for 0.
    pub fn file_open(path: impl AsRef<OsStr>, size: usize, options: &Options) -> Result<Region> {
        Region::file_open_c(&c_name(path.as_ref(), "path")?, size, options)
    }

    pub(crate) fn file_open_c(path: &CStr, size: usize, options: &Options) -> Result<Region> {
        const CALL: &str = "shm_file_open";
        let flags = Flags::WITH_DESCRIPTOR | Flags::PAST_END | Flags::NO_RESERVE | Flags::HUGE;
        options.allow(CALL, flags)?;
        options.without_seals(CALL)?;
        open(path, size, options)
    }
}

fn open(path: &CStr, size: usize, options: &Options) -> Result<Region> {
    let what = || describe(path);
    let access = if options.flags.contains(Flags::READ_ONLY) || options.flags.contains(Flags::PRIVATE) {
        // A private mapping writes nothing to the file.
        OFlag::O_RDONLY
    } else {
        OFlag::O_RDWR
    };
    // O_NONBLOCK: a FIFO is to be refused, not waited for.
    let fd = file::open(path, access | OFlag::O_NONBLOCK | OFlag::O_NOCTTY, 0)
        .during(|| format!("cannot open {}", what()))?;
    let object = regular(fd.as_fd(), options, what)?;
    let (size, page_size) = (window(object, size as u64, options, what)?, object.page_size);
    let (backing, name) = (Backing::File(fd), Some(path));
    Region::map(
        Parts { backing, size, page_size, name, lease: None, created: false, can_shrink: true },
        options,
    )
}

pub(crate) fn describe(path: &CStr) -> String {
    format!("the file {}", shown(path.to_bytes()))
}

/// The directory that a new file goes to.
pub(crate) fn parent(path: &CStr) -> Result<CString> {
    let refuse = |errno, why| Err(Error::new(errno, format!("cannot create {}: {why}", describe(path))));
    if path.is_empty() {
        return refuse(Errno::ENOENT, "the path is empty");
    }
    let no_file = path.to_bytes().ends_with(b"/") || path.to_bytes().ends_with(b"/.");
    let path = Path::new(OsStr::from_bytes(path.to_bytes()));
    match path.parent() {
        Some(directory) if !no_file && path.file_name().is_some() => {
            let directory = directory.as_os_str();
            c_name(if directory.is_empty() { OsStr::new(".") } else { directory }, "path")
        }
        _ => refuse(Errno::EISDIR, "the path names a directory"),
    }
}

//! An object is complete before it has a name: made nameless, given its size, mapped, and only then
//! linked. Nobody sees it empty, and a creator that is killed leaves nothing.
#![forbid(unsafe_code)]

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};

use super::lease::{self, LockedName};
use super::{Flags, Kind, Options, Region};
use crate::error::{During, Error, Result};
use crate::sys::{clock, file, Errno};

/// A new file on its way to a name.
pub(super) struct Unnamed {
    /// Where the file system has no nameless files: a hidden name, removed when this is dropped.
    hidden: Option<CString>,
}

impl Unnamed {
    /// Opens a new file in `directory`, for reading and writing.
    pub(super) fn open(directory: &CStr, mode: u32) -> crate::sys::Result<(OwnedFd, Unnamed)> {
        match file::open_nameless(directory, mode) {
            Ok(fd) => Ok((fd, Unnamed { hidden: None })),
            // Some file systems (NFS, FUSE, overlays before Linux 6.2) have none; kernels and file systems that
            // never heard of O_TMPFILE see an open of a directory for writing.
            Err(Errno::EOPNOTSUPP | Errno::EISDIR | Errno::EINVAL) => Unnamed::open_hidden(directory, mode),
            Err(errno) => Err(errno),
        }
    }

    fn open_hidden(directory: &CStr, mode: u32) -> crate::sys::Result<(OwnedFd, Unnamed)> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        loop {
            let mut path = directory.to_bytes().to_vec();
            let unique = (std::process::id(), clock::monotonic_ns(), COUNT.fetch_add(1, Ordering::Relaxed));
            path.extend(format!("/.shmkit-{}-{:x}-{}", unique.0, unique.1, unique.2).bytes());
            let path = CString::new(path).expect("the directory came from a C string");
            let flags = file::OFlag::O_CREAT | file::OFlag::O_EXCL | file::OFlag::O_RDWR;
            match file::open(&path, flags, mode) {
                Ok(fd) => return Ok((fd, Unnamed { hidden: Some(path) })),
                Err(Errno::EEXIST) => continue,
                Err(errno) => return Err(errno),
            }
        }
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        if let Some(hidden) = &self.hidden {
            // Its directory may be gone; nobody is left to be told.
            let _ = file::unlink(hidden);
        }
    }
}

/// Creates under `path`, exclusively unless the options say otherwise. `make` gives a complete region
/// over a file without a name, `find` one over what stands there.
pub(super) fn create(
    path: &CStr,
    options: &Options,
    what: impl Fn() -> String,
    make: impl FnOnce() -> Result<(Region, Unnamed)>,
    find: impl Fn() -> Result<Region>,
) -> Result<Region> {
    // Two processes that create, open, replace and remove the same name can keep each other from it; after
    // so many rounds something else is wrong (a dangling symbolic link exists, and cannot be opened).
    const ROUNDS: usize = 100;
    let or_open = options.flags.contains(Flags::OR_OPEN);
    if or_open {
        match find() {
            Err(error) if error.errno() == Some(Errno::ENOENT as i32) => {}
            found => return found,
        }
    }
    // Held until the name is given: a hidden name goes with it.
    let (mut region, _unnamed) = make()?;
    for _ in 0..ROUNDS {
        let fd = region.file().expect("a region over a file has a descriptor");
        match file::link(fd, path) {
            Ok(()) => {
                region.0.lease.iter_mut().for_each(|lease| lease.begin());
                return Ok(region);
            }
            Err(Errno::EEXIST) if or_open => match find() {
                Err(error) if error.errno() == Some(Errno::ENOENT as i32) => {}
                found => return found,
            },
            Err(Errno::EEXIST) if options.flags.contains(Flags::REPLACE) => remove_old(path, &what)?,
            // What users that are gone have left is no object any more.
            Err(Errno::EEXIST) if region.kind() == Kind::Posix && lease::clear(path, &what)? => {}
            Err(errno) => return Err(errno).during(|| format!("cannot create {}", what())),
        }
    }
    Err(Error::new(
        Errno::EEXIST,
        format!("cannot create {}: it exists, and cannot be opened or replaced", what()),
    ))
}

/// Makes room for a new file where an old one stands, or a link; a socket or a pipe is not ours to
/// remove.
fn remove_old(path: &CStr, what: impl Fn() -> String) -> Result<()> {
    let tried = || format!("cannot replace {}", what());
    // For those who look before they remove; whoever holds the lock for ever does not keep the name.
    let _place = LockedName::lock(path);
    match file::stat_name(path) {
        Ok(stat) if file::is_link(&stat) => {}
        Ok(stat) => {
            if let Some(instead) = file::irregular(stat.st_mode) {
                return Err(Error::new(
                    Errno::ENODEV,
                    format!("{}: what stands there is {instead}", tried()),
                ));
            }
        }
        Err(Errno::ENOENT) => return Ok(()),
        Err(errno) => return Err(errno).during(tried),
    }
    match file::unlink(path) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno).during(tried),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_hidden_name_goes_when_the_file_has_its_own_or_none() {
        let directory =
            CString::new(format!("{}/shmkit-naming-{}", std::env::temp_dir().display(), std::process::id()))
                .unwrap();
        let at = |name: &str| CString::new([directory.to_bytes(), b"/", name.as_bytes()].concat()).unwrap();
        let path = std::path::Path::new(directory.to_str().unwrap());
        std::fs::create_dir(path).unwrap();
        let names =
            || std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();

        let (fd, unnamed) = Unnamed::open_hidden(&directory, 0o600).unwrap();
        assert_eq!(names().len(), 1);
        file::link(fd.as_fd(), &at("named")).unwrap();
        assert_eq!(file::link(fd.as_fd(), &at("named")), Err(Errno::EEXIST));
        drop(unnamed);
        assert_eq!(names(), ["named"]);
        std::fs::remove_dir_all(path).unwrap();
    }
}

//! Removal of a region's own name, only while it still means its object.
#![forbid(unsafe_code)]

use std::os::fd::AsFd;

use super::lease::{lock, same_file};
use super::{Backing, Region};
use crate::error::{During, Error, Result};
use crate::sys::{file, Errno};

impl Region {
    /// Removes the name of a POSIX region or the path of a file region, if it still names this region's
    /// object: ESTALE if it names another one.
    pub fn unlink(&self) -> Result<()> {
        let tried = || format!("cannot remove the name of {}", self.describe());
        let (fd, path) = match (&self.backing, self.name.get()) {
            (Backing::Posix(fd) | Backing::File(fd), Some(path)) => (fd, path),
            _ => {
                let message = format!("{}: it has none in a file system", tried());
                return Err(Error::new(Errno::EOPNOTSUPP, message));
            }
        };
        let place = lock(path, tried)?;
        let (own, named) = (file::stat(fd.as_fd()).during(tried)?, place.stat().during(tried)?);
        if !same_file(&named, &own) {
            let message = format!("{}: another object stands there now", tried());
            return Err(Error::new(Errno::ESTALE, message));
        }
        file::unlink_in(place.directory.as_fd(), &place.name).during(tried)
    }
}

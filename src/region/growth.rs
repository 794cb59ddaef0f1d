//! Regions that grow in place. The mapping is as long as the region may become, and what lies beyond
//! the object's end turns into memory when the object gets there: no pointer moves, nothing is mapped
//! again, and this process's mapping goes on growing after the object is published read-only.
#![forbid(unsafe_code)]

use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;

use super::reserve::extend;
use super::{Flags, Region};
use crate::error::{During, Error, Result, SHMKIT_E_SHRUNK};
use crate::sys::{file, Errno};

impl Region {
    /// Makes the region larger, for all its users, without moving it.
    pub fn grow(&self, size: usize) -> Result<()> {
        let refused = |errno, why: String| {
            let what = self.describe();
            Err(Error::new(errno, format!("cannot grow {what} to {size} bytes: {why}")))
        };
        let fd = self.growable()?;
        // Once, because another thread may grow it meanwhile.
        let has = self.size();
        if size <= has {
            return Ok(());
        }
        if size > self.size_max() {
            return refused(Errno::EFBIG, format!("{} were set aside for it (size_max)", self.size_max()));
        }
        if !self.rights().writable() {
            return refused(Errno::EACCES, "it is read-only".to_string());
        }
        let offset = self.options.offset;
        extend(fd, offset + has as u64, offset + size as u64, &self.options, || self.describe())?;
        self.follow().map(drop)
    }

    /// Takes over what others have grown, and tells whether that made the region larger.
    pub fn follow(&self) -> Result<bool> {
        let fd = self.growable()?;
        // Before the look at the object: another thread may grow both in between.
        let size = self.size();
        let stat = file::stat(fd).during(|| format!("cannot look at {}", self.describe()))?;
        let has = (stat.st_size as u64).saturating_sub(self.options.offset);
        let has = usize::try_from(has).unwrap_or(usize::MAX).min(self.size_max());
        if has < size {
            let what = self.describe();
            let message = format!("cannot follow {what}: it has {has} bytes now, the region {size}");
            return Err(Error::own(SHMKIT_E_SHRUNK, message));
        }
        Ok(self.size.fetch_max(has, Ordering::Relaxed) < has)
    }

    fn growable(&self) -> Result<BorrowedFd<'_>> {
        match self.file() {
            Some(fd) if self.options.flags.contains(Flags::GROWABLE) => Ok(fd),
            _ => {
                let message = format!("{} is not GROWABLE", self.describe());
                Err(Error::new(Errno::EOPNOTSUPP, message))
            }
        }
    }
}

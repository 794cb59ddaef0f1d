//! Memory files and their seals: memfd_create(2).
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::Ordering;

use super::options::creatable;
use super::reserve::give_size;
use super::{c_name, Backing, Flags, Options, Parts, Region, Seals};
use crate::error::{shown, Code, During, Error, Result};
use crate::sys::{file, memfd, Errno};

/// The kernel's limit: 255 less "memfd:".
const NAME_MAX: usize = 249;

impl Region {
    /// Makes a region without a name in any directory, to be handed over: reserved, sealed, of mode 0600.
    pub fn create(name: impl AsRef<OsStr>, size: usize, options: &Options) -> Result<Region> {
        const CALL: &str = "shm_region_create";
        let name = name.as_ref();
        let what = || format!("the memfd {}", shown(name.as_bytes()));
        options.allow(CALL, Flags::WITH_DESCRIPTOR | Flags::NO_RESERVE)?;
        options.without_offset(CALL)?;
        creatable(size, what)?;
        if name.len() > NAME_MAX {
            let message = format!(
                "cannot create {}: its name has {} bytes, and {NAME_MAX} are allowed",
                what(),
                name.len()
            );
            return Err(Error::new(Errno::EINVAL, message));
        }
        let seals = options.seals.unwrap_or(Seals::DEFAULT);
        if seals.contains(Seals::EXEC) && options.mode & 0o111 != 0 {
            let message = format!(
                "cannot create {} of mode {:#o}: it is sealed against execution",
                what(),
                options.mode
            );
            return Err(Error::new(Errno::EINVAL, message));
        }
        let name = c_name(name, "name")?;

        let fd = memfd::create(&name, !seals.contains(Seals::EXEC))
            .during(|| format!("cannot create {}", what()))?;
        file::change_mode(fd.as_fd(), options.mode_or_default())
            .during(|| format!("cannot give {} mode {:#o}", what(), options.mode_or_default()))?;
        give_size(fd.as_fd(), size, options, what)?;
        let parts = Parts {
            backing: Backing::Memfd(fd),
            size,
            name: Some(name),
            created: true,
            can_shrink: !seals.contains(Seals::SHRINK),
        };
        // Mapped before it is sealed: FUTURE_WRITE leaves this region's own mapping writable.
        let region = Region::map(parts, options)?;
        region.add_seals(seals).during(|| format!("cannot seal {}", what()))?;
        Ok(region)
    }

    /// The seals that the region's object has; EINVAL where its file system knows none.
    pub fn seals(&self) -> Result<Seals> {
        self.seals_code()
            .map_err(|code| Error::new(code, format!("cannot read the seals of {}: {code}", self.describe())))
    }

    pub(crate) fn seals_code(&self) -> Result<Seals, Code> {
        let fd = self.descriptor().ok_or(Errno::EOPNOTSUPP)?;
        Ok(Seals::from_bits_retain(memfd::seals(fd)?))
    }

    /// Adds seals, for every process and for good: all of them or none.
    pub fn seal(&self, seals: Seals) -> Result<()> {
        let sealed = || format!("cannot seal {} ({seals:?})", self.describe());
        self.add_seals(seals).during(sealed)?;
        // What is gone already, or was never there, is no safer than before.
        let fd = self.descriptor().expect("it was sealed");
        let has = file::stat(fd).during(sealed)?.st_size as u64;
        if seals.contains(Seals::SHRINK) && has >= self.options.offset + self.size as u64 {
            self.can_shrink.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    fn add_seals(&self, seals: Seals) -> crate::sys::Result<()> {
        let fd = self.descriptor().ok_or(Errno::EOPNOTSUPP)?;
        if seals.is_empty() {
            return Ok(());
        }
        match memfd::add_seals(fd, seals.bits()) {
            // Before Linux 6.3 there is no F_SEAL_EXEC: do without.
            Err(Errno::EINVAL) if seals.contains(Seals::EXEC) && memfd::seals(fd).is_ok() => {
                memfd::add_seals(fd, (seals - Seals::EXEC).bits())
            }
            added => added,
        }
    }
}

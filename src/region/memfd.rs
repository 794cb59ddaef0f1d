//! Memory files and their seals: memfd_create(2).
#![forbid(unsafe_code)]

use std::ffi::{CStr, OsStr};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use super::creation;
use super::publish::Exposure;
use super::reserve::{give_huge_size, give_size, in_pool, no_such_pages};
use super::{c_name, Backing, Kind, Options, Parts, Region, Seals};
use crate::error::{shown, Code, During, Error, Result};
use crate::sys::{file, memfd, mmap, Errno};

/// The kernel's limit: 255 less "memfd:".
const NAME_MAX: usize = 249;

impl Region {
    /// Makes a region without a name in any directory, to be handed over: reserved, sealed, of mode 0600.
    pub fn create(name: impl AsRef<OsStr>, size: usize, options: &Options) -> Result<Region> {
        Region::create_c(&c_name(name.as_ref(), "name")?, size, options)
    }

    pub(crate) fn create_c(name: &CStr, size: usize, options: &Options) -> Result<Region> {
        let what = || format!("the memfd {}", shown(name.to_bytes()));
        creation::check(Kind::Memfd, size, options, what)?;
        if name.count_bytes() > NAME_MAX {
            let message = format!(
                "cannot create {}: its name has {} bytes, and {NAME_MAX} are allowed",
                what(),
                name.count_bytes()
            );
            return Err(Error::new(Errno::EINVAL, message));
        }
        let make = |huge| create_on(huge, name, size, creation::seals(options), options);
        options.flags.on_pages(creation::call(Kind::Memfd), make, |_| false)
    }

    /// The seals that the region's object has; EINVAL where its file system knows none.
    pub fn seals(&self) -> Result<Seals> {
        self.seals_code()
            .map_err(|code| Error::new(code, format!("cannot read the seals of {}: {code}", self.describe())))
    }

    pub(crate) fn seals_code(&self) -> Result<Seals, Code> {
        let fd = self.file().ok_or(Errno::EOPNOTSUPP)?;
        Ok(Seals::from_bits_retain(memfd::seals(fd)?))
    }

    /// Adds seals, for every process and for good: all of them or none.
    pub fn seal(&self, seals: Seals) -> Result<()> {
        let sealed = || format!("cannot seal {} ({seals:?})", self.describe());
        self.add_seals(seals).during(sealed)?;
        // What is gone already, or was never there, is no safer than before.
        let fd = self.file().expect("it was sealed");
        let has = file::stat(fd).during(sealed)?.st_size as u64;
        if !self.mapping.can_lack_pages()
            && seals.contains(Seals::SHRINK)
            && has >= self.options.offset + self.size() as u64
        {
            self.can_shrink.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    fn add_seals(&self, seals: Seals) -> crate::sys::Result<()> {
        let fd = self.file().ok_or(Errno::EOPNOTSUPP)?;
        if seals.is_empty() {
            return Ok(());
        }
        match memfd::add_seals(fd, seals.bits()) {
            // Before Linux 6.3 there is no F_SEAL_EXEC: do without.
            Err(Errno::EINVAL) if seals.contains(Seals::EXEC) && memfd::seals(fd).is_ok() => {
                self.add_seals(seals - Seals::EXEC)
            }
            added => added,
        }
    }
}

/// `huge`: the size of the pages from the machine's pool that shall stand behind it, if any.
fn create_on(
    huge: Option<usize>,
    name: &CStr,
    size: usize,
    seals: Seals,
    options: &Options,
) -> Result<Region> {
    let page_size = huge.unwrap_or_else(mmap::page_size);
    let what = || match huge {
        None => format!("the memfd {}", shown(name.to_bytes())),
        Some(_) => format!("the memfd {} on huge pages of {page_size} bytes", shown(name.to_bytes())),
    };
    let tried = || format!("cannot create {}", what());
    let exposure = Exposure::of_new();
    let fd = memfd::create(name, !seals.contains(Seals::EXEC), huge).map_err(|errno| match errno {
        Errno::ENODEV | Errno::EINVAL if huge.is_some() => no_such_pages(&tried()),
        errno => Error::new(errno, format!("{}: {}", tried(), Code::from(errno))),
    })?;
    file::change_mode(fd.as_fd(), options.mode_or_default())
        .during(|| format!("cannot give {} mode {:#o}", what(), options.mode_or_default()))?;
    let size = match huge {
        None => {
            give_size(fd.as_fd(), size, options, what)?;
            size
        }
        Some(_) => give_huge_size(fd.as_fd(), size, page_size, what)?,
    };
    let (backing, name) = (Backing::Memfd(fd), Some(name));
    let can_shrink = !seals.contains(Seals::SHRINK);
    let parts = Parts { backing, size, page_size, name, lease: None, created: true, can_shrink };
    // Mapped before it is sealed: FUTURE_WRITE leaves this region's own mapping writable.
    let mut region = Region::map(parts, options).map_err(|error| match huge {
        Some(page_size) => in_pool(error, page_size),
        None => error,
    })?;
    region.add_seals(seals).during(|| format!("cannot seal {}", what()))?;
    exposure.began_sealed(seals);
    region.0.exposure = exposure;
    Ok(region)
}

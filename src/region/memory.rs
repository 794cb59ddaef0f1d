//! What the kernel does with a region's pages: write them to disk, fetch, pin, protect them.
#![forbid(unsafe_code)]

use super::{Advice, Flags, KeptBy, Region, Rights};
use crate::error::{Code, During, Error, Result, SHMKIT_E_SHRUNK};
use crate::sys::{self, limits, mmap, Errno};

impl Region {
    /// Writes a range to the file on disk, and waits until it is there.
    pub fn flush(&self, offset: usize, length: usize) -> Result<()> {
        self.flush_code(offset, length).map_err(|code| self.failed("flush", offset, length, code))
    }

    pub(crate) fn flush_code(&self, offset: usize, length: usize) -> Result<(), Code> {
        self.within(offset, length)?;
        if length == 0 || self.file().is_none() {
            return Ok(());
        }
        Ok(self.mapping.sync(offset, length)?)
    }

    /// Starts to write a range to the file on disk.
    pub fn flush_async(&self, offset: usize, length: usize) -> Result<()> {
        self.flush_async_code(offset, length).map_err(|code| self.failed("flush", offset, length, code))
    }

    pub(crate) fn flush_async_code(&self, offset: usize, length: usize) -> Result<(), Code> {
        self.within(offset, length)?;
        match self.file() {
            // To sync_file_range, a length of 0 is all the rest of the file.
            Some(fd) if length > 0 && !self.options.flags.contains(Flags::PRIVATE) => {
                // What runs over the end of a mirror lies at both ends of the file.
                let (offset, length) =
                    if offset + length > self.size() { (0, self.size()) } else { (offset, length) };
                Ok(sys::file::start_writing(fd, self.options.offset + offset as u64, length as u64)?)
            }
            _ => Ok(()),
        }
    }

    /// Touches every page of a range, so that later accesses do not wait for page faults.
    pub fn prefault(&self, offset: usize, length: usize) -> Result<()> {
        self.within_or_say(offset, length)?;
        if length == 0 {
            return Ok(());
        }
        let writable = self.rights().writable();
        let touch = if writable { libc::MADV_POPULATE_WRITE } else { libc::MADV_POPULATE_READ };
        if writable && !self.created && !self.options.flags.contains(Flags::PRIVATE) {
            // Pages that are there already come many at a time this way, and on a tmpfs at once for writing.
            // What is wrong with them, the next call tells.
            let _ = self.mapping.advise(offset, length, libc::MADV_POPULATE_READ);
        }
        match sys::uninterrupted(|| self.mapping.advise(offset, length, touch)) {
            Ok(()) => Ok(()),
            Err(Errno::EFAULT) => Err(self.check(offset, length).err().unwrap_or_else(|| {
                let (what, why) = (self.describe(), self.why_no_page());
                let tried = format!("cannot prefault {length} bytes at offset {offset} of {what}");
                Error::own(SHMKIT_E_SHRUNK, format!("{tried}, which {why}"))
            })),
            Err(Errno::EINVAL) if self.is_protected() => {
                Err(self.failed("prefault", offset, length, Errno::EACCES.into()))
            }
            // Before Linux 5.14: touch them one by one, for reading.
            Err(Errno::EINVAL) => (offset - offset % mmap::page_size()..offset + length)
                .step_by(mmap::page_size())
                .try_for_each(|page| self.read(page, &mut [0])),
            Err(errno) => Err(self.failed("prefault", offset, length, errno.into())),
        }
    }

    /// Tells the kernel how a range will be used.
    pub fn advise(&self, offset: usize, length: usize, advice: Advice) -> Result<()> {
        self.on_pages(offset, length)?;
        self.mapping.advise(offset, length, advice.for_kernel()).during(|| {
            format!("cannot advise {advice:?} for {length} bytes at offset {offset} of {}", self.describe())
        })
    }

    /// Keeps the pages of a range in memory, within RLIMIT_MEMLOCK.
    pub fn lock(&self, offset: usize, length: usize) -> Result<()> {
        self.within_or_say(offset, length)?;
        if length == 0 {
            return Ok(());
        }
        self.mapping.lock(offset, length).map_err(|errno| {
            let tried =
                format!("cannot lock {length} bytes at offset {offset} of {} in memory", self.describe());
            match errno {
                // The kernel's answer for pages that must not be touched.
                Errno::ENOMEM if self.is_protected() => {
                    Error::new(errno, format!("{tried}: no access, or {}", memlock()))
                }
                errno => over_memlock(errno, tried),
            }
        })
    }

    /// Ends [`Region::lock`] for a range.
    pub fn unlock(&self, offset: usize, length: usize) -> Result<()> {
        self.within_or_say(offset, length)?;
        if length == 0 {
            return Ok(());
        }
        self.mapping
            .unlock(offset, length)
            .map_err(|errno| self.failed("unlock", offset, length, errno.into()))
    }

    /// Changes what this process may do with a range, within what the region was opened for. Checked
    /// access goes through the kernel from then on.
    pub fn protect(&self, offset: usize, length: usize, rights: Rights) -> Result<()> {
        self.on_pages(offset, length)?;
        if !self.rights().contains(rights) {
            let message = format!("cannot protect {} for writing: it was opened read-only", self.describe());
            return Err(Error::new(Errno::EACCES, message));
        }
        if !self.keep_pages_as(KeptBy::PROTECT) {
            let message = format!(
                "cannot protect {}: the fault guard is enabled, and pages that it puts back would not keep it",
                self.describe()
            );
            return Err(Error::new(Errno::EINVAL, message));
        }
        self.mapping
            .protect(offset, length, rights)
            .during(|| format!("cannot protect {length} bytes at offset {offset} of {}", self.describe()))
    }

    pub(super) fn on_pages(&self, offset: usize, length: usize) -> Result<()> {
        self.within_or_say(offset, length)?;
        let page = self.page_size();
        if offset % page != 0 {
            let message =
                format!("offset {offset} of {} is not a multiple of the page size, {page}", self.describe());
            return Err(Error::new(Errno::EINVAL, message));
        }
        Ok(())
    }

    fn failed(&self, what: &str, offset: usize, length: usize, code: Code) -> Error {
        Error::new(
            code,
            format!("cannot {what} {length} bytes at offset {offset} of {}: {code}", self.describe()),
        )
    }
}

/// A failure to lock memory, with the limit that is mostly behind it.
pub(crate) fn over_memlock(errno: Errno, tried: String) -> Error {
    let code = Code::from(errno);
    match errno {
        Errno::ENOMEM | Errno::EAGAIN | Errno::EPERM => {
            Error::new(code, format!("{tried}: {code} ({})", memlock()))
        }
        _ => Error::new(code, format!("{tried}: {code}")),
    }
}

fn memlock() -> String {
    match limits::locked_memory() {
        Some(limit) => format!("RLIMIT_MEMLOCK is {limit} bytes, ulimit -l"),
        None => "RLIMIT_MEMLOCK is unlimited".to_string(),
    }
}

//! Checked access: an error where the raw pointer would be out of bounds or die of a signal.
//!
//! Where the memory cannot be taken away, that is a bounds check and a memcpy; where it can, and the fault
//! guard is enabled, a memcpy in a guarded section. Otherwise the kernel copies, through the mapping: never
//! pread or pwrite, which see neither a private mapping's bytes nor where it ends, and never a signal
//! handler behind the program's back.

use super::{Flags, Region};
use crate::error::{Code, Error, Result, SHMKIT_E_SHRUNK};
use crate::sys::{self, limits, mmap, Errno};

impl Region {
    /// Copies bytes out of the region. After a failure the buffer's content is undefined.
    pub fn read(&self, offset: usize, buffer: &mut [u8]) -> Result<()> {
        // SAFETY: the buffer is the caller's alone.
        let copied = unsafe { self.copy_out(offset, buffer.as_mut_ptr(), buffer.len()) };
        copied.map_err(|code| self.explain("read", code, offset, buffer.len()))
    }

    /// Copies bytes into the region. After a failure a prefix may have been copied.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<()> {
        // SAFETY: the bytes stay readable meanwhile.
        let copied = unsafe { self.copy_in(offset, bytes.as_ptr(), bytes.len()) };
        copied.map_err(|code| self.explain("write", code, offset, bytes.len()))
    }

    /// [`Region::read`] with a code alone, into any memory.
    ///
    /// # Safety
    /// `to` is writable as far as `length`, and nobody reads it meanwhile.
    pub unsafe fn copy_out(&self, offset: usize, to: *mut u8, length: usize) -> Result<(), Code> {
        self.within(offset, length)?;
        let from = self.mapping.at(offset);
        unsafe { self.copy(to, from, offset, length) }
    }

    /// [`Region::write`] with a code alone, from any memory.
    ///
    /// # Safety
    /// `from` is readable as far as `length`.
    pub unsafe fn copy_in(&self, offset: usize, from: *const u8, length: usize) -> Result<(), Code> {
        if !self.rights().writable() {
            return Err(Errno::EACCES.into());
        }
        self.within(offset, length)?;
        let to = self.mapping.at(offset);
        unsafe { self.copy(to, from, offset, length) }
    }

    unsafe fn copy(&self, to: *mut u8, from: *const u8, offset: usize, length: usize) -> Result<(), Code> {
        if length == 0 {
            return Ok(());
        }
        if to.is_null() || from.is_null() {
            return Err(Errno::EINVAL.into());
        }
        // SAFETY (kernel): nothing can take these pages away, or the guard lets the copy go on; (caller) the
        // other side is good. Another process may write meanwhile: the bytes are copied, never looked at
        // through a reference.
        let plain = || unsafe { std::ptr::copy(from, to, length) };
        if let Some(copied) = self.guard.copy(offset, length, plain) {
            return copied;
        }
        if !self.can_shrink() && !self.is_protected() {
            plain();
            return Ok(());
        }
        let copied = unsafe { sys::copy::copy(to, from, length) }?;
        if copied == length {
            return Ok(());
        }
        // One side's next byte is bad. The caller's side is asked, which no peer changes meanwhile.
        let mut byte = 0;
        let reading = std::ptr::eq(from, self.mapping.at(offset));
        let (ours, probe) = if reading {
            (to.wrapping_add(copied), to.wrapping_add(copied))
        } else {
            (from.wrapping_add(copied).cast_mut(), &raw mut byte)
        };
        if unsafe { sys::copy::copy(probe, ours, 1) }? == 0 {
            return Err(Errno::EFAULT.into());
        }
        match self.check(offset + copied, length - copied) {
            Err(error) => Err(error.code()),
            Ok(()) if self.is_protected() => Err(Errno::EACCES.into()),
            // Nothing is wrong with them: there is memory that the kernel does not read for another process.
            Ok(()) if reading => {
                let (to, from, rest) = (to.wrapping_add(copied), from.wrapping_add(copied), length - copied);
                match unsafe { sys::copy::through_pipe(to, from, rest) }? {
                    more if more == rest => Ok(()),
                    _ => Err(Code::from_raw(SHMKIT_E_SHRUNK)),
                }
            }
            Ok(()) => Err(Code::from_raw(SHMKIT_E_SHRUNK)),
        }
    }

    /// Says whether these bytes can be read, and written where the region is writable: the reason
    /// behind a failed read or write, with the numbers. A diagnosis, no guarantee for later.
    pub fn check(&self, offset: usize, length: usize) -> Result<()> {
        self.within_or_say(offset, length)?;
        if length == 0 {
            return Ok(());
        }
        let shrunk = |why: String| {
            let what = self.describe();
            Error::own(
                SHMKIT_E_SHRUNK,
                format!("{length} bytes at offset {offset} of the region are not there: {what} {why}"),
            )
        };
        if let Some(fd) = self.file().filter(|_| self.can_shrink()) {
            let stat = sys::file::stat(fd)
                .map_err(|errno| Error::new(errno, format!("{}: {errno}", self.describe())))?;
            let has = stat.st_size as u64;
            // Up to the last page that the file reaches there is memory.
            let there = has.next_multiple_of(mmap::page_size() as u64).saturating_sub(self.options.offset);
            // What lies in the second half of a mirror is found in the first, and what runs over its end is at
            // both ends of the file.
            let offset = if offset >= self.size() { offset - self.size() } else { offset };
            let end = (offset + length).min(self.size()) as u64;
            if end > there {
                let begins = match self.options.offset {
                    0 => String::new(),
                    at => format!(", and the region begins at byte {at} of it"),
                };
                return Err(shrunk(format!("has {has} bytes now{begins}")));
            }
        }
        if self.guard.is_gone(offset, length) {
            let why =
                "lacked some when they were touched: zeros stand there until the last guarded section ends";
            return Err(shrunk(why.to_string()));
        }
        if !self.can_shrink() && !self.is_protected() {
            return Ok(());
        }
        // The pages themselves: what the kernel would answer to a touch. Only the first, unless protect()
        // may have made them unlike: a touch gives a sparse file its memory.
        let touched = if self.is_protected() { length } else { 1 };
        let write = self.rights().writable() && !self.options.flags.contains(Flags::PRIVATE);
        let touch = if write { libc::MADV_POPULATE_WRITE } else { libc::MADV_POPULATE_READ };
        match self.mapping.advise(offset, touched, touch) {
            Err(Errno::EFAULT) => Err(shrunk(self.why_no_page())),
            Err(Errno::EINVAL | Errno::EACCES) if self.is_protected() => {
                let message = format!(
                    "{length} bytes at offset {offset} of {}: shm_region_protect forbids it",
                    self.describe()
                );
                Err(Error::new(Errno::EACCES, message))
            }
            // Before Linux 5.14 there is no such advice, and nothing more to say.
            _ => Ok(()),
        }
    }

    /// Of an object that is large enough, and still has no page.
    pub(super) fn why_no_page(&self) -> String {
        match self.page_size() {
            page if page == mmap::page_size() => {
                "has no room for them (is its file system full?)".to_string()
            }
            page => format!("found no free huge page ({}/free_hugepages)", limits::huge_pool_path(page)),
        }
    }

    fn explain(&self, what: &str, code: Code, offset: usize, length: usize) -> Error {
        match self.check(offset, length) {
            Err(error) if error.code() == code => error,
            _ => Error::new(
                code,
                format!("cannot {what} {length} bytes at offset {offset} of {}: {code}", self.describe()),
            ),
        }
    }
}

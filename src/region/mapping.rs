//! A range of addresses that this process owns: made by one of three ways, ended by its own.

use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::mman::{MapFlags, ProtFlags};

use super::options::{Flags, Options, Rights};
use crate::sys::{self, mmap, segment, Errno};

/// The size of a huge page that the kernel can put behind ordinary memory, on the processors that we
/// know. Mappings that are congruent to it can have them.
const HUGE_PAGE: usize = 2 << 20;

#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    /// In whole pages.
    length: usize,
    end: End,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Unmap,
    Detach,
    /// Over already, or never.
    Stay,
}

// SAFETY (protocol): a mapping is plain addresses; what is behind them is shared between processes, let
// alone threads, and never lent as a Rust reference.
unsafe impl Send for Mapping {}
unsafe impl Sync for Mapping {}

pub(crate) fn protection(rights: Rights) -> ProtFlags {
    match rights {
        Rights::READ_WRITE => ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
        Rights::READ => ProtFlags::PROT_READ,
        _ => ProtFlags::PROT_NONE,
    }
}

pub(crate) fn sharing(options: &Options) -> MapFlags {
    let mut flags =
        if options.flags.contains(Flags::PRIVATE) { MapFlags::MAP_PRIVATE } else { MapFlags::MAP_SHARED };
    if options.flags.contains(Flags::NO_RESERVE) {
        flags |= MapFlags::MAP_NORESERVE;
    }
    flags
}

impl Mapping {
    /// `size` bytes of a file, from the options' offset on.
    pub(crate) fn of_file(fd: BorrowedFd<'_>, size: usize, options: &Options) -> sys::Result<Mapping> {
        Mapping::new(size, options, Some((fd, options.offset)))
    }

    pub(crate) fn anonymous(size: usize, options: &Options) -> sys::Result<Mapping> {
        Mapping::new(size, options, None)
    }

    fn new(size: usize, options: &Options, file: Option<(BorrowedFd<'_>, u64)>) -> sys::Result<Mapping> {
        let length = mmap::whole_pages(size).and_then(NonZeroUsize::new).ok_or(Errno::ENOMEM)?;
        let start = place(length, protection(options.rights()), sharing(options), file)?;
        Ok(Mapping { start, length: length.get(), end: End::Unmap })
    }

    /// All of a System V segment, and its size: the kernel's to tell, unless the segment is new.
    pub(crate) fn of_segment(
        id: i32,
        new_size: Option<usize>,
        options: &Options,
    ) -> sys::Result<(Mapping, usize)> {
        let start = segment::attach(id, options.flags.contains(Flags::READ_ONLY))?;
        let mut mapping = Mapping { start, length: 0, end: End::Detach };
        let size = match new_size {
            Some(size) => size,
            None => segment::stat(id)?.shm_segsz,
        };
        mapping.length = mmap::whole_pages(size).ok_or(Errno::ENOMEM)?;
        Ok((mapping, size))
    }

    pub(crate) fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    pub(crate) fn at(&self, offset: usize) -> *mut u8 {
        debug_assert!(offset <= self.length);
        self.start.as_ptr().wrapping_add(offset)
    }

    /// The whole pages that `offset` and the `length` bytes behind it lie on, for calls that work on
    /// pages.
    fn pages(&self, offset: usize, length: usize) -> (NonNull<u8>, usize) {
        let first = offset - offset % mmap::page_size();
        let length =
            mmap::whole_pages(offset + length).map_or(self.length, |end| end.min(self.length)) - first;
        // SAFETY: `first` is inside the mapping.
        (unsafe { self.start.add(first) }, length)
    }

    pub(crate) fn protect(&self, offset: usize, length: usize, rights: Rights) -> sys::Result<()> {
        let (start, length) = self.pages(offset, length);
        // SAFETY: our own range.
        unsafe { mmap::protect(start, length, protection(rights)) }
    }

    /// `advice`: one that does not change what the bytes are.
    pub(crate) fn advise(&self, offset: usize, length: usize, advice: i32) -> sys::Result<()> {
        let (start, length) = self.pages(offset, length);
        // SAFETY: our own range; the callers pass no advice that drops pages.
        unsafe { mmap::advise(start, length, advice) }
    }

    pub(crate) fn sync(&self, offset: usize, length: usize) -> sys::Result<()> {
        let (start, length) = self.pages(offset, length);
        // SAFETY: our own range.
        unsafe { mmap::sync(start, length) }
    }

    pub(crate) fn lock(&self, offset: usize, length: usize) -> sys::Result<()> {
        let (start, length) = self.pages(offset, length);
        // SAFETY: our own range.
        unsafe { mmap::lock(start, length) }
    }

    pub(crate) fn unlock(&self, offset: usize, length: usize) -> sys::Result<()> {
        let (start, length) = self.pages(offset, length);
        // SAFETY: our own range.
        unsafe { mmap::unlock(start, length) }
    }

    /// Ends the mapping: nobody uses the addresses any more.
    pub(crate) fn release(&mut self) -> sys::Result<()> {
        // SAFETY: our own range; the handle ends here, and with it whoever could use the addresses.
        match std::mem::replace(&mut self.end, End::Stay) {
            End::Unmap => unsafe { mmap::unmap(self.start, self.length) },
            End::Detach => unsafe { segment::detach(self.start) },
            End::Stay => Ok(()),
        }
    }

    /// Leaves the mapping as it is, for good.
    pub(crate) fn keep(&mut self) {
        self.end = End::Stay;
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = self.release();
    }
}

/// Where the last large mapping found a place that huge pages fit: a wish for the next one, so no matter
/// what it holds.
static LAST_PLACE: AtomicUsize = AtomicUsize::new(0);

/// A new mapping, placed so that huge pages fit where it is large enough for them.
fn place(
    length: NonZeroUsize,
    protection: ProtFlags,
    flags: MapFlags,
    file: Option<(BorrowedFd<'_>, u64)>,
) -> sys::Result<NonNull<u8>> {
    if length.get() < HUGE_PAGE {
        return mmap::map(None, length, protection, flags, file);
    }
    let within = file.map_or(0, |(_, offset)| (offset % HUGE_PAGE as u64) as usize);
    let fits = |start: NonNull<u8>| start.as_ptr() as usize % HUGE_PAGE == within;
    // Only what the kernel chose is ever wished for: `within` may be a peer's, and must not pick the place.
    let near = |place: usize| NonZeroUsize::new(place).map(|place| place.saturating_add(within));
    let mut start = mmap::map(near(LAST_PLACE.load(Ordering::Relaxed)), length, protection, flags, file)?;
    if !fits(start) {
        // The kernel places from the top down, so just below is mostly free.
        let below = (start.as_ptr() as usize & !(HUGE_PAGE - 1)).saturating_sub(HUGE_PAGE);
        // SAFETY: our own range, used by nobody yet.
        unsafe { mmap::unmap(start, length.get()) }?;
        start = mmap::map(near(below), length, protection, flags, file)?;
    }
    if fits(start) {
        LAST_PLACE.store(start.as_ptr() as usize - within, Ordering::Relaxed);
    }
    Ok(start)
}

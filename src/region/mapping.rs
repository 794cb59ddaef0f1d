//! A range of addresses that this process owns: made by one of three ways, ended by its own.

use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::mman::{MapFlags, ProtFlags};

use super::options::{Flags, Options, Rights};
use crate::sys::{self, mmap, numa, segment, Errno};

/// The size of a huge page that the kernel can put behind ordinary memory, on the processors that we
/// know. Mappings that are congruent to it can have them.
const HUGE_PAGE: usize = 2 << 20;

#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    /// In whole pages.
    length: usize,
    page_size: usize,
    /// Whether the pages may be huge for all we know, and so run out.
    unsure: bool,
    end: End,
}

/// What a mapping shows of its object, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// In bytes.
    pub size: usize,
    /// Of the object's pages.
    pub page_size: usize,
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

/// How many addresses a mapping takes, in bytes.
#[inline]
pub(crate) fn length(shape: Shape, options: &Options) -> Option<usize> {
    let length = match options.flags {
        flags if flags.contains(Flags::GROWABLE) => usize::try_from(options.size_max).ok(),
        flags if flags.contains(Flags::MIRROR) => shape.size.checked_mul(2),
        _ => Some(shape.size),
    };
    length.and_then(|length| length.checked_next_multiple_of(shape.page_size))
}

/// Whether so many addresses can be had: takes them for a moment, with nothing behind them.
pub(crate) fn addresses(length: Option<usize>, options: &Options) -> sys::Result<()> {
    let length = length.and_then(NonZeroUsize::new).ok_or(Errno::ENOMEM)?;
    // Private memory that can be written to counts for RLIMIT_DATA too.
    let rights = match options.flags.contains(Flags::PRIVATE) {
        true => protection(options.rights()),
        false => ProtFlags::PROT_NONE,
    };
    let private = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
    let start = mmap::map(None, length, rights, private, None)?;
    // SAFETY: our own range, which nobody has used.
    unsafe { mmap::unmap(start, length.get()) }
}

impl Mapping {
    /// A file's bytes, from the options' offset on. One that can grow is mapped as far as it may: what is
    /// beyond the file's end becomes memory when the file gets there.
    // Inlined, as new() is: a Result<Mapping> in memory would be copied right behind the stores that make it.
    #[inline(always)]
    pub(crate) fn of_file(fd: BorrowedFd<'_>, shape: Shape, options: &Options) -> sys::Result<Mapping> {
        let Shape { size, page_size } = shape;
        let length = length(shape, options);
        let mapping = Mapping::new(length, page_size, options, Some((fd, options.offset)))?;
        if options.flags.contains(Flags::MIRROR) {
            mapping.map_again(fd, size, size, options)?;
        }
        Ok(mapping)
    }

    pub(crate) fn anonymous(size: usize, options: &Options) -> sys::Result<Mapping> {
        Mapping::new(mmap::whole_pages(size), mmap::page_size(), options, None)
    }

    #[inline(always)]
    fn new(
        length: Option<usize>,
        page_size: usize,
        options: &Options,
        file: Option<(BorrowedFd<'_>, u64)>,
    ) -> sys::Result<Mapping> {
        let length = length.and_then(NonZeroUsize::new).ok_or(Errno::ENOMEM)?;
        let (protection, sharing) = (protection(options.rights()), sharing(options));
        let start = if page_size == mmap::page_size() {
            map_aligned(length, protection, sharing, file)
        } else {
            mmap::map(None, length, protection, sharing, file)
        }?;
        Ok(Mapping { start, length: length.get(), page_size, unsure: false, end: End::Unmap })
    }

    /// Puts the first `length` bytes of the options' file where the mapping has byte `at`.
    fn map_again(&self, fd: BorrowedFd<'_>, at: usize, length: usize, options: &Options) -> sys::Result<()> {
        debug_assert!(at + length <= self.length);
        let (protection, sharing) = (protection(options.rights()), sharing(options));
        // SAFETY: inside our own range; the object is the same.
        unsafe {
            let file = Some((fd.as_raw_fd(), options.offset));
            mmap::replace(self.at(at), length, protection, sharing, file).inspect_err(|_| {
                // The kernel may have taken away what was there before it failed: the addresses stay ours.
                let (nothing, private) =
                    (ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE);
                let _ = mmap::replace(self.at(at), length, nothing, private, None);
            })
        }
    }

    /// Maps the file once more in its own place, as the options say now.
    pub(crate) fn remap(&self, fd: BorrowedFd<'_>, size: usize, options: &Options) -> sys::Result<()> {
        if options.flags.contains(Flags::MIRROR) {
            self.map_again(fd, size, size, options)?;
            return self.map_again(fd, 0, size, options);
        }
        self.map_again(fd, 0, self.length, options)
    }

    /// All of a System V segment, and its size: the kernel's to tell, unless the segment is new.
    pub(crate) fn of_segment(
        id: i32,
        new_size: Option<usize>,
        options: &Options,
    ) -> sys::Result<(Mapping, usize)> {
        let start = segment::attach(id, options.flags.contains(Flags::READ_ONLY))?;
        let mut mapping =
            Mapping { start, length: 0, page_size: mmap::page_size(), unsure: false, end: End::Detach };
        let size = match new_size {
            Some(size) => size,
            None => segment::stat(id)?.shm_segsz,
        };
        // Whoever made it: the segment itself does not tell.
        if start.as_ptr() as usize % HUGE_PAGE == 0 && mmap::may_be_huge(start) {
            match mmap::page_size_at(start) {
                Some(page_size) => mapping.page_size = page_size,
                None => mapping.unsure = true,
            }
        }
        mapping.length = size.checked_next_multiple_of(mapping.page_size).ok_or(Errno::ENOMEM)?;
        Ok((mapping, size))
    }

    /// In bytes.
    pub(crate) fn page_size(&self) -> usize {
        self.page_size
    }

    /// Whether a page can be missing at its touch, because huge pages come from a pool that can run out.
    pub(crate) fn can_lack_pages(&self) -> bool {
        self.unsure || self.page_size != mmap::page_size()
    }

    /// The whole of it, in bytes.
    pub(crate) fn length(&self) -> usize {
        self.length
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
        let first = offset - offset % self.page_size;
        let end = (offset + length).checked_next_multiple_of(self.page_size);
        let length = end.map_or(self.length, |end| end.min(self.length)) - first;
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

    pub(crate) fn bind(
        &self,
        offset: usize,
        length: usize,
        mode: i32,
        nodes: &numa::NodeSet,
        flags: u32,
    ) -> sys::Result<()> {
        let (start, length) = self.pages(offset, length);
        // SAFETY: our own range.
        unsafe { numa::bind(start, length, mode, nodes, flags) }
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
fn map_aligned(
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
        // SAFETY: our own range, used by nobody yet.
        unsafe { mmap::unmap(start, length.get()) }?;
        start = map_aligned_surely(length, within, protection, flags, file)?;
    }
    if fits(start) {
        LAST_PLACE.store(start.as_ptr() as usize - within, Ordering::Relaxed);
    }
    Ok(start)
}

/// Sets aside more addresses than are needed, maps where it fits among them, and gives the rest back.
fn map_aligned_surely(
    length: NonZeroUsize,
    within: usize,
    protection: ProtFlags,
    flags: MapFlags,
    file: Option<(BorrowedFd<'_>, u64)>,
) -> sys::Result<NonNull<u8>> {
    let (nothing, private) = (ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE);
    let Some(wide) = length.checked_add(HUGE_PAGE) else { return Err(Errno::ENOMEM) };
    let Ok(first) = mmap::map(None, wide, nothing, private, None) else {
        // No room for that: wherever it goes.
        return mmap::map(None, length, protection, flags, file);
    };
    let before = (HUGE_PAGE + within - first.as_ptr() as usize % HUGE_PAGE) % HUGE_PAGE;
    let after = wide.get() - before - length.get();
    // SAFETY: inside the range that was set aside, which nobody uses yet.
    unsafe {
        let start = first.add(before);
        let file = file.map(|(fd, offset)| (fd.as_raw_fd(), offset));
        if let Err(errno) = mmap::replace(start.as_ptr(), length.get(), protection, flags, file) {
            let _ = mmap::unmap(first, wide.get());
            return Err(errno);
        }
        for (start, length) in [(first, before), (start.add(length.get()), after)] {
            if length > 0 {
                mmap::unmap(start, length)?;
            }
        }
        Ok(start)
    }
}

//! Private memory beside a region: for each byte of the region one here, so that a robust word at offset x has
//! its node at x, and `futex_offset` is one number for all of them. A peer sees nothing of it.
//!
//! All of it is zeros in a child made by fork: a node's `tid` is 0 there, and the child owns nothing.
//! It is readable as a whole, so that a lock can look at its node without asking whether that was ever used, and
//! the kernel has zeros for all that was not; pages become writable one by one.

use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use nix::sys::mman::{MapFlags, ProtFlags};

use super::keeper::Control;
use crate::sys::{self, mmap, Errno};

/// Of a robust word that this process has used. Written under [`Control`]'s lock, but for `holder`.
#[repr(C)]
pub(super) struct Node {
    /// For the kernel: the address of the next node.
    pub next: AtomicUsize,
    /// The keeper on whose list it is; 0: on none. Stored last.
    pub tid: AtomicU32,
    /// For the kind of the object that begins with the word.
    pub own: AtomicU32,
    /// The thread that has locked the word, while it has; written by that thread.
    pub holder: AtomicUsize,
    /// The address of the process's cell, for the kinds that have one.
    pub cell: AtomicUsize,
}

pub(super) struct Nodes {
    start: NonNull<u8>,
    length: usize,
    /// Where the mirror of the region's first byte is.
    mirror: usize,
}

impl Nodes {
    /// For a region of so many bytes.
    pub(super) fn reserve(size: usize) -> sys::Result<Nodes> {
        let control = mmap::whole_pages(size_of::<Control>()).ok_or(Errno::ENOMEM)?;
        let length = mmap::whole_pages(size).and_then(|size| size.checked_add(control));
        let length = length.and_then(NonZeroUsize::new).ok_or(Errno::ENOMEM)?;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
        let start = mmap::map(None, length, ProtFlags::PROT_NONE, flags, None)?;
        let nodes = Nodes { start, length: length.get(), mirror: control };
        // SAFETY: our own new range, of which nobody knows yet.
        unsafe {
            mmap::advise(start, nodes.length, libc::MADV_WIPEONFORK).map_err(|_| Errno::ENOSYS)?;
            // mlockall(MCL_FUTURE) shall not pin as many zeros as the region is long. Where nothing is locked
            // this does nothing.
            let _ = mmap::unlock(start, nodes.length);
            // One used node is no reason for a huge page.
            let _ = mmap::advise(start, nodes.length, libc::MADV_NOHUGEPAGE);
            mmap::protect(start, nodes.length, ProtFlags::PROT_READ)?;
            mmap::protect(start, control, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE)?;
        }
        Ok(nodes)
    }

    pub(super) fn control(&self) -> *mut Control {
        self.start.as_ptr().cast()
    }

    /// The mirror of the region's first byte.
    pub(super) fn mirror(&self) -> *mut u8 {
        self.start.as_ptr().wrapping_add(self.mirror)
    }

    /// Makes the node of a word at this offset writable, which is inside the region and 8-aligned.
    pub(super) fn open(&self, offset: usize) -> sys::Result<()> {
        let first = self.mirror + offset;
        let page = mmap::page_size();
        let (first, end) = (first - first % page, (first + size_of::<Node>()).next_multiple_of(page));
        debug_assert!(end <= self.length);
        // SAFETY: inside our own range.
        unsafe {
            let start = self.start.add(first);
            mmap::protect(start, end - first, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE)
        }
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        // SAFETY: our own range; no list of a thread leads here any more.
        let _ = unsafe { mmap::unmap(self.start, self.length) };
    }
}

impl Node {
    #[inline(always)]
    pub(super) fn tid(&self) -> u32 {
        // Relaxed would do: nothing that the owner stores is read by whoever sees it.
        self.tid.load(Ordering::Acquire)
    }
}

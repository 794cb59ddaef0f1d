//! Mappings: mmap(2) and its relatives. The callers own the ranges that they pass.

use std::ffi::c_int;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::mman::{self, MapFlags, MsFlags, ProtFlags};

use super::{Errno, Result};

/// Linux 6.1; the libc crate lacks it for musl (asm-generic/mman-common.h).
pub(crate) const MADV_COLLAPSE: c_int = 25;

pub(crate) fn page_size() -> usize {
    static PAGE_SIZE: AtomicUsize = AtomicUsize::new(0);
    match PAGE_SIZE.load(Ordering::Relaxed) {
        0 => {
            // SAFETY (kernel): sysconf reads a constant.
            let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
            PAGE_SIZE.store(size, Ordering::Relaxed);
            size
        }
        size => size,
    }
}

/// How many addresses a process has, where all builds of the kernel agree.
pub(crate) fn addresses() -> Option<u64> {
    // With five levels of page tables too: what is beyond is only for those who ask for it by address.
    cfg!(target_arch = "x86_64").then_some((1 << 47) - 4096)
}

/// `size` rounded up to whole pages, if there are that many. Pages have a power of two: a division is slow.
#[inline]
pub(crate) fn whole_pages(size: usize) -> Option<usize> {
    let within = page_size() - 1;
    Some(size.checked_add(within)? & !within)
}

/// Whether the page at `start`, a mapping of our own, may be from a pool of huge pages. Only such
/// pages have no use for MADV_COLD (Linux 5.4), which harms no page; locked pages, and older kernels,
/// answer as they do.
pub(crate) fn may_be_huge(start: NonNull<u8>) -> bool {
    // SAFETY (kernel): the advice changes no content.
    let cold = unsafe { advise(start, page_size(), libc::MADV_COLD) };
    cold == Err(Errno::EINVAL)
}

/// The size of the pages behind an address of this process: /proc/self/smaps tells.
pub(crate) fn page_size_at(start: NonNull<u8>) -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/smaps").ok()?;
    let head = format!("{:08x}-", start.as_ptr() as usize);
    let of_mapping = text.lines().skip_while(|line| !line.starts_with(&head));
    let mut fields = of_mapping.map(str::split_whitespace);
    let kib = fields.find_map(|mut words| {
        (words.next() == Some("KernelPageSize:")).then(|| words.next()?.parse::<usize>().ok())?
    })?;
    Some(kib << 10)
}

/// A new mapping, at an address of the kernel's choice; `near` is a wish that replaces nothing.
pub(crate) fn map(
    near: Option<NonZeroUsize>,
    length: NonZeroUsize,
    protection: ProtFlags,
    flags: MapFlags,
    file: Option<(BorrowedFd<'_>, u64)>,
) -> Result<NonNull<u8>> {
    debug_assert!(!flags.contains(MapFlags::MAP_FIXED));
    // SAFETY (kernel): without MAP_FIXED a mapping takes addresses that nobody uses.
    let start = unsafe {
        match file {
            Some((fd, offset)) => {
                let offset = libc::off_t::try_from(offset).map_err(|_| Errno::EOVERFLOW)?;
                mman::mmap(near, length, protection, flags, fd, offset)?
            }
            None => mman::mmap_anonymous(near, length, protection, flags)?,
        }
    };
    Ok(start.cast())
}

/// Puts other pages in the place of what is mapped, at once for all threads: a descriptor's from an offset
/// on, or zeros. For signal handlers too.
///
/// # Safety
/// The caller owns the range, and its users take what they find.
pub(crate) unsafe fn replace(
    start: *mut u8,
    length: usize,
    protection: ProtFlags,
    flags: MapFlags,
    file: Option<(c_int, u64)>,
) -> Result<()> {
    let flags = (flags | MapFlags::MAP_FIXED).bits();
    let (flags, fd, offset) = match file {
        Some((fd, offset)) => (flags, fd, offset as libc::off_t),
        None => (flags | libc::MAP_ANONYMOUS, -1, 0),
    };
    let mapped = unsafe { libc::mmap(start.cast(), length, protection.bits(), flags, fd, offset) };
    if mapped == libc::MAP_FAILED {
        return Err(Errno::last());
    }
    Ok(())
}

/// # Safety
/// The caller owns the range, and nobody uses it afterwards.
pub(crate) unsafe fn unmap(start: NonNull<u8>, length: usize) -> Result<()> {
    unsafe { mman::munmap(start.cast(), length) }
}

/// # Safety
/// The caller owns the range.
pub(crate) unsafe fn protect(start: NonNull<u8>, length: usize, protection: ProtFlags) -> Result<()> {
    unsafe { mman::mprotect(start.cast(), length, protection) }
}

/// # Safety
/// The caller owns the range, and `advice` does not change its content.
pub(crate) unsafe fn advise(start: NonNull<u8>, length: usize, advice: c_int) -> Result<()> {
    Errno::result(unsafe { libc::madvise(start.as_ptr().cast(), length, advice) }).map(drop)
}

/// # Safety
/// The caller owns the range.
pub(crate) unsafe fn sync(start: NonNull<u8>, length: usize) -> Result<()> {
    unsafe { mman::msync(start.cast(), length, MsFlags::MS_SYNC) }
}

/// # Safety
/// The caller owns the range.
pub(crate) unsafe fn lock(start: NonNull<u8>, length: usize) -> Result<()> {
    unsafe { mman::mlock(start.cast(), length) }
}

/// # Safety
/// The caller owns the range.
pub(crate) unsafe fn unlock(start: NonNull<u8>, length: usize) -> Result<()> {
    unsafe { mman::munlock(start.cast(), length) }
}

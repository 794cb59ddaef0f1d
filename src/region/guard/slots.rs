//! The regions that are guarded, where the SIGBUS handler finds them: slots that never move and are never
//! freed, but used again.
//!
//! The handler takes no lock. It finds the slot by the address, holds its sections, so that the slot stays
//! this region's, and looks once more whether the address is in it.

use std::cell::UnsafeCell;
use std::ffi::c_int;
use std::os::fd::BorrowedFd;
use std::ptr::{null_mut, NonNull};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use nix::sys::mman::{MapFlags, ProtFlags};

use super::gone::Gone;
use super::sections::{Sections, Whose};
use crate::error::Code;
use crate::region::Flags;
use crate::sys::{self, file, fork, mmap, segment, Errno};

/// What is mapped at a region's addresses, and how: all that it takes to map a page of it again.
pub(super) struct Area {
    pub start: *mut u8,
    /// In whole pages, as all lengths here.
    pub length: usize,
    pub page_size: usize,
    /// After so many bytes the file's bytes come once more (a mirrored region).
    pub period: usize,
    pub protection: ProtFlags,
    pub sharing: MapFlags,
    pub source: Source,
    pub flags: Flags,
    /// With NO_FORK: the process that has the memory. A child has other things at these addresses.
    pub process: Option<libc::pid_t>,
}

#[derive(Clone, Copy)]
pub(super) enum Source {
    File { fd: c_int, offset: u64 },
    Segment(c_int),
}

/// A cache line for each region's sections.
#[repr(align(64))]
pub(super) struct Slot {
    pub sections: Sections,
    /// The process that the sections are of: [`fork::generation`].
    generation: AtomicU32,
    taken: AtomicBool,
    /// Empty where the slot is nobody's.
    start: AtomicUsize,
    end: AtomicUsize,
    /// Written when the slot is taken and no section is open; read inside sections, and by the owner.
    area: UnsafeCell<Option<Guarded>>,
}

struct Guarded {
    area: Area,
    gone: Gone,
}

// SAFETY (protocol): `area` says above who touches it when; the rest are atomics.
unsafe impl Sync for Slot {}

/// A generation whose settling is under way.
const SETTLING: u32 = 1 << 31;

const CHUNK: usize = 32;

/// Slots, and where there are more.
struct Chunk {
    slots: [Slot; CHUNK],
    next: AtomicPtr<Chunk>,
}

impl Chunk {
    const fn new() -> Chunk {
        Chunk { slots: [const { Slot::new() }; CHUNK], next: AtomicPtr::new(null_mut()) }
    }
}

static FIRST: Chunk = Chunk::new();

/// The child's that tries out whether a fault reaches us; no region's.
pub(super) static PROBE: Slot = Slot::new();

fn chunks() -> impl Iterator<Item = &'static Chunk> {
    // SAFETY (protocol): a chunk that was appended stays.
    std::iter::successors(Some(&FIRST), |chunk| unsafe { chunk.next.load(Ordering::Acquire).as_ref() })
}

fn all() -> impl Iterator<Item = &'static Slot> {
    std::iter::once(&PROBE).chain(chunks().flat_map(|chunk| &chunk.slots))
}

/// The handler's: whether the fault was in an open section, and the page is zeros now.
pub(super) fn claim(address: usize) -> bool {
    all().any(|slot| slot.claim(address))
}

/// A slot for a region.
pub(super) fn occupy(area: Area) -> sys::Result<&'static Slot> {
    let free = chunks().flat_map(|chunk| &chunk.slots).find(|slot| slot.take());
    let slot = match free {
        Some(slot) => slot,
        None => append()?,
    };
    slot.fill(area);
    Ok(slot)
}

/// Adds a chunk, whose first slot is the caller's.
fn append() -> sys::Result<&'static Slot> {
    let size = size_of::<Chunk>().next_multiple_of(mmap::page_size());
    let memory = mmap::map(
        None,
        size.try_into().map_err(|_| Errno::ENOMEM)?,
        ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
        MapFlags::MAP_PRIVATE,
        None,
    )?;
    let chunk = memory.cast::<Chunk>();
    // SAFETY (kernel): new memory, of whole pages, for good.
    let new = unsafe {
        chunk.write(Chunk::new());
        chunk.as_ref()
    };
    new.slots[0].take();
    // Whoever else appends now goes behind it: the last chunk is the one without a next one.
    while chunks().all(|chunk| {
        let end = chunk.next.compare_exchange(
            null_mut(),
            memory.as_ptr().cast(),
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
        end.is_err()
    }) {}
    Ok(&new.slots[0])
}

impl Slot {
    const fn new() -> Slot {
        Slot {
            sections: Sections::new(),
            generation: AtomicU32::new(0),
            taken: AtomicBool::new(false),
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            area: UnsafeCell::new(None),
        }
    }

    fn take(&self) -> bool {
        self.taken.compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    pub(super) fn fill(&self, area: Area) {
        let (start, end) = (area.start as usize, area.start as usize + area.length);
        let gone = Gone::none(area.period / area.page_size);
        // SAFETY (protocol): taken, and no section is open.
        unsafe { *self.area.get() = Some(Guarded { area, gone }) };
        self.generation.store(fork::generation(), Ordering::Release);
        self.sections.reset();
        self.start.store(start, Ordering::Release);
        self.end.store(end, Ordering::Release);
    }

    /// Gives the slot back; EBUSY while a section is open.
    pub(super) fn release(&self) -> sys::Result<()> {
        if self.sections.are_open() {
            return Err(Errno::EBUSY);
        }
        self.end.store(0, Ordering::Release);
        self.start.store(0, Ordering::Release);
        // SAFETY (protocol): no section is open, and with the region ends whoever could open one.
        unsafe { *self.area.get() = None };
        self.taken.store(false, Ordering::Release);
        Ok(())
    }

    /// Begins the section of a checked copy; gives the generation that is to end it.
    pub(super) fn begin_copy(&self) -> Result<u32, Code> {
        self.settle();
        self.sections.begin(Whose::Library).map(|()| fork::generation())
    }

    /// Ends it, unless a fork in a signal handler lies between: then the child has ended it.
    pub(super) fn end_copy(&self, generation: u32) -> Result<(), Code> {
        if generation == fork::generation() {
            self.end(Whose::Library)?;
        }
        Ok(())
    }

    /// In a child, once: ends the library's sections of the parent's other threads. Whoever is about to open
    /// one waits for it.
    pub(super) fn settle(&self) {
        let now = fork::generation();
        if self.generation.load(Ordering::Acquire) == now {
            return;
        }
        // No handler may come in between, and wait for what it has interrupted.
        sys::without_signals(|| loop {
            match self.generation.load(Ordering::Acquire) {
                generation if generation == now => return,
                generation if generation == now | SETTLING => std::hint::spin_loop(),
                older => {
                    let ours = now | SETTLING;
                    let taken =
                        self.generation.compare_exchange(older, ours, Ordering::AcqRel, Ordering::Relaxed);
                    if taken.is_ok() {
                        self.sections.end_others(|epoch| self.restore(epoch));
                        self.generation.store(now, Ordering::Release);
                        return;
                    }
                }
            }
        })
    }

    /// Ends a section, or lets go of the slot.
    pub(super) fn end(&self, whose: Whose) -> Result<bool, Code> {
        self.sections.end(whose, |epoch| self.restore(epoch))
    }

    fn restore(&self, epoch: u32) -> bool {
        self.guarded().is_none_or(|guarded| guarded.restore(epoch))
    }

    /// Whether one of these pages is zeros in the place of what is gone: what was copied before this call,
    /// in the same section, may not be the region's bytes.
    pub(super) fn is_gone(&self, offset: usize, length: usize) -> bool {
        std::sync::atomic::fence(Ordering::Acquire);
        let Some(epoch) = self.sections.gone() else { return false };
        self.guarded().is_some_and(|Guarded { area, gone }| {
            gone.touches(epoch, offset / area.page_size, (offset + length).div_ceil(area.page_size))
        })
    }

    /// Inside a section, or the region's owner's.
    fn guarded(&self) -> Option<&Guarded> {
        // SAFETY (protocol): nobody writes to it meanwhile.
        unsafe { &*self.area.get() }.as_ref()
    }

    fn covers(&self, address: usize) -> bool {
        (self.start.load(Ordering::Acquire)..self.end.load(Ordering::Acquire)).contains(&address)
    }

    fn claim(&self, address: usize) -> bool {
        if !self.covers(address) {
            return false;
        }
        self.settle();
        if !self.sections.hold() {
            return false;
        }
        // It may have become another region's before it was held.
        let zeros = self.covers(address)
            && self.guarded().is_some_and(|guarded| guarded.lose(address, &self.sections));
        // Where all sections have ended meanwhile the file is back, and the access faults again.
        self.end(Whose::Library).is_ok() && zeros
    }
}

impl Guarded {
    /// Puts zeros over the page of an address. What is told comes first: whoever sees the zeros, and then
    /// looks, finds it.
    fn lose(&self, address: usize, sections: &Sections) -> bool {
        let Area { start, page_size, process, .. } = self.area;
        if process.is_some_and(|process| process != sys::own_process()) {
            return false;
        }
        let page = (address - start as usize) / page_size;
        let (first, count) = self.gone.add(sections.lose(), page, || self.end_of_file());
        self.put_zeros(first, count).is_ok()
    }

    /// Of how many pages the file has some bytes now.
    fn end_of_file(&self) -> Option<usize> {
        let Source::File { fd, offset } = self.area.source else { return None };
        // SAFETY (protocol): the region's descriptor, which is open while it is guarded.
        let stat = file::stat(unsafe { BorrowedFd::borrow_raw(fd) }).ok()?;
        Some((stat.st_size as u64).saturating_sub(offset).div_ceil(self.area.page_size as u64) as usize)
    }

    fn put_zeros(&self, page: usize, count: usize) -> sys::Result<()> {
        let Area { page_size, protection, .. } = self.area;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
        // SAFETY (protocol): the region's range, in which its users asked for zeros where it is gone.
        unsafe { mmap::replace(self.at(page), count * page_size, protection, flags, None) }
    }

    fn at(&self, page: usize) -> *mut u8 {
        self.area.start.wrapping_add(page * self.area.page_size)
    }

    /// Puts back what was replaced in this epoch.
    fn restore(&self, epoch: u32) -> bool {
        let mut all = true;
        for (page, count) in self.gone.pieces(epoch) {
            all &= self.put_back(page, count).is_ok();
            if matches!(self.area.source, Source::Segment(_)) {
                // It comes back whole.
                break;
            }
        }
        all
    }

    fn put_back(&self, page: usize, count: usize) -> sys::Result<()> {
        let Area { start, length, page_size, period, protection, sharing, source, flags, .. } = self.area;
        let (at, length) = match source {
            Source::File { .. } => (self.at(page), count * page_size),
            Source::Segment(_) => (start, length),
        };
        // SAFETY (protocol): the region's range, and what it was made of.
        let mapped = unsafe {
            match source {
                Source::File { fd, offset } => {
                    let offset = offset + (page * page_size % period) as u64;
                    mmap::replace(at, length, protection, sharing, Some((fd, offset)))
                }
                Source::Segment(id) => segment::reattach(id, at, flags.contains(Flags::READ_ONLY)),
            }
        };
        if mapped.is_err() {
            // The kernel may have taken away what was there before it found that it could not.
            let _ = self.put_zeros(page, count);
            return mapped;
        }
        let at = NonNull::new(at).ok_or(Errno::EFAULT)?;
        // SAFETY (protocol): the same range. What cannot be had is no reason to keep the zeros.
        unsafe {
            for (flag, advice) in
                [(Flags::NO_FORK, libc::MADV_DONTFORK), (Flags::NO_DUMP, libc::MADV_DONTDUMP)]
            {
                if flags.contains(flag) {
                    let _ = mmap::advise(at, length, advice);
                }
            }
            if flags.contains(Flags::LOCKED) {
                let _ = mmap::lock(at, length);
            }
        }
        Ok(())
    }
}

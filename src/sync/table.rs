//! The party's table in shared memory: who is here, one slot for each keeper; and each process's cells, numbers
//! that count for the objects of the party only as long as the process lives.
//!
//! `word` of a slot:
//!
//! | word | meaning | written by | after a crash |
//! |---|---|---|---|
//! | 0 | free | who leaves | – |
//! | t (·W) | the keeper t lives (somebody watches) | who joins; a watcher adds W | kernel: OD, OD·W, wakes one watcher |
//! | OD (·W) | died | kernel; who finds the process ended | the next who joins takes it, once its process has stopped |
//!
//! `identity`: a count of claims << 32 | pid. pid 0: not yet, or no more. Only while the word is t it is the
//! claimer's to store; from then on pid becomes 0 by a compare-and-swap of whoever has seen the process ended.
//!
//! `counted`: the claim whose death is in `changes`, stored by whoever has announced it: perhaps several.
//!
//! Cells are their slot's owner's alone to write; the next owner begins by making them 0, and says so in
//! `changes`. Those of a slot whose word is not t count as 0. One with [`MARK`] holds nothing.
//!
//! `objects`: for each cell's number the object that counts in it; from 0 by compare-and-swap, in the order of the
//! numbers, and then for ever. So an object never has two, whoever makes it at the same time, or dies meanwhile.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

use super::lock::{OD, TM, W};
use super::steps::step;
use crate::region;
use crate::sys::futex;

#[repr(C)]
pub(super) struct Header {
    /// 0, or [`MAGIC`]: stored last.
    pub magic: AtomicU64,
    /// cells << 32 | slots, stored once.
    pub shape: AtomicU64,
    /// How often somebody has joined, left, or was found dead: those who wait for more than a word sleep here.
    pub changes: AtomicU32,
    /// One more than the highest slot that was ever taken.
    used: AtomicU32,
    reserved: [u64; 5],
}

#[repr(C)]
pub(super) struct Slot {
    pub word: AtomicU32,
    /// The keeper's number, also after its death.
    pub tid: AtomicU32,
    pub identity: AtomicU64,
    /// The process's PID namespace, and when it started there.
    pub namespace: AtomicU64,
    pub start: AtomicU64,
    pub counted: AtomicU32,
    /// [`EXTRA`], [`PRESENCE`]: as long as `identity` tells of a process.
    pub flags: AtomicU32,
    reserved: [u64; 3],
}

/// "shmkit", party, version 1.
pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"shmkitP\x01");

pub(super) const SLOTS: u32 = 64;
pub(super) const CELLS: u32 = 32;
const SLOTS_MAX: u32 = 4096;
const CELLS_MAX: u32 = 4096;

/// In a cell that says something of its process, and is no reason to stay.
pub(super) const MARK: u32 = 1 << 31;

/// In a slot's flags: of a process that has another slot, too.
pub(super) const EXTRA: u32 = 1;
/// And: of a process that shows that it is there, as `presence` says.
pub(super) const PRESENCE: u32 = 2;

/// How a table is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Shape {
    pub slots: u32,
    /// A multiple of 16: the cells of two processes are on no line together.
    pub cells: u32,
}

impl Shape {
    /// 0: the default.
    pub(super) fn new(slots: u32, cells: u32) -> Option<Shape> {
        let or = |number: u32, default| if number == 0 { default } else { number };
        let shape = Shape { slots: or(slots, SLOTS), cells: or(cells, CELLS).checked_next_multiple_of(16)? };
        (shape.slots <= SLOTS_MAX && shape.cells <= CELLS_MAX).then_some(shape)
    }

    /// What somebody has stored.
    pub(super) fn of(bits: u64) -> Option<Shape> {
        let shape = Shape { slots: bits as u32, cells: (bits >> 32) as u32 };
        let (slots, cells) = (shape.slots, shape.cells);
        let good = (1..=SLOTS_MAX).contains(&slots) && (16..=CELLS_MAX).contains(&cells) && cells % 16 == 0;
        good.then_some(shape)
    }

    pub(super) fn bits(self) -> u64 {
        u64::from(self.cells) << 32 | u64::from(self.slots)
    }

    pub(super) fn size(self) -> usize {
        let (slots, cells) = (self.slots as usize, self.cells as usize);
        self.slots_offset() + slots * (size_of::<Slot>() + cells * size_of::<AtomicU32>())
    }

    fn slots_offset(self) -> usize {
        size_of::<Header>() + self.cells as usize * size_of::<AtomicI64>()
    }
}

/// A table in mapped memory. Its shape is our own copy: a peer can write the one that is there.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Table {
    /// In which it lies.
    region: *const region::State,
    start: *const u8,
    pub shape: Shape,
}

impl Table {
    /// # Safety
    /// `shape.size()` bytes of the region at `start`, 8-aligned, stay mapped for writing as long as this is used.
    pub(super) unsafe fn new(region: &region::State, start: *const u8, shape: Shape) -> Table {
        Table { region, start, shape }
    }

    /// No table, in zeros.
    pub(super) const NONE: Table =
        Table { region: std::ptr::null(), start: std::ptr::null(), shape: Shape { slots: 0, cells: 0 } };

    /// None for [`Table::NONE`].
    pub(super) fn get(&self) -> Option<&Table> {
        (!self.start.is_null()).then_some(self)
    }

    pub(super) fn is(&self, other: &Table) -> bool {
        self.start == other.start
    }

    pub(super) fn region(&self) -> &region::State {
        // SAFETY: new()'s promise.
        unsafe { &*self.region }
    }

    pub(super) fn changes(&self) -> u32 {
        self.header().changes.load(Ordering::Acquire)
    }

    pub(super) fn header(&self) -> &Header {
        // SAFETY: new()'s promise; all fields are atomic.
        unsafe { &*self.start.cast() }
    }

    /// Where a slot is from the table's first byte on.
    pub(super) fn offset_of(&self, index: u32) -> usize {
        self.shape.slots_offset() + index as usize * size_of::<Slot>()
    }

    /// Where the object is that counts in a cell, in bytes from the table; 0 for none.
    pub(super) fn object(&self, cell: u32) -> &AtomicI64 {
        assert!(cell < self.shape.cells);
        // SAFETY: inside the table.
        unsafe { &*self.start.add(size_of::<Header>()).cast::<AtomicI64>().add(cell as usize) }
    }

    pub(super) fn slot(&self, index: u32) -> &Slot {
        assert!(index < self.shape.slots);
        // SAFETY: inside the table.
        unsafe { &*self.start.add(self.offset_of(index)).cast() }
    }

    #[inline(always)]
    pub(super) fn cell(&self, slot: u32, cell: u32) -> &AtomicU32 {
        let Shape { slots, cells } = self.shape;
        assert!(slot < slots && cell < cells);
        let index = slot as usize * cells as usize + cell as usize;
        // SAFETY: inside the table.
        unsafe { &*self.start.add(self.offset_of(slots)).cast::<AtomicU32>().add(index) }
    }

    /// The slots that were ever taken.
    pub(super) fn used(&self) -> u32 {
        self.header().used.load(Ordering::Acquire).min(self.shape.slots)
    }

    pub(super) fn note_used(&self, index: u32) {
        self.header().used.fetch_max(index + 1, Ordering::AcqRel);
    }

    /// The number of the cell, in each slot, of an object so many bytes from the table: the one that it has, or a
    /// new one. None where all are given away.
    pub(super) fn allot(&self, object: i64) -> Option<u32> {
        (0..self.shape.cells).find(|&cell| {
            let found = self.object(cell);
            let had = found.compare_exchange(0, object, Ordering::AcqRel, Ordering::Acquire);
            had.map_or_else(|had| had == object, |_| true)
        })
    }

    /// Whoever waits for more than a word looks again.
    pub(super) fn announce(&self) {
        let changes = &self.header().changes;
        changes.fetch_add(1, Ordering::AcqRel);
        step("changes.counted");
        let _ = futex::wake(changes, i32::MAX);
    }

    /// Makes sure that a death is in `changes`.
    pub(super) fn note_death(&self, index: u32) {
        let slot = self.slot(index);
        let claim = slot.claims();
        let counted = slot.counted.load(Ordering::Acquire);
        if counted != claim {
            // First: whoever dies between the two has at least told. Told twice is no harm.
            self.announce();
            let _ = slot.counted.compare_exchange(counted, claim, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    /// Looks for those who died, so that all hear of it.
    pub(super) fn scan(&self) {
        for index in 0..self.used() {
            if self.slot(index).is_dead() {
                self.note_death(index);
            }
        }
    }

    /// The slot of a keeper that lives.
    pub(super) fn find(&self, tid: u32) -> Option<u32> {
        (0..self.used()).find(|&index| self.slot(index).owner() == Some(tid))
    }
}

impl Slot {
    /// The keeper's number, while it lives.
    pub(super) fn owner(&self) -> Option<u32> {
        let tid = self.word.load(Ordering::Acquire) & TM;
        (tid != 0).then_some(tid)
    }

    /// How often it was claimed, the last time included.
    pub(super) fn claims(&self) -> u32 {
        (self.identity.load(Ordering::Acquire) >> 32) as u32
    }

    pub(super) fn is_dead(&self) -> bool {
        self.word.load(Ordering::Acquire) & (OD | TM) == OD
    }

    /// What to wait for, so that the kernel wakes us at its death; None where nobody lives there.
    pub(super) fn watch(&self) -> Option<u32> {
        let mut seen = self.word.load(Ordering::Acquire);
        loop {
            if seen & TM == 0 {
                return None;
            }
            if seen & W != 0 {
                return Some(seen);
            }
            match self.word.compare_exchange(seen, seen | W, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(seen | W),
                Err(now) => seen = now,
            }
        }
    }
}

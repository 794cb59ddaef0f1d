//! A lock that many processes have for reading, or one for writing. Whoever dies with it, reader or writer, holds
//! up nobody; that a writer died is told to the next.
//!
//! 56 bytes: a [`Head`], whose word is a lock as in `lock`; `cell`; `phase`, as in the module of that name; zeros.
//!
//! | who | what there is of it | after a crash |
//! |---|---|---|
//! | a reader | 1 in its process's cell | cells of the dead count as 0 |
//! | a writer | the word, and all cells of the living are 0 | kernel: OD |
//! | a reader that had to wait | the word, for the moment in which it counts itself | kernel: OD |
//!
//! `cell`: its number in the party's table, and 1; from 0 by compare-and-swap, once.
//!
//! Who sleeps where, and why no wake-up is lost:
//! - A reader that sees an owner takes the word as a writer would (`lock`): it sleeps on it, and is woken, as all
//!   do. It counts itself while it owns the word, when nobody can write, and releases it, which wakes the next. So
//!   a writer's end wakes one after the other until the next writer has the word.
//! - The owner of the word, in phase 1, sleeps on the cell of one reader after the other, and at the same time on
//!   all who could die. A reader takes 1 from its cell, then looks at the phase, and wakes who sleeps on that cell
//!   where it is not 0; the owner stores the phase, then looks at the cell. Again one of both sees the other; and
//!   what the cell became in between, the kernel compares before it lets the owner sleep. A reader that dies
//!   between the two is a death, which wakes the owner.
//!
//! A thread that reads already goes on to read while a writer waits for it: its process's cell is not 0 for as long
//! as it has its first. Which locks a thread reads is known to `reads`; when another thread gives them back, it
//! says so in the process's node (ELSEWHERE) before it takes from the cell, and whoever sees that waits like all
//! others.

mod watch;

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use super::lock::{self, Caller, Refused, Taken, OD, TM};
use super::mutex::{Locked, Thread};
use super::nodes::Node;
use super::object::{Head, Kind};
use super::party::{Party, Patience, State};
use super::phase::{Words, NOBODY};
use super::reads;
use super::steps::step;
use super::table::MARK;
use crate::deadline::Deadline;
use crate::error::{Code, Result};
use crate::sys::{futex, thread, Errno};

#[repr(C)]
struct Shared {
    head: Head,
    cell: AtomicU32,
    phase: AtomicU32,
    reserved: [u64; 3],
}

const SIZE: usize = size_of::<Shared>();

static KIND: Kind = Kind {
    name: "read-write lock",
    magic: Kind::magic(b'R'),
    size: SIZE,
    blank_from: std::mem::offset_of!(Shared, phase),
};

/// In a node's `own`, beside the number of the cell and 1: what threads read is given back by others, too.
const ELSEWHERE: u32 = 1 << 31;

/// Looks before sleep.
const SPINS: u32 = 100;

/// A lock for many who read or one who writes, that lies in a region. All methods work through any handle on the
/// same 56 bytes.
#[derive(Clone, Copy)]
pub struct RwLock<'p> {
    state: &'p State,
    offset: usize,
    made: bool,
}

impl Party<'_> {
    /// The read-write lock at an offset of the region, which is made where there are 56 bytes of zeros. EINVAL for
    /// other bytes; ENOLCK where the party's table has no cell left for it.
    pub fn rwlock(&self, offset: usize) -> Result<RwLock<'_>> {
        self.rwlock_at(self.state().at(offset))
    }

    pub(crate) fn rwlock_at(&self, at: *const u8) -> Result<RwLock<'_>> {
        let (state, offset) = self.state().place(at, &KIND)?;
        let made = state.make(offset, &KIND, || {
            let cell = state.allot(offset, &KIND)?;
            let place = &shared(state, offset).cell;
            let _ = place.compare_exchange(0, cell + 1, Ordering::AcqRel, Ordering::Relaxed);
            Ok(())
        })?;
        Ok(RwLock { state, offset, made })
    }

    /// The same for calls that do not explain. Its bytes are looked at when it is first locked.
    pub(crate) fn rwlock_known(&self, at: *const u8) -> Result<RwLock<'_>, Code> {
        let state = self.state();
        let offset = state.offset_of(at, SIZE).ok_or(Code::from(Errno::EINVAL))?;
        Ok(RwLock { state, offset, made: false })
    }

    /// What there is to do where nobody is in the way, and this process has used it before. False: not done.
    #[inline(always)]
    pub(crate) fn read_at_once(&self, at: *const u8) -> bool {
        let state = self.state();
        state.is_inside(at, SIZE) && read_at_once(state, state.offset(at))
    }

    #[inline(always)]
    pub(crate) fn write_at_once(&self, at: *const u8) -> bool {
        let state = self.state();
        state.is_inside(at, SIZE) && write_at_once(state, state.offset(at))
    }

    #[inline(always)]
    pub(crate) fn rwunlock_at_once(&self, at: *const u8) -> bool {
        let state = self.state();
        state.is_inside(at, SIZE) && unlock_at_once(state, state.offset(at))
    }
}

impl Shared {
    #[inline(always)]
    fn words(&self) -> Words<'_> {
        Words { lock: self.head.words(), phase: &self.phase }
    }
}

/// What is in a region at this offset.
#[inline(always)]
fn shared(state: &State, offset: usize) -> &Shared {
    // SAFETY: the callers' offsets are inside the region, and aligned; all fields are atomic, or not looked at.
    unsafe { &*state.at::<Shared>(offset) }
}

/// Of an object that this process has used: its cell's number. None where it has not.
#[inline(always)]
fn cell_number(node: &Node) -> Option<u32> {
    (node.own.load(Ordering::Acquire) & !ELSEWHERE).checked_sub(1)
}

/// And this process's cell.
#[inline(always)]
fn own_cell(node: &Node) -> Option<&AtomicU32> {
    // SAFETY (protocol): the node is private, and what is stored there is inside of the table, which stays.
    unsafe { (node.cell.load(Ordering::Acquire) as *const AtomicU32).as_ref() }
}

fn counts_in(node: &Node) -> &AtomicU32 {
    own_cell(node).expect("own() has stored it")
}

#[inline(always)]
fn known(node: &Node) -> reads::Lock {
    reads::Lock(std::ptr::from_ref(node) as usize, node.tid())
}

#[inline(always)]
fn note_read(node: &Node) {
    if node.own.load(Ordering::Relaxed) & ELSEWHERE == 0 {
        reads::add(known(node));
    }
}

#[cold]
fn wake_writer(cell: &AtomicU32) {
    let _ = futex::wake(cell, i32::MAX);
}

#[inline(always)]
fn read_at_once(state: &State, offset: usize) -> bool {
    let (node, shared) = (state.node(offset), shared(state, offset));
    let Some(cell) = own_cell(node) else { return false };
    // A look, so that nobody's line is taken where it is in vain.
    if shared.head.word.load(Ordering::Relaxed) & (TM | OD) != 0
        || !shared.words().count_in(cell, wake_writer)
    {
        return false;
    }
    note_read(node);
    true
}

#[inline(always)]
fn write_at_once(state: &State, offset: usize) -> bool {
    let (node, shared) = (state.node(offset), shared(state, offset));
    let Some(cell) = cell_number(node) else { return false };
    let (own, words) = (node.tid(), shared.words());
    if words.lock.word.compare_exchange(0, own, Ordering::SeqCst, Ordering::Relaxed).is_err() {
        return false;
    }
    step("rwlock.took_at_once");
    if !lock::is_recoverable(words.lock) || reader(state, cell).is_some() {
        pass_on(state, words.lock, own);
        return false;
    }
    write(words, node);
    true
}

/// The slow path finds out again why.
#[cold]
fn pass_on(state: &State, words: lock::Words<'_>, own: u32) {
    lock::give_up(words, own, &Thread::new(state, Deadline::NEVER), Taken::Clean);
}

/// From here on this process writes.
#[inline(always)]
fn write(words: Words<'_>, node: &Node) {
    node.holder.store(thread::identity(), Ordering::Relaxed);
    words.write();
}

/// A slot that lives and reads, and what its cell is.
#[inline(always)]
fn reader(state: &State, cell: u32) -> Option<(u32, u32)> {
    let table = state.table();
    let mut counts = (0..table.used()).map(|slot| (slot, table.cell(slot, cell).load(Ordering::SeqCst)));
    counts.find(|&(slot, count)| count != 0 && table.slot(slot).owner().is_some())
}

#[inline(always)]
fn unlock_at_once(state: &State, offset: usize) -> bool {
    let (node, shared) = (state.node(offset), shared(state, offset));
    if node.holder.load(Ordering::Relaxed) == 0 {
        return read_unlock(shared, node);
    }
    let (own, words) = (node.tid(), shared.words());
    if words.lock.word.load(Ordering::Relaxed) != own {
        return false;
    }
    node.holder.store(0, Ordering::Relaxed);
    words.wrote();
    if !lock::unlock_fast(words.lock, own) {
        // Somebody waits since the look; or the word was a peer's to write, and is lost.
        pass_on(state, words.lock, own);
    }
    true
}

/// False where this process does not read.
#[inline(always)]
fn read_unlock(shared: &Shared, node: &Node) -> bool {
    let Some(cell) = own_cell(node) else { return false };
    if cell.load(Ordering::Relaxed) == 0 {
        return false;
    }
    if node.own.load(Ordering::Relaxed) & ELSEWHERE == 0 && !reads::remove(known(node)) {
        node.own.fetch_or(ELSEWHERE, Ordering::SeqCst);
    }
    shared.words().count_out(cell, wake_writer)
}

impl<'p> RwLock<'p> {
    /// Whether [`Party::rwlock`] made it, rather than found it.
    pub fn made(&self) -> bool {
        self.made
    }

    /// Waits to read as long as need be: until nobody writes, or waits to write. A thread may read again what it
    /// reads already. ENOTRECOVERABLE; EDEADLK where this thread writes (not with
    /// [`PartyFlags::ANY_THREAD`](super::PartyFlags::ANY_THREAD)).
    ///
    /// [`Locked::OwnerDied`]: a writer has died, and this process has the lock *for writing*, to repair what it
    /// guards, and [`RwLock::consistent`].
    #[inline(always)]
    pub fn read(&self) -> Result<Locked, Code> {
        self.read_until(Deadline::NEVER)
    }

    /// The same until a deadline: ETIMEDOUT. One that is over tries once.
    #[inline(always)]
    pub fn read_until(&self, deadline: Deadline) -> Result<Locked, Code> {
        match read_at_once(self.state, self.offset) {
            true => Ok(Locked::Clean),
            false => self.read_slow(deadline),
        }
    }

    /// EBUSY where somebody writes, or waits to write.
    #[inline(always)]
    pub fn try_read(&self) -> Result<Locked, Code> {
        match read_at_once(self.state, self.offset) {
            true => Ok(Locked::Clean),
            false => self.try_read_slow(),
        }
    }

    /// Waits to write as long as need be: until all who read now have ended. ENOTRECOVERABLE; EDEADLK where this
    /// thread reads or writes (not with ANY_THREAD).
    #[inline(always)]
    pub fn write(&self) -> Result<Locked, Code> {
        self.write_until(Deadline::NEVER)
    }

    /// The same until a deadline: ETIMEDOUT. One that is over tries once.
    #[inline(always)]
    pub fn write_until(&self, deadline: Deadline) -> Result<Locked, Code> {
        match write_at_once(self.state, self.offset) {
            true => Ok(Locked::Clean),
            false => self.write_slow(deadline),
        }
    }

    /// EBUSY where somebody reads or writes, this process included.
    #[inline(always)]
    pub fn try_write(&self) -> Result<Locked, Code> {
        match write_at_once(self.state, self.offset) {
            true => Ok(Locked::Clean),
            false => self.try_write_slow(),
        }
    }

    /// Gives back what this process has: the writing, or one of its readings. EPERM where it has neither.
    #[inline(always)]
    pub fn unlock(&self) -> Result<(), Code> {
        match unlock_at_once(self.state, self.offset) {
            true => Ok(()),
            false => self.unlock_slow(),
        }
    }

    /// Says that what the dead writer left is repaired. This process goes on to have the lock for writing. EINVAL
    /// where no writer died, EPERM where this process does not write.
    pub fn consistent(&self) -> Result<(), Code> {
        self.check()?;
        let node = self.state.node(self.offset);
        if node.holder.load(Ordering::Relaxed) == 0 {
            return Err(Errno::EPERM.into());
        }
        let done = lock::consistent(self.shared().head.words(), node.tid());
        done.map_err(|refused| self.code(refused, Errno::EINVAL))
    }

    fn shared(&self) -> &'p Shared {
        shared(self.state, self.offset)
    }

    /// EINVAL where there is none.
    fn check(&self) -> Result<(), Code> {
        let node = self.state.node(self.offset);
        if node.tid() == 0 && !self.shared().head.is(&KIND, self.state.table_from(self.offset)) {
            return Err(Errno::EINVAL.into());
        }
        Ok(())
    }

    /// The keeper's number by which this process owns the word, and the cell in which it counts.
    fn own(&self, patience: Patience) -> Result<(u32, u32), Code> {
        let (state, node) = (self.state, self.state.node(self.offset));
        let tid = match node.tid() {
            0 => state.enlist(self.offset, &KIND, patience)?,
            tid => tid,
        };
        let cell = match cell_number(node) {
            Some(cell) => cell,
            None => {
                // A peer may have written it since: read once, checked, and from then on our own.
                let cell = self.shared().cell.load(Ordering::Acquire).wrapping_sub(1);
                if !state.has_cell(self.offset, cell) {
                    return Err(Errno::EINVAL.into());
                }
                let elsewhere = if state.any_thread() { ELSEWHERE } else { 0 };
                // Another thread may have done it, and gone on.
                let (number, own) =
                    ((cell + 1) | elsewhere, state.table().cell(state.slot_with(patience)?, cell));
                node.cell.store(std::ptr::from_ref(own) as usize, Ordering::Release);
                let _ = node.own.compare_exchange(0, number, Ordering::AcqRel, Ordering::Relaxed);
                cell
            }
        };
        Ok((tid, cell))
    }

    /// Takes the word. Clean, too, where its owner died before it wrote.
    fn take(&self, own: u32, caller: &Thread<'_>, wait: bool) -> Result<Taken, Refused> {
        let words = self.shared().words();
        let taken = match wait {
            true => lock::lock(words.lock, own, caller),
            false => lock::try_lock(words.lock, own, caller),
        }?;
        Ok(words.found(own, taken))
    }

    #[cold]
    #[inline(never)]
    fn read_slow(&self, deadline: Deadline) -> Result<Locked, Code> {
        let (own, cell) = self.own(Patience::until(deadline))?;
        if let Some(read) = self.read_again(own)? {
            return Ok(read);
        }
        let caller = Thread::new(self.state, deadline);
        let taken = self.take(own, &caller, true).map_err(|refused| self.code(refused, Errno::ETIMEDOUT))?;
        self.read_with_word(own, cell, taken, &caller, Errno::ETIMEDOUT)
    }

    #[cold]
    #[inline(never)]
    fn try_read_slow(&self) -> Result<Locked, Code> {
        let (own, cell) = self.own(Patience::brief())?;
        if self.state.is_holder(self.state.node(self.offset)) {
            return Err(Errno::EBUSY.into());
        }
        if let Some(read) = self.read_again(own)? {
            return Ok(read);
        }
        let shared = self.shared();
        // Who has the word may be a reader that is through in a moment.
        for _ in 0..SPINS {
            if shared.head.word.load(Ordering::Relaxed) & TM == 0 {
                let caller = Thread::new(self.state, Deadline::after(std::time::Duration::ZERO));
                match self.take(own, &caller, false) {
                    Ok(taken) => return self.read_with_word(own, cell, taken, &caller, Errno::EBUSY),
                    Err(Refused::Busy) => {}
                    Err(refused) => return Err(self.code(refused, Errno::EBUSY)),
                }
            } else if shared.phase.load(Ordering::Relaxed) != NOBODY {
                break;
            }
            std::hint::spin_loop();
        }
        Err(Errno::EBUSY.into())
    }

    /// Where this thread reads already, and so nobody writes.
    fn read_again(&self, own: u32) -> Result<Option<Locked>, Code> {
        let (state, node, shared) = (self.state, self.state.node(self.offset), self.shared());
        let cell = counts_in(node);
        if cell.load(Ordering::Relaxed) >= MARK - 1 {
            return Err(Errno::EAGAIN.into());
        }
        if shared.head.word.load(Ordering::Relaxed) & TM == own && state.is_holder(node) {
            return Err(Errno::EDEADLK.into());
        }
        if !reads::has(known(node)) {
            return Ok(None);
        }
        let before = cell.fetch_add(1, Ordering::SeqCst);
        step("rwlock.counted_again");
        // Given back by another thread, in whatever order: it has said so before it took from the cell.
        if before == 0 || node.own.load(Ordering::SeqCst) & ELSEWHERE != 0 {
            shared.words().count_out(cell, wake_writer);
            return Ok(None);
        }
        note_read(node);
        Ok(Some(Locked::Clean))
    }

    /// With the word, in which `taken` was found: reads; or writes, where a writer died.
    fn read_with_word(
        &self,
        own: u32,
        cell: u32,
        taken: Taken,
        caller: &Thread<'_>,
        busy: Errno,
    ) -> Result<Locked, Code> {
        let (node, words) = (self.state.node(self.offset), self.shared().words());
        if taken == Taken::OwnerDied {
            return self.write_with_word(own, cell, taken, caller, busy);
        }
        words.count_with_word(counts_in(node));
        note_read(node);
        lock::give_up(words.lock, own, caller, Taken::Clean);
        Ok(Locked::Clean)
    }

    #[cold]
    #[inline(never)]
    fn write_slow(&self, deadline: Deadline) -> Result<Locked, Code> {
        let (own, cell) = self.own(Patience::until(deadline))?;
        self.check_for_writing(own)?;
        let caller = Thread::new(self.state, deadline);
        let taken = self.take(own, &caller, true).map_err(|refused| self.code(refused, Errno::ETIMEDOUT))?;
        self.write_with_word(own, cell, taken, &caller, Errno::ETIMEDOUT)
    }

    /// EDEADLK where this thread reads or writes.
    fn check_for_writing(&self, own: u32) -> Result<(), Code> {
        let (node, shared) = (self.state.node(self.offset), self.shared());
        let writes = shared.head.word.load(Ordering::Relaxed) & TM == own && self.state.is_holder(node);
        let reads = node.own.load(Ordering::Acquire) & ELSEWHERE == 0 && reads::has(known(node));
        match writes || reads {
            true => Err(Errno::EDEADLK.into()),
            false => Ok(()),
        }
    }

    #[cold]
    #[inline(never)]
    fn try_write_slow(&self) -> Result<Locked, Code> {
        let (own, cell) = self.own(Patience::brief())?;
        if reader(self.state, cell).is_some() {
            return Err(Errno::EBUSY.into());
        }
        let caller = Thread::new(self.state, Deadline::after(std::time::Duration::ZERO));
        let taken = self.take(own, &caller, false).map_err(|refused| self.code(refused, Errno::EBUSY))?;
        self.write_with_word(own, cell, taken, &caller, Errno::EBUSY)
    }

    /// With the word, in which `taken` was found: waits until nobody reads.
    fn write_with_word(
        &self,
        own: u32,
        cell: u32,
        taken: Taken,
        caller: &Thread<'_>,
        busy: Errno,
    ) -> Result<Locked, Code> {
        let words = self.shared().words();
        words.drain(taken);
        match self.drain(cell, caller) {
            Ok(true) => {
                write(words, self.state.node(self.offset));
                Ok(taken.into())
            }
            failed => {
                words.give_up(own, caller, taken);
                Err(failed.err().unwrap_or(busy.into()))
            }
        }
    }

    /// Waits until nobody who lives reads; false where the deadline is over before.
    fn drain(&self, cell: u32, caller: &Thread<'_>) -> Result<bool, Code> {
        let state = self.state;
        for _ in 0..SPINS {
            if reader(state, cell).is_none() {
                return Ok(true);
            }
            std::hint::spin_loop();
        }
        loop {
            let seen = state.changes();
            let Some((slot, count)) = reader(state, cell) else { return Ok(true) };
            // In every round, whatever a peer does to its cell.
            if caller.is_over() {
                return Ok(false);
            }
            state.watch(state.table().cell(slot, cell), count, seen, caller.deadline())?;
        }
    }

    #[cold]
    #[inline(never)]
    fn unlock_slow(&self) -> Result<(), Code> {
        self.check()?;
        let (node, words) = (self.state.node(self.offset), self.shared().words());
        let own = node.tid();
        // The node of a lock that was never used can only be read.
        if node.holder.load(Ordering::Relaxed) == 0 {
            return Err(Errno::EPERM.into());
        }
        node.holder.store(0, Ordering::Relaxed);
        // Where its writer died, and nobody said that all is well, it stays WRITES: whoever comes before `state` is
        // stored is to be told.
        if words.lock.word.load(Ordering::Relaxed) & OD == 0 {
            words.wrote();
        }
        let unlocked = lock::unlock(words.lock, own, &Thread::new(self.state, Deadline::NEVER));
        unlocked.map_err(|refused| self.code(refused, Errno::EPERM))
    }

    fn code(&self, refused: Refused, busy: Errno) -> Code {
        match refused {
            Refused::Busy => busy,
            Refused::NotRecoverable => Errno::ENOTRECOVERABLE,
            Refused::NotOwner => Errno::EPERM,
            Refused::Consistent => Errno::EINVAL,
        }
        .into()
    }
}

impl fmt::Debug for RwLock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLock").field("offset", &self.offset).finish_non_exhaustive()
    }
}

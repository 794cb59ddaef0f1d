//! A semaphore: units that processes take and give. A plain one is a number, and what a process took stays taken
//! when it dies. A tracked one has a capacity, and knows who has how many units: those of the dead come back.
//!
//! Both have a gate, on which sleeps who finds no unit:
//!
//! | gate | meaning | written by | after a crash |
//! |---|---|---|---|
//! | 0 | nobody sleeps; or somebody is awake who will look | who gives, before it wakes one | see below |
//! | W | sleepers possible | who finds no unit, before it sleeps; who has slept, when it goes | one later wake-up for nothing |
//!
//! If somebody sleeps, the gate is W, or a wake-up is under way: who gives makes it 0 and wakes one; who has slept
//! and takes a unit makes it W again, or wakes the next where there are units left; who has slept and gives up
//! leaves it W, or wakes the next. Who gives does not touch anything after it has made the gate 0: a wake needs the
//! address alone.
//!
//! # Plain
//!
//! `units` is a word with the gate in it: see the module of that name.
//!
//! # Tracked
//!
//! | word | meaning | written by | after a crash |
//! |---|---|---|---|
//! | lock | see `lock`: who takes has it, so that no two take the same unit | who takes | owner-died, and nothing to repair |
//! | state | the gate | as above | as above |
//! | `units` 0…30 | capacity | the first initialiser | – |
//! | `units` 32…63 | 1 + the number of its cell in the party's table: it was filled in | the first initialiser | – |
//! | cell of a process | how many units it has | +1 who takes, with the lock; −1 who gives, without | counts until the process has ended, then no more |
//!
//! There are as many units as the capacity less the cells: a death needs no repair. Who finds none makes the gate W
//! and then looks again; who gives changes its cell and then looks at the gate: one of both sees the other. All who
//! sleep hear of a death in the party, and look again: that brings the units of the dead, and the wake-ups that
//! died with them. As long as a process that was counted dead has not ended, who sleeps looks every 10 ms.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::lock::{self, Taken, Words, W};
use super::mutex::Thread;
use super::object::{Head, Kind};
use super::party::{Party, Patience, State};
use super::pending::Pending;
use super::settle::look_at_the_dead;
use super::steps::step;
use super::units::{self, after_look, gate_of, units_of, FILLED, UNITS_MAX};
use super::wait;
use super::watcher::{Besides, Turn, Until, Watch};
use crate::deadline::Deadline;
use crate::error::{Code, Error, Result};
use crate::sys::{futex, Errno};

/// In shared memory.
#[repr(C)]
struct Shared {
    head: Head,
    units: AtomicU64,
}

const SIZE: usize = size_of::<Shared>();

// `units` is looked at when it is filled in.
static PLAIN: Kind = Kind { name: "semaphore", magic: Kind::magic(b'S'), size: SIZE, blank_from: SIZE };
static TRACKED: Kind = Kind { name: "tracked semaphore", magic: Kind::magic(b'T'), ..PLAIN };

/// Looks at a word that others change all the time.
const TRIES: u32 = 100;

/// How long who takes or tries waits for another who takes: that is a few instructions, if it runs. Who waits by a
/// descriptor does not; and is to try again so soon.
const BRIEF: Duration = Duration::from_millis(10);
const RETRY: Duration = Duration::from_millis(1);

bitflags::bitflags! {
    /// What a semaphore is to be: SHMKIT_SEMAPHORE_… of the header.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct SemaphoreFlags: u32 {
        /// Units belong to the process that took them, which alone gives them back, and come back when it dies.
        const TRACKED = 1;
    }
}

impl SemaphoreFlags {
    /// The caller's bits; EINVAL names those that mean nothing.
    pub fn from_raw(bits: u32) -> Result<SemaphoreFlags> {
        SemaphoreFlags::from_bits(bits).ok_or_else(|| {
            let unknown = bits & !SemaphoreFlags::all().bits();
            Error::new(Errno::EINVAL, format!("unknown semaphore flags: {unknown:#x}"))
        })
    }
}

/// Units that the processes of a party take and give. All methods work through any handle on the same 32 bytes.
#[derive(Clone, Copy)]
pub struct Semaphore<'p> {
    state: &'p State,
    offset: usize,
    made: bool,
}

impl Party<'_> {
    /// The semaphore at an offset of the region, which is made, with so many units, where there are 32 bytes of
    /// zeros; one that is there has its own. EINVAL for other bytes. ENOLCK where a tracked one finds no cell.
    pub fn semaphore(&self, offset: usize, units: u32, flags: SemaphoreFlags) -> Result<Semaphore<'_>> {
        self.semaphore_at(self.state().at(offset), units, flags)
    }

    pub(crate) fn semaphore_at(
        &self,
        at: *const u8,
        units: u32,
        flags: SemaphoreFlags,
    ) -> Result<Semaphore<'_>> {
        let tracked = flags.contains(SemaphoreFlags::TRACKED);
        let kind = if tracked { &TRACKED } else { &PLAIN };
        let (state, offset) = self.state().place(at, kind)?;
        if units > UNITS_MAX || (tracked && units == 0) {
            let least = u32::from(tracked);
            let message = format!("a {} of {units} units: {least} to {UNITS_MAX}", kind.name);
            return Err(Error::new(Errno::EINVAL, message));
        }
        let made = state.make(offset, kind, || fill(state, offset, kind, units))?;
        Ok(Semaphore { state, offset, made })
    }

    /// The same for calls that do not explain. Its bytes are looked at when it is used.
    pub(crate) fn semaphore_known(&self, at: *const u8) -> Result<Semaphore<'_>, Code> {
        let state = self.state();
        let offset = state.offset_of(at, SIZE).ok_or(Code::from(Errno::EINVAL))?;
        Ok(Semaphore { state, offset, made: false })
    }

    /// Takes a unit of a plain semaphore, if there is one. False: not done, for whatever reason.
    #[inline(always)]
    pub(crate) fn take_at_once(&self, at: *const u8) -> bool {
        let state = self.state();
        state.is_inside(at, SIZE) && take_at_once(state, at)
    }

    /// Gives a unit to a plain semaphore, if nobody waits for it. False: not done.
    #[inline(always)]
    pub(crate) fn give_at_once(&self, at: *const u8) -> bool {
        let state = self.state();
        state.is_inside(at, SIZE) && give_at_once(state, at)
    }
}

/// What is at an address, by that: the processor need not know first where the region begins.
#[inline(always)]
fn shared(_: &State, at: *const u8) -> &Shared {
    // SAFETY: the callers' addresses are inside the region, which stays, and aligned; all fields are atomic.
    unsafe { &*at.cast::<Shared>() }
}

fn fill(state: &State, offset: usize, kind: &Kind, units: u32) -> Result<()> {
    let shared = shared(state, state.at(offset));
    let above = match kind.magic == TRACKED.magic {
        true => u64::from(state.allot(offset, kind)? + 1) << 32,
        false => FILLED,
    };
    let wanted = above | u64::from(units);
    match shared.units.compare_exchange(0, wanted, Ordering::AcqRel, Ordering::Acquire) {
        // One that is made, and perhaps used, meanwhile is found when this has returned.
        Err(has) if has != wanted && shared.head.magic.load(Ordering::Acquire) == 0 => {
            let message = format!("this is no {}: its {SIZE} bytes are neither zeros nor one", kind.name);
            Err(Error::new(Errno::EINVAL, message))
        }
        _ => Ok(()),
    }
}

#[inline(always)]
fn plain(state: &State, at: *const u8) -> Option<&AtomicU64> {
    let shared = shared(state, at);
    shared.head.is(&PLAIN, state.table_from(state.offset(at))).then_some(&shared.units)
}

// Of a plain one whose gate is open. One comparison with the lower half tells that there are units, or is room for
// one; the compare-and-swap of the whole, that the upper half is 0.

#[inline(always)]
fn take_at_once(state: &State, at: *const u8) -> bool {
    let units = &shared(state, at).units;
    let seen = wait::load_low(units);
    let taken = seen > FILLED as u32 && swap_below(units, seen, seen - 1, Ordering::Acquire);
    if taken {
        step("semaphore.took_at_once");
    }
    taken
}

#[inline(always)]
fn give_at_once(state: &State, at: *const u8) -> bool {
    let units = &shared(state, at).units;
    let seen = wait::load_low(units);
    // As a signed number FILLED is the least, and the most units are -1.
    let given = (seen as i32) < -1 && swap_below(units, seen, seen + 1, Ordering::Release);
    if given {
        step("semaphore.gave_at_once");
    }
    given
}

#[inline(always)]
fn swap_below(units: &AtomicU64, seen: u32, next: u32, order: Ordering) -> bool {
    units.compare_exchange(seen.into(), next.into(), order, Ordering::Relaxed).is_ok()
}

impl<'p> Semaphore<'p> {
    /// Whether [`Party::semaphore`] made it, rather than found it.
    pub fn made(&self) -> bool {
        self.made
    }

    /// Takes a unit, and waits for one as long as need be.
    #[inline(always)]
    pub fn wait(&self) -> Result<(), Code> {
        self.wait_until(Deadline::NEVER)
    }

    /// Takes a unit, and waits for one until a deadline: ETIMEDOUT. One that is over tries once.
    #[inline(always)]
    pub fn wait_until(&self, deadline: Deadline) -> Result<(), Code> {
        match take_at_once(self.state, self.at()) {
            true => Ok(()),
            false => self.wait_slow(deadline),
        }
    }

    /// Takes a unit if there is one: EAGAIN.
    #[inline(always)]
    pub fn try_wait(&self) -> Result<(), Code> {
        match take_at_once(self.state, self.at()) {
            true => Ok(()),
            false => self.try_slow(),
        }
    }

    /// Takes a unit if there is one; else EAGAIN, and the watch's descriptor becomes readable when it is worth
    /// another try, with the same watch.
    pub fn wait_watch(&self, watch: &Watch) -> Result<(), Code> {
        match self.sort()? {
            Sort::Plain(units) => wait_watch(units, watch),
            Sort::Tracked(tracked) => tracked.wait_watch(watch),
        }
    }

    /// Gives a unit. EOVERFLOW where there are 2^31 − 1; of a tracked semaphore EPERM where this process has none.
    #[inline(always)]
    pub fn post(&self) -> Result<(), Code> {
        match give_at_once(self.state, self.at()) {
            true => Ok(()),
            false => self.post_slow(),
        }
    }

    /// How many units there are to be taken. Old news as soon as it is told.
    pub fn value(&self) -> Result<u32, Code> {
        match self.sort()? {
            Sort::Plain(units) => Ok(units_of(units.load(Ordering::Relaxed))),
            Sort::Tracked(tracked) => Ok(tracked.free()),
        }
    }

    fn at(&self) -> *const u8 {
        self.state.at(self.offset)
    }

    fn sort(&self) -> Result<Sort<'p>, Code> {
        if let Some(units) = plain(self.state, self.at()) {
            return Ok(Sort::Plain(units));
        }
        let shared = shared(self.state, self.at());
        let bits = shared.units.load(Ordering::Relaxed);
        let (capacity, cell) = (units_of(bits), gate_of(bits).wrapping_sub(1));
        let is = shared.head.is(&TRACKED, self.state.table_from(self.offset));
        match is && self.state.has_cell(self.offset, cell) {
            true => Ok(Sort::Tracked(Tracked {
                state: self.state,
                offset: self.offset,
                head: &shared.head,
                capacity,
                cell,
            })),
            false => Err(Errno::EINVAL.into()),
        }
    }

    #[cold]
    #[inline(never)]
    fn wait_slow(&self, deadline: Deadline) -> Result<(), Code> {
        match self.sort()? {
            Sort::Plain(units) => match units::wait(units, &Gate::new(units, deadline)) {
                true => Ok(()),
                false => Err(Errno::ETIMEDOUT.into()),
            },
            Sort::Tracked(tracked) => tracked.wait(deadline),
        }
    }

    #[cold]
    #[inline(never)]
    fn try_slow(&self) -> Result<(), Code> {
        match self.sort()? {
            Sort::Plain(units) => match units::try_wait(units) {
                true => Ok(()),
                false => Err(Errno::EAGAIN.into()),
            },
            Sort::Tracked(tracked) => tracked.try_wait(),
        }
    }

    #[cold]
    #[inline(never)]
    fn post_slow(&self) -> Result<(), Code> {
        match self.sort()? {
            Sort::Plain(units) => match units::post(units, &Gate::new(units, Deadline::NEVER)) {
                true => Ok(()),
                false => Err(Errno::EOVERFLOW.into()),
            },
            Sort::Tracked(tracked) => tracked.post(),
        }
    }
}

impl fmt::Debug for Semaphore<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("offset", &self.offset).field("value", &self.value()).finish()
    }
}

/// Which of both it is.
enum Sort<'p> {
    Plain(&'p AtomicU64),
    Tracked(Tracked<'p>),
}

/// Wakes one who sleeps on the gate, if any. Its bytes may be gone.
fn wake(gate: *const AtomicU32) {
    let _ = futex::wake(gate, 1);
}

/// A plain one's, for a thread that takes or gives.
struct Gate<'a> {
    gate: &'a AtomicU32,
    deadline: Deadline,
    pending: Pending,
}

impl Gate<'_> {
    fn new(units: &AtomicU64, deadline: Deadline) -> Gate<'_> {
        Gate { gate: wait::high_half(units), deadline, pending: Pending::new() }
    }
}

impl units::Caller for Gate<'_> {
    fn pend(&self) {
        self.pending.set(self.gate);
    }

    fn unpend(&self) {
        self.pending.reset();
    }

    fn is_over(&self) -> bool {
        wait::is_over(self.deadline)
    }

    fn sleep(&self) {
        wait::sleep(self.gate, W, self.deadline);
    }

    fn wake(&self) {
        wake(self.gate);
    }
}

fn wait_watch(units: &AtomicU64, watch: &Watch) -> Result<(), Code> {
    let gate = wait::high_half(units);
    let slept = watch.has_waited(gate)?;
    let mut seen = units.load(Ordering::Relaxed);
    for _ in 0..TRIES {
        let (next, left) = after_look(seen, slept);
        match (units.compare_exchange(seen, next, Ordering::Acquire, Ordering::Relaxed), left) {
            (Ok(_), Some(left)) => {
                if slept && left > 0 {
                    wake(gate);
                }
                return watch.done(gate);
            }
            (Ok(_), None) => break,
            (Err(now), _) => seen = now,
        }
    }
    // A gate that is closed says that there is no unit.
    watch.arm((gate, Until::UpperNot(W), Turn::One), Besides::NOTHING)?;
    Err(Errno::EAGAIN.into())
}

struct Tracked<'p> {
    state: &'p State,
    offset: usize,
    head: &'p Head,
    capacity: u32,
    cell: u32,
}

impl Tracked<'_> {
    fn gate(&self) -> &AtomicU32 {
        &self.head.state
    }

    /// How many units nobody has.
    fn free(&self) -> u32 {
        let table = self.state.table();
        let had = (0..table.used()).filter(|&slot| !table.slot(slot).has_ended());
        // Each can be a peer's lie.
        let had = had.map(|slot| u64::from(table.cell(slot, self.cell).load(Ordering::SeqCst))).sum::<u64>();
        u64::from(self.capacity).saturating_sub(had) as u32
    }

    /// What `look` finds, while nobody else takes a unit. ETIMEDOUT where somebody else takes for so long.
    fn locked<T>(&self, own: u32, patience: Duration, look: impl FnOnce() -> T) -> Result<T, Code> {
        // There is nothing that could not be recovered; and the head's own state is the gate.
        let recoverable = AtomicU32::new(0);
        let words = Words { word: &self.head.word, state: &recoverable };
        if !lock::try_fast(words, own) {
            let thread = Thread::hasty(self.state, Deadline::after(patience));
            let taken = lock::lock(words, own, &thread).map_err(|_| Errno::ETIMEDOUT)?;
            if taken == Taken::OwnerDied {
                let _ = lock::consistent(words, own);
            }
        }
        let found = look();
        if !lock::unlock_fast(words, own) {
            let _ = lock::unlock(words, own, &Thread::hasty(self.state, Deadline::NEVER));
        }
        Ok(found)
    }

    /// Takes a unit, if there is one. Where there is none, one who waits has the gate closed.
    fn take(
        &self,
        own: u32,
        cell: &AtomicU32,
        patience: Duration,
        waits: bool,
        slept: bool,
    ) -> Result<bool, Code> {
        self.locked(own, patience, || {
            if self.free() == 0 {
                if !waits {
                    return false;
                }
                self.gate().store(W, Ordering::SeqCst);
                step("tracked.closed");
                if self.free() == 0 {
                    return false;
                }
            }
            cell.fetch_add(1, Ordering::SeqCst);
            step("tracked.took");
            // Whoever has slept cannot know that nobody else does.
            if slept {
                self.gate().store(W, Ordering::SeqCst);
                step("tracked.closed_again");
                if self.free() > 0 {
                    self.open();
                }
            }
            true
        })
    }

    /// There is a unit: one who sleeps is to look.
    fn open(&self) {
        self.gate().store(0, Ordering::SeqCst);
        step("tracked.opened");
        wake(self.gate());
        step("tracked.woke");
    }

    /// The keeper's number by which this process takes, and the cell in which it counts.
    fn own(&self, patience: Patience) -> Result<(u32, &AtomicU32), Code> {
        let slot = self.state.slot_with(patience)?;
        let own = self.state.keeper_of(self.offset, &TRACKED, patience)?;
        Ok((own, self.state.table().cell(slot, self.cell)))
    }

    fn wait(&self, deadline: Deadline) -> Result<(), Code> {
        let (own, cell) = self.own(Patience::until(deadline))?;
        let mut slept = false;
        loop {
            let changes = self.state.changes();
            let (_, until) = look_at_the_dead(self.state, deadline);
            let taken = self.take(own, cell, BRIEF, true, slept);
            if taken == Ok(true) {
                return Ok(());
            }
            if wait::is_over(deadline) {
                // Who has not looked leaves it to another.
                if slept && taken.is_err() {
                    wake(self.gate());
                    step("tracked.left_it");
                }
                return Err(Errno::ETIMEDOUT.into());
            }
            if taken.is_ok() {
                self.state.watch(self.gate(), W, changes, until)?;
                step("tracked.woken");
                slept = true;
            }
        }
    }

    fn wait_watch(&self, watch: &Watch) -> Result<(), Code> {
        let (own, cell) = self.own(Patience::brief())?;
        let slept = watch.has_waited(self.gate())?;
        let changes = self.state.changes();
        let (_, mut again) = look_at_the_dead(self.state, Deadline::NEVER);
        match self.take(own, cell, Duration::ZERO, true, slept) {
            Ok(true) => return watch.done(self.gate()),
            Ok(false) => {}
            // Somebody who takes was stopped: the gate may be open.
            Err(_) => {
                self.gate().store(W, Ordering::SeqCst);
                again = Deadline::after(RETRY);
            }
        }
        let besides = Besides::changes(self.state, changes).until(again);
        watch.arm((self.gate(), Until::Not(W), Turn::One), besides)?;
        Err(Errno::EAGAIN.into())
    }

    fn try_wait(&self) -> Result<(), Code> {
        let (own, cell) = self.own(Patience::brief())?;
        // So that the units of the dead are there.
        look_at_the_dead(self.state, Deadline::NEVER);
        match self.take(own, cell, BRIEF, false, false) {
            Ok(true) => Ok(()),
            _ => Err(Errno::EAGAIN.into()),
        }
    }

    fn post(&self) -> Result<(), Code> {
        let cell = self.state.table().cell(self.state.slot()?, self.cell);
        let less = |has: u32| has.checked_sub(1);
        cell.fetch_update(Ordering::SeqCst, Ordering::Relaxed, less).map_err(|_| Errno::EPERM)?;
        step("tracked.gave");
        if self.gate().load(Ordering::SeqCst) != 0 {
            self.open();
        }
        Ok(())
    }
}

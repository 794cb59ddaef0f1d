//! The lock of a process: any of its threads may give it back. When the process dies, the next one who wants
//! the lock has it, and is told.

use std::fmt;

use super::lock::{self, Caller, Refused, Slept, Taken, Words, TM};
use super::object::{Head, Kind};
use super::party::{Party, Patience, State};
use super::pending::Pending;
use super::wait;
use super::watcher::{Besides, Hold, Turn, Until, Watch};
use crate::deadline::Deadline;
use crate::error::{Code, Result};
use crate::sys::{futex, thread, Errno};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// In shared memory: a [`Head`], and zeros.
const SIZE: usize = 40;

static KIND: Kind =
    Kind { name: "mutex", magic: Kind::magic(b'M'), size: SIZE, blank_from: size_of::<Head>() };

/// For so long a call that does not wait looks on while a dead owner's process ends.
pub(super) const DEATH: Duration = Duration::from_millis(2);

/// How a lock was got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Locked {
    Clean,
    /// It is ours, and the process that had it died. What it guards may be half done: repair it, and call
    /// [`Mutex::consistent`]; whoever unlocks without makes it ENOTRECOVERABLE for all, for ever.
    OwnerDied,
}

impl From<Taken> for Locked {
    fn from(taken: Taken) -> Locked {
        match taken {
            Taken::Clean => Locked::Clean,
            Taken::OwnerDied => Locked::OwnerDied,
        }
    }
}

/// A mutex that lies in a region and is owned by one process of a party at a time. All methods work through
/// any handle on the same 40 bytes.
#[derive(Clone, Copy)]
pub struct Mutex<'p> {
    state: &'p State,
    offset: usize,
    made: bool,
}

impl Party<'_> {
    /// The mutex at an offset of the region, which is made where there are 40 bytes of zeros. EINVAL for other
    /// bytes.
    pub fn mutex(&self, offset: usize) -> Result<Mutex<'_>> {
        self.mutex_at(self.state().at(offset))
    }

    pub(crate) fn mutex_at(&self, at: *const u8) -> Result<Mutex<'_>> {
        let (state, offset) = self.state().place(at, &KIND)?;
        let made = state.make(offset, &KIND, || Ok(()))?;
        Ok(Mutex { state, offset, made })
    }

    /// The same for calls that do not explain. Its bytes are looked at when it is first locked.
    pub(crate) fn mutex_known(&self, at: *const u8) -> Result<Mutex<'_>, Code> {
        let state = self.state();
        let offset = state.offset_of(at, SIZE).ok_or(Code::from(Errno::EINVAL))?;
        Ok(Mutex { state, offset, made: false })
    }

    /// Locks what is there if this process has used it before, and nobody has it. False: not done, for
    /// whatever reason.
    #[inline(always)]
    pub(crate) fn lock_at_once(&self, at: *const u8) -> bool {
        let state = self.state();
        state.is_inside(at, SIZE) && lock_at_once(state, state.offset(at))
    }

    /// Unlocks what is there if this process has it, and nobody waits for it. False: not done.
    #[inline(always)]
    pub(crate) fn unlock_at_once(&self, at: *const u8) -> bool {
        let state = self.state();
        state.is_inside(at, SIZE) && unlock_at_once(state, state.offset(at))
    }
}

/// What is in a region at this offset.
#[inline(always)]
fn words(state: &State, offset: usize) -> Words<'_> {
    // SAFETY: the callers' offsets are inside the region, and aligned; all fields are atomic.
    unsafe { &*state.at::<Head>(offset) }.words()
}

#[inline(always)]
fn lock_at_once(state: &State, offset: usize) -> bool {
    let (node, words) = (state.node(offset), words(state, offset));
    let own = node.tid();
    if own == 0 || !lock::try_fast(words, own) {
        return false;
    }
    if !lock::is_recoverable(words) {
        pass_on(state, words, own);
        return false;
    }
    node.holder.store(thread::identity(), Ordering::Relaxed);
    true
}

/// Taken, and not recoverable: the slow path finds out again, and says so.
#[cold]
fn pass_on(state: &State, words: Words<'_>, own: u32) {
    let _ = lock::unlock(words, own, &Thread::new(state, Deadline::NEVER));
}

#[inline(always)]
fn unlock_at_once(state: &State, offset: usize) -> bool {
    let node = state.node(offset);
    let own = node.tid();
    if own == 0 {
        return false;
    }
    node.holder.store(0, Ordering::Relaxed);
    lock::unlock_fast(words(state, offset), own)
}

impl<'p> Mutex<'p> {
    /// Whether [`Party::mutex`] made it, rather than found it.
    pub fn made(&self) -> bool {
        self.made
    }

    pub(super) fn word(&self) -> &'p AtomicU32 {
        self.words().word
    }

    fn words(&self) -> Words<'p> {
        words(self.state, self.offset)
    }

    /// Waits for it as long as need be. ENOTRECOVERABLE; EDEADLK where this thread has it (not with
    /// [`PartyFlags::ANY_THREAD`](super::PartyFlags::ANY_THREAD)). After a failure it is not to be unlocked: another
    /// thread of the process may have it.
    #[inline(always)]
    pub fn lock(&self) -> Result<Locked, Code> {
        match lock_at_once(self.state, self.offset) {
            true => Ok(Locked::Clean),
            false => self.lock_slow(Deadline::NEVER),
        }
    }

    /// Waits for it until a deadline: ETIMEDOUT. One that is over tries once.
    #[inline(always)]
    pub fn lock_until(&self, deadline: Deadline) -> Result<Locked, Code> {
        match lock_at_once(self.state, self.offset) {
            true => Ok(Locked::Clean),
            false => self.lock_slow(deadline),
        }
    }

    /// EBUSY where somebody has it, this process included.
    #[inline(always)]
    pub fn try_lock(&self) -> Result<Locked, Code> {
        match lock_at_once(self.state, self.offset) {
            true => Ok(Locked::Clean),
            false => self.try_slow(),
        }
    }

    /// Locks if nobody has it; else EAGAIN, and the watch's descriptor becomes readable when it is worth another
    /// try, with the same watch.
    pub fn lock_watch(&self, watch: &Watch) -> Result<Locked, Code> {
        self.lock_watch_holding(watch, Hold::NOTHING)
    }

    /// The same for one who holds something as long as it waits.
    pub(super) fn lock_watch_holding(&self, watch: &Watch, hold: Hold) -> Result<Locked, Code> {
        let (own, words) = (self.own(Patience::brief())?, self.words());
        let has_waited = watch.has_waited(words.word)?;
        let thread = Thread::new(self.state, Deadline::after(DEATH));
        match lock::lock_or_mark(words, own, has_waited, &thread) {
            None | Some(Err(Refused::Busy)) => {
                watch.arm((words.word, Until::Free, Turn::One), Besides::NOTHING.holding(hold))?;
                Err(Errno::EAGAIN.into())
            }
            Some(taken) => {
                watch.done(words.word)?;
                self.got(taken, Errno::EAGAIN)
            }
        }
    }

    /// EPERM where this process does not own it through this party.
    #[inline(always)]
    pub fn unlock(&self) -> Result<(), Code> {
        match unlock_at_once(self.state, self.offset) {
            true => Ok(()),
            false => self.unlock_slow(),
        }
    }

    /// Says that what the dead owner left is repaired. EINVAL where no owner died, EPERM where this process does
    /// not own it.
    pub fn consistent(&self) -> Result<(), Code> {
        self.check()?;
        let own = self.state.node(self.offset).tid();
        lock::consistent(self.words(), own).map_err(|refused| self.code(refused, Errno::EINVAL))
    }

    /// The process that has it now, by its number in its own PID namespace; None for nobody. ESRCH where the
    /// owner is no member of the party: one that is dying just now, or what others have written. Old news as soon
    /// as it is told.
    pub fn owner(&self) -> Result<Option<u32>, Code> {
        self.check()?;
        match self.words().word.load(Ordering::Relaxed) & TM {
            0 => Ok(None),
            tid => self.state.process_of(tid).map(Some).ok_or(Errno::ESRCH.into()),
        }
    }

    /// The number by which this process owns it, as soon as it has used it: 0 before.
    pub(crate) fn number(&self) -> u32 {
        self.state.node(self.offset).tid()
    }

    /// The keeper's number by which this process owns it.
    fn own(&self, patience: Patience) -> Result<u32, Code> {
        self.state.keeper_of(self.offset, &KIND, patience)
    }

    /// EINVAL where there is no mutex.
    fn check(&self) -> Result<(), Code> {
        if self.state.node(self.offset).tid() == 0 {
            // SAFETY: inside the region, and aligned; all fields are atomic.
            let head = unsafe { &*self.state.at::<Head>(self.offset) };
            if !head.is(&KIND, self.state.table_from(self.offset)) {
                return Err(Errno::EINVAL.into());
            }
        }
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn lock_slow(&self, deadline: Deadline) -> Result<Locked, Code> {
        let own = self.own(Patience::until(deadline))?;
        let (node, words) = (self.state.node(self.offset), self.words());
        if words.word.load(Ordering::Relaxed) & TM == own && self.state.is_holder(node) {
            return Err(Errno::EDEADLK.into());
        }
        let taken = lock::lock(words, own, &Thread::new(self.state, deadline));
        self.got(taken, Errno::ETIMEDOUT)
    }

    #[cold]
    #[inline(never)]
    fn try_slow(&self) -> Result<Locked, Code> {
        let own = self.own(Patience::brief())?;
        let now = Deadline::after(std::time::Duration::ZERO);
        let taken = lock::try_lock(self.words(), own, &Thread::new(self.state, now));
        self.got(taken, Errno::EBUSY)
    }

    fn got(&self, taken: Result<Taken, Refused>, busy: Errno) -> Result<Locked, Code> {
        let taken = taken.map_err(|refused| self.code(refused, busy))?;
        self.state.node(self.offset).holder.store(thread::identity(), Ordering::Relaxed);
        Ok(taken.into())
    }

    pub(super) fn is_in(&self, state: &State) -> bool {
        std::ptr::eq(self.state, state)
    }

    /// False once it was unlocked by one who had it from a dead owner, and had not said that it is consistent.
    pub(super) fn is_recoverable(&self) -> bool {
        lock::is_recoverable(self.words())
    }

    #[cold]
    #[inline(never)]
    fn unlock_slow(&self) -> Result<(), Code> {
        self.check()?;
        let own = self.state.node(self.offset).tid();
        let unlocked = lock::unlock(self.words(), own, &Thread::new(self.state, Deadline::NEVER));
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

impl fmt::Debug for Mutex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").field("offset", &self.offset).field("owner", &self.owner()).finish()
    }
}

/// A thread that locks or unlocks.
pub(super) struct Thread<'a> {
    state: &'a State,
    deadline: Deadline,
    settles: bool,
    pending: Pending,
}

impl<'a> Thread<'a> {
    pub(super) fn new(state: &'a State, deadline: Deadline) -> Thread<'a> {
        Thread { state, deadline, settles: true, pending: Pending::new() }
    }

    /// One who can have what a dead owner leaves while that still writes: it has nothing to repair.
    pub(super) fn hasty(state: &'a State, deadline: Deadline) -> Thread<'a> {
        Thread { settles: false, ..Thread::new(state, deadline) }
    }

    pub(super) fn deadline(&self) -> Deadline {
        self.deadline
    }
}

impl Caller for Thread<'_> {
    fn pend(&self, word: &AtomicU32) {
        self.pending.set(word);
    }

    fn unpend(&self) {
        self.pending.reset();
    }

    fn is_over(&self) -> bool {
        wait::is_over(self.deadline)
    }

    fn sleep(&self, word: &AtomicU32, value: u32) -> Slept {
        match wait::sleep(word, value, self.deadline) {
            true => Slept::Woken,
            false => Slept::Slice,
        }
    }

    fn wake(&self, word: &AtomicU32) -> bool {
        // EFAULT: nobody sleeps on what is gone, and it is not to be touched.
        futex::wake(word, 1).map_or(true, |woken| woken > 0)
    }

    fn is_stranger(&self, owner: u32) -> bool {
        let table = self.state.table();
        table.find(owner).is_none_or(|index| table.is_abandoned(index))
    }

    fn settle(&self) -> bool {
        !self.settles || self.state.settle(self.deadline)
    }
}

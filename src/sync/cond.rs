//! A condition: those who hold a mutex wait until somebody says that what it guards has changed.
//!
//! `signals` has the word. Who waits adds itself while it holds the mutex, and sleeps as long as the sequence is
//! what it was then. Who signals sees nobody waiting, and is done; or counts one off, changes the sequence, and
//! wakes one. It does not touch the word after that: who was woken may give the bytes back.
//!
//! No wake-up is lost:
//! - `waiting` is never less than the number of those who sleep, or will, and have no wake-up under way. Who has
//!   added itself and does not sleep yet will not: each signal changes the sequence. One signal counts one off and
//!   wakes one of those who sleep, if any. Who gives up counts itself off only while the sequence is its own, so
//!   that no signal has counted it.
//! - What the mutex guards was changed by one who held it: either before the waiter had it, who then saw the
//!   change; or after the waiter had added itself and let it go, and then the signal sees it waiting.
//! - A process that dies with a wake-up, before it has woken somebody or after it was woken, is a death in the
//!   party: all who wait end their waits, and look themselves. A death that was counted before a wait began can
//!   still have threads that sleep or wake; until they have ended the wait looks at the sequence every 10 ms.
//! - A wake-up that goes to one who came later (the kernel prefers threads of real-time priority) is seen when the
//!   slice of the wait is over, by the sequence.
//!
//! Who waits by a descriptor does so in two parts, between which it can give up: for a signal, and for the mutex.
//! Of the watches of a process each signal wakes one, the oldest (`watcher`), which has it until it has the mutex;
//! if it gives up before that it signals again. The others go on as if they had begun after that signal, for
//! which `waiting` counts them still.
//!
//! The sequence comes round after 2^32 signals: one who is stopped between its last look at the word and its
//! sleep for exactly so many would miss them.

use std::fmt;
use std::mem::offset_of;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::mutex::{Locked, Mutex};
use super::object::{Head, Kind};
use super::party::{Party, Patience, State};
use super::settle::look_at_the_dead;
use super::signals::{self, add, sequence, withdraw, MARK};
use super::steps::step;
use super::wait::{self, Wake};
use super::watcher::{Besides, Hold, Turn, Until, Watch};
use crate::deadline::Deadline;
use crate::error::{Code, Error, Result};
use crate::sys::{futex, Errno};

/// In shared memory.
#[repr(C)]
struct Shared {
    /// Its word and state are not used.
    head: Head,
    word: AtomicU64,
    reserved: [u64; 2],
}

const SIZE: usize = size_of::<Shared>();

// `word` is looked at when it is filled in.
static KIND: Kind = Kind {
    name: "condition",
    magic: Kind::magic(b'C'),
    size: SIZE,
    blank_from: offset_of!(Shared, reserved),
};

/// A condition of those who use a mutex of the same party. All methods work through any handle on the same 48
/// bytes.
#[derive(Clone, Copy)]
pub struct Condvar<'p> {
    state: &'p State,
    offset: usize,
    made: bool,
}

impl Party<'_> {
    /// The condition at an offset of the region, which is made where there are 48 bytes of zeros. EINVAL for
    /// other bytes.
    pub fn condvar(&self, offset: usize) -> Result<Condvar<'_>> {
        self.condvar_at(self.state().at(offset))
    }

    pub(crate) fn condvar_at(&self, at: *const u8) -> Result<Condvar<'_>> {
        let (state, offset) = self.state().place(at, &KIND)?;
        let made = state.make(offset, &KIND, || fill(shared(state, state.at(offset))))?;
        Ok(Condvar { state, offset, made })
    }

    /// The same for calls that do not explain.
    pub(crate) fn condvar_known(&self, at: *const u8) -> Result<Condvar<'_>, Code> {
        let state = self.state();
        let offset = state.offset_of(at, SIZE).ok_or(Code::from(Errno::EINVAL))?;
        Ok(Condvar { state, offset, made: false })
    }

    /// Whether a condition is there, and nobody waits for it.
    #[inline(always)]
    pub(crate) fn is_idle(&self, at: *const u8) -> bool {
        let state = self.state();
        state.is_inside(at, SIZE) && is_idle(state, at)
    }
}

/// What is at an address, by that: the processor need not know first where the region begins.
#[inline(always)]
fn shared(_: &State, at: *const u8) -> &Shared {
    // SAFETY: the callers' addresses are inside the region, which stays, and aligned; all fields are atomic.
    unsafe { &*at.cast::<Shared>() }
}

fn fill(shared: &Shared) -> Result<()> {
    match shared.word.compare_exchange(0, MARK, Ordering::AcqRel, Ordering::Acquire) {
        // One that is made, and perhaps used, meanwhile is found when this has returned.
        Err(has) if has != MARK && shared.head.magic.load(Ordering::Acquire) == 0 => {
            let message = format!("this is no condition: its {SIZE} bytes are neither zeros nor one");
            Err(Error::new(Errno::EINVAL, message))
        }
        _ => Ok(()),
    }
}

#[inline(always)]
fn is_idle(state: &State, at: *const u8) -> bool {
    // The mutex has ordered this after the waiter's step.
    signals::is_idle(shared(state, at).word.load(Ordering::Relaxed))
}

/// Lets one of those who wait go, or all.
fn signal(word: &AtomicU64, all: bool) {
    if signals::signal(word, all) {
        step("cond.notified");
        let _ = futex::wake(wait::low_half(word), if all { i32::MAX } else { 1 });
        step("cond.woke");
    }
}

/// # Safety
/// The half is the lower one of a condition's word that is mapped.
unsafe fn give_back(half: *const AtomicU32, seen: u64) {
    // SAFETY: the caller's promise.
    give_up(unsafe { wait::whole_of_low(&*half) }, seen as u32);
}

/// For one who has not slept, or sleeps no more: a signal that was for it is another one's.
fn give_up(word: &AtomicU64, seen: u32) {
    if !withdraw(word, seen) {
        signal(word, false);
    }
}

/// For one who was signalled for, and gives up.
///
/// # Safety
/// As for [`give_back`].
unsafe fn signal_another(half: *const AtomicU32, _: u64) {
    // SAFETY: the caller's promise.
    signal(unsafe { wait::whole_of_low(&*half) }, false);
}

impl Condvar<'_> {
    /// Whether [`Party::condvar`] made it, rather than found it.
    pub fn made(&self) -> bool {
        self.made
    }

    /// Lets the mutex go, waits to be notified, and locks the mutex again: also when nobody has notified, as
    /// when a process joins the party, leaves it, or dies. So look again at what is waited for.
    ///
    /// The result is that of [`Mutex::lock`]. After ENOTRECOVERABLE the mutex is not locked, and that comes at once
    /// where its owner had died and nobody has called [`Mutex::consistent`]; after ETIMEDOUT it is;
    /// and with any other failure it is as it was before: EPERM (this process does not own it), EINVAL; in a child
    /// made by fork ENOLCK, ENOMEM.
    pub fn wait(&self, mutex: &Mutex<'_>) -> Result<Locked, Code> {
        self.wait_until(mutex, Deadline::NEVER)
    }

    /// The same until a deadline: ETIMEDOUT, with the mutex locked. A dead owner is told rather than that.
    pub fn wait_until(&self, mutex: &Mutex<'_>, deadline: Deadline) -> Result<Locked, Code> {
        let word = self.word_with(mutex)?;
        // A child made by fork joins here, or fails while it can.
        self.state.slot_with(Patience::until(deadline))?;
        let changes = self.state.changes();
        let seen = add(word);
        step("cond.added");
        if let Err(code) = mutex.unlock() {
            withdraw(word, seen);
            return Err(code);
        }
        step("cond.unlocked");
        if !mutex.is_recoverable() {
            give_up(word, seen);
            return Err(Errno::ENOTRECOVERABLE.into());
        }
        let end = self.sleep(word, seen, changes, deadline);
        step("cond.woken");
        // Who was woken does not touch it either, so that one of them may give the bytes back.
        let gave_up = end != Ok(Wake::Word) && withdraw(word, seen);
        step("cond.gone");
        match mutex.lock()? {
            Locked::Clean if gave_up && end == Ok(Wake::TimedOut) => Err(Errno::ETIMEDOUT.into()),
            locked => Ok(locked),
        }
    }

    /// Lets the mutex go, and answers EAGAIN: the watch's descriptor becomes readable when it is worth to call again,
    /// with the same watch. Once notified the calls try to lock the mutex, and the last one answers as
    /// [`Mutex::lock`]; all before that EAGAIN, without the mutex. Any other failure is the first call's, and has
    /// changed nothing.
    ///
    /// Who gives up cancels the watch: then the mutex is not locked, and another one is notified in its place.
    pub fn wait_watch(&self, mutex: &Mutex<'_>, watch: &Watch) -> Result<Locked, Code> {
        let word = self.word_with(mutex)?;
        let half = wait::low_half(word);
        let relock = || {
            let hold = Hold { word: half, own: 0, give_back: Some(signal_another) };
            mutex.lock_watch_holding(watch, hold)
        };
        if watch.has_waited_holding(mutex.word(), half)? {
            return relock();
        }
        let has_begun = watch.take_hold(half)?;
        let (seen, changes) = match has_begun {
            Some(besides) => (besides.hold.own as u32, besides.changes),
            None => {
                self.state.slot()?;
                let changes = self.state.changes();
                (add(word), changes)
            }
        };
        let is_signalled = sequence(word.load(Ordering::Relaxed)) != seen;
        if has_begun.is_some() && (is_signalled || self.state.changes() != changes) {
            if !is_signalled {
                withdraw(word, seen);
            }
            return relock();
        }
        let (_, until) = look_at_the_dead(self.state, Deadline::NEVER);
        let hold = Hold { word: half, own: seen.into(), give_back: Some(give_back) };
        let besides = Besides::changes(self.state, changes).until(until).holding(hold);
        watch.arm((half, Until::Signalled(seen), Turn::All), besides)?;
        if has_begun.is_none() {
            let unlocked = mutex.unlock();
            let gone = unlocked.is_ok() && !mutex.is_recoverable();
            if let Err(code) = unlocked.and(if gone { Err(Errno::ENOTRECOVERABLE.into()) } else { Ok(()) }) {
                watch.cancel()?;
                return Err(code);
            }
        }
        Err(Errno::EAGAIN.into())
    }

    fn sleep(&self, word: &AtomicU64, seen: u32, changes: u32, deadline: Deadline) -> Result<Wake, Code> {
        let is_so = || sequence(word.load(Ordering::Relaxed)) == seen;
        loop {
            let (all_ended, until) = look_at_the_dead(self.state, deadline);
            let end = self.state.watch_part(wait::low_half(word), seen, is_so, changes, until);
            if all_ended || end != Ok(Wake::TimedOut) || wait::is_over(deadline) {
                return end;
            }
        }
    }

    /// Wakes one who waits, if anybody does.
    #[inline(always)]
    pub fn notify_one(&self) -> Result<(), Code> {
        match is_idle(self.state, self.state.at(self.offset)) {
            true => Ok(()),
            false => self.notify(false),
        }
    }

    /// Wakes all who wait.
    #[inline(always)]
    pub fn notify_all(&self) -> Result<(), Code> {
        match is_idle(self.state, self.state.at(self.offset)) {
            true => Ok(()),
            false => self.notify(true),
        }
    }

    #[cold]
    #[inline(never)]
    fn notify(&self, all: bool) -> Result<(), Code> {
        signal(self.word()?, all);
        Ok(())
    }

    /// EINVAL for another party's mutex.
    fn word_with(&self, mutex: &Mutex<'_>) -> Result<&AtomicU64, Code> {
        match mutex.is_in(self.state) {
            true => self.word(),
            false => Err(Errno::EINVAL.into()),
        }
    }

    fn word(&self) -> Result<&AtomicU64, Code> {
        let shared = shared(self.state, self.state.at(self.offset));
        match shared.head.is(&KIND, self.state.table_from(self.offset)) {
            true => Ok(&shared.word),
            false => Err(Errno::EINVAL.into()),
        }
    }
}

impl fmt::Debug for Condvar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").field("offset", &self.offset).finish_non_exhaustive()
    }
}

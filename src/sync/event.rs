//! An event: set or not. A manual one stays set until it is reset, and lets all pass; an automatic one lets one
//! pass, and is not set any more.
//!
//! | word | meaning | written by | after a crash |
//! |---|---|---|---|
//! | 0, W | not set (sleepers possible) | reset; whoever passes an automatic one; a waiter adds W | – |
//! | SET | set | set | – |
//! | SET·W | set, and sleepers are not all woken | set | the kernel wakes one for a dying setter, or for a woken waiter that dies before it has passed; that one finds SET. Of a manual one it wakes the others. |
//!
//! `state` counts how often a manual event was set while there were sleepers: one that finds another count than
//! before it slept has slept through a set and a reset. A setter that dies between both stores leaves those
//! asleep who would have been overtaken by the reset.
//!
//! Whoever sleeps, or is about to wake, has the word in its thread's pending slot. The kernel looks at such a
//! word if nobody owns it: so SET is above the bits of a thread's number, which are 0.

use std::fmt;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::lock::W;
use super::object::{Head, Kind};
use super::party::{Party, State};
use super::pending::Pending;
use super::steps::step;
use super::wait;
use super::watcher::{Besides, Turn, Until, Watch};
use crate::deadline::Deadline;
use crate::error::{Code, Error, Result};
use crate::sys::{futex, Errno};

/// In shared memory: a [`Head`], and zeros.
const SIZE: usize = 32;

const SET: u32 = 1 << 30;

static MANUAL: Kind =
    Kind { name: "event", magic: Kind::magic(b'E'), size: SIZE, blank_from: size_of::<Head>() };
static AUTOMATIC: Kind =
    Kind { name: "automatic event", magic: Kind::magic(b'A'), size: SIZE, blank_from: size_of::<Head>() };

/// Looks at a word that others change all the time.
const TRIES: u32 = 100;

bitflags::bitflags! {
    /// What kind of event: SHMKIT_EVENT_… of the header.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct EventFlags: u32 {
        /// Whoever passes resets it: each set lets one pass.
        const AUTO_RESET = 1;
    }
}

impl EventFlags {
    /// The caller's bits; EINVAL names those that mean nothing.
    pub fn from_raw(bits: u32) -> Result<EventFlags> {
        EventFlags::from_bits(bits).ok_or_else(|| {
            let unknown = bits & !EventFlags::all().bits();
            Error::new(Errno::EINVAL, format!("unknown event flags: {unknown:#x}"))
        })
    }
}

/// An event that lies in a region. It belongs to nobody: a death changes nothing about whether it is set, and a
/// waiter that is killed takes no wake-up with it. That the process dies which was to set it is not noticed: wait
/// until a deadline where that can be.
#[derive(Clone, Copy)]
pub struct Event<'p> {
    head: &'p Head,
    automatic: bool,
    made: bool,
}

impl Party<'_> {
    /// The event at an offset of the region, which is made where there are 32 bytes of zeros: not set. EINVAL
    /// for other bytes, an event of the other kind included.
    pub fn event(&self, offset: usize, flags: EventFlags) -> Result<Event<'_>> {
        self.event_at(self.state().at(offset), flags)
    }

    pub(crate) fn event_at(&self, at: *const u8, flags: EventFlags) -> Result<Event<'_>> {
        let automatic = flags.contains(EventFlags::AUTO_RESET);
        let kind = if automatic { &AUTOMATIC } else { &MANUAL };
        let (state, offset) = self.state().place(at, kind)?;
        let made = state.make(offset, kind, || Ok(()))?;
        Ok(Event { head: head(state, offset), automatic, made })
    }

    /// The same for calls that do not explain. EINVAL where there is no event of this party.
    #[inline(always)]
    pub(crate) fn event_known(&self, at: *const u8) -> Result<Event<'_>, Code> {
        let state = self.state();
        let offset = match state.is_inside(at, SIZE) {
            true => state.offset(at),
            false => state.offset_of(at, SIZE).ok_or(Code::from(Errno::EINVAL))?,
        };
        let (head, table) = (head(state, offset), state.table_from(offset));
        let automatic = head.is(&AUTOMATIC, table);
        match automatic || head.is(&MANUAL, table) {
            true => Ok(Event { head, automatic, made: false }),
            false => Err(Errno::EINVAL.into()),
        }
    }
}

#[inline(always)]
fn head(state: &State, offset: usize) -> &Head {
    // SAFETY: the callers' offsets are inside the region, and aligned; all fields are atomic.
    unsafe { &*state.at::<Head>(offset) }
}

impl Event<'_> {
    /// Whether [`Party::event`] made it, rather than found it.
    pub fn made(&self) -> bool {
        self.made
    }

    /// Lets those pass who wait, or the next who come. What was written before is seen by whoever passes.
    /// Setting what is set changes nothing.
    #[inline(always)]
    pub fn set(&self) {
        let word = &self.head.word;
        let seen = word.load(Relaxed);
        if seen & W != 0 || word.compare_exchange(seen, seen | SET, Release, Relaxed).is_err() {
            self.set_slow();
        } else {
            step("event.set_at_once");
        }
    }

    #[cold]
    #[inline(never)]
    fn set_slow(&self) {
        let Head { word, state, .. } = self.head;
        let pending = Pending::new();
        pending.set(word);
        step("event.pended");
        let seen = word.fetch_or(SET, Release);
        step("event.set");
        // Also where it was set already: whoever did that may have been stopped before it woke anybody.
        if seen & W != 0 && self.automatic {
            if !wake(word, 1) && word.compare_exchange(SET | W, SET, Relaxed, Relaxed).is_ok() {
                step("event.cleared");
                // Nobody slept; whoever comes from here on sees that it is set.
                wake(word, 1);
            }
        } else if seen & W != 0 {
            if seen & SET == 0 {
                state.fetch_add(1, Release);
                step("event.counted");
            }
            self.wake_all();
        }
        step("event.woke");
        pending.reset();
        step("event.unpended");
    }

    /// W goes when nobody can sleep any more, so that the death of whoever was to wake them is noticed.
    fn wake_all(&self) {
        let word = &self.head.word;
        wake(word, i32::MAX);
        step("event.woke_all");
        let _ = word.compare_exchange(SET | W, SET, Relaxed, Relaxed);
    }

    /// From now on those who come wait: whether it was set.
    pub fn reset(&self) -> bool {
        self.head.word.fetch_and(!SET, AcqRel) & SET != 0
    }

    pub fn is_set(&self) -> bool {
        self.head.word.load(Acquire) & SET != 0
    }

    /// Waits as long as need be until it is set; an automatic event is then not set any more. A manual one that
    /// was set while this waited, and reset, has let it pass, too.
    #[inline(always)]
    pub fn wait(&self) {
        if !self.try_wait() {
            self.wait_slow(Deadline::NEVER);
        }
    }

    /// Waits for it until a deadline: ETIMEDOUT. One that is over tries once.
    #[inline(always)]
    pub fn wait_until(&self, deadline: Deadline) -> Result<(), Code> {
        match self.try_wait() || self.wait_slow(deadline) {
            true => Ok(()),
            false => Err(Errno::ETIMEDOUT.into()),
        }
    }

    /// Whether it is set; an automatic event is then not set any more.
    #[inline(always)]
    pub fn try_wait(&self) -> bool {
        let word = &self.head.word;
        let mut seen = word.load(Acquire);
        if !self.automatic {
            return seen & SET != 0;
        }
        for _ in 0..TRIES {
            if seen & SET == 0 {
                break;
            }
            match word.compare_exchange(seen, seen & !SET, Acquire, Acquire) {
                Ok(_) => {
                    step("event.took_at_once");
                    return true;
                }
                Err(now) => seen = now,
            }
        }
        false
    }

    /// As [`Event::try_wait`]; where it is not set EAGAIN, and the watch's descriptor becomes readable when it is
    /// worth another try, with the same watch.
    pub fn wait_watch(&self, watch: &Watch) -> Result<(), Code> {
        let word = &self.head.word;
        let has_waited = watch.has_waited(word)?;
        let slept = if has_waited && self.automatic { W } else { 0 };
        for _ in 0..TRIES {
            let seen = word.load(Acquire);
            let next = match seen & SET != 0 {
                true if self.automatic => seen & !SET | slept,
                true => seen,
                false => seen | W,
            };
            if next != seen && word.compare_exchange(seen, next, Acquire, Relaxed).is_err() {
                continue;
            }
            if seen & SET == 0 {
                break;
            }
            if has_waited && !self.automatic && seen & W != 0 {
                self.wake_all();
            }
            return watch.done(word);
        }
        let turn = if self.automatic { Turn::One } else { Turn::All };
        watch.arm((word, Until::Set(SET), turn), Besides::NOTHING)?;
        Err(Errno::EAGAIN.into())
    }

    /// False: the deadline is over.
    #[cold]
    #[inline(never)]
    fn wait_slow(&self, deadline: Deadline) -> bool {
        let pending = Pending::new();
        let times = self.head.state.load(Acquire);
        pending.set(&self.head.word);
        step("event.waits");
        let passed = self.sleep(times, deadline);
        pending.reset();
        step("event.passed");
        passed
    }

    fn sleep(&self, times: u32, deadline: Deadline) -> bool {
        let Head { word, state, .. } = self.head;
        // Whoever has slept cannot know that nobody else does.
        let mut slept = 0;
        loop {
            let seen = word.load(Acquire);
            if self.automatic {
                if seen & SET != 0
                    && word.compare_exchange(seen, seen & !SET | slept, Acquire, Relaxed).is_ok()
                {
                    step("event.took");
                    return true;
                }
            } else if seen & SET != 0 || state.load(Acquire) != times {
                // The setter may have died before it had woken all.
                if slept != 0 && seen & W != 0 {
                    self.wake_all();
                }
                return true;
            }
            // In every round, whatever a peer does to the word.
            if wait::is_over(deadline) {
                return false;
            }
            if seen & SET != 0
                || seen & W == 0 && word.compare_exchange(seen, seen | W, Relaxed, Relaxed).is_err()
            {
                continue;
            }
            step("event.marked");
            wait::sleep(word, seen | W, deadline);
            step("event.woken");
            slept = W;
        }
    }
}

/// Wakes so many, and tells whether there was one. The word may be gone.
fn wake(word: &std::sync::atomic::AtomicU32, count: i32) -> bool {
    futex::wake(word, count).map_or(true, |woken| woken > 0)
}

impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.automatic { "automatic" } else { "manual" };
        f.debug_struct("Event").field("kind", &kind).field("set", &self.is_set()).finish()
    }
}

//! What a watch waits for.

use std::sync::atomic::{AtomicU32, Ordering};

use super::WATCHES;
use crate::deadline::Deadline;
use crate::sync::lock::{TM, W};
use crate::sync::party::State;
use crate::sync::table::Table;
use crate::sync::wait;
use crate::sys::futex::{Expected, WAITV_MAX};

/// What a watch waits for. Zeros, as which a slot begins, are valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Until {
    /// The word has another value.
    Not(u32),
    /// Nobody owns it.
    Free,
    /// This bit is set.
    Set(u32),
    /// The word is the upper half of one of 64 bits, and has another value.
    UpperNot(u32),
    /// The word is the lower half of one of 64 bits, and has another value: a count of wake-ups, each for one who
    /// waits.
    Signalled(u32),
}

/// How many a wake-up of the word wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Turn {
    All,
    One,
}

impl Until {
    /// Whether to wait on. Where W is gone a waker would not see us: to be tried again.
    pub fn lasts(self, seen: u32) -> bool {
        match self {
            Until::Not(value) | Until::UpperNot(value) | Until::Signalled(value) => seen == value,
            Until::Free => seen & W != 0 && seen & TM != 0,
            Until::Set(bit) => seen & W != 0 && seen & bit == 0,
        }
    }

    /// What the word is.
    pub fn look(self, word: &AtomicU32) -> u32 {
        match self {
            // SAFETY: who waits for that has made it by high_half().
            Until::UpperNot(_) => (unsafe { wait::whole_of_high(word) }.load(Ordering::Acquire) >> 32) as u32,
            // SAFETY: the same with low_half().
            Until::Signalled(_) => unsafe { wait::whole_of_low(word) }.load(Ordering::Acquire) as u32,
            _ => word.load(Ordering::Acquire),
        }
    }

    /// Whether it is to be tried again after a second, although nothing has changed: the owner may be a number
    /// that nobody has.
    pub fn can_be_forged(self) -> bool {
        matches!(self, Until::Free)
    }
}

/// What a slot waits for besides its word. Zeros are valid.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Besides {
    /// That somebody joins, leaves or dies in this party, if any; mapped while the slot is ARMED.
    pub table: Table,
    /// What its `changes` were.
    pub changes: u32,
    /// At the latest: to be tried again.
    pub until_ns: i64,
    pub hold: Hold,
}

/// What the user of a watch holds while that waits, and gives back when it gives up. Zeros are nothing.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Hold {
    pub word: *const AtomicU32,
    pub own: u64,
    /// Called for the word, while that is mapped.
    pub give_back: Option<unsafe fn(*const AtomicU32, u64)>,
}

impl Hold {
    pub const NOTHING: Hold = Hold { word: std::ptr::null(), own: 0, give_back: None };

    pub fn is_of(&self, word: &AtomicU32) -> bool {
        self.give_back.is_some() && std::ptr::eq(self.word, word)
    }
}

impl Besides {
    pub const NOTHING: Besides =
        Besides { table: Table::NONE, changes: 0, until_ns: i64::MAX, hold: Hold::NOTHING };

    /// That somebody of the party has joined, left or died since `seen`.
    pub fn changes(state: &State, seen: u32) -> Besides {
        Besides { table: *state.table(), changes: seen, ..Besides::NOTHING }
    }

    pub fn until(self, deadline: Deadline) -> Besides {
        Besides { until_ns: deadline.ns().unwrap_or(i64::MAX), ..self }
    }

    /// Its user holds this meanwhile, which a call with the same watch takes up by [`Watch::take_hold`].
    pub fn holding(self, hold: Hold) -> Besides {
        Besides { hold, ..self }
    }

    /// Whether to wait on.
    pub fn last(&self, now_ns: i64) -> bool {
        now_ns < self.until_ns && self.table.get().is_none_or(|table| table.changes() == self.changes)
    }
}

/// The parties whose deaths a thread waits for, each with what its `changes` were.
pub struct Parties {
    parties: [(Table, u32); WATCHES],
    count: usize,
}

impl Parties {
    pub const fn new() -> Parties {
        Parties { parties: [(Table::NONE, 0); WATCHES], count: 0 }
    }

    /// One that was not there is looked through for those who died, now and then also where the kernel does not say
    /// so.
    pub fn add(&mut self, besides: &Besides, looks: bool) {
        let Some(table) = besides.table.get() else { return };
        if !self.parties[..self.count].iter().any(|(other, _)| other.is(table)) {
            self.parties[self.count] = (*table, table.changes());
            self.count += 1;
            table.scan();
            if looks {
                table.mark_abandoned();
            }
        }
    }

    /// Behind so many words, what to wait for; false where it is more than futex_waitv takes.
    pub fn expect(&self, words: &mut [Expected; WAITV_MAX], count: &mut usize) -> bool {
        let mut push = |word: &AtomicU32, value| {
            let fits = *count < WAITV_MAX;
            if fits {
                words[*count] = Expected::new(word, value);
                *count += 1;
            }
            fits
        };
        self.parties[..self.count].iter().all(|(table, changes)| {
            let mut slots = (0..table.used()).map(|index| table.slot(index));
            push(&table.header().changes, *changes)
                && slots.all(|slot| slot.watch().is_none_or(|value| push(&slot.word, value)))
        })
    }
}

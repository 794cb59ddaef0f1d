//! Sleeping until a word changes; and until that, or somebody of the party dies: after a moment for the word
//! alone, futex_waitv on the word, on `changes`, and on every slot. The kernel wakes one who sleeps on a dead
//! slot, who tells all others by `changes`.
//!
//! Where the kernel has no futex_waitv (before Linux 5.16, and in some containers) the word is waited for in
//! short slices, and the slots are looked at in between.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::steps::{self, step};
use super::table::Table;
use crate::deadline::Deadline;
use crate::sys::futex::{self, Expected, WAITV_MAX};
use crate::sys::{clock, Errno};

/// No sleep is longer: what a dead process should have woken is found then.
pub(super) const SLICE_NS: i64 = 1_000_000_000;
/// How long the word alone is waited for, at first: most waits are over by then, and the kernel does not have to
/// look at every process for them. A death in that time is heard of at its end. Shorter than a tick of the clock
/// costs more: the kernel sets a timer of the machine for it.
const FIRST_SLICE_NS: i64 = 20_000_000;
/// Without futex_waitv.
pub(super) const SHORT_SLICE_NS: i64 = 10_000_000;

/// futex_waitv is not to be had.
static WITHOUT_WAITV: AtomicBool = AtomicBool::new(false);

/// For tests: waits as on a kernel without futex_waitv, or as it is found again.
#[doc(hidden)]
pub fn pretend_without_waitv(without: bool) {
    WITHOUT_WAITV.store(without, Ordering::Relaxed);
}

pub(super) fn has_waitv() -> bool {
    !WITHOUT_WAITV.load(Ordering::Relaxed)
}

/// It answered ENOSYS, or EPERM.
pub(super) fn note_no_waitv() {
    WITHOUT_WAITV.store(true, Ordering::Relaxed);
}

/// Why a wait has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// The word was woken, or has another value. Look again.
    Word,
    /// Somebody has joined, left or died since `seen`.
    Party,
    /// The deadline is over.
    TimedOut,
}

/// A half of a word: for the kernel, which compares it. Nobody writes through this.
pub(super) fn low_half(word: &AtomicU64) -> &AtomicU32 {
    half(word, usize::from(cfg!(target_endian = "big")))
}

pub(super) fn high_half(word: &AtomicU64) -> &AtomicU32 {
    half(word, usize::from(cfg!(target_endian = "little")))
}

/// A first look at the lower half: whatever rests on it is a compare-and-swap of the whole.
#[inline(always)]
pub(super) fn load_low(word: &AtomicU64) -> u32 {
    low_half(word).load(Ordering::Relaxed)
}

/// The word of which this is the upper half.
///
/// # Safety
/// [`high_half`] has made it.
pub(super) unsafe fn whole_of_high(half: &AtomicU32) -> &AtomicU64 {
    // SAFETY: the caller's promise.
    unsafe { whole(half, usize::from(cfg!(target_endian = "little"))) }
}

/// The same for [`low_half`].
///
/// # Safety
/// That has made it.
pub(super) unsafe fn whole_of_low(half: &AtomicU32) -> &AtomicU64 {
    // SAFETY: the caller's promise.
    unsafe { whole(half, usize::from(cfg!(target_endian = "big"))) }
}

fn half(word: &AtomicU64, index: usize) -> &AtomicU32 {
    // SAFETY: one half of it, and as long there; no access is made that could be torn from one of the whole.
    unsafe { AtomicU32::from_ptr(word.as_ptr().cast::<u32>().add(index)) }
}

/// # Safety
/// [`half`] has made it with this index.
unsafe fn whole(half: &AtomicU32, index: usize) -> &AtomicU64 {
    // SAFETY: the caller's promise.
    unsafe { AtomicU64::from_ptr(half.as_ptr().sub(index).cast()) }
}

fn slice(deadline: Deadline, slice_ns: i64) -> i64 {
    let end = clock::monotonic_ns().saturating_add(slice_ns);
    deadline.ns().map_or(end, |deadline| deadline.min(end))
}

pub(super) fn is_over(deadline: Deadline) -> bool {
    deadline.ns().is_some_and(|deadline| clock::monotonic_ns() >= deadline)
}

/// Sleeps while the word has this value, for a slice: false when that is over, and the deadline is not.
pub(super) fn sleep(word: &AtomicU32, value: u32, deadline: Deadline) -> bool {
    let until = slice(deadline, steps::slice_ns(SLICE_NS));
    futex::wait(word, value, Some(until)) != Err(Errno::ETIMEDOUT) || deadline.ns() == Some(until)
}

/// Sleeps while the word has this value and the party is as it was when `changes` was `seen`. `is_so` tells
/// whether the word has the value, where it is a part of a larger one: nothing rests on a part but the sleep.
pub(super) fn watch(
    table: &Table,
    own_slot: u32,
    (word, value): (&AtomicU32, u32),
    is_so: impl Fn() -> bool,
    seen: u32,
    deadline: Deadline,
) -> Wake {
    let changes = &table.header().changes;
    let mut first = true;
    let mut look_ns = clock::monotonic_ns() + SLICE_NS;
    loop {
        table.scan();
        if changes.load(Ordering::Acquire) != seen {
            return Wake::Party;
        }
        if !is_so() {
            return Wake::Word;
        }
        let first = std::mem::replace(&mut first, false);
        let woken = if first || WITHOUT_WAITV.load(Ordering::Relaxed) {
            let slice_ns = if first { FIRST_SLICE_NS } else { SHORT_SLICE_NS };
            futex::wait(word, value, Some(slice(deadline, slice_ns))).map(|()| 0)
        } else {
            let mut words = [Expected::NONE; WAITV_MAX];
            words[0] = Expected::new(word, value);
            words[1] = Expected::new(changes, seen);
            let mut count = 2;
            for index in (0..table.used()).filter(|&index| index != own_slot) {
                let slot = table.slot(index);
                if count == WAITV_MAX {
                    break;
                }
                if let Some(value) = slot.watch() {
                    words[count] = Expected::new(&slot.word, value);
                    count += 1;
                }
            }
            // More than it takes: the others are looked at in between.
            let slice_ns = if count == WAITV_MAX { SHORT_SLICE_NS } else { steps::slice_ns(SLICE_NS) };
            futex::wait_any(&words[..count], Some(slice(deadline, slice_ns)))
        };
        step("watch.woken");
        match woken {
            Ok(0) => return Wake::Word,
            Err(Errno::ENOSYS | Errno::EPERM) => WITHOUT_WAITV.store(true, Ordering::Relaxed),
            _ if is_over(deadline) => return Wake::TimedOut,
            Err(Errno::ETIMEDOUT) if clock::monotonic_ns() >= look_ns => {
                table.mark_abandoned();
                look_ns = clock::monotonic_ns() + SLICE_NS;
            }
            _ => {}
        }
    }
}

//! The word of a condition, 64 bits, and nothing else: who waits, and who was signalled for.
//!
//! | bits | meaning | written by | after a crash |
//! |---|---|---|---|
//! | 0…31 | sequence: how many of those who waited were signalled for | + as many as `waiting` becomes less, who signals | – |
//! | 32…55 | waiting: how many have begun to wait and nobody has signalled for, or more | +1 who waits, −1 who signals or gives up, 0 who signals to all | too many: each costs one later signal a system call for nothing |
//! | 56…63 | `C`: so that one look tells that a condition is there, and nobody waits | the first initialiser | – |
//!
//! All change in one step.
#![forbid(unsafe_code)]

use super::port::{AtomicU64, Ordering};

/// One who waits.
const WAITER: u64 = 1 << 32;
/// As many as waiting has bits; there are never so many threads.
const WAITERS: u64 = (1 << 56) - WAITER;
/// The word of a condition for which nobody has ever waited.
pub(super) const MARK: u64 = (b'C' as u64) << 56;

pub(super) fn sequence(word: u64) -> u32 {
    word as u32
}

fn waits(word: u64) -> bool {
    word & WAITERS != 0
}

/// Nobody waits.
#[inline(always)]
pub(super) fn is_idle(word: u64) -> bool {
    word >> 32 == MARK >> 32
}

/// Adds one who waits, and tells what sequence it has seen.
pub(super) fn add(word: &AtomicU64) -> u32 {
    // What dead ones have left does not run over.
    let more = |now: u64| (now & WAITERS != WAITERS).then(|| now + WAITER);
    let seen = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    sequence(seen.unwrap_or_else(|full| full))
}

/// Takes back what the one added who has seen this sequence: false where there was a signal since.
pub(super) fn withdraw(word: &AtomicU64, seen: u32) -> bool {
    let less = |now: u64| (sequence(now) == seen && waits(now)).then(|| now - WAITER);
    word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
}

/// Lets one of those who wait go, or all: whether so many who sleep on the sequence are to be woken.
pub(super) fn signal(word: &AtomicU64, all: bool) -> bool {
    let signalled = |now: u64| {
        let waiting = now & WAITERS;
        let these = if all { waiting } else { waiting.min(WAITER) };
        let sequence = sequence(now).wrapping_add((these >> 32) as u32);
        waits(now).then_some(MARK | (waiting - these) | u64::from(sequence))
    };
    word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, signalled).is_ok()
}

//! The word of a plain semaphore, 64 bits, and nothing else.
//!
//! | bits | meaning | written by |
//! |---|---|---|
//! | 0…30 | units | −1 who takes, +1 who gives |
//! | 31 | it was filled in: no later initialiser does it again | the first initialiser |
//! | 32…63 | the gate | as `semaphore` says |
//!
//! All change in one step, so nobody sleeps where there is a unit, and each call is one compare-and-swap where
//! nobody waits. The low 30 bits of the gate are always 0, and no thread has that number: the thread that waits,
//! or is about to wake, has the gate in its pending slot, and should it die the kernel wakes the next.
#![forbid(unsafe_code)]

use super::lock::W;
use super::port::{step, AtomicU64, Ordering};

pub(super) const FILLED: u64 = 1 << 31;
pub(super) const UNITS_MAX: u32 = i32::MAX as u32;
/// A gate that is closed; the bits below are not the gate's.
const CLOSED: u64 = (W as u64) << 32;
const BELOW: u64 = u32::MAX as u64;

/// What the thread that calls does with the gate.
pub(super) trait Caller {
    /// From now on the kernel wakes one who sleeps on it, should this thread die.
    fn pend(&self);
    fn unpend(&self);
    /// Whether the deadline is over.
    fn is_over(&self) -> bool;
    /// Sleeps while it is closed, until it is woken, or the deadline, or for a slice of time.
    fn sleep(&self);
    /// Wakes one, if any. The word may be gone.
    fn wake(&self);
}

pub(super) fn units_of(word: u64) -> u32 {
    word as u32 & UNITS_MAX
}

pub(super) fn gate_of(word: u64) -> u32 {
    (word >> 32) as u32
}

/// Takes a unit, and waits for one. False: the deadline is over.
pub(super) fn wait(units: &AtomicU64, caller: &impl Caller) -> bool {
    caller.pend();
    step("semaphore.waits");
    let taken = wait_pending(units, caller);
    caller.unpend();
    step("semaphore.waited");
    taken
}

fn wait_pending(units: &AtomicU64, caller: &impl Caller) -> bool {
    // Whoever has slept cannot know that nobody else does.
    let mut slept = false;
    let mut seen = units.load(Ordering::Relaxed);
    loop {
        let (next, left) = after_look(seen, slept);
        let swapped = match next == seen {
            true => Ok(seen),
            false => units.compare_exchange(seen, next, Ordering::Acquire, Ordering::Relaxed),
        };
        match (swapped, left) {
            (Ok(_), Some(left)) => {
                step("semaphore.took");
                if slept && left > 0 {
                    caller.wake();
                    step("semaphore.woke_next");
                }
                return true;
            }
            (Ok(_), None) => seen = next,
            (Err(now), _) => seen = now,
        }
        // In every round, whatever a peer does to the word.
        if caller.is_over() {
            if slept && gate_of(seen) != W {
                caller.wake();
                step("semaphore.left_it");
            }
            return false;
        }
        if swapped.is_ok() {
            step("semaphore.closed");
            caller.sleep();
            step("semaphore.woken");
            slept = true;
            seen = units.load(Ordering::Relaxed);
        }
    }
}

/// What becomes of the word by whoever wants a unit, and how many are left then; None where there is none.
pub(super) fn after_look(seen: u64, slept: bool) -> (u64, Option<u32>) {
    let left = units_of(seen).checked_sub(1);
    let next = match left {
        Some(_) if !slept => seen - 1,
        Some(0) => (seen - 1) & BELOW | CLOSED,
        Some(_) => (seen - 1) & BELOW,
        None => seen & BELOW | CLOSED,
    };
    (next, left)
}

/// Takes a unit if there is one.
pub(super) fn try_wait(units: &AtomicU64) -> bool {
    let less = |seen: u64| (units_of(seen) > 0).then(|| seen - 1);
    units.fetch_update(Ordering::Acquire, Ordering::Relaxed, less).is_ok()
}

/// Gives a unit. False where there are as many as there can be.
pub(super) fn post(units: &AtomicU64, caller: &impl Caller) -> bool {
    caller.pend();
    step("semaphore.gives");
    let more = |seen: u64| (units_of(seen) < UNITS_MAX).then(|| (seen & BELOW) + 1);
    let given = units.fetch_update(Ordering::Release, Ordering::Relaxed, more);
    step("semaphore.gave");
    if given.is_ok_and(|seen| gate_of(seen) != 0) {
        caller.wake();
        step("semaphore.woke");
    }
    caller.unpend();
    step("semaphore.given");
    given.is_ok()
}

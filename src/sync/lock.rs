//! The algorithm of the lock word, and nothing else: no system call, no memory that it was not given.
//!
//! | word | meaning | written by | after a crash |
//! |---|---|---|---|
//! | 0 | free | unlock | – |
//! | W | free, sleepers possible | unlock | the dying waker's or waiter's pending slot wakes the next (the kernel: no owner) |
//! | t, t·W | owned | lock; a waiter adds W | kernel: OD, OD·W, wakes one |
//! | OD, OD·W | free, the owner died | kernel, reclaim, a taker that gives up | pending wakes the next |
//! | t·OD (·W) | owned, not yet consistent | lock after OD | kernel: OD again |
//!
//! | state | meaning | written by | after a crash |
//! |---|---|---|---|
//! | 0 | healthy | – | – |
//! | 1 | not recoverable, for ever | the owner, before it releases | each taker passes the word on |
//!
//! t is the thread number of a keeper: the word is owned by a process, and released by the kernel when that
//! dies. Whoever sleeps, or is about to wake, has the word in its thread's pending slot.
#![forbid(unsafe_code)]

use super::port::{spin_loop, step, AtomicU32, Ordering, LOOKS, PAUSES, TRIES};
use Ordering::{Acquire, Relaxed, Release};

/// Sleepers possible.
pub(super) const W: u32 = 1 << 31;
/// The owner died.
pub(super) const OD: u32 = 1 << 30;
/// The owner's thread number.
pub(super) const TM: u32 = OD - 1;

const NOT_RECOVERABLE: u32 = 1;

/// The two words of a lock.
#[derive(Clone, Copy)]
pub(super) struct Words<'a> {
    pub word: &'a AtomicU32,
    pub state: &'a AtomicU32,
}

/// What the thread that calls can do besides.
pub(super) trait Caller {
    /// From now on the kernel wakes one who sleeps on the word, should this thread die.
    fn pend(&self, word: &AtomicU32);
    fn unpend(&self);
    /// Whether the deadline is over.
    fn is_over(&self) -> bool;
    /// Sleeps while the word has this value, until it is woken, or the deadline, or for a slice of time.
    fn sleep(&self, word: &AtomicU32, value: u32) -> Slept;
    /// Wakes one, and tells whether there was one. The word may be gone.
    fn wake(&self, word: &AtomicU32) -> bool;
    /// Whether no process of the party has this owner's number.
    fn is_stranger(&self, owner: u32) -> bool;
    /// Waits until all who are marked dead have stopped to write; false where the deadline is over before.
    fn settle(&self) -> bool;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slept {
    /// Woken, or the value was another, or the deadline is over.
    Woken,
    /// The slice is over.
    Slice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Clean,
    OwnerDied,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The deadline is over; for a try: somebody has it.
    Busy,
    NotRecoverable,
    NotOwner,
    /// It is not the case that its last owner died.
    Consistent,
}

/// The whole of it where nobody else is about. False: nothing has happened, or the lock is ours and somebody
/// has to look at it ([`lock`] after [`after_all`] does).
#[inline(always)]
pub(super) fn try_fast(words: Words<'_>, own: u32) -> bool {
    let taken = words.word.compare_exchange(0, own, Acquire, Relaxed).is_ok();
    step("lock.at_once");
    taken
}

#[inline(always)]
pub(super) fn unlock_fast(words: Words<'_>, own: u32) -> bool {
    let freed = words.word.compare_exchange(own, 0, Release, Relaxed).is_ok();
    step("unlock.at_once");
    freed
}

#[inline(always)]
pub(super) fn is_recoverable(words: Words<'_>) -> bool {
    words.state.load(Relaxed) == 0
}

/// Takes the lock if nobody has it.
pub(super) fn try_lock(words: Words<'_>, own: u32, caller: &impl Caller) -> Result<Taken, Refused> {
    let mut seen = words.word.load(Relaxed);
    // A bit that comes or goes is an owner that was there, or a peer's harm, which has an end here.
    for _ in 0..TRIES {
        if seen & TM != 0 {
            break;
        }
        match words.word.compare_exchange(seen, own | seen & (W | OD), Acquire, Relaxed) {
            Ok(_) => {
                step("try.took");
                return taken(words, own, seen, caller);
            }
            Err(now) => seen = now,
        }
    }
    Err(Refused::Busy)
}

/// Takes the lock if nobody has it. None: somebody has, and its release will wake a sleeper. `has_slept`: a
/// wake-up may have been meant for the caller.
pub(super) fn lock_or_mark(
    words: Words<'_>,
    own: u32,
    has_slept: bool,
    caller: &impl Caller,
) -> Option<Result<Taken, Refused>> {
    let word = words.word;
    // As in wait_for().
    let slept = if has_slept { W } else { 0 };
    let mut seen = word.load(Relaxed);
    for _ in 0..TRIES {
        let is_free = seen & TM == 0;
        let next = match seen {
            _ if is_free => own | seen & (W | OD) | slept,
            _ if has_slept && caller.is_stranger(seen & TM) => OD | W,
            _ if seen & W == 0 => seen | W,
            _ => break,
        };
        match word.compare_exchange(seen, next, Acquire, Relaxed) {
            Ok(_) if is_free => return Some(taken(words, own, seen, caller)),
            Ok(_) => seen = next,
            Err(now) => seen = now,
        }
    }
    None
}

pub(super) fn lock(words: Words<'_>, own: u32, caller: &impl Caller) -> Result<Taken, Refused> {
    for _ in 0..LOOKS {
        let seen = words.word.load(Relaxed);
        if seen & TM == 0 {
            let taking = own | seen & (W | OD);
            if words.word.compare_exchange(seen, taking, Acquire, Relaxed).is_ok() {
                step("lock.took");
                return taken(words, own, seen, caller);
            }
        }
        (0..PAUSES).for_each(|_| spin_loop());
    }
    caller.pend(words.word);
    step("wait.pended");
    let got = wait_for(words.word, own, caller);
    caller.unpend();
    step("wait.unpended");
    match got {
        Some(seen) => taken(words, own, seen, caller),
        None => Err(Refused::Busy),
    }
}

/// What was there when it became ours; None when the deadline is over.
fn wait_for(word: &AtomicU32, own: u32, caller: &impl Caller) -> Option<u32> {
    // Whoever has slept cannot know that nobody else does.
    let mut slept = 0;
    let mut seen = word.load(Relaxed);
    loop {
        if seen & TM == 0 {
            match word.compare_exchange(seen, own | seen & (W | OD) | slept, Acquire, Relaxed) {
                Ok(_) => {
                    step("wait.took");
                    return Some(seen);
                }
                Err(now) => seen = now,
            }
        }
        // In every round, whatever a peer does to the word.
        if caller.is_over() {
            return None;
        }
        if seen & TM == 0 {
            continue;
        }
        if seen & W == 0 {
            if let Err(now) = word.compare_exchange(seen, seen | W, Relaxed, Relaxed) {
                seen = now;
                continue;
            }
            seen |= W;
        }
        step("wait.marked");
        let end = caller.sleep(word, seen);
        step("wait.woken");
        slept = W;
        if end == Slept::Slice && caller.is_stranger(seen & TM) {
            // Not the kernel's to release: a number that nobody has.
            let _ = word.compare_exchange(seen, OD | W, Relaxed, Relaxed);
            step("wait.reclaimed");
        }
        seen = word.load(Relaxed);
    }
}

/// The word is ours; before, it was `seen`.
pub(super) fn taken(words: Words<'_>, own: u32, seen: u32, caller: &impl Caller) -> Result<Taken, Refused> {
    if !is_recoverable(words) {
        release(words.word, own, caller, 0);
        return Err(Refused::NotRecoverable);
    }
    if seen & OD == 0 {
        return Ok(Taken::Clean);
    }
    if !caller.settle() {
        release(words.word, own, caller, OD);
        return Err(Refused::Busy);
    }
    step("lock.settled");
    Ok(Taken::OwnerDied)
}

pub(super) fn unlock(words: Words<'_>, own: u32, caller: &impl Caller) -> Result<(), Refused> {
    let seen = words.word.load(Relaxed);
    if own == 0 || seen & TM != own {
        return Err(Refused::NotOwner);
    }
    if seen & OD != 0 {
        words.state.store(NOT_RECOVERABLE, Relaxed);
        step("unlock.spoiled");
    }
    release(words.word, own, caller, 0);
    Ok(())
}

/// Undoes the taking: the next one finds it as it was.
pub(super) fn give_up(words: Words<'_>, own: u32, caller: &impl Caller, taken: Taken) {
    release(words.word, own, caller, if taken == Taken::OwnerDied { OD } else { 0 });
}

/// Lets the next one have it: `mark` is OD for one who gives it up as it was.
fn release(word: &AtomicU32, own: u32, caller: &impl Caller, mark: u32) {
    caller.pend(word);
    step("release.pended");
    let mut seen = word.load(Relaxed);
    // A peer that writes to the word has taken it from us; then it is not ours to release.
    while seen & TM == own {
        match word.compare_exchange(seen, seen & W | mark, Release, Relaxed) {
            Ok(_) => {
                step("release.freed");
                let free = W | mark;
                if seen & W != 0 && !caller.wake(word) {
                    step("release.woke_none");
                    // Nobody sleeps; whoever comes from here on sees that it is free.
                    if word.compare_exchange(free, mark, Relaxed, Relaxed).is_ok() {
                        step("release.cleared");
                        caller.wake(word);
                    }
                }
                break;
            }
            Err(now) => seen = now,
        }
    }
    step("release.woke");
    caller.unpend();
    step("release.unpended");
}

/// The owner has repaired what the lock guards.
pub(super) fn consistent(words: Words<'_>, own: u32) -> Result<(), Refused> {
    let mut seen = words.word.load(Relaxed);
    loop {
        if own == 0 || seen & TM != own {
            return Err(Refused::NotOwner);
        }
        if seen & OD == 0 {
            return Err(Refused::Consistent);
        }
        match words.word.compare_exchange(seen, seen & !OD, Relaxed, Relaxed) {
            Ok(_) => {
                step("consistent.cleared");
                return Ok(());
            }
            Err(now) => seen = now,
        }
    }
}

//! A member of a barrier, over its cell and the word of `round`, and nothing else.
//!
//! | cell | meaning | written by | after a crash |
//! |---|---|---|---|
//! | 0 | no member | who takes the slot; who leaves; who has told of the death | – |
//! | MARK, breaks, claim | a member that has heard of so many breaks | its process | the next who comes tells |
//! | MARK, TELLS, breaks, claim | it died, and breaks the round that has so many breaks | who tells | whoever tells goes on with it |
//!
//! To tell of a death is to break a round: all who wait in it are told, and whoever arrives later and finds more
//! breaks than it has heard of is told then, instead of waiting. The number of breaks in the dead one's cell makes
//! it one break, however many tell, and whoever of them dies: when the word has another number it is done. The
//! claim tells a cell from that of the slot's next owner. Who takes a dead slot tells first.
#![forbid(unsafe_code)]

use super::port::{step, AtomicU32, AtomicU64, Ordering, TRIES};
use super::round::{Round, BREAKS_MASK};
use super::table::MARK;

/// In a cell.
const TELLS: u32 = 1 << 30;
const BREAKS_SHIFT: u32 = 16;
pub(super) const CLAIM_MASK: u32 = (1 << BREAKS_SHIFT) - 1;

/// A barrier as its bytes say, which were read once, and this process's place in it.
pub(super) struct Member<'p> {
    pub round: &'p AtomicU64,
    pub count: u32,
    /// Its number.
    pub cell: u32,
    pub own: &'p AtomicU32,
    pub claim: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// There were breaks of which this one had not heard.
    PeerDied,
    /// The word did not hold still, and the deadline is over.
    Late,
}

impl Member<'_> {
    /// One more has come, in this round; None for the last one, who has ended it. `wake_all` wakes those who sleep on
    /// the word's upper half.
    pub(super) fn arrive(
        &self,
        is_over: impl Fn() -> bool,
        wake_all: impl Fn(&AtomicU64),
    ) -> Result<Option<Round>, Refused> {
        let mut tries = 0;
        loop {
            let (seen, news) = self.look();
            if news {
                return Err(Refused::PeerDied);
            }
            let is_last = seen.arrived() + 1 >= self.count;
            let next = if is_last { seen.end(false) } else { seen.arrive() };
            if self.round.compare_exchange(seen.0, next.0, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                if !is_last {
                    step("barrier.arrived");
                    return Ok(Some(seen));
                }
                step("barrier.ended");
                if seen.arrived() > 0 {
                    wake_all(self.round);
                    step("barrier.woke_all");
                }
                return Ok(None);
            }
            tries += 1;
            if tries > TRIES && is_over() {
                return Err(Refused::Late);
            }
        }
    }

    /// The word, and whether there were breaks of which this process had not heard; now it has.
    pub(super) fn look(&self) -> (Round, bool) {
        for _ in 0..TRIES {
            // The cell first: what another thread hears meanwhile is no news then.
            let heard = self.own.load(Ordering::Acquire);
            let now = Round(self.round.load(Ordering::Acquire));
            if heard >> BREAKS_SHIFT & BREAKS_MASK == now.breaks() {
                return (now, false);
            }
            if self.hear(heard, now) {
                return (now, true);
            }
        }
        // A peer writes there.
        (Round(self.round.load(Ordering::Acquire)), true)
    }

    /// From now on a member, if it was none.
    pub(super) fn begin(&self) {
        let before = self.own.load(Ordering::Acquire);
        if before & MARK == 0 {
            self.hear(before, Round(self.round.load(Ordering::Acquire)));
        }
    }

    fn hear(&self, heard: u32, now: Round) -> bool {
        let hears = MARK | now.breaks() << BREAKS_SHIFT | self.claim;
        let heard = self.own.compare_exchange(heard, hears, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        step("barrier.heard");
        heard
    }
}

/// Breaks a round because of a member that died, whose cell this is. False where the word did not hold still.
pub(super) fn tell(round: &AtomicU64, cell: &AtomicU32, wake_all: impl Fn(&AtomicU64)) -> bool {
    let swap = |from, to| cell.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok();
    for _ in 0..TRIES {
        let seen = Round(round.load(Ordering::Acquire));
        let member = cell.load(Ordering::Acquire);
        if member & MARK == 0 {
            return true;
        }
        if member & TELLS == 0 {
            swap(member, MARK | TELLS | seen.breaks() << BREAKS_SHIFT | member & CLAIM_MASK);
            step("barrier.tells");
        } else if member >> BREAKS_SHIFT & BREAKS_MASK != seen.breaks() {
            // Done. Whoever has taken the slot meanwhile has another claim.
            swap(member, 0);
            step("barrier.told");
            return true;
        } else {
            let next = seen.end(true).0;
            if round.compare_exchange(seen.0, next, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                step("barrier.broke");
                wake_all(round);
                step("barrier.woke_the_broken");
            }
        }
    }
    false
}

/// One who gives up has not arrived; unless the round has ended meanwhile: whether it was broken.
pub(super) fn take_back(round: &AtomicU64, arrived: Round) -> Option<bool> {
    for _ in 0..TRIES {
        let seen = Round(round.load(Ordering::Acquire));
        if let Some(broken) = seen.was_broken(arrived) {
            return Some(broken);
        }
        let next = seen.take_back()?;
        if round.compare_exchange(seen.0, next.0, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            step("barrier.took_back");
            break;
        }
    }
    None
}

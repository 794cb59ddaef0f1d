//! The word of a barrier, 64 bits, and nothing else: which round it is, how many have arrived, and how the last
//! rounds ended. One compare-and-swap changes all of it.
//!
//! | bits | what |
//! |---|---|
//! | 0…19 | how many of this round have arrived, and wait |
//! | 20…31 | breaks: how many rounds were broken by a death |
//! | 32…39 | how the last eight rounds ended, the last one in bit 32: 1 broken |
//! | 40…63 | the round |
//!
//! The upper half changes when a round ends, and at no other time: it is what the waiters sleep on. Numbers start
//! again from 0 after the highest.
#![forbid(unsafe_code)]

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Round(pub u64);

/// As many can be waited for.
pub(super) const COUNT_MAX: u32 = (1 << 20) - 1;

const BREAKS_SHIFT: u32 = 20;
pub(super) const BREAKS_MASK: u32 = (1 << 12) - 1;
const ENDS_MASK: u32 = (1 << ENDS) - 1;
const ENDS: u32 = 8;

impl Round {
    pub(super) fn arrived(self) -> u32 {
        self.0 as u32 & COUNT_MAX
    }

    pub(super) fn breaks(self) -> u32 {
        self.0 as u32 >> BREAKS_SHIFT
    }

    /// The upper half.
    pub(super) fn stamp(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// One more has arrived. Not the last.
    pub(super) fn arrive(self) -> Round {
        Round(self.0 + 1)
    }

    /// One of those who have arrived has not; None where nobody has.
    pub(super) fn take_back(self) -> Option<Round> {
        (self.arrived() > 0).then(|| Round(self.0 - 1))
    }

    /// The next round.
    pub(super) fn end(self, broken: bool) -> Round {
        let (number, ends) = (self.stamp() >> ENDS, self.stamp() & ENDS_MASK);
        let stamp = number.wrapping_add(1) << ENDS | (ends << 1 | u32::from(broken)) & ENDS_MASK;
        let breaks = self.breaks().wrapping_add(u32::from(broken)) & BREAKS_MASK;
        Round(u64::from(stamp) << 32 | u64::from(breaks << BREAKS_SHIFT))
    }

    /// Whether the round that this was then is broken; None while it lasts. One that is more than eight rounds ago
    /// counts as broken if any was since.
    pub(super) fn was_broken(self, then: Round) -> Option<bool> {
        if self.stamp() == then.stamp() {
            return None;
        }
        let ago = (self.stamp() >> ENDS).wrapping_sub(then.stamp() >> ENDS) & (u32::MAX >> ENDS);
        Some(match ago {
            1..=ENDS => self.stamp() >> (ago - 1) & 1 != 0,
            _ => self.breaks() != then.breaks(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_known_for_eight_more() {
        // The highest of all.
        for first in [Round(0), Round(u64::MAX << 20)] {
            for broken in [false, true] {
                assert_eq!(first.was_broken(first), None);
                assert_eq!(first.arrive().was_broken(first), None);
                let mut now = first.arrive().arrive().end(broken);
                for _ in 0..8 {
                    assert_eq!(now.arrived(), 0);
                    assert_eq!(now.was_broken(first), Some(broken));
                    now = now.end(!broken);
                }
                assert_eq!(now.was_broken(first), Some(true));
                let breaks = first.breaks() + if broken { 1 } else { 8 };
                assert_eq!(now.breaks(), breaks & BREAKS_MASK);
            }
        }
        let later = (0..20).fold(Round(0), |now, _| now.end(false));
        assert_eq!(later.was_broken(Round(0)), Some(false));
        assert_eq!(Round(0).take_back(), None);
        assert_eq!(Round(0).arrive().take_back(), Some(Round(0)));
    }
}

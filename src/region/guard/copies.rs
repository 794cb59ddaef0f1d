//! How many of the open sections are checked copies, which a child that is made meanwhile does not have: it
//! has only the thread that forked.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};

/// The number of forks that lie between the first process and this one, and the count in it. Counted after a
/// section has begun, and before it ends: what a child finds is never too much for the sections that it has.
/// (A fork right between the two leaves a section open in the child, which it cannot close.)
pub(super) struct Copies(AtomicU64);

const COUNT: u64 = u32::MAX as u64;

impl Copies {
    pub(super) const fn new() -> Copies {
        Copies(AtomicU64::new(0))
    }

    /// How many were left by the parent's other threads; asked once in a child.
    pub(super) fn left(&self, generation: u32) -> u32 {
        self.change(generation, 0).unwrap_or(0)
    }

    pub(super) fn enter(&self, generation: u32) -> u32 {
        self.change(generation, 1).unwrap_or(0)
    }

    /// Whether the copy counts still, and its section is to be ended.
    pub(super) fn leave(&self, generation: u32) -> bool {
        let one_less =
            |word: u64| (word >> 32 == u64::from(generation) && word & COUNT > 0).then(|| word - 1);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less).is_ok()
    }

    /// Adds to this generation's; gives the count of an older one, which ends here.
    fn change(&self, generation: u32, more: u64) -> Option<u32> {
        let own = |word: u64| word >> 32 == u64::from(generation);
        let changed =
            |word: u64| Some(if own(word) { word + more } else { u64::from(generation) << 32 | more });
        let before = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, changed).ok()?;
        (!own(before)).then_some((before & COUNT) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_told_once_what_it_has_not_got() {
        let copies = Copies::new();
        assert_eq!((copies.enter(0), copies.enter(0)), (0, 0));
        assert!(copies.leave(0));
        // Forked with one under way.
        assert_eq!(copies.enter(1), 1);
        assert_eq!(copies.left(1), 0);
        assert!(copies.leave(1));
        assert!(!copies.leave(1), "one that began in the parent");
        assert_eq!(copies.enter(1), 0);
        assert_eq!(copies.left(2), 1);
        assert_eq!(copies.left(2), 0);
    }
}

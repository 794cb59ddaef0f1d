//! The count of a region's open sections, and what became of its pages meanwhile, in one word: whoever
//! ends a section learns both at once.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Code;
use crate::sys::Errno;

/// How many sections are open, the program's and the library's.
const OPEN: u64 = (1 << 30) - 1;
/// The last open section is about to end, and its thread puts the file back.
const RESTORING: u64 = 1 << 30;
/// Some page may have been replaced by zeros.
const GONE: u64 = 1 << 31;
/// Counts from 1 how often all pages were put back; a page is zeros if it bears this number.
const EPOCH: u32 = 32;

/// Whose sections: two counts of 15 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// What the program has begun: in a child that is made meanwhile it is open too.
    User = 1,
    /// A checked copy, or the handler at work: a child has not got the thread that ends it.
    Library = 1 << 15,
}

const MANY: u64 = (1 << 15) - 1;
/// More than anybody opens; the handler's own come on top.
const MOST: u64 = MANY / 2;

/// | from | to | who, and when |
/// |---|---|---|
/// | open n | open n + 1 | anybody: a section begins; the handler, if n > 0: holds the region |
/// | clean | gone | the handler that holds the region, before it puts zeros over a page |
/// | open n > 1 | open n - 1, not restoring | a section ends, the handler lets go |
/// | open 1, clean | open 0, clean | the same |
/// | open 1, gone | the same, restoring | the same, before it puts the file back |
/// | open 1, gone, restoring | open 0, clean, next epoch | the same thread, all pages being put back |
/// | open 1, gone, restoring | open 0, gone | the same thread, where the kernel refused: the next end tries again |
///
/// Restoring shows the thread that set it whether it stayed alone: whoever comes meanwhile is counted, and
/// takes the flag away when leaving. Then the word is another one, the step to "clean" fails, and the last
/// of them restores again. So clean means that no page is zeros:
/// - zeros are put over a page only by a handler that holds the region, after the word says "gone";
/// - when the word becomes clean, no such handler was there since before the pages were put back.
///
/// A child has only the thread that forked. The library's own sections of the others are ended in it; what the
/// program has begun in them stays open, and so do its zeros.
#[derive(Debug)]
pub(super) struct Sections(AtomicU64);

impl Default for Sections {
    fn default() -> Sections {
        Sections::new()
    }
}

impl Sections {
    pub(super) const fn new() -> Sections {
        Sections(AtomicU64::new(1 << EPOCH))
    }

    pub(super) fn are_open(&self) -> bool {
        self.0.load(Ordering::Acquire) & OPEN != 0
    }

    /// The number on the pages that are zeros now; None where there can be none.
    pub(super) fn gone(&self) -> Option<u32> {
        let word = self.0.load(Ordering::Acquire);
        (word & GONE != 0).then_some((word >> EPOCH) as u32)
    }

    pub(super) fn begin(&self, whose: Whose) -> Result<(), Code> {
        let one = whose as u64;
        if (self.0.fetch_add(one, Ordering::AcqRel) / one) & MANY >= MOST {
            self.0.fetch_sub(one, Ordering::AcqRel);
            return Err(Errno::EOVERFLOW.into());
        }
        Ok(())
    }

    /// Ends a section; the last puts pages back, if there are any to put back. Tells whether some page was
    /// gone. `restore`: puts back the pages that bear this number; false where it could not.
    pub(super) fn end(&self, whose: Whose, restore: impl Fn(u32) -> bool) -> Result<bool, Code> {
        let one = whose as u64;
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let (open, gone) = (word & OPEN, word & GONE != 0);
            if (word / one) & MANY == 0 || (open == one && word & RESTORING != 0) {
                return Err(Errno::EINVAL.into());
            }
            let step = if open == one && gone {
                self.exchange(word, word | RESTORING).and_then(|()| {
                    let epoch = (word >> EPOCH) as u32;
                    let after = if restore(epoch) { after(epoch) } else { word - one };
                    self.exchange(word | RESTORING, after)
                })
            } else {
                self.exchange(word, (word - one) & !RESTORING)
            };
            match step {
                Ok(()) => return Ok(gone),
                Err(now) => word = now,
            }
        }
    }

    fn exchange(&self, from: u64, to: u64) -> Result<(), u64> {
        self.0.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).map(drop)
    }

    /// Keeps the open sections from ending before [`Sections::end`], where there are any.
    pub(super) fn hold(&self) -> bool {
        let another = |word| (word & OPEN != 0).then_some(word + Whose::Library as u64);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Relaxed, another).is_ok()
    }

    /// Says that a page goes, and gives the number for it. Only after [`Sections::hold`].
    pub(super) fn lose(&self) -> u32 {
        (self.0.fetch_or(GONE, Ordering::AcqRel) >> EPOCH) as u32
    }

    /// In a child, before any of its threads has one of the library's open: ends those of the parent's threads,
    /// which it has not got. Nor has it one that restores.
    pub(super) fn end_others(&self, restore: impl Fn(u32) -> bool) {
        let word = self.0.fetch_and(!RESTORING, Ordering::AcqRel);
        for _ in 0..(word / Whose::Library as u64) & MANY {
            let _ = self.end(Whose::Library, &restore);
        }
    }

    /// As new, when nobody uses it any more.
    pub(super) fn reset(&self) {
        self.0.store(1 << EPOCH, Ordering::Release);
    }
}

/// No section, no page gone, and the next number. Pages that were never gone bear 0.
fn after(epoch: u32) -> u64 {
    u64::from(epoch.checked_add(1).unwrap_or(1)) << EPOCH
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    const EINVAL: Result<bool, Errno> = Err(Errno::EINVAL);

    fn end(sections: &Sections, restore: impl Fn(u32) -> bool) -> Result<bool, Errno> {
        sections.end(Whose::User, restore).map_err(|code| Errno::from_raw(code.errno().unwrap()))
    }

    fn never(_: u32) -> bool {
        panic!("nothing is to be put back")
    }

    #[test]
    fn each_begin_has_one_end() {
        let sections = Sections::new();
        assert_eq!(end(&sections, never), EINVAL);
        sections.begin(Whose::User).unwrap();
        sections.begin(Whose::User).unwrap();
        assert_eq!(end(&sections, never), Ok(false));
        assert!(sections.are_open());
        assert_eq!(end(&sections, never), Ok(false));
        assert!(!sections.are_open());
        assert_eq!(end(&sections, never), EINVAL);
        assert!(!sections.hold());
    }

    #[test]
    fn the_last_end_restores_and_every_end_tells() {
        let sections = Sections::new();
        sections.begin(Whose::User).unwrap();
        sections.begin(Whose::User).unwrap();
        assert!(sections.hold());
        assert_eq!(sections.lose(), 1);
        let let_go = sections.end(Whose::Library, never).map_err(|code| code.errno());
        assert_eq!(let_go, Ok(true), "the handler lets go");
        assert_eq!(end(&sections, never), Ok(true));
        assert_eq!(sections.gone(), Some(1));
        assert_eq!(end(&sections, |epoch| epoch == 1), Ok(true));
        assert_eq!(sections.gone(), None);
        sections.begin(Whose::User).unwrap();
        assert_eq!(end(&sections, never), Ok(false));
    }

    #[test]
    fn what_cannot_be_restored_stays_told() {
        let sections = Sections::new();
        sections.begin(Whose::User).unwrap();
        sections.lose();
        assert_eq!(end(&sections, |_| false), Ok(true));
        sections.begin(Whose::User).unwrap();
        assert_eq!(sections.gone(), Some(1));
        assert_eq!(end(&sections, |epoch| epoch == 1), Ok(true));
        assert_eq!(sections.gone(), None);
    }

    /// Whoever comes while the pages are put back is told, and the pages are put back again.
    #[test]
    fn a_section_that_comes_while_restoring_is_told() {
        let sections = Sections::new();
        let times = Cell::new(0);
        sections.begin(Whose::User).unwrap();
        sections.lose();
        let told = end(&sections, |epoch| {
            assert_eq!(epoch, 1);
            times.set(times.get() + 1);
            if times.get() == 1 {
                assert_eq!(end(&sections, never), EINVAL, "one end too many");
                sections.begin(Whose::User).unwrap();
                assert_eq!(end(&sections, never), Ok(true));
            }
            true
        });
        assert_eq!((told, times.get()), (Ok(true), 2));
        assert_eq!(sections.gone(), None);

        sections.begin(Whose::User).unwrap();
        sections.lose();
        let told = end(&sections, |_| sections.begin(Whose::User).is_ok());
        assert_eq!(told, Ok(true));
        assert_eq!(sections.gone(), Some(2), "the new one's to put back");
        assert_eq!(end(&sections, |epoch| epoch == 2), Ok(true));
        assert!(!sections.are_open());
        assert_eq!(sections.gone(), None);
    }

    #[test]
    fn a_child_ends_what_others_had_begun_for_the_library() {
        let sections = Sections::new();
        for whose in [Whose::Library, Whose::User, Whose::Library] {
            sections.begin(whose).unwrap();
        }
        sections.lose();
        sections.end_others(never);
        assert_eq!((sections.are_open(), sections.gone()), (true, Some(1)), "the program's own");
        assert_eq!(end(&sections, |epoch| epoch == 1), Ok(true));
        sections.begin(Whose::Library).unwrap();
        sections.lose();
        sections.end_others(|epoch| epoch == 2);
        assert_eq!((sections.are_open(), sections.gone()), (false, None));
        assert!(sections.end(Whose::Library, never).is_err());
    }
}

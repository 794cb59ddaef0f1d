//! Which pages of a region are zeros in the place of what is gone: without an allocation, for the SIGBUS
//! handler, and in few pieces, because the kernel has a limit for mappings (vm.max_map_count).
//!
//! A few pages are kept apart. When there are more, all that lies behind the end of the file is one piece,
//! because files are truncated there; and of pages that are missing within, where a file system is full, all
//! behind one of them is given up too.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};

/// How many single pages are kept apart.
const SINGLES: usize = 64;

/// A page, and the epoch in which it became zeros: 40 bits and 24. An entry of another epoch is no entry. One
/// that is as old as all epochs that the bits hold is taken for new, and tells too much, never too little.
struct Entry(AtomicU64);

const PAGE_BITS: u32 = 40;

fn pack(epoch: u32, page: usize) -> u64 {
    u64::from(epoch) << PAGE_BITS | page as u64
}

impl Entry {
    const fn none() -> Entry {
        Entry(AtomicU64::new(0))
    }

    fn page(&self, epoch: u32) -> Option<usize> {
        let word = self.0.load(Ordering::Acquire);
        (word >> PAGE_BITS == pack(epoch, 0) >> PAGE_BITS).then_some((word & ((1 << PAGE_BITS) - 1)) as usize)
    }

    /// Makes the entry this epoch's, where it is another's or `better` than what it has; gives what it has then.
    fn put(&self, epoch: u32, page: usize, better: impl Fn(usize) -> bool) -> usize {
        loop {
            let old = self.0.load(Ordering::Acquire);
            match self.page(epoch) {
                Some(has) if !better(has) => return has,
                _ => {}
            }
            let new = pack(epoch, page);
            if self.0.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                return page;
            }
        }
    }
}

pub(super) struct Gone {
    /// In pages; a mirrored region has two.
    pub period: usize,
    /// From here to the period's end, in each of the two.
    tails: [Entry; 2],
    singles: [Entry; SINGLES],
}

impl Gone {
    pub(super) fn none(period: usize) -> Gone {
        Gone { period, tails: [const { Entry::none() }; 2], singles: [const { Entry::none() }; SINGLES] }
    }

    /// A page is gone. Gives the pages to replace, the first and how many: more than the one where there are
    /// many. `end_of_file`: so many pages of the period have a file behind them.
    pub(super) fn add(
        &self,
        epoch: u32,
        page: usize,
        end_of_file: impl FnOnce() -> Option<usize>,
    ) -> (usize, usize) {
        if self.singles.iter().any(|single| single.put(epoch, page, |_| false) == page) {
            return (page, 1);
        }
        let own = page % self.period;
        self.add_tail(epoch, page, end_of_file().map_or(own, |end| end.min(own)))
    }

    /// All is gone from page `end` of the period on, in the period that `page` lies in.
    fn add_tail(&self, epoch: u32, page: usize, end: usize) -> (usize, usize) {
        let period = page / self.period;
        let from =
            self.tails[period].put(epoch, period * self.period + end, |has| period * self.period + end < has);
        (from, (period + 1) * self.period - from)
    }

    /// Whether one of the pages from `first` up to `end` is among them.
    pub(super) fn touches(&self, epoch: u32, first: usize, end: usize) -> bool {
        self.pieces(epoch).any(|(page, count)| page < end && first < page + count)
    }

    /// The first of each piece, and how many.
    pub(super) fn pieces(&self, epoch: u32) -> impl Iterator<Item = (usize, usize)> + '_ {
        let tail = move |(period, tail): (usize, &Entry)| {
            tail.page(epoch).map(|from| (from, (period + 1) * self.period - from))
        };
        let single = move |single: &Entry| single.page(epoch).map(|page| (page, 1));
        self.tails.iter().enumerate().filter_map(tail).chain(self.singles.iter().filter_map(single))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_s_pages_are_its_own() {
        let gone = Gone::none(100);
        assert_eq!(gone.add(1, 7, || None), (7, 1));
        assert_eq!(gone.add(1, 7, || None), (7, 1));
        assert_eq!(gone.add(1, 9, || None), (9, 1));
        assert!(gone.touches(1, 7, 8) && gone.touches(1, 0, 100) && gone.touches(1, 9, 200));
        assert!(!gone.touches(1, 8, 9) && !gone.touches(1, 10, 200) && !gone.touches(2, 0, 200));
        assert_eq!(gone.pieces(1).collect::<Vec<_>>(), [(7, 1), (9, 1)]);
        assert_eq!(gone.add(2, 8, || None), (8, 1));
        assert_eq!(gone.pieces(2).collect::<Vec<_>>(), [(8, 1)]);
    }

    #[test]
    fn a_tail_is_one_piece_in_its_half() {
        let gone = Gone::none(100);
        assert_eq!(gone.add_tail(5, 60, 50), (50, 50));
        assert_eq!(gone.add_tail(5, 99, 70), (50, 50), "never shorter");
        assert_eq!(gone.add_tail(5, 20, 10), (10, 90));
        assert_eq!(gone.add_tail(5, 199, 98), (198, 2));
        assert!(gone.touches(5, 10, 11) && gone.touches(5, 198, 199) && !gone.touches(5, 100, 198));
        assert_eq!(gone.pieces(5).collect::<Vec<_>>(), [(10, 90), (198, 2)]);
    }

    #[test]
    fn of_many_single_pages_few_pieces_are_made() {
        let gone = Gone::none(1 << 30);
        for page in (0..10_000).map(|number| (number * 7919) % (1 << 20)) {
            let (first, count) = gone.add(3, page, || None);
            assert!((first..first + count).contains(&page));
            assert!(gone.touches(3, page, page + 1));
        }
        assert!(gone.pieces(3).count() <= SINGLES + 1);
        let pages = (0..SINGLES).map(|page| (page, 1)).chain([(500, 500), (500, 500)]);
        let gone = Gone::none(1000);
        let added = (0..SINGLES).chain([900, 700]).map(|page| gone.add(4, page, || Some(500)));
        assert!(added.eq(pages));
    }
}

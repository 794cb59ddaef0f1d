//! Which pages of a region are in memory.
//!
//! mincore(2) tells it page by page, whoever touched them, but of a file that the caller could not write to it
//! says that all are. There the page tables of this process are asked (/proc/self/pagemap), which know what
//! it has touched itself. cachestat(2) knows the same as mincore, but counts, and takes a descriptor, which
//! System V segments lack.
#![forbid(unsafe_code)]

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::error::{Code, Error, Result};
use crate::region::{Kind, Region};
use crate::sys::{self, mmap, residency, Errno};

/// A range of pages that are all in memory, or all not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub offset_bytes: u64,
    pub length_bytes: u64,
    pub resident: bool,
}

/// Whose view of the pages it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The object's: whoever touched them.
    Object,
    /// This process's: it may not write to the file, so the kernel tells only what it has touched itself.
    OwnTouch,
    /// This process's: of pages from a pool, the kernel tells only what it has touched itself.
    OwnTouchHuge,
}

/// Which pages of a range are in memory. The runs have no gaps, and take turns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Residency {
    pub resident_bytes: u64,
    pub basis: Basis,
    pub runs: Vec<Run>,
}

impl Region {
    /// Which pages of a range are in memory, page by page: whole pages, as far as the range touches them.
    /// Looking touches none.
    pub fn residency(&self, offset: usize, length: usize) -> Result<Residency> {
        self.within_or_say(offset, length)?;
        let page = mmap::page_size();
        let first = offset - offset % page;
        let pages = (offset + length).div_ceil(page) - first / page;
        let basis = self.basis();
        let mut runs = Runs { offset: first as u64, page: page as u64, runs: Vec::new() };
        if length > 0 {
            let start = self.as_ptr() as usize + first;
            let asked = match basis {
                Basis::OwnTouch => pagemap(start, pages, &mut runs),
                _ => mincore(start, pages, &mut runs),
            };
            asked.map_err(|errno| {
                let what = self.describe();
                let tried = format!("cannot tell which of {length} bytes at offset {offset} of {what}");
                Error::new(errno, format!("{tried} are in memory: {}", Code::from(errno)))
            })?;
        }
        let runs = runs.runs;
        let resident_bytes = runs.iter().filter(|run| run.resident).map(|run| run.length_bytes).sum();
        Ok(Residency { resident_bytes, basis, runs })
    }

    fn basis(&self) -> Basis {
        if self.page_size() != mmap::page_size() {
            return Basis::OwnTouchHuge;
        }
        match self.file() {
            // The files behind segments and anonymous memory are writable for everybody.
            Some(file) if !residency::is_told(file) => Basis::OwnTouch,
            _ => {
                debug_assert!(self.file().is_some() || [Kind::SysV, Kind::Anonymous].contains(&self.kind()));
                Basis::Object
            }
        }
    }
}

/// Pages at a time: their bytes stay in the processor's cache.
const AT_ONCE: usize = 64 << 10;

fn mincore(start: usize, pages: usize, runs: &mut Runs) -> sys::Result<()> {
    let mut bytes = vec![0; AT_ONCE.min(pages)];
    let mut done = 0;
    while done < pages {
        let bytes = &mut bytes[..AT_ONCE.min(pages - done)];
        residency::mincore(start + done * mmap::page_size(), bytes)?;
        runs.take(bytes);
        done += bytes.len();
    }
    Ok(())
}

fn pagemap(start: usize, pages: usize, runs: &mut Runs) -> sys::Result<()> {
    const ENTRY: usize = 8;
    /// In memory, and mapped here.
    const PRESENT: u8 = 0x80;
    let errno = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
    let file = File::open("/proc/self/pagemap").map_err(errno)?;
    let mut entries = vec![0; ENTRY * (AT_ONCE / ENTRY).min(pages)];
    let mut bytes = Vec::with_capacity(entries.len() / ENTRY);
    let mut done = 0;
    while done < pages {
        let entries = &mut entries[..ENTRY * (AT_ONCE / ENTRY).min(pages - done)];
        let at = ENTRY * (start / mmap::page_size() + done);
        file.read_exact_at(entries, at as u64).map_err(errno)?;
        bytes.clear();
        let highest = |entry: &[u8]| (u64::from_ne_bytes(entry.try_into().expect("8 bytes")) >> 56) as u8;
        bytes.extend(entries.chunks_exact(ENTRY).map(|entry| u8::from(highest(entry) & PRESENT != 0)));
        runs.take(&bytes);
        done += bytes.len();
    }
    Ok(())
}

struct Runs {
    offset: u64,
    page: u64,
    runs: Vec<Run>,
}

impl Runs {
    /// Takes a byte a page, of which the lowest bit counts.
    fn take(&mut self, mut pages: &[u8]) {
        while let Some(first) = pages.first().map(|page| page & 1) {
            let count = length_of_run(pages, first);
            self.push(count as u64 * self.page, first == 1);
            pages = &pages[count..];
        }
    }

    fn push(&mut self, length_bytes: u64, resident: bool) {
        let offset_bytes = self.offset;
        self.offset += length_bytes;
        match self.runs.last_mut() {
            Some(last) if last.resident == resident => last.length_bytes += length_bytes,
            _ => self.runs.push(Run { offset_bytes, length_bytes, resident }),
        }
    }
}

/// How many pages at the beginning are as the first one; many at a time, by the processor's vectors.
fn length_of_run(pages: &[u8], first: u8) -> usize {
    const AT_A_TIME: usize = 64;
    let differ = |pages: &[u8]| pages.iter().fold(0, |differ, page| differ | (page ^ first)) & 1 != 0;
    let long = AT_A_TIME * pages.chunks_exact(AT_A_TIME).take_while(|pages| !differ(pages)).count();
    long + pages[long..].iter().take_while(|&&page| page & 1 == first).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(pages: &[u8], at_once: usize) -> Vec<Run> {
        let mut runs = Runs { offset: 0, page: 1, runs: Vec::new() };
        pages.chunks(at_once).for_each(|pages| runs.take(pages));
        runs.runs
    }

    #[test]
    fn runs_are_those_of_counting_page_by_page() {
        let mut chance = 1u32;
        for length in 0..200 {
            let pages: Vec<u8> = (0..length)
                .map(|_| {
                    chance = chance.wrapping_mul(1664525).wrapping_add(1013904223);
                    // The other bits are the kernel's.
                    u8::from(chance >> 30 != 0) | (chance >> 20) as u8 & 0xfe
                })
                .collect();
            let mut expected: Vec<Run> = Vec::new();
            for (at, page) in pages.iter().enumerate() {
                let resident = page & 1 == 1;
                match expected.last_mut() {
                    Some(last) if last.resident == resident => last.length_bytes += 1,
                    _ => expected.push(Run { offset_bytes: at as u64, length_bytes: 1, resident }),
                }
            }
            for at_once in [1, 7, 8, 64] {
                assert_eq!(runs(&pages, at_once), expected);
            }
        }
    }

    #[test]
    fn a_million_pages() {
        assert_eq!(
            runs(&vec![1; 1 << 20], AT_ONCE),
            [Run { offset_bytes: 0, length_bytes: 1 << 20, resident: true }]
        );
        let alternating: Vec<u8> = (0..1 << 20).map(|page| (page % 2) as u8).collect();
        assert_eq!(runs(&alternating, AT_ONCE).len(), 1 << 20);
    }
}

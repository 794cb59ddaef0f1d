//! Anonymous memory, shared with children made by fork: `mmap(MAP_ANONYMOUS)`.
#![forbid(unsafe_code)]

use super::{creation, Backing, Kind, Options, Parts, Region};
use crate::error::Result;
use crate::sys::mmap;

impl Region {
    /// Makes a region of zeroed memory without a name or descriptor.
    pub fn anon_create(size: usize, options: &Options) -> Result<Region> {
        creation::check(Kind::Anonymous, size, options, || "anonymous memory".to_string())?;
        let (backing, page_size) = (Backing::Anonymous, mmap::page_size());
        let parts =
            Parts { backing, size, page_size, name: None, lease: None, created: true, can_shrink: false };
        Region::map(parts, options)
    }
}

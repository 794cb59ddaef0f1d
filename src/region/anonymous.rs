//! Anonymous memory, shared with children made by fork: `mmap(MAP_ANONYMOUS)`.
#![forbid(unsafe_code)]

use super::options::creatable;
use super::{Backing, Flags, Options, Parts, Region};
use crate::error::{Error, Result};
use crate::sys::{mmap, Errno};

impl Region {
    /// Makes a region of zeroed memory without a name or descriptor.
    pub fn anon_create(size: usize, options: &Options) -> Result<Region> {
        const CALL: &str = "shm_anon_create";
        options.allow(CALL, Flags::ANY | Flags::PRIVATE | Flags::NO_RESERVE | Flags::WIPE_ON_FORK)?;
        if options.flags.contains(Flags::WIPE_ON_FORK) && !options.flags.contains(Flags::PRIVATE) {
            let message = format!("{CALL} takes WIPE_ON_FORK only with PRIVATE: a child shares other memory");
            return Err(Error::new(Errno::EINVAL, message));
        }
        options.without_seals(CALL)?;
        options.without_offset(CALL)?;
        creatable(size, || "anonymous memory".to_string())?;
        let (backing, page_size) = (Backing::Anonymous, mmap::page_size());
        let parts =
            Parts { backing, size, page_size, name: None, lease: None, created: true, can_shrink: false };
        Region::map(parts, options)
    }
}

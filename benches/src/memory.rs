//! What the machine has, and what this process has of it.

use std::fs::read_to_string;

use anyhow::{anyhow, Result};

use crate::{raw, Cannot};

/// So much memory, and some to spare: a benchmark must not push others out.
pub fn need_memory(bytes: u64) -> Result<()> {
    let text = read_to_string("/proc/meminfo")?;
    let available = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        .ok_or_else(|| anyhow!("/proc/meminfo has no MemAvailable"))?
        << 10;
    let needed = bytes + (512 << 20);
    if available < needed {
        let mib = |bytes| bytes >> 20;
        return Err(
            Cannot(format!("{} MiB of memory are free, {} needed", mib(available), mib(needed))).into()
        );
    }
    Ok(())
}

/// How much shared memory this process has mapped with 2 MiB pages.
pub fn huge_pages_mapped() -> Result<u64> {
    let text = read_to_string("/proc/self/smaps_rollup")?;
    let line = text.lines().find_map(|line| line.strip_prefix("ShmemPmdMapped:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kib.ok_or_else(|| anyhow!("/proc/self/smaps_rollup has no ShmemPmdMapped"))? << 10)
}

/// Touches so much memory and gives it back, so that what is allocated next is what was used last. A virtual
/// machine may have lent its free memory to others, and to get it back takes ten times as long as anything
/// that is measured here.
pub fn warm(size: usize) -> Result<()> {
    Ok(raw::anonymous_touch(size)?)
}

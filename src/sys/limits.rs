//! The limits that messages name, with their values.
#![forbid(unsafe_code)]

use nix::sys::resource::{getrlimit, Resource, RLIM_INFINITY};

/// The soft limit in bytes; None where there is none.
fn soft(resource: Resource) -> Option<u64> {
    getrlimit(resource).ok().map(|(soft, _)| soft).filter(|&soft| soft != RLIM_INFINITY)
}

/// RLIMIT_FSIZE: making a file larger raises SIGXFSZ, which kills. It holds for memory files too.
pub(crate) fn file_size() -> Option<u64> {
    soft(Resource::RLIMIT_FSIZE)
}

/// RLIMIT_MEMLOCK.
pub(crate) fn locked_memory() -> Option<u64> {
    soft(Resource::RLIMIT_MEMLOCK)
}

/// What the machine can still give: free memory, caches that can go, and swap. None where /proc is not
/// mounted.
pub(crate) fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib << 10)
    };
    Some(field("MemAvailable:")? + field("SwapFree:")?)
}

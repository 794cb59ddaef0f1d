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

/// The pool of huge pages of this size: how many there are, and how many of them nobody has or was
/// promised. None where the machine has no pages of that size.
pub(crate) fn huge_pool(page_size: usize) -> Option<(u64, u64)> {
    let field = |name: &str| {
        let path = format!("{}/{name}", huge_pool_path(page_size));
        std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok()
    };
    let promised = field("resv_hugepages")?;
    Some((field("nr_hugepages")?, field("free_hugepages")?.saturating_sub(promised)))
}

pub(crate) fn huge_pool_path(page_size: usize) -> String {
    format!("/sys/kernel/mm/hugepages/hugepages-{}kB", page_size >> 10)
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

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

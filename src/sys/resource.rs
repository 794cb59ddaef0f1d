//! The soft limits of this process: getrlimit(2).
#![forbid(unsafe_code)]

use nix::sys::resource::{getrlimit, Resource};

use super::Result;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Memlock,
    Nofile,
    Fsize,
    As,
    Data,
}

impl Limit {
    pub fn name(self) -> &'static str {
        match self {
            Limit::Memlock => "RLIMIT_MEMLOCK",
            Limit::Nofile => "RLIMIT_NOFILE",
            Limit::Fsize => "RLIMIT_FSIZE",
            Limit::As => "RLIMIT_AS",
            Limit::Data => "RLIMIT_DATA",
        }
    }

    /// How a shell shows and sets it.
    pub fn ulimit(self) -> &'static str {
        match self {
            Limit::Memlock => "ulimit -l",
            Limit::Nofile => "ulimit -n",
            Limit::Fsize => "ulimit -f",
            Limit::As => "ulimit -v",
            Limit::Data => "ulimit -d",
        }
    }
}

/// The largest number where there is no limit.
pub(crate) fn soft(limit: Limit) -> Result<u64> {
    let resource = match limit {
        Limit::Memlock => Resource::RLIMIT_MEMLOCK,
        Limit::Nofile => Resource::RLIMIT_NOFILE,
        Limit::Fsize => Resource::RLIMIT_FSIZE,
        Limit::As => Resource::RLIMIT_AS,
        Limit::Data => Resource::RLIMIT_DATA,
    };
    getrlimit(resource).map(|(soft, _)| soft)
}

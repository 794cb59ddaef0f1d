//! CLOCK_MONOTONIC, the clock of all deadlines.
#![forbid(unsafe_code)]

use nix::time::{clock_gettime, ClockId};

pub(crate) fn monotonic_ns() -> i64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("Linux has CLOCK_MONOTONIC");
    now.tv_sec() * 1_000_000_000 + now.tv_nsec()
}

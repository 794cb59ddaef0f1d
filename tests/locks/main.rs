//! Locks under processes that are killed.

#[path = "../support/mod.rs"]
mod support;

mod event;
mod mutex;
mod named;
mod party;
mod watch;

use shmkit::sync::{Party, PartyFlags, PartyOptions};
use shmkit::{Options, Region};

/// Where the tests have the party's table, and the first object behind it.
const TABLE: usize = 0;
const FIRST: usize = 16 << 10;

fn region() -> Region {
    Region::create("locks", 1 << 20, &Options::default()).unwrap()
}

fn join(region: &Region) -> Party<'_> {
    Party::join(region, TABLE, &PartyOptions::default()).unwrap()
}

/// As [`join`], where a lock is not one thread's.
fn join_any_thread(region: &Region) -> Party<'_> {
    let options = PartyOptions { flags: PartyFlags::ANY_THREAD, ..PartyOptions::default() };
    Party::join(region, TABLE, &options).unwrap()
}

/// Waits until a process sleeps in futex(2).
fn await_sleep(pid: libc::pid_t) {
    let path = format!("/proc/{pid}/syscall");
    while !std::fs::read_to_string(&path).unwrap().starts_with(&format!("{} ", libc::SYS_futex)) {
        std::thread::yield_now();
    }
}

/// What a wake-up does in time at least once: the machine may stand still, and the end of a slice (a second) may
/// come by chance, but not each time. `attempt` tells how many nanoseconds it took.
#[track_caller]
fn in_time(mut attempt: impl FnMut() -> i64) {
    let took: Vec<_> = (0..5).map(|_| attempt()).collect();
    assert!(took.iter().filter(|&&ns| ns < 500_000_000).count() >= 2, "nobody was woken: {took:?} ns");
}

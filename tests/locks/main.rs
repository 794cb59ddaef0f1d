//! Locks under processes that are killed.

#[path = "../support/mod.rs"]
mod support;

mod event;
mod barrier;
mod cond;
mod cond_watch;
mod campaign;
mod history;
mod hostile;
mod memory;
mod mutex;
mod named;
mod once;
mod party;
mod readers;
mod watch;
mod rwlock;
mod semaphore;
mod workers;

#[cfg(feature = "steps")]
mod steps;

use std::time::Duration;

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

fn errno_of<T: std::fmt::Debug>(result: Result<T, shmkit::Code>) -> Option<i32> {
    result.unwrap_err().errno()
}

/// Waits until a process sleeps in futex(2) or futex_waitv(2).
fn await_sleep(pid: libc::pid_t) {
    let path = format!("/proc/{pid}/syscall");
    let sleeps = |calls: &str| {
        [libc::SYS_futex, libc::SYS_futex_waitv].iter().any(|call| calls.starts_with(&format!("{call} ")))
    };
    while !sleeps(&std::fs::read_to_string(&path).unwrap()) {
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// What a wake-up does in time at least once: the machine may stand still, and the end of a slice (a second) may
/// come by chance, but not each time. `attempt` tells how many nanoseconds it took.
#[track_caller]
fn in_time(mut attempt: impl FnMut() -> i64) {
    let took: Vec<_> = (0..5).map(|_| attempt()).collect();
    assert!(took.iter().filter(|&&ns| ns < 500_000_000).count() >= 2, "nobody was woken: {took:?} ns");
}

/// Until it is killed.
fn stay() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn soon() -> shmkit::Deadline {
    shmkit::Deadline::after(Duration::from_millis(5))
}

/// Runs `body` in a child of a process that has a keeper, which holds no lock, and waits for its good end.
#[track_caller]
fn in_child(body: impl FnOnce()) {
    match support::good(unsafe { libc::fork() }) {
        0 => {
            let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
            unsafe { libc::_exit(if end.is_ok() { 0 } else { 101 }) }
        }
        pid => {
            let mut status = 0;
            support::good(unsafe { libc::waitpid(pid, &mut status, 0) });
            assert_eq!(status, 0);
        }
    }
}

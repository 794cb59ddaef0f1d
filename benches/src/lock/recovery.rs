use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{bail, Result};
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::waitpid;
use nix::time::{clock_gettime, ClockId};
use nix::unistd::{fork, ForkResult};

use super::board::{Shared, Side};
use super::other::{is_asleep, Other};
use crate::harness::{pin, Bench, Run};
use crate::Cannot;

/// Who has glibc's lock when it is killed. Who has ours has a keeper, and so a second thread.
#[derive(Clone, Copy, PartialEq)]
pub enum Owner {
    Joined,
    OfOneThread,
}

/// From the SIGKILL of the owner to the next one running, who was asleep.
pub fn recovery(bench: &Bench, owner: Owner) -> Result<Vec<Run>> {
    let (here, there) = bench.two_cpus().ok_or_else(|| Cannot("two processes need two processors".into()))?;
    let shared = Shared::new()?;
    let waiter = Other::start(&shared, here, |shared, side| {
        let died = shared.lock(side);
        shared.board().time_ns.0.store(if died { now_ns() } else { 0 }, Ordering::Relaxed);
        shared.unlock(side);
    })?;
    pin(there)?;
    let run = |side: Side, iterations: u64| -> Result<Duration> {
        let mut took = 0;
        for _ in 0..iterations {
            took += recover(&shared, &waiter, side, owner)?;
        }
        Ok(Duration::from_nanos(took))
    };
    bench.compare(|n| run(Side::Ours, n), |n| run(Side::Reference, n))
}

fn recover(shared: &Shared, waiter: &Other, side: Side, kind: Owner) -> Result<u64> {
    let board = shared.board();
    board.stop.0.store(0, Ordering::Relaxed);
    // SAFETY: as in Other::start.
    let owner = match unsafe { fork() }? {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            // SAFETY: it takes numbers.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            if kind == Owner::Joined {
                shared.lock(Side::Ours);
                shared.unlock(Side::Ours);
            }
            shared.lock(side);
            board.stop.0.store(1, Ordering::Release);
            loop {
                nix::unistd::pause();
            }
        }
    };
    let end = |error: Result<u64>| {
        let _ = kill(owner, Signal::SIGKILL);
        let _ = waitpid(owner, None);
        error
    };
    let start = Instant::now();
    while board.stop.0.load(Ordering::Acquire) == 0 {
        if start.elapsed() > Duration::from_secs(10) {
            return end(Err(anyhow::anyhow!("the owner does not lock")));
        }
    }
    waiter.begin(side);
    while !(shared.is_waited_for(side) && is_asleep(waiter.pid)) {
        if start.elapsed() > Duration::from_secs(10) {
            return end(Err(anyhow::anyhow!("the waiter does not wait")));
        }
    }
    let killed = now_ns();
    kill(owner, Signal::SIGKILL)?;
    // The owner has this processor to itself.
    waitpid(owner, None)?;
    waiter.wait()?;
    match board.time_ns.0.load(Ordering::Relaxed) {
        0 => bail!("nobody was told of the death"),
        time => Ok(time.saturating_sub(killed)),
    }
}

fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("the clock is there");
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}

//! Two processes at once.

use std::ffi::c_int;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Result};

use super::board::{Shared, Side};
use super::other::Other;
use crate::harness::{median, pin, Bench, Run};
use crate::{c, Cannot};

/// Two processes, a number of rounds.
pub fn barrier(bench: &Bench) -> Result<Vec<Run>> {
    let (here, there) = bench.two_cpus().ok_or_else(|| Cannot("two processes need two processors".into()))?;
    let shared = Shared::new()?;
    let wait = |shared: &Shared, side| unsafe {
        match side {
            Side::Ours => c::shm_barrier_wait(shared.party, shared.board().barrier.0.get()),
            Side::Reference => libc::pthread_barrier_wait(shared.board().pthread_barrier.0.get()),
        }
    };
    let other = Other::start(&shared, here, move |shared, side| {
        for _ in 0..shared.board().turns.0.load(Ordering::Acquire) {
            wait(shared, side);
        }
    })?;
    pin(there)?;
    let run = |side, rounds| {
        shared.board().turns.0.store(rounds, Ordering::Release);
        other.begin(side);
        let start = Instant::now();
        for _ in 0..rounds {
            ensure!(wait(&shared, side) > -2, "the barrier is broken");
        }
        let took = start.elapsed();
        other.wait()?;
        Ok(took)
    };
    bench.compare(|n| run(Side::Ours, n), |n| run(Side::Reference, n))
}

/// What it takes to wake one who sleeps: the waker's call.
pub fn wake(bench: &Bench) -> Result<Vec<Run>> {
    let (here, there) = bench.two_cpus().ok_or_else(|| Cannot("two processes need two processors".into()))?;
    let shared = Shared::new()?;
    let sleeper = Other::start(&shared, here, |shared, side| {
        let board = shared.board();
        match side {
            Side::Ours => drop(unsafe { c::shm_event_wait(shared.party, board.event.0.get()) }),
            Side::Reference => sleep_while(&board.data.0, 0),
        }
    })?;
    pin(there)?;
    let run = |side: Side, iterations| {
        let (board, mut took) = (shared.board(), Duration::ZERO);
        for _ in 0..iterations {
            board.data.0.store(0, Ordering::Relaxed);
            sleeper.begin(side);
            sleeper.await_sleep()?;
            let start = Instant::now();
            match side {
                Side::Ours => drop(unsafe { c::shm_event_set(shared.party, board.event.0.get()) }),
                Side::Reference => {
                    board.data.0.store(1, Ordering::SeqCst);
                    futex(&board.data.0, libc::FUTEX_WAKE, 1);
                }
            }
            took += start.elapsed();
            sleeper.wait()?;
        }
        Ok(took)
    };
    bench.compare(|n| run(Side::Ours, n), |n| run(Side::Reference, n))
}

/// From a store until one who sleeps has answered: he watches for the other's death, too, or does not.
pub fn watch_death(bench: &Bench) -> Result<Vec<Run>> {
    let (here, there) = bench.two_cpus().ok_or_else(|| Cannot("two processes need two processors".into()))?;
    let shared = Shared::new()?;
    let other = Other::start(&shared, here, |shared, side| {
        let board = shared.board();
        for turn in 0..board.turns.0.load(Ordering::Acquire) as u32 {
            while board.data.0.load(Ordering::Acquire) == turn {
                match side {
                    Side::Ours => unsafe {
                        let mut seen = 0;
                        c::shm_party_changes(shared.party, &mut seen);
                        c::shm_party_wait(shared.party, board.data.0.as_ptr(), turn, seen);
                    },
                    Side::Reference => sleep_while(&board.data.0, turn),
                }
            }
            board.reply.0.store(turn + 1, Ordering::Release);
        }
    })?;
    pin(there)?;
    let run = |side, turns: u64| {
        let board = shared.board();
        board.data.0.store(0, Ordering::Relaxed);
        board.reply.0.store(0, Ordering::Relaxed);
        board.turns.0.store(turns, Ordering::Release);
        other.begin(side);
        let mut took = Duration::ZERO;
        for turn in 0..turns as u32 {
            other.await_sleep()?;
            let start = Instant::now();
            board.data.0.store(turn + 1, Ordering::SeqCst);
            futex(&board.data.0, libc::FUTEX_WAKE, 1);
            while board.reply.0.load(Ordering::Acquire) == turn {
                std::hint::spin_loop();
            }
            took += start.elapsed();
        }
        other.wait()?;
        Ok(took)
    };
    bench.compare(|n| run(Side::Ours, n), |n| run(Side::Reference, n))
}

pub fn futex(word: &AtomicU32, operation: c_int, value: u32) {
    let none = std::ptr::null::<libc::timespec>();
    // SAFETY: the kernel reads the word. What it answers, the word tells again.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, value, none) };
}

pub fn sleep_while(word: &AtomicU32, value: u32) {
    futex(word, libc::FUTEX_WAIT, value);
}

/// How long two processes want one lock, in one run.
const WINDOW: Duration = Duration::from_millis(300);
/// What a run's time is for: more than one, as it is told in whole nanoseconds.
const MANY: u64 = 1000;

pub fn contended(bench: &Bench) -> Result<Vec<Run>> {
    let (here, there) = bench.two_cpus().ok_or_else(|| Cannot("two processes need two processors".into()))?;
    let shared = Shared::new()?;
    // The same loop for both: whoever does more between two turns has fewer of them.
    let turns = |shared: &Shared, side| {
        let mut turns = 0;
        while shared.board().stop.0.load(Ordering::Relaxed) == 0 {
            turn(shared, side);
            turns += 1;
        }
        turns
    };
    let other = Other::start(&shared, here, |shared, side| {
        shared.board().answer.0.store(2, Ordering::Release);
        let turns = turns(shared, side);
        shared.board().turns.0.store(turns, Ordering::Relaxed);
    })?;
    pin(there)?;
    let least = std::cell::RefCell::new([const { Vec::new() }; 2]);
    let run = |side: Side| -> Result<Duration> {
        let board = shared.board();
        board.stop.0.store(0, Ordering::Relaxed);
        let before = shared.counter(side).get();
        other.begin(side);
        other.wait()?;
        let start = Instant::now();
        let turns = std::thread::scope(|scope| {
            let stop = &board.stop.0;
            scope.spawn(move || {
                std::thread::sleep(WINDOW);
                stop.store(1, Ordering::Relaxed);
            });
            turns(&shared, side)
        });
        let took = start.elapsed();
        while board.answer.0.load(Ordering::Acquire) != 1 {
            std::hint::spin_loop();
        }
        let theirs = board.turns.0.load(Ordering::Relaxed);
        let all = turns + theirs;
        ensure!(shared.counter(side).get() - before == all, "{all} turns, and the counter says other");
        least.borrow_mut()[side as usize - 1].push(turns.min(theirs) as f64 / all as f64);
        Ok(Duration::from_nanos((took.as_nanos() * u128::from(MANY) / u128::from(all)) as u64))
    };
    let runs = bench.compare_long(|_| run(Side::Ours), |_| run(Side::Reference))?;
    let [ours, _] = least.into_inner();
    let share = median(ours);
    if share < 0.4 {
        bail!("one process had {:.0} % of the turns", share * 100.0);
    }
    Ok(runs)
}

fn turn(shared: &Shared, side: Side) {
    shared.lock(side);
    let counter = shared.counter(side);
    counter.set(counter.get() + 1);
    shared.unlock(side);
}

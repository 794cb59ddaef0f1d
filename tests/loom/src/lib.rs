//! The library's own algorithms, under a model checker: every order in which two or three threads can take their
//! steps, and a death at each of them.
//!
//! `port` stands for the one beside it, and `kernel` for futexes, robust lists and pending slots.
#![cfg(test)]
#![forbid(unsafe_code)]

mod barrier;
mod cond;
mod kernel;
#[path = "../../../src/sync/lock.rs"]
mod lock;
#[path = "../../../src/sync/member.rs"]
mod member;
mod mutex;
#[path = "../../../src/sync/phase.rs"]
mod phase;
mod port;
#[path = "../../../src/sync/round.rs"]
mod round;
mod rwlock;
mod semaphore;
#[path = "../../../src/sync/signals.rs"]
mod signals;
#[path = "../../../src/sync/units.rs"]
mod units;

/// What the library's table says of its cells.
mod table {
    pub const MARK: u32 = 1 << 31;
}

/// Every order with so many preemptions: more than a few, and a check takes minutes.
fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.check(model);
}

fn all(threads: Vec<loom::thread::JoinHandle<()>>) {
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

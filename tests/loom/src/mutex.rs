use std::cell::Cell;
use std::sync::atomic::{AtomicU32 as Plain, Ordering::Relaxed};

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::kernel::{Death, Futex, Process};
use super::lock::{self, Refused, Taken, Words};
use super::port::AtomicU32;
use super::{all, check};

const PREEMPTIONS: usize = 3;

struct Shared {
    word: AtomicU32,
    state: AtomicU32,
    futex: Futex,
    /// What the lock guards: the checker sees two at once.
    guarded: UnsafeCell<u32>,
    /// Not of the model.
    told: Plain,
    refused: Plain,
}

impl Shared {
    fn new(word: u32) -> Arc<Shared> {
        Arc::new(Shared {
            word: AtomicU32::new(word),
            state: AtomicU32::new(0),
            futex: Futex::new(),
            guarded: UnsafeCell::new(0),
            told: Plain::new(0),
            refused: Plain::new(0),
        })
    }

    fn words(&self) -> Words<'_> {
        Words { word: &self.word, state: &self.state }
    }

    fn lock(&self, process: &Process<'_>) -> Result<Taken, Refused> {
        match lock::try_fast(self.words(), process.tid) {
            true if lock::is_recoverable(self.words()) => Ok(Taken::Clean),
            true => {
                let _ = lock::unlock(self.words(), process.tid, process);
                lock::lock(self.words(), process.tid, process)
            }
            false => lock::lock(self.words(), process.tid, process),
        }
    }

    fn unlock(&self, process: &Process<'_>) {
        if !lock::unlock_fast(self.words(), process.tid) {
            lock::unlock(self.words(), process.tid, process).unwrap();
        }
    }

    fn use_it(&self) {
        self.guarded.with_mut(|_| ());
    }

    /// Lock, use, repair, unlock, as a survivor.
    fn turn(&self, tid: u32) {
        self.turn_of(&Process::new(tid, &self.futex));
    }

    fn turn_of(&self, process: &Process<'_>) {
        match self.lock(process) {
            Ok(taken) => {
                self.use_it();
                if taken == Taken::OwnerDied {
                    self.told.fetch_add(1, Relaxed);
                    lock::consistent(self.words(), process.tid).unwrap();
                }
                self.unlock(process);
            }
            Err(Refused::Busy) => assert_eq!(process.patience.get(), 0),
            Err(Refused::NotRecoverable) => drop(self.refused.fetch_add(1, Relaxed)),
            Err(other) => panic!("{other:?}"),
        }
    }
}

fn turns(shared: &Arc<Shared>, tids: std::ops::RangeInclusive<u32>) -> Vec<thread::JoinHandle<()>> {
    tids.map(|tid| {
        let shared = shared.clone();
        thread::spawn(move || shared.turn(tid))
    })
    .collect()
}

#[test]
fn two_exclude_each_other() {
    check(5, || {
        let shared = Shared::new(0);
        all(turns(&shared, 1..=2));
        assert_eq!(shared.told.load(Relaxed), 0);
    });
}

#[test]
fn three_exclude_each_other() {
    check(PREEMPTIONS, || {
        let shared = Shared::new(0);
        all(turns(&shared, 1..=3));
        assert_eq!(shared.told.load(Relaxed), 0);
    });
}

/// Whoever gives up takes no wake-up with it.
#[test]
fn one_is_late() {
    (0..2).for_each(one_is_late_after);
}

fn one_is_late_after(patience: u32) {
    check(PREEMPTIONS, move || {
        let shared = Shared::new(0);
        let mut threads = turns(&shared, 1..=2);
        let other = shared.clone();
        threads.push(thread::spawn(move || {
            other.turn_of(&Process { patience: Cell::new(patience), ..Process::new(3, &other.futex) });
        }));
        all(threads);
    });
}

/// The owner died, and whoever comes first cannot wait for its end.
#[test]
fn a_dead_owner_is_told_once() {
    check(2, || {
        let shared = Shared::new(lock::OD);
        let mut threads = turns(&shared, 1..=2);
        let other = shared.clone();
        threads.push(thread::spawn(move || {
            let process = Process { patience: Cell::new(0), ended: false, ..Process::new(3, &other.futex) };
            let _ = lock::try_lock(other.words(), 3, &process).map(|_| other.unlock(&process));
        }));
        all(threads);
        assert_eq!(shared.told.load(Relaxed), 1);
    });
}

/// One of so many dies after each number of steps, while the others lock and unlock.
fn one_dies(preemptions: usize, others: u32, word: u32) {
    for list_first in [true, false] {
        let died = std::sync::Arc::new(Plain::new(0));
        for steps in 0.. {
            assert!(steps < 40, "it has no end");
            died.store(0, Relaxed);
            let dies = died.clone();
            check(preemptions, move || {
                let shared = Shared::new(word);
                let threads = turns(&shared, 2..=others);
                let process = Process::new(1, &shared.futex);
                let repaired = Cell::new(false);
                let death = process.die_after(steps, list_first, &shared.word, || {
                    if shared.lock(&process).unwrap() == Taken::OwnerDied {
                        shared.use_it();
                        repaired.set(true);
                        lock::consistent(shared.words(), process.tid).unwrap();
                    }
                    shared.unlock(&process);
                });
                all(threads);
                shared.turn(9);
                if death.is_some() {
                    dies.store(1, Relaxed);
                }
                // Once for a death with the lock, the one before it included, and never for one without.
                let before = u32::from(word == lock::OD && !repaired.get());
                let expected = before + u32::from(death == Some(Death::Holding));
                assert_eq!(shared.told.load(Relaxed), expected, "told, dead after {steps} steps");
                assert_eq!(shared.refused.load(Relaxed), 0);
            });
            // In no order has it died: it has no more steps.
            if died.load(Relaxed) == 0 {
                assert!(steps >= 10, "only {steps} steps: nobody was in its way");
                break;
            }
        }
    }
}

#[test]
fn one_of_two_dies() {
    one_dies(PREEMPTIONS, 2, 0);
}

#[test]
fn one_of_two_dies_after_another() {
    one_dies(PREEMPTIONS, 2, lock::OD);
}

#[test]
fn one_of_three_dies() {
    one_dies(2, 3, 0);
}

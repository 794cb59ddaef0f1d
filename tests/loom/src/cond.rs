//! Those who wait for a condition, with the mutex of `lock`: there are tickets, and nobody sleeps while there is one
//! for it.

use std::sync::atomic::{AtomicU32 as Plain, Ordering::Relaxed};

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::kernel::{step, Futex, Process, Slot};
use super::lock::{self, Taken, Words};
use super::port::{AtomicU32, AtomicU64, Ordering};
use super::signals;
use super::{all, check};

struct Shared {
    word: AtomicU32,
    state: AtomicU32,
    condition: AtomicU64,
    /// Of the first process; whoever waits for the condition watches it.
    slot: Slot,
    futex: Futex,
    /// What the mutex guards: the checker sees two at once.
    guarded: UnsafeCell<u32>,
    /// Not of the model: what is there, what the first process gave, and took.
    tickets: Plain,
    given: Plain,
    taken: Plain,
}

/// What one does whose deadline is over.
#[derive(Clone, Copy, PartialEq)]
enum Patience {
    Endless,
    /// It is over before it sleeps.
    None,
    /// When it is woken, it is over as well.
    ForOneSleep,
}

impl Shared {
    fn new() -> Arc<Shared> {
        Arc::new(Shared {
            word: AtomicU32::new(0),
            state: AtomicU32::new(0),
            condition: AtomicU64::new(signals::MARK),
            slot: Slot::new(),
            futex: Futex::new(),
            guarded: UnsafeCell::new(0),
            tickets: Plain::new(0),
            given: Plain::new(0),
            taken: Plain::new(0),
        })
    }

    fn process(&self, tid: u32) -> Process<'_> {
        Process { slot: (tid == 1).then_some(&self.slot), ..Process::new(tid, &self.futex) }
    }

    fn words(&self) -> Words<'_> {
        Words { word: &self.word, state: &self.state }
    }

    fn lock(&self, process: &Process<'_>) {
        if !lock::try_fast(self.words(), process.tid)
            && lock::lock(self.words(), process.tid, process).unwrap() == Taken::OwnerDied
        {
            lock::consistent(self.words(), process.tid).unwrap();
        }
    }

    fn unlock(&self, process: &Process<'_>) {
        if !lock::unlock_fast(self.words(), process.tid) {
            lock::unlock(self.words(), process.tid, process).unwrap();
        }
    }

    fn change(&self, tickets: u32) {
        self.guarded.with_mut(|_| self.tickets.store(tickets, Relaxed));
    }

    fn tickets(&self) -> u32 {
        self.guarded.with(|_| self.tickets.load(Relaxed))
    }

    /// As the library does.
    fn wait(&self, process: &Process<'_>, patience: Patience) {
        let was_dead = self.slot.is_dead();
        let seen = signals::add(&self.condition);
        step("cond.added");
        self.unlock(process);
        step("cond.unlocked");
        let is_signalled = || signals::sequence(self.condition.load(Ordering::Relaxed)) != seen;
        if patience != Patience::None {
            self.slot.watched.wait_while(|| !is_signalled() && self.slot.is_dead() == was_dead);
        }
        step("cond.woken");
        if patience != Patience::Endless || !is_signalled() {
            signals::withdraw(&self.condition, seen);
        }
        step("cond.gone");
        self.lock(process);
    }

    fn signal(&self, to_all: bool) {
        if !signals::is_idle(self.condition.load(Ordering::Relaxed))
            && signals::signal(&self.condition, to_all)
        {
            step("cond.notified");
            match to_all {
                true => self.slot.watched.wake_all(),
                false => drop(self.slot.watched.wake_one()),
            }
            step("cond.woke");
        }
    }

    /// Waits until there is a ticket, or its patience is over, and takes it.
    fn take(&self, process: &Process<'_>, patience: Patience) {
        self.lock(process);
        while self.tickets() == 0 {
            self.wait(process, patience);
            if patience != Patience::Endless {
                break;
            }
        }
        if self.tickets() > 0 {
            self.change(self.tickets() - 1);
            self.taken.fetch_add(u32::from(process.tid == 1), Relaxed);
        }
        self.unlock(process);
    }

    fn give(&self, process: &Process<'_>, tickets: u32) {
        self.lock(process);
        self.change(self.tickets() + tickets);
        self.given.fetch_add(if process.tid == 1 { tickets } else { 0 }, Relaxed);
        self.unlock(process);
        self.signal(tickets > 1);
    }
}

fn taker(shared: &Arc<Shared>, tid: u32, patience: Patience) -> thread::JoinHandle<()> {
    let shared = shared.clone();
    thread::spawn(move || shared.take(&shared.process(tid), patience))
}

use Patience::Endless;

#[test]
fn each_signal_is_for_one_who_waits() {
    check(3, || {
        let shared = Shared::new();
        let takers = vec![taker(&shared, 2, Endless), taker(&shared, 3, Endless)];
        (0..2).for_each(|_| shared.give(&shared.process(4), 1));
        all(takers);
        assert_eq!(shared.tickets(), 0);
    });
}

#[test]
fn a_signal_to_all_is_for_all_who_wait() {
    check(3, || {
        let shared = Shared::new();
        let takers = vec![taker(&shared, 2, Endless), taker(&shared, 3, Endless)];
        shared.give(&shared.process(4), 2);
        all(takers);
        assert_eq!(shared.tickets(), 0);
    });
}

/// Whoever gives up takes no wake-up with it, and is not counted twice.
#[test]
fn one_gives_up() {
    for patience in [Patience::None, Patience::ForOneSleep] {
        check(2, move || {
            let shared = Shared::new();
            let takers = vec![taker(&shared, 2, patience), taker(&shared, 3, Endless)];
            (0..2).for_each(|_| shared.give(&shared.process(4), 1));
            all(takers);
        });
    }
}

/// The first one dies after each number of steps, while two others wait; they get what is there, and more.
fn dies(preemptions: usize, victim: fn(&Shared, &Process<'_>)) {
    for list_first in [true, false] {
        let died = std::sync::Arc::new(Plain::new(0));
        for steps in 0.. {
            assert!(steps < 40, "it has no end");
            died.store(0, Relaxed);
            let dies = died.clone();
            check(preemptions, move || {
                let shared = Shared::new();
                let takers = vec![taker(&shared, 2, Endless), taker(&shared, 3, Endless)];
                let process = shared.process(1);
                let death = process.die_after(steps, list_first, &shared.word, || victim(&shared, &process));
                let left = shared.given.load(Relaxed) - shared.taken.load(Relaxed);
                (left..2).for_each(|_| shared.give(&shared.process(4), 1));
                all(takers);
                dies.fetch_add(u32::from(death.is_some()), Relaxed);
            });
            // In no order has it died: it has no more steps.
            if died.load(Relaxed) == 0 {
                assert!(steps >= 4, "only {steps} steps");
                break;
            }
        }
    }
}

#[test]
fn one_dies_who_signals() {
    dies(2, |shared, process| shared.give(process, 1));
}

#[test]
fn one_dies_who_signals_to_all() {
    dies(2, |shared, process| shared.give(process, 2));
}

#[test]
fn one_dies_who_gives_up() {
    dies(1, |shared, process| shared.take(process, Patience::None));
}

/// It waits behind one other, for what a third gives.
#[test]
fn one_dies_who_waits() {
    for steps in 0..20 {
        check(2, move || {
            let shared = Shared::new();
            let giver = {
                let shared = shared.clone();
                thread::spawn(move || (0..2).for_each(|_| shared.give(&shared.process(4), 1)))
            };
            let taker = taker(&shared, 2, Endless);
            let process = shared.process(1);
            process.die_after(steps, true, &shared.word, || shared.take(&process, Endless));
            all(vec![giver, taker]);
        });
    }
}

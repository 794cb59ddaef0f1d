//! Those who take and give units of a plain semaphore.

use std::sync::atomic::{AtomicU32 as Plain, Ordering::Relaxed};

use loom::sync::Arc;
use loom::thread;

use super::kernel::{died_at, Futex, Process};
use super::lock::W;
use super::port::{AtomicU32, AtomicU64, Ordering};
use super::units::{self, gate_of, units_of, FILLED};
use super::{all, check};

struct Shared {
    units: AtomicU64,
    futex: Futex,
}

impl Shared {
    fn new() -> Arc<Shared> {
        Arc::new(Shared { units: AtomicU64::new(FILLED), futex: Futex::new() })
    }

    fn process(&self) -> Process<'_> {
        Process::new(1, &self.futex)
    }

    fn wait(&self, process: &Process<'_>) -> bool {
        units::wait(&self.units, &Gate { shared: self, process })
    }

    fn post(&self, process: &Process<'_>) {
        assert!(units::post(&self.units, &Gate { shared: self, process }));
    }

    fn value(&self) -> u32 {
        units_of(self.units.load(Ordering::Relaxed))
    }
}

struct Gate<'a> {
    shared: &'a Shared,
    process: &'a Process<'a>,
}

impl units::Caller for Gate<'_> {
    fn pend(&self) {
        self.process.pending.set(true);
    }

    fn unpend(&self) {
        self.process.pending.set(false);
    }

    fn is_over(&self) -> bool {
        self.process.patience.get() == 0
    }

    fn sleep(&self) {
        let patience = &self.process.patience;
        patience.set(patience.get() - 1);
        self.shared.futex.wait_while(|| gate_of(self.shared.units.load(Ordering::Acquire)) == W);
    }

    fn wake(&self) {
        self.shared.futex.wake_one();
    }
}

/// One who takes a unit, and keeps it.
fn taker(shared: &Arc<Shared>) -> thread::JoinHandle<()> {
    let shared = shared.clone();
    thread::spawn(move || assert!(shared.wait(&shared.process())))
}

fn giver(shared: &Arc<Shared>, count: u32) -> thread::JoinHandle<()> {
    let shared = shared.clone();
    thread::spawn(move || (0..count).for_each(|_| shared.post(&shared.process())))
}

#[test]
fn each_unit_is_for_one_who_waits() {
    check(2, || {
        let shared = Shared::new();
        let takers = vec![taker(&shared), taker(&shared)];
        (0..2).for_each(|_| shared.post(&shared.process()));
        all(takers);
        assert_eq!(shared.value(), 0);
    });
}

/// Whoever gives up takes no wake-up with it.
#[test]
fn one_is_late() {
    for patience in 0..2 {
        check(2, move || {
            let shared = Shared::new();
            let others = vec![taker(&shared), giver(&shared, 2)];
            let process = shared.process();
            process.patience.set(patience);
            if shared.wait(&process) {
                shared.post(&process);
            }
            all(others);
            assert_eq!(shared.value(), 1);
        });
    }
}

/// One dies after each number of steps, while others take and give.
fn dies(scene: impl Fn(&Arc<Shared>, u32) -> bool + Copy + Send + Sync + 'static) {
    let died = std::sync::Arc::new(Plain::new(0));
    for steps in 0.. {
        assert!(steps < 40, "it has no end");
        died.store(0, Relaxed);
        let dies = died.clone();
        check(2, move || {
            let died = scene(&Shared::new(), steps);
            dies.fetch_add(u32::from(died), Relaxed);
        });
        // In no order has it died: it has no more steps.
        if died.load(Relaxed) == 0 {
            assert!(steps >= 4, "only {steps} steps: nobody was in its way");
            break;
        }
    }
}

#[test]
fn one_dies_who_waits() {
    dies(|shared, steps| {
        let others = vec![taker(shared), giver(shared, 2)];
        let (process, unowned) = (shared.process(), AtomicU32::new(0));
        let death = process.die_after(steps, true, &unowned, || assert!(shared.wait(&process)));
        all(others);
        let took = death.is_none()
            || ["semaphore.took", "semaphore.woke_next", "semaphore.waited"].contains(&died_at());
        assert_eq!(shared.value(), u32::from(!took), "dead after {steps} steps");
        death.is_some()
    });
}

#[test]
fn one_dies_who_gives() {
    dies(|shared, steps| {
        let others = vec![taker(shared), taker(shared)];
        let (process, unowned) = (shared.process(), AtomicU32::new(0));
        let death = process.die_after(steps, true, &unowned, || shared.post(&process));
        let gave = death.is_none() || died_at() != "semaphore.gives";
        (u32::from(gave)..2).for_each(|_| shared.post(&shared.process()));
        all(others);
        assert_eq!(shared.value(), 0, "dead after {steps} steps");
        death.is_some()
    });
}

//! Members of a barrier for two.

use std::sync::atomic::{AtomicU32 as Plain, Ordering::Relaxed};

use loom::sync::Arc;
use loom::thread;

use super::kernel::{step, Futex, Process, Slot};
use super::member::{self, take_back, Member, Refused};
use super::port::{AtomicU32, AtomicU64, Ordering};
use super::round::Round;
use super::table::MARK;
use super::{all, check};

const COUNT: u32 = 2;

struct Shared {
    round: AtomicU64,
    /// Of a process each, which has the number and one more.
    cells: [AtomicU32; 4],
    /// Of the first process; whoever waits watches it.
    slot: Slot,
    /// A member that has died before: the last one.
    widow: bool,
    futex: Futex,
    /// Not of the model: who was told of a death, and how often.
    told: [Plain; 4],
    serials: Plain,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Passed,
    Told,
    /// It has given up.
    Late,
}

impl Shared {
    fn new(widow: bool) -> Arc<Shared> {
        let shared = Shared {
            round: AtomicU64::new(0),
            cells: std::array::from_fn(|_| AtomicU32::new(0)),
            slot: Slot::new(),
            widow,
            futex: Futex::new(),
            told: std::array::from_fn(|_| Plain::new(0)),
            serials: Plain::new(0),
        };
        let members = if widow { &[0, 1, 3][..] } else { &[0, 1] };
        members.iter().for_each(|&cell| shared.cells[cell].store(MARK, Ordering::Relaxed));
        Arc::new(shared)
    }

    fn process(&self, tid: u32) -> Process<'_> {
        Process { slot: (tid == 1).then_some(&self.slot), ..Process::new(tid, &self.futex) }
    }

    fn now(&self) -> Round {
        Round(self.round.load(Ordering::Acquire))
    }

    fn wake_all(&self) -> impl Fn(&AtomicU64) + '_ {
        |_| self.slot.watched.wake_all()
    }

    fn tell_of_the_dead(&self) -> bool {
        (0..4).all(|index| {
            let is_dead = index == 0 && self.slot.is_dead() || index == 3 && self.widow;
            !is_dead || member::tell(&self.round, &self.cells[index], self.wake_all())
        })
    }

    /// As the library does.
    fn wait(&self, tid: u32, gives_up: bool) -> End {
        let cell = tid - 1;
        let own = &self.cells[cell as usize];
        let member = Member { round: &self.round, count: COUNT, cell, own, claim: tid };
        if own.load(Ordering::Relaxed) & MARK == 0 {
            member.begin();
        }
        let seen = self.slot.is_dead();
        while !self.tell_of_the_dead() {}
        let arrived = match member.arrive(|| false, self.wake_all()) {
            Ok(Some(arrived)) => arrived,
            Ok(None) => {
                self.serials.fetch_add(1, Relaxed);
                return End::Passed;
            }
            Err(Refused::PeerDied) => return self.is_told(tid),
            Err(Refused::Late) => unreachable!(),
        };
        match self.wait_for_the_others(arrived, seen, gives_up) {
            None => End::Late,
            Some(false) => End::Passed,
            Some(true) => {
                member.look();
                self.is_told(tid)
            }
        }
    }

    fn is_told(&self, tid: u32) -> End {
        self.told[tid as usize - 1].fetch_add(1, Relaxed);
        End::Told
    }

    fn wait_for_the_others(&self, arrived: Round, mut seen: bool, gives_up: bool) -> Option<bool> {
        loop {
            let now = self.slot.is_dead();
            let told = now == seen || self.tell_of_the_dead();
            if let Some(broken) = self.now().was_broken(arrived) {
                return Some(broken);
            }
            if gives_up {
                return take_back(&self.round, arrived);
            }
            if !told {
                continue;
            }
            seen = now;
            self.slot
                .watched
                .wait_while(|| self.now().stamp() == arrived.stamp() && self.slot.is_dead() == seen);
            step("barrier.woken");
        }
    }

    fn pass(&self, tid: u32, passes: u32) {
        (0..passes).for_each(|_| while self.wait(tid, false) != End::Passed {});
    }

    fn told(&self, tid: u32) -> u32 {
        self.told[tid as usize - 1].load(Relaxed)
    }
}

fn passer(shared: &Arc<Shared>, tid: u32, passes: u32) -> thread::JoinHandle<()> {
    let shared = shared.clone();
    thread::spawn(move || shared.pass(tid, passes))
}

#[test]
fn two_pass_again_and_again() {
    check(5, || {
        let shared = Shared::new(false);
        let other = passer(&shared, 2, 2);
        shared.pass(1, 2);
        all(vec![other]);
        assert_eq!(shared.serials.load(Relaxed), 2, "one of each round");
        assert_eq!((shared.now().arrived(), shared.now().breaks()), (0, 0));
    });
}

/// Whoever gives up has not arrived, or has passed with another.
#[test]
fn one_gives_up() {
    check(4, || {
        let shared = Shared::new(false);
        let other = passer(&shared, 2, 1);
        let impatient = {
            let shared = shared.clone();
            thread::spawn(move || {
                if shared.wait(3, true) != End::Passed {
                    shared.pass(3, 1);
                }
            })
        };
        all(vec![other, impatient]);
        assert_eq!(shared.serials.load(Relaxed), 1);
        assert_eq!(shared.now().arrived(), 0);
    });
}

/// The first of two members dies after each number of steps, while the other waits; then comes a third.
fn dies(preemptions: usize, widow: bool) {
    let died = std::sync::Arc::new(Plain::new(0));
    for steps in 0.. {
        assert!(steps < 40, "it has no end");
        died.store(0, Relaxed);
        let dies = died.clone();
        check(preemptions, move || {
            let shared = Shared::new(widow);
            let first = shared.now();
            let other = passer(&shared, 2, 2);
            let process = shared.process(1);
            let unused = AtomicU32::new(0);
            let mut end = End::Late;
            let death = process.die_after(steps, true, &unused, || end = shared.wait(1, false));
            if death.is_none() {
                if end == End::Told {
                    shared.pass(1, 1);
                }
                // It leaves.
                shared.cells[0].store(0, Ordering::Release);
            }
            while !shared.tell_of_the_dead() {}
            // With whom the other has passed, or will.
            let broken = if widow { death.is_some() } else { shared.now().was_broken(first) == Some(true) };
            shared.pass(3, if broken { 2 } else { 1 });
            all(vec![other]);
            let deaths = u32::from(widow) + u32::from(death.is_some());
            // Two that are told at the same time may be one break.
            let once_each = deaths.min(1)..=deaths;
            let (breaks, told) = (shared.now().breaks(), shared.told(2));
            assert!(
                once_each.contains(&breaks),
                "dead after {steps} steps: {breaks} breaks of {deaths} deaths"
            );
            assert!(once_each.contains(&told), "dead after {steps} steps: told {told} of {deaths} deaths");
            dies.fetch_add(u32::from(death.is_some()), Relaxed);
        });
        // In no order has it died: it has no more steps.
        if died.load(Relaxed) == 0 {
            assert!(steps >= 2, "only {steps} steps");
            break;
        }
    }
}

#[test]
fn one_dies() {
    dies(2, false);
}

/// While both find out that a third has died before, and tell.
#[test]
fn one_dies_who_tells_of_a_death() {
    dies(1, true);
}

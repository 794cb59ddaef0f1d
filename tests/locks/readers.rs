//! Processes of several threads that read and write under one lock, and are killed at random moments. What they do
//! is a history in shared memory, in one order: nobody is there beside a writer, the next one after a writer's
//! death is told of it, and nobody is told where nobody died.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use shmkit::sync::{Locked, Party};
use shmkit::{Options, Region};

use super::history::{Event, History, Kind};
use super::support::*;
use super::{join, FIRST};

const WORKERS: usize = 3;
const THREADS: u32 = 2;
const STOP: usize = FIRST + 1024;
const HISTORY: usize = 512 << 10;

/// In the place of a lock's number.
const READS: usize = 0;
const WRITES: usize = 1;

fn history(region: &Region) -> &History {
    unsafe { &*region.as_ptr().add(HISTORY).cast() }
}

fn stop(region: &Region) -> &AtomicU32 {
    unsafe { &*region.as_ptr().add(STOP).cast() }
}

fn work(region: &Region, incarnation: u32) {
    let party = join(region);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let party = &party;
            scope.spawn(move || turns(region, party, incarnation << 4 | thread));
        }
    });
}

fn turns(region: &Region, party: &Party<'_>, who: u32) {
    let (history, lock) = (history(region), party.rwlock(FIRST).unwrap());
    let mut chance = Chance::new(who.into());
    while stop(region).load(Ordering::Relaxed) == 0 {
        history.wait_for_room();
        let writes = chance.below(3) == 0;
        let locked = if writes { lock.write() } else { lock.read() }.unwrap();
        let how = if writes || locked == Locked::OwnerDied { WRITES } else { READS };
        let kind = if locked == Locked::OwnerDied { Kind::AcquiredFromDead } else { Kind::Acquired };
        history.append(Event::new(kind, how, who));
        // Others come, and fall asleep meanwhile.
        match chance.below(4) {
            0 => std::thread::sleep(Duration::from_micros(chance.below(500) as u64)),
            times => (0..times).for_each(|_| std::thread::yield_now()),
        }
        if locked == Locked::OwnerDied {
            lock.consistent().unwrap();
        }
        history.append(Event::new(Kind::Released, how, who));
        lock.unlock().unwrap();
    }
}

/// Reads the history, and knows what may come next.
#[derive(Default)]
struct Checker {
    read: u64,
    writer: Option<u32>,
    readers: HashSet<u32>,
    /// Incarnations that are dead, or about to die.
    mortal: HashSet<u32>,
    turns: u64,
    recoveries: u64,
}

impl Checker {
    fn read_on(&mut self, history: &History) {
        while let Some(event) = history.get(self.read) {
            self.look_at(event);
            self.read += 1;
            history.let_go(self.read);
        }
    }

    fn look_at(&mut self, event: Event) {
        let Event { kind, lock: how, who } = event;
        let at = self.read;
        let mortal = |who: u32| self.mortal.contains(&(who >> 4));
        match kind {
            Kind::Acquired | Kind::AcquiredFromDead => {
                let writer = self.writer.take();
                assert!(writer.is_none_or(mortal), "{at}: {event:?} beside the writer {writer:?}");
                assert!(writer.is_none() || kind == Kind::AcquiredFromDead, "{at}: {event:?} is not told");
                assert!(
                    kind == Kind::Acquired || !self.mortal.is_empty(),
                    "{at}: {event:?}, and nobody died"
                );
                self.recoveries += u64::from(kind == Kind::AcquiredFromDead);
                if how == WRITES {
                    let living: Vec<_> = self.readers.iter().filter(|&&reader| !mortal(reader)).collect();
                    assert!(living.is_empty(), "{at}: {event:?} beside the readers {living:?}");
                    self.writer = Some(who);
                } else {
                    self.readers.insert(who);
                }
            }
            Kind::Released => {
                self.turns += 1;
                let had = match how {
                    WRITES => self.writer.take() == Some(who),
                    _ => self.readers.remove(&who),
                };
                assert!(had, "{at}: {event:?} without having it");
            }
            Kind::Dying => drop(self.mortal.insert(who >> 4)),
            _ => panic!("{at}: {event:?}"),
        }
    }
}

#[test]
fn readers_and_writers_that_are_killed_at_random() {
    const DEATHS: u32 = 100;
    own_process!(120, || {
        let region = Region::create("readers", 2 << 20, &Options::default()).unwrap();
        let born = |incarnation: u32| (incarnation, fork(|| work(&region, incarnation)));
        let mut workers: Vec<_> = (1..=WORKERS as u32).map(born).collect();
        let (mut checker, mut chance) = (Checker::default(), Chance::new(7));
        for death in 0..DEATHS {
            let until = checker.turns + chance.below(50) as u64;
            while checker.turns < until {
                checker.read_on(history(&region));
            }
            let (incarnation, victim) = workers.swap_remove(chance.below(WORKERS));
            history(&region).append(Event::new(Kind::Dying, 0, incarnation << 4));
            victim.slay();
            workers.push(born(WORKERS as u32 + 1 + death));
        }
        stop(&region).store(1, Ordering::Relaxed);
        for (_, worker) in workers {
            worker.join();
        }
        checker.read_on(history(&region));
        assert!(checker
            .readers
            .iter()
            .chain(&checker.writer)
            .all(|who| checker.mortal.contains(&(who >> 4))));
        assert!(checker.recoveries > 0, "no writer has died");
        tell(format!("{DEATHS} deaths, {} turns, {} recoveries", checker.turns, checker.recoveries));
    });
}

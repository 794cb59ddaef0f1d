//! Who takes and gives units dies: those of a tracked semaphore are all there again, of a plain one there are as
//! many as before and one less if it had taken one; and nobody sleeps where there is a unit.

use shmkit::sync::{Semaphore, SemaphoreFlags};

use super::super::soon;
use super::*;

const PLAIN: SemaphoreFlags = SemaphoreFlags::empty();
const TRACKED: SemaphoreFlags = SemaphoreFlags::TRACKED;

/// It has a unit more, and less.
const TAKES: &[&str] = &["semaphore.took", "semaphore.took_at_once"];
const GIVES: &[&str] = &["semaphore.gave", "semaphore.gave_at_once"];

const SOURCES: &[&str] =
    &[include_str!("../../../src/sync/semaphore.rs"), include_str!("../../../src/sync/units.rs")];

fn semaphore<'p>(party: &'p Party<'_>, units: u32, flags: SemaphoreFlags) -> Semaphore<'p> {
    party.semaphore(FIRST, units, flags).unwrap()
}

/// The gate of a plain one: a word's upper half.
fn gate(region: &Region) -> &AtomicU32 {
    word_at(region, if cfg!(target_endian = "big") { 24 } else { 28 })
}

// ---- Plain ------------------------------------------------------------------------------------

/// One who takes a unit, and keeps it, and sleeps by now.
fn taker(scene: &Scene<'_>) -> Child {
    let taker = worker(&scene.region, |party, _| semaphore(party, 0, PLAIN).wait().unwrap());
    taker.go();
    assert_eq!(await_rest(&taker.child, on(gate(&scene.region))), Rest::Asleep);
    taker.child
}

/// Gives a unit more to each who sleeps than `units` that there are, and sees that there is none left.
fn satisfy(scene: &Scene<'_>, mut units: usize, mut takers: Vec<Child>, what: &str) {
    while !takers.is_empty() {
        if units == 0 {
            another(&scene.region, what, |party| semaphore(party, 0, PLAIN).post().unwrap());
            units += 1;
        }
        one_ends(&mut takers, what);
        units -= 1;
    }
    another(&scene.region, what, |party| {
        assert_eq!(semaphore(party, 0, PLAIN).value(), Ok(units as u32), "{what}: units");
    });
}

/// Dies in the middle of what it does, while so many sleep; then there are `units`, but for what it took and gave.
fn alone(scene: &Scene<'_>, units: u32, sleepers: usize, body: fn(Semaphore<'_>, &dyn Fn())) -> Fate {
    let victim = scene.victim(|party, arm| body(semaphore(party, units, PLAIN), arm));
    let takers = (0..sleepers).map(|_| taker(scene)).collect();
    victim.go(|_| false);
    let fate = victim.dies();
    let units = units as usize + fate.times(GIVES) - fate.times(TAKES);
    satisfy(scene, units, takers, &fate.what);
    fate
}

/// Dies while it waits, and others behind it, and gets one of so many units that somebody gives. `overtaken`:
/// somebody comes by when it is stopped, and takes one.
fn dying_waiter(scene: &Scene<'_>, given: usize, overtaken: bool) -> Fate {
    let region = &scene.region;
    let passer =
        worker(region, |party, told| told.tell(semaphore(party, 0, PLAIN).try_wait().is_ok().into()));
    let giver = worker(region, |party, _| {
        (0..given).for_each(|_| semaphore(party, 0, PLAIN).post().unwrap());
    });
    let victim = scene.victim(|party, arm| {
        let semaphore = semaphore(party, 0, PLAIN);
        arm();
        semaphore.wait().unwrap();
    });
    let asleep = victim.go(on(gate(region))) == Rest::Asleep;
    let takers: Vec<_> = (0..2).map(|_| taker(scene)).collect();
    let mut units = 0;
    if asleep {
        giver.go();
        ends(giver.child, &victim.what);
        units += given;
        victim.await_stop();
    }
    if overtaken {
        passer.go();
        units -= passer.told.hear() as usize;
    }
    let fate = victim.dies();
    satisfy(scene, units - fate.times(TAKES), takers, &fate.what);
    fate
}

/// Dies when it has slept, and finds one unit for itself and one for another.
fn finds_more(scene: &Scene<'_>) -> Fate {
    let region = &scene.region;
    let victim = scene.victim(|party, arm| {
        let semaphore = semaphore(party, 0, PLAIN);
        arm();
        semaphore.wait().unwrap();
    });
    let asleep = victim.go(on(gate(region))) == Rest::Asleep;
    if asleep {
        victim.child.kill(libc::SIGSTOP);
        victim.await_stop();
        another(region, &victim.what, |party| {
            (0..2).for_each(|_| semaphore(party, 0, PLAIN).post().unwrap());
        });
        victim.child.kill(libc::SIGCONT);
        victim.await_stop();
    }
    let fate = victim.dies();
    let units = if asleep { 2 - fate.times(TAKES) } else { 0 };
    satisfy(scene, units, vec![], &fate.what);
    fate
}

#[test]
fn a_plain_semaphore_at_each_step() {
    own_process!(240, || {
        steps::without_slices(true);
        let mut seen = Seen::default();
        let mut each = |name: &str, scene: &dyn Fn(&Scene<'_>) -> Fate| seen.at_each_step(name, scene);
        each("takes and gives", &|scene| {
            alone(scene, 1, 0, |semaphore, arm| {
                arm();
                semaphore.wait().unwrap();
                semaphore.post().unwrap();
            })
        });
        each("gives to sleepers", &|scene| {
            alone(scene, 0, 2, |semaphore, arm| {
                arm();
                semaphore.post().unwrap();
            })
        });
        each("gives to the sleepers there were", &|scene| {
            alone(scene, 0, 0, |semaphore, arm| {
                semaphore.wait_until(soon()).unwrap_err();
                arm();
                semaphore.post().unwrap();
                semaphore.wait().unwrap();
            })
        });
        each("waits until a deadline", &|scene| {
            alone(scene, 0, 2, |semaphore, arm| {
                arm();
                semaphore.wait_until(soon()).unwrap_err();
            })
        });
        each("waits", &|scene| dying_waiter(scene, 1, false));
        each("waits, and is overtaken", &|scene| dying_waiter(scene, 1, true));
        each("waits for some", &|scene| dying_waiter(scene, 2, false));
        each("waits for some, and is overtaken", &|scene| dying_waiter(scene, 3, true));
        each("finds more than it needs", &finds_more);
        // Its deadline is over in the moment in which somebody has opened the gate, and woken it.
        seen.assert_all_of(SOURCES, &["tracked.", "semaphore.left_it"]);
    });
}

// ---- Tracked ----------------------------------------------------------------------------------

struct Situation {
    name: &'static str,
    capacity: u32,
    /// So many units another has, and gives them back when the victim sleeps, or has died.
    held: u32,
    /// Others sleep when the victim begins, instead of behind it.
    awaited: bool,
    victim: fn(Semaphore<'_>, &dyn Fn()),
}

const SITUATIONS: &[Situation] = &[
    Situation {
        name: "takes and gives",
        capacity: 2,
        held: 0,
        awaited: false,
        victim: |semaphore, arm| {
            arm();
            semaphore.wait().unwrap();
            semaphore.try_wait().unwrap();
            semaphore.post().unwrap();
            semaphore.post().unwrap();
        },
    },
    Situation {
        name: "gives to sleepers",
        capacity: 1,
        held: 0,
        awaited: true,
        victim: |semaphore, arm| {
            semaphore.wait().unwrap();
            arm();
            semaphore.post().unwrap();
        },
    },
    Situation {
        name: "gives both to sleepers",
        capacity: 2,
        held: 0,
        awaited: true,
        victim: |semaphore, arm| {
            semaphore.wait().unwrap();
            semaphore.wait().unwrap();
            arm();
            semaphore.post().unwrap();
            semaphore.post().unwrap();
        },
    },
    Situation {
        name: "waits",
        capacity: 1,
        held: 1,
        awaited: false,
        victim: |semaphore, arm| {
            arm();
            semaphore.wait().unwrap();
            semaphore.post().unwrap();
        },
    },
    Situation {
        name: "waits for one of two",
        capacity: 2,
        held: 2,
        awaited: false,
        victim: |semaphore, arm| {
            arm();
            semaphore.wait().unwrap();
            semaphore.post().unwrap();
        },
    },
    Situation {
        name: "waits until a deadline",
        capacity: 1,
        held: 1,
        awaited: true,
        victim: |semaphore, arm| {
            arm();
            semaphore.wait_until(soon()).unwrap_err();
        },
    },
    Situation {
        name: "tries in vain",
        capacity: 1,
        held: 1,
        awaited: true,
        victim: |semaphore, arm| {
            arm();
            semaphore.try_wait().unwrap_err();
        },
    },
];

fn tracked(scene: &Scene<'_>, situation: &Situation) -> Fate {
    let (region, &Situation { capacity, held, .. }) = (&scene.region, situation);
    let (holds, go) = (Line::new(), Line::new());
    let holder = survivor(region, |party| {
        let semaphore = semaphore(party, capacity, TRACKED);
        (0..held).for_each(|_| semaphore.wait().unwrap());
        holds.tell(1);
        go.hear();
        (0..held).for_each(|_| semaphore.post().unwrap());
    });
    holder.go();
    holds.hear();
    let turn = |party: &Party<'_>| {
        let semaphore = semaphore(party, capacity, TRACKED);
        semaphore.wait().unwrap();
        semaphore.post().unwrap();
    };
    let others: Vec<_> = (0..2).map(|_| survivor(region, turn)).collect();
    let victim = scene.victim(|party, arm| {
        (situation.victim)(semaphore(party, capacity, TRACKED), arm);
    });
    if situation.awaited {
        go_to_sleep_for_long(&others, scene.name);
    }
    let asleep = victim.go(for_long) == Rest::Asleep;
    if asleep {
        go_to_sleep_for_long(&others, scene.name);
        go.tell(1);
        victim.await_stop();
    }
    let fate = victim.dies();
    if !asleep {
        // As nobody was behind it they come now.
        if !situation.awaited {
            others.iter().for_each(Worker::go);
        }
        go.tell(1);
    }
    hear(&holder.told, &fate.what);
    all_are_done(&others, &fate.what);
    another(region, &fate.what, |party| {
        let semaphore = semaphore(party, capacity, TRACKED);
        (0..capacity).for_each(|_| semaphore.wait().unwrap());
        semaphore.try_wait().unwrap_err();
        (0..capacity).for_each(|_| semaphore.post().unwrap());
        assert_eq!(semaphore.value(), Ok(capacity), "{}: units", fate.what);
    });
    fate
}

#[test]
fn a_tracked_semaphore_at_each_step() {
    own_process!(240, || {
        steps::without_slices(true);
        let mut seen = Seen::default();
        for situation in SITUATIONS {
            seen.at_each_step(situation.name, |scene| tracked(scene, situation));
        }
        // Its deadline is over while somebody is stopped who takes.
        seen.assert_all_of(SOURCES, &["semaphore.", "tracked.left_it"]);
    });
}

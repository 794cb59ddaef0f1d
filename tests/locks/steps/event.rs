//! An event whose setters and waiters die: what was set lets one pass (an automatic one), or all; nobody sleeps
//! through it, and nobody passes twice.

use shmkit::sync::{Event, EventFlags};

use super::super::soon;
use super::*;

const MANUAL: EventFlags = EventFlags::empty();
const AUTOMATIC: EventFlags = EventFlags::AUTO_RESET;

/// The event is set.
const SETS: &[&str] = &["event.set", "event.set_at_once"];
/// An automatic one is not set any more.
const TAKES: &[&str] = &["event.took", "event.took_at_once"];

fn event<'p>(party: &'p Party<'_>, flags: EventFlags) -> Event<'p> {
    party.event(FIRST, flags).unwrap()
}

fn waiter(scene: &Scene<'_>, flags: EventFlags) -> Worker {
    worker(&scene.region, move |party, _| event(party, flags).wait())
}

fn sleeper(scene: &Scene<'_>, flags: EventFlags) -> Child {
    let waiter = waiter(scene, flags);
    waiter.go();
    assert_eq!(await_rest(&waiter.child, on(word_at(&scene.region, 0))), Rest::Asleep);
    waiter.child
}

fn set(scene: &Scene<'_>, flags: EventFlags, what: &str) {
    another(&scene.region, what, |party| event(party, flags).set());
}

fn is_set(scene: &Scene<'_>) -> bool {
    word_at(&scene.region, 0).load(Ordering::SeqCst) & 1 << 30 != 0
}

/// Dies while it sets the event once, before which so many sleep.
fn setter(scene: &Scene<'_>, flags: EventFlags, sleepers: usize, before: fn(Event<'_>)) -> Fate {
    let victim = scene.victim(|party, arm| {
        let event = event(party, flags);
        before(event);
        arm();
        event.set();
    });
    let mut sleepers: Vec<_> = (0..sleepers).map(|_| sleeper(scene, flags)).collect();
    victim.go(|_| false);
    let fate = victim.dies();
    match (fate.times(SETS), flags) {
        (0, _) => {}
        (_, AUTOMATIC) if sleepers.is_empty() => {
            assert!(is_set(scene), "{}: what was set is not", fate.what);
            another(&scene.region, &fate.what, |party| event(party, flags).wait());
        }
        (_, AUTOMATIC) => one_ends(&mut sleepers, &fate.what),
        _ => all_end(std::mem::take(&mut sleepers), &fate.what),
    }
    while !sleepers.is_empty() {
        assert!(!is_set(scene), "{}: somebody sleeps", fate.what);
        set(scene, flags, &fate.what);
        match flags {
            AUTOMATIC => one_ends(&mut sleepers, &fate.what),
            _ => all_end(std::mem::take(&mut sleepers), &fate.what),
        }
    }
    if flags == AUTOMATIC {
        assert!(!is_set(scene), "{}: it was set twice", fate.what);
    }
    fate
}

/// Sleepers were there, and have gone: W is left.
fn leave_a_mark(event: Event<'_>) {
    event.wait_until(soon()).unwrap_err();
}

/// Dies while it waits until somebody sets the event, with another who waits behind it. `overtaken`: when it is
/// stopped somebody comes by, and takes what was set.
fn dying_waiter(scene: &Scene<'_>, flags: EventFlags, overtaken: bool) -> Fate {
    let passer = worker(&scene.region, |party, told| told.tell(event(party, flags).try_wait().into()));
    let victim = scene.victim(|party, arm| {
        let event = event(party, flags);
        arm();
        event.wait();
    });
    let asleep = victim.go(on(word_at(&scene.region, 0))) == Rest::Asleep;
    let behind = sleeper(scene, flags);
    if asleep {
        set(scene, flags, &victim.what);
        victim.await_stop();
    }
    let mut left = usize::from(asleep);
    if overtaken {
        passer.go();
        let took = passer.told.hear() == 1 && flags == AUTOMATIC;
        left -= usize::from(took);
    }
    let fate = victim.dies();
    if flags == AUTOMATIC {
        left = left.saturating_sub(fate.times(TAKES));
    }
    if left == 0 {
        set(scene, flags, &fate.what);
    }
    ends(behind, &fate.what);
    assert_eq!(is_set(scene), flags == MANUAL, "{}", fate.what);
    fate
}

/// Dies while its deadline passes, with another who waits behind it, and gets what is set then.
fn impatient(scene: &Scene<'_>, flags: EventFlags) -> Fate {
    let victim = scene.victim(|party, arm| {
        let event = event(party, flags);
        arm();
        event.wait_until(soon()).unwrap_err();
    });
    let behind = sleeper(scene, flags);
    victim.go(|_| false);
    let fate = victim.dies();
    set(scene, flags, &fate.what);
    ends(behind, &fate.what);
    fate
}

#[test]
fn an_event_at_each_step() {
    own_process!(240, || {
        steps::without_slices(true);
        let mut seen = Seen::default();
        for (kind, flags) in [("automatic", AUTOMATIC), ("manual", MANUAL)] {
            let mut each = |name: &str, scene: &dyn Fn(&Scene<'_>) -> Fate| {
                seen.at_each_step(&format!("{kind}: {name}"), scene);
            };
            each("set", &|scene| setter(scene, flags, 0, |_| ()));
            each("set with sleepers", &|scene| setter(scene, flags, 2, |_| ()));
            each("set without the sleepers there were", &|scene| setter(scene, flags, 0, leave_a_mark));
            each("wait", &|scene| dying_waiter(scene, flags, false));
            each("wait, and be overtaken", &|scene| dying_waiter(scene, flags, true));
            each("wait until a deadline", &|scene| impatient(scene, flags));
            each("wait for what is set", &|scene| {
                let victim = scene.victim(|party, arm| {
                    let event = event(party, flags);
                    event.set();
                    arm();
                    event.wait();
                    event.set();
                });
                victim.go(|_| false);
                let fate = victim.dies();
                let left = flags == MANUAL || fate.times(TAKES) == fate.times(SETS);
                assert_eq!(is_set(scene), left, "{}", fate.what);
                fate
            });
        }
        seen.assert_all_of(&[include_str!("../../../src/sync/event.rs")], &[]);
    });
}

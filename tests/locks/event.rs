use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use shmkit::sync::EventFlags;
use shmkit::{Deadline, Region};

use super::support::*;
use super::{await_sleep, in_time, join, region, FIRST, TABLE};

const AUTO: EventFlags = EventFlags::AUTO_RESET;
const MANUAL: EventFlags = EventFlags::empty();

fn soon() -> Deadline {
    Deadline::after(Duration::from_millis(10))
}

/// So many children asleep at the event, which tell their number when they have passed.
fn sleepers(region: &Region, flags: EventFlags, count: i64, passed: &Line) -> Vec<Child> {
    let here = Line::new();
    let children: Vec<_> = (0..count)
        .map(|number| {
            fork(|| {
                let party = join(region);
                here.tell(1);
                party.event(FIRST, flags).unwrap().wait();
                passed.tell(number);
            })
        })
        .collect();
    children.iter().for_each(|_| assert_eq!(here.hear(), 1));
    children.iter().for_each(|child| await_sleep(child.pid()));
    children
}

#[test]
fn a_manual_event_lets_all_pass_until_it_is_reset() {
    own_process!(10, || {
        let region = region();
        let passed = Line::new();
        let children = sleepers(&region, MANUAL, 3, &passed);
        let party = join(&region);
        let event = party.event(FIRST, MANUAL).unwrap();
        assert!(!event.made() && !event.is_set());
        assert_eq!(event.wait_until(soon()).unwrap_err().errno(), Some(libc::ETIMEDOUT));
        event.set();
        children.into_iter().for_each(Child::join);
        event.wait();
        event.set();
        assert!(event.is_set() && event.try_wait() && event.is_set());
        assert!(event.reset());
        assert!(!event.reset() && !event.is_set() && !event.try_wait());
    });
}

#[test]
fn an_automatic_event_lets_one_pass() {
    own_process!(10, || {
        let region = region();
        let passed = Line::new();
        let children = sleepers(&region, AUTO, 3, &passed);
        let party = join(&region);
        let event = party.event(FIRST, AUTO).unwrap();
        for _ in 0..3 {
            event.set();
            passed.hear();
            assert!(!event.is_set());
            assert!(!passed.is_told());
        }
        children.into_iter().for_each(Child::join);
        // Two sets are one.
        event.set();
        event.set();
        assert!(event.try_wait() && !event.try_wait());
        assert_eq!(event.wait_until(soon()).unwrap_err().errno(), Some(libc::ETIMEDOUT));
    });
}

#[test]
fn who_sleeps_passes_though_the_event_is_reset_at_once() {
    own_process!(20, || {
        let region = region();
        for _ in 0..20 {
            let passed = Line::new();
            let children = sleepers(&region, MANUAL, 2, &passed);
            let party = join(&region);
            let event = party.event(FIRST, MANUAL).unwrap();
            event.set();
            event.reset();
            children.into_iter().for_each(Child::join);
            party.leave().unwrap();
        }
    });
}

/// Of two who sleep, one is woken and killed before or after it has passed.
#[test]
fn a_woken_waiter_that_is_killed_passes_the_wake_up_on() {
    own_process!(60, || {
        let region = region();
        let (mut passed_on, mut slow) = (0, 0);
        for _ in 0..200 {
            let passed = Line::new();
            let children = sleepers(&region, AUTO, 2, &passed);
            let party = join(&region);
            let event = party.event(FIRST, AUTO).unwrap();
            let before = monotonic_ns();
            event.set();
            // Who slept first is woken first.
            let mut children = children.into_iter();
            children.next().unwrap().slay();
            // By the kernel, not by the end of a slice.
            while event.is_set() {
                std::thread::yield_now();
            }
            slow += i32::from(monotonic_ns() - before > 500_000_000);
            assert!(slow < 10, "nobody was woken");
            if passed.is_told() && passed.hear() == 1 {
                passed_on += 1;
            }
            party.leave().unwrap();
        }
        assert!(passed_on > 0, "each had passed before it was killed");
    });
}

#[test]
fn a_setter_that_is_killed_at_its_wake_leaves_nobody_asleep() {
    own_process!(20, || {
        let attempt = |flags| {
            let region = region();
            let passed = Line::new();
            let children = sleepers(&region, flags, if flags == AUTO { 1 } else { 3 }, &passed);
            let setter = fork(|| {
                let party = join(&region);
                let event = party.event(FIRST, flags).unwrap();
                if let Err(why) = traced() {
                    event.set();
                    return skip(why);
                }
                event.set();
                loop {
                    std::thread::sleep(Duration::from_secs(1));
                }
            });
            setter.stop_at(libc::SYS_futex);
            let before = monotonic_ns();
            setter.slay();
            children.into_iter().for_each(Child::join);
            monotonic_ns() - before
        };
        in_time(|| attempt(MANUAL));
        in_time(|| attempt(AUTO));
    });
}

#[test]
fn what_is_no_event_is_refused() {
    own_process!(10, || {
        let region = region();
        let party = join(&region);
        let refused = |offset, flags| party.event(offset, flags).unwrap_err().errno() == Some(libc::EINVAL);
        region.write(FIRST, &[0xff; 32]).unwrap();
        assert!(refused(FIRST, MANUAL));
        region.write(FIRST, &[0; 32]).unwrap();
        assert!(party.event(FIRST, MANUAL).unwrap().made());
        assert!(refused(FIRST, AUTO));
        assert!(party.mutex(FIRST).is_err());
        for offset in [FIRST + 4, TABLE, (1 << 20) - 24, 1 << 20, usize::MAX - 7] {
            assert!(refused(offset, MANUAL), "{offset}");
        }
        assert!(party.event((1 << 20) - 32, AUTO).unwrap().made());
        assert_eq!(EventFlags::from_raw(2).unwrap_err().errno(), Some(libc::EINVAL));
    });
}

/// Whoever sets and whoever passes order what they write besides; none of many rounds is lost.
#[test]
fn two_processes_take_turns() {
    own_process!(30, || {
        const ROUNDS: u32 = 20_000;
        let region = region();
        let number = || unsafe { AtomicU32::from_ptr(region.as_ptr().add(FIRST + 1024).cast()) };
        let turns = |first: usize, second: usize, parity: u32| {
            let party = join(&region);
            let (mine, other) = (party.event(first, AUTO).unwrap(), party.event(second, AUTO).unwrap());
            for round in 0..ROUNDS {
                mine.wait();
                let seen = number().load(Ordering::Relaxed);
                assert_eq!(seen, 2 * round + parity);
                number().store(seen + 1, Ordering::Relaxed);
                other.set();
            }
        };
        number().store(0, Ordering::Relaxed);
        let child = fork(|| turns(FIRST + 64, FIRST, 1));
        let own = fork(|| {
            let party = join(&region);
            party.event(FIRST, AUTO).unwrap().set();
            turns(FIRST, FIRST + 64, 0);
        });
        child.join();
        own.join();
        assert_eq!(number().load(Ordering::Relaxed), 2 * ROUNDS);
    });
}

#[test]
fn a_word_that_is_forged_without_end_does_not_hold_up_a_deadline() {
    own_process!(10, || {
        let region = region();
        {
            let party = join(&region);
            assert!(party.event(FIRST, AUTO).unwrap().made());
            assert!(party.event(FIRST + 64, MANUAL).unwrap().made());
        }
        let begun = Line::new();
        let peer = fork(|| {
            let words = [0, 4, 64, 68]
                .map(|at| unsafe { AtomicU32::from_ptr(region.as_ptr().add(FIRST + at).cast()) });
            begun.tell(1);
            let mut value = 0u32;
            loop {
                value = value.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                words.iter().for_each(|word| word.store(value, Ordering::Relaxed));
            }
        });
        begun.hear();
        let party = join(&region);
        let before = monotonic_ns();
        for (offset, flags) in [(FIRST, AUTO), (FIRST + 64, MANUAL)] {
            let event = party.event(offset, flags).unwrap();
            for _ in 0..50 {
                let _ = event.wait_until(Deadline::after(Duration::from_millis(2)));
                event.set();
                event.reset();
            }
        }
        assert!(monotonic_ns() - before < 4_000_000_000);
        peer.slay();
        region.write(FIRST, &[0; 128]).unwrap();
    });
}

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use shmkit::sync::{self, Party, PartyOptions, Semaphore, SemaphoreFlags, Watch};
use shmkit::{Deadline, Region};

use super::support::*;
use super::watch::is_readable_within;
use super::workers::*;
use super::{errno_of, in_child, in_time, join, region, FIRST, TABLE};

const PLAIN: SemaphoreFlags = SemaphoreFlags::empty();
const TRACKED: SemaphoreFlags = SemaphoreFlags::TRACKED;
const EAGAIN: Option<i32> = Some(libc::EAGAIN);
const ETIMEDOUT: Option<i32> = Some(libc::ETIMEDOUT);

fn semaphore<'a>(party: &'a Party<'_>, units: u32, flags: SemaphoreFlags) -> Semaphore<'a> {
    party.semaphore(FIRST, units, flags).unwrap()
}

fn now() -> Deadline {
    Deadline::at_ns(0).unwrap()
}

/// One who takes a unit, tells, and keeps it until it is killed.
fn taker(region: &Region, units: u32, flags: SemaphoreFlags) -> Worker {
    worker(region, move |party, told| {
        semaphore(party, units, flags).wait().unwrap();
        told.tell(1);
        std::thread::sleep(Duration::from_secs(1000));
    })
}

#[test]
fn what_a_plain_one_answers() {
    own_process!(10, || {
        let region = region();
        let party = join(&region);
        let two = semaphore(&party, 2, PLAIN);
        assert!(two.made() && !semaphore(&party, 7, PLAIN).made());
        assert_eq!(two.value(), Ok(2));
        assert_eq!(two.wait(), Ok(()));
        assert_eq!(two.wait_until(now()), Ok(()));
        assert_eq!(two.value(), Ok(0));
        assert_eq!(errno_of(two.try_wait()), EAGAIN);
        assert_eq!(errno_of(two.wait_until(now())), ETIMEDOUT);
        let soon = Deadline::after(Duration::from_millis(5));
        assert_eq!(errno_of(two.wait_until(soon)), ETIMEDOUT);
        // Anybody gives.
        (0..3).for_each(|_| two.post().unwrap());
        assert_eq!(two.value(), Ok(3));
        assert_eq!(two.try_wait(), Ok(()));
        assert_eq!(two.value(), Ok(2));

        let most = i32::MAX as u32;
        let full = party.semaphore(FIRST + 32, most, PLAIN).unwrap();
        assert_eq!(errno_of(full.post()), Some(libc::EOVERFLOW));
        assert_eq!(full.value(), Ok(most));
        full.wait().unwrap();
        full.post().unwrap();
        assert_eq!(full.value(), Ok(most));
        for units in [most + 1, u32::MAX] {
            let refused = party.semaphore(FIRST + 64, units, PLAIN).unwrap_err();
            assert_eq!(refused.errno(), Some(libc::EINVAL));
        }
    });
}

#[test]
fn what_a_tracked_one_answers() {
    own_process!(10, || {
        let region = region();
        let party = join(&region);
        let two = semaphore(&party, 2, TRACKED);
        assert!(two.made() && !semaphore(&party, 2, TRACKED).made());
        assert_eq!(errno_of(two.post()), Some(libc::EPERM));
        assert_eq!(two.wait(), Ok(()));
        assert_eq!(two.value(), Ok(1));
        assert_eq!(two.wait_until(now()), Ok(()));
        assert_eq!(two.value(), Ok(0));
        assert_eq!(errno_of(two.try_wait()), EAGAIN);
        let soon = Deadline::after(Duration::from_millis(5));
        assert_eq!(errno_of(two.wait_until(soon)), ETIMEDOUT);
        in_child(|| {
            assert_eq!(errno_of(two.post()), Some(libc::EPERM));
            assert_eq!(errno_of(two.try_wait()), EAGAIN);
        });
        two.post().unwrap();
        assert_eq!(two.try_wait(), Ok(()));
        // With units nobody leaves; a process that ends gives them back.
        (0..2).for_each(|_| two.post().unwrap());
        drop(party);
        fork(|| {
            let party = join(&region);
            semaphore(&party, 2, TRACKED).wait().unwrap();
            assert_eq!(party.leave().unwrap_err().errno(), Some(libc::EBUSY));
            let party = join(&region);
            assert_eq!(semaphore(&party, 2, TRACKED).value(), Ok(1));
        })
        .join();
        assert_eq!(semaphore(&join(&region), 2, TRACKED).value(), Ok(2));
    });
}

#[test]
fn other_bytes_are_no_semaphore() {
    own_process!(10, || {
        let region = region();
        let party = join(&region);
        let plain = semaphore(&party, 1, PLAIN);
        let refused =
            |offset, units, flags: SemaphoreFlags| party.semaphore(offset, units, flags).unwrap_err().errno();
        let invalid = Some(libc::EINVAL);
        assert_eq!(refused(FIRST, 1, TRACKED), invalid);
        assert_eq!(refused(FIRST + 64, 0, TRACKED), invalid);
        assert_eq!(refused(FIRST + 4, 1, PLAIN), invalid);
        assert_eq!(refused(TABLE + 64, 1, PLAIN), invalid);
        assert_eq!(SemaphoreFlags::from_raw(2).unwrap_err().errno(), invalid);
        region.write(FIRST, &[0xff; 32]).unwrap();
        assert_eq!(refused(FIRST, 1, PLAIN), invalid);
        assert_eq!(errno_of(plain.wait()), invalid);
        region.write(FIRST, &[0; 32]).unwrap();
        assert_eq!(errno_of(plain.wait()), invalid);
        assert_eq!(errno_of(plain.try_wait()), invalid);
        assert_eq!(errno_of(plain.post()), invalid);
        assert_eq!(errno_of(plain.value()), invalid);
        // An initialiser died half way: one who wants the same goes on.
        region.write(FIRST + 24, &(1u64 << 31 | 3).to_ne_bytes()).unwrap();
        assert_eq!(refused(FIRST, 1, PLAIN), invalid);
        assert!(semaphore(&party, 3, PLAIN).made());
        region.write(FIRST, &[0; 32]).unwrap();
        region.write(FIRST + 24, &[1; 1]).unwrap();
        assert_eq!(refused(FIRST, 3, PLAIN), invalid);

        // Cells are given away for good.
        let small = PartyOptions { cells: 16, slots: 2, ..PartyOptions::default() };
        let party = Party::join(&region, 512 << 10, &small).unwrap();
        let at = |index: usize| (256 << 10) + index * 32;
        for index in 0..16 {
            assert!(party.semaphore(at(index), 1, TRACKED).unwrap().made());
        }
        let full = party.semaphore(at(16), 1, TRACKED).unwrap_err();
        assert_eq!(full.errno(), Some(libc::ENOLCK));
        assert!(!party.semaphore(at(3), 1, TRACKED).unwrap().made());
        // A cell that is none.
        region.write(at(3) + 24, &(4000u64 << 32 | 1 << 31 | 1).to_ne_bytes()).unwrap();
        assert_eq!(errno_of(party.semaphore(at(3), 1, TRACKED).unwrap().wait()), invalid);
    });
}

fn counter(region: &Region, index: usize) -> &AtomicU64 {
    unsafe { AtomicU64::from_ptr(region.as_ptr().add(FIRST + 256 + index * 8).cast()) }
}

/// Never more inside than there are units, and all get through.
fn as_many_are_inside_as_there_are_units(flags: SemaphoreFlags) {
    const UNITS: u64 = 2;
    const ROUNDS: u64 = 3_000;
    let region = region();
    let workers = [(); 4].map(|()| {
        worker(&region, |party, _| {
            let semaphore = semaphore(party, UNITS as u32, flags);
            for _ in 0..ROUNDS {
                semaphore.wait().unwrap();
                assert!(counter(&region, 0).fetch_add(1, Ordering::Relaxed) < UNITS);
                counter(&region, 1).fetch_add(1, Ordering::Relaxed);
                counter(&region, 0).fetch_sub(1, Ordering::Relaxed);
                semaphore.post().unwrap();
            }
        })
    });
    workers.iter().for_each(Worker::go);
    workers.into_iter().for_each(|worker| worker.child.join());
    assert_eq!(counter(&region, 1).load(Ordering::Relaxed), 4 * ROUNDS);
    assert_eq!(semaphore(&join(&region), UNITS as u32, flags).value(), Ok(UNITS as u32));
}

#[test]
fn as_many_are_inside_as_there_are_units_of_a_plain_one() {
    own_process!(30, || as_many_are_inside_as_there_are_units(PLAIN));
}

#[test]
fn as_many_are_inside_as_there_are_units_of_a_tracked_one() {
    own_process!(30, || as_many_are_inside_as_there_are_units(TRACKED));
}

#[test]
fn units_of_a_dead_process_come_back() {
    own_process!(60, || {
        mostly_soon(|| {
            let region = region();
            let owners = [(); 2].map(|()| taker(&region, 2, TRACKED));
            let heirs = [(); 2].map(|()| taker(&region, 2, TRACKED));
            for owner in &owners {
                owner.go();
                owner.told.hear();
            }
            let party = join(&region);
            let two = semaphore(&party, 2, TRACKED);
            heirs.iter().for_each(Worker::go_to_sleep);
            assert_eq!(errno_of(two.try_wait()), EAGAIN);
            // Being stopped is no death.
            let [first, second] = owners;
            first.stop();
            let soon = Deadline::after(Duration::from_millis(20));
            assert_eq!(errno_of(two.wait_until(soon)), ETIMEDOUT);
            first.child.slay();
            second.child.slay();
            heirs.iter().for_each(|heir| assert_eq!(heir.hear_soon(), 1));
            assert_eq!(two.value(), Ok(0));
            heirs.into_iter().for_each(|heir| heir.child.slay());
            assert_eq!(two.wait(), Ok(()));
            assert_eq!(two.try_wait(), Ok(()));
            (0..2).for_each(|_| two.post().unwrap());
            assert_eq!(errno_of(two.post()), Some(libc::EPERM));
        });
    });
}

/// Each way in which one who waits can take a wake-up with it: another one who waits has the unit.
fn a_wake_up_does_not_die_with_a_waiter(flags: SemaphoreFlags) {
    let region = region();
    for way in 0..3 {
        for _ in 0..5 {
            let workers = [(); 2].map(|()| taker(&region, 1, flags));
            let party = join(&region);
            let one = semaphore(&party, 1, flags);
            one.wait().unwrap();
            workers.iter().for_each(Worker::go_to_sleep);
            let [victim, heir] = workers;
            if way == 0 {
                victim.child.kill(libc::SIGKILL);
            }
            one.post().unwrap();
            match way {
                0 => {}
                1 => victim.child.kill(libc::SIGKILL),
                _ => {
                    victim.stop();
                    victim.child.kill(libc::SIGKILL);
                }
            }
            await_end(victim.child.pid());
            let begin = monotonic_ns();
            // Once in a while the victim is quicker, and a plain unit has died with it.
            while !heir.told.is_told() {
                if flags == PLAIN && one.value() == Ok(0) {
                    one.post().unwrap();
                }
                std::thread::sleep(Duration::from_micros(100));
            }
            note_wake_up(begin);
            victim.child.wait();
            heir.child.slay();
            if flags == PLAIN {
                region.write(FIRST, &[0; 32]).unwrap();
            }
        }
    }
}

#[test]
fn a_wake_up_of_a_plain_one_does_not_die_with_a_waiter() {
    own_process!(120, || {
        on_one_processor();
        mostly_soon(|| a_wake_up_does_not_die_with_a_waiter(PLAIN));
    });
}

#[test]
fn a_wake_up_of_a_tracked_one_does_not_die_with_a_waiter() {
    own_process!(120, || {
        on_one_processor();
        mostly_soon(|| a_wake_up_does_not_die_with_a_waiter(TRACKED));
    });
}

#[test]
fn units_come_back_without_futex_waitv() {
    own_process!(120, || {
        sync::pretend_without_waitv(true);
        on_one_processor();
        mostly_soon(|| a_wake_up_does_not_die_with_a_waiter(TRACKED));
        sync::pretend_without_waitv(false);
    });
}

/// The unit is there, and its giver is killed before it wakes who sleeps.
#[test]
fn who_dies_giving_leaves_nobody_asleep() {
    own_process!(60, || {
        mostly_soon(|| {
            let region = region();
            for flags in [PLAIN, TRACKED] {
                // One more, and it would be another semaphore.
                region.write(FIRST, &[0; 32]).unwrap();
                let waiter = taker(&region, 1, flags);
                let asleep = Line::new();
                let giver = {
                    let waiter = &waiter;
                    stopped_at_wake(&region, |party| {
                        let one = semaphore(party, 1, flags);
                        one.wait().unwrap();
                        waiter.go_to_sleep();
                        asleep.tell(1);
                        one.post().unwrap();
                    })
                };
                let Some(giver) = giver else { return };
                asleep.hear();
                assert!(!waiter.told.is_told());
                giver.slay();
                waiter.hear_soon();
                waiter.child.slay();
            }
        });
    });
}

/// A campaign: whoever waits is killed at any moment while units are given; those that are left get taken soon.
#[test]
fn kills_at_any_moment_leave_nobody_asleep() {
    own_process!(120, || {
        mostly_soon(|| {
            const ROUNDS: usize = 60;
            let mut chance = Chance::new(11);
            let region = region();
            let drain = || {
                let takers = [(); 3].map(|()| {
                    worker(&region, |party, _| {
                        let semaphore = semaphore(party, 0, PLAIN);
                        loop {
                            semaphore.wait().unwrap();
                        }
                    })
                });
                let party = join(&region);
                let semaphore = semaphore(&party, 0, PLAIN);
                takers.iter().for_each(Worker::go);
                let moments = [chance.below(200), chance.below(200)];
                for moment in 0..200 {
                    for (taker, _) in takers.iter().zip(moments).filter(|&(_, at)| at == moment) {
                        taker.child.kill(libc::SIGKILL);
                    }
                    semaphore.post().unwrap();
                }
                let begin = monotonic_ns();
                while semaphore.value() != Ok(0) {
                    std::thread::sleep(Duration::from_micros(200));
                }
                note_wake_up(begin);
                takers.into_iter().for_each(|taker| taker.child.slay());
            };
            std::iter::repeat_with(drain).take(ROUNDS).for_each(drop);
        });
    });
}

/// The same with units that come back: none is lost, whoever is killed with however many.
#[test]
fn no_tracked_unit_is_lost() {
    own_process!(60, || {
        const ROUNDS: usize = 25;
        const UNITS: u32 = 3;
        let mut chance = Chance::new(13);
        let region = region();
        for _ in 0..ROUNDS {
            let workers = [(); 4].map(|()| {
                worker(&region, |party, told| {
                    let semaphore = semaphore(party, UNITS, TRACKED);
                    for round in 0.. {
                        semaphore.wait().unwrap();
                        semaphore.post().unwrap();
                        if round == 100 {
                            told.tell(1);
                        }
                    }
                })
            });
            let party = join(&region);
            workers.iter().for_each(Worker::go);
            workers[0].told.hear();
            for worker in &workers {
                std::thread::sleep(Duration::from_micros(chance.below(3000) as u64));
                worker.child.kill(libc::SIGKILL);
            }
            let semaphore = semaphore(&party, UNITS, TRACKED);
            let soon = Deadline::after(Duration::from_secs(20));
            (0..UNITS).for_each(|_| semaphore.wait_until(soon).unwrap());
            assert_eq!(errno_of(semaphore.try_wait()), EAGAIN);
            (0..UNITS).for_each(|_| semaphore.post().unwrap());
            workers
                .into_iter()
                .for_each(|worker| assert_eq!(worker.child.wait(), End::Signal(libc::SIGKILL)));
        }
    });
}

/// Who has waited is gone, and the bytes are something else, before the giver has come to its wake-up.
#[test]
fn who_has_waited_may_use_the_bytes_of_a_plain_one() {
    own_process!(10, || {
        let region = region();
        let waiter = worker(&region, |party, told| {
            let none = semaphore(party, 0, PLAIN);
            while none.wait_until(Deadline::after(Duration::from_millis(100))).is_err() {}
            region.write(FIRST, &[0; 32]).unwrap();
            told.tell(1);
        });
        let giver = stopped_at_wake(&region, |party| {
            let none = semaphore(party, 0, PLAIN);
            waiter.go_to_sleep();
            none.post().unwrap();
        });
        let Some(giver) = giver else { return };
        waiter.told.hear();
        giver.go_on();
        giver.join();
        waiter.child.join();
        let mut bytes = [1; 32];
        region.read(FIRST, &mut bytes).unwrap();
        assert_eq!(bytes, [0; 32]);
    });
}

/// Units that are given at once, or one after the other: each gets to one who sleeps.
fn as_many_wake_as_there_are_units(flags: SemaphoreFlags, at_once: bool) {
    const UNITS: u32 = 3;
    let region = region();
    on_one_processor();
    let takers = [(); UNITS as usize].map(|()| taker(&region, UNITS, flags));
    let party = join(&region);
    let semaphore = semaphore(&party, UNITS, flags);
    (0..UNITS).for_each(|_| semaphore.wait().unwrap());
    takers.iter().for_each(Worker::go_to_sleep);
    if flags == TRACKED {
        takers.iter().for_each(Worker::await_long_sleep);
    }
    if at_once {
        (0..UNITS).for_each(|_| semaphore.post().unwrap());
    }
    let mut begin = monotonic_ns();
    for count in 1..=UNITS as usize {
        if !at_once {
            begin = monotonic_ns();
            semaphore.post().unwrap();
        }
        // Whoever it is.
        while takers.iter().filter(|taker| taker.told.is_told()).count() < count {
            std::thread::sleep(Duration::from_micros(100));
        }
        note_wake_up(begin);
    }
    takers.into_iter().for_each(|taker| taker.child.slay());
}

#[test]
fn as_many_wake_as_there_are_units_of_a_plain_one() {
    own_process!(60, || {
        mostly_soon(|| as_many_wake_as_there_are_units(PLAIN, true));
        mostly_soon(|| as_many_wake_as_there_are_units(PLAIN, false));
    });
}

#[test]
fn as_many_wake_as_there_are_units_of_a_tracked_one() {
    own_process!(60, || {
        mostly_soon(|| as_many_wake_as_there_are_units(TRACKED, true));
        mostly_soon(|| as_many_wake_as_there_are_units(TRACKED, false));
    });
}

#[test]
fn words_that_are_forged_without_end_do_not_hold_up_a_deadline() {
    own_process!(20, || {
        let region = region();
        for flags in [PLAIN, TRACKED] {
            assert!(semaphore(&join(&region), 1, flags).made());
            let begun = Line::new();
            let peer = fork(|| {
                let at = |offset: usize| unsafe { AtomicU32::from_ptr(region.as_ptr().add(offset).cast()) };
                begun.tell(1);
                let mut value = 0u32;
                loop {
                    for offset in [0, 4, 24, 28] {
                        value = value.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        at(FIRST + offset).store(value, Ordering::Relaxed);
                    }
                }
            });
            begun.hear();
            // With what it took it could not leave.
            fork(|| {
                let party = join(&region);
                let semaphore = semaphore(&party, 1, flags);
                let before = monotonic_ns();
                for _ in 0..50 {
                    let _ = semaphore.wait_until(Deadline::after(Duration::from_millis(2)));
                    let _ = semaphore.try_wait();
                    let _ = semaphore.post();
                    let _ = semaphore.value();
                }
                assert!(monotonic_ns() - before < 8_000_000_000);
            })
            .join();
            peer.slay();
            region.write(FIRST, &[0; 32]).unwrap();
        }
    });
}

/// Takes a unit by the descriptor alone.
fn wait_by_descriptor(semaphore: &Semaphore<'_>, watch: &Watch) {
    while let Err(code) = semaphore.wait_watch(watch) {
        assert_eq!(code.raw(), -libc::EAGAIN);
        assert!(is_readable_within(watch, -1));
    }
}

fn a_descriptor_for_units() {
    let region = region();
    let party = join(&region);
    let watch = Watch::new().unwrap();
    for (flags, offset) in [(PLAIN, FIRST), (TRACKED, FIRST + 32)] {
        let one = party.semaphore(offset, 1, flags).unwrap();
        one.wait_watch(&watch).unwrap();
        assert_eq!(errno_of(one.wait_watch(&watch)), EAGAIN);
        assert!(!is_readable_within(&watch, 5));
        one.post().unwrap();
        assert!(is_readable_within(&watch, -1));
        one.wait_watch(&watch).unwrap();
        assert!(!is_readable_within(&watch, 0));
        // Two wait for two units, which come at once.
        let other = Watch::new().unwrap();
        if flags == PLAIN {
            [&watch, &other]
                .into_iter()
                .for_each(|watch| assert_eq!(errno_of(one.wait_watch(watch)), EAGAIN));
            (0..2).for_each(|_| one.post().unwrap());
            [&watch, &other].into_iter().for_each(|watch| wait_by_descriptor(&one, watch));
            assert_eq!(one.value(), Ok(0));
        }
        // Who gives up leaves it to the next.
        [&watch, &other].into_iter().for_each(|watch| assert_eq!(errno_of(one.wait_watch(watch)), EAGAIN));
        one.post().unwrap();
        assert!(is_readable_within(&watch, -1));
        watch.cancel().unwrap();
        assert!(is_readable_within(&other, -1));
        wait_by_descriptor(&one, &other);
        one.post().unwrap();
    }
}

#[test]
fn a_unit_makes_a_descriptor_readable() {
    own_process!(10, a_descriptor_for_units);
}

#[test]
fn a_unit_makes_a_descriptor_readable_without_futex_waitv() {
    own_process!(10, || {
        sync::pretend_without_waitv(true);
        a_descriptor_for_units();
    });
}

#[test]
fn dead_units_make_a_descriptor_readable() {
    own_process!(10, || {
        in_time(|| {
            let region = region();
            let taker = taker(&region, 1, TRACKED);
            taker.go();
            taker.told.hear();
            let party = join(&region);
            let one = semaphore(&party, 1, TRACKED);
            let watch = Watch::new().unwrap();
            assert_eq!(errno_of(one.wait_watch(&watch)), EAGAIN);
            assert!(!is_readable_within(&watch, 5));
            let before = monotonic_ns();
            taker.child.kill(libc::SIGKILL);
            wait_by_descriptor(&one, &watch);
            let took_ns = monotonic_ns() - before;
            one.post().unwrap();
            taker.child.wait();
            took_ns
        });
    });
}

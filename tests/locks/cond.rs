use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shmkit::sync::{self, Condvar, Locked, Mutex, Party, Watch};
use shmkit::{Deadline, Region};

use super::support::*;
use super::workers::*;
use super::{errno_of, join, region, FIRST, TABLE};

pub const COND: usize = FIRST + 64;
const COUNTS: usize = FIRST + 256;

/// A number that the mutex guards.
pub fn number(region: &Region, index: usize) -> &AtomicU64 {
    unsafe { AtomicU64::from_ptr(region.as_ptr().add(COUNTS + index * 8).cast()) }
}

pub fn objects<'a>(party: &'a Party<'_>) -> (Mutex<'a>, Condvar<'a>) {
    (party.mutex(FIRST).unwrap(), party.condvar(COND).unwrap())
}

pub fn lock(mutex: &Mutex<'_>) {
    if mutex.lock().unwrap() == Locked::OwnerDied {
        mutex.consistent().unwrap();
    }
}

/// Waits until the number is not 0, and takes 1 of it.
fn take_one(region: &Region, party: &Party<'_>) {
    let (mutex, cond) = objects(party);
    let number = number(region, 0);
    lock(&mutex);
    while number.load(Ordering::Relaxed) == 0 {
        if cond.wait(&mutex).unwrap() == Locked::OwnerDied {
            mutex.consistent().unwrap();
        }
    }
    number.fetch_sub(1, Ordering::Relaxed);
    mutex.unlock().unwrap();
}

/// One who takes 1 when it is there, and tells.
pub fn taker(region: &Region) -> Worker {
    worker(region, |party, told| {
        take_one(region, party);
        told.tell(1);
    })
}

pub fn put_one(region: &Region, party: &Party<'_>) {
    let (mutex, cond) = objects(party);
    lock(&mutex);
    number(region, 0).fetch_add(1, Ordering::Relaxed);
    mutex.unlock().unwrap();
    cond.notify_one().unwrap();
}

#[test]
fn two_processes_take_turns() {
    own_process!(20, || {
        const TURNS: u64 = 5_000;
        let region = region();
        let play = |own: u64| {
            let party = join(&region);
            let (mutex, cond) = objects(&party);
            let turn = number(&region, 0);
            lock(&mutex);
            for _ in 0..TURNS {
                while turn.load(Ordering::Relaxed) % 2 != own {
                    assert_eq!(cond.wait(&mutex), Ok(Locked::Clean));
                }
                turn.fetch_add(1, Ordering::Relaxed);
                cond.notify_one().unwrap();
            }
            mutex.unlock().unwrap();
        };
        let players = [0, 1].map(|own| fork(|| play(own)));
        players.into_iter().for_each(Child::join);
        assert_eq!(number(&region, 0).swap(0, Ordering::Relaxed), 2 * TURNS);
    });
}

#[test]
fn what_it_answers() {
    own_process!(10, || {
        let region = region();
        let party = join(&region);
        let (mutex, cond) = objects(&party);
        assert!(cond.made() && !party.condvar(COND).unwrap().made());
        assert_eq!(cond.notify_one(), Ok(()));
        assert_eq!(cond.notify_all(), Ok(()));
        assert_eq!(errno_of(cond.wait(&mutex)), Some(libc::EPERM));
        lock(&mutex);
        let before = monotonic_ns();
        let soon = Deadline::after(Duration::from_millis(20));
        assert_eq!(errno_of(cond.wait_until(&mutex, soon)), Some(libc::ETIMEDOUT));
        assert!(monotonic_ns() - before >= 20_000_000);
        assert_eq!(errno_of(cond.wait_until(&mutex, Deadline::at_ns(0).unwrap())), Some(libc::ETIMEDOUT));
        assert_eq!(mutex.owner(), Ok(Some(std::process::id())));
        assert_eq!(waiters(&region), 0);
        mutex.unlock().unwrap();
        region.write(COND, &[0xff; 48]).unwrap();
        assert_eq!(errno_of(cond.notify_one()), Some(libc::EINVAL));
        assert_eq!(party.condvar(COND).unwrap_err().errno(), Some(libc::EINVAL));
        region.write(COND, &[0; 48]).unwrap();
        lock(&mutex);
        assert_eq!(errno_of(cond.wait(&mutex)), Some(libc::EINVAL));
        assert_eq!(errno_of(cond.notify_all()), Some(libc::EINVAL));
        mutex.unlock().unwrap();
        assert_eq!(party.condvar(TABLE + 128).unwrap_err().errno(), Some(libc::EINVAL));
    });
}

/// How many are counted as waiting.
pub fn waiters(region: &Region) -> u64 {
    let word = unsafe { AtomicU64::from_ptr(region.as_ptr().add(COND + 24).cast()) }.load(Ordering::Relaxed);
    word << 8 >> 40
}

/// Until so many have begun to wait.
pub fn await_waiters(region: &Region, count: u64) {
    while waiters(region) < count {
        std::thread::sleep(Duration::from_micros(100));
    }
}

#[test]
fn all_are_woken() {
    own_process!(60, || {
        mostly_soon(|| {
            let region = region();
            let takers = [(); 6].map(|()| taker(&region));
            let party = join(&region);
            let (mutex, cond) = objects(&party);
            takers.iter().for_each(Worker::go_to_sleep);
            await_waiters(&region, 6);
            lock(&mutex);
            number(&region, 0).store(6, Ordering::Relaxed);
            mutex.unlock().unwrap();
            cond.notify_all().unwrap();
            for taker in takers {
                taker.hear_soon();
                taker.child.join();
            }
            assert_eq!(number(&region, 0).load(Ordering::Relaxed), 0);
        });
    });
}

/// Each way in which one who waits can take a signal with it: another one who waits has it.
fn a_killed_waiter_takes_no_signal_with_it() {
    let region = region();
    // Asleep; woken, and killed before it runs; woken, stopped before it runs, and then killed.
    for way in 0..3 {
        for _ in 0..5 {
            let workers = [taker(&region), taker(&region)];
            let party = join(&region);
            workers.iter().for_each(Worker::go_to_sleep);
            await_waiters(&region, 2);
            let [victim, heir] = workers;
            if way == 0 {
                victim.child.kill(libc::SIGKILL);
            }
            put_one(&region, &party);
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
            // Once in a while the victim is quicker, and has it.
            while !heir.told.is_told() {
                if number(&region, 0).load(Ordering::Relaxed) == 0 {
                    put_one(&region, &party);
                }
                std::thread::sleep(Duration::from_micros(100));
            }
            note_wake_up(begin);
            victim.child.wait();
            heir.child.join();
            number(&region, 0).store(0, Ordering::Relaxed);
            // A new condition, for which nobody is counted.
            region.write(COND, &[0; 48]).unwrap();
        }
    }
}

#[test]
fn a_signal_does_not_die_with_a_waiter() {
    own_process!(120, || {
        on_one_processor();
        mostly_soon(a_killed_waiter_takes_no_signal_with_it);
    });
}

#[test]
fn a_signal_does_not_die_with_a_waiter_without_futex_waitv() {
    own_process!(120, || {
        sync::pretend_without_waitv(true);
        on_one_processor();
        mostly_soon(a_killed_waiter_takes_no_signal_with_it);
        sync::pretend_without_waitv(false);
    });
}

/// One who has let them begin to wait, sets the number, and is about to wake them.
pub fn stopped_notifier(
    region: &Region,
    takers: &[Worker],
    go_to_sleep: impl Fn(&Worker),
    all: bool,
) -> Option<Child> {
    stopped_at_wake(region, |party| {
        let (mutex, cond) = objects(party);
        takers.iter().for_each(go_to_sleep);
        await_waiters(region, takers.len() as u64);
        lock(&mutex);
        number(region, 0).store(takers.len() as u64, Ordering::Relaxed);
        mutex.unlock().unwrap();
        if all { cond.notify_all() } else { cond.notify_one() }.unwrap();
    })
}

#[test]
fn a_notifier_that_dies_before_it_wakes_is_no_loss() {
    own_process!(60, || {
        mostly_soon(|| {
            let region = region();
            for all in [false, true] {
                let takers = [(); 2].map(|()| taker(&region));
                let Some(notifier) = stopped_notifier(&region, &takers, Worker::go_to_sleep, all) else {
                    return;
                };
                takers.iter().for_each(|taker| assert!(!taker.told.is_told()));
                notifier.slay();
                for taker in takers {
                    taker.hear_soon();
                    taker.child.join();
                }
            }
        });
    });
}

#[test]
fn a_dead_owner_is_told_to_one_who_waited() {
    own_process!(60, || {
        mostly_soon(|| {
            let region = region();
            let waiter = worker(&region, |party, told| {
                let (mutex, cond) = objects(party);
                lock(&mutex);
                // The owner's coming is no death.
                while cond.wait(&mutex).unwrap() != Locked::OwnerDied {}
                mutex.consistent().unwrap();
                mutex.unlock().unwrap();
                told.tell(1);
            });
            waiter.go_to_sleep();
            await_waiters(&region, 1);
            let owner = worker(&region, |party, told| {
                let (mutex, _) = objects(party);
                lock(&mutex);
                told.tell(1);
                std::thread::sleep(Duration::from_secs(1000));
            });
            owner.go();
            owner.told.hear();
            owner.child.slay();
            waiter.hear_soon();
            waiter.child.join();
        });
    });
}

/// Who has waited is gone, and the bytes are something else, before the notifier has come to its wake-up.
#[test]
fn who_has_waited_may_use_the_bytes() {
    own_process!(10, || {
        let region = region();
        let waiter = worker(&region, |party, told| {
            let (mutex, cond) = objects(party);
            lock(&mutex);
            while number(&region, 0).load(Ordering::Relaxed) == 0 {
                let _ = cond.wait_until(&mutex, Deadline::after(Duration::from_millis(100)));
            }
            region.write(COND, &[0; 48]).unwrap();
            mutex.unlock().unwrap();
            told.tell(1);
        });
        let waiters = [waiter];
        let Some(notifier) = stopped_notifier(&region, &waiters, Worker::go_to_sleep, false) else { return };
        let [waiter] = waiters;
        waiter.told.hear();
        notifier.go_on();
        notifier.join();
        waiter.child.join();
        let mut bytes = [1; 48];
        region.read(COND, &mut bytes).unwrap();
        assert_eq!(bytes, [0; 48]);
    });
}

/// A campaign: takers are killed at any moment, while one puts; whatever was put and not taken is taken soon.
#[test]
fn kills_at_any_moment_leave_nobody_asleep() {
    own_process!(120, || {
        mostly_soon(|| {
            const ROUNDS: usize = 40;
            let mut chance = Chance::new(7);
            let region = region();
            for _ in 0..ROUNDS {
                let takers = [(); 3].map(|()| {
                    worker(&region, |party, _| loop {
                        take_one(&region, party);
                    })
                });
                let party = join(&region);
                let (mutex, _) = objects(&party);
                takers.iter().for_each(Worker::go);
                let moments = [chance.below(60), chance.below(60)];
                for moment in 0..60 {
                    for (taker, _) in takers.iter().zip(moments).filter(|&(_, at)| at == moment) {
                        taker.child.kill(libc::SIGKILL);
                    }
                    put_one(&region, &party);
                }
                let begin = monotonic_ns();
                while {
                    lock(&mutex);
                    let left = number(&region, 0).load(Ordering::Relaxed);
                    mutex.unlock().unwrap();
                    left > 0
                } {
                    std::thread::sleep(Duration::from_micros(200));
                }
                note_wake_up(begin);
                takers.into_iter().for_each(|taker| taker.child.slay());
            }
        });
    });
}

#[test]
fn a_word_that_is_forged_without_end_does_not_hold_up_a_deadline() {
    own_process!(10, || {
        let region = region();
        assert!(join(&region).condvar(COND).unwrap().made());
        let begun = Line::new();
        let peer = fork(|| {
            let word = unsafe { AtomicU64::from_ptr(region.as_ptr().add(COND + 24).cast()) };
            begun.tell(1);
            let mut value = 0u64;
            loop {
                value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                word.store(value, Ordering::Relaxed);
            }
        });
        begun.hear();
        let party = join(&region);
        let (mutex, cond) = objects(&party);
        let before = monotonic_ns();
        for _ in 0..50 {
            lock(&mutex);
            let _ = cond.wait_until(&mutex, Deadline::after(Duration::from_millis(2)));
            mutex.unlock().unwrap();
            cond.notify_one().unwrap();
            cond.notify_all().unwrap();
        }
        assert!(monotonic_ns() - before < 4_000_000_000);
        peer.slay();
    });
}

/// Who had the mutex from a dead owner, and has not repaired, leaves it to nobody: there is nothing to wait for, whose
/// signals nobody could give any more.
#[test]
fn a_mutex_that_is_left_inconsistent_is_not_waited_with() {
    own_process!(10, || {
        for by_watch in [false, true] {
            let region = region();
            let owner = worker(&region, |party, told| {
                lock(&objects(party).0);
                told.tell(1);
                super::stay();
            });
            owner.go();
            owner.told.hear();
            owner.child.slay();
            let party = join(&region);
            let (mutex, cond) = objects(&party);
            assert_eq!(mutex.lock(), Ok(Locked::OwnerDied));
            let waited = match by_watch {
                false => cond.wait(&mutex),
                true => cond.wait_watch(&mutex, &Watch::new().unwrap()),
            };
            assert_eq!(errno_of(waited), Some(libc::ENOTRECOVERABLE));
            assert_eq!(waiters(&region), 0);
            assert_eq!(errno_of(mutex.unlock()), Some(libc::EPERM));
        }
    });
}

/// Its watch would have a word in a region that the party of the condition does not keep.
#[test]
fn a_mutex_of_another_party_is_refused() {
    own_process!(10, || {
        let (one, other) = (region(), region());
        let (party, stranger) = (join(&one), join(&other));
        let (_, cond) = objects(&party);
        let mutex = stranger.mutex(FIRST).unwrap();
        lock(&mutex);
        assert_eq!(errno_of(cond.wait(&mutex)), Some(libc::EINVAL));
        assert_eq!(errno_of(cond.wait_watch(&mutex, &Watch::new().unwrap())), Some(libc::EINVAL));
        assert_eq!(waiters(&one), 0);
        mutex.unlock().unwrap();
    });
}

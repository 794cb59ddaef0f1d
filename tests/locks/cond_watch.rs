//! Conditions by descriptors.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use shmkit::sync::{self, Condvar, Locked, Mutex, Watch};
use shmkit::{Code, Region};

use super::cond::{await_waiters, lock, number, objects, put_one, stopped_notifier, taker, waiters};
use super::support::*;
use super::watch::{await_queue_of, is_readable_within};
use super::workers::*;
use super::{errno_of, in_time, join, join_any_thread, region, FIRST};

const EAGAIN: Option<i32> = Some(libc::EAGAIN);

/// Whether it has to wait on.
fn is_waiting(answer: &Result<Locked, Code>) -> bool {
    answer.as_ref().err().is_some_and(|code| code.errno() == EAGAIN)
}

/// Waits by the descriptor alone. With the mutex, before and after.
fn wait_by(cond: &Condvar<'_>, mutex: &Mutex<'_>, watch: &Watch) -> Result<Locked, Code> {
    loop {
        let answer = cond.wait_watch(mutex, watch);
        if !is_waiting(&answer) {
            return answer;
        }
        assert!(is_readable_within(watch, -1));
    }
}

/// Begins to wait; with the mutex, which is let go.
#[track_caller]
fn begin(cond: &Condvar<'_>, mutex: &Mutex<'_>, watch: &Watch) {
    lock(mutex);
    assert!(is_waiting(&cond.wait_watch(mutex, watch)));
    assert!(!is_readable_within(watch, 0));
}

/// Takes 1 of the number, which it waits for by a descriptor.
fn take_one_by(region: &Region, cond: &Condvar<'_>, mutex: &Mutex<'_>, watch: &Watch) {
    let number = number(region, 0);
    lock(mutex);
    while number.load(Ordering::Relaxed) == 0 {
        if wait_by(cond, mutex, watch).unwrap() == Locked::OwnerDied {
            mutex.consistent().unwrap();
        }
    }
    number.fetch_sub(1, Ordering::Relaxed);
    mutex.unlock().unwrap();
}

fn watching_taker(region: &Region) -> Worker {
    worker(region, |party, told| {
        let (mutex, cond) = objects(party);
        take_one_by(region, &cond, &mutex, &Watch::new().unwrap());
        told.tell(1);
    })
}

#[test]
fn what_a_watch_answers() {
    own_process!(10, || {
        let region = region();
        let party = join(&region);
        let (mutex, cond) = objects(&party);
        let watch = Watch::new().unwrap();
        assert_eq!(errno_of(cond.wait_watch(&mutex, &watch)), Some(libc::EPERM));
        assert_eq!(waiters(&region), 0);
        begin(&cond, &mutex, &watch);
        assert_eq!((mutex.owner(), waiters(&region)), (Ok(None), 1));
        // To call again is not to begin again.
        assert!(is_waiting(&cond.wait_watch(&mutex, &watch)));
        assert_eq!(waiters(&region), 1);
        cond.notify_one().unwrap();
        assert!(is_readable_within(&watch, -1));
        lock(&mutex);
        assert!(is_waiting(&cond.wait_watch(&mutex, &watch)));
        assert!(!is_readable_within(&watch, 0));
        mutex.unlock().unwrap();
        assert!(is_readable_within(&watch, -1));
        assert_eq!(cond.wait_watch(&mutex, &watch), Ok(Locked::Clean));
        assert_eq!(mutex.owner(), Ok(Some(std::process::id())));
        assert!(!is_readable_within(&watch, 0));
        // It begins anew.
        assert!(is_waiting(&cond.wait_watch(&mutex, &watch)));
        watch.cancel().unwrap();
        assert_eq!((mutex.owner(), waiters(&region)), (Ok(None), 0));
        begin(&cond, &mutex, &watch);
        drop(watch);
        assert_eq!(waiters(&region), 0);
    });
}

/// A signal is for one, wherever it waits, and there is none for a second one.
fn a_signal_wakes_one_of_many() {
    const COUNT: usize = 200;
    let region = region();
    let party = join_any_thread(&region);
    let (mutex, cond) = objects(&party);
    let watches: Vec<_> = (0..COUNT).map(|_| Watch::new().unwrap()).collect();
    watches.iter().for_each(|watch| begin(&cond, &mutex, watch));
    assert_eq!(waiters(&region), COUNT as u64);
    // Each thread of the library serves some of them, and wakes the oldest of these: two threads.
    let woken = || watches.iter().filter(|watch| is_readable_within(watch, 0)).count();
    for signals in 1..=5 {
        cond.notify_one().unwrap();
        while woken() < signals {
            std::thread::yield_now();
        }
    }
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert!(woken() <= 10, "{} woken", woken());
    cond.notify_all().unwrap();
    for watch in &watches {
        assert!(is_readable_within(watch, -1));
        assert_eq!(wait_by(&cond, &mutex, watch), Ok(Locked::Clean));
        mutex.unlock().unwrap();
    }
    assert_eq!(waiters(&region), 0);
}

#[test]
fn a_signal_wakes_one_of_many_watches() {
    own_process!(20, a_signal_wakes_one_of_many);
}

#[test]
fn a_signal_wakes_one_of_many_watches_without_futex_waitv() {
    own_process!(20, || {
        sync::pretend_without_waitv(true);
        a_signal_wakes_one_of_many();
        sync::pretend_without_waitv(false);
    });
}

/// Who gives up before its signal or after it, or while it waits for the mutex, leaves it to another one.
#[test]
fn who_gives_up_takes_no_signal_along() {
    own_process!(120, || {
        let region = region();
        let attempt = |way: u32, by_watch: bool| {
            let heir = if by_watch { watching_taker(&region) } else { taker(&region) };
            let party = join_any_thread(&region);
            let (mutex, cond) = objects(&party);
            let watch = Watch::new().unwrap();
            begin(&cond, &mutex, &watch);
            await_queue_of(std::process::id() as libc::pid_t);
            heir.go();
            await_waiters(&region, 2);
            // The kernel wakes the older one, which is here.
            await_queue_of(heir.child.pid());
            let before = monotonic_ns();
            match way {
                0 => {
                    watch.cancel().unwrap();
                    put_one(&region, &party);
                }
                1 => {
                    put_one(&region, &party);
                    watch.cancel().unwrap();
                }
                2 => {
                    put_one(&region, &party);
                    assert!(is_readable_within(&watch, -1));
                    watch.cancel().unwrap();
                }
                _ => {
                    put_one(&region, &party);
                    assert!(is_readable_within(&watch, -1));
                    let taken = lock_if_left(&region, &mutex);
                    if taken {
                        assert!(is_waiting(&cond.wait_watch(&mutex, &watch)));
                        watch.cancel().unwrap();
                        mutex.unlock().unwrap();
                    }
                }
            }
            heir.told.hear();
            heir.child.join();
            watch.cancel().unwrap();
            region.write(super::cond::COND, &[0; 48]).unwrap();
            party.leave().unwrap();
            monotonic_ns() - before
        };
        for by_watch in [false, true] {
            for way in 0..4 {
                in_time(|| attempt(way, by_watch));
            }
        }
    });
}

/// With the mutex, if nobody has taken what is there.
fn lock_if_left(region: &Region, mutex: &Mutex<'_>) -> bool {
    lock(mutex);
    let is_left = number(region, 0).load(Ordering::Relaxed) > 0;
    if !is_left {
        mutex.unlock().unwrap();
    }
    is_left
}

#[test]
fn a_watch_hears_of_a_death() {
    own_process!(60, || {
        in_time(|| {
            let region = region();
            let owner = worker(&region, |party, told| {
                let (mutex, _) = objects(party);
                lock(&mutex);
                told.tell(1);
                super::stay();
            });
            let party = join(&region);
            let (mutex, cond) = objects(&party);
            let watch = Watch::new().unwrap();
            begin(&cond, &mutex, &watch);
            owner.go();
            owner.told.hear();
            let before = monotonic_ns();
            owner.child.slay();
            assert_eq!(wait_by(&cond, &mutex, &watch), Ok(Locked::OwnerDied));
            // Nobody is counted any more.
            assert_eq!(waiters(&region), 0);
            // It was not consistent when it was let go.
            assert_eq!(errno_of(cond.wait_watch(&mutex, &watch)), Some(libc::ENOTRECOVERABLE));
            assert_eq!(waiters(&region), 0);
            monotonic_ns() - before
        });
    });
}

#[test]
fn a_notifier_that_dies_before_it_wakes_a_watch_is_no_loss() {
    own_process!(60, || {
        mostly_soon(|| {
            let region = region();
            for all in [false, true] {
                let takers = [(); 2].map(|()| watching_taker(&region));
                let go_to_sleep = |taker: &Worker| {
                    taker.go();
                    await_queue_of(taker.child.pid());
                };
                let Some(notifier) = stopped_notifier(&region, &takers, go_to_sleep, all) else { return };
                notifier.slay();
                for taker in takers {
                    taker.hear_soon();
                    taker.child.join();
                }
            }
        });
    });
}

/// The signal that a killed process had got is another's.
#[test]
fn a_signal_does_not_die_with_a_watch() {
    own_process!(60, || {
        let region = region();
        for by_watch in [false, true] {
            in_time(|| {
                let woken = Line::new();
                let dies = worker(&region, |party, told| {
                    let (mutex, cond) = objects(party);
                    let watch = Watch::new().unwrap();
                    begin(&cond, &mutex, &watch);
                    told.tell(1);
                    assert!(is_readable_within(&watch, -1));
                    woken.tell(1);
                    super::stay();
                });
                dies.go();
                dies.told.hear();
                let heir = if by_watch { watching_taker(&region) } else { taker(&region) };
                heir.go();
                await_waiters(&region, 2);
                await_queue_of(heir.child.pid());
                let party = join(&region);
                put_one(&region, &party);
                // Whoever has joined has woken it, too, perhaps.
                woken.hear();
                let before = monotonic_ns();
                dies.child.slay();
                heir.told.hear();
                heir.child.join();
                region.write(super::cond::COND, &[0; 48]).unwrap();
                monotonic_ns() - before
            });
        }
    });
}

/// Watches that give up at any moment and threads that sleep, of two processes: whatever was put is taken, and nobody
/// waits for the end of a slice.
#[test]
fn no_signal_is_lost_to_those_who_give_up() {
    own_process!(120, || {
        const PUT: u64 = 4000;
        const THREADS: u64 = 3;
        let region = region();
        let taken = || number(&region, 1);
        let late = || unsafe { AtomicU32::from_ptr(region.as_ptr().add(FIRST + 2048).cast()) };
        let take = |party: &sync::Party<'_>, seed: u64| {
            let (mutex, cond) = objects(party);
            let watch = Watch::new().unwrap();
            let mut chance = Chance::new(seed);
            loop {
                lock(&mutex);
                while number(&region, 0).load(Ordering::Relaxed) == 0 {
                    if taken().load(Ordering::Relaxed) == PUT {
                        mutex.unlock().unwrap();
                        return;
                    }
                    match seed % 3 {
                        0 => drop(cond.wait(&mutex).unwrap()),
                        1 => drop(wait_by(&cond, &mutex, &watch).unwrap()),
                        _ => {
                            let mut answer = cond.wait_watch(&mutex, &watch);
                            while is_waiting(&answer) {
                                if !is_readable_within(&watch, 0) && chance.below(3) == 0 {
                                    (0..chance.below(500)).for_each(|_| std::hint::spin_loop());
                                    watch.cancel().unwrap();
                                    answer = mutex.lock();
                                } else {
                                    std::thread::yield_now();
                                    answer = cond.wait_watch(&mutex, &watch);
                                }
                            }
                        }
                    }
                }
                number(&region, 0).fetch_sub(1, Ordering::Relaxed);
                if taken().fetch_add(1, Ordering::Relaxed) + 1 == PUT {
                    cond.notify_all().unwrap();
                }
                mutex.unlock().unwrap();
            }
        };
        let children: Vec<_> = (0..2)
            .map(|child| {
                let take = &take;
                let region = &region;
                fork(move || {
                    let party = join_any_thread(region);
                    std::thread::scope(|scope| {
                        for thread in 0..THREADS {
                            let party = &party;
                            scope.spawn(move || take(party, thread + child * 3));
                        }
                    });
                    party.leave().unwrap();
                })
            })
            .collect();
        let party = join(&region);
        let mut chance = Chance::new(5);
        for put in 1..=PUT {
            put_one(&region, &party);
            if chance.below(4) == 0 {
                // Until all is taken: a signal that is lost is one that nobody makes good.
                let before = monotonic_ns();
                while taken().load(Ordering::Relaxed) < put {
                    std::thread::yield_now();
                }
                late().fetch_add(u32::from(monotonic_ns() - before > 400_000_000), Ordering::Relaxed);
            }
        }
        children.into_iter().for_each(Child::join);
        assert_eq!(taken().swap(0, Ordering::Relaxed), PUT);
        let late = late().swap(0, Ordering::Relaxed);
        assert!(late <= 2, "{late} signals came late");
    });
}

#[test]
fn a_word_that_is_forged_without_end_does_not_hold_up_a_watch() {
    own_process!(10, || {
        let region = region();
        assert!(objects(&join(&region)).1.made());
        let begun = Line::new();
        let peer = fork(|| {
            let word = unsafe { AtomicU64::from_ptr(region.as_ptr().add(super::cond::COND + 24).cast()) };
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
        let watch = Watch::new().unwrap();
        for _ in 0..200 {
            lock(&mutex);
            let mut answer = cond.wait_watch(&mutex, &watch);
            if is_waiting(&answer) {
                answer = cond.wait_watch(&mutex, &watch);
            }
            watch.cancel().unwrap();
            if is_waiting(&answer) {
                lock(&mutex);
            }
            mutex.unlock().unwrap();
        }
        peer.slay();
    });
}

use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use shmkit::sync::{self, EventFlags, Locked, Mutex, Party, Watch};
use shmkit::{Deadline, Region};

use super::support::*;
use super::{await_sleep, in_time, join, join_any_thread, region, FIRST};

const AUTO: EventFlags = EventFlags::AUTO_RESET;
const MANUAL: EventFlags = EventFlags::empty();
const EAGAIN: i32 = -libc::EAGAIN;

pub fn is_readable_within(watch: &Watch, ms: i32) -> bool {
    let mut wait = libc::pollfd { fd: watch.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    good(unsafe { libc::poll(&mut wait, 1, ms) }) == 1
}

/// Waits by the descriptor alone.
fn lock(mutex: &Mutex<'_>, watch: &Watch) -> Locked {
    loop {
        match mutex.lock_watch(watch) {
            Ok(locked) => return locked,
            Err(code) => assert_eq!(code.raw(), EAGAIN),
        }
        assert!(is_readable_within(watch, -1));
    }
}

/// A child that has the mutex until it hears of `go`; then it unlocks, or is killed.
fn holder(region: &Region, go: &Line) -> Child {
    let holds = Line::new();
    let child = fork(|| {
        let party = join(region);
        let mutex = party.mutex(FIRST).unwrap();
        assert_eq!(mutex.lock(), Ok(Locked::Clean));
        holds.tell(1);
        go.hear();
        mutex.unlock().unwrap();
    });
    holds.hear();
    child
}

/// A child that sleeps for the mutex, and tells when it has it.
fn sleeper(region: &Region, took: &Line) -> Child {
    let here = Line::new();
    let child = fork(|| {
        let party = join(region);
        let mutex = party.mutex(FIRST).unwrap();
        here.tell(1);
        let _ = mutex.lock().unwrap();
        took.tell(monotonic_ns());
        mutex.unlock().unwrap();
    });
    here.hear();
    await_sleep(child.pid());
    child
}

fn descriptors_become_readable() {
    let region = region();
    for flags in [MANUAL, AUTO] {
        let go = Line::new();
        let setter = fork(|| {
            let party = join(&region);
            let event = party.event(FIRST + 64 * flags.bits() as usize, flags).unwrap();
            for _ in 0..3 {
                go.hear();
                event.set();
            }
        });
        let party = join(&region);
        let event = party.event(FIRST + 64 * flags.bits() as usize, flags).unwrap();
        let watch = Watch::new().unwrap();
        for _ in 0..3 {
            assert_eq!(event.wait_watch(&watch).unwrap_err().raw(), EAGAIN);
            assert!(!is_readable_within(&watch, 5));
            go.tell(1);
            assert!(is_readable_within(&watch, -1));
            event.wait_watch(&watch).unwrap();
            assert!(!is_readable_within(&watch, 0));
            assert_eq!(event.is_set(), flags == MANUAL);
            event.reset();
        }
        setter.join();
    }
}

#[test]
fn an_event_that_is_set_makes_a_descriptor_readable() {
    own_process!(10, descriptors_become_readable);
}

#[test]
fn an_event_that_is_set_makes_a_descriptor_readable_without_futex_waitv() {
    own_process!(10, || {
        sync::pretend_without_waitv(true);
        descriptors_become_readable();
        sync::pretend_without_waitv(false);
    });
}

#[test]
fn an_unlock_makes_a_descriptor_readable() {
    own_process!(10, || {
        in_time(|| {
            let region = region();
            let go = Line::new();
            let owner = holder(&region, &go);
            let party = join(&region);
            let mutex = party.mutex(FIRST).unwrap();
            let watch = Watch::new().unwrap();
            assert_eq!(mutex.lock_watch(&watch).unwrap_err().raw(), EAGAIN);
            assert!(!is_readable_within(&watch, 5));
            let before = monotonic_ns();
            go.tell(1);
            assert_eq!(lock(&mutex, &watch), Locked::Clean);
            let took_ns = monotonic_ns() - before;
            assert!(!is_readable_within(&watch, 0));
            mutex.unlock().unwrap();
            owner.join();
            took_ns
        });
    });
}

#[test]
fn a_death_makes_a_descriptor_readable() {
    own_process!(10, || {
        in_time(|| {
            let region = region();
            let owner = holder(&region, &Line::new());
            let party = join(&region);
            let mutex = party.mutex(FIRST).unwrap();
            let watch = Watch::new().unwrap();
            assert_eq!(mutex.lock_watch(&watch).unwrap_err().raw(), EAGAIN);
            let before = monotonic_ns();
            owner.kill(libc::SIGKILL);
            assert_eq!(lock(&mutex, &watch), Locked::OwnerDied);
            let took_ns = monotonic_ns() - before;
            mutex.consistent().unwrap();
            mutex.unlock().unwrap();
            owner.wait();
            took_ns
        });
    });
}

/// Who is first in the kernel's queue and then gives up, before it is woken or after, leaves it to the next.
#[test]
fn who_gives_up_passes_the_wake_up_on() {
    own_process!(20, || {
        let region = region();
        let attempt = |woken: bool| {
            let (go, took) = (Line::new(), Line::new());
            let owner = holder(&region, &go);
            let (armed, give_up, given_up, end) = (Line::new(), Line::new(), Line::new(), Line::new());
            let watcher = fork(|| {
                let party = join(&region);
                let mutex = party.mutex(FIRST).unwrap();
                let watch = Watch::new().unwrap();
                assert_eq!(mutex.lock_watch(&watch).unwrap_err().raw(), EAGAIN);
                await_queue(&watch);
                armed.tell(1);
                give_up.hear();
                if woken {
                    assert!(is_readable_within(&watch, -1));
                }
                watch.cancel().unwrap();
                assert!(!is_readable_within(&watch, 0));
                given_up.tell(1);
                // As long as it lives its end wakes nobody.
                end.hear();
            });
            armed.hear();
            let sleeper = sleeper(&region, &took);
            let before = monotonic_ns();
            if woken {
                go.tell(1);
                give_up.tell(1);
            } else {
                give_up.tell(1);
                given_up.hear();
                go.tell(1);
            }
            let took_ns = took.hear() - before;
            end.tell(1);
            for child in [owner, watcher, sleeper] {
                child.join();
            }
            took_ns
        };
        in_time(|| attempt(false));
        in_time(|| attempt(true));
    });
}

/// Waits until the thread of this process's watches sleeps for them.
fn await_queue(_: &Watch) {
    await_queue_of(std::process::id() as libc::pid_t);
}

/// The same for another process.
pub fn await_queue_of(pid: libc::pid_t) {
    let sleeps = |task: std::fs::DirEntry| {
        let call = std::fs::read_to_string(task.path().join("syscall")).unwrap_or_default();
        call.starts_with(&format!("{} ", libc::SYS_futex_waitv))
    };
    let tasks = || std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    while !tasks().any(|task| sleeps(task.unwrap())) {
        std::thread::sleep(Duration::from_micros(100));
    }
}

#[test]
fn who_is_killed_once_it_was_woken_leaves_it_to_the_next() {
    own_process!(20, || {
        let region = region();
        in_time(|| {
            let (go, took, armed) = (Line::new(), Line::new(), Line::new());
            let owner = holder(&region, &go);
            let watcher = fork(|| {
                let party = join(&region);
                let mutex = party.mutex(FIRST).unwrap();
                let watch = Watch::new().unwrap();
                assert_eq!(mutex.lock_watch(&watch).unwrap_err().raw(), EAGAIN);
                await_queue(&watch);
                armed.tell(1);
                assert!(is_readable_within(&watch, -1));
                armed.tell(2);
                loop {
                    std::thread::sleep(Duration::from_secs(1));
                }
            });
            armed.hear();
            let sleeper = sleeper(&region, &took);
            go.tell(1);
            armed.hear();
            let before = monotonic_ns();
            watcher.slay();
            let took_ns = took.hear() - before;
            owner.join();
            sleeper.join();
            took_ns
        });
    });
}

/// Whoever was woken for one lock, and then gets another with the same watch, leaves the first to the next.
#[test]
fn a_watch_that_gets_another_lock_gives_up_the_first() {
    own_process!(20, || {
        let region = region();
        in_time(|| {
            let (go, took, armed, end) = (Line::new(), Line::new(), Line::new(), Line::new());
            let owner = holder(&region, &go);
            let watcher = fork(|| {
                let party = join(&region);
                let (mutex, other) = (party.mutex(FIRST).unwrap(), party.mutex(FIRST + 64).unwrap());
                let watch = Watch::new().unwrap();
                assert_eq!(mutex.lock_watch(&watch).unwrap_err().raw(), EAGAIN);
                await_queue(&watch);
                armed.tell(1);
                assert!(is_readable_within(&watch, -1));
                assert_eq!(other.lock_watch(&watch), Ok(Locked::Clean));
                other.unlock().unwrap();
                end.hear();
            });
            armed.hear();
            let sleeper = sleeper(&region, &took);
            let before = monotonic_ns();
            go.tell(1);
            let took_ns = took.hear() - before;
            end.tell(1);
            for child in [owner, watcher, sleeper] {
                child.join();
            }
            took_ns
        });
    });
}

#[test]
fn more_watches_than_the_kernel_takes_words() {
    own_process!(20, || {
        const COUNT: usize = 300;
        let region = region();
        let party = join(&region);
        let events: Vec<_> =
            (0..COUNT).map(|index| party.event(FIRST + 32 * index, MANUAL).unwrap()).collect();
        let watches: Vec<_> = (0..COUNT).map(|_| Watch::new().unwrap()).collect();
        for (event, watch) in events.iter().zip(&watches) {
            assert_eq!(event.wait_watch(watch).unwrap_err().raw(), EAGAIN);
        }
        assert!(watches.iter().all(|watch| !is_readable_within(watch, 0)));
        for (event, watch) in events.iter().zip(&watches) {
            event.set();
            assert!(is_readable_within(watch, -1));
        }
        for (event, watch) in events.iter().zip(&watches) {
            event.wait_watch(watch).unwrap();
            event.reset();
        }
    });
}

#[test]
fn a_child_has_watches_of_its_own() {
    own_process!(10, || {
        let region = region();
        let party = join(&region);
        let event = party.event(FIRST, MANUAL).unwrap();
        let watch = Watch::new().unwrap();
        assert_eq!(event.wait_watch(&watch).unwrap_err().raw(), EAGAIN);
        match good(unsafe { libc::fork() }) {
            0 => {
                assert_eq!(event.wait_watch(&watch).unwrap_err().raw(), -libc::EPERM);
                assert_eq!(watch.cancel().unwrap_err().raw(), -libc::EPERM);
                let own = Watch::new().unwrap();
                assert_eq!(event.wait_watch(&own).unwrap_err().raw(), EAGAIN);
                event.set();
                assert!(is_readable_within(&own, -1));
                event.wait_watch(&own).unwrap();
                unsafe { libc::_exit(0) }
            }
            pid => {
                let mut status = 0;
                good(unsafe { libc::waitpid(pid, &mut status, 0) });
                assert_eq!(status, 0);
            }
        }
        assert!(is_readable_within(&watch, -1));
        event.wait_watch(&watch).unwrap();
        event.reset();
    });
}

#[test]
fn a_party_is_not_left_while_a_watch_waits() {
    own_process!(10, || {
        let pid = good(unsafe { libc::fork() });
        if pid == 0 {
            let region = std::mem::ManuallyDrop::new(region());
            let party = join(&region);
            let event = party.event(FIRST, AUTO).unwrap();
            let watch = Watch::new().unwrap();
            assert_eq!(event.wait_watch(&watch).unwrap_err().raw(), EAGAIN);
            assert_eq!(party.leave().unwrap_err().errno(), Some(libc::EBUSY));
            unsafe { libc::_exit(0) }
        }
        let mut status = 0;
        good(unsafe { libc::waitpid(pid, &mut status, 0) });
        assert_eq!(status, 0);
        let region = region();
        let party = join(&region);
        let watch = Watch::new().unwrap();
        assert_eq!(party.event(FIRST, AUTO).unwrap().wait_watch(&watch).unwrap_err().raw(), EAGAIN);
        watch.cancel().unwrap();
        party.leave().unwrap();
        region.close().unwrap();
    });
}

#[test]
fn a_word_is_watched() {
    own_process!(10, || {
        let region = region();
        let party = join(&region);
        let word = unsafe { AtomicU32::from_ptr(region.as_ptr().add(FIRST + 4).cast()) };
        let watch = Watch::new().unwrap();
        word.store(7, Ordering::Relaxed);
        party.watch_word(word, 8, &watch).unwrap();
        assert!(is_readable_within(&watch, 0));
        party.watch_word(word, 7, &watch).unwrap();
        assert!(!is_readable_within(&watch, 5));
        word.store(9, Ordering::Release);
        unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
        assert!(is_readable_within(&watch, -1));
        let stray = AtomicU32::new(0);
        assert_eq!(party.watch_word(&stray, 0, &watch).unwrap_err().raw(), -libc::EINVAL);
        watch.cancel().unwrap();
    });
}

#[test]
fn a_number_that_nobody_has_does_not_keep_a_lock() {
    own_process!(10, || {
        let region = region();
        let party = join(&region);
        let mutex = party.mutex(FIRST).unwrap();
        let word = unsafe { AtomicU32::from_ptr(region.as_ptr().add(FIRST).cast()) };
        word.store(0x3fff_ffff, Ordering::Relaxed);
        let watch = Watch::new().unwrap();
        assert_eq!(mutex.lock_watch(&watch).unwrap_err().raw(), EAGAIN);
        assert!(is_readable_within(&watch, -1));
        assert_eq!(lock(&mutex, &watch), Locked::OwnerDied);
        mutex.consistent().unwrap();
        mutex.unlock().unwrap();
    });
}

/// Threads that wait by descriptors, and threads that sleep, of two processes, at one lock: it is always one
/// that has it, and nobody waits for the end of a slice.
#[test]
fn watches_and_sleepers_take_turns() {
    own_process!(60, || {
        const ROUNDS: u64 = 1000;
        const THREADS: u64 = 4;
        let region = region();
        let counter = || unsafe { AtomicU64::from_ptr(region.as_ptr().add(FIRST + 1024).cast()) };
        counter().store(0, Ordering::Relaxed);
        let count = |mutex: Mutex<'_>| {
            let before = counter().load(Ordering::Relaxed);
            // Others want it meanwhile.
            std::thread::sleep(Duration::from_micros(20));
            counter().store(before + 1, Ordering::Relaxed);
            mutex.unlock().unwrap();
        };
        let work = |party: Party<'_>| {
            let (ticks, working) = (AtomicU64::new(0), AtomicU64::new(THREADS));
            std::thread::scope(|scope| {
                // A clock that stands still when the machine does.
                scope.spawn(|| {
                    while working.load(Ordering::Relaxed) > 0 {
                        std::thread::sleep(Duration::from_millis(10));
                        ticks.fetch_add(1, Ordering::Relaxed);
                    }
                });
                for thread in 0..THREADS {
                    let (mutex, ticks, working) = (party.mutex(FIRST).unwrap(), &ticks, &working);
                    scope.spawn(move || {
                        let watch = Watch::new().unwrap();
                        for round in 0..ROUNDS {
                            let before = ticks.load(Ordering::Relaxed);
                            let by_descriptor = thread % 2 == 0;
                            // Who gives up is in the kernel's queue, or out of it, or in between.
                            let gives_up = by_descriptor && round % 3 == 0;
                            let locked = match gives_up {
                                true => mutex.lock_watch(&watch).or_else(|_| {
                                    watch.cancel().unwrap();
                                    mutex.lock()
                                }),
                                false if by_descriptor => Ok(lock(&mutex, &watch)),
                                false => mutex.lock(),
                            };
                            count(mutex);
                            assert_eq!(locked, Ok(Locked::Clean));
                            let waited = ticks.load(Ordering::Relaxed) - before;
                            assert!(waited < 90, "thread {thread}, round {round}: {waited} ticks");
                        }
                        working.fetch_sub(1, Ordering::Relaxed);
                    });
                }
            });
        };
        let children: Vec<_> = (0..2).map(|_| fork(|| work(join_any_thread(&region)))).collect();
        children.into_iter().for_each(Child::join);
        assert_eq!(counter().load(Ordering::Relaxed), 2 * THREADS * ROUNDS);
        let party = join(&region);
        let soon = Deadline::after(Duration::ZERO);
        assert_eq!(party.mutex(FIRST).unwrap().lock_until(soon), Ok(Locked::Clean));
        party.mutex(FIRST).unwrap().unlock().unwrap();
    });
}

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicU8, Ordering};
use std::time::Duration;

use shmkit::sync::{Locked, Party, PartyOptions};
use shmkit::{Deadline, Region};

use super::support::*;
use super::{await_sleep, errno_of, join, join_any_thread, region, FIRST, TABLE};

const ENOTRECOVERABLE: Option<i32> = Some(libc::ENOTRECOVERABLE);

/// A child that holds the mutex, and then waits to be killed.
fn holder(region: &Region) -> Child {
    let holds = Line::new();
    let child = fork(|| {
        let party = join(region);
        assert!(party.mutex(FIRST).unwrap().lock().is_ok());
        holds.tell(1);
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    holds.hear();
    child
}

fn counter(region: &Region) -> &AtomicU64 {
    unsafe { AtomicU64::from_ptr(region.as_ptr().add(FIRST + 1024).cast()) }
}

#[test]
fn processes_exclude_each_other() {
    own_process!(20, || {
        const ROUNDS: u64 = 20_000;
        let region = region();
        let count = |region: &Region| {
            let party = join(region);
            let mutex = party.mutex(FIRST).unwrap();
            for _ in 0..ROUNDS {
                assert_eq!(mutex.lock(), Ok(Locked::Clean));
                let counter = counter(region);
                counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                mutex.unlock().unwrap();
            }
        };
        let children: Vec<_> = (0..3).map(|_| fork(|| count(&region))).collect();
        children.into_iter().for_each(Child::join);
        assert_eq!(counter(&region).load(Ordering::Relaxed), 3 * ROUNDS);
    });
}

#[test]
fn a_dead_owner_is_told_once() {
    own_process!(10, || {
        let region = region();
        holder(&region).slay();
        let party = join(&region);
        let mutex = party.mutex(FIRST).unwrap();
        assert!(!mutex.made());
        assert_eq!(mutex.lock(), Ok(Locked::OwnerDied));
        mutex.consistent().unwrap();
        assert_eq!(errno_of(mutex.consistent()), Some(libc::EINVAL));
        mutex.unlock().unwrap();
        assert_eq!(mutex.lock(), Ok(Locked::Clean));
        mutex.unlock().unwrap();
    });
}

#[test]
fn a_sleeper_gets_the_lock_of_a_killed_owner() {
    own_process!(10, || {
        let region = region();
        let owner = holder(&region);
        let (asleep, took) = (Line::new(), Line::new());
        let sleeper = fork(|| {
            let party = join(&region);
            let mutex = party.mutex(FIRST).unwrap();
            asleep.tell(1);
            assert_eq!(mutex.lock(), Ok(Locked::OwnerDied));
            took.tell(monotonic_ns());
            mutex.consistent().unwrap();
            mutex.unlock().unwrap();
        });
        asleep.hear();
        await_sleep(sleeper.pid());
        let before = monotonic_ns();
        owner.slay();
        let after_ns = took.hear() - before;
        // By the kernel's wake, not by the end of a slice.
        assert!(after_ns < 500_000_000, "{after_ns} ns");
        sleeper.join();
    });
}

#[test]
fn unlocked_without_repair_it_is_not_recoverable() {
    own_process!(10, || {
        let region = region();
        holder(&region).slay();
        let waits = Line::new();
        let owned = Line::new();
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                fork(|| {
                    let party = join(&region);
                    let mutex = party.mutex(FIRST).unwrap();
                    waits.tell(1);
                    owned.hear();
                    assert_eq!(errno_of(mutex.lock()), ENOTRECOVERABLE);
                })
            })
            .collect();
        (0..2).for_each(|_| assert_eq!(waits.hear(), 1));
        let party = join(&region);
        let mutex = party.mutex(FIRST).unwrap();
        assert_eq!(mutex.lock(), Ok(Locked::OwnerDied));
        owned.tell(1);
        owned.tell(1);
        waiters.iter().for_each(|waiter| await_sleep(waiter.pid()));
        mutex.unlock().unwrap();
        waiters.into_iter().for_each(Child::join);
        assert_eq!(errno_of(mutex.lock()), ENOTRECOVERABLE);
        assert_eq!(errno_of(mutex.try_lock()), ENOTRECOVERABLE);
        assert_eq!(errno_of(mutex.lock_until(Deadline::after(Duration::ZERO))), ENOTRECOVERABLE);
        assert_eq!(errno_of(mutex.unlock()), Some(libc::EPERM));
    });
}

#[test]
fn a_stranger_does_not_unlock() {
    own_process!(10, || {
        let region = region();
        let owner = holder(&region);
        let party = join(&region);
        let mutex = party.mutex(FIRST).unwrap();
        assert_eq!(errno_of(mutex.unlock()), Some(libc::EPERM));
        assert_eq!(errno_of(mutex.try_lock()), Some(libc::EBUSY));
        assert_eq!(errno_of(mutex.unlock()), Some(libc::EPERM));
        assert_eq!(errno_of(mutex.consistent()), Some(libc::EPERM));
        assert_eq!(mutex.owner(), Ok(Some(owner.pid() as u32)));
        assert_eq!(
            errno_of(mutex.lock_until(Deadline::after(Duration::from_millis(20)))),
            Some(libc::ETIMEDOUT)
        );
        owner.slay();
        assert_eq!(mutex.lock(), Ok(Locked::OwnerDied));
        assert_eq!(mutex.owner(), Ok(Some(std::process::id())));
        mutex.consistent().unwrap();
        mutex.unlock().unwrap();
        assert_eq!(mutex.owner(), Ok(None));
        assert_eq!(errno_of(mutex.unlock()), Some(libc::EPERM));
    });
}

#[test]
fn a_thread_that_has_it_is_told_and_another_one_may_unlock() {
    own_process!(10, || {
        let region = region();
        {
            let party = join(&region);
            let mutex = party.mutex(FIRST).unwrap();
            assert_eq!(mutex.lock(), Ok(Locked::Clean));
            assert_eq!(errno_of(mutex.lock()), Some(libc::EDEADLK));
            let soon = Deadline::after(Duration::from_millis(1));
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    assert_eq!(errno_of(mutex.lock_until(soon)), Some(libc::ETIMEDOUT));
                    mutex.unlock().unwrap();
                });
            });
            assert_eq!(mutex.lock(), Ok(Locked::Clean));
            mutex.unlock().unwrap();
        }
        let party = join_any_thread(&region);
        let mutex = party.mutex(FIRST).unwrap();
        assert_eq!(mutex.lock(), Ok(Locked::Clean));
        let soon = Deadline::after(Duration::from_millis(1));
        assert_eq!(errno_of(mutex.lock_until(soon)), Some(libc::ETIMEDOUT));
        mutex.unlock().unwrap();
    });
}

#[test]
fn a_forked_child_owns_nothing() {
    own_process!(10, || {
        let region = region();
        let party = join(&region);
        let mutex = party.mutex(FIRST).unwrap();
        assert_eq!(mutex.lock(), Ok(Locked::Clean));
        let child = |body: &dyn Fn()| match good(unsafe { libc::fork() }) {
            0 => {
                body();
                unsafe { libc::_exit(0) }
            }
            pid => {
                let mut status = 0;
                good(unsafe { libc::waitpid(pid, &mut status, 0) });
                assert_eq!(status, 0);
            }
        };
        // It ends without having touched anything; by itself; and after it has a place of its own.
        child(&|| {});
        child(&|| {
            assert_eq!(errno_of(mutex.unlock()), Some(libc::EPERM));
            assert_eq!(errno_of(mutex.try_lock()), Some(libc::EBUSY));
            assert_eq!(party.members().len(), 2);
            let soon = Deadline::after(Duration::from_millis(1));
            assert_eq!(errno_of(mutex.lock_until(soon)), Some(libc::ETIMEDOUT));
        });
        assert_eq!(mutex.owner(), Ok(Some(std::process::id())));
        mutex.unlock().unwrap();
        child(&|| {
            assert_eq!(mutex.lock(), Ok(Locked::Clean));
            unsafe { libc::raise(0) };
        });
        assert_eq!(mutex.lock(), Ok(Locked::OwnerDied));
        mutex.consistent().unwrap();
        mutex.unlock().unwrap();
    });
}

#[test]
fn zeros_and_ones_are_no_mutex() {
    own_process!(10, || {
        let region = region();
        let party = join(&region);
        region.write(FIRST, &[0xff; 40]).unwrap();
        assert_eq!(party.mutex(FIRST).unwrap_err().errno(), Some(libc::EINVAL));
        region.write(FIRST, &[0; 40]).unwrap();
        assert!(party.mutex(FIRST).unwrap().made());
        assert!(!party.mutex(FIRST).unwrap().made());
        for offset in [FIRST + 4, TABLE, TABLE + 64, (1 << 20) - 32, 1 << 20, usize::MAX - 7] {
            assert_eq!(party.mutex(offset).unwrap_err().errno(), Some(libc::EINVAL), "{offset}");
        }
        assert!(party.mutex((1 << 20) - 40).is_ok());
    });
}

#[test]
fn two_handles_on_one_memory_exclude_each_other() {
    own_process!(10, || {
        let one = region();
        let other = Region::from_fd(&one.descriptor().unwrap(), 0, &Default::default()).unwrap();
        let (party, stranger) = (join(&one), join(&other));
        let (mutex, same) = (party.mutex(FIRST).unwrap(), stranger.mutex(FIRST).unwrap());
        assert_eq!(mutex.lock(), Ok(Locked::Clean));
        assert_eq!(errno_of(same.unlock()), Some(libc::EPERM));
        assert_eq!(errno_of(same.try_lock()), Some(libc::EBUSY));
        let soon = Deadline::after(Duration::from_millis(1));
        assert_eq!(errno_of(same.lock_until(soon)), Some(libc::ETIMEDOUT));
        mutex.unlock().unwrap();
        assert_eq!(same.lock(), Ok(Locked::Clean));
        same.unlock().unwrap();
    });
}

#[test]
fn the_2001st_lock_recovers_like_the_first() {
    own_process!(20, || {
        const LOCKS: usize = 4100;
        let region = region();
        let holds = Line::new();
        let owner = fork(|| {
            let party = join(&region);
            for index in 0..LOCKS {
                assert!(party.mutex(FIRST + index * 40).unwrap().lock().is_ok());
            }
            holds.tell(1);
            loop {
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        holds.hear();
        let party = join(&region);
        assert_eq!(party.members().len(), 2);
        owner.slay();
        for index in 0..LOCKS {
            let mutex = party.mutex(FIRST + index * 40).unwrap();
            assert_eq!(mutex.try_lock(), Ok(Locked::OwnerDied), "{index}");
            mutex.consistent().unwrap();
            mutex.unlock().unwrap();
        }
    });
}

#[test]
fn a_table_of_another_party_is_refused() {
    own_process!(10, || {
        let region = region();
        let party = join(&region);
        assert!(party.mutex(FIRST).unwrap().made());
        let other = Party::join(&region, 512 << 10, &PartyOptions::default()).unwrap();
        assert_eq!(other.mutex(FIRST).unwrap_err().errno(), Some(libc::EINVAL));
    });
}

#[test]
fn a_dead_owner_does_not_write_any_more() {
    own_process!(60, || dead_owners_do_not_write(start, || {}));
}

/// A process, its number here and who ends with it; None where it cannot be made.
pub(super) type Started = Option<(libc::pid_t, Child)>;

pub(super) fn start(body: &dyn Fn()) -> Started {
    let child = fork(body);
    Some((child.pid(), child))
}

/// A large `read(2)` into the region goes on for a while after its process was killed.
pub(super) fn dead_owners_do_not_write(start: impl Fn(&dyn Fn()) -> Started, before_death: impl Fn()) {
    const WINDOW: usize = 8 << 20;
    const ROUNDS: usize = 5;
    let region = Region::create("window", FIRST + WINDOW, &Default::default()).unwrap();
    let window = || unsafe { region.as_ptr().add(FIRST + 4096) };
    let length = WINDOW - 4096;
    // Zeros without memory.
    let source = unsafe { good(libc::memfd_create(c"zeros".as_ptr(), libc::MFD_CLOEXEC)) };
    good(unsafe { libc::ftruncate(source, 64 << 30) });
    for _ in 0..ROUNDS {
        let holds = Line::new();
        let writer = start(&|| {
            let party = join(&region);
            assert!(party.mutex(FIRST).unwrap().lock().is_ok());
            holds.tell(1);
            let at = window() as usize;
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let vector = libc::iovec { iov_base: at as *mut _, iov_len: length };
                    let vectors = [vector; 100];
                    while unsafe { libc::preadv(source, vectors.as_ptr(), 100, 0) } > 0 {}
                });
            });
        });
        let Some((pid, writer)) = writer else { break };
        holds.hear();
        let last = || unsafe { AtomicU8::from_ptr(window().add(length - 1)) };
        last().store(1, Ordering::Relaxed);
        while last().load(Ordering::Relaxed) != 0 {
            std::thread::yield_now();
        }
        before_death();
        good(unsafe { libc::kill(pid, libc::SIGKILL) });
        let party = join(&region);
        let mutex = party.mutex(FIRST).unwrap();
        assert_eq!(mutex.lock(), Ok(Locked::OwnerDied));
        unsafe { window().write_bytes(1, length) };
        std::thread::sleep(Duration::from_millis(30));
        let bytes = (0..length).step_by(512);
        assert!(bytes.into_iter().all(|at| unsafe { window().add(at).read_volatile() } == 1));
        mutex.consistent().unwrap();
        mutex.unlock().unwrap();
        writer.wait();
    }
    unsafe { libc::close(source) };
}

#[test]
fn to_execute_is_to_die() {
    own_process!(10, || {
        let region = region();
        let holds = Line::new();
        let owner = fork(|| {
            let party = join(&region);
            assert!(party.mutex(FIRST).unwrap().lock().is_ok());
            holds.tell(1);
            let program = c("/bin/sleep");
            let arguments = [program.as_ptr(), c"1000".as_ptr(), std::ptr::null()];
            unsafe { libc::execv(program.as_ptr(), arguments.as_ptr()) };
        });
        holds.hear();
        let party = join(&region);
        let mutex = party.mutex(FIRST).unwrap();
        assert_eq!(mutex.lock(), Ok(Locked::OwnerDied));
        mutex.consistent().unwrap();
        mutex.unlock().unwrap();
        owner.slay();
    });
}

/// A peer that writes to the word without end denies service, and no more.
#[test]
fn a_word_that_is_forged_without_end_does_not_hold_up_a_deadline() {
    own_process!(10, || {
        let region = region();
        {
            let party = join(&region);
            assert!(party.mutex(FIRST).unwrap().made());
        }
        let begun = Line::new();
        let peer = fork(|| {
            let word = unsafe { AtomicU32::from_ptr(region.as_ptr().add(FIRST).cast()) };
            begun.tell(1);
            let mut value = 0u32;
            loop {
                value = value.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                word.store(value, Ordering::Relaxed);
            }
        });
        begun.hear();
        let party = join(&region);
        let mutex = party.mutex(FIRST).unwrap();
        let before = monotonic_ns();
        for _ in 0..50 {
            // What it answers is the peer's; that it answers is ours.
            let _ = mutex.lock_until(Deadline::after(Duration::from_millis(2)));
            let _ = mutex.unlock();
            let _ = mutex.owner();
        }
        assert!(monotonic_ns() - before < 4_000_000_000);
        peer.slay();
        unsafe { AtomicU32::from_ptr(region.as_ptr().add(FIRST).cast()) }.store(0, Ordering::Relaxed);
    });
}

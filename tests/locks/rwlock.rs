use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use shmkit::sync::{Locked, Party, PartyOptions, Watch};
use shmkit::{Deadline, Region};

use super::support::*;
use super::watch::is_readable_within;
use super::{
    await_sleep, errno_of, in_child, in_time, join, join_any_thread, region, soon, stay, FIRST, TABLE,
};

const PAST: fn() -> Deadline = || Deadline::at_ns(0).unwrap();

/// Children that have it for reading, or one that has it for writing, and then wait to be killed.
fn reader(region: &Region) -> Child {
    let reads = Line::new();
    let child = fork(|| {
        let party = join(region);
        assert_eq!(party.rwlock(FIRST).unwrap().read(), Ok(Locked::Clean));
        reads.tell(1);
        stay();
    });
    reads.hear();
    child
}

fn writer(region: &Region) -> Child {
    let writes = Line::new();
    let child = fork(|| {
        let party = join(region);
        assert_eq!(party.rwlock(FIRST).unwrap().write(), Ok(Locked::Clean));
        writes.tell(1);
        stay();
    });
    writes.hear();
    child
}

fn word(region: &Region, at: usize) -> &AtomicU32 {
    unsafe { AtomicU32::from_ptr(region.as_ptr().add(at).cast()) }
}

fn pair(region: &Region) -> [&AtomicU64; 2] {
    [0, 8].map(|at| unsafe { AtomicU64::from_ptr(region.as_ptr().add(FIRST + 1024 + at).cast()) })
}

#[test]
fn one_writes_or_many_read() {
    own_process!(30, || {
        const ROUNDS: u64 = 10_000;
        let region = region();
        let write = || {
            let party = join(&region);
            let lock = party.rwlock(FIRST).unwrap();
            let [one, other] = pair(&region);
            for _ in 0..ROUNDS {
                assert_eq!(lock.write(), Ok(Locked::Clean));
                let next = one.load(Ordering::Relaxed) + 1;
                one.store(next, Ordering::Relaxed);
                other.store(next, Ordering::Relaxed);
                lock.unlock().unwrap();
            }
        };
        let read = || {
            let party = join(&region);
            let lock = party.rwlock(FIRST).unwrap();
            let [one, other] = pair(&region);
            for round in 0..ROUNDS {
                let got = match round % 2 {
                    0 => lock.read(),
                    _ => lock.read_until(Deadline::after(Duration::from_secs(20))),
                };
                assert_eq!(got, Ok(Locked::Clean));
                assert_eq!(one.load(Ordering::Relaxed), other.load(Ordering::Relaxed));
                lock.unlock().unwrap();
            }
        };
        let writers: Vec<_> = (0..2).map(|_| fork(write)).collect();
        let readers: Vec<_> = (0..2).map(|_| fork(read)).collect();
        writers.into_iter().chain(readers).for_each(Child::join);
        assert_eq!(pair(&region)[0].load(Ordering::Relaxed), 2 * ROUNDS);
    });
}

#[test]
fn readers_are_there_together() {
    own_process!(10, || {
        let region = region();
        let others: Vec<_> = (0..3).map(|_| reader(&region)).collect();
        let party = join(&region);
        let lock = party.rwlock(FIRST).unwrap();
        // Also where this process has never used it.
        assert_eq!(errno_of(lock.unlock()), Some(libc::EPERM));
        assert_eq!(errno_of(lock.consistent()), Some(libc::EPERM));
        assert_eq!(lock.read(), Ok(Locked::Clean));
        assert_eq!(lock.try_read(), Ok(Locked::Clean));
        assert_eq!(lock.read_until(PAST()), Ok(Locked::Clean));
        assert_eq!(errno_of(lock.try_write()), Some(libc::EBUSY));
        (0..3).for_each(|_| lock.unlock().unwrap());
        assert_eq!(errno_of(lock.unlock()), Some(libc::EPERM));
        assert_eq!(errno_of(lock.try_write()), Some(libc::EBUSY));
        assert_eq!(errno_of(lock.write_until(soon())), Some(libc::ETIMEDOUT));
        // Who has given up is in nobody's way.
        assert_eq!(lock.try_read(), Ok(Locked::Clean));
        lock.unlock().unwrap();
        others.into_iter().for_each(Child::slay);
        assert_eq!(lock.try_write(), Ok(Locked::Clean));
        lock.unlock().unwrap();
    });
}

#[test]
fn readers_that_die_hold_up_no_writer() {
    own_process!(20, || {
        let region = region();
        // One that comes later.
        let dead: Vec<_> = (0..3).map(|_| reader(&region)).collect();
        dead.into_iter().for_each(Child::slay);
        {
            let party = join(&region);
            let lock = party.rwlock(FIRST).unwrap();
            assert_eq!(lock.try_write(), Ok(Locked::Clean));
            lock.unlock().unwrap();
        }
        // One that waits for them.
        let readers: Vec<_> = (0..3).map(|_| reader(&region)).collect();
        let took = Line::new();
        let waiter = fork(|| {
            let party = join(&region);
            let lock = party.rwlock(FIRST).unwrap();
            assert_eq!(lock.write(), Ok(Locked::Clean));
            took.tell(monotonic_ns());
            lock.unlock().unwrap();
        });
        await_sleep(waiter.pid());
        assert!(!took.is_told());
        let mut before = 0;
        for reader in readers {
            before = monotonic_ns();
            reader.slay();
        }
        let after_ns = took.hear() - before;
        assert!(after_ns < 500_000_000, "{after_ns} ns");
        waiter.join();
    });
}

#[test]
fn a_writer_that_waits_hears_of_the_last_reader() {
    own_process!(20, || {
        const ROUNDS: usize = 200;
        let region = region();
        let (waits, go) = (Line::new(), Line::new());
        let writer = fork(|| {
            let party = join(&region);
            let lock = party.rwlock(FIRST).unwrap();
            for _ in 0..ROUNDS {
                go.hear();
                waits.tell(1);
                assert_eq!(lock.write(), Ok(Locked::Clean));
                waits.tell(monotonic_ns());
                lock.unlock().unwrap();
            }
        });
        let party = join(&region);
        let lock = party.rwlock(FIRST).unwrap();
        let mut took_ns = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            assert_eq!(lock.read(), Ok(Locked::Clean));
            assert_eq!(lock.read(), Ok(Locked::Clean));
            go.tell(1);
            waits.hear();
            await_sleep(writer.pid());
            lock.unlock().unwrap();
            assert!(!waits.is_told());
            let before = monotonic_ns();
            lock.unlock().unwrap();
            took_ns.push(waits.hear() - before);
        }
        writer.join();
        // By the reader's wake, not by the end of a slice; whatever the machine does at times.
        took_ns.sort_unstable();
        assert!(took_ns[ROUNDS / 2] < 5_000_000, "{took_ns:?}");
    });
}

#[test]
fn a_stream_of_readers_does_not_starve_a_writer() {
    own_process!(20, || {
        let region = region();
        let begun = Line::new();
        // At any time one of them reads.
        let turn = |region: &Region, own: usize| {
            let party = join(region);
            let lock = party.rwlock(FIRST).unwrap();
            let [reads, other] = [own, 1 - own].map(|which| pair(region)[which]);
            for round in 0u64.. {
                assert_eq!(lock.read(), Ok(Locked::Clean));
                reads.store(1, Ordering::SeqCst);
                if round == 0 {
                    begun.tell(1);
                }
                let limit = monotonic_ns() + 1_000_000;
                while other.load(Ordering::SeqCst) == 0 && monotonic_ns() < limit {
                    std::thread::yield_now();
                }
                reads.store(0, Ordering::SeqCst);
                lock.unlock().unwrap();
            }
        };
        let children = [0, 1].map(|own| fork(|| turn(&region, own)));
        (0..2).for_each(|_| assert_eq!(begun.hear(), 1));
        let party = join(&region);
        let lock = party.rwlock(FIRST).unwrap();
        for _ in 0..20 {
            assert_eq!(lock.write_until(Deadline::after(Duration::from_secs(5))), Ok(Locked::Clean));
            lock.unlock().unwrap();
        }
        children.into_iter().for_each(Child::slay);
        pair(&region).iter().for_each(|flag| flag.store(0, Ordering::Relaxed));
    });
}

#[test]
fn a_dead_writer_is_told_once_to_a_writer() {
    own_process!(10, || {
        let region = region();
        for how in 0..3 {
            writer(&region).slay();
            let party = join(&region);
            let lock = party.rwlock(FIRST).unwrap();
            assert!(!lock.made());
            let got = match how {
                0 => lock.write(),
                1 => lock.try_write(),
                _ => lock.write_until(PAST()),
            };
            assert_eq!(got, Ok(Locked::OwnerDied));
            lock.consistent().unwrap();
            assert_eq!(errno_of(lock.consistent()), Some(libc::EINVAL));
            lock.unlock().unwrap();
            assert_eq!(errno_of(lock.consistent()), Some(libc::EPERM));
            assert_eq!(lock.write(), Ok(Locked::Clean));
            lock.unlock().unwrap();
        }
    });
}

#[test]
fn a_dead_writer_is_told_once_to_a_reader_who_then_writes() {
    own_process!(10, || {
        let region = region();
        for how in 0..3 {
            writer(&region).slay();
            let party = join(&region);
            let lock = party.rwlock(FIRST).unwrap();
            let got = match how {
                0 => lock.read(),
                1 => lock.try_read(),
                _ => lock.read_until(PAST()),
            };
            assert_eq!(got, Ok(Locked::OwnerDied));
            // It has it alone.
            in_child(|| {
                assert_eq!(errno_of(lock.try_read()), Some(libc::EBUSY));
                assert_eq!(errno_of(lock.read_until(soon())), Some(libc::ETIMEDOUT));
            });
            lock.consistent().unwrap();
            in_child(|| assert_eq!(errno_of(lock.try_read()), Some(libc::EBUSY)));
            lock.unlock().unwrap();
            assert_eq!(errno_of(lock.unlock()), Some(libc::EPERM));
            assert_eq!(lock.read(), Ok(Locked::Clean));
            in_child(|| assert_eq!(lock.try_read(), Ok(Locked::Clean)));
            lock.unlock().unwrap();
        }
    });
}

#[test]
fn sleepers_are_told_of_a_dead_writer() {
    own_process!(20, || {
        let region = region();
        let owner = writer(&region);
        let told = Line::new();
        let sleep = |reads: bool| {
            let party = join(&region);
            let lock = party.rwlock(FIRST).unwrap();
            let got = if reads { lock.read() } else { lock.write() };
            told.tell(i64::from(got == Ok(Locked::OwnerDied)));
            if got == Ok(Locked::OwnerDied) {
                lock.consistent().unwrap();
            }
            lock.unlock().unwrap();
        };
        let sleepers = [true, true, false, false].map(|reads| fork(move || sleep(reads)));
        sleepers.iter().for_each(|sleeper| await_sleep(sleeper.pid()));
        owner.slay();
        assert_eq!((0..4).map(|_| told.hear()).sum::<i64>(), 1);
        sleepers.into_iter().for_each(Child::join);
    });
}

/// It has written nothing.
#[test]
fn a_writer_that_dies_while_it_waits_is_not_told() {
    own_process!(10, || {
        let region = region();
        let reads = reader(&region);
        let waits = fork(|| {
            let party = join(&region);
            let _ = party.rwlock(FIRST).unwrap().write();
        });
        let party = join(&region);
        let lock = party.rwlock(FIRST).unwrap();
        await_lock(&lock, waits.pid());
        assert_eq!(errno_of(lock.try_read()), Some(libc::EBUSY));
        assert_eq!(errno_of(lock.read_until(soon())), Some(libc::ETIMEDOUT));
        waits.slay();
        assert_eq!(lock.try_read(), Ok(Locked::Clean));
        lock.unlock().unwrap();
        assert_eq!(errno_of(lock.try_write()), Some(libc::EBUSY));
        reads.slay();
        assert_eq!(lock.try_write(), Ok(Locked::Clean));
        lock.unlock().unwrap();
    });
}

#[test]
fn unlocked_without_repair_it_is_not_recoverable() {
    own_process!(10, || {
        let region = region();
        let owner = writer(&region);
        let sleepers = [true, true, false].map(|reads| {
            fork(|| {
                let party = join(&region);
                let lock = party.rwlock(FIRST).unwrap();
                let got = if reads { lock.read() } else { lock.write() };
                if got == Ok(Locked::OwnerDied) {
                    lock.unlock().unwrap();
                } else {
                    assert_eq!(errno_of(got), Some(libc::ENOTRECOVERABLE));
                }
            })
        });
        sleepers.iter().for_each(|sleeper| await_sleep(sleeper.pid()));
        owner.slay();
        sleepers.into_iter().for_each(Child::join);
        let party = join(&region);
        let lock = party.rwlock(FIRST).unwrap();
        let answers = [lock.read(), lock.try_read(), lock.read_until(PAST()), lock.write(), lock.try_write()];
        for answer in answers {
            assert_eq!(errno_of(answer), Some(libc::ENOTRECOVERABLE));
        }
        assert_eq!(errno_of(lock.unlock()), Some(libc::EPERM));
    });
}

#[test]
fn a_thread_reads_again_while_a_writer_waits() {
    own_process!(10, || {
        let region = region();
        let go = Line::new();
        let waits = fork(|| {
            let party = join(&region);
            let lock = party.rwlock(FIRST).unwrap();
            go.hear();
            assert_eq!(lock.write(), Ok(Locked::Clean));
            lock.unlock().unwrap();
            go.hear();
            assert_eq!(lock.write(), Ok(Locked::Clean));
            lock.unlock().unwrap();
        });
        let party = join(&region);
        let lock = party.rwlock(FIRST).unwrap();
        assert_eq!(lock.read(), Ok(Locked::Clean));
        assert_eq!(errno_of(lock.write()), Some(libc::EDEADLK));
        go.tell(1);
        await_lock(&lock, waits.pid());
        assert_eq!(lock.read(), Ok(Locked::Clean));
        assert_eq!(lock.try_read(), Ok(Locked::Clean));
        assert_eq!(lock.read_until(PAST()), Ok(Locked::Clean));
        in_thread(|| {
            // Not this thread's: it queues.
            assert_eq!(errno_of(lock.try_read()), Some(libc::EBUSY));
            assert_eq!(errno_of(lock.read_until(soon())), Some(libc::ETIMEDOUT));
        });
        (0..4).for_each(|_| lock.unlock().unwrap());
        // Given back by another thread: from now on nobody knows, and it queues, too.
        assert_eq!(lock.read(), Ok(Locked::Clean));
        assert_eq!(lock.read(), Ok(Locked::Clean));
        in_thread(|| lock.unlock().unwrap());
        go.tell(1);
        await_lock(&lock, waits.pid());
        assert_eq!(errno_of(lock.try_read()), Some(libc::EBUSY));
        assert_eq!(errno_of(lock.read_until(soon())), Some(libc::ETIMEDOUT));
        lock.unlock().unwrap();
        waits.join();
        assert_eq!(lock.write(), Ok(Locked::Clean));
        assert_eq!(errno_of(lock.read()), Some(libc::EDEADLK));
        assert_eq!(errno_of(lock.write()), Some(libc::EDEADLK));
        assert_eq!(errno_of(lock.try_read()), Some(libc::EBUSY));
        assert_eq!(errno_of(lock.try_write()), Some(libc::EBUSY));
        lock.unlock().unwrap();
        assert_eq!(errno_of(lock.unlock()), Some(libc::EPERM));
    });
}

/// In another thread, whose stack is free for the next one afterwards.
fn in_thread(body: impl FnOnce() + Send) {
    std::thread::scope(|scope| scope.spawn(body).join().unwrap());
}

/// Waits until a writer waits for those who read: another process can tell.
fn await_lock(lock: &shmkit::sync::RwLock<'_>, writer: libc::pid_t) {
    in_child(|| {
        while lock.try_read().is_ok() {
            lock.unlock().unwrap();
            std::thread::yield_now();
        }
    });
    await_sleep(writer);
}

#[test]
fn without_threads_nobody_is_told_of_a_deadlock() {
    own_process!(10, || {
        let region = region();
        let party = join_any_thread(&region);
        let lock = party.rwlock(FIRST).unwrap();
        assert_eq!(lock.read(), Ok(Locked::Clean));
        assert_eq!(errno_of(lock.write_until(soon())), Some(libc::ETIMEDOUT));
        lock.unlock().unwrap();
        assert_eq!(lock.write(), Ok(Locked::Clean));
        assert_eq!(errno_of(lock.write_until(soon())), Some(libc::ETIMEDOUT));
        assert_eq!(errno_of(lock.read_until(soon())), Some(libc::ETIMEDOUT));
        lock.unlock().unwrap();
    });
}

#[test]
fn a_forked_child_has_neither_reading_nor_writing() {
    own_process!(10, || {
        let region = region();
        let party = join(&region);
        let lock = party.rwlock(FIRST).unwrap();
        assert_eq!(lock.read(), Ok(Locked::Clean));
        in_child(|| assert_eq!(errno_of(lock.unlock()), Some(libc::EPERM)));
        in_child(|| {
            assert_eq!(errno_of(lock.try_write()), Some(libc::EBUSY));
            assert_eq!(errno_of(lock.unlock()), Some(libc::EPERM));
            // It dies with it.
            assert_eq!(lock.read(), Ok(Locked::Clean));
        });
        lock.unlock().unwrap();
        assert_eq!(lock.write(), Ok(Locked::Clean));
        in_child(|| {
            assert_eq!(errno_of(lock.unlock()), Some(libc::EPERM));
            assert_eq!(errno_of(lock.consistent()), Some(libc::EPERM));
            assert_eq!(errno_of(lock.try_read()), Some(libc::EBUSY));
        });
        lock.unlock().unwrap();
        in_child(|| assert_eq!(lock.write(), Ok(Locked::Clean)));
        assert_eq!(lock.read(), Ok(Locked::OwnerDied));
        lock.consistent().unwrap();
        lock.unlock().unwrap();
    });
}

#[test]
fn a_party_is_not_left_by_who_reads() {
    own_process!(10, || {
        in_child(|| {
            let region = std::mem::ManuallyDrop::new(region());
            let party = join(&region);
            assert_eq!(party.rwlock(FIRST).unwrap().read(), Ok(Locked::Clean));
            assert_eq!(party.leave().unwrap_err().errno(), Some(libc::EBUSY));
        });
    });
}

#[test]
fn zeros_and_ones_are_no_rwlock() {
    own_process!(10, || {
        let region = region();
        let party = join(&region);
        region.write(FIRST, &[0xff; 56]).unwrap();
        assert_eq!(party.rwlock(FIRST).unwrap_err().errno(), Some(libc::EINVAL));
        region.write(FIRST, &[0; 56]).unwrap();
        region.write(FIRST + 55, &[1]).unwrap();
        assert_eq!(party.rwlock(FIRST).unwrap_err().errno(), Some(libc::EINVAL));
        region.write(FIRST + 55, &[0]).unwrap();
        assert!(party.mutex(FIRST).unwrap().made());
        assert_eq!(party.rwlock(FIRST).unwrap_err().errno(), Some(libc::EINVAL));
        region.write(FIRST, &[0; 56]).unwrap();
        assert!(party.rwlock(FIRST).unwrap().made());
        assert!(!party.rwlock(FIRST).unwrap().made());
        for offset in [FIRST + 4, TABLE, TABLE + 64, (1 << 20) - 48, 1 << 20, usize::MAX - 7] {
            assert_eq!(party.rwlock(offset).unwrap_err().errno(), Some(libc::EINVAL), "{offset}");
        }
        assert!(party.rwlock((1 << 20) - 56).unwrap().made());
    });
}

/// Whoever makes it at the same time takes no other.
#[test]
fn a_lock_has_one_cell() {
    own_process!(10, || {
        let region = region();
        let options = PartyOptions { cells: 16, ..PartyOptions::default() };
        let join = || Party::join(&region, TABLE, &options).unwrap();
        let make = || {
            let party = join();
            (0..16).for_each(|index| assert!(party.rwlock(FIRST + index * 56).is_ok()));
        };
        let makers: Vec<_> = (0..8).map(|_| fork(make)).collect();
        makers.into_iter().for_each(Child::join);
        let party = join();
        let full = party.rwlock(FIRST + 16 * 56).unwrap_err();
        assert_eq!(full.errno(), Some(libc::ENOLCK));
        assert!(full.to_string().contains("all 16"), "{full}");
        let lock = party.rwlock(FIRST + 15 * 56).unwrap();
        assert_eq!(lock.read(), Ok(Locked::Clean));
        for index in 0..15 {
            let other = party.rwlock(FIRST + index * 56).unwrap();
            assert_eq!(other.write(), Ok(Locked::Clean));
            other.unlock().unwrap();
        }
        lock.unlock().unwrap();
    });
}

/// A cell that is another object's, or none at all, is not counted in.
#[test]
fn a_forged_cell_is_refused() {
    own_process!(10, || {
        let region = region();
        let party = join(&region);
        let lock = party.rwlock(FIRST).unwrap();
        let cell = word(&region, FIRST + 24);
        let had = cell.load(Ordering::Relaxed);
        for forged in [0, had + 1, 33, 1 << 31, u32::MAX] {
            cell.store(forged, Ordering::Relaxed);
            for answer in [lock.read(), lock.write(), lock.try_read(), lock.try_write()] {
                assert_eq!(errno_of(answer), Some(libc::EINVAL));
            }
            assert_eq!(errno_of(lock.unlock()), Some(libc::EPERM));
        }
        cell.store(had, Ordering::Relaxed);
        assert_eq!(lock.read(), Ok(Locked::Clean));
        lock.unlock().unwrap();
    });
}

#[test]
fn bytes_that_are_forged_without_end_do_not_hold_up_a_deadline() {
    own_process!(20, || {
        let region = region();
        {
            let party = join(&region);
            assert!(party.rwlock(FIRST).unwrap().made());
        }
        let begun = Line::new();
        let peer = fork(|| {
            // The word, state, phase; and the cells of the first slots.
            let cells = TABLE + 64 + 32 * 8 + 64 * 64;
            let words: Vec<_> = [FIRST, FIRST + 4, FIRST + 28]
                .into_iter()
                .chain((0..2).map(|slot| cells + slot * 32 * 4))
                .map(|at| word(&region, at))
                .collect();
            begun.tell(1);
            let mut value = 0u32;
            loop {
                for word in &words {
                    value = value.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    word.store(value >> 1, Ordering::Relaxed);
                }
            }
        });
        begun.hear();
        let party = std::mem::ManuallyDrop::new(join(&region));
        let lock = party.rwlock(FIRST).unwrap();
        let before = monotonic_ns();
        for _ in 0..50 {
            // What it answers is the peer's; that it answers is ours.
            let _ = lock.read_until(Deadline::after(Duration::from_millis(2)));
            let _ = lock.unlock();
            let _ = lock.write_until(Deadline::after(Duration::from_millis(2)));
            let _ = lock.unlock();
            let _ = (lock.try_read(), lock.try_write(), lock.consistent());
        }
        assert!(monotonic_ns() - before < 8_000_000_000);
        peer.slay();
        region.write(FIRST, &[0; 8]).unwrap();
        region.write(FIRST + 28, &[0; 4]).unwrap();
        region.write(TABLE + 64 + 32 * 8 + 64 * 64, &[0; 64 * 32 * 4]).unwrap();
        std::mem::ManuallyDrop::into_inner(party).leave().unwrap();
    });
}

/// Readers and writers are killed at any moment: nobody hangs, nobody sees what is half done without having been
/// told, and nobody is told of more than died.
#[test]
fn it_lives_on_over_many_deaths() {
    own_process!(60, || {
        const DEATHS: usize = 200;
        let region = region();
        let number =
            |at: usize| unsafe { AtomicU64::from_ptr(region.as_ptr().add(FIRST + 2048 + at * 8).cast()) };
        let (turns, wrong, told) = (|| number(0), || number(1), || number(2));
        (0..3).for_each(|at| number(at).store(0, Ordering::Relaxed));
        let worker = |seed: u64| {
            fork(|| {
                let party = join(&region);
                let lock = party.rwlock(FIRST).unwrap();
                let [one, other] = pair(&region);
                let equal = || one.load(Ordering::Relaxed) == other.load(Ordering::Relaxed);
                let mut random = seed;
                loop {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let writes = random >> 62 == 0;
                    match if writes { lock.write() } else { lock.read() } {
                        Ok(Locked::OwnerDied) => {
                            other.store(one.load(Ordering::Relaxed), Ordering::Relaxed);
                            told().fetch_add(1, Ordering::Relaxed);
                            lock.consistent().unwrap();
                        }
                        Ok(Locked::Clean) if !equal() => drop(wrong().fetch_add(1, Ordering::Relaxed)),
                        Ok(Locked::Clean) if writes => {
                            one.fetch_add(1, Ordering::Relaxed);
                            (0..random >> 58).for_each(|_| std::hint::spin_loop());
                            other.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(Locked::Clean) => {}
                        Err(_) => drop(wrong().fetch_add(1, Ordering::Relaxed)),
                    }
                    if lock.unlock().is_err() {
                        wrong().fetch_add(1, Ordering::Relaxed);
                    }
                    turns().fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let progress = |by: u64| {
            let from = turns().load(Ordering::Relaxed);
            while turns().load(Ordering::Relaxed) - from < by {
                std::thread::yield_now();
            }
        };
        let mut workers: Vec<_> = (0..4).map(worker).collect();
        for death in 0..DEATHS {
            progress(1 + death as u64 * 37 % 100);
            workers.swap_remove(death % 4).slay();
            workers.push(worker(100 + death as u64));
        }
        progress(1000);
        drop(workers);
        let party = join(&region);
        let lock = party.rwlock(FIRST).unwrap();
        if lock.write().unwrap() == Locked::OwnerDied {
            lock.consistent().unwrap();
        }
        lock.unlock().unwrap();
        assert_eq!(wrong().load(Ordering::Relaxed), 0);
        assert!(told().load(Ordering::Relaxed) <= DEATHS as u64);
        pair(&region).iter().for_each(|number| number.store(0, Ordering::Relaxed));
    });
}

/// What a call with a watch answers, by the descriptor alone.
fn by_descriptor(watch: &Watch, mut call: impl FnMut() -> Result<Locked, shmkit::Code>) -> Locked {
    loop {
        match call() {
            Ok(locked) => return locked,
            Err(code) => assert_eq!(code.raw(), -libc::EAGAIN),
        }
        assert!(is_readable_within(watch, -1));
    }
}

#[test]
fn an_unlock_makes_descriptors_readable() {
    own_process!(20, || {
        let region = region();
        let party = join_any_thread(&region);
        let lock = party.rwlock(FIRST).unwrap();
        let [watch, other] = [(); 2].map(|()| Watch::new().unwrap());
        assert_eq!(lock.write_watch(&watch), Ok(Locked::Clean));
        for watch in [&watch, &other] {
            assert_eq!(errno_of(lock.read_watch(watch)), Some(libc::EAGAIN));
            assert!(!is_readable_within(watch, 5));
        }
        lock.unlock().unwrap();
        for watch in [&watch, &other] {
            assert_eq!(by_descriptor(watch, || lock.read_watch(watch)), Locked::Clean);
            assert!(!is_readable_within(watch, 0));
        }
        // Who waits for readers keeps new ones out, as often as it looks.
        for _ in 0..2 {
            assert_eq!(errno_of(lock.write_watch(&watch)), Some(libc::EAGAIN));
            assert_eq!(errno_of(lock.try_read()), Some(libc::EBUSY));
            assert!(!is_readable_within(&watch, 5));
        }
        // And gives that up.
        watch.cancel().unwrap();
        assert_eq!(lock.try_read(), Ok(Locked::Clean));
        assert_eq!(errno_of(lock.write_watch(&watch)), Some(libc::EAGAIN));
        drop(watch);
        assert_eq!(lock.try_read(), Ok(Locked::Clean));
        let watch = Watch::new().unwrap();
        assert_eq!(errno_of(lock.write_watch(&watch)), Some(libc::EAGAIN));
        assert_eq!(errno_of(lock.read_watch(&other)), Some(libc::EAGAIN));
        (0..4).for_each(|_| lock.unlock().unwrap());
        assert_eq!(by_descriptor(&watch, || lock.write_watch(&watch)), Locked::Clean);
        assert!(!is_readable_within(&other, 5));
        lock.unlock().unwrap();
        assert_eq!(by_descriptor(&other, || lock.read_watch(&other)), Locked::Clean);
        lock.unlock().unwrap();
        assert_eq!(lock.try_write(), Ok(Locked::Clean));
        lock.unlock().unwrap();
    });
}

#[test]
fn deaths_make_descriptors_readable() {
    own_process!(20, || {
        in_time(|| {
            let region = region();
            let readers = [(); 2].map(|()| reader(&region));
            let party = join(&region);
            let lock = party.rwlock(FIRST).unwrap();
            let watch = Watch::new().unwrap();
            assert_eq!(errno_of(lock.write_watch(&watch)), Some(libc::EAGAIN));
            assert!(!is_readable_within(&watch, 5));
            let before = monotonic_ns();
            readers.iter().for_each(|reader| reader.kill(libc::SIGKILL));
            assert_eq!(by_descriptor(&watch, || lock.write_watch(&watch)), Locked::Clean);
            let took_ns = monotonic_ns() - before;
            lock.unlock().unwrap();
            for reader in readers {
                let _ = reader.wait();
            }
            took_ns
        });
        in_time(|| {
            let region = region();
            let writer = writer(&region);
            let party = join(&region);
            let lock = party.rwlock(FIRST).unwrap();
            let watch = Watch::new().unwrap();
            assert_eq!(errno_of(lock.read_watch(&watch)), Some(libc::EAGAIN));
            let before = monotonic_ns();
            writer.kill(libc::SIGKILL);
            assert_eq!(by_descriptor(&watch, || lock.read_watch(&watch)), Locked::OwnerDied);
            let took_ns = monotonic_ns() - before;
            lock.consistent().unwrap();
            lock.unlock().unwrap();
            writer.wait();
            took_ns
        });
    });
}

/// One that dies between the calls has not written.
#[test]
fn a_dead_watch_that_waited_for_readers_is_no_dead_writer() {
    own_process!(20, || {
        let region = region();
        let waits = Line::new();
        let reader = reader(&region);
        let waiter = fork(|| {
            let party = join(&region);
            let watch = Watch::new().unwrap();
            let lock = party.rwlock(FIRST).unwrap();
            assert_eq!(errno_of(lock.write_watch(&watch)), Some(libc::EAGAIN));
            waits.tell(1);
            stay();
        });
        waits.hear();
        let party = join(&region);
        let lock = party.rwlock(FIRST).unwrap();
        let watch = Watch::new().unwrap();
        assert_eq!(errno_of(lock.read_watch(&watch)), Some(libc::EAGAIN));
        waiter.kill(libc::SIGKILL);
        assert_eq!(by_descriptor(&watch, || lock.read_watch(&watch)), Locked::Clean);
        lock.unlock().unwrap();
        reader.kill(libc::SIGKILL);
        reader.wait();
        waiter.wait();
    });
}

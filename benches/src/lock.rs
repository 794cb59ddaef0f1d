//! lock.: the locks of a region, against glibc's of the same meaning, shared between processes.

mod attach;
mod board;
mod other;
mod pair;
mod recovery;

use std::ffi::c_int;
use std::hint::black_box;

use anyhow::{ensure, Result};

use attach::attach;
use board::{Board, Shared};
use pair::{barrier, contended, wake, watch_death};
use recovery::{recovery, Owner};

use crate::c::{self, code};
use crate::harness::{each, Bench, Run};
use crate::{raw, One};

const ROBUST: &str = "glibc's robust mutex";

const COUNTERPART: &str = "glibc's counterpart";

const ATTACH: &str = "joining and leaving alone";

/// A figure whose limit is what glibc takes for the same.
macro_rules! as_glibc {
    ($id:literal, $compare:expr) => {
        One { id: $id, reference: COUNTERPART, limit: Some(1.0), compare: $compare }
    };
}

pub const JOBS: [One; 15] = [
    One { id: "lock.mutex", reference: ROBUST, limit: Some(0.85), compare: mutex },
    One { id: "lock.mutex.contended", reference: ROBUST, limit: Some(1.0 / 1.2), compare: contended },
    as_glibc!("lock.semaphore", semaphore),
    as_glibc!("lock.cond.signal", signal),
    as_glibc!("lock.rwlock.read", read),
    as_glibc!("lock.rwlock.write", write),
    as_glibc!("lock.barrier", barrier),
    One { id: "lock.event.set", reference: "write(2) to an eventfd", limit: Some(0.20), compare: set },
    One { id: "lock.event.wake", reference: "a store and FUTEX_WAKE", limit: Some(1.05), compare: wake },
    One { id: "lock.watch_death", reference: "FUTEX_WAIT alone", limit: Some(1.10), compare: watch_death },
    One {
        id: "lock.recovery",
        reference: ROBUST,
        limit: Some(1.50),
        compare: |bench| recovery(bench, Owner::OfOneThread),
    },
    One {
        id: "lock.recovery.joined",
        reference: "glibc's robust mutex, of a process with a keeper",
        limit: None,
        compare: |bench| recovery(bench, Owner::Joined),
    },
    One { id: "lock.attach.1", reference: ATTACH, limit: None, compare: attach::<1> },
    One { id: "lock.attach.100", reference: ATTACH, limit: None, compare: attach::<100> },
    One { id: "lock.attach.10000", reference: ATTACH, limit: None, compare: attach::<10_000> },
];

fn mutex(bench: &Bench) -> Result<Vec<Run>> {
    let shared = Shared::new()?;
    let (ours, reference) = (shared.board().mutex.0.lock.get(), shared.board().robust.0.lock.get());
    let party = shared.party;
    bench.compare(
        // SAFETY: both are made, here and below.
        each(|| unsafe {
            code(c::shm_mutex_lock(party, ours))?;
            code(c::shm_mutex_unlock(party, ours))?;
            Ok(())
        }),
        each(|| unsafe {
            code(-libc::pthread_mutex_lock(reference))?;
            code(-libc::pthread_mutex_unlock(reference))?;
            Ok(())
        }),
    )
}

/// What one process does alone, through C: a pair of calls each.
fn alone(
    bench: &Bench,
    ours: impl Fn(&Board, *mut c::shm_party) -> (c_int, c_int),
    reference: impl Fn(&Board) -> (c_int, c_int),
) -> Result<Vec<Run>> {
    let shared = Shared::new()?;
    let (board, party) = (shared.board(), shared.party);
    let good = |(first, second): (c_int, c_int)| {
        ensure!(first >= 0 && second >= 0, "{first} and {second}");
        Ok(())
    };
    bench.compare(each(|| good(ours(board, party))), each(|| good(reference(board))))
}

// SAFETY of all of these: the objects are made, and the party is joined.
fn semaphore(bench: &Bench) -> Result<Vec<Run>> {
    // As a C program calls them: the link-time optimiser would take them apart, and cannot do that to glibc's.
    let wait: unsafe extern "C" fn(_, _) -> _ = black_box(c::shm_semaphore_wait);
    let post: unsafe extern "C" fn(_, _) -> _ = black_box(c::shm_semaphore_post);
    alone(
        bench,
        |board, party| unsafe {
            let semaphore = board.semaphore.0.get();
            (wait(party, semaphore), post(party, semaphore))
        },
        |board| unsafe { (libc::sem_wait(board.sem.0.get()), libc::sem_post(board.sem.0.get())) },
    )
}

fn signal(bench: &Bench) -> Result<Vec<Run>> {
    alone(
        bench,
        |board, party| unsafe { (c::shm_cond_signal(party, board.cond.0.get()), 0) },
        |board| unsafe { (-libc::pthread_cond_signal(board.pthread_cond.0.get()), 0) },
    )
}

fn read(bench: &Bench) -> Result<Vec<Run>> {
    alone(
        bench,
        |board, party| unsafe {
            let rwlock = board.rwlock.0.get();
            (c::shm_rwlock_read(party, rwlock), c::shm_rwlock_unlock(party, rwlock))
        },
        |board| unsafe {
            let rwlock = board.pthread_rwlock.0.get();
            (-libc::pthread_rwlock_rdlock(rwlock), -libc::pthread_rwlock_unlock(rwlock))
        },
    )
}

fn write(bench: &Bench) -> Result<Vec<Run>> {
    alone(
        bench,
        |board, party| unsafe {
            let rwlock = board.rwlock.0.get();
            (c::shm_rwlock_write(party, rwlock), c::shm_rwlock_unlock(party, rwlock))
        },
        |board| unsafe {
            let rwlock = board.pthread_rwlock.0.get();
            (-libc::pthread_rwlock_wrlock(rwlock), -libc::pthread_rwlock_unlock(rwlock))
        },
    )
}

/// Set and reset, which is more than the one write.
fn set(bench: &Bench) -> Result<Vec<Run>> {
    let eventfd = raw::ok(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) })?;
    let one = 1u64;
    let runs = alone(
        bench,
        |board, party| unsafe {
            let event = board.event.0.get();
            (c::shm_event_set(party, event), c::shm_event_reset(party, event))
        },
        |_| unsafe { (libc::write(eventfd, (&raw const one).cast(), 8) as c_int, 0) },
    );
    unsafe { libc::close(eventfd) };
    runs
}

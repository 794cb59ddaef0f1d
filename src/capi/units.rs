use std::ffi::{c_char, c_int};

use super::args::{self, shm_error};
use super::named::shm_named_options;
use super::sync::shm_party;
use super::watch::shm_watch;
use crate::deadline::Deadline;
use crate::sync::SemaphoreFlags;

/// shm_semaphore_init: a unit belongs to the process that took it, which alone can give it back; and
/// it comes back when that process dies.
pub const SHMKIT_SEMAPHORE_TRACKED: u32 = 1;

/// A semaphore in shared memory: zeros, at a multiple of 8, until shm_semaphore_init.
#[repr(C)]
pub struct shm_semaphore {
    pub opaque: [u64; 4],
}

/// Makes a semaphore of zeros, or finds that it is one, which has its own number of units then. Every
/// process that uses it may call this, in any order and at the same time. There is nothing to
/// destroy.
///
/// `semaphore`: in the party's region, at a multiple of 8.
/// `units`: how many there are at first; at most 2147483647. With SHMKIT_SEMAPHORE_TRACKED, where
/// there are never more, at least 1.
/// `flags`: 0, or SHMKIT_SEMAPHORE_TRACKED.
/// Returns 1 when it made the semaphore, 0 when it found it, or: -EINVAL NULL, outside of the region,
/// too many units, unknown flags, neither zeros nor a semaphore of this kind, or one of another party;
/// -ENOLCK a tracked one, and all cells of the party's table are given away (shm_party_options).
#[no_mangle]
pub unsafe extern "C" fn shm_semaphore_init(
    party: *mut shm_party,
    semaphore: *mut shm_semaphore,
    units: u32,
    flags: u32,
    error: *mut shm_error,
) -> c_int {
    let made = || {
        let flags = SemaphoreFlags::from_raw(flags)?;
        Ok(args::known_party(&party)?.semaphore_at(semaphore.cast(), units, flags)?.made())
    };
    args::report_as(error, made, c_int::from)
}

/// Opens a semaphore by its name, or makes it: shm_mutex_open, for a semaphore.
///
/// `units`, `flags`: as for shm_semaphore_init.
/// Returns as shm_mutex_open.
#[no_mangle]
pub unsafe extern "C" fn shm_semaphore_open(
    name: *const c_char,
    units: u32,
    flags: u32,
    options: *const shm_named_options,
    party: *mut *mut shm_party,
    semaphore: *mut *mut shm_semaphore,
    error: *mut shm_error,
) -> c_int {
    args::open_named(name, options, party, semaphore, error, |named| {
        named.semaphore(units, SemaphoreFlags::from_raw(flags)?).map(drop)
    })
}

/// Takes a unit, and waits for one as long as need be.
///
/// Who takes a unit sees what was written before it was given.
///
/// A process that is killed while it waits takes no wake-up with it. The units of a tracked
/// semaphore that a dead process had are there again once nothing of it writes any more; those of
/// another one are gone. Nobody is told: what the unit stood for may be half done, so look at it,
/// or use a mutex.
/// Returns 0, or: -EINVAL NULL, or not a semaphore of this party; -ENOLCK, -ENOMEM at this process's
/// first use of a tracked one: no slot or thread for one more keeper, no memory.
#[no_mangle]
pub unsafe extern "C" fn shm_semaphore_wait(party: *mut shm_party, semaphore: *mut shm_semaphore) -> c_int {
    match args::take_at_once(&party, semaphore) {
        true => 0,
        false => wait(party, semaphore, Deadline::NEVER),
    }
}

/// shm_semaphore_wait until a deadline, in nanoseconds of CLOCK_MONOTONIC. One in the past tries once.
///
/// Returns as shm_semaphore_wait, and: -ETIMEDOUT; -EINVAL a negative deadline.
#[no_mangle]
pub unsafe extern "C" fn shm_semaphore_wait_until(
    party: *mut shm_party,
    semaphore: *mut shm_semaphore,
    deadline_ns: i64,
) -> c_int {
    match deadline_ns >= 0 && args::take_at_once(&party, semaphore) {
        true => 0,
        false => wait_until(party, semaphore, deadline_ns),
    }
}

/// Takes a unit if there is one.
///
/// Returns as shm_semaphore_wait, and: -EAGAIN there is none; or, of a tracked semaphore, a process
/// that takes one was stopped in the middle of that, for 10 ms.
#[no_mangle]
pub unsafe extern "C" fn shm_semaphore_trywait(
    party: *mut shm_party,
    semaphore: *mut shm_semaphore,
) -> c_int {
    match args::take_at_once(&party, semaphore) {
        true => 0,
        false => try_wait(party, semaphore),
    }
}

/// Takes a unit if there is one; if not, the watch's descriptor becomes readable when it is worth
/// another try, for the units of a dead process, too. See shm_watch_open.
///
/// Returns as shm_semaphore_wait, and: -EAGAIN there is none, and the watch waits; -EPERM the watch is
/// another process's.
#[no_mangle]
pub unsafe extern "C" fn shm_semaphore_wait_watch(
    party: *mut shm_party,
    semaphore: *mut shm_semaphore,
    watch: *mut shm_watch,
) -> c_int {
    let waited = || args::semaphore(&party, semaphore)?.wait_watch(args::watch(&watch)?);
    args::answer(waited())
}

/// Gives a unit, and wakes one who waits.
///
/// Who waited for a semaphore that is not tracked may use its bytes for something else as soon as it
/// has the unit, and nobody else uses the semaphore: this call does not touch them any more.
/// Returns 0, or: -EOVERFLOW there are 2147483647; -EPERM it is tracked, and this process has no unit
/// of it; -EINVAL NULL, or not a semaphore of this party.
#[no_mangle]
pub unsafe extern "C" fn shm_semaphore_post(party: *mut shm_party, semaphore: *mut shm_semaphore) -> c_int {
    match args::give_at_once(&party, semaphore) {
        true => 0,
        false => post(party, semaphore),
    }
}

/// How many units there are to be taken, which may have changed by the time that the call returns.
///
/// Returns 0 or more, or: -EINVAL NULL, or not a semaphore of this party.
#[no_mangle]
pub unsafe extern "C" fn shm_semaphore_value(
    party: *mut shm_party,
    semaphore: *const shm_semaphore,
) -> c_int {
    let value = args::semaphore(&party, semaphore).and_then(|semaphore| semaphore.value());
    args::answer(value.map(|value| value as c_int))
}

// What is done where it is not done at once: jumps, so that no frame is made for what is rare.

#[cold]
#[inline(never)]
unsafe fn wait(party: *mut shm_party, semaphore: *mut shm_semaphore, deadline: Deadline) -> c_int {
    args::answer(args::semaphore(&party, semaphore).and_then(|semaphore| semaphore.wait_until(deadline)))
}

#[cold]
#[inline(never)]
unsafe fn wait_until(party: *mut shm_party, semaphore: *mut shm_semaphore, deadline_ns: i64) -> c_int {
    match Deadline::at_ns(deadline_ns) {
        Ok(deadline) => wait(party, semaphore, deadline),
        Err(error) => error.code().raw(),
    }
}

#[cold]
#[inline(never)]
unsafe fn try_wait(party: *mut shm_party, semaphore: *mut shm_semaphore) -> c_int {
    args::answer(args::semaphore(&party, semaphore).and_then(|semaphore| semaphore.try_wait()))
}

#[cold]
#[inline(never)]
unsafe fn post(party: *mut shm_party, semaphore: *mut shm_semaphore) -> c_int {
    args::answer(args::semaphore(&party, semaphore).and_then(|semaphore| semaphore.post()))
}

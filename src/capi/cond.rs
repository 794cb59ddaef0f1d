use std::ffi::c_int;

use super::args::{self, shm_error};
use super::sync::{locked, shm_mutex, shm_party};
use super::watch::shm_watch;
use crate::deadline::Deadline;

/// A condition in shared memory: zeros, at a multiple of 8, until shm_cond_init.
#[repr(C)]
pub struct shm_cond {
    pub opaque: [u64; 6],
}

/// Makes a condition of zeros, or finds that it is one. Every process that uses it may call this, in
/// any order and at the same time. There is nothing to destroy.
///
/// `cond`: in the party's region, at a multiple of 8.
/// Returns 1 when it made the condition, 0 when it found it, or: -EINVAL NULL, outside of the region,
/// neither zeros nor a condition, or one of another party.
#[no_mangle]
pub unsafe extern "C" fn shm_cond_init(
    party: *mut shm_party,
    cond: *mut shm_cond,
    error: *mut shm_error,
) -> c_int {
    let made = || Ok(args::known_party(&party)?.condvar_at(cond.cast())?.made());
    args::report_as(error, made, c_int::from)
}

/// Unlocks a mutex, waits for a signal, and locks the mutex again.
///
/// It also returns without a signal, as when a process joins the party, leaves it, or dies: so
/// that what a dead process should have said, or has heard, is lost to nobody. Look again at what
/// is waited for, as with any condition. The mutex orders memory: what was written under it before
/// the signal is seen.
///
/// The mutex is locked after 0, SHMKIT_OWNER_DIED and -ETIMEDOUT, it is not after
/// -ENOTRECOVERABLE, and with any other result it is as it was before the call.
/// Returns what shm_mutex_lock returns: 0, SHMKIT_OWNER_DIED (1: positive), or, without the mutex,
/// -ENOTRECOVERABLE, at once where the caller had the mutex from a dead owner and did not call
/// shm_mutex_consistent. Or, with nothing changed: -EPERM this process does not own the mutex; -EINVAL
/// NULL, or not a condition and a mutex of this party; -ENOLCK, -ENOMEM in a child made by fork(): no
/// slot or thread for its keeper, no memory.
#[no_mangle]
pub unsafe extern "C" fn shm_cond_wait(
    party: *mut shm_party,
    cond: *mut shm_cond,
    mutex: *mut shm_mutex,
) -> c_int {
    wait(party, cond, mutex, Deadline::NEVER)
}

/// shm_cond_wait until a deadline, in nanoseconds of CLOCK_MONOTONIC. One in the past unlocks the
/// mutex and locks it again.
///
/// Returns as shm_cond_wait, and: -ETIMEDOUT with the mutex locked; -EINVAL a negative deadline, with
/// nothing changed. When the deadline is over and the mutex's owner has died, it is SHMKIT_OWNER_DIED.
#[no_mangle]
pub unsafe extern "C" fn shm_cond_wait_until(
    party: *mut shm_party,
    cond: *mut shm_cond,
    mutex: *mut shm_mutex,
    deadline_ns: i64,
) -> c_int {
    match Deadline::at_ns(deadline_ns) {
        Ok(deadline) => wait(party, cond, mutex, deadline),
        Err(error) => error.code().raw(),
    }
}

/// Unlocks the mutex, and lets the watch wait for a signal: -EAGAIN. Its descriptor becomes readable
/// when there was one: see shm_watch_open. Then call again, with the same watch: now it locks the mutex,
/// for which the watch may have to wait as well, so that -EAGAIN comes again. The last call returns
/// what shm_mutex_lock_watch does, with the mutex locked; all before that without it. As after
/// shm_cond_wait, there may have been no signal.
///
/// shm_watch_cancel ends the wait, with the mutex not locked: lock it then, if need be. Another one
/// who waits gets the signal that this would have got. A wait that is not ended by one of the two goes
/// on with the next call, which unlocks nothing.
/// Returns -EAGAIN the watch waits; or, as the last call, 0, SHMKIT_OWNER_DIED (1: positive), or, without
/// the mutex, -ENOTRECOVERABLE; or, with nothing changed: -EPERM this process does not own the mutex,
/// or the watch is another process's; -EINVAL NULL, or not a condition and a mutex of this party;
/// -ENOLCK, -ENOMEM as shm_cond_wait.
#[no_mangle]
pub unsafe extern "C" fn shm_cond_wait_watch(
    party: *mut shm_party,
    cond: *mut shm_cond,
    mutex: *mut shm_mutex,
    watch: *mut shm_watch,
) -> c_int {
    let waited = || {
        let mutex = args::mutex(&party, mutex)?;
        args::condvar(&party, cond)?.wait_watch(&mutex, args::watch(&watch)?)
    };
    locked(waited())
}

/// Wakes one who waits, if anybody does. The caller need not own the mutex; what is waited for is to
/// be changed by one who does.
///
/// A waiter may use the bytes of the condition for something else as soon as it has returned, and
/// nobody else uses the condition: a signal does not touch them any more.
/// Returns 0, or: -EINVAL NULL, or not a condition of this party.
#[no_mangle]
pub unsafe extern "C" fn shm_cond_signal(party: *mut shm_party, cond: *mut shm_cond) -> c_int {
    match args::is_idle(&party, cond) {
        true => 0,
        false => notify(party, cond, false),
    }
}

/// Wakes all who wait.
///
/// Returns as shm_cond_signal.
#[no_mangle]
pub unsafe extern "C" fn shm_cond_broadcast(party: *mut shm_party, cond: *mut shm_cond) -> c_int {
    match args::is_idle(&party, cond) {
        true => 0,
        false => notify(party, cond, true),
    }
}

unsafe fn wait(
    party: *mut shm_party,
    cond: *mut shm_cond,
    mutex: *mut shm_mutex,
    deadline: Deadline,
) -> c_int {
    let waited = || args::condvar(&party, cond)?.wait_until(&args::mutex(&party, mutex)?, deadline);
    locked(waited())
}

#[cold]
#[inline(never)]
unsafe fn notify(party: *mut shm_party, cond: *mut shm_cond, all: bool) -> c_int {
    args::answer(args::condvar(&party, cond).and_then(|cond| match all {
        true => cond.notify_all(),
        false => cond.notify_one(),
    }))
}

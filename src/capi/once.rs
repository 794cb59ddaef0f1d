use std::ffi::{c_char, c_int};

use super::args::{self, shm_error};
use super::named::shm_named_options;
use super::sync::{shm_party, SHMKIT_OWNER_DIED};
use super::watch::shm_watch;
use crate::deadline::Deadline;
use crate::error::Code;
use crate::sync::Begun;

/// shm_once_begin: it is for the caller to do: a positive result.
pub const SHMKIT_ONCE_RUN: c_int = 2;

/// Something that is done once, in shared memory: zeros, at a multiple of 8, until shm_once_init.
#[repr(C)]
pub struct shm_once {
    pub opaque: [u64; 4],
}

/// Makes it of zeros, or finds that it is one. Every process that uses it may call this, in any order
/// and at the same time. There is nothing to destroy; its bytes are its own as long as anybody is in
/// the party.
///
/// `once`: in the party's region, at a multiple of 8.
/// Returns 1 when it made it, 0 when it found it, or: -EINVAL NULL, outside of the region, neither
/// zeros nor one, or one of another party.
#[no_mangle]
pub unsafe extern "C" fn shm_once_init(
    party: *mut shm_party,
    once: *mut shm_once,
    error: *mut shm_error,
) -> c_int {
    let made = || Ok(args::known_party(&party)?.once_at(once.cast())?.made());
    args::report_as(error, made, c_int::from)
}

/// Opens a once by its name, or makes it: shm_mutex_open, for a once.
///
/// Returns as shm_mutex_open.
#[no_mangle]
pub unsafe extern "C" fn shm_once_open(
    name: *const c_char,
    options: *const shm_named_options,
    party: *mut *mut shm_party,
    once: *mut *mut shm_once,
    error: *mut shm_error,
) -> c_int {
    args::open_named(name, options, party, once, error, |named| named.once().map(drop))
}

/// Tells whether there is something to do, and waits while another one does it.
///
/// With a positive result, and so test for > 0, the caller does it, and then calls shm_once_end.
/// When it dies before that, the next one is to do it.
/// Returns 0 it is done, and what was written for it can be seen; SHMKIT_ONCE_RUN (2) do it;
/// SHMKIT_OWNER_DIED (1) do it, and one who had begun has died: what it did may be half done. Or:
/// -EDEADLK this thread has begun it (not with SHMKIT_PARTY_ANY_THREAD); -EINVAL NULL, or none of
/// this party; -ENOLCK, -ENOMEM at this process's first use of it: no slot or thread for one more
/// keeper, no memory.
#[no_mangle]
pub unsafe extern "C" fn shm_once_begin(party: *mut shm_party, once: *mut shm_once) -> c_int {
    match args::is_done(&party, once) {
        true => 0,
        false => begin(party, once, Deadline::NEVER),
    }
}

/// shm_once_begin until a deadline, in nanoseconds of CLOCK_MONOTONIC. One in the past tries once.
///
/// Returns as shm_once_begin, and: -ETIMEDOUT; -EINVAL a negative deadline.
#[no_mangle]
pub unsafe extern "C" fn shm_once_begin_until(
    party: *mut shm_party,
    once: *mut shm_once,
    deadline_ns: i64,
) -> c_int {
    match Deadline::at_ns(deadline_ns) {
        Ok(deadline) => begin(party, once, deadline),
        Err(error) => error.code().raw(),
    }
}

/// Tells whether there is something to do; while another one does it, the watch's descriptor becomes
/// readable when it is worth another try. See shm_watch_open. After a death it may take 2 ms.
///
/// Returns as shm_once_begin, and: -EAGAIN another one does it, and the watch waits; -EPERM the watch
/// is another process's.
#[no_mangle]
pub unsafe extern "C" fn shm_once_begin_watch(
    party: *mut shm_party,
    once: *mut shm_once,
    watch: *mut shm_watch,
) -> c_int {
    begun(args::once(&party, once).and_then(|once| once.begin_watch(args::watch(&watch)?)))
}

/// Says how it went, after shm_once_begin with a positive result. What was written before is seen
/// by whoever is told that it is done, or that it is to be done again.
///
/// `done`: no status, where 0 would be success: 1 it is done, for ever, as is any number but 0; 0
/// it could not be done, and the next one who begins is to do it.
/// Returns 0, or: -EPERM this process has not begun it through this party; -EINVAL NULL, or none of
/// this party.
#[no_mangle]
pub unsafe extern "C" fn shm_once_end(party: *mut shm_party, once: *mut shm_once, done: c_int) -> c_int {
    args::answer(args::once(&party, once).and_then(|once| once.end(done != 0)))
}

#[cold]
#[inline(never)]
unsafe fn begin(party: *mut shm_party, once: *mut shm_once, deadline: Deadline) -> c_int {
    begun(args::once(&party, once).and_then(|once| once.begin_until(deadline)))
}

fn begun(begun: Result<Begun, Code>) -> c_int {
    match begun {
        Ok(Begun::Done) => 0,
        Ok(Begun::Run) => SHMKIT_ONCE_RUN,
        Ok(Begun::RunAgain) => SHMKIT_OWNER_DIED,
        Err(code) => code.raw(),
    }
}

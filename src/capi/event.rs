use std::ffi::{c_char, c_int};

use super::args::{self, shm_error};
use super::named::shm_named_options;
use super::sync::shm_party;
use super::watch::shm_watch;
use crate::deadline::Deadline;
use crate::sync::EventFlags;

/// shm_event_init, shm_event_open: whoever passes resets the event, so that each set lets one pass.
pub const SHMKIT_EVENT_AUTO_RESET: u32 = 1;

/// An event in shared memory: zeros, at a multiple of 8, until shm_event_init.
#[repr(C)]
pub struct shm_event {
    pub opaque: [u64; 4],
}

/// Makes an event of zeros, which is not set, or finds that it is one. Every process that uses it may
/// call this, in any order and at the same time. There is nothing to destroy; its bytes are the
/// event's as long as anybody is in the party.
///
/// `event`: in the party's region, at a multiple of 8.
/// `flags`: 0, an event that stays set until it is reset; or SHMKIT_EVENT_AUTO_RESET.
/// Returns 1 when it made the event, 0 when it found it, or: -EINVAL NULL, outside of the region,
/// unknown flags, neither zeros nor an event of this kind, or an event of another party.
#[no_mangle]
pub unsafe extern "C" fn shm_event_init(
    party: *mut shm_party,
    event: *mut shm_event,
    flags: u32,
    error: *mut shm_error,
) -> c_int {
    let made = || Ok(args::known_party(&party)?.event_at(event.cast(), EventFlags::from_raw(flags)?)?.made());
    args::report_as(error, made, c_int::from)
}

/// Opens an event by its name, or makes it: shm_mutex_open, for an event.
///
/// `flags`: as for shm_event_init.
/// Returns as shm_mutex_open.
#[no_mangle]
pub unsafe extern "C" fn shm_event_open(
    name: *const c_char,
    flags: u32,
    options: *const shm_named_options,
    party: *mut *mut shm_party,
    event: *mut *mut shm_event,
    error: *mut shm_error,
) -> c_int {
    args::open_named(name, options, party, event, error, |named| {
        named.event(EventFlags::from_raw(flags)?).map(drop)
    })
}

/// Sets the event: all who wait pass, and all who come, until it is reset; of an automatic one, one of
/// them. Whoever passes sees what was written before. It costs a system call only where somebody waits.
///
/// Returns 0, or: -EINVAL NULL, or not an event of this party.
#[no_mangle]
pub unsafe extern "C" fn shm_event_set(party: *mut shm_party, event: *mut shm_event) -> c_int {
    args::answer(args::event(&party, event).map(|event| event.set()))
}

/// Resets the event: from now on those who come wait.
///
/// Returns 1 when it was set, 0 when it was not, or: -EINVAL.
#[no_mangle]
pub unsafe extern "C" fn shm_event_reset(party: *mut shm_party, event: *mut shm_event) -> c_int {
    args::answer(args::event(&party, event).map(|event| c_int::from(event.reset())))
}

/// Whether the event is set. Unlike a wait it takes nothing from an automatic one.
///
/// Returns 1, 0, or: -EINVAL.
#[no_mangle]
pub unsafe extern "C" fn shm_event_is_set(party: *mut shm_party, event: *const shm_event) -> c_int {
    args::answer(args::event(&party, event).map(|event| c_int::from(event.is_set())))
}

/// Waits as long as need be until the event is set. An automatic one is then not set any more.
/// Whoever sleeps when a manual one is set passes, even if it is reset at once. What was written
/// before the event was set is seen.
///
/// That the process dies which was to set the event is not noticed: where that can be, wait until
/// a deadline, or use a barrier, or shm_party_wait. A waiter that is killed takes no wake-up with
/// it: what it has not passed, another one passes.
/// Returns 0, or: -EINVAL NULL, or not an event of this party.
#[no_mangle]
pub unsafe extern "C" fn shm_event_wait(party: *mut shm_party, event: *mut shm_event) -> c_int {
    args::answer(args::event(&party, event).map(|event| event.wait()))
}

/// shm_event_wait until a deadline, in nanoseconds of CLOCK_MONOTONIC. One in the past tries once.
///
/// Returns as shm_event_wait, and: -ETIMEDOUT; -EINVAL a negative deadline.
#[no_mangle]
pub unsafe extern "C" fn shm_event_wait_until(
    party: *mut shm_party,
    event: *mut shm_event,
    deadline_ns: i64,
) -> c_int {
    let waited = || {
        let deadline = Deadline::at_ns(deadline_ns).map_err(|error| error.code())?;
        args::event(&party, event)?.wait_until(deadline)
    };
    args::answer(waited())
}

/// Passes if the event is set; if not, the watch's descriptor becomes readable when it is worth
/// another try. See shm_watch_open.
///
/// Returns 0, or: -EAGAIN it is not set, and the watch waits; -EPERM the watch is another process's;
/// -EINVAL NULL, or not an event of this party.
#[no_mangle]
pub unsafe extern "C" fn shm_event_wait_watch(
    party: *mut shm_party,
    event: *mut shm_event,
    watch: *mut shm_watch,
) -> c_int {
    args::answer(args::event(&party, event).and_then(|event| event.wait_watch(args::watch(&watch)?)))
}

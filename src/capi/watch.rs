use std::ffi::c_int;
use std::os::fd::{AsFd, AsRawFd};

use super::args::{self, shm_error};
use super::sync::{locked, shm_mutex, shm_party};
use crate::sync::Watch;

/// A descriptor that tells when a lock is worth another try, opaque: made by shm_watch_open, ended by
/// shm_watch_close.
pub struct shm_watch {
    _opaque: [u8; 0],
}

/// ---- Locks and descriptors --------------------------------------------------------------
///
/// Opens a watch: an eventfd, for programs that wait for descriptors (poll, epoll, the runtime of a
/// language) and cannot sleep in a lock.
///
/// A call that takes a watch never waits. Where it would, it lets the watch wait instead, and returns
/// -EAGAIN. The watch's descriptor becomes readable when it is worth another try: make the same call
/// again, with the same watch. Readable means no more than that; -EAGAIN may come again. It stays
/// readable until the next call with this watch, whatever that returns; to read it is fine, and not
/// necessary. So epoll may be level- or edge-triggered, and each -EAGAIN re-arms the watch.
///
/// A watch waits for one thing at a time: to use it for another, or for another lock, gives up the
/// first. Do not let it be readable for long without a call: like a thread that was woken and does not
/// run it can be the only one that an unlock has woken, and the others wait for a second then.
///
/// A thread of the library serves up to 127 watches: it starts with the first of them, blocks all
/// signals, and ends with the last. A watch does not go with the region or party: the same one serves
/// for any, and while it waits for something in a party, shm_party_leave is -EBUSY. In a child made
/// by fork() a watch is of no use but to be closed; it opens its own.
/// Returns 0, or: -EINVAL; -EMFILE no descriptor is free, or 8128 watches are open; -EAGAIN the kernel
/// has no thread (RLIMIT_NPROC); -ENOMEM.
#[no_mangle]
pub unsafe extern "C" fn shm_watch_open(watch: *mut *mut shm_watch, error: *mut shm_error) -> c_int {
    args::give(watch.cast::<Box<Watch>>(), error, || Watch::new().map(Box::new))
}

/// The watch's descriptor, close-on-exec and non-blocking. It is the watch's: to give it to somebody who
/// closes it, duplicate it.
///
/// Returns the number, or: -EINVAL NULL.
#[no_mangle]
pub unsafe extern "C" fn shm_watch_fd(watch: *const shm_watch) -> c_int {
    args::answer(args::watch(&watch).map(|watch| watch.as_fd().as_raw_fd()))
}

/// Makes the watch's descriptor readable when a word of the region has another value; at once if it has.
///
/// The program that changes the word must wake for it: shm_party_wake (party, word, UINT32_MAX),
/// or FUTEX_WAKE, not private. Otherwise the descriptor stays as it is.
/// `word`: in the party's region, at a multiple of 4.
/// Returns 0, or: -EPERM the watch is another process's; -EINVAL.
#[no_mangle]
pub unsafe extern "C" fn shm_watch_word(
    party: *mut shm_party,
    word: *const u32,
    value: u32,
    watch: *mut shm_watch,
) -> c_int {
    let watched = || args::code_party(&party)?.watch_word_at(word.cast(), value, args::watch(&watch)?);
    args::answer(watched())
}

/// Gives up what the watch waits for; the descriptor is not readable any more. Whoever stops to wait
/// for a lock calls this (or closes the watch), so that another one gets the wake-up.
///
/// Returns 0, or: -EPERM it is another process's; -EINVAL NULL.
#[no_mangle]
pub unsafe extern "C" fn shm_watch_cancel(watch: *mut shm_watch) -> c_int {
    args::answer(args::watch(&watch).and_then(|watch| watch.cancel()))
}

/// Gives up what the watch waits for, and closes its descriptor; NULL is fine.
///
/// Returns 0.
#[no_mangle]
pub unsafe extern "C" fn shm_watch_close(watch: *mut shm_watch) -> c_int {
    drop(args::take_watch(watch));
    0
}

/// Locks if nobody has it; else the watch's descriptor becomes readable when it is worth another try.
/// See shm_watch_open. After the owner's death it may take 2 ms.
///
/// Returns as shm_mutex_trylock, SHMKIT_OWNER_DIED (1) included, but -EAGAIN for -EBUSY: the watch
/// waits, also for a mutex that this thread has; and: -EPERM the watch is another process's.
#[no_mangle]
pub unsafe extern "C" fn shm_mutex_lock_watch(
    party: *mut shm_party,
    mutex: *mut shm_mutex,
    watch: *mut shm_watch,
) -> c_int {
    locked(args::mutex(&party, mutex).and_then(|mutex| mutex.lock_watch(args::watch(&watch)?)))
}

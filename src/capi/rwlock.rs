use std::ffi::{c_char, c_int};

use super::args::{self, shm_error};
use super::named::shm_named_options;
use super::sync::{locked, shm_party};
use super::watch::shm_watch;
use crate::deadline::Deadline;

/// A read-write lock in shared memory: zeros, at a multiple of 8, until shm_rwlock_init.
#[repr(C)]
pub struct shm_rwlock {
    pub opaque: [u64; 7],
}

/// Makes a read-write lock of zeros, or finds that it is one. Every process that uses it may call
/// this, in any order and at the same time. There is nothing to destroy; its bytes are the lock's as
/// long as anybody is in the party. It takes one of the cells of the party's table.
///
/// `rwlock`: in the party's region, at a multiple of 8.
/// Returns 1 when it made the lock, 0 when it found it, or: -EINVAL NULL, outside of the region,
/// neither zeros nor a read-write lock, or one of another party; -ENOLCK the table has no cell left.
#[no_mangle]
pub unsafe extern "C" fn shm_rwlock_init(
    party: *mut shm_party,
    rwlock: *mut shm_rwlock,
    error: *mut shm_error,
) -> c_int {
    let made = || Ok(args::known_party(&party)?.rwlock_at(rwlock.cast())?.made());
    args::report_as(error, made, c_int::from)
}

/// Opens a read-write lock by its name, or makes it: shm_mutex_open, for a read-write lock.
///
/// Returns as shm_mutex_open.
#[no_mangle]
pub unsafe extern "C" fn shm_rwlock_open(
    name: *const c_char,
    options: *const shm_named_options,
    party: *mut *mut shm_party,
    rwlock: *mut *mut shm_rwlock,
    error: *mut shm_error,
) -> c_int {
    args::open_named(name, options, party, rwlock, error, |named| named.rwlock().map(drop))
}

/// Locks for reading, together with others, and waits as long as need be: until nobody writes, or
/// waits to write. A thread that reads already may read again, also while a writer waits; it unlocks
/// as often. That a thread reads is forgotten for all threads of its process once one thread has
/// unlocked for another, and not known at all with SHMKIT_PARTY_ANY_THREAD, nor of more than four
/// locks that a thread reads at once: then it waits behind the writer, which waits for it.
///
/// A reader that dies holds up nobody. When a writer dies, or executes another program, the next
/// one is told by SHMKIT_OWNER_DIED (positive), once nothing of the dead process writes any more,
/// and has the lock FOR WRITING, also here, where it asked to read: it repairs what the lock
/// guards, calls shm_rwlock_consistent, and still writes until it unlocks. If it dies before that,
/// the next one is told.
///
/// Do not unlock after a negative result: another thread of this process may have the lock, and
/// would lose it. Who reads sees all that was written before a writer unlocked; who writes, what
/// readers did before they unlocked, too.
/// Returns 0, SHMKIT_OWNER_DIED (1), or, without the lock: -EDEADLK this thread writes (not with
/// SHMKIT_PARTY_ANY_THREAD); -ENOTRECOVERABLE somebody unlocked it without shm_rwlock_consistent;
/// -EAGAIN this process reads 2147483646 times already; -EINVAL NULL, or not a read-write lock of
/// this party; -ENOLCK, -ENOMEM at this process's first use of the lock: no slot or thread for one
/// more keeper, no memory.
#[no_mangle]
pub unsafe extern "C" fn shm_rwlock_read(party: *mut shm_party, rwlock: *mut shm_rwlock) -> c_int {
    match args::read_at_once(&party, rwlock) {
        true => 0,
        false => read(party, rwlock, Deadline::NEVER),
    }
}

/// shm_rwlock_read until a deadline, in nanoseconds of CLOCK_MONOTONIC. One in the past tries once.
///
/// Returns as shm_rwlock_read, and: -ETIMEDOUT; -EINVAL a negative deadline.
#[no_mangle]
pub unsafe extern "C" fn shm_rwlock_read_until(
    party: *mut shm_party,
    rwlock: *mut shm_rwlock,
    deadline_ns: i64,
) -> c_int {
    match deadline_ns >= 0 && args::read_at_once(&party, rwlock) {
        true => 0,
        false => read_until(party, rwlock, deadline_ns),
    }
}

/// Locks for reading if nobody writes, or waits to write.
///
/// Returns as shm_rwlock_read but for -EDEADLK, and: -EBUSY somebody does, also this thread; or a
/// writer has died, and still writes.
#[no_mangle]
pub unsafe extern "C" fn shm_rwlock_tryread(party: *mut shm_party, rwlock: *mut shm_rwlock) -> c_int {
    match args::read_at_once(&party, rwlock) {
        true => 0,
        false => try_read(party, rwlock),
    }
}

/// Locks for writing, alone, and waits as long as need be: until those who read now have ended. New
/// readers wait meanwhile, so that a stream of them keeps no writer waiting. The process owns the
/// lock, not the thread.
///
/// Returns as shm_rwlock_read but for -EAGAIN; -EDEADLK where this thread reads, too, as far as that
/// is known. Not with SHMKIT_PARTY_ANY_THREAD: there it waits for itself.
#[no_mangle]
pub unsafe extern "C" fn shm_rwlock_write(party: *mut shm_party, rwlock: *mut shm_rwlock) -> c_int {
    match args::write_at_once(&party, rwlock) {
        true => 0,
        false => write(party, rwlock, Deadline::NEVER),
    }
}

/// shm_rwlock_write until a deadline, in nanoseconds of CLOCK_MONOTONIC. One in the past tries once.
///
/// Returns as shm_rwlock_write, and: -ETIMEDOUT; -EINVAL a negative deadline.
#[no_mangle]
pub unsafe extern "C" fn shm_rwlock_write_until(
    party: *mut shm_party,
    rwlock: *mut shm_rwlock,
    deadline_ns: i64,
) -> c_int {
    match deadline_ns >= 0 && args::write_at_once(&party, rwlock) {
        true => 0,
        false => write_until(party, rwlock, deadline_ns),
    }
}

/// Locks for writing if nobody reads or writes.
///
/// Returns as shm_rwlock_write but for -EDEADLK, and: -EBUSY somebody does, also this thread; or a
/// writer has died, and still writes.
#[no_mangle]
pub unsafe extern "C" fn shm_rwlock_trywrite(party: *mut shm_party, rwlock: *mut shm_rwlock) -> c_int {
    match args::write_at_once(&party, rwlock) {
        true => 0,
        false => try_write(party, rwlock),
    }
}

/// Locks for reading if nobody writes, or waits to write; if somebody does, the watch's descriptor
/// becomes readable when it is worth another try. See shm_watch_open. After a writer's death it may take
/// 2 ms.
///
/// Returns as shm_rwlock_tryread, but -EAGAIN for -EBUSY: the watch waits; and: -EDEADLK this thread
/// writes (not with SHMKIT_PARTY_ANY_THREAD); -EPERM the watch is another process's.
#[no_mangle]
pub unsafe extern "C" fn shm_rwlock_read_watch(
    party: *mut shm_party,
    rwlock: *mut shm_rwlock,
    watch: *mut shm_watch,
) -> c_int {
    locked(args::rwlock(&party, rwlock).and_then(|rwlock| rwlock.read_watch(args::watch(&watch)?)))
}

/// Locks for writing if nobody reads or writes; if somebody does, the watch's descriptor becomes
/// readable when it is worth another try. See shm_watch_open. After a writer's death it may take 2 ms.
///
/// Where only readers are in the way, new ones wait from then on as for any writer, until this watch
/// has got the lock: so call shm_watch_cancel to give up, and not only leave the watch alone.
/// Returns as shm_rwlock_trywrite, but -EAGAIN for -EBUSY: the watch waits; and: -EDEADLK this thread
/// reads or writes, as far as that is known; -EPERM the watch is another process's.
#[no_mangle]
pub unsafe extern "C" fn shm_rwlock_write_watch(
    party: *mut shm_party,
    rwlock: *mut shm_rwlock,
    watch: *mut shm_watch,
) -> c_int {
    locked(args::rwlock(&party, rwlock).and_then(|rwlock| rwlock.write_watch(args::watch(&watch)?)))
}

/// Unlocks what this process has: the writing, or one of its readings. Any of its threads may. After
/// SHMKIT_OWNER_DIED without shm_rwlock_consistent nobody can lock it any more, ever.
///
/// Returns 0, or: -EPERM this process has it neither for reading nor for writing through this party;
/// -EINVAL NULL, or not a read-write lock of this party.
#[no_mangle]
pub unsafe extern "C" fn shm_rwlock_unlock(party: *mut shm_party, rwlock: *mut shm_rwlock) -> c_int {
    match args::rwunlock_at_once(&party, rwlock) {
        true => 0,
        false => unlock(party, rwlock),
    }
}

/// Says that what the lock guards is repaired, after SHMKIT_OWNER_DIED. The lock stays locked for
/// writing.
///
/// Returns 0, or, and nothing has changed: -EINVAL no writer died, or it has been said already;
/// -EPERM this process has it not for writing through this party.
#[no_mangle]
pub unsafe extern "C" fn shm_rwlock_consistent(party: *mut shm_party, rwlock: *mut shm_rwlock) -> c_int {
    args::answer(args::rwlock(&party, rwlock).and_then(|rwlock| rwlock.consistent()))
}

// What is done where it is not done at once: see `sync`.

#[cold]
#[inline(never)]
unsafe fn read(party: *mut shm_party, rwlock: *mut shm_rwlock, deadline: Deadline) -> c_int {
    locked(args::rwlock(&party, rwlock).and_then(|rwlock| rwlock.read_until(deadline)))
}

#[cold]
#[inline(never)]
unsafe fn read_until(party: *mut shm_party, rwlock: *mut shm_rwlock, deadline_ns: i64) -> c_int {
    match Deadline::at_ns(deadline_ns) {
        Ok(deadline) => read(party, rwlock, deadline),
        Err(error) => error.code().raw(),
    }
}

#[cold]
#[inline(never)]
unsafe fn try_read(party: *mut shm_party, rwlock: *mut shm_rwlock) -> c_int {
    locked(args::rwlock(&party, rwlock).and_then(|rwlock| rwlock.try_read()))
}

#[cold]
#[inline(never)]
unsafe fn write(party: *mut shm_party, rwlock: *mut shm_rwlock, deadline: Deadline) -> c_int {
    locked(args::rwlock(&party, rwlock).and_then(|rwlock| rwlock.write_until(deadline)))
}

#[cold]
#[inline(never)]
unsafe fn write_until(party: *mut shm_party, rwlock: *mut shm_rwlock, deadline_ns: i64) -> c_int {
    match Deadline::at_ns(deadline_ns) {
        Ok(deadline) => write(party, rwlock, deadline),
        Err(error) => error.code().raw(),
    }
}

#[cold]
#[inline(never)]
unsafe fn try_write(party: *mut shm_party, rwlock: *mut shm_rwlock) -> c_int {
    locked(args::rwlock(&party, rwlock).and_then(|rwlock| rwlock.try_write()))
}

#[cold]
#[inline(never)]
unsafe fn unlock(party: *mut shm_party, rwlock: *mut shm_rwlock) -> c_int {
    args::answer(args::rwlock(&party, rwlock).and_then(|rwlock| rwlock.unlock()))
}

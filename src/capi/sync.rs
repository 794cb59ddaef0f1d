use std::ffi::c_int;

use super::args::{self, shm_error};
use super::region::shm_region;
use crate::deadline::Deadline;
use crate::error::{Code, Result};
use crate::sync::{self, Locked, Party, Wake};
use crate::sys::Errno;

/// shm_party_join: a thread that locks what it has locked itself waits, instead of -EDEADLK: for
/// programs whose tasks move from thread to thread (goroutines), so that another task of the same
/// thread, which waits its turn, is not refused.
pub const SHMKIT_PARTY_ANY_THREAD: u32 = 1;
/// shm_party_join: join although the memory can be taken away (files, POSIX objects, memfds without
/// the seal SHRINK, huge pages). A page that is gone is SIGBUS for whoever uses a lock on it, and
/// what a dying process holds may stay locked.
pub const SHMKIT_PARTY_CAN_SHRINK: u32 = 2;

/// shm_party_wait: somebody has joined, left or died: a positive result.
pub const SHMKIT_PARTY_CHANGED: c_int = 1;

/// A lock was got, and the process that had it died: a positive result, so a test for < 0 alone
/// overlooks it. What the lock guards may be half done.
pub const SHMKIT_OWNER_DIED: c_int = 1;

/// A process's membership of a party, opaque: made by shm_party_join, ended by shm_party_leave.
pub struct shm_party {
    _opaque: [u8; 0],
}

/// Who uses the locks of a region: put it into a region's zeros, at a multiple of 8 (better 64).
/// For 64 processes; shm_party_size is for others.
#[repr(C)]
pub struct shm_party_table {
    pub opaque: [u64; 1576],
}

/// A lock in shared memory: zeros, at a multiple of 8, until shm_mutex_init.
#[repr(C)]
pub struct shm_mutex {
    pub opaque: [u64; 5],
}

/// How to join a party. NULL means all defaults, and zero fields mean defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct shm_party_options {
    /// sizeof(shm_party_options), always: 0 is -EINVAL.
    pub size: u32,
    /// SHMKIT_PARTY_ANY_THREAD | SHMKIT_PARTY_CAN_SHRINK
    pub flags: u32,
    /// Of a table that is made: how many keepers it has room for, at most 4096; 0 is 64. A process
    /// has one, and one more for every 2000 locks that it has used: mutexes, read-write locks, onces
    /// and tracked semaphores, once each, until it leaves. 63 keepers are the most. A slot is free
    /// when its process has left, or when it has died and none of its threads can write any more. A
    /// table that is there has its own number, and another one is -EINVAL.
    pub slots: u32,
    /// Of a table that is made: how many of its objects can count by process (read-write locks,
    /// barriers, semaphores whose units come back), at most 4096; 0 is 32. Rounded up to a multiple
    /// of 16. An object has its cell for as long as there is the table: none is given back. A table
    /// that has less is -EINVAL.
    pub cells: u32,
}

/// ---- Locks ------------------------------------------------------------------------------
///
/// Joins the party whose table is at an offset of a region: from then on this process can use the
/// locks there, and its death is noticed, however it dies.
///
/// Joining starts a thread, the party's keeper, which blocks all signals and sleeps until the party
/// is left. The kernel releases what the process holds when that thread dies with it.
/// `region`: writable, shared, and, unless SHMKIT_PARTY_CAN_SHRINK is given, one that cannot shrink.
/// It cannot be closed, -EBUSY, until the party is left.
/// `offset`: of a shm_party_table, or of shm_party_size bytes. Zeros become a table; whoever comes
/// later finds it. Nothing is written to other bytes, which are -EINVAL.
/// `options`: NULL, or flags, slots, cells.
/// Returns 0, or: -EINVAL an argument, a private region, no table; -EACCES the region is read-only;
/// SHMKIT_E_UNSEALED it can shrink; -ENOLCK all slots are taken, or the kernel has no thread for the
/// keeper (RLIMIT_NPROC); -ENOMEM no addresses: the party sets aside as many as the region has
/// (RLIMIT_AS); -ENOSYS before Linux 4.14.
#[no_mangle]
pub unsafe extern "C" fn shm_party_join(
    region: *mut shm_region,
    offset: usize,
    options: *const shm_party_options,
    party: *mut *mut shm_party,
    error: *mut shm_error,
) -> c_int {
    args::give(party.cast::<Party<'_>>(), error, || {
        Party::join(args::known(&region)?, offset, &args::party_options(options)?)
    })
}

/// Leaves a party; NULL is fine. The handle ends, and nobody may use it or a lock through it.
///
/// In a child made by fork(), too, it ends the child's own handle alone. Of a party that came with a
/// name it detaches the memory, too.
/// Returns 0, or: -EBUSY through this handle the process has a mutex, a read-write lock for
/// reading or writing, units of a tracked semaphore, or a once that it has begun; or one of its
/// watches waits for something in the region. Then it stays joined. Membership of a barrier, units
/// of other semaphores and events are no reason to stay.
#[no_mangle]
pub unsafe extern "C" fn shm_party_leave(party: *mut shm_party) -> c_int {
    args::answer(
        args::take_party(party)
            .map_or(Ok(()), |mut party| party.leave_code().inspect_err(|_| std::mem::forget(party))),
    )
}

/// How many bytes a table for so many slots and cells has, 0 for the default; 0 for more than 4096
/// of either.
#[no_mangle]
pub extern "C" fn shm_party_size(slots: u32, cells: u32) -> usize {
    sync::party_size(slots, cells).unwrap_or(0)
}

/// Who is in the party now.
///
/// `pids`: room for the numbers of the processes, each in its own PID namespace; NULL for none.
/// `room`: for how many.
/// Returns how many there are, of which as many are stored as there is room for, or: -EINVAL.
#[no_mangle]
pub unsafe extern "C" fn shm_party_members(party: *mut shm_party, pids: *mut i32, room: usize) -> c_int {
    args::numbers_told(pids, room, || {
        let members = args::code_party(&party)?.members();
        Ok(members.into_iter().map(|pid| pid as i32).collect())
    })
}

/// A number that is another one whenever somebody has joined, left or died since, for shm_party_wait.
/// Take it before you look at what you wait for.
///
/// Returns 0, or: -EINVAL NULL.
#[no_mangle]
pub unsafe extern "C" fn shm_party_changes(party: *mut shm_party, changes: *mut u32) -> c_int {
    args::tell_one(changes, || Ok(args::code_party(&party)?.changes()))
}

/// Waits for data and for a death at once: as long as the word has this value, and nobody has joined,
/// left or died since `seen`.
///
/// Whoever changes the word calls shm_party_wake. Neither call orders memory: change the word by
/// an atomic store (release), and look at it by an atomic load (acquire). To wait for a death
/// alone, give a word that nobody changes. A death in the first 20 ms of a wait is heard of at
/// their end, any other at once.
/// `word`: in the party's region, at a multiple of 4.
/// `seen`: from shm_party_changes.
/// Returns 0 the word has another value, or was woken: look again; SHMKIT_PARTY_CHANGED (1)
/// shm_party_members tells who is left; or: -EINVAL; -ENOLCK in a child made by fork(), at its first
/// use of the party.
#[no_mangle]
pub unsafe extern "C" fn shm_party_wait(
    party: *mut shm_party,
    word: *const u32,
    value: u32,
    seen: u32,
) -> c_int {
    wait(party, word, (value, seen), Deadline::NEVER)
}

/// shm_party_wait until a deadline, in nanoseconds of CLOCK_MONOTONIC. One in the past looks once.
///
/// Returns as shm_party_wait, and: -ETIMEDOUT; -EINVAL a negative deadline.
#[no_mangle]
pub unsafe extern "C" fn shm_party_wait_until(
    party: *mut shm_party,
    word: *const u32,
    value: u32,
    seen: u32,
    deadline_ns: i64,
) -> c_int {
    match Deadline::at_ns(deadline_ns) {
        Ok(deadline) => wait(party, word, (value, seen), deadline),
        Err(error) => error.code().raw(),
    }
}

/// Wakes those who wait for a word, in shm_party_wait or by FUTEX_WAIT, after it was changed.
///
/// `word`: in the party's region, at a multiple of 4.
/// `count`: how many at most.
/// Returns how many it woke, or: -EINVAL.
#[no_mangle]
pub unsafe extern "C" fn shm_party_wake(party: *mut shm_party, word: *const u32, count: u32) -> c_int {
    let woken = || {
        let party = args::code_party(&party)?;
        party.wake(party.word_known(word.cast())?, count).map(|woken| woken as c_int)
    };
    args::answer(woken())
}

/// Makes a lock of zeros, or finds that it is one. Every process that uses it may call this, in any
/// order and at the same time. There is nothing to destroy; its bytes are the lock's as long as
/// anybody is in the party.
///
/// `mutex`: in the party's region, at a multiple of 8.
/// Returns 1 when it made the lock, 0 when it found it, or: -EINVAL NULL, outside of the region,
/// neither zeros nor a lock, or a lock of another party.
#[no_mangle]
pub unsafe extern "C" fn shm_mutex_init(
    party: *mut shm_party,
    mutex: *mut shm_mutex,
    error: *mut shm_error,
) -> c_int {
    let made = || Ok(args::known_party(&party)?.mutex_at(mutex.cast())?.made());
    args::report_as(error, made, c_int::from)
}

/// Locks, and waits for it as long as need be. The process owns the lock, not the thread: any
/// thread of it may unlock, and a thread that ends releases nothing. So do not unlock after a
/// negative result: another thread of this process may have the lock, and would lose it. Whoever
/// locks sees all that was written before the lock was unlocked, also what a dead owner wrote.
///
/// When the owner dies, however, or executes another program, the next one gets the lock once
/// nothing of the dead process writes any more, and is told by SHMKIT_OWNER_DIED, which is
/// positive: it repairs what the lock guards and calls shm_mutex_consistent. If it dies before
/// that, the next one is told. A child made by fork() owns nothing of what its parent holds.
/// Returns 0, SHMKIT_OWNER_DIED (1), or, without the lock: -EDEADLK this thread has it (not with
/// SHMKIT_PARTY_ANY_THREAD); -ENOTRECOVERABLE somebody unlocked it without shm_mutex_consistent;
/// -EINVAL NULL, or not a lock of this party; -ENOLCK, -ENOMEM at this process's first use of the
/// lock: no slot or thread for one more keeper, no memory.
#[no_mangle]
pub unsafe extern "C" fn shm_mutex_lock(party: *mut shm_party, mutex: *mut shm_mutex) -> c_int {
    match args::lock_at_once(&party, mutex) {
        true => 0,
        false => lock(party, mutex, Deadline::NEVER),
    }
}

/// shm_mutex_lock until a deadline, in nanoseconds of CLOCK_MONOTONIC. One in the past tries once.
///
/// Returns as shm_mutex_lock, and: -ETIMEDOUT; -EINVAL a negative deadline.
#[no_mangle]
pub unsafe extern "C" fn shm_mutex_lock_until(
    party: *mut shm_party,
    mutex: *mut shm_mutex,
    deadline_ns: i64,
) -> c_int {
    match deadline_ns >= 0 && args::lock_at_once(&party, mutex) {
        true => 0,
        false => lock_until(party, mutex, deadline_ns),
    }
}

/// Locks if nobody has it.
///
/// Returns as shm_mutex_lock but for -EDEADLK, and: -EBUSY somebody has it, also this thread; or its
/// owner has died, and still writes.
#[no_mangle]
pub unsafe extern "C" fn shm_mutex_trylock(party: *mut shm_party, mutex: *mut shm_mutex) -> c_int {
    match args::lock_at_once(&party, mutex) {
        true => 0,
        false => try_lock(party, mutex),
    }
}

/// Unlocks. After SHMKIT_OWNER_DIED without shm_mutex_consistent nobody can lock it any more, ever.
///
/// Returns 0, or: -EPERM this process does not own it through this party; -EINVAL NULL, or not a
/// lock of this party.
#[no_mangle]
pub unsafe extern "C" fn shm_mutex_unlock(party: *mut shm_party, mutex: *mut shm_mutex) -> c_int {
    match args::unlock_at_once(&party, mutex) {
        true => 0,
        false => unlock(party, mutex),
    }
}

/// Says that what the lock guards is repaired, after SHMKIT_OWNER_DIED. The lock stays locked.
///
/// Returns 0, or, and nothing has changed: -EINVAL no owner died, or it has been said already;
/// -EPERM this process does not own it through this party, as when another of its threads has
/// unlocked it. Both are mistakes of the program: whoever has the lock from a dead owner never
/// gets them.
#[no_mangle]
pub unsafe extern "C" fn shm_mutex_consistent(party: *mut shm_party, mutex: *mut shm_mutex) -> c_int {
    args::answer(args::mutex(&party, mutex).and_then(|mutex| mutex.consistent()))
}

/// Who owns the lock, which may have changed by the time that the call returns.
///
/// `pid`: the owner's number, 1 or more, in its own PID namespace. Stays as it is unless the result
/// is 1.
/// Returns 1; 0 when nobody owns it; or: -ESRCH the owner is no member of the party, as one that is
/// dying just now; -EINVAL.
#[no_mangle]
pub unsafe extern "C" fn shm_mutex_owner(
    party: *mut shm_party,
    mutex: *const shm_mutex,
    pid: *mut i32,
) -> c_int {
    args::tell(pid, || {
        let owner = args::mutex(&party, mutex)?.owner()?;
        Ok(owner.map(|pid| pid as i32))
    })
}

/// For bindings that lock without a call: the number n by which this process owns the lock, once it
/// has used it, until it leaves the party; 0 before, and in a child made by fork().
///
/// To lock, change the lock's first 32 bits from 0 to n (acquire). If they were not 0 call
/// shm_mutex_lock; if the second 32 bits are not 0, undo that and call it too. To unlock, change them
/// from n to 0 (release); if they were not n, call shm_mutex_unlock.
/// Returns n, or 0 for what is not a lock of this party.
#[no_mangle]
pub unsafe extern "C" fn shm_mutex_number(party: *mut shm_party, mutex: *const shm_mutex) -> u32 {
    args::mutex(&party, mutex).map_or(0, |mutex| mutex.number())
}

unsafe fn wait(
    party: *mut shm_party,
    word: *const u32,
    (value, seen): (u32, u32),
    deadline: Deadline,
) -> c_int {
    let waited = || {
        let party = args::code_party(&party)?;
        match party.wait(party.word_known(word.cast())?, value, seen, deadline)? {
            Wake::Word => Ok(0),
            Wake::Party => Ok(SHMKIT_PARTY_CHANGED),
            Wake::TimedOut => Err(Errno::ETIMEDOUT.into()),
        }
    };
    args::answer(waited())
}

// What is done where it is not done at once: jumps, so that no frame is made for what is rare.

#[cold]
#[inline(never)]
unsafe fn lock(party: *mut shm_party, mutex: *mut shm_mutex, deadline: Deadline) -> c_int {
    locked(args::mutex(&party, mutex).and_then(|mutex| mutex.lock_until(deadline)))
}

#[cold]
#[inline(never)]
unsafe fn lock_until(party: *mut shm_party, mutex: *mut shm_mutex, deadline_ns: i64) -> c_int {
    match Deadline::at_ns(deadline_ns) {
        Ok(deadline) => lock(party, mutex, deadline),
        Err(error) => error.code().raw(),
    }
}

#[cold]
#[inline(never)]
unsafe fn try_lock(party: *mut shm_party, mutex: *mut shm_mutex) -> c_int {
    locked(args::mutex(&party, mutex).and_then(|mutex| mutex.try_lock()))
}

#[cold]
#[inline(never)]
unsafe fn unlock(party: *mut shm_party, mutex: *mut shm_mutex) -> c_int {
    args::answer(args::mutex(&party, mutex).and_then(|mutex| mutex.unlock()))
}

pub(super) fn locked(result: Result<Locked, Code>) -> c_int {
    match result {
        Ok(Locked::Clean) => 0,
        Ok(Locked::OwnerDied) => SHMKIT_OWNER_DIED,
        Err(code) => code.raw(),
    }
}

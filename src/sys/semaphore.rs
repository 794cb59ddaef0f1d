//! System V semaphores: semget(2), semop(2), semctl(2).

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::time::Duration;

use super::{Errno, Result};

pub(crate) use libc::{IPC_CREAT, IPC_EXCL, SEM_UNDO};

/// The largest value of a semaphore (SEMVMX of linux/sem.h), no setting.
pub(crate) const VALUE_MAX: u16 = 32767;

// The libc crate lacks both structs for musl.

/// `struct semid64_ds` of asm/sembuf.h. x86 alone has words behind the times, by a mistake that stays.
#[repr(C)]
pub(crate) struct Stat {
    pub sem_perm: libc::ipc_perm,
    pub sem_otime: i64,
    #[cfg(target_arch = "x86_64")]
    behind_otime: u64,
    pub sem_ctime: i64,
    #[cfg(target_arch = "x86_64")]
    behind_ctime: u64,
    pub sem_nsems: u64,
    unused: [u64; 2],
}

/// `struct seminfo` of linux/sem.h.
#[repr(C)]
pub(crate) struct Limits {
    semmap: c_int,
    pub semmni: c_int,
    pub semmns: c_int,
    semmnu: c_int,
    pub semmsl: c_int,
    pub semopm: c_int,
    semume: c_int,
    semusz: c_int,
    semvmx: c_int,
    semaem: c_int,
}

extern "C" {
    // The libc crate lacks it.
    fn semtimedop(id: c_int, ops: *mut libc::sembuf, count: usize, timeout: *const libc::timespec) -> c_int;
}

pub(crate) fn get(key: i32, count: c_int, flags: c_int) -> Result<c_int> {
    // SAFETY (kernel): numbers only.
    Errno::result(unsafe { libc::semget(key, count, flags) })
}

/// Does all operations at once, or none; waits at most so long, None for ever. EAGAIN when it may wait no
/// longer.
pub(crate) fn operate(id: c_int, ops: &[libc::sembuf], timeout: Option<Duration>) -> Result<()> {
    let timeout = timeout
        .map(|time| libc::timespec { tv_sec: time.as_secs() as _, tv_nsec: time.subsec_nanos().into() });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY (kernel): it reads so many operations, and the time.
    Errno::result(unsafe { semtimedop(id, ops.as_ptr().cast_mut(), ops.len(), timeout) }).map(drop)
}

pub(crate) fn stat(id: c_int) -> Result<Stat> {
    let mut data = MaybeUninit::<Stat>::uninit();
    // SAFETY (kernel): IPC_STAT fills the struct when it succeeds.
    unsafe {
        Errno::result(libc::semctl(id, 0, libc::IPC_STAT, data.as_mut_ptr()))?;
        Ok(data.assume_init())
    }
}

/// The same for whoever may not read: SEM_STAT_ANY (Linux 4.17). Its index is part of the id.
pub(crate) fn stat_whoever(id: c_int) -> Result<Stat> {
    const SEM_STAT_ANY: c_int = 20;
    let denied = match stat(id) {
        Err(Errno::EACCES) => Errno::EACCES,
        stat => return stat,
    };
    for index in super::ipc_indices(id) {
        let mut data = MaybeUninit::<Stat>::zeroed();
        // SAFETY (kernel): it fills the struct when it succeeds; all zeros is valid too.
        unsafe {
            if Errno::result(libc::semctl(index, 0, SEM_STAT_ANY, data.as_mut_ptr())) == Ok(id) {
                return Ok(data.assume_init());
            }
        }
    }
    Err(denied)
}

/// Changes owner and permission bits.
pub(crate) fn set(id: c_int, uid: u32, gid: u32, mode: u32) -> Result<()> {
    // SAFETY: all zeros is a valid Stat; (kernel) IPC_SET reads uid, gid and mode alone.
    unsafe {
        let mut data = MaybeUninit::<Stat>::zeroed().assume_init();
        data.sem_perm.uid = uid;
        data.sem_perm.gid = gid;
        data.sem_perm.mode = mode as _;
        Errno::result(libc::semctl(id, 0, libc::IPC_SET, &raw mut data)).map(drop)
    }
}

pub(crate) fn remove(id: c_int) -> Result<()> {
    // SAFETY (kernel): IPC_RMID takes no argument.
    Errno::result(unsafe { libc::semctl(id, 0, libc::IPC_RMID) }).map(drop)
}

/// What can be asked of one semaphore.
#[derive(Clone, Copy)]
#[repr(i32)]
pub(crate) enum Ask {
    Value = libc::GETVAL,
    LastPid = libc::GETPID,
    /// How many wait for it to grow.
    Waiting = libc::GETNCNT,
    /// How many wait for it to be 0.
    WaitingForZero = libc::GETZCNT,
}

pub(crate) fn ask(id: c_int, index: c_int, what: Ask) -> Result<c_int> {
    // SAFETY (kernel): these commands take no argument.
    Errno::result(unsafe { libc::semctl(id, index, what as c_int) })
}

pub(crate) fn set_value(id: c_int, index: c_int, value: c_int) -> Result<()> {
    // SAFETY (kernel): SETVAL takes a number. As part of a union it is passed with the width of a pointer.
    Errno::result(unsafe { libc::semctl(id, index, libc::SETVAL, libc::c_long::from(value)) }).map(drop)
}

/// All values, of the same moment.
pub(crate) fn values(id: c_int) -> Result<Vec<u16>> {
    let mut values = vec![0_u16; stat(id)?.sem_nsems as usize];
    // SAFETY (kernel): GETALL fills as many as the set has semaphores, which never changes; and an id is not
    // given again before some 2^15 others.
    Errno::result(unsafe { libc::semctl(id, 0, libc::GETALL, values.as_mut_ptr()) })?;
    Ok(values)
}

/// EINVAL when there are not as many values as semaphores.
pub(crate) fn set_values(id: c_int, values: &[u16]) -> Result<()> {
    if stat(id)?.sem_nsems as usize != values.len() {
        return Err(Errno::EINVAL);
    }
    // SAFETY (kernel): SETALL reads as many; as above.
    Errno::result(unsafe { libc::semctl(id, 0, libc::SETALL, values.as_ptr()) }).map(drop)
}

fn info(command: c_int) -> Result<Limits> {
    let mut info = MaybeUninit::<Limits>::zeroed();
    // SAFETY (kernel): both commands fill a struct seminfo.
    unsafe {
        Errno::result(libc::semctl(0, 0, command, info.as_mut_ptr()))?;
        Ok(info.assume_init())
    }
}

/// The limits of this IPC namespace.
pub(crate) fn limits() -> Result<Limits> {
    info(libc::IPC_INFO)
}

/// How many sets there are, and how many semaphores in all of them.
pub(crate) fn used() -> Result<(c_int, c_int)> {
    info(libc::SEM_INFO).map(|info| (info.semusz, info.semaem))
}

use std::ffi::c_int;

use super::args::{self, shm_error};
use crate::deadline::Deadline;
use crate::sysv::semaphores::{Info, Operation, Semaphores, State};
use crate::sysv::Creation;

/// shm_sysv_sem_create: open the set where it exists (the kernel's IPC_CREAT).
pub const SHMKIT_SEM_OR_OPEN: u32 = 512;
/// An operation: the kernel takes it back when the process ends, however it ends (SEM_UNDO).
pub const SHMKIT_SEM_UNDO: u32 = 4096;

/// What is done to one semaphore: laid out as the kernel's struct sembuf.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct shm_sysv_sem_op {
    /// Of the semaphore in its set; the first has 0.
    pub index: u16,
    /// Added to its value, which never goes below 0: less than 0 waits until there is enough, 0
    /// waits until the value is 0.
    pub change: i16,
    /// 0 or SHMKIT_SEM_UNDO.
    pub flags: u16,
}

/// What the kernel knows of a set of semaphores (IPC_STAT). Times are seconds since 1970, 0 for
/// never.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct shm_sysv_sem_info {
    /// How many semaphores the set has.
    pub count: u64,
    /// Last operation; creation, or last change of owner, mode or values.
    pub operated_at: i64,
    pub changed_at: i64,
    pub key: i32,
    pub id: i32,
    pub owner_uid: u32,
    pub owner_gid: u32,
    pub creator_uid: u32,
    pub creator_gid: u32,
    /// Permission bits, at most 0777.
    pub mode: u32,
    /// 0.
    pub reserved: u32,
}

/// One semaphore. The four are asked for one after the other.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct shm_sysv_sem_state {
    pub value: i32,
    /// The process that set, changed or tested it last, in the caller's PID namespace; 0 for none.
    pub last_pid: i32,
    /// How many wait for it to grow, and for it to be 0.
    pub waiting: u32,
    pub waiting_for_zero: u32,
}

/// ---- System V semaphores ----------------------------------------------------------------
///
/// Creates a set of semaphores. It outlives every process until it is removed, or the machine
/// restarts. Keys mean what they mean for segments.
///
/// The values and the set appear together: who opens it by this library never sees it without them.
/// semget(2) shows it before; a plain program has to wait for them by itself.
/// `key`: 0 (IPC_PRIVATE) always makes a new set without a key. -1 is -EINVAL: it is what ftok
/// returns when it fails.
/// `values`, `count`: of the semaphores, 0 to 32767 each; NULL for zeros. A found set keeps its
/// own, and one with less than `count` semaphores is -EINVAL.
/// `flags`: SHMKIT_SEM_OR_OPEN, without which an existing set is -EEXIST. Then a set whose creator
/// died half way is replaced, after a second.
/// `mode`: permission bits, which the umask does not narrow; 0 is 0600. Execute bits are dropped.
/// Returns 0, with _OR_OPEN 1 when it created and 0 when it found, or: -EEXIST; -EINVAL an
/// argument, or a count over semmsl; -ERANGE a value; -ENOSPC semmni or semmns is reached (the
/// message names the limit, its value and its file); -EAGAIN _OR_OPEN found another user's set that
/// is not finished.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_sem_create(
    key: i32,
    values: *const u16,
    count: usize,
    flags: u32,
    mode: u32,
    id: *mut c_int,
    error: *mut shm_error,
) -> c_int {
    args::create_id(id, error, || {
        let how = Creation::from_raw("shm_sysv_sem_create", flags, mode)?;
        let values = args::initial_values(values, count)?;
        let (set, created) = Semaphores::create(key, &values, how)?;
        Ok((set.id(), how.or_open && created))
    })
}

/// Opens the set of semaphores that has this key. Its right is asked for when it is used.
///
/// `key`: 0 and -1 are -EINVAL. `count_min`: a set with less semaphores is the kernel's -EINVAL.
/// Returns 0, or: -ENOENT; -EINVAL; -EAGAIN its creator has not set the values within a second: it
/// was stopped, or died (shm_sysv_sem_create with _OR_OPEN replaces it).
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_sem_open(
    key: i32,
    count_min: usize,
    id: *mut c_int,
    error: *mut shm_error,
) -> c_int {
    args::give(id, error, || Ok(Semaphores::open(key, count_min)?.id()))
}

/// Removes a set (IPC_RMID), at once: whoever waits for it is told, by -EIDRM.
///
/// Returns 0, or: -EINVAL no such id; -EIDRM; -EPERM neither owner nor creator.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_sem_remove(id: c_int, error: *mut shm_error) -> c_int {
    args::report(error, || Semaphores::from_id(id).remove())
}

/// Does all operations in one step, or none of them, and waits for it as long as need be.
///
/// `ops`, `count`: in the order in which they are to be done.
/// Returns 0, or, with nothing done: -EINVAL an argument, no such id; -EIDRM the set was removed,
/// perhaps while the call waited; -EACCES; -EFBIG no such semaphore; -E2BIG more operations than
/// semopm; -ERANGE a value over 32767; -ENOMEM.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_sem_operate(
    id: c_int,
    ops: *const shm_sysv_sem_op,
    count: usize,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || operate(id, &args::operations(ops, count)?, Deadline::NEVER))
}

/// shm_sysv_sem_operate until a deadline, as for shm_accept_until.
///
/// Returns as shm_sysv_sem_operate, and: -ETIMEDOUT; -EINVAL a negative deadline.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_sem_operate_until(
    id: c_int,
    ops: *const shm_sysv_sem_op,
    count: usize,
    deadline_ns: i64,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || operate(id, &args::operations(ops, count)?, Deadline::at_ns(deadline_ns)?))
}

/// shm_sysv_sem_operate without waiting.
///
/// Returns as shm_sysv_sem_operate, and: -EAGAIN it would have to wait.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_sem_try_operate(
    id: c_int,
    ops: *const shm_sysv_sem_op,
    count: usize,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || Semaphores::from_id(id).try_operate(&args::operations(ops, count)?))
}

/// The value of one semaphore (GETVAL).
///
/// Returns the value, 0 to 32767, or: -EINVAL no such id, no such semaphore; -EIDRM; -EACCES.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_sem_value(id: c_int, index: u32, error: *mut shm_error) -> c_int {
    args::report_as(error, || Semaphores::from_id(id).value(index), |value| value)
}

/// All values of a set, of the same moment (GETALL).
///
/// `values`, `count`: room for exactly as many as there are (shm_sysv_sem_stat).
/// Returns 0, or: -EINVAL an argument, no such id; -EIDRM; -EACCES.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_sem_values(
    id: c_int,
    values: *mut u16,
    count: usize,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || args::give_values(values, count, || Semaphores::from_id(id).values()))
}

/// Sets one semaphore (SETVAL), and wakes whom that lets go on. Operations on it with _UNDO are
/// not taken back any more.
///
/// Returns 0, or: -ERANGE a value that is not 0 to 32767; -EINVAL no such id, no such semaphore;
/// -EIDRM; -EACCES.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_sem_set_value(
    id: c_int,
    index: u32,
    value: c_int,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || Semaphores::from_id(id).set_value(index, value))
}

/// Sets all semaphores of a set in one step (SETALL), as shm_sysv_sem_set_value does.
///
/// `values`, `count`: exactly as many as there are.
/// Returns 0, or: -ERANGE a value over 32767; -EINVAL an argument, no such id; -EIDRM; -EACCES, to
/// read the set too.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_sem_set_values(
    id: c_int,
    values: *const u16,
    count: usize,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || Semaphores::from_id(id).set_values(args::values(values, count)?))
}

/// Reads what the kernel knows of one semaphore.
///
/// `state`, `state_size`: the caller's struct and its sizeof, as for shm_sysv_stat.
/// Returns 0, or: -EINVAL an argument, no such id, no such semaphore; -EIDRM; -EACCES.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_sem_stat_one(
    id: c_int,
    index: u32,
    state: *mut shm_sysv_sem_state,
    state_size: usize,
    error: *mut shm_error,
) -> c_int {
    args::inform(state, state_size, error, || Ok(state_from(Semaphores::from_id(id).state(index)?)))
}

/// Reads what the kernel knows of a set (IPC_STAT).
///
/// `info`, `info_size`: the caller's struct and its sizeof, as for shm_sysv_stat.
/// Returns 0, or: -EINVAL an argument, no such id; -EIDRM; -EACCES no right to read.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_sem_stat(
    id: c_int,
    info: *mut shm_sysv_sem_info,
    info_size: usize,
    error: *mut shm_error,
) -> c_int {
    args::inform(info, info_size, error, || Ok(info_from(Semaphores::from_id(id).stat()?)))
}

/// Changes a set's owner and permission bits (IPC_SET).
///
/// `uid`, `gid`: UINT32_MAX, which is (uid_t)-1, keeps what there is. `mode`: at most 0777; execute
/// bits are dropped.
/// Returns 0, or: -EINVAL an argument, no such id; -EIDRM; -EPERM neither owner nor creator.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_sem_set_owner(
    id: c_int,
    uid: u32,
    gid: u32,
    mode: u32,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || Semaphores::from_id(id).set_owner(args::owner(uid), args::owner(gid), mode))
}

fn operate(id: c_int, operations: &[Operation], deadline: Deadline) -> crate::Result<()> {
    Semaphores::from_id(id).operate(operations, deadline)
}

fn info_from(info: Info) -> shm_sysv_sem_info {
    shm_sysv_sem_info {
        count: info.count,
        operated_at: info.operated_at,
        changed_at: info.changed_at,
        key: info.key,
        id: info.id,
        owner_uid: info.owner_uid,
        owner_gid: info.owner_gid,
        creator_uid: info.creator_uid,
        creator_gid: info.creator_gid,
        mode: info.mode,
        reserved: 0,
    }
}

fn state_from(state: State) -> shm_sysv_sem_state {
    shm_sysv_sem_state {
        value: state.value,
        last_pid: state.last_pid,
        waiting: state.waiting,
        waiting_for_zero: state.waiting_for_zero,
    }
}

use std::ffi::{c_int, c_void};

use super::args::{self, shm_error};
use crate::deadline::Deadline;
use crate::sysv::queue::{Info, Queue, Which};
use crate::sysv::Creation;

/// shm_sysv_queue_create: open the queue where it exists (the kernel's IPC_CREAT).
pub const SHMKIT_QUEUE_OR_OPEN: u32 = 512;
/// Receiving: the oldest message of the lowest type that is at most `type`.
pub const SHMKIT_QUEUE_AT_MOST: u32 = 1;
/// Receiving: the oldest message of another type than `type` (MSG_EXCEPT).
pub const SHMKIT_QUEUE_EXCEPT: u32 = 8192;
/// Receiving and peeking: cut off what the buffer has no room for (MSG_NOERROR).
pub const SHMKIT_QUEUE_TRUNCATE: u32 = 4096;

/// What the kernel knows of a message queue (IPC_STAT). Times are seconds since 1970, 0 for never;
/// pids are those of the caller's PID namespace, 0 for a process that is not in it, and for none.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct shm_sysv_queue_info {
    /// How many messages are in the queue, how many bytes in all of them, and how many it holds at
    /// most.
    pub messages: u64,
    pub bytes: u64,
    pub bytes_max: u64,
    /// Last sending; last receiving; creation, or last change of owner, mode or limit.
    pub sent_at: i64,
    pub received_at: i64,
    pub changed_at: i64,
    pub key: i32,
    pub id: i32,
    pub owner_uid: u32,
    pub owner_gid: u32,
    pub creator_uid: u32,
    pub creator_gid: u32,
    /// The processes that sent and received last.
    pub sender_pid: i32,
    pub receiver_pid: i32,
    /// Permission bits, at most 0777.
    pub mode: u32,
    /// 0.
    pub reserved: u32,
}

/// ---- System V message queues ------------------------------------------------------------
///
/// Creates a message queue. It outlives every process, with what is in it, until it is removed, or
/// the machine restarts. Keys mean what they mean for segments.
///
/// `key`: 0 (IPC_PRIVATE) always makes a new queue without a key. -1 is -EINVAL: it is what ftok
/// returns when it fails.
/// `flags`: SHMKIT_QUEUE_OR_OPEN, without which an existing queue is -EEXIST.
/// `mode`: permission bits, which the umask does not narrow; 0 is 0600. Execute bits are dropped.
/// Returns 0, with _OR_OPEN 1 when it created and 0 when it found, or: -EEXIST; -EINVAL an
/// argument; -ENOSPC msgmni is reached (the message names the limit, its value and its file);
/// -ENOMEM.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_queue_create(
    key: i32,
    flags: u32,
    mode: u32,
    id: *mut c_int,
    error: *mut shm_error,
) -> c_int {
    args::create_id(id, error, || {
        let how = Creation::from_raw("shm_sysv_queue_create", flags, mode)?;
        let (queue, created) = Queue::create(key, how)?;
        Ok((queue.id(), how.or_open && created))
    })
}

/// Opens the message queue that has this key. Its right is asked for when it is used.
///
/// `key`: 0 and -1 are -EINVAL.
/// Returns 0, or: -ENOENT; -EINVAL.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_queue_open(key: i32, id: *mut c_int, error: *mut shm_error) -> c_int {
    args::give(id, error, || Ok(Queue::open(key)?.id()))
}

/// Removes a queue and its messages (IPC_RMID), at once: whoever waits for it is told, by -EIDRM.
///
/// Returns 0, or: -EINVAL no such id; -EIDRM; -EPERM neither owner nor creator.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_queue_remove(id: c_int, error: *mut shm_error) -> c_int {
    args::report(error, || Queue::from_id(id).remove())
}

/// Sends a message, and waits for room as long as need be.
///
/// `type`: positive. `message`, `size`: NULL and 0 for an empty one.
/// Returns 0, or: -EINVAL an argument, no such id, or a size over msgmax; -EIDRM the queue was
/// removed, perhaps while the call waited; -EACCES; -ENOMEM.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_queue_send(
    id: c_int,
    r#type: i64,
    message: *const c_void,
    size: usize,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || Queue::from_id(id).send(r#type, args::message(message, size)?, Deadline::NEVER))
}

/// shm_sysv_queue_send until a deadline, as for shm_accept_until. The kernel has no such call:
/// this one tries, with pauses that grow to 4 ms.
///
/// Returns as shm_sysv_queue_send, and: -ETIMEDOUT; -EINVAL a negative deadline.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_queue_send_until(
    id: c_int,
    r#type: i64,
    message: *const c_void,
    size: usize,
    deadline_ns: i64,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || {
        let deadline = Deadline::at_ns(deadline_ns)?;
        Queue::from_id(id).send(r#type, args::message(message, size)?, deadline)
    })
}

/// shm_sysv_queue_send without waiting.
///
/// Returns as shm_sysv_queue_send, and: -EAGAIN the queue is full.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_queue_try_send(
    id: c_int,
    r#type: i64,
    message: *const c_void,
    size: usize,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || Queue::from_id(id).try_send(r#type, args::message(message, size)?))
}

/// Receives a message, and waits for one as long as need be.
///
/// `type`: 0 for the oldest message, else a positive type: the oldest message of this type, with
/// SHMKIT_QUEUE_EXCEPT of any other type, with SHMKIT_QUEUE_AT_MOST of the lowest type up to it.
/// `flags`: these, and SHMKIT_QUEUE_TRUNCATE, without which a message that is longer than the
/// buffer is -E2BIG and stays.
/// `buffer`, `size`: for the bytes; NULL and 0 for none. `received_type`: for the message's type;
/// may be NULL.
/// Returns the length of what is in the buffer, 0 or more, or: -EINVAL an argument, no such id;
/// -EIDRM the queue was removed, perhaps while the call waited; -E2BIG; -EACCES; -ENOMEM.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_queue_receive(
    id: c_int,
    r#type: i64,
    flags: u32,
    buffer: *mut c_void,
    size: usize,
    received_type: *mut i64,
    error: *mut shm_error,
) -> c_int {
    args::receive(buffer, size, received_type, error, |buffer| {
        let (which, truncate) = Which::from_raw("shm_sysv_queue_receive", r#type, flags)?;
        Queue::from_id(id).receive(which, truncate, buffer, Deadline::NEVER)
    })
}

/// shm_sysv_queue_receive until a deadline, as for shm_accept_until. The kernel has no such call:
/// this one tries, with pauses that grow to 4 ms; a process that waits in shm_sysv_queue_receive
/// is served before it.
///
/// Returns as shm_sysv_queue_receive, and: -ETIMEDOUT; -EINVAL a negative deadline.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_queue_receive_until(
    id: c_int,
    r#type: i64,
    flags: u32,
    deadline_ns: i64,
    buffer: *mut c_void,
    size: usize,
    received_type: *mut i64,
    error: *mut shm_error,
) -> c_int {
    args::receive(buffer, size, received_type, error, |buffer| {
        let (which, truncate) = Which::from_raw("shm_sysv_queue_receive_until", r#type, flags)?;
        Queue::from_id(id).receive(which, truncate, buffer, Deadline::at_ns(deadline_ns)?)
    })
}

/// shm_sysv_queue_receive without waiting.
///
/// Returns as shm_sysv_queue_receive, and: -ENOMSG there is none of this type.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_queue_try_receive(
    id: c_int,
    r#type: i64,
    flags: u32,
    buffer: *mut c_void,
    size: usize,
    received_type: *mut i64,
    error: *mut shm_error,
) -> c_int {
    args::receive(buffer, size, received_type, error, |buffer| {
        let (which, truncate) = Which::from_raw("shm_sysv_queue_try_receive", r#type, flags)?;
        Queue::from_id(id).try_receive(which, truncate, buffer)
    })
}

/// Copies a message, which stays in the queue (MSG_COPY). Never waits.
///
/// `index`: 0 for the oldest. `flags`: 0 or SHMKIT_QUEUE_TRUNCATE. The rest as for
/// shm_sysv_queue_receive.
/// Returns the length of what is in the buffer, or: -ENOMSG there are not as many; -E2BIG; -EINVAL
/// an argument, no such id; -EIDRM; -EACCES; -ENOSYS a kernel without CONFIG_CHECKPOINT_RESTORE.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_queue_peek(
    id: c_int,
    index: u32,
    flags: u32,
    buffer: *mut c_void,
    size: usize,
    received_type: *mut i64,
    error: *mut shm_error,
) -> c_int {
    args::receive(buffer, size, received_type, error, |buffer| {
        Queue::from_id(id).peek(index, Queue::may_truncate("shm_sysv_queue_peek", flags)?, buffer)
    })
}

/// Reads what the kernel knows of a queue (IPC_STAT).
///
/// `info`, `info_size`: the caller's struct and its sizeof, as for shm_sysv_stat.
/// Returns 0, or: -EINVAL an argument, no such id; -EIDRM; -EACCES no right to read.
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_queue_stat(
    id: c_int,
    info: *mut shm_sysv_queue_info,
    info_size: usize,
    error: *mut shm_error,
) -> c_int {
    args::inform(info, info_size, error, || Ok(info_from(Queue::from_id(id).stat()?)))
}

/// Changes a queue's owner and permission bits (IPC_SET).
///
/// `uid`, `gid`: UINT32_MAX, which is (uid_t)-1, keeps what there is. `mode`: at most 0777; execute
/// bits are dropped.
/// Returns 0, or: -EINVAL an argument, no such id; -EIDRM; -EPERM neither owner nor creator; -EACCES
/// no right to read (before Linux 4.17).
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_queue_set_owner(
    id: c_int,
    uid: u32,
    gid: u32,
    mode: u32,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || Queue::from_id(id).set_owner(args::owner(uid), args::owner(gid), mode))
}

/// Changes how many bytes a queue holds (IPC_SET). The messages in it stay, also where they are more.
///
/// Returns 0, or: -EINVAL no such id; -EIDRM; -EPERM neither owner nor creator, or more than msgmnb
/// without CAP_SYS_RESOURCE; -EACCES no right to read (before Linux 4.17).
#[no_mangle]
pub unsafe extern "C" fn shm_sysv_queue_set_bytes_max(
    id: c_int,
    bytes_max: u64,
    error: *mut shm_error,
) -> c_int {
    args::report(error, || Queue::from_id(id).set_bytes_max(bytes_max))
}

fn info_from(info: Info) -> shm_sysv_queue_info {
    shm_sysv_queue_info {
        messages: info.messages,
        bytes: info.bytes,
        bytes_max: info.bytes_max,
        sent_at: info.sent_at,
        received_at: info.received_at,
        changed_at: info.changed_at,
        key: info.key,
        id: info.id,
        owner_uid: info.owner_uid,
        owner_gid: info.owner_gid,
        creator_uid: info.creator_uid,
        creator_gid: info.creator_gid,
        sender_pid: info.sender_pid,
        receiver_pid: info.receiver_pid,
        mode: info.mode,
        reserved: 0,
    }
}

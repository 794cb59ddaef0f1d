//! Message queues: msgget(2), msgsnd(2), msgrcv(2), msgctl(2).
#![forbid(unsafe_code)]

use std::ffi::{c_int, c_long};

use super::{create_or_find, failed, findable, invalid, only, permissions, wait, Creation};
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::region::sysv::shown_key;
use crate::sys::queue::{self, Message};
use crate::sys::{self, Errno};

/// A queue of messages, by its id. It stays, with what is in it, until it is removed.
///
/// The kernel has no sending and receiving with a deadline. Calls that have one try, with pauses that grow
/// to 4 ms; who waits for ever waits in the kernel, and is served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Queue(c_int);

/// Which message to receive. Types are positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The oldest.
    First,
    /// The oldest of this type.
    Type(i64),
    /// The oldest of another type.
    Except(i64),
    /// The oldest of the lowest type that is at most this.
    AtMost(i64),
}

/// What was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    pub kind: i64,
    /// How many bytes of the buffer were written.
    pub length: usize,
}

/// What the kernel knows of a queue. Times are seconds since 1970, 0 for never.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    pub messages: u64,
    /// In all of its messages.
    pub bytes: u64,
    /// As many bytes as it holds at most.
    pub bytes_max: u64,
    pub sent_at: i64,
    pub received_at: i64,
    /// Creation, or the last change of owner, mode or limit.
    pub changed_at: i64,
    pub key: i32,
    pub id: c_int,
    pub owner_uid: u32,
    pub owner_gid: u32,
    pub creator_uid: u32,
    pub creator_gid: u32,
    pub sender_pid: i32,
    pub receiver_pid: i32,
    /// Permission bits.
    pub mode: u32,
}

/// SHMKIT_QUEUE_…: the kernel's numbers, but for AT_MOST, which is a sign there.
pub(crate) const AT_MOST: u32 = 1;
pub(crate) const TRUNCATE: u32 = queue::MSG_NOERROR as u32;
pub(crate) const EXCEPT: u32 = queue::MSG_EXCEPT as u32;

impl Which {
    /// As C has it: the message, and whether it may be cut off.
    pub(crate) fn from_raw(call: &str, kind: i64, flags: u32) -> Result<(Which, bool)> {
        only(call, flags, AT_MOST | EXCEPT | TRUNCATE)?;
        let which = match (kind, flags & (AT_MOST | EXCEPT)) {
            (0, 0) => Which::First,
            (_, 0) => Which::Type(kind),
            (_, AT_MOST) => Which::AtMost(kind),
            (_, EXCEPT) => Which::Except(kind),
            _ => return Err(invalid(format!("{call} takes AT_MOST or EXCEPT, not both"))),
        };
        Ok((which, flags & TRUNCATE != 0))
    }

    /// As the kernel has it.
    fn raw(self) -> Result<(c_long, c_int)> {
        let (kind, sign, flags) = match self {
            Which::First => return Ok((0, 0)),
            Which::Type(kind) => (kind, 1, 0),
            Which::Except(kind) => (kind, 1, queue::MSG_EXCEPT),
            Which::AtMost(kind) => (kind, -1, 0),
        };
        Ok((sign * positive(kind)?, flags))
    }

    fn described(self) -> String {
        match self {
            Which::First => "a message".to_string(),
            Which::Type(kind) => format!("a message of type {kind}"),
            Which::Except(kind) => format!("a message of another type than {kind}"),
            Which::AtMost(kind) => format!("a message of at most type {kind}"),
        }
    }
}

fn positive(kind: i64) -> Result<c_long> {
    match c_long::try_from(kind) {
        Ok(kind) if kind > 0 => Ok(kind),
        _ => Err(invalid(format!("{kind} is no message type: types are 1 to {}", c_long::MAX))),
    }
}

impl Queue {
    /// True when it was created, false when it was found.
    pub fn create(key: i32, how: Creation) -> Result<(Queue, bool)> {
        let mode = how.mode()? as c_int;
        let create = || {
            queue::get(key, queue::IPC_CREAT | queue::IPC_EXCL | mode)
                .map(|id| Some(Queue(id)))
                .map_err(|errno| not_created(errno, key))
        };
        let find = || match queue::get(key, 0) {
            Ok(id) => Ok(Some(Queue(id))),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(not_found(errno, key)),
        };
        create_or_find("System V queue", key, how.or_open, create, find)
    }

    /// Opens the queue that has this key.
    pub fn open(key: i32) -> Result<Queue> {
        findable("queue", key)?;
        queue::get(key, 0).map(Queue).map_err(|errno| not_found(errno, key))
    }

    /// The queue that has this id; whether there is one, its use will tell.
    pub const fn from_id(id: c_int) -> Queue {
        Queue(id)
    }

    pub const fn id(self) -> c_int {
        self.0
    }

    /// Removes the queue and its messages at once. Whoever waits for it is told (EIDRM).
    pub fn remove(self) -> Result<()> {
        queue::remove(self.0).map_err(|errno| failed(errno, format!("cannot remove {}", self.named()), None))
    }

    /// Sends a message; waits for room.
    pub fn send(self, kind: i64, bytes: &[u8], deadline: Deadline) -> Result<()> {
        let message = self.message(kind, bytes)?;
        let flags = no_wait_until(deadline);
        wait(deadline, Errno::EAGAIN, || message.send(self.0, flags))
            .map_err(|errno| self.not_sent(errno, bytes.len()))
    }

    /// Sends a message without waiting: EAGAIN.
    pub fn try_send(self, kind: i64, bytes: &[u8]) -> Result<()> {
        let message = self.message(kind, bytes)?;
        sys::uninterrupted(|| message.send(self.0, queue::IPC_NOWAIT))
            .map_err(|errno| self.not_sent(errno, bytes.len()))
    }

    /// Receives a message into a buffer; waits for one. One that is too long for the buffer is E2BIG and
    /// stays, or is cut off, and its rest is lost.
    pub fn receive(
        self,
        which: Which,
        truncate: bool,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received> {
        self.take(which, truncate, buffer, |receive| {
            wait(deadline, Errno::ENOMSG, || receive(no_wait_until(deadline)))
        })
    }

    /// Receives a message without waiting: ENOMSG.
    pub fn try_receive(self, which: Which, truncate: bool, buffer: &mut [u8]) -> Result<Received> {
        self.take(which, truncate, buffer, |receive| sys::uninterrupted(|| receive(queue::IPC_NOWAIT)))
    }

    fn take(
        self,
        which: Which,
        truncate: bool,
        buffer: &mut [u8],
        call: impl FnOnce(&mut dyn FnMut(c_int) -> sys::Result<c_long>) -> sys::Result<c_long>,
    ) -> Result<Received> {
        let (kind, mut flags) = which.raw()?;
        flags |= if truncate { queue::MSG_NOERROR } else { 0 };
        let size = buffer.len();
        let not_received = |errno| self.not_received(errno, which, size);
        let mut message = Message::with_room(size).map_err(not_received)?;
        let kind =
            call(&mut |more| message.receive(self.0, size, kind, flags | more)).map_err(not_received)?;
        Ok(Received { kind, length: message.copy_to(buffer) })
    }

    /// Copies a message, which stays: the oldest has index 0. Never waits: ENOMSG.
    pub fn peek(self, index: u32, truncate: bool, buffer: &mut [u8]) -> Result<Received> {
        let not_copied = |errno| self.not_copied(errno, index, buffer.len());
        let place = c_long::from(c_int::try_from(index).unwrap_or(c_int::MAX));
        // The kernel does not cut off what it copies.
        let longest = if truncate { queue::limits().map_err(not_copied)?.msgmax as usize } else { 0 };
        let size = buffer.len().max(longest);
        let mut message = Message::with_room(size).map_err(not_copied)?;
        let flags = queue::MSG_COPY | queue::IPC_NOWAIT;
        let kind = sys::uninterrupted(|| message.receive(self.0, size, place, flags)).map_err(not_copied)?;
        Ok(Received { kind, length: message.copy_to(buffer) })
    }

    /// The flags of a C call that can only be cut off.
    pub(crate) fn may_truncate(call: &str, flags: u32) -> Result<bool> {
        only(call, flags, TRUNCATE)?;
        Ok(flags != 0)
    }

    pub fn stat(self) -> Result<Info> {
        let stat = self.raw_stat()?;
        Ok(Info {
            messages: stat.msg_qnum,
            bytes: stat.__msg_cbytes,
            bytes_max: stat.msg_qbytes,
            sent_at: stat.msg_stime,
            received_at: stat.msg_rtime,
            changed_at: stat.msg_ctime,
            key: sys::ipc_key(&stat.msg_perm),
            id: self.0,
            owner_uid: stat.msg_perm.uid,
            owner_gid: stat.msg_perm.gid,
            creator_uid: stat.msg_perm.cuid,
            creator_gid: stat.msg_perm.cgid,
            sender_pid: stat.msg_lspid,
            receiver_pid: stat.msg_lrpid,
            mode: u32::from(stat.msg_perm.mode) & 0o777,
        })
    }

    /// Changes owner and permission bits. None leaves a user or group as it is now.
    pub fn set_owner(self, uid: Option<u32>, gid: Option<u32>, mode: u32) -> Result<()> {
        let mode = permissions(mode)?;
        let now = self.now()?;
        let (uid, gid) = (uid.unwrap_or(now.msg_perm.uid), gid.unwrap_or(now.msg_perm.gid));
        queue::set(self.0, uid, gid, mode, now.msg_qbytes).map_err(|errno| {
            failed(errno, format!("cannot give {} owner {uid}:{gid} and mode {mode:#o}", self.named()), None)
        })
    }

    /// Changes how many bytes the queue holds; its messages stay.
    pub fn set_bytes_max(self, bytes_max: u64) -> Result<()> {
        let now = self.now()?;
        let (perm, mode) = (now.msg_perm, u32::from(now.msg_perm.mode) & 0o777);
        queue::set(self.0, perm.uid, perm.gid, mode, bytes_max).map_err(|errno| {
            let limit = queue::limits().map_or(i64::MAX as u64, |limits| limits.msgmnb as u64);
            let why = (errno == Errno::EPERM && bytes_max > limit).then(|| {
                format!("msgmnb is {limit} bytes (/proc/sys/kernel/msgmnb), and more takes CAP_SYS_RESOURCE")
            });
            failed(errno, format!("cannot give {} room for {bytes_max} bytes", self.named()), why)
        })
    }

    /// What the kernel takes all of, when a part is changed.
    fn now(self) -> Result<libc::msqid_ds> {
        let now = queue::stat_whoever(self.0);
        now.map_err(|errno| failed(errno, format!("cannot look at {}", self.named()), None))
    }

    fn raw_stat(self) -> Result<libc::msqid_ds> {
        queue::stat(self.0).map_err(|errno| failed(errno, format!("cannot look at {}", self.named()), None))
    }

    fn named(self) -> String {
        format!("the System V queue {}", self.0)
    }

    fn message(self, kind: i64, bytes: &[u8]) -> Result<Message> {
        Message::new(positive(kind)?, bytes).map_err(|errno| self.not_sent(errno, bytes.len()))
    }

    fn not_sent(self, errno: Errno, size: usize) -> Error {
        let why = match errno {
            Errno::EINVAL => queue::limits()
                .ok()
                .filter(|limits| size > limits.msgmax as usize)
                .map(|limits| format!("msgmax is {} bytes (/proc/sys/kernel/msgmax)", limits.msgmax)),
            Errno::EAGAIN | Errno::ETIMEDOUT => queue::stat(self.0).ok().map(|stat| {
                let late = if errno == Errno::ETIMEDOUT { ", and the deadline passed" } else { "" };
                format!("it has {} bytes and holds at most {}{late}", stat.__msg_cbytes, stat.msg_qbytes)
            }),
            _ => None,
        };
        failed(errno, format!("cannot send a message of {size} bytes to {}", self.named()), why)
    }

    fn not_received(self, errno: Errno, which: Which, size: usize) -> Error {
        let why = match errno {
            Errno::E2BIG => Some(format!("it is longer than the buffer, which has {size} bytes; it stays")),
            Errno::ENOMSG => Some("there is none".to_string()),
            Errno::ETIMEDOUT => Some("none came before the deadline".to_string()),
            _ => None,
        };
        failed(errno, format!("cannot receive {} from {}", which.described(), self.named()), why)
    }

    fn not_copied(self, errno: Errno, index: u32, size: usize) -> Error {
        let why = match errno {
            Errno::E2BIG => Some(format!("it is longer than the buffer, which has {size} bytes")),
            Errno::ENOMSG => queue::stat(self.0).ok().map(|stat| format!("there are {}", stat.msg_qnum)),
            Errno::ENOSYS => Some("this kernel has no MSG_COPY (CONFIG_CHECKPOINT_RESTORE)".to_string()),
            _ => None,
        };
        failed(errno, format!("cannot copy message {index} of {}", self.named()), why)
    }
}

fn no_wait_until(deadline: Deadline) -> c_int {
    if deadline == Deadline::NEVER {
        0
    } else {
        queue::IPC_NOWAIT
    }
}

fn not_created(errno: Errno, key: i32) -> Error {
    let why = (errno == Errno::ENOSPC).then(|| {
        let (queues, limit) = (queue::used().ok()?, queue::limits().ok()?.msgmni);
        Some(format!("{queues} queues exist, and msgmni is {limit} (/proc/sys/kernel/msgmni)"))
    });
    failed(errno, format!("cannot create a System V queue under {}", shown_key(key)), why.flatten())
}

fn not_found(errno: Errno, key: i32) -> Error {
    let why = (errno == Errno::ENOENT).then(|| "there is none".to_string());
    failed(errno, format!("cannot find the System V queue of {}", shown_key(key)), why)
}

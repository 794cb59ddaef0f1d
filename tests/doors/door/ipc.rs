//! System V semaphores and queues through both doors. Their handles are ids, so there is nothing to close.

use std::mem::{size_of, zeroed};

use shmkit::sysv::{Creation, Operation, Queue, Semaphores, Which};

use super::c::{done, explained, gives};
use super::rust::deadline;
use super::*;

/// (index, change, undo)
pub type Op = (u16, i16, bool);

/// (value, last pid, waiting, waiting for zero)
pub type State = (i32, i32, u32, u32);

/// What the kernel knows of a set or a queue, as far as both have it.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    pub key: i32,
    pub id: i32,
    pub owner: (u32, u32),
    pub creator: (u32, u32),
    pub mode: u32,
    /// Semaphores, or messages.
    pub count: u64,
    /// Of a queue: bytes, and how many it holds.
    pub bytes: (u64, u64),
}

/// What a call does about waiting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Patience {
    None,
    Until(i64),
    ForEver,
}

pub trait Ipc {
    fn sem_create(key: i32, values: &[u16], or_open: bool, mode: u32) -> Answer<(i32, bool)>;
    fn sem_open(key: i32, count_min: usize) -> Answer<i32>;
    fn sem_remove(id: i32) -> Answer<()>;
    fn sem_operate(id: i32, ops: &[Op], patience: Patience) -> Answer<()>;
    fn sem_value(id: i32, index: u32) -> Answer<i32>;
    fn sem_values(id: i32, count: usize) -> Answer<Vec<u16>>;
    fn sem_set_value(id: i32, index: u32, value: i32) -> Answer<()>;
    fn sem_set_values(id: i32, values: &[u16]) -> Answer<()>;
    fn sem_state(id: i32, index: u32) -> Answer<State>;
    fn sem_stat(id: i32) -> Answer<Known>;
    fn sem_set(id: i32, uid: u32, gid: u32, mode: u32) -> Answer<()>;

    fn queue_create(key: i32, or_open: bool, mode: u32) -> Answer<(i32, bool)>;
    fn queue_open(key: i32) -> Answer<i32>;
    fn queue_remove(id: i32) -> Answer<()>;
    fn queue_send(id: i32, kind: i64, bytes: &[u8], patience: Patience) -> Answer<()>;
    fn queue_receive(
        id: i32,
        which: Which,
        truncate: bool,
        room: usize,
        patience: Patience,
    ) -> Answer<(i64, Vec<u8>)>;
    fn queue_peek(id: i32, index: u32, truncate: bool, room: usize) -> Answer<(i64, Vec<u8>)>;
    fn queue_stat(id: i32) -> Answer<Known>;
    fn queue_set(id: i32, uid: u32, gid: u32, mode: u32, bytes_max: u64) -> Answer<()>;
}

impl Ipc for Rust {
    fn sem_create(key: i32, values: &[u16], or_open: bool, mode: u32) -> Answer<(i32, bool)> {
        let (set, created) = Semaphores::create(key, values, Creation { or_open, mode })?;
        Ok((set.id(), created))
    }
    fn sem_open(key: i32, count_min: usize) -> Answer<i32> {
        Ok(Semaphores::open(key, count_min)?.id())
    }
    fn sem_remove(id: i32) -> Answer<()> {
        Ok(Semaphores::from_id(id).remove()?)
    }
    fn sem_operate(id: i32, ops: &[Op], patience: Patience) -> Answer<()> {
        let one = |&(index, change, undo): &Op| Operation { index, change, undo };
        let (set, ops) = (Semaphores::from_id(id), ops.iter().map(one).collect::<Vec<_>>());
        let done = match patience {
            Patience::None => set.try_operate(&ops),
            Patience::Until(ns) => set.operate(&ops, deadline(Some(ns))?),
            Patience::ForEver => set.operate(&ops, deadline(None)?),
        };
        Ok(done?)
    }
    fn sem_value(id: i32, index: u32) -> Answer<i32> {
        Ok(Semaphores::from_id(id).value(index)?)
    }
    fn sem_values(id: i32, _count: usize) -> Answer<Vec<u16>> {
        Ok(Semaphores::from_id(id).values()?)
    }
    fn sem_set_value(id: i32, index: u32, value: i32) -> Answer<()> {
        Ok(Semaphores::from_id(id).set_value(index, value)?)
    }
    fn sem_set_values(id: i32, values: &[u16]) -> Answer<()> {
        Ok(Semaphores::from_id(id).set_values(values)?)
    }
    fn sem_state(id: i32, index: u32) -> Answer<State> {
        let state = Semaphores::from_id(id).state(index)?;
        Ok((state.value, state.last_pid, state.waiting, state.waiting_for_zero))
    }
    fn sem_stat(id: i32) -> Answer<Known> {
        let info = Semaphores::from_id(id).stat()?;
        Ok(Known {
            key: info.key,
            id: info.id,
            owner: (info.owner_uid, info.owner_gid),
            creator: (info.creator_uid, info.creator_gid),
            mode: info.mode,
            count: info.count,
            bytes: (0, 0),
        })
    }
    fn sem_set(id: i32, uid: u32, gid: u32, mode: u32) -> Answer<()> {
        Ok(Semaphores::from_id(id).set_owner(Some(uid), Some(gid), mode)?)
    }

    fn queue_create(key: i32, or_open: bool, mode: u32) -> Answer<(i32, bool)> {
        let (queue, created) = Queue::create(key, Creation { or_open, mode })?;
        Ok((queue.id(), created))
    }
    fn queue_open(key: i32) -> Answer<i32> {
        Ok(Queue::open(key)?.id())
    }
    fn queue_remove(id: i32) -> Answer<()> {
        Ok(Queue::from_id(id).remove()?)
    }
    fn queue_send(id: i32, kind: i64, bytes: &[u8], patience: Patience) -> Answer<()> {
        let queue = Queue::from_id(id);
        let done = match patience {
            Patience::None => queue.try_send(kind, bytes),
            Patience::Until(ns) => queue.send(kind, bytes, deadline(Some(ns))?),
            Patience::ForEver => queue.send(kind, bytes, deadline(None)?),
        };
        Ok(done?)
    }
    fn queue_receive(
        id: i32,
        which: Which,
        truncate: bool,
        room: usize,
        patience: Patience,
    ) -> Answer<(i64, Vec<u8>)> {
        let (queue, mut bytes) = (Queue::from_id(id), vec![0; room]);
        let received = match patience {
            Patience::None => queue.try_receive(which, truncate, &mut bytes)?,
            Patience::Until(ns) => queue.receive(which, truncate, &mut bytes, deadline(Some(ns))?)?,
            Patience::ForEver => queue.receive(which, truncate, &mut bytes, deadline(None)?)?,
        };
        bytes.truncate(received.length);
        Ok((received.kind, bytes))
    }
    fn queue_peek(id: i32, index: u32, truncate: bool, room: usize) -> Answer<(i64, Vec<u8>)> {
        let mut bytes = vec![0; room];
        let received = Queue::from_id(id).peek(index, truncate, &mut bytes)?;
        bytes.truncate(received.length);
        Ok((received.kind, bytes))
    }
    fn queue_stat(id: i32) -> Answer<Known> {
        let info = Queue::from_id(id).stat()?;
        Ok(Known {
            key: info.key,
            id: info.id,
            owner: (info.owner_uid, info.owner_gid),
            creator: (info.creator_uid, info.creator_gid),
            mode: info.mode,
            count: info.messages,
            bytes: (info.bytes, info.bytes_max),
        })
    }
    fn queue_set(id: i32, uid: u32, gid: u32, mode: u32, bytes_max: u64) -> Answer<()> {
        Queue::from_id(id).set_owner(Some(uid), Some(gid), mode)?;
        match bytes_max {
            0 => Ok(()),
            _ => Ok(Queue::from_id(id).set_bytes_max(bytes_max)?),
        }
    }
}

const NO_ID: i32 = -77;

/// An id, and whether the call has created it: without OR_OPEN it does not say.
fn creates(or_open: bool, (code, id): (i32, i32)) -> (i32, bool) {
    assert!(code == 0 || (code == 1 && or_open), "{code}");
    (id, code == 1 || !or_open)
}

/// A message that a call puts into a buffer, which stays as it is on failure.
fn message(
    room: usize,
    call: impl FnOnce(*mut libc::c_void, *mut i64, *mut shm_error) -> i32,
) -> Answer<(i64, Vec<u8>)> {
    const UNTOUCHED: u8 = 0xa5;
    let mut bytes = vec![UNTOUCHED; room + 8];
    let answer = gives(-77, |kind, error| call(bytes.as_mut_ptr().cast(), kind, error));
    let written = answer.as_ref().map_or(0, |&(length, _)| length as usize);
    assert!(written <= room && bytes[written..].iter().all(|&byte| byte == UNTOUCHED), "written too far");
    answer.map(|(length, kind)| (kind, bytes[..length as usize].to_vec()))
}

fn raw(which: Which, truncate: bool) -> (i64, u32) {
    let (kind, flags) = match which {
        Which::First => (0, 0),
        Which::Type(kind) => (kind, 0),
        Which::Except(kind) => (kind, SHMKIT_QUEUE_EXCEPT),
        Which::AtMost(kind) => (kind, SHMKIT_QUEUE_AT_MOST),
    };
    (kind, flags | if truncate { SHMKIT_QUEUE_TRUNCATE } else { 0 })
}

impl Ipc for C {
    fn sem_create(key: i32, values: &[u16], or_open: bool, mode: u32) -> Answer<(i32, bool)> {
        let flags = if or_open { SHMKIT_SEM_OR_OPEN } else { 0 };
        let (values, count) = (values.as_ptr(), values.len());
        let answer = gives(NO_ID, |id, error| unsafe {
            shm_sysv_sem_create(key, values, count, flags, mode, id, error)
        });
        answer.map(|answer| creates(or_open, answer))
    }
    fn sem_open(key: i32, count_min: usize) -> Answer<i32> {
        gives(NO_ID, |id, error| unsafe { shm_sysv_sem_open(key, count_min, id, error) }).map(|(_, id)| id)
    }
    fn sem_remove(id: i32) -> Answer<()> {
        done(explained(|error| unsafe { shm_sysv_sem_remove(id, error) }))
    }
    fn sem_operate(id: i32, ops: &[Op], patience: Patience) -> Answer<()> {
        let one = |&(index, change, undo): &Op| {
            let flags = if undo { SHMKIT_SEM_UNDO as u16 } else { 0 };
            shm_sysv_sem_op { index, change, flags }
        };
        let ops: Vec<_> = ops.iter().map(one).collect();
        let (ops, count) = (ops.as_ptr(), ops.len());
        done(explained(|error| unsafe {
            match patience {
                Patience::None => shm_sysv_sem_try_operate(id, ops, count, error),
                Patience::Until(ns) => shm_sysv_sem_operate_until(id, ops, count, ns, error),
                Patience::ForEver => shm_sysv_sem_operate(id, ops, count, error),
            }
        }))
    }
    fn sem_value(id: i32, index: u32) -> Answer<i32> {
        explained(|error| unsafe { shm_sysv_sem_value(id, index, error) })
    }
    fn sem_values(id: i32, count: usize) -> Answer<Vec<u16>> {
        let mut values = vec![0; count];
        done(explained(|error| unsafe { shm_sysv_sem_values(id, values.as_mut_ptr(), count, error) }))?;
        Ok(values)
    }
    fn sem_set_value(id: i32, index: u32, value: i32) -> Answer<()> {
        done(explained(|error| unsafe { shm_sysv_sem_set_value(id, index, value, error) }))
    }
    fn sem_set_values(id: i32, values: &[u16]) -> Answer<()> {
        let (values, count) = (values.as_ptr(), values.len());
        done(explained(|error| unsafe { shm_sysv_sem_set_values(id, values, count, error) }))
    }
    fn sem_state(id: i32, index: u32) -> Answer<State> {
        let mut state: shm_sysv_sem_state = unsafe { zeroed() };
        let size = size_of::<shm_sysv_sem_state>();
        done(explained(|error| unsafe { shm_sysv_sem_stat_one(id, index, &mut state, size, error) }))?;
        Ok((state.value, state.last_pid, state.waiting, state.waiting_for_zero))
    }
    fn sem_stat(id: i32) -> Answer<Known> {
        let mut info: shm_sysv_sem_info = unsafe { zeroed() };
        let size = size_of::<shm_sysv_sem_info>();
        done(explained(|error| unsafe { shm_sysv_sem_stat(id, &mut info, size, error) }))?;
        Ok(Known {
            key: info.key,
            id: info.id,
            owner: (info.owner_uid, info.owner_gid),
            creator: (info.creator_uid, info.creator_gid),
            mode: info.mode,
            count: info.count,
            bytes: (0, 0),
        })
    }
    fn sem_set(id: i32, uid: u32, gid: u32, mode: u32) -> Answer<()> {
        done(explained(|error| unsafe { shm_sysv_sem_set_owner(id, uid, gid, mode, error) }))
    }

    fn queue_create(key: i32, or_open: bool, mode: u32) -> Answer<(i32, bool)> {
        let flags = if or_open { SHMKIT_QUEUE_OR_OPEN } else { 0 };
        let answer = gives(NO_ID, |id, error| unsafe { shm_sysv_queue_create(key, flags, mode, id, error) });
        answer.map(|answer| creates(or_open, answer))
    }
    fn queue_open(key: i32) -> Answer<i32> {
        gives(NO_ID, |id, error| unsafe { shm_sysv_queue_open(key, id, error) }).map(|(_, id)| id)
    }
    fn queue_remove(id: i32) -> Answer<()> {
        done(explained(|error| unsafe { shm_sysv_queue_remove(id, error) }))
    }
    fn queue_send(id: i32, kind: i64, bytes: &[u8], patience: Patience) -> Answer<()> {
        let (message, size) = (bytes.as_ptr().cast(), bytes.len());
        done(explained(|error| unsafe {
            match patience {
                Patience::None => shm_sysv_queue_try_send(id, kind, message, size, error),
                Patience::Until(ns) => shm_sysv_queue_send_until(id, kind, message, size, ns, error),
                Patience::ForEver => shm_sysv_queue_send(id, kind, message, size, error),
            }
        }))
    }
    fn queue_receive(
        id: i32,
        which: Which,
        truncate: bool,
        room: usize,
        patience: Patience,
    ) -> Answer<(i64, Vec<u8>)> {
        let (kind, flags) = raw(which, truncate);
        message(room, |buffer, got, error| unsafe {
            match patience {
                Patience::None => shm_sysv_queue_try_receive(id, kind, flags, buffer, room, got, error),
                Patience::Until(ns) => {
                    shm_sysv_queue_receive_until(id, kind, flags, ns, buffer, room, got, error)
                }
                Patience::ForEver => shm_sysv_queue_receive(id, kind, flags, buffer, room, got, error),
            }
        })
    }
    fn queue_peek(id: i32, index: u32, truncate: bool, room: usize) -> Answer<(i64, Vec<u8>)> {
        let flags = if truncate { SHMKIT_QUEUE_TRUNCATE } else { 0 };
        message(room, |buffer, got, error| unsafe {
            shm_sysv_queue_peek(id, index, flags, buffer, room, got, error)
        })
    }
    fn queue_stat(id: i32) -> Answer<Known> {
        let mut info: shm_sysv_queue_info = unsafe { zeroed() };
        let size = size_of::<shm_sysv_queue_info>();
        done(explained(|error| unsafe { shm_sysv_queue_stat(id, &mut info, size, error) }))?;
        Ok(Known {
            key: info.key,
            id: info.id,
            owner: (info.owner_uid, info.owner_gid),
            creator: (info.creator_uid, info.creator_gid),
            mode: info.mode,
            count: info.messages,
            bytes: (info.bytes, info.bytes_max),
        })
    }
    fn queue_set(id: i32, uid: u32, gid: u32, mode: u32, bytes_max: u64) -> Answer<()> {
        done(explained(|error| unsafe { shm_sysv_queue_set_owner(id, uid, gid, mode, error) }))?;
        match bytes_max {
            0 => Ok(()),
            _ => done(explained(|error| unsafe { shm_sysv_queue_set_bytes_max(id, bytes_max, error) })),
        }
    }
}

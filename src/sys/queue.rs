//! System V message queues: msgget(2), msgsnd(2), msgrcv(2), msgctl(2).

use std::ffi::{c_int, c_long};
use std::mem::MaybeUninit;

use super::{Errno, Result};

pub(crate) use libc::{msginfo, IPC_CREAT, IPC_EXCL, IPC_NOWAIT, MSG_COPY, MSG_EXCEPT, MSG_NOERROR};

/// A message as the kernel takes it: the type, and right behind it the bytes.
pub(crate) struct Message {
    words: Vec<MaybeUninit<c_long>>,
    /// How many bytes are behind the type.
    size: usize,
}

impl Message {
    /// Room for so many bytes.
    pub(crate) fn with_room(size: usize) -> Result<Message> {
        let mut words = Vec::new();
        words.try_reserve_exact(1 + size.div_ceil(size_of::<c_long>())).map_err(|_| Errno::ENOMEM)?;
        Ok(Message { words, size: 0 })
    }

    pub(crate) fn new(kind: c_long, bytes: &[u8]) -> Result<Message> {
        let mut message = Message::with_room(bytes.len())?;
        let start = message.words.as_mut_ptr();
        // SAFETY: with_room() has made room for the type and the bytes behind it.
        unsafe {
            start.write(MaybeUninit::new(kind));
            start.add(1).cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        message.size = bytes.len();
        Ok(message)
    }

    pub(crate) fn send(&self, id: c_int, flags: c_int) -> Result<()> {
        // SAFETY (kernel): it reads the type and so many bytes, which new() has written.
        Errno::result(unsafe { libc::msgsnd(id, self.words.as_ptr().cast(), self.size, flags) }).map(drop)
    }

    /// Receives a message of at most `size` bytes into a message made with that much room. Gives its type.
    pub(crate) fn receive(&mut self, id: c_int, size: usize, kind: c_long, flags: c_int) -> Result<c_long> {
        assert!(size.div_ceil(size_of::<c_long>()) < self.words.capacity());
        let start = self.words.as_mut_ptr();
        // SAFETY (kernel): it writes the type, when it succeeds, and at most `size` bytes behind it.
        unsafe {
            self.size = Errno::result(libc::msgrcv(id, start.cast(), size, kind, flags))? as usize;
            Ok(start.read().assume_init())
        }
    }

    /// Copies the bytes, as far as there is room; tells how many.
    pub(crate) fn copy_to(&self, out: &mut [u8]) -> usize {
        let length = self.size.min(out.len());
        let bytes = self.words.as_ptr().wrapping_add(1).cast::<u8>();
        // SAFETY: new(), or the kernel in receive(), has written `size` bytes.
        unsafe { out.as_mut_ptr().copy_from_nonoverlapping(bytes, length) };
        length
    }
}

pub(crate) fn get(key: i32, flags: c_int) -> Result<c_int> {
    // SAFETY (kernel): numbers only.
    Errno::result(unsafe { libc::msgget(key, flags) })
}

pub(crate) fn stat(id: c_int) -> Result<libc::msqid_ds> {
    let mut data = MaybeUninit::<libc::msqid_ds>::uninit();
    // SAFETY (kernel): IPC_STAT fills the struct when it succeeds.
    unsafe {
        Errno::result(libc::msgctl(id, libc::IPC_STAT, data.as_mut_ptr()))?;
        Ok(data.assume_init())
    }
}

/// The same for whoever may not read: MSG_STAT_ANY (Linux 4.17). Its index is part of the id.
pub(crate) fn stat_whoever(id: c_int) -> Result<libc::msqid_ds> {
    const MSG_STAT_ANY: c_int = 13;
    let denied = match stat(id) {
        Err(Errno::EACCES) => Errno::EACCES,
        stat => return stat,
    };
    for index in super::ipc_indices(id) {
        let mut data = MaybeUninit::<libc::msqid_ds>::zeroed();
        // SAFETY (kernel): it fills the struct when it succeeds; all zeros is valid too.
        unsafe {
            if Errno::result(libc::msgctl(index, MSG_STAT_ANY, data.as_mut_ptr())) == Ok(id) {
                return Ok(data.assume_init());
            }
        }
    }
    Err(denied)
}

/// Changes owner, permission bits, and how many bytes the queue holds.
pub(crate) fn set(id: c_int, uid: u32, gid: u32, mode: u32, bytes_max: u64) -> Result<()> {
    // SAFETY: all zeros is a valid msqid_ds; (kernel) IPC_SET reads uid, gid, mode and the limit alone.
    unsafe {
        let mut data = MaybeUninit::<libc::msqid_ds>::zeroed().assume_init();
        data.msg_perm.uid = uid;
        data.msg_perm.gid = gid;
        data.msg_perm.mode = mode as _;
        data.msg_qbytes = bytes_max;
        Errno::result(libc::msgctl(id, libc::IPC_SET, &mut data)).map(drop)
    }
}

pub(crate) fn remove(id: c_int) -> Result<()> {
    // SAFETY (kernel): IPC_RMID takes no struct.
    Errno::result(unsafe { libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut()) }).map(drop)
}

fn info(command: c_int) -> Result<msginfo> {
    let mut info = MaybeUninit::<msginfo>::zeroed();
    // SAFETY (kernel): both commands fill a struct msginfo.
    unsafe {
        Errno::result(libc::msgctl(0, command, info.as_mut_ptr().cast()))?;
        Ok(info.assume_init())
    }
}

/// The limits of this IPC namespace.
pub(crate) fn limits() -> Result<msginfo> {
    info(libc::IPC_INFO)
}

/// How many queues there are.
pub(crate) fn used() -> Result<c_int> {
    info(libc::MSG_INFO).map(|info| info.msgpool)
}

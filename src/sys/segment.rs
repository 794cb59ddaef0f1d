//! System V segments: shmget(2), shmat(2), shmctl(2).

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use super::{Errno, Result};

pub(crate) use libc::{IPC_CREAT, IPC_EXCL, IPC_PRIVATE, SHM_NORESERVE};

/// The flags for huge pages of this size (SHM_HUGE_SHIFT).
pub(crate) fn huge(page_size: usize) -> c_int {
    libc::SHM_HUGETLB | (page_size.trailing_zeros() << libc::MFD_HUGE_SHIFT) as c_int
}

/// glibc's libc crate lacks them (bits/shm.h).
pub(crate) const SHM_DEST: u32 = 0o1000;
pub(crate) const SHM_LOCKED: u32 = 0o2000;
const SHM_INFO: c_int = 14;
const IPC_INFO: c_int = 3;

/// `struct shminfo` of linux/shm.h.
#[repr(C)]
pub(crate) struct Limits {
    pub shmmax: u64,
    pub shmmin: u64,
    pub shmmni: u64,
    pub shmseg: u64,
    pub shmall: u64,
    unused: [u64; 4],
}

/// `struct shm_info` of linux/shm.h.
#[repr(C)]
pub(crate) struct Use {
    pub segments: c_int,
    pub pages: u64,
    resident: u64,
    swapped: u64,
    swap_attempts: u64,
    swap_successes: u64,
}

pub(crate) fn get(key: i32, size: usize, flags: c_int) -> Result<c_int> {
    // SAFETY (kernel): numbers only.
    Errno::result(unsafe { libc::shmget(key, size, flags) })
}

/// Attaches at an address of the kernel's choice.
pub(crate) fn attach(id: c_int, read_only: bool) -> Result<NonNull<u8>> {
    let flags = if read_only { libc::SHM_RDONLY } else { 0 };
    // SAFETY (kernel): without an address the mapping takes addresses that nobody uses.
    let start = unsafe { libc::shmat(id, std::ptr::null(), flags) };
    if start as isize == -1 {
        return Err(Errno::last());
    }
    Ok(NonNull::new(start.cast()).expect("the kernel maps address 0 only when asked to"))
}

/// Attaches once more in the place of what is mapped there, at once for all threads.
///
/// # Safety
/// `start` came from [`attach`] of this segment, and its users take what they find.
pub(crate) unsafe fn reattach(id: c_int, start: *mut u8, read_only: bool) -> Result<()> {
    let flags = libc::SHM_REMAP | if read_only { libc::SHM_RDONLY } else { 0 };
    match unsafe { libc::shmat(id, start.cast(), flags) } as isize {
        -1 => Err(Errno::last()),
        _ => Ok(()),
    }
}

/// # Safety
/// `start` came from [`attach`], and nobody uses the mapping afterwards.
pub(crate) unsafe fn detach(start: NonNull<u8>) -> Result<()> {
    Errno::result(unsafe { libc::shmdt(start.as_ptr().cast()) }).map(drop)
}

pub(crate) fn stat(id: c_int) -> Result<libc::shmid_ds> {
    let mut data = MaybeUninit::<libc::shmid_ds>::uninit();
    // SAFETY (kernel): IPC_STAT fills the struct when it succeeds.
    unsafe {
        Errno::result(libc::shmctl(id, libc::IPC_STAT, data.as_mut_ptr()))?;
        Ok(data.assume_init())
    }
}

/// The same for whoever may not read: SHM_STAT_ANY (Linux 4.17). Its index is part of the id.
pub(crate) fn stat_whoever(id: c_int) -> Result<libc::shmid_ds> {
    const SHM_STAT_ANY: c_int = 15;
    let denied = match stat(id) {
        Err(Errno::EACCES) => Errno::EACCES,
        stat => return stat,
    };
    for index in super::ipc_indices(id) {
        let mut data = MaybeUninit::<libc::shmid_ds>::zeroed();
        // SAFETY (kernel): it fills the struct when it succeeds; all zeros is valid too.
        unsafe {
            if Errno::result(libc::shmctl(index, SHM_STAT_ANY, data.as_mut_ptr())) == Ok(id) {
                return Ok(data.assume_init());
            }
        }
    }
    Err(denied)
}

/// Changes owner and permission bits.
pub(crate) fn set(id: c_int, uid: u32, gid: u32, mode: u32) -> Result<()> {
    // SAFETY: all zeros is a valid shmid_ds; (kernel) IPC_SET reads uid, gid and mode alone.
    unsafe {
        let mut data = MaybeUninit::<libc::shmid_ds>::zeroed().assume_init();
        data.shm_perm.uid = uid;
        data.shm_perm.gid = gid;
        data.shm_perm.mode = mode as _;
        Errno::result(libc::shmctl(id, libc::IPC_SET, &mut data)).map(drop)
    }
}

fn command(id: c_int, command: c_int) -> Result<()> {
    // SAFETY (kernel): these commands take no struct.
    Errno::result(unsafe { libc::shmctl(id, command, std::ptr::null_mut()) }).map(drop)
}

pub(crate) fn remove(id: c_int) -> Result<()> {
    command(id, libc::IPC_RMID)
}

pub(crate) fn lock(id: c_int) -> Result<()> {
    command(id, libc::SHM_LOCK)
}

pub(crate) fn unlock(id: c_int) -> Result<()> {
    command(id, libc::SHM_UNLOCK)
}

/// The limits of this IPC namespace.
pub(crate) fn limits() -> Result<Limits> {
    let mut limits = MaybeUninit::<Limits>::zeroed();
    // SAFETY (kernel): IPC_INFO fills a struct shminfo.
    unsafe {
        Errno::result(libc::shmctl(0, IPC_INFO, limits.as_mut_ptr().cast()))?;
        Ok(limits.assume_init())
    }
}

/// How much of them is used.
pub(crate) fn used() -> Result<Use> {
    let mut used = MaybeUninit::<Use>::zeroed();
    // SAFETY (kernel): SHM_INFO fills a struct shm_info.
    unsafe {
        Errno::result(libc::shmctl(0, SHM_INFO, used.as_mut_ptr().cast()))?;
        Ok(used.assume_init())
    }
}

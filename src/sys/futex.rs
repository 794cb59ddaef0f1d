//! Waiting for a word to change: futex(2), futex_waitv(2). And what the kernel does with words when a thread
//! ends: set_robust_list(2), get_robust_list(2).
//!
//! All words are taken for shared ones: processes meet at the memory, whatever address it has in each.

use std::ffi::{c_int, c_long, c_void};
use std::ptr::null;
use std::sync::atomic::AtomicU32;

use super::{Errno, Result};

/// The most words that futex_waitv takes.
pub(crate) const WAITV_MAX: usize = 128;

/// What a word is expected to be: the kernel's struct futex_waitv.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Expected {
    value: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

impl Expected {
    const SIZE_U32: u32 = 2;
    pub(crate) const NONE: Expected = Expected { value: 0, address: 0, flags: 0, reserved: 0 };

    pub(crate) fn new(word: &AtomicU32, value: u32) -> Expected {
        let address = word.as_ptr() as usize as u64;
        Expected { value: value.into(), address, flags: Expected::SIZE_U32, reserved: 0 }
    }
}

fn timespec(ns: i64) -> libc::timespec {
    libc::timespec { tv_sec: ns / 1_000_000_000, tv_nsec: ns % 1_000_000_000 }
}

/// Sleeps while the word has this value, until it is woken, or a time on CLOCK_MONOTONIC. EAGAIN: the word
/// has another value; ETIMEDOUT; EINTR. To be woken means nothing.
pub(crate) fn wait(word: &AtomicU32, value: u32, until_ns: Option<i64>) -> Result<()> {
    let time = until_ns.map(timespec);
    let time = time.as_ref().map_or(null(), |time| time as *const libc::timespec);
    // SAFETY (kernel): it reads the word and the time.
    let result = unsafe {
        let (op, all) = (libc::FUTEX_WAIT_BITSET, libc::FUTEX_BITSET_MATCH_ANY);
        libc::syscall(libc::SYS_futex, word.as_ptr(), op, value, time, null::<u32>(), all)
    };
    Errno::result(result).map(drop)
}

/// Wakes so many of those who sleep, and tells how many it was. The word may be gone: EFAULT.
pub(crate) fn wake(word: *const AtomicU32, count: c_int) -> Result<usize> {
    // SAFETY (kernel): the address is a name, and is not written to.
    let result = unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, count) };
    Errno::result(result).map(|woken| woken as usize)
}

/// Sleeps while all words are as expected: the index of one that was woken. Errors as for [`wait`], and
/// ENOSYS before Linux 5.16; containers may say EPERM.
pub(crate) fn wait_any(words: &[Expected], until_ns: Option<i64>) -> Result<usize> {
    let time = until_ns.map(timespec);
    let time = time.as_ref().map_or(null(), |time| time as *const libc::timespec);
    // SAFETY (kernel): it reads the words and the time.
    let result = unsafe {
        let (flags, clock) = (0u32, libc::CLOCK_MONOTONIC);
        libc::syscall(libc::SYS_futex_waitv, words.as_ptr(), words.len(), flags, time, clock)
    };
    Errno::result(result).map(|index| index as usize)
}

/// The head of a thread's list of robust words: the kernel's struct robust_list_head. A node is an address of
/// the next; the word is `futex_offset` behind its node.
#[repr(C)]
pub(crate) struct RobustList {
    pub next: usize,
    pub futex_offset: c_long,
    pub pending: usize,
}

impl RobustList {
    pub(crate) const EMPTY: RobustList = RobustList { next: 0, futex_offset: 0, pending: 0 };
}

/// Tells the kernel of this thread's list. Not for threads that use mutexes of the C library.
///
/// # Safety
/// The list stays readable until the thread has ended.
pub(crate) unsafe fn set_robust_list(list: *const RobustList) -> Result<()> {
    let size = size_of::<RobustList>();
    Errno::result(unsafe { libc::syscall(libc::SYS_set_robust_list, list, size) }).map(drop)
}

/// The list of this thread: the C library's. None where there is none.
pub(crate) fn own_robust_list() -> Option<*mut RobustList> {
    let (mut list, mut size) = (std::ptr::null_mut::<c_void>(), 0usize);
    // SAFETY (kernel): it fills both.
    let result = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut list, &raw mut size) };
    let known = result == 0 && !list.is_null() && size == size_of::<RobustList>();
    known.then_some(list.cast())
}

/// The list of this thread, or `own` in its place, made empty, where it has none: musl makes one at a thread's
/// first robust mutex. Null where the kernel takes none.
///
/// # Safety
/// `own` is nobody else's, and stays until [`take_robust_list_away`].
pub(crate) unsafe fn robust_list_or(own: *mut RobustList) -> *mut RobustList {
    own_robust_list().unwrap_or_else(|| unsafe {
        own.write(RobustList { next: own as usize, ..RobustList::EMPTY });
        set_robust_list(own).map_or(std::ptr::null_mut(), |()| own)
    })
}

/// The thread has none from here on.
pub(crate) fn take_robust_list_away() {
    // SAFETY (kernel): null is no list.
    let _ = unsafe { set_robust_list(null()) };
}

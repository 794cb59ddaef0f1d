//! A keeper: a thread of ours that sleeps as long as the party is joined, with all signals blocked. It has a
//! list of robust words, which the kernel walks when the process dies; the words bear its number, whichever
//! thread locks. A thread of the application keeps the list of the C library: see `pending`.
//!
//! The first word of each list is the keeper's slot in the party's table: the kernel marks that one before any
//! other, so whoever finds a lock whose owner died finds the slot marked, too.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::nodes::Node;
use super::private::{Held, Lock};
use super::steps::step;
use crate::sys::futex::{self, RobustList};
use crate::sys::{self, thread, Errno};

/// The kernel walks 2048 nodes of a list, and no further.
pub(super) const NODES_MAX: u32 = 2000;

/// Of a process: zeros in a child made by fork, like the nodes behind it.
#[repr(C)]
pub(super) struct Control {
    /// Of whoever changes what is here, or links nodes.
    lock: Lock,
    /// How many keepers run. Stored last.
    pub keepers: AtomicU32,
    /// This process's PID namespace, once there is a keeper.
    pub namespace: AtomicU64,
    unused: [u64; 6],
    pub keeper: [Keeper; Control::KEEPERS_MAX],
}

#[repr(C)]
pub(super) struct Keeper {
    list: UnsafeCell<RobustList>,
    pub tid: AtomicU32,
    /// 0 starting, 1 runs, or a negative errno.
    ready: AtomicU32,
    stop: AtomicU32,
    /// How many nodes are on its list.
    pub count: AtomicU32,
    thread: AtomicUsize,
    /// Of `presence`; null: none.
    pub page: AtomicPtr<u8>,
    /// In the table.
    pub slot: AtomicU32,
    unused: u32,
}

const RUNS: u32 = 1;

impl Control {
    pub(super) const KEEPERS_MAX: usize = 63;

    /// Nobody else changes anything until this is dropped.
    pub(super) fn hold(&self) -> Held<'_> {
        self.lock.hold()
    }
}

// All of these under the control's lock.
impl Keeper {
    /// Starts it, with an empty list.
    ///
    /// # Safety
    /// The keeper stays where it is until it is stopped.
    pub(super) unsafe fn start(&self, futex_offset: isize) -> sys::Result<u32> {
        let list = self.list.get();
        // SAFETY (protocol): no thread of it runs.
        unsafe {
            list.write(RobustList { next: list as usize, futex_offset: futex_offset as _, pending: 0 });
        }
        for word in [&self.tid, &self.ready, &self.stop, &self.count, &self.slot] {
            word.store(0, Ordering::Relaxed);
        }
        // SAFETY: as the caller promises; all that both threads touch is atomic.
        let thread = unsafe { thread::start(keep, std::ptr::from_ref(self).cast_mut().cast()) }?;
        self.thread.store(thread as usize, Ordering::Relaxed);
        loop {
            match self.ready.load(Ordering::Acquire) {
                0 => drop(futex::wait(&self.ready, 0, None)),
                RUNS => return Ok(self.tid.load(Ordering::Relaxed)),
                failed => {
                    // SAFETY: it has ended, or is about to.
                    unsafe { thread::join(thread) };
                    return Err(Errno::from_raw(-(failed as i32)));
                }
            }
        }
    }

    /// Puts a word on the list, behind the first. From then on the kernel releases it for this keeper.
    pub(super) fn link(&self, node: &Node) {
        let list = self.list.get();
        let first = unsafe { (*list).next };
        let count = self.count.load(Ordering::Relaxed);
        // SAFETY (protocol): the nodes on the list stay until the keeper is stopped; the kernel reads words of
        // this size in one piece, whenever it may be.
        unsafe {
            let before = match count {
                0 => AtomicUsize::from_ptr(&raw mut (*list).next),
                _ => &(*(first as *const Node)).next,
            };
            node.next.store(before.load(Ordering::Relaxed), Ordering::Relaxed);
            step("link.next");
            before.store(std::ptr::from_ref(node) as usize, Ordering::Release);
        }
        step("link.listed");
        self.count.store(count + 1, Ordering::Relaxed);
    }

    /// Takes all words off the list.
    pub(super) fn clear(&self) {
        let list = self.list.get();
        // SAFETY (protocol): as above.
        unsafe { AtomicUsize::from_ptr(&raw mut (*list).next).store(list as usize, Ordering::Release) };
        self.count.store(0, Ordering::Relaxed);
    }

    /// The nodes on the list, without the first: the slot's.
    pub(super) fn each(&self, mut look: impl FnMut(&Node)) {
        let mut at = unsafe { (*self.list.get()).next };
        for index in 0..self.count.load(Ordering::Relaxed) {
            // SAFETY (protocol): see link().
            let node = unsafe { &*(at as *const Node) };
            if index > 0 {
                look(node);
            }
            at = node.next.load(Ordering::Relaxed);
        }
    }

    /// Ends the thread. Its list is empty, so nothing is released.
    pub(super) fn stop(&self) {
        self.clear();
        step("keeper.cleared");
        self.stop.store(1, Ordering::Release);
        let _ = futex::wake(&self.stop, 1);
        // SAFETY: started by start(), in this process: in a child these bytes are zeros.
        unsafe { thread::join(self.thread.load(Ordering::Relaxed) as libc::pthread_t) };
    }
}

extern "C" fn keep(keeper: *mut c_void) -> *mut c_void {
    // SAFETY: start()'s own.
    let keeper = unsafe { &*keeper.cast::<Keeper>() };
    // SAFETY: whoever stops the thread waits for its end. It has no mutexes of the C library.
    let listed = unsafe { futex::set_robust_list(keeper.list.get()) };
    keeper.tid.store(thread::number(), Ordering::Relaxed);
    // All threads of a process that is killed wake at once: this one's end is waited for.
    thread::take_short_turns();
    let ready = listed.map_or_else(|errno| -(errno as i32) as u32, |()| RUNS);
    keeper.ready.store(ready, Ordering::Release);
    let _ = futex::wake(&keeper.ready, 1);
    while ready == RUNS && keeper.stop.load(Ordering::Acquire) == 0 {
        let _ = futex::wait(&keeper.stop, 0, None);
    }
    std::ptr::null_mut()
}

//! A thread's pending slot: where the C library tells the kernel which lock this thread is busy with. If the
//! thread dies and nobody owns the word there, the kernel wakes one who sleeps on it. We borrow it for the time
//! of a wait or a wake, so that no wake-up dies with a thread.
//!
//! Where a thread has no list (musl makes one at the first robust mutex) there is nothing to borrow, and the
//! slices of the waits bound what is lost.

use std::cell::Cell;
use std::sync::atomic::{compiler_fence, AtomicU32, Ordering};

use crate::sys::futex::{self, RobustList};

thread_local! {
    /// None: not asked yet.
    static LIST: Cell<Option<*mut RobustList>> = const { Cell::new(None) };
}

/// What was in the slot before.
pub(super) struct Pending {
    list: Cell<*mut RobustList>,
    before: Cell<usize>,
}

impl Pending {
    pub(super) const fn new() -> Pending {
        Pending { list: Cell::new(std::ptr::null_mut()), before: Cell::new(0) }
    }

    pub(super) fn set(&self, word: &AtomicU32) {
        let list = match LIST.get() {
            Some(list) => list,
            None => {
                let list = futex::own_robust_list().unwrap_or(std::ptr::null_mut());
                // One that is made later is found then.
                LIST.set((!list.is_null()).then_some(list));
                list
            }
        };
        self.list.set(list);
        if list.is_null() {
            return;
        }
        // SAFETY (C library): the list is this thread's, which nobody else writes, and lives as long.
        unsafe {
            self.before.set((&raw const (*list).pending).read_volatile());
            let node = (word.as_ptr() as usize).wrapping_sub((*list).futex_offset as usize);
            (&raw mut (*list).pending).write_volatile(node);
        }
        // The kernel looks when this thread is dead: its order is the program's.
        compiler_fence(Ordering::SeqCst);
    }

    pub(super) fn reset(&self) {
        compiler_fence(Ordering::SeqCst);
        let list = self.list.replace(std::ptr::null_mut());
        if !list.is_null() {
            // SAFETY: as above.
            unsafe { (&raw mut (*list).pending).write_volatile(self.before.get()) };
        }
    }
}

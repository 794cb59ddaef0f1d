//! A thread's pending slot: where the C library tells the kernel which lock this thread is busy with. If the
//! thread dies and nobody owns the word there, the kernel wakes one who sleeps on it. We borrow it for the time
//! of a wait or a wake, so that no wake-up dies with a thread.
//!
//! A thread that has no list gets an empty one for as long: musl makes its own at the first robust mutex. Where
//! the kernel gives none, the slices of the waits bound what is lost.

use std::cell::{Cell, UnsafeCell};
use std::ptr::null_mut;
use std::sync::atomic::{compiler_fence, AtomicU32, Ordering};

use crate::sys::futex::{self, RobustList};

thread_local! {
    /// The C library's. None: not asked yet, or there was none.
    static LIST: Cell<Option<*mut RobustList>> = const { Cell::new(None) };
}

/// What was in the slot before. It stays where it is between set() and reset().
pub(super) struct Pending {
    list: Cell<*mut RobustList>,
    before: Cell<usize>,
    /// For a thread that has none.
    own: UnsafeCell<RobustList>,
}

impl Pending {
    pub(super) const fn new() -> Pending {
        Pending { list: Cell::new(null_mut()), before: Cell::new(0), own: UnsafeCell::new(RobustList::EMPTY) }
    }

    pub(super) fn set(&self, word: &AtomicU32) {
        // In a child made by fork musl's is none until it is made again.
        let list = LIST.get().filter(|&list| is_made(list)).unwrap_or_else(|| self.find());
        self.list.set(list);
        if list.is_null() {
            return;
        }
        // SAFETY (C library): the list is this thread's, which nobody else writes, and lives as long; or our own.
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
        let list = self.list.replace(null_mut());
        if list == self.own.get() {
            futex::take_robust_list_away();
        } else if !list.is_null() {
            // SAFETY: as above.
            unsafe { (&raw mut (*list).pending).write_volatile(self.before.get()) };
        }
    }

    /// The thread's list, or ours in its place; null where the kernel takes none.
    #[cold]
    fn find(&self) -> *mut RobustList {
        // SAFETY: nobody else knows of ours; reset() takes it away, before it goes.
        let list = unsafe { futex::robust_list_or(self.own.get()) };
        // In a handler it can be that of the call which was interrupted, for as long.
        if !list.is_null() && is_made(list) {
            LIST.set(Some(list));
        }
        list
    }
}

/// Whether a list is one of the C library's, in use: ours have no offset.
fn is_made(list: *mut RobustList) -> bool {
    // SAFETY: as for set().
    unsafe { (*list).futex_offset != 0 }
}

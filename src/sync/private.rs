//! A lock for what threads of one process share in memory that is zeros in a child made by fork: there it is
//! free, whoever had it.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::sys::futex;

/// 0 free, 1 held, 2 held and waited for.
#[repr(transparent)]
pub(super) struct Lock(AtomicU32);

/// Nobody else has the lock until this is dropped.
pub(super) struct Held<'a>(&'a Lock);

impl Lock {
    pub(super) fn hold(&self) -> Held<'_> {
        if self.0.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
            while self.0.swap(2, Ordering::Acquire) != 0 {
                let _ = futex::wait(&self.0, 2, None);
            }
        }
        Held(self)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.0 .0.swap(0, Ordering::Release) == 2 {
            let _ = futex::wake(&self.0 .0, 1);
        }
    }
}

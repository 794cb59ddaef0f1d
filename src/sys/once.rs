//! What is done once in a process, by whichever thread comes first. Unlike std's, a child that was made in
//! the middle of it does not wait for a thread that it has not got: it begins anew.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicI32, Ordering};

use super::{own_process, Result};

const NOT_YET: i32 = 0;
const DONE: i32 = -1;

/// Not yet, done, or the process that is at it.
pub(crate) struct Once(AtomicI32);

impl Once {
    pub(crate) const fn new() -> Once {
        Once(AtomicI32::new(NOT_YET))
    }

    pub(crate) fn is_done(&self) -> bool {
        self.0.load(Ordering::Acquire) == DONE
    }

    /// Does it, or waits until another thread has. What fails is tried again by the next.
    pub(crate) fn call(&self, mut work: impl FnMut() -> Result<()>) -> Result<()> {
        loop {
            match self.0.load(Ordering::Acquire) {
                DONE => return Ok(()),
                process if process == own_process() => std::thread::yield_now(),
                free => {
                    let taken =
                        self.0.compare_exchange(free, own_process(), Ordering::Acquire, Ordering::Relaxed);
                    if taken.is_ok() {
                        let done = work();
                        self.0.store(if done.is_ok() { DONE } else { NOT_YET }, Ordering::Release);
                        return done;
                    }
                }
            }
        }
    }
}

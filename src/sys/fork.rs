//! Whether the process has called fork(2) meanwhile: pthread_atfork(3).

use std::sync::atomic::{AtomicU32, Ordering};

use super::once::Once;
use super::Errno;

static BEGUN: AtomicU32 = AtomicU32::new(0);
static DONE: AtomicU32 = AtomicU32::new(0);

/// A moment of the process, before which all forks were done; None where that is not known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(Option<u32>);

impl Moment {
    /// One that is under way now counts as later.
    pub(crate) fn now() -> Moment {
        static REGISTERED: Once = Once::new();
        // SAFETY (kernel): the handlers touch atomics, and live as long as the library.
        let register = || match unsafe { libc::pthread_atfork(Some(begin), Some(done), Some(in_child)) } {
            0 => Ok(()),
            errno => Err(Errno::from_raw(errno)),
        };
        let registered = REGISTERED.call(register).is_ok();
        Moment(registered.then(|| DONE.load(Ordering::SeqCst)))
    }

    /// Whether a fork(3) of libc has begun since, also in a child that it made. A bare clone(2) or _Fork(3)
    /// is not seen.
    pub(crate) fn forked_since(self) -> bool {
        self.0 != Some(BEGUN.load(Ordering::SeqCst))
    }
}

extern "C" fn begin() {
    BEGUN.fetch_add(1, Ordering::SeqCst);
}

extern "C" fn done() {
    DONE.fetch_add(1, Ordering::SeqCst);
}

static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Another number in each child, of 31 bits, as far as forks are counted: once [`Moment::now`] was called.
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Acquire) & u32::MAX >> 1
}

/// Forks that other threads had begun go on in the parent alone.
extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::AcqRel);
    DONE.store(BEGUN.load(Ordering::SeqCst), Ordering::SeqCst);
}

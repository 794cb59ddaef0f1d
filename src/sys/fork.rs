//! Whether the process has called fork(2) meanwhile: pthread_atfork(3).

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Once;

static BEGUN: AtomicU32 = AtomicU32::new(0);
static DONE: AtomicU32 = AtomicU32::new(0);

/// A moment of the process, before which all forks were done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(u32);

impl Moment {
    /// One that is under way now counts as later.
    pub(crate) fn now() -> Moment {
        static REGISTERED: Once = Once::new();
        REGISTERED.call_once(|| {
            // SAFETY (kernel): the handlers touch atomics, and live as long as the library.
            if unsafe { libc::pthread_atfork(Some(begin), Some(done), Some(in_child)) } != 0 {
                // Nothing is counted then: as if one went on for ever.
                begin();
            }
        });
        Moment(DONE.load(Ordering::SeqCst))
    }

    /// Whether a fork(3) of libc has begun since, also in a child that it made. A bare clone(2) or _Fork(3)
    /// is not seen.
    pub(crate) fn forked_since(self) -> bool {
        BEGUN.load(Ordering::SeqCst) != self.0
    }
}

extern "C" fn begin() {
    BEGUN.fetch_add(1, Ordering::SeqCst);
}

extern "C" fn done() {
    DONE.fetch_add(1, Ordering::SeqCst);
}

/// Forks that other threads had begun go on in the parent alone.
extern "C" fn in_child() {
    DONE.store(BEGUN.load(Ordering::SeqCst), Ordering::SeqCst);
}

//! How often the process has called fork(2): pthread_atfork(3).

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Once;

static COUNT: AtomicU32 = AtomicU32::new(0);

extern "C" fn counted() {
    COUNT.fetch_add(1, Ordering::SeqCst);
}

/// A number that is another one after each fork(3) of libc, in the parent and in the child. Counted
/// before and behind the call, so that what another thread makes meanwhile notices too. A bare
/// clone(2) is not seen.
pub(crate) fn count() -> u32 {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // SAFETY (kernel): the handlers touch an atomic, and live as long as the library. Out of memory is
        // the only failure, and then nothing is counted.
        unsafe { libc::pthread_atfork(Some(counted), Some(counted), None) };
    });
    COUNT.load(Ordering::SeqCst)
}

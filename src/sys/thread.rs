//! Threads: who this one is, and one of our own: pthread_create(3).

use std::ffi::c_void;
use std::mem::MaybeUninit;

use super::{without_signals, Errno, Result};

/// This thread's number for the kernel.
pub(crate) fn number() -> u32 {
    // SAFETY (kernel): gettid cannot fail.
    unsafe { libc::syscall(libc::SYS_gettid) as u32 }
}

/// What tells this thread from all others of the process while they live; never 0. A register, where we know
/// it: asking costs nothing.
#[inline(always)]
pub(crate) fn identity() -> usize {
    #[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
    // SAFETY (ABI): the thread pointer points to itself.
    unsafe {
        let pointer: usize;
        std::arch::asm!("mov {}, fs:0", out(reg) pointer, options(nostack, preserves_flags, readonly));
        pointer
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY (ABI): any program may read the thread pointer.
    unsafe {
        let pointer: usize;
        std::arch::asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nostack, preserves_flags, nomem));
        pointer
    }
    #[cfg(not(any(all(target_arch = "x86_64", target_pointer_width = "64"), target_arch = "aarch64")))]
    {
        thread_local!(static OWN: u8 = const { 0 });
        OWN.with(|own| own as *const u8 as usize)
    }
}

/// Asks for the shortest turns that there are (Linux 6.12): whoever has those comes first when several threads
/// wake at once. No more and no less of the processor in all.
pub(crate) fn take_short_turns() {
    const SHORTEST_NS: u64 = 100_000;
    let mut attributes = MaybeUninit::<libc::sched_attr>::zeroed();
    let size = size_of::<libc::sched_attr>();
    // SAFETY (kernel): it fills so many bytes, of which all values are valid, and reads them.
    unsafe {
        if libc::syscall(libc::SYS_sched_getattr, 0, attributes.as_mut_ptr(), size, 0) == 0 {
            attributes.assume_init_mut().sched_runtime = SHORTEST_NS;
            libc::syscall(libc::SYS_sched_setattr, 0, attributes.as_ptr(), 0);
        }
    }
}

/// Starts a thread that runs `body` with all signals blocked, on a small stack.
///
/// # Safety
/// What `body` does with `argument` is sound on another thread.
pub(crate) unsafe fn start(
    body: extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
) -> Result<libc::pthread_t> {
    // Room for a frame of the C library's own signal, with the largest registers that there are.
    const STACK: usize = 128 << 10;
    let mut attributes = MaybeUninit::uninit();
    let mut thread = MaybeUninit::uninit();
    without_signals(|| {
        // SAFETY (kernel): both are filled before they are used.
        let result = unsafe {
            libc::pthread_attr_init(attributes.as_mut_ptr());
            // What is thread-local in the program lies on the stack: where that is too much, the default.
            libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), STACK);
            let mut result = libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), body, argument);
            if result == libc::EINVAL {
                result = libc::pthread_create(thread.as_mut_ptr(), std::ptr::null(), body, argument);
            }
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
            result
        };
        match result {
            0 => Ok(unsafe { thread.assume_init() }),
            errno => Err(Errno::from_raw(errno)),
        }
    })
}

/// Waits for the end of such a thread.
///
/// # Safety
/// It is one of this process's, and was not waited for.
pub(crate) unsafe fn join(thread: libc::pthread_t) {
    unsafe { libc::pthread_join(thread, std::ptr::null_mut()) };
}

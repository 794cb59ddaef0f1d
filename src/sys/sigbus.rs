//! SIGBUS: one handler for the process, which takes the faults that are its own, and does with all others
//! what the kernel would have done without it: sigaction(2).
//!
//! The handler takes no lock, allocates nothing and has nothing of a thread's own but errno, which it puts
//! back. It may run in any thread, Go's among them, on any stack that holds a signal frame.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr::{null, null_mut, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use libc::{sigaction, siginfo_t, sigset_t, SIGBUS, SIG_DFL, SIG_IGN};

use super::once::Once;
use super::{mmap, own_process, Errno, Result};

/// Whether a fault at this address is the caller's own, and done with: then the access is made again.
/// Called in the handler.
pub(crate) type Claim = fn(address: usize) -> bool;

type Informed = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);
type Plain = extern "C" fn(c_int);

static CLAIM: AtomicPtr<()> = AtomicPtr::new(null_mut());
static INSTALLED: Once = Once::new();

/// What was there before us, and is to be called for what is not ours: [`Old`] in one word, so that it is
/// never read half.
static OLD: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, Copy)]
struct Old(u64);

impl Old {
    /// Addresses of functions leave the highest bits free.
    const INFORMED: u64 = 1 << 63;
    const ONCE: u64 = 1 << 62;
    const NESTS: u64 = 1 << 61;
    const FLAGS: u64 = Old::INFORMED | Old::ONCE | Old::NESTS;
    const DEFAULT: Old = Old(SIG_DFL as u64);

    fn of(action: &sigaction) -> Old {
        let mut old = action.sa_sigaction as u64;
        for (flag, bit) in [
            (libc::SA_SIGINFO, Old::INFORMED),
            (libc::SA_RESETHAND, Old::ONCE),
            (libc::SA_NODEFER, Old::NESTS),
        ] {
            if action.sa_flags & flag != 0 {
                old |= bit;
            }
        }
        Old(old)
    }

    fn handler(self) -> usize {
        (self.0 & !Old::FLAGS) as usize
    }
}

/// Installs the handler, once in a process and for good: whoever comes later calls us, or does not.
pub(crate) fn install(claim: Claim) -> Result<()> {
    INSTALLED.call(|| {
        CLAIM.store(claim as *mut (), Ordering::Release);
        let mut old = action()?;
        // In the child of a process that forked half way through this, it may be done.
        while !is_ours(&old) {
            // Before ours can be entered.
            OLD.store(Old::of(&old).0, Ordering::Release);
            let replaced = replace_action(&ours(&old))?;
            if replaced.sa_sigaction == old.sa_sigaction && replaced.sa_flags == old.sa_flags {
                break;
            }
            // Another thread has installed one between the two calls: ours goes by that one then.
            old = replaced;
        }
        Ok(())
    })
}

pub(crate) fn is_installed() -> bool {
    INSTALLED.is_done()
}

/// Whether this thread has SIGBUS blocked.
pub(crate) fn is_blocked() -> bool {
    let mut mask = MaybeUninit::<sigset_t>::zeroed();
    // SAFETY (kernel): it fills the set, and changes nothing without a new one.
    unsafe {
        libc::pthread_sigmask(libc::SIG_BLOCK, null(), mask.as_mut_ptr());
        libc::sigismember(mask.as_ptr(), SIGBUS) == 1
    }
}

/// Whether a SIGBUS comes to our handler first.
pub(crate) fn is_current() -> Result<bool> {
    Ok(is_ours(&action()?))
}

fn is_ours(action: &sigaction) -> bool {
    action.sa_sigaction == handler as Informed as usize
}

/// Our action over an old one. With its mask, the kernel blocks for the old handler what it asked for.
/// SIGBUS itself is not blocked while we handle it: another signal's handler may begin a section then.
fn ours(old: &sigaction) -> sigaction {
    let mut action = *old;
    action.sa_sigaction = handler as Informed as usize;
    action.sa_flags =
        libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER | old.sa_flags & libc::SA_RESTART;
    if old.sa_sigaction == SIG_IGN {
        // What was ignored interrupted nothing.
        action.sa_flags |= libc::SA_RESTART;
    }
    action
}

fn action() -> Result<sigaction> {
    let mut action = MaybeUninit::zeroed();
    // SAFETY (kernel): it fills the struct.
    Errno::result(unsafe { libc::sigaction(SIGBUS, null(), action.as_mut_ptr()) })?;
    Ok(unsafe { action.assume_init() })
}

/// Sets an action, and gives the one before it.
fn replace_action(new: &sigaction) -> Result<sigaction> {
    let mut old = MaybeUninit::zeroed();
    // SAFETY (kernel): it fills the struct; the callers' handler is ours or the system's.
    Errno::result(unsafe { libc::sigaction(SIGBUS, new, old.as_mut_ptr()) })?;
    Ok(unsafe { old.assume_init() })
}

// ---- In the handler ------------------------------------------------------------------------

extern "C" fn handler(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY (kernel): a thread's errno is where libc says, and stays there; the arguments are what a
    // handler is called with, also by a handler that passes on what it was called with.
    unsafe {
        let errno = *libc::__errno_location();
        if !is_claimed(info) {
            pass_on(signal, info, context);
        }
        *libc::__errno_location() = errno;
    }
}

unsafe fn is_claimed(info: *mut siginfo_t) -> bool {
    let claim = CLAIM.load(Ordering::Acquire);
    // No other code is a page without its backing: a misaligned access would fault for ever.
    if info.is_null()
        || claim.is_null()
        || ![libc::BUS_ADRERR, libc::BUS_MCEERR_AR].contains(unsafe { &(*info).si_code })
    {
        return false;
    }
    // SAFETY (protocol): only `install` stores here, and only a Claim.
    let claim = unsafe { std::mem::transmute::<*mut (), Claim>(claim) };
    claim(unsafe { (*info).si_addr() } as usize)
}

unsafe fn pass_on(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    if info.is_null() {
        return unsafe { default_action(signal, info) };
    }
    // The handler that we call may have been installed once more on top of us, and call us: round and round.
    let Some(mark) = (unsafe { mark(info) }) else {
        return unsafe { default_action(signal, info) };
    };
    loop {
        let old = Old(OLD.load(Ordering::Acquire));
        match old.handler() {
            SIG_IGN if unsafe { was_sent(info) } => {}
            SIG_DFL | SIG_IGN => unsafe { default_action(signal, info) },
            _ if old.0 & Old::ONCE != 0 && !retire(old) => continue,
            _ => unsafe { call(old, signal, info, context) },
        }
        break;
    }
    unsafe { *mark = 0 };
}

/// Calls an old handler, with SIGBUS blocked where it did not want to be interrupted by it.
unsafe fn call(old: Old, signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    unsafe {
        let before = if old.0 & Old::NESTS == 0 { Some(block(signal)) } else { None };
        // SAFETY (kernel): it was the process's handler, of this kind, until ours took its place.
        if old.0 & Old::INFORMED != 0 {
            std::mem::transmute::<usize, Informed>(old.handler())(signal, info, context);
        } else {
            std::mem::transmute::<usize, Plain>(old.handler())(signal);
        }
        if let Some(before) = before {
            libc::pthread_sigmask(libc::SIG_SETMASK, &before, null_mut());
        }
    }
}

/// Blocks a signal for this thread, and gives the mask before.
unsafe fn block(signal: c_int) -> sigset_t {
    let mut only = MaybeUninit::<sigset_t>::zeroed();
    let mut before = MaybeUninit::<sigset_t>::zeroed();
    // SAFETY (kernel): it fills the sets.
    unsafe {
        libc::sigemptyset(only.as_mut_ptr());
        libc::sigaddset(only.as_mut_ptr(), signal);
        libc::pthread_sigmask(libc::SIG_BLOCK, only.as_ptr(), before.as_mut_ptr());
        before.assume_init()
    }
}

/// SA_RESETHAND: whoever takes it out calls it, once.
fn retire(old: Old) -> bool {
    OLD.compare_exchange(old.0, Old::DEFAULT.0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
}

/// Whether the signal is not about what the thread was just doing: the kernel lets SIG_IGN hold for it.
unsafe fn was_sent(info: *const siginfo_t) -> bool {
    unsafe { (*info).si_code <= 0 || (*info).si_code == libc::BUS_MCEERR_AO }
}

/// Marks a delivery of the signal as passed on by us, and says where; None where it is marked already.
///
/// The mark is in the tail of the siginfo_t, of which the kernel makes no use, and which it zeroes at each
/// delivery (since Linux 4.20): so a mark is never older than the delivery, even when a handler that we
/// called has left by siglongjmp(3). The word is ours alone: there may be a second copy of this library in
/// the process, to which we pass on.
unsafe fn mark(info: *mut siginfo_t) -> Option<*mut usize> {
    const WORDS: usize = size_of::<siginfo_t>() / size_of::<usize>();
    let own = (&raw const OLD) as usize;
    for at in WORDS / 2..WORDS {
        // SAFETY (kernel): the struct is so long, and writable as the rest of the signal's frame.
        let word = unsafe { info.cast::<usize>().add(at) };
        match unsafe { *word } {
            0 => {
                unsafe { *word = own };
                return Some(word);
            }
            mark if mark == own => return None,
            _ => {}
        }
    }
    None
}

/// What the kernel does with a signal that nobody handles: the process dies, with its core dumped as it was
/// when the signal came. A fault is raised again by the access itself; where that would work by now, and for
/// a signal that was sent, the same signal is queued: blocked, so that it comes when we have returned.
unsafe fn default_action(signal: c_int, info: *mut siginfo_t) {
    unsafe {
        block(signal);
        // SAFETY (kernel): all zeros is SIG_DFL, without flags and mask.
        libc::sigaction(signal, &MaybeUninit::<sigaction>::zeroed().assume_init(), null_mut());
        let (process, thread) = (own_process(), libc::syscall(libc::SYS_gettid));
        let again = !info.is_null() && !was_sent(info) && !is_there((*info).si_addr() as usize);
        if !again && libc::syscall(libc::SYS_rt_tgsigqueueinfo, process, thread, signal, info) != 0 {
            libc::syscall(libc::SYS_tgkill, process, thread, signal);
        }
    }
}

/// Whether a page can be touched now. Before Linux 5.14 the kernel does not tell: no.
fn is_there(address: usize) -> bool {
    let page = mmap::page_size();
    let start = NonNull::new((address - address % page) as *mut u8);
    // SAFETY (kernel): touching changes nothing.
    start.is_some_and(|start| unsafe { mmap::advise(start, page, libc::MADV_POPULATE_READ) }.is_ok())
}

const _: () = assert!(size_of::<siginfo_t>() == 128 && align_of::<siginfo_t>() % align_of::<usize>() == 0);

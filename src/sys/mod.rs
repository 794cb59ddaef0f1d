//! The kernel, one facility a file: typed, without policy. Failures are the bare errno; what was
//! tried is said one level up. `unsafe` here rests on the kernel's promises in the man pages.

pub(crate) mod child;
pub(crate) mod clock;
pub(crate) mod copy;
pub(crate) mod event;
pub(crate) mod file;
pub(crate) mod filesystem;
pub(crate) mod fork;
pub(crate) mod futex;
pub(crate) mod limits;
pub(crate) mod listing;
pub(crate) mod memfd;
pub(crate) mod mmap;
pub(crate) mod numa;
mod once;
pub(crate) mod process;
pub(crate) mod procmap;
pub(crate) mod queue;
pub(crate) mod residency;
pub(crate) mod resource;
pub(crate) mod segment;
pub(crate) mod semaphore;
pub(crate) mod sigbus;
pub(crate) mod socket;
pub(crate) mod sole;
pub(crate) mod thread;

pub(crate) use nix::errno::Errno;
pub(crate) type Result<T> = nix::Result<T>;

pub(crate) fn own_process() -> libc::pid_t {
    // SAFETY (kernel): getpid cannot fail.
    unsafe { libc::getpid() }
}

/// The effective user, who owns what this process creates.
pub(crate) fn own_user() -> u32 {
    // SAFETY (kernel): geteuid cannot fail.
    unsafe { libc::geteuid() }
}

/// Where an object of System V can stand in its kernel's table: the low bits of its id, 15, or 24 where the
/// kernel was started with ipcmni_extend.
pub(crate) fn ipc_indices(id: i32) -> [i32; 2] {
    [id & 0x7fff, id & 0xff_ffff]
}

/// The key that an object of System V was made with. It comes first in the kernel's struct ipc64_perm
/// (asm-generic/ipcbuf.h); each C library has another name for it.
pub(crate) fn ipc_key(permissions: &libc::ipc_perm) -> i32 {
    // SAFETY (kernel): the key is the struct's first field.
    unsafe { std::ptr::from_ref(permissions).cast::<libc::key_t>().read() }
}

/// Whether this process acts for a group.
pub(crate) fn in_group(group: u32) -> bool {
    let mut groups = vec![0; 1 << 16];
    // SAFETY (kernel): getegid cannot fail; getgroups fills no more than there is room for.
    let (own, count) =
        unsafe { (libc::getegid(), libc::getgroups(groups.len() as i32, groups.as_mut_ptr())) };
    own == group || groups[..count.max(0) as usize].contains(&group)
}

/// Runs a call with all signals held back, but those that cannot be.
pub(crate) fn without_signals<T>(call: impl FnOnce() -> T) -> T {
    use std::mem::MaybeUninit;
    let mut old = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY (kernel): the sets are our own, and `old` is filled before it is used; neither call can fail
    // with these arguments.
    unsafe {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), old.as_mut_ptr());
    }
    let result = call();
    // SAFETY (kernel): as above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, old.as_ptr(), std::ptr::null_mut()) };
    result
}

/// Calls again after every signal: EINTR is never shown to a user.
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => continue,
            result => return result,
        }
    }
}

//! The kernel, one facility a file: typed, without policy. Failures are the bare errno; what was
//! tried is said one level up. `unsafe` here rests on the kernel's promises in the man pages.

pub(crate) mod child;
pub(crate) mod clock;
pub(crate) mod copy;
pub(crate) mod file;
pub(crate) mod limits;
pub(crate) mod memfd;
pub(crate) mod mmap;
pub(crate) mod segment;
pub(crate) mod signal;
pub(crate) mod socket;

pub(crate) use nix::errno::Errno;
pub(crate) type Result<T> = nix::Result<T>;

/// The effective user, who owns what this process creates.
pub(crate) fn own_user() -> u32 {
    // SAFETY (kernel): geteuid cannot fail.
    unsafe { libc::geteuid() }
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

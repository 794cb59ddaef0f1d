//! A child for a moment: clone(2) without the handlers of pthread_atfork(3), and without SIGCHLD, so that
//! the program's own waiting for children does not see it.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::ptr::null_mut;
use std::time::Duration;

use nix::poll::{poll, PollFd, PollFlags, PollTimeout};

use super::{clock, uninterrupted, Errno, Result};

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Exit(c_int),
    Signal(c_int),
    /// Not in time: it was killed.
    Late,
}

/// Runs `body` in a child that has a copy of this process's memory, and none of its descriptors, and waits
/// for its end. In the child all signals are blocked but `open`.
///
/// # Safety
/// Other threads may have held any lock when the copy was made: `body` makes system calls, and touches
/// memory, and nothing else; it does not return by unwinding.
pub(crate) unsafe fn try_out(open: c_int, limit: Duration, body: impl FnOnce() -> c_int) -> Result<End> {
    let mut all = MaybeUninit::uninit();
    let mut but_one = MaybeUninit::uninit();
    let mut before = MaybeUninit::uninit();
    // SAFETY (kernel): it fills the sets.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::sigfillset(but_one.as_mut_ptr());
        libc::sigdelset(but_one.as_mut_ptr(), open);
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    let child = start();
    if child == Ok(0) {
        // SAFETY (kernel): numbers only. Whatever happens here dumps no core, nor outlives the parent.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            libc::prctl(libc::PR_SET_DUMPABLE, 0);
            close_all();
            libc::pthread_sigmask(libc::SIG_SETMASK, but_one.as_ptr(), null_mut());
            libc::_exit(body())
        }
    }
    // SAFETY (kernel): as it was.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), null_mut()) };
    wait(child?, limit)
}

/// So that nothing of the program's that may run here, a handler or what it jumps to, reads or writes the
/// program's files and connections.
fn close_all() {
    // SAFETY (kernel): numbers only; the descriptors are copies, and nobody in this process needs them.
    unsafe {
        if libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0) == 0 {
            return;
        }
        // Before Linux 5.9.
        let most = libc::sysconf(libc::_SC_OPEN_MAX).clamp(0, 1 << 16) as c_int;
        for fd in 0..most {
            libc::close(fd);
        }
    }
}

/// The child's number; 0 in the child.
fn start() -> Result<libc::pid_t> {
    // SAFETY (kernel): without flags the child goes on with a copy of everything, this stack too.
    Errno::result(unsafe { libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0) }).map(|child| child as libc::pid_t)
}

/// Where the kernel gives none: before Linux 5.3, in some containers, and when none is left.
fn descriptor(child: libc::pid_t) -> Option<OwnedFd> {
    // SAFETY (kernel): a new descriptor is nobody else's; nobody has reaped the child yet.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, child, 0) as c_int;
        (fd >= 0).then(|| OwnedFd::from_raw_fd(fd))
    }
}

fn wait(child: libc::pid_t, limit: Duration) -> Result<End> {
    let deadline = clock::monotonic_ns() + limit.as_nanos() as i64;
    let left = || Duration::from_nanos((deadline - clock::monotonic_ns()).max(0) as u64);
    let polled = descriptor(child).map(|descriptor| {
        uninterrupted(|| {
            let mut ready = [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)];
            poll(&mut ready, PollTimeout::try_from(left()).unwrap_or(PollTimeout::MAX))
        })
    });
    let ended = match polled {
        Some(Ok(ready)) => ready > 0,
        _ => loop {
            match reap(child, libc::WNOHANG)? {
                Some(end) => return Ok(end),
                None if left().is_zero() => break false,
                None => std::thread::sleep(left().min(Duration::from_millis(1))),
            }
        },
    };
    if !ended {
        // SAFETY (kernel): not reaped yet, so the number is still its own.
        unsafe { libc::kill(child, libc::SIGKILL) };
    }
    let end = reap(child, 0)?.unwrap_or(End::Late);
    Ok(if ended { end } else { End::Late })
}

/// None while it runs.
fn reap(child: libc::pid_t, flags: c_int) -> Result<Option<End>> {
    let mut status = 0;
    // SAFETY (kernel): it fills the number.
    let reaped =
        uninterrupted(|| Errno::result(unsafe { libc::waitpid(child, &mut status, flags | libc::__WALL) }))?;
    Ok((reaped != 0).then(|| match libc::WIFSIGNALED(status) {
        true => End::Signal(libc::WTERMSIG(status)),
        false => End::Exit(libc::WEXITSTATUS(status)),
    }))
}

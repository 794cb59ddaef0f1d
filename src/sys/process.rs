//! Other processes: pidfd_open(2), proc(5). A number means one process as long as its start time is the same.

use std::fmt::Display;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::poll::{poll, PollFd, PollFlags, PollTimeout};

use super::{uninterrupted, Errno, Result};

/// A process, to be waited for. ESRCH, EINVAL: there is none of this number; ENOSYS before Linux 5.3.
pub(crate) fn descriptor(pid: libc::pid_t) -> Result<OwnedFd> {
    // SAFETY (kernel): a new descriptor is nobody else's.
    unsafe {
        let fd = Errno::result(libc::syscall(libc::SYS_pidfd_open, pid, 0))?;
        Ok(OwnedFd::from_raw_fd(fd as libc::c_int))
    }
}

/// Whether the process, all its threads, has ended before this time has passed.
pub(crate) fn ends_within(descriptor: &OwnedFd, time: Duration) -> bool {
    let ready = uninterrupted(|| {
        let mut ready = [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)];
        poll(&mut ready, PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX))
    });
    ready.is_ok_and(|ready| ready > 0)
}

/// The number by which /proc shows a process: /proc may be that of another PID namespace, where our numbers are
/// those of others. None where it does not tell, a number that nobody has where the process is gone.
pub(crate) fn number_in_proc(pid: u32, descriptor: Option<&OwnedFd>) -> Option<u32> {
    match descriptor {
        Some(descriptor) => {
            let text =
                std::fs::read_to_string(format!("/proc/self/fdinfo/{}", descriptor.as_raw_fd())).ok()?;
            let number = text.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim();
            let number: i32 = number.parse().ok()?;
            (number != 0).then_some(number as u32)
        }
        None => {
            let own = std::fs::read_link("/proc/self").ok()?;
            let is_ours = own.to_str()?.parse() == Ok(super::own_process());
            is_ours.then_some(pid)
        }
    }
}

/// When a process started, in ticks since the machine did; `process` is its name in /proc, a number or "self".
/// None where /proc does not tell, ENOENT or ESRCH where there is no such process.
pub(crate) fn start_time(process: impl Display) -> Result<Option<u64>> {
    let text = match std::fs::read(format!("/proc/{process}/stat")) {
        Ok(text) => text,
        Err(error) => return Err(Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))),
    };
    let text = String::from_utf8_lossy(&text);
    // The name may have any character in it; it ends at the last parenthesis, and two fields are before that.
    let field = text.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(22 - 3));
    Ok(field.and_then(|field| field.parse().ok()))
}

/// Whether a thread of the process has a SIGKILL to come: it may be in the middle of a system call that goes
/// on writing. False for a process that is gone; None where /proc does not tell.
pub(crate) fn is_being_killed(number_in_proc: u32) -> Option<bool> {
    let tasks = match std::fs::read_dir(format!("/proc/{number_in_proc}/task")) {
        Ok(tasks) => tasks,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return std::fs::metadata("/proc/self/stat").is_ok().then_some(false)
        }
        Err(_) => return None,
    };
    for task in tasks.flatten() {
        let Ok(status) = std::fs::read(task.path().join("status")) else { continue };
        let status = String::from_utf8_lossy(&status);
        let pending = status.lines().find_map(|line| line.strip_prefix("SigPnd:"));
        let pending = pending.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())?;
        if pending & 1 << (libc::SIGKILL - 1) != 0 {
            return Some(true);
        }
    }
    Some(false)
}

/// The PID namespace of this process, as its inode; 0 where /proc does not tell.
pub(crate) fn own_pid_namespace() -> u64 {
    use std::os::unix::fs::MetadataExt;
    // Of the file that the link means.
    std::fs::metadata("/proc/self/ns/pid").map_or(0, |namespace| namespace.ino())
}

/// Whether the kernel knows the number at all.
pub(crate) fn exists(pid: libc::pid_t) -> bool {
    // SAFETY (kernel): signal 0 does nothing.
    unsafe { libc::kill(pid, 0) == 0 || Errno::last() != Errno::ESRCH }
}

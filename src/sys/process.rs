//! Other processes: pidfd_open(2), proc(5). A number means one process as long as its start time is the same.

use std::fmt::Display;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::fcntl::{open, OFlag};
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::stat::Mode;
use nix::unistd::read;

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

/// What /proc tells of a process, or of one thread of it.
pub(crate) struct Standing {
    /// When it started, in ticks since the machine did.
    pub start: u64,
    /// It is on its way out, and runs nothing of its program any more: of a process, its first thread.
    pub exiting: bool,
    pub threads: u64,
}

/// `process` is its name in /proc, a number or "self". None where /proc does not tell, ENOENT or ESRCH where there
/// is no such process.
pub(crate) fn standing(process: impl Display) -> Result<Option<Standing>> {
    stat(&format!("/proc/{process}/stat"))
}

fn stat(path: &str) -> Result<Option<Standing>> {
    const PF_EXITING: u64 = 4;
    let file = open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    // One read tells what was at one moment; more than 52 numbers and a name of 64 bytes there are not.
    let mut text = [0; 2048];
    let length = uninterrupted(|| read(&file, &mut text))?;
    let text = String::from_utf8_lossy(&text[..length]);
    // The name may have any character in it; it ends at the last parenthesis.
    let Some((_, rest)) = text.rsplit_once(')') else { return Ok(None) };
    let mut fields = rest.split_ascii_whitespace();
    let mut field = |skipped: usize| fields.nth(skipped);
    let (state, flags) = (field(0), field(9 - 3 - 1));
    let (threads, start) = (field(20 - 9 - 1), field(22 - 20 - 1));
    let number = |field: Option<&str>| field.and_then(|field| field.parse().ok());
    let (Some(flags), Some(threads), Some(start)) = (number(flags), number(threads), number(start)) else {
        return Ok(None);
    };
    let exiting = flags & PF_EXITING != 0 || matches!(state, Some("Z" | "X"));
    Ok(Some(Standing { start, exiting, threads }))
}

/// Whether the process still has this thread, by our numbers.
pub(crate) fn has_thread(pid: u32, thread: u32) -> bool {
    // SAFETY (kernel): signal 0 does nothing.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, pid, thread, 0) };
    sent == 0 || Errno::last() == Errno::EPERM
}

/// Whether a thread of the process, by its number in /proc, has a SIGKILL to come and is not on its way out yet: it
/// may be in the middle of a system call that goes on writing. False for a process that is gone; None where /proc
/// does not tell.
pub(crate) fn is_being_killed(pid: u32) -> Option<bool> {
    let tasks = match std::fs::read_dir(format!("/proc/{pid}/task")) {
        Ok(tasks) => tasks,
        Err(error) => return is_gone(&error).then_some(false),
    };
    // Only what is gone is passed by: a look that fails tells nothing.
    for task in tasks {
        let Ok(task) = task else { return None };
        let status = match std::fs::read(task.path().join("status")) {
            Ok(status) => status,
            Err(error) if is_gone(&error) => continue,
            Err(_) => return None,
        };
        let status = String::from_utf8_lossy(&status);
        let pending = status.lines().find_map(|line| line.strip_prefix("SigPnd:"));
        let pending = pending.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())?;
        if pending & 1 << (libc::SIGKILL - 1) == 0 {
            continue;
        }
        match stat(&format!("/proc/{pid}/task/{}/stat", task.file_name().to_string_lossy())) {
            Ok(Some(thread)) if !thread.exiting => return Some(true),
            Ok(Some(_)) | Err(Errno::ENOENT | Errno::ESRCH) => {}
            Ok(None) | Err(_) => return None,
        }
    }
    Some(false)
}

fn is_gone(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH))
}

/// The PID namespace of this process, which its number is of, and the time namespace (Linux 5.6), which starts are of,
/// as their inodes; 0 where /proc does not tell.
pub(crate) fn own_namespaces() -> u64 {
    use std::os::unix::fs::MetadataExt;
    // Of the file that the link means.
    let inode =
        |of: &str| std::fs::metadata(format!("/proc/self/ns/{of}")).map_or(0, |namespace| namespace.ino());
    match inode("pid") {
        0 => 0,
        pid => pid | inode("time") << 32,
    }
}

/// Whether the kernel knows the number at all.
pub(crate) fn exists(pid: libc::pid_t) -> bool {
    // SAFETY (kernel): signal 0 does nothing.
    unsafe { libc::kill(pid, 0) == 0 || Errno::last() != Errno::ESRCH }
}

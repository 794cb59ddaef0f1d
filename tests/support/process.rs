//! Children made by fork, and how they tell each other what has happened.

use std::panic::{catch_unwind, AssertUnwindSafe};

use super::{errno, good};

/// A child that is killed and reaped at the latest when this is dropped.
pub struct Child {
    pid: Option<libc::pid_t>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Exit(i32),
    Signal(i32),
}

/// Runs `body` in a child, which exits with 0, or with 101 after a panic. Not for processes with
/// several threads.
pub fn fork(body: impl FnOnce()) -> Child {
    // A thread that has been waited for is there for a moment still.
    let is_alone = || match std::fs::read_dir("/proc/self/task").unwrap().count() {
        1 => true,
        _ => {
            std::thread::sleep(std::time::Duration::from_millis(1));
            false
        }
    };
    assert!((0..1000).any(|_| is_alone()), "fork() is for processes with one thread: see own_process!");
    fork_beside_threads(body)
}

/// As [`fork`], where the caller knows that no other thread holds a lock.
pub fn fork_beside_threads(body: impl FnOnce()) -> Child {
    let parent = std::process::id();
    match good(unsafe { libc::fork() }) {
        0 => {
            die_with(parent);
            let end = catch_unwind(AssertUnwindSafe(body));
            unsafe { libc::_exit(if end.is_ok() { 0 } else { 101 }) }
        }
        pid => Child { pid: Some(pid) },
    }
}

fn die_with(parent: u32) {
    good(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) });
    if std::os::unix::process::parent_id() != parent {
        unsafe { libc::_exit(101) };
    }
}

/// A user and group that no other test has: limits count by user.
pub fn nobody() -> u32 {
    0x4000_0000 + unsafe { libc::getpgrp() } as u32
}

/// As [`fork`], as [`nobody`], who has no rights. Err where this process cannot become another user.
pub fn fork_as_nobody(body: impl FnOnce()) -> Result<Child, String> {
    let nobody = nobody();
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let all = map.split_whitespace().nth(2).and_then(|count| count.parse::<u32>().ok());
    if unsafe { libc::geteuid() } != 0 || all.is_none_or(|count| count <= nobody) {
        return Err("becoming another user takes root".to_string());
    }
    let parent = std::process::id();
    Ok(fork(|| {
        unsafe {
            good(libc::setgroups(0, std::ptr::null()));
            good(libc::setresgid(nobody, nobody, nobody));
            good(libc::setresuid(nobody, nobody, nobody));
            // Becoming another user has ended both.
            good(libc::prctl(libc::PR_SET_DUMPABLE, 1));
        }
        die_with(parent);
        body();
    }))
}

impl Child {
    pub fn pid(&self) -> libc::pid_t {
        self.pid.expect("not reaped yet")
    }

    pub fn kill(&self, signal: i32) {
        good(unsafe { libc::kill(self.pid(), signal) });
    }

    /// Waits until it has ended.
    pub fn wait(mut self) -> End {
        self.reap()
    }

    /// Waits until it has ended, and fails where its body has failed.
    #[track_caller]
    pub fn join(mut self) {
        assert_eq!(self.reap(), End::Exit(0), "the child's end");
    }

    /// `kill -9`, waited for.
    pub fn slay(self) {
        self.kill(libc::SIGKILL);
        self.wait();
    }

    fn reap(&mut self) -> End {
        let pid = self.pid.take().expect("not reaped yet");
        let mut status = 0;
        while unsafe { libc::waitpid(pid, &mut status, 0) } != pid {
            assert_eq!(errno(), libc::EINTR);
        }
        if libc::WIFSIGNALED(status) {
            End::Signal(libc::WTERMSIG(status))
        } else {
            End::Exit(libc::WEXITSTATUS(status))
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.pid.is_some() {
            self.kill(libc::SIGKILL);
            self.reap();
        }
    }
}

/// Waits until a child has ended, and leaves it to be reaped.
pub fn await_end(pid: libc::pid_t) {
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    let flags = libc::WEXITED | libc::WNOWAIT;
    while unsafe { libc::waitid(libc::P_PID, pid as libc::id_t, info.as_mut_ptr(), flags) } != 0 {
        assert_eq!(errno(), libc::EINTR);
    }
}

/// How a child that runs `body` ends; for what should kill it.
pub fn end_of(body: impl FnOnce()) -> End {
    fork(body).wait()
}

/// A pipe for numbers, open at both ends in every process that has it: "this has happened".
pub struct Line {
    reader: libc::c_int,
    writer: libc::c_int,
}

impl Line {
    #[allow(clippy::new_without_default)]
    pub fn new() -> Line {
        let mut ends = [0; 2];
        good(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) });
        Line { reader: ends[0], writer: ends[1] }
    }

    pub fn tell(&self, number: i64) {
        let bytes = number.to_ne_bytes();
        assert_eq!(unsafe { libc::write(self.writer, bytes.as_ptr().cast(), 8) }, 8);
    }

    /// Waits for a number.
    pub fn hear(&self) -> i64 {
        let mut bytes = [0; 8];
        loop {
            match unsafe { libc::read(self.reader, bytes.as_mut_ptr().cast(), 8) } {
                8 => return i64::from_ne_bytes(bytes),
                got => assert!(got == -1 && errno() == libc::EINTR, "half a number"),
            }
        }
    }

    /// Whether there is a number to hear.
    pub fn is_told(&self) -> bool {
        let mut wait = libc::pollfd { fd: self.reader, events: libc::POLLIN, revents: 0 };
        good(unsafe { libc::poll(&mut wait, 1, 0) }) == 1
    }

    /// For poll(2), or to be inherited.
    pub fn reader(&self) -> libc::c_int {
        self.reader
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        unsafe {
            libc::close(self.reader);
            libc::close(self.writer);
        }
    }
}

/// A soft limit, lower for as long as this lives.
pub struct Limit {
    resource: u32,
    old: libc::rlimit,
}

impl Limit {
    pub fn lower(resource: u32, to: u64) -> Limit {
        let mut old = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        unsafe {
            good(libc::getrlimit(resource, &mut old));
            good(libc::setrlimit(resource, &libc::rlimit { rlim_cur: to, ..old }));
        }
        Limit { resource, old }
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        good(unsafe { libc::setrlimit(self.resource, &self.old) });
    }
}

/// Lets the parent stop this child at a system call of its choice ([`Child::stop_at`]). Err where that is not
/// permitted.
pub fn traced() -> Result<(), String> {
    if unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) } == -1 {
        return Err(format!("tracing a child: {}", std::io::Error::last_os_error()));
    }
    good(unsafe { libc::raise(libc::SIGSTOP) });
    Ok(())
}

impl Child {
    /// Runs a traced child up to its next call of this number, which it is about to make.
    pub fn stop_at(&self, call: i64) {
        self.stop_at_nth(call, 0);
    }

    /// The same, where it has made so many of them.
    pub fn stop_at_nth(&self, call: i64, mut made: u32) {
        let pid = self.pid();
        self.await_stop();
        unsafe {
            good(libc::ptrace(libc::PTRACE_SETOPTIONS, pid, 0, libc::PTRACE_O_TRACESYSGOOD));
            loop {
                good(libc::ptrace(libc::PTRACE_SYSCALL, pid, 0, 0));
                self.await_stop();
                let mut info: libc::ptrace_syscall_info = std::mem::zeroed();
                let size = size_of_val(&info);
                good(libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, pid, size, &mut info));
                if info.op == libc::PTRACE_SYSCALL_INFO_ENTRY && info.u.entry.nr == call as u64 {
                    if made == 0 {
                        return;
                    }
                    made -= 1;
                }
            }
        }
    }

    /// Lets it go, untraced.
    pub fn go_on(&self) {
        good(unsafe { libc::ptrace(libc::PTRACE_DETACH, self.pid(), 0, 0) });
    }

    fn await_stop(&self) {
        let mut status = 0;
        good(unsafe { libc::waitpid(self.pid(), &mut status, 0) });
        assert!(libc::WIFSTOPPED(status), "it ended before that: {status:#x}");
    }
}

//! What the integration tests share. `own_process!` runs a test in a process of its own, under an alarm,
//! and holds it to leave nothing behind; `fork` makes the other processes of a scenario.
//! Each test program uses a part of it.
#![allow(dead_code, unused_imports)]

mod cgroup;
mod names;
mod namespaces;
mod pool;
mod process;
mod scenario;
mod sockets;

pub use cgroup::Group;
pub use names::*;
pub use namespaces::*;
pub use pool::*;
pub use process::*;
pub use scenario::*;
pub use sockets::*;

/// The kernel's last error number.
pub fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().expect("a number of the kernel's")
}

/// The result of a system call that answers -1 for a failure.
#[track_caller]
pub fn good(result: impl Into<i64>) -> i32 {
    let result = result.into();
    assert_ne!(result, -1, "{}", std::io::Error::last_os_error());
    result as i32
}

/// fstat(2)
pub fn stat(fd: &impl std::os::fd::AsRawFd) -> libc::stat {
    let mut stat = unsafe { std::mem::zeroed::<libc::stat>() };
    good(unsafe { libc::fstat(fd.as_raw_fd(), &mut stat) });
    stat
}

/// Numbers of chance, the same ones each time (xorshift).
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance(seed * 2 + 1)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit
    }
}

/// A descriptor number that is never open here.
pub const NEVER_OPEN: i32 = 999;

pub fn page() -> usize {
    good(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }) as usize
}

/// Now, on the clock of deadlines.
pub fn monotonic_ns() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    good(unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) });
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

pub fn in_ms(ms: i64) -> i64 {
    monotonic_ns() + ms * 1_000_000
}

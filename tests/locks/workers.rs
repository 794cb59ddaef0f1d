//! Processes that join a party and then do one thing, when they are told.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use shmkit::sync::Party;
use shmkit::Region;

use super::support::*;
use super::{await_sleep, join};

/// Longer than a wake-up takes on a busy machine, and shorter than the slice after which who sleeps looks anyway.
const SOON_NS: i64 = 600_000_000;

/// How many wake-ups there were, and how many of them came late.
static WOKEN: AtomicU32 = AtomicU32::new(0);
static LATE: AtomicU32 = AtomicU32::new(0);

/// Runs what tells how long its wake-ups took. A machine that stands still makes a few of them late, or a run of
/// few; an end of a slice in the place of a wake-up comes again and again.
#[track_caller]
pub fn mostly_soon(run: impl Fn()) {
    const RUNS: usize = 4;
    for _ in 0..RUNS {
        WOKEN.store(0, Ordering::Relaxed);
        LATE.store(0, Ordering::Relaxed);
        run();
        if LATE.load(Ordering::Relaxed) * 4 <= WOKEN.load(Ordering::Relaxed) {
            return;
        }
    }
    panic!("{LATE:?} of {WOKEN:?} wake-ups came by the end of a slice");
}

/// A wake-up that has begun then is over now.
pub fn note_wake_up(begin_ns: i64) {
    WOKEN.fetch_add(1, Ordering::Relaxed);
    LATE.fetch_add(u32::from(monotonic_ns() - begin_ns > SOON_NS), Ordering::Relaxed);
}

pub struct Worker {
    pub child: Child,
    go: Line,
    /// Where it tells what has happened.
    pub told: Line,
}

/// A process that has joined, and runs `body` once it [goes](Worker::go). When it is woken it takes the processor
/// from nobody.
pub fn worker(region: &Region, body: impl FnOnce(&Party<'_>, &Line)) -> Worker {
    let (go, told) = (Line::new(), Line::new());
    let child = fork(|| {
        let party = join(region);
        told.tell(0);
        go.hear();
        give_way();
        body(&party, &told);
    });
    assert_eq!(told.hear(), 0);
    Worker { child, go, told }
}

/// When this process is woken it takes the processor from nobody.
pub fn give_way() {
    let priority = libc::sched_param { sched_priority: 0 };
    good(unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &priority) });
}

impl Worker {
    pub fn go(&self) {
        self.go.tell(1);
    }

    /// Lets it go, and waits until it sleeps.
    pub fn go_to_sleep(&self) {
        self.go();
        await_sleep(self.child.pid());
    }

    /// Waits until it has slept so long that it sleeps for long, where the kernel has futex_waitv(2) for that.
    pub fn await_long_sleep(&self) {
        let begin = monotonic_ns();
        let path = format!("/proc/{}/syscall", self.child.pid());
        let long = format!("{} ", libc::SYS_futex_waitv);
        while !std::fs::read_to_string(&path).unwrap().starts_with(&long) && monotonic_ns() - begin < SOON_NS
        {
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    /// What it tells, a wake-up from now on: for [`mostly_soon`].
    pub fn hear_soon(&self) -> i64 {
        let begin = monotonic_ns();
        let heard = self.told.hear();
        note_wake_up(begin);
        heard
    }

    /// Stops it, and waits until it is stopped, or has ended before that.
    pub fn stop(&self) {
        self.child.kill(libc::SIGSTOP);
        while !['T', 'Z'].contains(&state(self.child.pid())) {
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}

/// As in the third field of /proc/pid/stat.
fn state(pid: libc::pid_t) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat[stat.rfind(')').unwrap() + 2..].chars().next().unwrap()
}

/// From here on this process and its children have one processor: a [`worker`] that is woken does not run before who
/// wakes it sleeps, or has run for long.
pub fn on_one_processor() {
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        let processor = good(libc::sched_getcpu());
        libc::CPU_SET(processor as usize, &mut set);
        good(libc::sched_setaffinity(0, size_of_val(&set), &set));
    }
}

/// A process that is about to make the system call by which it wakes somebody, and does not. None where that is not
/// permitted.
pub fn stopped_at_wake(region: &Region, body: impl FnOnce(&Party<'_>)) -> Option<Child> {
    let child = fork(|| {
        let party = join(region);
        if let Err(why) = traced() {
            skip(why);
            unsafe { libc::_exit(77) };
        }
        body(&party);
    });
    // Without tracing it ends; nobody is to wait for its stop then.
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    let flags = libc::WEXITED | libc::WSTOPPED | libc::WNOWAIT;
    good(unsafe { libc::waitid(libc::P_PID, child.pid() as u32, info.as_mut_ptr(), flags) });
    if unsafe { info.assume_init() }.si_code == libc::CLD_EXITED {
        child.wait();
        return None;
    }
    child.stop_at(libc::SYS_futex);
    Some(child)
}

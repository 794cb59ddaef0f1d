use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{ensure, Result};
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::waitpid;
use nix::unistd::{fork, ForkResult, Pid};

use super::board::{Shared, Side, QUIT};
use crate::harness::pin;

/// Another process, which does as the board commands, on a processor of its own.
pub struct Other<'s> {
    pub shared: &'s Shared,
    pub pid: Pid,
}

impl<'s> Other<'s> {
    pub fn start(shared: &'s Shared, cpu: usize, work: impl Fn(&Shared, Side)) -> Result<Other<'s>> {
        // SAFETY: the child calls nothing that another thread may have left half done: the keeper sleeps.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(Other { shared, pid: child }),
            ForkResult::Child => {
                // It ends with its parent, whatever becomes of that.
                // SAFETY: it takes numbers.
                unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
                let board = shared.board();
                let pinned = pin(cpu).is_ok();
                loop {
                    let command = board.command.0.load(Ordering::Acquire);
                    if command == QUIT || !pinned {
                        break;
                    }
                    if let Some(side) = Side::from(command) {
                        board.command.0.store(0, Ordering::Relaxed);
                        work(shared, side);
                        board.answer.0.store(1, Ordering::Release);
                    }
                    std::hint::spin_loop();
                }
                // SAFETY: without what the parent would do at its end.
                unsafe { libc::_exit(0) }
            }
        }
    }

    pub fn begin(&self, side: Side) {
        self.shared.board().answer.0.store(0, Ordering::Relaxed);
        self.shared.board().command.0.store(side as u32, Ordering::Release);
    }

    pub fn await_sleep(&self) -> Result<()> {
        let start = Instant::now();
        while !is_asleep(self.pid) {
            ensure!(start.elapsed() < Duration::from_secs(10), "the other process does not sleep");
        }
        Ok(())
    }

    pub fn wait(&self) -> Result<()> {
        let start = Instant::now();
        while self.shared.board().answer.0.load(Ordering::Acquire) == 0 {
            ensure!(start.elapsed() < Duration::from_secs(10), "the other process does not answer");
            std::hint::spin_loop();
        }
        Ok(())
    }
}

impl Drop for Other<'_> {
    fn drop(&mut self) {
        self.shared.board().command.0.store(QUIT, Ordering::Release);
        let _ = kill(self.pid, Signal::SIGKILL);
        let _ = waitpid(self.pid, None);
    }
}

pub fn is_asleep(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" S"))
}

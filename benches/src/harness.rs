//! Two sides of a comparison, run by turns: what disturbs the machine disturbs both.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{bail, Result};
use nix::sched::{sched_getaffinity, sched_setaffinity, CpuSet};
use nix::unistd::Pid;

/// How long one run of a side lasts, or one iteration if that takes longer. Short, so that both sides see
/// the same machine, whose speed changes many times a second when others use it too.
const RUN: Duration = Duration::from_millis(5);
const RUNS_MIN: usize = 9;

pub struct Bench {
    /// How long the runs of a figure last together; there are never fewer than RUNS_MIN of each side.
    time: Duration,
    /// Runs of a figure whose single run takes a large part of a second.
    pub long_runs: usize,
    pub quick: bool,
    /// Where files may be made.
    pub directory: PathBuf,
    cpus: Vec<usize>,
}

/// One run of each side, in nanoseconds an iteration.
pub struct Run {
    pub iterations: u64,
    pub ours_first: bool,
    pub ours: f64,
    pub reference: f64,
}

impl Bench {
    pub fn new(quick: bool, directory: PathBuf) -> Result<Bench> {
        let allowed = sched_getaffinity(Pid::from_raw(0))?;
        let cpus = (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu).unwrap_or(false)).collect();
        let (time, long_runs) = if quick { (700, 5) } else { (3000, 11) };
        Ok(Bench { time: Duration::from_millis(time), long_runs, quick, directory, cpus })
    }

    /// Where one process alone is measured.
    pub fn cpu(&self) -> usize {
        self.cpus[self.cpus.len() - 1]
    }

    /// Where two processes are measured: different processors, if there are two.
    pub fn two_cpus(&self) -> Option<(usize, usize)> {
        (self.cpus.len() > 1).then(|| (self.cpus[0], self.cpu()))
    }

    /// Runs both sides by turns, who is first swapped each time. A side runs a number of iterations
    /// and says how long they took, so that it can leave out what it prepares.
    pub fn compare(
        &self,
        mut ours: impl FnMut(u64) -> Result<Duration>,
        mut reference: impl FnMut(u64) -> Result<Duration>,
    ) -> Result<Vec<Run>> {
        pin(self.cpu())?;
        let iterations = self.calibrate(&mut ours)?.min(self.calibrate(&mut reference)?);
        let start = Instant::now();
        let more = |runs| runs < RUNS_MIN || start.elapsed() < self.time;
        by_turns(iterations, more, ours, reference)
    }

    /// The same where a single iteration takes a large part of a second.
    pub fn compare_long(
        &self,
        mut ours: impl FnMut(u64) -> Result<Duration>,
        mut reference: impl FnMut(u64) -> Result<Duration>,
    ) -> Result<Vec<Run>> {
        pin(self.cpu())?;
        ours(1)?;
        reference(1)?;
        by_turns(1, |runs| runs < self.long_runs, ours, reference)
    }

    /// Warms a side up, and finds how many iterations fill a run.
    fn calibrate(&self, side: &mut impl FnMut(u64) -> Result<Duration>) -> Result<u64> {
        let mut iterations = 1;
        loop {
            stop_if_interrupted()?;
            let took = side(iterations)?;
            if took >= RUN / 4 {
                let filling = iterations as f64 * RUN.as_secs_f64() / took.as_secs_f64();
                return Ok((filling as u64).max(1));
            }
            iterations *= 2;
        }
    }
}

fn by_turns(
    iterations: u64,
    more: impl Fn(usize) -> bool,
    mut ours: impl FnMut(u64) -> Result<Duration>,
    mut reference: impl FnMut(u64) -> Result<Duration>,
) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    while more(runs.len()) {
        stop_if_interrupted()?;
        let ours_first = runs.len() % 2 == 0;
        let each = |took: Duration| took.as_nanos() as f64 / iterations as f64;
        let (a, b);
        if ours_first {
            a = ours(iterations)?;
            b = reference(iterations)?;
        } else {
            b = reference(iterations)?;
            a = ours(iterations)?;
        }
        runs.push(Run { iterations, ours_first, ours: each(a), reference: each(b) });
    }
    Ok(runs)
}

/// Times a whole loop.
pub fn each(mut step: impl FnMut() -> Result<()>) -> impl FnMut(u64) -> Result<Duration> {
    move |iterations| {
        let start = Instant::now();
        for _ in 0..iterations {
            step()?;
        }
        Ok(start.elapsed())
    }
}

/// Times a part of each iteration: what `prepare` makes is neither made nor dropped on the clock, and
/// what `step` makes is not dropped on it.
pub fn each_prepared<T, U>(
    mut prepare: impl FnMut() -> Result<T>,
    mut step: impl FnMut(&T) -> Result<U>,
) -> impl FnMut(u64) -> Result<Duration> {
    move |iterations| {
        let mut took = Duration::ZERO;
        for _ in 0..iterations {
            let prepared = prepare()?;
            let start = Instant::now();
            let made = step(&prepared)?;
            took += start.elapsed();
            drop(made);
        }
        Ok(took)
    }
}

pub fn pin(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From here on Ctrl-C ends the program between two runs, so that names and segments are removed.
pub fn watch_for_interrupts() -> Result<()> {
    use nix::sys::signal::{sigaction, SaFlags, SigAction, SigHandler, SigSet, Signal};
    extern "C" fn note(_: libc::c_int) {
        INTERRUPTED.store(true, Ordering::Relaxed);
    }
    let action = SigAction::new(SigHandler::Handler(note), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler does nothing but store to an atomic.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

pub fn stop_if_interrupted() -> Result<()> {
    if interrupted() {
        bail!("interrupted");
    }
    Ok(())
}

pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        (sorted[middle - 1] + sorted[middle]) / 2.0
    }
}

pub fn minimum(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(f64::INFINITY, f64::min)
}

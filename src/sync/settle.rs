//! A process ends thread by thread: the keeper may be gone, and its locks free, while another thread is still
//! in the middle of a long read(2) into the region. So whoever takes a dead owner's lock waits until all threads
//! of the process are on their way out, and then marks the slot. That the process has ended as a whole is not
//! waited for where /proc tells of its threads: to take down a large one's memory takes long. Where it does not,
//! the process's presence ends with its memory (`presence`).
//!
//! What a slot says of its process is a peer's claim. It decides how long we look, which has an end, and
//! nothing else.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::lock::{OD, TM, W};
use super::party::State;
use super::steps::step;
use super::table::{Slot, Table};
use super::wait::is_over;
use crate::deadline::Deadline;
use crate::sys::process::Standing;
use crate::sys::{self, clock, futex, process, Errno};

/// A process, as a slot tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub pid: u32,
    pub namespace: u64,
    pub start: u64,
}

/// Where nothing can be seen of the process: longer than a large read(2) takes.
const BLIND: Duration = Duration::from_millis(200);

/// Where it can be seen that it is there: longer than to take down its memory takes. Another process that was
/// made with the same memory (CLONE_VM) may stay.
const PRESENT: Duration = Duration::from_secs(10);

/// How long we look without a pause.
const SOON: Duration = Duration::from_micros(200);

/// How long we pause at first where each look takes nothing from others, and then.
const SHORT: Duration = Duration::from_micros(20);
const SLICE: Duration = Duration::from_millis(1);

impl Identity {
    pub(super) fn own() -> Identity {
        let pid = sys::own_process() as u32;
        let start = process::standing("self").ok().flatten().map_or(0, |standing| standing.start);
        Identity { pid, namespace: process::own_namespaces(), start }
    }

    /// Whether the process has surely ended as a whole.
    fn has_ended(self) -> bool {
        let own_namespace = process::own_namespaces();
        let Ok(pid) = libc::pid_t::try_from(self.pid) else { return false };
        if self.namespace != own_namespace || own_namespace == 0 || self.start == 0 {
            return false;
        }
        match process::descriptor(pid) {
            Err(Errno::ESRCH) => true,
            // Another one of this number, or one that waits for its parent to hear of its end.
            descriptor => {
                let descriptor = descriptor.ok();
                let number = process::number_in_proc(self.pid, descriptor.as_ref());
                let standing = number.map(process::standing);
                matches!(standing, Some(Ok(Some(standing))) if standing.start != self.start)
                    || descriptor.is_some_and(|descriptor| process::ends_within(&descriptor, Duration::ZERO))
            }
        }
    }
}

/// The process of a dead slot, as somebody has found it.
struct Dying<'a> {
    table: &'a Table,
    index: u32,
    process: Identity,
    /// What the slot has of it, with its claim.
    identity: u64,
    /// By which this process knows it again, and when it was met first: it had begun to die by then.
    met: u64,
    found_ns: i64,
}

impl Dying<'_> {
    /// Waits until its process has stopped, and says so in the slot.
    fn settle(&self, own_namespace: u64, deadline: Deadline) -> bool {
        if !self.has_stopped(own_namespace, deadline) {
            return false;
        }
        step("settle.stopped");
        let (word, settled) = (&self.table.slot(self.index).identity, self.identity & !u64::from(u32::MAX));
        let _ = word.compare_exchange(self.identity, settled, Ordering::AcqRel, Ordering::Relaxed);
        step("settle.marked");
        forget(self.met);
        true
    }

    /// Waits until no thread of the process can write any more.
    fn has_stopped(&self, own_namespace: u64, deadline: Deadline) -> bool {
        let process = self.process;
        let Ok(pid) = libc::pid_t::try_from(process.pid) else { return true };
        if process.namespace != own_namespace || own_namespace == 0 || process.start == 0 {
            return self.has_stopped_unseen(deadline);
        }
        // This program has come into its place.
        if pid == sys::own_process() {
            return true;
        }
        // Mostly one look tells. Where the numbers in /proc are another PID namespace's, the start is another.
        if matches!(process::standing(pid), Ok(Some(standing)) if self.is_all(&standing)) {
            return true;
        }
        let descriptor = match process::descriptor(pid) {
            Err(Errno::ESRCH | Errno::EINVAL) => return true,
            descriptor => descriptor.ok(),
        };
        // A small process ends sooner than /proc tells of it, or than we would be awake again.
        let soon = Deadline::after(SOON);
        while let (Some(descriptor), false) = (&descriptor, is_over(soon)) {
            if process::ends_within(descriptor, Duration::ZERO) {
                return true;
            }
            std::thread::yield_now();
        }
        loop {
            match self.may_write(descriptor.as_ref()) {
                Some(true) => {}
                Some(false) => return true,
                None => return self.has_stopped_unseen(deadline),
            }
            let left = deadline.left().unwrap_or(Duration::MAX);
            if left.is_zero() {
                return false;
            }
            match &descriptor {
                Some(descriptor) if process::ends_within(descriptor, left.min(SLICE)) => return true,
                Some(_) => {}
                None => std::thread::sleep(left.min(SLICE)),
            }
        }
    }

    /// Whether the process is still there, and a thread of it has not stopped; None where that cannot be seen.
    fn may_write(&self, descriptor: Option<&OwnedFd>) -> Option<bool> {
        let Identity { pid, start, .. } = self.process;
        let number = process::number_in_proc(pid, descriptor)?;
        match process::standing(number) {
            Ok(Some(standing)) if standing.start == start => {
                if self.is_all(&standing) {
                    return Some(false);
                }
            }
            // Another one has its number.
            Ok(Some(_)) => return Some(false),
            // What /proc does not show can be there (hidepid).
            _ if !process::exists(pid as libc::pid_t) => return Some(false),
            _ => return None,
        }
        // All threads of the old program have a SIGKILL to come until they have stopped; one that executes a new
        // program has not.
        process::is_being_killed(number)
    }

    /// Whether the first thread and the keeper are all that there is, as mostly, and both are on their way out. A
    /// keeper that is still there now was among those counted.
    fn is_all(&self, standing: &Standing) -> bool {
        let keeper = self.table.slot(self.index).tid.load(Ordering::Relaxed);
        standing.start == self.process.start
            && standing.exiting
            && (standing.threads <= 1
                || standing.threads == 2 && process::has_thread(self.process.pid, keeper))
    }

    /// The same where /proc does not tell.
    fn has_stopped_unseen(&self, deadline: Deadline) -> bool {
        let mut pause = SHORT;
        loop {
            let patience = match self.table.is_present(self.index, claim_of(self.identity)) {
                Some(false) => return true,
                Some(true) => PRESENT,
                None => BLIND,
            };
            let waited = clock::monotonic_ns().saturating_sub(self.found_ns).max(0) as u64;
            let rest = patience.saturating_sub(Duration::from_nanos(waited));
            if rest.is_zero() {
                return true;
            }
            let left = deadline.left().unwrap_or(Duration::MAX);
            if left.is_zero() {
                return false;
            }
            std::thread::sleep(pause.min(rest).min(left));
            pause = (2 * pause).min(SLICE);
        }
    }
}

fn claim_of(identity: u64) -> u32 {
    (identity >> 32) as u32
}

/// When this process has met deaths, until they are settled: which << 32 | milliseconds. So those of whom nothing can
/// be seen are heard of by those, too, who look for a short time again and again. Where there are more, the others
/// come when these have gone.
static MET: [AtomicU64; 16] = [const { AtomicU64::new(0) }; 16];

/// Never 0.
fn which(process: Identity, keeper: u32) -> u64 {
    let all = (process.start ^ u64::from(process.pid) << 32 ^ u64::from(keeper)) ^ process.namespace << 16;
    all.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 | 1
}

fn met_ns(which: u64) -> i64 {
    let now_ns = clock::monotonic_ns();
    let now_ms = (now_ns / 1_000_000) as u32;
    let since_ms = |met: u64| now_ms.wrapping_sub(met as u32);
    let all = || MET.iter().map(|place| (place, place.load(Ordering::Relaxed)));
    if let Some((_, met)) = all().find(|(_, met)| met >> 32 == which) {
        return now_ns - i64::from(since_ms(met)) * 1_000_000;
    }
    // Nobody has asked for an old one any more.
    let mut free = all().filter(|&(_, met)| met == 0 || u128::from(since_ms(met)) > 2 * PRESENT.as_millis());
    let new = which << 32 | u64::from(now_ms);
    free.any(|(place, met)| place.compare_exchange(met, new, Ordering::Relaxed, Ordering::Relaxed).is_ok());
    now_ns
}

fn forget(which: u64) {
    for place in &MET {
        let met = place.load(Ordering::Relaxed);
        if met >> 32 == which {
            let _ = place.compare_exchange(met, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

/// For one who has to know that all who are marked dead have stopped, and has something else to wait for: whether they
/// have; if not, until when to wait before the next look.
pub(super) fn look_at_the_dead(state: &State, deadline: Deadline) -> (bool, Deadline) {
    match state.settle(deadline.or_after(Duration::ZERO)) {
        true => (true, deadline),
        false => (false, deadline.or_after(LOOK)),
    }
}

/// How soon one looks again.
pub(super) const LOOK: Duration = Duration::from_millis(10);

impl Slot {
    /// Whether the process that had it last has stopped, as far as anybody has seen.
    pub(super) fn has_ended(&self) -> bool {
        self.owner().is_none() && self.identity.load(Ordering::Acquire) as u32 == 0
    }

    /// Only by whoever has just claimed it.
    pub(super) fn identify(&self, own: Identity, tid: u32) {
        let claim = self.claims();
        self.tid.store(tid, Ordering::Relaxed);
        self.namespace.store(own.namespace, Ordering::Relaxed);
        self.start.store(own.start, Ordering::Relaxed);
        let identity = u64::from(claim.wrapping_add(1)) << 32 | u64::from(own.pid);
        self.identity.store(identity, Ordering::Release);
    }

    pub(super) fn has_identity(&self) -> bool {
        self.identity.load(Ordering::Acquire) as u32 != 0
    }

    /// Of a dead one that was claimed, and not identified: it is dead again.
    pub(super) fn give_back(&self) {
        self.word.store(OD | W, Ordering::SeqCst);
        let _ = futex::wake(&self.word, i32::MAX);
    }

    /// Before it is left: there is nothing to wait for.
    pub(super) fn forget_identity(&self) {
        self.identity.fetch_and(!u64::from(u32::MAX), Ordering::AcqRel);
    }

    /// What it tells of its process, and as which claim; None where it tells of none.
    fn identity(&self) -> Option<(Identity, u64)> {
        let claim = self.identity.load(Ordering::Acquire);
        let pid = claim as u32;
        let (namespace, start) = (self.namespace.load(Ordering::Relaxed), self.start.load(Ordering::Acquire));
        // Otherwise claimed anew meanwhile.
        let is_one = pid != 0 && self.identity.load(Ordering::Acquire) == claim;
        is_one.then_some((Identity { pid, namespace, start }, claim))
    }
}

impl Table {
    /// Whether nobody lives in a slot, although the kernel has not said so: it does not come to the end of a list
    /// whose memory was taken before the process had ended (the reaper of a process that was killed for want of
    /// memory, before Linux 5.18 or after 2 s). Then the slot is marked in the kernel's place.
    pub(super) fn is_abandoned(&self, index: u32) -> bool {
        let slot = self.slot(index);
        let seen = slot.word.load(Ordering::Acquire);
        if seen & TM == 0 {
            return true;
        }
        let dead = seen & W | OD;
        let marked = self.has_ended(index)
            && slot.word.compare_exchange(seen, dead, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if marked {
            self.note_death(index);
        }
        marked
    }

    /// Whether the process of a slot has surely ended as a whole.
    fn has_ended(&self, index: u32) -> bool {
        let slot = self.slot(index);
        let Some((process, identity)) = slot.identity() else { return false };
        let ended = match self.is_present(index, claim_of(identity)) {
            Some(true) => false,
            Some(false) if process.namespace != process::own_namespaces() => true,
            _ => process.has_ended(),
        };
        // One that leaves says so before it is not present any more.
        ended && slot.identity.load(Ordering::Acquire) == identity
    }

    /// [`Table::is_abandoned`] for whoever waits for more than one of them; not for each wait, but after a while.
    pub(super) fn mark_abandoned(&self) {
        for index in 0..self.used() {
            self.is_abandoned(index);
        }
    }

    /// Waits until all who are marked dead by now have stopped: at once for all of whom nothing can be seen.
    pub(super) fn settle(&self, own_namespace: u64, deadline: Deadline) -> bool {
        let dying: Vec<_> = (0..self.used()).filter_map(|index| self.dying(index)).collect();
        dying.iter().all(|dying| dying.settle(own_namespace, deadline))
    }

    /// The same for one of them.
    pub(super) fn settle_one(&self, index: u32, own_namespace: u64, deadline: Deadline) -> bool {
        self.dying(index).is_none_or(|dying| dying.settle(own_namespace, deadline))
    }

    /// None for one who is not dead, or for whom somebody has waited already.
    fn dying(&self, index: u32) -> Option<Dying<'_>> {
        let slot = self.slot(index);
        if !slot.is_dead() {
            return None;
        }
        self.note_death(index);
        step("settle.noted");
        let (process, identity) = slot.identity()?;
        let met = which(process, slot.tid.load(Ordering::Relaxed));
        Some(Dying { table: self, index, process, identity, met, found_ns: met_ns(met) })
    }
}

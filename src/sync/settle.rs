//! A process ends thread by thread: the keeper may be gone, and its locks free, while another thread is still
//! in the middle of a long read(2) into the region. So whoever takes a dead owner's lock waits until all threads
//! of the process are on their way out, and then marks the slot. That the process has ended as a whole is not
//! waited for: to take down a large one's memory takes long.
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

/// How long we look without a pause.
const SOON: Duration = Duration::from_micros(200);

/// How often we look then.
const SLICE: Duration = Duration::from_millis(1);

impl Identity {
    pub(super) fn own() -> Identity {
        let pid = sys::own_process() as u32;
        let start = process::standing("self").ok().flatten().map_or(0, |standing| standing.start);
        Identity { pid, namespace: process::own_pid_namespace(), start }
    }

    /// Waits until no thread of the process, which has begun to die, can write any more. `keeper` is the one
    /// that we know to be on its way out.
    fn has_stopped(self, keeper: u32, own_namespace: u64, deadline: Deadline) -> bool {
        let Ok(pid) = libc::pid_t::try_from(self.pid) else { return true };
        if self.namespace != own_namespace || own_namespace == 0 {
            return self.has_had_time(keeper, deadline);
        }
        // This program has come into its place.
        if pid == sys::own_process() {
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
            match self.may_write(keeper, descriptor.as_ref()) {
                Some(true) => {}
                Some(false) => return true,
                None => return self.has_had_time(keeper, deadline),
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
    fn may_write(self, keeper: u32, descriptor: Option<&OwnedFd>) -> Option<bool> {
        let number = process::number_in_proc(self.pid, descriptor)?;
        match process::standing(number) {
            Ok(Some(standing)) if standing.start == self.start => {
                // Mostly the first thread and the keeper are all that there is. A keeper that is still there now
                // was among those counted; its number is known where /proc has our numbers.
                let has_keeper = || number == self.pid && process::has_thread(number, keeper);
                if standing.exiting && (standing.threads <= 1 || standing.threads == 2 && has_keeper()) {
                    return Some(false);
                }
            }
            // Another one has its number.
            Ok(Some(_)) | Err(Errno::ENOENT | Errno::ESRCH) => return Some(false),
            _ if !process::exists(self.pid as libc::pid_t) => return Some(false),
            _ => return None,
        }
        // All threads of the old program have a SIGKILL to come until they have stopped; one that executes a new
        // program has not.
        process::is_being_killed(number)
    }

    /// Waits as long as most need; false where the deadline is over before.
    fn has_had_time(self, keeper: u32, deadline: Deadline) -> bool {
        let rest = BLIND.saturating_sub(time_since(self, keeper));
        let left = deadline.left().unwrap_or(Duration::MAX);
        std::thread::sleep(left.min(rest));
        left >= rest
    }

    /// Whether the process has surely ended as a whole.
    fn has_ended(self) -> bool {
        let own_namespace = process::own_pid_namespace();
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

/// When this process has met deaths of which nothing can be seen: which << 32 | milliseconds. So it is heard of by
/// those, too, who look for a short time again and again.
static MET: [AtomicU64; 16] = [const { AtomicU64::new(0) }; 16];

/// Since this one was met.
fn time_since(process: Identity, keeper: u32) -> Duration {
    let all = (process.start ^ u64::from(process.pid) << 32 ^ u64::from(keeper)) ^ process.namespace << 16;
    // Never 0.
    let which = all.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 | 1;
    let place = &MET[which as usize / 2 % MET.len()];
    let now_ms = (clock::monotonic_ns() / 1_000_000) as u32;
    let met = place.load(Ordering::Relaxed);
    if met >> 32 != which {
        place.store(which << 32 | u64::from(now_ms), Ordering::Relaxed);
        return Duration::ZERO;
    }
    Duration::from_millis(now_ms.wrapping_sub(met as u32).into())
}

/// What one waits for who has to know that the dead have ended, and has something else to wait for.
#[derive(Default)]
pub(super) struct Looks(u32);

impl Looks {
    /// So many looks come soon after each other, and take no time.
    const SHORT: u32 = 20;

    /// Whether all who are marked dead have ended; if not, until when to wait before the next look.
    pub(super) fn until(&mut self, state: &State, deadline: Deadline) -> (bool, Deadline) {
        self.0 = self.0.saturating_add(1);
        // A process of which nothing can be seen takes a while.
        let patience = if self.0 <= Looks::SHORT { Duration::ZERO } else { 2 * BLIND };
        match state.settle(deadline.or_after(patience)) {
            true => (true, deadline),
            false => (false, deadline.or_after(LOOK)),
        }
    }
}

/// How soon one looks again.
pub(super) const LOOK: Duration = Duration::from_millis(10);

impl Slot {
    /// Whether the process that had it last has ended as a whole, as far as anybody has seen.
    pub(super) fn has_ended(&self) -> bool {
        self.owner().is_none() && self.identity.load(Ordering::Acquire) as u32 == 0
    }

    /// Only by whoever has just claimed it.
    pub(super) fn identify(&self, own: Identity, tid: u32) {
        let claim = (self.identity.load(Ordering::Acquire) >> 32) as u32;
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

    /// Of a dead slot: waits until its process has ended, and says so in the slot.
    pub(super) fn settle(&self, own_namespace: u64, deadline: Deadline) -> bool {
        // None: somebody else has waited.
        let Some((process, identity)) = self.identity() else { return true };
        let keeper = self.tid.load(Ordering::Relaxed);
        if !process.has_stopped(keeper, own_namespace, deadline) {
            return false;
        }
        step("settle.stopped");
        let settled = identity & !u64::from(u32::MAX);
        let _ = self.identity.compare_exchange(identity, settled, Ordering::AcqRel, Ordering::Relaxed);
        step("settle.marked");
        true
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
        let marked = slot.identity().is_some_and(|(process, _)| process.has_ended())
            && slot.word.compare_exchange(seen, dead, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if marked {
            self.note_death(index);
        }
        marked
    }

    /// Waits until all who are marked dead have ended.
    pub(super) fn settle(&self, own_namespace: u64, deadline: Deadline) -> bool {
        (0..self.used()).all(|index| {
            let slot = self.slot(index);
            if !slot.is_dead() {
                return true;
            }
            self.note_death(index);
            step("settle.noted");
            slot.settle(own_namespace, deadline)
        })
    }
}

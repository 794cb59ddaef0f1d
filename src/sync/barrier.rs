//! So many wait for each other. A member that dies is told to the others, each once, and waited for by nobody.
//!
//! 32 bytes: the word of `round`, where other objects have `word` and `state`; magic and table, as they; `cell`,
//! `count`, each from 0 by compare-and-swap, once. It has no owner, and nothing of it is robust.
//!
//! A process is a member from when it makes, finds or first uses the barrier until it leaves the party. Its cell
//! says so, and which breaks it has heard of: `member` has that.
//!
//! Sleepers sleep on the word's upper half, and at the same time on all who could die. Who ends a round wakes them
//! all; if it dies before, its death does, and they see that the round has ended.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::member::{self, take_back, Member, Refused, CLAIM_MASK};
use super::mutex::DEATH;
use super::object::{Head, Kind};
use super::party::{Party, Patience, State};
use super::round::{Round, COUNT_MAX};
use super::settle::LOOK;
use super::steps::step;
use super::table::{Slot, MARK};
use super::wait;
use super::watcher::{Besides, Hold, Turn, Until, Watch};
use crate::deadline::Deadline;
use crate::error::{Code, Error, Result, SHMKIT_E_PEER_DIED};
use crate::sys::{futex, Errno};

#[repr(C)]
struct Shared {
    /// [`Round`], and magic and table.
    head: Head,
    /// The cell's number, and 1.
    cell: AtomicU32,
    count: AtomicU32,
}

const SIZE: usize = size_of::<Shared>();

static KIND: Kind = Kind { name: "barrier", magic: Kind::magic(b'B'), size: SIZE, blank_from: SIZE };

/// Looks before sleep: for those who come at the same moment. Longer would keep others from coming, where there are
/// fewer processors than they.
const LOOKS: u32 = 10;

/// How a wait has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// One of the waiters, any: what is to be done once is its.
    Serial,
    Other,
}

/// So many threads of any processes wait for each other. All methods work through any handle on the same 32 bytes.
#[derive(Clone, Copy)]
pub struct Barrier<'p> {
    state: &'p State,
    offset: usize,
    made: bool,
}

impl Party<'_> {
    /// The barrier at an offset of the region, which is made where there are 32 bytes of zeros, and for as many
    /// as `count` says. This process is a member from then on. EINVAL for other bytes, another count, and a count
    /// of 0 or more than 1,048,575; ENOLCK where the party's table has no cell left for it.
    pub fn barrier(&self, offset: usize, count: u32) -> Result<Barrier<'_>> {
        self.barrier_at(self.state().at(offset), count)
    }

    pub(crate) fn barrier_at(&self, at: *const u8, count: u32) -> Result<Barrier<'_>> {
        let invalid = |why: String| Error::new(Errno::EINVAL, why);
        if !(1..=COUNT_MAX).contains(&count) {
            return Err(invalid(format!("a barrier for {count}: it takes 1 to {COUNT_MAX}")));
        }
        let (state, offset) = self.state().place(at, &KIND)?;
        let shared = shared(state, offset);
        let others = |had| invalid(format!("the barrier at offset {offset} is for {had}, not for {count}"));
        let made = state.make(offset, &KIND, || {
            let cell = state.allot(offset, &KIND)?;
            let _ = shared.cell.compare_exchange(0, cell + 1, Ordering::AcqRel, Ordering::Relaxed);
            step("barrier.cell");
            match shared.count.compare_exchange(0, count, Ordering::AcqRel, Ordering::Acquire) {
                Err(had) if had != count => Err(others(had)),
                _ => Ok(()),
            }
        })?;
        let had = shared.count.load(Ordering::Relaxed);
        if had != count {
            return Err(others(had));
        }
        let barrier = Barrier { state, offset, made };
        let refused = || format!("cannot be a member of the barrier at offset {offset}");
        let joined = state.slot_with(Patience::until(Deadline::NEVER));
        joined.and_then(|_| barrier.member()).map_err(|code| Error::new(code, refused()))?;
        Ok(barrier)
    }

    /// The same for calls that do not explain. Its bytes are looked at when it is waited for.
    pub(crate) fn barrier_known(&self, at: *const u8) -> Result<Barrier<'_>, Code> {
        let state = self.state();
        let offset = state.offset_of(at, SIZE).ok_or(Code::from(Errno::EINVAL))?;
        Ok(Barrier { state, offset, made: false })
    }
}

/// What is in a region at this offset.
fn shared(state: &State, offset: usize) -> &Shared {
    // SAFETY: the callers' offsets are inside the region, and aligned; all fields are atomic.
    unsafe { &*state.at::<Shared>(offset) }
}

fn round(state: &State, offset: usize) -> &AtomicU64 {
    // SAFETY: the same; the first eight bytes.
    unsafe { &*state.at::<AtomicU64>(offset) }
}

/// For the kernel, and for a look at what it was: all processors that we know read a half as well.
fn stamp(round: &AtomicU64) -> &AtomicU32 {
    wait::high_half(round)
}

fn wake_all(round: &AtomicU64) {
    let _ = futex::wake(stamp(round), i32::MAX);
}

fn claim(slot: &Slot) -> u32 {
    slot.claims() & CLAIM_MASK
}

/// Tells of a death in all barriers of which a slot's process was a member. False where it could not be told.
pub(super) fn tell_everywhere(state: &State, slot: u32) -> bool {
    let table = state.table();
    (0..table.shape.cells).all(|number| {
        let cell = table.cell(slot, number);
        if cell.load(Ordering::Acquire) & MARK == 0 {
            return true;
        }
        match state.object_of(number, &KIND) {
            Some(offset) => member::tell(round(state, offset), cell, wake_all),
            // A peer's bytes.
            None => true,
        }
    })
}

impl<'p> Barrier<'p> {
    /// Whether [`Party::barrier`] made it, rather than found it.
    pub fn made(&self) -> bool {
        self.made
    }

    /// Waits until so many wait as the barrier is for, whoever has left the party meanwhile. SHMKIT_E_PEER_DIED where
    /// a member has died, told once to each other process: to all of its threads that wait, or to the first that
    /// waits next. Then nobody has passed this time, and all begin anew.
    pub fn wait(&self) -> Result<Passed, Code> {
        self.wait_until(Deadline::NEVER)
    }

    /// The same until a deadline: ETIMEDOUT, and it is as if this thread had never waited. One that is over tries
    /// once.
    pub fn wait_until(&self, deadline: Deadline) -> Result<Passed, Code> {
        self.state.slot_with(Patience::until(deadline))?;
        let member = self.member()?;
        let seen = self.state.changes();
        while !self.tell_of_the_dead(&member, deadline) {
            if wait::is_over(deadline) {
                return Err(Errno::ETIMEDOUT.into());
            }
        }
        match arrive(&member, deadline)? {
            None => Ok(Passed::Serial),
            Some(arrived) => passed(&member, self.wait_for_the_others(&member, arrived, seen, deadline)?),
        }
    }

    /// [`Barrier::wait`] where the others are there; else EAGAIN, and this has arrived. The watch's descriptor
    /// becomes readable when the round may have ended: the next call with the same watch goes on with the arrival.
    /// Who gives up calls [`Barrier::cancel_watch`].
    pub fn wait_watch(&self, watch: &Watch) -> Result<Passed, Code> {
        let member = self.member()?;
        let stamp = stamp(member.round);
        let arrived = watch.take_hold(stamp)?.map(|besides| Round(besides.hold.own));
        let seen = self.state.changes();
        let soon = Deadline::after(DEATH);
        let told = self.tell_of_the_dead(&member, soon);
        let arrived = match arrived {
            None if told => match arrive(&member, soon) {
                Ok(None) => {
                    watch.done(stamp)?;
                    return Ok(Passed::Serial);
                }
                Ok(arrived) => arrived,
                Err(code) if code.errno() == Some(libc::ETIMEDOUT) => None,
                Err(code) => {
                    watch.done(stamp)?;
                    return Err(code);
                }
            },
            arrived => arrived,
        };
        let now = Round(member.round.load(Ordering::Acquire));
        if let Some(broken) = arrived.and_then(|arrived| now.was_broken(arrived)) {
            return passed(&member, broken);
        }
        let hold =
            arrived.map_or(Hold::NOTHING, |Round(own)| Hold { word: stamp, own, give_back: Some(give_back) });
        // Until it has arrived, or the dead have ended, there is more than the round to wait for.
        let again = if told && arrived.is_some() { Deadline::NEVER } else { Deadline::after(LOOK) };
        let until = Until::UpperNot(arrived.unwrap_or(now).stamp());
        let besides = Besides::changes(self.state, seen).until(again).holding(hold);
        watch.arm((stamp, until, Turn::All), besides)?;
        Err(Errno::EAGAIN.into())
    }

    /// Gives up a wait by this watch: ECANCELED, and it is as if this had never arrived. Unless the round has ended:
    /// then what [`Barrier::wait_watch`] would have answered.
    pub fn cancel_watch(&self, watch: &Watch) -> Result<Passed, Code> {
        let member = self.member()?;
        let stamp = stamp(member.round);
        match watch.take_hold(stamp)?.and_then(|besides| take_back(member.round, Round(besides.hold.own))) {
            Some(broken) => passed(&member, broken),
            None => {
                watch.done(stamp)?;
                Err(Errno::ECANCELED.into())
            }
        }
    }

    /// EINVAL where there is no barrier.
    fn member(&self) -> Result<Member<'p>, Code> {
        let (state, offset) = (self.state, self.offset);
        let shared = shared(state, offset);
        let (count, cell) = (shared.count.load(Ordering::Relaxed), shared.cell.load(Ordering::Relaxed));
        let cell = cell.wrapping_sub(1);
        if !shared.head.is(&KIND, state.table_from(offset))
            || !(1..=COUNT_MAX).contains(&count)
            || !state.has_cell(offset, cell)
        {
            return Err(Errno::EINVAL.into());
        }
        let slot = state.slot()?;
        let round = round(state, offset);
        let (own, claim) = (state.table().cell(slot, cell), claim(state.table().slot(slot)));
        let member = Member { round, count, cell, own, claim };
        member.begin();
        Ok(member)
    }

    /// False where that is not done: the deadline is over before the dead have ended, or a word did not hold still.
    fn tell_of_the_dead(&self, member: &Member<'_>, deadline: Deadline) -> bool {
        let table = self.state.table();
        (0..table.used()).all(|index| {
            let (slot, cell) = (table.slot(index), table.cell(index, member.cell));
            if cell.load(Ordering::Acquire) & MARK == 0 || !slot.is_dead() {
                return true;
            }
            self.state.settle(deadline) && member::tell(member.round, cell, wake_all)
        })
    }

    /// Whether the round is broken. `seen`: what the party's changes were when the dead were told last.
    fn wait_for_the_others(
        &self,
        member: &Member<'_>,
        arrived: Round,
        mut seen: u32,
        deadline: Deadline,
    ) -> Result<bool, Code> {
        let round = member.round;
        for _ in 0..LOOKS {
            if let Some(broken) = Round(round.load(Ordering::Acquire)).was_broken(arrived) {
                return Ok(broken);
            }
            std::hint::spin_loop();
        }
        loop {
            // What nobody has found yet is found by whoever is about to sleep.
            let now = self.state.changes();
            let told = now == seen || self.tell_of_the_dead(member, deadline);
            if let Some(broken) = Round(round.load(Ordering::Acquire)).was_broken(arrived) {
                return Ok(broken);
            }
            // In every round, whatever a peer does to the word.
            if wait::is_over(deadline) {
                return take_back(round, arrived).ok_or(Errno::ETIMEDOUT.into());
            }
            if !told {
                continue;
            }
            seen = now;
            if let Err(code) = self.state.watch(stamp(round), arrived.stamp(), seen, deadline) {
                take_back(round, arrived);
                return Err(code);
            }
            step("barrier.woken");
        }
    }
}

fn arrive(member: &Member<'_>, deadline: Deadline) -> Result<Option<Round>, Code> {
    member.arrive(|| wait::is_over(deadline), wake_all).map_err(|refused| match refused {
        Refused::PeerDied => Code::from_raw(SHMKIT_E_PEER_DIED),
        Refused::Late => Errno::ETIMEDOUT.into(),
    })
}

/// The round of one who was not the last has ended.
fn passed(member: &Member<'_>, broken: bool) -> Result<Passed, Code> {
    if !broken {
        return Ok(Passed::Other);
    }
    member.look();
    Err(Code::from_raw(SHMKIT_E_PEER_DIED))
}

/// # Safety
/// The stamp is a barrier's that is mapped.
unsafe fn give_back(stamp: *const AtomicU32, arrived: u64) {
    // SAFETY: the caller's promise.
    take_back(unsafe { wait::whole_of_high(&*stamp) }, Round(arrived));
}

impl fmt::Debug for Barrier<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = shared(self.state, self.offset).count.load(Ordering::Relaxed);
        f.debug_struct("Barrier").field("offset", &self.offset).field("count", &count).finish()
    }
}

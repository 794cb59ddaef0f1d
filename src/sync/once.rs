//! Something that is done once, by one of many processes: a lock, and a word that says that it is done. When the
//! process that does it dies, the next one does it.
//!
//! | done | meaning | written by | after a crash |
//! |---|---|---|---|
//! | 0 | not done | – | – |
//! | 1 | done, for ever | who has the lock, before it lets it go | the next who has the lock passes it on |
//!
//! The lock's word is that of `lock`, and so is the argument why no wake-up is lost: each who waits takes the
//! lock, sees that it is done, and lets the next one have it.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use super::lock::{self, Refused, Taken, TM};
use super::mutex::{Thread, DEATH};
use super::object::{Head, Kind};
use super::party::{Party, Patience, State};
use super::steps::step;
use super::watcher::{Besides, Turn, Until, Watch};
use crate::deadline::Deadline;
use crate::error::{Code, Result};
use crate::sys::{thread, Errno};

/// In shared memory.
#[repr(C)]
struct Shared {
    head: Head,
    done: AtomicU32,
    reserved: u32,
}

const SIZE: usize = size_of::<Shared>();

static KIND: Kind =
    Kind { name: "once", magic: Kind::magic(b'O'), size: SIZE, blank_from: size_of::<Head>() };

const DONE: u32 = 1;

/// What is to be done by whoever has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Begun {
    /// Nothing: it is done, and what was written for it can be seen.
    Done,
    /// Do it, and call [`Once::end`].
    Run,
    /// The same, and a process died that had begun: what it did may be half done.
    RunAgain,
}

/// Something that is done once. All methods work through any handle on the same 32 bytes.
#[derive(Clone, Copy)]
pub struct Once<'p> {
    state: &'p State,
    offset: usize,
    made: bool,
}

impl Party<'_> {
    /// The once at an offset of the region, which is made where there are 32 bytes of zeros. EINVAL for other
    /// bytes.
    pub fn once(&self, offset: usize) -> Result<Once<'_>> {
        self.once_at(self.state().at(offset))
    }

    pub(crate) fn once_at(&self, at: *const u8) -> Result<Once<'_>> {
        let (state, offset) = self.state().place(at, &KIND)?;
        let made = state.make(offset, &KIND, || Ok(()))?;
        Ok(Once { state, offset, made })
    }

    /// The same for calls that do not explain.
    pub(crate) fn once_known(&self, at: *const u8) -> Result<Once<'_>, Code> {
        let state = self.state();
        let offset = state.offset_of(at, SIZE).ok_or(Code::from(Errno::EINVAL))?;
        Ok(Once { state, offset, made: false })
    }

    /// Whether a once is there, and done.
    #[inline(always)]
    pub(crate) fn is_done(&self, at: *const u8) -> bool {
        let state = self.state();
        state.is_inside(at, SIZE) && is_done(state, state.offset(at))
    }
}

#[inline(always)]
fn shared(state: &State, offset: usize) -> &Shared {
    // SAFETY: the callers' offsets are inside the region, and aligned; all fields are atomic.
    unsafe { &*state.at::<Shared>(offset) }
}

#[inline(always)]
fn is_done(state: &State, offset: usize) -> bool {
    let shared = shared(state, offset);
    shared.done.load(Ordering::Acquire) == DONE && shared.head.is(&KIND, state.table_from(offset))
}

impl Once<'_> {
    /// Whether [`Party::once`] made it, rather than found it.
    pub fn made(&self) -> bool {
        self.made
    }

    /// Whether there is something to do; waits while another does it. EDEADLK where this thread does
    /// (not with [`PartyFlags::ANY_THREAD`](super::PartyFlags::ANY_THREAD)).
    #[inline(always)]
    pub fn begin(&self) -> Result<Begun, Code> {
        self.begin_until(Deadline::NEVER)
    }

    /// The same until a deadline: ETIMEDOUT.
    #[inline(always)]
    pub fn begin_until(&self, deadline: Deadline) -> Result<Begun, Code> {
        match is_done(self.state, self.offset) {
            true => Ok(Begun::Done),
            false => self.begin_slow(deadline),
        }
    }

    #[cold]
    #[inline(never)]
    fn begin_slow(&self, deadline: Deadline) -> Result<Begun, Code> {
        let own = self.state.keeper_of(self.offset, &KIND, Patience::until(deadline))?;
        let (node, shared) = (self.state.node(self.offset), shared(self.state, self.offset));
        let words = shared.head.words();
        if words.word.load(Ordering::Relaxed) & TM == own && self.state.is_holder(node) {
            return Err(Errno::EDEADLK.into());
        }
        let caller = Thread::new(self.state, deadline);
        let taken = lock::lock(words, own, &caller).map_err(|refused| match refused {
            Refused::NotRecoverable => Errno::ENOTRECOVERABLE,
            _ => Errno::ETIMEDOUT,
        })?;
        Ok(self.begun(own, taken, &caller))
    }

    /// Whether there is something to do; EAGAIN while another does it, and the watch's descriptor becomes readable
    /// when it is worth another try, with the same watch.
    pub fn begin_watch(&self, watch: &Watch) -> Result<Begun, Code> {
        if is_done(self.state, self.offset) {
            // The wake-up that there may have been is another's.
            watch.cancel()?;
            return Ok(Begun::Done);
        }
        let own = self.state.keeper_of(self.offset, &KIND, Patience::brief())?;
        let (node, words) = (self.state.node(self.offset), shared(self.state, self.offset).head.words());
        if words.word.load(Ordering::Relaxed) & TM == own && self.state.is_holder(node) {
            return Err(Errno::EDEADLK.into());
        }
        let has_waited = watch.has_waited(words.word)?;
        let caller = Thread::new(self.state, Deadline::after(DEATH));
        match lock::lock_or_mark(words, own, has_waited, &caller) {
            None | Some(Err(Refused::Busy)) => {
                watch.arm((words.word, Until::Free, Turn::One), Besides::NOTHING)?;
                Err(Errno::EAGAIN.into())
            }
            Some(taken) => {
                watch.done(words.word)?;
                let taken = taken.map_err(|_| Errno::ENOTRECOVERABLE)?;
                Ok(self.begun(own, taken, &caller))
            }
        }
    }

    /// With the lock.
    fn begun(&self, own: u32, taken: Taken, caller: &Thread<'_>) -> Begun {
        let (node, shared) = (self.state.node(self.offset), shared(self.state, self.offset));
        let words = shared.head.words();
        if taken == Taken::OwnerDied {
            // Whoever begins again has nothing to repair that another could not.
            let _ = lock::consistent(words, own);
        }
        if shared.done.load(Ordering::Acquire) == DONE {
            let _ = lock::unlock(words, own, caller);
            return Begun::Done;
        }
        node.holder.store(thread::identity(), Ordering::Relaxed);
        step("once.began");
        match taken {
            Taken::Clean => Begun::Run,
            Taken::OwnerDied => Begun::RunAgain,
        }
    }

    /// Says that it is done; or, where that failed, that the next one is to do it. EPERM where this process has
    /// not begun.
    pub fn end(&self, done: bool) -> Result<(), Code> {
        let shared = shared(self.state, self.offset);
        if !shared.head.is(&KIND, self.state.table_from(self.offset)) {
            return Err(Errno::EINVAL.into());
        }
        let (node, words) = (self.state.node(self.offset), shared.head.words());
        let own = node.tid();
        if own == 0 || words.word.load(Ordering::Relaxed) & TM != own {
            return Err(Errno::EPERM.into());
        }
        if done {
            shared.done.store(DONE, Ordering::Release);
            step("once.done");
        }
        node.holder.store(0, Ordering::Relaxed);
        lock::unlock(words, own, &Thread::new(self.state, Deadline::NEVER)).map_err(|_| Errno::EPERM.into())
    }
}

impl fmt::Debug for Once<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = is_done(self.state, self.offset);
        f.debug_struct("Once").field("offset", &self.offset).field("done", &done).finish_non_exhaustive()
    }
}

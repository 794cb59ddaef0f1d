//! A read-write lock by a descriptor. A writer has two waits: for the word, as for a mutex; and, with the word in
//! phase 1, for those who read. Between the calls of the second the watch knows that the word is its user's, and
//! whoever gives the watch up gives the word back. If the process dies meanwhile, nothing was written.

use std::sync::atomic::{AtomicU32, Ordering};

use super::{read_at_once, reader, write, RwLock, Shared};
use crate::deadline::Deadline;
use crate::error::{Code, Result};
use crate::sync::lock::{self, Caller, Refused, Slept, Taken, OD, TM};
use crate::sync::mutex::{Locked, Thread, DEATH};
use crate::sync::party::Patience;
use crate::sync::pending::Pending;
use crate::sync::watcher::{Besides, Hold, Turn, Until, Watch};
use crate::sys::{futex, Errno};

impl RwLock<'_> {
    /// Locks for reading as [`RwLock::try_read`] does; else EAGAIN, and the watch's descriptor becomes readable
    /// when it is worth another try, with the same watch.
    pub fn read_watch(&self, watch: &Watch) -> Result<Locked, Code> {
        let (own, cell) = self.own(Patience::brief())?;
        let caller = Thread::new(self.state, Deadline::after(DEATH));
        if let Some(taken) = self.take_back(own, watch)? {
            return self.drain_watch(own, cell, taken, watch);
        }
        if read_at_once(self.state, self.offset) {
            // The wake-up that there may have been is another's.
            watch.cancel()?;
            return Ok(Locked::Clean);
        }
        if let Some(read) = self.read_again(own)? {
            watch.cancel()?;
            return Ok(read);
        }
        match self.take_watch(own, &caller, watch)? {
            Taken::Clean => self.read_with_word(own, cell, Taken::Clean, &caller, Errno::EAGAIN),
            taken => self.drain_watch(own, cell, taken, watch),
        }
    }

    /// Locks for writing if nobody reads or writes; else EAGAIN, and the watch's descriptor becomes readable when
    /// it is worth another try, with the same watch. Where only readers are in the way new ones wait from then
    /// on, until the watch has got the lock, or is given up.
    pub fn write_watch(&self, watch: &Watch) -> Result<Locked, Code> {
        let (own, cell) = self.own(Patience::brief())?;
        let caller = Thread::new(self.state, Deadline::after(DEATH));
        let taken = match self.take_back(own, watch)? {
            Some(taken) => taken,
            None => {
                self.check_for_writing(own)?;
                self.take_watch(own, &caller, watch)?
            }
        };
        self.drain_watch(own, cell, taken, watch)
    }

    /// How the word is ours since the call before.
    fn take_back(&self, own: u32, watch: &Watch) -> Result<Option<Taken>, Code> {
        let shared = self.shared();
        // A peer that writes to the word has taken it from us.
        let holds = watch.take_hold(&shared.head.word)?.is_some()
            && shared.head.word.load(Ordering::Relaxed) & TM == own;
        Ok(holds.then(|| taken_of(shared)))
    }

    fn take_watch(&self, own: u32, caller: &Thread<'_>, watch: &Watch) -> Result<Taken, Code> {
        let words = self.shared().head.words();
        let has_waited = watch.has_waited(words.word)?;
        match lock::lock_or_mark(words, own, has_waited, caller) {
            None | Some(Err(Refused::Busy)) => {
                watch.arm((words.word, Until::Free, Turn::One), Besides::NOTHING)?;
                Err(Errno::EAGAIN.into())
            }
            Some(taken) => {
                watch.done(words.word)?;
                taken
                    .map(|taken| self.shared().words().found(own, taken))
                    .map_err(|refused| self.code(refused, Errno::EAGAIN))
            }
        }
    }

    /// With the word, in which `taken` was found.
    fn drain_watch(&self, own: u32, cell: u32, taken: Taken, watch: &Watch) -> Result<Locked, Code> {
        let (state, shared) = (self.state, self.shared());
        shared.words().drain(taken);
        let seen = state.changes();
        let Some((slot, count)) = reader(state, cell) else {
            write(shared.words(), state.node(self.offset));
            return Ok(taken.into());
        };
        let until = (state.table().cell(slot, cell), Until::Not(count), Turn::All);
        let hold = Hold { word: &shared.head.word, own: own.into(), give_back: Some(give_back) };
        watch.arm(until, Besides::changes(state, seen).holding(hold))?;
        Err(Errno::EAGAIN.into())
    }
}

fn taken_of(shared: &Shared) -> Taken {
    match shared.head.word.load(Ordering::Relaxed) & OD {
        0 => Taken::Clean,
        _ => Taken::OwnerDied,
    }
}

/// # Safety
/// The word is that of a lock that is mapped.
unsafe fn give_back(word: *const AtomicU32, own: u64) {
    let own = own as u32;
    // SAFETY: a lock begins with its word; all fields are atomic.
    let shared = unsafe { &*word.cast::<Shared>() };
    if shared.head.word.load(Ordering::Relaxed) & TM != own {
        return;
    }
    shared.words().give_up(own, &Giver(Pending::new()), taken_of(shared));
}

/// One who only gives up.
struct Giver(Pending);

impl Caller for Giver {
    fn pend(&self, word: &AtomicU32) {
        self.0.set(word);
    }

    fn unpend(&self) {
        self.0.reset();
    }

    fn is_over(&self) -> bool {
        true
    }

    fn sleep(&self, _: &AtomicU32, _: u32) -> Slept {
        Slept::Woken
    }

    fn wake(&self, word: &AtomicU32) -> bool {
        futex::wake(word, 1).map_or(true, |woken| woken > 0)
    }

    fn is_stranger(&self, _: u32) -> bool {
        false
    }

    fn settle(&self) -> bool {
        true
    }
}

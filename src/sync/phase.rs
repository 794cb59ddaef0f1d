//! Who reads and who writes: a read-write lock's words, above those of `lock`, and nothing else, as there.
//!
//! | phase | meaning | written by | after a crash |
//! |---|---|---|---|
//! | 0 | nobody writes | the owner of the word, before it releases it | – |
//! | 1 | the owner of the word waits for readers | the owner | with OD: nothing was written, and nobody is told |
//! | 2 | the owner of the word writes | the owner, before it is told that it can | with OD: the next one is told |
//!
//! A reader counts itself, and then looks at the word; a writer takes the word, and then looks at the cells. All
//! four are sequentially consistent, so one of both sees the other. A reader that sees an owner takes its count
//! back. So a taken word stops all new readers, and no stream of them starves a writer.
#![forbid(unsafe_code)]

use super::lock::{self, Caller, Taken, OD, TM};
use super::port::{compiler_fence, fence, step, AtomicU32, Ordering};
use super::table::MARK;
use Ordering::{Relaxed, Release, SeqCst};

pub(super) const NOBODY: u32 = 0;
pub(super) const DRAINS: u32 = 1;
pub(super) const WRITES: u32 = 2;

#[derive(Clone, Copy)]
pub(super) struct Words<'a> {
    pub lock: lock::Words<'a>,
    pub phase: &'a AtomicU32,
}

impl Words<'_> {
    /// One more who reads in this cell, if nobody has the word and none died with it. `wake` wakes all who sleep
    /// on it, as below.
    #[inline(always)]
    pub(super) fn count_in(self, cell: &AtomicU32, wake: impl FnOnce(&AtomicU32)) -> bool {
        let before = cell.fetch_add(1, SeqCst);
        step("rwlock.counted_in");
        if self.lock.word.load(SeqCst) & (TM | OD) == 0
            && lock::is_recoverable(self.lock)
            && before < MARK - 1
        {
            step("rwlock.reads");
            return true;
        }
        self.count_out(cell, wake);
        false
    }

    /// False where there was none.
    #[inline(always)]
    pub(super) fn count_out(self, cell: &AtomicU32, wake: impl FnOnce(&AtomicU32)) -> bool {
        let before = cell.fetch_sub(1, SeqCst);
        step("rwlock.counted_out");
        if before == 0 {
            cell.fetch_add(1, SeqCst);
        }
        if self.phase.load(SeqCst) != NOBODY {
            wake(cell);
            step("rwlock.woke_writer");
        }
        before != 0
    }

    /// With the word, with which nobody died: this one reads.
    pub(super) fn count_with_word(self, cell: &AtomicU32) {
        // Of one that died while it waited for readers.
        self.phase.store(NOBODY, Relaxed);
        step("rwlock.nobody_writes");
        cell.fetch_add(1, SeqCst);
        step("rwlock.counted_with_word");
    }

    /// Whether a writer died with the word that is ours now: not where its owner died before it wrote.
    pub(super) fn found(self, own: u32, taken: Taken) -> Taken {
        if taken == Taken::OwnerDied && self.phase.load(Relaxed) != WRITES {
            let _ = lock::consistent(self.lock, own);
            return Taken::Clean;
        }
        taken
    }

    /// With the word: whoever reads and is not seen from here on sees that this waits.
    pub(super) fn drain(self, taken: Taken) {
        // After a writer that died it stays WRITES, until somebody has said that all is well.
        if taken == Taken::Clean {
            self.phase.store(DRAINS, SeqCst);
            step("rwlock.drains");
        }
        fence(SeqCst);
    }

    /// With the word, and nobody reads: this one writes.
    #[inline(always)]
    pub(super) fn write(self) {
        self.phase.store(WRITES, Relaxed);
        // Before all that the caller writes: if it dies, that is the order in which it has happened.
        compiler_fence(SeqCst);
        step("rwlock.writes");
    }

    /// Before the word is released.
    #[inline(always)]
    pub(super) fn wrote(self) {
        self.phase.store(NOBODY, Release);
        step("rwlock.wrote");
    }

    /// Releases the word as it was found: nothing was written.
    pub(super) fn give_up(self, own: u32, caller: &impl Caller, taken: Taken) {
        if taken == Taken::Clean {
            self.phase.store(NOBODY, Relaxed);
            step("rwlock.gives_up");
        }
        lock::give_up(self.lock, own, caller, taken);
    }
}

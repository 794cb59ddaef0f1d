//! Readers and writers, with the word of `lock`.

use std::sync::atomic::{AtomicU32 as Plain, Ordering::Relaxed};

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::kernel::{died_at, step, Futex, Process, Slot};
use super::lock::{self, Taken, TM};
use super::phase::{Words, NOBODY};
use super::port::{AtomicU32, Ordering};
use super::{all, check};

struct Shared {
    word: AtomicU32,
    state: AtomicU32,
    phase: AtomicU32,
    /// Of a process each, which has the number and one more.
    cells: [AtomicU32; 3],
    /// Of the first process; who watches it sleeps there, whatever cell it waits for.
    slot: Slot,
    futex: Futex,
    /// What the lock guards: the checker sees a writer beside others.
    guarded: UnsafeCell<u32>,
    /// Not of the model: whether what the lock guards is half done, and how often somebody was told so.
    half_done: Plain,
    told: Plain,
}

impl Shared {
    fn new() -> Arc<Shared> {
        Arc::new(Shared {
            word: AtomicU32::new(0),
            state: AtomicU32::new(0),
            phase: AtomicU32::new(NOBODY),
            cells: std::array::from_fn(|_| AtomicU32::new(0)),
            slot: Slot::new(),
            futex: Futex::new(),
            guarded: UnsafeCell::new(0),
            half_done: Plain::new(0),
            told: Plain::new(0),
        })
    }

    fn words(&self) -> Words<'_> {
        Words { lock: lock::Words { word: &self.word, state: &self.state }, phase: &self.phase }
    }

    fn process(&self, tid: u32) -> Process<'_> {
        Process { slot: (tid == 1).then_some(&self.slot), ..Process::new(tid, &self.futex) }
    }

    /// A process that lives and reads, and what its cell is.
    fn reader(&self) -> Option<(usize, u32)> {
        let counts = self.cells.iter().map(|cell| cell.load(Ordering::SeqCst)).enumerate();
        let mut living = counts.filter(|&(index, _)| index != 0 || !self.slot.is_dead());
        living.find(|&(_, count)| count != 0)
    }

    fn wake_writer(&self) -> impl FnOnce(&AtomicU32) + '_ {
        |_| self.slot.watched.wake_all()
    }

    fn read(&self, process: &Process<'_>) -> Taken {
        let (words, cell) = (self.words(), &self.cells[process.tid as usize - 1]);
        if words.count_in(cell, self.wake_writer()) {
            return Taken::Clean;
        }
        let taken = words.found(process.tid, lock::lock(words.lock, process.tid, process).unwrap());
        if taken == Taken::OwnerDied {
            self.write_with_word(taken);
            return taken;
        }
        words.count_with_word(cell);
        lock::give_up(words.lock, process.tid, process, Taken::Clean);
        Taken::Clean
    }

    fn write(&self, process: &Process<'_>) -> Taken {
        let (words, own) = (self.words(), process.tid);
        if self.word.compare_exchange(0, own, Ordering::SeqCst, Ordering::Relaxed).is_ok() {
            if self.reader().is_none() {
                words.write();
                return Taken::Clean;
            }
            lock::give_up(words.lock, own, process, Taken::Clean);
        }
        let taken = words.found(own, lock::lock(words.lock, own, process).unwrap());
        self.write_with_word(taken);
        taken
    }

    fn write_with_word(&self, taken: Taken) {
        let words = self.words();
        words.drain(taken);
        while let Some((index, count)) = self.reader() {
            self.slot.watched.wait_while(|| {
                self.cells[index].load(Ordering::Acquire) == count && (index != 0 || !self.slot.is_dead())
            });
        }
        words.write();
    }

    fn unlock_write(&self, process: &Process<'_>) {
        self.words().wrote();
        let (words, own) = (self.words().lock, process.tid);
        if !lock::unlock_fast(words, own) {
            lock::unlock(words, own, process).unwrap();
        }
    }

    fn reads(&self, process: &Process<'_>) {
        if self.read(process) == Taken::OwnerDied {
            return self.repairs(process);
        }
        self.guarded.with(|_| assert_eq!(self.half_done.load(Relaxed), 0));
        let cell = &self.cells[process.tid as usize - 1];
        assert!(self.words().count_out(cell, self.wake_writer()));
    }

    fn writes(&self, process: &Process<'_>) {
        if self.write(process) == Taken::OwnerDied {
            return self.repairs(process);
        }
        self.guarded.with_mut(|_| assert_eq!(self.half_done.swap(1, Relaxed), 0));
        step("half done");
        self.half_done.store(0, Relaxed);
        self.unlock_write(process);
    }

    fn repairs(&self, process: &Process<'_>) {
        self.guarded.with_mut(|_| self.half_done.store(0, Relaxed));
        self.told.fetch_add(1, Relaxed);
        lock::consistent(self.words().lock, process.tid).unwrap();
        self.unlock_write(process);
    }
}

#[derive(Clone, Copy)]
enum How {
    Read,
    Write,
}
use How::{Read, Write};

impl How {
    fn turn(self, shared: &Shared, process: &Process<'_>) {
        match self {
            Read => shared.reads(process),
            Write => shared.writes(process),
        }
    }
}

/// Processes beside the first.
fn others(shared: &Arc<Shared>, hows: &[How]) -> Vec<thread::JoinHandle<()>> {
    let each = (2..).zip(hows.iter().copied());
    each.map(|(tid, how)| {
        let shared = shared.clone();
        thread::spawn(move || how.turn(&shared, &shared.process(tid)))
    })
    .collect()
}

fn exclude(preemptions: usize, first: How, hows: &'static [How]) {
    check(preemptions, move || {
        let shared = Shared::new();
        let threads = others(&shared, hows);
        first.turn(&shared, &shared.process(1));
        all(threads);
        assert_eq!(shared.told.load(Relaxed), 0);
        assert!(shared.reader().is_none() && shared.word.load(Ordering::SeqCst) & TM == 0);
    });
}

#[test]
fn a_writer_excludes_a_reader() {
    exclude(5, Read, &[Write]);
}

#[test]
fn a_writer_excludes_a_writer() {
    exclude(5, Write, &[Write]);
}

#[test]
fn a_writer_excludes_others() {
    exclude(2, Read, &[Read, Write]);
}

/// The first one dies after each number of steps, while the others have their turns.
fn dies(preemptions: usize, first: How, hows: &'static [How]) {
    for list_first in [true, false] {
        let died = std::sync::Arc::new(Plain::new(0));
        for steps in 0.. {
            assert!(steps < 40, "it has no end");
            died.store(0, Relaxed);
            let dies = died.clone();
            check(preemptions, move || {
                let shared = Shared::new();
                let threads = others(&shared, hows);
                let process = shared.process(1);
                let death =
                    process.die_after(steps, list_first, &shared.word, || first.turn(&shared, &process));
                all(threads);
                // Whoever comes later.
                shared.reads(&shared.process(3));
                shared.writes(&shared.process(3));
                let wrote = death.is_some() && ["rwlock.writes", "half done"].contains(&died_at());
                assert_eq!(shared.told.load(Relaxed), u32::from(wrote), "told, dead after {steps} steps");
                dies.fetch_add(u32::from(death.is_some()), Relaxed);
            });
            // In no order has it died: it has no more steps.
            if died.load(Relaxed) == 0 {
                assert!(steps >= 4, "only {steps} steps: nobody was in its way");
                break;
            }
        }
    }
}

#[test]
fn a_reader_dies_beside_a_writer() {
    dies(3, Read, &[Write]);
}

#[test]
fn a_writer_dies_beside_a_reader() {
    dies(3, Write, &[Read]);
}

#[test]
fn a_writer_dies_beside_a_writer() {
    dies(3, Write, &[Write]);
}

#[test]
fn a_reader_dies_beside_others() {
    dies(1, Read, &[Read, Write]);
}

#[test]
fn a_writer_dies_beside_others() {
    dies(1, Write, &[Read, Write]);
}

//! A kernel with futexes, and threads that die.

use std::cell::Cell;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};

use loom::sync::{Condvar, Mutex};

use super::lock::{Caller, Slept, OD, TM, W};
use super::port::{AtomicU32, Ordering};

/// Those who sleep on a word, by tickets: who is not in the queue any more was woken.
pub struct Futex {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    asleep: Vec<u32>,
    tickets: u32,
}

impl Futex {
    pub fn new() -> Futex {
        Futex { queue: Mutex::new(Queue::default()), changed: Condvar::new() }
    }

    /// FUTEX_WAIT without an end, as long as the words are as expected: a wake-up that is lost is a deadlock, which
    /// the checker sees.
    pub fn wait_while(&self, is_so: impl Fn() -> bool) {
        let mut queue = self.queue.lock().unwrap();
        if !is_so() {
            return;
        }
        let ticket = queue.tickets;
        queue.tickets += 1;
        queue.asleep.push(ticket);
        while queue.asleep.contains(&ticket) {
            queue = self.changed.wait(queue).unwrap();
        }
    }

    /// Whether there was one.
    pub fn wake_one(&self) -> bool {
        let mut queue = self.queue.lock().unwrap();
        if queue.asleep.is_empty() {
            return false;
        }
        queue.asleep.remove(0);
        self.changed.notify_all();
        true
    }

    pub fn wake_all(&self) {
        self.queue.lock().unwrap().asleep.clear();
        self.changed.notify_all();
    }
}

/// Whether a process is dead, for those who watch it.
pub struct Slot {
    dead: AtomicU32,
    /// All who watch it, and whatever else they wait for, sleep here.
    pub watched: Futex,
}

impl Slot {
    pub fn new() -> Slot {
        Slot { dead: AtomicU32::new(0), watched: Futex::new() }
    }

    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire) != 0
    }
}

/// A thread of a process with one keeper, of this number.
pub struct Process<'a> {
    pub tid: u32,
    pub futex: &'a Futex,
    /// The first on the keeper's list.
    pub slot: Option<&'a Slot>,
    pub pending: Cell<bool>,
    /// How often it sleeps before its deadline is over.
    pub patience: Cell<u32>,
    /// Whether a dead owner's process has ended by now.
    pub ended: bool,
}

loom::thread_local! {
    /// Steps that are left to live.
    static LEFT: Cell<Option<u32>> = Cell::new(None);
    /// The last step of one that died.
    static LAST: Cell<&'static str> = Cell::new("");
}

struct Killed;

/// What a thread had when it died.
#[derive(Clone, Copy, PartialEq)]
pub enum Death {
    WithNothing,
    Holding,
    /// It had not repaired yet what an owner before it had left.
    HoldingFromDead,
}

pub(super) fn step(name: &'static str) {
    LEFT.with(|left| match left.get() {
        None => {}
        Some(0) => {
            LAST.with(|last| last.set(name));
            resume_unwind(Box::new(Killed))
        }
        Some(more) => left.set(Some(more - 1)),
    });
}

/// At which step this thread died.
pub fn died_at() -> &'static str {
    LAST.with(Cell::get)
}

impl<'a> Process<'a> {
    pub fn new(tid: u32, futex: &'a Futex) -> Process<'a> {
        Process {
            tid,
            futex,
            slot: None,
            pending: Cell::new(false),
            patience: Cell::new(u32::MAX),
            ended: true,
        }
    }

    /// Does it, and dies after so many steps: how, if it did. The kernel then looks at the keeper's list and the
    /// thread's pending slot, in this order or the other.
    pub fn die_after(
        &self,
        steps: u32,
        list_first: bool,
        word: &AtomicU32,
        body: impl FnOnce(),
    ) -> Option<Death> {
        LEFT.with(|left| left.set(Some(steps)));
        let end = catch_unwind(AssertUnwindSafe(body));
        LEFT.with(|left| left.set(None));
        match end {
            Ok(()) => return None,
            Err(reason) if reason.is::<Killed>() => {}
            Err(reason) => resume_unwind(reason),
        }
        if list_first {
            let death = self.walk(word);
            self.look_at_pending(word);
            Some(death)
        } else {
            self.look_at_pending(word);
            Some(self.walk(word))
        }
    }

    /// handle_futex_death() of the words on the list.
    fn walk(&self, word: &AtomicU32) -> Death {
        if let Some(slot) = self.slot {
            slot.dead.store(1, Ordering::Release);
            slot.watched.wake_all();
        }
        let mut seen = word.load(Ordering::Acquire);
        while seen & TM == self.tid {
            match word.compare_exchange(seen, seen & W | OD, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    if seen & W != 0 {
                        self.futex.wake_one();
                    }
                    return if seen & OD == 0 { Death::Holding } else { Death::HoldingFromDead };
                }
                Err(now) => seen = now,
            }
        }
        Death::WithNothing
    }

    /// The same of a pending slot: it wakes one where nobody owns the word.
    fn look_at_pending(&self, word: &AtomicU32) {
        if self.pending.get() && word.load(Ordering::Acquire) & TM == 0 {
            self.futex.wake_one();
        }
    }
}

impl Caller for Process<'_> {
    fn pend(&self, _word: &AtomicU32) {
        self.pending.set(true);
    }

    fn unpend(&self) {
        self.pending.set(false);
    }

    fn is_over(&self) -> bool {
        self.patience.get() == 0
    }

    fn sleep(&self, word: &AtomicU32, value: u32) -> Slept {
        self.futex.wait_while(|| word.load(Ordering::Acquire) == value);
        self.patience.set(self.patience.get() - 1);
        Slept::Woken
    }

    fn wake(&self, _word: &AtomicU32) -> bool {
        self.futex.wake_one()
    }

    fn is_stranger(&self, _owner: u32) -> bool {
        false
    }

    fn settle(&self) -> bool {
        self.ended
    }
}

//! Waiting for words by descriptors: a thread of ours sleeps on many words at once (futex_waitv), and makes the
//! eventfd of a [`Watch`] readable when its word is another than it was.
//!
//! A watch that waits is a sleeper like others: the kernel may wake it, and nobody else, for an unlock. So that
//! no wake-up is lost with it:
//! - Where one is woken and not all, only the oldest of the watches of one word waits in the kernel (`Turn::One`);
//!   and while it is FIRED, its user about to try again, the others stay behind it, for a second at most.
//! - Where the word counts its wake-ups (a condition's), each makes one watch FIRED, the oldest (`Guard::share`).
//! - A user who gives up passes the wake-up on. If the thread may still be in the kernel's queue for the word,
//!   the thread does, once it has left that.
//! - While such a watch is FIRED its word is in the thread's pending slot: if the process dies, the kernel wakes
//!   another sleeper. There is one such slot, for the last of them; the others are found by the slices of the
//!   sleepers.
//!
//! | state of a slot | meaning | goes on to |
//! |---|---|---|
//! | IDLE | waits for nothing | ARMED, by its user |
//! | ARMED | waits | FIRED, by the thread; IDLE, by its user |
//! | FIRED | the descriptor is readable, until its user takes it up | ARMED, IDLE, by its user |
//!
//! What waits for those who could die, too, waits for the party's `changes` and its slots besides (as `wait` does),
//! once for all watches of a thread.
//!
//! A thread serves as many watches as futex_waitv takes words, 127; for more there are more threads, up to 64.
//! Each has a page, or some, of which a child made by fork has zeros: there no thread runs, and all slots are
//! free. The thread ends with its last watch. Where there is no futex_waitv it looks at the words in short
//! slices.

mod until;

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::fmt;
use std::num::NonZeroUsize;
use std::ops::{Deref, DerefMut, Range};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use nix::sys::mman::{MapFlags, ProtFlags};

use super::party::Party;
use super::private::{Held, Lock};
use super::wait::{self, SHORT_SLICE_NS, SLICE_NS};
use crate::error::{Code, During, Error, Result};
use crate::sys::futex::{self, Expected, RobustList, WAITV_MAX};
use crate::sys::{self, clock, event, mmap, thread, Errno};
use until::Parties;
pub(super) use until::{Besides, Hold, Turn, Until};

/// One word of a thread's is for us: to tell it that something has changed.
const WATCHES: usize = WAITV_MAX - 1;
const THREADS: usize = 64;
/// Threads are told apart by so many numbers of their runs, an even one.
const RUNS: u32 = 1 << 24;

/// Made once each, and never unmapped.
static SHARDS: [AtomicPtr<Shard>; THREADS] = [const { AtomicPtr::new(null_mut()) }; THREADS];

/// What one thread serves. Zeros, as which it begins, are valid.
#[repr(C)]
struct Shard {
    lock: Lock,
    /// Another number whenever the thread has to look again.
    changes: AtomicU32,
    /// The last run whose thread has begun.
    begun: AtomicU32,
    inner: UnsafeCell<Inner>,
}

// SAFETY (protocol): `inner` is used under the lock alone.
unsafe impl Sync for Shard {}

#[repr(C)]
struct Inner {
    /// Odd while a thread runs: that one.
    run: u32,
    /// How many slots are not free.
    used: u32,
    thread: libc::pthread_t,
    /// The thread's own: `pending` is used.
    list: *mut RobustList,
    slots: [Slot; WATCHES],
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Slot {
    /// The watch's number; 0: free.
    watch: u64,
    /// While it is not IDLE: an address, for the kernel; while it is ARMED, mapped.
    word: *const AtomicU32,
    until: Until,
    turn: Turn,
    state: u32,
    fd: RawFd,
    /// When it came to this state.
    since_ns: i64,
    besides: Besides,
}

const IDLE: u32 = 0;
const ARMED: u32 = 1;
const FIRED: u32 = 2;

/// A descriptor that becomes readable when it is worth trying again: what waits for a lock in a program that
/// waits for descriptors (poll(2), epoll(7), a runtime).
///
/// A call that gets a watch ([`Mutex::lock_watch`](super::Mutex::lock_watch), …) never waits. Where it would,
/// it arms the watch, and answers EAGAIN: the descriptor is readable as soon as the word of the lock is another.
/// Then call again, with the same watch. That may answer EAGAIN again: readable means "look". The call that
/// arms takes back that it is readable; so do the call that succeeds, and [`Watch::cancel`]. Between a
/// descriptor that becomes readable and the next such call, others may have to wait, as for a thread that
/// was woken and does not run: for a second at most.
///
/// A watch waits for one thing at a time; to use it for another one gives up the first. In a child made by fork
/// it is of no use.
pub struct Watch {
    descriptor: OwnedFd,
    shard: &'static Shard,
    index: usize,
    number: u64,
}

impl Watch {
    /// EAGAIN where the kernel has no thread for it, EMFILE where 8128 are open, or as many descriptors as may
    /// be.
    pub fn new() -> Result<Watch> {
        let tried = || "cannot open a watch".to_string();
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let descriptor = event::new().during(tried)?;
        for (place, shard) in SHARDS.iter().enumerate() {
            let shard = Shard::at(shard).during(tried)?;
            let mut inner = shard.hold();
            let Some(index) = inner.slots.iter().position(|slot| slot.watch == 0) else { continue };
            if inner.run % 2 == 0 {
                inner.start(place).during(|| format!("{}: no thread for it", tried()))?;
            }
            let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
            inner.used += 1;
            inner.slots[index] = Slot { watch: number, fd: descriptor.as_raw_fd(), ..Slot::FREE };
            return Ok(Watch { descriptor, shard, index, number });
        }
        let message = format!("{}: {} are open", tried(), THREADS * WATCHES);
        Err(Error::new(Errno::EMFILE, message))
    }

    /// Gives up waiting. Whoever waits besides gets what this would have got.
    pub fn cancel(&self) -> Result<(), Code> {
        let mut inner = self.hold()?;
        inner.end(self.index, true);
        Ok(())
    }

    /// EPERM in a child made by fork.
    fn hold(&self) -> Result<Guard<'static>, Code> {
        let inner = self.shard.hold();
        match inner.slots[self.index].watch == self.number {
            true => Ok(inner),
            false => Err(Errno::EPERM.into()),
        }
    }

    /// Whether its descriptor was to become readable for this word, so that a wake-up may have been meant for
    /// it.
    pub(super) fn has_waited(&self, word: &AtomicU32) -> Result<bool, Code> {
        let inner = self.hold()?;
        let slot = &inner.slots[self.index];
        Ok(slot.state != IDLE && slot.word == word)
    }

    /// The same, and whether its user holds something with the other word.
    pub(super) fn has_waited_holding(&self, word: &AtomicU32, held: &AtomicU32) -> Result<bool, Code> {
        let inner = self.hold()?;
        let slot = &inner.slots[self.index];
        Ok(slot.state != IDLE && slot.word == word && slot.besides.hold.is_of(held))
    }

    /// The descriptor becomes readable when that has come to pass, or what comes besides; at once if it has.
    pub(super) fn arm(
        &self,
        (word, until, turn): (&AtomicU32, Until, Turn),
        besides: Besides,
    ) -> Result<(), Code> {
        let mut inner = self.hold()?;
        // Of the same word it is a sleeper still.
        let same = std::ptr::eq(inner.slots[self.index].word, word);
        inner.end(self.index, !same);
        let slot = &mut inner.slots[self.index];
        (slot.word, slot.until, slot.turn, slot.besides) = (word, until, turn, besides);
        slot.turn_to(ARMED);
        match until.lasts(until.look(word)) {
            true => inner.shard.notify(),
            false => inner.fire(self.index),
        }
        Ok(())
    }

    /// What its user holds with this word, and has waited for since. From here on that is the caller's to give
    /// back.
    pub(super) fn take_hold(&self, word: &AtomicU32) -> Result<Option<Besides>, Code> {
        let mut inner = self.hold()?;
        let Slot { state, besides, .. } = inner.slots[self.index];
        let holds = state != IDLE && besides.hold.is_of(word);
        if holds {
            inner.end(self.index, false);
        }
        Ok(holds.then_some(besides))
    }

    /// What it waited for with this word has come to pass.
    pub(super) fn done(&self, word: &AtomicU32) -> Result<(), Code> {
        let mut inner = self.hold()?;
        let same = std::ptr::eq(inner.slots[self.index].word, word);
        inner.end(self.index, !same);
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Ok(mut inner) = self.hold() else { return };
        inner.end(self.index, true);
        inner.slots[self.index] = Slot::FREE;
        inner.used -= 1;
        if inner.used > 0 {
            return;
        }
        let thread = inner.stop();
        drop(inner);
        // SAFETY: one of this process's, and nobody else has taken it out of the shard.
        unsafe { thread::join(thread) };
    }
}

impl AsFd for Watch {
    /// For poll(2) and the like. Reading it is fine, and not necessary.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("descriptor", &self.descriptor).finish_non_exhaustive()
    }
}

impl Party<'_> {
    /// Makes a watch's descriptor readable when a word of the region is not this value any more, at once if it is
    /// not. The program that changes the word must wake for it: [`Party::wake`], of all.
    pub fn watch_word(&self, word: &AtomicU32, value: u32, watch: &Watch) -> Result<(), Code> {
        self.watch_word_at(word.as_ptr().cast(), value, watch)
    }

    pub(crate) fn watch_word_at(&self, at: *const u8, value: u32, watch: &Watch) -> Result<(), Code> {
        watch.arm((self.word_known(at)?, Until::Not(value), Turn::All), Besides::NOTHING)
    }
}

/// Whether a watch waits for a word at one of these addresses, or holds one.
pub(super) fn is_waiting_within(addresses: Range<usize>) -> bool {
    SHARDS.iter().map(|place| place.load(Ordering::Acquire)).take_while(|shard| !shard.is_null()).any(
        |shard| {
            // SAFETY: never unmapped.
            let inner = unsafe { &*shard }.hold();
            let is_there = |word: *const AtomicU32| addresses.contains(&(word as usize));
            let uses = |slot: &Slot| is_there(slot.word) || is_there(slot.besides.hold.word);
            inner.slots.iter().any(|slot| slot.state != IDLE && uses(slot))
        },
    )
}

impl Slot {
    const FREE: Slot = Slot {
        watch: 0,
        word: std::ptr::null(),
        until: Until::Not(0),
        turn: Turn::All,
        state: IDLE,
        fd: 0,
        since_ns: 0,
        besides: Besides::NOTHING,
    };

    fn turn_to(&mut self, state: u32) {
        (self.state, self.since_ns) = (state, clock::monotonic_ns());
    }

    /// The descriptor of a slot that is not free.
    fn descriptor(&self) -> BorrowedFd<'_> {
        // SAFETY (protocol): the watch frees its slot before it closes it.
        unsafe { BorrowedFd::borrow_raw(self.fd) }
    }
}

/// A shard's inner, under its lock.
struct Guard<'a> {
    shard: &'a Shard,
    _held: Held<'a>,
}

impl Deref for Guard<'_> {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        // SAFETY (protocol): nobody else has it.
        unsafe { &*self.shard.inner.get() }
    }
}

impl DerefMut for Guard<'_> {
    fn deref_mut(&mut self) -> &mut Inner {
        // SAFETY (protocol): nobody else has it.
        unsafe { &mut *self.shard.inner.get() }
    }
}

impl Shard {
    /// The shard that has its place here.
    fn at(place: &'static AtomicPtr<Shard>) -> sys::Result<&'static Shard> {
        let mut shard = place.load(Ordering::Acquire);
        if shard.is_null() {
            let length =
                mmap::whole_pages(size_of::<Shard>()).and_then(NonZeroUsize::new).ok_or(Errno::ENOMEM)?;
            let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
            let start = mmap::map(None, length, access, MapFlags::MAP_PRIVATE, None)?;
            // SAFETY: our own new range.
            let wiped = unsafe { mmap::advise(start, length.get(), libc::MADV_WIPEONFORK) };
            let own = start.as_ptr().cast::<Shard>();
            let placed = wiped
                .map_err(|_| Errno::ENOSYS)
                .map(|()| place.compare_exchange(null_mut(), own, Ordering::AcqRel, Ordering::Acquire));
            shard = match placed {
                Ok(Ok(_)) => own,
                other => {
                    // SAFETY: nobody knows of it.
                    let _ = unsafe { mmap::unmap(start, length.get()) };
                    match other? {
                        Ok(_) => own,
                        Err(theirs) => theirs,
                    }
                }
            };
        }
        // SAFETY: never unmapped; zeros are valid.
        Ok(unsafe { &*shard })
    }

    fn hold(&self) -> Guard<'_> {
        Guard { shard: self, _held: self.lock.hold() }
    }

    /// The thread looks again.
    fn notify(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        let _ = futex::wake(&self.changes, 1);
    }
}

impl Guard<'_> {
    /// Makes the descriptor readable.
    fn fire(&mut self, index: usize) {
        let list = self.list;
        let slot = &mut self.slots[index];
        slot.turn_to(FIRED);
        // First: from the signal on its user is the one to try.
        if slot.turn == Turn::One {
            pend(list, slot.word);
        }
        event::signal(slot.descriptor());
        self.share(index);
    }

    /// A signal that this slot gets is none of the others'.
    fn share(&mut self, index: usize) {
        let Slot { word, until, .. } = self.slots[index];
        let Until::Signalled(seen) = until else { return };
        // SAFETY (protocol): a party is not left while a watch waits for a word of its region.
        if until.lasts(until.look(unsafe { &*word })) {
            return;
        }
        let next = seen.wrapping_add(1);
        for slot in self.slots.iter_mut() {
            if slot.state == ARMED && slot.word == word && slot.until == until {
                slot.until = Until::Signalled(next);
                slot.besides.hold.own = next.into();
            }
        }
    }

    /// The slot waits for nothing any more; if its user has given up, another sleeper gets the wake-up that may
    /// have come.
    fn end(&mut self, index: usize, given_up: bool) {
        let Slot { state, word, turn, besides: Besides { hold, .. }, .. } = self.slots[index];
        self.slots[index].turn_to(IDLE);
        if let (true, true, Some(give_back)) = (given_up, state != IDLE, hold.give_back) {
            // SAFETY (protocol): a party is not left while a watch waits for a word of its region.
            unsafe { give_back(hold.word, hold.own) };
        }
        match state {
            FIRED => {
                event::drain(self.slots[index].descriptor());
                if turn == Turn::One {
                    unpend(self.list, word);
                    if given_up {
                        let _ = futex::wake(word, 1);
                    }
                    if self.slots.iter().any(|slot| slot.state == ARMED && slot.word == word) {
                        self.shard.notify();
                    }
                }
            }
            // The thread passes on what it may still get.
            ARMED => self.shard.notify(),
            _ => {}
        }
    }

    /// Whether another watch comes first.
    fn is_behind(&self, index: usize, now_ns: i64) -> bool {
        let own = &self.slots[index];
        own.turn == Turn::One
            && self.slots.iter().enumerate().any(|(other, slot)| {
                let first = match slot.state {
                    ARMED => (slot.since_ns, other) < (own.since_ns, index),
                    FIRED => now_ns - slot.since_ns < SLICE_NS,
                    _ => false,
                };
                other != index && slot.turn == Turn::One && slot.word == own.word && first
            })
    }
}

impl Guard<'_> {
    /// Of the shard that has this place. The thread has begun when this returns: one that is about to holds locks of
    /// whoever else looks at the beginnings of threads, which a child made by fork then would wait for.
    fn start(&mut self, place: usize) -> sys::Result<()> {
        let run = (self.run + 1) % RUNS;
        // A number, and no memory that a child made by fork would have for nobody.
        let body = run as usize * THREADS + place;
        // SAFETY: what it works on lives for ever and is used under a lock.
        let thread = unsafe { thread::start(keep_watch, body as *mut c_void) }?;
        (self.run, self.thread, self.list) = (run, thread, null_mut());
        loop {
            match self.shard.begun.load(Ordering::Acquire) {
                begun if begun == run => return Ok(()),
                before => drop(futex::wait(&self.shard.begun, before, None)),
            }
        }
    }

    /// Lets the thread end; it is the caller's to wait for, without the lock.
    fn stop(&mut self) -> libc::pthread_t {
        (self.run, self.list) = ((self.run + 1) % RUNS, null_mut());
        self.shard.notify();
        self.thread
    }
}

/// The thread's pending slot is written by whoever has the lock: the kernel reads it when the thread is dead, and
/// the thread itself uses no mutex of the C library while it has the lock.
fn pend(list: *mut RobustList, word: *const AtomicU32) {
    if !list.is_null() {
        // SAFETY (C library): the list lives as long as its thread, which takes it away before it ends.
        unsafe {
            let node = (word as usize).wrapping_sub((*list).futex_offset as usize);
            (&raw mut (*list).pending).write_volatile(node);
        }
    }
}

fn unpend(list: *mut RobustList, word: *const AtomicU32) {
    if !list.is_null() {
        // SAFETY: as above.
        unsafe {
            let node = (word as usize).wrapping_sub((*list).futex_offset as usize);
            if (&raw const (*list).pending).read_volatile() == node {
                (&raw mut (*list).pending).write_volatile(0);
            }
        }
    }
}

extern "C" fn keep_watch(body: *mut c_void) -> *mut c_void {
    let (run, place) = ((body as usize / THREADS) as u32, body as usize % THREADS);
    // SAFETY: there since before start(), and never unmapped.
    let shard: &'static Shard = unsafe { &*SHARDS[place].load(Ordering::Acquire) };
    shard.begun.store(run, Ordering::Release);
    let _ = futex::wake(&shard.begun, 1);
    let own_list = UnsafeCell::new(RobustList::EMPTY);
    // For which watches the kernel had this thread in its queues.
    let mut waited = [(0, 0, std::ptr::null()); WATCHES];
    let mut count = 0;
    let mut looked_ns = clock::monotonic_ns();
    loop {
        let mut inner = shard.hold();
        for &(index, watch, word) in &waited[..count] {
            let slot: &Slot = &inner.slots[index];
            if (slot.watch, slot.word) != (watch, word) || slot.state == IDLE {
                let _ = futex::wake(word, 1);
            }
        }
        if inner.run != run {
            if futex::own_robust_list() == Some(own_list.get()) {
                futex::take_robust_list_away();
            }
            return null_mut();
        }
        if inner.list.is_null() {
            // SAFETY: it is taken away before this function returns.
            inner.list = unsafe { futex::robust_list_or(own_list.get()) };
        }
        let seen = shard.changes.load(Ordering::Acquire);
        let mut words = [Expected::NONE; WAITV_MAX];
        words[0] = Expected::new(&shard.changes, seen);
        count = 0;
        let mut parties = Parties::new();
        let now_ns = clock::monotonic_ns();
        let looks = now_ns - looked_ns >= SLICE_NS;
        if looks {
            looked_ns = now_ns;
        }
        let mut until_ns = i64::MAX;
        // Who has waited longest is the first, here and in the kernel's queues.
        let mut order: [usize; WATCHES] = std::array::from_fn(|index| index);
        order.sort_unstable_by_key(|&index| inner.slots[index].since_ns);
        for index in order {
            let Slot { watch, word: at, until, state, since_ns, besides, .. } = inner.slots[index];
            if state != ARMED || inner.is_behind(index, now_ns) {
                continue;
            }
            // SAFETY (protocol): a party is not left while a watch waits for a word of its region.
            let word = unsafe { &*at };
            // Before: its deaths are in the changes.
            parties.add(&besides, looks);
            let seen = until.look(word);
            let lasts = until.lasts(seen) && besides.last(now_ns);
            if !lasts || until.can_be_forged() && now_ns - since_ns >= SLICE_NS {
                inner.fire(index);
            } else {
                waited[count] = (index, watch, at);
                count += 1;
                words[count] = Expected::new(word, seen);
                until_ns = until_ns.min(besides.until_ns);
            }
        }
        let mut expected = count + 1;
        let slice_ns = if parties.expect(&mut words, &mut expected) { SLICE_NS } else { SHORT_SLICE_NS };
        let waiting = inner.slots.iter().any(|slot| slot.state == ARMED);
        drop(inner);
        let until = |slice_ns| waiting.then(|| until_ns.min(now_ns + slice_ns));
        let woken = match wait::has_waitv() {
            true => futex::wait_any(&words[..expected], until(slice_ns)).map(drop),
            false => futex::wait(&shard.changes, seen, until(SHORT_SLICE_NS)),
        };
        if let Err(Errno::ENOSYS | Errno::EPERM) = woken {
            wait::note_no_waitv();
        }
    }
}

//! What processes do, in one order, in shared memory. Whoever is killed in the middle of writing leaves nothing:
//! an event is there as a whole or not at all, and there are no gaps.

use std::sync::atomic::{AtomicU64, Ordering};

/// A power of two.
const ROOM: u64 = 1 << 16;
/// So many may write after they have looked for room.
const MARGIN: u64 = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Acquired = 1,
    AcquiredFromDead,
    /// About to unlock.
    Released,
    /// About to be killed, or to execute another program.
    Dying,
    Dead,
    /// Somebody else was where only an owner is.
    Crowd,
    OwnLockHarmed,
    ChildOwned,
    /// A worker has got an answer that it should not.
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    pub kind: Kind,
    pub lock: usize,
    pub who: u32,
}

/// who << 32 | lap << 16 | lock << 8 | kind; a lap is how often the ring has gone round, from 1.
#[repr(C)]
pub struct History {
    next: AtomicU64,
    read: AtomicU64,
    events: [AtomicU64; ROOM as usize],
}

fn lap(at: u64) -> u64 {
    (at / ROOM + 1) & 0xffff
}

impl Event {
    pub fn new(kind: Kind, lock: usize, who: u32) -> Event {
        Event { kind, lock, who }
    }
}

impl History {
    pub fn append(&self, event: Event) {
        let bits = u64::from(event.who) << 32 | (event.lock as u64) << 8 | event.kind as u64;
        loop {
            let at = self.next.load(Ordering::SeqCst);
            let place = &self.events[(at % ROOM) as usize];
            let seen = place.load(Ordering::SeqCst);
            let has = seen >> 16 & 0xffff;
            let written = has == lap(at)
                || (has == lap(at).wrapping_sub(1) & 0xffff
                    && place
                        .compare_exchange(seen, bits | lap(at) << 16, Ordering::SeqCst, Ordering::SeqCst)
                        .is_ok());
            // By whoever comes first; the writer may be dead.
            let _ = self.next.compare_exchange(at, at + 1, Ordering::SeqCst, Ordering::SeqCst);
            if written && has != lap(at) {
                return;
            }
        }
    }

    pub fn get(&self, at: u64) -> Option<Event> {
        let bits = self.events[(at % ROOM) as usize].load(Ordering::SeqCst);
        if bits >> 16 & 0xffff != lap(at) {
            return None;
        }
        let kind = match bits as u8 {
            1 => Kind::Acquired,
            2 => Kind::AcquiredFromDead,
            3 => Kind::Released,
            4 => Kind::Dying,
            5 => Kind::Dead,
            6 => Kind::Crowd,
            7 => Kind::OwnLockHarmed,
            8 => Kind::ChildOwned,
            _ => Kind::Failed,
        };
        Some(Event { kind, lock: (bits >> 8 & 0xff) as usize, who: (bits >> 32) as u32 })
    }

    /// The reader has seen all before.
    pub fn let_go(&self, read: u64) {
        self.read.store(read, Ordering::Release);
    }

    pub fn wait_for_room(&self) {
        // The reader may have overtaken what we have seen.
        let unread = || self.next.load(Ordering::Relaxed).saturating_sub(self.read.load(Ordering::Acquire));
        while unread() > ROOM - MARGIN {
            std::thread::yield_now();
        }
    }
}

//! What the processes of a figure share.

use std::cell::{Cell, UnsafeCell};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use anyhow::Result;

use crate::c::{self, told, Region};

/// What the processes share: a line each, so that no word disturbs another.
#[repr(C)]
pub struct Board {
    pub parties: c::shm_party_table,
    pub mutex: Line<Guarded<c::shm_mutex>>,
    pub robust: Line<Guarded<libc::pthread_mutex_t>>,
    pub semaphore: Line<UnsafeCell<c::shm_semaphore>>,
    pub sem: Line<UnsafeCell<libc::sem_t>>,
    pub cond: Line<UnsafeCell<c::shm_cond>>,
    pub pthread_cond: Line<UnsafeCell<libc::pthread_cond_t>>,
    pub rwlock: Line<UnsafeCell<c::shm_rwlock>>,
    pub pthread_rwlock: Line<UnsafeCell<libc::pthread_rwlock_t>>,
    pub barrier: Line<UnsafeCell<c::shm_barrier>>,
    pub pthread_barrier: Line<UnsafeCell<libc::pthread_barrier_t>>,
    pub event: Line<UnsafeCell<c::shm_event>>,
    pub data: Line<AtomicU32>,
    pub reply: Line<AtomicU32>,
    pub command: Line<AtomicU32>,
    pub answer: Line<AtomicU32>,
    pub stop: Line<AtomicU32>,
    pub turns: Line<AtomicU64>,
    pub time_ns: Line<AtomicU64>,
}

#[repr(C, align(128))]
pub struct Line<T>(pub T);

/// A lock, and right behind it what it guards, as in most programs. Both kinds of lock have 40 bytes.
#[repr(C)]
pub struct Guarded<T> {
    pub lock: UnsafeCell<T>,
    pub counter: Cell<u64>,
}

/// The board, and this process's membership.
pub struct Shared {
    pub party: *mut c::shm_party,
    pub region: Region,
}

impl Shared {
    pub fn new() -> Result<Shared> {
        let region = Region::memfd(size_of::<Board>(), 0, 0)?;
        let mut shared = Shared { party: std::ptr::null_mut(), region };
        let options = std::ptr::null();
        // SAFETY: all pointers are valid for the call.
        told(|error| unsafe {
            c::shm_party_join(shared.region.handle(), 0, options, &mut shared.party, error)
        })?;
        // SAFETY: the lock is in the region.
        told(|error| unsafe { c::shm_mutex_init(shared.party, shared.board().mutex.0.lock.get(), error) })?;
        // SAFETY: the region has room for all of them, and nobody uses them yet.
        unsafe {
            make_robust(shared.board().robust.0.lock.get());
            make_the_others(&shared)?;
        }
        Ok(shared)
    }

    pub fn board(&self) -> &Board {
        // SAFETY: the region is as large, and zeros are a board; all that two processes write is atomic, or
        // under a lock.
        unsafe { &*self.region.data().cast() }
    }

    pub fn lock(&self, side: Side) -> bool {
        let board = self.board();
        // SAFETY: both locks are made.
        match side {
            Side::Ours => unsafe {
                let result = c::shm_mutex_lock(self.party, board.mutex.0.lock.get());
                if result == c::SHMKIT_OWNER_DIED {
                    c::shm_mutex_consistent(self.party, board.mutex.0.lock.get());
                }
                result == c::SHMKIT_OWNER_DIED
            },
            Side::Reference => unsafe {
                let result = libc::pthread_mutex_lock(board.robust.0.lock.get());
                if result == libc::EOWNERDEAD {
                    libc::pthread_mutex_consistent(board.robust.0.lock.get());
                }
                result == libc::EOWNERDEAD
            },
        }
    }

    pub fn unlock(&self, side: Side) {
        let board = self.board();
        // SAFETY: as above.
        match side {
            Side::Ours => unsafe { c::shm_mutex_unlock(self.party, board.mutex.0.lock.get()) },
            Side::Reference => unsafe { libc::pthread_mutex_unlock(board.robust.0.lock.get()) },
        };
    }

    pub fn counter(&self, side: Side) -> &Cell<u64> {
        match side {
            Side::Ours => &self.board().mutex.0.counter,
            Side::Reference => &self.board().robust.0.counter,
        }
    }

    /// Whether somebody sleeps, or is about to.
    pub fn is_waited_for(&self, side: Side) -> bool {
        // Both have the kernel's bit for it in their first word.
        let word: *const AtomicU32 = match side {
            Side::Ours => self.board().mutex.0.lock.get().cast(),
            Side::Reference => self.board().robust.0.lock.get().cast(),
        };
        // SAFETY: in the region, and aligned.
        unsafe { &*word }.load(Ordering::Relaxed) & libc::FUTEX_WAITERS != 0
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: nobody uses it after this.
        unsafe { c::shm_party_leave(self.party) };
    }
}

/// # Safety
/// Room for one, that nobody uses.
pub unsafe fn make_robust(mutex: *mut libc::pthread_mutex_t) {
    let mut attributes = MaybeUninit::uninit();
    // SAFETY: initialised by the first call; none of these fails.
    unsafe {
        libc::pthread_mutexattr_init(attributes.as_mut_ptr());
        libc::pthread_mutexattr_setpshared(attributes.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED);
        libc::pthread_mutexattr_setrobust(attributes.as_mut_ptr(), libc::PTHREAD_MUTEX_ROBUST);
        libc::pthread_mutex_init(mutex, attributes.as_ptr());
        libc::pthread_mutexattr_destroy(attributes.as_mut_ptr());
    }
}

/// # Safety
/// Nobody uses the board yet.
pub unsafe fn make_the_others(shared: &Shared) -> Result<()> {
    let (board, party) = (shared.board(), shared.party);
    // SAFETY: the caller's promise; all pointers are valid for the calls.
    unsafe {
        told(|error| c::shm_semaphore_init(party, board.semaphore.0.get(), 1, 0, error))?;
        told(|error| c::shm_cond_init(party, board.cond.0.get(), error))?;
        told(|error| c::shm_rwlock_init(party, board.rwlock.0.get(), error))?;
        told(|error| c::shm_barrier_init(party, board.barrier.0.get(), 2, error))?;
        told(|error| c::shm_event_init(party, board.event.0.get(), c::SHMKIT_EVENT_AUTO_RESET, error))?;
        libc::sem_init(board.sem.0.get(), 1, 1);
        let mut attributes = MaybeUninit::uninit();
        libc::pthread_condattr_init(attributes.as_mut_ptr());
        libc::pthread_condattr_setpshared(attributes.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED);
        libc::pthread_cond_init(board.pthread_cond.0.get(), attributes.as_ptr());
        let mut attributes = MaybeUninit::uninit();
        libc::pthread_rwlockattr_init(attributes.as_mut_ptr());
        libc::pthread_rwlockattr_setpshared(attributes.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED);
        libc::pthread_rwlock_init(board.pthread_rwlock.0.get(), attributes.as_ptr());
        let mut attributes = MaybeUninit::uninit();
        libc::pthread_barrierattr_init(attributes.as_mut_ptr());
        libc::pthread_barrierattr_setpshared(attributes.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED);
        libc::pthread_barrier_init(board.pthread_barrier.0.get(), attributes.as_ptr(), 2);
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
pub enum Side {
    Ours = 1,
    Reference = 2,
}

pub const QUIT: u32 = 3;

impl Side {
    pub fn from(command: u32) -> Option<Side> {
        match command {
            1 => Some(Side::Ours),
            2 => Some(Side::Reference),
            _ => None,
        }
    }
}

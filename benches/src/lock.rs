//! lock.: the locks of a region, against glibc's of the same meaning, shared between processes.

use std::cell::{Cell, UnsafeCell};
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Result};
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::waitpid;
use nix::time::{clock_gettime, ClockId};
use nix::unistd::{fork, ForkResult, Pid};

use crate::c::{self, code, told, Region};
use crate::harness::{each, median, pin, Bench, Run};
use crate::{raw, Cannot, One};

const ROBUST: &str = "glibc's robust mutex";

const COUNTERPART: &str = "glibc's counterpart";

/// A figure whose limit is what glibc takes for the same.
macro_rules! as_glibc {
    ($id:literal, $compare:expr) => {
        One { id: $id, reference: COUNTERPART, limit: Some(1.0), compare: $compare }
    };
}

pub const JOBS: [One; 13] = [
    One { id: "lock.mutex", reference: ROBUST, limit: Some(0.85), compare: mutex },
    One { id: "lock.mutex.contended", reference: ROBUST, limit: Some(1.0 / 1.2), compare: contended },
    as_glibc!("lock.semaphore", semaphore),
    as_glibc!("lock.cond.signal", signal),
    as_glibc!("lock.rwlock.read", read),
    as_glibc!("lock.rwlock.write", write),
    as_glibc!("lock.barrier", barrier),
    One { id: "lock.event.set", reference: "write(2) to an eventfd", limit: Some(0.20), compare: set },
    One { id: "lock.event.wake", reference: "a store and FUTEX_WAKE", limit: Some(1.05), compare: wake },
    One { id: "lock.watch_death", reference: "FUTEX_WAIT alone", limit: Some(1.10), compare: watch_death },
    One {
        id: "lock.recovery",
        reference: ROBUST,
        limit: Some(1.50),
        compare: |bench| recovery(bench, Owner::OfOneThread),
    },
    One {
        id: "lock.recovery.joined",
        reference: "glibc's robust mutex, of a process with a keeper",
        limit: None,
        compare: |bench| recovery(bench, Owner::Joined),
    },
    One { id: "lock.attach", reference: "with 1 lock", limit: None, compare: attach },
];

/// What the processes share: a line each, so that no word disturbs another.
#[repr(C)]
struct Board {
    parties: c::shm_party_table,
    mutex: Line<Guarded<c::shm_mutex>>,
    robust: Line<Guarded<libc::pthread_mutex_t>>,
    semaphore: Line<UnsafeCell<c::shm_semaphore>>,
    sem: Line<UnsafeCell<libc::sem_t>>,
    cond: Line<UnsafeCell<c::shm_cond>>,
    pthread_cond: Line<UnsafeCell<libc::pthread_cond_t>>,
    rwlock: Line<UnsafeCell<c::shm_rwlock>>,
    pthread_rwlock: Line<UnsafeCell<libc::pthread_rwlock_t>>,
    barrier: Line<UnsafeCell<c::shm_barrier>>,
    pthread_barrier: Line<UnsafeCell<libc::pthread_barrier_t>>,
    event: Line<UnsafeCell<c::shm_event>>,
    data: Line<AtomicU32>,
    reply: Line<AtomicU32>,
    command: Line<AtomicU32>,
    answer: Line<AtomicU32>,
    stop: Line<AtomicU32>,
    turns: Line<AtomicU64>,
    time_ns: Line<AtomicU64>,
}

#[repr(C, align(128))]
struct Line<T>(T);

/// A lock, and right behind it what it guards, as in most programs. Both kinds of lock have 40 bytes.
#[repr(C)]
struct Guarded<T> {
    lock: UnsafeCell<T>,
    counter: Cell<u64>,
}

/// The board, and this process's membership.
struct Shared {
    party: *mut c::shm_party,
    region: Region,
}

impl Shared {
    fn new() -> Result<Shared> {
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

    fn board(&self) -> &Board {
        // SAFETY: the region is as large, and zeros are a board; all that two processes write is atomic, or
        // under a lock.
        unsafe { &*self.region.data().cast() }
    }

    fn lock(&self, side: Side) -> bool {
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

    fn unlock(&self, side: Side) {
        let board = self.board();
        // SAFETY: as above.
        match side {
            Side::Ours => unsafe { c::shm_mutex_unlock(self.party, board.mutex.0.lock.get()) },
            Side::Reference => unsafe { libc::pthread_mutex_unlock(board.robust.0.lock.get()) },
        };
    }

    fn counter(&self, side: Side) -> &Cell<u64> {
        match side {
            Side::Ours => &self.board().mutex.0.counter,
            Side::Reference => &self.board().robust.0.counter,
        }
    }

    /// Whether somebody sleeps, or is about to.
    fn is_waited_for(&self, side: Side) -> bool {
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
unsafe fn make_robust(mutex: *mut libc::pthread_mutex_t) {
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
unsafe fn make_the_others(shared: &Shared) -> Result<()> {
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
enum Side {
    Ours = 1,
    Reference = 2,
}

const QUIT: u32 = 3;

impl Side {
    fn from(command: u32) -> Option<Side> {
        match command {
            1 => Some(Side::Ours),
            2 => Some(Side::Reference),
            _ => None,
        }
    }
}

fn mutex(bench: &Bench) -> Result<Vec<Run>> {
    let shared = Shared::new()?;
    let (ours, reference) = (shared.board().mutex.0.lock.get(), shared.board().robust.0.lock.get());
    let party = shared.party;
    bench.compare(
        // SAFETY: both are made, here and below.
        each(|| unsafe {
            code(c::shm_mutex_lock(party, ours))?;
            code(c::shm_mutex_unlock(party, ours))?;
            Ok(())
        }),
        each(|| unsafe {
            code(-libc::pthread_mutex_lock(reference))?;
            code(-libc::pthread_mutex_unlock(reference))?;
            Ok(())
        }),
    )
}

/// What one process does alone, through C: a pair of calls each.
fn alone(
    bench: &Bench,
    ours: impl Fn(&Board, *mut c::shm_party) -> (c_int, c_int),
    reference: impl Fn(&Board) -> (c_int, c_int),
) -> Result<Vec<Run>> {
    let shared = Shared::new()?;
    let (board, party) = (shared.board(), shared.party);
    let good = |(first, second): (c_int, c_int)| {
        ensure!(first >= 0 && second >= 0, "{first} and {second}");
        Ok(())
    };
    bench.compare(each(|| good(ours(board, party))), each(|| good(reference(board))))
}

// SAFETY of all of these: the objects are made, and the party is joined.
fn semaphore(bench: &Bench) -> Result<Vec<Run>> {
    alone(
        bench,
        |board, party| unsafe {
            let semaphore = board.semaphore.0.get();
            (c::shm_semaphore_wait(party, semaphore), c::shm_semaphore_post(party, semaphore))
        },
        |board| unsafe { (libc::sem_wait(board.sem.0.get()), libc::sem_post(board.sem.0.get())) },
    )
}

fn signal(bench: &Bench) -> Result<Vec<Run>> {
    alone(
        bench,
        |board, party| unsafe { (c::shm_cond_signal(party, board.cond.0.get()), 0) },
        |board| unsafe { (-libc::pthread_cond_signal(board.pthread_cond.0.get()), 0) },
    )
}

fn read(bench: &Bench) -> Result<Vec<Run>> {
    alone(
        bench,
        |board, party| unsafe {
            let rwlock = board.rwlock.0.get();
            (c::shm_rwlock_read(party, rwlock), c::shm_rwlock_unlock(party, rwlock))
        },
        |board| unsafe {
            let rwlock = board.pthread_rwlock.0.get();
            (-libc::pthread_rwlock_rdlock(rwlock), -libc::pthread_rwlock_unlock(rwlock))
        },
    )
}

fn write(bench: &Bench) -> Result<Vec<Run>> {
    alone(
        bench,
        |board, party| unsafe {
            let rwlock = board.rwlock.0.get();
            (c::shm_rwlock_write(party, rwlock), c::shm_rwlock_unlock(party, rwlock))
        },
        |board| unsafe {
            let rwlock = board.pthread_rwlock.0.get();
            (-libc::pthread_rwlock_wrlock(rwlock), -libc::pthread_rwlock_unlock(rwlock))
        },
    )
}

/// Set and reset, which is more than the one write.
fn set(bench: &Bench) -> Result<Vec<Run>> {
    let eventfd = raw::ok(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) })?;
    let one = 1u64;
    let runs = alone(
        bench,
        |board, party| unsafe {
            let event = board.event.0.get();
            (c::shm_event_set(party, event), c::shm_event_reset(party, event))
        },
        |_| unsafe { (libc::write(eventfd, (&raw const one).cast(), 8) as c_int, 0) },
    );
    unsafe { libc::close(eventfd) };
    runs
}

/// Two processes, a number of rounds.
fn barrier(bench: &Bench) -> Result<Vec<Run>> {
    let (here, there) = bench.two_cpus().ok_or_else(|| Cannot("two processes need two processors".into()))?;
    let shared = Shared::new()?;
    let wait = |shared: &Shared, side| unsafe {
        match side {
            Side::Ours => c::shm_barrier_wait(shared.party, shared.board().barrier.0.get()),
            Side::Reference => libc::pthread_barrier_wait(shared.board().pthread_barrier.0.get()),
        }
    };
    let other = Other::start(&shared, here, move |shared, side| {
        for _ in 0..shared.board().turns.0.load(Ordering::Acquire) {
            wait(shared, side);
        }
    })?;
    pin(there)?;
    let run = |side, rounds| {
        shared.board().turns.0.store(rounds, Ordering::Release);
        other.begin(side);
        let start = Instant::now();
        for _ in 0..rounds {
            ensure!(wait(&shared, side) > -2, "the barrier is broken");
        }
        let took = start.elapsed();
        other.wait()?;
        Ok(took)
    };
    bench.compare(|n| run(Side::Ours, n), |n| run(Side::Reference, n))
}

/// What it takes to wake one who sleeps: the waker's call.
fn wake(bench: &Bench) -> Result<Vec<Run>> {
    let (here, there) = bench.two_cpus().ok_or_else(|| Cannot("two processes need two processors".into()))?;
    let shared = Shared::new()?;
    let sleeper = Other::start(&shared, here, |shared, side| {
        let board = shared.board();
        match side {
            Side::Ours => drop(unsafe { c::shm_event_wait(shared.party, board.event.0.get()) }),
            Side::Reference => sleep_while(&board.data.0, 0),
        }
    })?;
    pin(there)?;
    let run = |side: Side, iterations| {
        let (board, mut took) = (shared.board(), Duration::ZERO);
        for _ in 0..iterations {
            board.data.0.store(0, Ordering::Relaxed);
            sleeper.begin(side);
            sleeper.await_sleep()?;
            let start = Instant::now();
            match side {
                Side::Ours => drop(unsafe { c::shm_event_set(shared.party, board.event.0.get()) }),
                Side::Reference => {
                    board.data.0.store(1, Ordering::SeqCst);
                    futex(&board.data.0, libc::FUTEX_WAKE, 1);
                }
            }
            took += start.elapsed();
            sleeper.wait()?;
        }
        Ok(took)
    };
    bench.compare(|n| run(Side::Ours, n), |n| run(Side::Reference, n))
}

/// From a store until one who sleeps has answered: he watches for the other's death, too, or does not.
fn watch_death(bench: &Bench) -> Result<Vec<Run>> {
    let (here, there) = bench.two_cpus().ok_or_else(|| Cannot("two processes need two processors".into()))?;
    let shared = Shared::new()?;
    let other = Other::start(&shared, here, |shared, side| {
        let board = shared.board();
        for turn in 0..board.turns.0.load(Ordering::Acquire) as u32 {
            while board.data.0.load(Ordering::Acquire) == turn {
                match side {
                    Side::Ours => unsafe {
                        let mut seen = 0;
                        c::shm_party_changes(shared.party, &mut seen);
                        c::shm_party_wait(shared.party, board.data.0.as_ptr(), turn, seen);
                    },
                    Side::Reference => sleep_while(&board.data.0, turn),
                }
            }
            board.reply.0.store(turn + 1, Ordering::Release);
        }
    })?;
    pin(there)?;
    let run = |side, turns: u64| {
        let board = shared.board();
        board.data.0.store(0, Ordering::Relaxed);
        board.reply.0.store(0, Ordering::Relaxed);
        board.turns.0.store(turns, Ordering::Release);
        other.begin(side);
        let mut took = Duration::ZERO;
        for turn in 0..turns as u32 {
            other.await_sleep()?;
            let start = Instant::now();
            board.data.0.store(turn + 1, Ordering::SeqCst);
            futex(&board.data.0, libc::FUTEX_WAKE, 1);
            while board.reply.0.load(Ordering::Acquire) == turn {
                std::hint::spin_loop();
            }
            took += start.elapsed();
        }
        other.wait()?;
        Ok(took)
    };
    bench.compare(|n| run(Side::Ours, n), |n| run(Side::Reference, n))
}

fn futex(word: &AtomicU32, operation: c_int, value: u32) {
    let none = std::ptr::null::<libc::timespec>();
    // SAFETY: the kernel reads the word. What it answers, the word tells again.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, value, none) };
}

fn sleep_while(word: &AtomicU32, value: u32) {
    futex(word, libc::FUTEX_WAIT, value);
}

/// Joining, and using 10,000 locks once, against one lock: what a lock of a region costs at its first use.
fn attach(bench: &Bench) -> Result<Vec<Run>> {
    const LOCKS: usize = 10_000;
    let table = size_of::<c::shm_party_table>().next_multiple_of(128);
    let region = Region::memfd(table + LOCKS * size_of::<c::shm_mutex>(), 0, 0)?;
    let first = region.data().wrapping_add(table).cast::<c::shm_mutex>();
    let join = |locks: usize| -> Result<()> {
        let mut party = std::ptr::null_mut();
        // SAFETY: all pointers are valid for the calls, and all locks lie in the region.
        unsafe {
            told(|error| c::shm_party_join(region.handle(), 0, std::ptr::null(), &mut party, error))?;
            for lock in (0..locks).map(|index| first.add(index)) {
                told(|error| c::shm_mutex_init(party, lock, error))?;
                code(c::shm_mutex_lock(party, lock))?;
                code(c::shm_mutex_unlock(party, lock))?;
            }
            code(c::shm_party_leave(party))?;
        }
        Ok(())
    };
    bench.compare_long(|_| each(|| join(LOCKS))(1), |_| each(|| join(1))(1))
}

/// Another process, which does as the board commands, on a processor of its own.
struct Other<'s> {
    shared: &'s Shared,
    pid: Pid,
}

impl<'s> Other<'s> {
    fn start(shared: &'s Shared, cpu: usize, work: impl Fn(&Shared, Side)) -> Result<Other<'s>> {
        // SAFETY: the child calls nothing that another thread may have left half done: the keeper sleeps.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(Other { shared, pid: child }),
            ForkResult::Child => {
                // It ends with its parent, whatever becomes of that.
                // SAFETY: it takes numbers.
                unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
                let board = shared.board();
                let pinned = pin(cpu).is_ok();
                loop {
                    let command = board.command.0.load(Ordering::Acquire);
                    if command == QUIT || !pinned {
                        break;
                    }
                    if let Some(side) = Side::from(command) {
                        board.command.0.store(0, Ordering::Relaxed);
                        work(shared, side);
                        board.answer.0.store(1, Ordering::Release);
                    }
                    std::hint::spin_loop();
                }
                // SAFETY: without what the parent would do at its end.
                unsafe { libc::_exit(0) }
            }
        }
    }

    fn begin(&self, side: Side) {
        self.shared.board().answer.0.store(0, Ordering::Relaxed);
        self.shared.board().command.0.store(side as u32, Ordering::Release);
    }

    fn await_sleep(&self) -> Result<()> {
        let start = Instant::now();
        while !is_asleep(self.pid) {
            ensure!(start.elapsed() < Duration::from_secs(10), "the other process does not sleep");
        }
        Ok(())
    }

    fn wait(&self) -> Result<()> {
        let start = Instant::now();
        while self.shared.board().answer.0.load(Ordering::Acquire) == 0 {
            ensure!(start.elapsed() < Duration::from_secs(10), "the other process does not answer");
            std::hint::spin_loop();
        }
        Ok(())
    }
}

impl Drop for Other<'_> {
    fn drop(&mut self) {
        self.shared.board().command.0.store(QUIT, Ordering::Release);
        let _ = kill(self.pid, Signal::SIGKILL);
        let _ = waitpid(self.pid, None);
    }
}

/// How long two processes want one lock, in one run.
const WINDOW: Duration = Duration::from_millis(300);
/// What a run's time is for: more than one, as it is told in whole nanoseconds.
const MANY: u64 = 1000;

fn contended(bench: &Bench) -> Result<Vec<Run>> {
    let (here, there) = bench.two_cpus().ok_or_else(|| Cannot("two processes need two processors".into()))?;
    let shared = Shared::new()?;
    // The same loop for both: whoever does more between two turns has fewer of them.
    let turns = |shared: &Shared, side| {
        let mut turns = 0;
        while shared.board().stop.0.load(Ordering::Relaxed) == 0 {
            turn(shared, side);
            turns += 1;
        }
        turns
    };
    let other = Other::start(&shared, here, |shared, side| {
        shared.board().answer.0.store(2, Ordering::Release);
        let turns = turns(shared, side);
        shared.board().turns.0.store(turns, Ordering::Relaxed);
    })?;
    pin(there)?;
    let least = std::cell::RefCell::new([const { Vec::new() }; 2]);
    let run = |side: Side| -> Result<Duration> {
        let board = shared.board();
        board.stop.0.store(0, Ordering::Relaxed);
        let before = shared.counter(side).get();
        other.begin(side);
        other.wait()?;
        let start = Instant::now();
        let turns = std::thread::scope(|scope| {
            let stop = &board.stop.0;
            scope.spawn(move || {
                std::thread::sleep(WINDOW);
                stop.store(1, Ordering::Relaxed);
            });
            turns(&shared, side)
        });
        let took = start.elapsed();
        while board.answer.0.load(Ordering::Acquire) != 1 {
            std::hint::spin_loop();
        }
        let theirs = board.turns.0.load(Ordering::Relaxed);
        let all = turns + theirs;
        ensure!(shared.counter(side).get() - before == all, "{all} turns, and the counter says other");
        least.borrow_mut()[side as usize - 1].push(turns.min(theirs) as f64 / all as f64);
        Ok(Duration::from_nanos((took.as_nanos() * u128::from(MANY) / u128::from(all)) as u64))
    };
    let runs = bench.compare_long(|_| run(Side::Ours), |_| run(Side::Reference))?;
    let [ours, _] = least.into_inner();
    let share = median(ours);
    if share < 0.4 {
        bail!("one process had {:.0} % of the turns", share * 100.0);
    }
    Ok(runs)
}

fn turn(shared: &Shared, side: Side) {
    shared.lock(side);
    let counter = shared.counter(side);
    counter.set(counter.get() + 1);
    shared.unlock(side);
}

/// Who has glibc's lock when it is killed. Who has ours has a keeper, and so a second thread.
#[derive(Clone, Copy, PartialEq)]
enum Owner {
    Joined,
    OfOneThread,
}

/// From the SIGKILL of the owner to the next one running, who was asleep.
fn recovery(bench: &Bench, owner: Owner) -> Result<Vec<Run>> {
    let (here, there) = bench.two_cpus().ok_or_else(|| Cannot("two processes need two processors".into()))?;
    let shared = Shared::new()?;
    let waiter = Other::start(&shared, here, |shared, side| {
        let died = shared.lock(side);
        shared.board().time_ns.0.store(if died { now_ns() } else { 0 }, Ordering::Relaxed);
        shared.unlock(side);
    })?;
    pin(there)?;
    let run = |side: Side, iterations: u64| -> Result<Duration> {
        let mut took = 0;
        for _ in 0..iterations {
            took += recover(&shared, &waiter, side, owner)?;
        }
        Ok(Duration::from_nanos(took))
    };
    bench.compare(|n| run(Side::Ours, n), |n| run(Side::Reference, n))
}

fn recover(shared: &Shared, waiter: &Other, side: Side, kind: Owner) -> Result<u64> {
    let board = shared.board();
    board.stop.0.store(0, Ordering::Relaxed);
    // SAFETY: as in Other::start.
    let owner = match unsafe { fork() }? {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            // SAFETY: it takes numbers.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            if kind == Owner::Joined {
                shared.lock(Side::Ours);
                shared.unlock(Side::Ours);
            }
            shared.lock(side);
            board.stop.0.store(1, Ordering::Release);
            loop {
                nix::unistd::pause();
            }
        }
    };
    let end = |error: Result<u64>| {
        let _ = kill(owner, Signal::SIGKILL);
        let _ = waitpid(owner, None);
        error
    };
    let start = Instant::now();
    while board.stop.0.load(Ordering::Acquire) == 0 {
        if start.elapsed() > Duration::from_secs(10) {
            return end(Err(anyhow::anyhow!("the owner does not lock")));
        }
    }
    waiter.begin(side);
    while !(shared.is_waited_for(side) && is_asleep(waiter.pid)) {
        if start.elapsed() > Duration::from_secs(10) {
            return end(Err(anyhow::anyhow!("the waiter does not wait")));
        }
    }
    let killed = now_ns();
    kill(owner, Signal::SIGKILL)?;
    // The owner has this processor to itself.
    waitpid(owner, None)?;
    waiter.wait()?;
    match board.time_ns.0.load(Ordering::Relaxed) {
        0 => bail!("nobody was told of the death"),
        time => Ok(time.saturating_sub(killed)),
    }
}

fn is_asleep(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" S"))
}

fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("the clock is there");
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}

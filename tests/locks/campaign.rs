//! Processes of several threads that lock, wait and unlock, and are killed at random moments, thousands of them.
//!
//! What they do is a history in shared memory, in one order, that this process reads and checks as it grows:
//! nobody gets a lock that somebody has, the next one after a death is told of it, and nobody is told of a death
//! that was none. Whoever sleeps on a lock that is free is seen by a watchdog.
//!
//! `SHMKIT_DEATHS` says how many; `make campaign` has 10,000.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use shmkit::sync::{Locked, Mutex};
use shmkit::{Deadline, Options, Region};

use super::history::{Event, History, Kind};
use super::support::*;
use super::{join, FIRST};

const WORKERS: usize = 4;
const THREADS: usize = 3;
const LOCKS: usize = 4;
/// More than one keeper serves.
const COLD_LOCKS: usize = 2100;
const COLD: usize = 64 << 10;
const BOARD: usize = 256 << 10;
const HISTORY: usize = 512 << 10;

const TM: u32 = (1 << 30) - 1;

/// What a lock guards; plain numbers, but that others look at them.
#[repr(C)]
struct Guarded {
    owner: AtomicU32,
    count: AtomicU64,
    /// The same count by worker and thread: what a dead owner has left half done is repaired from these.
    tally: [AtomicU64; WORKERS * THREADS],
}

#[repr(C)]
struct Waiting {
    /// Of a lock, from 1; 0: none.
    lock: AtomicUsize,
    thread: AtomicU32,
}

/// The program's own robust lock, beside ours.
#[repr(C)]
struct Own {
    mutex: std::cell::UnsafeCell<libc::pthread_mutex_t>,
    owner: AtomicU32,
    deaths: AtomicU64,
}

#[repr(C)]
struct Board {
    stop: AtomicU32,
    /// Nobody begins a turn: a wake-up that is lost is not made good by the next owner.
    quiet: AtomicU32,
    /// For a worker: the incarnation that is to execute another program with a lock.
    execute: AtomicU32,
    guarded: [Guarded; LOCKS],
    waiting: [Waiting; WORKERS * THREADS],
    own: [Own; 2],
}

struct World {
    region: Region,
}

impl World {
    fn new() -> World {
        let world = World { region: Region::create("campaign", 4 << 20, &Options::default()).unwrap() };
        unsafe {
            let mut attributes = std::mem::MaybeUninit::uninit();
            libc::pthread_mutexattr_init(attributes.as_mut_ptr());
            libc::pthread_mutexattr_setpshared(attributes.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED);
            libc::pthread_mutexattr_setrobust(attributes.as_mut_ptr(), libc::PTHREAD_MUTEX_ROBUST);
            for own in &world.board().own {
                assert_eq!(libc::pthread_mutex_init(own.mutex.get(), attributes.as_ptr()), 0);
            }
        }
        world
    }

    fn board(&self) -> &Board {
        unsafe { &*self.region.as_ptr().add(BOARD).cast() }
    }

    fn history(&self) -> &History {
        unsafe { &*self.region.as_ptr().add(HISTORY).cast() }
    }

    fn is_waited_for(&self) -> bool {
        self.board().waiting.iter().any(|waiting| waiting.lock.load(Ordering::Acquire) != 0)
    }

    fn word(&self, lock: usize) -> &AtomicU32 {
        unsafe { AtomicU32::from_ptr(self.region.as_ptr().add(FIRST + lock * 64).cast()) }
    }
}

// ---- A worker ----------------------------------------------------------------------------------

/// Who it is in the history: an incarnation of a worker, and a thread of it.
#[derive(Clone, Copy)]
struct Who {
    worker: usize,
    incarnation: u32,
    thread: usize,
}

impl Who {
    fn number(self) -> u32 {
        self.incarnation << 4 | self.thread as u32
    }

    fn seat(self) -> usize {
        self.worker * THREADS + self.thread
    }
}

/// A thread that fails would leave the others of its process to wait for what it has.
fn end_at_failure(world: &World, incarnation: u32) {
    let history: *const History = world.history();
    let history = history as usize;
    std::panic::set_hook(Box::new(move |failure| {
        eprintln!("worker {incarnation}: {failure}");
        // The process has the region until its end.
        unsafe { &*(history as *const History) }.append(Event::new(Kind::Failed, 0, incarnation << 4));
        std::process::abort();
    }));
}

fn work(world: &World, worker: usize, incarnation: u32) {
    let mut chance = Chance::new(u64::from(incarnation) * 977);
    while world.board().stop.load(Ordering::Relaxed) == 0 {
        let party = join(&world.region);
        let turns = 20 + chance.below(2000);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (party, mut chance) = (&party, Chance::new(chance.below(1 << 30) as u64));
                scope.spawn(move || {
                    let who = Who { worker, incarnation, thread };
                    let locks: Vec<_> =
                        (0..LOCKS).map(|lock| party.mutex(FIRST + lock * 64).unwrap()).collect();
                    for _ in 0..turns {
                        if world.board().stop.load(Ordering::Relaxed) != 0 {
                            break;
                        }
                        while world.board().quiet.load(Ordering::Relaxed) != 0 {
                            std::thread::sleep(Duration::from_micros(100));
                        }
                        world.history().wait_for_room();
                        turn(world, who, &locks, &mut chance);
                    }
                });
            }
        });
        party.leave().expect("nothing is held between turns");
    }
}

/// Takes one or two locks, with or without the program's own.
fn turn(world: &World, who: Who, locks: &[Mutex<'_>], chance: &mut Chance) {
    let own = (chance.below(4) == 0).then(|| &world.board().own[chance.below(2)]);
    let own = own.filter(|own| lock_own(world, own, who));
    let first = chance.below(LOCKS);
    if acquire(world, who, locks, first, chance) {
        let second = first + 1 + chance.below(LOCKS);
        let both = second < LOCKS && acquire(world, who, locks, second, chance);
        busy(world, who, locks[first], chance);
        if both {
            release(world, who, locks, second);
        }
        release(world, who, locks, first);
    }
    if let Some(own) = own {
        own.owner.store(0, Ordering::Relaxed);
        assert_eq!(unsafe { libc::pthread_mutex_unlock(own.mutex.get()) }, 0);
    }
}

/// Only tries: a wait for a lock of this kind may hang when its waker dies.
fn lock_own(world: &World, own: &Own, who: Who) -> bool {
    let died = match unsafe { libc::pthread_mutex_trylock(own.mutex.get()) } {
        0 => false,
        libc::EOWNERDEAD => {
            assert_eq!(unsafe { libc::pthread_mutex_consistent(own.mutex.get()) }, 0);
            own.deaths.fetch_add(1, Ordering::Relaxed);
            true
        }
        libc::EBUSY => return false,
        errno => panic!("the program's own lock: {errno}"),
    };
    if own.owner.swap(who.number(), Ordering::Relaxed) != 0 && !died {
        world.history().append(Event::new(Kind::OwnLockHarmed, 0, who.number()));
    }
    true
}

fn acquire(world: &World, who: Who, locks: &[Mutex<'_>], lock: usize, chance: &mut Chance) -> bool {
    let waiting = &world.board().waiting[who.seat()];
    waiting.thread.store(unsafe { libc::gettid() } as u32, Ordering::Relaxed);
    let mutex = locks[lock];
    let locked = match chance.below(8) {
        0 => mutex.try_lock(),
        1 => mutex.lock_until(Deadline::after(Duration::from_micros(chance.below(2000) as u64))),
        _ => {
            waiting.lock.store(lock + 1, Ordering::Release);
            let locked = mutex.lock();
            waiting.lock.store(0, Ordering::Release);
            locked
        }
    };
    let died = match locked {
        Ok(locked) => locked == Locked::OwnerDied,
        Err(code) => {
            assert!([Some(libc::EBUSY), Some(libc::ETIMEDOUT)].contains(&code.errno()), "{code:?}");
            return false;
        }
    };
    let kind = if died { Kind::AcquiredFromDead } else { Kind::Acquired };
    world.history().append(Event::new(kind, lock, who.number()));
    let guarded = &world.board().guarded[lock];
    let owner = guarded.owner.load(Ordering::Relaxed);
    if died {
        guarded.count.store(guarded.sum(), Ordering::Relaxed);
    } else if owner != 0 {
        world.history().append(Event::new(Kind::Crowd, lock, who.number()));
    }
    guarded.owner.store(who.number(), Ordering::Relaxed);
    if died {
        mutex.consistent().unwrap();
    }
    guarded.count.store(guarded.count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    let tally = &guarded.tally[who.seat()];
    tally.store(tally.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    true
}

fn release(world: &World, who: Who, locks: &[Mutex<'_>], lock: usize) {
    let guarded = &world.board().guarded[lock];
    if guarded.owner.swap(0, Ordering::Relaxed) != who.number() {
        world.history().append(Event::new(Kind::Crowd, lock, who.number()));
    }
    world.history().append(Event::new(Kind::Released, lock, who.number()));
    locks[lock].unlock().unwrap();
}

impl Guarded {
    fn sum(&self) -> u64 {
        self.tally.iter().map(|tally| tally.load(Ordering::Relaxed)).sum()
    }
}

/// What a thread does while it has a lock.
fn busy(world: &World, who: Who, mutex: Mutex<'_>, chance: &mut Chance) {
    match chance.below(3000) {
        0 => {
            // The child owns nothing of it, and its end changes nothing.
            let parent = unsafe { libc::getpid() };
            let child = good(unsafe { libc::fork() });
            if child == 0 {
                let unlocked = mutex.unlock().is_ok();
                let locked = mutex.try_lock().is_ok();
                let is_orphan = unsafe { libc::getppid() } != parent;
                if locked && is_orphan {
                    // Once its parent is killed it may well have it, and dies with it.
                    world.history().append(Event::new(Kind::Dead, 0, who.incarnation << 4));
                }
                unsafe { libc::_exit((unlocked || locked && !is_orphan).into()) }
            }
            let mut status = 0;
            good(unsafe { libc::waitpid(child, &mut status, 0) });
            if status != 0 {
                world.history().append(Event::new(Kind::ChildOwned, 0, who.number()));
            }
        }
        // Others fall asleep meanwhile.
        1..900 => (0..chance.below(20)).for_each(|_| std::thread::yield_now()),
        900..1100 => std::thread::sleep(Duration::from_micros(chance.below(500) as u64)),
        _ => {}
    }
    if world.board().execute.load(Ordering::Relaxed) == who.incarnation {
        world.history().append(Event::new(Kind::Dying, 0, who.incarnation << 4));
        let arguments = [c"true".as_ptr(), std::ptr::null()];
        unsafe { libc::execv(c"/bin/true".as_ptr(), arguments.as_ptr()) };
        // Another thread was faster.
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}

// ---- The checks ----------------------------------------------------------------------------------

#[derive(Default)]
struct Figures {
    deaths: u64,
    turns: u64,
    recoveries: u64,
    stalls: u64,
    double_owners: u64,
    untold: u64,
    unfounded: u64,
    own_recoveries: u64,
    other: u64,
}

impl Figures {
    fn faults(&self) -> u64 {
        self.stalls + self.double_owners + self.untold + self.unfounded + self.other
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Figures {
            deaths,
            turns,
            recoveries,
            stalls,
            double_owners,
            untold,
            unfounded,
            own_recoveries,
            other,
        } = self;
        write!(
            f,
            "{deaths} deaths, {turns} turns, {recoveries} recoveries, {stalls} stalls, {double_owners} double \
             owners, {untold} deaths untold, {unfounded} told of none, {own_recoveries} recoveries of the \
             program's own locks, {other} other faults"
        )
    }
}

/// Reads the history, and knows what may come next.
#[derive(Default)]
struct Checker {
    read: u64,
    /// Who has the lock, as the history has it; and when that was.
    owners: [Option<u32>; LOCKS],
    last: [u64; LOCKS],
    dying: HashSet<u32>,
    dead: HashSet<u32>,
    last_death: u64,
    recent: VecDeque<(u64, Event)>,
}

impl Checker {
    fn read_on(&mut self, history: &History, figures: &mut Figures) {
        while let Some(event) = history.get(self.read) {
            self.recent.push_back((self.read, event));
            if self.recent.len() > 400 {
                self.recent.pop_front();
            }
            let before = figures.faults();
            self.look_at(event, figures);
            self.read += 1;
            history.let_go(self.read);
            if figures.faults() != before {
                eprintln!("fault at {}: {event:?}", self.read - 1);
                self.recent.iter().for_each(|(at, event)| eprintln!("  {at} {event:?}"));
            }
        }
    }

    fn look_at(&mut self, event: Event, figures: &mut Figures) {
        let Event { kind, lock, who } = event;
        let mortal = |who: u32| self.dying.contains(&(who >> 4)) || self.dead.contains(&(who >> 4));
        match kind {
            Kind::Acquired => match self.owners[lock] {
                None => {}
                Some(owner) if mortal(owner) => figures.untold += 1,
                Some(_) => figures.double_owners += 1,
            },
            Kind::AcquiredFromDead => {
                figures.recoveries += 1;
                let founded = match self.owners[lock] {
                    Some(owner) => mortal(owner),
                    // Before it said that it had it, or after it said that it had no more.
                    None => !self.dying.is_empty() || self.last_death > self.last[lock],
                };
                figures.unfounded += u64::from(!founded);
            }
            Kind::Released => {
                figures.turns += 1;
                figures.double_owners += u64::from(self.owners[lock] != Some(who));
            }
            Kind::Dying => drop(self.dying.insert(who >> 4)),
            Kind::Dead => {
                self.dying.remove(&(who >> 4));
                self.dead.insert(who >> 4);
                self.last_death = self.read;
            }
            Kind::Crowd => figures.double_owners += 1,
            Kind::OwnLockHarmed | Kind::ChildOwned | Kind::Failed => figures.other += 1,
        }
        match kind {
            Kind::Acquired | Kind::AcquiredFromDead => self.owners[lock] = Some(who),
            Kind::Released => self.owners[lock] = None,
            _ => return,
        }
        self.last[lock] = self.read;
    }
}

/// Who sleeps on a lock that is free, and has slept there when it was looked at before.
#[derive(Default)]
struct Watchdog {
    since: HashMap<(usize, usize), (i64, u32)>,
}

impl Watchdog {
    /// A wake-up takes less, however busy the machine is: it counts only who is asleep.
    const LIMIT_NS: i64 = 300_000_000;
    const LOOKS: u32 = 30;

    fn look(&mut self, world: &World, pids: &[libc::pid_t], figures: &mut Figures) {
        for (seat, waiting) in world.board().waiting.iter().enumerate() {
            let lock = waiting.lock.load(Ordering::Acquire);
            self.since.retain(|&(of, on), _| of != seat || on == lock);
            if lock == 0 {
                continue;
            }
            let word = world.word(lock - 1);
            let thread = waiting.thread.load(Ordering::Relaxed);
            let path = format!("/proc/{}/task/{thread}/syscall", pids[seat / THREADS]);
            let asleep = || {
                let call = std::fs::read_to_string(&path).unwrap_or_default();
                call.starts_with(&format!("{} {:p} ", libc::SYS_futex, word.as_ptr()))
            };
            if word.load(Ordering::SeqCst) & TM != 0 || !asleep() || word.load(Ordering::SeqCst) & TM != 0 {
                self.since.remove(&(seat, lock));
                continue;
            }
            let now = monotonic_ns();
            let (since, looks) = self.since.entry((seat, lock)).or_insert((now, 0));
            *looks += 1;
            if now - *since > Watchdog::LIMIT_NS && *looks >= Watchdog::LOOKS {
                self.since.insert((seat, lock), (i64::MAX, 0));
                figures.stalls += 1;
                eprintln!("seat {seat} sleeps on the free lock {lock}: {:#x}", word.load(Ordering::SeqCst));
            }
        }
    }
}

// ---- The campaign ---------------------------------------------------------------------------------

/// Holds more locks than the kernel walks in one list, and dies; all of them are told once.
fn a_hoard_is_recovered(world: &World, figures: &mut Figures) {
    let holds = Line::new();
    let hoarder = fork(|| {
        let party = join(&world.region);
        let locked = |index: usize| party.mutex(COLD + index * 40).unwrap().lock().unwrap();
        let clean = (0..COLD_LOCKS).all(|index| locked(index) == Locked::Clean);
        holds.tell(clean.into());
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    figures.unfounded += u64::from(holds.hear() != 1);
    hoarder.slay();
    let told = fork(|| {
        let party = join(&world.region);
        let died = (0..COLD_LOCKS).filter(|index| {
            let mutex = party.mutex(COLD + index * 40).unwrap();
            // All were told by the kernel, none by a slice that is over.
            let locked = mutex.try_lock();
            let died = locked == Ok(Locked::OwnerDied);
            if died {
                mutex.consistent().unwrap();
            }
            if locked.is_ok() {
                mutex.unlock().unwrap();
            }
            died
        });
        holds.tell(died.count() as i64);
    });
    let count = holds.hear() as u64;
    told.join();
    figures.deaths += 1;
    figures.recoveries += count;
    figures.untold += COLD_LOCKS as u64 - count;
}

/// A worker's incarnation, and its process.
type Worker = Option<(u32, Child)>;

fn pids(workers: &[Worker]) -> Vec<libc::pid_t> {
    workers.iter().map(|worker| worker.as_ref().unwrap().1.pid()).collect()
}

fn campaign(deaths: u64, seed: u64, figures: &mut Figures) {
    let world = World::new();
    let mut chance = Chance::new(seed);
    let mut incarnation = 0;
    let mut born = |worker: usize| {
        incarnation += 1;
        let guarded = || {
            end_at_failure(&world, incarnation);
            work(&world, worker, incarnation);
        };
        (incarnation, fork(guarded))
    };
    let mut workers: Vec<_> = (0..WORKERS).map(|worker| Some(born(worker))).collect();
    let mut checker = Checker::default();
    let mut watchdog = Watchdog::default();
    let (end, faults) = (figures.deaths + deaths, figures.faults());
    let mut next_hoard = figures.deaths + deaths / 2;
    let say = |kind, incarnation: u32| world.history().append(Event::new(kind, 0, incarnation << 4));

    while figures.deaths < end && figures.faults() == faults {
        // At birth, or when there is a crowd.
        let longest_ns = if chance.below(4) == 0 { 20_000_000 } else { 3_000_000 };
        let until = monotonic_ns() + chance.below(longest_ns) as i64;
        while monotonic_ns() < until {
            checker.read_on(world.history(), figures);
            watchdog.look(&world, &pids(&workers), figures);
        }
        let mut victims = vec![chance.below(WORKERS)];
        if chance.below(4) == 0 {
            victims.push((victims[0] + 1) % WORKERS);
        }
        // One that is stopped is not dead.
        let stops = chance.below(8) == 0;
        if stops {
            victims.iter().for_each(|&victim| workers[victim].as_ref().unwrap().1.kill(libc::SIGSTOP));
            std::thread::sleep(Duration::from_micros(chance.below(2000) as u64));
            if chance.below(2) == 0 {
                victims.iter().for_each(|&victim| workers[victim].as_ref().unwrap().1.kill(libc::SIGCONT));
                continue;
            }
        } else if chance.below(16) == 0 {
            // It may be killed before it comes to that.
            world.board().execute.store(workers[victims[0]].as_ref().unwrap().0, Ordering::Relaxed);
            std::thread::sleep(Duration::from_micros(chance.below(2000) as u64));
        }
        let quiet = !stops && chance.below(2) == 0;
        world.board().quiet.store(quiet.into(), Ordering::Relaxed);
        for &victim in &victims {
            say(Kind::Dying, workers[victim].as_ref().unwrap().0);
            workers[victim].as_ref().unwrap().1.kill(libc::SIGKILL);
        }
        for &victim in &victims {
            let (number, child) = workers[victim].take().expect("each seat is taken");
            child.wait();
            say(Kind::Dead, number);
            // The seats of the dead are empty, before anybody else sits there.
            let seats = &world.board().waiting[victim * THREADS..][..THREADS];
            seats.iter().for_each(|seat| seat.lock.store(0, Ordering::Relaxed));
            workers[victim] = Some(born(victim));
            figures.deaths += 1;
        }
        while quiet && world.is_waited_for() && figures.faults() == faults {
            checker.read_on(world.history(), figures);
            watchdog.look(&world, &pids(&workers), figures);
        }
        world.board().quiet.store(0, Ordering::Relaxed);
        if figures.deaths >= next_hoard {
            next_hoard += 1000;
            a_hoard_is_recovered(&world, figures);
        }
    }

    world.board().stop.store(1, Ordering::Relaxed);
    for (_, worker) in workers.into_iter().flatten() {
        let (pid, begin) = (worker.pid(), monotonic_ns());
        while !has_ended(pid) {
            if monotonic_ns() - begin > 60_000_000_000 {
                eprintln!("worker {pid} has not come to its end");
                worker.kill(libc::SIGKILL);
            }
            checker.read_on(world.history(), figures);
            watchdog.look(&world, &[pid; WORKERS], figures);
        }
        if worker.wait() != End::Exit(0) {
            figures.other += 1;
        }
    }
    checker.read_on(world.history(), figures);
    for guarded in &world.board().guarded {
        // The last owner may have died in the middle of it.
        if guarded.owner.load(Ordering::Relaxed) == 0 {
            figures.double_owners += u64::from(guarded.count.load(Ordering::Relaxed) != guarded.sum());
        }
    }
    let own = world.board().own.iter().map(|own| own.deaths.load(Ordering::Relaxed));
    figures.own_recoveries += own.sum::<u64>();
}

fn has_ended(pid: libc::pid_t) -> bool {
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    good(unsafe { libc::waitid(libc::P_PID, pid as libc::id_t, &mut info, flags) });
    unsafe { info.si_pid() != 0 }
}

#[test]
fn processes_that_are_killed_at_random() {
    let deaths = std::env::var("SHMKIT_DEATHS").ok().and_then(|text| text.parse().ok()).unwrap_or(400);
    // A test has two rounds.
    let figures = std::cell::RefCell::new(Figures::default());
    own_process!(3600, || {
        let mut figures = figures.borrow_mut();
        let seed = 1 + figures.deaths;
        campaign(deaths / 2, seed, &mut figures);
        assert_eq!(figures.faults(), 0, "{figures}");
        assert!(
            figures.recoveries > figures.deaths / 20 && figures.own_recoveries > 0,
            "{figures}: too little"
        );
        if figures.deaths >= deaths / 2 * 2 {
            tell(&*figures);
        }
    });
}

//! A process dies at each step of what it does with a lock, killed or by executing another program: those who
//! are left go on, one at a time, and are told of its death once if it had the lock, and never if it had not.

use std::time::Duration;

use shmkit::sync::{Locked, Mutex, PartyOptions};
use shmkit::Deadline;

use super::super::TABLE;
use super::*;

const OD: u32 = 1 << 30;
const TM: u32 = OD - 1;

/// What the survivors have to say.
#[repr(C)]
#[derive(Default)]
struct Board {
    inside: AtomicU32,
    crowds: AtomicU32,
    turns: AtomicU32,
    deaths: AtomicU32,
    refused: AtomicU32,
    /// Steps that the victim has passed, as it tells when it was not stopped.
    steps: AtomicU32,
}

fn board(region: &Region) -> &Board {
    unsafe { &*region.as_ptr().add(FIRST + 4096).cast() }
}

fn word(region: &Region) -> &AtomicU32 {
    word_at(region, 0)
}

fn is_spoiled(region: &Region) -> bool {
    word_at(region, 4).load(Ordering::Relaxed) != 0
}

/// One turn of a survivor; `busy` is what it does while it has the lock.
fn turn(region: &Region, locked: Result<Locked, shmkit::Code>, mutex: Mutex<'_>, busy: impl FnOnce()) {
    let board = board(region);
    match locked {
        Ok(locked) => {
            if board.inside.fetch_add(1, Ordering::Relaxed) != 0 {
                board.crowds.fetch_add(1, Ordering::Relaxed);
            }
            if locked == Locked::OwnerDied {
                board.deaths.fetch_add(1, Ordering::Relaxed);
                mutex.consistent().unwrap();
            }
            busy();
            board.turns.fetch_add(1, Ordering::Relaxed);
            board.inside.fetch_sub(1, Ordering::Relaxed);
            mutex.unlock().unwrap();
        }
        Err(code) if code.errno() == Some(libc::ENOTRECOVERABLE) => {
            board.refused.fetch_add(1, Ordering::Relaxed);
        }
        Err(code) => assert_eq!(code.errno(), Some(libc::EBUSY)),
    }
}

fn survivor(region: &Region) -> Child {
    fork(|| {
        let party = join(region);
        let mutex = party.mutex(FIRST).unwrap();
        turn(region, mutex.lock(), mutex, || ());
    })
}

/// A process that has the lock when this returns, until it is told to go on.
fn holder(region: &Region, go: &Line) -> Child {
    let holds = Line::new();
    let child = fork(|| {
        let party = join(region);
        let mutex = party.mutex(FIRST).unwrap();
        turn(region, mutex.lock(), mutex, || {
            holds.tell(1);
            go.hear();
        });
    });
    holds.hear();
    child
}

/// Takes the lock if it is free, and keeps it until it is told to go on.
fn newcomer(region: &Region, go: &Line) -> Child {
    let tried = Line::new();
    let child = fork(|| {
        let party = join(region);
        let mutex = party.mutex(FIRST).unwrap();
        let locked = mutex.try_lock();
        tried.tell(1);
        turn(region, locked, mutex, || assert_eq!(go.hear(), 1));
    });
    tried.hear();
    child
}

fn stop_and_execute() {
    stop();
    let arguments = [c"sleep".as_ptr(), c"1000".as_ptr(), std::ptr::null()];
    unsafe { libc::execv(c"/bin/sleep".as_ptr(), arguments.as_ptr()) };
}

/// How the victim dies, and what else happens while it is stopped.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Death {
    Killed,
    /// Somebody comes by and takes the lock, if it is free.
    KilledAndOvertaken,
    Executing,
}

struct Situation {
    name: &'static str,
    /// The last owner died.
    widow: bool,
    /// The owner dies when the victim, who is a member by then, is armed.
    falls: bool,
    /// Another process has the lock; it gives it back when the victim sleeps, or has died.
    held: bool,
    /// The victim repairs nothing.
    unrepaired: bool,
    /// How many sleep on the lock that the victim has when it is armed.
    sleepers: usize,
    /// Does its thing: `arm` is called once.
    victim: fn(&Region, &dyn Fn()),
}

fn own(region: &Region, arm: &dyn Fn(), body: fn(Mutex<'_>)) {
    let party = join(region);
    let mutex = party.mutex(FIRST).unwrap();
    arm();
    body(mutex);
}

/// The same with the lock.
fn own_locked(region: &Region, arm: &dyn Fn(), body: fn(Mutex<'_>)) {
    let party = join(region);
    let mutex = party.mutex(FIRST).unwrap();
    let _ = mutex.lock().unwrap();
    arm();
    body(mutex);
}

fn lock_and_unlock(mutex: Mutex<'_>) {
    if mutex.lock().unwrap() == Locked::OwnerDied {
        mutex.consistent().unwrap();
    }
    mutex.unlock().unwrap();
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_millis(1))
}

/// The slots of the dead tell of another namespace from here on, and that nothing shows whether they are there.
fn forget_where_the_dead_are(region: &Region) {
    for slot in 0..64 {
        let at = |offset: usize| unsafe { region.as_ptr().add(TABLE + 64 + slot * 64 + offset) };
        if unsafe { AtomicU32::from_ptr(at(0).cast()) }.load(Ordering::SeqCst) & (OD | TM) == OD {
            unsafe { std::sync::atomic::AtomicU64::from_ptr(at(16).cast()) }.fetch_add(1, Ordering::SeqCst);
            unsafe { AtomicU32::from_ptr(at(36).cast()) }.fetch_and(!2, Ordering::SeqCst);
        }
    }
}

const CALM: Situation = Situation {
    name: "",
    widow: false,
    falls: false,
    unrepaired: false,
    held: false,
    sleepers: 0,
    victim: |region, arm| own(region, arm, |_| ()),
};

const SITUATIONS: &[Situation] = &[
    Situation {
        name: "makes the lock",
        victim: |region, arm| {
            let party = join(region);
            arm();
            party.mutex(FIRST).unwrap();
        },
        ..CALM
    },
    Situation { name: "first use", victim: |region, arm| own(region, arm, lock_and_unlock), ..CALM },
    Situation {
        name: "lock free",
        victim: |region, arm| {
            let party = join(region);
            let mutex = party.mutex(FIRST).unwrap();
            lock_and_unlock(mutex);
            arm();
            lock_and_unlock(mutex);
        },
        ..CALM
    },
    Situation {
        name: "try",
        victim: |region, arm| {
            own(region, arm, |mutex| {
                assert_eq!(mutex.try_lock(), Ok(Locked::Clean));
                mutex.unlock().unwrap();
            })
        },
        ..CALM
    },
    Situation {
        name: "contended",
        held: true,
        victim: |region, arm| own(region, arm, lock_and_unlock),
        ..CALM
    },
    Situation {
        name: "contended until a deadline",
        held: true,
        victim: |region, arm| {
            own(region, arm, |mutex| match mutex.lock_until(soon()) {
                Ok(_) => mutex.unlock().unwrap(),
                Err(code) => assert_eq!(code.errno(), Some(libc::ETIMEDOUT)),
            })
        },
        ..CALM
    },
    Situation {
        name: "dead owner",
        falls: true,
        victim: |region, arm| own(region, arm, lock_and_unlock),
        ..CALM
    },
    Situation {
        name: "dead owner, try",
        falls: true,
        victim: |region, arm| {
            own(region, arm, |mutex| {
                assert_eq!(mutex.try_lock(), Ok(Locked::OwnerDied));
                mutex.consistent().unwrap();
                mutex.unlock().unwrap();
            })
        },
        ..CALM
    },
    Situation {
        name: "dead owner, not repaired",
        widow: true,
        unrepaired: true,
        sleepers: 2,
        victim: |region, arm| own_locked(region, arm, |mutex| mutex.unlock().unwrap()),
        ..CALM
    },
    Situation {
        name: "dead owner, repaired before sleepers",
        widow: true,
        sleepers: 2,
        victim: |region, arm| {
            own_locked(region, arm, |mutex| {
                mutex.consistent().unwrap();
                mutex.unlock().unwrap();
            })
        },
        ..CALM
    },
    // It may be alive in a namespace of its own, as far as anybody can see.
    Situation {
        name: "dead owner whose end is not seen, try",
        falls: true,
        unrepaired: true,
        victim: |region, arm| {
            let party = join(region);
            let mutex = party.mutex(FIRST).unwrap();
            arm();
            forget_where_the_dead_are(region);
            assert_eq!(mutex.try_lock().unwrap_err().errno(), Some(libc::EBUSY));
        },
        ..CALM
    },
    Situation {
        name: "unlock without sleepers",
        victim: |region, arm| own_locked(region, arm, |mutex| mutex.unlock().unwrap()),
        ..CALM
    },
    Situation {
        name: "unlock with sleepers",
        sleepers: 2,
        victim: |region, arm| own_locked(region, arm, |mutex| mutex.unlock().unwrap()),
        ..CALM
    },
    // Sleepers were there, and have gone: W is left.
    Situation {
        name: "unlock without the sleepers there were",
        victim: |region, arm| {
            let party = join(region);
            let mutex = party.mutex(FIRST).unwrap();
            assert_eq!(mutex.lock(), Ok(Locked::Clean));
            std::thread::scope(|scope| {
                scope.spawn(|| mutex.lock_until(soon()).unwrap_err());
            });
            arm();
            mutex.unlock().unwrap();
        },
        ..CALM
    },
];

/// The name of the step at which the victim died; None where it came to its end.
fn die_at(number: usize, situation: &Situation, death: Death, seen: &mut Seen) -> bool {
    let region = region();
    let (ready, go, release) = (Line::new(), Line::new(), Line::new());
    let word = word(&region);
    let owner = (situation.widow || situation.falls).then(|| {
        let never = Line::new();
        let owner = fork(|| {
            let party = join(&region);
            assert_eq!(party.mutex(FIRST).unwrap().lock(), Ok(Locked::Clean));
            ready.tell(1);
            never.hear();
        });
        ready.hear();
        owner
    });
    let owner = match owner {
        Some(owner) if situation.widow => {
            owner.slay();
            None
        }
        owner => owner,
    };
    let mut holder = situation.held.then(|| holder(&region, &release));
    let action = if death == Death::Executing { stop_and_execute } else { stop };
    let names = memory();
    let victim = fork(|| {
        let body = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            (situation.victim)(&region, &|| {
                ready.tell(1);
                go.hear();
                steps::act_at(number, action);
            })
        }));
        names.write(&steps::passed());
        body.unwrap();
    });
    ready.hear();
    if let Some(owner) = owner {
        owner.slay();
    }
    let what = format!("{}, {death:?}, step {number}", situation.name);
    let mut survivors: Vec<_> = (0..situation.sleepers)
        .map(|_| {
            let sleeper = survivor(&region);
            assert_eq!(await_rest(&sleeper, on(word)), Rest::Asleep, "{what}");
            sleeper
        })
        .collect();
    go.tell(1);
    let ended = loop {
        match await_rest(&victim, on(word)) {
            Rest::Ended => break true,
            Rest::Stopped => break false,
            // It gets the lock while another sleeps behind it.
            Rest::Asleep if holder.is_some() => {
                let sleeper = survivor(&region);
                await_rest(&sleeper, on(word));
                survivors.push(sleeper);
                release.tell(1);
                ends(holder.take().unwrap(), &what);
            }
            Rest::Asleep => std::thread::yield_now(),
        }
    };
    let (at, spoiled) = (word.load(Ordering::SeqCst), is_spoiled(&region));
    let of_victim = std::fs::metadata(format!("/proc/{}/task/{}", victim.pid(), at & TM)).is_ok();
    let holds = !ended && at & TM != 0 && of_victim;
    let told = u32::from(!spoiled && (holds || at & OD != 0));
    let newcomer = (death == Death::KilledAndOvertaken && !ended).then(|| newcomer(&region, &release));
    if newcomer.is_some() {
        // It is asleep when the wake-up dies.
        let late = survivor(&region);
        await_rest(&late, on(word));
        survivors.push(late);
    }
    let victim = match death {
        Death::Executing if !ended => {
            victim.kill(libc::SIGCONT);
            Some(victim)
        }
        _ if ended => {
            assert_eq!(victim.wait(), End::Exit(0), "{what}: the victim");
            None
        }
        _ => {
            victim.slay();
            None
        }
    };
    // For whichever of them is there.
    release.tell(1);
    release.tell(1);
    holder.into_iter().chain(newcomer).for_each(|child| ends(child, &what));
    survivors.into_iter().for_each(|child| ends(child, &what));
    ends(survivor(&region), &what);
    let board = board(&region);
    let get = |number: &AtomicU32| number.load(Ordering::SeqCst);
    assert_eq!(get(&board.crowds), 0, "{what}: two owners");
    assert_eq!(get(&board.deaths), told, "{what}: deaths told; the word was {at:#x}");
    assert_eq!(get(&board.refused) > 0, spoiled, "{what}: not recoverable");
    assert!(spoiled || get(&board.deaths) > 0 || !situation.unrepaired, "{what}: a death is forgotten");
    if let Some(victim) = victim {
        victim.slay();
    }
    if ended {
        seen.0.extend(names.read());
    }
    ended
}

fn die_at_each_step(death: Death) {
    steps::without_slices(true);
    let mut seen = Seen::default();
    for situation in SITUATIONS {
        let mut number = 0;
        while !die_at(number, situation, death, &mut seen) {
            number += 1;
            assert!(number < 200, "{} has no end", situation.name);
        }
        assert!(number > 1, "{} has no steps", situation.name);
        println!("{}: {number} steps", situation.name);
    }
    // Those of joining and leaving are in another test, and a stranger's lock is reclaimed by a slice.
    let elsewhere = [MEMBERSHIP, &["wait.reclaimed"]].concat();
    seen.assert_all_of(SOURCES, &elsewhere);
}

const SOURCES: &[&str] = &[
    include_str!("../../../src/sync/lock.rs"),
    include_str!("../../../src/sync/keeper.rs"),
    include_str!("../../../src/sync/object.rs"),
    include_str!("../../../src/sync/party.rs"),
    include_str!("../../../src/sync/settle.rs"),
    include_str!("../../../src/sync/table.rs"),
];

/// Steps of joining and leaving.
const MEMBERSHIP: &[&str] = &["join.", "claim.", "leave.", "keeper.", "table.", "changes."];

#[test]
fn killed_at_each_step() {
    own_process!(240, || die_at_each_step(Death::Killed));
}

#[test]
fn killed_at_each_step_and_overtaken() {
    own_process!(240, || die_at_each_step(Death::KilledAndOvertaken));
}

#[test]
fn executing_at_each_step() {
    own_process!(240, || die_at_each_step(Death::Executing));
}

/// Joins, or leaves; the table has two slots.
type Membership = (&'static str, fn(&Region, &dyn Fn()));

const MEMBERSHIPS: &[Membership] = &[
    ("makes the table", |region, arm| {
        arm();
        drop(join_two(region).unwrap());
    }),
    ("finds the table", |region, arm| {
        drop(join_two(region).unwrap());
        arm();
        drop(join_two(region).unwrap());
    }),
    ("in the place of the dead", |region, arm| {
        let body = |_: &Region| {
            std::mem::forget(join_two(region).unwrap());
            std::mem::forget(join_two(region).unwrap());
            unsafe { libc::raise(libc::SIGKILL) };
        };
        fork(|| body(region)).wait();
        arm();
        drop(join_two(region).unwrap());
    }),
    ("leaves with locks used", |region, arm| {
        let party = join_two(region).unwrap();
        lock_and_unlock(party.mutex(FIRST).unwrap());
        arm();
        party.leave().unwrap();
    }),
];

fn join_two(region: &Region) -> shmkit::Result<Party<'_>> {
    Party::join(region, TABLE, &PartyOptions { slots: 2, ..PartyOptions::default() })
}

#[test]
fn killed_at_each_step_of_a_membership() {
    own_process!(60, || {
        steps::without_slices(true);
        let mut seen = Seen::default();
        for &(name, victim) in MEMBERSHIPS {
            for number in 0.. {
                let region = region();
                let names = memory();
                let child = fork(|| {
                    victim(&region, &|| steps::act_at(number, stop));
                    names.write(&steps::passed());
                });
                let ended = await_rest(&child, |_| false) == Rest::Ended;
                match ended {
                    true => child.join(),
                    false => child.slay(),
                }
                // Both places are to be had, at the same time, and the lock is nobody's.
                let what = format!("{name}, step {number}");
                let (here, go) = (Line::new(), Line::new());
                let others: Vec<_> = (0..2)
                    .map(|_| {
                        fork(|| {
                            let party = join_two(&region).unwrap();
                            here.tell(1);
                            go.hear();
                            let mutex = party.mutex(FIRST).unwrap();
                            turn(&region, mutex.lock(), mutex, || ());
                            party.leave().unwrap();
                        })
                    })
                    .collect();
                others.iter().for_each(|other| assert!(await_line(&here, other), "{what}: no place"));
                others.iter().for_each(|_| go.tell(1));
                others.into_iter().for_each(|other| ends(other, &what));
                assert_eq!(board(&region).deaths.load(Ordering::SeqCst), 0, "{what}");
                assert_eq!(board(&region).turns.load(Ordering::SeqCst), 2, "{what}");
                if ended {
                    seen.0.extend(names.read());
                    println!("{name}: {number} steps");
                    break;
                }
            }
        }
        let all = steps_of(SOURCES);
        let of_membership = |name: &&String| MEMBERSHIP.iter().any(|area| name.starts_with(area));
        let missed: Vec<_> =
            all.iter().filter(of_membership).filter(|name| !seen.0.contains(*name)).collect();
        assert!(missed.is_empty(), "no situation comes to these: {missed:?}");
    });
}

/// Hears a number from one of the children; false where this one has ended instead.
fn await_line(line: &Line, child: &Child) -> bool {
    let pidfd = good(unsafe { libc::syscall(libc::SYS_pidfd_open, child.pid(), 0) });
    let poll = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut waits = [poll(line.reader()), poll(pidfd)];
    good(unsafe { libc::poll(waits.as_mut_ptr(), 2, -1) });
    unsafe { libc::close(pidfd) };
    waits[0].revents != 0 && line.hear() == 1
}

/// The number of a step in what a child does.
fn number_of(step: &str, body: impl FnOnce()) -> usize {
    let names = memory();
    fork_beside_threads(|| {
        steps::act_at(usize::MAX, stop);
        body();
        names.write(&steps::passed());
    })
    .join();
    names.read().iter().position(|name| name == step).unwrap()
}

/// One who joins looks at the place of a dead process, and is slow to take it: meanwhile another one takes it, and
/// is killed while it writes. Its lock is not given to anybody before it has ended.
#[test]
fn a_place_is_taken_by_one_who_has_looked_too_early() {
    own_process!(60, || {
        const WINDOW: usize = 8 << 20;
        let source = unsafe { good(libc::memfd_create(c"zeros".as_ptr(), libc::MFD_CLOEXEC)) };
        good(unsafe { libc::ftruncate(source, 64 << 30) });
        for _ in 0..3 {
            let region = Region::create("window", FIRST + WINDOW, &Default::default()).unwrap();
            let window = || unsafe { region.as_ptr().add(FIRST + 4096) };
            let length = WINDOW - 4096;
            let party = join(&region);
            let die = || {
                std::mem::forget(join(&region));
                unsafe { libc::raise(libc::SIGKILL) };
            };
            fork_beside_threads(die).wait();
            let number = number_of("claim.linked", || drop(join(&region)));
            fork_beside_threads(die).wait();

            let here = Line::new();
            let slow = fork_beside_threads(|| {
                steps::act_at(number, stop);
                let _party = join(&region);
                here.tell(1);
                loop {
                    std::thread::sleep(Duration::from_secs(1));
                }
            });
            assert_eq!(await_rest(&slow, |_| false), Rest::Stopped);
            let writer = fork_beside_threads(|| {
                let party = join(&region);
                assert!(party.mutex(FIRST).unwrap().lock().is_ok());
                here.tell(1);
                let start = window() as usize;
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        let vectors = [libc::iovec { iov_base: start as *mut _, iov_len: length }; 100];
                        while unsafe { libc::preadv(source, vectors.as_ptr(), 100, 0) } > 0 {}
                    });
                });
            });
            here.hear();
            let last = unsafe { std::sync::atomic::AtomicU8::from_ptr(window().add(length - 1)) };
            last.store(1, Ordering::Relaxed);
            while last.load(Ordering::Relaxed) != 0 {
                std::thread::yield_now();
            }
            writer.kill(libc::SIGKILL);
            while word(&region).load(Ordering::SeqCst) & TM != 0 {
                std::hint::spin_loop();
            }
            slow.kill(libc::SIGCONT);
            here.hear();
            let mutex = party.mutex(FIRST).unwrap();
            assert_eq!(mutex.lock(), Ok(Locked::OwnerDied));
            unsafe { window().write_bytes(1, length) };
            std::thread::sleep(Duration::from_millis(30));
            let bytes = (0..length).step_by(512);
            assert!(
                bytes.into_iter().all(|at| unsafe { window().add(at).read_volatile() } == 1),
                "it writes"
            );
            mutex.consistent().unwrap();
            mutex.unlock().unwrap();
            slow.slay();
            writer.wait();
        }
        unsafe { libc::close(source) };
    });
}

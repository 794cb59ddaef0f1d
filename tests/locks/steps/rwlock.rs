//! A reader or a writer dies at each step: the others get the lock, writers alone, and are told once of a writer
//! that may have written, and of nobody else.

use shmkit::sync::{Locked, RwLock};

use super::super::soon;
use super::*;

#[derive(Clone, Copy, PartialEq)]
enum How {
    Read,
    Write,
}
use How::{Read, Write};

/// What the survivors have to say.
#[repr(C)]
struct Board {
    /// Readers, and writers in the upper half.
    inside: AtomicU32,
    crowds: AtomicU32,
    deaths: AtomicU32,
    refused: AtomicU32,
}

fn board(region: &Region) -> &Board {
    unsafe { &*region.as_ptr().add(FIRST + 4096).cast() }
}

fn lock<'p>(party: &'p Party<'_>) -> RwLock<'p> {
    party.rwlock(FIRST).unwrap()
}

/// Locks, does it, and unlocks.
fn turn(region: &Region, party: &Party<'_>, how: How, busy: impl FnOnce()) {
    let (board, lock) = (board(region), lock(party));
    let locked = match how {
        Read => lock.read(),
        Write => lock.write(),
    };
    match locked {
        Ok(locked) => {
            let writes = how == Write || locked == Locked::OwnerDied;
            let (own, others) = if writes { (1 << 16, u32::MAX) } else { (1, u32::MAX << 16) };
            if board.inside.fetch_add(own, Ordering::SeqCst) & others != 0 {
                board.crowds.fetch_add(1, Ordering::SeqCst);
            }
            if locked == Locked::OwnerDied {
                board.deaths.fetch_add(1, Ordering::SeqCst);
                lock.consistent().unwrap();
            }
            busy();
            board.inside.fetch_sub(own, Ordering::SeqCst);
            lock.unlock().unwrap();
        }
        Err(code) => {
            assert_eq!(code.errno(), Some(libc::ENOTRECOVERABLE));
            board.refused.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Locks, and keeps it until it is killed.
fn lock_and_die(region: &Region) {
    let holds = Line::new();
    let child = fork(|| {
        let party = join(region);
        assert_eq!(lock(&party).write(), Ok(Locked::Clean));
        holds.tell(1);
        super::super::stay();
    });
    holds.hear();
    child.slay();
}

struct Situation {
    name: &'static str,
    /// A writer has died.
    widow: bool,
    /// Another has the lock; it gives it back when the victim sleeps, or has died.
    held: Option<How>,
    /// Sleep when the victim, who has the lock, begins.
    sleepers: &'static [How],
    /// Sleep behind the victim, or come when it is stopped.
    behind: &'static [How],
    /// Calls what it is given once.
    victim: fn(RwLock<'_>, &dyn Fn()),
}

const CALM: Situation =
    Situation { name: "", widow: false, held: None, sleepers: &[], behind: &[], victim: |_, _| () };

fn read(lock: RwLock<'_>) {
    if lock.read().unwrap() == Locked::OwnerDied {
        lock.consistent().unwrap();
    }
}

fn write(lock: RwLock<'_>) {
    if lock.write().unwrap() == Locked::OwnerDied {
        lock.consistent().unwrap();
    }
}

fn unlock(lock: RwLock<'_>) {
    lock.unlock().unwrap();
}

fn errno<T: std::fmt::Debug>(result: Result<T, shmkit::Code>) -> i32 {
    result.unwrap_err().errno().unwrap()
}

const SITUATIONS: &[Situation] = &[
    Situation {
        name: "reads for the first time",
        victim: |lock, arm| {
            arm();
            read(lock);
            unlock(lock);
        },
        ..CALM
    },
    Situation {
        name: "reads and writes at once",
        behind: &[Write, Read],
        victim: |lock, arm| {
            read(lock);
            unlock(lock);
            arm();
            read(lock);
            unlock(lock);
            write(lock);
            unlock(lock);
        },
        ..CALM
    },
    Situation {
        name: "tries",
        behind: &[Read, Write],
        victim: |lock, arm| {
            arm();
            assert_eq!(lock.try_write(), Ok(Locked::Clean));
            unlock(lock);
            assert_eq!(lock.try_read(), Ok(Locked::Clean));
            unlock(lock);
        },
        ..CALM
    },
    Situation {
        name: "reads after a writer",
        held: Some(Write),
        behind: &[Write, Read],
        victim: |lock, arm| {
            arm();
            read(lock);
            unlock(lock);
        },
        ..CALM
    },
    Situation {
        name: "writes after a writer",
        held: Some(Write),
        behind: &[Read, Write],
        victim: |lock, arm| {
            arm();
            write(lock);
            unlock(lock);
        },
        ..CALM
    },
    Situation {
        name: "writes after a reader",
        held: Some(Read),
        behind: &[Read, Write],
        victim: |lock, arm| {
            arm();
            write(lock);
            unlock(lock);
        },
        ..CALM
    },
    Situation {
        name: "gives up after a reader",
        held: Some(Read),
        behind: &[Read, Write],
        victim: |lock, arm| {
            arm();
            assert_eq!(errno(lock.write_until(soon())), libc::ETIMEDOUT);
        },
        ..CALM
    },
    Situation {
        name: "gives up after a writer",
        held: Some(Write),
        behind: &[Read, Write],
        victim: |lock, arm| {
            arm();
            match lock.read_until(soon()) {
                // It was seen asleep, and the writer has ended.
                Ok(_) => unlock(lock),
                failed => assert_eq!(errno(failed), libc::ETIMEDOUT),
            }
        },
        ..CALM
    },
    Situation {
        name: "ends to read before sleepers",
        sleepers: &[Write, Read],
        victim: |lock, arm| {
            read(lock);
            arm();
            unlock(lock);
        },
        ..CALM
    },
    Situation {
        name: "ends to write before sleepers",
        sleepers: &[Read, Write, Read],
        victim: |lock, arm| {
            write(lock);
            arm();
            unlock(lock);
        },
        ..CALM
    },
    Situation {
        name: "reads again before sleepers",
        sleepers: &[Write, Read],
        victim: |lock, arm| {
            read(lock);
            arm();
            read(lock);
            unlock(lock);
            unlock(lock);
        },
        ..CALM
    },
    Situation {
        name: "reads after one who died",
        widow: true,
        victim: |lock, arm| {
            arm();
            read(lock);
            unlock(lock);
        },
        ..CALM
    },
    Situation {
        name: "writes after one who died",
        widow: true,
        victim: |lock, arm| {
            arm();
            write(lock);
            unlock(lock);
        },
        ..CALM
    },
    Situation {
        name: "writes after one who died, and repairs nothing",
        widow: true,
        victim: |lock, arm| {
            arm();
            assert_eq!(lock.write(), Ok(Locked::OwnerDied));
            unlock(lock);
            assert_eq!(errno(lock.write()), libc::ENOTRECOVERABLE);
            assert_eq!(errno(lock.read()), libc::ENOTRECOVERABLE);
        },
        ..CALM
    },
];

/// Whether a child sleeps, however it waits for the lock.
fn waits(region: &Region) -> impl Fn(&str) -> bool + '_ {
    move |call| for_long(call) || on(word_at(region, 0))(call)
}

fn dies(scene: &Scene<'_>, situation: &Situation) -> Fate {
    let region = &scene.region;
    if situation.widow {
        lock_and_die(region);
    }
    let (holds, go) = (Line::new(), Line::new());
    let holder = situation.held.map(|how| {
        let holder = survivor(region, |party| {
            turn(region, party, how, || {
                holds.tell(1);
                go.hear();
            });
        });
        holder.go();
        holds.hear();
        holder
    });
    let sleepers = |hows: &[How]| -> Vec<_> {
        hows.iter().map(|&how| survivor(region, move |party| turn(region, party, how, || ()))).collect()
    };
    let (before, behind) = (sleepers(situation.sleepers), sleepers(situation.behind));
    // What it answers when somebody else tries to read, and to write.
    let rival = worker(region, |party, told| {
        let lock = lock(party);
        for locked in [lock.try_read(), lock.try_write()] {
            let has = locked.is_ok();
            if has {
                unlock(lock);
            }
            told.tell(has.into());
        }
    });
    let victim = scene.victim(|party, arm| (situation.victim)(lock(party), arm));
    let sleep = |workers: &[Worker]| {
        for worker in workers {
            worker.go();
            await_rest(&worker.child, |call| waits(region)(call) || worker.told.is_told());
        }
    };
    sleep(&before);
    let asleep = victim.go(waits(region)) == Rest::Asleep;
    sleep(&behind);
    if asleep {
        go.tell(1);
        victim.await_stop();
    }
    let passed = victim.passed();
    let reads = times(&passed, &["rwlock.counted_in", "rwlock.counted_again", "rwlock.counted_with_word"])
        > times(&passed, &["rwlock.counted_out"]);
    let writes = times(&passed, &["rwlock.writes"]) > times(&passed, &["rwlock.wrote", "unlock.spoiled"]);
    if reads || writes {
        rival.go();
        let (read, write) = (rival.told.hear() == 1, rival.told.hear() == 1);
        assert!(!(write || read && writes), "{}: {passed:?}, and another has it", scene.name);
    }
    let fate = victim.dies();
    let spoiled = word_at(region, 4).load(Ordering::SeqCst) != 0;
    let unrepaired = situation.widow && fate.times(&["consistent.cleared"]) == 0;
    let told = !spoiled && (unrepaired || writes && !fate.survived);
    if !asleep {
        go.tell(1);
    }
    all_are_done(holder.as_slice(), &fate.what);
    all_are_done(&before, &fate.what);
    all_are_done(&behind, &fate.what);
    for how in [Read, Write, Read] {
        another(region, &fate.what, |party| turn(region, party, how, || ()));
    }
    let board = board(region);
    let get = |number: &AtomicU32| number.load(Ordering::SeqCst);
    assert_eq!(get(&board.crowds), 0, "{}: others beside a writer", fate.what);
    assert_eq!(get(&board.deaths), u32::from(told), "{}: deaths told", fate.what);
    assert_eq!(get(&board.refused) > 0, spoiled, "{}: not recoverable", fate.what);
    fate
}

#[test]
fn a_read_write_lock_at_each_step() {
    own_process!(240, || {
        steps::without_slices(true);
        let mut seen = Seen::default();
        for situation in SITUATIONS {
            seen.at_each_step(situation.name, |scene| dies(scene, situation));
        }
        seen.at_each_step("makes it", |scene| {
            let victim = scene.victim(|party, arm| {
                arm();
                lock(party);
            });
            victim.go(|_| false);
            let fate = victim.dies();
            for how in [Write, Read] {
                another(&scene.region, &fate.what, |party| turn(&scene.region, party, how, || ()));
            }
            fate
        });
        let sources =
            [include_str!("../../../src/sync/rwlock.rs"), include_str!("../../../src/sync/phase.rs")];
        seen.assert_all_of(&sources, &[]);
    });
}

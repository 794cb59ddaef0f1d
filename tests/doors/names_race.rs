//! Names without leftovers, while many come and leave and some are killed.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use libc::{EEXIST, ENOENT};

use crate::door::*;
use crate::names::*;
use crate::support::*;

scenarios! {
    users_race_and_the_name_is_there_while_one_has_it: 60,
    users_that_come_and_leave_at_once_agree: 60,
    whoever_comes_between_two_system_calls_agrees: 60,
    a_user_killed_at_any_point_leaves_nothing: 60,
}

/// Several processes create, find and close one name. Whoever has the object knows that the name leads to
/// it all the time, so that nobody can have made another one; of each object there is one creator.
fn users_race_and_the_name_is_there_while_one_has_it<D: Door>() {
    const ROUNDS: u64 = 3000;
    const USERS: u64 = 3;
    let name = new_name();
    let path = name.path();
    let counts = Line::new();
    let users: Vec<_> = (0..USERS)
        .map(|user| {
            let (name, path, counts) = (&name, &path, &counts);
            fork(move || {
                let mut created = 0;
                for round in 0..ROUNDS {
                    let or_open = round % 8 < 6;
                    let found = match round % 8 {
                        0..6 => D::posix_create(name.as_str(), 5000, &with(LAST | Flags::OR_OPEN)),
                        6 => open_it::<D>(name),
                        _ => create::<D>(name, LAST),
                    };
                    let region = match found {
                        Ok(region) => region,
                        failed if round % 8 == 6 => {
                            fails(failed, ENOENT, &[]);
                            continue;
                        }
                        failed => {
                            assert!(!or_open, "{:?}", failed.err());
                            fails(failed, EEXIST, &[]);
                            continue;
                        }
                    };
                    let named = || assert_eq!(identity(&region.fd().unwrap()).1, inode(path));
                    named();
                    assert_eq!(region.size(), 5000);
                    // SAFETY: the region's first words, atomics for all.
                    let [number, users] =
                        [0, 1].map(|at| unsafe { &*region.data().cast::<AtomicU64>().add(at) });
                    let new = (user << 32 | round) + 1;
                    if region.created() || round % 8 == 7 {
                        created += 1;
                        let first = number.compare_exchange(0, new, Ordering::SeqCst, Ordering::SeqCst);
                        assert_eq!(first, Ok(0), "somebody else has created this one");
                    }
                    while number.load(Ordering::SeqCst) == 0 {
                        std::thread::yield_now();
                    }
                    let number_then = number.load(Ordering::SeqCst);
                    users.fetch_add(1, Ordering::SeqCst);
                    if round % 16 == user {
                        std::thread::yield_now();
                    }
                    named();
                    assert_eq!(number.load(Ordering::SeqCst), number_then);
                    assert!((1..=USERS).contains(&users.fetch_sub(1, Ordering::SeqCst)));
                    region.close().unwrap();
                }
                counts.tell(created);
            })
        })
        .collect();
    users.into_iter().for_each(Child::join);
    let created: i64 = (0..USERS).map(|_| counts.hear()).sum();
    assert!((2..(USERS * ROUNDS) as i64).contains(&created), "{created}");
    assert!(!path.exists(), "nobody has it any more");
}

/// Several processes meet a leftover at the same moment, and leave what they made of it at the same moment.
fn users_that_come_and_leave_at_once_agree<D: Door>() {
    const ROUNDS: u64 = 2000;
    const USERS: u64 = 3;
    let name = new_name();
    let shared = D::anon_create(64, &plain()).unwrap();
    // SAFETY: the region's words, atomics for all.
    let [arrived, created, stands] =
        [0, 1, 2].map(|at| unsafe { &*shared.data().cast::<AtomicU64>().add(at) });
    let users: Vec<_> = (0..USERS)
        .map(|user| {
            let name = &name;
            fork(move || {
                let mut meetings = 0;
                let mut meet = || {
                    meetings += 1;
                    arrived.fetch_add(1, Ordering::SeqCst);
                    while arrived.load(Ordering::SeqCst) < meetings * USERS {
                        std::thread::yield_now();
                    }
                };
                for round in 0..ROUNDS {
                    if user == 0 {
                        std::fs::write(name.path(), "left behind").unwrap();
                        set_mode(&name.path(), 0o600 | MARK);
                        created.store(0, Ordering::SeqCst);
                        stands.store(0, Ordering::SeqCst);
                    }
                    meet();
                    let region = create::<D>(name, LAST | Flags::OR_OPEN).unwrap();
                    created.fetch_add(region.created().into(), Ordering::SeqCst);
                    stands.fetch_add(identity(&region.fd().unwrap()).1, Ordering::SeqCst);
                    meet();
                    assert_eq!(created.load(Ordering::SeqCst), 1, "round {round}: one creator");
                    assert_eq!(stands.load(Ordering::SeqCst), USERS * inode(&name.path()), "one object");
                    meet();
                    region.close().unwrap();
                    meet();
                    assert!(!name.path().exists(), "round {round}: nobody has it any more");
                    meet();
                }
            })
        })
        .collect();
    users.into_iter().for_each(Child::join);
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Move {
    OpenOrCreate,
    Open,
    Close,
}

/// A process that makes one move, and tells the inode of what it has then, or 0.
struct Player {
    child: Child,
    ready: Line,
    asked: Line,
    told: Line,
}

impl Player {
    fn new<D: Door>(name: &PosixName, what: Move, begin: impl Fn()) -> Player {
        let (ready, asked, told) = (Line::new(), Line::new(), Line::new());
        let child = fork(|| {
            let before = (what == Move::Close).then(|| create::<D>(name, LAST | Flags::OR_OPEN).unwrap());
            ready.tell(0);
            begin();
            let has = match what {
                Move::OpenOrCreate => Some(create::<D>(name, LAST | Flags::OR_OPEN).unwrap()),
                Move::Open => match open_it::<D>(name) {
                    Ok(region) => Some(region),
                    missing => {
                        fails(missing, ENOENT, &[]);
                        None
                    }
                },
                Move::Close => {
                    before.unwrap().close().unwrap();
                    None
                }
            };
            told.tell(has.as_ref().map_or(0, |region| identity(&region.fd().unwrap()).1 as i64));
            asked.hear();
            has.into_iter().for_each(|region| region.close().unwrap());
        });
        ready.hear();
        Player { child, ready, asked, told }
    }

    fn has_told(&self, timeout_ms: i32) -> bool {
        let mut poll = libc::pollfd { fd: self.told.reader(), events: libc::POLLIN, revents: 0 };
        good(unsafe { libc::poll(&mut poll, 1, timeout_ms) }) == 1
    }

    fn end(self) {
        self.asked.tell(0);
        self.child.join();
        drop(self.ready);
    }
}

/// ptrace(2) without an address, and the stop that it leads to.
fn trace(request: u32, child: &Child) {
    good(unsafe { libc::ptrace(request, child.pid(), 0, 0) });
}

fn await_stop(child: &Child) {
    let mut status = 0;
    assert_eq!(unsafe { libc::waitpid(child.pid(), &mut status, 0) }, child.pid());
    assert!(libc::WIFSTOPPED(status), "{status:#x}");
}

/// One process is held before each of its system calls in turn, and another makes its whole move then,
/// unless it has to wait for the first.
fn whoever_comes_between_two_system_calls_agrees<D: Door>() {
    use Move::*;
    let name = new_name();
    let mut waited = 0;
    for (first, second) in [
        (OpenOrCreate, OpenOrCreate),
        (OpenOrCreate, Open),
        (OpenOrCreate, Close),
        (Open, OpenOrCreate),
        (Open, Close),
        (Close, OpenOrCreate),
        (Close, Open),
        (Close, Close),
    ] {
        for calls in 1.. {
            if first != Close && second != Close {
                // A leftover.
                std::fs::write(name.path(), "left behind").unwrap();
                set_mode(&name.path(), 0o600 | MARK);
            }
            let go = Line::new();
            let held = Player::new::<D>(&name, first, || unsafe {
                good(libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0));
                good(libc::raise(libc::SIGSTOP));
            });
            await_stop(&held.child);
            let other = Player::new::<D>(&name, second, || {
                go.hear();
            });
            // Each call stops twice: before and after.
            for _ in 0..2 * calls - 1 {
                if !held.has_told(0) {
                    trace(libc::PTRACE_SYSCALL, &held.child);
                    await_stop(&held.child);
                }
            }
            let over = held.has_told(0);
            go.tell(0);
            waited += usize::from(!other.has_told(30));
            trace(libc::PTRACE_DETACH, &held.child);
            let has = [held.told.hear(), other.told.hear()];
            let what = format!("{first:?} held before call {calls}, {second:?}: {has:?}");
            match std::fs::metadata(name.path()) {
                Ok(stat) => {
                    assert!(has.iter().all(|&inode| inode == 0 || inode == stat.ino() as i64), "{what}");
                    assert_ne!(has, [0, 0], "a name without a user: {what}");
                }
                Err(_) => assert_eq!(has, [0, 0], "users without a name: {what}"),
            }
            held.end();
            other.end();
            assert!(!name.path().exists(), "{what}");
            if over {
                break;
            }
        }
    }
    assert!(waited > 10, "the lock was met {waited} times");
}

fn a_user_killed_at_any_point_leaves_nothing<D: Door>() {
    if let Err(why) = own_dev_shm("size=4m,mode=1777") {
        return skip(why);
    }
    let name = PosixName::new();
    let ready = Line::new();
    let use_it = || {
        ready.tell(0);
        loop {
            let region = D::posix_create(name.as_str(), 5000, &with(LAST | Flags::OR_OPEN)).unwrap();
            region.write(0, b"x").unwrap();
            region.close().unwrap();
        }
    };
    for round in 0..200 {
        let users = [fork(use_it), fork(use_it)];
        users.iter().for_each(|_| {
            ready.hear();
        });
        let [first, second] = users;
        // No event to wait for: the point is to strike anywhere.
        unsafe { libc::usleep(round * 37 % 700) };
        first.slay();
        // The second goes on, whatever the first had begun.
        let region = create::<D>(&name, LAST | Flags::OR_OPEN).unwrap();
        assert_eq!(identity(&region.fd().unwrap()).1, inode(&name.path()));
        second.slay();
        assert!(name.path().exists());
        region.close().unwrap();
        assert!(entries(Path::new("/dev/shm")).is_empty());

        let alone = fork(use_it);
        ready.hear();
        unsafe { libc::usleep(round * 53 % 500) };
        alone.slay();
        let region = create::<D>(&name, LAST | Flags::OR_OPEN).unwrap();
        assert!(region.created(), "no user is left");
        region.close().unwrap();
        assert!(entries(Path::new("/dev/shm")).is_empty());
    }
}

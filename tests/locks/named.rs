use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use shmkit::sync::{EventFlags, Locked, Named, NamedFlags, NamedOptions};
use shmkit::{Options, Region};

use super::support::*;

const MANUAL: EventFlags = EventFlags::empty();

fn with(flags: NamedFlags) -> NamedOptions {
    NamedOptions { flags, ..NamedOptions::default() }
}

fn open(name: &str) -> Named {
    Named::open(name, &NamedOptions::default()).unwrap()
}

fn errno_of<T: std::fmt::Debug>(result: shmkit::Result<T>) -> i32 {
    result.unwrap_err().errno().unwrap()
}

/// The key of a name, by docs/layout.md.
fn key(name: &str, nth: u64) -> i32 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash.wrapping_add(nth).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as i32
}

/// A segment of somebody else under a key.
struct Foreign(i32);

impl Foreign {
    fn plant(key: i32) -> Option<Foreign> {
        let flags = libc::IPC_CREAT | libc::IPC_EXCL | 0o600;
        let id = unsafe { libc::shmget(key, 4096, flags) };
        (id >= 0).then(|| Foreign(id))
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        good(unsafe { libc::shmctl(self.0, libc::IPC_RMID, std::ptr::null_mut()) });
    }
}

/// In a child: an open party is a thread, beside which the tests make no children.
fn in_child(body: impl FnOnce()) {
    fork(body).join();
}

#[test]
fn a_name_is_one_lock_for_all() {
    own_process!(20, || {
        let _ = own_ipc();
        let holds = Line::new();
        let owner = fork(|| {
            let named = open("one");
            assert_eq!(named.mutex().unwrap().lock(), Ok(Locked::Clean));
            holds.tell(1);
            loop {
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        holds.hear();
        in_child(|| {
            let named = open("one");
            let mutex = named.mutex().unwrap();
            assert!(!mutex.made());
            assert_eq!(mutex.try_lock().unwrap_err().errno(), Some(libc::EBUSY));
            let other = open("other");
            assert!(other.mutex().unwrap().made());
            assert_eq!(other.mutex().unwrap().try_lock(), Ok(Locked::Clean));
            other.mutex().unwrap().unlock().unwrap();
            Named::unlink("other").unwrap();
        });
        owner.slay();
        in_child(|| {
            let named = open("one");
            assert_eq!(named.mutex().unwrap().lock(), Ok(Locked::OwnerDied));
            named.mutex().unwrap().consistent().unwrap();
            named.mutex().unwrap().unlock().unwrap();
            // Another lock from here on.
            Named::unlink("one").unwrap();
            assert_eq!(named.mutex().unwrap().lock(), Ok(Locked::Clean));
            let next = open("one");
            assert_eq!(next.mutex().unwrap().try_lock(), Ok(Locked::Clean));
            next.mutex().unwrap().unlock().unwrap();
            named.mutex().unwrap().unlock().unwrap();
            named.leave().unwrap();
        });
        Named::unlink("one").unwrap();
        assert_eq!(errno_of(Named::unlink("one")), libc::ENOENT);
    });
}

#[test]
fn what_is_no_name_is_refused() {
    own_process!(20, || {
        let _ = own_ipc();
        let refused = |name: &str, errno| {
            assert_eq!(errno_of(Named::open(name, &NamedOptions::default())), errno, "{name:?}");
            assert_eq!(errno_of(Named::unlink(name)), errno, "{name:?}");
        };
        refused("", libc::EINVAL);
        refused("a\0b", libc::EINVAL);
        refused(&"n".repeat(256), libc::ENAMETOOLONG);
        assert_eq!(errno_of(Named::open("none", &with(NamedFlags::FIND))), libc::ENOENT);
        assert_eq!(errno_of(Named::unlink("none")), libc::ENOENT);
        for options in [
            NamedOptions { mode: 0o1000, ..Default::default() },
            NamedOptions { slots: 4097, ..Default::default() },
            NamedOptions { cells: u32::MAX, ..Default::default() },
        ] {
            assert_eq!(errno_of(Named::open("bad", &options)), libc::EINVAL);
        }
        assert_eq!(NamedFlags::from_raw(8).unwrap_err().errno(), Some(libc::EINVAL));
        for name in ["/", "a/b/../c", "\u{e4}\n", &"n".repeat(255)] {
            in_child(|| {
                assert!(open(name).event(MANUAL).unwrap().made());
                let found = Named::open(name, &with(NamedFlags::FIND)).unwrap();
                assert!(!found.event(MANUAL).unwrap().made());
                assert_eq!(errno_of(found.mutex()), libc::EINVAL);
                assert_eq!(errno_of(found.event(EventFlags::AUTO_RESET)), libc::EINVAL);
            });
            Named::unlink(name).unwrap();
        }
    });
}

/// So many children open a name at once, and all have the same.
fn all_have_the_same(name: &str, count: usize, meanwhile: impl FnOnce(&Line)) {
    let (go, here, all, end) = (Line::new(), Line::new(), Line::new(), Line::new());
    let children: Vec<_> = (0..count)
        .map(|_| {
            fork(|| {
                go.hear();
                let named = open(name);
                let mutex = named.mutex().unwrap();
                here.tell(named.members().len() as i64);
                all.hear();
                assert_eq!(named.members().len(), count);
                assert!(mutex.lock().is_ok());
                mutex.unlock().unwrap();
                here.tell(0);
                end.hear();
            })
        })
        .collect();
    children.iter().for_each(|_| go.tell(1));
    meanwhile(&here);
    // Nobody leaves before all have looked.
    for line in [&all, &end] {
        children.iter().for_each(|_| assert!(here.hear() >= 0));
        children.iter().for_each(|_| line.tell(1));
    }
    children.into_iter().for_each(Child::join);
}

#[test]
fn creators_race_and_one_wins() {
    own_process!(60, || {
        let _ = own_ipc();
        for _ in 0..50 {
            all_have_the_same("race", 4, |_| {});
            Named::unlink("race").unwrap();
            assert_eq!(errno_of(Named::unlink("race")), libc::ENOENT);
        }
    });
}

#[test]
fn a_key_that_others_have_is_passed_by() {
    own_process!(20, || {
        let _ = own_ipc();
        {
            let _first = Foreign::plant(key("taken", 0)).unwrap();
            let _third = Foreign::plant(key("taken", 2)).unwrap();
            in_child(|| assert!(open("taken").mutex().unwrap().made()));
            assert!(Foreign::plant(key("taken", 1)).is_none());
        }
        // Found where it is, although the first key is free by now.
        in_child(|| assert!(!open("taken").mutex().unwrap().made()));
        Named::unlink("taken").unwrap();
        let all: Vec<_> = (0..8).map(|nth| Foreign::plant(key("taken", nth)).unwrap()).collect();
        let none = Named::open("taken", &NamedOptions::default()).unwrap_err();
        assert_eq!(none.code().raw(), shmkit::error::SHMKIT_E_COLLISION, "{none}");
        assert_eq!(errno_of(Named::open("taken", &with(NamedFlags::FIND))), libc::ENOENT);
        drop(all);
    });
}

/// The first key is somebody else's at one moment and free at the next.
#[test]
fn creators_race_at_keys_that_come_and_go() {
    own_process!(60, || {
        let _ = own_ipc();
        for _ in 0..50 {
            all_have_the_same("gone", 4, |here| {
                while !here.is_told() {
                    for nth in 0..3 {
                        drop(Foreign::plant(key("gone", nth)));
                    }
                }
            });
            Named::unlink("gone").unwrap();
            assert_eq!(errno_of(Named::unlink("gone")), libc::ENOENT);
        }
    });
}

/// The first key is somebody else's when one begins, and free when the other comes.
#[test]
fn a_creator_at_a_later_key_withdraws() {
    own_process!(60, || {
        let _ = own_ipc();
        // Before it creates, after that, before it attaches, before its mode says that it is finished.
        for (call, made) in [
            (libc::SYS_shmget, 8),
            (libc::SYS_shmget, 9),
            (libc::SYS_shmget, 12),
            (libc::SYS_shmat, 0),
            (libc::SYS_shmctl, 1),
            (libc::SYS_shmctl, 2),
        ] {
            let foreign = Foreign::plant(key("later", 0)).unwrap();
            let (here, all, end) = (Line::new(), Line::new(), Line::new());
            let join_and_tell = || {
                let named = open("later");
                assert!(named.mutex().unwrap().lock().is_ok());
                named.mutex().unwrap().unlock().unwrap();
                here.tell(1);
                all.hear();
                assert_eq!(named.members().len(), 2, "each has its own: {call} {made}");
                here.tell(1);
                end.hear();
            };
            // The foreign segment is attached, and looked at, before.
            let looked = if call == libc::SYS_shmat { 1 } else { 0 };
            let slow = fork(|| {
                if let Err(why) = traced() {
                    skip(why);
                }
                join_and_tell();
            });
            slow.stop_at_nth(call, made + looked);
            drop(foreign);
            let quick = fork(join_and_tell);
            std::thread::sleep(Duration::from_millis(if made == 8 { 300 } else { 10 }));
            slow.go_on();
            // Nobody leaves before both have looked.
            for line in [&all, &end] {
                (0..2).for_each(|_| assert_eq!(here.hear(), 1));
                (0..2).for_each(|_| line.tell(1));
            }
            slow.join();
            quick.join();
            Named::unlink("later").unwrap();
            assert_eq!(errno_of(Named::unlink("later")), libc::ENOENT, "{call} {made}");
        }
    });
}

#[test]
fn a_creator_killed_at_any_call_blocks_nobody() {
    own_process!(60, || {
        let _ = own_ipc();
        // After this many looks it has begun.
        for (call, skipped) in [
            (libc::SYS_shmget, 8),
            (libc::SYS_shmget, 9),
            (libc::SYS_shmat, 0),
            (libc::SYS_shmat, 1),
            (libc::SYS_shmctl, 0),
            (libc::SYS_shmctl, 1),
            (libc::SYS_shmctl, 2),
            (libc::SYS_clone3, 0),
        ] {
            let creator = fork(|| match traced() {
                Ok(()) => drop(open("killed").mutex().unwrap()),
                Err(why) => skip(why),
            });
            creator.stop_at_nth(call, skipped);
            creator.slay();
            let before = monotonic_ns();
            in_child(|| {
                let named = open("killed");
                assert_eq!(named.mutex().unwrap().lock(), Ok(Locked::Clean));
                named.mutex().unwrap().unlock().unwrap();
            });
            assert!(monotonic_ns() - before < 20_000_000_000);
            Named::unlink("killed").unwrap();
            assert_eq!(errno_of(Named::unlink("killed")), libc::ENOENT);
        }
    });
}

#[test]
fn what_another_user_has_made_is_not_trusted() {
    own_process!(20, || {
        let _ = own_ipc();
        let for_all = NamedOptions { mode: 0o666, ..NamedOptions::default() };
        let made = fork_as_nobody(|| {
            assert!(Named::open("theirs", &for_all).unwrap().mutex().unwrap().made());
        });
        match made {
            Ok(child) => child.join(),
            Err(why) => return skip(why),
        }
        let squatted = Named::open("theirs", &NamedOptions::default()).unwrap_err();
        assert_eq!(squatted.errno(), Some(libc::EPERM), "{squatted}");
        assert_eq!(errno_of(Named::unlink("theirs")), libc::EPERM);
        in_child(|| {
            let named = Named::open("theirs", &with(NamedFlags::ANY_OWNER)).unwrap();
            assert!(!named.mutex().unwrap().made());
        });
        fork_as_nobody(|| Named::unlink("theirs").unwrap()).unwrap().join();

        // Root's are fine, where the mode allows it.
        in_child(|| {
            assert!(Named::open("ours", &for_all).unwrap().mutex().unwrap().made());
            assert!(open("private").mutex().unwrap().made());
        });
        let others = fork_as_nobody(|| {
            assert!(!open("ours").mutex().unwrap().made());
            assert_eq!(errno_of(Named::unlink("ours")), libc::EPERM);
            assert_eq!(errno_of(Named::open("private", &NamedOptions::default())), libc::EACCES);
        });
        others.unwrap().join();
        Named::unlink("ours").unwrap();
        Named::unlink("private").unwrap();
    });
}

/// Whoever has the segment can forge what stands in it; the name is all that finds it.
#[test]
fn a_forged_segment_is_an_error() {
    own_process!(20, || {
        let _ = own_ipc();
        in_child(|| assert!(open("forged").mutex().unwrap().made()));
        let key = key("forged", 0);
        let id = good(unsafe { libc::shmget(key, 0, 0) });
        let region = Region::sysv_attach_id(id, &Options::default()).unwrap();
        // The table's magic, the object's, the identity's.
        for at in [320, 256 + 8, region.size() - 64] {
            let mut before = [0; 8];
            region.read(at, &mut before).unwrap();
            region.write(at, &[0xff; 8]).unwrap();
            in_child(|| {
                let opened = Named::open("forged", &NamedOptions::default());
                match at == region.size() - 64 {
                    // Somebody else's: the next key.
                    true => {
                        assert!(opened.unwrap().mutex().unwrap().made());
                        Named::unlink("forged").unwrap();
                    }
                    false => {
                        assert_eq!(errno_of(opened.and_then(|named| named.mutex().map(drop))), libc::EINVAL)
                    }
                }
            });
            region.write(at, &before).unwrap();
        }
        let word = unsafe { AtomicU32::from_ptr(region.as_ptr().cast()) };
        assert_eq!(word.load(Ordering::Relaxed).to_ne_bytes(), *b"forg");
        Named::unlink("forged").unwrap();
    });
}

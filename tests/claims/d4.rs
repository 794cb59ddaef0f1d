//! How System V segments are created and mapped.

use shmkit::region::sysv;
use shmkit::sysv::{Creation, Queue, Semaphores};
use shmkit::{Flags, Options, Region};

use crate::support::*;
use crate::{refused, Link};

/// One of System V's three families, by the calls that all have: each gives an id.
struct Family {
    name: &'static str,
    /// Under a key, exclusively or not; whether it was created.
    create: fn(i32, bool) -> shmkit::Result<(i32, bool)>,
    open: fn(i32) -> shmkit::Result<i32>,
    remove: fn(i32) -> shmkit::Result<()>,
    /// The kernel's own call, without creating.
    xxxget: unsafe fn(i32) -> i32,
}

const FAMILIES: [Family; 3] = [
    Family {
        name: "shmget",
        create: |key, or_open| {
            let flags = if or_open { Flags::OR_OPEN } else { Flags::empty() };
            let region = Region::sysv_create(key, 100, &Options::with_flags(flags))?;
            Ok((region.sysv_id().unwrap(), region.created()))
        },
        open: |key| Ok(Region::sysv_attach(key, &Options::default())?.sysv_id().unwrap()),
        remove: sysv::remove,
        xxxget: |key| unsafe { libc::shmget(key, 0, 0) },
    },
    Family {
        name: "semget",
        create: |key, or_open| {
            let (set, created) = Semaphores::create(key, &[1], Creation { or_open, mode: 0 })?;
            Ok((set.id(), created))
        },
        open: |key| Ok(Semaphores::open(key, 1)?.id()),
        remove: |id| Semaphores::from_id(id).remove(),
        xxxget: |key| unsafe { libc::semget(key, 0, 0) },
    },
    Family {
        name: "msgget",
        create: |key, or_open| {
            let (queue, created) = Queue::create(key, Creation { or_open, mode: 0 })?;
            Ok((queue.id(), created))
        },
        open: |key| Ok(Queue::open(key)?.id()),
        remove: |id| Queue::from_id(id).remove(),
        xxxget: |key| unsafe { libc::msgget(key, 0) },
    },
];

#[test]
fn d4_1_all_three_families_go_by_the_same_key_rules() {
    own_process!(5, || {
        // Where this is permitted, what is left of a failure goes with the process.
        let _ = own_ipc();
        let key = Key::new();
        let (here, there) = Link::pair();
        let other = fork(|| {
            for family in FAMILIES {
                assert_eq!(there.hear(), "created");
                there.say((family.open)(key.get()).unwrap());
                let (_, created) = (family.create)(key.get(), true).unwrap();
                assert!(!created, "{}", family.name);
            }
        });
        for Family { name, create, open, remove, xxxget } in FAMILIES {
            // One key, three objects: each family has keys of its own.
            let (code, message) = refused(open(key.get()));
            assert_eq!(code, -libc::ENOENT, "{name}: {message}");
            let (id, created) = create(key.get(), true).unwrap();
            assert!(created, "{name}");
            here.say("created");
            assert_eq!(here.hear(), id.to_string(), "{name}: another process finds the same id");
            assert_eq!(unsafe { xxxget(key.get()) }, id, "{name}: so does the plain call");
            let (code, message) = refused(create(key.get(), false));
            assert_eq!(code, -libc::EEXIST, "{name}");
            assert!(message.contains(&key.hex()), "{message}");
            // 0 always makes a new one, -1 is a failed ftok.
            let private = [(); 2].map(|()| create(0, true).unwrap());
            assert!(private[0].0 != private[1].0 && private.iter().all(|(_, created)| *created), "{name}");
            private.iter().for_each(|&(id, _)| remove(id).unwrap());
            for answer in [refused(create(-1, true)), refused(open(-1)), refused(open(0))] {
                assert_eq!(answer.0, -libc::EINVAL, "{name}: {}", answer.1);
            }
        }
        other.join();
        for Family { name, open, remove, .. } in FAMILIES {
            remove(open(key.get()).unwrap()).unwrap();
            assert_eq!(refused(open(key.get())).0, -libc::ENOENT, "{name}: removed, the key is free");
        }
    });
}

#[test]
fn d4_2_the_first_creates_the_second_finds() {
    own_process!(5, || {
        const SIZE: usize = 10_000;
        let or_open = Options::with_flags(Flags::OR_OPEN);
        let (here, there) = Link::pair();
        let key = Key::new();
        let second = fork(|| {
            assert_eq!(there.hear(), "created");
            let found = Region::sysv_create(key.get(), SIZE, &or_open).unwrap();
            assert!(!found.created());
            there.say(found.sysv_id().unwrap());
            let (code, message) = refused(Region::sysv_create(key.get(), SIZE, &Options::default()));
            assert_eq!(code, -libc::EEXIST, "exclusive creation");
            assert!(message.contains(&key.hex()), "{message}");
        });
        let first = Region::sysv_create(key.get(), SIZE, &or_open).unwrap();
        assert!(first.created());
        here.say("created");
        assert_eq!(here.hear(), first.sysv_id().unwrap().to_string());
        second.join();
    });
}

#[test]
fn d4_3_in_another_ipc_namespace_the_key_finds_nothing() {
    own_process!(5, || {
        let key = Key::new();
        let made = FAMILIES.map(|family| (family.create)(key.get(), false).unwrap().0);
        let elsewhere = fork(|| {
            for (family, id) in FAMILIES.iter().zip(made) {
                assert_eq!((family.open)(key.get()).unwrap(), id, "{}: a child has the same", family.name);
            }
            if let Err(why) = own_ipc() {
                return skip(why);
            }
            for (family, id) in FAMILIES.iter().zip(made) {
                let name = family.name;
                assert_eq!(refused((family.open)(key.get())).0, -libc::ENOENT, "{name}: by key");
                assert_eq!(refused((family.remove)(id)).0, -libc::EINVAL, "{name}: by id");
                let (own, created) = (family.create)(key.get(), true).unwrap();
                assert!(created, "{name}");
                (family.remove)(own).unwrap();
            }
        });
        elsewhere.join();
        for (family, id) in FAMILIES.iter().zip(made) {
            assert_eq!((family.open)(key.get()).unwrap(), id, "{}: here all is as it was", family.name);
            (family.remove)(id).unwrap();
        }
    });
}

#[test]
fn d4_5_two_mappings_lead_to_the_same_pages() {
    own_process!(5, || {
        let first = Region::sysv_create(0, 8192, &Options::default()).unwrap();
        let segment = Segment(first.sysv_id().unwrap());
        let second = Region::sysv_attach_id(segment.0, &Options::default()).unwrap();
        assert_ne!(first.as_ptr(), second.as_ptr());
        assert_eq!(sysv::stat(segment.0).unwrap().attach_count, 2);
        for (writer, reader, word) in [(&first, &second, 1_u64), (&second, &first, 2)] {
            for offset in [0, 8184] {
                writer.store(offset, &word).unwrap();
                assert_eq!(reader.load::<u64>(offset).unwrap(), word);
            }
        }
    });
}

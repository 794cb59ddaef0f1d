//! How System V segments are created and mapped.

use shmkit::region::sysv;
use shmkit::{Flags, Options, Region};

use crate::support::*;
use crate::{refused, Link};

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

//! Objects that nobody holds, and their removal.

use std::os::fd::AsRawFd;

use shmkit::inspect::{leftovers, Leftover, ObjectKind, Reason};
use shmkit::region::{posix_unlink, sysv};
use shmkit::{Flags, Options, Region};

use crate::support::*;
use crate::{map, refused, unmap};

fn find(kind: ObjectKind, name: &str) -> Option<Leftover> {
    let is = |it: &Leftover| it.object.kind == kind && it.object.name.as_ref().is_some_and(|it| it == name);
    leftovers().found.into_iter().find(is)
}

fn find_segment(id: i32) -> Option<Leftover> {
    leftovers().found.into_iter().find(|it| it.object.id == Some(id))
}

#[test]
fn a_posix_object_is_left_when_nobody_has_it_open_or_mapped() {
    own_process!(10, || {
        let name = PosixName::new();
        let region = Region::posix_create(name.as_str(), 5000, &Options::default()).unwrap();
        assert!(find(ObjectKind::Posix, name.as_str()).is_none(), "it is mapped");
        drop(region);
        let left = find(ObjectKind::Posix, name.as_str()).unwrap();
        assert_eq!((&left.reasons[..], left.object.size_bytes), (&[Reason::NotOpen][..], Some(5000)));

        // Every way to have it keeps it: also by a mapping alone, and under way in a socket.
        let fd = open(name.path(), libc::O_RDONLY);
        assert!(find(ObjectKind::Posix, name.as_str()).is_none());
        let (code, message) = refused(left.remove());
        assert_eq!(code, -libc::EBUSY, "{message}");
        let start = map(&fd, 4096, libc::PROT_READ, libc::MAP_PRIVATE);
        drop(fd);
        assert_eq!(refused(left.remove()).0, -libc::EBUSY);
        unmap(start, 4096);
        let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
        let fd = open(name.path(), libc::O_RDWR);
        shmkit::handover::send_fd(&here, &fd.as_raw_fd(), shmkit::handover::Deadline::NEVER).unwrap();
        drop(fd);
        assert_eq!(refused(left.check()).0, -libc::EBUSY, "in flight");
        drop((here, there));

        left.check().unwrap();
        assert!(name.path().exists(), "a dry run removes nothing");
        left.remove().unwrap();
        assert!(!name.path().exists());
        let (code, message) = refused(left.remove());
        assert_eq!(code, -libc::ENOENT);
        assert!(message.contains(name.as_str()), "{message}");
    });
}

#[test]
fn an_object_that_was_made_anew_or_changed_is_not_removed() {
    own_process!(10, || {
        let name = PosixName::new();
        drop(Region::posix_create(name.as_str(), 4096, &Options::default()).unwrap());
        let left = find(ObjectKind::Posix, name.as_str()).unwrap();
        posix_unlink(name.as_str()).unwrap();
        drop(Region::posix_create(name.as_str(), 4096, &Options::default()).unwrap());
        for refusal in [left.check(), left.remove()] {
            assert_eq!(refused(refusal).0, -libc::ESTALE);
        }
        assert!(name.path().exists());

        let left = find(ObjectKind::Posix, name.as_str()).unwrap();
        std::fs::write(name.path(), b"used again").unwrap();
        assert_eq!(refused(left.remove()).0, -libc::ESTALE);
        assert!(name.path().exists());
        find(ObjectKind::Posix, name.as_str()).unwrap().remove().unwrap();
    });
}

#[test]
fn what_is_in_use_is_removed_only_where_that_is_said_and_only_if_it_is_the_same() {
    own_process!(10, || {
        let (name, key) = (PosixName::new(), Key::new());
        let make = || Region::posix_create(name.as_str(), 4096, &Options::default()).unwrap();
        let found = || {
            let all = shmkit::inspect::Survey::of(shmkit::inspect::Select::POSIX).objects;
            let object = all.into_iter().find(|it| it.name.as_ref().is_some_and(|it| it == name.as_str()));
            Leftover { object: object.unwrap(), reasons: Vec::new() }
        };
        let first = make();
        let (_held, former) = (first.descriptor().unwrap().try_clone_to_owned().unwrap(), found());
        posix_unlink(name.as_str()).unwrap();
        let region = make();
        assert_eq!(refused(former.remove_in_use()).0, -libc::ESTALE, "another one has its name");
        let left = found();
        assert_eq!(refused(left.remove()).0, -libc::EBUSY);
        std::fs::write(name.path(), b"written to meanwhile").unwrap();
        left.remove_in_use().unwrap();
        assert!(!name.path().exists());
        assert_eq!(refused(left.remove_in_use()).0, -libc::ENOENT);
        drop((first, region));

        let region = Region::sysv_create(key.get(), 5000, &Options::default()).unwrap();
        let all = shmkit::inspect::Survey::of(shmkit::inspect::Select::SEGMENTS).objects;
        let object = all.into_iter().find(|it| it.id == region.sysv_id().ok()).unwrap();
        let left = Leftover { object, reasons: Vec::new() };
        assert_eq!(refused(left.remove()).0, -libc::EBUSY);
        left.remove_in_use().unwrap();
        assert!(sysv::stat(region.sysv_id().unwrap()).unwrap().removed);
    });
}

#[test]
fn a_segment_is_left_when_nobody_is_attached() {
    own_process!(10, || {
        let key = Key::new();
        let creator = fork(|| {
            drop(Region::sysv_create(key.get(), 5000, &Options::default()).unwrap());
        });
        creator.join();
        let region = Region::sysv_attach(key.get(), &Options::default()).unwrap();
        let id = region.sysv_id().unwrap();
        assert!(find_segment(id).is_none());
        drop(region);
        let left = find_segment(id).unwrap();
        assert_eq!(left.reasons, [Reason::NotAttached, Reason::CreatorGone]);
        let region = Region::sysv_attach(key.get(), &Options::default()).unwrap();
        let (code, message) = refused(left.remove());
        assert_eq!(code, -libc::EBUSY);
        assert!(message.contains("count is 1"), "{message}");
        drop(region);
        left.check().unwrap();

        // Made anew: another id, or the same with other marks.
        sysv::remove(id).unwrap();
        drop(Region::sysv_create(key.get(), 5000, &Options::default()).unwrap());
        assert_eq!(refused(left.remove()).0, -libc::ENOENT);
        let region = Region::sysv_attach(key.get(), &Options::default()).unwrap();
        let id = region.sysv_id().unwrap();
        drop(region);
        let left = find_segment(id).unwrap();
        assert_eq!(left.reasons, [Reason::NotAttached]);
        left.remove().unwrap();
        assert!(find_segment(id).is_none());
    });
}

#[test]
fn what_belongs_to_another_user_is_refused() {
    own_process!(10, || {
        let (name, key, told) = (PosixName::new(), Key::new(), Line::new());
        let public = Options { mode: 0o666, ..Options::default() };
        let stranger = fork_as_nobody(|| {
            unsafe { libc::umask(0) };
            drop(Region::posix_create(name.as_str(), 4096, &public).unwrap());
            let segment = Region::sysv_create(key.get(), 4096, &public).unwrap();
            told.tell(segment.sysv_id().unwrap().into());
        });
        let stranger = match stranger {
            Ok(child) => child,
            Err(why) => return skip(why),
        };
        let id = told.hear() as i32;
        stranger.join();
        let _segment = Segment(id);
        let user = nobody().to_string();
        for left in [find(ObjectKind::Posix, name.as_str()), find_segment(id)] {
            let (code, message) = refused(left.expect("nobody has it").remove());
            assert_eq!(code, -libc::EPERM);
            assert!(message.contains(&user), "{message}");
        }
        assert!(name.path().exists());
        sysv::stat(id).unwrap();
    });
}

#[test]
fn who_may_not_ask_the_kernel_gets_no_verdict_from_a_partial_view() {
    own_process!(10, || {
        let name = PosixName::new();
        let public = Options { mode: 0o644, ..Options::default() };
        drop(Region::posix_create(name.as_str(), 4096, &public).unwrap());
        let stranger = fork_as_nobody(|| {
            let all = leftovers();
            let is =
                |object: &shmkit::inspect::Object| object.name.as_ref().is_some_and(|it| it == name.as_str());
            assert!(!all.found.iter().any(|it| is(&it.object)));
            let (_, why) = all.undecided.iter().find(|(object, _)| is(object)).unwrap();
            assert!(why.contains("may not be looked into"), "{why}");
        });
        match stranger {
            Ok(child) => child.join(),
            Err(why) => skip(why),
        }
        posix_unlink(name.as_str()).unwrap();
    });
}

#[test]
fn a_name_that_its_users_were_to_remove_says_so() {
    own_process!(10, || {
        let (name, told) = (PosixName::new(), Line::new());
        let user = fork(|| {
            let options = Options::with_flags(Flags::UNLINK_LAST);
            let _region = Region::posix_create(name.as_str(), 4096, &options).unwrap();
            told.tell(0);
            loop {
                unsafe { libc::pause() };
            }
        });
        told.hear();
        assert!(find(ObjectKind::Posix, name.as_str()).is_none());
        user.slay();
        let left = find(ObjectKind::Posix, name.as_str()).unwrap();
        assert_eq!(left.reasons, [Reason::NotOpen, Reason::Abandoned]);
        left.remove().unwrap();
    });
}

#[test]
fn who_opens_an_object_while_others_look_for_leftovers_gets_it() {
    own_process!(60, || {
        let child = fork(|| {
            if let Err(why) = own_dev_shm("size=1m") {
                return skip(why);
            }
            let options = Options::default();
            drop(Region::posix_create("/asked", 4096, &options).unwrap());
            let told = Line::new();
            // What leftovers() asks the kernel, and nothing else, so that the two meet.
            let asking = fork(|| loop {
                const F_SETSIG: i32 = 10;
                let fd = open("/dev/shm/asked", libc::O_RDONLY | libc::O_NONBLOCK);
                unsafe {
                    good(libc::fcntl(fd.as_raw_fd(), F_SETSIG, libc::SIGURG));
                    libc::fcntl(fd.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK);
                    libc::fcntl(fd.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK);
                }
                if !told.is_told() {
                    told.tell(0);
                }
            });
            told.hear();
            for _ in 0..30_000 {
                drop(Region::posix_open("/asked", &options).unwrap());
            }
            asking.slay();
            posix_unlink("/asked").unwrap();
        });
        child.join();
    });
}

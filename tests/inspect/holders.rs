//! Who holds what.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;

use shmkit::inspect::{By, Cause, Holder, ObjectKind, Select, Survey};
use shmkit::{Flags, Options, Region, Rights, Seals};

use crate::support::*;
use crate::{map, memfd, named, only, segment, unique, unmap};

const MEMFDS: Select = Select::MEMFDS.union(Select::HOLDERS);

/// The holders that are the process's.
fn of(survey: &Survey, holders: &[Holder], pid: i32) -> Vec<Holder> {
    holders.iter().filter(|holder| survey.process(holder).pid == pid).cloned().collect()
}

#[test]
fn a_memfd_is_found_by_a_descriptor_alone_and_by_a_mapping_alone() {
    own_process!(10, || {
        let (name, told, done) = (unique("held"), Line::new(), Line::new());
        let fd = memfd(name.as_bytes(), 8192);
        good(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_GROW) });
        let number = fd.as_raw_fd();
        let by_descriptor = fork(|| {
            told.tell(1);
            done.hear();
        });
        let by_mapping = fork(|| {
            let start = map(&fd, 8192, libc::PROT_READ, libc::MAP_PRIVATE);
            good(unsafe { libc::close(number) });
            told.tell(start as i64);
            done.hear();
        });
        let heard = [told.hear(), told.hear()];
        let start = heard.into_iter().find(|&start| start != 1).unwrap() as u64;
        drop(fd);

        let survey = Survey::of(MEMFDS);
        let object = only(&survey, ObjectKind::Memfd, &name);
        assert_eq!((object.size_bytes, object.seals), (Some(8192), Some(Seals::GROW)));
        assert_eq!(object.used_bytes, Some(0), "nobody has touched it");
        assert!(object.unlinked && object.mode == Some(0o777));
        let held = of(&survey, &object.holders, by_descriptor.pid());
        assert_eq!(held.len(), 1);
        assert_eq!((held[0].by, held[0].rights), (By::Descriptor(number), Rights::READ_WRITE));
        let process = survey.process(&held[0]);
        assert_eq!(process.uid, Some(unsafe { libc::geteuid() }));
        let own = std::fs::read("/proc/self/comm").unwrap();
        assert_eq!(process.command.as_bytes(), own.trim_ascii_end());
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
        assert!((now - process.started_at.unwrap()).abs() < 60, "{process:?} at {now}");
        let held = of(&survey, &object.holders, by_mapping.pid());
        assert_eq!(held.len(), 1);
        let mapping = By::Mapping { start, length_bytes: 8192, offset: 0, shared: false };
        assert_eq!((held[0].by, held[0].rights), (mapping, Rights::READ));
        assert_eq!(object.holders.len(), 2);

        // The same of one process.
        let one = Survey::of_process(by_mapping.pid(), Select::all()).unwrap();
        assert_eq!(only(&one, ObjectKind::Memfd, &name).holders.len(), 1);

        for child in [by_descriptor, by_mapping] {
            done.tell(0);
            done.tell(0);
            child.slay();
        }
        while done.is_told() {
            done.hear();
        }
        assert!(named(&Survey::of(MEMFDS), ObjectKind::Memfd, &name).is_empty(), "it went with its holders");
    });
}

#[test]
fn names_of_any_bytes_come_as_they_are() {
    own_process!(10, || {
        let names: [&[u8]; 6] = [
            b"a\nb\x01\x7f",
            b"\xff\xfe not UTF-8",
            b"back\\012slash",
            b"memfd:x (deleted)",
            b"two  spaces ",
            b"",
        ];
        for name in names {
            // Once by its descriptor, once by its mapping alone.
            for by_mapping in [false, true] {
                let fd = memfd(name, 4096);
                let id = stat(&fd).st_ino;
                let start = map(&fd, 4096, libc::PROT_READ, libc::MAP_SHARED);
                let _fd = if by_mapping { None } else { Some(fd) };
                let survey = Survey::of_process(std::process::id() as i32, MEMFDS).unwrap();
                let found =
                    survey.objects.iter().find(|object| object.file.is_some_and(|file| file.inode == id));
                assert_eq!(found.unwrap().name.as_deref(), Some(OsStr::from_bytes(name)));
                unmap(start, 4096);
            }
        }
    });
}

#[test]
fn a_file_that_calls_itself_a_memfd_or_a_segment_is_none() {
    own_process!(10, || {
        let directory = Directory::new();
        let pid = std::process::id() as i32;
        for name in ["memfd:liar (deleted)", "SYSV00000000 (deleted)"] {
            let path = directory.write(name, &[0; 4096]);
            let fd = open(&path, libc::O_RDWR);
            let start = map(&fd, 4096, libc::PROT_READ, libc::MAP_SHARED);
            let survey = Survey::of_process(pid, Select::all()).unwrap();
            let inode = stat(&fd).st_ino;
            let kinds: Vec<_> = survey
                .objects
                .iter()
                .filter(|object| object.file.is_some_and(|file| file.inode == inode))
                .map(|object| object.kind)
                .collect();
            assert_eq!(kinds, [ObjectKind::File], "{name}");
            unmap(start, 4096);
        }
    });
}

#[test]
fn every_kind_of_region_is_found_with_its_holder() {
    own_process!(10, || {
        let (name, directory, memory) = (PosixName::new(), Directory::new(), unique("kinds"));
        let path = directory.file("region");
        let none = Options::default();
        let regions = [
            Region::create(&memory, 5000, &none).unwrap(),
            Region::posix_create(name.as_str(), 5000, &none).unwrap(),
            Region::file_create(&path, 5000, &none).unwrap(),
            Region::sysv_create(0, 5000, &Options::with_flags(Flags::AUTO_REMOVE)).unwrap(),
            Region::anon_create(5000, &none).unwrap(),
        ];
        let pid = std::process::id() as i32;
        let all = Survey::of_process(pid, Select::all()).unwrap();
        for region in &regions {
            let alone = Survey::of_region(region, Select::HOLDERS).unwrap();
            assert_eq!(alone.objects.len(), 1, "{region:?}: {:#?}", alone.objects);
            let object = &alone.objects[0];
            let start = region.as_ptr() as u64;
            let mapped = |holder: &Holder| matches!(holder.by, By::Mapping { start: at, .. } if at == start);
            let held = of(&alone, &object.holders, pid);
            assert!(held.iter().any(mapped), "{object:#?}");
            let has_fd = region.fd().is_ok();
            let opened = |holder: &Holder| matches!(holder.by, By::Descriptor(_));
            assert_eq!(held.iter().any(opened), has_fd);
            // One of the ways alone.
            for (way, wanted) in [(Select::DESCRIPTORS, true), (Select::MAPPINGS, false)] {
                let one_way = Survey::of_region(region, way).unwrap();
                let found = one_way
                    .objects
                    .first()
                    .map(|object| of(&one_way, &object.holders, pid))
                    .unwrap_or_default();
                let all = held.iter().filter(|holder| opened(holder) == wanted);
                assert_eq!(found.len(), all.count(), "{way:?} of {object:#?}");
                assert!(found.iter().all(|holder| opened(holder) == wanted), "{found:?}");
            }
            assert_eq!(
                crate::refused(Survey::of_region(region, Select::POSIX | Select::MAPPINGS)).0,
                -libc::EINVAL
            );
            let again = all.objects.iter().find(|it| it.holders.iter().any(mapped)).unwrap();
            assert_eq!((again.kind, again.size_bytes), (object.kind, object.size_bytes));
            let named = [ObjectKind::Segment, ObjectKind::Anonymous].contains(&object.kind);
            assert_eq!(object.name.is_none(), named, "{object:?}");
        }
        assert_eq!(only(&all, ObjectKind::Posix, name.as_str()).size_bytes, Some(5000));
        assert_eq!(only(&all, ObjectKind::Memfd, &memory).size_bytes, Some(5000));
        let own = segment(&all, regions[3].sysv_id().unwrap()).unwrap();
        assert!(own.unlinked);
        assert_eq!((own.size_bytes, own.attach_count, own.key), (Some(5000), Some(1), Some(0)));
    });
}

#[test]
fn processes_that_vanish_leave_the_rest_complete() {
    own_process!(60, || {
        let name = unique("storm");
        let fd = memfd(name.as_bytes(), 4096);
        let storm = fork(|| loop {
            fork(|| {}).wait();
        });
        for _ in 0..100 {
            let survey = Survey::of(MEMFDS);
            let object = only(&survey, ObjectKind::Memfd, &name);
            assert_eq!(of(&survey, &object.holders, std::process::id() as i32).len(), 1);
            let told =
                |gap: &&shmkit::inspect::Gap| gap.cause == Cause::Unreadable || gap.cause == Cause::Malformed;
            assert_eq!(survey.gaps.iter().find(told), None);
        }
        storm.slay();
        assert_eq!(Survey::of_file(fd.as_fd(), Select::HOLDERS).unwrap().objects.len(), 1);
    });
}

#[test]
fn what_another_user_may_not_see_is_a_gap_and_no_error() {
    own_process!(10, || {
        let name = unique("mine");
        let _fd = memfd(name.as_bytes(), 4096);
        let parent = std::process::id() as i32;
        let stranger = fork_as_nobody(|| {
            let own = memfd(b"own", 4096);
            let survey = Survey::of(MEMFDS);
            assert!(named(&survey, ObjectKind::Memfd, &name)
                .iter()
                .all(|object| { of(&survey, &object.holders, parent).is_empty() }));
            let gap = survey.gaps.iter().find(|gap| gap.cause == Cause::Permission).unwrap();
            assert!(gap.count > 0 && gap.message.contains(&gap.count.to_string()), "{gap}");
            assert!(!survey.is_complete());
            let inode = stat(&own).st_ino;
            assert!(survey.objects.iter().any(|it| it.file.is_some_and(|file| file.inode == inode)));
            let refused = Survey::of_process(parent, MEMFDS).unwrap_err();
            assert_eq!(refused.errno(), Some(libc::EACCES));
            // Its own mappings, without the right to follow them: known by name, and the rest is a gap.
            let start = map(&own, 4096, libc::PROT_READ, libc::MAP_SHARED);
            drop(own);
            let survey = Survey::of_process(std::process::id() as i32, MEMFDS).unwrap();
            let object = only(&survey, ObjectKind::Memfd, "own");
            assert_eq!((object.size_bytes, object.seals), (None, None));
            assert_eq!(survey.gaps[0].cause, Cause::Unfollowed);
            unmap(start, 4096);
        });
        match stranger {
            Ok(child) => child.join(),
            Err(why) => skip(why),
        }
    });
}

#[test]
fn a_process_that_is_not_there_is_esrch() {
    own_process!(5, || {
        let child = fork(|| {});
        let pid = child.pid();
        child.join();
        let error = Survey::of_process(pid, Select::all()).unwrap_err();
        assert_eq!(error.errno(), Some(libc::ESRCH));
        assert!(error.to_string().contains(&pid.to_string()), "{error}");
        assert!(Survey::of_process(-1, Select::all()).is_err());
        assert!(Survey::of_process(0, Select::all()).is_err());
    });
}

//! The ways to share memory on Linux, and where each of them lives.

use std::fs::{self, File};
use std::os::fd::{AsRawFd, FromRawFd};

use shmkit::error::{SHMKIT_E_NOT_REGION, SHMKIT_E_ON_DISK};
use shmkit::handover::{recv_fds, recv_region, send_fds, send_region, Deadline};
use shmkit::region::{posix_unlink, sysv};
use shmkit::{Flags, Options, Region};

use crate::kernel::Mapping;
use crate::support::*;
use crate::{directory_on_disk, refused, Link, NO_DISK};

const NEVER: Deadline = Deadline::NEVER;

#[test]
fn d3_4_names_are_those_of_shm_open() {
    own_process!(5, || {
        let unique = PosixName::new();
        let unique = &unique.as_str()[1..];
        let of_length = |length: usize| unique.to_string() + &"x".repeat(length - unique.len());
        let (invalid, too_long) = (Some(libc::EINVAL), Some(libc::ENAMETOOLONG));
        let names = [
            (unique.to_string(), None),
            (format!("{unique} ü\\.."), None),
            (of_length(255), None),
            (of_length(256), too_long),
            (String::new(), invalid),
            (".".to_string(), invalid),
            ("..".to_string(), invalid),
            ("a/b".to_string(), invalid),
            ("a/".to_string(), invalid),
            ("../x".to_string(), invalid),
        ];
        for slashes in ["", "/", "//", "///"] {
            for (name, answer) in &names {
                let name = format!("{slashes}{name}");
                assert_eq!((create(&name), create_by_shm_open(&name)), (*answer, *answer), "'{name}'");
            }
            // The one difference: some versions of glibc say EINVAL of a name that is very long.
            let name = format!("{slashes}{}", of_length(10_000));
            assert_eq!(create(&name), too_long);
            let glibc = create_by_shm_open(&name);
            assert!(glibc == invalid || glibc == too_long, "{glibc:?}");
        }
        let (_, message) = refused(Region::posix_create("/a/b", 1, &Options::default()));
        assert!(message.contains("'/a/b'") && message.contains("slash"), "{message}");
        let (_, message) = refused(Region::posix_open(of_length(256), &Options::default()));
        assert!(message.contains("256") && message.contains("255"), "{message}");
    });
}

/// The error of creating under a name; what could be created, shm_open finds there.
fn create(name: &str) -> Option<i32> {
    let created = Region::posix_create(name, 1, &Options::default());
    if created.is_ok() {
        shm_open(name, libc::O_RDWR).unwrap();
        posix_unlink(name).unwrap();
    }
    created.err().map(|error| error.errno().unwrap())
}

/// The same the other way round.
fn create_by_shm_open(name: &str) -> Option<i32> {
    let created = shm_open(name, libc::O_RDWR | libc::O_CREAT);
    if let Ok(file) = &created {
        file.set_len(1).unwrap();
        Region::posix_open(name, &Options::default()).unwrap();
        posix_unlink(name).unwrap();
    }
    created.err()
}

fn shm_open(name: &str, flags: i32) -> Result<File, i32> {
    match unsafe { libc::shm_open(c(name).as_ptr(), flags, 0o600) } {
        -1 => Err(errno()),
        fd => Ok(unsafe { File::from_raw_fd(fd) }),
    }
}

#[test]
fn d3_5_a_name_is_opened_and_removed_and_the_memory_stays_with_its_users() {
    own_process!(5, || {
        let name = PosixName::new();
        let (here, there) = Link::pair();
        let other = fork(|| {
            assert_eq!(there.hear(), "created");
            let region = Region::posix_open(name.as_str(), &Options::default()).unwrap();
            region.write(0, b"there").unwrap();
            there.say("written");
            assert_eq!(there.hear(), "removed");
            assert_eq!(&region.load::<[u8; 5]>(0).unwrap(), b"here ");
            region.write(0, b"still").unwrap();
        });
        let region = Region::posix_create(name.as_str(), 5, &Options::default()).unwrap();
        here.say("created");
        assert_eq!(here.hear(), "written");
        posix_unlink(name.as_str()).unwrap();
        let (code, message) = refused(Region::posix_open(name.as_str(), &Options::default()));
        assert_eq!(code, -libc::ENOENT);
        assert!(message.contains(name.as_str()), "{message}");
        assert_eq!(refused(posix_unlink(name.as_str())).0, -libc::ENOENT);

        assert_eq!(&region.load::<[u8; 5]>(0).unwrap(), b"there");
        region.write(0, b"here ").unwrap();
        let next = Region::posix_create(name.as_str(), 5, &Options::default()).unwrap();
        assert_eq!(next.load::<[u8; 5]>(0).unwrap(), [0; 5], "the name is other memory now");
        here.say("removed");
        other.join();
        assert_eq!(&region.load::<[u8; 5]>(0).unwrap(), b"still");
    });
}

#[test]
fn d3_6_shared_or_private_file_or_anonymous() {
    own_process!(5, || {
        for (flags, shared) in [(Flags::empty(), true), (Flags::PRIVATE, false)] {
            let options = Options::with_flags(flags);
            let directory = Directory::new();
            let path = directory.file("file");
            fs::write(&path, [0; 2]).unwrap();
            for region in [Region::file_open(&path, 0, &options), Region::anon_create(2, &options)] {
                let region = region.unwrap();
                let bytes = region.array::<u8>(0, 2).unwrap();
                let line = Line::new();
                // Byte 0 is the parent's to write, byte 1 the child's.
                let child = fork(|| {
                    line.hear();
                    let seen = bytes.get(0) == Some(1);
                    bytes.set(1, 2).unwrap();
                    assert_eq!(seen, shared, "the child sees the parent's write: {region:?}");
                });
                bytes.set(0, 1).unwrap();
                line.tell(0);
                child.join();
                assert_eq!(bytes.get(1) == Some(2), shared, "the parent sees the child's: {region:?}");
                assert_eq!(bytes.get(0), Some(1), "its own it sees: {region:?}");
            }
            assert_eq!(fs::read(&path).unwrap(), if shared { [1, 2] } else { [0, 0] });
        }
    });
}

#[test]
fn d3_7_anonymous_memory_starts_as_zeros() {
    own_process!(5, || {
        for flags in [Flags::empty(), Flags::PRIVATE] {
            let region = Region::anon_create(64 << 10, &Options::with_flags(flags)).unwrap();
            let mut bytes = vec![1; region.size()];
            region.read(0, &mut bytes).unwrap();
            assert!(bytes.iter().all(|&byte| byte == 0));
        }
    });
}

#[test]
fn d3_7_two_mappings_of_dev_zero_do_not_share_so_it_is_refused() {
    own_process!(5, || {
        let zero = open("/dev/zero", libc::O_RDWR);
        let map = || {
            let (rights, fd) = (libc::PROT_READ | libc::PROT_WRITE, zero.as_raw_fd());
            let start = unsafe { libc::mmap(std::ptr::null_mut(), 1, rights, libc::MAP_SHARED, fd, 0) };
            assert_ne!(start, libc::MAP_FAILED);
            start.cast::<u8>()
        };
        let (one, two) = (map(), map());
        unsafe {
            one.write_volatile(1);
            assert_eq!((one.read_volatile(), two.read_volatile()), (1, 0));
            for start in [one, two] {
                good(libc::munmap(start.cast(), 1));
            }
        }
        let (code, message) = refused(Region::from_fd(&zero, 4096, &Options::default()));
        assert_eq!(code, -libc::ENODEV);
        assert!(message.contains("device"), "{message}");

        // With a frame that is true of another descriptor.
        let (here, there) = Link::pair();
        let region = Region::create("d3_7", 4096, &Options::default()).unwrap();
        send_region(&here, &region, NEVER).unwrap();
        let mut frame = [0; 64];
        recv_fds(&there, 1, &mut frame, NEVER).unwrap();
        send_fds(&here, &[zero.as_raw_fd()], &frame, NEVER).unwrap();
        let (code, message) = refused(recv_region(&there, &Options::with_flags(Flags::RISK_SHRINK), NEVER));
        assert_eq!(code, SHMKIT_E_NOT_REGION);
        assert!(message.contains("device"), "{message}");
    });
}

#[test]
fn d3_9_segments_are_locked_in_memory_and_unlocked() {
    own_process!(5, || {
        let region = Region::sysv_create(0, page(), &Options::default()).unwrap();
        let segment = Segment(region.sysv_id().unwrap());
        let locked = || sysv::stat(segment.0).unwrap().locked;
        assert!(!locked());
        sysv::lock(segment.0).unwrap();
        assert!(locked());
        sysv::unlock(segment.0).unwrap();
        assert!(!locked());
        // And this process's mapping of it.
        region.lock(0, region.size()).unwrap();
        assert!(Mapping::of(&region).flag("lo"));
        region.unlock(0, region.size()).unwrap();
        assert!(!Mapping::of(&region).flag("lo"));
    });
}

#[test]
fn d3_9_the_limit_of_locked_memory_is_named() {
    own_process!(5, || {
        // Root has no limit.
        let nobody = fork_as_nobody(|| {
            let limit = 3 * page();
            let _lowered = Limit::lower(libc::RLIMIT_MEMLOCK, limit as u64);
            let region = Region::sysv_create(0, 4 * page(), &Options::default()).unwrap();
            let segment = Segment(region.sysv_id().unwrap());
            for refusal in [sysv::lock(segment.0), region.lock(0, 4 * page())] {
                let (code, message) = refused(refusal);
                assert_eq!(code, -libc::ENOMEM);
                assert!(message.contains(&format!("RLIMIT_MEMLOCK is {limit} bytes")), "{message}");
            }
            assert!(!sysv::stat(segment.0).unwrap().locked);
            region.lock(0, 3 * page()).unwrap();
        });
        match nobody {
            Ok(nobody) => nobody.join(),
            Err(why) => skip(why),
        }
    });
}

#[test]
fn d3_10_without_a_tmpfs_posix_objects_would_lie_on_the_disk() {
    own_process!(5, || {
        let Some(directory) = directory_on_disk() else {
            return skip(NO_DISK);
        };
        let alone = fork(|| {
            let plain = directory.path().to_str().unwrap();
            let set_up = own_mounts()
                .and_then(|()| own_ipc())
                .and_then(|()| mount(plain, "/dev/shm", "", libc::MS_BIND, ""));
            match set_up {
                Ok(()) => share_without_a_tmpfs(),
                Err(why) => skip(why),
            }
        });
        alone.join();
        assert!(directory.entries().is_empty());
    });
}

fn share_without_a_tmpfs() {
    let name = "/d3_10";
    let default = Options::default();
    // glibc goes to the disk without a word.
    shm_open(name, libc::O_RDWR | libc::O_CREAT).unwrap().set_len(4096).unwrap();
    let refusals = [Region::posix_open(name, &default), Region::posix_create("/d3_10-b", 4096, &default)];
    for refusal in refusals {
        let (code, message) = refused(refusal);
        assert_eq!(code, SHMKIT_E_ON_DISK);
        assert!(message.contains("d3_10") && message.contains("RISK_DISK"), "{message}");
    }
    posix_unlink(name).unwrap();

    let risk = Options::with_flags(Flags::RISK_DISK);
    let object = Region::posix_create(name, 4096, &risk).unwrap();
    let memfd = Region::create(name, 4096, &default).unwrap();
    let segment = Region::sysv_create(1, 4096, &default).unwrap();
    let pairs = [
        (Region::posix_open(name, &risk), object),
        (Region::from_fd(&memfd.fd().unwrap(), 0, &default), memfd),
        (Region::sysv_attach(1, &default), segment),
    ];
    for (found, made) in pairs {
        made.write(0, b"shared").unwrap();
        assert_eq!(&found.unwrap().load::<[u8; 6]>(0).unwrap(), b"shared");
    }
    posix_unlink(name).unwrap();
}

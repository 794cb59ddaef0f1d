//! Limits, what fits into them, and traps.

use shmkit::inspect::{fits, fits_file, traps, Applies, Limits, Obstacle, Value, UNLIMITED};
use shmkit::{Flags, Kind, Options, Region};

use crate::support::*;

fn obstacle(kind: Kind, size: usize, options: &Options) -> Obstacle {
    fits(kind, size as u64, options).expect_err("this does not fit")
}

/// What is refused beforehand is refused, with the same code; what fits can be made.
#[track_caller]
fn agree(kind: Kind, size: usize, options: &Options, limit: Option<&str>) {
    let name = PosixName::new();
    let fits = fits(kind, size as u64, options);
    let made = match kind {
        Kind::SysV => {
            let options = Options { flags: options.flags | Flags::AUTO_REMOVE, ..*options };
            Region::sysv_create(0, size, &options)
        }
        Kind::Posix => Region::posix_create(name.as_str(), size, options),
        Kind::Anonymous => Region::anon_create(size, options),
        _ => Region::create("fits", size, options),
    };
    match (fits, made) {
        (Ok(()), Ok(_)) => assert_eq!(limit, None),
        (Err(obstacle), Err(error)) => {
            assert_eq!(obstacle.error.code(), error.code(), "{obstacle}, and {error}");
            let found = obstacle.limit.as_ref().map(|limit| limit.name.as_str());
            assert_eq!(found, limit, "{obstacle}");
            let Some(found) = &obstacle.limit else { return };
            let value = found.number().unwrap().to_string();
            let message = obstacle.to_string();
            for part in [&found.name, &value, &found.source] {
                assert!(message.contains(part), "{message}");
            }
        }
        (fits, made) => panic!("{size} bytes: {fits:?}, and {made:?}"),
    }
}

#[test]
fn system_v_limits_are_told_beforehand() {
    own_process!(10, || {
        let child = fork(|| {
            let set = own_ipc()
                .and_then(|()| sysctl("kernel.shmmax", 100_000))
                .and_then(|()| sysctl("kernel.shmmni", 3))
                .and_then(|()| sysctl("kernel.shmall", 30));
            if let Err(why) = set {
                return skip(why);
            }
            let none = Options::default();
            let limits = Limits::read();
            let number = |name| limits.number(name).unwrap();
            assert_eq!(
                (number("kernel.shmmax"), number("kernel.shmmni"), number("kernel.shmall")),
                (100_000, 3, 30)
            );
            agree(Kind::SysV, 100_000, &none, None);
            agree(Kind::SysV, 100_001, &none, Some("kernel.shmmax"));
            let pages = 10 * page();
            let region = |size| Region::sysv_create(0, size, &none).map(|it| Segment(it.sysv_id().unwrap()));
            let _first = region(2 * pages).unwrap();
            agree(Kind::SysV, pages, &none, None);
            agree(Kind::SysV, pages + 1, &none, Some("kernel.shmall"));
            let _others = [region(1).unwrap(), region(1).unwrap()];
            agree(Kind::SysV, 1, &none, Some("kernel.shmmni"));
            let limits = Limits::read();
            let left = |name| limits.get(name).unwrap().free().unwrap();
            assert_eq!((left("kernel.shmmni"), left("kernel.shmall")), (0, 8));
        });
        child.join();
    });
}

#[test]
fn dev_shm_is_told_beforehand() {
    own_process!(10, || {
        let child = fork(|| {
            if let Err(why) = own_dev_shm("size=1m,nr_inodes=4") {
                return skip(why);
            }
            let none = Options::default();
            let limits = Limits::read();
            assert_eq!(limits.number("dev_shm.size"), Some(1 << 20));
            assert_eq!(limits.get("dev_shm.type").unwrap().value, Ok(Value::Word("tmpfs".to_string())));
            agree(Kind::Posix, 1 << 20, &none, None);
            agree(Kind::Posix, (1 << 20) + 1, &none, Some("dev_shm.size"));
            agree(Kind::Posix, 1 << 21, &Options::with_flags(Flags::NO_RESERVE), None);
            let name = PosixName::new();
            let _half = Region::posix_create(name.as_str(), 1 << 19, &none).unwrap();
            agree(Kind::Posix, 1 << 19, &none, None);
            agree(Kind::Posix, (1 << 19) + 1, &none, Some("dev_shm.size"));
            let others = [PosixName::new(), PosixName::new()];
            others.iter().for_each(|name| drop(Region::posix_create(name.as_str(), 1, &none).unwrap()));
            agree(Kind::Posix, 1, &none, Some("dev_shm.inodes_free"));
            let tiny = traps().into_iter().find(|trap| trap.name == "dev-shm-tiny").unwrap();
            assert_eq!(tiny.applies, Applies::Yes);
            assert!(tiny.sentence.contains("1048576 bytes"), "{}", tiny.sentence);
        });
        child.join();
    });
}

#[test]
fn the_limits_of_a_process_are_told_beforehand() {
    own_process!(10, || {
        let none = Options::default();
        {
            let _limit = Limit::lower(libc::RLIMIT_FSIZE, 10_000);
            for kind in [Kind::Memfd, Kind::Posix] {
                agree(kind, 10_000, &none, None);
                agree(kind, 10_001, &none, Some("RLIMIT_FSIZE"));
            }
            agree(Kind::Anonymous, 10_001, &none, None);
        }
        {
            let _limit = Limit::lower(libc::RLIMIT_AS, 4 << 30);
            agree(Kind::Anonymous, 5 << 30, &Options::with_flags(Flags::NO_RESERVE), Some("RLIMIT_AS"));
        }
        assert_eq!(Limits::read().number("RLIMIT_FSIZE"), Some(UNLIMITED));
        let child = fork(|| {
            // All descriptors but those that looking takes.
            let mut open = Vec::new();
            let _limit = Limit::lower(libc::RLIMIT_NOFILE, 40);
            while open.len() < 20 {
                open.push(std::fs::File::open("/dev/null").unwrap());
            }
            let limits = Limits::read();
            let limit = limits.get("RLIMIT_NOFILE").unwrap();
            let all = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64 - 1;
            assert_eq!(limit.used, Some(Ok(all)));
            assert_eq!(limit.free(), Some(40 - all));
        });
        child.join();
    });
}

#[test]
fn a_question_that_makes_no_sense_is_einval() {
    let none = Options::default();
    for kind in [Kind::Memfd, Kind::SysV, Kind::Posix, Kind::Anonymous, Kind::File] {
        let obstacle = obstacle(kind, 0, &none);
        assert_eq!(obstacle.error.errno(), Some(libc::EINVAL));
        assert!(obstacle.limit.is_none());
        let most = if kind == Kind::SysV { libc::EINVAL } else { libc::ENOMEM };
        assert_eq!(self::obstacle(kind, usize::MAX, &none).error.errno(), Some(most));
    }
    assert_eq!(obstacle(Kind::Descriptor, 1, &none).error.errno(), Some(libc::EINVAL));
}

#[test]
fn huge_pages_are_asked_of_their_pools() {
    own_process!(20, || {
        let huge = |flags| Options::with_flags(flags);
        for kind in [Kind::Posix, Kind::Anonymous] {
            let refused = obstacle(kind, HUGE_2M, &huge(Flags::HUGE_2M));
            assert_eq!(refused.error.errno(), Some(libc::EINVAL), "{refused}");
        }
        assert_eq!(
            obstacle(Kind::Memfd, 1, &huge(Flags::HUGE_2M | Flags::HUGE_1G)).error.errno(),
            Some(libc::EINVAL)
        );
        let pools = match Pools::lock() {
            Ok(pools) => pools,
            Err(why) => return skip(why),
        };
        if let Err(why) = pools.offer(HUGE_2M, 2) {
            return skip(why);
        }
        let limits = Limits::read();
        assert_eq!(limits.get("hugepages-2048kB").unwrap().free(), Some(2));
        for kind in [Kind::Memfd, Kind::SysV] {
            agree(kind, 2 * HUGE_2M, &huge(Flags::HUGE_2M), None);
            agree(kind, 2 * HUGE_2M + 1, &huge(Flags::HUGE_2M), Some("hugepages-2048kB"));
            agree(kind, 2 * HUGE_2M + 1, &huge(Flags::HUGE_2M | Flags::HUGE_FALLBACK), None);
        }
    });
}

#[test]
fn files_are_asked_of_their_directory() {
    own_process!(5, || {
        let (directory, none) = (Directory::new(), Options::default());
        fits_file(directory.file("new"), 4096, &none).unwrap();
        let obstacle = fits_file(directory.file("new"), 1 << 60, &none).unwrap_err();
        assert_eq!(obstacle.error.errno(), Some(libc::ENOSPC));
        assert_eq!(directory.entries(), [""; 0], "nothing is made");
        let obstacle = fits_file(directory.file("a/b"), 1, &none).unwrap_err();
        assert_eq!(obstacle.error.errno(), Some(libc::ENOENT));
        assert!(fits_file("bare", 1, &none).is_ok());
    });
}

#[test]
fn traps_of_namespaces_and_mounts() {
    own_process!(10, || {
        let child = fork(|| {
            let trap = |name| traps().into_iter().find(|trap| trap.name == name).unwrap();
            if let Err(why) = own_dev_shm("size=512m") {
                return skip(why);
            }
            assert_eq!(trap("dev-shm-noexec").applies, Applies::No);
            assert_eq!(trap("dev-shm-tiny").applies, Applies::No);
            mount("tmpfs", "/dev/shm", "tmpfs", libc::MS_NOEXEC, "size=512m").unwrap();
            let noexec = trap("dev-shm-noexec");
            assert_eq!(noexec.applies, Applies::Yes);
            assert!(noexec.sentence.contains("noexec"), "{}", noexec.sentence);
            let before = trap("ipc-namespace");
            if let Err(why) = own_ipc() {
                return skip(why);
            }
            let after = trap("ipc-namespace");
            assert_ne!(after.sentence, before.sentence);
            assert_ne!(after.applies, Applies::No, "{}", after.sentence);
            sysctl("kernel.shm_rmid_forced", 1).unwrap();
            assert_eq!(trap("shm-rmid-forced").applies, Applies::Yes);
        });
        child.join();
    });
}

#[test]
fn the_memory_of_a_control_group_is_told_beforehand() {
    const LIMIT: u64 = 64 << 20;
    own_process!(30, || {
        let group = match Group::new(LIMIT) {
            Ok(group) => group,
            Err(why) => return skip(why),
        };
        let source = group.limit_file().to_str().unwrap().to_string();
        let child = fork(|| {
            if let Err(why) = group.enter() {
                return skip(why);
            }
            let none = Options::default();
            let own = || Limits::read().get("memory.max").unwrap().clone();
            assert_eq!((own().number(), own().source.as_str()), (Some(LIMIT), source.as_str()));
            let before = own().used.unwrap().unwrap();
            assert!(before < LIMIT / 4, "{before}");
            for kind in [Kind::Memfd, Kind::Anonymous, Kind::Posix, Kind::SysV] {
                fits(kind, LIMIT / 2, &none).unwrap();
                let obstacle = obstacle(kind, LIMIT as usize + page(), &none);
                assert_eq!(obstacle.error.errno(), Some(libc::ENOMEM), "{obstacle}");
                assert_eq!(obstacle.limit.as_ref().unwrap().name, "memory.max");
                assert!(obstacle.to_string().contains(&source), "{obstacle}");
                assert!(obstacle.to_string().contains(&LIMIT.to_string()), "{obstacle}");
                fits(kind, 2 * LIMIT, &Options::with_flags(Flags::NO_RESERVE)).unwrap();
            }
            // What is reserved is used, and leaves as much less.
            let half = Region::create("half", LIMIT as usize / 2, &none).unwrap();
            let used = own().used.unwrap().unwrap();
            // The kernel counts in batches.
            assert!(used.abs_diff(before + LIMIT / 2) < LIMIT / 16, "{before}, then {used}");
            let obstacle = obstacle(Kind::Memfd, LIMIT as usize / 2, &none);
            assert_eq!(obstacle.limit.as_ref().unwrap().name, "memory.max", "{obstacle}");
            drop(half);
            fits(Kind::Memfd, LIMIT / 2, &none).unwrap();
        });
        child.join();
        // This process is in no such group.
        assert_ne!(Limits::read().get("memory.max").unwrap().source, source);
    });
}

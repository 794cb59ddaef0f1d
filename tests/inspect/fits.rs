//! Asking whether a region fits, and making it, are one answer: over a table of kinds and options.

use shmkit::inspect::{fits, fits_file, Obstacle};
use shmkit::{Flags, Kind, Options, Region, Seals};

use crate::support::*;

const KINDS: [Kind; 5] = [Kind::Memfd, Kind::Anonymous, Kind::File, Kind::Posix, Kind::SysV];

struct Bench {
    directory: Directory,
    name: PosixName,
}

impl Bench {
    fn new() -> Bench {
        Bench { directory: Directory::new(), name: PosixName::new() }
    }

    fn ask(&self, kind: Kind, size: usize, options: &Options) -> Result<(), Obstacle> {
        match kind {
            Kind::File => fits_file(self.directory.file("file"), size as u64, options),
            kind => fits(kind, size as u64, options),
        }
    }

    /// What is left of it in the machine: nothing.
    fn make(&self, kind: Kind, size: usize, options: &Options) -> shmkit::Result<()> {
        let made = match kind {
            Kind::Memfd => Region::create("fits", size, options),
            Kind::Anonymous => Region::anon_create(size, options),
            Kind::Posix => Region::posix_create(self.name.as_str(), size, options),
            Kind::SysV => Region::sysv_create(0, size, options),
            _ => Region::file_create(self.directory.file("file"), size, options),
        };
        let _segment = made.as_ref().ok().and_then(|region| region.sysv_id().ok()).map(Segment);
        let _ = std::fs::remove_file(self.directory.file("file"));
        let _ = std::fs::remove_file(self.name.path());
        made.map(drop)
    }

    /// Both answers are the same: the code, and for options that are refused the sentence.
    fn agree(&self, kind: Kind, size: usize, options: &Options) -> Option<i32> {
        let asked = self.ask(kind, size, options);
        let made = self.make(kind, size, options);
        let context = || format!("{kind:?} of {size} bytes with {options:?}: {asked:?}, and {made:?}");
        match (&asked, &made) {
            (Ok(()), Ok(())) => None,
            (Err(obstacle), Err(error)) => {
                assert_eq!(obstacle.error.code(), error.code(), "{}", context());
                let asked = obstacle.to_string();
                // A segment's size is the kernel's to judge.
                let is_size = kind == Kind::SysV && size > 1 << 60;
                let is_option = matches!(error.errno(), Some(libc::EINVAL | libc::EBUSY));
                if obstacle.limit.is_none() && is_option && !is_size {
                    assert_eq!(asked, self.nameless(&error.to_string()), "{}", context());
                }
                Some(error.code().raw())
            }
            _ => panic!("{}", context()),
        }
    }

    /// What is asked for has no name yet.
    fn nameless(&self, sentence: &str) -> String {
        if let Some((_, found)) =
            sentence.strip_prefix("the System V segment ").and_then(|it| it.split_once(' '))
        {
            return format!("a System V segment {found}");
        }
        let posix = format!("the POSIX object '{}'", self.name.as_str());
        sentence
            .replace("the memfd 'fits'", "a memfd")
            .replace(&posix, "a POSIX object")
            .replace("key 0x0", "any key")
    }
}

fn pairs() -> impl Iterator<Item = Flags> {
    let all: Vec<Flags> = Flags::all().iter().collect();
    (0..all.len()).flat_map(move |at| all[..=at].iter().map(|&other| all[at] | other).collect::<Vec<_>>())
}

/// The pools are the machine's: nobody else changes them meanwhile. Without that, no huge pages.
fn on_huge_pages(body: impl Fn(Flags)) {
    match Pools::lock() {
        Ok(_pools) => body(Flags::all()),
        Err(why) => {
            skip(format!("huge pages: {why}"));
            body(Flags::all() - (Flags::HUGE_2M | Flags::HUGE_1G));
        }
    }
}

#[test]
fn flags_are_taken_and_refused_as_making_does() {
    own_process!(120, || {
        on_huge_pages(|known| {
            let bench = Bench::new();
            let mut answers = std::collections::BTreeSet::new();
            for flags in pairs().filter(|&flags| known.contains(flags)) {
                for kind in KINDS {
                    for (size, size_max) in [(3 * page(), 8 * page() as u64), (5000, 5000)] {
                        let options = Options { flags, size_max, ..Options::default() };
                        answers.insert(bench.agree(kind, size, &options));
                    }
                }
            }
            assert!(answers.contains(&None) && answers.contains(&Some(-libc::EINVAL)), "{answers:?}");
        });
    });
}

#[test]
fn other_options_are_taken_and_refused_as_making_does() {
    own_process!(60, || {
        let bench = Bench::new();
        let page = page() as u64;
        let none = Options::default();
        let mut table = vec![none];
        for seals in [Seals::empty(), Seals::DEFAULT, Seals::GROW, Seals::EXEC, Seals::all()] {
            table.push(Options { seals: Some(seals), ..none });
            table.push(Options { seals: Some(seals), mode: 0o755, ..none });
        }
        for mode in [0o400, 0o644, 0o700, 0o777, 0o1777, 0o4755, 0o10000, u32::MAX] {
            table.push(Options { mode, ..none });
        }
        for number in [1, page, page + 1, 1 << 40, u64::MAX] {
            table.push(Options { offset: number, ..none });
            table.push(Options { size_min: number, ..none });
            table.push(Options { size_max: number, ..none });
        }
        for flags in [Flags::empty(), Flags::GROWABLE, Flags::MIRROR, Flags::UNLINK_LAST, Flags::PRIVATE] {
            for size in [1, page as usize, 2 * page as usize + 1] {
                for options in &table {
                    for kind in KINDS {
                        bench.agree(kind, size, &Options { flags: options.flags | flags, ..*options });
                    }
                }
            }
        }
    });
}

#[test]
fn what_no_machine_has_is_refused_as_making_does() {
    own_process!(60, || {
        let bench = Bench::new();
        let sizes = [0, 1, 1 << 46, (1 << 47) - page(), 1 << 47, 1 << 48, 1 << 56, 1 << 62];
        let sizes = sizes.into_iter().chain([i64::MAX as usize, 1 << 63, usize::MAX - (1 << 24), usize::MAX]);
        for size in sizes {
            for flags in
                [Flags::empty(), Flags::NO_RESERVE, Flags::NO_RESERVE | Flags::PRIVATE, Flags::MIRROR]
            {
                for kind in KINDS {
                    // The largest file is each file system's own secret.
                    if kind != Kind::File || !flags.contains(Flags::NO_RESERVE) || size < 1 << 40 {
                        bench.agree(kind, size, &Options::with_flags(flags));
                    }
                }
            }
        }
        // Addresses that are set aside; memory is only what the size says.
        for kind in [Kind::Memfd, Kind::Posix, Kind::File] {
            for size_max in [1 << 30, 1 << 40, 1 << 46, 1 << 47, 1 << 62, u64::MAX] {
                let options = Options { flags: Flags::GROWABLE, size_max, ..Options::default() };
                bench.agree(kind, 4096, &options);
            }
        }
    });
}

#[track_caller]
fn limited(kind: Kind, size: u64, options: &Options, limit: &str, source: &str) {
    let obstacle = fits(kind, size, options).expect_err(limit);
    assert_eq!(obstacle.error.errno(), Some(libc::ENOMEM), "{obstacle}");
    let found = obstacle.limit.as_ref().unwrap_or_else(|| panic!("{obstacle}"));
    assert_eq!(found.name, limit, "{obstacle}");
    for part in [limit, source, &found.number().unwrap().to_string()] {
        assert!(obstacle.to_string().contains(part), "{obstacle}");
    }
}

#[test]
fn a_reservation_that_is_too_large_names_its_limit() {
    own_process!(20, || {
        let bench = Bench::new();
        let growable = |size_max| Options { flags: Flags::GROWABLE, size_max, ..Options::default() };
        if cfg!(target_arch = "x86_64") {
            limited(Kind::Memfd, 4096, &growable(1 << 47), "address_space", "the processor");
            let mirror = Options::with_flags(Flags::MIRROR | Flags::NO_RESERVE);
            limited(Kind::Memfd, 1 << 46, &mirror, "address_space", "the processor");
        }
        if std::fs::read("/proc/sys/vm/overcommit_memory").is_ok_and(|text| text == b"0\n") {
            let none = Options::default();
            let source = "/proc/sys/vm/overcommit_memory";
            for kind in [Kind::Anonymous, Kind::SysV] {
                limited(kind, 1 << 46, &none, "vm.overcommit_memory", source);
                bench.agree(kind, 1 << 46, &none);
            }
        }
        let child = fork(|| {
            let _limit = Limit::lower(libc::RLIMIT_AS, 8 << 30);
            limited(Kind::Memfd, 4096, &growable(9 << 30), "RLIMIT_AS", "ulimit -v");
            bench.agree(Kind::Memfd, 4096, &growable(9 << 30));
            bench.agree(Kind::Memfd, 4096, &growable(1 << 30));
        });
        child.join();
        let child = fork(|| {
            let _limit = Limit::lower(libc::RLIMIT_DATA, 8 << 30);
            let private = Options::with_flags(Flags::PRIVATE | Flags::NO_RESERVE);
            limited(Kind::Anonymous, 9 << 30, &private, "RLIMIT_DATA", "ulimit -d");
            bench.agree(Kind::Anonymous, 9 << 30, &private);
            bench.agree(Kind::Anonymous, 9 << 30, &Options::with_flags(Flags::NO_RESERVE));
        });
        child.join();
    });
}

#[test]
fn a_file_is_refused_as_making_it_at_its_path_does() {
    own_process!(10, || {
        let directory = Directory::new();
        let taken = directory.write("taken", b"x");
        let (file, missing) = (directory.file("file"), directory.file("missing/file"));
        let below = format!("{taken}/file");
        let slash = directory.file("new/");
        let agree = |path: &str, flags: Flags| {
            let options = Options::with_flags(flags);
            let asked = fits_file(path, 4096, &options).map_err(Into::into);
            let made = Region::file_create(path, 4096, &options).map(drop);
            let code = |result: shmkit::Result<()>| result.map_err(|error| (error.code(), error.to_string()));
            assert_eq!(code(asked), code(made), "{path}");
            let _ = std::fs::remove_file(&file);
        };
        for path in [&file, &taken, &missing, &below, &slash, "", "/", ".", ".."] {
            agree(path, Flags::empty());
        }
        agree(&taken, Flags::REPLACE);
        agree(&directory.write("two pages", &[0; 8192]), Flags::OR_OPEN);
        let as_nobody = fork_as_nobody(|| {
            agree(&file, Flags::empty());
            assert_eq!(
                fits_file(&file, 1, &Options::default()).unwrap_err().error.errno(),
                Some(libc::EACCES)
            );
        });
        match as_nobody {
            Ok(child) => child.join(),
            Err(why) => skip(why),
        }
    });
}

#[test]
fn what_is_not_reserved_needs_no_room_until_it_is_touched() {
    own_process!(20, || {
        let child = fork(|| {
            if let Err(why) = own_dev_shm("size=1m") {
                return skip(why);
            }
            let bench = Bench::new();
            let flags = [Flags::empty(), Flags::POPULATE, Flags::LOCKED];
            for flags in flags.iter().flat_map(|&flags| [flags, flags | Flags::NO_RESERVE]) {
                for size in [1 << 20, 2 << 20] {
                    bench.agree(Kind::Posix, size, &Options::with_flags(flags));
                }
            }
        });
        child.join();
        let pools = match Pools::lock().and_then(|pools| pools.offer(HUGE_2M, 1).map(|()| pools)) {
            Ok(pools) => pools,
            Err(why) => return skip(why),
        };
        let bench = Bench::new();
        for kind in [Kind::Memfd, Kind::SysV] {
            for flags in [Flags::empty(), Flags::NO_RESERVE, Flags::NO_RESERVE | Flags::POPULATE] {
                for size in [HUGE_2M, HUGE_2M + 1] {
                    bench.agree(kind, size, &Options::with_flags(flags | Flags::HUGE_2M));
                }
            }
        }
        drop(pools);
    });
}

#[test]
fn a_disk_below_dev_shm_is_refused_as_making_does() {
    own_process!(10, || {
        let child = fork(|| {
            if let Err(why) = own_mounts() {
                return skip(why);
            }
            let mounted = mount("/var/tmp", "/dev/shm", "", libc::MS_BIND, "");
            let bench = Bench::new();
            match mounted {
                Err(why) => skip(why),
                Ok(()) if bench.make(Kind::Posix, 1, &Options::default()).is_ok() => skip("no disk is here"),
                Ok(()) => {
                    bench.agree(Kind::Posix, 1, &Options::default());
                    bench.agree(Kind::Posix, 1, &Options::with_flags(Flags::RISK_DISK));
                }
            }
        });
        child.join();
    });
}

#[test]
fn huge_segments_are_refused_to_those_who_may_not_have_them() {
    own_process!(10, || {
        let pools = match Pools::lock().and_then(|pools| pools.offer(HUGE_2M, 2).map(|()| pools)) {
            Ok(pools) => pools,
            Err(why) => return skip(why),
        };
        let bench = Bench::new();
        let child = fork_as_nobody(|| {
            for kind in [Kind::SysV, Kind::Memfd] {
                bench.agree(kind, HUGE_2M, &Options::with_flags(Flags::HUGE_2M));
            }
            for size in [4096, 1 << 30] {
                bench.agree(Kind::Anonymous, size, &Options::with_flags(Flags::LOCKED | Flags::NO_RESERVE));
            }
        });
        match child {
            Ok(child) => child.join(),
            Err(why) => skip(why),
        }
        drop(pools);
    });
}

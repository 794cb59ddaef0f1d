//! The pages of one region.

use std::os::fd::AsRawFd;

use shmkit::inspect::{Basis, Run};
use shmkit::{Flags, Options, Region};

use crate::refused;
use crate::support::*;

fn run(from: usize, pages: usize, resident: bool) -> Run {
    Run { offset_bytes: (from * page()) as u64, length_bytes: (pages * page()) as u64, resident }
}

#[test]
fn residency_follows_each_touch_whoever_made_it() {
    own_process!(10, || {
        let lazy = Options::with_flags(Flags::NO_RESERVE);
        let size = 8 * page() - 100;
        let name = PosixName::new();
        for region in [
            Region::create("pages", size, &lazy).unwrap(),
            Region::posix_create(name.as_str(), size, &lazy).unwrap(),
            Region::sysv_create(0, size, &Options::with_flags(Flags::NO_RESERVE | Flags::AUTO_REMOVE))
                .unwrap(),
            Region::anon_create(size, &lazy).unwrap(),
        ] {
            let residency = |offset, length| region.residency(offset, length).unwrap();
            let none = residency(0, size);
            assert_eq!((none.resident_bytes, none.basis), (0, Basis::Object));
            assert_eq!(none.runs, [run(0, 8, false)], "{region:?}: the last page is a whole one");
            region.write(2 * page() + 5, b"x").unwrap();
            fork(|| region.write(3 * page(), b"y").unwrap()).join();
            let two = residency(0, size);
            assert_eq!(two.runs, [run(0, 2, false), run(2, 2, true), run(4, 4, false)]);
            assert_eq!(two.resident_bytes, 2 * page() as u64);
            // A range is whole pages.
            assert_eq!(residency(3 * page() - 1, 2).runs, [run(2, 2, true)]);
            assert_eq!(residency(5, 0).runs, []);
            region.prefault(0, size).unwrap();
            assert_eq!(residency(0, size).runs, [run(0, 8, true)]);
            let (code, message) = refused(region.residency(1, size));
            assert_eq!(code, -libc::ERANGE);
            assert!(message.contains(&size.to_string()), "{message}");
        }
    });
}

#[test]
fn of_a_file_that_is_not_ones_own_only_ones_own_touches_are_told() {
    own_process!(10, || {
        let directory = Directory::new();
        let path = directory.write("foreign", &vec![7; 4 * page()]);
        // Opened before: TMPDIR may be a directory that nobody else may enter.
        let file = std::fs::File::open(&path).unwrap();
        let stranger = fork_as_nobody(|| {
            let region = Region::from_fd(&file, 0, &Options::with_flags(Flags::READ_ONLY)).unwrap();
            // What mincore would have us believe.
            let mut lie = [0; 4];
            good(unsafe { libc::mincore(region.as_ptr().cast(), 4 * page(), lie.as_mut_ptr()) });
            assert_eq!(lie, [1; 4]);
            let untouched = region.residency(0, region.size()).unwrap();
            assert_eq!((untouched.resident_bytes, untouched.basis), (0, Basis::OwnTouch));
            region.read(0, &mut [0]).unwrap();
            assert!(region.residency(0, page()).unwrap().resident_bytes > 0);
        });
        match stranger {
            Ok(child) => child.join(),
            Err(why) => skip(why),
        }
    });
}

#[test]
fn a_million_pages() {
    own_process!(60, || {
        let size = (1 << 20) * page();
        let lazy = Options::with_flags(Flags::NO_RESERVE);
        let region = match Region::create("a million pages", size, &lazy) {
            Ok(region) => region,
            Err(why) => return skip(why),
        };
        region.write(size - 1, b"x").unwrap();
        let residency = region.residency(0, size).unwrap();
        assert_eq!(residency.runs, [run(0, (1 << 20) - 1, false), run((1 << 20) - 1, 1, true)]);
    });
}

#[test]
fn usage_is_what_smaps_says_of_all_parts_of_a_mapping() {
    own_process!(10, || {
        let region = Region::create("usage", 16 * page(), &Options::default()).unwrap();
        let before = region.usage().unwrap();
        assert_eq!((before.mappings.len(), before.total.resident), (1, 0));
        region.write(0, &vec![1; 6 * page()]).unwrap();
        region.lock(0, 4 * page()).unwrap();
        let usage = region.usage().unwrap();
        assert_eq!(usage.mappings.len(), 2, "what is locked is a mapping of its own");
        assert_eq!(usage.total.size, 16 * page() as u64);
        assert_eq!(usage.total.resident, 6 * page() as u64);
        assert_eq!(usage.total.locked, 4 * page() as u64);
        assert!(usage.mappings[0].has_flag("lo") && !usage.mappings[1].has_flag("lo"));
        assert_eq!(usage.mappings[1].offset, 4 * page() as u64);
        assert_eq!(usage.mappings[0].page_size, page() as u64);
    });
}

#[test]
fn the_file_system_behind_each_kind() {
    own_process!(10, || {
        let none = Options::default();
        let (name, directory) = (PosixName::new(), Directory::new());
        let memfd = Region::create("fs", 1, &none).unwrap().file_system().unwrap();
        assert_eq!((memfd.kind.as_str(), memfd.mount_point, memfd.in_memory), ("tmpfs", None, true));
        assert_eq!(memfd.free_bytes, None, "no limit of its own");
        let file = Region::file_create(directory.file("fs"), 1, &none).unwrap();
        let system = file.file_system().unwrap();
        let mut found = unsafe { std::mem::zeroed::<libc::statfs>() };
        good(unsafe { libc::fstatfs(file.descriptor().unwrap().as_raw_fd(), &mut found) });
        assert_eq!(system.size_bytes, Some(found.f_blocks * found.f_bsize as u64));
        assert!(directory.path().starts_with(system.mount_point.unwrap()));
        let posix = Region::posix_create(name.as_str(), 1, &none).unwrap().file_system().unwrap();
        if posix.in_memory {
            assert_eq!((posix.kind.as_str(), posix.mount_point), ("tmpfs", Some("/dev/shm".into())));
        }
    });
}

#[test]
fn pages_of_a_pool_are_told_as_far_as_this_process_has_touched_them() {
    own_process!(20, || {
        let pools = match Pools::lock() {
            Ok(pools) => pools,
            Err(why) => return skip(why),
        };
        if let Err(why) = pools.offer(HUGE_2M, 2) {
            return skip(why);
        }
        let region = Region::create("pool", 2 * HUGE_2M, &Options::with_flags(Flags::HUGE_2M)).unwrap();
        let residency = || region.residency(0, 2 * HUGE_2M).unwrap();
        assert_eq!((residency().basis, residency().resident_bytes), (Basis::OwnTouchHuge, 0));
        region.write(HUGE_2M, b"x").unwrap();
        let pages = HUGE_2M / page();
        assert_eq!(residency().runs, [run(0, pages, false), run(pages, pages, true)]);
        let usage = region.usage().unwrap();
        assert_eq!((usage.total.huge, usage.total.resident), (HUGE_2M as u64, 0));
        assert_eq!(usage.mappings[0].page_size, HUGE_2M as u64);
        assert_eq!(region.file_system().unwrap().kind, "hugetlbfs");
        let survey = shmkit::inspect::Survey::of_region(&region, shmkit::inspect::Select::HOLDERS).unwrap();
        assert_eq!(survey.objects[0].kind, shmkit::inspect::ObjectKind::Memfd);
        drop(region);
        let options = Options::with_flags(Flags::HUGE_2M | Flags::AUTO_REMOVE);
        let segment = Region::sysv_create(0, HUGE_2M, &options).unwrap();
        let survey = shmkit::inspect::Survey::of_region(&segment, shmkit::inspect::Select::HOLDERS).unwrap();
        assert_eq!(survey.objects[0].holders.len(), 1, "{survey:#?}");
    });
}

//! Whose eyes a region's pages are for, and on which memory they lie: core dumps, children, NUMA nodes.

use std::os::fd::AsRawFd;

use libc::EINVAL;

use crate::door::*;
use crate::support::*;

scenarios! {
    no_kind_is_dumped_that_should_not_be,
    a_child_finds_zeros_where_it_should,
    only_private_anonymous_memory_is_wiped,
}

/// A region of every kind with a mapping of this process's own, by the call that made it.
fn every_kind<D: Door>(size: usize, flags: Flags, mut body: impl FnMut(&str, &D::Region)) {
    let _ = own_dev_shm("size=4m");
    let _ = own_ipc();
    let (directory, name, options) = (Directory::new(), PosixName::new(), with(flags));
    let (path, key, sockets) = (directory.file("block"), Key::new(), socketpair(libc::SOCK_SEQPACKET));
    let memfd = D::create("block", size, &options).unwrap();
    body("shm_region_create", &memfd);
    D::send_region(sockets.0.as_raw_fd(), &memfd, None).unwrap();
    body("shm_recv_region", &D::recv_region(sockets.1.as_raw_fd(), &options, None).unwrap());
    body("shm_region_from_fd", &D::from_fd(memfd.fd().unwrap(), 0, &options).unwrap());
    body("shm_anon_create", &D::anon_create(size, &options).unwrap());
    body("shm_anon_create, private", &D::anon_create(size, &with(flags | Flags::PRIVATE)).unwrap());
    body("shm_file_create", &D::file_create(&path, size, &options).unwrap());
    body("shm_file_open", &D::file_open(&path, 0, &options).unwrap());
    body("shm_posix_create", &D::posix_create(name.as_str(), size, &options).unwrap());
    body("shm_posix_open", &D::posix_open(name.as_str(), &options).unwrap());
    let made = D::sysv_create(key.get(), size, &options).unwrap();
    body("shm_sysv_create", &made);
    body("shm_sysv_attach", &D::sysv_attach(key.get(), &options).unwrap());
    body("shm_sysv_attach_id", &D::sysv_attach_id(made.sysv_id().unwrap(), &options).unwrap());
}

/// The kernel's two-letter marks (VmFlags) on the mapping of an address.
fn marks(address: *const u8) -> Vec<String> {
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut here = false;
    for line in smaps.lines() {
        let (first, rest) = line.split_once(' ').unwrap();
        if let Some((start, end)) = first.split_once('-') {
            let [start, end] = [start, end].map(|text| usize::from_str_radix(text, 16).unwrap());
            here = (start..end).contains(&(address as usize));
        } else if here && first == "VmFlags:" {
            return rest.split_whitespace().map(str::to_string).collect();
        }
    }
    panic!("nothing is mapped at {address:?}");
}

fn has_mark(region: &impl Handle, mark: &str) -> bool {
    // Of the first page and of the last.
    let [first, last] = [0, region.size() - 1].map(|at| marks(region.data().wrapping_add(at)));
    assert_eq!(first, last);
    first.iter().any(|it| it == mark)
}

fn no_kind_is_dumped_that_should_not_be<D: Door>() {
    for (flags, hidden) in [(Flags::NO_DUMP, true), (Flags::empty(), false)] {
        every_kind::<D>(3 * page(), flags, |call, region| {
            assert_eq!(has_mark(region, "dd"), hidden, "{call}");
            region.write(0, b"x").unwrap();
        });
    }
    // It is advice's to say otherwise, and back.
    let region = D::create("dumped", page(), &with(Flags::NO_DUMP)).unwrap();
    region.advise(0, page(), SHMKIT_ADVICE_DUMP).unwrap();
    assert!(!has_mark(&region, "dd"));
    region.advise(0, page(), SHMKIT_ADVICE_NO_DUMP).unwrap();
    assert!(has_mark(&region, "dd"));
}

fn a_child_finds_zeros_where_it_should<D: Door>() {
    for more in [Flags::empty(), Flags::POPULATE, Flags::LOCKED, Flags::NO_DUMP, Flags::NO_RESERVE] {
        let region = D::anon_create(page() + 5, &with(Flags::PRIVATE | Flags::WIPE_ON_FORK | more)).unwrap();
        assert!(has_mark(&region, "wf"));
        region.write(0, b"secret").unwrap();
        region.write(page(), b"s").unwrap();
        fork(|| {
            assert_eq!(region.bytes(0, page() + 5).unwrap(), vec![0; page() + 5]);
            region.write(0, b"child").unwrap();
            // And so on.
            fork(|| assert_eq!(region.bytes(0, 5).unwrap(), [0; 5])).join();
        })
        .join();
        assert_eq!(region.bytes(0, 6).unwrap(), b"secret");
        assert_eq!(region.bytes(page(), 1).unwrap(), b"s");
    }
    let other = D::anon_create(page(), &with(Flags::PRIVATE)).unwrap();
    assert!(!has_mark(&other, "wf"));
    other.write(0, b"given").unwrap();
    fork(|| assert_eq!(other.bytes(0, 5).unwrap(), b"given")).join();
}

fn only_private_anonymous_memory_is_wiped<D: Door>() {
    let _ = own_ipc();
    fails(D::anon_create(1, &with(Flags::WIPE_ON_FORK)), EINVAL, &["WIPE_ON_FORK", "PRIVATE"]);
    let (directory, sockets) = (Directory::new(), socketpair(libc::SOCK_STREAM));
    let path = directory.write("block", &[1; 10]);
    let file = open(&path, libc::O_RDWR);
    let wiped = with(Flags::PRIVATE | Flags::WIPE_ON_FORK);
    for (answer, call) in [
        (D::create("block", 1, &wiped), "shm_region_create"),
        (D::from_fd(file.as_raw_fd(), 0, &wiped), "shm_region_from_fd"),
        (D::file_create(&directory.file("new"), 1, &wiped), "shm_file_create"),
        (D::file_open(&path, 0, &wiped), "shm_file_open"),
        (D::posix_create("/shmkit-never", 1, &wiped), "shm_posix_create"),
        (D::posix_open("/shmkit-never", &wiped), "shm_posix_open"),
        (D::sysv_create(0, 1, &with(Flags::WIPE_ON_FORK)), "shm_sysv_create"),
        (D::sysv_attach_id(0, &with(Flags::WIPE_ON_FORK)), "shm_sysv_attach_id"),
        (D::recv_region(sockets.0.as_raw_fd(), &wiped, None), "shm_recv_region"),
    ] {
        fails(answer, EINVAL, &[call, "WIPE_ON_FORK"]);
    }
    assert_eq!(directory.entries(), ["block"]);
}

//! Whose eyes a region's pages are for, and on which memory they lie: core dumps, children, NUMA nodes.

use std::ffi::CStr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::ptr::{null, null_mut};

use libc::{EINVAL, ENOENT, ENOSYS, EPERM, ERANGE};

use crate::door::*;
use crate::support::*;

scenarios! {
    no_kind_is_dumped_that_should_not_be,
    a_child_finds_zeros_where_it_should,
    only_private_anonymous_memory_is_wiped,
    pages_lie_on_the_nodes_that_they_are_placed_on,
    reserved_pages_move_and_sparse_ones_are_not_made,
    a_policy_is_of_the_object,
    a_policy_is_of_its_range,
    private_memory_keeps_its_policy_for_children,
    where_pages_lie_is_told_page_by_page,
    a_node_that_is_not_there_is_named,
    a_policy_has_the_nodes_that_it_takes,
    a_range_is_of_the_region_and_on_pages,
    a_profile_or_a_kernel_without_says_so,
}

/// A region of every kind with a mapping of this process's own, by the call that made it.
fn every_kind<D: Door>(size: usize, flags: Flags, mut body: impl FnMut(&str, &D::Region)) {
    let _ = own_dev_shm("size=4m");
    let _ = own_ipc();
    let (directory, name, options) = (Directory::new(), PosixName::new(), with(flags));
    let (path, key, sockets) = (directory.file("block"), Key::new(), socketpair(libc::SOCK_SEQPACKET));
    // So that it can be sent read-only too.
    let memfd = D::create("block", size, &with(flags | Flags::RISK_REOPEN)).unwrap();
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

/// The nodes of this machine with memory that this process may place pages on. None where it may not at all,
/// and then that is said.
fn nodes_with_memory() -> Option<Vec<i32>> {
    let probe = unsafe { libc::syscall(libc::SYS_get_mempolicy, 0, 0, 0, 0, 0) };
    if probe == -1 {
        skip(format!("get_mempolicy: {}", std::io::Error::last_os_error()));
        return None;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Mems_allowed_list:")).unwrap().trim();
    Some(listed(allowed))
}

/// The numbers in "0-3,8".
fn listed(text: &str) -> Vec<i32> {
    let range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        first.parse::<i32>().unwrap()..=last.parse().unwrap()
    };
    text.split(',').flat_map(range).collect()
}

/// A node's number that no node has.
fn absent() -> i32 {
    let online = std::fs::read_to_string("/sys/devices/system/node/online").unwrap();
    listed(online.trim()).last().unwrap() + 1
}

const POLICIES: [(i32, i32); 3] = [
    (SHMKIT_PLACE_PREFERRED, libc::MPOL_PREFERRED),
    (SHMKIT_PLACE_BIND, libc::MPOL_BIND),
    (SHMKIT_PLACE_INTERLEAVE, libc::MPOL_INTERLEAVE),
];

/// What the kernel says of an address: its policy, and the nodes that it names.
fn policy_of(address: *const u8) -> (i32, Vec<i32>) {
    const MPOL_F_ADDR: i32 = 2;
    let (mut mode, mut mask) = (-1, [0u64; 16]);
    let (mode_at, mask_at, bits) = (&raw mut mode, mask.as_mut_ptr(), 64 * mask.len() + 1);
    good(unsafe { libc::syscall(libc::SYS_get_mempolicy, mode_at, mask_at, bits, address, MPOL_F_ADDR) });
    (mode, (0..1024).filter(|node| mask[*node as usize / 64] >> (node % 64) & 1 == 1).collect())
}

fn untouched(count: usize) -> Vec<i32> {
    vec![-ENOENT; count]
}

fn touch(region: &impl Handle) {
    for offset in (0..region.size()).step_by(page()) {
        region.write(offset, b"x").unwrap();
    }
}

fn pages_lie_on_the_nodes_that_they_are_placed_on<D: Door>() {
    let Some(all) = nodes_with_memory() else { return };
    // No whole number of pages.
    let size = 7 * page() + 1;
    every_kind::<D>(size, Flags::empty(), |call, region| {
        for &node in &all {
            for policy in [SHMKIT_PLACE_BIND, SHMKIT_PLACE_PREFERRED, SHMKIT_PLACE_INTERLEAVE] {
                region.place(0, size, policy, &[node]).unwrap();
                touch(region);
                let found = region.nodes(0, size).unwrap();
                // One that others have mapped stays where it is.
                if region.kind() == SHMKIT_KIND_ANONYMOUS || all.len() == 1 {
                    assert_eq!(found, [node; 8], "{call}");
                }
            }
        }
        region.place(0, size, SHMKIT_PLACE_INTERLEAVE, &all).unwrap();
        assert!(region.nodes(0, size).unwrap().iter().all(|node| all.contains(node)), "{call}");
        region.place(0, size, SHMKIT_PLACE_DEFAULT, &[]).unwrap();
        assert_eq!(policy_of(region.data()), (libc::MPOL_DEFAULT, vec![]), "{call}");
        touch(region);
    });
}

fn reserved_pages_move_and_sparse_ones_are_not_made<D: Door>() {
    let Some(all) = nodes_with_memory() else { return };
    let (size, last) = (8 * page(), *all.last().unwrap());
    for (flags, found) in [(Flags::empty(), vec![last; 8]), (Flags::NO_RESERVE, untouched(8))] {
        let region = D::create("block", size, &with(flags)).unwrap();
        assert_eq!(region.nodes(0, size).unwrap(), untouched(8), "reserved is not touched");
        let blocks =
            || std::fs::metadata(format!("/proc/self/fd/{}", region.fd().unwrap())).unwrap().blocks();
        let before = blocks();
        region.place(0, size, SHMKIT_PLACE_BIND, &[last]).unwrap();
        assert_eq!(region.nodes(0, size).unwrap(), found);
        assert_eq!(blocks(), before);
        assert_eq!(region.bytes(0, size).unwrap(), vec![0; size]);
        touch(&region);
        assert_eq!(region.nodes(0, size).unwrap(), vec![last; 8]);
    }
}

fn a_policy_is_of_the_object<D: Door>() {
    let Some(all) = nodes_with_memory() else { return };
    let _ = own_dev_shm("size=4m");
    let _ = own_ipc();
    let (name, key, size) = (PosixName::new(), Key::new(), 3 * page());
    let memfd = D::create("block", size, &plain()).unwrap();
    let memfd_again = D::from_fd(memfd.fd().unwrap(), 0, &with(Flags::READ_ONLY)).unwrap();
    let posix = D::posix_create(name.as_str(), size, &plain()).unwrap();
    let posix_again = D::posix_open(name.as_str(), &plain()).unwrap();
    let sysv = D::sysv_create(key.get(), size, &plain()).unwrap();
    let sysv_again = D::sysv_attach(key.get(), &plain()).unwrap();
    for (one, other) in [(&memfd, &memfd_again), (&posix, &posix_again), (&sysv, &sysv_again)] {
        for (policy, mode) in POLICIES {
            one.place(0, size, policy, &all[..1]).unwrap();
            assert_eq!(policy_of(other.data()), (mode, all[..1].to_vec()));
            fork(|| assert_eq!(policy_of(other.data()), (mode, all[..1].to_vec()))).join();
            other.place(0, size, SHMKIT_PLACE_DEFAULT, &[]).unwrap();
            assert_eq!(policy_of(other.data()), (libc::MPOL_DEFAULT, vec![]));
        }
        // The last word counts, also where it is one's own last word.
        one.place(0, size, SHMKIT_PLACE_BIND, &all).unwrap();
        other.place(0, size, SHMKIT_PLACE_INTERLEAVE, &all).unwrap();
        one.place(0, size, SHMKIT_PLACE_BIND, &all).unwrap();
        assert_eq!([one, other].map(|it| policy_of(it.data()).0), [libc::MPOL_BIND; 2]);
    }
    let shared = D::anon_create(size, &plain()).unwrap();
    let line = Line::new();
    let child = fork(|| {
        line.hear();
        assert_eq!(policy_of(shared.data()), (libc::MPOL_BIND, all.clone()));
    });
    shared.place(0, size, SHMKIT_PLACE_BIND, &all).unwrap();
    line.tell(1);
    child.join();
}

fn a_policy_is_of_its_range<D: Door>() {
    let Some(all) = nodes_with_memory() else { return };
    every_kind::<D>(4 * page(), Flags::empty(), |call, region| {
        // One byte is its page.
        region.place(page(), 1, SHMKIT_PLACE_BIND, &all).unwrap();
        region.place(3 * page(), page(), SHMKIT_PLACE_INTERLEAVE, &all).unwrap();
        // Nothing is nothing.
        region.place(0, 0, SHMKIT_PLACE_BIND, &all).unwrap();
        region.place(4 * page(), 0, SHMKIT_PLACE_BIND, &all).unwrap();
        let modes = [0, 1, 2, 3].map(|index| policy_of(region.data().wrapping_add(index * page())).0);
        let expected = [libc::MPOL_DEFAULT, libc::MPOL_BIND, libc::MPOL_DEFAULT, libc::MPOL_INTERLEAVE];
        assert_eq!(modes, expected, "{call}");
        // The first of several, and not the lowest.
        let backwards: Vec<_> = all.iter().rev().copied().collect();
        region.place(0, page(), SHMKIT_PLACE_PREFERRED, &backwards).unwrap();
        assert_eq!(policy_of(region.data()), (libc::MPOL_PREFERRED, backwards[..1].to_vec()), "{call}");
        region.place(0, 4 * page(), SHMKIT_PLACE_DEFAULT, &[]).unwrap();
    });
}

fn private_memory_keeps_its_policy_for_children<D: Door>() {
    let Some(all) = nodes_with_memory() else { return };
    let region = D::anon_create(page(), &with(Flags::PRIVATE)).unwrap();
    region.place(0, page(), SHMKIT_PLACE_BIND, &all[..1]).unwrap();
    fork(|| {
        assert_eq!(policy_of(region.data()), (libc::MPOL_BIND, all[..1].to_vec()));
        region.place(0, page(), SHMKIT_PLACE_DEFAULT, &[]).unwrap();
    })
    .join();
    assert_eq!(policy_of(region.data()).0, libc::MPOL_BIND);
}

fn where_pages_lie_is_told_page_by_page<D: Door>() {
    let Some(all) = nodes_with_memory() else { return };
    // More than one system call's worth.
    let (count, touched) = (1200, |index: usize| index % 7 == 3);
    let region = D::create("block", count * page(), &with(Flags::NO_RESERVE)).unwrap();
    for index in (0..count).filter(|&index| touched(index)) {
        region.write(index * page(), b"x").unwrap();
    }
    let found = region.nodes(0, count * page()).unwrap();
    assert_eq!(found.len(), count);
    for (index, node) in found.iter().enumerate() {
        assert!(if touched(index) { all.contains(node) } else { *node == -ENOENT }, "page {index}: {node}");
    }
    // From the page that holds the first byte to the one that holds the last.
    for (offset, length, pages) in [
        (0, 0, 0..0),
        (5, 0, 0..0),
        (count * page(), 0, 0..0),
        (0, 1, 0..1),
        (4 * page() - 1, 1, 3..4),
        (4 * page() - 1, 2, 3..5),
        (3 * page() + 7, page(), 3..5),
        (10 * page(), 600 * page(), 10..610),
        (count * page() - 1, 1, count - 1..count),
    ] {
        assert_eq!(region.nodes(offset, length).unwrap(), found[pages], "{length} at {offset}");
    }
    // Another process has no page by this one's touching it.
    let (one, other) = (D::create("block", page(), &plain()).unwrap(), Line::new());
    let child = fork(|| {
        other.hear();
        assert_eq!(one.nodes(0, page()).unwrap(), untouched(1));
        one.prefault(0, page()).unwrap();
        assert!(all.contains(&one.nodes(0, page()).unwrap()[0]));
    });
    one.write(0, b"x").unwrap();
    other.tell(1);
    child.join();
    // The zeros that all private memory begins with lie nowhere.
    let private = D::anon_create(2 * page(), &with(Flags::PRIVATE)).unwrap();
    private.bytes(0, 2 * page()).unwrap();
    private.write(page(), b"x").unwrap();
    let found = private.nodes(0, 2 * page()).unwrap();
    assert!(found[0] == -ENOENT && all.contains(&found[1]), "{found:?}");
    every_kind::<D>(2 * page() + 1, Flags::READ_ONLY, |call, region| {
        assert_eq!(region.nodes(0, region.size()).unwrap().len(), 3, "{call}");
    });
}

fn a_node_that_is_not_there_is_named<D: Door>() {
    let Some(all) = nodes_with_memory() else { return };
    let region = D::create("block", page(), &plain()).unwrap();
    for node in [absent(), -1, i32::MIN, 1023, 1024, 1025, i32::MAX] {
        let named = format!("node {node} ");
        for (policy, _) in POLICIES {
            for nodes in [vec![node], vec![all[0], node]] {
                for length in [0, page()] {
                    fails(region.place(0, length, policy, &nodes), EINVAL, &[&named, "online"]);
                }
            }
        }
    }
    assert_eq!(policy_of(region.data()), (libc::MPOL_DEFAULT, vec![]));
}

fn a_policy_has_the_nodes_that_it_takes<D: Door>() {
    let region = D::create("block", page(), &plain()).unwrap();
    fails(region.place(0, page(), SHMKIT_PLACE_DEFAULT, &[0]), EINVAL, &["Default", "1 were given"]);
    for (policy, _) in POLICIES {
        fails(region.place(0, page(), policy, &[]), EINVAL, &["at least one node"]);
        fails(region.place(0, page(), policy, &[0; 1025]), EINVAL, &["1025", "1024"]);
    }
    for policy in [-1, 4, i32::MIN, i32::MAX] {
        fails(region.place(0, page(), policy, &[0]), EINVAL, &["policy", &policy.to_string()]);
    }
    if nodes_with_memory().is_some() {
        assert_eq!(policy_of(region.data()), (libc::MPOL_DEFAULT, vec![]));
    }
}

fn a_range_is_of_the_region_and_on_pages<D: Door>() {
    let size = 2 * page() + 1;
    let region = D::create("block", size, &plain()).unwrap();
    for (offset, length) in [
        (0, size + 1),
        (page(), size),
        (3 * page(), 0),
        (usize::MAX, 0),
        (usize::MAX, 1),
        (0, usize::MAX),
        (page(), usize::MAX - 1),
    ] {
        let says = ["'block'", &length.to_string(), &offset.to_string(), &format!("{size} bytes")];
        fails(region.place(offset, length, SHMKIT_PLACE_BIND, &[0]), ERANGE, &says);
        fails(region.nodes(offset, length), ERANGE, &says);
    }
    for offset in [1, page() - 1, page() + 1] {
        let says = [&format!("offset {offset}"), "'block'", "multiple of the page size"];
        fails(region.place(offset, 1, SHMKIT_PLACE_BIND, &[0]), EINVAL, &says);
    }
}

/// Has the kernel answer calls with an errno, in this process and its children, for ever.
fn refuse(calls: &[libc::c_long], errno: i32) {
    let instruction = |code: u32, yes, k| libc::sock_filter { code: code as u16, jt: yes, jf: 0, k };
    let mut filter = vec![instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0)];
    for (index, &call) in calls.iter().enumerate() {
        let to_the_end = (calls.len() - index) as u8;
        filter.push(instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, to_the_end, call as u32));
    }
    let give = libc::BPF_RET | libc::BPF_K;
    filter.push(instruction(give, 0, libc::SECCOMP_RET_ALLOW));
    filter.push(instruction(give, 0, libc::SECCOMP_RET_ERRNO | errno as u32));
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    unsafe {
        good(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        good(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program));
    }
}

fn a_profile_or_a_kernel_without_says_so<D: Door>() {
    let region = D::create("block", 2 * page(), &plain()).unwrap();
    for (errno, says) in [(EPERM, "seccomp"), (ENOSYS, "a kernel without NUMA"), (libc::ENOMEM, "memory")] {
        fork(|| {
            refuse(&[libc::SYS_mbind, libc::SYS_move_pages], errno);
            let size = (2 * page()).to_string();
            let placed = region.place(0, 2 * page(), SHMKIT_PLACE_BIND, &[0]);
            fails(placed, errno, &["'block'", &size, "offset 0", "Bind", says]);
            fails(region.nodes(0, 2 * page()), errno, &["'block'", "2 pages", "offset 0", says]);
            // What needs no kernel does not ask it.
            region.place(0, 0, SHMKIT_PLACE_BIND, &[0]).unwrap();
            assert_eq!(region.nodes(0, 0).unwrap(), []);
        })
        .join();
    }
}

/// What only C can get wrong.
#[test]
fn null_and_a_wrong_count_are_einval() {
    own_process!(5, || {
        let (bind, one, size, mut nodes) = (SHMKIT_PLACE_BIND, [0], 2 * page(), [-77; 4]);
        let (none, out, mut region) = (null(), nodes.as_mut_ptr(), null_mut());
        unsafe {
            let made = shm_region_create(c"block".as_ptr(), size, null(), &mut region, null_mut());
            assert_eq!(made, 0);
            is_einval("region is NULL", |error| {
                shm_region_place(null_mut(), 0, size, bind, one.as_ptr(), 1, error)
            });
            is_einval("nodes is NULL", |error| shm_region_place(region, 0, size, bind, none, 1, error));
            is_einval("at least one", |error| shm_region_place(region, 0, size, bind, none, 0, error));
            is_einval("region is NULL", |error| shm_region_nodes(null(), 0, size, out, 2, error));
            is_einval("NULL", |error| shm_region_nodes(region, 0, size, null_mut(), 2, error));
            for count in [0, 1, 3, usize::MAX] {
                is_einval("2 pages", |error| shm_region_nodes(region, 0, size, out, count, error));
            }
            is_einval("0 pages", |error| shm_region_nodes(region, 0, 0, out, 1, error));
            assert_eq!(shm_region_nodes(region, 0, 0, out, 0, null_mut()), 0);
            assert_eq!(out.cast::<[i32; 4]>().read(), [-77; 4]);
            assert_eq!(shm_region_nodes(region, 0, size, out, 2, null_mut()), 0);
            assert_eq!(out.cast::<[i32; 4]>().read(), [-ENOENT, -ENOENT, -77, -77]);
            assert_eq!(shm_region_close(region), 0);
        }
    });
}

#[track_caller]
fn is_einval(says: &str, call: impl Fn(*mut shm_error) -> i32) {
    let mut error = unsafe { std::mem::zeroed::<shm_error>() };
    assert_eq!((call(&mut error), error.code), (-EINVAL, -EINVAL));
    let message = unsafe { CStr::from_ptr(error.message.as_ptr()) }.to_str().unwrap();
    assert!(message.contains(says), "'{says}' is missing in: {message}");
    assert_eq!(call(null_mut()), -EINVAL, "without a shm_error");
}

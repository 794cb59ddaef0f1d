//! Growth in place: nothing moves, peers follow, nobody loses a byte, and what cannot be had is refused whole.

use std::os::fd::AsRawFd;

use libc::{EACCES, EFBIG, EINVAL, ENOMEM, ENOSPC, EOPNOTSUPP, EPERM, ERANGE};

use crate::door::*;
use crate::support::*;

pairs! {
    a_peer_follows_with_one_call,
    a_receiver_caps_what_it_follows,
    a_receiver_passes_it_on,
    a_region_sealed_against_growing_goes_on_otherwise,
    a_peer_that_makes_it_enormous_does_no_harm,
    two_processes_that_grow_at_once_keep_all_bytes: 20,
    peers_come_and_go_while_one_grows: 20,
    a_killed_grower_leaves_it_whole: 20,
}

scenarios! {
    growing_moves_nothing,
    bounds_of_growing,
    what_is_not_growable,
    options_that_do_not_go_together,
    addresses_that_are_refused_leave_nothing,
    openers_follow_a_name,
    what_is_found_can_be_followed,
    without_reserving_growth_is_sparse,
    a_file_size_limit_is_efbig_and_no_signal,
    a_full_file_system_changes_nothing,
    more_than_the_machine_has_is_enomem: 20,
    a_failing_grower_costs_nobody_bytes: 20,
    threads_that_grow_at_once_see_it_grow_only: 20,
    a_storm_of_signals_does_not_keep_it_from_growing: 20,
    a_file_truncated_beneath_is_shrunk_and_grows_again,
}

const MOST: usize = 1 << 20;

fn byte(at: *mut u8) -> u8 {
    unsafe { at.read_volatile() }
}

fn capped(size_max: usize) -> Options {
    Options { size_max: size_max as u64, ..plain() }
}

/// The object's size in bytes, whatever the region says.
fn object<H: Handle>(region: &H) -> usize {
    stat(&region.fd().unwrap()).st_size as usize
}

/// Growable regions of 5000 bytes, of each kind that there is, one of them a window of its object.
fn growables<D: Door>(place: &Directory, name: &PosixName, options: &Options) -> [D::Region; 5] {
    let open = Options { seals: Some(Seals::SHRINK), ..plain() };
    let memfd = D::create("object", 8192 + 5000, &open).unwrap();
    let window = Options { offset: 8192, ..*options };
    let path = place.file("window");
    std::fs::write(&path, [0; 4096 + 5000]).unwrap();
    [
        D::create("grows", 5000, options).unwrap(),
        D::from_fd(memfd.fd().unwrap(), 0, &window).unwrap(),
        D::file_create(&place.file("grows"), 5000, options).unwrap(),
        D::file_open(&path, 0, &Options { offset: 4096, ..*options }).unwrap(),
        D::posix_create(name.as_str(), 5000, options).unwrap(),
    ]
}

fn a_peer_follows_with_one_call<S: Door, R: Door>() {
    for (kind, flags) in KINDS.iter().flat_map(|kind| [(*kind, Flags::empty()), (*kind, Flags::READ_ONLY)]) {
        let (one, other) = socketpair(kind);
        let (here, there) = (Line::new(), Line::new());
        let peer = fork(|| {
            let options = Options { flags, ..capped(MOST) };
            let region = R::recv_region(other.as_raw_fd(), &options, None).unwrap();
            assert_eq!((region.size(), region.size_max(), region.can_shrink()), (5000, MOST, false));
            let (start, last) = (region.data(), region.at(4999, 1, 1).unwrap());
            there.tell(0);
            here.hear();
            assert_eq!(region.size(), 5000, "until it follows");
            fails(region.read(5000, &mut [0]), ERANGE, &["5000 bytes"]);
            fails(region.at(5000, 1, 1), ERANGE, &[]);
            region.follow().unwrap();
            assert_eq!((region.size(), region.data()), (20_000, start), "in its place");
            assert_eq!((byte(last), byte(start.wrapping_add(19_999))), (b'<', b'!'));
            assert_eq!(region.bytes(5000, 14_999).unwrap(), [0; 14_999], "new bytes are zeros");
            region.follow().unwrap();
            if flags == Flags::READ_ONLY {
                fails(region.grow(30_000), EACCES, &["30000 bytes", "read-only"]);
                fails(region.write(19_999, b"x"), EACCES, &[]);
            } else {
                region.grow(30_000).unwrap();
                region.write(29_999, b"?").unwrap();
            }
            there.tell(region.size() as i64);
        });
        let region = S::create("grows", 5000, &growing(MOST)).unwrap();
        let (start, last) = (region.data(), region.at(4999, 1, 1).unwrap());
        S::send_region(one.as_raw_fd(), &region, None).unwrap();
        there.hear();
        unsafe { last.write_volatile(b'<') };
        region.grow(20_000).unwrap();
        assert_eq!((region.size(), region.data()), (20_000, start));
        region.write(19_999, b"!").unwrap();
        here.tell(0);
        let size = there.hear() as usize;
        region.follow().unwrap();
        assert_eq!((region.size(), region.data(), byte(last)), (size, start, b'<'));
        if flags != Flags::READ_ONLY {
            assert_eq!(byte(start.wrapping_add(29_999)), b'?');
        }
        peer.join();
    }
}

fn a_receiver_caps_what_it_follows<S: Door, R: Door>() {
    for kind in KINDS {
        let (one, other) = socketpair(kind);
        let region = S::create("grows", 5000, &growing(MOST)).unwrap();
        let send = || S::send_region(one.as_raw_fd(), &region, None).unwrap();
        let receive = |options: &Options| {
            send();
            R::recv_region(other.as_raw_fd(), options, None)
        };
        // How far it may go in an address space is not the sender's to say.
        fails(receive(&plain()), EINVAL, &[&MOST.to_string(), "size_max"]);
        fails(receive(&capped(4999)), EFBIG, &["5000 bytes", "4999"]);
        fails(receive(&Options { size_min: 5001, ..capped(MOST) }), EINVAL, &["5000 bytes", "5001"]);
        assert_eq!(receive(&capped(5000)).unwrap().size_max(), 5000);
        assert_eq!(receive(&capped(1 << 40)).unwrap().size_max(), MOST, "no more than the sender's");
        let small = receive(&capped(10_000)).unwrap();
        assert_eq!((small.size(), small.size_max()), (5000, 10_000));
        fails(small.grow(10_001), EFBIG, &["10001 bytes", "10000"]);
        region.grow(9000).unwrap();
        small.follow().unwrap();
        assert_eq!(small.size(), 9000);
        region.grow(20_000).unwrap();
        region.write(9_999, b"ab").unwrap();
        small.follow().unwrap();
        assert_eq!((small.size(), small.bytes(9_999, 1).unwrap()), (10_000, b"a".to_vec()));
        fails(small.read(10_000, &mut [0]), ERANGE, &["10000 bytes"]);
        small.grow(10_000).unwrap();
        assert_eq!((small.size(), object(&region)), (10_000, 20_000), "never made smaller");
        // A private copy, and one that is mapped twice, keep the size that they have; the cap is asked for all the
        // same.
        region.grow(5 * 4096).unwrap();
        for flags in [Flags::PRIVATE, Flags::MIRROR, Flags::PRIVATE | Flags::READ_ONLY] {
            fails(receive(&with(flags)), EINVAL, &["size_max"]);
            let fixed = receive(&Options { flags, ..capped(MOST) }).unwrap();
            assert_eq!((fixed.size(), fixed.size_max()), (20_480, 20_480));
            fails(fixed.follow(), EOPNOTSUPP, &["GROWABLE"]);
            fails(fixed.grow(30_000), EOPNOTSUPP, &["GROWABLE"]);
        }
        assert_eq!(receive(&capped(MOST)).unwrap().size(), 20_480, "as large as it is by now");
    }
}

fn a_receiver_passes_it_on<S: Door, R: Door>() {
    let (one, other) = socketpair(libc::SOCK_SEQPACKET);
    let first = S::create("grows", 5000, &growing(MOST)).unwrap();
    S::send_region(one.as_raw_fd(), &first, None).unwrap();
    let second = R::recv_region(other.as_raw_fd(), &capped(40_000), None).unwrap();
    R::send_region(other.as_raw_fd(), &second, None).unwrap();
    let third = S::recv_region(one.as_raw_fd(), &capped(MOST), None).unwrap();
    assert_eq!(third.size_max(), 40_000);
    third.grow(30_000).unwrap();
    third.write(29_999, b"!").unwrap();
    for follow in [first.follow(), second.follow()] {
        follow.unwrap();
    }
    assert_eq!((first.size(), second.size()), (30_000, 30_000));
    assert_eq!((first.bytes(29_999, 1), second.bytes(29_999, 1)), (Ok(b"!".to_vec()), Ok(b"!".to_vec())));
}

fn a_region_sealed_against_growing_goes_on_otherwise<S: Door, R: Door>() {
    let (one, other) = socketpair(libc::SOCK_SEQPACKET);
    let region = S::create("grows", 5000, &growing(MOST)).unwrap();
    region.grow(6000).unwrap();
    S::send_region(one.as_raw_fd(), &region, None).unwrap();
    let peer = R::recv_region(other.as_raw_fd(), &capped(MOST), None).unwrap();
    peer.seal(SHMKIT_SEAL_GROW).unwrap();
    fails(region.grow(7000), EPERM, &["'grows'", "7000 bytes"]);
    assert_eq!((region.size(), object(&region)), (6000, 6000));
    region.grow(6000).unwrap();
    region.follow().unwrap();
    region.write(5999, b"x").unwrap();
    assert_eq!(peer.bytes(5999, 1).unwrap(), b"x");
    // It is still one to be handed over.
    S::send_region(one.as_raw_fd(), &region, None).unwrap();
    let late = R::recv_region(other.as_raw_fd(), &capped(MOST), None).unwrap();
    assert_eq!((late.size(), late.bytes(5999, 1).unwrap()), (6000, b"x".to_vec()));
    fails(peer.grow(7000), EPERM, &["7000 bytes"]);
}

/// A number of the peer's: only what was set aside counts. Sparse, so touched nowhere but here and there.
fn a_peer_that_makes_it_enormous_does_no_harm<S: Door, R: Door>() {
    for enormous in [1 << 40, i64::MAX] {
        let (one, other) = socketpair(libc::SOCK_SEQPACKET);
        let here = Line::new();
        let peer = fork(|| {
            let region = R::recv_region(other.as_raw_fd(), &capped(MOST), None).unwrap();
            good(unsafe { libc::ftruncate(region.fd().unwrap(), enormous) });
            here.tell(0);
        });
        let region = S::create("grows", 5000, &growing(MOST)).unwrap();
        region.write(0, b"mine").unwrap();
        let start = region.data();
        S::send_region(one.as_raw_fd(), &region, None).unwrap();
        here.hear();
        assert_eq!(region.size(), 5000);
        region.follow().unwrap();
        assert_eq!((region.size(), region.data()), (MOST, start));
        for at in [4096, MOST / 2, MOST - 1] {
            assert_eq!(region.bytes(at, 1).unwrap(), [0]);
            region.write(at, b"x").unwrap();
        }
        region.grow(MOST).unwrap();
        fails(region.grow(MOST + 1), EFBIG, &[]);
        fails(region.read(MOST, &mut [0]), ERANGE, &[]);
        assert_eq!(region.bytes(0, 4).unwrap(), b"mine");
        region.follow().unwrap();
        peer.join();
    }
}

/// Grows by chance, in small steps, and marks every second block that is new: those of `who`. Only where the
/// handle is shared by threads can another one have been faster.
fn grow_by_chance<H: Handle>(region: &H, who: u8, shared: bool, rounds: usize) -> usize {
    let mut chance = Chance::new(u64::from(who));
    let (mut marked, mut most) = (0, 0);
    for _ in 0..rounds {
        let before = region.size();
        let target = (before + chance.below(3000)).min(region.size_max());
        match region.grow(target) {
            Ok(()) => most = most.max(target),
            Err(failure) => {
                assert!(shared && failure.code == -EINVAL && region.size() > target, "{failure:?}")
            }
        }
        let now = region.size();
        assert!(now >= target && now >= before, "{now}, {before}, {target}");
        while marked + 1 <= now / BLOCK {
            if marked % 2 == usize::from(who % 2) {
                region.write(marked * BLOCK, &[who + 1; BLOCK]).unwrap();
            }
            marked += 1;
        }
        if chance.below(4) == 0 {
            region.follow().unwrap();
        }
    }
    let mut block = [0; BLOCK];
    for at in (0..marked).filter(|at| at % 2 == usize::from(who % 2)) {
        region.read(at * BLOCK, &mut block).unwrap();
        assert_eq!(block, [who + 1; BLOCK], "block {at} was lost");
    }
    most
}

const BLOCK: usize = 512;

fn two_processes_that_grow_at_once_keep_all_bytes<S: Door, R: Door>() {
    let (one, other) = socketpair(libc::SOCK_SEQPACKET);
    let (ready, start, told, end) = (Line::new(), Line::new(), Line::new(), Line::new());
    let receive = || R::recv_region(other.as_raw_fd(), &capped(MOST), None).unwrap();
    let peer = fork(|| {
        let region = receive();
        ready.tell(0);
        start.hear();
        told.tell(grow_by_chance(&region, 0, false, 400) as i64);
    });
    let watcher = fork(|| {
        let region = receive();
        ready.tell(0);
        let (mut size, mut before) = (0, 0);
        loop {
            let over = poll(&end);
            region.follow().unwrap();
            assert!(region.size() >= size && object(&region) >= before, "it never gets smaller");
            (size, before) = (region.size(), object(&region));
            if over {
                break;
            }
        }
        told.tell(size as i64);
    });
    let region = S::create("grows", 1, &growing(MOST)).unwrap();
    for _ in 0..2 {
        S::send_region(one.as_raw_fd(), &region, None).unwrap();
        ready.hear();
    }
    start.tell(0);
    let most = grow_by_chance(&region, 1, false, 400);
    let most = most.max(told.hear() as usize);
    peer.join();
    assert_eq!(object(&region), most, "the larger of both");
    region.follow().unwrap();
    assert_eq!(region.size(), most);
    end.tell(0);
    assert_eq!(told.hear() as usize, most);
    watcher.join();
}

/// Whether a line has been told something.
fn poll(line: &Line) -> bool {
    let mut wait = libc::pollfd { fd: line.reader(), events: libc::POLLIN, revents: 0 };
    good(unsafe { libc::poll(&mut wait, 1, 0) }) == 1
}

fn peers_come_and_go_while_one_grows<S: Door, R: Door>() {
    const ROUNDS: usize = 200;
    let (one, other) = socketpair(libc::SOCK_SEQPACKET);
    let peer = fork(|| {
        for round in 1..=ROUNDS {
            let region = R::recv_region(other.as_raw_fd(), &capped(MOST), None).unwrap();
            region.follow().unwrap();
            assert!(region.size() >= round * 4096);
            for page in [0, round - 1] {
                assert_eq!(region.bytes(page * 4096, 4).unwrap(), [page as u8; 4]);
            }
            region.close().unwrap();
        }
    });
    let region = S::create("grows", 4096, &growing(MOST)).unwrap();
    for round in 1..=ROUNDS {
        S::send_region(one.as_raw_fd(), &region, None).unwrap();
        region.grow((round + 1) * 4096).unwrap();
        region.write(round * 4096, &[round as u8; 4096]).unwrap();
    }
    peer.join();
    for page in 0..=ROUNDS {
        assert_eq!(region.bytes(page * 4096, 4096).unwrap(), [page as u8; 4096]);
    }
}

fn a_killed_grower_leaves_it_whole<S: Door, R: Door>() {
    for round in 0..40 {
        let (one, other) = socketpair(libc::SOCK_SEQPACKET);
        let ready = Line::new();
        let grower = fork(|| {
            let region = R::recv_region(other.as_raw_fd(), &capped(MOST), None).unwrap();
            ready.tell(0);
            for size in (5000..MOST).step_by(1000) {
                region.grow(size).unwrap();
                region.write(size - 1, b"!").unwrap();
            }
        });
        let region = S::create("grows", 5000, &growing(MOST)).unwrap();
        region.write(0, &[7; 4096]).unwrap();
        S::send_region(one.as_raw_fd(), &region, None).unwrap();
        ready.hear();
        // No event to wait for: the point is to strike anywhere.
        unsafe { libc::usleep((round * 97 % 1500) as u32) };
        grower.slay();
        region.follow().unwrap();
        let size = region.size();
        assert!(size % 1000 == 0 && size >= 5000, "{size}");
        assert_eq!(region.bytes(0, 4096).unwrap(), [7; 4096]);
        for end in (6000..size).step_by(1000) {
            assert_eq!(region.bytes(end - 1, 1).unwrap(), b"!", "of {size}");
        }
        assert_eq!(region.bytes(size - 500, 499).unwrap(), [0; 499]);
        region.grow(MOST).unwrap();
        region.write(MOST - 1, b"x").unwrap();
    }
}

fn growing_moves_nothing<D: Door>() {
    let _ = own_dev_shm("size=16m");
    let (place, name) = (Directory::new(), PosixName::new());
    for region in growables::<D>(&place, &name, &growing(MOST)) {
        let offset = object(&region) - 5000;
        assert_eq!((region.size(), region.size_max(), region.page_size()), (5000, MOST, page()));
        region.write(0, &[1; 5000]).unwrap();
        let (start, last) = (region.data(), region.at(4999, 1, 1).unwrap());
        let mut size = 5000;
        for new in [5000, 5001, 8192, 8193, 12_288, 300_000, MOST - 1, MOST, MOST] {
            region.grow(new).unwrap();
            assert_eq!((region.size(), region.data()), (new, start));
            assert_eq!(object(&region), offset + new, "to the byte");
            assert!(stat(&region.fd().unwrap()).st_blocks * 512 >= new as i64, "reserved");
            assert_eq!(region.bytes(size, new - size).unwrap(), vec![0; new - size], "zeros");
            unsafe { start.add(new - 1).write_volatile(9) };
            assert_eq!(region.bytes(new - 1, 1).unwrap(), [9]);
            unsafe { start.add(new - 1).write_volatile(0) };
            assert_eq!(byte(last), if new == 5000 { 0 } else { 1 });
            region.write(4999, &[1]).unwrap();
            size = new;
        }
        assert_eq!(region.bytes(0, 5000).unwrap(), [1; 5000]);
        region.prefault(0, MOST).unwrap();
        region.flush(0, MOST).unwrap();
        region.check(MOST - 1, 1).unwrap();
    }
    D::posix_unlink(name.as_str()).unwrap();
}

fn bounds_of_growing<D: Door>() {
    let _ = own_dev_shm("size=16m");
    let (place, name) = (Directory::new(), PosixName::new());
    for region in growables::<D>(&place, &name, &growing(100_000)) {
        let before = object(&region);
        for size in [0, 1, 4096, 4999] {
            fails(region.grow(size), EINVAL, &[&format!("to {size} bytes"), "5000 bytes"]);
        }
        for size in [100_001, 102_400, 1 << 32, 1 << 62, i64::MAX as usize, usize::MAX - 4095, usize::MAX] {
            fails(region.grow(size), EFBIG, &[&format!("to {size} bytes"), "100000"]);
        }
        assert_eq!((region.size(), object(&region)), (5000, before));
        region.grow(100_000).unwrap();
        fails(region.grow(99_999), EINVAL, &["100000 bytes"]);
        // Two of one object are each as large as they know, and never smaller than the object.
        let same = D::from_fd(region.fd().unwrap(), 1, &growing(MOST)).unwrap();
        assert_eq!(same.size(), 1);
        same.grow(2).unwrap();
        assert_eq!(same.size(), object(&region));
    }
    D::posix_unlink(name.as_str()).unwrap();
}

fn what_is_not_growable<D: Door>() {
    let _ = (own_dev_shm("size=16m"), own_ipc());
    let (place, name) = (Directory::new(), PosixName::new());
    // size_max alone reserves nothing.
    let unsealed = Options { seals: Some(Seals::SHRINK), ..capped(MOST) };
    for region in [
        D::create("fixed", 5000, &unsealed).unwrap(),
        D::anon_create(5000, &plain()).unwrap(),
        D::file_create(&place.file("fixed"), 5000, &plain()).unwrap(),
        D::posix_create(name.as_str(), 5000, &plain()).unwrap(),
        D::sysv_create(0, 5000, &with(Flags::AUTO_REMOVE)).unwrap(),
    ] {
        assert_eq!(region.size_max(), 5000);
        fails(region.grow(5000), EOPNOTSUPP, &["GROWABLE"]);
        fails(region.grow(6000), EOPNOTSUPP, &["GROWABLE"]);
        fails(region.follow(), EOPNOTSUPP, &["GROWABLE"]);
        assert_eq!(region.size(), 5000);
    }
    D::posix_unlink(name.as_str()).unwrap();
}

fn options_that_do_not_go_together<D: Door>() {
    let _ = own_dev_shm("size=16m");
    let (place, name) = (Directory::new(), PosixName::new());
    let (path, new) = (place.write("block", &[1; 8192]), place.file("new"));
    let file = open(&path, libc::O_RDWR);
    let object = D::posix_create(name.as_str(), 8192, &plain()).unwrap();
    type Call<'a, R> = &'a dyn Fn(&Options) -> Answer<R>;
    let calls: [Call<'_, D::Region>; 6] = [
        &|it| D::create("new", 8192, it),
        &|it| D::file_create(&new, 8192, it),
        &|it| D::posix_create("/shmkit-never", 8192, it),
        &|it| D::from_fd(file.as_raw_fd(), 0, it),
        &|it| D::file_open(&path, 0, it),
        &|it| D::posix_open(name.as_str(), it),
    ];
    for (at, call) in calls.into_iter().enumerate() {
        let mut clashes =
            vec![(Flags::PRIVATE, "PRIVATE"), (Flags::LOCKED, "LOCKED"), (Flags::MIRROR, "MIRROR")];
        if [3, 4].contains(&at) {
            clashes.push((Flags::PAST_END, "PAST_END"));
        }
        if [0, 3, 4].contains(&at) {
            clashes.extend([(Flags::HUGE_2M, "HUGE_2M"), (Flags::HUGE_1G, "HUGE_1G")]);
        }
        for (flag, flag_name) in clashes {
            let options = Options { flags: flag | Flags::GROWABLE, ..capped(MOST) };
            fails(call(&options), EINVAL, &["GROWABLE", flag_name]);
        }
        for size_max in [0, 1, 8191] {
            fails(call(&growing(size_max)), EINVAL, &["size_max", &size_max.to_string(), "8192"]);
        }
        for flags in [Flags::READ_ONLY, Flags::POPULATE, Flags::NO_FORK, Flags::NO_RESERVE] {
            if at == 1 || at == 2 {
                continue;
            }
            let region = call(&Options { flags: flags | Flags::GROWABLE, ..capped(8192) }).unwrap();
            assert_eq!((region.size(), region.size_max()), (8192, 8192));
        }
    }
    let sealed = Options { seals: Some(Seals::SHRINK | Seals::GROW), ..growing(MOST) };
    fails(D::create("sealed", 8192, &sealed), EINVAL, &["'sealed'", "GROWABLE"]);
    assert_eq!(D::create("open", 8192, &growing(MOST)).unwrap().seals().unwrap() & SHMKIT_SEAL_GROW, 0);
    drop(object);
    D::posix_unlink(name.as_str()).unwrap();
    assert_eq!(place.entries(), ["block"]);
}

/// A range that no address space has: refused, with the number, and nothing is made.
fn addresses_that_are_refused_leave_nothing<D: Door>() {
    let _ = own_dev_shm("size=16m");
    let (place, name, other_name) = (Directory::new(), PosixName::new(), PosixName::new());
    let path = place.write("block", &[1; 8192]);
    let file = open(&path, libc::O_RDWR);
    let object = D::posix_create(name.as_str(), 8192, &plain()).unwrap();
    let (one, other) = socketpair(libc::SOCK_SEQPACKET);
    let refuse = |size_max: usize| {
        let (options, number) = (growing(size_max), size_max.to_string());
        let (held, says) = (descriptors().len(), [number.as_str()]);
        fails(D::create("new", 5000, &options), ENOMEM, &says);
        fails(D::file_create(&place.file("new"), 5000, &options), ENOMEM, &says);
        fails(D::posix_create(other_name.as_str(), 5000, &options), ENOMEM, &says);
        fails(D::from_fd(file.as_raw_fd(), 0, &options), ENOMEM, &says);
        fails(D::file_open(&path, 0, &options), ENOMEM, &says);
        fails(D::posix_open(name.as_str(), &options), ENOMEM, &says);
        assert_eq!(descriptors().len(), held);
    };
    for size_max in [1 << 47, 1 << 62, i64::MAX as usize, usize::MAX - 4095, usize::MAX] {
        refuse(size_max);
    }
    let limit = Limit::lower(libc::RLIMIT_AS, 1 << 30);
    refuse(2 << 30);
    let region = D::create("grows", 5000, &growing(MOST)).unwrap();
    drop(limit);
    assert_eq!(place.entries(), ["block"]);
    assert!(!other_name.path().exists());
    drop(object);
    D::posix_unlink(name.as_str()).unwrap();
    // A receiver too: the message is consumed, and the connection is in order.
    let far = D::create("grows", 5000, &growing(8 << 30)).unwrap();
    let _limit = Limit::lower(libc::RLIMIT_AS, 16 << 30);
    let _other = D::create("grows", 5000, &growing(4 << 30)).unwrap();
    for region in [&far, &region] {
        D::send_region(one.as_raw_fd(), region, None).unwrap();
    }
    fails(D::recv_region(other.as_raw_fd(), &capped(8 << 30), None), ENOMEM, &[]);
    assert_eq!(D::recv_region(other.as_raw_fd(), &capped(8 << 30), None).unwrap().size_max(), MOST);
}

/// By a path and by a name; a read-only opener follows too.
fn openers_follow_a_name<D: Door>() {
    let _ = own_dev_shm("size=16m");
    let (place, name) = (Directory::new(), PosixName::new());
    let path = place.file("grows");
    let file = D::file_create(&path, 5000, &growing(MOST)).unwrap();
    let object = D::posix_create(name.as_str(), 5000, &growing(MOST)).unwrap();
    type Call<'a, R> = &'a dyn Fn(&Options) -> Answer<R>;
    let calls: [(&D::Region, Call<'_, D::Region>); 2] =
        [(&file, &|it| D::file_open(&path, 0, it)), (&object, &|it| D::posix_open(name.as_str(), it))];
    for (region, open) in calls {
        let (here, there) = (Line::new(), Line::new());
        let opener = fork(|| {
            let region = open(&growing(MOST)).unwrap();
            let reader =
                open(&Options { flags: Flags::GROWABLE | Flags::READ_ONLY, ..capped(MOST) }).unwrap();
            let window = open(&Options { offset: 4096, ..growing(MOST) }).unwrap();
            let starts = [region.data(), reader.data(), window.data()];
            assert_eq!([region.size(), reader.size(), window.size()], [5000, 5000, 904]);
            there.tell(0);
            here.hear();
            for region in [&region, &reader, &window] {
                region.follow().unwrap();
            }
            assert_eq!([region.size(), reader.size(), window.size()], [20_000, 20_000, 20_000 - 4096]);
            assert_eq!([region.data(), reader.data(), window.data()], starts);
            assert_eq!(byte(starts[0].wrapping_add(19_999)), b'!');
            assert_eq!(byte(starts[1].wrapping_add(19_999)), b'!');
            assert_eq!(byte(starts[2].wrapping_add(19_999 - 4096)), b'!');
            fails(reader.grow(30_000), EACCES, &["read-only"]);
            // From where its window begins.
            window.grow(30_000).unwrap();
            window.write(29_999, b"?").unwrap();
            fails(window.grow(MOST + 1), EFBIG, &[]);
        });
        there.hear();
        region.grow(20_000).unwrap();
        region.write(19_999, b"!").unwrap();
        here.tell(0);
        opener.join();
        region.follow().unwrap();
        assert_eq!((region.size(), region.bytes(34_095, 1).unwrap()), (34_096, b"?".to_vec()));
    }
    D::posix_unlink(name.as_str()).unwrap();
}

fn what_is_found_can_be_followed<D: Door>() {
    let _ = own_dev_shm("size=16m");
    let (place, name) = (Directory::new(), PosixName::new());
    let path = place.file("grows");
    let options = Options { flags: Flags::GROWABLE | Flags::OR_OPEN, ..capped(MOST) };
    type Call<'a, R> = &'a dyn Fn(usize) -> Answer<R>;
    let calls: [Call<'_, D::Region>; 2] = [&|size| D::file_create(&path, size, &options), &|size| {
        D::posix_create(name.as_str(), size, &options)
    }];
    for create in calls {
        let region = create(5000).unwrap();
        assert!(region.created());
        region.grow(20_000).unwrap();
        let found = create(5000).unwrap();
        assert_eq!((found.created(), found.size()), (false, 5000), "as far as it was asked for");
        found.follow().unwrap();
        assert_eq!(found.size(), 20_000);
        found.grow(30_000).unwrap();
        region.follow().unwrap();
        assert_eq!(region.size(), 30_000);
        fails(create(30_001), EINVAL, &["30000 bytes", "30001"]);
    }
    D::posix_unlink(name.as_str()).unwrap();
}

fn without_reserving_growth_is_sparse<D: Door>() {
    const FAR: usize = 1 << 30;
    let _ = own_dev_shm("size=4m");
    let (place, name) = (Directory::new(), PosixName::new());
    let options = Options { flags: Flags::GROWABLE | Flags::NO_RESERVE, ..capped(FAR) };
    for region in growables::<D>(&place, &name, &options) {
        region.grow(FAR).unwrap();
        assert_eq!(region.size(), FAR);
        assert!(stat(&region.fd().unwrap()).st_blocks * 512 < 1 << 20, "not reserved");
        assert_eq!(region.bytes(FAR / 2, 3).unwrap(), [0; 3]);
        region.write(FAR - 1, b"x").unwrap();
        assert_eq!(region.bytes(FAR - 2, 2).unwrap(), b"\0x");
    }
    D::posix_unlink(name.as_str()).unwrap();
}

fn a_file_size_limit_is_efbig_and_no_signal<D: Door>() {
    let _ = own_dev_shm("size=16m");
    let (place, name) = (Directory::new(), PosixName::new());
    for flags in [Flags::GROWABLE, Flags::GROWABLE | Flags::NO_RESERVE] {
        for region in growables::<D>(&place, &name, &Options { flags, ..capped(MOST) }) {
            let (before, offset) = (object(&region), object(&region) - 5000);
            fork(|| {
                // SIGXFSZ would kill.
                let _limit = Limit::lower(libc::RLIMIT_FSIZE, 100_000);
                for size in [100_001 - offset, 200_000, MOST] {
                    let says = ["RLIMIT_FSIZE is 100000", &(offset + size).to_string()];
                    fails(region.grow(size), EFBIG, &says);
                    assert_eq!((region.size(), object(&region)), (5000, before));
                }
                region.grow(100_000 - offset).unwrap();
                fails(region.grow(100_001 - offset), EFBIG, &["RLIMIT_FSIZE"]);
            })
            .join();
            region.grow(200_000).unwrap();
        }
        D::posix_unlink(name.as_str()).unwrap();
        std::fs::remove_file(place.file("grows")).unwrap();
    }
}

/// Fills a file system until so many bytes are free; what fills it goes when this is dropped.
struct Hog(String);

impl Hog {
    fn all_but(directory: &str, bytes: u64) -> Hog {
        let hog = Hog(format!("{directory}/shmkit-hog"));
        let file = open(&hog.0, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL);
        let size = free(directory) - bytes;
        good(unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, size as i64) });
        assert_eq!(free(directory), bytes);
        hog
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

fn free(directory: &str) -> u64 {
    unsafe {
        let mut system: libc::statvfs = std::mem::zeroed();
        good(libc::statvfs(c(directory).as_ptr(), &mut system));
        system.f_bavail * system.f_frsize
    }
}

fn a_full_file_system_changes_nothing<D: Door>() {
    if let Err(why) = own_dev_shm("size=4m") {
        return skip(why);
    }
    let name = PosixName::new();
    let most = 64 << 20;
    let region = D::posix_create(name.as_str(), 5000, &growing(most)).unwrap();
    let peer = D::posix_open(name.as_str(), &growing(most)).unwrap();
    let start = region.data();
    region.write(0, &[7; 5000]).unwrap();
    let hog = Hog::all_but("/dev/shm", 128 << 10);
    // What is small is tried, and what is large is looked at before.
    for size in [400_000, 3 << 20, 20 << 20, most] {
        fails(region.grow(size), ENOSPC, &[name.as_str()]);
        assert_eq!((region.size(), object(&region)), (5000, 5000));
        assert_eq!(free("/dev/shm"), 128 << 10, "what a failure took, it gave back");
        peer.follow().unwrap();
        assert_eq!(peer.size(), 5000);
        assert_eq!(region.bytes(0, 5000).unwrap(), [7; 5000]);
    }
    fails(region.grow(20 << 20), ENOSPC, &["131072 bytes free", name.as_str()]);
    // What there is room for goes on.
    region.grow(100_000).unwrap();
    region.write(5000, &[8; 95_000]).unwrap();
    fails(region.grow(400_000), ENOSPC, &["400000"]);
    assert_eq!((region.size(), object(&region)), (100_000, 100_000));
    drop(hog);
    region.grow(400_000).unwrap();
    assert_eq!(region.data(), start);
    assert_eq!(region.bytes(5000, 95_001).unwrap(), [vec![8; 95_000], vec![0]].concat());
    peer.follow().unwrap();
    assert_eq!((peer.size(), peer.bytes(99_999, 1).unwrap()), (400_000, vec![8]));
    D::posix_unlink(name.as_str()).unwrap();
}

/// A memfd has no file system that could be full: the kernel would kill processes before it refused.
fn more_than_the_machine_has_is_enomem<D: Door>() {
    // Should the library try, then this child is the one to be killed, and soon.
    fork(|| {
        std::fs::write("/proc/self/oom_score_adj", "1000").unwrap();
        unsafe { libc::alarm(1) };
        let region = D::create("grows", 5000, &growing(1 << 46)).unwrap();
        for size in [1 << 42, 1 << 46] {
            fails(region.grow(size), ENOMEM, &["'grows'", &(size - 5000).to_string(), "available"]);
            assert_eq!((region.size(), object(&region)), (5000, 5000));
        }
        region.grow(100_000).unwrap();
    })
    .join();
}

/// One that asks for too much holds all that is free for a moment, and what the other has just been given.
fn a_failing_grower_costs_nobody_bytes<D: Door>() {
    if let Err(why) = own_dev_shm("size=4m") {
        return skip(why);
    }
    const STEPS: usize = 40;
    for round in 0..12 {
        let name = PosixName::new();
        let region = D::posix_create(name.as_str(), 4096, &growing(MOST)).unwrap();
        region.write(0, &[1; 4096]).unwrap();
        let hog = Hog::all_but("/dev/shm", (STEPS as u64 + 20) * 4096);
        let (ready, end) = (Line::new(), Line::new());
        let failing = fork(|| {
            let region = D::posix_open(name.as_str(), &growing(MOST)).unwrap();
            ready.tell(0);
            while !poll(&end) {
                fails(region.grow(MOST - round * 4096), ENOSPC, &[]);
            }
        });
        ready.hear();
        let mut tries = 0;
        for step in 1..=STEPS {
            // The other may have it all at the moment.
            while let Err(failure) = region.grow((step + 1) * 4096) {
                assert_eq!(failure.code, -ENOSPC, "{}", failure.message);
                assert_eq!(region.size(), step * 4096);
                tries += 1;
                assert!(tries < 1_000_000);
            }
            if round % 2 == 0 {
                region.write(step * 4096, &[step as u8 + 1; 4096]).unwrap();
            }
        }
        end.tell(0);
        failing.join();
        let size = (STEPS + 1) * 4096;
        assert_eq!((region.size(), object(&region)), (size, size));
        // What nobody has touched yet is reserved all the same.
        assert!(stat(&region.fd().unwrap()).st_blocks as usize * 512 >= size);
        if round % 2 == 1 {
            (1..=STEPS).for_each(|step| region.write(step * 4096, &[step as u8 + 1; 4096]).unwrap());
        }
        for step in 0..=STEPS {
            assert_eq!(region.bytes(step * 4096, 4096).unwrap(), [step as u8 + 1; 4096]);
        }
        drop(hog);
        D::posix_unlink(name.as_str()).unwrap();
    }
}

/// One handle for all: what a thread grows, the others have.
fn threads_that_grow_at_once_see_it_grow_only<D: Door>() {
    // So that the threads' stacks are there before.
    for _ in 0..10 {
        let region = D::create("grows", 1, &growing(4 * MOST)).unwrap();
        let all = std::sync::Barrier::new(3);
        let most = std::thread::scope(|scope| {
            let growers = [0, 1].map(|who| {
                let (region, all) = (&region, &all);
                scope.spawn(move || {
                    all.wait();
                    grow_by_chance(region, who, true, 1000)
                })
            });
            all.wait();
            let mut size = 0;
            while growers.iter().any(|grower| !grower.is_finished()) {
                region.follow().unwrap();
                assert!(region.size() >= size);
                size = region.size();
            }
            growers.into_iter().map(|grower| grower.join().unwrap()).max().unwrap()
        });
        assert_eq!((region.size(), object(&region)), (most, most), "the largest of all");
    }
}

/// fallocate(2) begins again after each signal: a large one would never end.
fn a_storm_of_signals_does_not_keep_it_from_growing<D: Door>() {
    static SIGNALS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    extern "C" fn count(_: i32) {
        SIGNALS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
    const LARGE: usize = 64 << 20;
    fork(|| {
        let region = D::create("grows", 5000, &growing(LARGE)).unwrap();
        let count: extern "C" fn(i32) = count;
        let often = libc::timeval { tv_sec: 0, tv_usec: 200 };
        let (storm, calm) = (libc::itimerval { it_interval: often, it_value: often }, unsafe {
            std::mem::zeroed::<libc::itimerval>()
        });
        unsafe {
            libc::signal(libc::SIGALRM, count as libc::sighandler_t);
            good(libc::setitimer(libc::ITIMER_REAL, &storm, std::ptr::null_mut()));
        }
        for size in [LARGE / 2, LARGE] {
            region.grow(size).unwrap();
        }
        good(unsafe { libc::setitimer(libc::ITIMER_REAL, &calm, std::ptr::null_mut()) });
        assert!(SIGNALS.load(std::sync::atomic::Ordering::Relaxed) > 0);
        assert_eq!((region.size(), object(&region)), (LARGE, LARGE));
        assert!(stat(&region.fd().unwrap()).st_blocks as usize * 512 >= LARGE, "reserved");
    })
    .join();
}

fn a_file_truncated_beneath_is_shrunk_and_grows_again<D: Door>() {
    let _ = own_dev_shm("size=16m");
    let (place, name) = (Directory::new(), PosixName::new());
    let path = place.file("grows");
    for (region, path) in [
        (D::file_create(&path, 5000, &growing(MOST)).unwrap(), std::path::Path::new(&path)),
        (D::posix_create(name.as_str(), 5000, &growing(MOST)).unwrap(), &name.path()),
    ] {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        region.grow(20_000).unwrap();
        region.write(0, &[1; 20_000]).unwrap();
        for length in [19_999, 100, 0] {
            file.set_len(length).unwrap();
            let says = [&*format!("has {length} bytes"), "20000"];
            refused(region.follow(), SHMKIT_E_SHRUNK, &says);
            assert_eq!(region.size(), 20_000, "it stays as it was");
        }
        refused(region.read(0, &mut [0]), SHMKIT_E_SHRUNK, &["0 bytes"]);
        refused(region.write(19_999, &[0]), SHMKIT_E_SHRUNK, &["0 bytes"]);
        // What is gone is gone; there is memory again.
        region.grow(20_000).unwrap();
        region.follow().unwrap();
        assert_eq!(region.bytes(0, 20_000).unwrap(), [0; 20_000]);
        file.set_len(100).unwrap();
        region.grow(30_000).unwrap();
        region.write(29_999, &[1]).unwrap();
        assert_eq!((region.size(), file.metadata().unwrap().len()), (30_000, 30_000));
    }
    D::posix_unlink(name.as_str()).unwrap();
}

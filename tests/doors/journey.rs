//! A region's journey between processes, whichever doors sender and receiver use.

use std::os::fd::AsRawFd;

use libc::{EACCES, ECONNRESET, EFBIG, EINVAL, EOPNOTSUPP, EPERM};

use crate::door::*;
use crate::support::*;

pairs! {
    a_region_is_shared_by_two_processes,
    the_sender_may_be_gone,
    what_is_published_is_read_only_for_good,
    files_and_objects_travel_at_the_receiver_s_risk,
    a_window_of_a_file_arrives_as_it_is,
    a_growable_region_says_so,
    a_killed_sender_leaves_all_or_nothing: 20,
}

scenarios! {
    what_cannot_be_shared_is_not_sent,
    read_only_is_sent_only_if_it_stays_so,
    a_receiver_narrows_and_never_widens,
    sizes_have_bounds,
    a_received_region_can_be_passed_on,
    receiving_has_no_use_for_some_options,
}

fn a_region_is_shared_by_two_processes<S: Door, R: Door>() {
    let name = format!("@shmkit-test-{}", std::process::id());
    let listener = S::listen(&name).unwrap();
    let meet = [None, Some(&name)];
    for (kind, path) in KINDS.iter().flat_map(|kind| meet.map(|path| (*kind, path))) {
        let (one, other) = socketpair(kind);
        let line = Line::new();
        let receiver = fork(|| {
            let socket = path.map_or(other, |path| R::connect(path, None).unwrap());
            let region = R::recv_region(socket.as_raw_fd(), &plain(), None).unwrap();
            assert_eq!((region.kind(), region.size(), region.name()), (SHMKIT_KIND_MEMFD, 5000, None));
            assert!(!region.can_shrink());
            assert_eq!(region.bytes(4990, 10).unwrap(), b"from there");
            region.write(0, b"and back").unwrap();
            line.tell(identity(&region.fd().unwrap()).1 as i64);
            assert!(is_close_on_exec(&region.fd().unwrap()));
            let at = format!("{:x}-", region.data() as usize);
            let row = mappings().into_iter().find(|row| row.starts_with(&at)).unwrap();
            assert!(row.contains(" rw-s "), "never executable: {row}");
        });
        let socket = path.map_or(one, |_| S::accept(listener.as_raw_fd(), None).unwrap());
        let region = S::create("shared", 5000, &plain()).unwrap();
        region.write(4990, b"from there").unwrap();
        S::send_region(socket.as_raw_fd(), &region, None).unwrap();
        assert_eq!(line.hear(), identity(&region.fd().unwrap()).1 as i64, "the same file");
        receiver.join();
        assert_eq!(region.bytes(0, 8).unwrap(), b"and back");
    }
}

fn the_sender_may_be_gone<S: Door, R: Door>() {
    for kind in KINDS {
        let (one, other) = socketpair(kind);
        let sender = fork(|| {
            let region = S::create("left behind", 5000, &plain()).unwrap();
            region.write(0, b"still here").unwrap();
            for wait in [None, Some(in_ms(1000))] {
                S::send_region(one.as_raw_fd(), &region, wait).unwrap();
            }
        });
        sender.join();
        drop(one);
        for wait in [None, Some(in_ms(1000))] {
            let region = R::recv_region(other.as_raw_fd(), &plain(), wait).unwrap();
            assert_eq!(region.bytes(0, 10).unwrap(), b"still here");
        }
        fails(R::recv_region(other.as_raw_fd(), &plain(), None), ECONNRESET, &["closed"]);
    }
}

/// One writes, all others read, and the kernel keeps it so.
fn what_is_published_is_read_only_for_good<S: Door, R: Door>() {
    let (one, other) = socketpair(libc::SOCK_SEQPACKET);
    let region = S::create("published", 5000, &plain()).unwrap();
    region.write(0, b"first").unwrap();
    region.seal(SHMKIT_SEAL_FUTURE_WRITE | SHMKIT_SEAL_SEAL).unwrap();
    S::send_region(one.as_raw_fd(), &region, None).unwrap();
    let (line, written) = (Line::new(), Line::new());
    let reader = fork(|| {
        let region = R::recv_region(other.as_raw_fd(), &plain(), None).unwrap();
        assert_eq!(region.bytes(0, 5).unwrap(), b"first");
        line.tell(0);
        written.hear();
        assert_eq!(region.bytes(0, 6).unwrap(), b"second");
        fails(region.write(0, b"x"), EACCES, &[]);
        fails(region.protect(0, 5000, SHMKIT_RIGHTS_READ_WRITE), EACCES, &[]);
        let all = libc::PROT_READ | libc::PROT_WRITE;
        assert_eq!(unsafe { libc::mprotect(region.data().cast(), 5000, all) }, -1);
        // However it is opened again.
        let path = format!("/proc/self/fd/{}", region.fd().unwrap());
        let again = open(path, libc::O_RDWR);
        fails(R::from_fd(again.as_raw_fd(), 0, &plain()), EPERM, &[]);
        assert_eq!(unsafe { libc::pwrite(again.as_raw_fd(), c"x".as_ptr().cast(), 1, 0) }, -1);
        assert_eq!(errno(), EPERM);
        assert_eq!(end_of(|| unsafe { region.data().write_volatile(1) }), End::Signal(libc::SIGSEGV));
    });
    line.hear();
    region.write(0, b"second").unwrap();
    written.tell(0);
    reader.join();
}

fn files_and_objects_travel_at_the_receiver_s_risk<S: Door, R: Door>() {
    let _ = own_dev_shm("size=4m");
    let (directory, name) = (Directory::new(), PosixName::new());
    let unsealed = Options { seals: Some(Seals::empty()), ..plain() };
    // A name proves nothing: the last one looks like a memfd in /proc.
    for region in [
        S::file_create(&directory.file("block"), 5000, &plain()).unwrap(),
        S::posix_create(name.as_str(), 5000, &plain()).unwrap(),
        S::create("unsealed", 5000, &unsealed).unwrap(),
        S::file_create(&directory.file("memfd:frames (deleted)"), 5000, &plain()).unwrap(),
    ] {
        for kind in KINDS {
            let (one, other) = socketpair(kind);
            region.write(0, b"here").unwrap();
            for _ in 0..2 {
                S::send_region(one.as_raw_fd(), &region, None).unwrap();
            }
            let answer = R::recv_region(other.as_raw_fd(), &plain(), None);
            refused(answer, SHMKIT_E_UNSEALED, &["shrink", "RISK_SHRINK"]);
            let risky = R::recv_region(other.as_raw_fd(), &with(Flags::RISK_SHRINK), None).unwrap();
            assert_eq!((risky.size(), risky.can_shrink()), (5000, true));
            assert_eq!(risky.bytes(0, 4).unwrap(), b"here");
            risky.write(0, b"back").unwrap();
            assert_eq!(region.bytes(0, 4).unwrap(), b"back");
            good(unsafe { libc::ftruncate(region.fd().unwrap(), 10) });
            refused(risky.read(4096, &mut [0]), SHMKIT_E_SHRUNK, &["10 bytes"]);
            good(unsafe { libc::ftruncate(region.fd().unwrap(), 5000) });
        }
    }
    S::posix_unlink(name.as_str()).unwrap();
}

fn a_window_of_a_file_arrives_as_it_is<S: Door, R: Door>() {
    let whole = S::create("whole", 20_000, &plain()).unwrap();
    for (offset, size) in [(4096, 100), (8192, 11_808), (16_384, 3616), (0, 1)] {
        let options = Options { offset, ..plain() };
        let window = S::from_fd(whole.fd().unwrap(), size, &options).unwrap();
        let (one, other) = socketpair(libc::SOCK_STREAM);
        S::send_region(one.as_raw_fd(), &window, None).unwrap();
        let arrived = R::recv_region(other.as_raw_fd(), &plain(), None).unwrap();
        assert_eq!(arrived.size(), size);
        arrived.write(size - 1, b"!").unwrap();
        assert_eq!(whole.bytes(offset as usize + size - 1, 1).unwrap(), b"!");
        fails(arrived.read(size, &mut [0]), libc::ERANGE, &[]);
        whole.write(offset as usize + size - 1, b"\0").unwrap();
    }
}

fn a_growable_region_says_so<S: Door, R: Door>() {
    let (one, other) = socketpair(libc::SOCK_SEQPACKET);
    let growable = Options { seals: Some(Seals::SHRINK | Seals::EXEC), ..plain() };
    let region = S::create("grows", 4096, &growable).unwrap();
    S::send_region(one.as_raw_fd(), &region, None).unwrap();
    good(unsafe { libc::ftruncate(region.fd().unwrap(), 8192) });
    let arrived = R::recv_region(other.as_raw_fd(), &plain(), None).unwrap();
    assert_eq!((arrived.size(), arrived.can_shrink()), (4096, false), "what was sent");
    assert_eq!(arrived.seals().unwrap() & SHMKIT_SEAL_GROW, 0);
}

/// A sender in a loop dies anywhere: whole regions arrive, and then the end of the connection.
fn a_killed_sender_leaves_all_or_nothing<S: Door, R: Door>() {
    for round in 0..60 {
        let (one, other) = socketpair(KINDS[round % 2]);
        let ready = Line::new();
        let sender = fork(|| {
            ready.tell(0);
            loop {
                let region = S::create("all or nothing", 5000, &plain()).unwrap();
                region.write(0, &[7; 5000]).unwrap();
                S::send_region(one.as_raw_fd(), &region, None).unwrap();
            }
        });
        ready.hear();
        drop(one);
        // No event to wait for: the point is to strike anywhere.
        unsafe { libc::usleep((round * 37 % 400) as u32) };
        sender.slay();
        let end = loop {
            match R::recv_region(other.as_raw_fd(), &plain(), None) {
                Ok(region) => assert_eq!(region.bytes(0, 5000).unwrap(), [7; 5000]),
                end => break end,
            }
        };
        fails(end, ECONNRESET, &[]);
    }
}

fn what_cannot_be_shared_is_not_sent<D: Door>() {
    let _ = own_ipc();
    let (one, other) = socketpair(libc::SOCK_SEQPACKET);
    let segment = D::sysv_create(0, 1, &with(Flags::AUTO_REMOVE)).unwrap();
    let memory = D::anon_create(1, &plain()).unwrap();
    let private = D::create("mine alone", 1, &with(Flags::PRIVATE)).unwrap();
    let id = segment.sysv_id().unwrap().to_string();
    for (region, says) in [(&segment, id.as_str()), (&memory, "anonymous"), (&private, "mine alone")] {
        for wait in [None, Some(0)] {
            fails(D::send_region(one.as_raw_fd(), region, wait), EOPNOTSUPP, &[says]);
        }
    }
    fails(D::recv_region(other.as_raw_fd(), &plain(), Some(0)), libc::ETIMEDOUT, &[]);
}

fn read_only_is_sent_only_if_it_stays_so<D: Door>() {
    let _ = own_dev_shm("size=4m");
    let name = PosixName::new();
    let (one, other) = socketpair(libc::SOCK_SEQPACKET);
    let writable = D::create("frames", 4096, &plain()).unwrap();
    let object = D::posix_create(name.as_str(), 4096, &plain()).unwrap();
    let fd = writable.fd().unwrap();
    let says = ["open it again", "RISK_REOPEN"];
    for region in [
        D::from_fd(fd, 0, &with(Flags::READ_ONLY)).unwrap(),
        D::create("born so", 1, &with(Flags::READ_ONLY)).unwrap(),
        D::posix_open(name.as_str(), &with(Flags::READ_ONLY)).unwrap(),
    ] {
        refused(D::send_region(one.as_raw_fd(), &region, None), SHMKIT_E_UNENFORCEABLE, &says);
    }
    let risky = with(Flags::READ_ONLY | Flags::RISK_REOPEN);
    let region = D::from_fd(fd, 0, &risky).unwrap();
    D::send_region(one.as_raw_fd(), &region, None).unwrap();
    let arrived = D::recv_region(other.as_raw_fd(), &plain(), None).unwrap();
    fails(arrived.write(0, b"x"), EACCES, &[]);
    // Who got it so can pass it on only by taking the same risk.
    refused(D::send_region(one.as_raw_fd(), &arrived, None), SHMKIT_E_UNENFORCEABLE, &says);

    let honest = D::from_fd(fd, 0, &with(Flags::READ_ONLY)).unwrap();
    writable.seal(SHMKIT_SEAL_FUTURE_WRITE).unwrap();
    D::send_region(one.as_raw_fd(), &honest, None).unwrap();
    D::recv_region(other.as_raw_fd(), &plain(), None).unwrap();
    // Sealed against writing alone: whoever receives it could still truncate it.
    let unsealed = Options { seals: Some(Seals::FUTURE_WRITE), ..plain() };
    let region = D::create("cut short", 1, &unsealed).unwrap();
    refused(D::send_region(one.as_raw_fd(), &region, None), SHMKIT_E_UNENFORCEABLE, &["truncate"]);
    drop(object);
    D::posix_unlink(name.as_str()).unwrap();
}

fn a_receiver_narrows_and_never_widens<D: Door>() {
    let (one, other) = socketpair(libc::SOCK_SEQPACKET);
    let region = D::create("frames", 4096, &plain()).unwrap();
    for _ in 0..3 {
        D::send_region(one.as_raw_fd(), &region, None).unwrap();
    }
    let reader = D::recv_region(other.as_raw_fd(), &with(Flags::READ_ONLY), None).unwrap();
    fails(reader.write(0, b"x"), EACCES, &[]);
    fails(reader.protect(0, 4096, SHMKIT_RIGHTS_READ_WRITE), EACCES, &[]);
    let private = D::recv_region(other.as_raw_fd(), &with(Flags::PRIVATE), None).unwrap();
    private.write(0, b"mine").unwrap();
    assert_eq!(region.bytes(0, 4).unwrap(), [0; 4]);
    let filled = with(Flags::POPULATE | Flags::NO_FORK);
    let arrived = D::recv_region(other.as_raw_fd(), &filled, None).unwrap();
    arrived.write(0, b"ours").unwrap();
    assert_eq!(reader.bytes(0, 4).unwrap(), b"ours");
}

fn sizes_have_bounds<D: Door>() {
    let (one, other) = socketpair(libc::SOCK_SEQPACKET);
    let region = D::create("frames", 5000, &plain()).unwrap();
    let receive = |size_min, size_max| {
        D::send_region(one.as_raw_fd(), &region, None).unwrap();
        D::recv_region(other.as_raw_fd(), &Options { size_min, size_max, ..plain() }, None)
    };
    for (min, max) in [(0, 0), (5000, 0), (0, 5000), (5000, 5000), (1, u64::MAX)] {
        assert_eq!(receive(min, max).unwrap().size(), 5000);
    }
    for (min, max) in [(0, 4999), (0, 1), (5000, 4999)] {
        fails(receive(min, max), EFBIG, &["5000 bytes", &max.to_string()]);
    }
    for (min, max) in [(5001, 0), (u64::MAX, 0), (5001, 6000)] {
        fails(receive(min, max), EINVAL, &["5000 bytes", &min.to_string()]);
    }
    receive(0, 0).unwrap();
}

/// From one to the next, a hundred times.
fn a_received_region_can_be_passed_on<D: Door>() {
    let (one, other) = socketpair(libc::SOCK_STREAM);
    let mut region = D::create("passed on", 5000, &plain()).unwrap();
    for turn in 0..100u8 {
        region.write(usize::from(turn), &[turn]).unwrap();
        D::send_region(one.as_raw_fd(), &region, None).unwrap();
        region = D::recv_region(other.as_raw_fd(), &plain(), None).unwrap();
    }
    assert_eq!(region.bytes(0, 100).unwrap(), (0..100).collect::<Vec<u8>>());
}

fn receiving_has_no_use_for_some_options<D: Door>() {
    let (one, other) = socketpair(libc::SOCK_SEQPACKET);
    let region = D::create("waits", 1, &plain()).unwrap();
    D::send_region(one.as_raw_fd(), &region, None).unwrap();
    let receive = |options: Options| D::recv_region(other.as_raw_fd(), &options, None);
    for (flag, name) in [
        (Flags::REPLACE, "REPLACE"),
        (Flags::OR_OPEN, "OR_OPEN"),
        (Flags::PAST_END, "PAST_END"),
        (Flags::NO_RESERVE, "NO_RESERVE"),
        (Flags::AUTO_REMOVE, "AUTO_REMOVE"),
        (Flags::RISK_DISK, "RISK_DISK"),
        (Flags::GROWABLE, "GROWABLE"),
        (Flags::HUGE_FALLBACK, "HUGE_FALLBACK"),
    ] {
        fails(receive(with(flag)), EINVAL, &["shm_recv_region", name]);
    }
    fails(receive(Options { offset: 4096, ..plain() }), EINVAL, &["offset"]);
    fails(receive(Options { seals: Some(Seals::SEAL), ..plain() }), EINVAL, &["seals"]);
    fails(receive(with(Flags::from_bits_retain(1 << 31))), EINVAL, &["0x80000000"]);
    receive(plain()).unwrap();
}

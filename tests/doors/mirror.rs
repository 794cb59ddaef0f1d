//! Mirrors: the bytes twice in a row, so that a record over the end lies in one piece.

use std::os::fd::AsRawFd;

use libc::{EINVAL, ENOMEM, ERANGE};

use crate::door::*;
use crate::support::*;

pairs! {
    records_travel_through_a_ring_in_one_piece,
    a_receiver_asks_for_the_mirror_itself,
}

scenarios! {
    each_byte_is_there_twice: 20,
    copies_over_the_end_are_as_a_ring_has_them: 20,
    offsets_reach_twice_the_size,
    only_whole_pages_are_mirrored,
    options_that_do_not_go_together,
    what_is_flushed_over_the_end_is_on_the_disk,
    calls_on_pages_go_over_the_seam,
    a_file_truncated_beneath_is_shrunk_in_both_halves,
    nothing_stays_mapped,
    neither_half_is_for_more_than_it_was_opened_for,
}

/// One byte by the raw pointer.
fn peek(region: &impl Handle, at: usize) -> u8 {
    unsafe { region.data().add(at).read_volatile() }
}

fn poke(region: &impl Handle, at: usize, byte: u8) {
    unsafe { region.data().add(at).write_volatile(byte) }
}

fn mirror() -> Options {
    with(Flags::MIRROR)
}

/// Mirrors of this size, of each kind that there is, one of them a window of its object.
fn mirrors<D: Door>(place: &Directory, name: &PosixName, size: usize) -> [D::Region; 5] {
    let object = D::create("object", size + 8192, &plain()).unwrap();
    let path = place.file("window");
    std::fs::write(&path, vec![0; size + 2 * page()]).unwrap();
    [
        D::create("ring", size, &mirror()).unwrap(),
        D::from_fd(object.fd().unwrap(), size, &Options { offset: page() as u64, ..mirror() }).unwrap(),
        D::file_create(&place.file("ring"), size, &mirror()).unwrap(),
        D::file_open(&path, 0, &Options { offset: 2 * page() as u64, ..mirror() }).unwrap(),
        D::posix_create(name.as_str(), size, &mirror()).unwrap(),
    ]
}

fn records_travel_through_a_ring_in_one_piece<S: Door, R: Door>() {
    const SIZE: usize = 8192;
    const RECORDS: usize = 500;
    let record = |number: usize| -> Vec<u8> {
        let length = 1 + number * 37 % 3000;
        (0..length).map(|at| (number * 7 + at) as u8).collect()
    };
    let (one, other) = socketpair(libc::SOCK_SEQPACKET);
    let (written, read) = (Line::new(), Line::new());
    let reader = fork(|| {
        let ring = R::recv_region(other.as_raw_fd(), &mirror(), None).unwrap();
        let mut at = 0;
        for number in 0..RECORDS {
            written.hear();
            let record = record(number);
            // By the pointer, and by the checked call.
            let piece = ring.at(at % SIZE, record.len(), 1).unwrap();
            let piece: Vec<u8> =
                (0..record.len()).map(|at| unsafe { piece.add(at).read_volatile() }).collect();
            assert!(piece == record, "record {number}");
            assert!(ring.bytes(at % SIZE, record.len()).unwrap() == record, "record {number}");
            at += record.len();
            read.tell(0);
        }
    });
    let ring = S::create("ring", SIZE, &mirror()).unwrap();
    S::send_region(one.as_raw_fd(), &ring, None).unwrap();
    let (mut at, mut over_the_end) = (0, 0);
    for number in 0..RECORDS {
        let record = record(number);
        let begin = at % SIZE;
        over_the_end += usize::from(begin + record.len() > SIZE);
        if number % 2 == 0 {
            let to = ring.at(begin, record.len(), 1).unwrap();
            record.iter().enumerate().for_each(|(at, &byte)| unsafe { to.add(at).write_volatile(byte) });
        } else {
            ring.write(begin, &record).unwrap();
        }
        at += record.len();
        written.tell(0);
        read.hear();
    }
    assert!(over_the_end > 10);
    reader.join();
}

fn a_receiver_asks_for_the_mirror_itself<S: Door, R: Door>() {
    for kind in KINDS {
        let (one, other) = socketpair(kind);
        let receive = |region: &S::Region, options: &Options| {
            S::send_region(one.as_raw_fd(), region, None).unwrap();
            R::recv_region(other.as_raw_fd(), options, None)
        };
        let ring = S::create("ring", 8192, &mirror()).unwrap();
        let flat = S::create("flat", 8192, &plain()).unwrap();
        ring.write(8190, b"over").unwrap();
        flat.write(8190, b"ov").unwrap();
        flat.write(0, b"er").unwrap();
        for region in [&ring, &flat] {
            let mirrored = receive(region, &mirror()).unwrap();
            assert_eq!((mirrored.size(), mirrored.size_max()), (8192, 8192), "once");
            assert_eq!(mirrored.bytes(8190, 4).unwrap(), b"over");
            mirrored.write(16_383, b"!").unwrap();
            let plain = receive(region, &plain()).unwrap();
            assert_eq!((plain.size(), plain.bytes(8191, 1).unwrap()), (8192, b"!".to_vec()));
            fails(plain.read(8190, &mut [0; 4]), ERANGE, &["8192 bytes"]);
        }
        let odd = S::create("odd", 8191, &plain()).unwrap();
        fails(receive(&odd, &mirror()), EINVAL, &["8191", "page size"]);
        receive(&odd, &plain()).unwrap();
        // For reading alone, in both halves.
        let reader = receive(&ring, &with(Flags::MIRROR | Flags::READ_ONLY)).unwrap();
        assert_eq!(reader.bytes(8190, 4).unwrap(), *b"o!er");
        fails(reader.write(8192, b"x"), libc::EACCES, &[]);
    }
}

fn each_byte_is_there_twice<D: Door>() {
    let _ = own_dev_shm("size=64m");
    let (place, name) = (Directory::new(), PosixName::new());
    // Also such that huge pages would fit.
    for size in [page(), 2 * page(), 2 << 20, (4 << 20) + page()] {
        for region in mirrors::<D>(&place, &name, size) {
            assert_eq!((region.size(), region.size_max()), (size, size));
            let step = if size < 1 << 20 { 1 } else { 4099 };
            for at in (0..size).step_by(step).chain([size - 1]) {
                let byte = (at % 251) as u8 + 1;
                poke(&region, at, byte);
                assert_eq!((peek(&region, at), peek(&region, size + at)), (byte, byte));
                poke(&region, size + at, byte + 1);
                assert_eq!((peek(&region, at), peek(&region, size + at)), (byte + 1, byte + 1));
                if at % 97 == 0 {
                    region.write(size + at, &[3]).unwrap();
                    assert_eq!(region.bytes(at, 1).unwrap(), [3]);
                    region.write(at, &[4]).unwrap();
                    assert_eq!(region.bytes(size + at, 1).unwrap(), [4]);
                }
            }
        }
        D::posix_unlink(name.as_str()).unwrap();
        std::fs::remove_file(place.file("ring")).unwrap();
    }
}

fn copies_over_the_end_are_as_a_ring_has_them<D: Door>() {
    const SIZE: usize = 3 * 4096;
    let _ = own_dev_shm("size=16m");
    let (place, name) = (Directory::new(), PosixName::new());
    for region in mirrors::<D>(&place, &name, SIZE) {
        let (mut chance, mut model) = (Chance::new(7), vec![0; SIZE]);
        for round in 0..200 {
            let (at, length) = (chance.below(2 * SIZE), chance.below(SIZE + 1));
            let length = length.min(2 * SIZE - at);
            if round % 2 == 0 {
                let bytes: Vec<u8> = (0..length).map(|_| chance.below(256) as u8).collect();
                region.write(at, &bytes).unwrap();
                bytes.iter().enumerate().for_each(|(i, &byte)| model[(at + i) % SIZE] = byte);
            }
            let there = region.bytes(at, length).unwrap();
            assert!(
                there.iter().enumerate().all(|(i, byte)| *byte == model[(at + i) % SIZE]),
                "{at}, {length}"
            );
            let piece = region.at(at, length, 1).unwrap();
            assert_eq!(piece as usize, region.data() as usize + at);
        }
        let twice = region.bytes(0, 2 * SIZE).unwrap();
        assert!(twice == [&model[..], &model[..]].concat());
    }
    D::posix_unlink(name.as_str()).unwrap();
}

fn offsets_reach_twice_the_size<D: Door>() {
    let region = D::create("ring", 8192, &mirror()).unwrap();
    for (offset, length) in
        [(8190, 4), (8192, 1), (8192, 8192), (16_383, 1), (16_384, 0), (0, 16_384), (1, 16_383)]
    {
        region.read(offset, &mut vec![0; length]).unwrap();
        region.write(offset, &vec![1; length]).unwrap();
        region.at(offset, length, 1).unwrap();
        region.check(offset, length).unwrap();
        region.flush(offset, length).unwrap();
        region.flush_async(offset, length).unwrap();
        region.prefault(offset, length).unwrap();
        region.lock(offset, length).unwrap();
        region.unlock(offset, length).unwrap();
    }
    for (offset, length) in
        [(16_384, 1), (16_383, 2), (8192, 8193), (0, 16_385), (16_385, 0), (usize::MAX, 1), (1, usize::MAX)]
    {
        let says = ["8192 bytes", "twice", &offset.to_string()];
        fails(region.check(offset, length), ERANGE, &says);
        fails(region.at(offset, length, 1), ERANGE, &[]);
        fails(region.flush(offset, length), ERANGE, &[]);
        fails(region.flush_async(offset, length), ERANGE, &[]);
        fails(region.prefault(offset, length), ERANGE, &says);
        fails(region.lock(offset, length), ERANGE, &says);
        fails(region.unlock(offset, length), ERANGE, &says);
        fails(region.advise(offset, length, SHMKIT_ADVICE_NORMAL), ERANGE, &says);
        fails(region.protect(offset, length, SHMKIT_RIGHTS_READ), ERANGE, &says);
        if length < 100_000 {
            fails(region.read(offset, &mut vec![0; length]), ERANGE, &says);
            fails(region.write(offset, &vec![0; length]), ERANGE, &says);
        }
    }
}

fn only_whole_pages_are_mirrored<D: Door>() {
    let _ = own_dev_shm("size=16m");
    let (place, name) = (Directory::new(), PosixName::new());
    let path = place.write("odd", &[1; 10_000]);
    let file = open(&path, libc::O_RDWR);
    let object = D::posix_create(name.as_str(), 10_000, &plain()).unwrap();
    for size in [1, 4095, 4097, 10_000] {
        let says = ["mirror", &size.to_string(), "page size"];
        fails(D::create("odd", size, &mirror()), EINVAL, &says);
        fails(D::file_create(&place.file("new"), size, &mirror()), EINVAL, &says);
        fails(D::posix_create("/shmkit-never", size, &mirror()), EINVAL, &says);
        fails(D::file_open(&path, size, &mirror()), EINVAL, &says);
        fails(D::from_fd(file.as_raw_fd(), size, &mirror()), EINVAL, &says);
    }
    fails(D::posix_open(name.as_str(), &mirror()), EINVAL, &["10000", "page size"]);
    // A whole part of a file of any size will do.
    let part = D::file_open(&path, 8192, &mirror()).unwrap();
    assert_eq!(part.bytes(8191, 2).unwrap(), [1, 1]);
    for size in [1 << 47, 1 << 62] {
        fails(D::create("far", size, &with(Flags::MIRROR | Flags::NO_RESERVE)), ENOMEM, &[&size.to_string()]);
    }
    // Room for one half, and not for both.
    let limit = Limit::lower(libc::RLIMIT_AS, 6 << 30);
    let far = with(Flags::MIRROR | Flags::NO_RESERVE);
    fails(D::create("far", 4 << 30, &far), ENOMEM, &["4294967296"]);
    drop(limit);
    D::create("far", 4 << 30, &far).unwrap().write((8 << 30) - 1, b"x").unwrap();
    drop(object);
    D::posix_unlink(name.as_str()).unwrap();
    assert_eq!(place.entries(), ["odd"]);
}

fn options_that_do_not_go_together<D: Door>() {
    let place = Directory::new();
    let path = place.write("block", &[1; 8192]);
    let file = open(&path, libc::O_RDWR);
    for (flag, name) in [
        (Flags::PRIVATE, "PRIVATE"),
        (Flags::PAST_END, "PAST_END"),
        (Flags::HUGE_2M, "HUGE_2M"),
        (Flags::HUGE_1G, "HUGE_1G"),
    ] {
        fails(D::from_fd(file.as_raw_fd(), 0, &with(Flags::MIRROR | flag)), EINVAL, &["MIRROR", name]);
        fails(D::file_open(&path, 0, &with(Flags::MIRROR | flag)), EINVAL, &["MIRROR", name]);
        if flag != Flags::PAST_END {
            fails(D::create("ring", 8192, &with(Flags::MIRROR | flag)), EINVAL, &["MIRROR", name]);
        }
    }
    fails(D::anon_create(8192, &mirror()), EINVAL, &["shm_anon_create", "MIRROR"]);
    for flags in [
        Flags::POPULATE,
        Flags::LOCKED,
        Flags::NO_RESERVE,
        Flags::READ_ONLY,
        Flags::NO_FORK,
        Flags::RISK_REOPEN,
    ] {
        let region = D::create("ring", 8192, &with(Flags::MIRROR | flags)).unwrap();
        assert_eq!(region.bytes(8191, 2).unwrap(), [0, 0]);
    }
}

/// How many KiB of the mapping that begins here differ from what is on the disk (smaps).
fn dirty(at: *mut u8) -> u64 {
    let text = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let head = format!("{:x}-", at as usize);
    let rows =
        text.lines().skip_while(|row| !row.starts_with(&head)).take_while(|row| !row.starts_with("VmFlags"));
    let number = |row: &str| row.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap();
    rows.filter(|row| row.starts_with("Shared_Dirty") || row.starts_with("Private_Dirty")).map(number).sum()
}

fn what_is_flushed_over_the_end_is_on_the_disk<D: Door>() {
    const SIZE: usize = 4 * 4096;
    let place = Directory::below(env!("CARGO_TARGET_TMPDIR").as_ref());
    let path = place.file("ring");
    let region = D::file_create(&path, SIZE, &mirror()).unwrap();
    let second = region.data().wrapping_add(SIZE);
    region.flush(0, SIZE).unwrap();
    poke(&region, 4096, b'-');
    for at in 0..6 {
        poke(&region, SIZE - 3 + at, b"record"[at]);
    }
    assert_eq!((dirty(region.data()), dirty(second)), (8, 4));
    region.flush(SIZE - 3, 6).unwrap();
    if (dirty(region.data()), dirty(second)) == (8, 4) {
        return skip("the build directory is no disk");
    }
    assert_eq!((dirty(region.data()), dirty(second)), (4, 0), "only the middle one is left");
    region.flush(SIZE + 4096, 1).unwrap();
    assert_eq!(dirty(region.data()), 0, "by its second address");
    poke(&region, SIZE, b'o');
    poke(&region, 2 * SIZE - 1, b'!');
    region.flush_async(SIZE - 1, 2).unwrap();
    assert_eq!(dirty(second), 0, "on their way, both of them");
    // What is on its way already would be left for later.
    region.flush(0, SIZE).unwrap();
    poke(&region, 2 * SIZE - 1, b'!');
    region.flush_async(2 * SIZE - 1, 1).unwrap();
    assert_eq!(dirty(second), 0);
    region.close().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes.len(), SIZE, "the file has them once");
    assert_eq!((&bytes[SIZE - 3..], &bytes[..3], bytes[4096]), (&b"re!"[..], &b"ord"[..], b'-'));
    let again = D::file_open(&path, 0, &mirror()).unwrap();
    assert_eq!(again.bytes(SIZE - 3, 6).unwrap(), b"re!ord");
}

/// In KiB.
fn locked() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let row = status.lines().find(|row| row.starts_with("VmLck:")).unwrap();
    row.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn calls_on_pages_go_over_the_seam<D: Door>() {
    const SIZE: usize = 4 * 4096;
    let _ = own_dev_shm("size=16m");
    let (place, name) = (Directory::new(), PosixName::new());
    for region in mirrors::<D>(&place, &name, SIZE) {
        region.prefault(0, 2 * SIZE).unwrap();
        region.prefault(SIZE - 1, 2).unwrap();
        region.check(SIZE - 1, 2).unwrap();
        let before = locked();
        region.lock(SIZE - 1, 2).unwrap();
        assert_eq!(locked(), before + 8, "a page on either side");
        region.unlock(SIZE - 4096, 8192).unwrap();
        assert_eq!(locked(), before);
        for advice in
            [SHMKIT_ADVICE_SEQUENTIAL, SHMKIT_ADVICE_NO_DUMP, SHMKIT_ADVICE_DUMP, SHMKIT_ADVICE_NORMAL]
        {
            region.advise(SIZE - 4096, 8192, advice).unwrap();
            region.advise(SIZE + 4096, SIZE - 4096, advice).unwrap();
        }
        // Each address has rights of its own.
        region.protect(SIZE - 4096, 8192, SHMKIT_RIGHTS_READ).unwrap();
        for at in [SIZE - 4096, SIZE - 1, SIZE, SIZE + 4095] {
            fails(region.write(at, b"x"), libc::EACCES, &[]);
            assert_eq!(end_of(|| poke(&region, at, b'x')), End::Signal(libc::SIGSEGV));
        }
        fails(region.check(SIZE - 1, 2), libc::EACCES, &["protect"]);
        for at in [0, SIZE - 4097, SIZE + 4096, 2 * SIZE - 1] {
            region.write(at, b"x").unwrap();
        }
        assert_eq!((peek(&region, SIZE), peek(&region, SIZE - 1)), (b'x', b'x'));
        region.protect(0, 2 * SIZE, SHMKIT_RIGHTS_READ_WRITE).unwrap();
        region.write(SIZE - 1, b"yz").unwrap();
        assert_eq!((peek(&region, 0), peek(&region, 2 * SIZE - 1)), (b'z', b'y'));
    }
    D::posix_unlink(name.as_str()).unwrap();
}

fn a_file_truncated_beneath_is_shrunk_in_both_halves<D: Door>() {
    const SIZE: usize = 4 * 4096;
    let _ = own_dev_shm("size=16m");
    let (place, name) = (Directory::new(), PosixName::new());
    let path = place.file("ring");
    for (region, path) in [
        (D::file_create(&path, SIZE, &mirror()).unwrap(), std::path::Path::new(&path)),
        (D::posix_create(name.as_str(), SIZE, &mirror()).unwrap(), &name.path()),
    ] {
        region.write(0, &[1; SIZE]).unwrap();
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_len(5000).unwrap();
        for (at, length) in [(8192, 1), (8191, 2), (SIZE - 1, 1), (SIZE - 1, 2), (0, SIZE), (4096, SIZE)] {
            for at in [at, at + SIZE] {
                if at + length > 2 * SIZE {
                    continue;
                }
                refused(region.read(at, &mut vec![0; length]), SHMKIT_E_SHRUNK, &["5000 bytes"]);
                refused(region.write(at, &vec![0; length]), SHMKIT_E_SHRUNK, &["5000 bytes"]);
                refused(region.check(at, length), SHMKIT_E_SHRUNK, &["5000 bytes"]);
                refused(region.prefault(at, length), SHMKIT_E_SHRUNK, &["5000 bytes"]);
            }
        }
        region.write(0, &[1; 4999]).unwrap();
        // What is there is there, at both its addresses.
        for at in [0, SIZE] {
            region.check(at, 1).unwrap();
            region.check(at + 8191, 1).unwrap();
            region.check(at, 8192).unwrap();
            assert_eq!(region.bytes(at + 4998, 2).unwrap(), [1, 0]);
            assert_eq!(region.bytes(at, 8192).unwrap().len(), 8192);
            region.prefault(at, 8192).unwrap();
        }
        for at in [8192, SIZE + 8192] {
            let end = end_of(|| drop(peek(&region, at).to_string()));
            assert_eq!(end, End::Signal(libc::SIGBUS), "the raw pointer dies where checked access says so");
        }
        file.set_len(SIZE as u64).unwrap();
        assert_eq!(region.bytes(SIZE + 8192, 8192).unwrap(), [0; 8192], "regrown, it is zeros");
        region.write(SIZE - 1, b"xy").unwrap();
    }
    D::posix_unlink(name.as_str()).unwrap();
}

/// Two mappings are made of it, and both end.
fn nothing_stays_mapped<D: Door>() {
    for size in [4096, 6 << 20] {
        let before = mappings().len();
        let region = D::create("ring", size, &with(Flags::MIRROR | Flags::NO_RESERVE)).unwrap();
        let inside = |row: &String| {
            let start = usize::from_str_radix(row.split_once('-').unwrap().0, 16).unwrap();
            (0..2 * size).contains(&start.wrapping_sub(region.data() as usize))
        };
        assert_eq!(mappings().iter().filter(|row| inside(row)).count(), 2);
        let second = region.data().wrapping_add(size);
        region.close().unwrap();
        assert_eq!(mappings().len(), before);
        assert_eq!(unsafe { libc::msync(second.cast(), 4096, libc::MS_ASYNC) }, -1);
        assert_eq!(errno(), ENOMEM);
    }
}

fn neither_half_is_for_more_than_it_was_opened_for<D: Door>() {
    const SIZE: usize = 8192;
    let store = |region: &D::Region, at: usize| end_of(|| poke(region, at, 1));
    let reader = D::create("ring", SIZE, &with(Flags::MIRROR | Flags::READ_ONLY)).unwrap();
    let mine = D::create("ring", SIZE, &with(Flags::MIRROR | Flags::NO_FORK)).unwrap();
    for at in [0, SIZE - 1, SIZE, 2 * SIZE - 1] {
        fails(reader.write(at, b"x"), libc::EACCES, &[]);
        assert_eq!(store(&reader, at), End::Signal(libc::SIGSEGV), "for reading");
        assert_eq!(store(&mine, at), End::Signal(libc::SIGSEGV), "not for children");
        poke(&mine, at, 1);
    }
    fails(reader.protect(SIZE, SIZE, SHMKIT_RIGHTS_READ_WRITE), libc::EACCES, &[]);
    let ours = D::create("ring", SIZE, &mirror()).unwrap();
    fork(|| ours.write(SIZE - 1, b"xy").unwrap()).join();
    assert_eq!((peek(&ours, SIZE - 1), peek(&ours, 0)), (b'x', b'y'));
}

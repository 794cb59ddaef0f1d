//! Growth in place: nothing moves, peers follow, nobody loses a byte, and what cannot be had is refused whole.

use std::os::fd::AsRawFd;

use libc::{EACCES, EFBIG, EINVAL, EOPNOTSUPP, EPERM, ERANGE};

use crate::door::*;
use crate::support::*;

pairs! {
    a_peer_follows_with_one_call,
    a_receiver_caps_what_it_follows,
    a_receiver_passes_it_on,
    a_region_sealed_against_growing_goes_on_otherwise,
    a_peer_that_makes_it_enormous_does_no_harm,
}

scenarios! {
    growing_moves_nothing,
    bounds_of_growing,
    what_is_not_growable,
    options_that_do_not_go_together,
    openers_follow_a_name,
    what_is_found_can_be_followed,
    a_file_truncated_beneath_is_shrunk_and_grows_again,
}

pub const MOST: usize = 1 << 20;

fn byte(at: *mut u8) -> u8 {
    unsafe { at.read_volatile() }
}

pub fn capped(size_max: usize) -> Options {
    Options { size_max: size_max as u64, ..plain() }
}

/// The object's size in bytes, whatever the region says.
pub fn object<H: Handle>(region: &H) -> usize {
    stat(&region.fd().unwrap()).st_size as usize
}

/// Growable regions of 5000 bytes, of each kind that there is, one of them a window of its object.
pub fn growables<D: Door>(place: &Directory, name: &PosixName, options: &Options) -> [D::Region; 5] {
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
            assert!(region.follow().unwrap(), "larger");
            assert_eq!((region.size(), region.data()), (20_000, start), "in its place");
            assert_eq!((byte(last), byte(start.wrapping_add(19_999))), (b'<', b'!'));
            assert_eq!(region.bytes(5000, 14_999).unwrap(), [0; 14_999], "new bytes are zeros");
            assert!(!region.follow().unwrap(), "nothing new");
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
        for size in [0, 1, 4096, 4999, 5000] {
            region.grow(size).unwrap();
        }
        for size in [100_001, 102_400, 1 << 32, 1 << 62, i64::MAX as usize, usize::MAX - 4095, usize::MAX] {
            fails(region.grow(size), EFBIG, &[&format!("to {size} bytes"), "100000"]);
        }
        assert_eq!((region.size(), object(&region)), (5000, before));
        region.grow(100_000).unwrap();
        region.grow(99_999).unwrap();
        assert_eq!(region.size(), 100_000);
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
        region.grow(20_001).unwrap();
        assert!(!region.follow().unwrap());
        assert_eq!(region.bytes(0, 20_001).unwrap(), [0; 20_001]);
        file.set_len(100).unwrap();
        region.grow(30_000).unwrap();
        region.write(29_999, &[1]).unwrap();
        assert_eq!((region.size(), file.metadata().unwrap().len()), (30_000, 30_000));
        assert!(stat(&file).st_blocks * 512 >= 30_000, "what was taken away is reserved again");
    }
    D::posix_unlink(name.as_str()).unwrap();
}

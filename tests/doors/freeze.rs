//! Frozen regions: nobody writes any more, and the pointers go on reading.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use libc::{EACCES, EBUSY, EOPNOTSUPP, EPERM};

use crate::attack::{attack, pattern, SIZE};
use crate::door::*;
use crate::support::*;

pairs! {
    a_frozen_region_is_received_for_reading,
    a_frozen_region_of_every_shape_is_sent,
    a_peer_that_has_it_mapped_keeps_it_writable,
}

scenarios! {
    its_content_and_its_pointers_stay,
    a_child_s_mapping_keeps_it_writable,
    what_is_sealed_against_seals_stays_writable,
    what_is_published_cannot_be_frozen_and_stays_writable,
    what_was_sealed_before_is_no_trap_after_a_failure,
    flags_stay_and_what_was_done_to_pages_does_not,
    only_memfds_are_frozen,
    a_frozen_region_cannot_shrink_any_more,
    a_descriptor_for_reading_freezes_nothing,
}

const FROZEN: u32 = SHMKIT_SEAL_WRITE | SHMKIT_SEAL_SHRINK | SHMKIT_SEAL_GROW;

/// A store by the pointer, in a child.
fn store(region: &impl Handle, at: usize) -> End {
    end_of(|| unsafe { region.data().add(at).write_volatile(1) })
}

/// Reads on by its pointers, and is written by nobody.
fn is_frozen(region: &impl Handle, reach: usize, content: &[u8]) {
    let size = region.size();
    assert_eq!(region.seals().unwrap() & FROZEN, FROZEN);
    for at in [0, 1, size - 1, reach - 1] {
        assert_eq!(unsafe { region.data().add(at).read_volatile() }, content[at % size]);
        fails(region.write(at, b"x"), EACCES, &[]);
        assert_eq!(store(region, at), End::Signal(libc::SIGSEGV));
    }
    assert!(region.bytes(0, size).unwrap() == content);
    fails(region.protect(0, size, SHMKIT_RIGHTS_READ_WRITE), EACCES, &[]);
    let fd = region.fd().unwrap();
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    for rights in [rights, libc::PROT_WRITE] {
        let at = unsafe { libc::mmap(std::ptr::null_mut(), 4096, rights, libc::MAP_SHARED, fd, 0) };
        assert_eq!(at, libc::MAP_FAILED);
        assert_eq!(errno(), EPERM);
    }
    assert_eq!(unsafe { libc::pwrite(fd, c"x".as_ptr().cast(), 1, 0) }, -1);
    for size in [0, size as i64 + 1] {
        assert_eq!(unsafe { libc::ftruncate(fd, size) }, -1);
    }
}

fn shapes<D: Door>() -> Vec<(D::Region, usize)> {
    let window = D::create("object", 2 * 4096 + 5000, &plain()).unwrap();
    let window = D::from_fd(window.fd().unwrap(), 0, &Options { offset: 8192, ..plain() }).unwrap();
    let grown = D::create("grown", 5000, &growing(1 << 20)).unwrap();
    grown.grow(20_000).unwrap();
    vec![
        (D::create("plain", SIZE, &plain()).unwrap(), SIZE),
        (D::create("odd", 5000, &plain()).unwrap(), 5000),
        (D::create("large", 4 << 20, &plain()).unwrap(), 4 << 20),
        (D::create("ring", SIZE, &with(Flags::MIRROR)).unwrap(), 2 * SIZE),
        (D::create("large ring", 2 << 20, &with(Flags::MIRROR)).unwrap(), 4 << 20),
        (grown, 20_000),
        (D::create("unsealed", SIZE, &Options { seals: Some(Seals::empty()), ..plain() }).unwrap(), SIZE),
        (window, 5000),
    ]
}

fn its_content_and_its_pointers_stay<D: Door>() {
    for (region, reach) in shapes::<D>() {
        let (size, content) = (region.size(), pattern(region.size()));
        region.write(0, &content).unwrap();
        let start = region.data();
        for _ in 0..2 {
            region.freeze().unwrap();
            assert_eq!((region.data(), region.size()), (start, size));
            is_frozen(&region, reach, &content);
        }
        region.check(reach - 1, 1).unwrap();
        region.prefault(0, reach).unwrap();
        region.flush(0, size).unwrap();
        if region.size_max() > size {
            fails(region.grow(size + 1), EACCES, &["read-only"]);
            region.follow().unwrap();
        }
    }
    // One that was opened for reading, and one whose writes were its own.
    let reader = D::create("reader", SIZE, &with(Flags::READ_ONLY)).unwrap();
    reader.freeze().unwrap();
    is_frozen(&reader, SIZE, &[0; SIZE]);
    let private = D::create("private", SIZE, &with(Flags::PRIVATE)).unwrap();
    private.freeze().unwrap();
    assert_eq!(private.seals().unwrap() & FROZEN, FROZEN);
    fails(private.write(0, b"x"), EACCES, &[]);
}

fn a_frozen_region_is_received_for_reading<S: Door, R: Door>() {
    for kind in KINDS {
        let (one, other) = socketpair(kind);
        let receiver = fork(|| {
            let region = R::recv_region(other.as_raw_fd(), &plain(), None).unwrap();
            assert_eq!((region.size(), region.can_shrink()), (SIZE, false));
            assert!(region.bytes(0, SIZE).unwrap() == pattern(SIZE));
            fails(region.write(0, b"x"), EACCES, &[]);
            assert_eq!(store(&region, 0), End::Signal(libc::SIGSEGV));
            // However it is opened again.
            let path = format!("/proc/self/fd/{}", region.fd().unwrap());
            let again = open(path, libc::O_RDWR);
            fails(R::from_fd(again.as_raw_fd(), 0, &plain()), EPERM, &[]);
            region.freeze().unwrap();
        });
        let region = S::create("frozen", SIZE, &plain()).unwrap();
        region.write(0, &pattern(SIZE)).unwrap();
        region.freeze().unwrap();
        S::send_region(one.as_raw_fd(), &region, None).unwrap();
        receiver.join();
        assert!(region.bytes(0, SIZE).unwrap() == pattern(SIZE));
    }
}

fn a_frozen_region_of_every_shape_is_sent<S: Door, R: Door>() {
    for (region, _) in shapes::<S>() {
        let (one, other) = socketpair(libc::SOCK_SEQPACKET);
        region.write(0, &pattern(region.size())).unwrap();
        region.freeze().unwrap();
        S::send_region(one.as_raw_fd(), &region, None).unwrap();
        let arrived = R::recv_region(other.as_raw_fd(), &Options { size_max: 8 << 20, ..plain() }, None);
        let arrived = arrived.unwrap();
        assert!(arrived.bytes(0, region.size()).unwrap() == pattern(region.size()));
        fails(arrived.write(0, b"x"), EACCES, &[]);
    }
    // Published ones are attacked by a descriptor of the creator's; the frozen have the same seals, but SEAL.
    let region = S::create("frozen", SIZE, &plain()).unwrap();
    region.freeze().unwrap();
    region.seal(SHMKIT_SEAL_SEAL).unwrap();
    let (one, other) = socketpair(libc::SOCK_SEQPACKET);
    S::send_region(one.as_raw_fd(), &region, None).unwrap();
    attack(&R::recv_region(other.as_raw_fd(), &plain(), None).unwrap(), false);
}

/// As before: to be written, by the pointer too, and shared with whoever has it.
fn is_writable<H: Handle>(region: &H, reach: usize, peer: &impl Handle) {
    for (at, byte) in [(0, b'a'), (reach - 1, b'z')] {
        region.write(at, &[byte]).unwrap();
        assert_eq!(peer.bytes(at % region.size(), 1).unwrap(), [byte]);
        assert_eq!(store(region, at), End::Exit(0), "by a child");
        assert_eq!(peer.bytes(at % region.size(), 1).unwrap(), [1]);
        unsafe { region.data().add(at).write_volatile(byte) };
        assert_eq!(peer.bytes(at % region.size(), 1).unwrap(), [byte]);
    }
}

fn a_peer_that_has_it_mapped_keeps_it_writable<S: Door, R: Door>() {
    for flags in [Flags::empty(), Flags::READ_ONLY] {
        for (region, reach) in shapes::<S>() {
            if region.can_shrink() {
                continue;
            }
            let (one, other) = socketpair(libc::SOCK_SEQPACKET);
            S::send_region(one.as_raw_fd(), &region, None).unwrap();
            let options = Options { size_max: 8 << 20, ..with(flags) };
            let peer = R::recv_region(other.as_raw_fd(), &options, None).unwrap();
            let (seals, start) = (region.seals().unwrap(), region.data());
            for _ in 0..2 {
                fails(region.freeze(), EBUSY, &[]);
                assert_eq!((region.seals().unwrap(), region.data()), (seals, start), "no seal was added");
                is_writable(&region, reach, &peer);
                peer.follow()
                    .or_else(|failure| if failure.code == -EOPNOTSUPP { Ok(()) } else { Err(failure) })
                    .unwrap();
            }
            if region.size_max() > region.size() {
                region.grow(30_000).unwrap();
                region.write(29_999, b"!").unwrap();
            }
            let content = region.bytes(0, region.size()).unwrap();
            drop(peer);
            region.freeze().unwrap();
            is_frozen(&region, reach, &content);
        }
    }
}

/// What a child has inherited is a mapping too, and goes with the child.
fn a_child_s_mapping_keeps_it_writable<D: Door>() {
    let (ready, end) = (Line::new(), Line::new());
    let region = D::create("frames", SIZE, &plain()).unwrap();
    let same = D::from_fd(region.fd().unwrap(), 0, &with(Flags::PRIVATE)).unwrap();
    let child = fork(|| {
        region.write(0, b"child").unwrap();
        ready.tell(0);
        end.hear();
        assert_eq!(region.bytes(0, 6).unwrap(), b"parent");
    });
    ready.hear();
    fails(region.freeze(), EBUSY, &["'frames'"]);
    region.write(0, b"parent").unwrap();
    end.tell(0);
    child.join();
    region.freeze().unwrap();
    assert_eq!(region.bytes(0, 6).unwrap(), b"parent");
    // A private mapping was no obstacle, and its owner's own bytes stay possible.
    same.write(0, b"mine").unwrap();
    assert_eq!(region.bytes(0, 6).unwrap(), b"parent");
}

fn what_is_sealed_against_seals_stays_writable<D: Door>() {
    for flags in [Flags::empty(), Flags::MIRROR] {
        let sealed = Options { seals: Some(Seals::DEFAULT | Seals::SEAL), ..with(flags) };
        let region = D::create("closed", SIZE, &sealed).unwrap();
        let reach = if flags.is_empty() { SIZE } else { 2 * SIZE };
        let peer = D::from_fd(region.fd().unwrap(), 0, &plain()).unwrap();
        for _ in 0..2 {
            fails(region.freeze(), EPERM, &["'closed'"]);
            is_writable(&region, reach, &peer);
        }
    }
}

/// Whoever has published goes on writing, also after a call that could not be.
fn what_is_published_cannot_be_frozen_and_stays_writable<D: Door>() {
    for (flags, reach) in [(Flags::empty(), SIZE), (Flags::MIRROR, 2 * SIZE)] {
        let region = D::create("published", SIZE, &with(flags)).unwrap();
        region.publish_read_only().unwrap();
        let peer = D::from_fd(region.fd().unwrap(), 0, &with(Flags::READ_ONLY)).unwrap();
        for _ in 0..2 {
            fails(region.freeze(), EPERM, &["'published'"]);
            // Not in this process at first, which a store would end.
            assert_eq!(store(&region, reach - 1), End::Exit(0), "it was to stay writable");
            is_writable(&region, reach, &peer);
        }
    }
}

/// Where nobody can map it writable any more, a mapping that was given up to freeze it cannot be had again. It may be
/// for reading alone then; it is no trap.
fn what_was_sealed_before_is_no_trap_after_a_failure<D: Door>() {
    let seals = Some(Seals::DEFAULT | Seals::FUTURE_WRITE);
    let region = D::create("frames", SIZE, &Options { seals, ..plain() }).unwrap();
    region.write(0, b"parent").unwrap();
    let (ready, end) = (Line::new(), Line::new());
    let child = fork(|| {
        ready.tell(0);
        end.hear();
        region.write(0, b"child!").unwrap();
    });
    ready.hear();
    fails(region.freeze(), EBUSY, &["'frames'"]);
    let stays = end_of(|| match region.write(SIZE - 1, b"x") {
        Ok(()) => assert_eq!(store(&region, SIZE - 1), End::Exit(0)),
        refused => fails(refused, EACCES, &[]),
    });
    assert_eq!(stays, End::Exit(0));
    assert_eq!(region.bytes(0, 6).unwrap(), b"parent");
    end.tell(0);
    child.join();
    assert_eq!(region.bytes(0, 6).unwrap(), b"child!", "it is shared as before");
    region.freeze().unwrap();
    assert_eq!(region.bytes(0, 6).unwrap(), b"child!");
}

fn flags_stay_and_what_was_done_to_pages_does_not<D: Door>() {
    let look = |region: &D::Region| end_of(|| drop(unsafe { region.data().read_volatile() }.to_string()));
    let region = D::create("mine", SIZE, &with(Flags::NO_FORK)).unwrap();
    region.write(0, b"mine").unwrap();
    let peer = D::from_fd(region.fd().unwrap(), 0, &plain()).unwrap();
    fails(region.freeze(), EBUSY, &[]);
    assert_eq!(look(&region), End::Signal(libc::SIGSEGV), "not for children, after a failure too");
    drop(peer);
    region.freeze().unwrap();
    assert_eq!(region.bytes(0, 4).unwrap(), b"mine");
    assert_eq!(look(&region), End::Signal(libc::SIGSEGV));

    let region = D::create("protected", SIZE, &plain()).unwrap();
    region.write(0, b"hidden").unwrap();
    region.protect(0, 4096, SHMKIT_RIGHTS_NONE).unwrap();
    region.freeze().unwrap();
    assert_eq!(region.bytes(0, 6).unwrap(), b"hidden");
    assert_eq!(look(&region), End::Exit(0));
    region.protect(0, 4096, SHMKIT_RIGHTS_NONE).unwrap();
    fails(region.read(0, &mut [0]), EACCES, &[]);
    region.protect(0, SIZE, SHMKIT_RIGHTS_READ).unwrap();
    fails(region.write(0, b"x"), EACCES, &[]);
}

fn only_memfds_are_frozen<D: Door>() {
    let _ = (own_dev_shm("size=4m"), own_ipc());
    let (place, name) = (Directory::new(), PosixName::new());
    let object = D::posix_create(name.as_str(), SIZE, &plain()).unwrap();
    let same = D::from_fd(object.fd().unwrap(), 0, &plain()).unwrap();
    for (region, says) in [
        (D::file_create(&place.file("block"), SIZE, &plain()).unwrap(), "/block"),
        (object, name.as_str()),
        (same, "descriptor"),
        (D::anon_create(SIZE, &plain()).unwrap(), "anonymous"),
        (D::sysv_create(0, SIZE, &with(Flags::AUTO_REMOVE)).unwrap(), "System V"),
    ] {
        fails(region.freeze(), EOPNOTSUPP, &["freeze", says]);
        region.write(0, b"x").unwrap();
    }
    D::posix_unlink(name.as_str()).unwrap();
}

fn a_frozen_region_cannot_shrink_any_more<D: Door>() {
    let region = D::create("open", SIZE, &Options { seals: Some(Seals::empty()), ..plain() }).unwrap();
    region.write(0, &pattern(SIZE)).unwrap();
    assert!(region.can_shrink());
    region.freeze().unwrap();
    assert!(!region.can_shrink());
    assert!(region.bytes(0, SIZE).unwrap() == pattern(SIZE));
    // Too late for what is gone already.
    let region = D::create("cut", SIZE, &Options { seals: Some(Seals::empty()), ..plain() }).unwrap();
    good(unsafe { libc::ftruncate(region.fd().unwrap(), 100) });
    region.freeze().unwrap();
    assert!(region.can_shrink());
    refused(region.read(4096, &mut [0]), SHMKIT_E_SHRUNK, &["100 bytes"]);
}

fn a_descriptor_for_reading_freezes_nothing<D: Door>() {
    let region = D::create("frames", SIZE, &plain()).unwrap();
    region.write(0, b"here").unwrap();
    let path = c(&format!("/proc/self/fd/{}", region.fd().unwrap()));
    let fd =
        unsafe { OwnedFd::from_raw_fd(good(libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC))) };
    let reader = D::from_fd(fd.as_raw_fd(), 0, &with(Flags::READ_ONLY)).unwrap();
    fails(reader.freeze(), EPERM, &[]);
    assert_eq!(reader.bytes(0, 4).unwrap(), b"here");
    region.write(0, b"more").unwrap();
    assert_eq!(reader.bytes(0, 4).unwrap(), b"more");
}

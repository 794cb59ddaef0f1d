//! Published regions: one process writes, through the mapping that it has, and nobody else by any way.

use std::os::fd::AsRawFd;

use libc::{EACCES, EBADF, EBUSY, EOPNOTSUPP, EPERM};

use crate::attack::*;
use crate::door::*;
use crate::support::*;

pairs! {
    a_receiver_writes_by_no_way,
    a_stranger_writes_by_no_way,
    a_published_region_goes_on_growing,
    what_is_published_can_be_passed_on,
    a_published_mirror_is_written_by_its_creator,
}

scenarios! {
    what_was_sent_writable_is_busy,
    what_was_sent_at_a_risk_is_busy,
    whose_descriptor_was_asked_for_is_busy,
    what_a_child_may_have_is_busy,
    what_came_from_elsewhere_is_busy,
    publishing_again_is_no_error,
    only_memfds_are_published,
    what_is_sealed_against_seals_stays_as_it_is,
    what_was_sealed_from_the_start_may_be_given_out_first,
    seals_and_modes_of_all_sorts,
    a_thread_that_gives_it_out_meanwhile_is_noticed: 20,
}

const DEFAULT: u32 = SHMKIT_SEAL_SHRINK | SHMKIT_SEAL_GROW | SHMKIT_SEAL_EXEC;
const PUBLISHED: u32 = DEFAULT | SHMKIT_SEAL_FUTURE_WRITE | SHMKIT_SEAL_SEAL;
/// Publishes, and lets a process that was there before do its worst.
fn published_to<S: Door, R: Door>(options: &Options, fork: impl Fn(&dyn Fn()) -> Result<Child, String>) {
    let (one, other) = socketpair(libc::SOCK_SEQPACKET);
    let (here, there) = (Line::new(), Line::new());
    let receiver = fork(&|| {
        let region = R::recv_region(other.as_raw_fd(), &plain(), None).unwrap();
        assert_eq!((region.size(), region.can_shrink()), (SIZE, false));
        assert!(region.bytes(0, SIZE).unwrap() == pattern(SIZE));
        attack(&region, false);
        assert!(region.bytes(0, SIZE).unwrap() == pattern(SIZE));
        there.tell(0);
        here.hear();
        assert_eq!(region.bytes(4090, 10).unwrap(), b"and again!");
        assert_eq!(region.seals().unwrap() & PUBLISHED, PUBLISHED);
    });
    let receiver = match receiver {
        Ok(receiver) => receiver,
        Err(why) => return skip(why),
    };
    let region = S::create("published", SIZE, options).unwrap();
    region.write(0, b"before").unwrap();
    region.publish_read_only().unwrap();
    region.write(0, &pattern(SIZE)).unwrap();
    S::send_region(one.as_raw_fd(), &region, None).unwrap();
    there.hear();
    assert!(region.bytes(0, SIZE).unwrap() == pattern(SIZE), "unharmed");
    // The creator writes on, by its pointer too.
    region.write(4090, b"and again").unwrap();
    unsafe { region.data().add(4099).write_volatile(b'!') };
    here.tell(0);
    receiver.join();
    // Nor has the creator a way but its mapping.
    attack_descriptor(region.fd().unwrap(), false);
    region.write(0, b"still").unwrap();
}

fn a_receiver_writes_by_no_way<S: Door, R: Door>() {
    published_to::<S, R>(&plain(), |body| Ok(fork(body)));
    published_to::<S, R>(&with(Flags::NO_FORK | Flags::POPULATE), |body| Ok(fork(body)));
}

/// Whoever may open it: also where the mode lets everybody.
fn a_stranger_writes_by_no_way<S: Door, R: Door>() {
    published_to::<S, R>(&plain(), |body| fork_as_nobody(body));
}

fn a_published_region_goes_on_growing<S: Door, R: Door>() {
    let (one, other) = socketpair(libc::SOCK_SEQPACKET);
    let (here, there) = (Line::new(), Line::new());
    let receiver = fork(|| {
        let options = Options { size_max: 1 << 20, ..plain() };
        let region = R::recv_region(other.as_raw_fd(), &options, None).unwrap();
        assert_eq!((region.size(), region.size_max(), region.can_shrink()), (SIZE, 1 << 20, false));
        there.tell(0);
        here.hear();
        region.follow().unwrap();
        assert_eq!((region.size(), region.bytes(99_999, 1).unwrap()), (100_000, b"!".to_vec()));
        fails(region.grow(200_000), EACCES, &["read-only"]);
        attack(&region, true);
        // By zeros anybody makes it larger, and nobody smaller.
        good(unsafe { libc::ftruncate(region.fd().unwrap(), 150_000) });
        denied("ftruncate", unsafe { libc::ftruncate(region.fd().unwrap(), 149_999) }, &[EPERM]);
    });
    let region = S::create("published", SIZE, &growing(1 << 20)).unwrap();
    region.publish_read_only().unwrap();
    region.write(0, &pattern(SIZE)).unwrap();
    S::send_region(one.as_raw_fd(), &region, None).unwrap();
    there.hear();
    let start = region.data();
    region.grow(100_000).unwrap();
    region.write(99_999, b"!").unwrap();
    here.tell(0);
    receiver.join();
    region.follow().unwrap();
    assert_eq!((region.size(), region.data()), (150_000, start));
    assert_eq!(region.bytes(99_999, 50_001).unwrap(), [vec![b'!'], vec![0; 50_000]].concat());
    assert!(region.bytes(0, SIZE).unwrap() == pattern(SIZE));
    region.grow(1 << 20).unwrap();
    region.write((1 << 20) - 1, b"x").unwrap();
    assert_eq!(region.seals().unwrap(), PUBLISHED & !SHMKIT_SEAL_GROW);
}

/// From one to the next, read-only and without a risk.
fn what_is_published_can_be_passed_on<S: Door, R: Door>() {
    let (one, other) = socketpair(libc::SOCK_STREAM);
    let region = S::create("published", SIZE, &plain()).unwrap();
    region.publish_read_only().unwrap();
    S::send_region(one.as_raw_fd(), &region, None).unwrap();
    let second = R::recv_region(other.as_raw_fd(), &plain(), None).unwrap();
    R::send_region(other.as_raw_fd(), &second, None).unwrap();
    let third = S::recv_region(one.as_raw_fd(), &with(Flags::READ_ONLY), None).unwrap();
    region.write(7, b"seen").unwrap();
    assert_eq!((second.bytes(7, 4), third.bytes(7, 4)), (Ok(b"seen".to_vec()), Ok(b"seen".to_vec())));
    fails(third.write(0, b"x"), EACCES, &[]);
    fails(second.publish_read_only(), EBUSY, &["elsewhere"]);
}

fn a_published_mirror_is_written_by_its_creator<S: Door, R: Door>() {
    let (one, other) = socketpair(libc::SOCK_SEQPACKET);
    let region = S::create("ring", SIZE, &with(Flags::MIRROR)).unwrap();
    region.publish_read_only().unwrap();
    S::send_region(one.as_raw_fd(), &region, None).unwrap();
    let reader = R::recv_region(other.as_raw_fd(), &with(Flags::MIRROR), None).unwrap();
    region.write(SIZE - 3, b"record").unwrap();
    unsafe { region.data().add(SIZE + 3).write_volatile(b'!') };
    assert_eq!(reader.bytes(SIZE - 3, 7).unwrap(), b"record!");
    for at in [0, SIZE] {
        attack_mapping(reader.data().wrapping_add(at).cast(), SIZE);
    }
}

/// Why a region cannot be published, and that it is as it was.
#[track_caller]
fn busy<H: Handle>(region: &H, why: &str) {
    for _ in 0..2 {
        fails(region.publish_read_only(), EBUSY, &["publish", why]);
    }
    assert_eq!(region.seals().unwrap(), DEFAULT, "no seal was added");
    region.write(0, b"x").unwrap();
}

fn what_was_sent_writable_is_busy<D: Door>() {
    let sent = "with a descriptor that can write";
    for wait in [None, Some(in_ms(1000))] {
        for kind in KINDS {
            let (one, other) = socketpair(kind);
            let region = D::create("frames", SIZE, &plain()).unwrap();
            D::send_region(one.as_raw_fd(), &region, wait).unwrap();
            busy(&region, sent);
            drop(D::recv_region(other.as_raw_fd(), &plain(), None).unwrap());
            busy(&region, sent);
        }
        // Nobody can say of a failure that nothing has left.
        let (one, other) = socketpair(libc::SOCK_SEQPACKET);
        drop(other);
        let region = D::create("frames", SIZE, &plain()).unwrap();
        fails(D::send_region(one.as_raw_fd(), &region, wait), libc::EPIPE, &[]);
        busy(&region, sent);
        let region = D::create("frames", SIZE, &plain()).unwrap();
        fails(D::send_region(NEVER_OPEN, &region, wait), EBADF, &[]);
        busy(&region, sent);
    }
    let (one, _other) = socketpair(libc::SOCK_SEQPACKET);
    let full = D::create("frames", SIZE, &plain()).unwrap();
    while D::send_region(one.as_raw_fd(), &full, Some(0)).is_ok() {}
    let region = D::create("frames", SIZE, &plain()).unwrap();
    fails(D::send_region(one.as_raw_fd(), &region, Some(0)), libc::ETIMEDOUT, &[]);
    busy(&region, sent);
}

/// What was sent for reading, but without seals that keep it so: its receiver can have it writable by now.
fn what_was_sent_at_a_risk_is_busy<D: Door>() {
    let (one, other) = socketpair(libc::SOCK_SEQPACKET);
    let region = D::create("frames", SIZE, &with(Flags::READ_ONLY | Flags::RISK_REOPEN)).unwrap();
    D::send_region(one.as_raw_fd(), &region, None).unwrap();
    let arrived = D::recv_region(other.as_raw_fd(), &plain(), None).unwrap();
    let writable = map(arrived.fd().unwrap(), RW, libc::MAP_SHARED);
    assert_ne!(writable, libc::MAP_FAILED);
    let published = region.publish_read_only();
    unsafe { writable.cast::<u8>().write_volatile(b'!') };
    assert_eq!(region.bytes(0, 1).unwrap(), b"!");
    good(unsafe { libc::munmap(writable, 4096) });
    fails(published, EBUSY, &["sent"]);
}

fn whose_descriptor_was_asked_for_is_busy<D: Door>() {
    let region = D::create("frames", SIZE, &plain()).unwrap();
    region.fd().unwrap();
    busy(&region, "descriptor was given out");
}

fn what_a_child_may_have_is_busy<D: Door>() {
    // A child's descriptor too, where it has no mapping.
    for flags in [Flags::empty(), Flags::NO_FORK] {
        let region = D::create("frames", SIZE, &with(flags)).unwrap();
        fork(|| {}).join();
        busy(&region, "forked");
        // Those that are made afterwards are nobody else's.
        let region = D::create("frames", SIZE, &with(flags)).unwrap();
        region.publish_read_only().unwrap();
    }
    let region = D::create("frames", SIZE, &plain()).unwrap();
    fork(|| busy(&region, "forked")).join();
    busy(&region, "forked");
    // A program that is started instead inherits nothing.
    let region = D::create("frames", SIZE, &plain()).unwrap();
    let status = std::process::Command::new("/bin/true").status().unwrap();
    assert!(status.success());
    region.publish_read_only().unwrap();
}

fn what_came_from_elsewhere_is_busy<D: Door>() {
    let (one, other) = socketpair(libc::SOCK_SEQPACKET);
    let region = D::create("frames", SIZE, &plain()).unwrap();
    D::send_region(one.as_raw_fd(), &region, None).unwrap();
    let arrived = D::recv_region(other.as_raw_fd(), &plain(), None).unwrap();
    drop(region);
    busy(&arrived, "elsewhere");
    let again = D::from_fd(arrived.fd().unwrap(), 0, &plain()).unwrap();
    busy(&again, "elsewhere");
}

fn publishing_again_is_no_error<D: Door>() {
    let (one, other) = socketpair(libc::SOCK_SEQPACKET);
    let region = D::create("frames", SIZE, &plain()).unwrap();
    for _ in 0..3 {
        region.publish_read_only().unwrap();
        assert_eq!(region.seals().unwrap(), PUBLISHED);
    }
    // Nothing of this gives anything away any more.
    region.fd().unwrap();
    D::send_region(one.as_raw_fd(), &region, None).unwrap();
    D::recv_region(other.as_raw_fd(), &plain(), None).unwrap();
    fork(|| {}).join();
    region.publish_read_only().unwrap();
    region.write(0, b"mine").unwrap();
}

fn only_memfds_are_published<D: Door>() {
    let _ = (own_dev_shm("size=4m"), own_ipc());
    let (place, name) = (Directory::new(), PosixName::new());
    for (region, says) in [
        (D::file_create(&place.file("block"), SIZE, &plain()).unwrap(), "/block"),
        (D::posix_create(name.as_str(), SIZE, &plain()).unwrap(), name.as_str()),
        (D::anon_create(SIZE, &plain()).unwrap(), "anonymous"),
        (D::sysv_create(0, SIZE, &with(Flags::AUTO_REMOVE)).unwrap(), "System V"),
        (D::create("private", SIZE, &with(Flags::PRIVATE)).unwrap(), "private"),
    ] {
        fails(region.publish_read_only(), EOPNOTSUPP, &["publish", says]);
        region.write(0, b"x").unwrap();
    }
    D::posix_unlink(name.as_str()).unwrap();
}

fn what_is_sealed_against_seals_stays_as_it_is<D: Door>() {
    let sealed = Options { seals: Some(Seals::DEFAULT | Seals::SEAL), ..plain() };
    let region = D::create("closed", SIZE, &sealed).unwrap();
    for _ in 0..2 {
        fails(region.publish_read_only(), EPERM, &["'closed'"]);
    }
    assert_eq!(region.seals().unwrap(), DEFAULT | SHMKIT_SEAL_SEAL);
    region.write(0, b"x").unwrap();
    // It can still be sent, for writing, as it is.
    let (one, other) = socketpair(libc::SOCK_SEQPACKET);
    D::send_region(one.as_raw_fd(), &region, None).unwrap();
    D::recv_region(other.as_raw_fd(), &plain(), None).unwrap().write(0, b"y").unwrap();
    // All that is missing is there already.
    let all = Seals::from_bits(PUBLISHED).unwrap();
    let region = D::create("born so", SIZE, &Options { seals: Some(all), ..plain() }).unwrap();
    region.publish_read_only().unwrap();
    region.write(0, b"x").unwrap();
}

fn what_was_sealed_from_the_start_may_be_given_out_first<D: Door>() {
    let (one, other) = socketpair(libc::SOCK_SEQPACKET);
    let seals = Some(Seals::DEFAULT | Seals::FUTURE_WRITE);
    let region = D::create("frames", SIZE, &Options { seals, ..plain() }).unwrap();
    let fd = region.fd().unwrap();
    assert_eq!(map(fd, RW, libc::MAP_SHARED), libc::MAP_FAILED);
    D::send_region(one.as_raw_fd(), &region, None).unwrap();
    let reader = D::recv_region(other.as_raw_fd(), &plain(), None).unwrap();
    region.publish_read_only().unwrap();
    assert_eq!(region.seals().unwrap(), PUBLISHED);
    region.write(0, b"mine").unwrap();
    assert_eq!(reader.bytes(0, 4).unwrap(), b"mine");
    attack(&reader, false);
}

fn seals_and_modes_of_all_sorts<D: Door>() {
    // Whatever was left out before is sealed now.
    let open = |seals, mode, flags| {
        let options = Options { seals: Some(seals), mode, ..with(flags) };
        D::create("frames", SIZE, &options).unwrap()
    };
    for seals in [Seals::empty(), Seals::SHRINK, Seals::GROW, Seals::EXEC, Seals::SHRINK | Seals::GROW] {
        let region = open(seals, 0, Flags::empty());
        region.publish_read_only().unwrap();
        assert_eq!((region.seals().unwrap(), region.can_shrink()), (PUBLISHED, false));
        region.write(SIZE - 1, b"x").unwrap();
        attack_descriptor(region.fd().unwrap(), false);
    }
    // Sealed against execution, a file that is executable could be written by nobody.
    let region = open(Seals::SHRINK, 0o700, Flags::empty());
    region.publish_read_only().unwrap();
    assert_eq!(region.seals().unwrap(), PUBLISHED & !SHMKIT_SEAL_EXEC);
    region.write(SIZE - 1, b"x").unwrap();
    attack_descriptor(region.fd().unwrap(), false);
    // For reading alone, for everybody: it can be sent without a risk then.
    let (one, other) = socketpair(libc::SOCK_SEQPACKET);
    let region = open(Seals::DEFAULT, 0, Flags::READ_ONLY);
    refused(D::send_region(one.as_raw_fd(), &region, None), SHMKIT_E_UNENFORCEABLE, &[]);
    region.publish_read_only().unwrap();
    D::send_region(one.as_raw_fd(), &region, None).unwrap();
    attack(&D::recv_region(other.as_raw_fd(), &plain(), None).unwrap(), false);
}

/// Either the descriptor came first, and publishing is refused; or it came too late to be mapped writable.
fn a_thread_that_gives_it_out_meanwhile_is_noticed<D: Door>() {
    for round in 0..400 {
        let region = D::create("frames", SIZE, &plain()).unwrap();
        let all = std::sync::Barrier::new(2);
        let (mapped, answer) = std::thread::scope(|scope| {
            let mapped = scope.spawn(|| {
                all.wait();
                (0..round % 20).for_each(|_| std::hint::spin_loop());
                let at = map(region.fd().unwrap(), RW, libc::MAP_SHARED);
                let mapped = at != libc::MAP_FAILED;
                if mapped {
                    good(unsafe { libc::munmap(at, 4096) });
                }
                mapped
            });
            all.wait();
            let answer = region.publish_read_only();
            (mapped.join().unwrap(), answer)
        });
        match answer {
            Ok(()) => assert!(!mapped, "published, and yet mapped writable by another"),
            refused => fails(refused, EBUSY, &["descriptor was given out"]),
        }
    }
}

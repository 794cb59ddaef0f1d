//! Published regions: one process writes, through the mapping that it has, and nobody else by any way.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::null_mut;

use libc::{c_void, EACCES, EBADF, EBUSY, EINVAL, EIO, EOPNOTSUPP, EPERM};

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

pub const SIZE: usize = 3 * 4096;
const DEFAULT: u32 = SHMKIT_SEAL_SHRINK | SHMKIT_SEAL_GROW | SHMKIT_SEAL_EXEC;
const PUBLISHED: u32 = DEFAULT | SHMKIT_SEAL_FUTURE_WRITE | SHMKIT_SEAL_SEAL;
const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;

pub fn pattern(size: usize) -> Vec<u8> {
    let mut bytes = (1..=251).collect::<Vec<u8>>().repeat(size.div_ceil(251));
    bytes.truncate(size);
    bytes
}

/// A system call that has to fail, with one of these.
#[track_caller]
fn denied(what: &str, result: impl Into<i64>, errnos: &[i32]) {
    assert_eq!(result.into(), -1, "{what} was allowed");
    assert!(errnos.contains(&errno()), "{what}: {}", std::io::Error::last_os_error());
}

fn map(fd: RawFd, rights: i32, flags: i32) -> *mut c_void {
    unsafe { libc::mmap(null_mut(), 4096, rights, flags, fd, 0) }
}

fn reopen(fd: RawFd, flags: i32) -> RawFd {
    let path = c(&format!("/proc/self/fd/{fd}"));
    unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC) }
}

/// All that can be done with a descriptor.
fn attack_descriptor(fd: RawFd, grows: bool) {
    let bytes = [0xffu8; 64];
    let from = bytes.as_ptr().cast::<c_void>();
    let vector = libc::iovec { iov_base: from.cast_mut(), iov_len: 64 };
    let own = raw_memfd(&bytes);
    let pipe = Line::new();
    pipe.tell(-1);
    // What has no rights to write is EBADF, and what only appends EINVAL, before anybody looks at the seals.
    let no = &[EPERM, EBADF, EINVAL];
    unsafe {
        denied("write", libc::write(fd, from, 64) as i64, no);
        denied("pwrite", libc::pwrite(fd, from, 64, 4096) as i64, no);
        denied("pwritev", libc::pwritev(fd, &vector, 1, 0) as i64, no);
        denied("sendfile", libc::sendfile(fd, own.as_raw_fd(), &mut 0, 64) as i64, no);
        let copied = libc::copy_file_range(own.as_raw_fd(), &mut 0, fd, &mut 0, 64, 0);
        denied("copy_file_range", copied as i64, no);
        denied("splice", libc::splice(pipe.reader(), null_mut(), fd, &mut 0, 8, 0) as i64, no);
        for size in [0, 1, SIZE as i64 - 1] {
            denied("ftruncate", libc::ftruncate(fd, size), &[EPERM, EINVAL]);
        }
        if !grows {
            denied("ftruncate, larger", libc::ftruncate(fd, 1 << 20), &[EPERM, EINVAL]);
            denied("fallocate", libc::fallocate(fd, 0, 0, 1 << 20), no);
        }
        for mode in [
            libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE,
            libc::FALLOC_FL_ZERO_RANGE,
            libc::FALLOC_FL_COLLAPSE_RANGE,
            libc::FALLOC_FL_INSERT_RANGE,
        ] {
            denied("fallocate", libc::fallocate(fd, mode, 0, 4096), &[EPERM, EBADF, EOPNOTSUPP]);
        }
        for seals in [SHMKIT_SEAL_WRITE, SHMKIT_SEAL_GROW, SHMKIT_SEAL_SEAL, SHMKIT_SEAL_FUTURE_WRITE] {
            denied("F_ADD_SEALS", libc::fcntl(fd, libc::F_ADD_SEALS, seals), &[EPERM]);
        }
    }
    for (rights, flags) in [
        (RW, libc::MAP_SHARED),
        (libc::PROT_WRITE, libc::MAP_SHARED),
        (RW | libc::PROT_EXEC, libc::MAP_SHARED),
        (RW, libc::MAP_SHARED_VALIDATE),
    ] {
        assert_eq!(map(fd, rights, flags), libc::MAP_FAILED, "a writable mapping");
        assert!([EPERM, EACCES].contains(&errno()));
    }
    // For reading it maps, and that is all that it ever becomes.
    let read = map(fd, libc::PROT_READ, libc::MAP_SHARED);
    assert_ne!(read, libc::MAP_FAILED);
    attack_mapping(read, 4096);
    good(unsafe { libc::munmap(read, 4096) });
    let private = map(fd, RW, libc::MAP_PRIVATE);
    assert_ne!(private, libc::MAP_FAILED);
    unsafe {
        private.cast::<u8>().write_volatile(0xff);
        good(libc::munmap(private, 4096));
    }
}

/// A shared mapping for reading.
fn attack_mapping(at: *mut c_void, length: usize) {
    let bytes = [0xffu8; 16];
    unsafe {
        for rights in [RW, libc::PROT_WRITE, RW | libc::PROT_EXEC] {
            denied("mprotect", libc::mprotect(at, length, rights), &[EACCES]);
        }
        denied("MADV_REMOVE", libc::madvise(at, length, libc::MADV_REMOVE), &[EACCES]);
        denied("MADV_POPULATE_WRITE", libc::madvise(at, length, libc::MADV_POPULATE_WRITE), &[EINVAL]);
        let clone = libc::mremap(at, 0, length, libc::MREMAP_MAYMOVE);
        assert_ne!(clone, libc::MAP_FAILED);
        denied("mprotect of a clone", libc::mprotect(clone, length, RW), &[EACCES]);
        good(libc::munmap(clone, length));
        // What a debugger would do to its own.
        let mem = open("/proc/self/mem", libc::O_RDWR);
        let wrote = libc::pwrite(mem.as_raw_fd(), bytes.as_ptr().cast(), 16, at as i64);
        denied("/proc/self/mem", wrote as i64, &[EIO, libc::EFAULT]);
        let local = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: 16 };
        let remote = libc::iovec { iov_base: at, iov_len: 16 };
        let wrote = libc::process_vm_writev(libc::getpid(), &local, 1, &remote, 1, 0);
        denied("process_vm_writev", wrote as i64, &[libc::EFAULT]);
    }
    assert_eq!(end_of(|| unsafe { at.cast::<u8>().write_volatile(1) }), End::Signal(libc::SIGSEGV));
}

/// All that a process that has received a region can do to write to it.
pub fn attack<H: Handle>(region: &H, grows: bool) {
    let size = region.size();
    fails(region.write(0, b"x"), EACCES, &[]);
    fails(region.write(size - 1, b"x"), EACCES, &[]);
    fails(region.protect(0, size, SHMKIT_RIGHTS_READ_WRITE), EACCES, &[]);
    let fd = region.fd().unwrap();
    attack_mapping(region.data().cast(), size);
    attack_descriptor(fd, grows);
    let stranger = unsafe { libc::geteuid() } != 0;
    if stranger {
        for flags in [libc::O_RDWR, libc::O_WRONLY, libc::O_RDONLY] {
            denied("opening it again", reopen(fd, flags), &[EACCES]);
        }
        denied("fchmod", unsafe { libc::fchmod(fd, 0o666) }, &[EPERM]);
        return;
    }
    // The same user opens it again, and may widen its mode, which is no boundary; the seals are.
    denied("fchmod to an executable", unsafe { libc::fchmod(fd, 0o777) }, &[EPERM]);
    good(unsafe { libc::fchmod(fd, 0o666) });
    for flags in [libc::O_RDWR, libc::O_WRONLY, libc::O_RDWR | libc::O_APPEND] {
        let again = unsafe { OwnedFd::from_raw_fd(good(reopen(fd, flags))) };
        if flags & libc::O_ACCMODE == libc::O_RDWR {
            attack_descriptor(again.as_raw_fd(), grows);
        }
        denied("write", unsafe { libc::write(again.as_raw_fd(), c"x".as_ptr().cast(), 1) } as i64, &[EPERM]);
    }
    denied("O_TRUNC", reopen(fd, libc::O_RDWR | libc::O_TRUNC), &[EPERM]);
    let row = format!("{:x}-", region.data() as usize);
    let row = mappings().into_iter().find(|line| line.starts_with(&row)).unwrap();
    let path = format!("/proc/self/map_files/{}", row.split_whitespace().next().unwrap());
    let again = unsafe { libc::open(c(&path).as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
    if again != -1 {
        let again = unsafe { OwnedFd::from_raw_fd(again) };
        attack_descriptor(again.as_raw_fd(), grows);
    }
}

pub fn raw_memfd(bytes: &[u8]) -> OwnedFd {
    unsafe {
        let fd = OwnedFd::from_raw_fd(good(libc::memfd_create(c"raw".as_ptr(), libc::MFD_CLOEXEC)));
        assert_eq!(libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()), bytes.len() as isize);
        fd
    }
}

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
    let sent = "sent with the right to write";
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
    let (mut busy, mut published) = (0, 0);
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
            Ok(()) => {
                assert!(!mapped, "published, and yet mapped writable by another");
                published += 1;
            }
            refused => {
                fails(refused, EBUSY, &["descriptor was given out"]);
                busy += 1;
            }
        }
    }
    assert!(busy + published == 400);
}

//! Memory files and their seals: what they keep others from, and what they do not.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt;

use libc::{EACCES, EBADF, EBUSY, EINVAL, EOPNOTSUPP, EPERM};

use crate::door::*;
use crate::support::*;

scenarios! {
    safe_by_default,
    names_have_249_bytes,
    seals_are_as_asked_for,
    unknown_seals_and_flags_are_einval,
    without_shrink_a_peer_can_take_the_memory,
    with_shrink_a_peer_can_still_punch_holes,
    write_is_ebusy_while_a_mapping_lives_and_adds_nothing,
    write_alone_lets_a_peer_truncate,
    future_write_keeps_others_from_writing,
    after_seal_nothing_is_added,
    exec_on_an_executable_file_seals_writing_too,
    seals_belong_to_the_object,
    a_read_only_descriptor_seals_nothing,
    a_read_only_descriptor_is_no_boundary,
    a_memfd_without_sealing_says_so,
    only_memfds_can_be_sealed,
    secret_memory_is_not_sealed,
    huge_pages_are_refused,
}

const DEFAULT: u32 = SHMKIT_SEAL_SHRINK | SHMKIT_SEAL_GROW | SHMKIT_SEAL_EXEC;

/// memfd_create(2), as another program does it.
fn raw_memfd(size: i64, flags: u32) -> OwnedFd {
    unsafe {
        let fd = OwnedFd::from_raw_fd(good(libc::memfd_create(c"raw".as_ptr(), flags | libc::MFD_CLOEXEC)));
        good(libc::ftruncate(fd.as_raw_fd(), size));
        fd
    }
}

fn raw_seals(fd: RawFd) -> u32 {
    good(unsafe { libc::fcntl(fd, libc::F_GET_SEALS) }) as u32
}

fn raw_seal(fd: RawFd, seals: u32) {
    good(unsafe { libc::fcntl(fd, libc::F_ADD_SEALS, seals) });
}

/// The errno of ftruncate.
fn resize(fd: RawFd, size: i64) -> i32 {
    if unsafe { libc::ftruncate(fd, size) } == 0 {
        0
    } else {
        errno()
    }
}

/// The same file once more.
fn reopen(fd: RawFd, flags: i32) -> OwnedFd {
    open(format!("/proc/self/fd/{fd}"), flags)
}

fn safe_by_default<D: Door>() {
    let region = D::create("frames", 5000, &plain()).unwrap();
    let fd = region.fd().unwrap();
    assert_eq!((region.kind(), region.size()), (SHMKIT_KIND_MEMFD, 5000));
    assert_eq!(region.name().as_deref(), Some("frames"));
    assert!(!region.can_shrink());
    assert_eq!((region.seals().unwrap(), raw_seals(fd)), (DEFAULT, DEFAULT));
    assert_eq!([resize(fd, 0), resize(fd, 4999), resize(fd, 5001)], [EPERM; 3]);
    let metadata = std::fs::metadata(format!("/proc/self/fd/{fd}")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    assert_eq!(good(unsafe { libc::fcntl(fd, libc::F_GETFD) }), libc::FD_CLOEXEC);
    assert!(std::os::unix::fs::MetadataExt::blocks(&metadata) * 512 >= 5000, "reserved");
    let line = mappings().into_iter().find(|line| line.contains("/memfd:frames")).unwrap();
    assert_eq!(line.split_whitespace().nth(1), Some("rw-s"), "shared, and not executable");
    assert_eq!(region.bytes(0, 5000).unwrap(), [0; 5000]);
    unsafe { libc::fchmod(fd, 0o700) };
    assert_eq!(errno(), EPERM, "nobody makes it executable");
}

fn names_have_249_bytes<D: Door>() {
    for name in ["", "a", "../a/b", "ä\n", &"x".repeat(249)] {
        let region = D::create(name, 1, &plain()).unwrap();
        assert_eq!(region.name().as_deref(), Some(name));
        D::create(name, 1, &plain()).unwrap();
    }
    for length in [250, 255, 4096, 100_000] {
        let says = [&length.to_string(), "249"];
        fails(D::create(&"x".repeat(length), 1, &plain()), EINVAL, &says);
    }
}

fn seals_are_as_asked_for<D: Door>() {
    for seals in [Seals::empty(), Seals::SHRINK, Seals::GROW, Seals::all() - Seals::WRITE - Seals::EXEC] {
        let region = D::create("seals", 4096, &Options { seals: Some(seals), ..plain() }).unwrap();
        assert_eq!(region.seals().unwrap(), seals.bits());
        assert_eq!(region.can_shrink(), !seals.contains(Seals::SHRINK));
        region.write(0, b"x").unwrap();
    }
    let growable = D::create("grows", 4096, &Options { seals: Some(Seals::SHRINK), ..plain() }).unwrap();
    assert_eq!(resize(growable.fd().unwrap(), 8192), 0);
    assert_eq!(growable.size(), 4096, "the region stays as it is");
    for seals in [SHMKIT_SEAL_GROW, SHMKIT_SEAL_GROW | SHMKIT_SEAL_FUTURE_WRITE] {
        growable.seal(seals).unwrap();
    }
    assert_eq!(resize(growable.fd().unwrap(), 12288), EPERM);
    // The region's own writable mapping is in the way.
    let frozen = Options { seals: Some(Seals::WRITE | Seals::SHRINK), ..plain() };
    fails(D::create("frozen", 4096, &frozen), EBUSY, &["frozen"]);
}

fn unknown_seals_and_flags_are_einval<D: Door>() {
    let region = D::create("seals", 1, &plain()).unwrap();
    for bits in [64, 0x8000_0000, u32::MAX] {
        fails(region.seal(bits), EINVAL, &["seals"]);
    }
    assert_eq!(region.seals().unwrap(), DEFAULT);
    for (flag, name) in [
        (Flags::REPLACE, "REPLACE"),
        (Flags::OR_OPEN, "OR_OPEN"),
        (Flags::PAST_END, "PAST_END"),
        (Flags::AUTO_REMOVE, "AUTO_REMOVE"),
        (Flags::RISK_SHRINK, "RISK_SHRINK"),
        (Flags::RISK_DISK, "RISK_DISK"),
    ] {
        fails(D::create("x", 1, &with(flag)), EINVAL, &["shm_region_create", name]);
    }
    fails(D::create("x", 1, &Options { offset: 4096, ..plain() }), EINVAL, &["offset", "4096"]);
    fails(D::create("x", 0, &plain()), EINVAL, &["'x'", "0 bytes"]);
}

fn without_shrink_a_peer_can_take_the_memory<D: Door>() {
    let region = D::create("open", 8192, &Options { seals: Some(Seals::empty()), ..plain() }).unwrap();
    assert!(region.can_shrink());
    region.write(0, &[1; 8192]).unwrap();
    assert_eq!(resize(region.fd().unwrap(), 100), 0);
    refused(region.read(4096, &mut [0]), SHMKIT_E_SHRUNK, &["open", "100 bytes"]);
    refused(region.write(4096, b"x"), SHMKIT_E_SHRUNK, &["100 bytes"]);
    assert_eq!(region.bytes(99, 2).unwrap(), [1, 0]);
    region.seal(SHMKIT_SEAL_SHRINK).unwrap();
    assert_eq!(resize(region.fd().unwrap(), 99), EPERM);
    // Sealed too late: what is gone stays gone, and is no SIGBUS.
    refused(region.read(4096, &mut [0]), SHMKIT_E_SHRUNK, &["100 bytes"]);
    refused(region.write(8191, b"x"), SHMKIT_E_SHRUNK, &["100 bytes"]);

    let short = raw_memfd(100, libc::MFD_NOEXEC_SEAL);
    let region = D::from_fd(short.as_raw_fd(), 8192, &with(Flags::PAST_END)).unwrap();
    region.seal(SHMKIT_SEAL_SHRINK).unwrap();
    refused(region.read(4096, &mut [0]), SHMKIT_E_SHRUNK, &["100 bytes"]);
}

/// Data silently becomes 0, and that is all.
fn with_shrink_a_peer_can_still_punch_holes<D: Door>() {
    let region = D::create("holes", 8192, &plain()).unwrap();
    region.write(0, &[1; 8192]).unwrap();
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    good(unsafe { libc::fallocate(region.fd().unwrap(), mode, 0, 4096) });
    assert_eq!(region.bytes(4095, 2).unwrap(), [0, 1]);
    region.write(0, b"again").unwrap();
    region.seal(SHMKIT_SEAL_FUTURE_WRITE).unwrap();
    assert_eq!(unsafe { libc::fallocate(region.fd().unwrap(), mode, 0, 4096) }, -1);
    assert_eq!(errno(), EPERM);
}

fn write_is_ebusy_while_a_mapping_lives_and_adds_nothing<D: Door>() {
    let region = D::create("busy", 4096, &plain()).unwrap();
    let fd = region.fd().unwrap();
    let both = SHMKIT_SEAL_WRITE | SHMKIT_SEAL_SEAL;
    fails(region.seal(both), EBUSY, &["busy"]);
    assert_eq!(region.seals().unwrap(), DEFAULT, "a failed call adds none of its seals");
    // A read-only mapping from a read-write descriptor is in the way too: mprotect could widen it.
    let kept = unsafe { OwnedFd::from_raw_fd(good(libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0))) };
    drop(region);
    let reader = D::from_fd(kept.as_raw_fd(), 0, &with(Flags::READ_ONLY)).unwrap();
    fails(reader.seal(SHMKIT_SEAL_WRITE), EBUSY, &[]);
    drop(reader);
    // A private one is not.
    let copy = D::from_fd(kept.as_raw_fd(), 0, &with(Flags::PRIVATE)).unwrap();
    copy.seal(both).unwrap();
    assert_eq!(copy.seals().unwrap(), DEFAULT | both);
    copy.write(0, b"mine").unwrap();
    drop(copy);

    // Frozen: nobody maps it writable, reading is fine.
    fails(D::from_fd(kept.as_raw_fd(), 0, &plain()), EPERM, &[&number(&kept)]);
    let frozen = D::from_fd(kept.as_raw_fd(), 0, &with(Flags::READ_ONLY)).unwrap();
    assert_eq!(frozen.bytes(0, 4).unwrap(), [0; 4]);
    fails(frozen.write(0, b"x"), EACCES, &[]);
}

fn write_alone_lets_a_peer_truncate<D: Door>() {
    let fd = raw_memfd(4096, libc::MFD_ALLOW_SEALING | libc::MFD_NOEXEC_SEAL);
    raw_seal(fd.as_raw_fd(), SHMKIT_SEAL_WRITE);
    let region = D::from_fd(fd.as_raw_fd(), 0, &with(Flags::READ_ONLY)).unwrap();
    assert!(region.can_shrink());
    assert_eq!(resize(fd.as_raw_fd(), 0), 0);
    refused(region.read(0, &mut [0]), SHMKIT_E_SHRUNK, &["0 bytes"]);
}

fn future_write_keeps_others_from_writing<D: Door>() {
    let region = D::create("published", 4096, &plain()).unwrap();
    let fd = region.fd().unwrap();
    region.seal(SHMKIT_SEAL_FUTURE_WRITE).unwrap();
    region.write(0, b"mine goes on").unwrap();
    fails(D::from_fd(fd, 0, &plain()), EPERM, &[&number(&fd)]);
    let reader = D::from_fd(fd, 0, &with(Flags::READ_ONLY)).unwrap();
    assert_eq!(reader.bytes(0, 12).unwrap(), b"mine goes on");
    region.write(0, b"M").unwrap();
    assert_eq!(reader.bytes(0, 1).unwrap(), b"M");
    assert_eq!(unsafe { libc::pwrite(fd, c"x".as_ptr().cast(), 1, 0) }, -1);
    assert_eq!(errno(), EPERM);
    // Not even by asking for more later.
    fails(reader.protect(0, 4096, SHMKIT_RIGHTS_READ_WRITE), EACCES, &[]);
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    assert_eq!(unsafe { libc::mprotect(reader.data().cast(), 4096, rights) }, -1);
    // The holder of an old writable mapping can clone it: what was mapped before stays writable.
    let clone = unsafe { libc::mremap(region.data().cast(), 0, 4096, libc::MREMAP_MAYMOVE) };
    assert_ne!(clone, libc::MAP_FAILED);
    unsafe { clone.cast::<u8>().write_volatile(b'c') };
    assert_eq!(reader.bytes(0, 1).unwrap(), b"c");
    good(unsafe { libc::munmap(clone, 4096) });
}

fn after_seal_nothing_is_added<D: Door>() {
    let region = D::create("closed", 4096, &plain()).unwrap();
    region.seal(SHMKIT_SEAL_SEAL).unwrap();
    fails(region.seal(SHMKIT_SEAL_FUTURE_WRITE), EPERM, &["closed"]);
    fails(region.seal(SHMKIT_SEAL_SHRINK), EPERM, &["closed"]);
    assert_eq!(region.seals().unwrap(), DEFAULT | SHMKIT_SEAL_SEAL);
    region.write(0, b"x").unwrap();
    let born = Options { seals: Some(Seals::DEFAULT | Seals::SEAL), ..plain() };
    let region = D::create("born closed", 4096, &born).unwrap();
    assert_eq!(region.seals().unwrap(), DEFAULT | SHMKIT_SEAL_SEAL);
}

/// W^X: the kernel makes an executable memfd that is sealed so unwritable.
fn exec_on_an_executable_file_seals_writing_too<D: Door>() {
    let fd = raw_memfd(4096, libc::MFD_ALLOW_SEALING | libc::MFD_EXEC);
    let region = D::from_fd(fd.as_raw_fd(), 0, &with(Flags::READ_ONLY | Flags::PRIVATE)).unwrap();
    region.seal(SHMKIT_SEAL_EXEC).unwrap();
    let all = SHMKIT_SEAL_SHRINK | SHMKIT_SEAL_GROW | SHMKIT_SEAL_WRITE | SHMKIT_SEAL_FUTURE_WRITE;
    assert_eq!(region.seals().unwrap(), all | SHMKIT_SEAL_EXEC);
    // Which is why a new region with execute bits and the default seals is refused, and not frozen.
    let executable = Options { mode: 0o777, ..plain() };
    fails(D::create("tool", 4096, &executable), EINVAL, &["tool", "0o777"]);
    let unsealed = Options { mode: 0o777, seals: Some(Seals::SHRINK | Seals::GROW), ..plain() };
    D::create("tool", 4096, &unsealed).unwrap().write(0, b"x").unwrap();
}

fn seals_belong_to_the_object<D: Door>() {
    let fd = raw_memfd(4096, libc::MFD_ALLOW_SEALING | libc::MFD_NOEXEC_SEAL);
    let region = D::from_fd(fd.as_raw_fd(), 0, &plain()).unwrap();
    assert_eq!(region.kind(), SHMKIT_KIND_MEMFD);
    assert!(region.can_shrink());
    let again = reopen(fd.as_raw_fd(), libc::O_RDWR);
    let other = D::from_fd(again.as_raw_fd(), 0, &plain()).unwrap();
    other.seal(SHMKIT_SEAL_SHRINK).unwrap();
    assert_eq!(region.seals().unwrap() & SHMKIT_SEAL_SHRINK, SHMKIT_SEAL_SHRINK);
    assert_eq!(resize(fd.as_raw_fd(), 0), EPERM);
    let late = D::from_fd(fd.as_raw_fd(), 0, &plain()).unwrap();
    assert!(!late.can_shrink());
}

fn a_read_only_descriptor_seals_nothing<D: Door>() {
    let region = D::create("ro", 4096, &plain()).unwrap();
    let again = reopen(region.fd().unwrap(), libc::O_RDONLY);
    let reader = D::from_fd(again.as_raw_fd(), 0, &with(Flags::READ_ONLY)).unwrap();
    assert_eq!(reader.seals().unwrap(), DEFAULT);
    fails(reader.seal(SHMKIT_SEAL_FUTURE_WRITE), EPERM, &[]);
    assert_eq!(region.seals().unwrap(), DEFAULT);
    fails(D::from_fd(again.as_raw_fd(), 0, &plain()), EACCES, &[&number(&again)]);
}

/// Whoever has it opens it again for writing through /proc. Only seals hold.
fn a_read_only_descriptor_is_no_boundary<D: Door>() {
    let region = D::create("shown", 4096, &plain()).unwrap();
    let read_only = reopen(region.fd().unwrap(), libc::O_RDONLY);
    let widened = reopen(read_only.as_raw_fd(), libc::O_RDWR);
    D::from_fd(widened.as_raw_fd(), 0, &plain()).unwrap().write(0, b"w").unwrap();
    assert_eq!(region.bytes(0, 1).unwrap(), b"w");
    region.seal(SHMKIT_SEAL_FUTURE_WRITE).unwrap();
    let widened = reopen(read_only.as_raw_fd(), libc::O_RDWR);
    fails(D::from_fd(widened.as_raw_fd(), 0, &plain()), EPERM, &[]);
    region.write(0, b"only mine").unwrap();
}

fn a_memfd_without_sealing_says_so<D: Door>() {
    let fd = raw_memfd(4096, libc::MFD_EXEC);
    let region = D::from_fd(fd.as_raw_fd(), 0, &plain()).unwrap();
    assert_eq!(region.seals().unwrap(), SHMKIT_SEAL_SEAL);
    fails(region.seal(SHMKIT_SEAL_SHRINK), EPERM, &[]);
    assert!(region.can_shrink(), "F_SEAL_SEAL alone proves nothing");
    // MFD_NOEXEC_SEAL makes a file sealable by itself.
    let fd = raw_memfd(4096, libc::MFD_NOEXEC_SEAL);
    D::from_fd(fd.as_raw_fd(), 0, &plain()).unwrap().seal(SHMKIT_SEAL_SHRINK).unwrap();
}

fn only_memfds_can_be_sealed<D: Door>() {
    let _ = own_dev_shm("size=4m");
    let (name, directory) = (PosixName::new(), Directory::below(env!("CARGO_TARGET_TMPDIR").as_ref()));
    let object = D::posix_create(name.as_str(), 4096, &plain()).unwrap();
    assert_eq!(object.seals().unwrap(), SHMKIT_SEAL_SEAL);
    assert!(object.can_shrink());
    fails(object.seal(SHMKIT_SEAL_SHRINK), EPERM, &[name.as_str()]);
    let same = D::from_fd(object.fd().unwrap(), 0, &plain()).unwrap();
    assert_eq!((same.kind(), same.can_shrink()), (SHMKIT_KIND_DESCRIPTOR, true));
    D::posix_unlink(name.as_str()).unwrap();

    let path = directory.file("block");
    let file = D::file_create(&path, 4096, &plain()).unwrap();
    let no_seals = unsafe { libc::fcntl(file.fd().unwrap(), libc::F_GET_SEALS) } == -1;
    if no_seals {
        fails(file.seals(), EINVAL, &[]);
        fails(file.seal(SHMKIT_SEAL_SHRINK), EINVAL, &["/block"]);
    } else {
        skip("the build directory is no disk");
    }
    let memory = D::anon_create(4096, &plain()).unwrap();
    fails(memory.seals(), EOPNOTSUPP, &[]);
    fails(memory.seal(SHMKIT_SEAL_SHRINK), EOPNOTSUPP, &["anonymous"]);
    fails(memory.fd(), EOPNOTSUPP, &[]);
    fails(D::anon_create(1, &Options { seals: Some(Seals::empty()), ..plain() }), EINVAL, &["seals"]);

    let path_only = reopen(object.fd().unwrap(), libc::O_PATH);
    let number = number(&path_only);
    fails(D::from_fd(path_only.as_raw_fd(), 0, &with(Flags::READ_ONLY)), EBADF, &[&number, "O_PATH"]);
}

fn secret_memory_is_not_sealed<D: Door>() {
    let fd = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) } as RawFd;
    if fd == -1 {
        return skip(format!("memfd_secret: {}", std::io::Error::last_os_error()));
    }
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    assert_eq!(resize(fd.as_raw_fd(), 4096), 0);
    let region = D::from_fd(fd.as_raw_fd(), 0, &plain()).unwrap();
    fails(region.seals(), EINVAL, &[]);
    assert_eq!((region.kind(), region.can_shrink()), (SHMKIT_KIND_DESCRIPTOR, true));
}

/// A pool of them can run out at any touch, whatever the seals say.
fn huge_pages_are_refused<D: Door>() {
    let flags = libc::MFD_HUGETLB | libc::MFD_HUGE_2MB | libc::MFD_ALLOW_SEALING | libc::MFD_CLOEXEC;
    let fd = unsafe { libc::memfd_create(c"huge".as_ptr(), flags) };
    if fd == -1 {
        return skip(format!("huge pages: {}", std::io::Error::last_os_error()));
    }
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    assert_eq!(resize(fd.as_raw_fd(), 2 << 20), 0);
    raw_seal(fd.as_raw_fd(), SHMKIT_SEAL_SHRINK | SHMKIT_SEAL_GROW);
    fails(D::from_fd(fd.as_raw_fd(), 0, &plain()), EOPNOTSUPP, &[&number(&fd), "huge pages"]);
}

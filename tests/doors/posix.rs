//! POSIX names: which are good, what stands under them, and who comes first.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use libc::{EACCES, EEXIST, EFBIG, EINVAL, EISDIR, ELOOP, ENAMETOOLONG, ENODEV, ENOENT, ENOMEM, ENOSPC};

use crate::door::*;
use crate::support::*;

scenarios! {
    leading_slashes_are_dropped,
    bad_names_are_told_apart,
    plain_programs_see_the_same_object,
    planted_links_are_not_followed,
    planted_directories_and_pipes_are_no_objects,
    a_claimed_size_is_an_attackers_number,
    an_object_of_another_user_is_opened_first,
    a_full_dev_shm_is_enospc_at_creation,
    without_reserving_a_full_dev_shm_is_noticed_by_checked_access,
    over_the_file_size_limit_is_efbig_without_a_signal,
    the_mode_is_narrowed_by_the_umask,
    an_object_opened_for_reading_stays_so,
    contents_live_until_the_last_user,
    a_replaced_object_stays_with_its_users,
    open_or_create_tells_which,
    below_dev_shm_on_a_disk_is_refused,
    creators_race_and_one_wins: 20,
    no_opener_sees_an_unfinished_object: 20,
    a_creator_killed_at_any_point_leaves_nothing: 20,
}

/// A /dev/shm of this process's own, where that is permitted; elsewhere a name that nobody else has.
fn new_name() -> PosixName {
    let _ = own_dev_shm("size=4m,mode=1777");
    PosixName::new()
}

fn leading_slashes_are_dropped<D: Door>() {
    let name = new_name();
    let bare = &name.as_str()[1..];
    let region = D::posix_create(bare, 5000, &plain()).unwrap();
    assert_eq!((region.kind(), region.size()), (SHMKIT_KIND_POSIX, 5000));
    assert_eq!(region.name().as_deref(), Some(bare));
    region.write(0, b"here").unwrap();
    for slashes in ["", "/", "//", "///////"] {
        let found = D::posix_open(&format!("{slashes}{bare}"), &plain()).unwrap();
        assert_eq!((found.size(), found.bytes(0, 4).unwrap()), (5000, b"here".to_vec()));
        fails(D::posix_create(&format!("{slashes}{bare}"), 1, &plain()), EEXIST, &[bare]);
    }
    D::posix_unlink(&format!("//{bare}")).unwrap();

    // Names that only look strange.
    let longest = format!("{bare}{}", "x".repeat(255 - bare.len()));
    for name in [&longest, &format!("...{bare}"), &format!(".{bare}"), &format!("{bare} \n é")] {
        D::posix_create(name, 1, &plain()).unwrap();
        D::posix_open(&format!("/{name}"), &plain()).unwrap();
        D::posix_unlink(name).unwrap();
    }
}

fn bad_names_are_told_apart<D: Door>() {
    let _ = own_dev_shm("size=4m,mode=1777");
    let refuse = |name: &str, errno, says: &str| {
        fails(D::posix_create(name, 1, &plain()), errno, &[says]);
        fails(D::posix_create(name, 1, &with(Flags::OR_OPEN)), errno, &[says]);
        fails(D::posix_open(name, &plain()), errno, &[says]);
        fails(D::posix_unlink(name), errno, &[says]);
    };
    for name in ["", "/", "//", ".", "/.", "..", "/..", "/a/b", "a/b", "/a/", "a/", "/../x", "a/../x", "./x"]
    {
        refuse(name, EINVAL, &format!("'{name}'"));
    }
    for length in [256, 257, 4095, 4096, 100_000] {
        refuse(&format!("/{}", "x".repeat(length)), ENAMETOOLONG, &format!("{length} bytes, and 255"));
    }
    assert!(entries(Path::new("/dev/shm")).iter().all(|name| !name.starts_with('x')));
}

fn plain_programs_see_the_same_object<D: Door>() {
    let (ours, theirs) = (new_name(), PosixName::new());
    let region = D::posix_create(ours.as_str(), 5000, &plain()).unwrap();
    region.write(4990, b"to them").unwrap();
    unsafe {
        let fd = good(libc::shm_open(c(ours.as_str()).as_ptr(), libc::O_RDWR, 0));
        let fd = OwnedFd::from_raw_fd(fd);
        let mut text = [0; 7];
        assert_eq!(libc::pread(fd.as_raw_fd(), text.as_mut_ptr().cast(), 7, 4990), 7);
        assert_eq!(&text, b"to them");
        good(libc::shm_unlink(c(ours.as_str()).as_ptr()));
        fails(D::posix_open(ours.as_str(), &plain()), ENOENT, &[&ours.as_str()[1..]]);

        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
        let fd = OwnedFd::from_raw_fd(good(libc::shm_open(c(theirs.as_str()).as_ptr(), flags, 0o600)));
        // Between their shm_open and their ftruncate: an object without bytes.
        fails(D::posix_open(theirs.as_str(), &plain()), EINVAL, &[&theirs.as_str()[1..], "empty"]);
        good(libc::ftruncate(fd.as_raw_fd(), 300));
        let region = D::posix_open(theirs.as_str(), &plain()).unwrap();
        assert_eq!(region.size(), 300);
        region.write(299, b"!").unwrap();
        let mut byte = [0];
        assert_eq!(libc::pread(fd.as_raw_fd(), byte.as_mut_ptr().cast(), 1, 299), 1);
        assert_eq!(&byte, b"!");
        fails(
            D::posix_open(theirs.as_str(), &Options { size_min: 301, ..plain() }),
            EINVAL,
            &["300 bytes", "301"],
        );
        D::posix_unlink(theirs.as_str()).unwrap();
        fails(D::posix_unlink(theirs.as_str()), ENOENT, &[&theirs.as_str()[1..]]);
    }
}

/// A symbolic link under the name, to an object, to a file outside, to nothing.
fn planted_links_are_not_followed<D: Door>() {
    let (name, target) = (new_name(), PosixName::new());
    let directory = Directory::new();
    let outside = directory.file("outside");
    std::fs::write(&outside, "untouched").unwrap();
    let _object = D::posix_create(target.as_str(), 4096, &plain()).unwrap();
    for to in [target.path().to_str().unwrap(), &outside, "/dev/shm/nothing-is-here"] {
        std::os::unix::fs::symlink(to, name.path()).unwrap();
        let says = [&name.as_str()[1..]];
        fails(D::posix_open(name.as_str(), &plain()), ELOOP, &says);
        fails(D::posix_open(name.as_str(), &with(Flags::READ_ONLY)), ELOOP, &says);
        fails(D::posix_create(name.as_str(), 4096, &plain()), EEXIST, &says);
        fails(D::posix_create(name.as_str(), 4096, &with(Flags::OR_OPEN)), ELOOP, &says);
        // Replacing and removing mean the link, not what it leads to.
        D::posix_create(name.as_str(), 4096, &with(Flags::REPLACE)).unwrap();
        D::posix_unlink(name.as_str()).unwrap();
    }
    assert_eq!(std::fs::read(&outside).unwrap(), b"untouched");
    assert!(target.path().exists());
}

fn planted_directories_and_pipes_are_no_objects<D: Door>() {
    let name = new_name();
    let (path, says) = (c(name.path().to_str().unwrap()), [&name.as_str()[1..]]);
    for (make, remove, writing) in [
        (libc::mkdir as unsafe extern "C" fn(_, _) -> _, libc::rmdir as unsafe extern "C" fn(_) -> _, EISDIR),
        // Opened without waiting for its other end.
        (libc::mkfifo, libc::unlink, ENODEV),
    ] {
        good(unsafe { make(path.as_ptr(), 0o700) });
        fails(D::posix_open(name.as_str(), &plain()), writing, &says);
        fails(D::posix_open(name.as_str(), &with(Flags::READ_ONLY)), ENODEV, &says);
        fails(D::posix_create(name.as_str(), 1, &with(Flags::OR_OPEN)), writing, &says);
        fails(D::posix_create(name.as_str(), 1, &plain()), EEXIST, &says);
        fails(D::posix_create(name.as_str(), 1, &with(Flags::REPLACE)), ENODEV, &says);
        good(unsafe { remove(path.as_ptr()) });
    }
    let _socket = std::os::unix::net::UnixListener::bind(name.path()).unwrap();
    fails(D::posix_open(name.as_str(), &plain()), libc::ENXIO, &says);
    fails(D::posix_create(name.as_str(), 1, &with(Flags::REPLACE)), ENODEV, &says);
}

/// `ftruncate(1 << 62)` succeeds on a tmpfs.
fn a_claimed_size_is_an_attackers_number<D: Door>() {
    let name = new_name();
    let file = std::fs::File::create_new(name.path()).unwrap();
    for size in [1u64 << 62, i64::MAX as u64 - 4095, 1 << 48] {
        file.set_len(size).unwrap();
        let says = [&name.as_str()[1..], &size.to_string()];
        fails(D::posix_open(name.as_str(), &plain()), ENOMEM, &says);
        // A part of it is fine, and holds what it can.
        let part = Options { offset: (size - 1) / page() as u64 * page() as u64, ..plain() };
        let region = D::posix_open(name.as_str(), &part).unwrap();
        assert!(region.size() <= page());
        region.write(region.size() - 1, b"x").unwrap();
        assert_eq!(region.bytes(region.size() - 1, 1).unwrap(), b"x");
        drop(region);
        file.set_len(0).unwrap();
    }
}

/// In a sticky directory with fs.protected_regular, O_CREAT on another's file is EACCES even for root.
fn an_object_of_another_user_is_opened_first<D: Door>() {
    if let Err(why) = own_dev_shm("size=4m,mode=1777") {
        return skip(why);
    }
    let name = PosixName::new();
    let theirs = fork_as_nobody(|| {
        unsafe { libc::umask(0) };
        D::posix_create(name.as_str(), 4096, &Options { mode: 0o666, ..plain() }).unwrap();
    });
    match theirs {
        Ok(theirs) => theirs.join(),
        Err(why) => return skip(why),
    }
    let create =
        |path: &Path| std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(path);
    match std::fs::read_to_string("/proc/sys/fs/protected_regular").unwrap_or_default().trim() {
        "1" | "2" => assert_eq!(create(&name.path()).unwrap_err().raw_os_error(), Some(EACCES)),
        _ => skip("fs.protected_regular is off"),
    }
    let found = D::posix_create(name.as_str(), 4096, &with(Flags::OR_OPEN)).unwrap();
    assert!(!found.created());
    D::posix_unlink(name.as_str()).unwrap();
}

fn a_full_dev_shm_is_enospc_at_creation<D: Door>() {
    if let Err(why) = own_dev_shm("size=1m") {
        return skip(why);
    }
    let (name, other) = (PosixName::new(), PosixName::new());
    let says = [&name.as_str()[1..], "1048577 bytes"];
    fails(D::posix_create(name.as_str(), (1 << 20) + 1, &plain()), ENOSPC, &says);
    fails(D::posix_create(name.as_str(), 1 << 45, &plain()), ENOSPC, &[says[0], "1048576 bytes free"]);
    assert!(entries(Path::new("/dev/shm")).is_empty(), "nothing is left under the name or another");
    // Reserved: once it is made, all of it can be touched, however full it gets meanwhile.
    let region = D::posix_create(name.as_str(), 1 << 19, &plain()).unwrap();
    fails(D::posix_create(other.as_str(), (1 << 19) + 1, &plain()), ENOSPC, &[]);
    let _rest = D::posix_create(other.as_str(), 1 << 19, &plain()).unwrap();
    unsafe { region.data().write_bytes(1, region.size()) };
}

/// What a plain ftruncate makes: touching it would be SIGBUS, even for reading.
fn without_reserving_a_full_dev_shm_is_noticed_by_checked_access<D: Door>() {
    if let Err(why) = own_dev_shm("size=1m") {
        return skip(why);
    }
    let name = PosixName::new();
    let region = D::posix_create(name.as_str(), 2 << 20, &with(Flags::NO_RESERVE)).unwrap();
    region.write(0, &vec![1; 1 << 20]).unwrap();
    let says = ["1048576", "room"];
    refused(region.write(1 << 20, b"x"), SHMKIT_E_SHRUNK, &says);
    refused(region.read(1 << 20, &mut [0]), SHMKIT_E_SHRUNK, &says);
    refused(region.check(1 << 20, 1), SHMKIT_E_SHRUNK, &says);
    refused(region.prefault(0, 2 << 20), SHMKIT_E_SHRUNK, &["2097152"]);
    let end = end_of(|| unsafe { region.data().add(1 << 20).write_volatile(1) });
    assert_eq!(end, End::Signal(libc::SIGBUS));
    assert_eq!(region.bytes(0, 1).unwrap(), [1]);
    D::posix_unlink(name.as_str()).unwrap();
}

fn over_the_file_size_limit_is_efbig_without_a_signal<D: Door>() {
    let (name, directory) = (new_name(), Directory::new());
    let path = directory.file("block");
    let limit = Limit::lower(libc::RLIMIT_FSIZE, 100_000);
    for options in [plain(), with(Flags::NO_RESERVE)] {
        let says = ["100001 bytes", "RLIMIT_FSIZE is 100000"];
        fails(D::posix_create(name.as_str(), 100_001, &options), EFBIG, &says);
        fails(D::file_create(&path, 100_001, &options), EFBIG, &says);
        fails(D::create("limited", 100_001, &options), EFBIG, &says);
    }
    D::posix_create(name.as_str(), 100_000, &plain()).unwrap();
    drop(limit);
    D::posix_unlink(name.as_str()).unwrap();
    assert!(directory.entries().is_empty());
}

fn the_mode_is_narrowed_by_the_umask<D: Door>() {
    let (name, directory) = (new_name(), Directory::new());
    let path = directory.file("block");
    for (umask, mode, expected) in [
        (0o022, 0, 0o600),
        (0o022, 0o666, 0o644),
        (0o077, 0o666, 0o600),
        (0o000, 0o666, 0o666),
        (0o777, 0o666, 0),
        (0o022, 0o400, 0o400),
        (0o000, 0o777, 0o777),
    ] {
        let old = unsafe { libc::umask(umask) };
        let options = Options { mode, ..plain() };
        D::posix_create(name.as_str(), 1, &options).unwrap();
        D::file_create(&path, 1, &options).unwrap();
        unsafe { libc::umask(old) };
        for path in [&name.path(), Path::new(&path)] {
            assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o7777, expected);
            std::fs::remove_file(path).unwrap();
        }
    }
    for mode in [0o1777, 0o4600, 1 << 16] {
        let text = format!("{mode:#o}");
        fails(D::posix_create(name.as_str(), 1, &Options { mode, ..plain() }), EINVAL, &[&text]);
    }
}

fn an_object_opened_for_reading_stays_so<D: Door>() {
    let name = new_name();
    let writer = D::posix_create(name.as_str(), 4096, &plain()).unwrap();
    let reader = D::posix_open(name.as_str(), &with(Flags::READ_ONLY)).unwrap();
    let says = [&name.as_str()[1..]];
    fails(reader.write(0, b"x"), EACCES, &[]);
    fails(reader.protect(0, 4096, SHMKIT_RIGHTS_READ_WRITE), EACCES, &says);
    assert_eq!(unsafe { libc::ftruncate(reader.fd().unwrap(), 8192) }, -1, "it cannot be grown");
    fails(D::from_fd(reader.fd().unwrap(), 0, &plain()), EACCES, &[&number(&reader.fd().unwrap())]);
    D::from_fd(reader.fd().unwrap(), 0, &with(Flags::READ_ONLY)).unwrap();
    let private = D::from_fd(reader.fd().unwrap(), 0, &with(Flags::PRIVATE)).unwrap();
    private.write(0, b"mine").unwrap();
    assert_eq!(writer.bytes(0, 4).unwrap(), [0; 4]);
    let end = end_of(|| unsafe { reader.data().write_volatile(1) });
    assert_eq!(end, End::Signal(libc::SIGSEGV));
    D::posix_unlink(name.as_str()).unwrap();
}

fn contents_live_until_the_last_user<D: Door>() {
    let name = new_name();
    let first = D::posix_create(name.as_str(), 4096, &plain()).unwrap();
    first.write(0, b"first").unwrap();
    drop(first);
    let kept = D::posix_open(name.as_str(), &plain()).unwrap();
    assert_eq!(kept.bytes(0, 5).unwrap(), b"first", "without any user, under its name");
    D::posix_unlink(name.as_str()).unwrap();
    fails(D::posix_open(name.as_str(), &plain()), ENOENT, &[&name.as_str()[1..]]);
    let second = D::posix_create(name.as_str(), 4096, &plain()).unwrap();
    second.write(0, b"other").unwrap();
    assert_eq!(kept.bytes(0, 5).unwrap(), b"first");
    let by_fd = D::from_fd(kept.fd().unwrap(), 0, &plain()).unwrap();
    drop(kept);
    assert_eq!(by_fd.bytes(0, 5).unwrap(), b"first");
    D::posix_unlink(name.as_str()).unwrap();
}

fn a_replaced_object_stays_with_its_users<D: Door>() {
    let name = new_name();
    let old = D::posix_create(name.as_str(), 100, &with(Flags::REPLACE)).unwrap();
    old.write(0, b"old").unwrap();
    let new = D::posix_create(name.as_str(), 200, &with(Flags::REPLACE)).unwrap();
    assert_eq!(new.bytes(0, 3).unwrap(), [0; 3]);
    assert_eq!(old.bytes(0, 3).unwrap(), b"old");
    assert_eq!(D::posix_open(name.as_str(), &plain()).unwrap().size(), 200);
    let both = with(Flags::REPLACE | Flags::OR_OPEN);
    fails(D::posix_create(name.as_str(), 1, &both), EINVAL, &["REPLACE", "OR_OPEN"]);
    D::posix_unlink(name.as_str()).unwrap();
}

fn open_or_create_tells_which<D: Door>() {
    let name = new_name();
    let or_open = with(Flags::OR_OPEN);
    let made = D::posix_create(name.as_str(), 5000, &or_open).unwrap();
    assert!(made.created());
    made.write(0, b"made").unwrap();
    for size in [1, 5000] {
        let found = D::posix_create(name.as_str(), size, &or_open).unwrap();
        assert_eq!((found.created(), found.size()), (false, size));
        assert_eq!(found.bytes(0, 1).unwrap(), b"m");
    }
    let says = [&name.as_str()[1..], "5000 bytes", "5001 bytes"];
    fails(D::posix_create(name.as_str(), 5001, &or_open), EINVAL, &says);
    fails(D::posix_create(name.as_str(), 0, &or_open), EINVAL, &["0 bytes"]);
    assert_eq!(std::fs::metadata(name.path()).unwrap().size(), 5000);
    D::posix_unlink(name.as_str()).unwrap();
}

/// shm_open uses the disk below /dev/shm in silence where no tmpfs is mounted.
fn below_dev_shm_on_a_disk_is_refused<D: Door>() {
    let disk = Directory::below(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let mut system = unsafe { std::mem::zeroed::<libc::statfs>() };
    good(unsafe { libc::statfs(c(disk.path().to_str().unwrap()).as_ptr(), &mut system) });
    if system.f_type == libc::TMPFS_MAGIC {
        return skip("the build directory is no disk");
    }
    // Below a mount of its own, so that the disk is seen there once more.
    let below =
        own_mounts().and_then(|()| mount(disk.path().to_str().unwrap(), "/dev/shm", "", libc::MS_BIND, ""));
    if let Err(why) = below {
        return skip(why);
    }
    let name = PosixName::new();
    let says = [&name.as_str()[1..], "/dev/shm", "RISK_DISK"];
    refused(D::posix_create(name.as_str(), 1, &plain()), SHMKIT_E_ON_DISK, &says);
    assert!(disk.entries().is_empty());
    let made = D::posix_create(name.as_str(), 1, &with(Flags::RISK_DISK)).unwrap();
    refused(D::posix_open(name.as_str(), &plain()), SHMKIT_E_ON_DISK, &says);
    D::posix_open(name.as_str(), &with(Flags::RISK_DISK)).unwrap();
    drop(made);
    D::posix_unlink(name.as_str()).unwrap();
    good(unsafe { libc::umount2(c"/dev/shm".as_ptr(), 0) });
}

/// Each round several processes create one name exclusively: one gets it, the others EEXIST.
fn creators_race_and_one_wins<D: Door>() {
    const ROUNDS: usize = 2000;
    const CREATORS: usize = 3;
    let name = new_name();
    let (start, result) = (Line::new(), Line::new());
    let creators: Vec<_> = (0..CREATORS)
        .map(|_| {
            fork(|| {
                for _ in 0..ROUNDS {
                    start.hear();
                    match D::posix_create(name.as_str(), 5000, &plain()) {
                        Ok(_) => result.tell(1),
                        failed => {
                            fails(failed, EEXIST, &[]);
                            result.tell(0);
                        }
                    }
                }
            })
        })
        .collect();
    for _ in 0..ROUNDS {
        (0..CREATORS).for_each(|_| start.tell(0));
        assert_eq!((0..CREATORS).map(|_| result.hear()).sum::<i64>(), 1, "one creator a round");
        D::posix_unlink(name.as_str()).unwrap();
    }
    creators.into_iter().for_each(Child::join);
}

/// One process creates and unlinks all the time; whenever another opens, the size is there.
fn no_opener_sees_an_unfinished_object<D: Door>() {
    const FOUND: usize = 2000;
    let name = new_name();
    let creator = fork(|| loop {
        let region = D::posix_create(name.as_str(), 5000, &with(Flags::OR_OPEN)).unwrap();
        drop(region);
        D::posix_unlink(name.as_str()).unwrap();
    });
    let (mut found, mut created) = (0, 0);
    while found < FOUND || created < 10 {
        match D::posix_open(name.as_str(), &plain()) {
            Ok(region) => {
                assert_eq!(region.size(), 5000);
                assert_eq!(region.bytes(4999, 1).unwrap(), [0]);
                found += 1;
            }
            missing => fails(missing, ENOENT, &[]),
        }
        if found % 16 == 0 {
            // Both open or create: whoever comes second finds the other's, whole.
            let region = D::posix_create(name.as_str(), 5000, &with(Flags::OR_OPEN)).unwrap();
            assert_eq!(region.size(), 5000);
            created += usize::from(region.created());
            found += 1;
        }
    }
    creator.slay();
    let _ = D::posix_unlink(name.as_str());
}

fn a_creator_killed_at_any_point_leaves_nothing<D: Door>() {
    if let Err(why) = own_dev_shm("size=4m") {
        return skip(why);
    }
    let name = PosixName::new();
    for round in 0..300 {
        let ready = Line::new();
        let creator = fork(|| {
            ready.tell(0);
            loop {
                drop(D::posix_create(name.as_str(), 50_000, &plain()).unwrap());
                D::posix_unlink(name.as_str()).unwrap();
            }
        });
        ready.hear();
        // No event to wait for: the point is to strike anywhere.
        unsafe { libc::usleep(round * 37 % 500) };
        creator.slay();
        let left = entries(Path::new("/dev/shm"));
        assert!(left.is_empty() || left == [&name.as_str()[1..]], "{left:?}");
        let region = D::posix_create(name.as_str(), 50_000, &with(Flags::OR_OPEN)).unwrap();
        assert_eq!(region.bytes(49_999, 1).unwrap(), [0]);
        D::posix_unlink(name.as_str()).unwrap();
    }
}

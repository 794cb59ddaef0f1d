//! Names without leftovers: who keeps a name alive, with whom it goes, and what stands in its place.
//! `names_race` has the races, `unlink` the names that regions remove themselves.

use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{symlink, MetadataExt, PermissionsExt};
use std::path::Path;

use libc::{EAGAIN, EEXIST, EINVAL, ENOENT, EPERM};

use crate::door::*;
use crate::support::*;

scenarios! {
    the_name_goes_with_its_last_user: 10,
    a_process_may_use_a_name_several_times,
    the_next_opener_finds_nothing_of_killed_users,
    the_next_creator_finds_nothing_of_killed_users,
    what_is_left_goes_whatever_its_mode_denies,
    a_killed_user_counts_no_more,
    a_user_that_refuses_the_object_is_none,
    the_name_goes_with_its_creator,
    the_next_opener_finds_nothing_of_a_killed_creator,
    an_object_that_nobody_marked_stays,
    an_object_that_lost_its_mark_stays,
    what_others_put_in_its_place_stays,
    a_forked_child_is_no_user,
    a_killed_parent_counts_while_its_children_live,
    a_receiver_is_no_user_and_undoes_nothing,
    flags_that_contradict_each_other_are_refused,
    whatever_the_umask_leaves,
    the_mark_outlasts_what_other_users_do,
    another_user_s_leftover_is_told_and_stays,
    the_name_goes_at_the_limit_of_descriptors_too,
    a_held_lock_costs_a_second: 40,
}

pub const LAST: Flags = Flags::UNLINK_LAST;
pub const CREATOR: Flags = Flags::UNLINK_CREATOR;
/// The mark of an object whose name goes with its users.
pub const MARK: u32 = 0o1100;

/// A name in a /dev/shm of this process's own, where that is permitted.
pub fn new_name() -> PosixName {
    let _ = own_dev_shm("size=4m,mode=1777");
    PosixName::new()
}

/// A process that has a region of its own, until it is asked to close it or is killed.
struct User {
    child: Child,
    asked: Line,
    told: Line,
}

impl User {
    fn new<R: Handle>(region: impl FnOnce() -> Answer<R>) -> User {
        let (asked, told) = (Line::new(), Line::new());
        let child = fork(|| {
            let region = region().unwrap();
            told.tell(0);
            asked.hear();
            region.close().unwrap();
        });
        told.hear();
        User { child, asked, told }
    }

    fn close(self) {
        self.asked.tell(0);
        self.child.join();
    }

    fn slay(self) {
        self.child.slay();
        drop(self.told);
    }
}

pub fn create<D: Door>(name: &PosixName, flags: Flags) -> Answer<D::Region> {
    D::posix_create(name.as_str(), 5000, &with(flags))
}

pub fn open_it<D: Door>(name: &PosixName) -> Answer<D::Region> {
    D::posix_open(name.as_str(), &plain())
}

/// Makes an object whose only user is killed.
fn leave_behind<D: Door>(name: &PosixName, flags: Flags) {
    User::new(|| create::<D>(name, flags)).slay();
    assert!(name.path().exists());
}

pub fn inode(path: &Path) -> u64 {
    std::fs::symlink_metadata(path).unwrap().ino()
}

pub fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn the_name_goes_with_its_last_user<D: Door>() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let name = new_name();
        let creator = User::new(|| create::<D>(&name, LAST));
        let reader = User::new(|| D::posix_open(name.as_str(), &with(Flags::READ_ONLY)));
        let finder = User::new(|| create::<D>(&name, Flags::OR_OPEN));
        let mut users = [Some(creator), Some(reader), Some(finder)];
        for user in order {
            assert!(name.path().exists(), "{order:?}");
            users[user].take().unwrap().close();
        }
        assert!(!name.path().exists(), "{order:?}");
        fails(open_it::<D>(&name), ENOENT, &[&name.as_str()[1..]]);
    }
}

fn a_process_may_use_a_name_several_times<D: Door>() {
    let name = new_name();
    let made = create::<D>(&name, LAST).unwrap();
    let found: Vec<_> = (0..3).map(|_| open_it::<D>(&name).unwrap()).collect();
    made.write(0, b"made").unwrap();
    made.close().unwrap();
    for region in found {
        assert!(name.path().exists());
        assert_eq!(region.bytes(0, 4).unwrap(), b"made");
        // Dropping is closing.
        drop(region);
    }
    assert!(!name.path().exists());
    // What had no user for a moment is another object.
    let again = create::<D>(&name, LAST).unwrap();
    assert_eq!(again.bytes(0, 4).unwrap(), [0; 4]);
}

fn the_next_opener_finds_nothing_of_killed_users<D: Door>() {
    let name = new_name();
    for options in [plain(), with(Flags::READ_ONLY), Options { size_min: 1 << 20, ..plain() }] {
        leave_behind::<D>(&name, LAST);
        fails(D::posix_open(name.as_str(), &options), ENOENT, &[&name.as_str()[1..]]);
        assert!(!name.path().exists());
    }
}

fn the_next_creator_finds_nothing_of_killed_users<D: Door>() {
    let name = new_name();
    for before in [LAST, CREATOR] {
        for now in [
            Flags::empty(),
            LAST,
            CREATOR,
            Flags::REPLACE,
            Flags::OR_OPEN,
            Flags::OR_OPEN | LAST,
            Flags::OR_OPEN | CREATOR,
        ] {
            leave_behind::<D>(&name, before);
            let old = inode(&name.path());
            let kept = open(name.path(), libc::O_RDWR);
            // More than the leftover has: it is as if there were none.
            let region = D::posix_create(name.as_str(), 9000, &with(now)).unwrap();
            assert!(region.created() || !now.contains(Flags::OR_OPEN));
            assert_eq!((region.size(), region.bytes(0, 4).unwrap()), (9000, vec![0; 4]));
            assert_ne!(inode(&name.path()), old);
            region.close().unwrap();
            assert_eq!(name.path().exists(), !now.intersects(LAST | CREATOR), "{before:?}, {now:?}");
            let _ = D::posix_unlink(name.as_str());
            drop(kept);
        }
    }
}

/// Of its owner: root is denied nothing.
fn what_is_left_goes_whatever_its_mode_denies<D: Door>() {
    let name = new_name();
    let child = fork_as_nobody(|| {
        for (mode, flags) in [(0o400, LAST), (0o444, CREATOR), (0o200, LAST), (0o040, CREATOR)] {
            let make = || D::posix_create(name.as_str(), 5000, &Options { mode, ..with(flags) });
            let user = User::new(make);
            fails(D::posix_open(name.as_str(), &plain()), libc::EACCES, &[]);
            fails(make(), EEXIST, &[]);
            user.slay();
            fails(D::posix_open(name.as_str(), &plain()), ENOENT, &[]);
            assert!(!name.path().exists());
            User::new(make).slay();
            let again = make().unwrap();
            again.close().unwrap();
            assert!(!name.path().exists());
        }
    });
    match child {
        Ok(child) => child.join(),
        Err(why) => println!("skipped: {why}"),
    }
}

fn a_killed_user_counts_no_more<D: Door>() {
    let name = new_name();
    let (creator, other) = (User::new(|| create::<D>(&name, LAST)), User::new(|| open_it::<D>(&name)));
    creator.slay();
    let third = User::new(|| open_it::<D>(&name));
    other.close();
    assert!(name.path().exists());
    third.close();
    assert!(!name.path().exists());
}

fn a_user_that_refuses_the_object_is_none<D: Door>() {
    let name = new_name();
    let user = User::new(|| create::<D>(&name, LAST));
    let larger = Options { size_min: 1 << 20, ..plain() };
    for _ in 0..3 {
        fails(D::posix_open(name.as_str(), &larger), EINVAL, &["5000 bytes"]);
        fails(D::posix_create(name.as_str(), 5001, &with(Flags::OR_OPEN | LAST)), EINVAL, &["5001"]);
        fails(create::<D>(&name, LAST), EEXIST, &[&name.as_str()[1..]]);
        assert!(name.path().exists());
    }
    user.close();
    assert!(!name.path().exists());
}

fn the_name_goes_with_its_creator<D: Door>() {
    let name = new_name();
    let creator = User::new(|| create::<D>(&name, CREATOR));
    for _ in 0..3 {
        User::new(|| open_it::<D>(&name)).close();
        User::new(|| create::<D>(&name, Flags::OR_OPEN | CREATOR)).close();
        User::new(|| open_it::<D>(&name)).slay();
        assert!(name.path().exists(), "its creator lives");
    }
    let kept = open_it::<D>(&name).unwrap();
    kept.write(0, b"still").unwrap();
    creator.close();
    assert!(!name.path().exists());
    fails(open_it::<D>(&name), ENOENT, &[]);
    let next = create::<D>(&name, CREATOR).unwrap();
    next.write(0, b"next.").unwrap();
    assert_eq!(kept.bytes(0, 5).unwrap(), b"still");
    kept.write(0, b"alone").unwrap();
    kept.close().unwrap();
    assert!(name.path().exists(), "this one's creator lives");
    assert_eq!(open_it::<D>(&name).unwrap().bytes(0, 5).unwrap(), b"next.");
    next.close().unwrap();
    assert!(!name.path().exists());
}

fn the_next_opener_finds_nothing_of_a_killed_creator<D: Door>() {
    let name = new_name();
    let creator = User::new(|| create::<D>(&name, CREATOR));
    let kept = open_it::<D>(&name).unwrap();
    creator.slay();
    assert!(name.path().exists());
    fails(open_it::<D>(&name), ENOENT, &[&name.as_str()[1..]]);
    assert!(!name.path().exists());
    kept.write(0, b"kept").unwrap();
    assert_eq!(kept.bytes(0, 4).unwrap(), b"kept");
    let next = create::<D>(&name, CREATOR).unwrap();
    kept.close().unwrap();
    assert!(name.path().exists());
    next.close().unwrap();
}

/// Also where single bits of the mark are on it.
fn an_object_that_nobody_marked_stays<D: Door>() {
    let name = new_name();
    User::new(|| create::<D>(&name, Flags::empty())).close();
    User::new(|| open_it::<D>(&name)).slay();
    for mode in [0o600, 0o666, 0o700, 0o777, 0o1600, 0o1666, 0o1777, 0o1770, 0o3700, 0o5700, 0o2600] {
        set_mode(&name.path(), mode);
        let stands = inode(&name.path());
        open_it::<D>(&name).unwrap().close().unwrap();
        let found = create::<D>(&name, Flags::OR_OPEN | LAST).unwrap();
        assert!(!found.created(), "{mode:o}");
        found.close().unwrap();
        fails(create::<D>(&name, LAST), EEXIST, &[]);
        assert_eq!(inode(&name.path()), stands, "{mode:o}");
    }
    D::posix_unlink(name.as_str()).unwrap();
}

fn an_object_that_lost_its_mark_stays<D: Door>() {
    let name = new_name();
    let region = create::<D>(&name, LAST).unwrap();
    assert_eq!(std::fs::metadata(name.path()).unwrap().mode() & 0o7777, 0o600 | MARK);
    set_mode(&name.path(), 0o666);
    // Not known to the first.
    let user = open_it::<D>(&name).unwrap();
    region.close().unwrap();
    assert!(name.path().exists());
    user.close().unwrap();
    D::posix_unlink(name.as_str()).unwrap();
}

fn what_others_put_in_its_place_stays<D: Door>() {
    let name = new_name();
    for flags in [LAST, CREATOR] {
        for way in 0..4 {
            let region = create::<D>(&name, flags).unwrap();
            let second = open_it::<D>(&name).unwrap();
            let stranger = fork(|| match way {
                0 => create::<D>(&name, Flags::REPLACE).unwrap().close().unwrap(),
                1 => {
                    D::posix_unlink(name.as_str()).unwrap();
                    create::<D>(&name, Flags::empty()).unwrap().close().unwrap();
                }
                2 => {
                    let other = name.path().with_extension("other");
                    std::fs::write(&other, "another").unwrap();
                    std::fs::rename(&other, name.path()).unwrap();
                }
                _ => {
                    std::fs::remove_file(name.path()).unwrap();
                    symlink("nowhere", name.path()).unwrap();
                }
            });
            stranger.join();
            let stands = inode(&name.path());
            region.write(0, b"old").unwrap();
            assert_eq!(second.bytes(0, 3).unwrap(), b"old");
            second.close().unwrap();
            region.close().unwrap();
            assert_eq!(inode(&name.path()), stands, "{flags:?}, way {way}");
            D::posix_unlink(name.as_str()).unwrap();
        }
        // And nothing at all.
        let region = create::<D>(&name, flags).unwrap();
        D::posix_unlink(name.as_str()).unwrap();
        region.close().unwrap();
    }
}

/// Closes its copy of a region that the parent has too.
fn close_here<R: Handle>(region: &ManuallyDrop<R>) {
    // SAFETY: in a child that does nothing more with it.
    unsafe { std::ptr::read(&**region) }.close().unwrap();
}

fn a_forked_child_is_no_user<D: Door>() {
    let name = new_name();
    for flags in [LAST, CREATOR] {
        // The child closes first.
        let region = ManuallyDrop::new(create::<D>(&name, flags).unwrap());
        fork(|| close_here(&region)).join();
        assert!(name.path().exists());
        // Nor did it give back what keeps the name.
        User::new(|| open_it::<D>(&name)).close();
        assert!(name.path().exists());

        // The child closes last.
        let (asked, told) = (Line::new(), Line::new());
        let child = fork(|| {
            told.tell(0);
            asked.hear();
            region.write(0, b"child").unwrap();
            close_here(&region);
        });
        told.hear();
        let fd = open(format!("/proc/self/fd/{}", region.fd().unwrap()), libc::O_RDONLY);
        ManuallyDrop::into_inner(region).close().unwrap();
        assert!(!name.path().exists());
        let next = create::<D>(&name, LAST).unwrap();
        asked.tell(0);
        child.join();
        assert!(name.path().exists());
        next.close().unwrap();
        assert!(!name.path().exists());
        let region = D::from_fd(fd.as_raw_fd(), 0, &with(Flags::READ_ONLY)).unwrap();
        assert_eq!(region.bytes(0, 5).unwrap(), b"child");
    }
    // One user has a child, the other closes last.
    let (first, told) = (create::<D>(&name, LAST).unwrap(), Line::new());
    let second = User::new(|| open_it::<D>(&name));
    let child = fork(|| loop {
        told.tell(first.size() as i64);
        unsafe { libc::pause() };
    });
    told.hear();
    first.close().unwrap();
    assert!(name.path().exists());
    second.close();
    assert!(!name.path().exists());
    child.slay();
}

fn a_killed_parent_counts_while_its_children_live<D: Door>() {
    let name = new_name();
    let (asked, told) = (Line::new(), Line::new());
    let parent = fork(|| {
        let region = create::<D>(&name, LAST).unwrap();
        match good(unsafe { libc::fork() }) {
            0 => {
                asked.hear();
                assert_eq!(region.bytes(0, 4).unwrap(), [0; 4]);
                told.tell(2);
                unsafe { libc::_exit(0) };
            }
            child => told.tell(child.into()),
        }
        unsafe { libc::pause() };
    });
    // What the grandchild leaves is this process's to reap.
    good(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) });
    let child = told.hear() as i32;
    parent.slay();
    User::new(|| open_it::<D>(&name)).close();
    assert!(name.path().exists());
    asked.tell(0);
    assert_eq!(told.hear(), 2);
    assert_eq!(unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) }, child);
    good(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 0) });
    fails(open_it::<D>(&name), ENOENT, &[]);
    assert!(!name.path().exists());
}

/// Locks belong to an open file, and an open file can be handed over.
fn a_receiver_is_no_user_and_undoes_nothing<D: Door>() {
    let name = new_name();
    for flags in [LAST, CREATOR] {
        let (one, other) = socketpair(libc::SOCK_SEQPACKET);
        let received =
            |socket: &OwnedFd| D::recv_region(socket.as_raw_fd(), &with(Flags::RISK_SHRINK), None).unwrap();
        // The sender closes.
        let region = create::<D>(&name, flags).unwrap();
        D::send_region(one.as_raw_fd(), &region, None).unwrap();
        let there = received(&other);
        unlock_all(there.fd().unwrap());
        User::new(|| open_it::<D>(&name)).close();
        assert!(name.path().exists(), "{flags:?}");
        region.close().unwrap();
        assert!(!name.path().exists(), "{flags:?}");
        there.write(0, b"there").unwrap();

        // The sender is killed.
        let sender = User::new(|| {
            let region = create::<D>(&name, flags)?;
            D::send_region(one.as_raw_fd(), &region, None)?;
            Ok::<_, Failure>(region)
        });
        let there = received(&other);
        sender.slay();
        fails(open_it::<D>(&name), ENOENT, &[]);
        assert!(!name.path().exists(), "{flags:?}");
        there.write(0, b"there").unwrap();
    }
}

/// What a holder of the descriptor could try.
fn unlock_all(fd: i32) {
    let mut lock = unsafe { std::mem::zeroed::<libc::flock>() };
    lock.l_type = libc::F_UNLCK as i16;
    unsafe {
        good(libc::fcntl(fd, libc::F_OFD_SETLK, &lock));
        good(libc::fcntl(fd, libc::F_SETLK, &lock));
        good(libc::flock(fd, libc::LOCK_UN));
    }
}

fn flags_that_contradict_each_other_are_refused<D: Door>() {
    let (name, directory) = (new_name(), Directory::new());
    fails(create::<D>(&name, LAST | CREATOR), EINVAL, &["UNLINK_LAST", "UNLINK_CREATOR"]);
    for flags in [LAST, CREATOR] {
        for mode in [0o700, 0o610, 0o601, 0o777] {
            let options = Options { flags, mode, ..plain() };
            let says = format!("mode {mode:#o}");
            fails(D::posix_create(name.as_str(), 1, &options), EINVAL, &[&says]);
        }
        // Where there is no POSIX name to be made.
        let (options, says) = (with(flags), if flags == LAST { "UNLINK_LAST" } else { "UNLINK_CREATOR" });
        let path = directory.file("block");
        fails(D::posix_open(name.as_str(), &options), EINVAL, &[says]);
        fails(D::create("name", 1, &options), EINVAL, &[says]);
        fails(D::anon_create(1, &options), EINVAL, &[says]);
        fails(D::file_create(&path, 1, &options), EINVAL, &[says]);
        fails(D::file_open(&path, 1, &options), EINVAL, &[says]);
        fails(D::sysv_create(0, 1, &options), EINVAL, &[says]);
    }
    assert!(!name.path().exists());
}

/// As a user whom the mode binds.
fn whatever_the_umask_leaves<D: Door>() {
    if let Err(why) = own_dev_shm("size=4m,mode=1777") {
        return skip(why);
    }
    let name = PosixName::new();
    let user = fork_as_nobody(|| {
        for (umask, mode, left) in
            [(0o777, 0o666, 0), (0o022, 0o666, 0o644), (0, 0o466, 0o466), (0, 0, 0o600)]
        {
            for flags in [LAST, CREATOR] {
                let old = unsafe { libc::umask(umask) };
                let region = D::posix_create(name.as_str(), 1, &Options { flags, mode, ..plain() }).unwrap();
                unsafe { libc::umask(old) };
                let has = std::fs::metadata(name.path()).unwrap().mode() & 0o7777;
                assert_eq!(has, left | MARK, "{has:o}");
                region.write(0, b"x").unwrap();
                region.close().unwrap();
                assert!(!name.path().exists());
            }
        }
    });
    match user {
        Ok(user) => user.join(),
        Err(why) => skip(why),
    }
}

/// What would take a set-group-ID bit away.
fn the_mark_outlasts_what_other_users_do<D: Door>() {
    if let Err(why) = own_dev_shm("size=4m,mode=1777") {
        return skip(why);
    }
    let name = PosixName::new();
    let old = unsafe { libc::umask(0) };
    let options = Options { flags: LAST, mode: 0o666, ..plain() };
    let region = D::posix_create(name.as_str(), 5000, &options).unwrap();
    unsafe { libc::umask(old) };
    let user = fork_as_nobody(|| {
        let region = open_it::<D>(&name).unwrap();
        let fd = region.fd().unwrap();
        region.write(0, b"mapped").unwrap();
        unsafe {
            assert_eq!(libc::pwrite(fd, c"written".as_ptr().cast(), 7, 0), 7);
            good(libc::ftruncate(fd, 9000));
            good(libc::fallocate(fd, 0, 9000, 1000));
        }
        // Not the last, so nothing is to be removed.
        region.close().unwrap();
    });
    match user {
        Ok(user) => user.join(),
        Err(why) => return skip(why),
    }
    assert_eq!(std::fs::metadata(name.path()).unwrap().mode() & 0o7777, 0o666 | MARK);
    region.close().unwrap();
    assert!(!name.path().exists());
}

/// In a sticky directory nobody but its owner can remove it; root could, and could be tricked.
fn another_user_s_leftover_is_told_and_stays<D: Door>() {
    if let Err(why) = own_dev_shm("size=4m,mode=1777") {
        return skip(why);
    }
    let name = PosixName::new();
    let all = |flags| Options { flags, mode: 0o666, ..plain() };
    let as_nobody = |body: &dyn Fn()| match fork_as_nobody(|| {
        unsafe { libc::umask(0) };
        body();
    }) {
        Ok(child) => {
            child.join();
            true
        }
        Err(why) => {
            skip(why);
            false
        }
    };
    let refused = |owner: u32| {
        let stands = inode(&name.path());
        let says = [&name.as_str()[1..], "users", &format!("user {owner}")];
        fails(open_it::<D>(&name), EPERM, &says);
        fails(create::<D>(&name, Flags::empty()), EPERM, &says);
        fails(create::<D>(&name, LAST | Flags::OR_OPEN), EPERM, &says);
        assert_eq!(inode(&name.path()), stands);
    };

    // Theirs, and this one is root.
    for flags in [LAST, CREATOR] {
        let left = as_nobody(&|| {
            // Ends with the process.
            std::mem::forget(D::posix_create(name.as_str(), 1, &all(flags)).unwrap());
        });
        if !left {
            return;
        }
        refused(nobody());
        as_nobody(&|| fails(open_it::<D>(&name), ENOENT, &[]));
        assert!(!name.path().exists());
    }

    // Root's, and they come last.
    let old = unsafe { libc::umask(0) };
    let region = D::posix_create(name.as_str(), 5000, &all(LAST)).unwrap();
    unsafe { libc::umask(old) };
    let region = std::cell::Cell::new(Some(region));
    let (opened, closed) = (Line::new(), Line::new());
    let last = fork_as_nobody(|| {
        let theirs = open_it::<D>(&name).unwrap();
        opened.tell(0);
        closed.hear();
        fails(theirs.close(), EPERM, &[]);
        assert!(name.path().exists());
        refused(0);
    })
    .unwrap();
    opened.hear();
    region.take().unwrap().close().unwrap();
    assert!(name.path().exists());
    closed.tell(0);
    last.join();
    fails(open_it::<D>(&name), ENOENT, &[]);
    assert!(!name.path().exists());
}

fn the_name_goes_at_the_limit_of_descriptors_too<D: Door>() {
    let name = new_name();
    for flags in [LAST, CREATOR] {
        for close in [true, false] {
            let region = create::<D>(&name, flags).unwrap();
            let limit = Limit::lower(libc::RLIMIT_NOFILE, 64);
            let mut filled = vec![];
            loop {
                match unsafe { libc::fcntl(region.fd().unwrap(), libc::F_DUPFD_CLOEXEC, 0) } {
                    -1 => break,
                    fd => filled.push(unsafe { OwnedFd::from_raw_fd(fd) }),
                }
            }
            let made = create::<D>(&PosixName::new(), flags);
            if close {
                region.close().unwrap();
            } else {
                drop(region);
            }
            drop((filled, limit));
            fails(made, libc::EMFILE, &[]);
            assert!(!name.path().exists(), "{flags:?}");
        }
    }
}

/// Anybody may lock a directory that he can read.
fn a_held_lock_costs_a_second<D: Door>() {
    if let Err(why) = own_dev_shm("size=4m,mode=1777") {
        return skip(why);
    }
    let (name, other, unused) = (PosixName::new(), PosixName::new(), PosixName::new());
    leave_behind::<D>(&other, LAST);
    let [first, second] = [create::<D>(&name, LAST).unwrap(), open_it::<D>(&name).unwrap()];
    let (locked, asked) = (Line::new(), Line::new());
    let holder = fork(|| {
        let directory = open("/dev/shm", libc::O_RDONLY | libc::O_DIRECTORY);
        good(unsafe { libc::flock(directory.as_raw_fd(), libc::LOCK_EX) });
        locked.tell(0);
        asked.hear();
    });
    locked.hear();
    let takes = |from_ms: i64, to_ms: i64, begun: i64| {
        let ms = (monotonic_ns() - begun) / 1_000_000;
        assert!((from_ms..to_ms).contains(&ms), "{ms} ms");
    };
    let says = ["/dev/shm", "second"];
    let late = |call: &dyn Fn() -> Answer<()>| {
        let begun = monotonic_ns();
        fails(call(), EAGAIN, &says);
        takes(900, 5000, begun);
    };
    late(&|| open_it::<D>(&name).map(drop));
    late(&|| create::<D>(&name, LAST | Flags::OR_OPEN).map(drop));
    late(&|| create::<D>(&other, Flags::empty()).map(drop));
    late(&|| second.unlink());

    // Plain objects, and creating anew, ask for no lock.
    let begun = monotonic_ns();
    let marked = create::<D>(&unused, CREATOR).unwrap();
    for _ in 0..3 {
        let plain = PosixName::new();
        let region = create::<D>(&plain, Flags::OR_OPEN).unwrap();
        open_it::<D>(&plain).unwrap().close().unwrap();
        region.close().unwrap();
        D::posix_unlink(plain.as_str()).unwrap();
    }
    D::posix_unlink(unused.as_str()).unwrap();
    takes(0, 900, begun);

    // Replacing waits, and does it all the same.
    let begun = monotonic_ns();
    create::<D>(&other, Flags::REPLACE).unwrap().close().unwrap();
    takes(900, 5000, begun);
    assert!(!unused.path().exists() && other.path().exists());

    // A region is gone after its close; its name is the next one's.
    let begun = monotonic_ns();
    fails(marked.close(), EAGAIN, &[]);
    fails(first.close(), EAGAIN, &[]);
    fails(second.close(), EAGAIN, &[]);
    takes(2700, 9000, begun);
    assert!(name.path().exists());

    asked.tell(0);
    holder.join();
    fails(open_it::<D>(&name), ENOENT, &[]);
    assert!(!name.path().exists());
    D::posix_unlink(other.as_str()).unwrap();
    assert!(entries(Path::new("/dev/shm")).iter().all(|left| left.starts_with("shmkit-test")));
}

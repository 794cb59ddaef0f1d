//! System V segments: keys, sizes, rights, removal, counts, limits.

use std::collections::BTreeSet;

use libc::{EACCES, EEXIST, EINVAL, ENOENT, ENOSPC, EPERM};

use crate::door::*;
use crate::support::*;

scenarios! {
    a_missing_key_is_enoent,
    an_existing_key_is_eexist_whatever_the_size,
    sizes_are_compared_by_the_byte,
    a_key_that_means_failure_or_private_finds_nothing,
    a_bogus_id_is_einval,
    what_a_call_has_no_use_for_is_einval,
    over_shmmax_names_the_limit,
    at_shmmni_names_the_limit,
    at_shmall_names_the_limit,
    a_stranger_gets_what_the_mode_gives,
    locking_names_its_limit,
    a_removed_segment_lives_until_its_last_user,
    removed_right_after_attaching,
    the_attach_count_follows_every_end,
    what_the_kernel_knows_is_told,
    plain_programs_see_the_same_segment,
    creators_race_and_one_wins: 20,
    what_cannot_be_attached_is_not_left,
}

/// Keys of this process's own, where that is permitted; elsewhere keys that nobody else has.
fn new_key() -> Key {
    let _ = own_ipc();
    Key::new()
}

fn a_missing_key_is_enoent<D: Door>() {
    let key = new_key();
    fails(D::sysv_attach(key.get(), &plain()), ENOENT, &[&key.hex()]);
}

fn an_existing_key_is_eexist_whatever_the_size<D: Door>() {
    let key = new_key();
    fails(D::sysv_create(key.get(), 0, &plain()), EINVAL, &[&key.hex(), "0 bytes", "at least 1 byte"]);
    let region = D::sysv_create(key.get(), 5000, &plain()).unwrap();
    assert_eq!((region.size(), region.kind()), (5000, SHMKIT_KIND_SYSV));
    for size in [0, 1, 5000, 5001, 1 << 62] {
        fails(D::sysv_create(key.get(), size, &plain()), EEXIST, &[&key.hex(), "File exists"]);
    }
}

fn sizes_are_compared_by_the_byte<D: Door>() {
    let key = new_key();
    let region = D::sysv_create(key.get(), 5000, &plain()).unwrap();
    let id = region.sysv_id().unwrap();
    region.write(4999, b"z").unwrap();
    for size_min in [0, 1, 4999, 5000] {
        let options = Options { size_min, ..plain() };
        for found in [D::sysv_attach(key.get(), &options), D::sysv_attach_id(id, &options)] {
            let found = found.unwrap();
            assert_eq!(found.size(), 5000, "all of it, whatever was asked for");
            assert_eq!(found.bytes(4999, 1).unwrap(), b"z");
        }
    }
    for size_min in [5001, 8192, 1 << 40, u64::MAX] {
        let (options, number) = (Options { size_min, ..plain() }, size_min.to_string());
        fails(D::sysv_attach(key.get(), &options), EINVAL, &[&key.hex(), "5000 bytes", &number]);
        fails(D::sysv_attach_id(id, &options), EINVAL, &[&id.to_string(), "5000 bytes", &number]);
    }
    let or_open = with(Flags::OR_OPEN);
    for size in [1, 4999, 5000] {
        let found = D::sysv_create(key.get(), size, &or_open).unwrap();
        assert_eq!((found.size(), found.created()), (5000, false));
    }
    fails(D::sysv_create(key.get(), 5001, &or_open), EINVAL, &[&key.hex(), "5000 bytes", "5001"]);
    let other = new_key();
    assert!(D::sysv_create(other.get(), 1, &or_open).unwrap().created());
}

/// -1 is what ftok() answers when it fails; 0 is IPC_PRIVATE, which makes and never finds.
fn a_key_that_means_failure_or_private_finds_nothing<D: Door>() {
    fails(D::sysv_create(-1, 4096, &plain()), EINVAL, &["-1", "ftok"]);
    fails(D::sysv_create(-1, 4096, &with(Flags::OR_OPEN)), EINVAL, &["-1", "ftok"]);
    fails(D::sysv_attach(-1, &plain()), EINVAL, &["-1", "ftok"]);
    fails(D::sysv_attach(0, &plain()), EINVAL, &["IPC_PRIVATE"]);
    let ids: Vec<_> = [Flags::empty(), Flags::OR_OPEN]
        .iter()
        .map(|&flags| {
            let region = D::sysv_create(0, 1, &with(flags)).unwrap();
            let id = region.sysv_id().unwrap();
            D::sysv_remove(id).unwrap();
            id
        })
        .collect();
    assert_ne!(ids[0], ids[1]);
}

fn a_bogus_id_is_einval<D: Door>() {
    let _ = own_ipc();
    for id in [-1, i32::MIN, i32::MAX] {
        let name = id.to_string();
        fails(D::sysv_attach_id(id, &plain()), EINVAL, &[&name]);
        fails(D::sysv_remove(id), EINVAL, &[&name]);
        fails(D::sysv_stat(id), EINVAL, &[&name]);
        fails(D::sysv_set(id, 0, 0, 0o600), EINVAL, &[&name]);
        fails(D::sysv_lock(id), EINVAL, &[&name]);
        fails(D::sysv_unlock(id), EINVAL, &[&name]);
    }
}

/// The kernel ignores flags that it does not know; here they are refused.
fn what_a_call_has_no_use_for_is_einval<D: Door>() {
    let key = new_key();
    let region = D::sysv_create(key.get(), 1, &plain()).unwrap();
    let (id, hex) = (region.sysv_id().unwrap(), "0x40000000");
    let unknown = with(Flags::from_bits_retain(0x4000_0000));
    fails(D::sysv_create(0, 1, &unknown), EINVAL, &[hex]);
    fails(D::sysv_attach(key.get(), &unknown), EINVAL, &[hex]);
    fails(D::sysv_attach_id(id, &unknown), EINVAL, &[hex]);
    for (flag, name) in [
        (Flags::PRIVATE, "PRIVATE"),
        (Flags::REPLACE, "REPLACE"),
        (Flags::PAST_END, "PAST_END"),
        (Flags::RISK_SHRINK, "RISK_SHRINK"),
        (Flags::GROWABLE, "GROWABLE"),
        (Flags::MIRROR, "MIRROR"),
    ] {
        fails(D::sysv_create(0, 1, &with(flag)), EINVAL, &["shm_sysv_create", name]);
        fails(D::sysv_attach(key.get(), &with(flag)), EINVAL, &["shm_sysv_attach", name]);
        fails(D::sysv_attach_id(id, &with(flag)), EINVAL, &["shm_sysv_attach_id", name]);
    }
    fails(D::sysv_create(0, 1, &Options { mode: 0o1600, ..plain() }), EINVAL, &["0o1600"]);
    fails(D::sysv_set(id, 0, 0, 0o7777), EINVAL, &["0o7777"]);
    fails(D::sysv_create(0, 1, &Options { offset: 4096, ..plain() }), EINVAL, &["offset", "4096"]);
    let sealed = Options { seals: Some(Seals::SHRINK), ..plain() };
    fails(D::sysv_create(0, 1, &sealed), EINVAL, &["seals", "SHRINK"]);
    assert_eq!(D::sysv_stat(id).unwrap().attach_count, 1);
}

/// A limit of System V, in an IPC namespace of this process's own.
fn limited(sysctls: &[(&str, u64)]) -> Permitted {
    own_ipc()?;
    sysctls.iter().try_for_each(|&(name, value)| sysctl(name, value))
}

fn over_shmmax_names_the_limit<D: Door>() {
    if let Err(why) = limited(&[("kernel.shmmax", 1_000_000)]) {
        return skip(why);
    }
    let key = Key::new();
    let names = [key.hex(), "1000001 bytes".into(), "1000000".into(), "/proc/sys/kernel/shmmax".into()];
    let names = names.each_ref().map(String::as_str);
    fails(D::sysv_create(key.get(), 1_000_001, &plain()), EINVAL, &names);
    D::sysv_create(key.get(), 1_000_000, &plain()).unwrap();
}

fn at_shmmni_names_the_limit<D: Door>() {
    if let Err(why) = limited(&[("kernel.shmmni", 3)]) {
        return skip(why);
    }
    let three = [(); 3].map(|()| D::sysv_create(0, 1, &with(Flags::AUTO_REMOVE)).unwrap());
    let names = ["3 segments", "shmmni is 3", "/proc/sys/kernel/shmmni"];
    fails(D::sysv_create(0, 1, &plain()), ENOSPC, &names);
    drop(three);
    D::sysv_create(0, 1, &with(Flags::AUTO_REMOVE)).unwrap();
}

fn at_shmall_names_the_limit<D: Door>() {
    if let Err(why) = limited(&[("kernel.shmall", 10)]) {
        return skip(why);
    }
    let eight = D::sysv_create(0, 8 * page(), &with(Flags::AUTO_REMOVE)).unwrap();
    let names = ["8 pages are in use", "3 more", "shmall is 10 pages", "/proc/sys/kernel/shmall"];
    fails(D::sysv_create(0, 2 * page() + 1, &plain()), ENOSPC, &names);
    drop(eight);
    D::sysv_create(0, 10 * page(), &with(Flags::AUTO_REMOVE)).unwrap();
}

fn a_stranger_gets_what_the_mode_gives<D: Door>() {
    let (closed, open) = (new_key(), new_key());
    let mine = D::sysv_create(closed.get(), 1, &plain()).unwrap();
    let shown = D::sysv_create(open.get(), 1, &Options { mode: 0o644, ..plain() }).unwrap();
    assert_eq!(D::sysv_stat(mine.sysv_id().unwrap()).unwrap().mode, 0o600, "the default");
    let [mine, shown] = [mine, shown].map(|region| region.sysv_id().unwrap());
    let stranger = fork_as_nobody(|| {
        let names = [mine.to_string()];
        let names = names.each_ref().map(String::as_str);
        fails(D::sysv_attach(closed.get(), &plain()), EACCES, &names);
        fails(D::sysv_attach_id(mine, &plain()), EACCES, &names);
        fails(D::sysv_attach_id(mine, &with(Flags::READ_ONLY)), EACCES, &names);
        fails(D::sysv_stat(mine), EACCES, &names);
        fails(D::sysv_set(mine, 0, 0, 0o666), EPERM, &[names[0], "0o666"]);
        fails(D::sysv_remove(mine), EPERM, &names);
        fails(D::sysv_lock(mine), EPERM, &names);
        fails(D::sysv_unlock(mine), EPERM, &names);

        let reader = D::sysv_attach(open.get(), &with(Flags::READ_ONLY)).unwrap();
        reader.bytes(0, 1).unwrap();
        fails(reader.write(0, b"x"), EACCES, &[]);
        fails(D::sysv_attach(open.get(), &plain()), EACCES, &[&shown.to_string()]);
        fails(D::sysv_remove(shown), EPERM, &[]);

        // Mode 000 shuts out the owner too, unless he is root.
        let own = D::sysv_create(0, 1, &plain()).unwrap();
        let id = own.sysv_id().unwrap();
        let _removed = Segment(id);
        D::sysv_set(id, unsafe { libc::getuid() }, unsafe { libc::getgid() }, 0).unwrap();
        fails(D::sysv_attach_id(id, &plain()), EACCES, &[&id.to_string()]);
        fails(D::sysv_attach_id(id, &with(Flags::READ_ONLY)), EACCES, &[]);
        fails(D::sysv_stat(id), EACCES, &[]);
        assert_eq!(own.bytes(0, 1).unwrap(), [0], "who is in stays in");
    });
    match stranger {
        Ok(stranger) => stranger.join(),
        Err(why) => skip(why),
    }
}

fn locking_names_its_limit<D: Door>() {
    let key = new_key();
    let region = D::sysv_create(key.get(), 4 * page(), &Options { mode: 0o666, ..plain() }).unwrap();
    let id = region.sysv_id().unwrap();
    D::sysv_lock(id).unwrap();
    assert!(D::sysv_stat(id).unwrap().locked);
    D::sysv_unlock(id).unwrap();
    assert!(!D::sysv_stat(id).unwrap().locked);
    let stranger = fork_as_nobody(|| {
        for (limit, errno) in [(0, EPERM), (page() as u64, libc::ENOMEM)] {
            let _limit = Limit::lower(libc::RLIMIT_MEMLOCK, limit);
            let own = D::sysv_create(0, 4 * page(), &plain()).unwrap();
            let _removed = Segment(own.sysv_id().unwrap());
            let names = ["RLIMIT_MEMLOCK", &limit.to_string(), &own.sysv_id().unwrap().to_string()];
            fails(D::sysv_lock(own.sysv_id().unwrap()), errno, &names);
        }
    });
    match stranger {
        Ok(stranger) => stranger.join(),
        Err(why) => skip(why),
    }
}

/// IPC_RMID while attached: the memory survives, the key is free, attaching by id goes on until the last
/// detach, and removing again is no error.
fn a_removed_segment_lives_until_its_last_user<D: Door>() {
    let key = new_key();
    let region = D::sysv_create(key.get(), 4096, &plain()).unwrap();
    let id = region.sysv_id().unwrap();
    region.write(0, b"still here").unwrap();
    assert_eq!(D::sysv_stat(id).unwrap().key, key.get());

    D::sysv_remove(id).unwrap();
    let info = D::sysv_stat(id).unwrap();
    assert!(info.removed);
    assert_eq!((info.key, info.attach_count), (0, 1));
    fails(D::sysv_attach(key.get(), &plain()), ENOENT, &[&key.hex()]);
    let second = D::sysv_attach_id(id, &plain()).unwrap();
    assert_eq!(second.bytes(0, 10).unwrap(), b"still here");
    D::sysv_remove(id).unwrap();

    let new = D::sysv_create(key.get(), 1, &plain()).unwrap();
    assert_ne!(new.sysv_id().unwrap(), id, "a new segment under the old key has a new id");

    region.close().unwrap();
    assert_eq!(second.bytes(0, 10).unwrap(), b"still here");
    second.close().unwrap();
    for gone in [D::sysv_attach_id(id, &plain()).err(), D::sysv_stat(id).err(), D::sysv_remove(id).err()] {
        fails(gone.map_or(Ok(()), Err), EINVAL, &[&id.to_string()]);
    }
}

fn removed_right_after_attaching<D: Door>() {
    let key = new_key();
    let region = D::sysv_create(key.get(), 4096, &with(Flags::AUTO_REMOVE)).unwrap();
    let id = region.sysv_id().unwrap();
    assert!(D::sysv_stat(id).unwrap().removed);
    fails(D::sysv_attach(key.get(), &plain()), ENOENT, &[&key.hex()]);
    region.write(0, b"x").unwrap();
    let second = D::sysv_attach_id(id, &plain()).unwrap();
    drop(region);
    assert_eq!(second.bytes(0, 1).unwrap(), b"x");
    drop(second);
    fails(D::sysv_stat(id), EINVAL, &[&id.to_string()]);

    // One that was found goes in the same way, and one whose maker is killed leaves nothing.
    let found = D::sysv_create(key.get(), 1, &plain()).unwrap();
    drop(D::sysv_attach(key.get(), &with(Flags::AUTO_REMOVE)).unwrap());
    fails(D::sysv_attach(key.get(), &plain()), ENOENT, &[]);
    drop(found);

    // A call that fails leaves the segment as it was.
    let kept = D::sysv_create(key.get(), 5000, &plain()).unwrap();
    let more = Options { size_min: 5001, ..with(Flags::AUTO_REMOVE) };
    fails(D::sysv_attach_id(kept.sysv_id().unwrap(), &more), EINVAL, &["5000", "5001"]);
    fails(D::sysv_attach(key.get(), &more), EINVAL, &["5000", "5001"]);
    assert!(!D::sysv_stat(kept.sysv_id().unwrap()).unwrap().removed);
    D::sysv_remove(kept.sysv_id().unwrap()).unwrap();
    drop(kept);

    let line = Line::new();
    let maker = fork(|| {
        let region = D::sysv_create(0, 1, &with(Flags::AUTO_REMOVE)).unwrap();
        line.tell(region.sysv_id().unwrap().into());
        line.tell(D::sysv_stat(region.sysv_id().unwrap()).unwrap().attach_count as i64);
        std::mem::forget(region);
        unsafe { libc::pause() };
    });
    let id = line.hear() as i32;
    assert_eq!(line.hear(), 1);
    maker.slay();
    fails(D::sysv_stat(id), EINVAL, &[&id.to_string()]);
}

/// fork adds, exec, exit and SIGKILL take away, and two mappings are two.
fn the_attach_count_follows_every_end<D: Door>() {
    let key = new_key();
    let region = D::sysv_create(key.get(), 1, &plain()).unwrap();
    let id = region.sysv_id().unwrap();
    let count = || D::sysv_stat(id).unwrap().attach_count;
    assert_eq!(count(), 1);
    let second = D::sysv_attach(key.get(), &plain()).unwrap();
    assert_eq!(count(), 2);

    let (line, go_on) = (Line::new(), Line::new());
    let child = fork(|| {
        line.tell(0);
        go_on.hear();
    });
    line.hear();
    assert_eq!(count(), 4);
    go_on.tell(0);
    child.join();
    assert_eq!(count(), 2);

    let child = fork(|| {
        line.tell(0);
        unsafe { libc::pause() };
    });
    line.hear();
    assert_eq!(count(), 4);
    child.slay();
    assert_eq!(count(), 2);

    // exec: cat lives on as long as its standard input does.
    let (mut input, mut executed) = ([0; 2], [0; 2]);
    good(unsafe { libc::pipe2(input.as_mut_ptr(), libc::O_CLOEXEC) });
    good(unsafe { libc::pipe2(executed.as_mut_ptr(), libc::O_CLOEXEC) });
    let child = fork(|| unsafe {
        good(libc::dup2(input[0], 0));
        libc::execlp(c"cat".as_ptr(), c"cat".as_ptr(), std::ptr::null::<libc::c_char>());
        panic!("no cat");
    });
    good(unsafe { libc::close(executed[1]) });
    assert_eq!(unsafe { libc::read(executed[0], [0u8; 1].as_mut_ptr().cast(), 1) }, 0, "closed by exec");
    assert_eq!(count(), 2);
    for fd in [input[0], input[1], executed[0]] {
        good(unsafe { libc::close(fd) });
    }
    child.join();

    drop(second);
    assert_eq!(count(), 1);
    drop(region);
    assert_eq!(count(), 0);
    D::sysv_remove(id).unwrap();
}

fn what_the_kernel_knows_is_told<D: Door>() {
    let key = new_key();
    let before = unsafe { libc::time(std::ptr::null_mut()) };
    let region = D::sysv_create(key.get(), 5000, &Options { mode: 0o640, ..plain() }).unwrap();
    let id = region.sysv_id().unwrap();
    let (pid, user) = (std::process::id() as i32, unsafe { (libc::geteuid(), libc::getegid()) });
    let info = D::sysv_stat(id).unwrap();
    assert!(info.attached_at >= before && info.changed_at >= before);
    let expected = Info {
        size_bytes: 5000,
        attach_count: 1,
        attached_at: info.attached_at,
        detached_at: 0,
        changed_at: info.changed_at,
        key: key.get(),
        id,
        owner: user,
        creator: user,
        creator_pid: pid,
        last_pid: pid,
        mode: 0o640,
        removed: false,
        locked: false,
    };
    assert_eq!(info, expected);

    let line = Line::new();
    let child = fork(|| {
        D::sysv_attach(key.get(), &plain()).unwrap().close().unwrap();
        line.tell(0);
    });
    let other = child.pid();
    line.hear();
    assert_eq!(D::sysv_stat(id).unwrap().last_pid, other);
    child.join();
    D::sysv_set(id, user.0, user.1, 0o604).unwrap();
    let info = D::sysv_stat(id).unwrap();
    assert_eq!((info.mode, info.creator_pid), (0o604, pid));
    assert!(info.detached_at >= before);

    // The same numbers as ipcs(1) shows.
    let table = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
    let row = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = row.into_iter().find(|row| row[1] == id.to_string()).expect("a row for the segment");
    let shown = [row[0], row[2], row[3], row[4], row[6]];
    assert_eq!(shown, [&key.get().to_string(), "604", "5000", &pid.to_string(), "1"]);
}

fn plain_programs_see_the_same_segment<D: Door>() {
    let key = new_key();
    let region = D::sysv_create(key.get(), 4096, &plain()).unwrap();
    let attach = |id| {
        let at = unsafe { libc::shmat(id, std::ptr::null(), 0) };
        assert_ne!(at as isize, -1);
        at.cast::<u8>()
    };
    unsafe {
        let id = good(libc::shmget(key.get(), 4096, 0));
        assert_eq!(id, region.sysv_id().unwrap());
        let at = attach(id);
        at.write_volatile(b'p');
        assert_eq!(region.bytes(0, 1).unwrap(), b"p");
        region.write(1, b"l").unwrap();
        assert_eq!(at.add(1).read_volatile(), b'l');
        good(libc::shmdt(at.cast()));

        let theirs = Key::new();
        let id = good(libc::shmget(theirs.get(), 300, libc::IPC_CREAT | libc::IPC_EXCL | 0o600));
        let region = D::sysv_attach(theirs.get(), &plain()).unwrap();
        assert_eq!((region.size(), region.sysv_id().unwrap()), (300, id));
        assert_eq!(region.name(), None);
        fails(region.fd(), libc::EOPNOTSUPP, &[]);
        assert!(!region.can_shrink());
    }
}

/// Each round several processes create under one key: one creates, the others find the same segment.
fn creators_race_and_one_wins<D: Door>() {
    const ROUNDS: i32 = 1000;
    const CREATORS: usize = 3;
    let keys = new_key();
    let (start, result) = (Line::new(), Line::new());
    let creators: Vec<_> = (0..CREATORS)
        .map(|_| {
            fork(|| {
                for _ in 0..ROUNDS {
                    let key = start.hear() as i32;
                    let region = D::sysv_create(key, 5000, &with(Flags::OR_OPEN)).unwrap();
                    assert_eq!(region.size(), 5000);
                    result.tell(i64::from(region.sysv_id().unwrap()) << 1 | i64::from(region.created()));
                }
            })
        })
        .collect();
    let mut wins = 0;
    for _ in 0..ROUNDS {
        (0..CREATORS).for_each(|_| start.tell(keys.get().into()));
        let results: Vec<_> = (0..CREATORS).map(|_| result.hear()).collect();
        let ids: BTreeSet<_> = results.iter().map(|result| result >> 1).collect();
        assert_eq!(ids.len(), 1, "one segment: {results:?}");
        wins += results.iter().filter(|&result| result & 1 == 1).count();
        D::sysv_remove(*ids.first().unwrap() as i32).unwrap();
    }
    assert_eq!(wins as i32, ROUNDS, "one creator a round");
    creators.into_iter().for_each(Child::join);
}

/// Created, and no addresses for it.
fn what_cannot_be_attached_is_not_left<D: Door>() {
    let key = new_key();
    let limit = Limit::lower(libc::RLIMIT_AS, 4 << 30);
    for flags in
        [Flags::NO_RESERVE, Flags::NO_RESERVE | Flags::AUTO_REMOVE, Flags::NO_RESERVE | Flags::OR_OPEN]
    {
        fails(D::sysv_create(key.get(), 8 << 30, &with(flags)), libc::ENOMEM, &["System V"]);
        fails(D::sysv_attach(key.get(), &plain()), ENOENT, &[&key.hex()]);
    }
    drop(limit);
    D::sysv_create(key.get(), 8 << 30, &with(Flags::NO_RESERVE | Flags::AUTO_REMOVE)).unwrap();
}

//! System V segments by path: what ftok() makes of it, and what it does not see.

use std::os::unix::fs::MetadataExt;

use libc::{EAGAIN, EEXIST, EINVAL, ENOENT};

use crate::door::*;
use crate::support::*;

scenarios! {
    the_key_is_that_of_ftok,
    a_bad_path_or_project_makes_no_key,
    a_hard_link_has_the_same_key_and_a_new_file_another,
    a_segment_is_found_by_its_path,
    another_path_with_the_same_key_is_noticed: 20,
    a_segment_of_other_making_is_noticed,
    every_mode_is_a_finished_one,
    creators_race_for_a_path_and_one_wins: 20,
    a_creator_killed_at_any_point_blocks_nobody: 20,
}

fn place() -> (Directory, String) {
    let _ = own_ipc();
    let directory = Directory::new();
    let path = directory.file("place");
    std::fs::write(&path, "").unwrap();
    (directory, path)
}

/// The segment of a path goes when the test ends.
fn segment_of<D: Door>(path: &str, project: i32) -> Segment {
    let id = unsafe { libc::shmget(D::sysv_key(path, project).unwrap(), 0, 0) };
    Segment(good(id))
}

fn the_key_is_that_of_ftok<D: Door>() {
    let (_directory, path) = place();
    for project in [0, 1, 'q' as i32, 128, 255] {
        let key = unsafe { libc::ftok(c(&path).as_ptr(), project) };
        assert_eq!(D::sysv_key(&path, project).unwrap(), key, "project {project}");
    }
    assert_ne!(D::sysv_key(&path, 1), D::sysv_key(&path, 2));
}

fn a_bad_path_or_project_makes_no_key<D: Door>() {
    let (directory, path) = place();
    for project in [-1, 256, i32::MIN, i32::MAX] {
        fails(D::sysv_key(&path, project), EINVAL, &[&project.to_string()]);
        fails(D::sysv_create_at(&path, project, 1, &plain()), EINVAL, &[&project.to_string()]);
        fails(D::sysv_attach_at(&path, project, &plain()), EINVAL, &[&project.to_string()]);
    }
    let missing = directory.file("missing");
    fails(D::sysv_key(&missing, 1), ENOENT, &["/missing'"]);
    fails(D::sysv_create_at(&missing, 1, 1, &plain()), ENOENT, &["/missing'"]);
    fails(D::sysv_attach_at(&missing, 1, &plain()), ENOENT, &["/missing'"]);
    fails(D::sysv_key(&format!("{path}/below"), 1), libc::ENOTDIR, &["/place/below'"]);
    fails(D::sysv_key("", 1), ENOENT, &["''"]);
    fails(D::sysv_key(&"x/".repeat(3000), 1), libc::ENAMETOOLONG, &[]);
}

fn a_hard_link_has_the_same_key_and_a_new_file_another<D: Door>() {
    let (directory, path) = place();
    let (link, new) = (directory.file("link"), directory.file("new"));
    std::fs::hard_link(&path, &link).unwrap();
    let key = D::sysv_key(&path, 7);
    assert_eq!(D::sysv_key(&link, 7), key);
    // Made while the old one lives, so that it cannot get its inode.
    std::fs::write(&new, "").unwrap();
    std::fs::rename(&new, &path).unwrap();
    assert_ne!(D::sysv_key(&path, 7), key);
}

fn a_segment_is_found_by_its_path<D: Door>() {
    let (directory, path) = place();
    fails(D::sysv_attach_at(&path, 1, &plain()), ENOENT, &[]);
    fails(D::sysv_create_at(&path, 1, 0, &plain()), EINVAL, &["0 bytes"]);
    let made = D::sysv_create_at(&path, 1, 5001, &Options { mode: 0o640, ..plain() }).unwrap();
    let _removed = Segment(made.sysv_id().unwrap());
    assert_eq!(made.size(), 5001);
    assert_eq!(D::sysv_stat(made.sysv_id().unwrap()).unwrap().mode, 0o640);
    made.write(4996, b"hello").unwrap();
    fails(made.write(4997, b"hello"), libc::ERANGE, &["5001"]);

    let link = directory.file("link");
    std::fs::hard_link(&path, &link).unwrap();
    for path in [&path, &link] {
        let found = D::sysv_attach_at(path, 1, &plain()).unwrap();
        assert_eq!((found.size(), found.sysv_id()), (5001, made.sysv_id()));
        assert_eq!(found.bytes(4996, 5).unwrap(), b"hello");
    }
    fails(D::sysv_create_at(&path, 1, 5001, &plain()), EEXIST, &[]);
    let or_open = with(Flags::OR_OPEN);
    let found = D::sysv_create_at(&path, 1, 5001, &or_open).unwrap();
    assert_eq!((found.created(), found.sysv_id()), (false, made.sysv_id()));
    fails(D::sysv_create_at(&path, 1, 5002, &or_open), EINVAL, &["5001", "5002"]);
    fails(D::sysv_attach_at(&path, 1, &Options { size_min: 5002, ..plain() }), EINVAL, &["5001", "5002"]);
    fails(D::sysv_attach_at(&path, 2, &plain()), ENOENT, &[]);
    let read_only = D::sysv_attach_at(&path, 1, &with(Flags::READ_ONLY)).unwrap();
    fails(read_only.write(0, b"x"), libc::EACCES, &[]);

    let other = D::sysv_create_at(&path, 2, 1, &or_open).unwrap();
    assert!(other.created());
    D::sysv_remove(other.sysv_id().unwrap()).unwrap();
}

/// Two files whose inodes differ by 65536 have one key.
fn another_path_with_the_same_key_is_noticed<D: Door>() {
    // A tmpfs gives its files inodes in order.
    if let Err(why) = own_dev_shm("size=16m,nr_inodes=1000,inode64") {
        return skip(why);
    }
    let _ = own_ipc();
    let directory = Directory::below(std::path::Path::new("/dev/shm"));
    let (first, second) = (directory.file("first"), directory.file("second"));
    std::fs::write(&first, "").unwrap();
    let inode = std::fs::metadata(&first).unwrap().ino();
    loop {
        std::fs::write(&second, "").unwrap();
        match std::fs::metadata(&second).unwrap().ino() {
            next if next == inode + 65536 => break,
            next if next > inode + 65536 => return skip("this tmpfs numbers its files otherwise"),
            _ => std::fs::remove_file(&second).unwrap(),
        }
    }
    let key = D::sysv_key(&first, 1).unwrap();
    assert_eq!(D::sysv_key(&second, 1).unwrap(), key);

    let made = D::sysv_create_at(&first, 1, 4096, &plain()).unwrap();
    let _removed = segment_of::<D>(&first, 1);
    made.write(0, b"the first's").unwrap();
    let names = ["/second'", &format!("{key:#x}")];
    refused(D::sysv_attach_at(&second, 1, &plain()), SHMKIT_E_COLLISION, &names);
    refused(D::sysv_create_at(&second, 1, 4096, &with(Flags::OR_OPEN)), SHMKIT_E_COLLISION, &names);
    fails(D::sysv_create_at(&second, 1, 4096, &plain()), EEXIST, &[]);
    refused(D::sysv_attach_at(&second, 1, &with(Flags::AUTO_REMOVE)), SHMKIT_E_COLLISION, &names);
    let info = D::sysv_stat(made.sysv_id().unwrap()).unwrap();
    assert_eq!((info.removed, info.attach_count), (false, 1), "the first's segment is left alone");
    assert_eq!(D::sysv_attach_at(&first, 1, &plain()).unwrap().bytes(0, 11).unwrap(), b"the first's");
}

fn a_segment_of_other_making_is_noticed<D: Door>() {
    let (_directory, path) = place();
    let key = D::sysv_key(&path, 1).unwrap();
    let hex = format!("{key:#x}");
    for size in [1, 63, 64, 4096, 4160] {
        let made = D::sysv_create(key, size, &plain()).unwrap();
        let id = made.sysv_id().unwrap();
        let _removed = Segment(id);
        // As if it had been filled by somebody who knows nothing of identities.
        made.write(0, &vec![0xff; size]).unwrap();
        refused(D::sysv_attach_at(&path, 1, &plain()), SHMKIT_E_COLLISION, &["/place'", &hex]);
        refused(D::sysv_create_at(&path, 1, 1, &with(Flags::OR_OPEN)), SHMKIT_E_COLLISION, &["/place'"]);
        let info = D::sysv_stat(id).unwrap();
        assert_eq!((info.removed, info.attach_count, info.mode), (false, 1, 0o600));
    }
}

/// No mode that a caller may ask for is taken for the mark of an unfinished segment.
fn every_mode_is_a_finished_one<D: Door>() {
    let (_directory, path) = place();
    for mode in [0o600, 0o611, 0o701, 0o777] {
        let made = D::sysv_create_at(&path, 1, 100, &Options { mode, ..plain() }).unwrap();
        let id = made.sysv_id().unwrap();
        let _removed = Segment(id);
        assert_eq!(D::sysv_attach_at(&path, 1, &plain()).map(|found| found.size()), Ok(100), "{mode:o}");
        let found = D::sysv_create_at(&path, 1, 100, &with(Flags::OR_OPEN)).unwrap();
        assert_eq!((found.created(), found.sysv_id()), (false, Ok(id)), "{mode:o}");
    }
}

fn creators_race_for_a_path_and_one_wins<D: Door>() {
    const ROUNDS: usize = 500;
    const CREATORS: usize = 3;
    let (_directory, path) = place();
    let (start, result) = (Line::new(), Line::new());
    let creators: Vec<_> = (0..CREATORS)
        .map(|_| {
            fork(|| {
                for _ in 0..ROUNDS {
                    start.hear();
                    let region = D::sysv_create_at(&path, 1, 5000, &with(Flags::OR_OPEN)).unwrap();
                    assert_eq!(region.size(), 5000);
                    result.tell(i64::from(region.sysv_id().unwrap()) << 1 | i64::from(region.created()));
                }
            })
        })
        .collect();
    for _ in 0..ROUNDS {
        (0..CREATORS).for_each(|_| start.tell(0));
        let results: Vec<_> = (0..CREATORS).map(|_| result.hear()).collect();
        assert!(results.iter().all(|result| result >> 1 == results[0] >> 1), "one segment: {results:?}");
        assert_eq!(results.iter().filter(|&result| result & 1 == 1).count(), 1, "one creator: {results:?}");
        D::sysv_remove((results[0] >> 1) as i32).unwrap();
    }
    creators.into_iter().for_each(Child::join);
}

/// What one leaves when it dies between making a segment and finishing it is nobody's: the next creator
/// waits for a second, then makes a new one.
fn a_creator_killed_at_any_point_blocks_nobody<D: Door>() {
    let (_directory, path) = place();
    let key = D::sysv_key(&path, 1).unwrap();
    let mut half_way = 0;
    for round in 0..1000 {
        if half_way == 2 {
            return;
        }
        let ready = Line::new();
        let creator = fork(|| {
            ready.tell(0);
            loop {
                let region = D::sysv_create_at(&path, 1, 5000, &with(Flags::OR_OPEN)).unwrap();
                D::sysv_remove(region.sysv_id().unwrap()).unwrap();
            }
        });
        ready.hear();
        // No event to wait for: the point is to strike anywhere.
        unsafe { libc::usleep(round * 37 % 500) };
        creator.slay();
        let left = unsafe { libc::shmget(key, 0, 0) };
        let unfinished = D::sysv_attach_at(&path, 1, &plain()).err().filter(|it| it.code == -EAGAIN);
        if let Some(failure) = &unfinished {
            half_way += 1;
            assert!(failure.message.contains("/place'"), "{}", failure.message);
            fails(D::sysv_create_at(&path, 1, 5000, &plain()), EEXIST, &["/place'"]);
        }
        let region = D::sysv_create_at(&path, 1, 5000, &with(Flags::OR_OPEN)).unwrap();
        assert_eq!(region.size(), 5000);
        assert_eq!(D::sysv_attach_at(&path, 1, &plain()).unwrap().sysv_id(), region.sysv_id());
        if unfinished.is_some() {
            assert!(region.created() && region.sysv_id() != Ok(left));
        }
        D::sysv_remove(region.sysv_id().unwrap()).unwrap();
    }
    panic!("a thousand kills, and none struck half way");
}

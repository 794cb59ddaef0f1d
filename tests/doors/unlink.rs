//! A region removes its own name, and no other.

use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::Path;

use libc::{ENOENT, EOPNOTSUPP, ESTALE};

use crate::door::*;
use crate::names::*;
use crate::support::*;

scenarios! {
    a_region_removes_its_own_name,
    what_stands_in_its_place_is_not_removed,
    the_path_of_a_file_goes_as_a_name_does,
    who_has_no_name_removes_none,
}

fn a_region_removes_its_own_name<D: Door>() {
    let name = new_name();
    let made = create::<D>(&name, Flags::empty()).unwrap();
    let found = open_it::<D>(&name).unwrap();
    found.unlink().unwrap();
    assert!(!name.path().exists());
    for region in [&made, &found] {
        fails(region.unlink(), ENOENT, &[&name.as_str()[1..]]);
    }
    made.write(0, b"here").unwrap();
    assert_eq!(found.bytes(0, 4).unwrap(), b"here");

    // Also in a child, which is asked for it; and before it is due.
    for flags in [LAST, CREATOR] {
        let region = create::<D>(&name, flags).unwrap();
        fork(|| region.unlink().unwrap()).join();
        assert!(!name.path().exists());
        let next = create::<D>(&name, flags).unwrap();
        fails(region.unlink(), ESTALE, &[]);
        region.close().unwrap();
        assert!(name.path().exists());
        next.unlink().unwrap();
        next.close().unwrap();
    }
}

fn what_stands_in_its_place_is_not_removed<D: Door>() {
    let name = new_name();
    let old = create::<D>(&name, Flags::empty()).unwrap();
    let new = create::<D>(&name, Flags::REPLACE).unwrap();
    let says = [&name.as_str()[1..], "another object"];
    fails(old.unlink(), ESTALE, &says);
    assert_eq!(inode(&name.path()), identity(&new.fd().unwrap()).1);
    new.unlink().unwrap();
    // A link to it is not it.
    let other = PosixName::new();
    let region = create::<D>(&name, Flags::empty()).unwrap();
    std::fs::rename(name.path(), other.path()).unwrap();
    symlink(other.path(), name.path()).unwrap();
    fails(region.unlink(), ESTALE, &says);
    assert!(other.path().exists() && name.path().is_symlink());
    // Nor is a directory.
    std::fs::remove_file(name.path()).unwrap();
    std::fs::create_dir(name.path()).unwrap();
    fails(region.unlink(), ESTALE, &says);
    std::fs::remove_dir(name.path()).unwrap();
    fails(region.unlink(), ENOENT, &says[..1]);
}

fn the_path_of_a_file_goes_as_a_name_does<D: Door>() {
    let directory = Directory::new();
    let (path, link) = (directory.file("block"), directory.file("link"));
    let made = D::file_create(&path, 5000, &plain()).unwrap();
    symlink("block", &link).unwrap();
    let by_link = D::file_open(&link, 0, &plain()).unwrap();
    fails(by_link.unlink(), ESTALE, &["link"]);
    assert!(directory.file("link") == link && Path::new(&link).is_symlink() && Path::new(&path).exists());
    let found = D::file_open(&path, 0, &plain()).unwrap();
    found.unlink().unwrap();
    assert!(!Path::new(&path).exists());
    fails(made.unlink(), ENOENT, &["block"]);
    directory.write("block", b"another");
    fails(made.unlink(), ESTALE, &["block", "another object"]);
    assert_eq!(std::fs::read(&path).unwrap(), b"another");

    // A relative path is of the directory that is current now.
    let home = std::env::current_dir().unwrap();
    std::env::set_current_dir(directory.path()).unwrap();
    let relative = D::file_create("relative", 1, &plain()).unwrap();
    std::fs::create_dir("below").unwrap();
    std::env::set_current_dir("below").unwrap();
    fails(relative.unlink(), ENOENT, &["relative"]);
    std::env::set_current_dir(directory.path()).unwrap();
    relative.unlink().unwrap();
    let dotted = D::file_create("below/../dotted", 1, &plain()).unwrap();
    dotted.unlink().unwrap();
    assert!(!Path::new("dotted").exists());
    let deep = D::file_create("below/deep", 1, &plain()).unwrap();
    std::fs::remove_dir_all("below").unwrap();
    fails(deep.unlink(), ENOENT, &["below/deep"]);
    std::env::set_current_dir(home).unwrap();
}

fn who_has_no_name_removes_none<D: Door>() {
    let (_, directory) = (own_ipc(), Directory::new());
    let file = D::file_create(&directory.file("block"), 1, &plain()).unwrap();
    let key = Key::new();
    let segment = D::sysv_create(key.get(), 1, &plain()).unwrap();
    let (one, other) = socketpair(libc::SOCK_SEQPACKET);
    D::send_region(one.as_raw_fd(), &file, None).unwrap();
    for region in [
        D::create("block", 1, &plain()).unwrap(),
        D::anon_create(1, &plain()).unwrap(),
        D::from_fd(file.fd().unwrap(), 0, &plain()).unwrap(),
        D::recv_region(other.as_raw_fd(), &with(Flags::RISK_SHRINK), None).unwrap(),
    ] {
        fails(region.unlink(), EOPNOTSUPP, &["none"]);
    }
    fails(segment.unlink(), EOPNOTSUPP, &["segment"]);
    D::sysv_remove(segment.sysv_id().unwrap()).unwrap();
    assert_eq!(directory.entries(), ["block"]);
}

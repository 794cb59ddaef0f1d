//! What docs/claims.md says, shown on the real kernel by real processes. A test's name begins with the
//! claim that it is for.

#[path = "../support/mod.rs"]
mod support;

mod copies;
mod d1;
mod d2;
mod d3;
mod d4;
mod inspection;
mod kernel;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockType};
use nix::sys::statfs::{statfs, FsType, TMPFS_MAGIC};
use support::Directory;

/// One end of a Unix socket between two processes: for descriptors, regions and words.
struct Link(OwnedFd);

impl Link {
    fn pair() -> (Link, Link) {
        let (unix, packets) = (AddressFamily::Unix, SockType::SeqPacket);
        let (one, other) = socket::socketpair(unix, packets, None, SockFlag::SOCK_CLOEXEC).unwrap();
        (Link(one), Link(other))
    }

    fn say(&self, words: impl Display) {
        socket::send(self.as_raw_fd(), words.to_string().as_bytes(), MsgFlags::empty()).unwrap();
    }

    fn hear(&self) -> String {
        let mut words = [0; 4096];
        let length = socket::recv(self.as_raw_fd(), &mut words, MsgFlags::empty()).unwrap();
        String::from_utf8(words[..length].to_vec()).unwrap()
    }
}

impl AsRawFd for Link {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// The code of a failure, and its sentence.
#[track_caller]
fn refused<T>(result: shmkit::Result<T>) -> (i32, String) {
    let error = result.err().expect("this must fail");
    (error.code().raw(), error.to_string())
}

/// Bytes that do not repeat from page to page.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

fn in_memory(path: &Path) -> bool {
    const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);
    let kind = statfs(path).unwrap().filesystem_type();
    kind == TMPFS_MAGIC || kind == RAMFS_MAGIC
}

const NO_DISK: &str = "found no directory on a disk";
const NO_TMPFS: &str = "no tmpfs at /dev/shm";

fn directory_on_disk() -> Option<Directory> {
    let places = [std::env::temp_dir(), "/var/tmp".into(), env!("CARGO_TARGET_TMPDIR").into()];
    places.iter().find(|place| place.is_dir() && !in_memory(place)).map(|place| Directory::below(place))
}

fn directory_in_memory() -> Option<Directory> {
    let place = Path::new("/dev/shm");
    in_memory(place).then(|| Directory::below(place))
}

/// Each row of docs/claims.md names the claim's tests, and there are no others.
#[test]
fn the_document_names_every_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(root.join("docs/claims.md")).unwrap();
    let mut named = BTreeSet::new();
    for row in document.lines().filter(|line| line.starts_with("| D")) {
        let claim = row[2..].split(' ').next().unwrap().to_lowercase().replace('.', "_") + "_";
        named.extend(row.split('`').filter(|word| word.starts_with(&claim)).map(str::to_string));
    }
    let mut written = BTreeSet::new();
    for entry in fs::read_dir(root.join("tests/claims")).unwrap() {
        let source = fs::read_to_string(entry.unwrap().path()).unwrap();
        let tests = source.split("#[test]\nfn d").skip(1);
        written.extend(tests.map(|test| format!("d{}", test.split('(').next().unwrap())));
    }
    assert_eq!(named, written);
}

//! Outputs that end early, and processes that end early.

use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use shmkit::{Options, Region};

use crate::support::*;
use crate::{command, Ran};

const ALL: [&[&str]; 7] =
    [&["list"], &["list", "--json"], &["limits"], &["doctor"], &["show", "doubted"], &["--help"], &["clean"]];

#[test]
fn nobody_reads_the_answer() {
    own_process!(60, || {
        let region = Region::create("doubted", 4096, &Options::default()).unwrap();
        for arguments in ALL {
            let (reader, writer) = pipe();
            drop(reader);
            let ran: Ran = command(arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap().into();
            assert!(
                ran.code == Some(0) || arguments == ["doctor"],
                "{arguments:?}: {:?} {}",
                ran.code,
                ran.err
            );
            assert!(!ran.err.contains("roken pipe"), "{}", ran.err);
        }
        // Nor what is said on stderr.
        let (reader, writer) = pipe();
        drop(reader);
        let ran: Ran = command(&["show", "no such name"]).stderr(writer).output().unwrap().into();
        ran.ends(1);
        drop(region);
    });
}

/// Two ends; what is written to one whose other is gone is EPIPE, as of a pipe.
fn pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = UnixStream::pair().unwrap();
    (reader.into(), writer.into())
}

#[test]
fn a_full_disk_is_said() {
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    for arguments in [&["limits"][..], &["list", "--json"]] {
        let ran: Ran = command(arguments).stdout(full()).stderr(Stdio::piped()).output().unwrap().into();
        let ran = ran.ends(1);
        assert!(ran.sentence().starts_with("shmkit: cannot write the answer: No space left"), "{}", ran.err);
    }
}

#[test]
fn objects_that_come_and_go_meanwhile() {
    own_process!(90, || {
        let storm = fork(|| loop {
            let name = PosixName::new();
            let posix = Region::posix_create(name.as_str(), 4096, &Options::default()).unwrap();
            let memfd = Region::create("storm", 4096, &Options::default()).unwrap();
            let child = fork(|| {});
            drop((posix, memfd));
            child.join();
        });
        for _ in 0..10 {
            for arguments in [&["list", "--json"][..], &["list"], &["clean"]] {
                Ran::from(command(arguments).output().unwrap()).ends(0);
            }
            // Found or gone, both are an answer.
            let ran = Ran::from(command(&["show", "storm"]).output().unwrap());
            assert!(matches!(ran.code, Some(0 | 1)), "{}", ran.err);
        }
        storm.slay();
    });
}

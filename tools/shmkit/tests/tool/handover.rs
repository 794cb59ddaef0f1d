//! A file's bytes, from one process to another.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};

use shmkit::handover::{self, Deadline};
use shmkit::{Flags, Options, Region};

use crate::support::*;
use crate::{command, run, Ran};

fn receive(arguments: &[&str]) -> Child {
    let arguments = [&["receive"], arguments].concat();
    command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn end(child: Child) -> Ran {
    child.wait_with_output().unwrap().into()
}

fn until_exists(path: &str) {
    while !Path::new(path).exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn bytes_arrive_as_they_were() {
    own_process!(60, || {
        let directory = Directory::new();
        let (socket, copy) = (directory.file("socket"), directory.file("copy"));
        let bytes: Vec<u8> = (0..3_000_001u32).map(|at| (at / 7) as u8).collect();
        let file = directory.write("file", &bytes);
        let receiver = receive(&[&socket, "--output", &copy]);
        run(&["send", &file, &socket, "--wait", "30"]).ends(0);
        let ran = end(receiver).ends(0);
        assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""));
        assert!(std::fs::read(&copy).unwrap() == bytes);
        assert_eq!(directory.entries(), ["copy", "file"], "no socket is left");

        // From stdin, to stdout, without a file for the socket.
        let name = format!("@{socket}");
        let receiver = receive(&[&name]);
        let mut sender =
            command(&["send", "-", &name, "--wait", "30"]).stdin(Stdio::piped()).spawn().unwrap();
        sender.stdin.take().unwrap().write_all("short, ü\0".as_bytes()).unwrap();
        assert!(sender.wait().unwrap().success());
        assert_eq!(end(receiver).ends(0).out, "short, ü\0");
    });
}

#[test]
fn any_program_of_the_library_can_be_the_other_side() {
    own_process!(60, || {
        let directory = Directory::new();
        let socket = directory.file("socket");
        let receiver = receive(&[&socket]);
        until_exists(&socket);
        let region = Region::create("mine", 5, &Options::default()).unwrap();
        region.write(0, b"hello").unwrap();
        // It may be there before it listens.
        let connected = (0..1000).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            handover::connect(&socket, Deadline::after(std::time::Duration::from_secs(10))).ok()
        });
        handover::send_region(&connected.unwrap(), &region, Deadline::NEVER).unwrap();
        assert_eq!(end(receiver).ends(0).out, "hello");

        let listener = handover::listen(&socket).unwrap();
        let file = directory.write("file", b"frozen");
        run(&["send", &file, &socket]).ends(0);
        let peer = handover::accept(&listener, Deadline::NEVER).unwrap();
        let options = Options::with_flags(Flags::READ_ONLY);
        let region = handover::recv_region(&peer, &options, Deadline::NEVER).unwrap();
        assert!(region.seals().unwrap().contains(shmkit::Seals::WRITE | shmkit::Seals::SHRINK));
        std::fs::remove_file(&socket).unwrap();
    });
}

#[test]
fn what_cannot_be_sent_or_should_not_be_received() {
    own_process!(60, || {
        let directory = Directory::new();
        let socket = directory.file("socket");
        let says = |arguments: &[&str], what: &str| {
            let ran = run(arguments).ends(1);
            assert!(!ran.err.contains("os error"), "{}", ran.err);
            assert!(ran.sentence().contains(what) && ran.err.lines().count() == 1, "{}", ran.err);
        };
        let (file, empty) = (directory.write("file", &[1; 5000]), directory.write("empty", b""));
        says(&["send", &file, &socket], "cannot connect to ");
        says(&["send", &empty, &socket], "empty: it is empty");
        says(&["send", directory.path().to_str().unwrap(), &socket], "Is a directory");
        says(&["send", "/nowhere", &socket], "cannot send /nowhere: No such file or directory");
        says(&["receive", "/nowhere/socket"], "cannot listen on");
        says(&["receive", &socket, "--timeout", "0.05"], "timed out");
        says(&["receive", &file], "cannot listen on");

        let receiver = receive(&[&socket, "--max", "4k"]);
        run(&["send", &file, &socket, "--wait", "30"]);
        let ran = end(receiver).ends(1);
        assert!(ran.sentence().contains("4096"), "{}", ran.err);

        // Who does not speak the protocol.
        let receiver = receive(&[&socket]);
        until_exists(&socket);
        let hostile = (0..1000).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            handover::connect(&socket, Deadline::after(std::time::Duration::from_secs(10))).ok()
        });
        raw_send(&hostile.unwrap(), &[0xff; 64], &[0]).unwrap();
        let ran = end(receiver).ends(1);
        assert_eq!((ran.out.as_str(), ran.err.lines().count()), ("", 1), "{}", ran.err);
        assert_eq!(directory.entries(), ["empty", "file"]);
    });
}

#[test]
fn a_signal_leaves_no_socket_behind() {
    own_process!(60, || {
        let directory = Directory::new();
        let socket = directory.file("socket");
        let mut receiver = receive(&[&socket]);
        until_exists(&socket);
        good(unsafe { libc::kill(receiver.id() as i32, libc::SIGTERM) });
        let status = receiver.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGTERM));
        assert!(directory.entries().is_empty());
        let mut rest = String::new();
        receiver.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
    });
}

//! From an input file to an output file through a second process: how often each byte is copied.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use shmkit::{Options, Region};

use crate::kernel::bytes_moved;
use crate::support::*;
use crate::{pattern, Link};

const MOVED: usize = 96 << 10;
const CHUNK: usize = 4096;

#[test]
fn d2_14_shared_memory_copies_twice_where_pipes_and_queues_copy_four_times() {
    own_process!(10, || {
        // Where this is permitted, the queue goes with the process, however that ends.
        let _ = own_ipc();
        let (reading, writing) = pipe2(OFlag::O_CLOEXEC).unwrap();
        let (mut reading, mut writing) = (File::from(reading), File::from(writing));
        let by_pipe = count(
            |input| {
                in_chunks(|bytes| {
                    input.read_exact(bytes).unwrap();
                    writing.write_all(bytes).unwrap();
                });
            },
            |output| {
                in_chunks(|bytes| {
                    reading.read_exact(bytes).unwrap();
                    output.write_all(bytes).unwrap();
                });
            },
            Order::AtOnce,
        );
        let queue = Queue::new();
        let by_queue = count(
            |input| {
                in_chunks(|bytes| {
                    input.read_exact(bytes).unwrap();
                    queue.send(bytes);
                });
            },
            |output| {
                in_chunks(|bytes| {
                    queue.receive(bytes);
                    output.write_all(bytes).unwrap();
                });
            },
            Order::AtOnce,
        );
        let region = Region::create("d2_14", MOVED, &Options::default()).unwrap();
        let memory = region.as_ptr().cast::<libc::c_void>();
        let by_region = count(
            |input| assert_eq!(unsafe { libc::read(input.as_raw_fd(), memory, MOVED) }, MOVED as isize),
            |output| assert_eq!(unsafe { libc::write(output.as_raw_fd(), memory, MOVED) }, MOVED as isize),
            Order::InTurn,
        );
        let n = MOVED as u64;
        // What msgsnd and msgrcv were given, the kernel does not count.
        assert_eq!((by_pipe, by_queue + 2 * n, by_region), (4 * n, 4 * n, 2 * n));
    });
}

#[derive(PartialEq)]
enum Order {
    /// What carries the bytes holds few of them.
    AtOnce,
    InTurn,
}

/// Runs both processes, and counts the bytes that they move by system calls.
fn count(source: impl FnOnce(&mut File), sink: impl FnOnce(&mut File), order: Order) -> u64 {
    let directory = Directory::new();
    fs::write(directory.file("input"), pattern(MOVED)).unwrap();
    let mut input = File::open(directory.file("input")).unwrap();
    let mut output = File::create(directory.file("output")).unwrap();
    let (to_source, from_here) = Link::pair();
    let source = fork(|| at_a_word(&from_here, || source(&mut input)));
    let (to_sink, from_here) = Link::pair();
    let sink = fork(|| at_a_word(&from_here, || sink(&mut output)));

    let moved = || bytes_moved(source.pid()) + bytes_moved(sink.pid());
    let before = moved();
    to_source.say("go");
    if order == Order::AtOnce {
        to_sink.say("go");
    }
    assert_eq!(to_source.hear(), "done");
    if order == Order::InTurn {
        to_sink.say("go");
    }
    assert_eq!(to_sink.hear(), "done");
    let total = moved() - before;
    for (link, process) in [(to_source, source), (to_sink, sink)] {
        link.say("counted");
        process.join();
    }
    assert!(fs::read(directory.file("output")).unwrap() == pattern(MOVED));
    total
}

/// The words themselves go by send() and recv(), which are not counted.
fn at_a_word(link: &Link, work: impl FnOnce()) {
    assert_eq!(link.hear(), "go");
    work();
    link.say("done");
    assert_eq!(link.hear(), "counted");
}

fn in_chunks(mut work: impl FnMut(&mut [u8])) {
    let mut bytes = [0; CHUNK];
    (0..MOVED / CHUNK).for_each(|_| work(&mut bytes));
}

/// A System V message queue.
struct Queue(i32);

#[repr(C)]
struct Message {
    kind: libc::c_long,
    bytes: [u8; CHUNK],
}

impl Queue {
    fn new() -> Queue {
        Queue(good(unsafe { libc::msgget(libc::IPC_PRIVATE, 0o600) }))
    }

    fn send(&self, bytes: &[u8]) {
        let message = Message { kind: 1, bytes: bytes.try_into().unwrap() };
        good(unsafe { libc::msgsnd(self.0, (&raw const message).cast(), CHUNK, 0) });
    }

    fn receive(&self, bytes: &mut [u8]) {
        let mut message = Message { kind: 0, bytes: [0; CHUNK] };
        let received = unsafe { libc::msgrcv(self.0, (&raw mut message).cast(), CHUNK, 0, 0) };
        assert_eq!(received, CHUNK as isize);
        bytes.copy_from_slice(&message.bytes);
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        unsafe { libc::msgctl(self.0, libc::IPC_RMID, std::ptr::null_mut()) };
    }
}

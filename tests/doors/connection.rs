//! Listening, connecting, and who is at the other end.

use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixListener};

use libc::{
    EACCES, EADDRINUSE, EAGAIN, EBADF, ECONNREFUSED, EINVAL, ENAMETOOLONG, ENOENT, ENOTDIR, ENOTSOCK,
    EPROTOTYPE, ETIMEDOUT,
};

use crate::door::*;
use crate::support::*;

scenarios! {
    two_processes_meet_on_a_path,
    two_processes_meet_on_an_abstract_name,
    paths_have_107_bytes,
    bad_paths_are_told_apart,
    a_stale_socket_is_replaced_and_nothing_else,
    listeners_race_for_a_stale_socket_and_one_wins: 20,
    only_seqpacket_listeners_are_connected_to,
    nobody_comes_until_the_deadline,
    a_full_queue_is_waited_for_until_the_deadline,
    what_is_no_listener_is_refused,
    the_peer_is_who_connected,
    a_negative_deadline_is_einval,
}

fn two_processes_meet_on_a_path<D: Door>() {
    let directory = Directory::new();
    let path = directory.file("socket");
    let listener = D::listen(&path).unwrap();
    assert!(is_close_on_exec(&listener));
    meet::<D>(&path, listener.as_raw_fd());
    drop(listener);
    assert_eq!(directory.entries(), ["socket"], "the file stays until it is unlinked");
}

fn two_processes_meet_on_an_abstract_name<D: Door>() {
    let name = format!("@shmkit-test-{}", std::process::id());
    let listener = D::listen(&name).unwrap();
    fails(D::listen(&name), EADDRINUSE, &[&name]);
    meet::<D>(&name, listener.as_raw_fd());
    drop(listener);
    fails(D::connect(&name, None), ECONNREFUSED, &[&name]);
    D::listen(&name).unwrap();
}

fn meet<D: Door>(path: &str, listener: RawFd) {
    for wait in [None, Some(in_ms(4000))] {
        let child = fork(|| {
            let socket = D::connect(path, wait).unwrap();
            assert!(is_close_on_exec(&socket));
            D::send_fd(socket.as_raw_fd(), 0, None).unwrap();
        });
        let socket = D::accept(listener, wait).unwrap();
        assert!(is_close_on_exec(&socket));
        D::recv_fd(socket.as_raw_fd(), None).unwrap();
        child.join();
    }
}

fn paths_have_107_bytes<D: Door>() {
    let directory = Directory::new();
    good(unsafe { libc::chdir(c(directory.path().to_str().unwrap()).as_ptr()) });
    let longest = "x".repeat(107);
    let listener = D::listen(&longest).unwrap();
    D::connect(&longest, None).unwrap();
    drop(listener);
    let name = format!("@{:0>106}", std::process::id());
    let listener = D::listen(&name).unwrap();
    D::connect(&name, None).unwrap();
    drop(listener);
    for (path, says) in [("x".repeat(108), "108"), (format!("@{}", "x".repeat(107)), "108")] {
        fails(D::listen(&path), ENAMETOOLONG, &[says, "107"]);
        fails(D::connect(&path, None), ENAMETOOLONG, &[says, "107"]);
    }
    fails(D::listen(&"y".repeat(100_000)), ENAMETOOLONG, &["100000", "107"]);
    good(unsafe { libc::chdir(c"/".as_ptr()) });
}

fn bad_paths_are_told_apart<D: Door>() {
    let directory = Directory::new();
    let missing = directory.file("missing/socket");
    for path in ["", "@"] {
        fails(D::listen(path), EINVAL, &[&format!("'{path}'")]);
        fails(D::connect(path, None), EINVAL, &[&format!("'{path}'")]);
    }
    fails(D::listen(&missing), ENOENT, &["missing/socket'"]);
    fails(D::connect(&missing, None), ENOENT, &["missing/socket'"]);
    fails(D::connect(&directory.file("nobody"), None), ENOENT, &["/nobody'"]);
    std::fs::write(directory.file("file"), "x").unwrap();
    fails(D::listen(&directory.file("file/socket")), ENOTDIR, &["file/socket'"]);
    fails(D::connect(&directory.file("file"), None), ECONNREFUSED, &["/file'"]);
    let child = fork_as_nobody(|| fails(D::listen(&directory.file("new")), EACCES, &["/new'"]));
    match child {
        Ok(child) => child.join(),
        Err(why) => skip(why),
    }
    assert_eq!(directory.entries(), ["file"]);
}

fn a_stale_socket_is_replaced_and_nothing_else<D: Door>() {
    let directory = Directory::new();
    let path = directory.file("socket");
    drop(D::listen(&path).unwrap());
    fails(D::connect(&path, None), ECONNREFUSED, &["/socket'"]);
    let listener = D::listen(&path).unwrap();
    fails(D::listen(&path), EADDRINUSE, &["/socket'"]);
    // The question whether somebody listens left nothing behind.
    fails(D::accept(listener.as_raw_fd(), Some(0)), ETIMEDOUT, &[]);
    let socket = D::connect(&path, None).unwrap();
    D::accept(listener.as_raw_fd(), None).unwrap();
    drop((socket, listener));
    std::fs::remove_file(&path).unwrap();

    // A listener of another type, or one without room, is somebody.
    let stream = UnixListener::bind(&path).unwrap();
    fails(D::listen(&path), EADDRINUSE, &["/socket'"]);
    drop(stream);
    D::listen(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let datagram = UnixDatagram::bind(&path).unwrap();
    fails(D::listen(&path), EADDRINUSE, &["/socket'"]);
    drop(datagram);
    std::fs::remove_file(&path).unwrap();

    // What is no socket stays.
    std::fs::write(&path, "precious").unwrap();
    fails(D::listen(&path), EADDRINUSE, &["/socket'"]);
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    fails(D::listen(&path), EADDRINUSE, &["/socket'"]);
    std::fs::remove_dir(&path).unwrap();
    std::os::unix::fs::symlink(directory.file("elsewhere"), &path).unwrap();
    fails(D::listen(&path), EADDRINUSE, &["/socket'"]);
    assert!(std::fs::symlink_metadata(&path).unwrap().is_symlink());
}

/// Each round a stale socket file, and several who want to listen there.
fn listeners_race_for_a_stale_socket_and_one_wins<D: Door>() {
    const ROUNDS: usize = 500;
    const LISTENERS: usize = 3;
    let directory = Directory::new();
    let path = directory.file("socket");
    let (start, result, end) = (Line::new(), Line::new(), Line::new());
    let listeners: Vec<_> = (0..LISTENERS)
        .map(|_| {
            fork(|| {
                for _ in 0..ROUNDS {
                    start.hear();
                    let listener = D::listen(&path);
                    if let Err(failure) = &listener {
                        assert_eq!(failure.code, -EADDRINUSE, "{}", failure.message);
                    }
                    result.tell(listener.is_ok().into());
                    end.hear();
                    drop(listener);
                    result.tell(0);
                }
            })
        })
        .collect();
    for _ in 0..ROUNDS {
        (0..LISTENERS).for_each(|_| start.tell(0));
        assert_eq!((0..LISTENERS).map(|_| result.hear()).sum::<i64>(), 1, "one listener a round");
        // Who connects finds the winner.
        D::connect(&path, None).unwrap();
        (0..LISTENERS).for_each(|_| end.tell(0));
        (0..LISTENERS).for_each(|_| assert_eq!(result.hear(), 0));
    }
    listeners.into_iter().for_each(Child::join);
}

fn only_seqpacket_listeners_are_connected_to<D: Door>() {
    let directory = Directory::new();
    let path = directory.file("socket");
    let _stream = UnixListener::bind(&path).unwrap();
    fails(D::connect(&path, None), EPROTOTYPE, &["/socket'"]);
    fails(D::connect(&path, Some(in_ms(4000))), EPROTOTYPE, &["/socket'"]);
    // A stream listener can be accepted from.
    let _client = std::os::unix::net::UnixStream::connect(&path).unwrap();
    D::accept(_stream.as_raw_fd(), None).unwrap();
}

fn nobody_comes_until_the_deadline<D: Door>() {
    let directory = Directory::new();
    let path = directory.file("socket");
    let listener = D::listen(&path).unwrap();
    let number = number(&listener);
    for after in [-1000, 0, 50] {
        let deadline = in_ms(after);
        fails(D::accept(listener.as_raw_fd(), Some(deadline)), ETIMEDOUT, &[&number]);
        assert!(monotonic_ns() >= deadline);
    }
    // Over, but somebody is there: it tries once.
    let _client = D::connect(&path, Some(0)).unwrap();
    D::accept(listener.as_raw_fd(), Some(0)).unwrap();
    set_nonblocking(&listener);
    fails(D::accept(listener.as_raw_fd(), None), EAGAIN, &[&number]);
    fails(D::accept(listener.as_raw_fd(), Some(in_ms(20))), ETIMEDOUT, &[&number]);
    let _client = D::connect(&path, Some(i64::MAX)).unwrap();
    D::accept(listener.as_raw_fd(), Some(i64::MAX)).unwrap();
}

fn a_full_queue_is_waited_for_until_the_deadline<D: Door>() {
    let name = format!("@shmkit-test-{}", std::process::id());
    let listener = D::listen(&name).unwrap();
    // Of the kernel's own making, and short.
    good(unsafe { libc::listen(listener.as_raw_fd(), 1) });
    let mut clients = Vec::new();
    let failed = loop {
        match D::connect(&name, Some(in_ms(30))) {
            Ok(client) => clients.push(client),
            failed => break failed,
        }
        assert!(clients.len() < 10);
    };
    fails(failed, ETIMEDOUT, &[&name]);
    fails(D::connect(&name, Some(0)), ETIMEDOUT, &[&name]);
    // For ever is until there is room.
    let child = fork(|| drop(D::connect(&name, None).unwrap()));
    for _ in 0..=clients.len() {
        D::accept(listener.as_raw_fd(), None).unwrap();
    }
    child.join();
}

fn what_is_no_listener_is_refused<D: Door>() {
    let (one, _other) = socketpair(libc::SOCK_SEQPACKET);
    let file = open("/dev/null", libc::O_RDONLY);
    for (fd, errno) in [(NEVER_OPEN, EBADF), (-1, EBADF), (i32::MAX, EBADF), (file.as_raw_fd(), ENOTSOCK)] {
        let number = number(&fd);
        fails(D::accept(fd, None), errno, &[&number]);
        fails(D::peer(fd), errno, &[&number]);
        for wait in [None, Some(0)] {
            fails(D::send_fd(fd, file.as_raw_fd(), wait), errno, &[&number]);
            fails(D::recv_fd(fd, wait), errno, &[&number]);
            fails(D::recv_region(fd, &plain(), wait), errno, &[&number]);
        }
    }
    fails(D::accept(one.as_raw_fd(), None), EINVAL, &[&number(&one)]);
}

fn the_peer_is_who_connected<D: Door>() {
    let name = format!("@shmkit-test-{}", std::process::id());
    let listener = D::listen(&name).unwrap();
    let end = Line::new();
    let visit = || {
        let socket = D::connect(&name, None).unwrap();
        let peer = D::peer(socket.as_raw_fd()).unwrap();
        assert_eq!(peer.pid, std::os::unix::process::parent_id() as i32);
        end.hear();
    };
    let check = |child: Child, (uid, gid): (u32, u32)| {
        let socket = D::accept(listener.as_raw_fd(), None).unwrap();
        let peer = D::peer(socket.as_raw_fd()).unwrap();
        assert_eq!((peer.pid, peer.uid, peer.gid), (child.pid(), uid, gid));
        match &peer.pidfd {
            None => skip("this kernel has no SO_PEERPIDFD"),
            Some(pidfd) => {
                assert!(is_close_on_exec(pidfd));
                let info = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
                let info = std::fs::read_to_string(info).unwrap();
                assert!(info.contains(&format!("Pid:\t{}\n", child.pid())), "{info}");
            }
        }
        end.tell(0);
        child.join();
    };
    check(fork(visit), unsafe { (libc::geteuid(), libc::getegid()) });
    match fork_as_nobody(visit) {
        Ok(child) => check(child, (nobody(), nobody())),
        Err(why) => skip(why),
    }
    // A socketpair names its creator, at both ends and in every process.
    let (one, other) = socketpair(libc::SOCK_STREAM);
    let own = std::process::id() as i32;
    fork(|| assert_eq!(D::peer(one.as_raw_fd()).unwrap().pid, own)).join();
    assert_eq!(D::peer(other.as_raw_fd()).unwrap().pid, own);
    let unconnected = std::os::unix::net::UnixDatagram::unbound().unwrap();
    fails(D::peer(unconnected.as_raw_fd()), libc::ENOTCONN, &[&number(&unconnected)]);
}

fn a_negative_deadline_is_einval<D: Door>() {
    let (one, _other) = socketpair(libc::SOCK_SEQPACKET);
    let socket = one.as_raw_fd();
    let region = D::create("never sent", 1, &plain()).unwrap();
    for deadline in [-1, i64::MIN] {
        let (wait, says) = (Some(deadline), deadline.to_string());
        fails(D::accept(socket, wait), EINVAL, &[&says]);
        fails(D::connect("@shmkit-nobody", wait), EINVAL, &[&says]);
        fails(D::send_fd(socket, socket, wait), EINVAL, &[&says]);
        fails(D::recv_fd(socket, wait), EINVAL, &[&says]);
        fails(D::send_fds(socket, &[socket], b"x", wait), EINVAL, &[&says]);
        fails(D::recv_fds(socket, 1, &mut [0], wait), EINVAL, &[&says]);
        fails(D::send_region(socket, &region, wait), EINVAL, &[&says]);
        fails(D::recv_region(socket, &plain(), wait), EINVAL, &[&says]);
    }
}

//! Descriptors in messages: all or nothing, and nothing left open.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use libc::{
    EAGAIN, EBADF, ECONNRESET, EINVAL, EMFILE, EPIPE, EPROTO, ETIMEDOUT, ETOOMANYREFS, SOCK_SEQPACKET,
    SOCK_STREAM,
};

use crate::door::*;
use crate::support::*;

scenarios! {
    one_to_253_descriptors_travel,
    another_count_is_einval_and_nothing_is_sent,
    a_bad_number_among_good_ones_sends_nothing,
    a_payload_of_nothing_is_einval,
    any_program_understands_one_descriptor,
    another_count_arrives_and_all_are_closed,
    bytes_that_do_not_fit_are_refused,
    a_stream_merges_and_is_told_apart,
    credentials_cost_no_descriptor,
    a_receiver_at_its_limit_is_told_and_goes_on,
    too_many_in_flight_can_be_tried_again,
    a_gone_peer_is_an_error_and_no_signal,
    a_peer_that_closes_half_way_is_econnreset,
    nothing_comes_until_the_deadline,
    a_dripping_peer_does_not_outlast_the_deadline,
    a_peer_that_never_reads_is_waited_for_until_the_deadline,
    a_long_payload_on_a_stream_arrives_whole,
    signals_do_not_show,
    threads_share_a_socket: 10,
}

fn null() -> OwnedFd {
    open("/dev/null", libc::O_RDONLY)
}

fn one_to_253_descriptors_travel<D: Door>() {
    let files: Vec<_> = (0..253).map(|_| null()).collect();
    let numbers: Vec<_> = files.iter().map(|file| file.as_raw_fd()).collect();
    for kind in KINDS {
        let (one, other) = socketpair(kind);
        for (count, payload) in [(1, "x"), (2, "two"), (252, "almost"), (253, "all of them"), (1, "again")] {
            for wait in [None, Some(in_ms(2000))] {
                D::send_fds(one.as_raw_fd(), &numbers[..count], payload.as_bytes(), wait).unwrap();
                let mut text = vec![0; payload.len()];
                let came = D::recv_fds(other.as_raw_fd(), count, &mut text, wait).unwrap();
                assert_eq!((came.len(), text), (count, payload.as_bytes().to_vec()));
                for fd in &came {
                    assert_eq!(identity(fd), identity(&files[0]));
                    assert!(is_close_on_exec(fd));
                    assert!(!numbers.contains(&fd.as_raw_fd()));
                }
            }
        }
    }
}

fn another_count_is_einval_and_nothing_is_sent<D: Door>() {
    let (one, other) = socketpair(SOCK_SEQPACKET);
    let numbers = vec![one.as_raw_fd(); 1000];
    for count in [0, 254, 255, 1000] {
        let says = [&format!("{count} descriptors"), "253"];
        fails(D::send_fds(one.as_raw_fd(), &numbers[..count], b"x", None), EINVAL, &says);
        fails(D::recv_fds(other.as_raw_fd(), count, &mut [0], Some(0)), EINVAL, &says);
    }
    fails(D::recv_fd(other.as_raw_fd(), Some(0)), ETIMEDOUT, &[]);
}

fn a_bad_number_among_good_ones_sends_nothing<D: Door>() {
    let file = null();
    let good = file.as_raw_fd();
    for kind in KINDS {
        let (one, other) = socketpair(kind);
        for bad in [NEVER_OPEN, -1, i32::MAX, i32::MIN] {
            let number = number(&bad);
            let says = [number.as_str()];
            fails(D::send_fd(one.as_raw_fd(), bad, None), EBADF, &says);
            fails(D::send_fds(one.as_raw_fd(), &[good, good, bad], b"x", None), EBADF, &says);
            fails(D::send_fds(one.as_raw_fd(), &[bad, good], b"x", Some(in_ms(100))), EBADF, &says);
        }
        fails(D::recv_fd(other.as_raw_fd(), Some(0)), ETIMEDOUT, &[]);
        D::send_fd(one.as_raw_fd(), good, None).unwrap();
        D::recv_fd(other.as_raw_fd(), None).unwrap();
    }
}

/// The kernel sends it, and loses the descriptor on a stream.
fn a_payload_of_nothing_is_einval<D: Door>() {
    for kind in KINDS {
        let (one, other) = socketpair(kind);
        fails(D::send_fds(one.as_raw_fd(), &[one.as_raw_fd()], &[], None), EINVAL, &["0 bytes"]);
        fails(D::recv_fds(other.as_raw_fd(), 1, &mut [], Some(0)), EINVAL, &["0 bytes"]);
    }
}

fn any_program_understands_one_descriptor<D: Door>() {
    let file = open("/proc/self/exe", libc::O_RDONLY);
    for kind in KINDS {
        let (one, other) = socketpair(kind);
        raw_send(&one, b"!", &[file.as_raw_fd()]).unwrap();
        let came = D::recv_fd(other.as_raw_fd(), None).unwrap();
        assert_eq!(identity(&came), identity(&file));
        // The same open file: one offset for both.
        good(unsafe { libc::lseek(came.as_raw_fd(), 7, libc::SEEK_SET) } as i32);
        assert_eq!(unsafe { libc::lseek(file.as_raw_fd(), 0, libc::SEEK_CUR) }, 7);
        // And the sender may close it, and go, while it is on its way.
        let last = null();
        D::send_fd(one.as_raw_fd(), last.as_raw_fd(), None).unwrap();
        let is = identity(&last);
        drop((last, one));
        assert_eq!(identity(&D::recv_fd(other.as_raw_fd(), None).unwrap()), is);
        fails(D::recv_fd(other.as_raw_fd(), None), ECONNRESET, &["closed"]);
    }
}

/// Fewer, more, far more: EPROTO, and the next message is fine.
fn another_count_arrives_and_all_are_closed<D: Door>() {
    let files = vec![null().as_raw_fd(); 253];
    let file = null();
    let numbers: Vec<_> = files.iter().map(|_| file.as_raw_fd()).collect();
    for kind in KINDS {
        let (one, other) = socketpair(kind);
        for (sent, expected) in [(0, 1), (2, 1), (3, 1), (253, 1), (1, 2), (3, 2), (4, 2), (252, 253)] {
            raw_send(&one, b"xy", &numbers[..sent]).unwrap();
            let before = descriptors().len();
            let answer = D::recv_fds(other.as_raw_fd(), expected, &mut [0; 2], None);
            fails(answer, EPROTO, &[&number(&other), "descriptors"]);
            assert_eq!(descriptors().len(), before, "{sent} came, {expected} were expected");
            raw_send(&one, b"z", &[file.as_raw_fd()]).unwrap();
            D::recv_fd(other.as_raw_fd(), None).unwrap();
        }
        // The kernel gives a buffer for one descriptor the padding too, and with it a second one.
        raw_send(&one, b"x", &numbers[..2]).unwrap();
        fails(D::recv_fd(other.as_raw_fd(), None), EPROTO, &[]);
    }
}

fn bytes_that_do_not_fit_are_refused<D: Door>() {
    let file = null();
    let (one, other) = socketpair(SOCK_SEQPACKET);
    for (sent, expected) in [(2, 1), (100, 1), (100, 99), (1, 2), (63, 64), (0, 1)] {
        let fds: &[RawFd] = if sent == 0 { &[] } else { &[file.as_raw_fd()] };
        raw_send(&one, &vec![b'x'; sent], fds).unwrap();
        let before = descriptors().len();
        let errno = if sent == 0 { ECONNRESET } else { EPROTO };
        fails(D::recv_fds(other.as_raw_fd(), 1, &mut vec![0; expected], None), errno, &[]);
        assert_eq!(descriptors().len(), before, "{sent} bytes came, {expected} were expected");
        // Consumed as a whole: the next message is the next message.
        raw_send(&one, b"z", &[file.as_raw_fd()]).unwrap();
        D::recv_fd(other.as_raw_fd(), None).unwrap();
    }
    let huge = vec![0; 16 << 20];
    let answer = D::send_fds(one.as_raw_fd(), &[file.as_raw_fd()], &huge, None);
    fails(answer, libc::EMSGSIZE, &[&number(&one)]);
}

/// Plain bytes in front of a descriptor's message.
fn a_stream_merges_and_is_told_apart<D: Door>() {
    let file = null();
    let (one, other) = socketpair(SOCK_STREAM);
    raw_send(&one, b"plain", &[]).unwrap();
    D::send_fd(one.as_raw_fd(), file.as_raw_fd(), None).unwrap();
    for _ in 0..5 {
        fails(D::recv_fd(other.as_raw_fd(), None), EPROTO, &["0 descriptors"]);
    }
    D::recv_fd(other.as_raw_fd(), None).unwrap();
    // Several messages before anybody reads: the kernel keeps their descriptors apart.
    for _ in 0..3 {
        D::send_fds(one.as_raw_fd(), &[file.as_raw_fd(), file.as_raw_fd()], b"ab", None).unwrap();
    }
    for _ in 0..3 {
        let mut text = [0; 2];
        D::recv_fds(other.as_raw_fd(), 2, &mut text, None).unwrap();
        assert_eq!(&text, b"ab");
    }
    // A descriptor in the middle of a payload counts as well, and two are one too many.
    raw_send(&one, b"a", &[]).unwrap();
    raw_send(&one, b"b", &[file.as_raw_fd()]).unwrap();
    D::recv_fds(other.as_raw_fd(), 1, &mut [0; 2], None).unwrap();
    raw_send(&one, b"a", &[file.as_raw_fd()]).unwrap();
    raw_send(&one, b"b", &[file.as_raw_fd()]).unwrap();
    fails(D::recv_fds(other.as_raw_fd(), 1, &mut [0; 2], None), EPROTO, &["2 descriptors"]);
}

/// SO_PASSCRED and SO_PASSPIDFD put their own messages in front of the descriptors.
fn credentials_cost_no_descriptor<D: Door>() {
    const SO_PASSPIDFD: i32 = 76;
    let files: Vec<_> = (0..253).map(|_| null()).collect();
    let numbers: Vec<_> = files.iter().map(|file| file.as_raw_fd()).collect();
    for kind in KINDS {
        for options in [&[libc::SO_PASSCRED][..], &[libc::SO_PASSCRED, SO_PASSPIDFD]] {
            let (one, other) = socketpair(kind);
            for &option in options {
                set_option(&other, option, 1);
            }
            D::send_fd(one.as_raw_fd(), numbers[0], None).unwrap();
            D::recv_fd(other.as_raw_fd(), None).unwrap();
            D::send_fds(one.as_raw_fd(), &numbers, b"all", None).unwrap();
            assert_eq!(D::recv_fds(other.as_raw_fd(), 253, &mut [0; 3], None).unwrap().len(), 253);
            let region = D::create("credited", 100, &plain()).unwrap();
            D::send_region(one.as_raw_fd(), &region, None).unwrap();
            D::recv_region(other.as_raw_fd(), &plain(), None).unwrap();
            raw_send(&one, b"x", &numbers[..2]).unwrap();
            fails(D::recv_fd(other.as_raw_fd(), None), EPROTO, &[]);
        }
    }
}

fn a_receiver_at_its_limit_is_told_and_goes_on<D: Door>() {
    for kind in KINDS {
        let (one, other) = socketpair(kind);
        let file = null();
        let region = D::create("no room", 100, &plain()).unwrap();
        let number = number(&other);
        D::send_fd(one.as_raw_fd(), file.as_raw_fd(), None).unwrap();
        D::send_fds(one.as_raw_fd(), &[file.as_raw_fd(); 3], b"abc", None).unwrap();
        D::send_region(one.as_raw_fd(), &region, None).unwrap();
        D::send_fd(one.as_raw_fd(), file.as_raw_fd(), None).unwrap();
        let top = region.fd().unwrap() as u64 + 1;
        let limit = Limit::lower(libc::RLIMIT_NOFILE, top);
        let one_fd = D::recv_fd(other.as_raw_fd(), None);
        drop(limit);
        // Room for some of them is not enough.
        let limit = Limit::lower(libc::RLIMIT_NOFILE, top + 2);
        let three = D::recv_fds(other.as_raw_fd(), 3, &mut [0; 3], None);
        drop(limit);
        let limit = Limit::lower(libc::RLIMIT_NOFILE, top);
        let received = D::recv_region(other.as_raw_fd(), &plain(), None);
        drop(limit);
        fails(one_fd, EMFILE, &[&number]);
        fails(three, EMFILE, &[&number]);
        fails(received, EMFILE, &[&number]);
        D::recv_fd(other.as_raw_fd(), None).unwrap();
    }
}

/// ETOOMANYREFS holds for users without rights.
fn too_many_in_flight_can_be_tried_again<D: Door>() {
    let child = fork_as_nobody(|| {
        let (one, other) = socketpair(SOCK_STREAM);
        let file = null();
        let limit = Limit::lower(libc::RLIMIT_NOFILE, 20);
        let mut sent = 0;
        let failed = loop {
            match D::send_fd(one.as_raw_fd(), file.as_raw_fd(), None) {
                Ok(()) => sent += 1,
                failed => break failed,
            }
            assert!(sent < 1000);
        };
        fails(failed, ETOOMANYREFS, &["RLIMIT_NOFILE", "again"]);
        let open = descriptors().len();
        D::recv_fd(other.as_raw_fd(), None).unwrap();
        D::recv_fd(other.as_raw_fd(), None).unwrap();
        D::send_fd(one.as_raw_fd(), file.as_raw_fd(), None).unwrap();
        assert_eq!(descriptors().len(), open);
        drop(limit);
        for _ in 1..sent {
            D::recv_fd(other.as_raw_fd(), None).unwrap();
        }
        fails(D::recv_fd(other.as_raw_fd(), Some(0)), ETIMEDOUT, &[]);
    });
    match child {
        Ok(child) => child.join(),
        Err(why) => skip(why),
    }
}

/// SIGPIPE would end this process.
fn a_gone_peer_is_an_error_and_no_signal<D: Door>() {
    let file = null();
    for kind in KINDS {
        for wait in [None, Some(in_ms(1000))] {
            let (one, other) = socketpair(kind);
            drop(other);
            let number = number(&one);
            let says = [number.as_str()];
            let region = D::create("nobody's", 1, &plain()).unwrap();
            fails(D::send_fd(one.as_raw_fd(), file.as_raw_fd(), wait), EPIPE, &says);
            fails(D::send_fds(one.as_raw_fd(), &[file.as_raw_fd()], b"x", wait), EPIPE, &says);
            fails(D::send_region(one.as_raw_fd(), &region, wait), EPIPE, &[]);
            fails(D::recv_fd(one.as_raw_fd(), wait), ECONNRESET, &says);
            fails(D::recv_region(one.as_raw_fd(), &plain(), wait), ECONNRESET, &says);
        }
        // Gone with our message unread: the kernel says ECONNRESET once.
        let (one, other) = socketpair(kind);
        D::send_fd(one.as_raw_fd(), file.as_raw_fd(), None).unwrap();
        drop(other);
        fails(D::recv_fd(one.as_raw_fd(), None), ECONNRESET, &[]);
    }
}

fn a_peer_that_closes_half_way_is_econnreset<D: Door>() {
    let file = null();
    for part in [1, 32, 63] {
        for wait in [None, Some(in_ms(1000))] {
            let (one, other) = socketpair(SOCK_STREAM);
            raw_send(&one, &vec![0; part], &[file.as_raw_fd()]).unwrap();
            drop(one);
            let says = [&part.to_string(), "64 bytes"];
            fails(D::recv_fds(other.as_raw_fd(), 1, &mut [0; 64], wait), ECONNRESET, &says);
        }
        // A non-blocking socket that has only a part cannot wait for the rest.
        let (one, other) = socketpair(SOCK_STREAM);
        set_nonblocking(&other);
        raw_send(&one, &vec![0; part], &[file.as_raw_fd()]).unwrap();
        fails(D::recv_fds(other.as_raw_fd(), 1, &mut [0; 64], None), EPROTO, &[&part.to_string(), "close"]);
    }
}

fn nothing_comes_until_the_deadline<D: Door>() {
    let file = null();
    for kind in KINDS {
        let (one, other) = socketpair(kind);
        let number = number(&other);
        for after in [-1000, 0, 50] {
            let deadline = in_ms(after);
            fails(D::recv_fd(other.as_raw_fd(), Some(deadline)), ETIMEDOUT, &[&number]);
            fails(D::recv_fds(other.as_raw_fd(), 9, &mut [0; 9], Some(deadline)), ETIMEDOUT, &[&number]);
            fails(D::recv_region(other.as_raw_fd(), &plain(), Some(deadline)), ETIMEDOUT, &[&number]);
            assert!(monotonic_ns() >= deadline);
        }
        // Over, but something is there: it tries once.
        D::send_fd(one.as_raw_fd(), file.as_raw_fd(), Some(0)).unwrap();
        D::recv_fd(other.as_raw_fd(), Some(0)).unwrap();
        // With a deadline a non-blocking socket waits as well.
        set_nonblocking(&other);
        fails(D::recv_fd(other.as_raw_fd(), None), EAGAIN, &[&number]);
        fails(D::recv_fd(other.as_raw_fd(), Some(in_ms(20))), ETIMEDOUT, &[&number]);
        let child = fork(|| {
            D::send_fd(one.as_raw_fd(), file.as_raw_fd(), None).unwrap();
        });
        D::recv_fd(other.as_raw_fd(), Some(i64::MAX)).unwrap();
        child.join();
    }
}

/// Each byte in time, and the message never.
fn a_dripping_peer_does_not_outlast_the_deadline<D: Door>() {
    let (one, other) = socketpair(SOCK_STREAM);
    let file = null();
    let child = fork(|| {
        let mut fds = vec![file.as_raw_fd()];
        while raw_send(&one, b"x", &fds).is_ok() {
            fds.clear();
            unsafe { libc::usleep(10_000) };
        }
    });
    let deadline = in_ms(150);
    let answer = D::recv_fds(other.as_raw_fd(), 1, &mut [0; 1000], Some(deadline));
    let late = monotonic_ns() - deadline;
    fails(answer, ETIMEDOUT, &[&number(&other)]);
    assert!(late >= 0, "{late} ns");
    child.slay();
}

fn a_peer_that_never_reads_is_waited_for_until_the_deadline<D: Door>() {
    let file = null();
    for kind in KINDS {
        let (one, other) = socketpair(kind);
        let number = number(&one);
        let region = D::create("unread", 100, &plain()).unwrap();
        let mut sent = 0;
        let failed = loop {
            match D::send_fds(one.as_raw_fd(), &[file.as_raw_fd()], &[7; 1000], Some(in_ms(30))) {
                Ok(()) => sent += 1,
                failed => break failed,
            }
        };
        fails(failed, ETIMEDOUT, &[&number]);
        fails(D::send_region(one.as_raw_fd(), &region, Some(in_ms(20))), ETIMEDOUT, &[&number]);
        fails(D::send_fd(one.as_raw_fd(), file.as_raw_fd(), Some(0)), ETIMEDOUT, &[&number]);
        set_nonblocking(&one);
        fails(D::send_fd(one.as_raw_fd(), file.as_raw_fd(), None), EAGAIN, &[&number]);
        // All that was sent arrives, and then there is room again.
        for _ in 0..sent {
            let mut payload = [0; 1000];
            D::recv_fds(other.as_raw_fd(), 1, &mut payload, None).unwrap();
            assert_eq!(payload, [7; 1000]);
        }
        D::send_fd(one.as_raw_fd(), file.as_raw_fd(), None).unwrap();
        D::recv_fd(other.as_raw_fd(), None).unwrap();
    }
}

/// Longer than the socket's buffer: the descriptors go with the first bytes.
fn a_long_payload_on_a_stream_arrives_whole<D: Door>() {
    let payload: Vec<u8> = (0..3_000_000).map(|i| (i % 251) as u8).collect();
    let file = null();
    for wait in [None, Some(in_ms(4000))] {
        let (one, other) = socketpair(SOCK_STREAM);
        let child = fork(|| {
            D::send_fds(one.as_raw_fd(), &[file.as_raw_fd(); 3], &payload, wait).unwrap();
        });
        let mut came = vec![0; payload.len()];
        let fds = D::recv_fds(other.as_raw_fd(), 3, &mut came, wait).unwrap();
        assert_eq!((fds.len(), came == payload), (3, true));
        child.join();
    }
}

extern "C" fn count_signal(_: i32) {
    SIGNALS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
}

static SIGNALS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

/// A handler without SA_RESTART interrupts every wait.
fn signals_do_not_show<D: Door>() {
    let file = null();
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = count_signal as *const () as usize;
        good(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()));
    }
    for wait in [None, Some(in_ms(4000))] {
        let (one, other) = socketpair(SOCK_STREAM);
        let (own, seen) = (std::process::id() as i32, Line::new());
        let before = SIGNALS.load(std::sync::atomic::Ordering::Relaxed);
        let child = fork(|| {
            for _ in 0..50 {
                good(unsafe { libc::kill(own, libc::SIGUSR1) });
                unsafe { libc::usleep(500) };
            }
            seen.tell(0);
            D::send_fd(one.as_raw_fd(), file.as_raw_fd(), None).unwrap();
        });
        D::recv_fd(other.as_raw_fd(), wait).unwrap();
        assert_eq!(seen.hear(), 0);
        assert!(SIGNALS.load(std::sync::atomic::Ordering::Relaxed) > before);
        child.join();
    }
}

/// Two senders and two receivers: no message is mixed with another.
fn threads_share_a_socket<D: Door>() {
    const EACH: usize = 500;
    let file = null();
    let (one, other) = socketpair(SOCK_SEQPACKET);
    // All at once in each round, and joined, so that the next one needs no more stacks.
    let all = std::sync::Barrier::new(4);
    std::thread::scope(|scope| {
        let send = |sender: u8| {
            all.wait();
            for _ in 0..EACH {
                let fds = vec![file.as_raw_fd(); 1 + usize::from(sender)];
                D::send_fds(one.as_raw_fd(), &fds, &[sender; 10], None).unwrap();
            }
        };
        let receive = || {
            let (mut came, mut refusals) = (0, 0);
            all.wait();
            for _ in 0..EACH {
                let mut payload = [9; 10];
                match D::recv_fds(other.as_raw_fd(), 1, &mut payload, None) {
                    Ok(_) => {
                        assert_eq!(payload, [0; 10]);
                        came += 1;
                    }
                    refused => {
                        fails(refused, EPROTO, &[]);
                        refusals += 1;
                    }
                }
            }
            (came, refusals)
        };
        let senders = [scope.spawn(move || send(0)), scope.spawn(move || send(1))];
        let receivers = [scope.spawn(receive), scope.spawn(receive)].map(|it| it.join().unwrap());
        senders.into_iter().for_each(|it| it.join().unwrap());
        let [(came, refusals), more] = receivers;
        assert_eq!((came + more.0, refusals + more.1), (EACH, EACH));
    });
}

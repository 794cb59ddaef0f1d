//! System V message queues: keys, types, lengths, waits and how they end.

use libc::{E2BIG, EACCES, EAGAIN, EEXIST, EIDRM, EINVAL, ENOENT, ENOMSG, ENOSPC, ENOSYS, EPERM, ETIMEDOUT};
use shmkit::sysv::Which;

use crate::door::ipc::{Ipc, Patience};
use crate::door::*;
use crate::support::*;
use crate::sysv_sem::under_signals;

scenarios! {
    keys_are_those_of_segments,
    messages_are_chosen_by_type,
    a_message_longer_than_the_buffer,
    a_message_can_be_looked_at,
    what_is_wrong_is_named,
    a_limit_that_is_reached_is_named,
    a_stranger_gets_what_the_mode_gives,
    who_waits_goes_on_when_it_can,
    who_waits_for_what_is_removed_is_told,
    signals_do_not_end_a_wait,
    a_deadline_ends_a_wait,
    a_killed_receiver_takes_nothing,
    plain_programs_see_the_same_queue,
}

fn new_key() -> Key {
    let _ = own_ipc();
    Key::new()
}

fn new_queue<D: Ipc>() -> (Key, i32) {
    let key = new_key();
    let (id, created) = D::queue_create(key.get(), false, 0).unwrap();
    assert!(created);
    (key, id)
}

/// Holds at most this many bytes.
fn narrow<D: Ipc>(id: i32, bytes: u64) {
    let me = unsafe { (libc::geteuid(), libc::getegid()) };
    D::queue_set(id, me.0, me.1, 0o600, bytes).unwrap();
}

fn receive<D: Ipc>(id: i32, which: Which) -> Answer<(i64, Vec<u8>)> {
    D::queue_receive(id, which, false, 100, Patience::None)
}

/// Until a child sleeps: it waits in the kernel, or between two tries.
fn await_sleep(child: &Child) {
    let path = format!("/proc/{}/stat", child.pid());
    while !std::fs::read_to_string(&path).unwrap().contains(") S ") {
        std::thread::yield_now();
    }
}

fn keys_are_those_of_segments<D: Ipc>() {
    let key = new_key();
    fails(D::queue_open(key.get()), ENOENT, &[&key.hex(), "none"]);
    let (id, created) = D::queue_create(key.get(), true, 0o651).unwrap();
    assert!(created);
    fails(D::queue_create(key.get(), false, 0), EEXIST, &[&key.hex(), "File exists"]);
    assert_eq!(D::queue_create(key.get(), true, 0), Ok((id, false)));
    assert_eq!(D::queue_open(key.get()), Ok(id));
    let known = D::queue_stat(id).unwrap();
    let me = unsafe { (libc::geteuid(), libc::getegid()) };
    assert_eq!((known.key, known.id, known.count, known.mode), (key.get(), id, 0, 0o640));
    assert_eq!((known.owner, known.creator), (me, me));
    D::queue_set(id, me.0, me.1, 0o600, 0).unwrap();
    let changed = D::queue_stat(id).unwrap();
    assert_eq!((changed.mode, changed.bytes), (0o600, known.bytes));
    D::queue_remove(id).unwrap();
    let (again, created) = D::queue_create(key.get(), true, 0).unwrap();
    assert!(created && again != id);
    assert_eq!(D::queue_stat(again).unwrap().mode, 0o600, "the default");
    fails(D::queue_create(-1, true, 0), EINVAL, &["-1", "ftok"]);
    fails(D::queue_open(-1), EINVAL, &["-1", "ftok"]);
    fails(D::queue_open(0), EINVAL, &["IPC_PRIVATE"]);
    let private = [false, true].map(|or_open| D::queue_create(0, or_open, 0).unwrap());
    assert!(private[0].0 != private[1].0 && private[1].1);
    for (id, _) in private {
        D::queue_remove(id).unwrap();
    }
}

fn messages_are_chosen_by_type<D: Ipc>() {
    let (_key, id) = new_queue::<D>();
    for (kind, text) in [(3, "a"), (2, "b"), (3, "c"), (1, "d"), (2, "e"), (i64::MAX, "")] {
        D::queue_send(id, kind, text.as_bytes(), Patience::None).unwrap();
    }
    for (which, kind, text) in [
        (Which::Type(2), 2, "b"),
        (Which::Except(3), 1, "d"),
        (Which::AtMost(3), 2, "e"),
        (Which::AtMost(i64::MAX), 3, "a"),
        (Which::First, 3, "c"),
        (Which::Type(i64::MAX), i64::MAX, ""),
    ] {
        assert_eq!(receive::<D>(id, which), Ok((kind, text.as_bytes().to_vec())), "{which:?}");
    }
    D::queue_send(id, 3, b"x", Patience::None).unwrap();
    for (which, name) in [
        (Which::Type(2), "of type 2"),
        (Which::Except(3), "another type than 3"),
        (Which::AtMost(2), "at most type 2"),
    ] {
        fails(receive::<D>(id, which), ENOMSG, &[name, "none"]);
    }
}

fn a_message_longer_than_the_buffer<D: Ipc>() {
    let (_key, id) = new_queue::<D>();
    for size in [0, 1, 7, 8, 9, 4095, 8192] {
        let bytes: Vec<_> = (0..size).map(|at| (at * 7) as u8).collect();
        D::queue_send(id, 5, &bytes, Patience::ForEver).unwrap();
        if size > 0 {
            let short = D::queue_receive(id, Which::First, false, size - 1, Patience::ForEver);
            fails(short, E2BIG, &["longer than the buffer", &format!("{} bytes", size - 1)]);
        }
        let whole = D::queue_receive(id, Which::First, false, size, Patience::ForEver);
        assert_eq!(whole, Ok((5, bytes.clone())));
        D::queue_send(id, 5, &bytes, Patience::ForEver).unwrap();
        let cut = D::queue_receive(id, Which::Type(5), true, size / 2, Patience::ForEver);
        assert_eq!(cut, Ok((5, bytes[..size / 2].to_vec())));
        assert_eq!(D::queue_stat(id).unwrap().count, 0, "the rest is lost");
    }
    D::queue_send(id, 5, b"in much room", Patience::None).unwrap();
    let roomy = D::queue_receive(id, Which::First, false, 1 << 20, Patience::None);
    assert_eq!(roomy, Ok((5, b"in much room".to_vec())));
}

fn a_message_can_be_looked_at<D: Ipc>() {
    let (_key, id) = new_queue::<D>();
    D::queue_send(id, 5, b"first", Patience::None).unwrap();
    D::queue_send(id, 6, b"second", Patience::None).unwrap();
    let answer = D::queue_peek(id, 1, false, 100);
    if answer.as_ref().is_err_and(|failure| failure.code == -ENOSYS) {
        return skip("this kernel has no MSG_COPY");
    }
    assert_eq!(answer, Ok((6, b"second".to_vec())));
    assert_eq!(D::queue_peek(id, 0, false, 5), Ok((5, b"first".to_vec())));
    assert_eq!(D::queue_peek(id, 0, true, 3), Ok((5, b"fir".to_vec())));
    fails(D::queue_peek(id, 0, false, 3), E2BIG, &["3 bytes"]);
    for index in [2, u32::MAX] {
        fails(D::queue_peek(id, index, true, 100), ENOMSG, &[&index.to_string(), "there are 2"]);
    }
    assert_eq!(D::queue_stat(id).unwrap().count, 2);
}

fn what_is_wrong_is_named<D: Ipc>() {
    let (_key, id) = new_queue::<D>();
    for kind in [0, -1, i64::MIN] {
        let name = format!("{kind} is no message type");
        fails(D::queue_send(id, kind, b"x", Patience::ForEver), EINVAL, &[&name]);
        for which in [Which::Except(kind), Which::AtMost(kind)] {
            fails(D::queue_receive(id, which, false, 1, Patience::ForEver), EINVAL, &[&name]);
        }
    }
    fails(receive::<D>(id, Which::Type(-1)), EINVAL, &["-1 is no message type"]);
    fails(D::queue_send(id, 1, b"x", Patience::Until(-5)), EINVAL, &["-5", "negative"]);
    let late = D::queue_receive(id, Which::First, false, 1, Patience::Until(-5));
    fails(late, EINVAL, &["-5", "negative"]);
    fails(D::queue_create(new_key().get(), false, 0o1600), EINVAL, &["0o1600"]);
    fails(D::queue_set(id, 0, 0, 0o1600, 0), EINVAL, &["0o1600"]);
    narrow::<D>(id, 10);
    D::queue_send(id, 1, &[0; 8], Patience::None).unwrap();
    fails(D::queue_send(id, 1, &[0; 3], Patience::None), EAGAIN, &["3 bytes", "8 bytes", "at most 10"]);
    D::queue_remove(id).unwrap();
    for id in [-1, i32::MIN, i32::MAX, id] {
        let name = id.to_string();
        fails(D::queue_remove(id), EINVAL, &[&name]);
        for patience in [Patience::None, Patience::Until(i64::MAX), Patience::ForEver] {
            fails(D::queue_send(id, 1, b"x", patience), EINVAL, &[&name]);
            fails(D::queue_receive(id, Which::First, false, 1, patience), EINVAL, &[&name]);
        }
        fails(D::queue_peek(id, 0, true, 1), EINVAL, &[&name]);
        fails(D::queue_stat(id), EINVAL, &[&name]);
        fails(D::queue_set(id, 0, 0, 0o600, 1), EINVAL, &[&name]);
    }
}

fn a_limit_that_is_reached_is_named<D: Ipc>() {
    let limited = || {
        own_ipc()?;
        [("kernel.msgmni", 2), ("kernel.msgmax", 20), ("kernel.msgmnb", 100)]
            .iter()
            .try_for_each(|&(name, value)| sysctl(name, value))
    };
    if let Err(why) = limited() {
        return skip(why);
    }
    let keys = [(); 3].map(|()| Key::new());
    let [id, _] = [0, 1].map(|at: usize| D::queue_create(keys[at].get(), false, 0).unwrap().0);
    let names = ["2 queues exist", "msgmni is 2", "/proc/sys/kernel/msgmni"];
    fails(D::queue_create(keys[2].get(), true, 0), ENOSPC, &names);
    D::queue_send(id, 1, &[0; 20], Patience::None).unwrap();
    for patience in [Patience::None, Patience::Until(0), Patience::ForEver] {
        let names = ["21 bytes", "msgmax is 20", "/proc/sys/kernel/msgmax"];
        fails(D::queue_send(id, 1, &[0; 21], patience), EINVAL, &names);
    }
    // Longer than any message is now, and still there.
    sysctl("kernel.msgmax", 10).unwrap();
    assert_eq!(receive::<D>(id, Which::First), Ok((1, vec![0; 20])));
}

fn a_stranger_gets_what_the_mode_gives<D: Ipc>() {
    let (closed, closed_id) = new_queue::<D>();
    let open = new_key();
    let (open_id, _) = D::queue_create(open.get(), false, 0o644).unwrap();
    D::queue_send(open_id, 1, b"for all", Patience::None).unwrap();
    let stranger = fork_as_nobody(|| {
        let id = D::queue_open(closed.get()).unwrap();
        assert_eq!(id, closed_id);
        for patience in [Patience::None, Patience::Until(i64::MAX), Patience::ForEver] {
            fails(D::queue_send(id, 1, b"x", patience), EACCES, &[&id.to_string()]);
            fails(D::queue_receive(id, Which::First, false, 1, patience), EACCES, &[&id.to_string()]);
        }
        fails(D::queue_stat(id), EACCES, &[]);
        fails(D::queue_set(id, 0, 0, 0o666, 1), EPERM, &[]);
        fails(D::queue_remove(id), EPERM, &[]);
        assert_eq!(receive::<D>(open_id, Which::First), Ok((1, b"for all".to_vec())));
        fails(D::queue_send(open_id, 1, b"x", Patience::None), EACCES, &[]);
        let own = new_key();
        let (id, _) = D::queue_create(own.get(), false, 0).unwrap();
        let me = unsafe { (libc::geteuid(), libc::getegid()) };
        let names = ["4000000000", "msgmnb", "/proc/sys/kernel/msgmnb"];
        fails(D::queue_set(id, me.0, me.1, 0o600, 4_000_000_000), EPERM, &names);
    });
    match stranger {
        Ok(stranger) => stranger.join(),
        Err(why) => skip(why),
    }
}

const WAYS: [Patience; 2] = [Patience::ForEver, Patience::Until(i64::MAX)];

fn who_waits_goes_on_when_it_can<D: Ipc>() {
    for patience in WAYS {
        let (_key, id) = new_queue::<D>();
        let receiver = fork(|| {
            let answer = D::queue_receive(id, Which::Type(2), false, 10, patience);
            assert_eq!(answer, Ok((2, b"for you".to_vec())));
        });
        await_sleep(&receiver);
        narrow::<D>(id, 10);
        D::queue_send(id, 1, b"0123", Patience::None).unwrap();
        let sender = fork(|| D::queue_send(id, 2, b"for you", patience).unwrap());
        await_sleep(&sender);
        assert_eq!(receive::<D>(id, Which::Type(1)), Ok((1, b"0123".to_vec())));
        sender.join();
        receiver.join();
    }
}

fn who_waits_for_what_is_removed_is_told<D: Ipc>() {
    for patience in WAYS {
        let (_key, id) = new_queue::<D>();
        narrow::<D>(id, 4);
        D::queue_send(id, 1, b"0123", Patience::None).unwrap();
        let words = [id.to_string(), "removed".to_string()];
        let words = words.each_ref().map(String::as_str);
        let receiver = fork(|| {
            fails(D::queue_receive(id, Which::Type(2), false, 10, patience), EIDRM, &words);
        });
        let sender = fork(|| fails(D::queue_send(id, 2, b"x", patience), EIDRM, &words));
        await_sleep(&receiver);
        await_sleep(&sender);
        D::queue_remove(id).unwrap();
        receiver.join();
        sender.join();
    }
}

fn signals_do_not_end_a_wait<D: Ipc>() {
    for patience in WAYS {
        let (_key, id) = new_queue::<D>();
        narrow::<D>(id, 4);
        let receiver = fork(|| {
            under_signals();
            let answer = D::queue_receive(id, Which::Type(2), false, 10, patience);
            assert_eq!(answer, Ok((2, b"two".to_vec())));
        });
        D::queue_send(id, 1, b"0123", Patience::None).unwrap();
        let sender = fork(|| {
            under_signals();
            D::queue_send(id, 2, b"two", patience).unwrap();
        });
        // Twenty signals' time: longer would prove no more.
        unsafe { libc::usleep(40_000) };
        receive::<D>(id, Which::Type(1)).unwrap();
        sender.join();
        receiver.join();
    }
}

fn a_deadline_ends_a_wait<D: Ipc>() {
    let (_key, id) = new_queue::<D>();
    narrow::<D>(id, 4);
    for past in [0, 1, monotonic_ns()] {
        let until = Patience::Until(past);
        let none = D::queue_receive(id, Which::First, false, 10, until);
        fails(none, ETIMEDOUT, &["deadline"]);
        D::queue_send(id, 1, b"0123", until).unwrap();
        fails(D::queue_send(id, 1, b"x", until), ETIMEDOUT, &["4 bytes", "deadline"]);
        D::queue_receive(id, Which::First, false, 10, until).unwrap();
    }
    let end = in_ms(30);
    fails(D::queue_receive(id, Which::First, false, 10, Patience::Until(end)), ETIMEDOUT, &[]);
    assert!(monotonic_ns() >= end);
}

fn a_killed_receiver_takes_nothing<D: Ipc>() {
    for patience in WAYS {
        let (_key, id) = new_queue::<D>();
        let receiver = fork(|| {
            D::queue_receive(id, Which::First, false, 10, patience).unwrap();
        });
        await_sleep(&receiver);
        receiver.slay();
        D::queue_send(id, 1, b"still here", Patience::ForEver).unwrap();
        assert_eq!(receive::<D>(id, Which::First), Ok((1, b"still here".to_vec())));
    }
}

fn plain_programs_see_the_same_queue<D: Ipc>() {
    let (key, id) = new_queue::<D>();
    assert_eq!(good(unsafe { libc::msgget(key.get(), 0) }), id);
    #[repr(C)]
    struct Message(libc::c_long, [u8; 4]);
    let mut message = Message(9, *b"abcd");
    good(unsafe { libc::msgsnd(id, (&raw const message).cast(), 4, 0) });
    assert_eq!(receive::<D>(id, Which::First), Ok((9, b"abcd".to_vec())));
    D::queue_send(id, 8, b"efgh", Patience::None).unwrap();
    assert_eq!(unsafe { libc::msgrcv(id, (&raw mut message).cast(), 4, 0, 0) }, 4);
    assert_eq!((message.0, message.1), (8, *b"efgh"));
}

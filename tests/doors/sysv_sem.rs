//! System V semaphores: keys, values, operations, waits and how they end, and sets without their values.

use libc::{E2BIG, EACCES, EAGAIN, EEXIST, EFBIG, EIDRM, EINVAL, ENOENT, ENOSPC, EPERM, ERANGE, ETIMEDOUT};

use crate::door::ipc::{Ipc, Patience};
use crate::door::*;
use crate::support::*;

scenarios! {
    keys_are_those_of_segments,
    what_is_wrong_is_named,
    a_limit_that_is_reached_is_named,
    a_stranger_gets_what_the_mode_gives,
    operations_are_done_all_or_none,
    a_killed_holder_gives_back_what_it_took_with_undo,
    who_waits_for_what_is_removed_is_told,
    signals_do_not_end_a_wait,
    a_deadline_ends_a_wait,
    creators_race_and_nobody_sees_a_set_without_its_values: 20,
    a_creator_killed_half_way_blocks_nobody: 20,
    a_creator_stopped_half_way_starts_again: 20,
    plain_programs_see_the_same_set,
}

/// Keys of this process's own, where that is permitted; elsewhere keys that nobody else has.
fn new_key() -> Key {
    let _ = own_ipc();
    Key::new()
}

/// A set of this process's own, which goes with its key.
fn new_set<D: Ipc>(values: &[u16]) -> (Key, i32) {
    let key = new_key();
    let (id, created) = D::sem_create(key.get(), values, false, 0).unwrap();
    assert!(created);
    (key, id)
}

/// Waits until so many wait for a semaphore to grow.
fn await_waiting<D: Ipc>(id: i32, count: u32) {
    while D::sem_state(id, 0).unwrap().2 != count {
        std::thread::yield_now();
    }
}

fn keys_are_those_of_segments<D: Ipc>() {
    let key = new_key();
    fails(D::sem_open(key.get(), 0), ENOENT, &[&key.hex(), "none"]);
    let (id, created) = D::sem_create(key.get(), &[3, 0, 32767], true, 0o640).unwrap();
    assert!(created);
    fails(D::sem_create(key.get(), &[1], false, 0), EEXIST, &[&key.hex(), "File exists"]);
    assert_eq!(D::sem_create(key.get(), &[9, 9], true, 0), Ok((id, false)));
    for count in 0..=3 {
        assert_eq!(D::sem_open(key.get(), count), Ok(id));
    }
    assert_eq!(D::sem_values(id, 3).unwrap(), [3, 0, 32767], "a found set keeps its values");
    for count in [4, 32000, 1 << 40] {
        fails(D::sem_open(key.get(), count), EINVAL, &[&key.hex(), "3 semaphores"]);
    }
    fails(D::sem_create(key.get(), &[0; 4], true, 0), EINVAL, &["3 semaphores", "4"]);
    let known = D::sem_stat(id).unwrap();
    let me = unsafe { (libc::geteuid(), libc::getegid()) };
    assert_eq!((known.key, known.id, known.count, known.mode), (key.get(), id, 3, 0o640));
    assert_eq!((known.owner, known.creator), (me, me));
    D::sem_set(id, me.0, me.1, 0o600).unwrap();
    assert_eq!(D::sem_stat(id).unwrap().mode, 0o600);
    D::sem_remove(id).unwrap();
    let (again, created) = D::sem_create(key.get(), &[1], true, 0).unwrap();
    assert!(created && again != id);
    fails(D::sem_create(-1, &[1], true, 0), EINVAL, &["-1", "ftok"]);
    fails(D::sem_open(-1, 0), EINVAL, &["-1", "ftok"]);
    fails(D::sem_open(0, 0), EINVAL, &["IPC_PRIVATE"]);
    let private = [false, true].map(|or_open| D::sem_create(0, &[5], or_open, 0).unwrap());
    assert!(private[0].0 != private[1].0 && private[1].1);
    for (id, _) in private {
        D::sem_remove(id).unwrap();
    }
}

fn what_is_wrong_is_named<D: Ipc>() {
    let (key, id) = new_set::<D>(&[1, 2]);
    let other = new_key();
    let no = Patience::None;
    fails(D::sem_create(other.get(), &[], false, 0), EINVAL, &[&other.hex(), "at least 1"]);
    fails(D::sem_create(other.get(), &[1, 40000], false, 0), ERANGE, &["semaphore 1", "40000", "32767"]);
    fails(D::sem_create(other.get(), &[1], false, 0o1600), EINVAL, &["0o1600"]);
    fails(D::sem_open(other.get(), 0), ENOENT, &[]);
    fails(D::sem_operate(id, &[], no), EINVAL, &["nothing to do"]);
    fails(D::sem_operate(id, &[(0, -1, false), (2, 1, false)], no), EFBIG, &["semaphore 2", "2 semaphores"]);
    fails(D::sem_operate(id, &[(0, 32767, false)], no), ERANGE, &["32767"]);
    fails(D::sem_operate(id, &[(1, -3, false)], no), EAGAIN, &["wait", &id.to_string()]);
    fails(D::sem_operate(id, &[(0, 1, false); 5000], no), E2BIG, &["5000 operations", "semopm"]);
    fails(D::sem_operate(id, &[(0, 1, false)], Patience::Until(-1)), EINVAL, &["-1", "negative"]);
    for index in [2, u32::MAX] {
        fails(D::sem_value(id, index), EINVAL, &[&index.to_string(), "2 semaphores"]);
        fails(D::sem_state(id, index), EINVAL, &[&index.to_string(), "2 semaphores"]);
        fails(D::sem_set_value(id, index, 0), EINVAL, &[&index.to_string(), "2 semaphores"]);
    }
    for value in [-1, 32768, i32::MIN, i32::MAX] {
        fails(D::sem_set_value(id, 0, value), ERANGE, &[&value.to_string(), "0 to 32767"]);
    }
    fails(D::sem_set_values(id, &[1]), EINVAL, &["1 values", "2 of them"]);
    fails(D::sem_set_values(id, &[1, 2, 3]), EINVAL, &["3 values", "2 of them"]);
    fails(D::sem_set_values(id, &[1, 65535]), ERANGE, &["65535", "32767"]);
    fails(D::sem_set(id, 0, 0, 0o7777), EINVAL, &["0o7777"]);
    assert_eq!(D::sem_values(id, 2).unwrap(), [1, 2], "nothing was done");
    D::sem_remove(id).unwrap();
    for id in [-1, i32::MIN, i32::MAX, id] {
        let name = id.to_string();
        fails(D::sem_remove(id), EINVAL, &[&name]);
        for patience in [no, Patience::Until(i64::MAX), Patience::ForEver] {
            fails(D::sem_operate(id, &[(0, 1, false)], patience), EINVAL, &[&name]);
        }
        fails(D::sem_value(id, 0), EINVAL, &[&name]);
        fails(D::sem_values(id, 2), EINVAL, &[&name]);
        fails(D::sem_set_values(id, &[1, 2]), EINVAL, &[&name]);
        fails(D::sem_stat(id), EINVAL, &[&name]);
        fails(D::sem_set(id, 0, 0, 0o600), EINVAL, &[&name]);
    }
    drop(key);
}

fn a_limit_that_is_reached_is_named<D: Ipc>() {
    const FILE: &str = "/proc/sys/kernel/sem";
    if let Err(why) = own_ipc() {
        return skip(why);
    }
    if let Err(why) = std::fs::write(FILE, "5 8 3 2") {
        return skip(format!("writing {FILE}: {why}"));
    }
    let keys = [(); 3].map(|()| Key::new());
    fails(D::sem_create(keys[0].get(), &[1; 6], false, 0), EINVAL, &["6", "semmsl is 5", FILE]);
    let (set, _) = D::sem_create(keys[0].get(), &[1; 5], false, 0).unwrap();
    let names = ["5 semaphores exist", "4 more", "semmns is 8", FILE];
    fails(D::sem_create(keys[1].get(), &[1; 4], true, 0), ENOSPC, &names);
    D::sem_create(keys[1].get(), &[1; 3], true, 0).unwrap();
    fails(D::sem_create(keys[2].get(), &[1], false, 0), ENOSPC, &["2 sets exist", "semmni is 2", FILE]);
    fails(D::sem_operate(set, &[(0, 1, false); 4], Patience::ForEver), E2BIG, &["semopm is 3", FILE]);
}

fn a_stranger_gets_what_the_mode_gives<D: Ipc>() {
    let (closed, closed_id) = new_set::<D>(&[1]);
    let open = new_key();
    let (open_id, _) = D::sem_create(open.get(), &[1], false, 0o644).unwrap();
    let give = new_key();
    let (give_id, _) = D::sem_create(give.get(), &[1], false, 0o622).unwrap();
    let stranger = fork_as_nobody(|| {
        let id = D::sem_open(closed.get(), 1).unwrap();
        assert_eq!(id, closed_id);
        for patience in [Patience::None, Patience::Until(i64::MAX), Patience::ForEver] {
            fails(D::sem_operate(id, &[(0, -1, false)], patience), EACCES, &[&id.to_string()]);
        }
        fails(D::sem_value(id, 0), EACCES, &[]);
        fails(D::sem_stat(id), EACCES, &[]);
        fails(D::sem_set_value(id, 0, 1), EACCES, &[]);
        fails(D::sem_set(id, 0, 0, 0o666), EPERM, &[]);
        fails(D::sem_remove(id), EPERM, &[]);
        assert_eq!(D::sem_value(open_id, 0), Ok(1));
        fails(D::sem_operate(open_id, &[(0, -1, false)], Patience::None), EACCES, &[]);
        // Who may only write still finds it.
        assert_eq!(D::sem_open(give.get(), 1), Ok(give_id));
        D::sem_operate(give_id, &[(0, 1, false)], Patience::None).unwrap();
    });
    match stranger {
        Ok(stranger) => stranger.join(),
        Err(why) => skip(why),
    }
}

fn operations_are_done_all_or_none<D: Ipc>() {
    let (_key, id) = new_set::<D>(&[1, 0]);
    let no = Patience::None;
    fails(D::sem_operate(id, &[(0, -1, false), (1, -1, false)], no), EAGAIN, &[]);
    assert_eq!(D::sem_values(id, 2).unwrap(), [1, 0]);
    D::sem_operate(id, &[(0, -1, false), (1, 5, false), (1, -2, false)], Patience::ForEver).unwrap();
    assert_eq!(D::sem_values(id, 2).unwrap(), [0, 3]);
    assert_eq!(D::sem_state(id, 1).unwrap(), (3, std::process::id() as i32, 0, 0));
    // 0 waits for zero, in its turn.
    D::sem_operate(id, &[(0, 0, false), (0, 1, false)], no).unwrap();
    fails(D::sem_operate(id, &[(0, 0, false), (0, 1, false)], no), EAGAIN, &[]);
    let waiter = fork(|| D::sem_operate(id, &[(0, 0, false)], Patience::ForEver).unwrap());
    while D::sem_state(id, 0).unwrap().3 != 1 {
        std::thread::yield_now();
    }
    D::sem_set_values(id, &[0, 0]).unwrap();
    waiter.join();
}

fn a_killed_holder_gives_back_what_it_took_with_undo<D: Ipc>() {
    let (_key, id) = new_set::<D>(&[1, 1]);
    let (line, took) = (Line::new(), Line::new());
    let holder = fork(|| {
        D::sem_operate(id, &[(0, -1, true), (1, -1, false)], Patience::ForEver).unwrap();
        line.tell(0);
        unsafe { libc::pause() };
    });
    line.hear();
    let waiter = fork(|| {
        D::sem_operate(id, &[(0, -1, false)], Patience::ForEver).unwrap();
        took.tell(0);
    });
    await_waiting::<D>(id, 1);
    assert!(!took.is_told());
    holder.slay();
    waiter.join();
    assert_eq!(D::sem_values(id, 2).unwrap(), [0, 0], "what was done without undo stays");
}

fn who_waits_for_what_is_removed_is_told<D: Ipc>() {
    for patience in [Patience::ForEver, Patience::Until(in_ms(60_000))] {
        let (_key, id) = new_set::<D>(&[0]);
        let waiter = fork(|| {
            fails(D::sem_operate(id, &[(0, -1, false)], patience), EIDRM, &[&id.to_string(), "removed"]);
        });
        await_waiting::<D>(id, 1);
        D::sem_remove(id).unwrap();
        waiter.join();
    }
}

extern "C" fn nothing(_signal: i32) {}

/// Signals every 2 ms, with a handler and without SA_RESTART.
pub fn under_signals() {
    let every = libc::timeval { tv_sec: 0, tv_usec: 2000 };
    let every = libc::itimerval { it_interval: every, it_value: every };
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(i32) as usize;
        good(libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut()));
        good(libc::setitimer(libc::ITIMER_REAL, &every, std::ptr::null_mut()));
    }
}

fn signals_do_not_end_a_wait<D: Ipc>() {
    for patience in [Patience::ForEver, Patience::Until(in_ms(60_000))] {
        let (_key, id) = new_set::<D>(&[0]);
        let waiter = fork(|| {
            under_signals();
            D::sem_operate(id, &[(0, -1, false)], patience).unwrap();
            let (begin, end) = (monotonic_ns(), in_ms(50));
            fails(D::sem_operate(id, &[(0, -1, false)], Patience::Until(end)), ETIMEDOUT, &[]);
            assert!(monotonic_ns() >= end && monotonic_ns() - begin < 2_000_000_000);
        });
        await_waiting::<D>(id, 1);
        // Twenty signals' time: longer would prove no more.
        unsafe { libc::usleep(40_000) };
        D::sem_operate(id, &[(0, 1, false)], Patience::ForEver).unwrap();
        waiter.join();
    }
}

fn a_deadline_ends_a_wait<D: Ipc>() {
    let (_key, id) = new_set::<D>(&[1]);
    for past in [0, 1, monotonic_ns()] {
        fails(D::sem_operate(id, &[(0, -2, false)], Patience::Until(past)), ETIMEDOUT, &["deadline"]);
        D::sem_operate(id, &[(0, -1, false)], Patience::Until(past)).unwrap();
        D::sem_operate(id, &[(0, 1, false)], Patience::Until(past)).unwrap();
    }
    let end = in_ms(30);
    fails(D::sem_operate(id, &[(0, -2, false)], Patience::Until(end)), ETIMEDOUT, &[]);
    assert!(monotonic_ns() >= end);
    assert_eq!(D::sem_value(id, 0), Ok(1));
    D::sem_operate(id, &[(0, -1, false)], Patience::Until(i64::MAX)).unwrap();
}

fn creators_race_and_nobody_sees_a_set_without_its_values<D: Ipc>() {
    const ROUNDS: usize = 500;
    const VALUES: [u16; 3] = [1, 20, 300];
    let key = new_key();
    let (starts, result) = ([(); 3].map(|()| Line::new()), Line::new());
    let process = |start: &Line, opens: bool| {
        fork(|| {
            for _ in 0..ROUNDS {
                start.hear();
                let (id, created) = loop {
                    match D::sem_open(key.get(), 3) {
                        Ok(id) if opens => break (id, false),
                        Err(failure) if opens => assert_eq!(failure.code, -ENOENT, "{}", failure.message),
                        _ => break D::sem_create(key.get(), &VALUES, true, 0o600).unwrap(),
                    }
                };
                assert_eq!(D::sem_values(id, 3).unwrap(), VALUES);
                result.tell(i64::from(id) << 1 | i64::from(created));
            }
        })
    };
    let processes = [0, 1, 2].map(|at| process(&starts[at], at == 2));
    for _ in 0..ROUNDS {
        starts.iter().for_each(|start| start.tell(0));
        let results = [(); 3].map(|()| result.hear());
        assert!(results.iter().all(|result| result >> 1 == results[0] >> 1), "one set: {results:?}");
        assert_eq!(results.iter().filter(|&result| result & 1 == 1).count(), 1, "one creator: {results:?}");
        D::sem_remove((results[0] >> 1) as i32).unwrap();
    }
    processes.into_iter().for_each(Child::join);
}

/// A child that is stopped between making a set and giving it its values.
fn half_way<D: Ipc>(key: &Key, mode: u32, line: &Line) -> Option<Child> {
    let child = fork(|| {
        if let Err(why) = traced() {
            skip(why);
            unsafe { libc::_exit(77) };
        }
        let (id, created) = D::sem_create(key.get(), &[7, 7], true, mode).unwrap();
        assert_eq!(D::sem_values(id, 2).unwrap(), [7, 7]);
        line.tell(i64::from(id) << 1 | i64::from(created));
    });
    // Without tracing it would have ended; nobody is to wait for its stop then.
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    let flags = libc::WEXITED | libc::WSTOPPED | libc::WNOWAIT;
    good(unsafe { libc::waitid(libc::P_PID, child.pid() as u32, info.as_mut_ptr(), flags) });
    if unsafe { info.assume_init() }.si_code == libc::CLD_EXITED {
        child.wait();
        return None;
    }
    child.stop_at(libc::SYS_semctl);
    Some(child)
}

fn a_creator_killed_half_way_blocks_nobody<D: Ipc>() {
    let (key, line) = (new_key(), Line::new());
    let Some(creator) = half_way::<D>(&key, 0, &line) else { return };
    creator.slay();
    let left = good(unsafe { libc::semget(key.get(), 0, 0) });
    let begin = monotonic_ns();
    fails(D::sem_open(key.get(), 1), EAGAIN, &[&key.hex(), "not finished"]);
    assert!((1_000_000_000..3_000_000_000).contains(&(monotonic_ns() - begin)), "a second");
    fails(D::sem_create(key.get(), &[1], false, 0), EEXIST, &[&key.hex()]);
    let (id, created) = D::sem_create(key.get(), &[1], true, 0).unwrap();
    assert!(created && id != left);
    assert_eq!(D::sem_values(id, 1).unwrap(), [1]);
    // Another user's is left alone. Who will be allowed to do no more than write to it sees the mark, too.
    for mode in [0o622, 0o600] {
        let other = new_key();
        let Some(creator) = half_way::<D>(&other, mode, &line) else { return };
        creator.slay();
        let left = good(unsafe { libc::semget(other.get(), 0, 0) });
        let stranger = fork_as_nobody(|| {
            let (opened, created) = (D::sem_open(other.get(), 1), D::sem_create(other.get(), &[1], true, 0));
            if mode == 0o622 {
                fails(opened, EAGAIN, &["not finished"]);
                fails(created, EAGAIN, &["not finished"]);
            } else {
                assert_eq!((opened, created), (Ok(left), Ok((left, false))));
                fails(D::sem_value(left, 0), EACCES, &[]);
            }
        });
        match stranger {
            Ok(stranger) => stranger.join(),
            Err(why) => skip(why),
        }
    }
}

fn a_creator_stopped_half_way_starts_again<D: Ipc>() {
    let (key, line) = (new_key(), Line::new());
    let Some(creator) = half_way::<D>(&key, 0, &line) else { return };
    let (id, created) = D::sem_create(key.get(), &[7, 7], true, 0).unwrap();
    assert!(created, "the stopped one's is replaced, after a second");
    creator.go_on();
    assert_eq!(line.hear(), i64::from(id) << 1, "it finds the other one's");
    creator.join();
    // An opener only waits for it.
    D::sem_remove(id).unwrap();
    let Some(creator) = half_way::<D>(&key, 0, &line) else { return };
    let opener = fork(|| assert_eq!(D::sem_values(D::sem_open(key.get(), 2).unwrap(), 2).unwrap(), [7, 7]));
    unsafe { libc::usleep(20_000) };
    creator.go_on();
    assert_eq!(line.hear() & 1, 1);
    creator.join();
    opener.join();
}

fn plain_programs_see_the_same_set<D: Ipc>() {
    let (key, id) = new_set::<D>(&[4]);
    assert_eq!(good(unsafe { libc::semget(key.get(), 1, 0) }), id);
    let mut take = libc::sembuf { sem_num: 0, sem_op: -3, sem_flg: 0 };
    good(unsafe { libc::semop(id, &mut take, 1) });
    assert_eq!(D::sem_value(id, 0), Ok(1));
    // One of theirs, of any mode but the mark's.
    for mode in [0o600, 0o777, 0o711, 0o700] {
        let theirs = new_key();
        let flags = libc::IPC_CREAT | libc::IPC_EXCL | mode;
        let id = good(unsafe { libc::semget(theirs.get(), 2, flags) });
        assert_eq!(D::sem_open(theirs.get(), 2), Ok(id), "{mode:o}");
        assert_eq!(D::sem_create(theirs.get(), &[1], true, 0), Ok((id, false)), "{mode:o}");
    }
    // And of ours, none has it.
    for mode in [0o701, 0o777, 0o101] {
        let ours = new_key();
        let (id, _) = D::sem_create(ours.get(), &[1], false, mode).unwrap();
        assert_eq!(D::sem_stat(id).unwrap().mode, mode & 0o666);
    }
}

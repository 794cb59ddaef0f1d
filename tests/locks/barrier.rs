use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use shmkit::error::SHMKIT_E_PEER_DIED;
use shmkit::sync::{self, Barrier, EventFlags, Party, PartyOptions, Passed, Watch};
use shmkit::{Code, Deadline, Region};

use super::support::*;
use super::watch::is_readable_within;
use super::{await_sleep, errno_of, in_child, join, region, soon, FIRST, TABLE};

const PEER_DIED: Result<Passed, i32> = Err(SHMKIT_E_PEER_DIED);
const CANCELLED: Result<Passed, i32> = Err(-libc::ECANCELED);
const EAGAIN: i32 = -libc::EAGAIN;

fn raw(passed: Result<Passed, Code>) -> Result<Passed, i32> {
    passed.map_err(Code::raw)
}

fn past() -> Deadline {
    Deadline::at_ns(0).unwrap()
}

/// How many wait, as the word says.
fn await_arrivals(region: &Region, count: u32) {
    let word = unsafe { AtomicU32::from_ptr(region.as_ptr().add(FIRST).cast()) };
    while word.load(Ordering::Acquire) & 0xfffff != count {
        std::thread::yield_now();
    }
}

/// A child that is a member, and waits each time that it is told to go, for what it says then: 1 one of them, 0
/// another, or a code.
struct Member {
    child: Child,
    go: Line,
    says: Line,
}

impl Member {
    fn new(region: &Region, count: u32) -> Member {
        let (go, says) = (Line::new(), Line::new());
        let child = fork(|| {
            let party = join(region);
            let barrier = party.barrier(FIRST, count).unwrap();
            says.tell(0);
            loop {
                go.hear();
                says.tell(match barrier.wait() {
                    Ok(passed) => i64::from(passed == Passed::Serial),
                    Err(code) => code.raw().into(),
                });
            }
        });
        says.hear();
        Member { child, go, says }
    }

    fn wait(&self) {
        self.go.tell(1);
    }

    #[track_caller]
    fn is_told(&self) {
        assert_eq!(self.says.hear(), i64::from(SHMKIT_E_PEER_DIED));
    }

    /// Whether it is the one.
    #[track_caller]
    fn passes(&self) -> i64 {
        let said = self.says.hear();
        assert!(said == 0 || said == 1, "{said}");
        said
    }
}

#[test]
fn processes_meet_again_and_again() {
    own_process!(30, || {
        const ROUNDS: u64 = 1000;
        const COUNT: usize = 3;
        let region = region();
        let number =
            |at: usize| unsafe { AtomicU64::from_ptr(region.as_ptr().add(FIRST + 1024 + at * 8).cast()) };
        let meet = |own: usize| {
            let party = join(&region);
            let barrier = party.barrier(FIRST, COUNT as u32).unwrap();
            for round in 1..=ROUNDS {
                number(own).store(round, Ordering::Relaxed);
                if barrier.wait() == Ok(Passed::Serial) {
                    number(COUNT).fetch_add(1, Ordering::Relaxed);
                }
                for other in 0..COUNT {
                    assert!((round..=round + 1).contains(&number(other).load(Ordering::Relaxed)));
                }
            }
            party.leave().unwrap();
        };
        let children: Vec<_> = (0..COUNT).map(|own| fork(move || meet(own))).collect();
        children.into_iter().for_each(Child::join);
        assert_eq!(number(COUNT).load(Ordering::Relaxed), ROUNDS);
        (0..=COUNT).for_each(|at| number(at).store(0, Ordering::Relaxed));
    });
}

#[test]
fn threads_of_a_process_count_each() {
    own_process!(10, || {
        let region = region();
        let party = join(&region);
        let barrier = party.barrier(FIRST, 2).unwrap();
        assert!(barrier.made());
        std::thread::scope(|scope| {
            let other = scope.spawn(|| (0..100).filter(|_| barrier.wait() == Ok(Passed::Serial)).count());
            let own = (0..100).filter(|_| barrier.wait() == Ok(Passed::Serial)).count();
            assert_eq!(own + other.join().unwrap(), 100);
        });
        let alone = party.barrier(FIRST + 64, 1).unwrap();
        (0..20).for_each(|_| assert_eq!(alone.wait(), Ok(Passed::Serial)));
        assert_eq!(alone.wait_until(past()), Ok(Passed::Serial));
    });
}

fn all_who_wait_are_told_of_a_death() {
    let region = region();
    let others = [Member::new(&region, 3), Member::new(&region, 3)];
    let dies = Member::new(&region, 3);
    others.iter().for_each(Member::wait);
    await_arrivals(&region, 2);
    others.iter().for_each(|other| await_sleep(other.child.pid()));
    let before = monotonic_ns();
    dies.child.slay();
    others.iter().for_each(Member::is_told);
    assert!(monotonic_ns() - before < 900_000_000);
    // Anew, with another one in its place, who is told of nothing.
    others.iter().for_each(Member::wait);
    await_arrivals(&region, 2);
    let party = join(&region);
    let barrier = party.barrier(FIRST, 3).unwrap();
    assert!(!barrier.made());
    assert_eq!(barrier.wait(), Ok(Passed::Serial));
    assert_eq!(others.iter().map(Member::passes).sum::<i64>(), 0);
}

#[test]
fn all_who_wait_are_told_of_the_death_of_another() {
    own_process!(10, all_who_wait_are_told_of_a_death);
}

#[test]
fn all_who_wait_are_told_without_futex_waitv() {
    own_process!(10, || {
        sync::pretend_without_waitv(true);
        all_who_wait_are_told_of_a_death();
        sync::pretend_without_waitv(false);
    });
}

#[test]
fn a_waiter_that_dies_is_told_to_the_others() {
    own_process!(10, || {
        let region = region();
        let (other, dies) = (Member::new(&region, 3), Member::new(&region, 3));
        other.wait();
        dies.wait();
        await_arrivals(&region, 2);
        dies.child.slay();
        other.is_told();
        await_arrivals(&region, 0);
        let party = join(&region);
        let barrier = party.barrier(FIRST, 3).unwrap();
        assert_eq!(raw(barrier.wait_until(soon())), Err(-libc::ETIMEDOUT));
    });
}

/// Nobody waits for one who will not come, because it has not heard.
#[test]
fn who_comes_later_is_told_once() {
    own_process!(10, || {
        let region = region();
        let [first, later, dies] = [(); 3].map(|()| Member::new(&region, 3));
        first.wait();
        await_arrivals(&region, 1);
        dies.child.slay();
        first.is_told();
        first.wait();
        await_arrivals(&region, 1);
        later.wait();
        later.is_told();
        later.wait();
        await_arrivals(&region, 2);
        let party = join(&region);
        assert_eq!(party.barrier(FIRST, 3).unwrap().wait(), Ok(Passed::Serial));
        assert_eq!(first.passes() + later.passes(), 0);
    });
}

/// Nor does it get lost when somebody else has the dead one's slot meanwhile.
#[test]
fn a_death_that_nobody_saw_is_told() {
    own_process!(10, || {
        let region = region();
        let options = PartyOptions { slots: 3, ..PartyOptions::default() };
        let party = Party::join(&region, TABLE, &options).unwrap();
        let barrier = party.barrier(FIRST, 2).unwrap();
        for joins in [false, true, true] {
            {
                let party = Party::join(&region, TABLE, &options).unwrap();
                party.leave().unwrap();
            }
            in_child(|| {
                assert!(party.barrier(FIRST, 2).is_ok());
                // It dies without having left.
            });
            let others = joins.then(|| [(); 2].map(|()| Party::join(&region, TABLE, &options).unwrap()));
            assert_eq!(raw(barrier.wait()), PEER_DIED);
            drop(others);
            assert_eq!(raw(barrier.wait_until(past())), Err(-libc::ETIMEDOUT));
        }
    });
}

#[test]
fn who_leaves_has_not_died() {
    own_process!(10, || {
        let region = region();
        let party = join(&region);
        let barrier = party.barrier(FIRST, 2).unwrap();
        let visit = |passes: bool| {
            fork_beside(|| {
                let party = join(&region);
                let barrier = party.barrier(FIRST, 2).unwrap();
                if passes {
                    assert!(barrier.wait().is_ok());
                }
                party.leave().unwrap();
            })
        };
        reap(visit(false));
        assert_eq!(raw(barrier.wait_until(soon())), Err(-libc::ETIMEDOUT));
        for _ in 0..3 {
            let child = visit(true);
            assert!(barrier.wait().is_ok());
            reap(child);
        }
        // A child that never used it was no member.
        in_child(|| {});
        assert_eq!(raw(barrier.wait_until(soon())), Err(-libc::ETIMEDOUT));
    });
}

/// A child of a process that has a keeper, which holds no lock.
fn fork_beside(body: impl FnOnce()) -> libc::pid_t {
    match good(unsafe { libc::fork() }) {
        0 => {
            let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
            unsafe { libc::_exit(if end.is_ok() { 0 } else { 101 }) }
        }
        pid => pid,
    }
}

#[track_caller]
fn reap(pid: libc::pid_t) {
    let mut status = 0;
    good(unsafe { libc::waitpid(pid, &mut status, 0) });
    assert_eq!(status, 0);
}

#[test]
fn who_gives_up_has_not_waited() {
    own_process!(10, || {
        let region = region();
        let other = Member::new(&region, 2);
        let party = join(&region);
        let barrier = party.barrier(FIRST, 2).unwrap();
        for deadline in [past(), soon(), soon(), past()] {
            assert_eq!(raw(barrier.wait_until(deadline)), Err(-libc::ETIMEDOUT));
            await_arrivals(&region, 0);
        }
        other.wait();
        await_arrivals(&region, 1);
        assert_eq!(barrier.wait_until(past()), Ok(Passed::Serial));
        assert_eq!(other.passes(), 0);
    });
}

#[test]
fn zeros_and_ones_are_no_barrier() {
    own_process!(10, || {
        let region = region();
        let party = join(&region);
        let refused = |offset, count| party.barrier(offset, count).unwrap_err();
        for count in [0, 1 << 20, u32::MAX] {
            assert_eq!(refused(FIRST, count).errno(), Some(libc::EINVAL), "{count}");
        }
        region.write(FIRST, &[0xff; 32]).unwrap();
        assert_eq!(refused(FIRST, 2).errno(), Some(libc::EINVAL));
        region.write(FIRST, &[0; 32]).unwrap();
        assert!(party.barrier(FIRST, 2).unwrap().made());
        assert!(!party.barrier(FIRST, 2).unwrap().made());
        let another = refused(FIRST, 3);
        assert_eq!(another.errno(), Some(libc::EINVAL));
        assert!(another.to_string().contains("for 2, not for 3"), "{another}");
        assert_eq!(party.rwlock(FIRST).unwrap_err().errno(), Some(libc::EINVAL));
        for offset in [FIRST + 4, TABLE, TABLE + 64, (1 << 20) - 24, 1 << 20, usize::MAX - 7] {
            assert_eq!(refused(offset, 2).errno(), Some(libc::EINVAL), "{offset}");
        }
        // What is stored afterwards.
        let barrier = party.barrier(FIRST, 2).unwrap();
        let mut bytes = [0; 32];
        region.read(FIRST, &mut bytes).unwrap();
        for (at, forged) in [(8, 0u32), (24, 0), (24, 2), (24, u32::MAX), (28, 0), (28, u32::MAX)] {
            region.write(FIRST + at, &forged.to_ne_bytes()).unwrap();
            assert_eq!(errno_of(barrier.wait()), Some(libc::EINVAL), "{at} {forged}");
            region.write(FIRST, &bytes).unwrap();
        }
        assert_eq!(raw(barrier.wait_until(past())), Err(-libc::ETIMEDOUT));
    });
}

#[test]
fn bytes_that_are_forged_without_end_do_not_hold_up_a_deadline() {
    own_process!(20, || {
        let region = region();
        let party = join(&region);
        let barrier: Barrier<'_> = party.barrier(FIRST, 2).unwrap();
        let begun = Line::new();
        let peer = fork_beside(|| {
            let cells = TABLE + 64 + 32 * 8 + 64 * 64;
            let words = [FIRST, FIRST + 4, cells, cells + 32 * 4];
            let words = words.map(|at| unsafe { AtomicU32::from_ptr(region.as_ptr().add(at).cast()) });
            begun.tell(1);
            let mut value = 0u32;
            loop {
                for word in words {
                    value = value.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    word.store(value, Ordering::Relaxed);
                }
            }
        });
        begun.hear();
        let watch = Watch::new().unwrap();
        let before = monotonic_ns();
        for _ in 0..100 {
            // What it answers is the peer's; that it answers is ours.
            let _ = barrier.wait_until(Deadline::after(Duration::from_millis(2)));
            let _ = barrier.wait_watch(&watch);
            let _ = barrier.cancel_watch(&watch);
        }
        assert!(monotonic_ns() - before < 5_000_000_000);
        unsafe { libc::kill(peer, libc::SIGKILL) };
        good(unsafe { libc::waitpid(peer, std::ptr::null_mut(), 0) });
        region.write(TABLE + 64 + 32 * 8 + 64 * 64, &[0; 64 * 32 * 4]).unwrap();
    });
}

/// Many deaths at random moments: no round hangs, and none is passed without all.
#[test]
fn rounds_go_on_over_many_deaths() {
    own_process!(60, || {
        const DEATHS: usize = 60;
        let region = region();
        let word = |at: usize| unsafe { AtomicU32::from_ptr(region.as_ptr().add(FIRST + at).cast()) };
        let (told, wrong, rounds) = (|| word(1024), || word(1028), || word(4));
        told().store(0, Ordering::Relaxed);
        let member = || {
            fork(|| {
                let party = join(&region);
                let barrier = party.barrier(FIRST, 3).unwrap();
                loop {
                    match raw(barrier.wait()) {
                        Ok(_) => {}
                        PEER_DIED => drop(told().fetch_add(1, Ordering::Relaxed)),
                        Err(code) => wrong().store(code as u32, Ordering::Relaxed),
                    }
                }
            })
        };
        let mut members = [member(), member(), member()];
        for death in 0..DEATHS {
            // Some rounds after the last one.
            let from = rounds().load(Ordering::Acquire);
            while rounds().load(Ordering::Acquire).wrapping_sub(from) >> 8 < 5 + death as u32 % 7 {
                std::thread::yield_now();
            }
            let replaced = std::mem::replace(&mut members[death % 3], member());
            replaced.slay();
        }
        let from = rounds().load(Ordering::Acquire);
        while rounds().load(Ordering::Acquire).wrapping_sub(from) >> 8 < 20 {
            std::thread::yield_now();
        }
        drop(members);
        assert!(told().load(Ordering::Relaxed) >= DEATHS as u32);
        assert_eq!(wrong().load(Ordering::Relaxed), 0);
    });
}

/// Calls until it is worth something, by the descriptor alone.
fn wait_by(barrier: &Barrier<'_>, watch: &Watch) -> Result<Passed, i32> {
    loop {
        match raw(barrier.wait_watch(watch)) {
            Err(EAGAIN) => assert!(is_readable_within(watch, -1)),
            end => return end,
        }
    }
}

/// It has arrived, and will not be told for a while.
#[track_caller]
fn arrive_by(barrier: &Barrier<'_>, watch: &Watch) {
    assert_eq!(raw(barrier.wait_watch(watch)), Err(EAGAIN));
    // Who has joined just before.
    while is_readable_within(watch, 0) {
        assert_eq!(raw(barrier.wait_watch(watch)), Err(EAGAIN));
    }
}

fn watches_and_sleepers_meet() {
    let region = region();
    let other = Member::new(&region, 2);
    let party = join(&region);
    let barrier = party.barrier(FIRST, 2).unwrap();
    let watch = Watch::new().unwrap();
    for round in 0..20 {
        match round % 3 {
            // The watch is the first, or the last, or nobody knows.
            0 => {
                arrive_by(&barrier, &watch);
                // To call again is not to arrive again.
                assert_eq!(raw(barrier.wait_watch(&watch)), Err(EAGAIN));
                await_arrivals(&region, 1);
                other.wait();
                assert!(is_readable_within(&watch, -1));
                assert_eq!(raw(barrier.wait_watch(&watch)), Ok(Passed::Other));
                assert_eq!(other.passes(), 1);
            }
            1 => {
                other.wait();
                await_arrivals(&region, 1);
                assert_eq!(raw(barrier.wait_watch(&watch)), Ok(Passed::Serial));
                assert_eq!(other.passes(), 0);
            }
            _ => {
                other.wait();
                let own = wait_by(&barrier, &watch).unwrap();
                assert_eq!(other.passes() + i64::from(own == Passed::Serial), 1);
            }
        }
        assert!(!is_readable_within(&watch, 0));
        await_arrivals(&region, 0);
    }
}

#[test]
fn watches_and_sleepers_meet_again_and_again() {
    own_process!(20, watches_and_sleepers_meet);
}

#[test]
fn watches_and_sleepers_meet_without_futex_waitv() {
    own_process!(20, || {
        sync::pretend_without_waitv(true);
        watches_and_sleepers_meet();
        sync::pretend_without_waitv(false);
    });
}

#[test]
fn each_watch_of_a_process_counts() {
    own_process!(10, || {
        const COUNT: usize = 200;
        let region = region();
        let party = join(&region);
        let barrier = party.barrier(FIRST, COUNT as u32).unwrap();
        let watches: Vec<_> = (0..COUNT).map(|_| Watch::new().unwrap()).collect();
        for _ in 0..3 {
            let (last, first) = watches.split_last().unwrap();
            first.iter().for_each(|watch| assert_eq!(raw(barrier.wait_watch(watch)), Err(EAGAIN)));
            await_arrivals(&region, COUNT as u32 - 1);
            assert_eq!(raw(barrier.wait_watch(last)), Ok(Passed::Serial));
            first.iter().for_each(|watch| assert_eq!(wait_by(&barrier, watch), Ok(Passed::Other)));
        }
    });
}

#[test]
fn a_watch_that_gives_up_has_not_arrived() {
    own_process!(10, || {
        let region = region();
        let other = Member::new(&region, 2);
        let party = join(&region);
        let (barrier, event) =
            (party.barrier(FIRST, 2).unwrap(), party.event(FIRST + 64, EventFlags::empty()));
        let event = event.unwrap();
        for way in 0..4 {
            let watch = Watch::new().unwrap();
            assert_eq!(raw(barrier.cancel_watch(&watch)), CANCELLED);
            arrive_by(&barrier, &watch);
            await_arrivals(&region, 1);
            match way {
                0 => assert_eq!(raw(barrier.cancel_watch(&watch)), CANCELLED),
                1 => watch.cancel().unwrap(),
                2 => assert_eq!(errno_of(event.wait_watch(&watch)), Some(libc::EAGAIN)),
                _ => {}
            }
            drop(watch);
            await_arrivals(&region, 0);
        }
        assert!(!other.says.is_told());
    });
}

/// Whether the round had ended before is told by whoever gives up: then it has.
#[test]
fn a_round_that_has_ended_is_not_given_up() {
    own_process!(10, || {
        let region = region();
        let [other, dies] = [(); 2].map(|()| Member::new(&region, 2));
        let party = join(&region);
        let barrier = party.barrier(FIRST, 2).unwrap();
        let watch = Watch::new().unwrap();
        arrive_by(&barrier, &watch);
        other.wait();
        assert_eq!(other.passes(), 1);
        assert_eq!(raw(barrier.cancel_watch(&watch)), Ok(Passed::Other));
        assert_eq!(raw(barrier.cancel_watch(&watch)), CANCELLED);
        // Others may go on meanwhile, as long as they like.
        arrive_by(&barrier, &watch);
        other.wait();
        assert_eq!(other.passes(), 1);
        for _ in 0..20 {
            other.wait();
            dies.wait();
            assert_eq!(other.passes() + dies.passes(), 1);
        }
        assert_eq!(raw(barrier.wait_watch(&watch)), Ok(Passed::Other));
        arrive_by(&barrier, &watch);
        dies.child.slay();
        other.wait();
        other.is_told();
        assert_eq!(raw(barrier.cancel_watch(&watch)), PEER_DIED);
        // It was told once.
        assert_eq!(raw(barrier.wait_until(past())), Err(-libc::ETIMEDOUT));
    });
}

#[test]
fn a_watch_is_told_of_a_death() {
    own_process!(10, || {
        super::in_time(|| {
            let region = region();
            let [other, dies] = [(); 2].map(|()| Member::new(&region, 3));
            let party = join(&region);
            let barrier = party.barrier(FIRST, 3).unwrap();
            let watch = Watch::new().unwrap();
            other.wait();
            arrive_by(&barrier, &watch);
            let before = monotonic_ns();
            dies.child.slay();
            assert_eq!(wait_by(&barrier, &watch), PEER_DIED);
            other.is_told();
            monotonic_ns() - before
        });
    });
}

#[test]
fn the_death_of_one_who_waits_by_a_watch_is_told() {
    own_process!(10, || {
        let region = region();
        let other = Member::new(&region, 3);
        let waits = Line::new();
        let dies = fork(|| {
            let party = join(&region);
            let barrier = party.barrier(FIRST, 3).unwrap();
            let watches = [(); 2].map(|()| Watch::new().unwrap());
            arrive_by(&barrier, &watches[0]);
            waits.tell(1);
            super::stay();
        });
        waits.hear();
        other.wait();
        await_arrivals(&region, 2);
        dies.slay();
        other.is_told();
        await_arrivals(&region, 0);
    });
}

/// One gives up at any moment of a round: it has passed as often as the other.
#[test]
fn both_know_how_often_they_have_met() {
    own_process!(60, || {
        const ROUNDS: u32 = 3000;
        let region = region();
        let met = || unsafe { AtomicU32::from_ptr(region.as_ptr().add(FIRST + 1024).cast()) };
        let ends = || unsafe { AtomicU32::from_ptr(region.as_ptr().add(FIRST + 1028).cast()) };
        let other = fork(|| {
            let party = join(&region);
            let barrier = party.barrier(FIRST, 2).unwrap();
            // Its partner has its last round when it has told so.
            while ends().load(Ordering::Acquire) == 0 {
                let deadline = Deadline::after(Duration::from_millis(1));
                match raw(barrier.wait_until(deadline)) {
                    Ok(_) => drop(met().fetch_add(1, Ordering::Relaxed)),
                    end => assert_eq!(end, Err(-libc::ETIMEDOUT)),
                }
            }
            party.leave().unwrap();
        });
        let party = join(&region);
        let barrier = party.barrier(FIRST, 2).unwrap();
        let watch = Watch::new().unwrap();
        let mut chance = Chance::new(11);
        let mut own = 0;
        let mut cancelled = 0;
        while own < ROUNDS {
            let mut end = raw(barrier.wait_watch(&watch));
            (0..chance.below(2000)).for_each(|_| std::hint::spin_loop());
            if end == Err(EAGAIN) {
                end = match own % 2 {
                    0 => raw(barrier.cancel_watch(&watch)),
                    _ => wait_by(&barrier, &watch),
                };
            }
            match end {
                Ok(_) => own += 1,
                end => {
                    assert_eq!(end, CANCELLED);
                    cancelled += 1;
                }
            }
        }
        ends().store(1, Ordering::Release);
        other.join();
        assert_eq!(met().swap(0, Ordering::Relaxed), own, "and {cancelled} cancelled");
        ends().store(0, Ordering::Relaxed);
    });
}

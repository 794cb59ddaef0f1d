use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shmkit::sync::{Begun, Watch};
use shmkit::{Deadline, Region};

use super::support::*;
use super::watch::is_readable_within;
use super::workers::*;
use super::{errno_of, in_time, join, region, stay, FIRST};

fn runs(region: &Region) -> &AtomicU64 {
    unsafe { AtomicU64::from_ptr(region.as_ptr().add(FIRST + 256).cast()) }
}

#[test]
fn it_is_done_once() {
    own_process!(20, || {
        let region = region();
        let workers = [(); 8].map(|()| {
            worker(&region, |party, _| {
                let once = party.once(FIRST).unwrap();
                if once.begin() == Ok(Begun::Run) {
                    let before = runs(&region).load(Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(20));
                    runs(&region).store(before + 1, Ordering::Relaxed);
                    once.end(true).unwrap();
                }
                assert_eq!(runs(&region).load(Ordering::Relaxed), 1);
                assert_eq!(once.begin(), Ok(Begun::Done));
            })
        });
        workers.iter().for_each(Worker::go);
        workers.into_iter().for_each(|worker| worker.child.join());
    });
}

#[test]
fn what_it_answers() {
    own_process!(10, || {
        let region = region();
        let party = join(&region);
        let once = party.once(FIRST).unwrap();
        assert!(once.made() && !party.once(FIRST).unwrap().made());
        assert_eq!(errno_of(once.end(true)), Some(libc::EPERM));
        assert_eq!(once.begin(), Ok(Begun::Run));
        assert_eq!(errno_of(once.begin()), Some(libc::EDEADLK));
        // It has failed, and is tried again.
        once.end(false).unwrap();
        assert_eq!(errno_of(once.end(true)), Some(libc::EPERM));
        assert_eq!(once.begin(), Ok(Begun::Run));
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let soon = Deadline::after(Duration::from_millis(2));
                assert_eq!(errno_of(once.begin_until(soon)), Some(libc::ETIMEDOUT));
            });
            // Until all of it is gone.
            other.join().unwrap();
        });
        once.end(true).unwrap();
        assert_eq!(once.begin(), Ok(Begun::Done));
        assert_eq!(once.begin_until(Deadline::at_ns(0).unwrap()), Ok(Begun::Done));
        assert_eq!(errno_of(once.end(true)), Some(libc::EPERM));
        region.write(FIRST, &[0xff; 32]).unwrap();
        assert_eq!(errno_of(once.end(true)), Some(libc::EINVAL));
        assert_eq!(party.once(FIRST).unwrap_err().errno(), Some(libc::EINVAL));
        region.write(FIRST, &[0; 32]).unwrap();
        assert_eq!(errno_of(once.end(true)), Some(libc::EINVAL));
    });
}

#[test]
fn a_dead_one_hands_over() {
    own_process!(60, || {
        mostly_soon(|| {
            let region = region();
            let first = worker(&region, |party, told| {
                assert_eq!(party.once(FIRST).unwrap().begin(), Ok(Begun::Run));
                told.tell(1);
                std::thread::sleep(Duration::from_secs(1000));
            });
            first.go();
            first.told.hear();
            // The one that waits in front is killed with it.
            let waiters = [(); 3].map(|()| {
                worker(&region, |party, told| {
                    let once = party.once(FIRST).unwrap();
                    let begun = once.begin().unwrap();
                    told.tell(begun as i64);
                    if begun == Begun::RunAgain {
                        once.end(true).unwrap();
                    }
                })
            });
            waiters.iter().for_each(Worker::go_to_sleep);
            let [victim, heirs @ ..] = waiters;
            victim.child.slay();
            first.child.slay();
            let mut begun = heirs.each_ref().map(Worker::hear_soon);
            begun.sort();
            assert_eq!(begun, [Begun::Done as i64, Begun::RunAgain as i64]);
            heirs.into_iter().for_each(|heir| heir.child.join());
        });
    });
}

#[test]
fn a_death_or_an_end_makes_a_descriptor_readable() {
    own_process!(10, || {
        for dies in [true, false] {
            in_time(|| {
                let region = region();
                let (begun, go) = (Line::new(), Line::new());
                let other = fork(|| {
                    let party = join(&region);
                    let once = party.once(FIRST).unwrap();
                    assert_eq!(once.begin(), Ok(Begun::Run));
                    begun.tell(1);
                    go.hear();
                    once.end(true).unwrap();
                    stay();
                });
                begun.hear();
                let party = join(&region);
                let once = party.once(FIRST).unwrap();
                let watch = Watch::new().unwrap();
                assert_eq!(errno_of(once.begin_watch(&watch)), Some(libc::EAGAIN));
                assert!(!is_readable_within(&watch, 5));
                let before = monotonic_ns();
                if dies {
                    other.kill(libc::SIGKILL);
                } else {
                    go.tell(1);
                }
                let found = loop {
                    assert!(is_readable_within(&watch, -1));
                    match once.begin_watch(&watch) {
                        Err(code) => assert_eq!(code.raw(), -libc::EAGAIN),
                        Ok(found) => break found,
                    }
                };
                let took_ns = monotonic_ns() - before;
                assert!(!is_readable_within(&watch, 0));
                assert_eq!(found, if dies { Begun::RunAgain } else { Begun::Done });
                if dies {
                    once.end(true).unwrap();
                } else {
                    other.kill(libc::SIGKILL);
                }
                other.wait();
                took_ns
            });
        }
    });
}

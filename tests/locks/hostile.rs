//! Peers that are elsewhere, stopped, or mean harm; and a kernel that does not come to the end of a list.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use shmkit::error::SHMKIT_E_PEER_DIED;
use shmkit::sync::{Locked, Party, PartyOptions, SemaphoreFlags, Wake, Watch};
use shmkit::{Code, Deadline, Options, Region};

use super::support::*;
use super::watch::is_readable_within;
use super::{join, region, FIRST, TABLE};

fn word(region: &Region) -> &AtomicU32 {
    unsafe { AtomicU32::from_ptr(region.as_ptr().add(FIRST).cast()) }
}

fn errno_of<T: std::fmt::Debug>(result: Result<T, shmkit::Code>) -> Option<i32> {
    result.unwrap_err().errno()
}

fn in_time(ms: u64) -> Deadline {
    Deadline::after(Duration::from_millis(ms))
}

fn sleep_for_ever() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

#[test]
fn an_owner_that_is_no_member_has_no_number() {
    own_process!(10, || {
        let region = region();
        let party = join(&region);
        let mutex = party.mutex(FIRST).unwrap();
        assert_eq!(mutex.owner(), Ok(None));
        word(&region).store(0x3fff_fffe, Ordering::Relaxed);
        assert_eq!(errno_of(mutex.owner()), Some(libc::ESRCH));
        word(&region).store(0, Ordering::Relaxed);
        // Nor has one whose slot has a number that kill(2) takes for many processes.
        assert_eq!(mutex.lock(), Ok(Locked::Clean));
        let first_slot = TABLE + 64 + 32 * size_of::<u64>();
        let identity = unsafe { AtomicU64::from_ptr(region.as_ptr().add(first_slot + 8).cast()) };
        let told = identity.load(Ordering::Relaxed);
        for pid in [0, i32::MIN as u32, u32::MAX] {
            identity.store(told & !u64::from(u32::MAX) | u64::from(pid), Ordering::Relaxed);
            assert_eq!(errno_of(mutex.owner()), Some(libc::ESRCH), "{pid}");
        }
        identity.store(told, Ordering::Relaxed);
        assert_eq!(mutex.owner(), Ok(Some(std::process::id())));
        mutex.unlock().unwrap();
    });
}

/// In its time namespace processes start at other times than here.
#[test]
fn an_owner_whose_clock_tells_another_time_lives() {
    own_process!(30, || {
        let region = Region::anon_create(1 << 20, &Options::default()).unwrap();
        let told = Line::new();
        let outer = fork(|| {
            if let Err(why) = own_clocks() {
                skip(why);
                return told.tell(-1);
            }
            let owner = fork(|| {
                let party = join(&region);
                assert_eq!(party.mutex(FIRST).unwrap().lock(), Ok(Locked::Clean));
                told.tell(1);
                sleep_for_ever();
            });
            owner.join();
        });
        if told.hear() == -1 {
            return outer.join();
        }
        let party = join(&region);
        let mutex = party.mutex(FIRST).unwrap();
        // Longer than the slice after which one looks whether the owner is there.
        assert_eq!(errno_of(mutex.lock_until(in_time(2500))), Some(libc::ETIMEDOUT));
        outer.slay();
        assert_eq!(mutex.lock(), Ok(Locked::OwnerDied));
        mutex.consistent().unwrap();
        mutex.unlock().unwrap();
    });
}

/// Process 1 of a PID namespace, and its number here.
struct Elsewhere {
    pid: libc::pid_t,
    outer: Child,
}

/// None where it is not permitted, which is said.
fn fork_elsewhere(body: impl FnOnce()) -> Option<Elsewhere> {
    let born = Line::new();
    let outer = fork(|| {
        if let Err(why) = own_pids() {
            skip(why);
            return born.tell(-1);
        }
        match good(unsafe { libc::fork() }) {
            0 => {
                good(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) });
                body();
                unsafe { libc::_exit(0) }
            }
            pid => {
                born.tell(pid.into());
                good(unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) });
            }
        }
    });
    match born.hear() {
        -1 => {
            outer.join();
            None
        }
        pid => Some(Elsewhere { pid: pid as libc::pid_t, outer }),
    }
}

impl Elsewhere {
    fn slay(self) {
        good(unsafe { libc::kill(self.pid, libc::SIGKILL) });
        self.outer.join();
    }
}

#[test]
fn equal_numbers_in_two_pid_namespaces() {
    own_process!(20, || {
        const TM: u32 = (1 << 30) - 1;
        let region = region();
        let owners_number = || word(&region).load(Ordering::SeqCst) & TM;
        let (told, go) = (Line::new(), Line::new());
        let owner = fork_elsewhere(|| {
            let party = join(&region);
            let mutex = party.mutex(FIRST).unwrap();
            assert_eq!(mutex.lock(), Ok(Locked::Clean));
            told.tell(std::process::id().into());
            go.hear();
            // The other one's death has not taken it away.
            mutex.unlock().unwrap();
            assert_eq!(mutex.lock(), Ok(Locked::Clean));
            told.tell(1);
            sleep_for_ever();
        });
        let Some(owner) = owner else { return };
        assert_eq!(told.hear(), 1);
        let number = owners_number();
        let other = fork_elsewhere(|| {
            let party = join(&region);
            let mutex = party.mutex(FIRST).unwrap();
            let refused = errno_of(mutex.unlock()) == Some(libc::EPERM)
                && errno_of(mutex.try_lock()) == Some(libc::EBUSY)
                && errno_of(mutex.unlock()) == Some(libc::EPERM)
                && mutex.owner() == Ok(Some(1));
            told.tell(if refused { std::process::id().into() } else { -1 });
            sleep_for_ever();
        })
        .unwrap();
        assert_eq!(told.hear(), 1, "both are process 1, and the other one is no owner");
        other.slay();
        assert_eq!(owners_number(), number);
        let party = join(&region);
        let mutex = party.mutex(FIRST).unwrap();
        assert_eq!(errno_of(mutex.lock_until(in_time(20))), Some(libc::ETIMEDOUT));
        go.tell(1);
        assert_eq!(told.hear(), 1);
        owner.slay();
        assert_eq!(mutex.lock(), Ok(Locked::OwnerDied));
        mutex.consistent().unwrap();
        mutex.unlock().unwrap();
    });
}

/// What /proc does not tell across PID namespaces, a lock of the process does. Others keep the processors from the last
/// read for a little longer than whoever sees nothing waits.
#[test]
fn a_dead_owner_elsewhere_does_not_write() {
    own_process!(60, || {
        let processors = std::thread::available_parallelism().unwrap().get();
        let (busy, go) = (Line::new(), Line::new());
        let _others: Vec<_> = (0..processors)
            .map(|_| {
                fork(|| loop {
                    go.hear();
                    busy.tell(1);
                    let until = monotonic_ns() + 215_000_000;
                    while monotonic_ns() < until {}
                })
            })
            .collect();
        let start = |body: &dyn Fn()| {
            let place = fork_elsewhere(|| {
                good(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) });
                body();
            });
            place.map(|place| (place.pid, place.outer))
        };
        super::mutex::dead_owners_do_not_write(start, || {
            (0..processors).for_each(|_| go.tell(1));
            (0..processors).for_each(|_| assert_eq!(busy.hear(), 1));
        });
    });
}

/// What shows that a process is there is its own: a child that it leaves behind does not have it, nor does it take
/// a descriptor.
#[test]
fn a_child_of_a_dead_owner_does_not_stand_for_it() {
    own_process!(30, || {
        let region = region();
        let (held, go, took, end) = (Line::new(), Line::new(), Line::new(), Line::new());
        let other = fork_elsewhere(|| {
            let party = join(&region);
            let mutex = party.mutex(FIRST).unwrap();
            took.tell(0);
            go.hear();
            let before = monotonic_ns();
            assert_eq!(mutex.lock(), Ok(Locked::OwnerDied));
            took.tell(monotonic_ns() - before);
            sleep_for_ever();
        });
        let Some(other) = other else { return };
        assert_eq!(took.hear(), 0);
        let owner = fork(|| {
            let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
            let before = descriptors();
            let party = join(&region);
            assert_eq!(party.mutex(FIRST).unwrap().lock(), Ok(Locked::Clean));
            assert_eq!(descriptors(), before);
            if good(unsafe { libc::fork() }) == 0 {
                held.tell(1);
                end.hear();
                unsafe { libc::_exit(0) };
            }
            sleep_for_ever();
        });
        held.hear();
        owner.slay();
        go.tell(1);
        assert!(took.hear() < 5_000_000_000);
        end.tell(1);
        other.slay();
    });
}

/// Where /proc is that of another namespace, the numbers there are those of other processes.
#[test]
fn a_dead_owner_does_not_write_where_proc_tells_of_others() {
    own_process!(30, || {
        let done = Line::new();
        let place = fork_elsewhere(|| {
            super::mutex::dead_owners_do_not_write(super::mutex::start, || {});
            done.tell(1);
        });
        if let Some(place) = place {
            place.outer.join();
            assert!(done.is_told(), "it failed there");
        }
    });
}

/// Of one that dies where nothing can be seen of it, calls that do not wait hear, too.
#[test]
fn a_watch_hears_of_a_death_in_another_pid_namespace() {
    own_process!(20, || {
        let region = region();
        let told = Line::new();
        let dies = fork_elsewhere(|| {
            let party = join(&region);
            let (mutex, barrier) = (party.mutex(FIRST).unwrap(), party.barrier(FIRST + 64, 2).unwrap());
            assert_eq!(mutex.lock(), Ok(Locked::Clean));
            assert!(barrier.made());
            told.tell(1);
            sleep_for_ever();
        });
        let Some(dies) = dies else { return };
        told.hear();
        let party = join(&region);
        let (mutex, barrier) = (party.mutex(FIRST).unwrap(), party.barrier(FIRST + 64, 2).unwrap());
        let watches = [(); 2].map(|()| Watch::new().unwrap());
        let at_mutex = || mutex.lock_watch(&watches[0]);
        let at_barrier = || barrier.wait_watch(&watches[1]);
        assert_eq!(errno_of(at_mutex()), Some(libc::EAGAIN));
        assert_eq!(errno_of(at_barrier()), Some(libc::EAGAIN));
        dies.slay();
        assert_eq!(answer(&watches[0], at_mutex), Ok(Locked::OwnerDied));
        mutex.consistent().unwrap();
        mutex.unlock().unwrap();
        assert_eq!(answer(&watches[1], at_barrier).unwrap_err().raw(), SHMKIT_E_PEER_DIED);
    });
}

/// What a call answers at last that is made when the watch is readable.
fn answer<T>(watch: &Watch, call: impl Fn() -> Result<T, Code>) -> Result<T, Code> {
    loop {
        match call() {
            Err(code) if code.errno() == Some(libc::EAGAIN) => assert!(is_readable_within(watch, -1)),
            answer => return answer,
        }
    }
}

#[test]
fn a_stopped_owner_is_not_dead() {
    own_process!(20, || {
        let region = region();
        let (holds, go) = (Line::new(), Line::new());
        let owner = fork(|| {
            let party = join(&region);
            let mutex = party.mutex(FIRST).unwrap();
            assert_eq!(mutex.lock(), Ok(Locked::Clean));
            holds.tell(1);
            go.hear();
            mutex.unlock().unwrap();
        });
        holds.hear();
        owner.kill(libc::SIGSTOP);
        let party = join(&region);
        let mutex = party.mutex(FIRST).unwrap();
        // Longer than a slice: somebody looks whether the owner is a member.
        assert_eq!(errno_of(mutex.lock_until(in_time(1200))), Some(libc::ETIMEDOUT));
        assert_eq!(mutex.owner(), Ok(Some(owner.pid() as u32)));
        owner.kill(libc::SIGCONT);
        go.tell(1);
        assert_eq!(mutex.lock(), Ok(Locked::Clean));
        mutex.unlock().unwrap();
        owner.join();
    });
}

#[test]
fn a_number_that_nobody_has_is_reclaimed() {
    own_process!(30, || {
        let region = region();
        let party = join(&region);
        let mutex = party.mutex(FIRST).unwrap();
        for forged in [1, 1 << 31 | 1, (1 << 30) - 1, 1 << 30 | 77] {
            word(&region).store(forged, Ordering::SeqCst);
            assert_eq!(errno_of(mutex.lock_until(in_time(5))), Some(libc::ETIMEDOUT), "{forged:#x}");
            assert_eq!(mutex.lock(), Ok(Locked::OwnerDied), "{forged:#x}");
            mutex.consistent().unwrap();
            mutex.unlock().unwrap();
        }
    });
}

/// Numbers of chance all over the table and the locks, while others lock until deadlines, join, wait and leave.
#[test]
fn a_peer_that_writes_everywhere_stops_nobody() {
    own_process!(60, || {
        const ROUNDS: usize = 150;
        let region = region();
        drop(join(&region));
        let begun = Line::new();
        let peer = fork(|| {
            let mut chance = Chance::new(5);
            let table = 64 + 64 * 64 + 64 * 32 * 4;
            // Numbers that mean something: of those who are here, the marks, and any.
            let mut own = [1, 1 << 31, 1 << 30, 3 << 30, unsafe { libc::getppid() } as u32, 0, u32::MAX, 0];
            begun.tell(1);
            loop {
                // Not the magics: without them nothing is tried.
                let at = match chance.below(4) {
                    0 => TABLE + 16 + chance.below(6) * 4,
                    1 => TABLE + 64 + chance.below(8 * 16) * 4,
                    2 => TABLE + chance.below((table - 64) / 4) * 4 + 64,
                    _ => FIRST + chance.below(2) * 4,
                };
                let place = unsafe { AtomicU32::from_ptr(region.as_ptr().add(at).cast()) };
                own[7] = place.load(Ordering::Relaxed) ^ 1 << chance.below(32);
                place.store(own[chance.below(8)], Ordering::Relaxed);
            }
        });
        begun.hear();
        let mut longest = 0;
        for round in 0..ROUNDS {
            // What a membership comes to is the peer's; that the process goes on is ours.
            let before = monotonic_ns();
            let here = fork(|| {
                let Ok(party) = Party::join(&region, TABLE, &PartyOptions::default()) else { return };
                let Ok(mutex) = party.mutex(FIRST) else { return };
                for _ in 0..20 {
                    let _ = mutex.lock_until(in_time(2));
                    let _ = mutex.consistent();
                    let _ = mutex.unlock();
                    let _ = mutex.try_lock();
                    let _ = mutex.owner();
                    let _ = mutex.unlock();
                    let _ = party.members();
                    let _ = party.wait(word(&region), 0, party.changes(), in_time(1));
                }
                let _ = party.leave();
            });
            here.join();
            longest = longest.max(monotonic_ns() - before);
            if round % 10 == 0 {
                let killed = fork(|| {
                    let _party = Party::join(&region, TABLE, &PartyOptions::default());
                    sleep_for_ever();
                });
                killed.slay();
            }
        }
        peer.slay();
        // 20 times: two waits of 1 and 2 ms, and what is found dead by a try and a join.
        assert!(longest < 10_000_000_000, "{longest} ns");
    });
}

/// To unlock has no deadline, and has an end when a peer writes to the word all the time.
#[test]
fn a_mark_that_flips_without_end_does_not_hold_up_an_unlock() {
    own_process!(20, || {
        let region = region();
        let party = join(&region);
        let mutex = party.mutex(FIRST).unwrap();
        let begun = Line::new();
        let peers: Vec<_> = (0..2)
            .map(|_| {
                fork_beside_threads(|| {
                    begun.tell(1);
                    loop {
                        word(&region).fetch_xor(1 << 31, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        peers.iter().for_each(|_| assert_eq!(begun.hear(), 1));
        for _ in 0..500 {
            assert_eq!(mutex.lock(), Ok(Locked::Clean));
            mutex.unlock().unwrap();
        }
        peers.into_iter().for_each(Child::slay);
        word(&region).store(0, Ordering::SeqCst);
    });
}

/// The kernel may not come to a word: the nodes may be gone, when the process was killed for want of memory and
/// its memory was taken before its threads had ended.
#[test]
fn an_owner_whose_list_was_not_walked_is_found_dead() {
    own_process!(20, || {
        let region = region();
        let holds = Line::new();
        let owner = fork(|| {
            let party = join(&region);
            assert_eq!(party.mutex(FIRST).unwrap().lock(), Ok(Locked::Clean));
            lose_nodes();
            holds.tell(1);
            sleep_for_ever();
        });
        holds.hear();
        let party = join(&region);
        let mutex = party.mutex(FIRST).unwrap();
        assert_eq!(errno_of(mutex.lock_until(in_time(1200))), Some(libc::ETIMEDOUT), "it lives");
        owner.slay();
        assert_eq!(mutex.lock_until(in_time(10_000)), Ok(Locked::OwnerDied));
        mutex.consistent().unwrap();
        mutex.unlock().unwrap();
        assert_eq!(party.members(), [std::process::id()]);
    });
}

/// Also where /proc does not tell of it.
#[test]
fn an_owner_elsewhere_whose_list_was_not_walked_is_found_dead() {
    own_process!(20, || {
        let region = region();
        let holds = Line::new();
        let owner = fork_elsewhere(|| {
            let party = join(&region);
            assert_eq!(party.mutex(FIRST).unwrap().lock(), Ok(Locked::Clean));
            lose_nodes();
            holds.tell(1);
            sleep_for_ever();
        });
        let Some(owner) = owner else { return };
        holds.hear();
        let party = join(&region);
        let mutex = party.mutex(FIRST).unwrap();
        assert_eq!(errno_of(mutex.lock_until(in_time(1200))), Some(libc::ETIMEDOUT), "it lives");
        owner.slay();
        assert_eq!(mutex.lock_until(in_time(10_000)), Ok(Locked::OwnerDied));
        mutex.consistent().unwrap();
        mutex.unlock().unwrap();
    });
}

/// What a member does before its list is lost, and how another one hears of its death.
type Finding = (fn(&Party<'_>), fn(&Party<'_>));

#[test]
fn all_who_wait_find_a_member_whose_list_was_not_walked() {
    const FINDINGS: [Finding; 6] = [
        (
            |_| {},
            |party| {
                let (word, seen) = (AtomicU32::new(0), party.changes());
                assert_eq!(party.wait(&word, 0, seen, Deadline::NEVER), Ok(Wake::Party));
            },
        ),
        (
            |party| assert_eq!(party.rwlock(FIRST).unwrap().read(), Ok(Locked::Clean)),
            |party| {
                let lock = party.rwlock(FIRST).unwrap();
                assert_eq!(lock.write(), Ok(Locked::Clean));
                lock.unlock().unwrap();
            },
        ),
        (
            |party| assert_eq!(party.rwlock(FIRST).unwrap().read(), Ok(Locked::Clean)),
            |party| {
                let (lock, watch) = (party.rwlock(FIRST).unwrap(), Watch::new().unwrap());
                retry(&watch, || lock.write_watch(&watch));
                lock.unlock().unwrap();
            },
        ),
        (
            |party| assert!(party.barrier(FIRST, 2).is_ok()),
            |party| {
                let barrier = party.barrier(FIRST, 2).unwrap();
                let end = barrier.wait().unwrap_err();
                assert_eq!(end.raw(), shmkit::error::SHMKIT_E_PEER_DIED);
            },
        ),
        (
            |party| party.semaphore(FIRST, 1, SemaphoreFlags::TRACKED).unwrap().wait().unwrap(),
            |party| {
                let semaphore = party.semaphore(FIRST, 1, SemaphoreFlags::TRACKED).unwrap();
                assert_eq!(semaphore.wait(), Ok(()));
                semaphore.post().unwrap();
            },
        ),
        (
            |party| party.semaphore(FIRST, 1, SemaphoreFlags::TRACKED).unwrap().wait().unwrap(),
            |party| {
                let semaphore = party.semaphore(FIRST, 1, SemaphoreFlags::TRACKED).unwrap();
                let watch = Watch::new().unwrap();
                retry(&watch, || semaphore.wait_watch(&watch));
                semaphore.post().unwrap();
            },
        ),
    ];
    own_process!(120, || {
        for (does, finds) in FINDINGS {
            let (region, done) = (region(), Line::new());
            let member = fork_beside_threads(|| {
                let party = join(&region);
                does(&party);
                lose_nodes();
                done.tell(1);
                sleep_for_ever();
            });
            done.hear();
            let party = join(&region);
            member.slay();
            finds(&party);
        }
    });
}

/// Tries whenever the descriptor is readable, until it is done.
fn retry<T>(watch: &Watch, mut attempt: impl FnMut() -> Result<T, shmkit::Code>) {
    use std::os::fd::{AsFd, AsRawFd};
    while let Err(code) = attempt() {
        assert_eq!(code.errno(), Some(libc::EAGAIN));
        let mut ready = libc::pollfd { fd: watch.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
        assert_eq!(good(unsafe { libc::poll(&mut ready, 1, -1) }), 1);
    }
}

#[test]
fn the_place_of_an_owner_whose_list_was_not_walked_is_free() {
    own_process!(20, || {
        let region = region();
        let options = PartyOptions { slots: 1, ..PartyOptions::default() };
        let here = Line::new();
        let member = fork(|| {
            let _party = Party::join(&region, TABLE, &options).unwrap();
            lose_nodes();
            here.tell(1);
            sleep_for_ever();
        });
        here.hear();
        assert_eq!(Party::join(&region, TABLE, &options).unwrap_err().errno(), Some(libc::ENOLCK));
        member.slay();
        Party::join(&region, TABLE, &options).unwrap().leave().unwrap();
    });
}

/// As the kernel's reaper does: what is wiped in children is gone here.
fn lose_nodes() {
    let text = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut range = 0..0;
    let mut lost = 0;
    for line in text.lines() {
        let head = line.split_whitespace().next().unwrap_or_default();
        if let Some((start, end)) = head.split_once('-') {
            let number = |text| usize::from_str_radix(text, 16);
            if let (Ok(start), Ok(end)) = (number(start), number(end)) {
                range = start..end;
            }
        } else if line.starts_with("VmFlags:") && line.contains(" wf") {
            good(unsafe { libc::madvise(range.start as *mut _, range.len(), libc::MADV_DONTNEED) });
            lost += 1;
        }
    }
    assert!(lost > 0);
}

/// The wait for the dead has an end with each deadline, whatever a slot tells of its process.
#[test]
fn a_slot_that_tells_of_another_process_does_not_hold_up_a_deadline() {
    own_process!(20, || {
        let region = region();
        let party = join(&region);
        let mutex = party.mutex(FIRST).unwrap();
        let first_slot = TABLE + 64 + 32 * size_of::<u64>();
        let slot = |index: usize, at: usize| unsafe { region.as_ptr().add(first_slot + index * 64 + at) };
        let number = |index, at| unsafe { AtomicU32::from_ptr(slot(index, at).cast()) };
        let large = |index, at| unsafe { AtomicU64::from_ptr(slot(index, at).cast()) };
        unsafe { AtomicU32::from_ptr(region.as_ptr().add(TABLE + 20).cast()) }.store(64, Ordering::SeqCst);
        // A process of its own in each run of this: who has met it before waits no more.
        let start = monotonic_ns() as u64;
        for index in 1..64 {
            large(index, 24).store(start, Ordering::SeqCst);
            large(index, 8).store(1 << 32 | 1, Ordering::SeqCst);
            large(index, 16).store(index as u64 % 2, Ordering::SeqCst);
            number(index, 0).store(1 << 30, Ordering::SeqCst);
        }
        word(&region).store(1 << 30, Ordering::SeqCst);
        let before = monotonic_ns();
        assert_eq!(errno_of(mutex.try_lock()), Some(libc::EBUSY));
        assert_eq!(errno_of(mutex.lock_until(in_time(50))), Some(libc::ETIMEDOUT));
        assert!(monotonic_ns() - before < 5_000_000_000);
        // Nobody has been told, so the next one is; and who waits for all of them waits once.
        let before = monotonic_ns();
        assert_eq!(mutex.lock(), Ok(Locked::OwnerDied));
        assert!(monotonic_ns() - before < 5_000_000_000);
        mutex.consistent().unwrap();
        mutex.unlock().unwrap();
    });
}

/// Who looks for a moment, again and again, comes to the end of the wait for the dead, too, however many they are.
#[test]
fn deaths_that_nobody_can_see_are_over_for_those_who_only_try() {
    own_process!(20, || {
        let region = region();
        let party = join(&region);
        let mutex = party.mutex(FIRST).unwrap();
        let first_slot = TABLE + 64 + 32 * size_of::<u64>();
        let slot = |index: usize, at: usize| unsafe { region.as_ptr().add(first_slot + index * 64 + at) };
        let number = |index, at| unsafe { AtomicU32::from_ptr(slot(index, at).cast()) };
        let large = |index, at| unsafe { AtomicU64::from_ptr(slot(index, at).cast()) };
        unsafe { AtomicU32::from_ptr(region.as_ptr().add(TABLE + 20).cast()) }.store(64, Ordering::SeqCst);
        let start = monotonic_ns() as u64;
        for index in 1..13 {
            large(index, 24).store(start + index as u64, Ordering::SeqCst);
            large(index, 8).store(1 << 32 | 1, Ordering::SeqCst);
            number(index, 0).store(1 << 30, Ordering::SeqCst);
        }
        word(&region).store(1 << 30, Ordering::SeqCst);
        while mutex.try_lock() != Ok(Locked::OwnerDied) {
            std::thread::yield_now();
        }
        mutex.consistent().unwrap();
        mutex.unlock().unwrap();
    });
}

/// In a child made by fork, which joins when it first locks, and finds a slot only once its dead owner has stopped.
#[test]
fn the_first_use_in_a_child_obeys_the_deadline() {
    own_process!(20, || {
        let region = region();
        let options = PartyOptions { slots: 2, ..PartyOptions::default() };
        let party = Party::join(&region, TABLE, &options).unwrap();
        let mutex = party.mutex(FIRST).unwrap();
        // Of a process that nobody can see.
        let slot = TABLE + 64 + 32 * size_of::<u64>() + 64;
        let at = |at: usize| unsafe { region.as_ptr().add(slot + at) };
        unsafe { AtomicU64::from_ptr(at(8).cast()) }.store(1 << 32 | 1, Ordering::SeqCst);
        unsafe { AtomicU32::from_ptr(at(0).cast()) }.store(1 << 30, Ordering::SeqCst);
        super::in_child(|| {
            assert_eq!(errno_of(mutex.try_lock()), Some(libc::ENOLCK));
            assert_eq!(errno_of(mutex.lock_until(in_time(10))), Some(libc::ETIMEDOUT));
            assert_eq!(mutex.lock_until(in_time(10_000)), Ok(Locked::Clean));
            mutex.unlock().unwrap();
        });
    });
}

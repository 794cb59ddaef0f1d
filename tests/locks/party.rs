use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use shmkit::sync::{self, Locked, Party, PartyFlags, PartyOptions, Wake};
use shmkit::{Deadline, Flags, Options, Region};

use super::support::*;
use super::{join, region, FIRST, TABLE};

#[test]
fn a_party_is_not_left_with_a_lock() {
    own_process!(10, || {
        let region = region();
        let mut status = 0;
        // The party and the region stay for good: in a process that ends.
        match good(unsafe { libc::fork() }) {
            0 => {
                let region =
                    std::mem::ManuallyDrop::new(Region::create("own", 1 << 20, &Options::default()).unwrap());
                let party = join(&region);
                let mutex = party.mutex(FIRST).unwrap();
                assert_eq!(mutex.lock(), Ok(Locked::Clean));
                assert_eq!(party.leave().unwrap_err().errno(), Some(libc::EBUSY));
                let region = std::mem::ManuallyDrop::into_inner(region);
                assert_eq!(region.close().unwrap_err().errno(), Some(libc::EBUSY));
                unsafe { libc::_exit(0) }
            }
            pid => good(unsafe { libc::waitpid(pid, &mut status, 0) }),
        };
        assert_eq!(status, 0);
        let party = join(&region);
        assert_eq!(party.members(), [std::process::id()]);
        party.leave().unwrap();
        region.close().unwrap();
    });
}

#[test]
fn what_cannot_be_joined_is_refused() {
    own_process!(10, || {
        let refused = |region: &Region, offset, options: &PartyOptions| {
            Party::join(region, offset, options).unwrap_err().code().raw()
        };
        let (region, default) = (region(), PartyOptions::default());
        for offset in [4, (1 << 20) - 64, 1 << 20, usize::MAX - 7] {
            assert_eq!(refused(&region, offset, &default), -libc::EINVAL, "{offset}");
        }
        for (slots, cells) in [(4097, 0), (0, 4097), (u32::MAX, u32::MAX)] {
            let options = PartyOptions { slots, cells, ..default };
            assert_eq!(refused(&region, 0, &options), -libc::EINVAL);
        }
        region.write(128, &[1]).unwrap();
        assert_eq!(refused(&region, 0, &default), -libc::EINVAL);
        region.write(0, &[0xff; 64]).unwrap();
        assert_eq!(refused(&region, 0, &default), -libc::EINVAL);

        let file = Directory::new();
        let path = file.write("region", &[0; 1 << 16]);
        let open = |flags| Region::file_open(&path, 0, &Options::with_flags(flags)).unwrap();
        assert_eq!(refused(&open(Flags::READ_ONLY), 0, &default), -libc::EACCES);
        assert_eq!(refused(&open(Flags::PRIVATE), 0, &default), -libc::EINVAL);
        let shrinking = open(Flags::empty());
        assert_eq!(refused(&shrinking, 0, &default), shmkit::error::SHMKIT_E_UNSEALED);
        let options = PartyOptions { flags: PartyFlags::CAN_SHRINK, ..default };
        Party::join(&shrinking, 0, &options).unwrap().leave().unwrap();
    });
}

#[test]
fn a_full_party_takes_the_place_of_the_dead() {
    own_process!(10, || {
        let region = region();
        let options = PartyOptions { slots: 2, cells: 0, ..PartyOptions::default() };
        let here = Line::new();
        let other = fork(|| {
            let _party = Party::join(&region, TABLE, &options).unwrap();
            here.tell(1);
            loop {
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        here.hear();
        let party = Party::join(&region, TABLE, &options).unwrap();
        let full = Party::join(&region, TABLE, &options).unwrap_err();
        assert_eq!(full.errno(), Some(libc::ENOLCK));
        assert!(full.to_string().contains("all 2 slots"), "{full}");
        other.slay();
        let again = Party::join(&region, TABLE, &PartyOptions::default()).unwrap();
        assert_eq!(party.members().len(), 2);
        drop(again);
        assert_eq!(party.members().len(), 1);
    });
}

fn a_wait_hears_of_data_and_of_a_death() {
    let region = region();
    let word = || unsafe { AtomicU32::from_ptr(region.as_ptr().add(FIRST).cast()) };
    let party = join(&region);
    let here = Line::new();
    let go = Line::new();
    let other = fork_joined(&party, || {
        let party = join(&region);
        here.tell(1);
        go.hear();
        word().store(1, Ordering::Release);
        unsafe { libc::syscall(libc::SYS_futex, word().as_ptr(), libc::FUTEX_WAKE, 1) };
        go.hear();
        drop(party);
    });
    here.hear();
    let seen = party.changes();
    let soon = Deadline::after(Duration::from_millis(5));
    assert_eq!(party.wait(word(), 0, seen, soon), Ok(Wake::TimedOut));
    go.tell(1);
    while word().load(Ordering::Acquire) == 0 {
        assert_eq!(party.wait(word(), 0, seen, Deadline::NEVER), Ok(Wake::Word));
    }
    let before = monotonic_ns();
    unsafe { libc::kill(other, libc::SIGKILL) };
    assert_eq!(party.wait(word(), 1, seen, Deadline::NEVER), Ok(Wake::Party));
    assert!(monotonic_ns() - before < 500_000_000);
    assert_ne!(party.changes(), seen);
    good(unsafe { libc::waitpid(other, std::ptr::null_mut(), 0) });
}

/// fork() beside our keeper, which holds no lock.
fn fork_joined(_party: &Party<'_>, body: impl FnOnce()) -> libc::pid_t {
    match good(unsafe { libc::fork() }) {
        0 => {
            body();
            unsafe { libc::_exit(0) }
        }
        pid => pid,
    }
}

#[test]
fn a_death_is_heard_of() {
    own_process!(10, a_wait_hears_of_data_and_of_a_death);
}

#[test]
fn a_death_is_heard_of_without_futex_waitv() {
    own_process!(10, || {
        sync::pretend_without_waitv(true);
        a_wait_hears_of_data_and_of_a_death();
        sync::pretend_without_waitv(false);
    });
}

/// What a party in a file is after its processes have died, and in a copy that was made before: there no kernel has
/// marked what they held.
#[test]
fn what_the_dead_held_in_a_file_is_told() {
    own_process!(20, || {
        let place = Directory::new();
        let (path, copy) = (place.file("board"), place.file("copy"));
        fn join_file(region: &Region) -> Party<'_> {
            let flags = PartyFlags::CAN_SHRINK;
            Party::join(region, TABLE, &PartyOptions { flags, ..PartyOptions::default() }).unwrap()
        }
        let locked = Line::new();
        let owner = fork(|| {
            let region = Region::file_create(&path, 1 << 20, &Options::default()).unwrap();
            let party = join_file(&region);
            assert_eq!(party.mutex(FIRST).unwrap().lock(), Ok(Locked::Clean));
            locked.tell(1);
            loop {
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        locked.hear();
        std::fs::copy(&path, &copy).unwrap();
        owner.slay();
        for path in [&path, &copy] {
            let region = Region::file_open(path, 1 << 20, &Options::default()).unwrap();
            let party = join_file(&region);
            let mutex = party.mutex(FIRST).unwrap();
            if path == &copy {
                assert_eq!(mutex.try_lock().unwrap_err().errno(), Some(libc::EBUSY));
            }
            assert_eq!(mutex.lock_until(Deadline::after(Duration::from_secs(10))), Ok(Locked::OwnerDied));
            mutex.consistent().unwrap();
            mutex.unlock().unwrap();
        }
    });
}

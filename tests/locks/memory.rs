//! What a membership and its locks take of memory, beside the bytes of the region. docs/locks.md has the numbers.

use shmkit::sync::{Locked, Party};
use shmkit::{Options, Region};

use super::support::*;
use super::{join, FIRST};

const LOCK: usize = 40;
const LOCKS: usize = 10_000;

/// What this process has written to, and shares with nobody.
fn private_kib() -> usize {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// Uses locks that lie side by side.
fn use_locks(party: &Party<'_>, range: std::ops::Range<usize>) {
    for index in range {
        let mutex = party.mutex(FIRST + index * LOCK).unwrap();
        assert_eq!(mutex.lock(), Ok(Locked::Clean));
        mutex.unlock().unwrap();
    }
}

#[test]
fn a_lock_takes_as_much_private_memory_as_it_has_bytes() {
    own_process!(10, || {
        let region = Region::create("locks", FIRST + LOCKS * LOCK, &Options::default()).unwrap();
        let most = |had: usize| private_kib().saturating_sub(had);
        // What is touched by looking is touched before.
        let (mut had, alone) = (private_kib().max(private_kib()), threads());
        let party = join(&region);
        let joined = most(had);
        assert_eq!(threads() - alone, 1);
        had = private_kib();
        let used = [1, 100, LOCKS].map(|locks| {
            use_locks(&party, 0..locks);
            most(had)
        });
        assert_eq!(threads() - alone, 1 + LOCKS / 2000, "a keeper for each 2000 locks");
        party.leave().unwrap();
        assert_eq!(threads(), alone);
        tell(format!("joining {joined} KiB; 1, 100 and {LOCKS} locks {used:?} KiB"));

        let page = page() >> 10;
        let [one, hundred, all] = used;
        assert!(joined <= 16 * page && one <= 8 * page && hundred <= one + 8 * page);
        // Besides, the stack of each keeper.
        let bytes = (LOCKS * LOCK) >> 10;
        assert!((bytes..bytes + bytes / 2).contains(&all), "{all} KiB");
    });
}

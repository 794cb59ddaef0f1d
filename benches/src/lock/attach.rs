use anyhow::Result;

use crate::c::{self, code, told, Region};
use crate::harness::{each, Bench, Run};

/// Joining, using so many locks once, and leaving: against no lock at all.
pub fn attach<const LOCKS: usize>(bench: &Bench) -> Result<Vec<Run>> {
    let table = size_of::<c::shm_party_table>().next_multiple_of(128);
    let region = Region::memfd(table + LOCKS * size_of::<c::shm_mutex>(), 0, 0)?;
    let first = region.data().wrapping_add(table).cast::<c::shm_mutex>();
    let join = |locks: usize| -> Result<()> {
        let mut party = std::ptr::null_mut();
        // SAFETY: all pointers are valid for the calls, and all locks lie in the region.
        unsafe {
            told(|error| c::shm_party_join(region.handle(), 0, std::ptr::null(), &mut party, error))?;
            for lock in (0..locks).map(|index| first.add(index)) {
                told(|error| c::shm_mutex_init(party, lock, error))?;
                code(c::shm_mutex_lock(party, lock))?;
                code(c::shm_mutex_unlock(party, lock))?;
            }
            code(c::shm_party_leave(party))?;
        }
        Ok(())
    };
    bench.compare_long(|_| each(|| join(LOCKS))(1), |_| each(|| join(0))(1))
}

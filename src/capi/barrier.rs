use std::ffi::c_int;

use super::args::{self, shm_error};
use super::sync::shm_party;
use super::watch::shm_watch;
use crate::deadline::Deadline;
use crate::error::{Code, Result};
use crate::sync::Passed;

/// shm_barrier_wait: this is the one of those who have met, any of them, that is to do what is to be
/// done once: a positive result.
pub const SHMKIT_BARRIER_SERIAL: c_int = 1;

/// A barrier in shared memory: zeros, at a multiple of 8, until shm_barrier_init.
#[repr(C)]
pub struct shm_barrier {
    pub opaque: [u64; 4],
}

/// Makes a barrier of zeros, or finds that it is one, and makes this process a member of it until
/// it leaves the party. Every process that will wait calls this before, in any order and at the
/// same time: a member that dies is told to the others; one that dies before it was a member is
/// not, and the others wait for it. A child made by fork() is no member by its parent's call: it
/// calls this, or waits, itself. There is nothing to destroy; its bytes are the barrier's as long
/// as anybody is in the party. It takes one of the cells of the party's table.
///
/// `barrier`: in the party's region, at a multiple of 8.
/// `count`: how many threads, of any processes, wait for each other: 1 to 1048575. The same for
/// all, and for ever: who leaves the party does not make it less.
/// Returns 1 when it made the barrier, 0 when it found it, or: -EINVAL NULL, outside of the region,
/// neither zeros nor a barrier, one of another party or for another count, or a count out of range;
/// -ENOLCK the table has no cell left.
#[no_mangle]
pub unsafe extern "C" fn shm_barrier_init(
    party: *mut shm_party,
    barrier: *mut shm_barrier,
    count: u32,
    error: *mut shm_error,
) -> c_int {
    let made = || Ok(args::known_party(&party)?.barrier_at(barrier.cast(), count)?.made());
    args::report_as(error, made, c_int::from)
}

/// Waits until as many threads wait as the barrier is for. Then all go on, and the barrier begins
/// anew. Each sees what all of them had written before they waited.
///
/// When a member dies, all threads that wait are told by SHMKIT_E_PEER_DIED, once nothing of the
/// dead process writes any more. Nobody has passed then, and the barrier begins anew. A process
/// none of whose threads waited just then is told by the first of them that waits next, instead of
/// waiting. Several deaths can be told as one.
/// To leave the party is not to die, and nobody is told; but the barrier is for as many as before,
/// so the others wait until another one comes. To end without leaving is to die.
/// Returns SHMKIT_BARRIER_SERIAL (1) in one of the threads, 0 in the others, or: SHMKIT_E_PEER_DIED;
/// -EINVAL NULL, or not a barrier of this party; -ENOLCK in a child made by fork(), at its first use
/// of the party: no slot or thread for its keeper.
#[no_mangle]
pub unsafe extern "C" fn shm_barrier_wait(party: *mut shm_party, barrier: *mut shm_barrier) -> c_int {
    passed(args::barrier(&party, barrier).and_then(|barrier| barrier.wait()))
}

/// shm_barrier_wait until a deadline, in nanoseconds of CLOCK_MONOTONIC. One in the past tries once.
///
/// Returns as shm_barrier_wait, and: -ETIMEDOUT, and it is as if this thread had never waited;
/// -EINVAL a negative deadline.
#[no_mangle]
pub unsafe extern "C" fn shm_barrier_wait_until(
    party: *mut shm_party,
    barrier: *mut shm_barrier,
    deadline_ns: i64,
) -> c_int {
    let wait = || {
        let deadline = Deadline::at_ns(deadline_ns).map_err(|error| error.code())?;
        args::barrier(&party, barrier)?.wait_until(deadline)
    };
    passed(wait())
}

/// Goes on if the others are there. If they are not, this has arrived, as one thread more that waits,
/// and the watch's descriptor becomes readable when the round may have ended: see shm_watch_open. Then
/// call again, with the same watch: it goes on with the arrival, and does not arrive again. A death may
/// make a call take 2 ms.
///
/// shm_barrier_cancel_watch ends the wait before. To use the watch for something else, or to close it,
/// takes the arrival back, too, but tells nobody whether the round had ended.
/// Returns as shm_barrier_wait, and: -EAGAIN the watch waits; -EPERM the watch is another process's.
#[no_mangle]
pub unsafe extern "C" fn shm_barrier_wait_watch(
    party: *mut shm_party,
    barrier: *mut shm_barrier,
    watch: *mut shm_watch,
) -> c_int {
    passed(args::barrier(&party, barrier).and_then(|barrier| barrier.wait_watch(args::watch(&watch)?)))
}

/// Gives up a wait of shm_barrier_wait_watch. Whoever gives up has not waited, for the others either;
/// unless the round had ended just before: then this says how, as shm_barrier_wait_watch would have.
///
/// What the watch waited for is given up in any case, also if that was something else. A death that
/// nobody was told of yet is told by the next wait.
/// Returns -ECANCELED: given up, or the watch did not wait for this barrier; or 0, SHMKIT_E_PEER_DIED:
/// so the round had ended (the one who came last has SHMKIT_BARRIER_SERIAL, so a watch that has waited
/// has not); or: -EINVAL, and the watch waits on; -EPERM the watch is another process's.
#[no_mangle]
pub unsafe extern "C" fn shm_barrier_cancel_watch(
    party: *mut shm_party,
    barrier: *mut shm_barrier,
    watch: *mut shm_watch,
) -> c_int {
    passed(args::barrier(&party, barrier).and_then(|barrier| barrier.cancel_watch(args::watch(&watch)?)))
}

fn passed(result: Result<Passed, Code>) -> c_int {
    match result {
        Ok(Passed::Serial) => SHMKIT_BARRIER_SERIAL,
        Ok(Passed::Other) => 0,
        Err(code) => code.raw(),
    }
}

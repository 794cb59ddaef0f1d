//! Until when a call may wait.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::error::{Error, Result};
use crate::sys::{clock, Errno};

/// Until when a call may wait: a time on CLOCK_MONOTONIC, or for ever.
///
/// A call whose deadline is over tries once. Without a deadline a non-blocking socket answers EAGAIN;
/// with one, the call waits on any socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Option<i64>);

impl Deadline {
    pub const NEVER: Deadline = Deadline(None);

    /// A time on CLOCK_MONOTONIC in nanoseconds; EINVAL for a negative one.
    pub fn at_ns(deadline_ns: i64) -> Result<Deadline> {
        if deadline_ns < 0 {
            return Err(Error::new(Errno::EINVAL, format!("a deadline of {deadline_ns} ns is negative")));
        }
        Ok(Deadline(Some(deadline_ns)))
    }

    /// So much later than now.
    pub fn after(time: Duration) -> Deadline {
        let ns = i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        Deadline(Some(clock::monotonic_ns().saturating_add(ns)))
    }

    pub(crate) fn ns(self) -> Option<i64> {
        self.0
    }

    /// This, or so much later than now, whichever is earlier.
    pub(crate) fn or_after(self, time: Duration) -> Deadline {
        match (self.0, Deadline::after(time).0) {
            (Some(deadline), Some(other)) => Deadline(Some(deadline.min(other))),
            (_, other) => Deadline(other),
        }
    }

    /// What is left of it; zero when it is over, None for ever.
    pub(crate) fn left(self) -> Option<Duration> {
        self.0.map(|deadline| {
            Duration::from_nanos(deadline.saturating_sub(clock::monotonic_ns()).max(0) as u64)
        })
    }
}

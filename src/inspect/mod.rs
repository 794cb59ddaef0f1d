//! What the kernel knows of shared memory: limits, objects and their holders, the pages of a region,
//! leftovers, and the traps of this machine.
//!
//! ```
//! use shmkit::inspect::{self, Limits, Select, Survey};
//! use shmkit::{Kind, Options};
//!
//! if let Err(obstacle) = inspect::fits(Kind::Posix, 1 << 20, &Options::default()) {
//!     println!("{obstacle}"); // which limit, its value, where it is set
//! }
//! println!("shmmax: {:?}", Limits::read().number("kernel.shmmax"));
//!
//! let survey = Survey::of(Select::MACHINE);
//! for object in &survey.objects {
//!     println!("{object}: {:?} bytes", object.size_bytes);
//!     for holder in &object.holders {
//!         println!("    held by process {}", survey.process(holder).pid);
//!     }
//! }
//! for gap in &survey.gaps {
//!     println!("there may be more: {gap}");
//! }
//! for left in inspect::leftovers().found {
//!     let _ = left.check(); // left.remove() would do it
//! }
//! ```
//!
//! Of a [`Region`](crate::Region): `residency`, `usage` and `file_system`.
//!
//! Nothing here changes anything, but for [`Leftover::remove`]. What may not be seen never fails the rest:
//! an answer that is partial says so, and why.
#![forbid(unsafe_code)]

mod cgroup;
mod fits;
mod gaps;
mod leftovers;
mod limits;
mod maps;
mod mounts;
mod object;
mod process;
mod processes;
mod residency;
mod survey;
mod sysvipc;
mod text;
mod traps;
mod usage;

pub use fits::{fits, fits_file, Obstacle};
pub use leftovers::{leftovers, Leftover, Leftovers, Reason};
pub use limits::{Limit, Limits, Reading, Unit, Unknown, Value, UNLIMITED};
pub use mounts::FileSystem;
pub use object::{By, Cause, FileId, Gap, Holder, Object, ObjectKind, Owner, Process, Select};
pub use residency::{Basis, Residency, Run};
pub use survey::Survey;
pub use traps::{traps, Applies, Trap};
pub use usage::{Figures, MappingUsage, Usage};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::object::ObjectKind;
    use super::{maps, sysvipc, text};

    /// Lines of the kernel's with some bytes changed, taken out or repeated.
    fn almost() -> impl Strategy<Value = Vec<u8>> {
        let lines = prop::sample::select(vec![
            &b"7f0e2c600000-7f0e2c601000 rw-s 00002000 00:01 12345 /memfd:a\\012b (deleted)"[..],
            b"30 25 0:27 / /dev/sh\\040m rw shared:1 - tmpfs tmpfs rw,size=64k",
            b"h\n1397247037 9 1600 65536 1 2 3 0 5 1000 7 1795888967 0 1 8192 4096\n-1 8 600 18446744073709551615",
            b"1 (a) b) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20",
            b"Rss:  18446744073709551615 kB\nVmFlags: rd wr\n",
        ]);
        let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4usize), 0..6);
        (lines, changes).prop_map(|(line, changes)| {
            let mut line = line.to_vec();
            for (at, byte, how) in changes {
                let at = at.index(line.len().max(1));
                match how {
                    0 if at < line.len() => line[at] = byte,
                    1 => line.truncate(at),
                    2 => line.extend_from_within(at.min(line.len())..),
                    _ => line.insert(at.min(line.len()), byte),
                }
            }
            line
        })
    }

    proptest! {
        #[test]
        fn no_text_of_proc_makes_a_parser_panic(text in prop_oneof![almost(), any::<Vec<u8>>()]) {
            for line in text::lines(&text) {
                maps::Line::parse(line);
                maps::Mount::parse(line);
            }
            for kind in [ObjectKind::Segment, ObjectKind::Semaphores, ObjectKind::Queue] {
                let mut objects = Vec::new();
                let bad = sysvipc::parse(kind, &text, &mut objects);
                let all = text::lines(&text).skip(1).count();
                prop_assert_eq!(objects.len() + bad as usize, all);
            }
            super::process::parse_stat(&text);
            super::usage::parse(text.as_slice(), 0, u64::MAX).unwrap();
            prop_assert!(text::unescape(&text).len() <= text.len());
        }
    }
}

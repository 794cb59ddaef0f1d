//! What the kernel knows of shared memory: limits, objects and their holders, the pages of a region,
//! leftovers, and traps of this machine.
//!
//! Nothing here changes anything, but for [`Leftover::remove`]. What may not be seen never fails the rest:
//! an answer that is partial says so, and why.

mod leftovers;
mod maps;
mod mounts;
mod object;
mod processes;
mod residency;
mod survey;
mod sysvipc;
mod text;
mod usage;

pub use leftovers::{leftovers, Leftover, Leftovers, Reason};
pub use mounts::FileSystem;
pub use object::{By, Cause, FileId, Gap, Holder, Object, ObjectKind, Owner, Process, Select};
pub use residency::{Basis, Residency, Run};
pub use survey::Survey;
pub use usage::{Figures, MappingUsage, Usage};

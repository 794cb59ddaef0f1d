//! What the kernel knows of shared memory: objects and their holders, and the pages of a region.
//!
//! What may not be seen never fails the rest: an answer that is partial says so, and why.

mod maps;
mod mounts;
mod object;
mod processes;
mod residency;
mod survey;
mod sysvipc;
mod text;
mod usage;

pub use mounts::FileSystem;
pub use object::{By, Cause, FileId, Gap, Holder, Object, ObjectKind, Owner, Process, Select};
pub use residency::{Basis, Residency, Run};
pub use survey::Survey;
pub use usage::{Figures, MappingUsage, Usage};

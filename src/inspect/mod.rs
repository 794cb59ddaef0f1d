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

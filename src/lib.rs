//! Shared memory for programs on one Linux machine: regions of every kind the kernel has, handed
//! over between processes that need not trust each other.
//!
//! ```
//! use shmkit::{Options, Region};
//!
//! let region = Region::create("frames", 1 << 20, &Options::default())?;
//! region.write(0, b"hello")?;
//! let mut text = [0; 5];
//! region.read(0, &mut text)?;
//! assert_eq!(&text, b"hello");
//! # Ok::<(), shmkit::Error>(())
//! ```
//!
//! C programs use the same through `shmkit.h`, made from [`capi`].
//!
//! Modules depend one way: `sys` < `region` < (`handover`, `sysv`, `inspect`, `sync`) < `capi`; `error` is a leaf, and
//! `deadline` needs no more than the clock.
#![deny(unsafe_op_in_unsafe_fn)]
#![warn(rust_2018_idioms)]

#[doc(hidden)]
pub mod capi;
mod deadline;
pub mod error;
pub mod handover;
pub mod inspect;
pub mod region;
pub mod sync;
mod sys;
pub mod sysv;

pub use bytemuck;
pub use deadline::Deadline;
pub use error::{Code, Error, Result};
pub use region::{Advice, Flags, Kind, Options, Policy, Region, Rights, Seals};

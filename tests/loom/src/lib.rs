//! The library's own `src/sync/lock.rs`, under a model checker: every order in which two or three threads can
//! take their steps, and a death at each of them.
//!
//! `port` stands for the one beside it, and `kernel` for futexes, robust lists and pending slots.
#![cfg(test)]
#![forbid(unsafe_code)]

mod kernel;
#[path = "../../../src/sync/lock.rs"]
mod lock;
mod mutex;
mod port;

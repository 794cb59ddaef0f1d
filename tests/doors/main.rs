//! One scenario, two doors: what the library owes its user, each behaviour written once and run through the
//! Rust API and through the C ABI, each time in a process of its own.
//!
//! `door` is the library's verbs as a trait, implemented for both; the other files are the scenarios.

/// Runs scenarios, functions over a `Door`, through both doors. 5 s each, or as many as are given.
macro_rules! scenarios {
    ($($name:ident $(: $seconds:literal)?),+ $(,)?) => {
        $(mod $name {
            #[test]
            fn rust() {
                $crate::support::own_process!(scenarios!(@ $($seconds)?), super::$name::<$crate::door::Rust>);
            }

            #[test]
            fn c() {
                $crate::support::own_process!(scenarios!(@ $($seconds)?), super::$name::<$crate::door::C>);
            }
        })+
    };
    (@) => { 5 };
    (@ $seconds:literal) => { $seconds };
}

/// Runs scenarios over two doors, the sender's and the receiver's, in all four pairs.
macro_rules! pairs {
    ($($name:ident $(: $seconds:literal)?),+ $(,)?) => {
        $(mod $name {
            use $crate::door::{Rust, C};

            pairs!(@ $name $($seconds)?; rust_to_rust Rust Rust);
            pairs!(@ $name $($seconds)?; rust_to_c Rust C);
            pairs!(@ $name $($seconds)?; c_to_rust C Rust);
            pairs!(@ $name $($seconds)?; c_to_c C C);
        })+
    };
    (@ $name:ident $($seconds:literal)?; $pair:ident $sender:ident $receiver:ident) => {
        #[test]
        fn $pair() {
            $crate::support::own_process!(scenarios!(@ $($seconds)?), super::$name::<$sender, $receiver>);
        }
    };
}
#[path = "../support/mod.rs"]
mod support;

mod access;
mod attack;
mod connection;
mod door;
mod freeze;
mod growth;
mod growth_race;
mod guard;
mod guard_copies;
mod guard_memory;
mod harness;
mod hostile;
mod huge;
mod huge_pool;
mod journey;
mod mapping;
mod memfd;
mod message;
mod mirror;
mod names;
mod names_race;
mod placement;
mod posix;
mod property;
mod publish;
mod room;
mod sysv;
mod sysv_at;
mod sysv_queue;
mod sysv_sem;
mod unlink;

//! Handing regions and descriptors to another process over a Unix socket, and all distrust of the peer.
//!
//! `connection` is the ground, `message` carries descriptors and bytes all or nothing, `frame` says in 64
//! bytes what a region is, `regions` sends one and checks what arrives.

mod connection;
mod frame;
mod message;
mod regions;

pub use crate::deadline::Deadline;
pub use connection::{accept, connect, listen, peer, Peer};
pub(crate) use message::too_many;
pub use message::{recv_fd, recv_fds, send_fd, send_fds};
pub use regions::{recv_region, send_region};

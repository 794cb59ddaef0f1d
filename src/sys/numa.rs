//! NUMA nodes: mbind(2), move_pages(2).

use std::ffi::{c_int, c_uint, c_ulong};
use std::ptr::{null, NonNull};

use super::{Errno, Result};

/// No kernel has more (CONFIG_NODES_SHIFT is 10 at most).
pub(crate) const NODES_MAX: usize = 1024;
/// Pages that this process alone has mapped move. The libc crate lacks it (linux/mempolicy.h).
pub(crate) const MPOL_MF_MOVE: c_uint = 2;
const WORD: usize = c_ulong::BITS as usize;

/// A mask of nodes, as the kernel takes it.
pub(crate) struct NodeSet([c_ulong; NODES_MAX / WORD]);

impl NodeSet {
    pub(crate) fn empty() -> NodeSet {
        NodeSet([0; NODES_MAX / WORD])
    }

    /// `node`: less than [`NODES_MAX`].
    pub(crate) fn insert(&mut self, node: usize) {
        self.0[node / WORD] |= 1 << (node % WORD);
    }
}

/// This machine's nodes in the kernel's words, "0-3,8"; None where it does not tell.
pub(crate) fn online() -> Option<String> {
    let text = std::fs::read_to_string("/sys/devices/system/node/online").ok()?;
    Some(text.trim().to_string())
}

/// `long mbind(void *addr, unsigned long len, int mode, const unsigned long *nodemask, unsigned long
/// maxnode, unsigned flags)`
///
/// # Safety
/// The caller owns the range.
pub(crate) unsafe fn bind(
    start: NonNull<u8>,
    length: usize,
    mode: c_int,
    nodes: &NodeSet,
    flags: c_uint,
) -> Result<()> {
    let (start, mode, mask) = (start.as_ptr(), mode as c_ulong, nodes.0.as_ptr());
    // The kernel takes one bit less than it is told.
    let bits = NODES_MAX + 1;
    let bound = unsafe { libc::syscall(libc::SYS_mbind, start, length, mode, mask, bits, flags) };
    Errno::result(bound).map(drop)
}

/// `long move_pages(int pid, unsigned long count, void **pages, const int *nodes, int *status, int
/// flags)`, which moves nothing without nodes: for each of this process's pages its node, or -errno.
pub(crate) fn locate(pages: &[*mut u8], nodes: &mut [c_int]) -> Result<()> {
    assert_eq!(pages.len(), nodes.len());
    let (from, to, nowhere) = (pages.as_ptr(), nodes.as_mut_ptr(), null::<c_int>());
    // SAFETY (kernel): it reads `pages` and fills `nodes`; an address without a page is answered -errno.
    let located = unsafe { libc::syscall(libc::SYS_move_pages, 0, pages.len(), from, nowhere, to, 0) };
    Errno::result(located).map(drop)
}

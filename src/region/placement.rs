//! On which NUMA nodes a region's pages lie: mbind(2), move_pages(2).
#![forbid(unsafe_code)]

use std::ffi::c_int;

use super::Region;
use crate::error::{Code, Error, Result};
use crate::sys::numa::{self, NodeSet, MPOL_MF_MOVE, NODES_MAX};
use crate::sys::{self, file, Errno};

/// Where pages shall lie: SHMKIT_PLACE_… of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Policy {
    /// As the process's own policy says.
    Default = 0,
    /// On the first of the nodes, and elsewhere when it is full.
    Preferred = 1,
    /// On the nodes alone.
    Bind = 2,
    /// Page by page on all of the nodes in turn.
    Interleave = 3,
}

impl Policy {
    const ALL: [(Policy, c_int); 4] = [
        (Policy::Default, libc::MPOL_DEFAULT),
        (Policy::Preferred, libc::MPOL_PREFERRED),
        (Policy::Bind, libc::MPOL_BIND),
        (Policy::Interleave, libc::MPOL_INTERLEAVE),
    ];

    /// The caller's number; EINVAL names one that means nothing.
    pub fn from_raw(number: c_int) -> Result<Policy> {
        let policy = Policy::ALL.iter().find(|(policy, _)| *policy as c_int == number);
        policy.map(|&(policy, _)| policy).ok_or_else(|| invalid(format!("unknown policy: {number}")))
    }

    fn for_kernel(self) -> c_int {
        Policy::ALL[self as usize].1
    }

    /// The nodes that the policy is about, all of them there.
    fn nodes(self, nodes: &[c_int]) -> Result<NodeSet> {
        match (self, nodes.len()) {
            (Policy::Default, 0) => return Ok(NodeSet::empty()),
            (Policy::Default, count) => {
                return Err(invalid(format!("the policy {self:?} takes no nodes, and {count} were given")))
            }
            (_, 0) => return Err(invalid(format!("the policy {self:?} takes at least one node"))),
            (_, 1..=NODES_MAX) => {}
            (_, count) => {
                return Err(invalid(format!("{count} nodes: no machine has more than {NODES_MAX}")))
            }
        }
        let online = numa::online();
        let there =
            |node: &usize| *node < NODES_MAX && online.as_deref().is_none_or(|list| holds(list, *node));
        let mut set = NodeSet::empty();
        for (index, &node) in nodes.iter().enumerate() {
            let Some(number) = usize::try_from(node).ok().filter(there) else {
                let online = online.as_deref().unwrap_or("not known");
                return Err(invalid(format!("node {node} is not there; online: {online}")));
            };
            // The kernel would prefer the one with the lowest number.
            if index == 0 || self != Policy::Preferred {
                set.insert(number);
            }
        }
        Ok(set)
    }
}

/// Whether a node is in a list like "0-3,8".
fn holds(list: &str, node: usize) -> bool {
    list.split(',').any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        matches!((first.parse(), last.parse()), (Ok(first), Ok(last)) if (first..=last).contains(&node))
    })
}

fn invalid(message: String) -> Error {
    Error::new(Errno::EINVAL, message)
}

/// An errno's text, and what is mostly behind it.
fn reason(errno: Errno, call: &str) -> String {
    let text = Code::from(errno);
    match errno {
        Errno::EPERM => format!("{text} (a container's seccomp profile may forbid {call})"),
        Errno::ENOSYS => format!("{text} (a kernel without NUMA)"),
        Errno::EINVAL => {
            format!("{text} (do the nodes have memory, and may this process use it? cpuset(7))")
        }
        _ => text.to_string(),
    }
}

impl Region {
    /// Says on which nodes the pages of a range shall lie. Those that exist already move where no other
    /// process has them mapped.
    pub fn place(&self, offset: usize, length: usize, policy: Policy, nodes: &[c_int]) -> Result<()> {
        self.on_pages(offset, length)?;
        let nodes = policy.nodes(nodes)?;
        if length == 0 {
            return Ok(());
        }
        let bind = |mode, nodes: &NodeSet, flags| self.mapping.bind(offset, length, mode, nodes, flags);
        // The kernel skips what was last said through this mapping, also where another process has said
        // otherwise of the object since; so say something else between. Only the first call refuses nodes.
        let bound = bind(policy.for_kernel(), &nodes, 0).and_then(|()| {
            bind(libc::MPOL_LOCAL, &NodeSet::empty(), 0)?;
            self.touch_reserved(offset, length);
            bind(policy.for_kernel(), &nodes, MPOL_MF_MOVE)
        });
        bound.map_err(|errno| {
            let what = self.describe();
            let reason = reason(errno, "mbind");
            Error::new(
                errno,
                format!("cannot place {length} bytes at offset {offset} of {what}: {policy:?}: {reason}"),
            )
        })
    }

    /// Puts the pages of an object that exists whole into this process's page table, where mbind looks for
    /// what it is to move: reserved ones are in none. A failure matters to nobody.
    fn touch_reserved(&self, offset: usize, length: usize) {
        let Some(fd) = self.file() else { return };
        let whole = |stat: file::FileStat| stat.st_blocks.saturating_mul(512) >= stat.st_size;
        if file::in_memory(fd).unwrap_or(false) && file::stat(fd).is_ok_and(whole) {
            let _ = sys::uninterrupted(|| self.mapping.advise(offset, length, libc::MADV_POPULATE_READ));
        }
    }

    /// On which nodes the pages of a range lie, from the one that holds `offset` to the one that holds
    /// the last byte; -ENOENT where this process has no page.
    pub fn nodes(&self, offset: usize, length: usize) -> Result<Vec<c_int>> {
        const BATCH: usize = 512;
        self.within_or_say(offset, length)?;
        if length == 0 {
            return Ok(Vec::new());
        }
        let page = self.page_size();
        let (first, last) = (offset / page, (offset + length - 1) / page);
        let failed = |errno: Errno| {
            let (what, reason) = (self.describe(), reason(errno, "move_pages"));
            let pages = last - first + 1;
            Error::new(
                errno,
                format!("cannot ask where {pages} pages at offset {offset} of {what} lie: {reason}"),
            )
        };

        let mut nodes = Vec::new();
        nodes.try_reserve_exact(last - first + 1).map_err(|_| failed(Errno::ENOMEM))?;
        nodes.resize(last - first + 1, 0);
        let mut pages = (first..=last).map(|index| self.mapping.at(index * page));
        for batch in nodes.chunks_mut(BATCH) {
            let pages: Vec<_> = pages.by_ref().take(batch.len()).collect();
            numa::locate(&pages, batch).map_err(failed)?;
            // EFAULT, for one, is the page of zeros behind private memory that was only read.
            batch.iter_mut().filter(|node| **node < 0).for_each(|node| *node = -libc::ENOENT);
        }
        Ok(nodes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_nodes_as_the_kernel_writes_them() {
        for (list, held) in
            [("0", vec![0]), ("0-3,8", vec![0, 1, 2, 3, 8]), ("1,10-11", vec![1, 10, 11]), ("", vec![])]
        {
            let found: Vec<_> = (0..NODES_MAX).filter(|&node| holds(list, node)).collect();
            assert_eq!(found, held, "{list}");
        }
    }
}

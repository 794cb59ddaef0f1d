//! On which NUMA nodes a region's pages lie: mbind(2), move_pages(2).
#![forbid(unsafe_code)]
use super::Region;
use crate::error::{Error, Result};
use crate::sys::Errno;
use std::ffi::c_int;
/// Where pages shall lie: SHMKIT_PLACE_… of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Policy {
    Default = 0,
    Preferred = 1,
    Bind = 2,
    Interleave = 3,
}
impl Policy {
    pub fn from_raw(_number: c_int) -> Result<Policy> {
        Err(Error::new(Errno::ENOSYS, "place".to_string()))
    }
}
impl Region {
    pub fn place(&self, _offset: usize, _length: usize, _policy: Policy, _nodes: &[c_int]) -> Result<()> {
        Err(Error::new(Errno::ENOSYS, "place".to_string()))
    }
    pub fn nodes(&self, _offset: usize, _length: usize) -> Result<Vec<c_int>> {
        Err(Error::new(Errno::ENOSYS, "nodes".to_string()))
    }
}

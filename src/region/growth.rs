//! Regions that grow in place.
#![forbid(unsafe_code)]
use super::Region;
use crate::error::{Error, Result};
use crate::sys::Errno;
impl Region {
    pub fn grow(&self, _size: usize) -> Result<()> {
        Err(Error::new(Errno::ENOSYS, "grow".to_string()))
    }
    pub fn follow(&self) -> Result<()> {
        Err(Error::new(Errno::ENOSYS, "follow".to_string()))
    }
}

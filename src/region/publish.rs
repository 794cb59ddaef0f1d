//! Reading alone.
#![forbid(unsafe_code)]
use super::Region;
use crate::error::{Error, Result};
use crate::sys::Errno;
impl Region {
    pub fn publish_read_only(&self) -> Result<()> {
        Err(Error::new(Errno::ENOSYS, "publish".to_string()))
    }
    pub fn freeze(&self) -> Result<()> {
        Err(Error::new(Errno::ENOSYS, "freeze".to_string()))
    }
}

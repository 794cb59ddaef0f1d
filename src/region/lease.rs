//! Names that go with their users.
#![forbid(unsafe_code)]
use super::Region;
use crate::error::{Error, Result};
use crate::sys::Errno;
impl Region {
    pub fn unlink(&self) -> Result<()> {
        Err(Error::new(Errno::ENOSYS, "unlink".to_string()))
    }
}

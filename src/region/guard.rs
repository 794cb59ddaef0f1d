//! The fault guard.
use super::Region;
use crate::error::{Code, Error, Result};
use crate::sys::Errno;
/// Looks whether a fault still reaches our handler.
pub fn check() -> Result<()> {
    Err(Error::new(Errno::ENOSYS, "guard".to_string()))
}
impl Region {
    pub fn guard_enable(&self) -> Result<()> {
        Err(Error::new(Errno::ENOSYS, "guard".to_string()))
    }
    pub fn guard_begin(&self) -> Result<(), Code> {
        Err(Errno::ENOSYS.into())
    }
    pub fn guard_end(&self) -> Result<(), Code> {
        Err(Errno::ENOSYS.into())
    }
}

//! The library as a C program calls it.

use std::ffi::{c_int, CStr};
use std::mem::MaybeUninit;

use anyhow::{bail, Result};
pub use shmkit::capi::*;

/// Options with everything at its default but these two.
pub fn options(flags: u32, seals: u32) -> shm_region_options {
    let size = size_of::<shm_region_options>() as u32;
    shm_region_options { size, flags, seals, mode: 0, offset: 0, size_min: 0, size_max: 0 }
}

/// A call with the caller's own error struct, which is left alone until something fails.
pub fn told(call: impl FnOnce(*mut shm_error) -> c_int) -> Result<c_int> {
    let mut error = MaybeUninit::<shm_error>::uninit();
    let code = call(error.as_mut_ptr());
    if code < 0 {
        // SAFETY: a failed call has filled it.
        bail!("{}", unsafe { CStr::from_ptr((*error.as_ptr()).message.as_ptr()) }.to_string_lossy());
    }
    Ok(code)
}

/// A call that answers with a code alone.
pub fn code(code: c_int) -> Result<c_int> {
    if code < 0 {
        // SAFETY: the string lives as long as the program.
        bail!("{}", unsafe { CStr::from_ptr(shm_strerror(code)) }.to_string_lossy());
    }
    Ok(code)
}

/// A call that makes a region.
pub fn made(call: impl FnOnce(*mut *mut shm_region, *mut shm_error) -> c_int) -> Result<Region> {
    let mut region = std::ptr::null_mut();
    told(|error| call(&mut region, error))?;
    Ok(Region(region))
}

/// A handle that is closed when it goes.
pub struct Region(*mut shm_region);

impl Region {
    pub fn memfd(size: usize, flags: u32, seals: u32) -> Result<Region> {
        Region::memfd_as(size, &options(flags, seals))
    }

    pub fn memfd_as(size: usize, options: &shm_region_options) -> Result<Region> {
        // SAFETY: all pointers are valid for the call.
        made(|region, error| unsafe { shm_region_create(c"bench".as_ptr(), size, options, region, error) })
    }

    pub fn file(path: &CStr, size: usize, flags: u32) -> Result<Region> {
        let options = options(flags, 0);
        // SAFETY: all pointers are valid for the call.
        made(|region, error| unsafe { shm_file_create(path.as_ptr(), size, &options, region, error) })
    }

    /// The same object, mapped once more.
    pub fn again(&self, flags: u32) -> Result<Region> {
        let (fd, options) = (self.fd()?, options(flags, 0));
        // SAFETY: all pointers are valid for the call.
        made(|region, error| unsafe { shm_region_from_fd(fd, 0, &options, region, error) })
    }

    pub fn handle(&self) -> *mut shm_region {
        self.0
    }

    pub fn data(&self) -> *mut u8 {
        // SAFETY: the handle is open.
        unsafe { shm_region_data(self.0) }.cast()
    }

    pub fn size(&self) -> usize {
        // SAFETY: the handle is open.
        unsafe { shm_region_size(self.0) }
    }

    pub fn fd(&self) -> Result<c_int> {
        // SAFETY: the handle is open.
        code(unsafe { shm_region_fd(self.0) })
    }

    /// # Safety
    /// The buffer has this length.
    pub unsafe fn read(&self, buffer: *mut u8, length: usize) -> Result<()> {
        // SAFETY: the handle is open.
        code(unsafe { shm_region_read(self.0, 0, buffer.cast(), length) })?;
        Ok(())
    }

    /// # Safety
    /// The buffer has this length.
    pub unsafe fn write(&self, buffer: *const u8, length: usize) -> Result<()> {
        // SAFETY: the handle is open.
        code(unsafe { shm_region_write(self.0, 0, buffer.cast(), length) })?;
        Ok(())
    }

    pub fn grow(&self, size: usize) -> Result<()> {
        // SAFETY: all pointers are valid for the call.
        told(|error| unsafe { shm_region_grow(self.0, size, error) }).map(drop)
    }

    pub fn prefault(&self) -> Result<()> {
        // SAFETY: all pointers are valid for the call.
        told(|error| unsafe { shm_region_prefault(self.0, 0, self.size(), error) }).map(drop)
    }

    /// Again where the kernel says so: some page was in use for a moment.
    pub fn collapse(&self, offset: usize, length: usize) -> Result<()> {
        let mut tries = 0;
        loop {
            let mut code = 0;
            let collapsed = told(|error| {
                // SAFETY: all pointers are valid for the call.
                code = unsafe { shm_region_advise(self.0, offset, length, SHMKIT_ADVICE_COLLAPSE, error) };
                code
            });
            tries += 1;
            if code != -libc::EAGAIN || tries == 10 {
                return collapsed.map(drop);
            }
        }
    }

    pub fn send(&self, socket: c_int) -> Result<()> {
        // SAFETY: the handle is open.
        told(|error| unsafe { shm_send_region(socket, self.0, error) })?;
        Ok(())
    }

    pub fn receive(socket: c_int) -> Result<Region> {
        // SAFETY: all pointers are valid for the call.
        made(|region, error| unsafe { shm_recv_region(socket, std::ptr::null(), region, error) })
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and nobody has it after this.
        unsafe { shm_region_close(self.0) };
    }
}

//! Typed access: bounds and alignment checked, and only types whose every bit pattern is valid in
//! every process: no pointers, no padding, no bool.

use std::marker::PhantomData;
use std::mem::{align_of, size_of};
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU16, AtomicU32, AtomicU64, AtomicU8};

use bytemuck::Pod;

use super::Region;
use crate::error::{Code, Error, Result};
use crate::sys::Errno;

/// Values of one type in a region, at the addresses where they are: not protected against SIGBUS
/// where [`Region::can_shrink`] says that there is a danger.
///
/// Other processes may write at any time, so there are no references, only copies in and out, each a
/// plain load or store. What must not be torn is a [`Region::atomic`].
#[derive(Debug)]
pub struct Array<'a, T> {
    start: *mut T,
    count: usize,
    writable: bool,
    region: PhantomData<&'a Region>,
}

/// An integer that processes can change together.
pub trait Word: sealed::Sealed {}

mod sealed {
    pub trait Sealed {}
}

macro_rules! words {
    ($($word:ty),*) => { $(impl sealed::Sealed for $word {} impl Word for $word {})* };
}
words!(AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicI32, AtomicI64);

impl Region {
    /// Reads one value by a checked copy, at any alignment.
    pub fn load<T: Pod>(&self, offset: usize) -> Result<T> {
        let mut value = T::zeroed();
        self.read(offset, bytemuck::bytes_of_mut(&mut value))?;
        Ok(value)
    }

    /// Writes one value by a checked copy, at any alignment.
    pub fn store<T: Pod>(&self, offset: usize, value: &T) -> Result<()> {
        self.write(offset, bytemuck::bytes_of(value))
    }

    /// `count` values side by side. ERANGE beyond the region, EINVAL where they are not aligned.
    ///
    /// Types with pointers are refused:
    /// ```compile_fail
    /// # let region = shmkit::Region::anon_create(4096, &Default::default()).unwrap();
    /// region.array::<&u8>(0, 1);
    /// ```
    pub fn array<T: Pod>(&self, offset: usize, count: usize) -> Result<Array<'_, T>> {
        let length = size_of::<T>().saturating_mul(count);
        let start = self.locate_or_say(offset, length, align_of::<T>())?.cast();
        Ok(Array { start, count, writable: self.rights().writable(), region: PhantomData })
    }

    /// An atomic integer in the region. EACCES where the region is read-only.
    pub fn atomic<T: Word>(&self, offset: usize) -> Result<&T> {
        if !self.rights().writable() {
            let message = format!("an atomic in {}: it was opened read-only", self.describe());
            return Err(Error::new(Errno::EACCES, message));
        }
        let start = self.locate_or_say(offset, size_of::<T>(), align_of::<T>())?;
        // SAFETY (protocol): inside the mapping, aligned, writable, and atomic for everybody; it lives as long as
        // the region is borrowed.
        Ok(unsafe { &*start.cast::<T>() })
    }

    /// The address of `length` bytes at `offset`, a multiple of `alignment`.
    pub fn locate(&self, offset: usize, length: usize, alignment: usize) -> Result<*mut u8, Code> {
        self.within(offset, length)?;
        let at = self.mapping.at(offset);
        if !alignment.is_power_of_two() || at as usize % alignment != 0 {
            return Err(Errno::EINVAL.into());
        }
        Ok(at)
    }

    fn locate_or_say(&self, offset: usize, length: usize, alignment: usize) -> Result<*mut u8> {
        self.within_or_say(offset, length)?;
        self.locate(offset, length, alignment).map_err(|code| {
            Error::new(
                code,
                format!("offset {offset} of {} is not a multiple of {alignment}", self.describe()),
            )
        })
    }
}

impl<T: Pod> Array<'_, T> {
    /// How many values there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The value at `index`; None beyond the last.
    pub fn get(&self, index: usize) -> Option<T> {
        // SAFETY (protocol): inside the mapping and aligned; any bytes are a T, whoever wrote them.
        (index < self.count).then(|| unsafe { self.start.add(index).read_volatile() })
    }

    /// Stores a value; ERANGE beyond the last, EACCES where the region is read-only.
    pub fn set(&self, index: usize, value: T) -> Result<(), Code> {
        if index >= self.count {
            return Err(Errno::ERANGE.into());
        }
        if !self.writable {
            return Err(Errno::EACCES.into());
        }
        // SAFETY (protocol): inside the mapping, aligned and writable; nobody holds a Rust reference.
        unsafe { self.start.add(index).write_volatile(value) };
        Ok(())
    }

    /// The first value's address.
    pub fn as_ptr(&self) -> *mut T {
        self.start
    }
}

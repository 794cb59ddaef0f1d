//! What the library says of the machine, against what real processes do on it.

#[path = "../support/mod.rs"]
mod support;

mod fits;
mod holders;
mod leftovers;
mod limits;
mod namespaces;
mod pages;

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use shmkit::inspect::{Object, ObjectKind, Survey};

use support::*;

/// The objects of a name that no other test uses.
fn named<'a>(survey: &'a Survey, kind: ObjectKind, name: &str) -> Vec<&'a Object> {
    let is = |object: &&Object| {
        object.kind == kind && object.name.as_ref().is_some_and(|found| found.as_bytes() == name.as_bytes())
    };
    survey.objects.iter().filter(is).collect()
}

#[track_caller]
fn only<'a>(survey: &'a Survey, kind: ObjectKind, name: &str) -> &'a Object {
    let found = named(survey, kind, name);
    assert_eq!(found.len(), 1, "{name} among {:#?}", survey.objects);
    found[0]
}

fn segment(survey: &Survey, id: i32) -> Option<&Object> {
    survey.objects.iter().find(|object| object.kind == ObjectKind::Segment && object.id == Some(id))
}

/// A name for this process's objects alone.
fn unique(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

fn memfd(name: &[u8], size: u64) -> OwnedFd {
    let name = std::ffi::CString::new(name).unwrap();
    let fd: OwnedFd = unsafe {
        let number = good(libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING));
        std::os::fd::FromRawFd::from_raw_fd(number)
    };
    good(unsafe { libc::ftruncate(fd.as_raw_fd(), size as i64) });
    fd
}

/// Maps a descriptor's file and leaves it mapped.
fn map(fd: &OwnedFd, length: usize, protection: i32, flags: i32) -> *mut u8 {
    let start = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, fd.as_raw_fd(), 0) };
    assert_ne!(start, libc::MAP_FAILED);
    start.cast()
}

fn unmap(start: *mut u8, length: usize) {
    good(unsafe { libc::munmap(start.cast(), length) });
}

#[track_caller]
fn refused<T>(result: shmkit::Result<T>) -> (i32, String) {
    let error = result.err().expect("this must fail");
    (error.code().raw(), error.to_string())
}

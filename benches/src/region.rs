//! region.: making, opening, reading and touching, in one process.

use std::ffi::{CStr, CString};
use std::hint::black_box;
use std::os::unix::ffi::OsStrExt;
use std::ptr::{null, null_mut};

use anyhow::{anyhow, Result};

use crate::c::{self, Region};
use crate::harness::{each, each_prepared, Bench, Run};
use crate::memory::need_memory;
use crate::{raw, Cannot, One};

const SIZE: usize = 64 << 10;
const FRESH: usize = 64 << 20;
const SHARED: usize = 256 << 20;

const CALLS: &str = "the same system calls, raw";

pub const JOBS: [One; 17] = [
    One { id: "region.memfd.cycle", reference: CALLS, limit: Some(1.05), compare: memfd_cycle },
    One { id: "region.mirror", reference: CALLS, limit: Some(1.05), compare: mirror },
    One { id: "region.file.cycle", reference: CALLS, limit: Some(1.05), compare: file_cycle },
    One { id: "region.anonymous.cycle", reference: CALLS, limit: Some(1.05), compare: anonymous_cycle },
    One { id: "region.posix.cycle", reference: CALLS, limit: Some(1.05), compare: posix_cycle },
    One { id: "region.sysv.cycle", reference: CALLS, limit: Some(1.05), compare: sysv_cycle },
    One { id: "region.file.open", reference: CALLS, limit: Some(1.05), compare: file_open },
    One { id: "region.posix.open", reference: CALLS, limit: Some(1.05), compare: posix_open },
    One { id: "region.sysv.attach", reference: CALLS, limit: Some(1.05), compare: sysv_attach },
    One { id: "region.read_64k", reference: "memcpy", limit: Some(1.05), compare: read_64k },
    One { id: "region.read_64k_unsealed", reference: "memcpy", limit: None, compare: read_64k_unsealed },
    One { id: "region.read_64B", reference: "memcpy", limit: None, compare: read_64b },
    One { id: "region.read_64B_unsealed", reference: "memcpy", limit: None, compare: read_64b_unsealed },
    One { id: "region.guarded_read", reference: "memcpy", limit: Some(1.05), compare: guarded_read_64k },
    One { id: "region.guarded_read_64B", reference: "memcpy", limit: None, compare: guarded_read_64b },
    One { id: "region.prefault", reference: "raw MADV_POPULATE_WRITE", limit: Some(1.05), compare: prefault },
    One {
        id: "region.second_mapper",
        reference: "the same, faulting page by page",
        limit: Some(0.5),
        compare: second_mapper,
    },
];

fn memfd_cycle(bench: &Bench) -> Result<Vec<Run>> {
    let name = c"bench";
    bench.compare(
        each(|| {
            // SAFETY: all pointers are valid for the call.
            c::made(|region, error| unsafe {
                c::shm_region_create(name.as_ptr(), SIZE, null(), region, error)
            })
            .map(drop)
        }),
        each(|| Ok(raw::memfd_cycle(name, SIZE)?)),
    )
}

fn mirror(bench: &Bench) -> Result<Vec<Run>> {
    bench.compare(
        each(|| Region::memfd(SIZE, c::SHMKIT_REGION_MIRROR, 0).map(drop)),
        each(|| Ok(raw::mirror_cycle(c"bench", SIZE)?)),
    )
}

fn file_cycle(bench: &Bench) -> Result<Vec<Run>> {
    let file = Name::file(bench, "file.cycle")?;
    let directory = CString::new(bench.directory.as_os_str().as_bytes())?;
    bench.compare(
        each(|| {
            drop(file.create_as_file()?);
            Ok(raw::unlink(&file.path)?)
        }),
        each(|| {
            raw::file_create_cycle(&directory, &file.path, SIZE)?;
            Ok(raw::unlink(&file.path)?)
        }),
    )
}

fn anonymous_cycle(bench: &Bench) -> Result<Vec<Run>> {
    bench.compare(
        each(|| {
            // SAFETY: all pointers are valid for the call.
            c::made(|region, error| unsafe { c::shm_anon_create(SIZE, null(), region, error) }).map(drop)
        }),
        each(|| Ok(raw::anonymous_cycle(SIZE)?)),
    )
}

fn posix_cycle(bench: &Bench) -> Result<Vec<Run>> {
    let object = Name::posix()?;
    bench.compare(
        each(|| {
            drop(object.create_as_object()?);
            // SAFETY: all pointers are valid for the call.
            c::told(|error| unsafe { c::shm_posix_unlink(object.name.as_ptr(), error) }).map(drop)
        }),
        each(|| {
            raw::posix_create_cycle(&object.path, SIZE)?;
            Ok(raw::unlink(&object.path)?)
        }),
    )
}

fn sysv_cycle(bench: &Bench) -> Result<Vec<Run>> {
    let key = free_key()?;
    bench.compare(
        each(|| {
            let region = create_segment(key)?;
            remove_segment(&region)
        }),
        each(|| Ok(raw::sysv_create_cycle(key, SIZE)?)),
    )
}

fn file_open(bench: &Bench) -> Result<Vec<Run>> {
    let file = Name::file(bench, "file.open")?;
    drop(file.create_as_file()?);
    bench.compare(
        each(|| {
            // SAFETY: all pointers are valid for the call.
            c::made(|region, error| unsafe { c::shm_file_open(file.path.as_ptr(), 0, null(), region, error) })
                .map(drop)
        }),
        each(|| Ok(raw::file_open_cycle(&file.path)?)),
    )
}

fn posix_open(bench: &Bench) -> Result<Vec<Run>> {
    let object = Name::posix()?;
    drop(object.create_as_object()?);
    bench.compare(
        each(|| {
            // SAFETY: all pointers are valid for the call.
            c::made(|region, error| unsafe { c::shm_posix_open(object.name.as_ptr(), null(), region, error) })
                .map(drop)
        }),
        each(|| Ok(raw::posix_open_cycle(&object.name)?)),
    )
}

fn sysv_attach(bench: &Bench) -> Result<Vec<Run>> {
    let key = free_key()?;
    let segment = create_segment(key)?;
    let runs = bench.compare(
        each(|| {
            // SAFETY: all pointers are valid for the call.
            c::made(|region, error| unsafe { c::shm_sysv_attach(key, null(), region, error) }).map(drop)
        }),
        each(|| Ok(raw::sysv_attach_cycle(key)?)),
    );
    remove_segment(&segment)?;
    runs
}

fn read_64k(bench: &Bench) -> Result<Vec<Run>> {
    read(bench, SIZE, 0)
}

fn read_64k_unsealed(bench: &Bench) -> Result<Vec<Run>> {
    read(bench, SIZE, c::SHMKIT_SEAL_NONE)
}

fn read_64b(bench: &Bench) -> Result<Vec<Run>> {
    read(bench, 64, 0)
}

fn read_64b_unsealed(bench: &Bench) -> Result<Vec<Run>> {
    read(bench, 64, c::SHMKIT_SEAL_NONE)
}

fn read(bench: &Bench, length: usize, seals: u32) -> Result<Vec<Run>> {
    copy_out(bench, &Region::memfd(SIZE, c::SHMKIT_REGION_POPULATE, seals)?, length)
}

fn guarded_read_64k(bench: &Bench) -> Result<Vec<Run>> {
    guarded_read(bench, SIZE)
}

fn guarded_read_64b(bench: &Bench) -> Result<Vec<Run>> {
    guarded_read(bench, 64)
}

/// A file on a disk, which anybody may truncate: without the guard the kernel would copy.
fn guarded_read(bench: &Bench, length: usize) -> Result<Vec<Run>> {
    let file = Name::file(bench, "guarded_read")?;
    let region = file.create_as_file()?;
    let bytes = vec![1_u8; SIZE];
    // SAFETY: the buffer has this length.
    unsafe { region.write(bytes.as_ptr(), SIZE) }?;
    // SAFETY: the handle is open.
    c::code(unsafe { c::shm_guard_enable(region.handle(), null_mut()) })?;
    copy_out(bench, &region, length)
}

/// Both sides copy the same bytes to the same place.
fn copy_out(bench: &Bench, region: &Region, length: usize) -> Result<Vec<Run>> {
    let mut buffer = vec![1_u8; length];
    let to = buffer.as_mut_ptr();
    // SAFETY: the buffer has this length, the region at least this, and nobody else has either.
    bench.compare(
        each(|| unsafe { region.read(black_box(to), black_box(length)) }),
        each(|| unsafe {
            libc::memcpy(black_box(to).cast(), black_box(region.data()).cast(), black_box(length));
            Ok(())
        }),
    )
}

/// Both sides touch regions made alike, and only the touching is on the clock.
fn prefault(bench: &Bench) -> Result<Vec<Run>> {
    let fresh = || Region::memfd(FRESH, 0, 0);
    let probe = Region::memfd(SIZE, 0, 0)?;
    if let Err(error) = raw::populate_write(probe.data(), SIZE) {
        return Err(Cannot(format!("MADV_POPULATE_WRITE: {error}")).into());
    }
    bench.compare(
        each_prepared(fresh, Region::prefault),
        each_prepared(fresh, |region| Ok(raw::populate_write(region.data(), FRESH)?)),
    )
}

/// The memory is there and full; what its next user needs is addresses and page tables.
fn second_mapper(bench: &Bench) -> Result<Vec<Run>> {
    need_memory(SHARED as u64)?;
    let first = Region::memfd(SHARED, c::SHMKIT_REGION_POPULATE, 0)?;
    // SAFETY: our own memory, of this length.
    unsafe { first.data().write_bytes(7, SHARED) };
    let second = |flags| {
        let region = first.again(flags)?;
        // SAFETY: as above.
        unsafe { raw::touch(region.data(), SHARED) };
        Ok(region)
    };
    bench.compare(
        each_prepared(|| Ok(()), |_| second(c::SHMKIT_REGION_POPULATE)),
        each_prepared(|| Ok(()), |_| second(0)),
    )
}

/// A name that goes when this goes, whether or not something is there.
struct Name {
    name: CString,
    path: CString,
}

impl Name {
    fn file(bench: &Bench, name: &str) -> Result<Name> {
        let path = bench.directory.join(format!("{name}.{}", std::process::id()));
        let path = CString::new(path.as_os_str().as_bytes())?;
        Ok(Name { name: path.clone(), path })
    }

    fn posix() -> Result<Name> {
        let name = format!("/shmkit-bench.{}", std::process::id());
        Ok(Name { path: CString::new(format!("/dev/shm{name}"))?, name: CString::new(name)? })
    }

    fn create_as_file(&self) -> Result<Region> {
        // SAFETY: all pointers are valid for the call.
        c::made(|region, error| unsafe {
            c::shm_file_create(self.path.as_ptr(), SIZE, null(), region, error)
        })
    }

    fn create_as_object(&self) -> Result<Region> {
        // SAFETY: all pointers are valid for the call.
        c::made(|region, error| unsafe {
            c::shm_posix_create(self.name.as_ptr(), SIZE, null(), region, error)
        })
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let path: &CStr = &self.path;
        let _ = raw::unlink(path);
    }
}

/// A key that no segment has.
fn free_key() -> Result<i32> {
    let first = 0x5348_0000 | (std::process::id() as i32 & 0xffff);
    (0..0x100)
        .map(|step| first + (step << 16))
        // SAFETY: plain numbers.
        .find(|&key| unsafe { libc::shmget(key, 0, 0) } == -1)
        .ok_or_else(|| anyhow!("no System V key is free"))
}

fn create_segment(key: i32) -> Result<Region> {
    // SAFETY: all pointers are valid for the call.
    c::made(|region, error| unsafe { c::shm_sysv_create(key, SIZE, null(), region, error) })
}

fn remove_segment(region: &Region) -> Result<()> {
    // SAFETY: the handle is open.
    let id = c::code(unsafe { c::shm_sysv_id(region.handle()) })?;
    // SAFETY: all pointers are valid for the call.
    c::told(|error| unsafe { c::shm_sysv_remove(id, error) }).map(drop)
}

//! region.grow: a region that grows in place, step by step, against a memfd that ftruncate makes longer and
//! a mapping that is made to follow.

use anyhow::Result;

use crate::c::{self, Region};
use crate::harness::{each_prepared, Bench, Run};
use crate::raw::{Follow, Growing};
use crate::{raw, One};

const STEP: usize = 1 << 20;
const STEPS: usize = 16;
const MOST: usize = (1 + STEPS) * STEP;

const REMAP: &str = "ftruncate, mremap in place";

pub const JOBS: [One; 5] = [
    One {
        id: "region.grow",
        reference: "the same by ftruncate, mremap",
        limit: Some(1.10),
        compare: touched,
    },
    One { id: "region.grow.untouched", reference: REMAP, limit: None, compare: untouched },
    One {
        id: "region.grow.sparse",
        reference: "ftruncate, mmap(MAP_FIXED)",
        limit: None,
        compare: sparse_map_fixed,
    },
    One { id: "region.grow.sparse_remap", reference: REMAP, limit: None, compare: sparse_remap },
    One { id: "region.grow.sparse_ahead", reference: "ftruncate alone", limit: None, compare: sparse_ahead },
];

/// What everybody does with new memory is use it. A reservation is paid when it is made and spared at the
/// first touch, so only both together can be compared.
fn touched(bench: &Bench) -> Result<Vec<Run>> {
    grow(bench, 0, Follow::Remap, true)
}

fn untouched(bench: &Bench) -> Result<Vec<Run>> {
    grow(bench, 0, Follow::Remap, false)
}

fn sparse_map_fixed(bench: &Bench) -> Result<Vec<Run>> {
    grow(bench, c::SHMKIT_REGION_NO_RESERVE, Follow::MapFixed, false)
}

fn sparse_remap(bench: &Bench) -> Result<Vec<Run>> {
    grow(bench, c::SHMKIT_REGION_NO_RESERVE, Follow::Remap, false)
}

fn sparse_ahead(bench: &Bench) -> Result<Vec<Run>> {
    grow(bench, c::SHMKIT_REGION_NO_RESERVE, Follow::Ahead, false)
}

/// All steps are on the clock, and the touching of each, if it is wanted.
fn grow(bench: &Bench, flags: u32, follow: Follow, touch: bool) -> Result<Vec<Run>> {
    let size_max = MOST as u64;
    let options = c::shm_region_options { size_max, ..c::options(c::SHMKIT_REGION_GROWABLE | flags, 0) };
    let then = |start: *mut u8, grown: usize| {
        if touch {
            // SAFETY: a step more than `grown` is there, in memory of our own.
            unsafe { raw::touch(start.add(grown), STEP) };
        }
    };
    bench.compare(
        each_prepared(
            || Region::memfd_as(STEP, &options),
            |region| {
                for size in (STEP..MOST).step_by(STEP) {
                    region.grow(size + STEP)?;
                    then(region.data(), size);
                }
                Ok(())
            },
        ),
        each_prepared(
            || Ok(Growing::new(STEP, MOST, follow)?),
            |memfd| {
                for size in (STEP..MOST).step_by(STEP) {
                    memfd.grow(size + STEP)?;
                    then(memfd.start(), size);
                }
                Ok(())
            },
        ),
    )
}

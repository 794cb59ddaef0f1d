//! What a caller may ask for, and the checks that need no kernel.
#![forbid(unsafe_code)]

use std::ffi::c_int;

use crate::error::{Error, Result};
use crate::sys::{mmap, Errno};

bitflags::bitflags! {
    /// How to make, open and map a region: SHMKIT_REGION_… of the header.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Flags: u32 {
        /// Map for reading only.
        const READ_ONLY = 1;
        /// Copy on write: this process's writes stay its own.
        const PRIVATE = 2;
        /// Put a new object in the place of an existing one (file, POSIX).
        const REPLACE = 4;
        /// The mapping may be longer than its file.
        const PAST_END = 8;
        /// Open the object where it exists already (file, POSIX, System V).
        const OR_OPEN = 16;
        /// Touch every page at once.
        const POPULATE = 32;
        /// Keep the pages in memory.
        const LOCKED = 64;
        /// Do not reserve the memory at creation.
        const NO_RESERVE = 128;
        /// A child made by fork does not get the mapping.
        const NO_FORK = 256;
        /// System V: mark the segment removed once it is attached.
        const AUTO_REMOVE = 512;
        /// Accept a received descriptor that other processes can shrink.
        const RISK_SHRINK = 1024;
        /// Send a read-only region that its receiver could open again for writing.
        const RISK_REOPEN = 2048;
        /// Accept a POSIX object that lies on a disk.
        const RISK_DISK = 4096;
        /// Leave room in the address space to grow to `size_max`.
        const GROWABLE = 8192;
        /// Map the bytes twice in a row.
        const MIRROR = 16384;
        /// Pages of 2 MiB from the machine's pool.
        const HUGE_2M = 32768;
        /// Pages of 1 GiB from the machine's pool.
        const HUGE_1G = 65536;
        /// Smaller pages where the machine cannot give huge ones.
        const HUGE_FALLBACK = 131072;
        /// Leave the region out of core dumps.
        const NO_DUMP = 262144;
        /// A child made by fork finds zeros (private anonymous memory).
        const WIPE_ON_FORK = 524288;
        /// The name goes with its last user (POSIX).
        const UNLINK_LAST = 1048576;
        /// The name goes with its creator (POSIX).
        const UNLINK_CREATOR = 2097152;
    }

    /// What nobody may do to a memfd any more: the kernel's F_SEAL_… numbers.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Seals: u32 {
        const SEAL = 1;
        const SHRINK = 2;
        const GROW = 4;
        const WRITE = 8;
        const FUTURE_WRITE = 16;
        const EXEC = 32;
    }

    /// What a mapping allows.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Rights: u32 {
        const READ = 1;
        /// Alone only what a descriptor was opened for: no mapping of ours is without READ.
        const WRITE = 2;
        const READ_WRITE = 3;
    }
}

const HUGE_2M: usize = 2 << 20;
const HUGE_1G: usize = 1 << 30;

impl Flags {
    /// What every kind of region takes.
    pub(crate) const ANY: Flags = Flags::READ_ONLY
        .union(Flags::POPULATE)
        .union(Flags::LOCKED)
        .union(Flags::NO_FORK)
        .union(Flags::NO_DUMP);
    /// What every kind of region with a descriptor takes.
    pub(crate) const WITH_DESCRIPTOR: Flags = Flags::ANY
        .union(Flags::PRIVATE)
        .union(Flags::RISK_REOPEN)
        .union(Flags::GROWABLE)
        .union(Flags::MIRROR);
    pub(crate) const HUGE: Flags = Flags::HUGE_2M.union(Flags::HUGE_1G);
    /// How an object is mapped that nobody may write to, ourselves included.
    pub(crate) const FROZEN: Flags = Flags::PRIVATE.union(Flags::READ_ONLY).union(Flags::NO_RESERVE);

    /// Makes an object on pages of the size that is asked for, None for ordinary ones; or on the next
    /// smaller ones, where that is allowed and the failure is not the same for all sizes.
    pub(crate) fn on_pages<T, E: From<Error>>(
        self,
        call: &str,
        make: impl Fn(Option<usize>) -> Result<T, E>,
        is_final: impl Fn(&E) -> bool,
    ) -> Result<T, E> {
        let sizes: &[_] = match self & Flags::HUGE {
            Flags::HUGE_1G => &[Some(HUGE_1G), Some(HUGE_2M), None],
            Flags::HUGE_2M => &[Some(HUGE_2M), None],
            huge if huge.is_empty() => &[None],
            _ => return Err(invalid(format!("{call} takes HUGE_2M or HUGE_1G, not both")).into()),
        };
        let smaller = if self.contains(Flags::HUGE_FALLBACK) { &sizes[1..] } else { &[] };
        smaller.iter().fold(make(sizes[0]), |made, &size| match made {
            Err(error) if !is_final(&error) => make(size),
            made => made,
        })
    }

    /// Whether an existing object on such pages is welcome.
    pub(crate) fn accept_pages(self, page_size: usize) -> bool {
        match page_size {
            HUGE_2M => self.contains(Flags::HUGE_2M),
            HUGE_1G => self.contains(Flags::HUGE_1G),
            _ => false,
        }
    }

    /// The caller's bits; EINVAL names those that mean nothing.
    pub fn from_raw(bits: u32) -> Result<Flags> {
        known(bits, Flags::from_bits(bits), Flags::all().bits(), "region flags")
    }
}

impl Seals {
    /// The seals of a region that does not ask for others.
    pub const DEFAULT: Seals = Seals::SHRINK.union(Seals::GROW).union(Seals::EXEC);
    /// Either keeps the receiver of a descriptor from writing.
    pub(crate) const READ_ONLY: Seals = Seals::WRITE.union(Seals::FUTURE_WRITE);

    /// The caller's bits; EINVAL names those that mean nothing.
    pub fn from_raw(bits: u32) -> Result<Seals> {
        known(bits, Seals::from_bits(bits), Seals::all().bits(), "seals")
    }
}

impl Rights {
    /// The caller's bits; EINVAL names those that mean nothing.
    pub fn from_raw(bits: u32) -> Result<Rights> {
        let rights = Rights::from_bits(bits).filter(|rights| bits == 0 || rights.contains(Rights::READ));
        known(bits, rights, Rights::all().bits(), "rights")
    }

    pub(crate) fn writable(self) -> bool {
        self == Rights::READ_WRITE
    }
}

fn known<T>(bits: u32, set: Option<T>, all: u32, what: &str) -> Result<T> {
    set.ok_or_else(|| {
        let unknown = if bits & !all == 0 { bits } else { bits & !all };
        Error::new(Errno::EINVAL, format!("unknown {what}: {unknown:#x}"))
    })
}

/// Which mechanism stands behind a region: SHMKIT_KIND_… of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    Memfd = 1,
    Descriptor = 2,
    Anonymous = 3,
    File = 4,
    Posix = 5,
    SysV = 6,
}

/// How a range will be used: SHMKIT_ADVICE_… of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Advice {
    Normal = 0,
    Random = 1,
    Sequential = 2,
    WillNeed = 3,
    Huge = 4,
    NoHuge = 5,
    Collapse = 6,
    NoDump = 7,
    Dump = 8,
}

impl Advice {
    const ALL: [(Advice, c_int); 9] = [
        (Advice::Normal, libc::MADV_NORMAL),
        (Advice::Random, libc::MADV_RANDOM),
        (Advice::Sequential, libc::MADV_SEQUENTIAL),
        (Advice::WillNeed, libc::MADV_WILLNEED),
        (Advice::Huge, libc::MADV_HUGEPAGE),
        (Advice::NoHuge, libc::MADV_NOHUGEPAGE),
        (Advice::Collapse, mmap::MADV_COLLAPSE),
        (Advice::NoDump, libc::MADV_DONTDUMP),
        (Advice::Dump, libc::MADV_DODUMP),
    ];

    /// The caller's number; EINVAL names one that means nothing.
    pub fn from_raw(number: c_int) -> Result<Advice> {
        let advice = Advice::ALL.iter().find(|(advice, _)| *advice as c_int == number);
        advice
            .map(|&(advice, _)| advice)
            .ok_or_else(|| Error::new(Errno::EINVAL, format!("unknown advice: {number}")))
    }

    pub(crate) fn for_kernel(self) -> c_int {
        Advice::ALL[self as usize].1
    }
}

/// How to make or open a region; the default is what most callers want.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    pub flags: Flags,
    /// Permission bits of a new object; 0 means 0600.
    pub mode: u32,
    /// Seals of a new memfd; None means [`Seals::DEFAULT`], with GROWABLE all but GROW.
    pub seals: Option<Seals>,
    /// Where in the file the region begins, a multiple of the page size.
    pub offset: u64,
    /// Opening, attaching, receiving: refuse less than this.
    pub size_min: u64,
    /// Receiving: refuse more than this; 0 means no cap. With GROWABLE, and for a growable region that is
    /// received: how far it may grow.
    pub size_max: u64,
}

impl Options {
    pub fn with_flags(flags: Flags) -> Options {
        Options { flags, ..Options::default() }
    }

    /// Whether a new object is to be as it is without options.
    #[inline(always)]
    pub(crate) fn say_nothing(&self) -> bool {
        self.flags.is_empty() && self.mode == 0 && self.seals.is_none() && self.offset == 0
    }

    /// Refuses what `call` has no use for.
    pub(crate) fn allow(&self, call: &str, flags: Flags) -> Result<()> {
        let useless = self.flags - flags;
        if !useless.is_empty() {
            return Err(invalid(format!("{call} has no use for the flag {}", names(&useless))));
        }
        if self.flags.contains(Flags::REPLACE | Flags::OR_OPEN) {
            return Err(invalid(format!("{call} cannot both REPLACE an object and open it (OR_OPEN)")));
        }
        let (flags, clash) = (self.flags, Flags::PRIVATE | Flags::PAST_END | Flags::HUGE);
        for (flag, clash) in
            [(Flags::GROWABLE, clash | Flags::MIRROR | Flags::LOCKED), (Flags::MIRROR, clash)]
        {
            if flags.contains(flag) && flags.intersects(clash) {
                let clash = names(&(flags & clash));
                return Err(invalid(format!("{call}: {} does not go with {clash}", names(&flag))));
            }
        }
        if flags.contains(Flags::HUGE_FALLBACK) && !flags.intersects(Flags::HUGE) {
            return Err(invalid(format!("{call}: HUGE_FALLBACK without HUGE_2M or HUGE_1G")));
        }
        if self.mode & !0o777 != 0 {
            return Err(invalid(format!("mode {:#o} has more than permission bits (0777)", self.mode)));
        }
        Ok(())
    }

    /// Refuses a size that cannot be mapped as the flags say.
    pub(crate) fn shaped(&self, size: usize, what: impl Fn() -> String) -> Result<()> {
        let (most, page) = (self.size_max, mmap::page_size());
        if self.flags.contains(Flags::GROWABLE) && most < size as u64 {
            let message = format!("{} cannot be GROWABLE: size_max is {most}, its size {size}", what());
            return Err(invalid(message));
        }
        if self.flags.contains(Flags::MIRROR) && size % page != 0 {
            let message = format!(
                "{} cannot be mirrored: its size {size} is no multiple of the page size, {page}",
                what()
            );
            return Err(invalid(message));
        }
        Ok(())
    }

    /// Refuses seals where there is nothing to seal.
    pub(crate) fn without_seals(&self, call: &str) -> Result<()> {
        match self.seals {
            None => Ok(()),
            Some(seals) => {
                let names = if seals.is_empty() { "NONE".to_string() } else { names(&seals) };
                Err(invalid(format!("{call} has no use for seals ({names}): only shm_region_create has")))
            }
        }
    }

    /// Refuses an offset where a region begins at the start of its object.
    pub(crate) fn without_offset(&self, call: &str) -> Result<()> {
        if self.offset != 0 {
            return Err(invalid(format!("{call} has no use for an offset ({})", self.offset)));
        }
        Ok(())
    }

    pub(crate) fn mode_or_default(&self) -> u32 {
        if self.mode == 0 {
            0o600
        } else {
            self.mode
        }
    }

    pub(crate) fn rights(&self) -> Rights {
        if self.flags.contains(Flags::READ_ONLY) {
            Rights::READ
        } else {
            Rights::READ_WRITE
        }
    }
}

/// "PRIVATE | OR_OPEN", and bits without a name in hexadecimal.
fn names<F: bitflags::Flags<Bits = u32>>(flags: &F) -> String {
    let mut names = String::new();
    bitflags::parser::to_writer(flags, &mut names).expect("a String takes all");
    names
}

fn invalid(message: String) -> Error {
    Error::new(Errno::EINVAL, message)
}

/// A size that a new object can have.
#[inline]
pub(crate) fn creatable(size: usize, what: impl Fn() -> String) -> Result<usize> {
    if size == 0 {
        return Err(invalid(format!("cannot create {} of 0 bytes", what())));
    }
    if i64::try_from(size).is_err() || mmap::whole_pages(size).is_none() {
        let message = format!("cannot create {} of {size} bytes: no address range is that long", what());
        return Err(Error::new(Errno::ENOMEM, message));
    }
    Ok(size)
}

/// What the kernel says of an existing object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object {
    /// In bytes.
    pub size: u64,
    /// Of the pages behind it.
    pub page_size: usize,
}

/// The bytes of an object that a region is to show: `size` from `offset` on, or all that is there.
pub(crate) fn window(
    object: Object,
    size: u64,
    options: &Options,
    what: impl Fn() -> String,
) -> Result<usize> {
    let Object { size: object_size, page_size } = object;
    let (offset, page) = (options.offset, page_size as u64);
    if offset % page != 0 {
        let message =
            format!("cannot map {} at offset {offset}: not a multiple of the page size, {page}", what());
        return Err(invalid(message));
    }
    // Mapping huge pages beyond the end of their file would make it longer.
    let past_end = options.flags.contains(Flags::PAST_END) && page_size == mmap::page_size();
    let wanted = match size {
        0 if object_size > offset => object_size - offset,
        0 if object_size == 0 => return Err(invalid(format!("cannot map all of {}: it is empty", what()))),
        0 => {
            return Err(invalid(format!(
                "cannot map {} from offset {offset} on: it has {object_size} bytes",
                what()
            )))
        }
        size => size,
    };
    let end = offset.checked_add(wanted).filter(|&end| i64::try_from(end).is_ok()).ok_or_else(|| {
        let message = format!("cannot map {wanted} bytes at offset {offset} of {}: beyond all files", what());
        Error::new(Errno::EOVERFLOW, message)
    })?;
    if end > object_size && !past_end {
        let message =
            format!("cannot map {wanted} bytes at offset {offset} of {}: it has {object_size} bytes", what());
        return Err(invalid(message));
    }
    large_enough(wanted, options, &what)?;
    usize::try_from(wanted).map_err(|_| {
        Error::new(
            Errno::ENOMEM,
            format!("cannot map {wanted} bytes of {}: no address range is that long", what()),
        )
    })
}

/// Holds an object against `size_min`.
pub(crate) fn large_enough(size: u64, options: &Options, what: impl Fn() -> String) -> Result<()> {
    if size < options.size_min {
        let wanted = options.size_min;
        return Err(invalid(format!(
            "{} has {size} bytes here, and at least {wanted} were asked for",
            what()
        )));
    }
    Ok(())
}

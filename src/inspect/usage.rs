//! What a region's mapping costs: the figures of /proc/self/smaps, as pmap(1) shows them.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::AddAssign;
use std::os::fd::AsFd;

use super::maps::Line;
use super::object::FileId;
use super::text::kib;
use crate::error::{Code, During, Error, Result};
use crate::region::{Region, Rights};
use crate::sys::{listing, Errno};

/// What a region's mappings take, in bytes. A page that several mappings have counts in each, but for
/// `proportional`, where it is shared out among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Figures {
    /// Of addresses.
    pub size: u64,
    /// Rss: in memory, and in this process's page tables.
    pub resident: u64,
    /// Pss
    pub proportional: u64,
    pub shared_clean: u64,
    pub shared_dirty: u64,
    pub private_clean: u64,
    pub private_dirty: u64,
    /// On huge pages, transparent ones or a pool's. A pool's are not part of `resident`.
    pub huge: u64,
    /// Locked, by the proportional count.
    pub locked: u64,
    pub swapped: u64,
}

/// One mapping of a region: it has several where parts of it were protected or locked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MappingUsage {
    pub start: u64,
    pub rights: Rights,
    pub shared: bool,
    /// Where in the object it begins.
    pub offset: u64,
    pub page_size: u64,
    /// VmFlags: two letters each, parted by spaces, as proc(5) lists them.
    pub flags: String,
    pub figures: Figures,
}

impl MappingUsage {
    /// Whether it has a flag such as "sh", VM_SHARED.
    pub fn has_flag(&self, flag: &str) -> bool {
        self.flags.split(' ').any(|word| word == flag)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    pub total: Figures,
    pub mappings: Vec<MappingUsage>,
}

impl Region {
    /// What the kernel says of the region's mapping in this process: the figures of /proc/self/smaps.
    pub fn usage(&self) -> Result<Usage> {
        let (start, end) = addresses(self);
        let file = open("smaps", self)?;
        let mappings = parse(file, start, end).map_err(|errno| failed("smaps", self, errno))?;
        Usage::of(mappings).ok_or_else(|| {
            let message = format!("no mapping of {} is in /proc/self/smaps", self.describe());
            Error::new(Errno::ENOENT, message)
        })
    }
}

impl Usage {
    /// What a process has mapped between two addresses takes, such as a [`By::Mapping`](super::By): the figures
    /// of /proc/PID/smaps. ENOENT: nothing is mapped there, or there is no such process; EACCES: it may not be
    /// looked into.
    pub fn of_process(pid: i32, start: u64, length_bytes: u64) -> Result<Usage> {
        let path = format!("/proc/{pid}/smaps");
        let file =
            File::open(&path).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)));
        let mappings = file
            .and_then(|file| parse(BufReader::new(file), start, start.saturating_add(length_bytes)))
            .during(|| format!("cannot read {path}"))?;
        Usage::of(mappings).ok_or_else(|| {
            let message = format!("nothing is mapped at {start:#x} in {path}");
            Error::new(Errno::ENOENT, message)
        })
    }

    fn of(mappings: Vec<MappingUsage>) -> Option<Usage> {
        let mut total = Figures::default();
        mappings.iter().for_each(|mapping| total += mapping.figures);
        (!mappings.is_empty()).then_some(Usage { total, mappings })
    }
}

fn addresses(region: &Region) -> (u64, u64) {
    let start = region.as_ptr() as u64;
    (start, start + (region.size() as u64).next_multiple_of(region.page_size() as u64))
}

fn open(name: &str, region: &Region) -> Result<BufReader<File>> {
    let file = File::open(format!("/proc/self/{name}"));
    let file = file.map_err(|error| {
        let errno = Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
        failed(name, region, errno)
    })?;
    Ok(BufReader::with_capacity(16 << 10, file))
}

fn failed(name: &str, region: &Region, errno: Errno) -> Error {
    let (what, why) = (region.describe(), Code::from(errno));
    Error::new(errno, format!("cannot look up {what} in /proc/self/{name}: {why}"))
}

/// The file that the kernel keeps behind a region without a descriptor.
pub(super) fn file_behind(region: &Region) -> Result<FileId> {
    if let Some(fd) = region.file() {
        let stat = listing::stat_open(fd.as_fd()).map_err(|errno| {
            Error::new(errno, format!("cannot look at {}: {}", region.describe(), Code::from(errno)))
        })?;
        return Ok(FileId { device: stat.device, inode: stat.inode });
    }
    let (start, _) = addresses(region);
    let mut file = open("maps", region)?;
    let mut line = Vec::new();
    while next(&mut file, &mut line).map_err(|errno| failed("maps", region, errno))? {
        match Line::parse(&line) {
            Some(found) if found.start <= start && start < found.end => {
                return Ok(FileId { device: found.device, inode: found.inode });
            }
            _ => {}
        }
    }
    Err(failed("maps", region, Errno::ENOENT))
}

/// The next line, without its end.
fn next(text: &mut impl BufRead, line: &mut Vec<u8>) -> crate::sys::Result<bool> {
    /// No line of the kernel's comes near it.
    const LONGEST: u64 = 64 << 10;
    line.clear();
    match text.take(LONGEST).read_until(b'\n', line) {
        Ok(0) => Ok(false),
        Ok(_) => {
            if line.last() == Some(&b'\n') {
                line.pop();
            }
            Ok(true)
        }
        Err(error) => Err(Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))),
    }
}

/// The mappings between two addresses. What lies behind them is not read: the kernel walks page tables for
/// each.
pub(super) fn parse(mut text: impl BufRead, start: u64, end: u64) -> crate::sys::Result<Vec<MappingUsage>> {
    let mut mappings: Vec<MappingUsage> = Vec::new();
    let (mut line, mut within) = (Vec::new(), false);
    while next(&mut text, &mut line)? {
        if let Some(head) = Line::parse(&line) {
            if head.start >= end {
                break;
            }
            within = head.end > start;
            if within {
                mappings.push(MappingUsage {
                    start: head.start,
                    rights: head.rights,
                    shared: head.shared,
                    offset: head.offset,
                    page_size: 0,
                    flags: String::new(),
                    figures: Figures { size: head.end - head.start, ..Figures::default() },
                });
            }
        } else if let Some(mapping) = mappings.last_mut().filter(|_| within) {
            mapping.take(&line);
        }
    }
    Ok(mappings)
}

impl MappingUsage {
    fn take(&mut self, line: &[u8]) {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { return };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if name == b"VmFlags" {
            self.flags = String::from_utf8_lossy(value.trim_ascii()).into_owned();
            return;
        }
        let Some(bytes) = kib(value) else { return };
        let figures = &mut self.figures;
        let figure = match name {
            b"KernelPageSize" => &mut self.page_size,
            b"Rss" => &mut figures.resident,
            b"Pss" => &mut figures.proportional,
            b"Shared_Clean" => &mut figures.shared_clean,
            b"Shared_Dirty" => &mut figures.shared_dirty,
            b"Private_Clean" => &mut figures.private_clean,
            b"Private_Dirty" => &mut figures.private_dirty,
            b"AnonHugePages" | b"ShmemPmdMapped" | b"FilePmdMapped" | b"Shared_Hugetlb"
            | b"Private_Hugetlb" => &mut figures.huge,
            b"Locked" => &mut figures.locked,
            b"Swap" => &mut figures.swapped,
            _ => return,
        };
        *figure = figure.saturating_add(bytes);
    }
}

impl AddAssign for Figures {
    fn add_assign(&mut self, more: Figures) {
        for (sum, more) in [
            (&mut self.size, more.size),
            (&mut self.resident, more.resident),
            (&mut self.proportional, more.proportional),
            (&mut self.shared_clean, more.shared_clean),
            (&mut self.shared_dirty, more.shared_dirty),
            (&mut self.private_clean, more.private_clean),
            (&mut self.private_dirty, more.private_dirty),
            (&mut self.huge, more.huge),
            (&mut self.locked, more.locked),
            (&mut self.swapped, more.swapped),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
00400000-00401000 r--p 00000000 fe:00 9 /bin/x
Size:                  4 kB
Rss:                   4 kB
VmFlags: rd mr mw me sd
7f0000000000-7f0000002000 rw-s 00000000 00:01 77 /memfd:a\\012Rss: 9 kB (deleted)
Size:                  8 kB
KernelPageSize:        4 kB
Rss:                   8 kB
Pss:                   4 kB
Pss_Dirty:             4 kB
Shared_Dirty:          8 kB
ShmemPmdMapped:        2 kB
Private_Hugetlb:       1 kB
Swap:                 18446744073709551615 kB
Locked:                4 kB
VmFlags: rd wr sh mr mw me ms sd\u{20}
7f0000002000-7f0000003000 r--s 00002000 00:01 77 /memfd:a (deleted)
Rss:                   4 kB
7f0000003000-7f0000004000 r--s 00003000 00:01 77 /memfd:a (deleted)
Rss:                   4 kB
";

    #[test]
    fn figures_of_the_mappings_between_two_addresses() {
        let all = parse(TEXT.as_bytes(), 0x7f0000000000, 0x7f0000003000).unwrap();
        assert_eq!(all.len(), 2);
        let first = &all[0];
        assert_eq!((first.rights, first.shared, first.page_size), (Rights::READ_WRITE, true, 4096));
        assert!(first.has_flag("sh") && first.has_flag("sd") && !first.has_flag("s"));
        let figures = first.figures;
        assert_eq!((figures.size, figures.resident, figures.proportional), (8192, 8192, 4096));
        assert_eq!((figures.shared_dirty, figures.huge, figures.locked), (8192, 3072, 4096));
        assert_eq!(figures.swapped, 0, "over 2^64 bytes is no number");
        assert_eq!((all[1].offset, all[1].figures.resident), (0x2000, 4096));
    }

    #[test]
    fn a_process_is_asked_as_the_region_is() {
        let region = Region::create("usage", 8192, &Default::default()).unwrap();
        region.write(0, b"x").unwrap();
        let (own, start) = (std::process::id() as i32, region.as_ptr() as u64);
        let asked = Usage::of_process(own, start, 8192).unwrap();
        assert_eq!(asked, region.usage().unwrap());
        let code = |pid, start| Usage::of_process(pid, start, 1).unwrap_err().errno();
        assert_eq!(code(own, 0), Some(libc::ENOENT));
        assert_eq!(code(0, start), Some(libc::ENOENT));
    }

    #[test]
    fn text_that_is_cut_anywhere_gives_what_was_complete() {
        for cut in 0..TEXT.len() {
            assert!(parse(&TEXT.as_bytes()[..cut], 0, u64::MAX).unwrap().len() <= 4);
        }
        let noise = [b"VmFlags: \xff\n".as_slice(), b"Rss: 1 kB\n", &[b'x'; 200_000], b"\n"].concat();
        assert_eq!(parse(noise.as_slice(), 0, u64::MAX).unwrap(), []);
    }
}

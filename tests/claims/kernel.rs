//! What the kernel says of this process's memory, in /proc.

use std::fs::File;
use std::os::unix::fs::FileExt;

use shmkit::Region;

use crate::support::page;

/// A mapping's paragraph in /proc/self/smaps.
pub struct Mapping {
    text: String,
}

impl Mapping {
    pub fn of(region: &Region) -> Mapping {
        Mapping::at(region.as_ptr()).expect("a region is mapped")
    }

    /// The mapping that an address lies in.
    pub fn at(address: *const u8) -> Option<Mapping> {
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut text: Option<String> = None;
        for line in smaps.lines() {
            match range(line) {
                // The next one begins.
                Some(_) if text.is_some() => break,
                Some(range) if range.contains(&(address as usize)) => text = Some(line.to_string()),
                Some(_) => {}
                None => {
                    if let Some(text) = &mut text {
                        text.push('\n');
                        text.push_str(line);
                    }
                }
            }
        }
        text.map(|text| Mapping { text })
    }

    fn column(&self, index: usize) -> &str {
        self.text.lines().next().unwrap().split_whitespace().nth(index).unwrap_or_default()
    }

    /// Such as "rw-s".
    pub fn rights(&self) -> &str {
        self.column(1)
    }

    /// The device's major number; 0 is no device.
    pub fn device_major(&self) -> u32 {
        u32::from_str_radix(self.column(3).split(':').next().unwrap(), 16).unwrap()
    }

    /// What maps shows last, with its spaces.
    pub fn name(&self) -> String {
        self.text.lines().next().unwrap().split_whitespace().skip(5).collect::<Vec<_>>().join(" ")
    }

    fn field(&self, name: &str) -> &str {
        let value = self.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap_or_else(|| panic!("no {name} in:\n{}", self.text)).trim()
    }

    pub fn flag(&self, flag: &str) -> bool {
        self.field("VmFlags").split(' ').any(|word| word == flag)
    }

    pub fn kib(&self, name: &str) -> u64 {
        self.field(name).strip_suffix(" kB").unwrap().parse().unwrap()
    }

    pub fn dirty_kib(&self) -> u64 {
        self.kib("Shared_Dirty") + self.kib("Private_Dirty")
    }
}

/// The addresses at the beginning of a mapping's first line.
fn range(line: &str) -> Option<std::ops::Range<usize>> {
    let (start, end) = line.split(' ').next()?.split_once('-')?;
    Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
}

/// Whether some page of the region is to be written to its file.
pub fn dirty(region: &Region) -> bool {
    Mapping::of(region).dirty_kib() > 0
}

/// Which page of the machine's memory stands behind an address that was touched. None where only root may
/// know.
pub fn page_frame(address: *const u8) -> Option<u64> {
    let mut entry = [0; 8];
    let at = (address as usize / page() * entry.len()) as u64;
    File::open("/proc/self/pagemap").unwrap().read_exact_at(&mut entry, at).unwrap();
    let entry = u64::from_ne_bytes(entry);
    assert!(entry >> 63 == 1, "the page is in memory");
    Some(entry & ((1 << 55) - 1)).filter(|&frame| frame != 0)
}

/// Bytes that a process has read and written by system calls, on files, pipes and the like.
pub fn bytes_moved(process: libc::pid_t) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{process}/io")).unwrap();
    let count = |name: &str| io.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    count("rchar:").unwrap() + count("wchar:").unwrap()
}

//! The limits that shared memory meets, each with its use and the place where it is set.
#![forbid(unsafe_code)]

use std::fmt;
use std::os::fd::AsFd;
use std::path::Path;

use super::text::{field, kib, lines, number, Words};
use super::{cgroup, mounts, survey};
use crate::error::Code;
use crate::sys::{self, file, listing, mmap, resource, segment, Errno};

/// No limit.
pub const UNLIMITED: u64 = u64::MAX;

/// Why a value is not known, as half a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown(pub(super) String);

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unknown {}

pub type Reading<T> = std::result::Result<T, Unknown>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unit {
    Bytes,
    /// Of memory; huge ones for the pools of huge pages.
    Pages,
    /// So many things.
    Count,
    /// A number or a word with a meaning of its own.
    Setting,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Number(u64),
    Word(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limit {
    /// The kernel's name: "kernel.shmmax", "RLIMIT_NOFILE", "hugepages-2048kB".
    pub name: String,
    pub unit: Unit,
    pub value: Reading<Value>,
    /// None where nothing is used up.
    pub used: Option<Reading<u64>>,
    /// Where it is set, or what to read about that.
    pub source: String,
}

impl Limit {
    /// The value, where it is a number that is known; [`UNLIMITED`] where there is none.
    pub fn number(&self) -> Option<u64> {
        match self.value {
            Ok(Value::Number(number)) => Some(number),
            _ => None,
        }
    }

    /// What is left of it.
    pub fn free(&self) -> Option<u64> {
        let used = match &self.used {
            None => 0,
            Some(used) => *used.as_ref().ok()?,
        };
        match self.number()? {
            UNLIMITED => Some(UNLIMITED),
            number => Some(number.saturating_sub(used)),
        }
    }
}

/// All limits at once, in an order that is good to read.
#[derive(Clone, Debug)]
pub struct Limits(Vec<Limit>);

impl Limits {
    pub fn read() -> Limits {
        let mut limits = Limits(Vec::with_capacity(40));
        limits.system_v();
        limits.dev_shm();
        limits.0.push(cgroup::memory());
        limits.process();
        limits.memory();
        limits.huge_pages();
        limits.settings();
        limits
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Limit> {
        self.0.iter()
    }

    /// The limit of a name.
    pub fn get(&self, name: &str) -> Option<&Limit> {
        self.0.iter().find(|limit| limit.name == name)
    }

    /// The number of a name, where it is known.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.number()
    }

    fn add(
        &mut self,
        name: impl Into<String>,
        unit: Unit,
        value: Reading<u64>,
        used: Option<Reading<u64>>,
        source: impl Into<String>,
    ) {
        let value = value.map(Value::Number);
        self.0.push(Limit { name: name.into(), unit, value, used, source: source.into() });
    }

    /// A file of /proc/sys with a number in it.
    fn sysctl(&mut self, name: &str, unit: Unit, used: Option<Reading<u64>>) {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        self.add(name, unit, number_in(&path), used, path);
    }

    fn system_v(&mut self) {
        let used = segment::used().map_err(|errno| unknown("SHM_INFO", errno));
        let of = |value: fn(&segment::Use) -> u64| Some(used.as_ref().map(value).map_err(Unknown::clone));
        self.sysctl("kernel.shmmax", Unit::Bytes, None);
        self.sysctl("kernel.shmall", Unit::Pages, of(|used| used.pages));
        self.sysctl("kernel.shmmni", Unit::Count, of(|used| used.segments as u64));
        self.sysctl("kernel.shm_rmid_forced", Unit::Setting, None);

        let sets = read("/proc/sysvipc/sem");
        let semaphores = |line: &[u8]| Words(line).nth(3).and_then(number).unwrap_or(0);
        let all = sets.as_ref().map(|text| lines(text).skip(1).map(semaphores).fold(0, u64::saturating_add));
        let count = |text: &Vec<u8>| lines(text).skip(1).count() as u64;
        let path = "/proc/sys/kernel/sem";
        let text = read(path);
        for (at, name, used) in [
            (0, "semmsl", None),
            (1, "semmns", Some(all.map_err(Unknown::clone))),
            (2, "semopm", None),
            (3, "semmni", Some(sets.as_ref().map(count).map_err(Unknown::clone))),
        ] {
            let value = text.clone().and_then(|text| {
                let line = lines(&text).next().unwrap_or_default();
                Words(line).nth(at).and_then(number).ok_or_else(|| malformed(path))
            });
            self.add(
                format!("kernel.sem.{name}"),
                Unit::Count,
                value,
                used,
                format!("{path}, number {}", at + 1),
            );
        }
        self.sysctl("kernel.msgmax", Unit::Bytes, None);
        self.sysctl("kernel.msgmnb", Unit::Bytes, None);
        self.sysctl(
            "kernel.msgmni",
            Unit::Count,
            Some(read("/proc/sysvipc/msg").as_ref().map(count).map_err(Unknown::clone)),
        );
    }

    fn dev_shm(&mut self) {
        let system = mounts::at(c"/dev/shm").map_err(|errno| unknown("/dev/shm", errno));
        let size = system.clone().map(|it| it.size_bytes.unwrap_or(UNLIMITED));
        let used = system.clone().map(|it| match (it.size_bytes, it.free_bytes) {
            (Some(size), Some(free)) => size.saturating_sub(free),
            _ => 0,
        });
        self.add("dev_shm.size", Unit::Bytes, size, Some(used), "the mount option size of /dev/shm");
        let free = system.clone().map(|it| it.files_free.unwrap_or(UNLIMITED));
        self.add("dev_shm.inodes_free", Unit::Count, free, None, "the mount option nr_inodes of /dev/shm");
        let kind = system.map(|it| Value::Word(it.kind));
        self.word("dev_shm.type", kind, "what is mounted on /dev/shm");
    }

    fn process(&mut self) {
        let status = read("/proc/self/status");
        let of = |name: &'static str| {
            let path = "/proc/self/status";
            Some(
                status
                    .clone()
                    .and_then(|text| field(&text, name).and_then(kib).ok_or_else(|| malformed(path))),
            )
        };
        for (limit, used) in [
            (resource::Limit::Memlock, of("VmLck")),
            (resource::Limit::Nofile, Some(descriptors())),
            (resource::Limit::Fsize, None),
            (resource::Limit::As, of("VmSize")),
            (resource::Limit::Data, of("VmData")),
        ] {
            let value = resource::soft(limit).map_err(|errno| unknown(limit.name(), errno));
            let unit = if limit == resource::Limit::Nofile { Unit::Count } else { Unit::Bytes };
            self.add(limit.name(), unit, value, used, format!("setrlimit(2), {}", limit.ulimit()));
        }
        let addresses = mmap::addresses().ok_or_else(|| Unknown("the kernel does not tell".to_string()));
        let source = "the processor and the kernel's build; a range needs so many in a row";
        self.add("address_space", Unit::Bytes, addresses, of("VmSize"), source);
        let mappings = read("/proc/self/maps").map(|text| lines(&text).count() as u64);
        self.sysctl("vm.max_map_count", Unit::Count, Some(mappings));
    }

    fn memory(&mut self) {
        let path = "/proc/meminfo";
        let text = read(path);
        let of = |name: &str| {
            text.clone().and_then(|text| field(&text, name).and_then(kib).ok_or_else(|| malformed(path)))
        };
        let gone = |all: Reading<u64>, free: Reading<u64>| Ok(all?.saturating_sub(free?));
        let memory = of("MemTotal");
        let used = gone(memory.clone(), of("MemAvailable"));
        self.add("MemTotal", Unit::Bytes, memory, Some(used), "the machine");
        let swap = of("SwapTotal");
        let used = gone(swap.clone(), of("SwapFree"));
        self.add("SwapTotal", Unit::Bytes, swap, Some(used), "swapon(8)");
        self.sysctl("vm.overcommit_memory", Unit::Setting, None);
        let source = "/proc/sys/vm/overcommit_ratio; it counts with vm.overcommit_memory 2 only";
        self.add("CommitLimit", Unit::Bytes, of("CommitLimit"), Some(of("Committed_AS")), source);
    }

    fn huge_pages(&mut self) {
        const POOLS: &str = "/sys/kernel/mm/hugepages";
        let mut pools: Vec<String> = std::fs::read_dir(POOLS)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        pools.sort();
        for pool in pools {
            let of = |name: &str| number_in(format!("{POOLS}/{pool}/{name}"));
            // What was promised to mappings is not free, though nobody has it yet.
            let free = of("free_hugepages").and_then(|free| Ok(free.saturating_sub(of("resv_hugepages")?)));
            let used = free.and_then(|free| Ok(of("nr_hugepages")?.saturating_sub(free)));
            let source = format!("{POOLS}/{pool}/nr_hugepages");
            self.add(&pool, Unit::Pages, of("nr_hugepages"), Some(used), source);
            let (more, source) =
                (of("nr_overcommit_hugepages"), format!("{POOLS}/{pool}/nr_overcommit_hugepages"));
            self.add(format!("{pool}.overcommit"), Unit::Pages, more, Some(of("surplus_hugepages")), source);
        }
    }

    fn settings(&mut self) {
        for name in ["vm.memfd_noexec", "vm.hugetlb_shm_group", "fs.protected_regular"] {
            self.sysctl(name, Unit::Setting, None);
        }
        for name in ["shmem_enabled", "enabled"] {
            let path = format!("/sys/kernel/mm/transparent_hugepage/{name}");
            let chosen = read(&path).and_then(|text| chosen(&text).ok_or_else(|| malformed(&path)));
            self.word(&format!("transparent_hugepage.{name}"), chosen.map(Value::Word), &path);
        }
        for name in ["ipc", "pid"] {
            let place = survey::place(c"/proc/self/ns");
            let c_name = if name == "ipc" { c"ipc" } else { c"pid" };
            let stat = place.and_then(|place| listing::stat(place.as_fd(), c_name));
            let path = format!("/proc/self/ns/{name}");
            let value = stat.map(|stat| stat.inode).map_err(|errno| unknown(&path, errno));
            self.add(format!("namespace.{name}"), Unit::Setting, value, None, path);
        }
    }

    fn word(&mut self, name: &str, value: Reading<Value>, source: &str) {
        let (name, source) = (name.to_string(), source.to_string());
        self.0.push(Limit { name, unit: Unit::Setting, value, used: None, source });
    }
}

impl<'a> IntoIterator for &'a Limits {
    type Item = &'a Limit;
    type IntoIter = std::slice::Iter<'a, Limit>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

pub(super) fn unknown(what: &str, errno: Errno) -> Unknown {
    Unknown(format!("cannot read {what}: {}", Code::from(errno)))
}

fn malformed(path: &str) -> Unknown {
    Unknown(format!("{path} is not as the kernel writes it"))
}

pub(super) fn read(path: impl AsRef<Path>) -> Reading<Vec<u8>> {
    let path = path.as_ref();
    std::fs::read(path).map_err(|error| {
        unknown(&path.to_string_lossy(), Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
    })
}

pub(super) fn number_in(path: impl AsRef<Path>) -> Reading<u64> {
    let path = path.as_ref();
    let text = read(path)?;
    number(text.trim_ascii()).ok_or_else(|| malformed(&path.to_string_lossy()))
}

/// The word in brackets: "always within_size [never]".
fn chosen(text: &[u8]) -> Option<String> {
    let open = text.iter().position(|&byte| byte == b'[')?;
    let length = text[open..].iter().position(|&byte| byte == b']')?;
    String::from_utf8(text[open + 1..open + length].to_vec()).ok()
}

/// How many descriptors this process has, but for the one that it takes to look.
fn descriptors() -> Reading<u64> {
    let mut count = 0u64;
    file::open(c"/proc/self/fd", file::OFlag::O_RDONLY | file::OFlag::O_DIRECTORY, 0)
        .and_then(|fds| listing::list(fds.as_fd(), &mut Vec::new(), |_| count += 1))
        .map_err(|errno| unknown("/proc/self/fd", errno))?;
    Ok(count.saturating_sub(1))
}

/// Who has it may lock all memory, whatever RLIMIT_MEMLOCK is, and have segments on huge pages.
pub(super) const CAP_IPC_LOCK: u32 = 14;

/// Whether this process has a capability of capabilities(7).
pub(super) fn has_capability(number: u32) -> bool {
    let effective = read("/proc/self/status").ok().and_then(|text| {
        let word = field(&text, "CapEff")?.trim_ascii();
        super::text::hex(word)
    });
    effective.map_or(sys::own_user() == 0, |effective| effective >> number & 1 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_word() {
        assert_eq!(chosen(b"always within_size [never] deny\n").as_deref(), Some("never"));
        for bad in [&b""[..], b"[", b"]x[", b"never", b"[\xff]"] {
            assert_eq!(chosen(bad), None);
        }
    }

    #[test]
    fn each_name_is_there_once_and_each_unknown_has_a_reason() {
        let limits = Limits::read();
        for limit in &limits {
            assert_eq!(limits.iter().filter(|other| other.name == limit.name).count(), 1, "{}", limit.name);
            if let Err(why) = &limit.value {
                assert!(!why.to_string().is_empty());
            }
            assert!(!limit.source.is_empty());
        }
        assert!(limits.get("kernel.nothing").is_none());
    }
}

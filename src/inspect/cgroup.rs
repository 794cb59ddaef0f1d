//! The memory that this process's control groups leave it: cgroups(7), both versions.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::limits::{number_in, read, Limit, Reading, Unit, Unknown, Value, UNLIMITED};
use super::maps::Mount;
use super::mounts::mounts;
use super::text::{lines, number, Words};

/// The files of a version, and the lines of its memory.stat.
struct Version {
    limit: &'static str,
    used: &'static str,
    /// All pages of files, and those of them that are memory files.
    cache: [&'static str; 2],
}

const V1: Version = Version {
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    cache: ["total_cache", "total_shmem"],
};
const V2: Version = Version { limit: "memory.max", used: "memory.current", cache: ["file", "shmem"] };

/// The tightest of the limits on the way up, by what it leaves. What the pages of disk files take counts as
/// free: the kernel takes them back first.
pub(super) fn memory() -> Limit {
    let found = tightest();
    let (name, unit) = ("memory.max".to_string(), Unit::Bytes);
    match found {
        Ok(Some((value, used, path))) => {
            let source = path.to_string_lossy().into_owned();
            Limit { name, unit, value: Ok(Value::Number(value)), used: Some(Ok(used)), source }
        }
        Ok(None) => {
            let source = "no control group of this process limits its memory".to_string();
            Limit { name, unit, value: Ok(Value::Number(UNLIMITED)), used: None, source }
        }
        Err(why) => {
            let source = "/sys/fs/cgroup".to_string();
            Limit { name, unit, value: Err(why), used: None, source }
        }
    }
}

fn tightest() -> Reading<Option<(u64, u64, PathBuf)>> {
    let groups = read("/proc/self/cgroup")?;
    let (version, path, mount) = place(&groups, &mounts())
        .ok_or_else(|| Unknown("no control group file system with memory is mounted here".to_string()))?;
    let Some(own) = inside(&path, &mount) else {
        let why = format!("the control group {} is outside of what is mounted", path.to_string_lossy());
        return Err(Unknown(why));
    };
    let top = Path::new(OsStr::from_bytes(&mount.point));
    let ways = own.ancestors().take_while(|group| group.starts_with(top));
    let limits = ways.filter_map(|group| limit(group, version));
    Ok(limits.min_by_key(|(value, used, _)| value.saturating_sub(*used)))
}

fn limit(group: &Path, version: &Version) -> Option<(u64, u64, PathBuf)> {
    /// What version 1 has for none: the most that fits a count of pages.
    const NONE: u64 = i64::MAX as u64 & !0xffff;
    let path = group.join(version.limit);
    // "max", or no file where this control group has no memory of its own.
    let value = number_in(&path).ok().filter(|&value| value < NONE)?;
    let used = number_in(group.join(version.used)).ok()?;
    let stat = read(group.join("memory.stat")).unwrap_or_default();
    let of = |name: &str| {
        let mut found = lines(&stat).map(Words).filter(|words| words.clone().next() == Some(name.as_bytes()));
        found.next().and_then(|mut words| number(words.nth(1)?)).unwrap_or(0)
    };
    let [cache, in_memory] = version.cache.map(of);
    Some((value, used.saturating_sub(cache.saturating_sub(in_memory)), path))
}

/// The version whose memory controller is in use, the group's path in it, and where that is mounted.
fn place(groups: &[u8], mounts: &[Mount]) -> Option<(&'static Version, PathBuf, Mount)> {
    for line in lines(groups) {
        let mut parts = line.splitn(3, |&byte| byte == b':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let is_v1 = controllers.split(|&byte| byte == b',').any(|controller| controller == b"memory");
        let (version, kind) = match controllers {
            b"" => (&V2, &b"cgroup2"[..]),
            _ if is_v1 => (&V1, &b"cgroup"[..]),
            _ => continue,
        };
        let has_memory = |mount: &&Mount| mount.kind == kind && (!is_v1 || mount.option("memory").is_some());
        if let Some(mount) = mounts.iter().find(has_memory) {
            return Some((version, PathBuf::from(OsStr::from_bytes(path)), mount.clone()));
        }
    }
    None
}

/// Where a group's files are: its path begins at the file system's root, of which a part may be mounted.
fn inside(path: &Path, mount: &Mount) -> Option<PathBuf> {
    let below = path.strip_prefix(OsStr::from_bytes(&mount.root)).ok()?;
    let plain = below.components().all(|part| matches!(part, Component::Normal(_)));
    plain.then(|| Path::new(OsStr::from_bytes(&mount.point)).join(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounted(text: &str) -> Vec<Mount> {
        text.lines().filter_map(|line| Mount::parse(line.as_bytes())).collect()
    }

    const HYBRID: &str = "35 31 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                          41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn the_version_with_memory_is_found() {
        let place = |groups: &str, mounts: &str| {
            place(groups.as_bytes(), &mounted(mounts))
                .map(|(version, path, mount)| (version.limit, inside(&path, &mount)))
        };
        let groups = "9:name=systemd:/\n4:cpu,memory:/a/b\n0::/\n";
        let own = Some(PathBuf::from("/sys/fs/cgroup/memory/a/b"));
        assert_eq!(place(groups, HYBRID), Some(("memory.limit_in_bytes", own)));
        let unified = "41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let own = Some(PathBuf::from("/sys/fs/cgroup/user.slice"));
        assert_eq!(place("0::/user.slice\n", unified), Some(("memory.max", own)));
        // In a container: only a part is mounted, and the path begins above it, or leads out.
        let part = "41 31 0:38 /docker/1 /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(place("0::/docker/1\n", part).unwrap().1, Some(PathBuf::from("/sys/fs/cgroup/")));
        assert_eq!(place("0::/docker/2\n", part).unwrap().1, None);
        assert_eq!(place("0::/../x\n", unified).unwrap().1, None);
        for bad in ["", "0", "0:", "::", "4:memory:/a"] {
            assert_eq!(place(bad, ""), None, "{bad}");
        }
    }

    #[test]
    fn the_files_of_a_group() {
        let group = std::env::temp_dir().join(format!("shmkit-cgroup-{}", std::process::id()));
        std::fs::create_dir(&group).unwrap();
        let write = |name: &str, text: &str| std::fs::write(group.join(name), text).unwrap();
        write("memory.max", "1000000\n");
        write("memory.current", "600000\n");
        let left = |version| limit(&group, version).map(|(value, used, _)| (value, used));
        assert_eq!(left(&V2), Some((1_000_000, 600_000)));
        // Pages of disk files can go, those of memory files cannot.
        write("memory.stat", "anon 1\nfile 500000\nfile_mapped 9\nshmem 100000\n");
        assert_eq!(left(&V2), Some((1_000_000, 200_000)));
        write("memory.max", "max\n");
        assert_eq!(left(&V2), None);
        write("memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(left(&V1), None);
        write("memory.limit_in_bytes", "5000000\n");
        write("memory.usage_in_bytes", "7000000\n");
        assert_eq!(left(&V1), Some((5_000_000, 7_000_000)));
        std::fs::remove_dir_all(&group).unwrap();
    }
}

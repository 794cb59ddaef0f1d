//! What is set up on this machine so that shared memory surprises, each with the remedy.
#![forbid(unsafe_code)]

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use super::limits::{Limit, Limits, UNLIMITED};
use super::mounts;
use super::text::lines;
use super::{limits, survey};
use crate::error::Code;
use crate::sys::{self, listing};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Applies {
    Yes,
    No,
    /// The sentence says why it cannot be told.
    Unknown,
}

/// Something that surprises, and whether it does here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// Stable, for programs: "systemd-remove-ipc".
    pub name: &'static str,
    pub applies: Applies,
    /// What is found here, and what follows from it.
    pub sentence: String,
    pub remedy: &'static str,
}

/// Below this, /dev/shm is what containers are given, and one image of a camera fills it.
const TINY: u64 = 64 << 20;
/// The kernel's own RLIMIT_MEMLOCK.
const SMALL_MEMLOCK: u64 = 8 << 20;
/// The inode of the first IPC namespace (PROC_IPC_INIT_INO of linux/proc_ns.h).
const FIRST_IPC_NAMESPACE: u64 = 0xefffffff;

/// All traps that are known, whether they apply or not.
pub fn traps() -> Vec<Trap> {
    let limits = Limits::read();
    vec![
        remove_ipc(),
        not_a_tmpfs(&limits),
        tiny(&limits),
        noexec(),
        memfd_noexec(&limits),
        ipc_namespace(&limits),
        rmid_forced(&limits),
        huge_pool(&limits),
        overcommit(&limits),
        memlock(&limits),
        protected_regular(&limits),
    ]
}

fn trap(name: &'static str, applies: bool, sentence: String, remedy: &'static str) -> Trap {
    Trap { name, applies: if applies { Applies::Yes } else { Applies::No }, sentence, remedy }
}

/// Of a number that may be unknown.
fn by_number(
    name: &'static str,
    limit: Option<&Limit>,
    applies: impl Fn(u64) -> bool,
    sentence: impl Fn(u64) -> String,
    remedy: &'static str,
) -> Trap {
    match limit.map(|limit| (limit.number(), &limit.value)) {
        Some((Some(number), _)) => trap(name, applies(number), sentence(number), remedy),
        Some((None, Err(why))) => unknown(name, why.to_string(), remedy),
        _ => unknown(name, "this kernel does not have it".to_string(), remedy),
    }
}

fn unknown(name: &'static str, sentence: String, remedy: &'static str) -> Trap {
    Trap { name, applies: Applies::Unknown, sentence, remedy }
}

fn remove_ipc() -> Trap {
    let (name, remedy) = (
        "systemd-remove-ipc",
        "set RemoveIPC=no in /etc/systemd/logind.conf, or run the service as a system user, or with \
            lingering (loginctl enable-linger)",
    );
    let user = sys::own_user();
    if !Path::new("/run/systemd/system").is_dir() {
        return trap(name, false, "systemd does not run here".to_string(), remedy);
    }
    if user < 1000 {
        let sentence = format!("user {user} is a system user, whose objects systemd-logind leaves alone");
        return trap(name, false, sentence, remedy);
    }
    let asked = configured();
    let sentence = match asked {
        Some(true) => {
            "RemoveIPC=yes: when the last session of this user ends, systemd-logind removes its \
            System V objects, and its files of /dev/shm, in use or not"
        }
        Some(false) => "RemoveIPC=no: what this user makes outlives its sessions",
        None => {
            "no logind.conf says RemoveIPC, and where none does it is yes: the objects of this user \
            go with its last session"
        }
    };
    trap(name, asked != Some(false), sentence.to_string(), remedy)
}

/// What logind.conf(5) and its pieces say last of RemoveIPC.
fn configured() -> Option<bool> {
    let mut pieces: Vec<PathBuf> = Vec::new();
    for directory in ["/usr/lib", "/usr/local/lib", "/run", "/etc"] {
        let found = std::fs::read_dir(format!("{directory}/systemd/logind.conf.d"));
        let paths = found.into_iter().flatten().flatten().map(|entry| entry.path());
        pieces.extend(paths.filter(|path| path.extension().is_some_and(|it| it == "conf")));
    }
    pieces.sort_by_key(|path| path.file_name().map(ToOwned::to_owned));
    let main = ["/usr/lib/systemd/logind.conf", "/etc/systemd/logind.conf"].map(PathBuf::from);
    let texts = main.into_iter().chain(pieces).filter_map(|path| limits::read(path).ok());
    texts.filter_map(|text| remove_ipc_in(&text)).next_back()
}

fn remove_ipc_in(text: &[u8]) -> Option<bool> {
    let values = lines(text).filter_map(|line| {
        let (name, value) = std::str::from_utf8(line).ok()?.split_once('=')?;
        (name.trim() == "RemoveIPC").then(|| value.trim().to_ascii_lowercase())
    });
    values
        .fold(None, |_, value| Some(value))
        .map(|value| ["1", "yes", "y", "true", "t", "on"].contains(&value.as_str()))
}

fn not_a_tmpfs(limits: &Limits) -> Trap {
    let (name, remedy) = ("dev-shm-not-tmpfs", "mount -t tmpfs tmpfs /dev/shm");
    match limits.get("dev_shm.type").map(|limit| &limit.value) {
        Some(Ok(limits::Value::Word(kind))) => {
            let memory = ["tmpfs", "ramfs"].contains(&kind.as_str());
            let what =
                if memory { "POSIX objects lie in memory" } else { "POSIX objects would lie on a disk" };
            trap(name, !memory, format!("/dev/shm is on {kind}: {what}"), remedy)
        }
        Some(Err(why)) => trap(name, true, format!("POSIX objects cannot be made: {why}"), remedy),
        _ => unknown(name, "the file system of /dev/shm is not known".to_string(), remedy),
    }
}

fn tiny(limits: &Limits) -> Trap {
    let sentence = |size| match size {
        UNLIMITED => "/dev/shm has no limit of its own".to_string(),
        size => format!("/dev/shm has {size} bytes for all POSIX objects together"),
    };
    let remedy = "give the container more (docker run --shm-size=1g), or mount -o remount,size=1g \
        /dev/shm; or use a memfd, which /dev/shm does not limit";
    by_number("dev-shm-tiny", limits.get("dev_shm.size"), |size| size <= TINY, sentence, remedy)
}

fn noexec() -> Trap {
    let (name, remedy) = (
        "dev-shm-noexec",
        "mount -o remount,exec /dev/shm, if code has to run from there; data is not affected",
    );
    match mounts::at(c"/dev/shm") {
        Ok(system) => {
            let options = system.options.to_string_lossy().into_owned();
            let applies = options.split(',').any(|option| option == "noexec");
            let sentence = match applies {
                true => {
                    "/dev/shm is mounted noexec: its objects cannot be mapped executable (JIT \
                    compilers, FFI callbacks)"
                }
                false => "/dev/shm allows executable mappings",
            };
            trap(name, applies, sentence.to_string(), remedy)
        }
        Err(errno) => unknown(name, format!("cannot look at /dev/shm: {}", Code::from(errno)), remedy),
    }
}

fn memfd_noexec(limits: &Limits) -> Trap {
    let sentence = |value| match value {
        0 => "vm.memfd_noexec is 0: a memfd is executable unless it is asked not to be".to_string(),
        1 => "vm.memfd_noexec is 1: a memfd of a program that does not say otherwise is not executable, \
            and sealed so"
            .to_string(),
        value => format!(
            "vm.memfd_noexec is {value}: memfd_create(2) with MFD_EXEC, or with neither \
            flag, is EACCES"
        ),
    };
    let remedy = "shmkit's regions are never executable and need nothing; other programs have to pass \
        MFD_NOEXEC_SEAL, or sysctl vm.memfd_noexec=0";
    by_number("memfd-noexec", limits.get("vm.memfd_noexec"), |value| value > 0, sentence, remedy)
}

fn ipc_namespace(limits: &Limits) -> Trap {
    let (name, remedy) = (
        "ipc-namespace",
        "share the namespace (docker run --ipc=host, or --ipc=container:NAME on both), or hand over \
            descriptors, which know no namespaces",
    );
    let Some(own) = limits.number("namespace.ipc") else {
        return unknown(
            name,
            "the IPC namespace of this process is not known: /proc cannot be read".to_string(),
            remedy,
        );
    };
    let first = survey::place(c"/proc/1/ns").and_then(|place| listing::stat(place.as_fd(), c"ipc"));
    match first {
        Ok(first) if first.inode == own => {
            trap(name, false, format!("this process is in the IPC namespace of process 1, {own}"), remedy)
        }
        Ok(first) => {
            let sentence = format!(
                "this process is in IPC namespace {own}, process 1 in {}: neither sees the other's System \
                    V objects",
                first.inode
            );
            trap(name, true, sentence, remedy)
        }
        Err(_) if own == FIRST_IPC_NAMESPACE => {
            trap(name, false, format!("this process is in the machine's first IPC namespace, {own}"), remedy)
        }
        Err(errno) => {
            let why = Code::from(errno);
            let sentence = format!(
                "this process is in IPC namespace {own}, and that of process 1 may not be read: {why}"
            );
            unknown(name, sentence, remedy)
        }
    }
}

fn rmid_forced(limits: &Limits) -> Trap {
    let sentence = |value| match value {
        0 => "kernel.shm_rmid_forced is 0: a segment waits for its next user".to_string(),
        value => {
            format!("kernel.shm_rmid_forced is {value}: a segment is removed as soon as nobody is attached")
        }
    };
    let remedy = "sysctl kernel.shm_rmid_forced=0, or keep one process attached";
    by_number("shm-rmid-forced", limits.get("kernel.shm_rmid_forced"), |value| value > 0, sentence, remedy)
}

fn huge_pool(limits: &Limits) -> Trap {
    let (name, remedy) =
        ("huge-pool-empty", "sysctl vm.nr_hugepages=N, early after the start; or ask with HUGE_FALLBACK");
    let pools: Vec<&Limit> = limits.iter().filter(|limit| limit.name.starts_with("hugepages-")).collect();
    if pools.is_empty() {
        return unknown(
            name,
            "this machine has no pools of huge pages, or /sys is not mounted".to_string(),
            remedy,
        );
    }
    let free: u64 = pools.iter().filter_map(|pool| pool.free()).sum();
    let sentence = match free {
        0 => "no huge page is free in any pool: a region with HUGE_2M or HUGE_1G is ENOMEM".to_string(),
        free => format!("{free} huge pages are free, or may be made"),
    };
    trap(name, free == 0, sentence, remedy)
}

fn overcommit(limits: &Limits) -> Trap {
    let left = limits.get("CommitLimit").and_then(Limit::free).unwrap_or(0);
    let sentence = |value| match value {
        2 => format!(
            "vm.overcommit_memory is 2: NO_RESERVE has no effect, and {left} bytes may still be \
            promised to anybody"
        ),
        value => format!("vm.overcommit_memory is {value}: memory is promised as far as it seems to last"),
    };
    let remedy = "raise vm.overcommit_ratio, add swap, or sysctl vm.overcommit_memory=0";
    by_number("overcommit-strict", limits.get("vm.overcommit_memory"), |value| value == 2, sentence, remedy)
}

fn memlock(limits: &Limits) -> Trap {
    let exempt = limits::has_capability(limits::CAP_IPC_LOCK);
    let sentence = |limit| match (limit, exempt) {
        (_, true) => "this process has CAP_IPC_LOCK, for which RLIMIT_MEMLOCK does not count".to_string(),
        (UNLIMITED, _) => "RLIMIT_MEMLOCK is unlimited".to_string(),
        (limit, _) => format!("RLIMIT_MEMLOCK lets this process lock {limit} bytes in memory"),
    };
    let remedy = "LimitMEMLOCK= of the systemd unit, memlock in /etc/security/limits.conf, docker run \
        --ulimit memlock=-1";
    by_number(
        "memlock-small",
        limits.get("RLIMIT_MEMLOCK"),
        |limit| !exempt && limit <= SMALL_MEMLOCK,
        sentence,
        remedy,
    )
}

fn protected_regular(limits: &Limits) -> Trap {
    let sentence = |value| match value {
        0 => "fs.protected_regular is 0: whoever may open a file may also open it with O_CREAT".to_string(),
        value => format!(
            "fs.protected_regular is {value}: shm_open(3) with O_CREAT of another user's object in \
                /dev/shm is EACCES, even for root"
        ),
    };
    let remedy = "open without O_CREAT first, as shmkit does; or sysctl fs.protected_regular=0";
    by_number("protected-regular", limits.get("fs.protected_regular"), |value| value > 0, sentence, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_logind_is_told() {
        assert_eq!(remove_ipc_in(b"[Login]\n#RemoveIPC=no\n"), None);
        assert_eq!(remove_ipc_in(b"[Login]\nRemoveIPC=no\n"), Some(false));
        assert_eq!(remove_ipc_in(b"RemoveIPC=no\n RemoveIPC = Yes \n\xff\nRemoveIPCs=no"), Some(true));
    }

    #[test]
    fn each_trap_has_its_sentence_and_its_remedy() {
        let all = traps();
        assert_eq!(all.len(), 11);
        for trap in &all {
            assert_eq!(all.iter().filter(|other| other.name == trap.name).count(), 1);
            assert!(!trap.sentence.is_empty() && !trap.remedy.is_empty());
        }
    }
}

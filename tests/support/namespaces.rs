//! What fills, limits or configures the machine does so in namespaces of this process's own. Only below
//! `own_process!`: a process does not come back.

use std::sync::OnceLock;

use super::c;

/// Where it is not permitted: why.
pub type Permitted = Result<(), String>;

/// System V keys, segments and limits (kernel.shmmax, …) of this process's own.
pub fn own_ipc() -> Permitted {
    static DONE: OnceLock<Permitted> = OnceLock::new();
    DONE.get_or_init(|| unshare(libc::CLONE_NEWIPC)).clone()
}

/// A tmpfs of this process's own on /dev/shm, with mount options such as "size=1m". One a process.
pub fn own_dev_shm(options: &str) -> Permitted {
    static DONE: OnceLock<Permitted> = OnceLock::new();
    DONE.get_or_init(|| {
        own_mounts()?;
        mount("tmpfs", "/dev/shm", "tmpfs", libc::MS_NOSUID | libc::MS_NODEV, options)
    })
    .clone()
}

/// Mounts of this process's own.
pub fn own_mounts() -> Permitted {
    static DONE: OnceLock<Permitted> = OnceLock::new();
    DONE.get_or_init(|| {
        unshare(libc::CLONE_NEWNS)?;
        mount("none", "/", "", libc::MS_REC | libc::MS_PRIVATE, "")
    })
    .clone()
}

/// Process numbers of its own for each child that this process makes from here on: the first is 1, and the
/// others end with it.
pub fn own_pids() -> Permitted {
    unshare(libc::CLONE_NEWPID)
}

/// Clocks that tell another time for each child that this process makes from here on.
pub fn own_clocks() -> Permitted {
    const CLONE_NEWTIME: libc::c_int = 0x80;
    unshare(CLONE_NEWTIME)?;
    let offsets = "/proc/self/timens_offsets";
    std::fs::write(offsets, "boottime 86400 0").map_err(|error| format!("writing {offsets}: {error}"))
}

/// mount(2). Only after [`own_mounts`].
pub fn mount(source: &str, target: &str, kind: &str, flags: u64, options: &str) -> Permitted {
    let [from, to, kind, options] = [source, target, kind, options].map(c);
    let mounted =
        unsafe { libc::mount(from.as_ptr(), to.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast()) };
    why_not(mounted, &format!("mounting on {target}"))
}

/// Writes a sysctl of this process's own namespace; call [`own_ipc`] before.
pub fn sysctl(name: &str, value: u64) -> Permitted {
    let path = format!("/proc/sys/{}", name.replace('.', "/"));
    std::fs::write(&path, value.to_string()).map_err(|error| format!("writing {path}: {error}"))
}

fn unshare(namespace: libc::c_int) -> Permitted {
    if unsafe { libc::unshare(namespace) } == 0 {
        return Ok(());
    }
    // Without rights, in a user namespace, where this user is root.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    why_not(unsafe { libc::unshare(libc::CLONE_NEWUSER) }, "a user namespace")?;
    let write = |file: &str, text: String| {
        std::fs::write(file, text).map_err(|error| format!("writing {file}: {error}"))
    };
    write("/proc/self/setgroups", "deny".to_string())?;
    write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    why_not(unsafe { libc::unshare(namespace) }, "a namespace")
}

fn why_not(result: libc::c_int, what: &str) -> Permitted {
    if result == 0 {
        return Ok(());
    }
    Err(format!("{what}: {}", std::io::Error::last_os_error()))
}

//! A control group of this machine's, with a memory limit, for a child of a test. There is no namespace that
//! would do: the limit is the machine's own, of a group in which only that child is.

use std::path::{Path, PathBuf};

use super::names;

pub struct Group {
    path: PathBuf,
    limit: &'static str,
}

/// Where a memory controller can be mounted, with the file that limits: version 2, version 1.
const PLACES: [(&str, &str); 2] =
    [("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")];

/// Removes the groups of a process group that has ended.
pub fn sweep(prefix: &str) {
    for (place, _) in PLACES {
        for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                let _ = std::fs::remove_dir(entry.path());
            }
        }
    }
}

impl Group {
    /// A new group below the top, in which so much memory is allowed. Err: why there can be none.
    pub fn new(bytes: u64) -> Result<Group, String> {
        let mut why = "no control group file system with a memory controller is mounted".to_string();
        for (place, limit) in PLACES {
            // The top of version 1 has the file itself; that of version 2 gives it to the groups below.
            let given = std::fs::read_to_string(Path::new(place).join("cgroup.subtree_control"));
            let has_memory = given.is_ok_and(|given| given.split_whitespace().any(|it| it == "memory"));
            if !has_memory && !Path::new(place).join(limit).exists() {
                continue;
            }
            let path = Path::new(place).join(names::unique());
            if let Err(error) = std::fs::create_dir(&path) {
                why = format!("no control group in {place}: {error}");
                continue;
            }
            let group = Group { path, limit };
            match std::fs::write(group.limit_file(), bytes.to_string()) {
                Ok(()) => return Ok(group),
                Err(error) => why = format!("{}: {error}", group.limit_file().display()),
            }
        }
        Err(why)
    }

    pub fn limit_file(&self) -> PathBuf {
        self.path.join(self.limit)
    }

    /// Puts this process into it.
    pub fn enter(&self) -> Result<(), String> {
        let path = self.path.join("cgroup.procs");
        std::fs::write(&path, "0").map_err(|error| format!("{}: {error}", path.display()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The last process has ended, and may be counted for a moment longer.
        for _ in 0..1000 {
            match std::fs::remove_dir(&self.path) {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                _ => return,
            }
        }
    }
}

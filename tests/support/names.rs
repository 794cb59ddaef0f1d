//! Names that no other test has, and that go when they are dropped, or with the process that made them.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::good;

const PREFIX: &str = "shmkit-test";

pub(super) fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let (group, own) = (unsafe { libc::getpgrp() }, std::process::id());
    format!("{PREFIX}-{group}-{own}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Removes the directories and objects of a process group that has ended.
pub fn sweep(group: libc::pid_t) {
    let prefix = format!("{PREFIX}-{group}-");
    super::cgroup::sweep(&prefix);
    for directory in [std::env::temp_dir(), PathBuf::from("/dev/shm")] {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                // One of them is right, and nobody is left to be told.
                let _ = std::fs::remove_file(entry.path());
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// A new directory, below TMPDIR.
pub struct Directory {
    path: PathBuf,
    maker: u32,
}

impl Directory {
    #[allow(clippy::new_without_default)]
    pub fn new() -> Directory {
        Directory::below(&std::env::temp_dir())
    }

    pub fn below(parent: &Path) -> Directory {
        let path = parent.join(unique());
        std::fs::create_dir(&path).unwrap();
        Directory { path, maker: std::process::id() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> String {
        self.path.join(name).to_str().expect("TMPDIR in UTF-8").to_string()
    }

    /// Makes a file in it, and gives its path.
    pub fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.file(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// What is in it.
    pub fn entries(&self) -> Vec<String> {
        entries(&self.path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.maker == std::process::id() {
            std::fs::remove_dir_all(&self.path).expect("its own directory");
        }
    }
}

pub fn entries(directory: &Path) -> Vec<String> {
    let name = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let mut names: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| name(entry.unwrap())).collect();
    names.sort();
    names
}

/// A POSIX name that does not exist yet.
pub struct PosixName {
    name: String,
    maker: u32,
}

impl PosixName {
    #[allow(clippy::new_without_default)]
    pub fn new() -> PosixName {
        PosixName { name: format!("/{}", unique()), maker: std::process::id() }
    }

    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Where the object lies.
    pub fn path(&self) -> PathBuf {
        Path::new("/dev/shm").join(&self.name[1..])
    }
}

impl Drop for PosixName {
    fn drop(&mut self) {
        if self.maker == std::process::id() {
            // Mostly the test itself has removed it.
            let _ = std::fs::remove_file(self.path());
        }
    }
}

/// A System V key that nothing has. Whatever has it when this is dropped is removed.
pub struct Key {
    key: i32,
    maker: u32,
}

impl Key {
    #[allow(clippy::new_without_default)]
    pub fn new() -> Key {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let key = (std::process::id() << 8 ^ count ^ 0x5300_0000) as i32;
            let free = unsafe {
                [libc::shmget(key, 0, 0), libc::semget(key, 0, 0), libc::msgget(key, 0)] == [-1; 3]
            };
            if key > 0 && free {
                return Key { key, maker: std::process::id() };
            }
        }
    }

    pub fn get(&self) -> i32 {
        self.key
    }

    /// As messages show it.
    pub fn hex(&self) -> String {
        format!("{:#x}", self.key)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        if self.maker != std::process::id() {
            return;
        }
        // What is not there has the id -1, of which the kernel knows nothing.
        unsafe {
            drop(Segment(libc::shmget(self.key, 0, 0)));
            libc::semctl(libc::semget(self.key, 0, 0), 0, libc::IPC_RMID);
            libc::msgctl(libc::msgget(self.key, 0), libc::IPC_RMID, std::ptr::null_mut());
        }
    }
}

/// A segment that is removed when this is dropped.
pub struct Segment(pub i32);

impl Drop for Segment {
    fn drop(&mut self) {
        // Mostly the test itself has removed it.
        unsafe { libc::shmctl(self.0, libc::IPC_RMID, std::ptr::null_mut()) };
    }
}

pub fn c(text: &str) -> CString {
    CString::new(text).unwrap()
}

/// Opens a path as open(2) does.
pub fn open(path: impl AsRef<Path>, flags: libc::c_int) -> std::os::fd::OwnedFd {
    let path = c(path.as_ref().to_str().unwrap());
    unsafe {
        let fd = good(libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, 0o600));
        std::os::fd::FromRawFd::from_raw_fd(fd)
    }
}

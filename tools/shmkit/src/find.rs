//! What a word on the command line means.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use shmkit::inspect::{Object, Select, Survey};

use crate::cli::Kinds;
use crate::text::printable;

/// The machine's objects that a word fits, and those of a process.
pub struct Found {
    pub objects: Survey,
    pub process: Option<Survey>,
    /// Why a process of that number is not shown.
    pub refused: Option<String>,
}

impl Found {
    pub fn is_empty(&self) -> bool {
        self.objects.objects.is_empty() && self.process.is_none()
    }
}

pub fn objects(target: &OsStr, kinds: &Kinds) -> Survey {
    let mut survey = kinds.survey();
    survey.objects.retain(|object| fits(target, object));
    survey
}

pub fn anything(target: &OsStr, kinds: &Kinds) -> Found {
    let mut found = Found { objects: objects(target, kinds), process: None, refused: None };
    let Some(pid) = target.to_str().and_then(|word| word.parse().ok()) else { return found };
    match Survey::of_process(pid, Select::all()) {
        Ok(mut process) => {
            process.objects.retain(|object| kinds.has(object));
            if !process.objects.is_empty() {
                found.process = Some(process);
            } else if found.objects.objects.is_empty() {
                found.refused = Some(format!("process {pid} has no such shared object"));
            }
        }
        // There is none, which is no news where the number was another thing's.
        Err(error) if error.errno() == Some(nix::libc::ESRCH) => {}
        Err(error) => found.refused = Some(error.to_string()),
    }
    found
}

/// A name with or without what the kernel puts before it, also as tables show it; an id, an inode, a key.
fn fits(target: &OsStr, object: &Object) -> bool {
    if let Some(name) = &object.name {
        let word = target.as_bytes();
        let word = word.strip_prefix(b"/dev/shm/").or(word.strip_prefix(b"memfd:")).unwrap_or(word);
        let name_bytes = name.as_bytes();
        if [name_bytes, name_bytes.strip_prefix(b"/").unwrap_or(name_bytes)].contains(&word)
            || target == name
            || target.as_bytes() == printable(name).as_bytes()
        {
            return true;
        }
    }
    let Some(word) = target.to_str() else { return false };
    match word.strip_prefix("0x") {
        Some(key) => object.key.is_some_and(|own| u32::from_str_radix(key, 16) == Ok(own as u32)),
        None => match word.parse::<u64>() {
            Ok(number) => {
                let id = object.id.map(i64::from) == i64::try_from(number).ok();
                id && object.id.is_some() || object.file.is_some_and(|file| file.inode == number)
            }
            Err(_) => false,
        },
    }
}

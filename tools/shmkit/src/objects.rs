//! Objects as words, as table rows and as JSON.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use comfy_table::{Cell, Color};
use nix::unistd::{Uid, User};
use serde_json::{json, Value};
use shmkit::inspect::{By, Holder, Object, ObjectKind, Select, Survey};
use shmkit::Rights;

use crate::cli::{KindName, Kinds};
use crate::out::{number, Look, Rows};
use crate::size::human;
use crate::text::{exact, printable};

pub fn kind(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Segment => "segment",
        ObjectKind::Semaphores => "semaphores",
        ObjectKind::Queue => "queue",
        ObjectKind::Posix => "posix",
        ObjectKind::NamedSemaphore => "named-semaphore",
        ObjectKind::Memfd => "memfd",
        ObjectKind::Anonymous => "anonymous",
        ObjectKind::File => "file",
        _ => "other",
    }
}

impl Kinds {
    fn of(name: KindName) -> ObjectKind {
        match name {
            KindName::Segment => ObjectKind::Segment,
            KindName::Semaphores => ObjectKind::Semaphores,
            KindName::Queue => ObjectKind::Queue,
            KindName::Posix => ObjectKind::Posix,
            KindName::NamedSemaphore => ObjectKind::NamedSemaphore,
            KindName::Memfd => ObjectKind::Memfd,
            KindName::Anonymous => ObjectKind::Anonymous,
        }
    }

    /// The machine's objects of these kinds, of all where none is named, with their holders.
    pub fn survey(&self) -> Survey {
        let all = if self.kinds.is_empty() { Select::MACHINE } else { Select::HOLDERS };
        let select = self.kinds.iter().fold(all, |select, &name| select | Kinds::of(name).select());
        let mut survey = Survey::of(select);
        survey.objects.retain(|object| self.has(object));
        survey
    }

    pub fn has(&self, object: &Object) -> bool {
        self.kinds.is_empty() || self.kinds.iter().any(|&name| Kinds::of(name) == object.kind)
    }
}

/// What `show` takes: the id of System V, the inode of a file.
pub fn id(object: &Object) -> String {
    match (object.id, object.file) {
        (Some(id), _) => id.to_string(),
        (None, Some(file)) => file.inode.to_string(),
        (None, None) => String::new(),
    }
}

/// A name, or the key that System V has instead.
pub fn name(object: &Object) -> String {
    match (&object.name, object.key) {
        (Some(name), _) => printable(name),
        (None, Some(0)) => "private".to_string(),
        (None, Some(key)) => format!("{key:#x}"),
        (None, None) => String::new(),
    }
}

pub fn user(uid: u32) -> String {
    thread_local!(static NAMES: RefCell<HashMap<u32, String>> = RefCell::default());
    NAMES.with_borrow_mut(|names| {
        let known = || User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let name = || known().map_or(uid.to_string(), |user| printable(user.name.as_ref()));
        names.entry(uid).or_insert_with(name).clone()
    })
}

pub fn rights(rights: Rights) -> &'static str {
    match (rights.contains(Rights::READ), rights.contains(Rights::READ_WRITE.difference(Rights::READ))) {
        (true, true) => "rw",
        (true, false) => "r",
        (false, true) => "w",
        (false, false) => "none",
    }
}

/// "17 worker, 19 reader", each process once.
fn held_by(object: &Object, survey: &Survey) -> Option<String> {
    let mut places: Vec<usize> = object.holders.iter().map(|holder| holder.process).collect();
    places.dedup();
    let process = |at: usize| {
        let process = &survey.processes[at];
        format!("{} {}", process.pid, printable(&process.command))
    };
    let mut holders: Vec<String> = places.into_iter().map(process).collect();
    match unseen(object) {
        0 => {}
        unseen => holders.push(format!("{unseen} unseen")),
    }
    (!holders.is_empty()).then(|| holders.join(", "))
}

/// A segment's attachments that no process was seen to have.
pub fn unseen(object: &Object) -> u64 {
    object.attach_count.map_or(0, |count| count.saturating_sub(object.holders.len() as u64))
}

/// Of what had a name that others could open.
pub fn is_removed(object: &Object) -> bool {
    object.unlinked && !matches!(object.kind, ObjectKind::Memfd | ObjectKind::Anonymous)
}

/// Whether the kernel tells who has such an object.
pub fn has_holders(object: &Object) -> bool {
    !matches!(object.kind, ObjectKind::Semaphores | ObjectKind::Queue)
}

pub fn table<'a>(objects: impl Iterator<Item = &'a Object>, survey: &Survey, look: Look) -> String {
    // What a narrow terminal has no room for is left to `show`.
    let narrow = look.width.is_some_and(|width| width < 80);
    let (header, free): (&[&str], &'static [usize]) = match narrow {
        true => (&["KIND", "ID", "NAME", "SIZE", "HELD BY"], &[2, 4]),
        false => (&["KIND", "ID", "NAME", "SIZE", "IN USE", "OWNER", "MODE", "HELD BY"], &[2, 7]),
    };
    let mut rows = Rows::new(look, header, free);
    for object in objects {
        let bytes = |bytes: Option<u64>| number(bytes.map_or(String::new(), human));
        let mut cells = vec![
            Cell::new(kind(object.kind)),
            number(id(object)),
            Cell::new(name(object)),
            bytes(object.size_bytes),
        ];
        if !narrow {
            cells.extend([
                bytes(object.used_bytes),
                Cell::new(object.owner.map_or(String::new(), |owner| user(owner.uid))),
                Cell::new(object.mode.map_or(String::new(), |mode| format!("{mode:04o}"))),
            ]);
        }
        cells.push(match (held_by(object, survey), is_removed(object)) {
            _ if !has_holders(object) => Cell::new(""),
            (None, _) if object.attach_count == Some(0) || survey.is_complete() => {
                Cell::new("nobody").fg(Color::Yellow)
            }
            (None, _) => Cell::new("nobody seen"),
            (Some(holders), true) => Cell::new(holders + " (removed)"),
            (Some(holders), false) => Cell::new(holders),
        });
        rows.add(cells);
    }
    rows.text(0)
}

pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64)
}

pub fn json(object: &Object, survey: &Survey) -> Value {
    json!({
        "kind": kind(object.kind),
        "name": object.name.as_deref().map(exact),
        "id": object.id,
        "key": object.key,
        "device": object.file.map(|file| file.device),
        "inode": object.file.map(|file| file.inode),
        "size_bytes": object.size_bytes,
        "used_bytes": object.used_bytes,
        "swapped_bytes": object.swapped_bytes,
        "count": object.count,
        "attach_count": object.attach_count,
        "uid": object.owner.map(|owner| owner.uid),
        "gid": object.owner.map(|owner| owner.gid),
        "creator_uid": object.creator.map(|creator| creator.uid),
        "creator_gid": object.creator.map(|creator| creator.gid),
        "mode": object.mode.map(|mode| format!("{mode:04o}")),
        "unlinked": object.unlinked,
        "creator_pid": object.creator_pid,
        "last_pid": object.last_pid,
        "last_receiver_pid": object.last_receiver_pid,
        "used_at": object.used_at,
        "left_at": object.left_at,
        "modified_at": object.modified_at,
        "changed_at": object.changed_at,
        "created_at": object.created_at,
        "seals": object.seals.map(|seals| seals.iter_names().map(|(name, _)| name).collect::<Vec<_>>()),
        "holders": object.holders.iter().map(|it| holder(it, survey)).collect::<Vec<_>>(),
    })
}

fn holder(holder: &Holder, survey: &Survey) -> Value {
    let process = survey.process(holder);
    let mut answer = json!({
        "pid": process.pid,
        "command": exact(&process.command),
        "uid": process.uid,
        "started_at": process.started_at,
        "rights": rights(holder.rights),
    });
    match holder.by {
        By::Descriptor(number) => answer["descriptor"] = number.into(),
        By::Mapping { start, length_bytes, offset, shared } => {
            answer["mapping"] = json!({
                "start": start, "length_bytes": length_bytes, "offset": offset, "shared": shared,
            });
        }
    }
    answer
}

//! /proc/sysvipc: the System V objects of the caller's own IPC namespace, whatever rights it has to them.
#![forbid(unsafe_code)]

use super::object::{Object, ObjectKind, Owner};
use super::text::{lines, Words};

/// SHM_DEST of the mode that the kernel shows.
const REMOVED: u32 = 0o1000;

pub(super) const FILES: [(ObjectKind, &std::ffi::CStr); 3] =
    [(ObjectKind::Segment, c"shm"), (ObjectKind::Semaphores, c"sem"), (ObjectKind::Queue, c"msg")];

/// The objects of one of the files, and how many of its lines could not be understood.
pub(super) fn parse(kind: ObjectKind, text: &[u8], objects: &mut Vec<Object>) -> u64 {
    let parse = match kind {
        ObjectKind::Segment => segment,
        ObjectKind::Semaphores => semaphores,
        _ => queue,
    };
    /// About as long as a line is.
    const LINE: usize = 120;
    objects.reserve(text.len() / LINE);
    let mut bad = 0;
    // The first line is a heading.
    for line in lines(text).skip(1) {
        match parse(Words(line)) {
            Some(object) => objects.push(object),
            None => bad += 1,
        }
    }
    bad
}

fn named(kind: ObjectKind, words: &mut Words<'_>) -> Option<Object> {
    let mut object = Object::new(kind);
    (object.key, object.id) = (Some(words.signed32()?), Some(words.signed32()?));
    let mode = words.octal()?;
    (object.mode, object.unlinked) = (Some(mode & 0o777), mode & REMOVED != 0 && kind == ObjectKind::Segment);
    object.raw_mode = mode;
    Some(object)
}

fn owned(object: &mut Object, words: &mut Words<'_>) -> Option<()> {
    object.owner = Some(Owner { uid: words.number32()?, gid: words.number32()? });
    object.creator = Some(Owner { uid: words.number32()?, gid: words.number32()? });
    Some(())
}

/// Seconds since 1970; the kernel has 0 for never.
fn time(words: &mut Words<'_>) -> Option<Option<i64>> {
    words.signed().map(|time| Some(time).filter(|&time| time != 0))
}

fn segment(mut words: Words<'_>) -> Option<Object> {
    let words = &mut words;
    let mut object = named(ObjectKind::Segment, words)?;
    object.size_bytes = Some(words.number()?);
    (object.creator_pid, object.last_pid) = (Some(words.signed32()?), Some(words.signed32()?));
    object.attach_count = Some(words.number()?);
    owned(&mut object, words)?;
    (object.used_at, object.left_at, object.changed_at) = (time(words)?, time(words)?, time(words)?);
    // Since Linux 2.6.34.
    (object.used_bytes, object.swapped_bytes) = (words.number(), words.number());
    Some(object)
}

fn semaphores(mut words: Words<'_>) -> Option<Object> {
    let words = &mut words;
    let mut object = named(ObjectKind::Semaphores, words)?;
    object.count = Some(words.number()?);
    owned(&mut object, words)?;
    (object.used_at, object.changed_at) = (time(words)?, time(words)?);
    Some(object)
}

fn queue(mut words: Words<'_>) -> Option<Object> {
    let words = &mut words;
    let mut object = named(ObjectKind::Queue, words)?;
    (object.size_bytes, object.count) = (Some(words.number()?), Some(words.number()?));
    (object.last_pid, object.last_receiver_pid) = (Some(words.signed32()?), Some(words.signed32()?));
    owned(&mut object, words)?;
    (object.used_at, object.left_at, object.changed_at) = (time(words)?, time(words)?, time(words)?);
    Some(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(kind: ObjectKind, text: &str) -> (Vec<Object>, u64) {
        let mut objects = Vec::new();
        let bad = parse(kind, text.as_bytes(), &mut objects);
        (objects, bad)
    }

    const SHM: &str = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n";

    #[test]
    fn a_recorded_segment() {
        let line = "1397247037 1596096546  1600                 65536 19517 19518      3     0     5  1000     7 1795888967          0 1795888960                  8192                  4096\n";
        let (objects, bad) = all(ObjectKind::Segment, &(SHM.to_string() + line));
        assert_eq!((objects.len(), bad), (1, 0));
        let segment = &objects[0];
        assert_eq!(
            (segment.key, segment.id, segment.mode),
            (Some(1397247037), Some(1596096546), Some(0o600))
        );
        assert!(segment.unlinked);
        assert_eq!((segment.size_bytes, segment.attach_count), (Some(65536), Some(3)));
        assert_eq!((segment.creator_pid, segment.last_pid), (Some(19517), Some(19518)));
        assert_eq!(segment.owner, Some(Owner { uid: 0, gid: 5 }));
        assert_eq!(segment.creator, Some(Owner { uid: 1000, gid: 7 }));
        assert_eq!(
            (segment.used_at, segment.left_at, segment.changed_at),
            (Some(1795888967), None, Some(1795888960))
        );
        assert_eq!((segment.used_bytes, segment.swapped_bytes), (Some(8192), Some(4096)));
    }

    #[test]
    fn recorded_semaphores_and_a_queue() {
        let sem = "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n        -7          3   644          5     0     0     0     0          0 1795888967\n";
        let (objects, bad) = all(ObjectKind::Semaphores, sem);
        assert_eq!((objects[0].key, objects[0].id, objects[0].count, bad), (Some(-7), Some(3), Some(5), 0));
        assert_eq!((objects[0].used_at, objects[0].changed_at), (None, Some(1795888967)));
        let msg = "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime\n         9          4   620         300          2    41    42     1     2     3     4         11         12         13\n";
        let (objects, bad) = all(ObjectKind::Queue, msg);
        let queue = &objects[0];
        assert_eq!((queue.size_bytes, queue.count, bad), (Some(300), Some(2), 0));
        assert_eq!((queue.last_pid, queue.last_receiver_pid), (Some(41), Some(42)));
        assert_eq!((queue.used_at, queue.left_at, queue.changed_at), (Some(11), Some(12), Some(13)));
    }

    #[test]
    fn what_is_cut_short_or_too_large_is_counted_and_the_rest_is_read() {
        let good = "1 2 600 3 4 5 6 7 8 9 10 11 12 13\n";
        let text = [
            SHM,
            good,
            "1 2 600 3 4 5 6 7 8 9\n",
            "1 2 600 18446744073709551616 4 5 6 7 8 9 10 11 12 13\n",
            "\n",
            "4294967296 2 600 3 4 5 6 7 8 9 10 11 12 13\n",
            "1 2 999 3 4 5 6 7 8 9 10 11 12 13\n",
            "\u{0}\u{7f} ü\n",
            good,
            "1 2",
        ];
        let (objects, bad) = all(ObjectKind::Segment, &text.concat());
        assert_eq!((objects.len(), bad), (2, 7));
        assert_eq!(objects[1].used_bytes, None, "an older kernel's line");
        for cut in 0..SHM.len() + good.len() {
            all(ObjectKind::Segment, &[SHM, good].concat()[..cut]);
        }
    }
}

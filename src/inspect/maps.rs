//! The lines of /proc/PID/maps, and the heads of /proc/PID/smaps.
#![forbid(unsafe_code)]

use super::text::{hex, number, Words};
use crate::region::Rights;

/// One mapping, as a line tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub start: u64,
    pub end: u64,
    pub rights: Rights,
    pub shared: bool,
    pub offset: u64,
    pub device: u64,
    pub inode: u64,
    /// " (deleted)" may be behind it.
    pub path: &'a [u8],
    /// Whether a newline in the path is `\012`, as the kernel writes it.
    pub escaped: bool,
}

impl<'a> Line<'a> {
    /// `start-end perms offset major:minor inode path`
    pub fn parse(line: &'a [u8]) -> Option<Line<'a>> {
        let mut words = Words(line);
        let (start, end) = range(words.next()?)?;
        let [read, write, _, shared, ..] = *words.next()? else { return None };
        let mut rights = Rights::empty();
        rights.set(Rights::READ, read == b'r');
        rights.set(Rights::WRITE, write == b'w');
        let offset = hex(words.next()?)?;
        let device = device(words.next()?, hex)?;
        let inode = words.number()?;
        Some(Line {
            start,
            end,
            rights,
            shared: shared == b's',
            offset,
            device,
            inode,
            path: words.rest(),
            escaped: true,
        })
    }
}

/// `start-end`, where it is the beginning of a line.
fn range(word: &[u8]) -> Option<(u64, u64)> {
    let dash = word.iter().position(|&byte| byte == b'-')?;
    let (start, end) = (hex(&word[..dash])?, hex(&word[dash + 1..])?);
    (start < end).then_some((start, end))
}

/// `major:minor`, in the digits of the file that has it.
pub(super) fn device(word: &[u8], digits: fn(&[u8]) -> Option<u64>) -> Option<u64> {
    let colon = word.iter().position(|&byte| byte == b':')?;
    let part = |word| digits(word)?.try_into().ok();
    Some(libc::makedev(part(&word[..colon])?, part(&word[colon + 1..])?))
}

/// A path without what the kernel adds when the file has no name any more.
pub(super) fn without_deleted(path: &[u8]) -> &[u8] {
    path.strip_suffix(b" (deleted)").unwrap_or(path)
}

/// One mount, as a line of /proc/self/mountinfo tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub id: u64,
    pub device: u64,
    /// What of its file system is mounted.
    pub root: Vec<u8>,
    pub point: Vec<u8>,
    /// The mount's own options and those of its file system, parted by commas.
    pub options: Vec<u8>,
    pub kind: Vec<u8>,
}

impl Mount {
    /// `id parent major:minor root point options [optional]... - kind source options`
    pub fn parse(line: &[u8]) -> Option<Mount> {
        let mut words = Words(line);
        let id = words.number()?;
        words.next()?;
        let device = device(words.next()?, number)?;
        let root = words.next()?;
        let (point, own) = (words.next()?, words.next()?);
        words.find(|&word| word == b"-")?;
        let kind = words.next()?;
        words.next()?;
        let options = [own, words.next().unwrap_or_default()].join(&b',');
        let unescaped = super::text::unescape;
        let (root, point, kind) = (unescaped(root), unescaped(point), unescaped(kind));
        Some(Mount { id, device, root, point, options, kind })
    }

    pub fn option(&self, name: &str) -> Option<&[u8]> {
        let mut options = self.options.split(|&byte| byte == b',');
        options.find_map(|option| match option.strip_prefix(name.as_bytes())? {
            [] => Some(&option[option.len()..]),
            [b'=', value @ ..] => Some(value),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_mappings() {
        let line = Line::parse(b"7f0e2c600000-7f0e2c601000 rw-s 00002000 00:01 12345                      /memfd:two  words (deleted)").unwrap();
        assert_eq!((line.start, line.end, line.offset), (0x7f0e2c600000, 0x7f0e2c601000, 0x2000));
        assert_eq!((line.rights, line.shared), (Rights::READ_WRITE, true));
        assert_eq!((line.device, line.inode), (libc::makedev(0, 1), 12345));
        assert_eq!(without_deleted(line.path), b"/memfd:two  words");
        let line = Line::parse(b"00400000-00401000 r--p 00000000 fd:1f 9 /tmp/a\\012b").unwrap();
        assert_eq!((line.rights, line.shared, line.path), (Rights::READ, false, &b"/tmp/a\\012b"[..]));
        assert_eq!(line.device, libc::makedev(0xfd, 0x1f));
        let line = Line::parse(b"00400000-00401000 ---p 00000000 00:00 0 ").unwrap();
        assert_eq!((line.rights, line.path), (Rights::empty(), &b""[..]));
    }

    #[test]
    fn hostile_mappings_are_none() {
        let good = &b"7f0e2c600000-7f0e2c601000 rw-s 00002000 00:01 12345"[..];
        for cut in 0..good.len() - 4 {
            assert_eq!(Line::parse(&good[..cut]), None, "{cut}");
        }
        for bad in [
            &b"2-1 rw-s 0 00:01 1"[..],
            b"1-1 rw-s 0 00:01 1",
            b"1-10000000000000000 rw-s 0 00:01 1",
            b"1-2 rws 0 00:01 1",
            b"1-2 rw-s 0 0001 1",
            b"1-2 rw-s 0 00:100000000 1",
            b"1-2 rw-s 0 00:01 18446744073709551616",
            b"Rss: 4 kB",
            b"\xff\xff-\xff rw-s 0 00:01 1",
        ] {
            assert_eq!(Line::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn recorded_mounts() {
        let mount =
            Mount::parse(b"30 25 0:27 / /dev/sh\\040m rw,noexec shared:1 master:2 - tmpfs tmpfs rw,size=64k")
                .unwrap();
        assert_eq!((mount.id, mount.device), (30, libc::makedev(0, 27)));
        assert_eq!((mount.point.as_slice(), mount.kind.as_slice()), (&b"/dev/sh m"[..], &b"tmpfs"[..]));
        assert_eq!((mount.option("noexec"), mount.option("size")), (Some(&b""[..]), Some(&b"64k"[..])));
        assert_eq!((mount.option("siz"), mount.option("exec")), (None, None));
        for bad in [&b""[..], b"30 25 0:27 / /dev rw", b"x 25 0:27 / /dev rw - t t rw", b"1 2 3 / / rw - t"] {
            assert_eq!(Mount::parse(bad), None);
        }
    }
}

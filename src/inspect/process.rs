//! Who a process is.
#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use super::object::Process;
use super::survey;
use super::text::{lines, number, Words};
use crate::sys::listing;

/// Who a process is, by a directory below its own in /proc.
pub(super) fn introduce(pid: i32, below: BorrowedFd<'_>, boot_time: i64) -> Process {
    let text = &mut Vec::new();
    let mut process =
        Process { pid, command: OsString::new(), uid: None, started_at: None, start_ticks: None };
    if listing::read(below, c"../stat", text).is_ok() {
        if let Some((name, ticks)) = parse_stat(text) {
            process.command = OsStr::from_bytes(name).to_owned();
            process.start_ticks = Some(ticks);
            let seconds = (ticks / listing::ticks_per_second()) as i64;
            process.started_at = boot_time.checked_add(seconds).filter(|_| boot_time > 0);
        }
    }
    // The directory itself always belongs to the effective user, also where what is in it is root's.
    process.uid = listing::stat(below, c"..").ok().map(|stat| stat.uid);
    process
}

/// Name and start of /proc/PID/stat. The name is in parentheses, and may have any in it.
pub(super) fn parse_stat(text: &[u8]) -> Option<(&[u8], u64)> {
    let open = text.iter().position(|&byte| byte == b'(')?;
    let close = text.iter().rposition(|&byte| byte == b')').filter(|&close| close > open)?;
    // The 22nd field; the state behind the name is the third.
    let ticks = Words(&text[close + 1..]).nth(22 - 3)?;
    Some((&text[open + 1..close], number(ticks)?))
}

/// When the machine was started.
pub(super) fn boot_time() -> Option<i64> {
    let mut text = Vec::new();
    listing::read(survey::place(c"/proc").ok()?.as_fd(), c"stat", &mut text).ok()?;
    let line = lines(&text).find_map(|line| line.strip_prefix(b"btime "))?;
    number(line)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_process_may_have_anything_in_it() {
        let after = b") R 19697 19697 17508 0 -1 4194304 100 0 0 0 0 0 0 0 20 0 1 0 222972 3133440 394";
        for name in [&b"cat"[..], b"a) R 1 (b", b"", b"\xff\n)", b"(((("] {
            let text = [b"19704 (", name, after].concat();
            assert_eq!(parse_stat(&text), Some((name, 222972)));
            for cut in 0..text.len() - 20 {
                parse_stat(&text[..cut]);
            }
        }
        assert_eq!(parse_stat(b"1 )("), None);
    }
}

//! Names from outside: any bytes, shown so that they can do no harm.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

/// For people: what would not print, or would change how the rest does, as `\x1b` or `\u{202e}`; `\` is `\\`.
pub fn printable(name: &OsStr) -> String {
    escape(name, |letter| {
        // Quotes are escaped there too, and harm nobody.
        let escaped = letter.escape_debug();
        !matches!(letter, '"' | '\'') && escaped.len() > 1
    })
}

/// For programs: only bytes that are no UTF-8 are `\x..`, and `\` is `\\`, so that all bytes come back.
pub fn exact(name: &OsStr) -> String {
    escape(name, |_| false)
}

fn escape(name: &OsStr, is_special: impl Fn(char) -> bool) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.as_bytes().utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\\' => text.push_str("\\\\"),
                letter if is_special(letter) && letter.is_ascii() => {
                    text.push_str(&format!("\\x{:02x}", letter as u32));
                }
                letter if is_special(letter) => text.extend(letter.escape_unicode()),
                letter => text.push(letter),
            }
        }
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

/// As perror(3) says it.
pub fn why(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(errno) => shmkit::Code::from_raw(-errno).to_string(),
        None => error.to_string(),
    }
}

/// Lines of words, each behind an indent.
pub fn wrap(text: &str, indent: usize, width: Option<u16>) -> String {
    let width = width.map_or(usize::MAX, usize::from);
    let mut lines = String::new();
    let mut column = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        let separator = match column {
            0 => " ".repeat(indent),
            column if column + 1 + length > width => format!("\n{}", " ".repeat(indent)),
            _ => " ".to_string(),
        };
        column = if separator == " " { column + 1 } else { indent } + length;
        lines += &(separator + word);
    }
    lines + "\n"
}

/// "1 page", "3 pages"
pub fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// How long ago, in the largest unit that is whole.
pub fn ago(seconds: i64, now: i64) -> String {
    let passed = now.saturating_sub(seconds);
    match u64::try_from(passed) {
        Err(_) => "in the future".to_string(),
        Ok(0) => "now".to_string(),
        Ok(s) if s < 120 => format!("{} ago", count(s, "second")),
        Ok(s) if s < 2 * 3600 => format!("{} ago", count(s / 60, "minute")),
        Ok(s) if s < 2 * 86400 => format!("{} ago", count(s / 3600, "hour")),
        Ok(s) => format!("{} ago", count(s / 86400, "day")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names() {
        let name = OsStr::from_bytes(b"a\x1b[31m\n\xff'\\\xe2\x80\xae\xc3\xa9");
        assert_eq!(printable(name), r"a\x1b[31m\x0a\xff'\\\u{202e}é");
        assert_eq!(exact(name), "a\u{1b}[31m\n\\xff'\\\\\u{202e}é");
        assert_eq!(printable(OsStr::from_bytes(&[0x80; 255])).len(), 4 * 255);
    }

    #[test]
    fn words_in_lines() {
        assert_eq!(wrap("one two three", 2, Some(10)), "  one two\n  three\n");
        assert_eq!(wrap("one two", 2, Some(1)), "  one\n  two\n");
        assert_eq!(wrap("one two", 2, None), "  one two\n");
    }

    #[test]
    fn times() {
        assert_eq!(ago(10, 10), "now");
        assert_eq!(ago(11, 10), "in the future");
        assert_eq!(ago(0, 1), "1 second ago");
        assert_eq!(ago(0, 7200), "2 hours ago");
        assert_eq!(ago(i64::MIN, i64::MAX), "106751991167300 days ago");
    }
}

//! The text of /proc, as bytes: it has names in it that anybody chose. What does not parse is None; nothing
//! here panics, whatever comes.
#![forbid(unsafe_code)]

/// The words of a line. Spaces and tabs part them, no other byte does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a>(pub &'a [u8]);

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|&byte| byte != b' ' && byte != b'\t')?;
        let rest = &self.0[start..];
        let end = rest.iter().position(|&byte| byte == b' ' || byte == b'\t').unwrap_or(rest.len());
        self.0 = &rest[end..];
        Some(&rest[..end])
    }
}

impl<'a> Words<'a> {
    pub fn number(&mut self) -> Option<u64> {
        number(self.next()?)
    }

    pub fn signed(&mut self) -> Option<i64> {
        signed(self.next()?)
    }

    pub fn number32(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    pub fn signed32(&mut self) -> Option<i32> {
        self.signed()?.try_into().ok()
    }

    pub fn octal(&mut self) -> Option<u32> {
        digits::<8>(self.next()?)?.try_into().ok()
    }

    /// What is behind the words that were taken, without the space before it.
    pub fn rest(self) -> &'a [u8] {
        let start = self.0.iter().position(|&byte| byte != b' ').unwrap_or(self.0.len());
        &self.0[start..]
    }
}

/// The complete lines of a text, and the last one also without its end.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let none = text.is_empty();
    text.split(|&byte| byte == b'\n').filter(move |_| !none)
}

fn digits<const BASE: u32>(word: &[u8]) -> Option<u64> {
    /// So many digits of any base here are below 2^64.
    const SURELY: usize = 16;
    if word.is_empty() {
        return None;
    }
    let (sure, rest) = word.split_at(word.len().min(SURELY));
    let digit = |byte: u8| char::from(byte).to_digit(BASE).map(u64::from);
    let mut sum = 0;
    for &byte in sure {
        sum = sum * u64::from(BASE) + digit(byte)?;
    }
    rest.iter().try_fold(sum, |sum, &byte| sum.checked_mul(BASE.into())?.checked_add(digit(byte)?))
}

pub(super) fn number(word: &[u8]) -> Option<u64> {
    digits::<10>(word)
}

pub(super) fn hex(word: &[u8]) -> Option<u64> {
    digits::<16>(word)
}

pub(super) fn signed(word: &[u8]) -> Option<i64> {
    match word.strip_prefix(b"-") {
        Some(word) => 0i64.checked_sub_unsigned(number(word)?),
        None => number(word)?.try_into().ok(),
    }
}

/// The value behind `name` and a colon: `field(text, "VmLck")` of /proc/self/status.
pub(super) fn field<'a>(text: &'a [u8], name: &str) -> Option<&'a [u8]> {
    lines(text).find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b":"))
}

/// A value in kB, in bytes.
pub(super) fn kib(value: &[u8]) -> Option<u64> {
    Words(value).number()?.checked_mul(1024)
}

/// Puts the bytes back that the kernel wrote as `\012`.
pub(super) fn unescape(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, behind)) = rest.split_first() {
        let escaped = match first {
            b'\\' => behind.get(..3).and_then(|word| u8::try_from(digits::<8>(word)?).ok()),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &behind[3..] } else { behind };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_whole_words_within_their_range() {
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        for bad in ["", "18446744073709551616", "99999999999999999999999", "-1", "+1", "1 ", "0x1", "1\n"] {
            assert_eq!(number(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(signed(b"-9223372036854775808"), Some(i64::MIN));
        for bad in ["-", "--1", "9223372036854775808", "-9223372036854775809"] {
            assert_eq!(signed(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(hex(b"ffffffffffffffff"), Some(u64::MAX));
        assert_eq!(hex(b"10000000000000000"), None);
    }

    #[test]
    fn words_and_lines_of_whatever_comes() {
        assert_eq!(Words(b"  a\t b\x0b\xff ").collect::<Vec<_>>(), [&b"a"[..], b"b\x0b\xff"]);
        let mut words = Words(b"1 2  a name ");
        assert_eq!((words.number(), words.number(), words.rest()), (Some(1), Some(2), &b"a name "[..]));
        assert_eq!(Words(b"").rest(), b"");
        assert_eq!(lines(b"a\n\nb").collect::<Vec<_>>(), [&b"a"[..], b"", b"b"]);
        assert_eq!(lines(b"").count(), 0);
        assert_eq!(field(b"VmLc: 1\nVmLck:\t 8 kB\n", "VmLck").and_then(kib), Some(8192));
        assert_eq!(kib(b"18014398509481984 kB"), None, "over 2^64 bytes");
    }

    #[test]
    fn escapes_are_undone_and_nothing_else_is() {
        assert_eq!(unescape(b"a\\012b\\040\\134"), b"a\nb \\");
        for same in [&b"\\"[..], b"\\01", b"\\09x", b"\\777", b"\\x41", b"\xff\\"] {
            assert_eq!(unescape(same), same);
        }
    }
}

//! What went wrong: a code that C, Go and Rust share, and one sentence with the numbers.
//!
//! The code is a negative `errno` where the kernel or POSIX has a name for the failure, and one of
//! the `SHMKIT_E_…` codes at or below -4096 where it has none. `table` holds them all.
#![forbid(unsafe_code)]

mod table;

pub use table::*;

use std::ffi::CStr;
use std::fmt;

use crate::sys::Errno;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A negative errno, or a code of this library at or below -4096. The same number in C and Go.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(i32);

impl Code {
    /// The code for a number as the C functions return it: negative.
    pub const fn from_raw(code: i32) -> Code {
        Code(code)
    }

    /// The number as the C functions return it.
    pub const fn raw(self) -> i32 {
        self.0
    }

    /// The kernel's number, positive, where the code is one: `Some(libc::ENOENT)`.
    pub fn errno(self) -> Option<i32> {
        (-4095..0).contains(&self.0).then_some(-self.0)
    }

    /// `"EBADF"`, `"SHMKIT_E_SHRUNK"`; `"UNKNOWN"` for a number that is in no table.
    pub fn name(self) -> &'static CStr {
        table::find(self.0).0
    }

    /// One phrase for the code, without the circumstances.
    pub fn text(self) -> &'static CStr {
        table::find(self.0).1
    }
}

impl From<Errno> for Code {
    fn from(errno: Errno) -> Code {
        Code(-(errno as i32))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.text().to_string_lossy())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name().to_string_lossy(), self.0)
    }
}

impl std::error::Error for Code {}

/// A failure: its [`Code`], and one sentence that says what was tried, on what, and why it failed.
// A pointer, so that a result which may be one fits into registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Failure>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Failure {
    code: Code,
    message: String,
}

impl Error {
    /// An error whose sentence already says why.
    #[cold]
    #[inline(never)]
    pub(crate) fn new(code: impl Into<Code>, message: impl Into<String>) -> Error {
        Error(Box::new(Failure { code: code.into(), message: message.into() }))
    }

    /// An error of this library's own, by its number in the table.
    pub(crate) fn own(code: i32, message: impl Into<String>) -> Error {
        Error::new(Code(code), message)
    }

    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The kernel's number, positive, where the failure has one.
    pub fn errno(&self) -> Option<i32> {
        self.0.code.errno()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0.code)
    }
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> std::io::Error {
        let kind = error
            .errno()
            .map_or(std::io::ErrorKind::Other, |errno| std::io::Error::from_raw_os_error(errno).kind());
        std::io::Error::new(kind, error)
    }
}

/// Adds to a kernel's errno what was tried: `"cannot open './block': No such file or directory"`.
pub(crate) trait During<T> {
    fn during(self, tried: impl FnOnce() -> String) -> Result<T>;
}

impl<T> During<T> for Result<T, Errno> {
    fn during(self, tried: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|errno| failed(errno, tried))
    }
}

/// Not inlined, so that no sentence stands between what is done where nothing fails.
#[cold]
#[inline(never)]
fn failed(errno: Errno, tried: impl FnOnce() -> String) -> Error {
    Error::new(errno, format!("{}: {}", tried(), Code::from(errno)))
}

/// A name from outside as a message may show it: printable, and short enough to leave room for the
/// reason. The end of a path tells more than its beginning.
pub(crate) fn shown(name: &[u8]) -> String {
    const LONGEST: usize = 60;
    let printable: String = String::from_utf8_lossy(name).chars().flat_map(char::escape_debug).collect();
    let cut =
        (printable.len().saturating_sub(LONGEST)..).find(|&at| printable.is_char_boundary(at)).unwrap_or(0);
    let dots = if cut > 0 { "…" } else { "" };
    format!("'{dots}{}'", &printable[cut..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_is_unique_and_found() {
        for &(code, name, text) in table::ROWS {
            assert_eq!(table::find(code), (name, text));
            assert!(code < 0);
        }
        assert_eq!(Code(-100_000).name(), c"UNKNOWN");
        assert_eq!(Code(0).text(), c"Success");
    }

    #[test]
    fn a_name_from_outside_is_shown_short_and_printable() {
        assert_eq!(shown(b"/tmp/a\nb"), "'/tmp/a\\nb'");
        assert_eq!(shown(&[b'x'; 100]).chars().count(), 63);
    }
}

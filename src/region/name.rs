//! The name or path that a region keeps.

use std::ffi::{CStr, CString};

/// With its NUL, in bytes. Most names are shorter.
const SHORT: usize = 55;

/// A C string, or none, that needs no allocation as long as it is short.
pub(super) struct Name {
    short: [u8; SHORT],
    /// Of `short`, with its NUL; 0 for none.
    length: u8,
    long: Option<CString>,
}

impl Name {
    pub(super) fn none() -> Name {
        Name { short: [0; SHORT], length: 0, long: None }
    }

    /// Fills a name where it stands: to move one right after it was filled would wait for its bytes.
    pub(super) fn set(&mut self, start: &CStr, end: &CStr) -> &CStr {
        let (start, end) = (start.to_bytes(), end.to_bytes_with_nul());
        let length = start.len() + end.len();
        if length <= SHORT {
            self.short[..start.len()].copy_from_slice(start);
            self.short[start.len()..length].copy_from_slice(end);
            (self.length, self.long) = (length as u8, None);
        } else {
            let whole = CString::from_vec_with_nul([start, end].concat());
            self.long = Some(whole.expect("both were C strings"));
        }
        self.get().expect("it was set")
    }

    pub(super) fn get(&self) -> Option<&CStr> {
        match (&self.long, usize::from(self.length)) {
            (Some(long), _) => Some(long),
            (None, 0) => None,
            // SAFETY (protocol): set() has put C strings there, of which the last alone keeps its NUL.
            (None, length) => Some(unsafe { CStr::from_bytes_with_nul_unchecked(&self.short[..length]) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_it_was_made_of_and_in_its_place_while_it_is_short() {
        let mut name = Name::none();
        assert_eq!(name.get(), None);
        for length in [SHORT - 2, SHORT - 1, SHORT, 4095, 1, 0] {
            let whole = CString::new(vec![b'n'; length]).unwrap();
            for at in [0, length / 2, length] {
                let (start, end) = whole.to_bytes().split_at(at);
                let (start, end) = (CString::new(start).unwrap(), CString::new(end).unwrap());
                assert_eq!(name.set(&start, &end), &*whole);
                assert_eq!(name.get(), Some(&*whole));
                assert_eq!(name.long.is_none(), length < SHORT, "{length}");
            }
        }
    }
}

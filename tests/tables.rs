//! One table of errors: the library, the header and the document say the same.

use std::collections::BTreeMap;
use std::ffi::CStr;

use shmkit::Code;

fn from_header() -> BTreeMap<i32, String> {
    let header = include_str!("../include/shmkit.h");
    let defines = header.lines().filter_map(|line| line.strip_prefix("#define SHMKIT_E_"));
    defines
        .map(|line| {
            let (name, code) = line.split_once(' ').expect("a value");
            (code.parse().expect("a number"), format!("SHMKIT_E_{name}"))
        })
        .collect()
}

fn from_document() -> BTreeMap<i32, String> {
    let rows = include_str!("../docs/errors.md").lines().filter(|line| line.starts_with("| SHMKIT_E_"));
    rows.map(|row| {
        let mut cells = row.split('|').map(str::trim).skip(1);
        let name = cells.next().expect("a name").to_string();
        (cells.next().expect("a code").parse().expect("a number"), name)
    })
    .collect()
}

#[test]
fn header_document_and_library_name_the_same_codes() {
    let header = from_header();
    assert!(!header.is_empty());
    assert_eq!(header, from_document());
    for (&code, name) in &header {
        assert!(code <= -4096, "{name} is {code}");
        assert_eq!(Code::from_raw(code).name().to_str(), Ok(name.as_str()));
    }
    // Codes are handed out without gaps, so the next one has none yet.
    let next = header.keys().next().unwrap() - 1;
    assert_eq!(Code::from_raw(next).name(), c"UNKNOWN");
}

#[test]
fn every_errno_of_the_c_library_has_its_name_and_text() {
    for errno in 1..=133 {
        // SAFETY: strerror's string lives until the next call in this thread.
        let text = unsafe { CStr::from_ptr(libc::strerror(errno)) };
        if !text.to_bytes().starts_with(b"Unknown error") {
            assert_eq!(Code::from_raw(-errno).text(), text, "errno {errno}");
            assert!(Code::from_raw(-errno).name().to_bytes().starts_with(b"E"), "errno {errno}");
        }
    }
}

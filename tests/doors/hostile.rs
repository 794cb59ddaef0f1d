//! What a hostile sender can send: each check of the receiver on its own, and then anything.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use libc::{ECONNRESET, EFBIG, EINVAL, EOPNOTSUPP, EPROTO};
use proptest::prelude::*;

use crate::door::*;
use crate::property::check;
use crate::support::*;

scenarios! {
    a_frame_is_taken_word_by_word,
    a_descriptor_is_held_against_its_frame,
    another_message_is_no_frame,
    anything_is_refused_or_a_correct_region: 30,
}

const SIZE: u64 = 20_000;

/// The frame of docs/layout.md, put together by hand.
#[derive(Clone, Copy, Debug)]
struct Frame {
    magic: [u8; 8],
    version: u32,
    kind: u32,
    size: u64,
    offset: u64,
    rights: u32,
    flags: u32,
    reserve: u64,
    rest: [u8; 16],
}

const HONEST: Frame = Frame {
    magic: *b"shmkit\0R",
    version: 1,
    kind: 1,
    size: SIZE,
    offset: 0,
    rights: 3,
    flags: 0,
    reserve: 0,
    rest: [0; 16],
};

impl Frame {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.magic.to_vec();
        bytes.extend([self.version, self.kind].iter().flat_map(|it| it.to_ne_bytes()));
        bytes.extend([self.size, self.offset].iter().flat_map(|it| it.to_ne_bytes()));
        bytes.extend([self.rights, self.flags].iter().flat_map(|it| it.to_ne_bytes()));
        bytes.extend(self.reserve.to_ne_bytes());
        bytes.extend(self.rest);
        bytes
    }

    fn from(bytes: &[u8; 64]) -> Frame {
        let u32_at = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
        let u64_at = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
        Frame {
            magic: bytes[..8].try_into().unwrap(),
            version: u32_at(8),
            kind: u32_at(12),
            size: u64_at(16),
            offset: u64_at(24),
            rights: u32_at(32),
            flags: u32_at(36),
            reserve: u64_at(40),
            rest: bytes[48..].try_into().unwrap(),
        }
    }
}

/// A descriptor, and what the kernel would say of it.
struct Offered {
    fd: OwnedFd,
    what: &'static str,
    access: i32,
    regular: bool,
    /// SEAL_NONE for files that know no seals.
    seals: u32,
    huge: bool,
    size: u64,
}

/// A memfd whose byte at any place tells the place.
fn memfd(seals: u32) -> OwnedFd {
    let bytes = content(0, SIZE as usize);
    unsafe {
        let flags = libc::MFD_CLOEXEC | libc::MFD_NOEXEC_SEAL;
        let fd = OwnedFd::from_raw_fd(good(libc::memfd_create(c"offered".as_ptr(), flags)));
        assert_eq!(libc::pwrite(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0), SIZE as isize);
        good(libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, seals));
        fd
    }
}

fn content(from: usize, count: usize) -> Vec<u8> {
    (from..from + count).map(|at| (at % 251) as u8).collect()
}

fn offers() -> Vec<Offered> {
    let sealed = |seals: u32, what| Offered {
        fd: memfd(seals),
        what,
        access: libc::O_RDWR,
        regular: true,
        seals: seals | SHMKIT_SEAL_EXEC,
        huge: false,
        size: SIZE,
    };
    let (shrink, grow) = (SHMKIT_SEAL_SHRINK, SHMKIT_SEAL_GROW);
    let mut all = vec![
        sealed(shrink | grow, "a good memfd"),
        sealed(0, "an unsealed memfd"),
        sealed(grow, "a memfd that can shrink"),
        sealed(SHMKIT_SEAL_SEAL, "a memfd with F_SEAL_SEAL alone"),
        sealed(SHMKIT_SEAL_WRITE, "a memfd with F_SEAL_WRITE alone"),
        sealed(shrink, "a memfd that can grow"),
        sealed(shrink | grow | SHMKIT_SEAL_FUTURE_WRITE, "a published memfd"),
        sealed(shrink | grow | SHMKIT_SEAL_WRITE | SHMKIT_SEAL_SEAL, "a frozen memfd"),
    ];
    let path = format!("/proc/self/fd/{}", all[0].fd.as_raw_fd());
    for (flags, what) in [
        (libc::O_RDONLY, "a good memfd, opened for reading"),
        (libc::O_WRONLY, "a good memfd, opened for writing only"),
        (libc::O_PATH, "a good memfd, opened as a path"),
    ] {
        all.push(Offered { fd: open(&path, flags), access: flags, ..sealed(shrink | grow, what) });
    }
    let irregular = |fd, what, access| Offered {
        fd,
        what,
        access,
        regular: false,
        seals: SHMKIT_SEAL_NONE,
        huge: false,
        size: 0,
    };
    let (socket, _) = socketpair(libc::SOCK_STREAM);
    let eventfd = unsafe { OwnedFd::from_raw_fd(good(libc::eventfd(0, libc::EFD_CLOEXEC))) };
    all.push(irregular(socket, "a socket", libc::O_RDWR));
    all.push(irregular(eventfd, "an eventfd", libc::O_RDWR));
    all.push(irregular(open("/dev/zero", libc::O_RDWR), "/dev/zero", libc::O_RDWR));
    all.push(irregular(open("/", libc::O_RDONLY), "a directory", libc::O_RDONLY));
    let file = open("/proc/self/exe", libc::O_RDONLY);
    let size = std::fs::metadata("/proc/self/exe").unwrap().len();
    let access = libc::O_RDONLY;
    all.push(Offered { size, regular: true, ..irregular(file, "a program", access) });
    let flags = libc::MFD_HUGETLB | libc::MFD_HUGE_2MB | libc::MFD_ALLOW_SEALING | libc::MFD_CLOEXEC;
    let huge = unsafe { libc::memfd_create(c"huge".as_ptr(), flags) };
    if huge == -1 {
        skip(format!("huge pages: {}", std::io::Error::last_os_error()));
    } else {
        let fd = unsafe { OwnedFd::from_raw_fd(huge) };
        good(unsafe { libc::ftruncate(huge, 2 << 20) });
        good(unsafe { libc::fcntl(huge, libc::F_ADD_SEALS, shrink | grow) });
        let sealed = sealed(shrink | grow, "huge pages");
        all.push(Offered { fd, seals: shrink | grow, huge: true, size: 2 << 20, ..sealed });
    }
    all
}

/// What docs/layout.md says of it: the rights of the region that comes out, or the code.
fn verdict(frame: &Frame, offered: &Offered, options: &Options) -> Result<bool, i32> {
    let known_kind = [1, 2, 4, 5].contains(&frame.kind);
    let risky = options.flags.contains(Flags::RISK_SHRINK);
    let writes = frame.rights == 3;
    let seals = if offered.seals == SHMKIT_SEAL_NONE { 0 } else { offered.seals };
    if frame.magic != HONEST.magic {
        return Err(SHMKIT_E_NOT_REGION);
    }
    if frame.version != 1 {
        return Err(SHMKIT_E_VERSION);
    }
    if !known_kind || ![1, 3].contains(&frame.rights) || frame.flags > 1 || frame.rest != [0; 16] {
        return Err(SHMKIT_E_NOT_REGION);
    }
    if frame.reserve != 0 && (frame.flags == 0 || frame.reserve < frame.size) {
        return Err(SHMKIT_E_NOT_REGION);
    }
    let opened_enough = match offered.access {
        libc::O_RDWR => true,
        libc::O_RDONLY => !writes,
        _ => false,
    };
    if !opened_enough || !offered.regular {
        return Err(SHMKIT_E_NOT_REGION);
    }
    if !risky && seals & SHMKIT_SEAL_SHRINK == 0 {
        return Err(SHMKIT_E_UNSEALED);
    }
    if !risky && seals & SHMKIT_SEAL_GROW == 0 && frame.flags == 0 {
        return Err(SHMKIT_E_NOT_REGION);
    }
    let narrowed = options.flags.intersects(Flags::READ_ONLY | Flags::PRIVATE);
    if writes && !narrowed && seals & (SHMKIT_SEAL_WRITE | SHMKIT_SEAL_FUTURE_WRITE) != 0 {
        return Err(SHMKIT_E_NOT_REGION);
    }
    if offered.huge {
        return Err(-EOPNOTSUPP);
    }
    let end = u128::from(frame.offset) + u128::from(frame.size);
    if frame.offset % 4096 != 0 || frame.size == 0 || end > u128::from(offered.size) {
        return Err(SHMKIT_E_NOT_REGION);
    }
    if options.size_max != 0 && frame.size > options.size_max {
        return Err(-EFBIG);
    }
    if frame.size < options.size_min || (frame.reserve != 0 && options.size_max == 0) {
        return Err(-EINVAL);
    }
    Ok(writes && !options.flags.contains(Flags::READ_ONLY))
}

/// Sends, receives, and holds what comes out against the verdict.
fn judge<D: Door>(kind: i32, frame: &Frame, offered: &Offered, options: &Options) {
    let (one, other) = socketpair(kind);
    raw_send(&one, &frame.bytes(), &[offered.fd.as_raw_fd()]).unwrap();
    let answer = D::recv_region(other.as_raw_fd(), options, None);
    let case = format!("{} with {frame:?} and {options:?}", offered.what);
    match (answer, verdict(frame, offered, options)) {
        (Ok(region), Ok(writable)) => {
            assert_eq!(region.size() as u64, frame.size, "{case}");
            let grows = frame.reserve != 0 && !options.flags.contains(Flags::PRIVATE);
            let most = if grows { frame.reserve.min(options.size_max) } else { frame.size };
            assert_eq!(region.size_max() as u64, most, "{case}");
            if offered.size == SIZE {
                let bytes = region.bytes(0, region.size()).unwrap();
                assert!(bytes == content(frame.offset as usize, region.size()), "other bytes: {case}");
            }
            let first = region.bytes(0, 1).unwrap();
            match region.write(0, &first) {
                Ok(()) => assert!(writable, "writable: {case}"),
                Err(failure) => assert_eq!((failure.code, writable), (-libc::EACCES, false), "{case}"),
            }
            let at = format!("{:x}-", region.data() as usize);
            let row = mappings().into_iter().find(|row| row.starts_with(&at)).expect("its mapping");
            let rights = row.split_whitespace().nth(1).unwrap();
            assert_eq!(&rights[..3], if writable { "rw-" } else { "r--" }, "{case}");
        }
        (Err(failure), Err(code)) => {
            assert_eq!(failure.code, code, "{case}: {}", failure.message);
            assert!(failure.message.contains("region"), "{case}: {}", failure.message);
        }
        (Ok(_), Err(code)) => panic!("accepted instead of {code}: {case}"),
        (Err(failure), Ok(_)) => panic!("{}: {case}", failure.message),
    }
}

fn a_frame_is_taken_word_by_word<D: Door>() {
    let offers = offers();
    let good = &offers[0];
    let frames = [
        HONEST,
        Frame { rights: 1, ..HONEST },
        Frame { flags: 1, ..HONEST },
        Frame { size: 1, ..HONEST },
        Frame { size: 8, offset: 16_384, ..HONEST },
        Frame { version: 0, ..HONEST },
        Frame { version: 2, ..HONEST },
        Frame { version: u32::MAX, ..HONEST },
        Frame { magic: *b"shmkit\0\0", ..HONEST },
        Frame { magic: [0; 8], ..HONEST },
        Frame { size: 0, ..HONEST },
        Frame { size: SIZE + 1, ..HONEST },
        Frame { size: 1 << 62, ..HONEST },
        Frame { size: u64::MAX, ..HONEST },
        Frame { offset: 8, size: 16, ..HONEST },
        Frame { offset: 4096, ..HONEST },
        Frame { offset: 1 << 63, ..HONEST },
        Frame { offset: u64::MAX - 4095, size: 4096, ..HONEST },
        Frame { offset: u64::MAX - 4095, size: 4097, ..HONEST },
        Frame { reserve: SIZE, ..HONEST },
        Frame { flags: 1, reserve: 1, ..HONEST },
        Frame { flags: 1, reserve: SIZE - 1, ..HONEST },
    ];
    let kinds = [0, 2, 3, 4, 5, 6, 7, u32::MAX].map(|kind| Frame { kind, ..HONEST });
    let rights = [0, 2, 4, 7, u32::MAX].map(|rights| Frame { rights, ..HONEST });
    let flags = [2, 3, 1 << 31, u32::MAX].map(|flags| Frame { flags, ..HONEST });
    for frame in frames.iter().chain(&kinds).chain(&rights).chain(&flags) {
        KINDS.iter().for_each(|&kind| judge::<D>(kind, frame, good, &plain()));
    }
    for reserve in [SIZE, SIZE + 1, 1 << 20, 1 << 62, u64::MAX] {
        for size_max in [0, SIZE - 1, SIZE, SIZE + 1, 1 << 20] {
            let frame = Frame { flags: 1, reserve, ..HONEST };
            judge::<D>(libc::SOCK_SEQPACKET, &frame, good, &Options { size_max, ..plain() });
        }
    }
    // Each byte once.
    for at in 0..64 {
        let mut bytes: [u8; 64] = HONEST.bytes().try_into().unwrap();
        bytes[at] ^= 0x80;
        judge::<D>(libc::SOCK_SEQPACKET, &Frame::from(&bytes), good, &plain());
    }
}

fn a_descriptor_is_held_against_its_frame<D: Door>() {
    for offered in &offers() {
        let (small, page) = (offered.size.min(SIZE), 4096);
        for frame in [
            Frame { size: small, ..HONEST },
            Frame { size: small, rights: 1, ..HONEST },
            Frame { size: small, flags: 1, ..HONEST },
            Frame { size: small, flags: 1, rights: 1, kind: 4, ..HONEST },
            Frame { size: 100, offset: page, rights: 1, ..HONEST },
            Frame { size: offered.size + 1, rights: 1, flags: 1, ..HONEST },
            Frame { size: small, flags: 1, reserve: 1 << 20, ..HONEST },
            Frame { size: small, rights: 1, flags: 1, reserve: small, ..HONEST },
        ] {
            for options in [
                plain(),
                with(Flags::READ_ONLY),
                with(Flags::PRIVATE),
                with(Flags::RISK_SHRINK),
                with(Flags::RISK_SHRINK | Flags::READ_ONLY),
                Options { size_max: 99, ..plain() },
                Options { size_max: 1 << 19, ..with(Flags::RISK_SHRINK) },
                Options { size_max: 1 << 21, ..with(Flags::PRIVATE) },
                Options { size_min: SIZE + 1, ..plain() },
            ] {
                judge::<D>(libc::SOCK_SEQPACKET, &frame, offered, &options);
            }
        }
    }
}

/// Whatever it is: refused, and the connection goes on.
fn another_message_is_no_frame<D: Door>() {
    let offers = offers();
    let fd = offers[0].fd.as_raw_fd();
    let honest = HONEST.bytes();
    let (one, other) = socketpair(libc::SOCK_SEQPACKET);
    for (bytes, count, errno) in [
        (&honest[..], 0, EPROTO),
        (&honest[..], 2, EPROTO),
        (&honest[..], 253, EPROTO),
        (&honest[..63], 1, EPROTO),
        (&[&honest[..], &[0]].concat(), 1, EPROTO),
        (&[0; 5000], 1, EPROTO),
        (&[0], 1, EPROTO),
        (&[], 1, EPROTO),
        (&[], 0, ECONNRESET),
    ] {
        raw_send(&one, bytes, &vec![fd; count]).unwrap();
        fails(D::recv_region(other.as_raw_fd(), &plain(), None), errno, &[]);
        raw_send(&one, &honest, &[fd]).unwrap();
        assert_eq!(D::recv_region(other.as_raw_fd(), &plain(), None).unwrap().size() as u64, SIZE);
    }
    // On a stream the frame may come in pieces, its descriptor with any of them, but only one.
    let (one, other) = socketpair(libc::SOCK_STREAM);
    for (first, rest) in [(1, 0), (0, 1)] {
        raw_send(&one, &honest[..10], &vec![fd; first]).unwrap();
        raw_send(&one, &honest[10..], &vec![fd; rest]).unwrap();
        D::recv_region(other.as_raw_fd(), &plain(), None).unwrap();
    }
    raw_send(&one, &honest[..10], &[fd]).unwrap();
    raw_send(&one, &honest[10..], &[fd]).unwrap();
    fails(D::recv_region(other.as_raw_fd(), &plain(), None), EPROTO, &["2 descriptors"]);
    // Descriptors with each byte do not pile up.
    for byte in &honest {
        raw_send(&one, &[*byte], &[fd; 8]).unwrap();
    }
    let _limit = Limit::lower(libc::RLIMIT_NOFILE, 100);
    fails(D::recv_region(other.as_raw_fd(), &plain(), None), EPROTO, &[&number(&other)]);
    raw_send(&one, &honest, &[fd]).unwrap();
    D::recv_region(other.as_raw_fd(), &plain(), None).unwrap();
}

/// Honest frames with a few words or bytes changed, and frames of chance.
fn frames() -> impl Strategy<Value = Frame> {
    let number = prop_oneof![
        0..2 * SIZE,
        (0..10u64).prop_map(|page| page * 4096),
        (0..64u32).prop_map(|bit| 1 << bit),
        (0..10u64).prop_map(|less| u64::MAX - less),
        any::<u64>(),
    ];
    let word = prop_oneof![0..8u32, any::<u32>()];
    let changes = (
        prop::option::weighted(0.5, number.clone()),
        prop::option::weighted(0.5, number.clone().prop_map(|number| number & !0xfff)),
        prop::option::weighted(0.3, word.clone()),
        prop::option::weighted(0.3, word.clone()),
        prop::option::weighted(0.5, prop_oneof![3 => Just(1), 1 => word]),
        prop::option::weighted(0.3, number),
        prop::option::weighted(0.3, (0..64usize, 0..8u8)),
    );
    let mutated = changes.prop_map(|(size, offset, kind, rights, flags, reserve, flip)| {
        let frame = Frame {
            size: size.unwrap_or(HONEST.size),
            offset: offset.unwrap_or(HONEST.offset),
            kind: kind.unwrap_or(HONEST.kind),
            rights: rights.unwrap_or(HONEST.rights),
            flags: flags.unwrap_or(HONEST.flags),
            reserve: reserve.unwrap_or(HONEST.reserve),
            ..HONEST
        };
        let mut bytes: [u8; 64] = frame.bytes().try_into().unwrap();
        if let Some((at, bit)) = flip {
            bytes[at] ^= 1 << bit;
        }
        Frame::from(&bytes)
    });
    let chance = prop::array::uniform32(any::<u8>()).prop_flat_map(|half| {
        prop::array::uniform32(any::<u8>())
            .prop_map(move |rest| Frame::from(&[half, rest].concat().try_into().unwrap()))
    });
    prop_oneof![9 => mutated, 1 => chance]
}

fn anything_is_refused_or_a_correct_region<D: Door>() {
    let offers = offers();
    let flags = prop_oneof![
        Just(Flags::empty()),
        Just(Flags::READ_ONLY),
        Just(Flags::PRIVATE),
        Just(Flags::RISK_SHRINK),
        Just(Flags::RISK_SHRINK | Flags::READ_ONLY),
    ];
    let options =
        (flags, prop_oneof![3 => Just(0), 1 => 0..2 * SIZE], prop_oneof![3 => Just(0), 1 => 0..2 * SIZE])
            .prop_map(|(flags, size_min, size_max)| Options { size_min, size_max, ..with(flags) });
    let cases = (frames(), 0..offers.len(), prop::bool::ANY, options);
    check(3000, cases, |(frame, offered, stream, options)| {
        let before = descriptors().len();
        judge::<D>(KINDS[usize::from(stream)], &frame, &offers[offered], &options);
        assert_eq!(descriptors().len(), before);
    });
}

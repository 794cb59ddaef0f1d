//! How memory is shared across processes: memfd, mmap, Unix socket.

use std::fs::File;
use std::io::{IoSlice, Seek};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::process::Command;

use nix::sys::socket::{sendmsg, ControlMessage, MsgFlags};
use nix::sys::stat::fstat;
use nix::sys::statfs::{fstatfs, TMPFS_MAGIC};
use nix::unistd::{lseek, Whence};
use shmkit::handover::{
    accept, connect, listen, recv_fd, recv_region, send_fd, send_fds, send_region, Deadline,
};
use shmkit::{Flags, Options, Region};

use crate::kernel::Mapping;
use crate::support::*;
use crate::{pattern, refused, Link};

const NEVER: Deadline = Deadline::NEVER;
const SIZE: usize = 64 << 10;

#[test]
fn d1_1_an_address_is_other_memory_in_every_process() {
    own_process!(5, || {
        let (here, there) = Link::pair();
        let child = fork(|| {
            let page = a_page_of_its_own();
            unsafe { page.write_volatile(b'c') };
            let region = recv_region(&there, &Options::default(), NEVER).unwrap();
            region.write(0, b"c").unwrap();
            there.say("written");
            assert_eq!(there.hear(), "written");
            assert_eq!(unsafe { page.read_volatile() }, b'c');
            assert_eq!(region.load::<u8>(0).unwrap(), b'p');
        });
        let page = a_page_of_its_own();
        unsafe { page.write_volatile(b'p') };
        let region = Region::create("d1_1", 1, &Options::default()).unwrap();
        send_region(&here, &region, NEVER).unwrap();
        assert_eq!(here.hear(), "written");
        assert_eq!(unsafe { page.read_volatile() }, b'p');
        assert_eq!(region.load::<u8>(0).unwrap(), b'c', "only the shared mapping connects the two");
        region.write(0, b"p").unwrap();
        here.say("written");
        child.join();
        unsafe { good(libc::munmap(page.cast(), 1)) };
    });
}

/// At the same address in every process, far from where the kernel puts things by itself.
fn a_page_of_its_own() -> *mut u8 {
    const ADDRESS: usize = 0x10_0000_0000;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    let page = unsafe { libc::mmap(ADDRESS as *mut _, 1, rights, flags, -1, 0) };
    assert_eq!(page as usize, ADDRESS, "{}", std::io::Error::last_os_error());
    page.cast()
}

#[test]
fn d1_2_a_text_goes_over_by_its_descriptor() {
    const TEXT: &str = "这段内容是保存在共享内存里的,接收方和发送方都能根据自己的fd访问到这块内容";
    own_process!(5, || {
        let directory = Directory::new();
        let path = directory.file("socket");
        let listener = listen(&path).unwrap();
        let receiver = fork(|| {
            let fd = recv_fd(&connect(&path, NEVER).unwrap(), NEVER).unwrap();
            let options = Options::with_flags(Flags::READ_ONLY | Flags::PRIVATE);
            let region = Region::from_fd(&fd, 0, &options).unwrap();
            assert_eq!(Mapping::of(&region).rights(), "r--p");
            let mut text = vec![0; region.size()];
            region.read(0, &mut text).unwrap();
            assert_eq!(String::from_utf8(text).unwrap(), TEXT);
        });
        let region = Region::create("Server memfd", TEXT.len(), &Options::default()).unwrap();
        region.write(0, TEXT.as_bytes()).unwrap();
        let socket = accept(&listener, NEVER).unwrap();
        send_fd(&socket, &region.fd().unwrap(), NEVER).unwrap();
        receiver.join();
    });
}

#[test]
fn d1_3_what_travels_is_the_open_file() {
    own_process!(5, || {
        let (here, there) = Link::pair();
        let receiver = fork(|| {
            let fd = recv_fd(&there, NEVER).unwrap();
            let stat = fstat(&fd).unwrap();
            lseek(&fd, 1234, Whence::SeekSet).unwrap();
            there.say(format!("{} {}", stat.st_dev, stat.st_ino));
            there.say(fd.as_raw_fd());
        });
        let region = Region::create("d1_3", 4096, &Options::default()).unwrap();
        let fd = with_a_high_number(region.fd().unwrap());
        send_fd(&here, &fd, NEVER).unwrap();
        let stat = fstat(&fd).unwrap();
        assert_eq!(here.hear(), format!("{} {}", stat.st_dev, stat.st_ino));
        assert_ne!(here.hear(), fd.as_raw_fd().to_string());
        assert_eq!(lseek(&fd, 0, Whence::SeekCur), Ok(1234), "one offset for both");
        // Who opens the same inode anew has an offset of its own.
        let mut opened = File::open(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap();
        assert_eq!(opened.stream_position().unwrap(), 0);
        receiver.join();
    });
}

/// A duplicate, with a number that the receiver's descriptors do not reach.
fn with_a_high_number(fd: RawFd) -> OwnedFd {
    unsafe { OwnedFd::from_raw_fd(good(libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 200))) }
}

#[test]
fn d1_4_a_region_lives_in_flight_when_its_sender_has_closed_it() {
    own_process!(5, || {
        let content = pattern(SIZE);
        let region = Region::create("d1_4", content.len(), &Options::default()).unwrap();
        region.write(0, &content).unwrap();
        let (here, there) = Link::pair();
        send_region(&here, &region, NEVER).unwrap();
        region.close().unwrap();
        drop(here);
        assert!(!mappings().iter().any(|line| line.contains("memfd:d1_4")));
        assert!(content_of_what_arrives(&there) == content);
    });
}

#[test]
fn d1_4_a_region_lives_in_flight_when_its_sender_has_exited() {
    own_process!(5, || {
        let content = pattern(SIZE);
        let (here, there) = Link::pair();
        let sender = fork(|| {
            let region = Region::create("d1_4", content.len(), &Options::default()).unwrap();
            region.write(0, &content).unwrap();
            send_region(&here, &region, NEVER).unwrap();
        });
        sender.join();
        assert!(content_of_what_arrives(&there) == content);
    });
}

fn content_of_what_arrives(link: &Link) -> Vec<u8> {
    let region = recv_region(link, &Options::default(), NEVER).unwrap();
    let mut content = vec![0; region.size()];
    region.read(0, &mut content).unwrap();
    content
}

#[test]
fn d1_5_a_shared_mapping_has_vm_shared() {
    own_process!(5, || {
        let (directory, name) = (Directory::new(), PosixName::new());
        let shared = |flags| {
            let (options, named) = (Options::with_flags(flags), Options::with_flags(flags | Flags::OR_OPEN));
            let regions = [
                Region::create("d1_5", 4096, &options),
                Region::anon_create(4096, &options),
                Region::file_create(directory.file("file"), 4096, &named),
                Region::posix_create(name.as_str(), 4096, &named),
            ];
            regions.map(|region| Mapping::of(&region.unwrap()).flag("sh"))
        };
        assert_eq!(shared(Flags::empty()), [true; 4]);
        assert_eq!(shared(Flags::PRIVATE), [false; 4]);
        let segment = Region::sysv_create(0, 4096, &Options::with_flags(Flags::AUTO_REMOVE)).unwrap();
        assert!(Mapping::of(&segment).flag("sh"));
    });
}

#[test]
fn d1_6_a_bad_number_fails_in_the_kernel_and_is_named() {
    own_process!(5, || {
        let (here, there) = Link::pair();
        let region = Region::create("d1_6", 1, &Options::default()).unwrap();
        for bad in [987_654, -1] {
            let (socket, byte) = (here.as_raw_fd(), [IoSlice::new(b"x")]);
            let rights = [ControlMessage::ScmRights(&[bad])];
            let raw = sendmsg::<()>(socket, &byte, &rights, MsgFlags::empty(), None);
            assert_eq!(raw, Err(nix::Error::EBADF));
            let fd = region.fd().unwrap();
            for refusal in [send_fd(&here, &bad, NEVER), send_fds(&here, &[fd, bad, fd], b"x", NEVER)] {
                let (code, message) = refused(refusal);
                assert_eq!(code, -libc::EBADF);
                assert!(message.contains(&bad.to_string()), "{message}");
            }
        }
        // Nothing was sent before the good one.
        send_fd(&here, &region.fd().unwrap(), NEVER).unwrap();
        let fd = recv_fd(&there, NEVER).unwrap();
        assert_eq!(fstat(&fd).unwrap().st_ino, fstat(region.descriptor().unwrap()).unwrap().st_ino);
    });
}

#[test]
fn d1_7_a_region_of_any_size_puts_64_bytes_into_the_socket() {
    own_process!(5, || {
        let (here, there) = Link::pair();
        for size in [1, 16 << 20] {
            let region = Region::create("d1_7", size, &Options::default()).unwrap();
            region.write(0, &pattern(size)).unwrap();
            send_region(&here, &region, NEVER).unwrap();
            assert_eq!(waiting(&there), 64);
            let mut seen = vec![0; size];
            recv_region(&there, &Options::default(), NEVER).unwrap().read(0, &mut seen).unwrap();
            assert_eq!(seen, pattern(size));
        }
        // What is sent itself lies in the socket, byte for byte.
        sendmsg::<()>(here.as_raw_fd(), &[IoSlice::new(&pattern(SIZE))], &[], MsgFlags::empty(), None)
            .unwrap();
        assert_eq!(waiting(&there), SIZE);
    });
}

/// How many bytes the next read from a socket takes.
fn waiting(socket: &Link) -> usize {
    let mut bytes: libc::c_int = 0;
    good(unsafe { libc::ioctl(socket.as_raw_fd(), libc::FIONREAD, &mut bytes) });
    bytes as usize
}

#[test]
fn d1_8_a_memfd_is_a_regular_file_of_mode_0777_without_a_name() {
    own_process!(5, || {
        let fd = raw_memfd(0);
        let stat = fstat(&fd).unwrap();
        assert_eq!(stat.st_mode, libc::S_IFREG | 0o777);
        assert_eq!((stat.st_size, stat.st_nlink), (0, 0));
        assert_eq!(fstatfs(&fd).unwrap().filesystem_type(), TMPFS_MAGIC);
    });
}

#[test]
fn d1_8_a_region_is_such_a_file_of_mode_0600_and_full_size() {
    own_process!(5, || {
        let region = Region::create("d1_8", 5000, &Options::default()).unwrap();
        let stat = fstat(region.descriptor().unwrap()).unwrap();
        assert_eq!(stat.st_mode, libc::S_IFREG | 0o600);
        assert_eq!((stat.st_size, stat.st_nlink), (5000, 0));
        let mapping = Mapping::of(&region);
        assert_eq!((mapping.rights(), mapping.name().as_str()), ("rw-s", "/memfd:d1_8 (deleted)"));
        assert_eq!(mapping.device_major(), 0, "on no device");
    });
}

#[test]
fn d1_8_a_memfd_is_closed_by_exec_only_when_asked() {
    own_process!(5, || {
        assert_eq!(after_exec(raw_memfd(0).as_raw_fd()), "/memfd:raw (deleted)\n");
        assert_eq!(after_exec(raw_memfd(libc::MFD_CLOEXEC).as_raw_fd()), "");
        let region = Region::create("d1_8", 4096, &Options::default()).unwrap();
        assert_eq!(after_exec(region.fd().unwrap()), "");
    });
}

fn raw_memfd(flags: u32) -> OwnedFd {
    let create = |flags| unsafe { libc::memfd_create(c"raw".as_ptr(), flags) };
    // Before Linux 6.3 nobody could ask for this, and everybody got it.
    let number = match create(flags | libc::MFD_EXEC) {
        -1 => create(flags),
        number => number,
    };
    unsafe { OwnedFd::from_raw_fd(good(number)) }
}

/// What a new program has under the number.
fn after_exec(fd: RawFd) -> String {
    let output = Command::new("readlink").arg(format!("/proc/self/fd/{fd}")).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

//! The one table of codes: number, name, text. `shm_strerror`, the header, Go and `docs/errors.md`
//! follow it; a test holds them equal. Codes are never reused.
#![allow(clippy::doc_markdown)]

use std::ffi::{c_int, CStr};

/// The bytes are inside the region, but its backing does not hold them: the file was truncated, was
/// always shorter (`_PAST_END`), its file system is full, or no huge page is left. The raw pointer
/// would raise SIGBUS; in a guarded section it read zeros.
pub const SHMKIT_E_SHRUNK: c_int = -4096;

/// What arrived is not a region, or not the one that its frame describes.
pub const SHMKIT_E_NOT_REGION: c_int = -4097;

/// The other side speaks a version of the frame or layout that this library does not know.
pub const SHMKIT_E_VERSION: c_int = -4098;

/// The memory can be taken away: the received descriptor can be shrunk under its receiver, and
/// `_RISK_SHRINK` was not given; or locks were to be used there, and `_PARTY_CAN_SHRINK` was not.
pub const SHMKIT_E_UNSEALED: c_int = -4099;

/// A region that is read-only, or sealed against writing, is to be sent, and the receiver could
/// re-open it for writing, or truncate it, and `_RISK_REOPEN` was not given.
pub const SHMKIT_E_UNENFORCEABLE: c_int = -4100;

/// The segment under this System V key was made for another path (an `ftok` collision), or not by
/// `shm_sysv_create_at`.
pub const SHMKIT_E_COLLISION: c_int = -4101;

/// `/dev/shm` is no memory file system here, so the object would lie on a disk, and `_RISK_DISK`
/// was not given.
pub const SHMKIT_E_ON_DISK: c_int = -4102;

/// No fault reaches the guard's SIGBUS handler: it was never installed, one that was installed
/// later does not call it, or the guard is not enabled for this region.
pub const SHMKIT_E_UNGUARDED: c_int = -4103;

/// A process that was waited for has died: nobody has passed the barrier this time.
pub const SHMKIT_E_PEER_DIED: c_int = -4104;

type Row = (c_int, &'static CStr, &'static CStr);

/// (name, text) of a code.
pub(super) fn find(code: c_int) -> (&'static CStr, &'static CStr) {
    match ROWS.iter().find(|row| row.0 == code) {
        Some(&(_, name, text)) => (name, text),
        None if code >= 0 => (c"SUCCESS", c"Success"),
        None => (c"UNKNOWN", c"Unknown error"),
    }
}

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    (SHMKIT_E_SHRUNK, c"SHMKIT_E_SHRUNK", c"The backing does not hold these bytes (any more)"),
    (SHMKIT_E_NOT_REGION, c"SHMKIT_E_NOT_REGION", c"What arrived is not a region"),
    (SHMKIT_E_VERSION, c"SHMKIT_E_VERSION", c"The other side uses another version of the layout"),
    (SHMKIT_E_UNSEALED, c"SHMKIT_E_UNSEALED", c"The descriptor can be shrunk by its other holders"),
    (SHMKIT_E_UNENFORCEABLE, c"SHMKIT_E_UNENFORCEABLE", c"The kernel cannot keep this region read-only"),
    (SHMKIT_E_COLLISION, c"SHMKIT_E_COLLISION", c"The System V key belongs to another path"),
    (SHMKIT_E_ON_DISK, c"SHMKIT_E_ON_DISK", c"The object would lie on a disk, not in memory"),
    (SHMKIT_E_UNGUARDED, c"SHMKIT_E_UNGUARDED", c"No fault reaches the guard's SIGBUS handler"),
    (SHMKIT_E_PEER_DIED, c"SHMKIT_E_PEER_DIED", c"A process that was waited for has died"),
    (-libc::EPERM, c"EPERM", c"Operation not permitted"),
    (-libc::ENOENT, c"ENOENT", c"No such file or directory"),
    (-libc::ESRCH, c"ESRCH", c"No such process"),
    (-libc::EINTR, c"EINTR", c"Interrupted system call"),
    (-libc::EIO, c"EIO", c"Input/output error"),
    (-libc::ENXIO, c"ENXIO", c"No such device or address"),
    (-libc::E2BIG, c"E2BIG", c"Argument list too long"),
    (-libc::ENOEXEC, c"ENOEXEC", c"Exec format error"),
    (-libc::EBADF, c"EBADF", c"Bad file descriptor"),
    (-libc::ECHILD, c"ECHILD", c"No child processes"),
    (-libc::EAGAIN, c"EAGAIN", c"Resource temporarily unavailable"),
    (-libc::ENOMEM, c"ENOMEM", c"Cannot allocate memory"),
    (-libc::EACCES, c"EACCES", c"Permission denied"),
    (-libc::EFAULT, c"EFAULT", c"Bad address"),
    (-libc::ENOTBLK, c"ENOTBLK", c"Block device required"),
    (-libc::EBUSY, c"EBUSY", c"Device or resource busy"),
    (-libc::EEXIST, c"EEXIST", c"File exists"),
    (-libc::EXDEV, c"EXDEV", c"Invalid cross-device link"),
    (-libc::ENODEV, c"ENODEV", c"No such device"),
    (-libc::ENOTDIR, c"ENOTDIR", c"Not a directory"),
    (-libc::EISDIR, c"EISDIR", c"Is a directory"),
    (-libc::EINVAL, c"EINVAL", c"Invalid argument"),
    (-libc::ENFILE, c"ENFILE", c"Too many open files in system"),
    (-libc::EMFILE, c"EMFILE", c"Too many open files"),
    (-libc::ENOTTY, c"ENOTTY", c"Inappropriate ioctl for device"),
    (-libc::ETXTBSY, c"ETXTBSY", c"Text file busy"),
    (-libc::EFBIG, c"EFBIG", c"File too large"),
    (-libc::ENOSPC, c"ENOSPC", c"No space left on device"),
    (-libc::ESPIPE, c"ESPIPE", c"Illegal seek"),
    (-libc::EROFS, c"EROFS", c"Read-only file system"),
    (-libc::EMLINK, c"EMLINK", c"Too many links"),
    (-libc::EPIPE, c"EPIPE", c"Broken pipe"),
    (-libc::EDOM, c"EDOM", c"Numerical argument out of domain"),
    (-libc::ERANGE, c"ERANGE", c"Numerical result out of range"),
    (-libc::EDEADLK, c"EDEADLK", c"Resource deadlock avoided"),
    (-libc::ENAMETOOLONG, c"ENAMETOOLONG", c"File name too long"),
    (-libc::ENOLCK, c"ENOLCK", c"No locks available"),
    (-libc::ENOSYS, c"ENOSYS", c"Function not implemented"),
    (-libc::ENOTEMPTY, c"ENOTEMPTY", c"Directory not empty"),
    (-libc::ELOOP, c"ELOOP", c"Too many levels of symbolic links"),
    (-libc::ENOMSG, c"ENOMSG", c"No message of desired type"),
    (-libc::EIDRM, c"EIDRM", c"Identifier removed"),
    (-libc::ECHRNG, c"ECHRNG", c"Channel number out of range"),
    (-libc::EL2NSYNC, c"EL2NSYNC", c"Level 2 not synchronized"),
    (-libc::EL3HLT, c"EL3HLT", c"Level 3 halted"),
    (-libc::EL3RST, c"EL3RST", c"Level 3 reset"),
    (-libc::ELNRNG, c"ELNRNG", c"Link number out of range"),
    (-libc::EUNATCH, c"EUNATCH", c"Protocol driver not attached"),
    (-libc::ENOCSI, c"ENOCSI", c"No CSI structure available"),
    (-libc::EL2HLT, c"EL2HLT", c"Level 2 halted"),
    (-libc::EBADE, c"EBADE", c"Invalid exchange"),
    (-libc::EBADR, c"EBADR", c"Invalid request descriptor"),
    (-libc::EXFULL, c"EXFULL", c"Exchange full"),
    (-libc::ENOANO, c"ENOANO", c"No anode"),
    (-libc::EBADRQC, c"EBADRQC", c"Invalid request code"),
    (-libc::EBADSLT, c"EBADSLT", c"Invalid slot"),
    (-libc::EBFONT, c"EBFONT", c"Bad font file format"),
    (-libc::ENOSTR, c"ENOSTR", c"Device not a stream"),
    (-libc::ENODATA, c"ENODATA", c"No data available"),
    (-libc::ETIME, c"ETIME", c"Timer expired"),
    (-libc::ENOSR, c"ENOSR", c"Out of streams resources"),
    (-libc::ENONET, c"ENONET", c"Machine is not on the network"),
    (-libc::ENOPKG, c"ENOPKG", c"Package not installed"),
    (-libc::EREMOTE, c"EREMOTE", c"Object is remote"),
    (-libc::ENOLINK, c"ENOLINK", c"Link has been severed"),
    (-libc::EADV, c"EADV", c"Advertise error"),
    (-libc::ESRMNT, c"ESRMNT", c"Srmount error"),
    (-libc::ECOMM, c"ECOMM", c"Communication error on send"),
    (-libc::EPROTO, c"EPROTO", c"Protocol error"),
    (-libc::EMULTIHOP, c"EMULTIHOP", c"Multihop attempted"),
    (-libc::EDOTDOT, c"EDOTDOT", c"RFS specific error"),
    (-libc::EBADMSG, c"EBADMSG", c"Bad message"),
    (-libc::EOVERFLOW, c"EOVERFLOW", c"Value too large for defined data type"),
    (-libc::ENOTUNIQ, c"ENOTUNIQ", c"Name not unique on network"),
    (-libc::EBADFD, c"EBADFD", c"File descriptor in bad state"),
    (-libc::EREMCHG, c"EREMCHG", c"Remote address changed"),
    (-libc::ELIBACC, c"ELIBACC", c"Can not access a needed shared library"),
    (-libc::ELIBBAD, c"ELIBBAD", c"Accessing a corrupted shared library"),
    (-libc::ELIBSCN, c"ELIBSCN", c".lib section in a.out corrupted"),
    (-libc::ELIBMAX, c"ELIBMAX", c"Attempting to link in too many shared libraries"),
    (-libc::ELIBEXEC, c"ELIBEXEC", c"Cannot exec a shared library directly"),
    (-libc::EILSEQ, c"EILSEQ", c"Invalid or incomplete multibyte or wide character"),
    (-libc::ERESTART, c"ERESTART", c"Interrupted system call should be restarted"),
    (-libc::ESTRPIPE, c"ESTRPIPE", c"Streams pipe error"),
    (-libc::EUSERS, c"EUSERS", c"Too many users"),
    (-libc::ENOTSOCK, c"ENOTSOCK", c"Socket operation on non-socket"),
    (-libc::EDESTADDRREQ, c"EDESTADDRREQ", c"Destination address required"),
    (-libc::EMSGSIZE, c"EMSGSIZE", c"Message too long"),
    (-libc::EPROTOTYPE, c"EPROTOTYPE", c"Protocol wrong type for socket"),
    (-libc::ENOPROTOOPT, c"ENOPROTOOPT", c"Protocol not available"),
    (-libc::EPROTONOSUPPORT, c"EPROTONOSUPPORT", c"Protocol not supported"),
    (-libc::ESOCKTNOSUPPORT, c"ESOCKTNOSUPPORT", c"Socket type not supported"),
    (-libc::EOPNOTSUPP, c"EOPNOTSUPP", c"Operation not supported"),
    (-libc::EPFNOSUPPORT, c"EPFNOSUPPORT", c"Protocol family not supported"),
    (-libc::EAFNOSUPPORT, c"EAFNOSUPPORT", c"Address family not supported by protocol"),
    (-libc::EADDRINUSE, c"EADDRINUSE", c"Address already in use"),
    (-libc::EADDRNOTAVAIL, c"EADDRNOTAVAIL", c"Cannot assign requested address"),
    (-libc::ENETDOWN, c"ENETDOWN", c"Network is down"),
    (-libc::ENETUNREACH, c"ENETUNREACH", c"Network is unreachable"),
    (-libc::ENETRESET, c"ENETRESET", c"Network dropped connection on reset"),
    (-libc::ECONNABORTED, c"ECONNABORTED", c"Software caused connection abort"),
    (-libc::ECONNRESET, c"ECONNRESET", c"Connection reset by peer"),
    (-libc::ENOBUFS, c"ENOBUFS", c"No buffer space available"),
    (-libc::EISCONN, c"EISCONN", c"Transport endpoint is already connected"),
    (-libc::ENOTCONN, c"ENOTCONN", c"Transport endpoint is not connected"),
    (-libc::ESHUTDOWN, c"ESHUTDOWN", c"Cannot send after transport endpoint shutdown"),
    (-libc::ETOOMANYREFS, c"ETOOMANYREFS", c"Too many references: cannot splice"),
    (-libc::ETIMEDOUT, c"ETIMEDOUT", c"Connection timed out"),
    (-libc::ECONNREFUSED, c"ECONNREFUSED", c"Connection refused"),
    (-libc::EHOSTDOWN, c"EHOSTDOWN", c"Host is down"),
    (-libc::EHOSTUNREACH, c"EHOSTUNREACH", c"No route to host"),
    (-libc::EALREADY, c"EALREADY", c"Operation already in progress"),
    (-libc::EINPROGRESS, c"EINPROGRESS", c"Operation now in progress"),
    (-libc::ESTALE, c"ESTALE", c"Stale file handle"),
    (-libc::EUCLEAN, c"EUCLEAN", c"Structure needs cleaning"),
    (-libc::ENOTNAM, c"ENOTNAM", c"Not a XENIX named type file"),
    (-libc::ENAVAIL, c"ENAVAIL", c"No XENIX semaphores available"),
    (-libc::EISNAM, c"EISNAM", c"Is a named type file"),
    (-libc::EREMOTEIO, c"EREMOTEIO", c"Remote I/O error"),
    (-libc::EDQUOT, c"EDQUOT", c"Disk quota exceeded"),
    (-libc::ENOMEDIUM, c"ENOMEDIUM", c"No medium found"),
    (-libc::EMEDIUMTYPE, c"EMEDIUMTYPE", c"Wrong medium type"),
    (-libc::ECANCELED, c"ECANCELED", c"Operation canceled"),
    (-libc::ENOKEY, c"ENOKEY", c"Required key not available"),
    (-libc::EKEYEXPIRED, c"EKEYEXPIRED", c"Key has expired"),
    (-libc::EKEYREVOKED, c"EKEYREVOKED", c"Key has been revoked"),
    (-libc::EKEYREJECTED, c"EKEYREJECTED", c"Key was rejected by service"),
    (-libc::EOWNERDEAD, c"EOWNERDEAD", c"Owner died"),
    (-libc::ENOTRECOVERABLE, c"ENOTRECOVERABLE", c"State not recoverable"),
    (-libc::ERFKILL, c"ERFKILL", c"Operation not possible due to RF-kill"),
    (-libc::EHWPOISON, c"EHWPOISON", c"Memory page has hardware error"),
];

package shmkit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"shmkit/internal/capi"
)

// Error is what every function of this package returns when it fails, as *Error; only io.EOF and what
// a callback returns come as they are. It says what was tried, on what, and why it failed, with the
// numbers.
//
// Ask with errors.Is for a syscall.Errno (syscall.ENOSPC), for fs.ErrNotExist, fs.ErrExist or
// fs.ErrPermission, for a Code of this package (ErrShrunk), for ErrClosed, and for what ended a
// context (context.Canceled).
type Error struct {
	Op      string        // the function or method that failed: "OpenPOSIX"
	Code    Code          // of libshmkit: -errno, or one of the constants below
	Errno   syscall.Errno // where the kernel or POSIX has a name for the failure, else 0
	Message string        // one sentence: "cannot open the POSIX object /frames: No such file or directory"

	cause error // of another package; otherwise it is the Errno or the Code
}

// Error returns the sentence, with the operation in front.
func (e *Error) Error() string { return "shmkit: " + e.Op + ": " + e.Message }

// Unwrap returns the errno, the Code, or what else stands behind the failure.
func (e *Error) Unwrap() error {
	switch {
	case e.cause != nil:
		return e.cause
	case e.Errno != 0:
		return e.Errno
	case e.Code != 0:
		return e.Code
	}
	return nil
}

// Code is a failure that has no errno. It is an error itself, to be looked for with errors.Is.
type Code int

// The failures for which the kernel has no name (shm_error(3)).
const (
	ErrShrunk        Code = -4096 // the bytes are in the region, and its backing does not hold them: the file was truncated, or its file system is full
	ErrNotRegion     Code = -4097 // what arrived is no region, or not the one that its frame describes
	ErrVersion       Code = -4098 // the other side speaks a version that this library does not know
	ErrUnsealed      Code = -4099 // the received descriptor can be shrunk, and RiskShrink was not given
	ErrUnenforceable Code = -4100 // a read-only region's receiver could open it for writing, and RiskReopen was not given
	ErrCollision     Code = -4101 // the segment under this System V key was made for another path
	ErrOnDisk        Code = -4102 // /dev/shm is no memory file system here, and RiskDisk was not given
	ErrUnguarded     Code = -4103 // no fault reaches the guard's SIGBUS handler
	ErrPeerDied      Code = -4104 // a process that was waited for has died
)

// Error returns the library's phrase for the code.
func (c Code) Error() string { return capi.ErrorText(int(c)) }

// Name returns the code's name in C ("SHMKIT_E_SHRUNK", "ENOENT").
func (c Code) Name() string { return capi.ErrorName(int(c)) }

// ErrClosed is what every method of a closed Region answers, and of a Party that was left.
var ErrClosed = fs.ErrClosed

func failure(op string, f *capi.Failure) error {
	if f == nil {
		return nil
	}
	return &Error{Op: op, Code: Code(f.Code), Errno: f.Errno(), Message: f.Message}
}

// refused is a failure that this package notices itself.
func refused(op string, errno syscall.Errno, format string, values ...any) error {
	return failure(op, &capi.Failure{Code: -int(errno), Message: fmt.Sprintf(format, values...)})
}

// caused is a failure of another package's.
func caused(op string, err error) error {
	if err.Error() == "use of closed file" {
		err = os.ErrClosed // which the error of os.File.SyscallConn is not
	}
	e := &Error{Op: op, Message: err.Error(), cause: err}
	if errno, ok := asErrno(err); ok {
		e.Code, e.Errno = Code(-int(errno)), errno
	}
	return e
}

func asErrno(err error) (errno syscall.Errno, ok bool) { return errno, errors.As(err, &errno) }

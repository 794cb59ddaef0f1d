package shmkit

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"syscall"
	"unsafe"

	"shmkit/internal/capi"
)

// ReadAt copies bytes out of the region (io.ReaderAt); io.NewSectionReader makes an io.Reader of it. At
// the region's end it returns io.EOF.
//
// Where the memory is gone, because a peer has truncated the file, the result is ErrShrunk, and n tells
// how many bytes there were before; the process goes on. Memory goes by whole pages: in the page in which
// the file now ends, and in all that it lost and got again, bytes read as zeros. Bytes that others write
// meanwhile arrive old or new, in any mixture. No call of C, and no system call.
func (r *Region) ReadAt(p []byte, off int64) (n int, err error) {
	if r.isNone() {
		return 0, r.enter("ReadAt")
	}
	if r.state.word.Add(plainCopy)&(closed|mayFault) == 0 {
		if from, ok := r.from(off, len(p)); ok {
			return r.copyPlain(p, from), nil
		}
	}
	r.leaveCopy()
	return r.readAt(p, off)
}

// WriteAt copies bytes into the region (io.WriterAt). It never makes the region larger: bytes that do
// not all fit are ERANGE, and none is written. A region for reading alone is EACCES.
//
// Where the memory is gone the result is ErrShrunk, the first n bytes are written, and some of those behind
// may be.
func (r *Region) WriteAt(p []byte, off int64) (n int, err error) {
	if r.isNone() {
		return 0, r.enter("WriteAt")
	}
	if r.state.word.Add(plainCopy)&(closed|mayFault|readOnly) == 0 {
		if to, ok := r.from(off, len(p)); ok {
			return r.copyPlain(to, p), nil
		}
	}
	r.leaveCopy()
	return r.writeAt(p, off)
}

// copyPlain is the rest of a plain copy. The other side can be lent by a region whose memory is gone: then
// this one has to be left all the same.
func (r *Region) copyPlain(to, from []byte) int {
	defer r.leaveCopy()
	return copy(to, from)
}

// from is the region from an offset on, if it holds length bytes there.
func (r *Region) from(off int64, length int) ([]byte, bool) {
	behind := r.reach.Load() - off
	if off < 0 || int64(length) > behind {
		return nil, false
	}
	return unsafe.Slice((*byte)(unsafe.Add(r.data, off)), behind), true
}

// readAt is ReadAt under the guard, at the region's end, and with an error.
func (r *Region) readAt(p []byte, off int64) (n int, err error) {
	const op = "ReadAt"
	if err := r.enter(op); err != nil {
		return 0, err
	}
	defer r.leave()
	if off < 0 {
		return 0, refused(op, syscall.EINVAL, "the offset is %d", off)
	}
	if len(p) == 0 {
		return 0, nil
	}
	there := r.reach.Load() - off
	if there <= 0 {
		return 0, io.EOF
	}
	from := unsafe.Slice((*byte)(unsafe.Add(r.data, off)), there)
	if n, err = r.copyGuarded(op, off, p, from); err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

func (r *Region) writeAt(p []byte, off int64) (n int, err error) {
	const op = "WriteAt"
	if err := r.enter(op); err != nil {
		return 0, err
	}
	defer r.leave()
	if off < 0 {
		return 0, refused(op, syscall.EINVAL, "the offset is %d", off)
	}
	if r.state.has(readOnly) {
		return 0, refused(op, syscall.EACCES, "%s is for reading alone", r.what())
	}
	to, ok := r.from(off, len(p))
	if !ok {
		return 0, refused(op, syscall.ERANGE, "%d bytes at offset %d are beyond the region: it has %d", len(p), off, r.reach.Load())
	}
	return r.copyGuarded(op, off, to, p)
}

// copyGuarded copies as far as there is memory. off is where the region's side begins.
func (r *Region) copyGuarded(op string, off int64, to, from []byte) (n int, err error) {
	if n, err = r.tryCopy(op, to, from); err == nil {
		return n, nil
	}
	// A copy may begin at its end: page by page it tells how far it came.
	length := min(len(to), len(from))
	for n < length {
		end := min(n+r.PageSize()-int(off+int64(n))%r.PageSize(), length)
		part, err := r.tryCopy(op, to[n:end], from[n:end])
		if err != nil {
			return n, err
		}
		n += part
	}
	return n, nil // it has come back meanwhile
}

func (r *Region) tryCopy(op string, to, from []byte) (n int, err error) {
	defer r.faults(op, r.data, debug.SetPanicOnFault(true), &err)
	return copy(to, from), nil
}

// Bytes lends the region's bytes to a callback, without a copy: for reading, and for writing where the
// region is writable. They are valid inside the callback alone, and Close waits for it.
//
// A fault in the callback at an address of the region ends it, and is an error: ErrShrunk where a peer
// has truncated the file, EACCES for a write to memory that is for reading. It is a panic up to here,
// so deferred calls run. Every other panic, and runtime.Goexit, goes through. Goroutines that the
// callback starts, and C, are not guarded (Pointer guards C). Bytes of a system call that the kernel
// finds gone are its EFAULT.
//
// The result is the callback's, as it is.
func (r *Region) Bytes(use func(b []byte) error) error {
	return r.lend("Bytes", use)
}

// lend gives the region's bytes to a callback under the guard.
func (r *Region) lend(op string, use func(b []byte) error) (err error) {
	if err := r.enter(op); err != nil {
		return err
	}
	defer r.leave()
	reach := r.reach.Load()
	data, back := borrow(r, reach)
	defer back()
	defer r.faults(op, data, debug.SetPanicOnFault(true), &err)
	return use(unsafe.Slice((*byte)(data), reach)[:reach:reach])
}

// faults is deferred by what touches the region's memory: it turns a fault of it into an error.
func (r *Region) faults(op string, data unsafe.Pointer, before bool, err *error) {
	debug.SetPanicOnFault(before)
	if value := recover(); value != nil {
		fault, ok := value.(interface {
			runtime.Error
			Addr() uintptr
		})
		if !ok || fault.Addr()-uintptr(data) >= uintptr(r.reach.Load()) {
			panic(value)
		}
		*err = r.why(op, int(fault.Addr()-uintptr(data)))
	}
}

// why is the error for a byte that could not be touched, and with it its page.
func (r *Region) why(op string, offset int) error {
	// A change of rights that has caused it may still be going on.
	r.further().changing.Lock()
	defer r.further().changing.Unlock()
	page := offset - offset%r.PageSize()
	if f := r.held.Check(page, min(r.PageSize(), int(r.reach.Load())-page)); f != nil {
		return failure(op, f)
	}
	if r.state.has(readOnly) {
		return refused(op, syscall.EACCES, "a write at offset %d: %s is for reading alone", offset, r.what())
	}
	if !r.state.has(canShrink) {
		return refused(op, syscall.EACCES, "the byte at offset %d of %s was forbidden for a moment", offset, r.what())
	}
	return failure(op, &capi.Failure{Code: int(ErrShrunk), Message: fmt.Sprintf("the page at offset %d of %s was not there for a moment", page, r.what())})
}

// Pointer lends the region's address to a callback that gives it to C. In there a page whose backing
// is gone reads as zeros, for C and for Go, and what is written to it is lost; afterwards the result is
// ErrShrunk, unless the callback itself has failed. Meanwhile ReadAt, Bytes and the like find these zeros
// too, without an error. A write to a region for reading alone ends the process, as in C. The address is
// valid inside the callback alone.
//
// For memory that cannot shrink that is all. Otherwise the first such call installs libshmkit's
// handler of SIGBUS for the process, for good, which passes on to Go's what is not its own
// (shm_guard(3)); after Protect it is EINVAL. ErrUnguarded where a C library's handler, installed later,
// does not pass on in turn.
func (r *Region) Pointer(use func(data unsafe.Pointer) error) (err error) {
	const op = "Pointer"
	if err := r.enter(op); err != nil {
		return err
	}
	defer r.leave()
	if r.state.has(canShrink) {
		if f := r.held.GuardEnable(); f != nil {
			return failure(op, f)
		}
	}
	if f := r.held.GuardBegin(); f != nil {
		return failure(op, f)
	}
	defer inCallback(r)()
	defer func() {
		if f := r.held.GuardEnd(); f != nil && err == nil {
			err = failure(op, f)
		}
	}()
	return use(r.data)
}

// UnsafeBytes returns the region's bytes without any protection: they are valid until Close, and using
// them later reads other memory or ends the process, as does a peer that truncates the file
// (CanShrink). The caller has to keep the region from becoming closed; it is not closed for being
// unreachable any more. Bytes is the normal way.
func (r *Region) UnsafeBytes() ([]byte, error) {
	if err := r.enter("UnsafeBytes"); err != nil {
		return nil, err
	}
	defer r.leave()
	r.held.lentForGood.Store(true)
	reach := r.reach.Load()
	return unsafe.Slice((*byte)(r.data), reach)[:reach:reach], nil
}

// Check says whether these bytes can be read, and written where the region is writable: a diagnosis,
// no promise for later. ERANGE, ErrShrunk with the size that the backing has now, or EACCES.
func (r *Region) Check(offset, length int) error {
	return r.onRange("Check", offset, length, capi.Handle.Check)
}

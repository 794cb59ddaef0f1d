package shmkit

import (
	"runtime"
	"syscall"

	"shmkit/internal/capi"
)

// Offsets and lengths are in bytes. What the kernel does, it does to whole pages.

// Flush writes a range to the file on disk and waits until it is there (msync(2)). Other processes see
// the bytes without it. EIO is the device's.
func (r *Region) Flush(offset, length int) error {
	return r.onRange("Flush", offset, length, capi.Handle.Flush)
}

// FlushAsync starts to write a range to the file on disk and returns; Flush waits for it.
func (r *Region) FlushAsync(offset, length int) error {
	return r.onRange("FlushAsync", offset, length, capi.Handle.FlushAsync)
}

// Prefault touches every page of a range now, so that later accesses do not wait for page faults.
// ENOMEM, or ErrShrunk where the backing has no room for it.
func (r *Region) Prefault(offset, length int) error {
	return r.onRange("Prefault", offset, length, capi.Handle.Prefault)
}

// Lock is no mutex: it keeps the pages of a range from being swapped out (mlock(2)), until Unlock or
// Close. ENOMEM, EAGAIN or EPERM over RLIMIT_MEMLOCK, whose value is in the message.
func (r *Region) Lock(offset, length int) error {
	return r.onRange("Lock", offset, length, capi.Handle.Lock)
}

// Unlock ends Lock for a range.
func (r *Region) Unlock(offset, length int) error {
	return r.onRange("Unlock", offset, length, capi.Handle.Unlock)
}

// Advise tells the kernel how a range will be used (madvise(2)); the offset is on a page boundary.
func (r *Region) Advise(offset, length int, advice Advice) error {
	return r.onRange("Advise", offset, length, func(h capi.Handle, offset, length int) *capi.Failure {
		return h.Advise(offset, length, int32(advice))
	})
}

// Protect changes what this process may do with a range (mprotect(2)); the offset is on a page
// boundary. ReadAt, WriteAt and Bytes answer EACCES where it is forbidden. EACCES for more rights than
// the region was opened with, EINVAL after Pointer on memory that can shrink.
func (r *Region) Protect(offset, length int, rights Rights) error {
	return r.onRange("Protect", offset, length, func(h capi.Handle, offset, length int) *capi.Failure {
		r.further().changing.Lock()
		defer r.further().changing.Unlock()
		r.state.word.Or(protected)
		r.expectFaults()
		return h.Protect(offset, length, uint32(rights))
	})
}

// Place says on which NUMA nodes a range's pages shall lie (mbind(2)); the offset is on a page
// boundary. No nodes with PlaceDefault, else at least one.
func (r *Region) Place(offset, length int, policy Policy, nodes ...int) error {
	const op = "Place"
	numbers := make([]int32, len(nodes))
	for i, node := range nodes {
		if numbers[i] = int32(node); int(numbers[i]) != node {
			return refused(op, syscall.EINVAL, "there is no node %d", node)
		}
	}
	return r.onRange(op, offset, length, func(h capi.Handle, offset, length int) *capi.Failure {
		return h.Place(offset, length, int32(policy), numbers)
	})
}

// Nodes tells where a range's pages lie: for each page, of PageSize, the number of its NUMA node, or -1
// where this process has no page yet (Prefault makes it known).
func (r *Region) Nodes(offset, length int) (nodes []int, err error) {
	err = r.onRange("Nodes", offset, length, func(h capi.Handle, offset, length int) *capi.Failure {
		if reach := int(r.reach.Load()); length == 0 || offset > reach || length > reach-offset {
			return h.Nodes(offset, length, nil)
		}
		first, last := offset/r.PageSize(), (offset+length-1)/r.PageSize()
		numbers := make([]int32, last-first+1)
		if f := h.Nodes(offset, length, numbers); f != nil {
			return f
		}
		nodes = make([]int, len(numbers))
		for i, number := range numbers {
			nodes[i] = max(int(number), -1)
		}
		return nil
	})
	return nodes, err
}

// Seals tells which seals the region's object has. EINVAL for a file system without seals, EOPNOTSUPP
// for a kind without a descriptor. POSIX objects always answer SealSeal.
func (r *Region) Seals() (Seal, error) {
	if err := r.enter("Seals"); err != nil {
		return 0, err
	}
	defer r.leave()
	seals, f := r.held.Seals()
	if f != nil {
		return 0, failure("Seals", f)
	}
	return Seal(seals), nil
}

// Seal adds seals to a memfd region, for every process and for good; all of them or none. EBUSY for
// SealWrite while a writable mapping lives (Freeze is for that), EPERM where it is sealed against seals.
func (r *Region) Seal(seals Seal) error {
	return r.change("Seal", false, func(h capi.Handle) (capi.Changed, *capi.Failure) { return h.Seal(uint32(seals)) })
}

// PublishReadOnly lets nobody write to a memfd region any more but this process; SendRegion then hands
// it over for reading, and the kernel keeps it so. EBUSY where others may have it writable already: it
// was sent, received, or its descriptor given out; the message says which.
func (r *Region) PublishReadOnly() error {
	return r.change("PublishReadOnly", false, capi.Handle.PublishReadOnly)
}

// Freeze lets nobody write to a memfd region any more, this process included, for good. EBUSY while
// another process has it mapped writable; EPERM after PublishReadOnly; EINVAL after Pointer on memory
// that can shrink.
func (r *Region) Freeze() error {
	return r.change("Freeze", true, capi.Handle.Freeze)
}

// Grow makes a region with GrowableTo larger, for all its users, without moving it. The new bytes are
// reserved, and zeros. This process can use them at once, others after Follow. Nothing ever gets
// smaller. EFBIG over SizeMax, ENOSPC, ENOMEM, EOPNOTSUPP (not growable), EPERM (sealed).
func (r *Region) Grow(size int) error {
	const op = "Grow"
	if size < 0 {
		return refused(op, syscall.EINVAL, "the size is %d", size)
	}
	return r.change(op, false, func(h capi.Handle) (capi.Changed, *capi.Failure) { return h.Grow(size) })
}

// Follow takes over what others have grown, as far as SizeMax, and tells whether the region became
// larger. EOPNOTSUPP where it is not growable; ErrShrunk where its object became smaller.
func (r *Region) Follow() (grown bool, err error) {
	err = r.change("Follow", false, func(h capi.Handle) (now capi.Changed, f *capi.Failure) {
		now, grown, f = h.Follow()
		return now, f
	})
	return grown, err
}

// change runs a call that changes the region, and takes over what it has become. revokes tells whether
// the call takes away the right to write.
func (r *Region) change(op string, revokes bool, call func(capi.Handle) (capi.Changed, *capi.Failure)) error {
	if err := r.enter(op); err != nil {
		return err
	}
	defer r.leave()
	r.further().changing.Lock()
	defer r.further().changing.Unlock()
	if revokes {
		r.expectFaults()
	}
	now, f := call(r.held.Handle)
	r.setSize(now.Size)
	if now.CanShrink {
		r.state.word.Or(canShrink)
	} else {
		r.state.word.And(^int64(canShrink))
	}
	// A freeze that fails can leave the memory for reading too, where a peer has sealed the way back.
	if now.ReadOnly {
		r.state.word.Or(readOnly)
	}
	if !now.CanShrink && !r.state.has(protected) && (f == nil || !revokes) {
		r.state.word.And(^int64(mayFault))
	}
	return failure(op, f)
}

// expectFaults puts all copies under the guard, and waits for those that are not.
func (r *Region) expectFaults() {
	for word := r.state.word.Or(mayFault); word&copies != 0; word = r.state.word.Load() {
		runtime.Gosched()
	}
}

// onRange runs a call for a range of the region.
func (r *Region) onRange(op string, offset, length int, call func(h capi.Handle, offset, length int) *capi.Failure) error {
	if err := r.enter(op); err != nil {
		return err
	}
	defer r.leave()
	if offset < 0 || length < 0 {
		return refused(op, syscall.EINVAL, "%d bytes at offset %d", length, offset)
	}
	return failure(op, call(r.held.Handle, offset, length))
}

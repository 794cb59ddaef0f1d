package shmkit

import (
	"fmt"
	"iter"
	"os"
	"syscall"
	"time"

	"shmkit/internal/capi"
)

// Fits tells whether a region of this kind and size could be made now: Memfd, Anonymous, POSIX or SysV.
// Nothing is made, and no memory is reserved. The error is the one that making it would end with, and
// says which limit stands in the way, its value, and where it is set. ENOMEM can also be memory that
// the kernel would promise, and kill for when it is used up: a control group's, or all the machine's.
//
// The options are those of the call that would make it, which refuses what is refused here; OrOpen and
// Replace are taken as if there were none yet.
// Errors: EINVAL, ENOSPC, ENOMEM, EFBIG (RLIMIT_FSIZE), EMFILE, EOPNOTSUPP (no huge pages of this size),
// EPERM, EBUSY, ErrOnDisk.
func Fits(kind Kind, size int, options ...Option) error {
	return fits("Fits", size, options, func(o capi.Options) *capi.Failure {
		if kind == File {
			return &capi.Failure{Code: -int(syscall.EINVAL), Message: "where the file would be is not known: FitsFile takes its path"}
		}
		return capi.Fits(int32(kind), size, o)
	})
}

// FitsFile is Fits for a file that would be made at this path. Errors also: EEXIST, and ENOENT and
// others, of its directory.
func FitsFile(path string, size int, options ...Option) error {
	const op = "FitsFile"
	if err := noNUL(op, "the path", path); err != nil {
		return err
	}
	return fits(op, size, options, func(o capi.Options) *capi.Failure { return capi.FitsFile(path, size, o) })
}

func fits(op string, size int, options []Option, call func(capi.Options) *capi.Failure) error {
	o, err := settle(op, options)
	if err != nil {
		return err
	}
	if size < 0 {
		return refused(op, syscall.EINVAL, "the size is %d", size)
	}
	return failure(op, call(o))
}

// Holder is one way in which a process has an object: a descriptor, or a mapping. A process that has
// both is there twice.
type Holder struct {
	PID        int
	Command    string    // the name of the process's, at most 15 bytes
	UID        int       // of its effective user; -1 where it is not known
	StartedAt  time.Time // when the process started
	StartTicks uint64    // the same in clock ticks since the machine's start: with the PID, it tells a process from every other one

	FD             int     // the descriptor; -1 for a mapping
	Address        uintptr // of a mapping, in its process
	Length, Offset int     // of a mapping, in bytes: how much it has, and where in the object it begins
	Shared         bool    // a shared mapping; a private one sees what others write until it writes itself

	Readable, Writable bool // what the descriptor was opened for, or the mapping allows
}

// String describes the holder: "process 4711 (cat), descriptor 3, for reading".
func (h Holder) String() string {
	has := fmt.Sprintf("descriptor %d", h.FD)
	if h.FD < 0 {
		has = fmt.Sprintf("%d bytes mapped", h.Length)
		if !h.Shared {
			has += " privately"
		}
	}
	may := "without rights"
	switch {
	case h.Readable && h.Writable:
		may = "for reading and writing"
	case h.Readable:
		may = "for reading"
	case h.Writable:
		may = "for writing"
	}
	return fmt.Sprintf("process %d (%s), %s, %s", h.PID, printable(h.Command), has, may)
}

// Gap is why there may be more than a list has.
type Gap struct {
	Message string   // one sentence
	Count   int      // how many of what it names; 0 where nobody can count them
	Cause   GapCause // for programs
}

// GapCause is what kept something from being seen. More may be added.
type GapCause uint32

const (
	GapPermission   GapCause = 1 + iota // processes of other users, that may not be looked into
	GapHidden                           // /proc is mounted with hidepid
	GapPIDNamespace                     // processes outside of this PID namespace are not in /proc
	GapUnreadable                       // a file or directory could not be read
	GapMalformed                        // something was not in the form that the kernel is known to write
	GapElsewhere                        // attachments that the kernel counts, and that no process was seen to have
	GapUnfollowed                       // what is only mapped, and may not be followed: size, owner and seals are not known
)

// String is the cause in a word, as the command-line tool has it: "permission".
func (c GapCause) String() string {
	names := [...]string{"permission", "hidden", "pid-namespace", "unreadable", "malformed", "elsewhere", "unfollowed"}
	if c == 0 || int(c) > len(names) {
		return fmt.Sprintf("cause %d", uint32(c))
	}
	return names[c-1]
}

// String returns the sentence.
func (g Gap) String() string { return g.Message }

// Holders looks at every process, and tells who has the region's object, this process included. What
// may not be seen never fails the rest: without gaps, the answer is complete, but for descriptors that
// are under way in a socket.
func (r *Region) Holders() (holders []Holder, gaps []Gap, err error) {
	return r.holders("Holders", 0)
}

// Openers is Holders for those who have it open alone: mappings are not looked at, which is quicker, and
// waits for no other process. Without gaps it is complete as to descriptors.
func (r *Region) Openers() (holders []Holder, gaps []Gap, err error) {
	const descriptors = 128 // SHMKIT_SELECT_DESCRIPTORS
	return r.holders("Openers", descriptors)
}

func (r *Region) holders(op string, ways uint32) (holders []Holder, gaps []Gap, err error) {
	if err := r.enter(op); err != nil {
		return nil, nil, err
	}
	defer r.leave()
	found, missing, f := r.held.Holders(ways)
	for _, holder := range found {
		holders = append(holders, Holder(holder))
	}
	for _, gap := range missing {
		gaps = append(gaps, Gap{gap.Message, gap.Count, GapCause(gap.Cause)})
	}
	return holders, gaps, failure(op, f)
}

// Residency is which pages of a range are in memory.
type Residency struct {
	Runs     []Run // without gaps; resident ones and others in turn
	Resident int   // how many bytes are in memory
	Absent   int   // how many are not

	// OwnOnly tells that only what this process has touched itself counts as resident, because the
	// kernel says no more: of a file that this process may not write to, and of pages from a pool.
	OwnOnly bool
}

// Run is a range of pages that are all in memory, or all not. Offset and length are in bytes.
type Run struct {
	Offset, Length int
	Resident       bool
}

// Pages goes through the range page by page, of os.Getpagesize: each one's offset in the region, and
// whether it is in memory.
func (r Residency) Pages() iter.Seq2[int, bool] {
	return func(yield func(int, bool) bool) {
		page := os.Getpagesize()
		for _, run := range r.Runs {
			for offset := run.Offset; offset < run.Offset+run.Length; offset += page {
				if !yield(offset, run.Resident) {
					return
				}
			}
		}
	}
}

// Residency tells which pages of a range are in memory, whoever has touched them: whole pages, as far
// as the range touches them. Looking touches none.
func (r *Region) Residency(offset, length int) (residency Residency, err error) {
	err = r.onRange("Residency", offset, length, func(h capi.Handle, offset, length int) *capi.Failure {
		runs, own, f := h.Residency(offset, length)
		for _, run := range runs {
			residency.Runs = append(residency.Runs, Run(run))
			if run.Resident {
				residency.Resident += run.Length
			} else {
				residency.Absent += run.Length
			}
		}
		residency.OwnOnly = own
		return f
	})
	return residency, err
}

// Usage is what mappings take in a process, in bytes: the sums of their figures in /proc/PID/smaps
// (proc(5)). A region is one mapping, until parts of it are protected or locked.
type Usage struct {
	Size                       int // of addresses
	Resident                   int // Rss: in memory, and in this process's page tables
	Proportional               int // Pss: what several mappings have is shared out among them
	SharedClean, SharedDirty   int
	PrivateClean, PrivateDirty int
	Huge                       int // on huge pages, transparent ones or a pool's; a pool's are not part of Resident
	Locked                     int
	Swapped                    int

	Mappings int      // how many there are
	PageSize int      // of the first
	Flags    []string // VmFlags of the first, two letters each: "sh" is a shared mapping, "lo" a locked one
}

// Usage tells what the region takes in this process.
func (r *Region) Usage() (Usage, error) {
	const op = "Usage"
	if err := r.enter(op); err != nil {
		return Usage{}, err
	}
	defer r.leave()
	usage, f := r.held.Usage()
	if f != nil {
		return Usage{}, failure(op, f)
	}
	return Usage(usage), nil
}

// FileSystem is where a region's object lies. Sizes are math.MaxInt where there is no limit.
type FileSystem struct {
	Kind       string // "tmpfs", "ext4"
	MountPoint string // "" for the kernel's own, where memfds, System V segments and anonymous memory are
	Options    string // "rw,noexec"
	Size, Free int    // in bytes
	FilesFree  int    // how many more files fit
	InMemory   bool   // what lies there lies in memory only
}

// FileSystem tells which file system the region's object lies on.
func (r *Region) FileSystem() (FileSystem, error) {
	const op = "FileSystem"
	if err := r.enter(op); err != nil {
		return FileSystem{}, err
	}
	defer r.leave()
	system, f := r.held.FileSystem()
	if f != nil {
		return FileSystem{}, failure(op, f)
	}
	return FileSystem(system), nil
}

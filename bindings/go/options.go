package shmkit

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"shmkit/internal/capi"
)

// Option says how to make, open or receive a region: a Flag, or what Mode, Sealed, Size, Offset,
// SizeMin, SizeMax and GrowableTo return. An option that a call has no use for is an error (EINVAL),
// never ignored. Of two that say the same, the last counts; flags add up.
type Option interface{ apply(settings) settings }

// Flag is an option without a value. Each function lists the flags that it takes.
type Flag uint32

const (
	ReadOnly      Flag = 1 << iota // map for reading only: writing is EACCES, and a receiver of the region gets it for reading
	Private                        // copy on write: this process's writes stay its own
	Replace                        // put a new object in the place of an existing one
	PastEnd                        // the mapping may be longer than its file; what lies beyond is ErrShrunk
	OrOpen                         // open the object where it exists; Region.Created tells. Its bytes may still be zeros then
	Populate                       // touch every page before the call returns
	Locked                         // keep the pages in memory (mlock), within RLIMIT_MEMLOCK
	NoReserve                      // do not reserve the memory: sparse and quick, and a full machine shows later, as ErrShrunk
	NoFork                         // a child made by a bare fork does not get the mapping; a program that Go starts never does
	AutoRemove                     // System V: remove the segment with its last user; its key is free at once
	RiskShrink                     // RecvRegion: accept memory that others can take away
	RiskReopen                     // a read-only region may be sent although its receiver could open it again for writing
	RiskDisk                       // CreatePOSIX, OpenPOSIX: accept that /dev/shm lies on a disk here
	growable                       // GrowableTo
	Mirror                         // map the bytes twice in a row: byte i also lies at size+i
	Huge2M                         // pages of 2 MiB from the machine's pool; opening and receiving: accept them
	Huge1G                         // the same with pages of 1 GiB
	HugeFallback                   // smaller pages where the machine cannot give huge ones; Region.PageSize tells
	NoDump                         // leave the region out of core dumps
	WipeOnFork                     // CreateAnonymous with Private: a child made by a bare fork finds zeros
	UnlinkLast                     // CreatePOSIX: the name goes with its last user
	UnlinkCreator                  // CreatePOSIX: the name goes with its creator
)

func (f Flag) apply(s settings) settings {
	s.options.Flags |= uint32(f)
	return s
}

// Mode sets the permission bits of the object that a call creates, at most 0777; without it they are
// 0600. The umask narrows those of files and POSIX objects. It says nothing of an object that OrOpen
// finds.
func Mode(permissions fs.FileMode) Option {
	return option(func(s *settings) {
		s.only("Mode", "Create", "CreateFile", "CreatePOSIX", "CreateSysV", "CreateSysVAt", "CreateSysVSemaphores", "CreateSysVQueue", "Fits", "FitsFile")
		switch {
		case permissions&^fs.ModePerm != 0:
			s.refuse("mode %v has more than permission bits", permissions)
		case permissions == 0:
			s.refuse("mode 0 would let nobody use the object")
		default:
			s.options.Mode = uint32(permissions)
		}
	})
}

// Sealed sets the seals of the memfd that Create makes, in place of SealShrink, SealGrow and SealExec;
// 0 for none, and then nobody receives the region without RiskShrink.
func Sealed(seals Seal) Option {
	return option(func(s *settings) {
		if seals&^(2*SealExec-1) != 0 {
			s.refuse("there is no seal %#x", uint32(seals))
		}
		s.options.Seals = uint32(seals)
		if seals == 0 {
			s.options.Seals = capi.SealNone
		}
	})
}

// Size maps so many bytes of what OpenFile or FromFile opens, instead of all.
func Size(bytes int) Option {
	return option(func(s *settings) {
		s.only("Size", "OpenFile", "FromFile")
		s.options.Size = s.atLeast("the size", bytes, 1)
	})
}

// Offset begins the region at this byte of the file, a multiple of the page size: OpenFile, FromFile,
// OpenPOSIX.
func Offset(bytes int64) Option {
	return option(func(s *settings) { s.options.Offset = uint64(s.atLeast("the offset", int(bytes), 0)) })
}

// SizeMin refuses less than so many bytes, with EINVAL: opening, attaching, receiving.
func SizeMin(bytes int) Option {
	return option(func(s *settings) {
		s.only("SizeMin", "OpenFile", "FromFile", "OpenPOSIX", "AttachSysV", "AttachSysVID", "AttachSysVAt", "RecvRegion")
		s.options.SizeMin = uint64(s.atLeast("the smallest size", bytes, 0))
	})
}

// SizeMax refuses more than so many bytes, with EFBIG, and says how far a region that its sender made
// with GrowableTo may grow here: RecvRegion.
func SizeMax(bytes int) Option {
	return option(func(s *settings) {
		s.only("SizeMax", "RecvRegion")
		s.options.SizeMax = uint64(s.atLeast("the largest size", bytes, 1))
	})
}

// GrowableTo lets the region grow in place (Region.Grow, Region.Follow), up to so many bytes, for which
// addresses are set aside. A memfd is then not sealed against growing.
func GrowableTo(bytes int) Option {
	return option(func(s *settings) {
		s.options.Flags |= uint32(growable)
		s.options.SizeMax = uint64(s.atLeast("the size to grow to", bytes, 1))
	})
}

type option func(*settings)

func (o option) apply(s settings) settings {
	o(&s)
	return s
}

// settings are what a call's options come to.
type settings struct {
	op      string
	options capi.Options
	wrong   string
}

func (s *settings) refuse(format string, values ...any) {
	if s.wrong == "" {
		s.wrong = fmt.Sprintf(format, values...)
	}
}

// only refuses an option that C would not notice in other calls.
func (s *settings) only(option string, ops ...string) {
	if !slices.Contains(ops, s.op) {
		s.refuse("%s is an option of %s", option, strings.Join(ops, ", "))
	}
}

func (s *settings) atLeast(what string, bytes, least int) int {
	if bytes < least {
		s.refuse("%s is %d, and at least %d", what, bytes, least)
	}
	return bytes
}

// settle applies the options of a call.
func settle(op string, options []Option) (capi.Options, error) {
	forceGC()
	if len(options) == 0 {
		return capi.Options{}, nil
	}
	s := settings{op: op}
	for _, option := range options {
		if option == nil {
			s.refuse("an option is nil")
			break
		}
		s = option.apply(s)
	}
	if s.wrong != "" {
		return s.options, refused(op, syscall.EINVAL, "%s", s.wrong)
	}
	return s.options, nil
}

// Kind is the mechanism behind a region.
type Kind int32

const (
	Memfd      Kind = 1 // a sealable memory file, made here, received, or from a descriptor
	Descriptor Kind = 2 // another file that was opened elsewhere
	Anonymous  Kind = 3 // anonymous memory; no descriptor
	File       Kind = 4 // a file with a path
	POSIX      Kind = 5 // a POSIX shared memory object
	SysV       Kind = 6 // a System V segment; no descriptor
)

// What package inspect lists too, and is no region.
const (
	semaphores     Kind = 7
	queue          Kind = 8
	namedSemaphore Kind = 9
)

func (k Kind) String() string {
	switch k {
	case Memfd:
		return "memfd"
	case Descriptor:
		return "descriptor"
	case Anonymous:
		return "anonymous memory"
	case File:
		return "file"
	case POSIX:
		return "POSIX object"
	case SysV:
		return "System V segment"
	case semaphores:
		return "System V semaphore set"
	case queue:
		return "System V queue"
	case namedSemaphore:
		return "named semaphore"
	}
	return fmt.Sprintf("Kind(%d)", int(k))
}

// Seal is what nobody may do to a memfd any more, as bits.
type Seal uint32

const (
	SealSeal        Seal = 1 << iota // add seals
	SealShrink                       // make it smaller
	SealGrow                         // make it larger
	SealWrite                        // write, ever
	SealFutureWrite                  // write, but through mappings that exist already
	SealExec                         // make it executable
)

// String names the seals: "SHRINK|GROW".
func (s Seal) String() string {
	var names []string
	for i, name := range []string{"SEAL", "SHRINK", "GROW", "WRITE", "FUTURE_WRITE", "EXEC"} {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if rest := s &^ (2*SealExec - 1); rest != 0 || s == 0 {
		names = append(names, fmt.Sprintf("%#x", uint32(rest)))
	}
	return strings.Join(names, "|")
}

// Rights are what a process may do with pages.
type Rights uint32

const (
	NoAccess  Rights = 0
	Read      Rights = 1
	ReadWrite Rights = 3
)

// Advice tells the kernel how pages will be used.
type Advice int32

const (
	AdviceNormal     Advice = iota // no special treatment
	AdviceRandom                   // touched in no order
	AdviceSequential               // touched in order
	AdviceWillNeed                 // needed soon
	AdviceHuge                     // huge pages where the system allows them by advice
	AdviceNoHuge                   // no huge pages
	AdviceCollapse                 // make huge pages now, whatever the system's setting (Linux 6.1)
	AdviceNoDump                   // leave the pages out of core dumps
	AdviceDump                     // and put them in again
)

// Policy says on which NUMA nodes pages shall lie.
type Policy int32

const (
	PlaceDefault    Policy = iota // as the process's own policy says
	PlacePreferred                // on the first of the nodes, and elsewhere when it is full
	PlaceBind                     // on the nodes alone
	PlaceInterleave               // page by page on all of the nodes in turn
)

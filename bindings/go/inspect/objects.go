package inspect

import (
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"shmkit"
	"shmkit/internal/capi"
)

// Select says what to look for: the sum of some of these.
type Select uint32

const (
	Segments    Select = 1 << iota // System V segments
	Semaphores                     // System V semaphore sets
	Queues                         // System V message queues
	POSIX                          // POSIX objects, and named semaphores
	Memfds                         // memfds, by the descriptors and mappings of all processes
	Anonymous                      // shared anonymous memory, which processes have by fork
	Files                          // files that a process has mapped shared: ObjectsOf
	Descriptors                    // also who has the objects open; alone, mappings are not looked at
	Mappings                       // also who has the objects mapped

	// Holders is both: also who has the objects.
	Holders = Descriptors | Mappings

	// Machine is all that a machine has, and who has it.
	Machine = Segments | Semaphores | Queues | POSIX | Memfds | Anonymous | Holders
)

// Kinds of objects that are no regions.
const (
	SemaphoreSet   shmkit.Kind = 7 // of System V
	MessageQueue   shmkit.Kind = 8 // of System V
	NamedSemaphore shmkit.Kind = 9 // a POSIX object that sem_open(3) made
)

// Object is a shared object. A number that its kind does not have, or that could not be seen, is -1,
// unless it says otherwise here, and such a time is zero.
type Object struct {
	Kind          shmkit.Kind
	Name          string         // a POSIX name with its slash, a memfd's name, a file's path: any bytes; or ""
	ID            int            // System V
	Key           shmkit.SysVKey // System V; 0 where it has none
	Device, Inode uint64         // of a file; else 0

	Size     int // in bytes: of a segment or a file; what a queue has in it
	Used     int // in bytes: the memory, or disk, that it takes. A segment's does not count what is swapped, a file's does
	Swapped  int // in bytes: of a segment
	Count    int // a set's semaphores, a queue's messages
	Attached int // a segment's mappings, counted by the kernel: also those that cannot be seen

	OwnerUID, OwnerGID     int
	CreatorUID, CreatorGID int         // System V
	Mode                   fs.FileMode // permissions, of a file also setuid, setgid and sticky; 0 also where they could not be seen
	Seals                  shmkit.Seal // of a memfd; else 0
	Unlinked               bool        // no name or key leads to it, so that it goes with its last user; memfds and anonymous memory always

	// Processes of System V; 0 is one of another PID namespace.
	CreatorPID      int
	LastPID         int // attached, detached or sent last
	LastReceiverPID int

	CreatedAt  time.Time
	UsedAt     time.Time // last attached, semop, sent to; of a file, last read
	LeftAt     time.Time // last detached, received from
	ModifiedAt time.Time // of a file: last written
	ChangedAt  time.Time // owner or rights; of a file, anything

	Holders []shmkit.Holder // where they were asked for
}

// String names the object: `POSIX object "/frames"`, "System V segment 5 (key 0x1234)".
func (o Object) String() string {
	switch {
	case o.ID >= 0:
		return fmt.Sprintf("%v %d (key %#x)", o.Kind, o.ID, uint32(o.Key))
	case o.Name != "":
		return fmt.Sprintf("%v %q", o.Kind, o.Name)
	}
	return fmt.Sprintf("%v of inode %d", o.Kind, o.Inode)
}

// Objects lists the shared objects of the machine, as far as this process may see them. Those of
// System V are of its own IPC namespace. What only processes tell (Memfds, Anonymous, Holders) takes one
// look at every process; a descriptor that is under way in a socket is not seen.
func Objects(what Select) ([]Object, []shmkit.Gap, error) {
	objects, gaps, f := capi.Objects(uint32(what))
	return toObjects(objects), toGaps(gaps), failure("Objects", f)
}

// ObjectsOf lists what one process has, always with the ways in which it has it. Errors: ESRCH (there
// is no such process), EACCES (it may not be looked into).
func ObjectsOf(pid int, what Select) ([]Object, []shmkit.Gap, error) {
	const op = "ObjectsOf"
	if pid != int(int32(pid)) {
		return nil, nil, refused(op, syscall.ESRCH, "there is no process %d", pid)
	}
	objects, gaps, f := capi.ObjectsOf(int32(pid), uint32(what))
	return toObjects(objects), toGaps(gaps), failure(op, f)
}

func toObjects(found []capi.Object) (objects []Object) {
	for i := range found {
		objects = append(objects, toObject(&found[i]))
	}
	return objects
}

func toObject(o *capi.Object) Object {
	object := Object{
		Kind: shmkit.Kind(o.Kind), Name: o.Name, ID: o.ID, Key: shmkit.SysVKey(o.Key), Device: o.Device, Inode: o.Inode,
		Size: o.Size, Used: o.Used, Swapped: o.Swapped, Count: o.Count, Attached: o.Attached,
		OwnerUID: o.OwnerUID, OwnerGID: o.OwnerGID, CreatorUID: o.CreatorUID, CreatorGID: o.CreatorGID,
		Mode: o.Mode, Seals: shmkit.Seal(o.Seals), Unlinked: o.Unlinked,
		CreatorPID: o.CreatorPID, LastPID: o.LastPID, LastReceiverPID: o.LastReceiverPID,
		CreatedAt: o.CreatedAt, UsedAt: o.UsedAt, LeftAt: o.LeftAt, ModifiedAt: o.ModifiedAt, ChangedAt: o.ChangedAt,
	}
	for _, holder := range o.Holders {
		object.Holders = append(object.Holders, shmkit.Holder(holder))
	}
	return object
}

func toGaps(found []capi.Gap) (gaps []shmkit.Gap) {
	for _, gap := range found {
		gaps = append(gaps, shmkit.Gap{Message: gap.Message, Count: gap.Count, Cause: shmkit.GapCause(gap.Cause)})
	}
	return gaps
}

// UsageOf tells what a process has mapped between two addresses takes, such as a holder's mapping.
// Mappings that these touch count whole.
// Errors: ENOENT: nothing is mapped there, or there is no such process; EACCES: it may not be looked into.
func UsageOf(pid int, address uintptr, length int) (shmkit.Usage, error) {
	const op = "UsageOf"
	if pid != int(int32(pid)) {
		return shmkit.Usage{}, refused(op, syscall.ENOENT, "there is no process %d", pid)
	}
	if length < 0 {
		return shmkit.Usage{}, refused(op, syscall.EINVAL, "the length is %d", length)
	}
	usage, f := capi.UsageOf(int32(pid), uint64(address), uint64(length))
	if f != nil {
		return shmkit.Usage{}, failure(op, f)
	}
	return shmkit.Usage(usage), nil
}

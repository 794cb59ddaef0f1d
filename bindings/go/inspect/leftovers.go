package inspect

import (
	"fmt"
	"strings"
	"syscall"

	"shmkit"
	"shmkit/internal/capi"
)

// Leftover is a segment or a POSIX object that nobody had when it was looked at. That alone does not
// make it garbage: it may be meant to wait for its next user.
type Leftover struct {
	Object
	Reason  string // why it is taken for a leftover, in words; or why that cannot be told
	Reasons Reason // the same for programs; 0 where it cannot be told
	Decided bool   // false where it cannot be told whether somebody has it

	found  *capi.Found
	number int
}

// Leftovers lists the segments and POSIX objects that nobody has: the kernel counts who is attached to
// a segment, and tells an object's owner, and root, whether it is open or mapped anywhere, also in
// containers and under way in a socket. For other users the processes decide, and only when all of
// them could be seen. What remains undecided comes last.
//
// To look, the kernel is asked for a lease on each POSIX object (F_SETLEASE of fcntl(2)), and at once
// given it back: who opens the object in that moment waits, or with O_NONBLOCK is told EAGAIN.
func Leftovers() ([]Leftover, []shmkit.Gap, error) {
	found, all, gaps, f := capi.Leftovers()
	var leftovers []Leftover
	for i := range all {
		leftovers = append(leftovers, Leftover{toObject(&all[i].Object), all[i].Reason, Reason(all[i].Reasons), all[i].Decided, found, i})
	}
	return leftovers, toGaps(gaps), failure("Leftovers", f)
}

// Check tells whether Remove would remove the object now: it looks at the same, and removes nothing.
func (l Leftover) Check() error { return l.act("Check", (*capi.Found).Check) }

// Remove removes the object, if it still is the one that was listed, unchanged, this user's, and nobody
// has it. Errors: EBUSY (it is in use, or that cannot be told), EPERM (another user's), ESTALE (it was
// changed since, or another one stands there), ENOENT (it is gone), EAGAIN (another process has held the
// lock on /dev/shm for a second).
func (l Leftover) Remove() error { return l.act("Remove", (*capi.Found).Remove) }

// RemoveInUse is Remove also for what somebody has, what was written to since it was listed, and what
// is not decided: who has it keeps its memory, and nobody else finds it.
func (l Leftover) RemoveInUse() error { return l.act("RemoveInUse", (*capi.Found).RemoveInUse) }

func (l Leftover) act(op string, call func(*capi.Found, int) *capi.Failure) error {
	if l.found == nil {
		return refused(op, syscall.EINVAL, "the leftover is none that Leftovers has listed")
	}
	return failure(op, call(l.found, l.number))
}

// Reason is why something is taken for a leftover: one of the first three, and what is known besides.
type Reason uint32

const (
	NotAttached  Reason = 1 << iota // the kernel counts no attachment
	NotOpen                         // the kernel says that it is open and mapped nowhere
	NoHolderSeen                    // all processes could be seen, and none has it
	CreatorGone                     // the process that made it has ended
	Abandoned                       // this library made it to go with its users, or was killed before it had finished it
)

// String lists the reasons: "not attached, creator gone".
func (r Reason) String() string {
	var names []string
	for i, name := range []string{"not attached", "not open", "no holder seen", "creator gone", "abandoned"} {
		if r&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if more := r &^ (1<<5 - 1); more != 0 {
		names = append(names, fmt.Sprintf("%#x", uint32(more)))
	}
	return strings.Join(names, ", ")
}

package shmkit

import (
	"context"
	"io/fs"
	"syscall"
	"time"

	"shmkit/internal/capi"
)

// SysVSemaphores is the kernel's number for a set of System V semaphores, as ipcs(1) shows it. The set
// stays until it is removed, or the machine restarts.
type SysVSemaphores int32

// SysVOp is what is done to one semaphore of a set.
type SysVOp struct {
	Index  int  // the first has 0
	Change int  // added to its value: less than 0 waits until there is enough, 0 waits until the value is 0
	Undo   bool // the kernel takes the change back when this process ends, however it ends
}

// CreateSysVSemaphores creates a set of semaphores with these values, 0 to 32767 each. Who opens it by
// shmkit never sees it without them. With OrOpen an existing set is opened, which keeps its values, and
// created is false; one with less semaphores is EINVAL.
//
// Options: OrOpen; Mode, which the umask does not narrow, without its execute bits.
// Errors: EEXIST, EINVAL, ERANGE, ENOSPC (the message has the limit), EAGAIN (OrOpen found another
// user's set that is not finished).
func CreateSysVSemaphores(key SysVKey, values []int, options ...Option) (set SysVSemaphores, created bool, err error) {
	const op = "CreateSysVSemaphores"
	orOpen, mode, err := creation(op, options)
	if err != nil {
		return 0, false, err
	}
	numbers, err := semaphoreValues(op, values)
	if err != nil {
		return 0, false, err
	}
	var flags uint32
	if orOpen {
		flags = capi.SemOrOpen
	}
	id, made, f := capi.CreateSem(int32(key), numbers, flags, mode)
	if f != nil {
		return 0, false, failure(op, f)
	}
	return SysVSemaphores(id), made || !orOpen, nil
}

// OpenSysVSemaphores opens the set that has this key and at least so many semaphores. Whether it may be
// used, its use tells. Errors: ENOENT, EINVAL, EAGAIN (its creator has not set its values within a
// second: it died or was stopped).
func OpenSysVSemaphores(key SysVKey, countMin int) (SysVSemaphores, error) {
	const op = "OpenSysVSemaphores"
	if countMin < 0 {
		return 0, refused(op, syscall.EINVAL, "the smallest count is %d, and at least 0", countMin)
	}
	id, f := capi.OpenSem(int32(key), countMin)
	return SysVSemaphores(id), failure(op, f)
}

// Remove removes the set at once: whoever waits for it gets EIDRM.
func (s SysVSemaphores) Remove() error {
	return failure("SysVSemaphores.Remove", capi.RemoveSem(int(s)))
}

// Operate does all operations in one step, or none, and waits for it as long as need be; ctx ends the
// wait, and then nothing is done.
//
// A wait holds no thread: it tries, with pauses that grow from 50 microseconds to 4 milliseconds. So who
// waits in C, in the kernel itself, is served before it.
//
// Errors: EINVAL, EIDRM (removed, perhaps while it waited), EACCES, EFBIG (no such semaphore), E2BIG
// (more operations than SEMOPM), ERANGE (a value over 32767).
func (s SysVSemaphores) Operate(ctx context.Context, ops ...SysVOp) error {
	const op = "SysVSemaphores.Operate"
	raw, err := semaphoreOps(op, ops)
	if err != nil {
		return err
	}
	return retry(ctx, op, syscall.EAGAIN, func() *capi.Failure { return capi.TryOperateSem(int(s), raw) })
}

// TryOperate is Operate without waiting: EAGAIN.
func (s SysVSemaphores) TryOperate(ops ...SysVOp) error {
	const op = "SysVSemaphores.TryOperate"
	raw, err := semaphoreOps(op, ops)
	if err != nil {
		return err
	}
	return failure(op, capi.TryOperateSem(int(s), raw))
}

// Value is the value of one semaphore.
func (s SysVSemaphores) Value(index int) (int, error) {
	const op = "SysVSemaphores.Value"
	if err := isIndex(op, index); err != nil {
		return 0, err
	}
	value, f := capi.SemValue(int(s), uint32(index))
	if f != nil {
		return 0, failure(op, f)
	}
	return value, nil
}

// Values are those of all semaphores, of the same moment.
func (s SysVSemaphores) Values() ([]int, error) {
	const op = "SysVSemaphores.Values"
	info, f := capi.StatSem(int(s))
	if f != nil {
		return nil, failure(op, f)
	}
	numbers := make([]uint16, info.Count)
	if f := capi.SemValues(int(s), numbers); f != nil {
		return nil, failure(op, f)
	}
	values := make([]int, len(numbers))
	for at, number := range numbers {
		values[at] = int(number)
	}
	return values, nil
}

// SetValue sets one semaphore, and wakes whom that lets go on. Changes to it that were to be undone are
// not any more.
func (s SysVSemaphores) SetValue(index, value int) error {
	const op = "SysVSemaphores.SetValue"
	if err := isIndex(op, index); err != nil {
		return err
	}
	if value != int(int32(value)) {
		return refused(op, syscall.ERANGE, "a semaphore's value is 0 to 32767, and not %d", value)
	}
	return failure(op, capi.SetSemValue(int(s), uint32(index), int32(value)))
}

// SetValues sets all semaphores in one step, as SetValue does.
func (s SysVSemaphores) SetValues(values []int) error {
	const op = "SysVSemaphores.SetValues"
	numbers, err := semaphoreValues(op, values)
	if err != nil {
		return err
	}
	return failure(op, capi.SetSemValues(int(s), numbers))
}

// SysVSemaphoreState is what the kernel knows of one semaphore.
type SysVSemaphoreState struct {
	Value          int
	LastPID        int // who set, changed or tested it last; 0 for none
	Waiting        int // how many threads wait in the kernel for it to grow: those of Operate do not
	WaitingForZero int
}

// State is the state of one semaphore. Its fields are read one after the other.
func (s SysVSemaphores) State(index int) (SysVSemaphoreState, error) {
	const op = "SysVSemaphores.State"
	if err := isIndex(op, index); err != nil {
		return SysVSemaphoreState{}, err
	}
	state, f := capi.SemStateOf(int(s), uint32(index))
	if f != nil {
		return SysVSemaphoreState{}, failure(op, f)
	}
	return SysVSemaphoreState{
		Value: int(state.Value), LastPID: int(state.LastPID),
		Waiting: int(state.Waiting), WaitingForZero: int(state.WaitingForZero),
	}, nil
}

// SysVSemaphoresInfo is what the kernel knows of a set. Times are zero for never.
type SysVSemaphoresInfo struct {
	Key                    SysVKey // 0 for a private set
	Count                  int     // how many semaphores it has
	OperatedAt, ChangedAt  time.Time
	OwnerUID, OwnerGID     int
	CreatorUID, CreatorGID int
	Mode                   fs.FileMode
}

// Stat reads what the kernel knows of the set.
func (s SysVSemaphores) Stat() (SysVSemaphoresInfo, error) {
	info, f := capi.StatSem(int(s))
	if f != nil {
		return SysVSemaphoresInfo{}, failure("SysVSemaphores.Stat", f)
	}
	return SysVSemaphoresInfo{
		Key: SysVKey(info.Key), Count: int(info.Count),
		OperatedAt: at(info.OperatedAt), ChangedAt: at(info.ChangedAt),
		OwnerUID: int(info.OwnerUID), OwnerGID: int(info.OwnerGID),
		CreatorUID: int(info.CreatorUID), CreatorGID: int(info.CreatorGID),
		Mode: fs.FileMode(info.Mode),
	}, nil
}

// SetOwner changes the set's owner and its permission bits, without those to execute. A uid or gid of
// -1 keeps what it has.
func (s SysVSemaphores) SetOwner(uid, gid int, permissions fs.FileMode) error {
	const op = "SysVSemaphores.SetOwner"
	if err := isOwner(op, uid, gid, permissions); err != nil {
		return err
	}
	return failure(op, capi.SetSemOwner(int(s), uint32(uid), uint32(gid), uint32(permissions)))
}

func semaphoreOps(op string, ops []SysVOp) ([]capi.SemOp, error) {
	raw := make([]capi.SemOp, len(ops))
	for at, o := range ops {
		if o.Index != int(uint16(o.Index)) {
			return nil, refused(op, syscall.EFBIG, "no set has a semaphore %d", o.Index)
		}
		if o.Change != int(int16(o.Change)) {
			return nil, refused(op, syscall.ERANGE, "a semaphore's value is 0 to 32767, and cannot change by %d", o.Change)
		}
		raw[at] = capi.SemOp{Index: uint16(o.Index), Change: int16(o.Change)}
		if o.Undo {
			raw[at].Flags = capi.SemUndo
		}
	}
	return raw, nil
}

func semaphoreValues(op string, values []int) ([]uint16, error) {
	numbers := make([]uint16, len(values))
	for index, value := range values {
		if value != int(uint16(value)) {
			return nil, refused(op, syscall.ERANGE, "cannot set semaphore %d to %d: a semaphore's value is 0 to 32767", index, value)
		}
		numbers[index] = uint16(value)
	}
	return numbers, nil
}

func isIndex(op string, index int) error {
	if index != int(uint32(index)) {
		return refused(op, syscall.EINVAL, "there is no index %d", index)
	}
	return nil
}

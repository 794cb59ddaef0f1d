// Package inspect tells what the kernel knows of shared memory on this machine. What it knows of one
// region, methods of shmkit.Region tell (Holders, Residency, Usage, FileSystem), and whether a region
// would fit, shmkit.Fits.
//
//	Limits               the limits that shared memory meets, with their use and where they are set
//	Objects, ObjectsOf   the shared objects of the machine or of a process, and who has them
//	Leftovers            objects that nobody has, and their removal
//	Traps                how this machine is set up so that shared memory surprises
//
// Each answer is a picture of one moment. Nothing here changes anything, but for Leftover.Remove.
//
// What may not be seen never fails the rest. A list that can be partial comes with gaps, each of which
// says why there may be more: processes of other users, a /proc that hides some, a PID namespace.
// Without any, the list is complete.
//
// Every error is a *shmkit.Error.
package inspect

import (
	"fmt"
	"syscall"

	"shmkit"
	"shmkit/internal/capi"
)

// failure is an error of package shmkit's.
func failure(op string, f *capi.Failure) error {
	if f == nil {
		return nil
	}
	return &shmkit.Error{Op: op, Code: shmkit.Code(f.Code), Errno: f.Errno(), Message: f.Message}
}

func refused(op string, errno syscall.Errno, format string, values ...any) error {
	return failure(op, &capi.Failure{Code: -int(errno), Message: fmt.Sprintf(format, values...)})
}

package inspect

import "shmkit/internal/capi"

// Trap is something about a machine that surprises programs with shared memory.
type Trap struct {
	Name     string // stable, for programs: "systemd-remove-ipc"; shm_inspect(3) lists them
	Sentence string // what is found here, and what follows from it
	Remedy   string
	Applies  bool
	Unknown  bool // whether it applies cannot be told, and Sentence says why
}

// Traps lists all that are known, whether they apply here or not.
func Traps() ([]Trap, error) {
	found, f := capi.Traps()
	var traps []Trap
	for _, trap := range found {
		traps = append(traps, Trap(trap))
	}
	return traps, failure("Traps", f)
}

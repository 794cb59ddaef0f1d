package inspect_test

import (
	"fmt"
	"os"
	"slices"

	"shmkit"
	"shmkit/inspect"
)

// The examples leave out what a program does with errors.
func value[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func ExampleLimits() {
	limits := value(inspect.Limits())
	segments, _ := limits.Find("kernel.shmmni")
	fmt.Println(segments.Source)
	if number, known := segments.Value.Number(); known {
		fmt.Println(number > 0)
	}

	// All of them, with what is in use.
	for _, limit := range limits {
		_ = limit.String() // "kernel.shmmni: 4096, 12 in use (/proc/sys/kernel/shmmni)"
	}
	// Output:
	// /proc/sys/kernel/shmmni
	// true
}

func ExampleObjects() {
	name := fmt.Sprintf("/shmkit-inspect-%d", os.Getpid())
	region := value(shmkit.CreatePOSIX(name, 5000))
	defer region.Close()
	defer region.Unlink()

	objects, gaps, err := inspect.Objects(inspect.Segments | inspect.POSIX | inspect.Holders)
	if err != nil {
		panic(err)
	}
	for _, object := range objects {
		if object.Name != name { // somebody else's
			continue
		}
		fmt.Println(object.Kind, object.Size, object.Mode)
		for _, holder := range object.Holders {
			fmt.Println(holder.PID == os.Getpid(), holder.FD >= 0, holder.Length > 0)
		}
	}
	for _, gap := range gaps {
		fmt.Fprintln(os.Stderr, "there may be more:", gap)
	}
	// Output:
	// POSIX object 5000 -rw-------
	// true true false
	// true false true
}

func ExampleLeftovers() {
	// A program that has crashed, or has forgotten a name.
	name := fmt.Sprintf("/shmkit-inspect-%d", os.Getpid())
	value(shmkit.CreatePOSIX(name, 5000)).Close()

	leftovers, _, err := inspect.Leftovers()
	if err != nil {
		panic(err)
	}
	for _, left := range leftovers {
		if left.Name == name {
			fmt.Println(left.Reason)
			fmt.Println(left.Remove())
			fmt.Println(left.Check() != nil) // it is gone
		}
	}
	// Output:
	// the kernel knows nobody who has it open or mapped
	// <nil>
	// true
}

func ExampleTraps() {
	traps := value(inspect.Traps())
	for _, trap := range traps {
		if trap.Applies {
			fmt.Fprintf(os.Stderr, "%s: %s %s\n", trap.Name, trap.Sentence, trap.Remedy)
		}
	}
	fmt.Println(slices.ContainsFunc(traps, func(t inspect.Trap) bool { return t.Name == "dev-shm-tiny" }))
	// Output: true
}

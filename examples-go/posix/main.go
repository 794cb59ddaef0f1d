// A POSIX shared memory object from Go: one process makes it, others open it by its name, in whichever
// language. C programs find it with shm_open(3), and a shell below /dev/shm.
//
//	posix create NAME TEXT    makes the object, of TEXT's size, with TEXT in it
//	posix read NAME           prints what an object holds
//	posix unlink NAME         removes the name
package main

import (
	"fmt"
	"io"
	"os"

	"shmkit"
)

func create(name, text string) error {
	region, err := shmkit.CreatePOSIX(name, len(text))
	if err != nil {
		return err
	}
	defer region.Close() // the object stays
	_, err = region.WriteAt([]byte(text), 0)
	return err
}

func read(name string) error {
	region, err := shmkit.OpenPOSIX(name, shmkit.ReadOnly)
	if err != nil {
		return err
	}
	defer region.Close()
	// Whoever may write to the object can truncate it: that would be an error here, and no more.
	if _, err := io.Copy(os.Stdout, io.NewSectionReader(region, 0, int64(region.Size()))); err != nil {
		return err
	}
	fmt.Println()
	return nil
}

func main() {
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 3 && args[0] == "create":
		err = create(args[1], args[2])
	case len(args) == 2 && args[0] == "read":
		err = read(args[1])
	case len(args) == 2 && args[0] == "unlink":
		err = shmkit.UnlinkPOSIX(args[1])
	default:
		fmt.Fprintln(os.Stderr, "usage: posix create NAME TEXT | posix read NAME | posix unlink NAME")
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

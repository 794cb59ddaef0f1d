// The Go side of a pair, over shmkit: ../README.md has the contract.
package main

// #define _GNU_SOURCE
// #include <sys/mman.h>
// static int make_memfd(void) { return memfd_create("pair", MFD_CLOEXEC); }
import "C"

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"

	"shmkit"
)

var (
	kinds = []string{"memfd", "memfd-stream", "descriptor", "file", "posix", "sysv", "sysv-at", "anonymous"}
	named = []string{"file", "posix", "sysv", "sysv-at"}
)

// project is that of sysv-at, as ftok(3) takes it.
const project = 1

// Nothing here has a limit of its own: whoever runs a pair sets one.
var ctx = context.Background()

func main() {
	args := os.Args[1:]
	var err error
	switch {
	case len(args) == 2 && args[0] == "kinds" && isRole(args[1]):
		for _, kind := range kinds {
			printKind(kind)
		}
	case len(args) == 5 && isRole(args[0]) && slices.Contains(kinds, args[1]):
		kind, where := args[1], args[2]
		size, wrong1 := strconv.ParseUint(args[3], 10, 63)
		seed, wrong2 := strconv.ParseUint(args[4], 10, 32)
		if wrong1 != nil || wrong2 != nil {
			usage()
		}
		if whyNot(kind) != "" {
			printKind(kind)
			os.Exit(3)
		}
		if args[0] == "produce" {
			err = produce(kind, where, int(size), int(seed))
		} else {
			err = consume(kind, where, int(size), int(seed))
		}
	case len(args) == 3 && args[0] == "remove" && slices.Contains(named, args[1]):
		err = remove(args[1], args[2])
	default:
		usage()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: pair kinds produce|consume | pair produce|consume KIND WHERE SIZE SEED | pair remove KIND WHERE")
	os.Exit(2)
}

func isRole(word string) bool { return word == "produce" || word == "consume" }

func whyNot(kind string) string {
	if kind == "anonymous" {
		return "a Go program cannot fork, and only children made by fork() have it"
	}
	return ""
}

func printKind(kind string) {
	if why := whyNot(kind); why != "" {
		fmt.Printf("%s no: %s\n", kind, why)
	} else {
		fmt.Printf("%s yes\n", kind)
	}
}

func produce(kind, where string, size, seed int) error {
	region, err := create(kind, where, size)
	if err != nil {
		return err
	}
	defer region.Close()
	if err := fill(region, seed); err != nil {
		return err
	}
	if slices.Contains(named, kind) {
		fmt.Println("ready")
	} else if err := handOver(kind, where, region); err != nil {
		return err
	}
	if line, _ := bufio.NewReader(os.Stdin).ReadString('\n'); line != "check\n" {
		return errors.New("stdin ended, or said something else than check")
	}
	if err := verify(region, seed+1); err != nil {
		return err
	}
	fmt.Println("answered")
	return nil
}

// handOver sends the region to the first who connects. The listener's file goes with it.
func handOver(kind, where string, region *shmkit.Region) error {
	listener, err := listen(kind, where)
	if err != nil {
		return err
	}
	defer listener.Close()
	fmt.Println("ready")
	conn, err := shmkit.Accept(ctx, listener)
	if err != nil {
		return err
	}
	defer conn.Close()
	if kind != "descriptor" {
		return shmkit.SendRegion(ctx, conn, region)
	}
	file, err := region.File()
	if err != nil {
		return err
	}
	defer file.Close()
	return shmkit.SendFile(ctx, conn, file)
}

func listen(kind, where string) (*net.UnixListener, error) {
	if kind == "memfd-stream" {
		return net.ListenUnix("unix", &net.UnixAddr{Name: where, Net: "unix"})
	}
	return shmkit.Listen(where)
}

func consume(kind, where string, size, seed int) error {
	region, err := attach(kind, where)
	if err != nil {
		return err
	}
	defer region.Close()
	if region.Size() != size {
		return fmt.Errorf("the region has %d bytes, not %d", region.Size(), size)
	}
	if err := verify(region, seed); err != nil {
		return err
	}
	if err := fill(region, seed+1); err != nil {
		return err
	}
	fmt.Println("verified")
	return nil
}

func remove(kind, where string) error {
	region, err := attach(kind, where)
	if err != nil {
		return err
	}
	defer region.Close()
	if region.Kind() == shmkit.SysV {
		var id shmkit.SysVID
		if id, err = region.SysVID(); err == nil {
			err = shmkit.RemoveSysV(id)
		}
	} else {
		err = region.Unlink()
	}
	if err != nil {
		return err
	}
	fmt.Println("removed")
	return nil
}

func create(kind, where string, size int) (*shmkit.Region, error) {
	switch kind {
	case "descriptor":
		return ofMemfd(size)
	case "file":
		return shmkit.CreateFile(where, size)
	case "posix":
		return shmkit.CreatePOSIX(where, size)
	case "sysv":
		key, err := keyOf(where)
		if err != nil {
			return nil, err
		}
		return shmkit.CreateSysV(key, size)
	case "sysv-at":
		return shmkit.CreateSysVAt(where, project, size)
	}
	return shmkit.Create("pair", size)
}

// ofMemfd makes a region of a memfd of this program's own making, as any program may have one.
func ofMemfd(size int) (*shmkit.Region, error) {
	fd, err := C.make_memfd()
	if fd < 0 {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "pair")
	defer file.Close()
	if err := file.Truncate(int64(size)); err != nil {
		return nil, err
	}
	return shmkit.FromFile(file)
}

// attach finds a region, or receives it.
func attach(kind, where string) (*shmkit.Region, error) {
	switch kind {
	case "file":
		return shmkit.OpenFile(where)
	case "posix":
		return shmkit.OpenPOSIX(where)
	case "sysv":
		key, err := keyOf(where)
		if err != nil {
			return nil, err
		}
		return shmkit.AttachSysV(key)
	case "sysv-at":
		return shmkit.AttachSysVAt(where, project)
	}
	conn, err := dial(kind, where)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if kind != "descriptor" {
		return shmkit.RecvRegion(ctx, conn)
	}
	file, err := shmkit.RecvFile(ctx, conn)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return shmkit.FromFile(file)
}

func dial(kind, where string) (*net.UnixConn, error) {
	if kind == "memfd-stream" {
		return net.DialUnix("unix", nil, &net.UnixAddr{Name: where, Net: "unix"})
	}
	return shmkit.Dial(ctx, where)
}

func keyOf(where string) (shmkit.SysVKey, error) {
	key, err := strconv.ParseInt(where, 10, 32)
	return shmkit.SysVKey(key), err
}

func pattern(seed, size int) []byte {
	bytes := make([]byte, size)
	for i := range bytes {
		bytes[i] = byte(seed*31 + i*7 + i>>8)
	}
	return bytes
}

func fill(region *shmkit.Region, seed int) error {
	_, err := region.WriteAt(pattern(seed, region.Size()), 0)
	return err
}

func verify(region *shmkit.Region, seed int) error {
	bytes := make([]byte, region.Size())
	if _, err := region.ReadAt(bytes, 0); err != nil {
		return err
	}
	for i, expected := range pattern(seed, len(bytes)) {
		if bytes[i] != expected {
			return fmt.Errorf("byte %d is %d, not %d", i, bytes[i], expected)
		}
	}
	return nil
}

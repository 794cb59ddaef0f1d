// The shortest hand-over: process A makes a region and sends it, process B receives it and reads.
// B is this program, and starts itself once more as A.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"time"

	"shmkit"
)

func processA(ctx context.Context, path string) error {
	region, err := shmkit.Create("tour", 4096)
	if err != nil {
		return err
	}
	defer region.Close()
	if _, err := region.WriteAt([]byte("written by A, read by B, copied by nobody"), 0); err != nil {
		return err
	}
	conn, err := shmkit.Dial(ctx, path)
	if err != nil {
		return err
	}
	defer conn.Close()
	return shmkit.SendRegion(ctx, conn, region)
}

func processB(ctx context.Context, path string) error {
	listener, err := shmkit.Listen(path)
	if err != nil {
		return err
	}
	defer listener.Close()
	a := exec.CommandContext(ctx, os.Args[0], path)
	a.Stderr = os.Stderr
	if err := a.Start(); err != nil {
		return err
	}
	conn, err := shmkit.Accept(ctx, listener)
	if err != nil {
		return err
	}
	defer conn.Close()
	// A is not trusted: what arrives is checked before it is mapped.
	region, err := shmkit.RecvRegion(ctx, conn, shmkit.ReadOnly, shmkit.SizeMax(1<<20))
	if err != nil {
		return err
	}
	defer region.Close()
	err = region.Bytes(func(b []byte) error {
		fmt.Printf("%d bytes: %s\n", len(b), b[:41])
		return nil
	})
	// Beyond the end there is an error, not a crash.
	fmt.Println(region.Check(4090, 16))
	if failed := a.Wait(); failed != nil {
		return failed
	}
	return err
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	run, path := processB, fmt.Sprintf("@tour-%d", os.Getpid()) // '@': a name without a file
	if len(os.Args) > 1 {
		run, path = processA, os.Args[1]
	}
	if err := run(ctx, path); err != nil {
		log.Fatal(err)
	}
}

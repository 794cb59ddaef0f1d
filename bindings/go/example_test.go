package shmkit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"shmkit"
)

// The examples leave out what a program does with errors.
func value[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func Example() {
	ctx := context.Background()
	one, other := connected()

	region := value(shmkit.Create("frames", 4096))
	defer region.Close()
	value(region.WriteAt([]byte("written once, copied by nobody"), 0))
	if err := shmkit.SendRegion(ctx, one, region); err != nil {
		panic(err)
	}

	// In another process:
	received := value(shmkit.RecvRegion(ctx, other, shmkit.ReadOnly, shmkit.SizeMax(1<<20)))
	defer received.Close()
	received.Bytes(func(b []byte) error {
		fmt.Printf("%d bytes: %s\n", len(b), b[:30])
		return nil
	})
	// Output: 4096 bytes: written once, copied by nobody
}

func connected() (one, other *net.UnixConn) {
	one, other, err := shmkit.Pair()
	if err != nil {
		panic(err)
	}
	return one, other
}

// What a C program would call struct header.
type header struct {
	Ready atomic.Uint32
	_     uint32
	Count atomic.Uint64
}

func ExampleView() {
	region := value(shmkit.Create("counters", 4096))
	defer region.Close()
	shmkit.View(region, 64, func(h *header) error {
		h.Count.Add(3)
		h.Ready.Store(1)
		return nil
	})
	shmkit.View(region, 64, func(h *header) error {
		fmt.Println(h.Ready.Load(), h.Count.Load())
		return nil
	})
	err := shmkit.View(region, 4090, func(*header) error { return nil })
	fmt.Println(err)
	// Output:
	// 1 3
	// shmkit: View: offset 4090 is no multiple of 8, the alignment of shmkit_test.header
}

func ExampleLoad() {
	type message struct{ Offset, Length uint64 }
	region := value(shmkit.Create("message", 4096))
	defer region.Close()
	shmkit.Store(region, 0, message{Offset: 16, Length: 9000})

	// The peer may write at any time: load once, check, use the copy.
	m := value(shmkit.Load[message](region, 0))
	size := uint64(region.Size())
	fmt.Println(m.Offset <= size && m.Length <= size-m.Offset)
	// Output: false
}

func ExampleSlice() {
	region := value(shmkit.Create("samples", 4096))
	defer region.Close()
	shmkit.Slice(region, 0, 4, func(samples []float64) error {
		copy(samples, []float64{1, 2, 3, 4})
		return nil
	})
	sum := 0.0
	shmkit.Slice(region, 8, 3, func(samples []float64) error {
		for _, sample := range samples {
			sum += sample
		}
		return nil
	})
	fmt.Println(sum)
	// Output: 9
}

func ExampleRegion_ReadAt() {
	directory := value(os.MkdirTemp("", "shmkit"))
	defer os.RemoveAll(directory)
	path := filepath.Join(directory, "block")
	region := value(shmkit.CreateFile(path, 8192))
	defer region.Close()

	// A peer takes the second page away.
	os.Truncate(path, 4096)
	_, err := region.ReadAt(make([]byte, 16), 5000)
	fmt.Println(errors.Is(err, shmkit.ErrShrunk))
	n, err := region.ReadAt(make([]byte, 16), 4000)
	fmt.Println(n, err)
	// Output:
	// true
	// 16 <nil>
}

func ExampleRegion_ReadAt_sectionReader() {
	region := value(shmkit.Create("text", 5))
	defer region.Close()
	region.WriteAt([]byte("hello"), 0)
	io.Copy(os.Stdout, io.NewSectionReader(region, 0, int64(region.Size())))
	// Output: hello
}

func ExampleOpenPOSIX() {
	_, err := shmkit.OpenPOSIX("/nobody-has-made-this")
	fmt.Println(err)
	fmt.Println(errors.Is(err, fs.ErrNotExist))
	// Output:
	// shmkit: OpenPOSIX: cannot open the POSIX object '/nobody-has-made-this': No such file or directory
	// true
}

func ExampleCreatePOSIX() {
	name := fmt.Sprintf("/shmkit-example-%d", os.Getpid())
	made := value(shmkit.CreatePOSIX(name, 4096, shmkit.Mode(0o640), shmkit.OrOpen, shmkit.UnlinkLast))
	defer made.Close()
	found := value(shmkit.CreatePOSIX(name, 4096, shmkit.OrOpen))
	defer found.Close()
	fmt.Println(made.Created(), found.Created())
	// Output: true false
}

func ExampleRegion_PublishReadOnly() {
	ctx := context.Background()
	one, other := connected()
	region := value(shmkit.Create("prices", 4096))
	defer region.Close()
	if err := region.PublishReadOnly(); err != nil {
		panic(err)
	}
	shmkit.SendRegion(ctx, one, region)
	received := value(shmkit.RecvRegion(ctx, other))
	defer received.Close()
	_, err := received.WriteAt([]byte("x"), 0)
	fmt.Println(errors.Is(err, fs.ErrPermission))
	value(region.WriteAt([]byte("x"), 0))
	// Output: true
}

func ExampleRegion_Grow() {
	region := value(shmkit.Create("log", 4096, shmkit.GrowableTo(1<<20)))
	defer region.Close()
	err := region.Grow(8192)
	fmt.Println(region.Size(), region.SizeMax(), err)
	fmt.Println(errors.Is(region.Grow(2<<20), shmkit.ErrShrunk), region.Size())
	// Output:
	// 8192 1048576 <nil>
	// false 8192
}

// A child process gets the region as its descriptor 3, and makes a region of it again by
// shmkit.FromFile(os.NewFile(3, "region")).
func ExampleRegion_File() {
	region := value(shmkit.Create("for the child", 5))
	defer region.Close()
	region.WriteAt([]byte("hello"), 0)

	file := value(region.File())
	defer file.Close()
	child := exec.Command("cat", "/proc/self/fd/3")
	child.ExtraFiles = []*os.File{file}
	fmt.Printf("%s\n", value(child.Output()))
	// Output: hello
}

func ExampleFits() {
	err := shmkit.Fits(shmkit.Memfd, 1<<50)
	fmt.Println(errors.Is(err, syscall.ENOMEM)) // and the sentence says how much there is

	fmt.Println(shmkit.Fits(shmkit.POSIX, 4096, shmkit.Mode(0o640)))
	// Output:
	// true
	// <nil>
}

func ExampleRegion_Holders() {
	region := value(shmkit.Create("frames", 4096))
	defer region.Close()
	file := value(region.File())
	defer file.Close()
	child := exec.Command("cat")
	child.ExtraFiles = []*os.File{file}
	wait := value(child.StdinPipe())
	if err := child.Start(); err != nil {
		panic(err)
	}
	defer child.Wait()
	defer wait.Close()

	holders, gaps, err := region.Holders()
	if err != nil {
		panic(err)
	}
	for _, holder := range holders {
		if holder.PID == child.Process.Pid {
			fmt.Println(holder.FD) // holder.String() has all of it
		}
	}
	for _, gap := range gaps {
		fmt.Fprintln(os.Stderr, "there may be more:", gap)
	}
	// Output: 3
}

func ExampleRegion_Residency() {
	page := os.Getpagesize()
	region := value(shmkit.Create("sparse", 8*page, shmkit.NoReserve))
	defer region.Close()
	value(region.WriteAt([]byte("touched"), int64(2*page)))

	residency := value(region.Residency(0, region.Size()))
	for _, run := range residency.Runs {
		fmt.Println(run.Length/page, "pages, in memory:", run.Resident)
	}
	// Output:
	// 2 pages, in memory: false
	// 1 pages, in memory: true
	// 5 pages, in memory: false
}

// Two of any processes, here goroutines, wait for each other; the one that is told so does what is to be done once.
func ExampleBarrier() {
	region := value(shmkit.Create("board", shmkit.PartySize(0, 0)+shmkit.BarrierSize))
	defer region.Close()
	party := value(region.Join(0))
	defer party.Leave()
	barrier := value(party.Barrier(shmkit.PartySize(0, 0), 2))

	meet := func() {
		serial, err := barrier.Wait(context.Background())
		switch {
		case errors.Is(err, shmkit.ErrPeerDied):
			fmt.Println("the other one has died")
		case err != nil:
			panic(err)
		case serial:
			fmt.Println("both are here")
		}
	}
	var group sync.WaitGroup
	group.Add(1)
	go func() {
		defer group.Done()
		meet()
	}()
	meet()
	group.Wait()
	// Output: both are here
}

// A mailbox of one letter. Who takes it waits until there is one.
func ExampleCond() {
	const letterAt = 0 // behind it the party's table, and the locks
	tableAt := 64
	mutexAt := tableAt + shmkit.PartySize(0, 0)
	region := value(shmkit.Create("mailbox", mutexAt+128))
	defer region.Close()
	party := value(region.Join(tableAt))
	defer party.Leave()
	mutex := value(party.Mutex(mutexAt, func() error { return nil })) // a letter is there or not: nothing is half done
	filled := value(party.Cond(mutexAt + 64))

	// In any process of the party.
	go func() {
		mutex.Lock()
		defer mutex.Unlock()
		if err := shmkit.Store(region, letterAt, int64(42)); err != nil {
			panic(err)
		}
		if err := filled.Signal(); err != nil {
			panic(err)
		}
	}()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	mutex.Lock()
	defer mutex.Unlock()
	for value(shmkit.Load[int64](region, letterAt)) == 0 {
		if err := filled.Wait(ctx, mutex); err != nil {
			panic(err)
		}
	}
	fmt.Println("letter", value(shmkit.Load[int64](region, letterAt)))
	// Output: letter 42
}

// A lock that needs a name alone: one of these programs runs at a time, whatever becomes of the others.
func ExampleOpenMutex() {
	name := fmt.Sprintf("nightly job %d", os.Getpid())
	mutex := value(shmkit.OpenMutex(name, func() error {
		fmt.Println("the last run was killed")
		return nil
	}))
	defer shmkit.UnlinkNamed(name) // no program does so that others use as well
	defer mutex.Close()
	if !mutex.TryLock() {
		fmt.Println("another one is at it")
		return
	}
	defer mutex.Unlock()
	fmt.Println("at it")
	// Output: at it
}

// The fault guard beside a Go runtime: what C code guards reads as zeros, and every other fault is Go's as before.
//
// Without arguments it runs all of it, and itself for what should kill it.
package main

/*
#include <shmkit.h>

// Reads a byte in a section; *code is what its end tells.
static unsigned char guarded_byte(shm_region *region, size_t offset, int *code)
{
	unsigned char byte;

	*code = shm_guard_begin(region);
	if (*code < 0)
		return 255;
	byte = ((volatile unsigned char *)shm_region_data(region))[offset];
	*code = shm_guard_end(region);
	return byte;
}

static unsigned char bare_byte(const unsigned char *at)
{
	return *(volatile const unsigned char *)at;
}
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

const page = 4096

var (
	file   *os.File
	region *C.shm_region
	bare   []byte // the file in a mapping of Go's own
)

func must(ok bool, format string, values ...any) {
	if !ok {
		fmt.Fprintf(os.Stderr, format+"\n", values...)
		os.Exit(1)
	}
}

func ok(code C.int, failure *C.shm_error, what string) {
	must(code == 0, "%s: %d %s", what, code, C.GoString(&failure.message[0]))
}

func setup() {
	var failure C.shm_error
	name, err := os.CreateTemp("", "shmkit-go-guard-")
	must(err == nil, "%v", err)
	file = name
	os.Remove(file.Name())
	grow()
	ok(C.shm_region_from_fd(C.int(file.Fd()), 0, nil, &region, &failure), &failure, "shm_region_from_fd")
	ok(C.shm_guard_enable(region, &failure), &failure, "shm_guard_enable")
	bare, err = syscall.Mmap(int(file.Fd()), 0, 2*page, syscall.PROT_READ, syscall.MAP_SHARED)
	must(err == nil, "%v", err)
	shrink()
}

func grow() {
	_, err := file.WriteAt([]byte(strings.Repeat("x", 2*page)), 0)
	must(err == nil, "%v", err)
}

func shrink() {
	must(file.Truncate(page) == nil, "truncate")
}

func works() {
	var code C.int
	byte := C.guarded_byte(region, page, &code)
	must(byte == 0 && code == C.SHMKIT_E_SHRUNK, "a page that is gone: %d, code %d", byte, code)
	byte = C.guarded_byte(region, 0, &code)
	must(byte == 'x' && code == 0, "a page that is there: %d, code %d", byte, code)
	var failure C.shm_error
	ok(C.shm_guard_check(&failure), &failure, "shm_guard_check")
}

// Go code may be in a section too.
func goInSection() {
	must(C.shm_guard_begin(region) == 0, "begin")
	data := unsafe.Slice((*byte)(C.shm_region_data(region)), 2*page)
	sum := 0
	for _, byte := range data[page:] {
		sum += int(byte)
	}
	must(sum == 0, "Go reads %d where the page is gone", sum)
	must(C.shm_guard_end(region) == C.SHMKIT_E_SHRUNK, "end")
}

// What a panic in there carries.
func panicOf(body func()) (recovered any) {
	defer func() { recovered = recover() }()
	body()
	return nil
}

var sink byte

func nilPanics() {
	var pointer *[100]byte
	err, isError := panicOf(func() { sink = pointer[7] }).(runtime.Error)
	must(isError && strings.Contains(err.Error(), "nil pointer dereference"), "nil: %v", err)
}

func faultPanics() {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	err, isError := panicOf(func() { sink = bare[page] }).(runtime.Error)
	must(isError, "a fault in Go is no panic")
	var addressed interface{ Addr() uintptr }
	must(errors.As(err, &addressed), "no address: %v", err)
	must(addressed.Addr() == uintptr(unsafe.Pointer(&bare[page])), "another address: %v", err)
}

// A goroutine that never calls anything is preempted by a signal.
func preemptionGoesOn() {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var stop, spinning atomic.Bool
	go func() {
		spinning.Store(true)
		for !stop.Load() {
		}
	}()
	for !spinning.Load() {
		runtime.Gosched()
	}
	works()
	runtime.GC()
	stop.Store(true)
}

func inManyGoroutines() {
	var all sync.WaitGroup
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	}()
	for number := 0; number < 8; number++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for round := 0; round < 300; round++ {
				var code C.int
				byte := C.guarded_byte(region, page, &code)
				must(byte == 0 && code == C.SHMKIT_E_SHRUNK, "%d, code %d", byte, code)
				nilPanics()
				faultPanics()
			}
		}()
	}
	all.Wait()
	close(stop)
}

// How this program ends when it does that; stderr is what Go has to say.
func endOf(what string) (int, string) {
	command := exec.Command(os.Args[0], what)
	command.Env = append(os.Environ(), "GOTRACEBACK=single")
	var said strings.Builder
	command.Stderr = &said
	err := command.Run()
	var exit *exec.ExitError
	must(err == nil || errors.As(err, &exit), "%v", err)
	return command.ProcessState.ExitCode(), said.String()
}

func dies(what, saying string) {
	code, said := endOf(what)
	must(code == 2 && strings.Contains(said, saying), "%s ends with %d, saying: %s", what, code, said)
}

func main() {
	time.AfterFunc(30*time.Second, func() { must(false, "the time limit is over") })
	setup()
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "fault-in-go":
			sink = bare[page]
		case "fault-in-c":
			C.bare_byte((*C.uchar)(&bare[page]))
		case "sent":
			syscall.Kill(os.Getpid(), syscall.SIGBUS)
			time.Sleep(time.Minute)
		}
		os.Exit(0)
	}
	for round := 0; round < 2; round++ {
		works()
		goInSection()
		nilPanics()
		faultPanics()
		preemptionGoesOn()
		inManyGoroutines()
		// Go's own way to handlers.
		signals := make(chan os.Signal, 1)
		signal.Notify(signals)
		works()
	}
	grow()
	var code C.int
	byte := C.guarded_byte(region, page, &code)
	must(byte == 'x' && code == 0, "the file is back: %d, code %d", byte, code)
	dies("fault-in-go", "unexpected fault address")
	dies("fault-in-c", "SIGBUS: bus error")
	dies("sent", "SIGBUS: bus error")
	must(C.shm_region_close(region) == 0, "close")
}

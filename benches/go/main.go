// Command shmkitbench runs one figure's two sides: shmkit's Go package, and what it is compared with.
// ../src/go.rs starts it, says on standard input how many iterations of which side to run, and reads on
// standard output how long they took. Whose turn it is, and what a figure is made of, is decided there.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

type request struct {
	Side       string `json:"side"`
	Iterations int    `json:"iterations"`
}

type answer struct {
	NS    int64  `json:"ns"`
	Error string `json:"error,omitempty"`
}

// step is one iteration of a side.
type step = func() error

// figure prepares the two sides of one.
type figure func(b *bench) (ours, reference step, err error)

var figures = map[string]figure{
	"go.memfd.cycle":        memfdCycle,
	"go.file.cycle":         fileCycle,
	"go.file.open":          fileOpen,
	"go.posix.cycle":        posixCycle,
	"go.posix.open":         posixOpen,
	"go.sysv.cycle":         sysvCycle,
	"go.sysv.attach":        sysvAttach,
	"go.anonymous.cycle":    anonymousCycle,
	"go.read_64k":           read64k,
	"go.write_64k":          write64k,
	"go.read_64k_unsealed":  read64kUnsealed,
	"go.write_64k_unsealed": write64kUnsealed,
	"go.read_64B":           read64B,
	"go.write_64B":          write64B,
	"go.read_64B_unsealed":  read64BUnsealed,
	"go.bytes":              lendBytes,
	"go.view":               lendView,
	"go.handover.fd":        handoverFD,
	"go.handover.fds253":    handoverFDs,
	"go.handover.region":    handoverRegion,
	"go.handover.tiny":      handoverTiny,
	"go.lock":               lock,
}

// bench is what a figure is made in.
type bench struct {
	directory string // where files may be made
	ends      []func()
}

// atEnd has something removed when the figure is done, or could not be made.
func (b *bench) atEnd(end func()) { b.ends = append(b.ends, end) }

func main() {
	// Ctrl-C reaches the parent too, which ends this program by closing the pipe, between two runs.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	answers := json.NewEncoder(os.Stdout)
	if err := serve(os.Args[1], os.Args[2], json.NewDecoder(os.Stdin), answers); err != nil {
		answers.Encode(answer{Error: err.Error()})
		os.Exit(1)
	}
}

func serve(id, directory string, requests *json.Decoder, answers *json.Encoder) error {
	b := &bench{directory: directory}
	defer func() {
		for _, end := range b.ends {
			end()
		}
	}()
	prepare, known := figures[id]
	if !known {
		return fmt.Errorf("there is no figure %s", id)
	}
	ours, reference, err := prepare(b)
	if err != nil {
		return err
	}
	sides := map[string]step{"value": ours, "reference": reference}
	for {
		var wanted request
		if err := requests.Decode(&wanted); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		took, err := run(sides[wanted.Side], wanted.Iterations)
		if err != nil {
			return err
		}
		if err := answers.Encode(answer{NS: took.Nanoseconds()}); err != nil {
			return err
		}
	}
}

func run(step step, iterations int) (time.Duration, error) {
	start := time.Now()
	for range iterations {
		if err := step(); err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}

// A counter that several processes increment, while some of them are killed: at the end it is exact.
// The workers are this program, started once more.
package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"shmkit"
)

const (
	workers = 4
	each    = 2000000
	kills   = 10

	// Where things are in the region: the party's table, the lock, and what it guards.
	table    = 0
	boardsAt = 16 << 10
	lockAt   = boardsAt - 64
)

// board is what the lock guards.
type board struct {
	count   uint64
	done    [workers]uint64 // by each worker; their sum is what the count has to be
	repairs uint64
}

// shared is the region, as one process has it.
type shared struct {
	region *shmkit.Region
	party  *shmkit.Party
	lock   *shmkit.Mutex
}

func open(region *shmkit.Region) (*shared, error) {
	s := &shared{region: region}
	var err error
	if s.party, err = region.Join(table); err != nil {
		return nil, err
	}
	s.lock, err = s.party.Mutex(lockAt, s.repair)
	return s, err
}

func (s *shared) view(use func(*board)) error {
	return shmkit.View(s.region, boardsAt, func(b *board) error {
		use(b)
		return nil
	})
}

// repair runs with the lock held. A worker that was killed in between has counted what it has not noted as
// done, or the other way round.
func (s *shared) repair() error {
	return s.view(func(b *board) {
		b.count = 0
		for _, done := range b.done {
			b.count += done
		}
		b.repairs++
	})
}

// countOne adds one, unless this worker has done its part.
func (s *shared) countOne(me int) (more bool, err error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	err = s.view(func(b *board) {
		if more = b.done[me] < each; more {
			b.count++
			b.done[me]++
		}
	})
	return more, err
}

// work goes on where the worker before it was killed.
func work(me int) error {
	region, err := shmkit.FromFile(os.NewFile(3, "counter"))
	if err != nil {
		return err
	}
	s, err := open(region)
	if err != nil {
		return err
	}
	for more := true; more && err == nil; {
		more, err = s.countOne(me)
	}
	return err
}

// run lets a worker run to its end, and starts it again whenever it was killed.
func run(file *os.File, me int, started chan<- *os.Process) (killed int, err error) {
	for ; ; killed++ {
		worker := exec.Command(os.Args[0], strconv.Itoa(me))
		worker.ExtraFiles = []*os.File{file}
		worker.Stderr = os.Stderr
		if err := worker.Start(); err != nil {
			return killed, err
		}
		started <- worker.Process
		err := worker.Wait()
		if err == nil || worker.ProcessState.Exited() {
			return killed, err
		}
	}
}

func supervise() error {
	region, err := shmkit.Create("counter", 20<<10)
	if err != nil {
		return err
	}
	s, err := open(region)
	if err != nil {
		return err
	}
	file, err := region.File()
	if err != nil {
		return err
	}
	started := make(chan *os.Process)
	ended := make(chan error)
	killed := make(chan int, workers)
	for me := range workers {
		go func() {
			times, err := run(file, me, started)
			killed <- times
			ended <- err
		}()
	}

	processes := make(map[int]*os.Process)
	left, total := kills, 0
	for running := workers; running > 0; {
		select {
		case process := <-started:
			processes[process.Pid] = process
		case err := <-ended:
			if err != nil {
				return err
			}
			total += <-killed
			running--
		default:
			// Whoever has the lock, in that very moment. One that is dying is no member any more.
			owner, err := s.lock.Owner()
			if err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
			if process := processes[owner]; process != nil && left > 0 {
				process.Kill()
				delete(processes, owner)
				left--
			}
		}
	}
	err = s.view(func(b *board) {
		fmt.Printf("%d workers, each up to %d: the count is %d\n", workers, each, b.count)
		fmt.Printf("%d were killed, and the count was repaired %d times\n", total, b.repairs)
	})
	if err != nil {
		return err
	}
	if err := s.party.Leave(); err != nil {
		return err
	}
	return region.Close()
}

func main() {
	log.SetFlags(0)
	err := supervise
	if len(os.Args) > 1 {
		me, _ := strconv.Atoi(os.Args[1])
		err = func() error { return work(me) }
	}
	if err := err(); err != nil {
		log.Fatal(err)
	}
}

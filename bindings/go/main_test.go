package shmkit_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"shmkit"
)

// TestMain runs a helper where a test has started one (process_test.go). Otherwise it runs the tests,
// and proves that they leave nothing behind.
func TestMain(m *testing.M) {
	if name := os.Getenv(helperVariable); name != "" {
		os.Exit(runHelper(name))
	}
	warmUp()
	before := takeStock()
	code := m.Run()
	if code == 0 {
		if left := leftSince(before); left != "" {
			fmt.Fprintln(os.Stderr, "the tests left behind:\n"+left)
			code = 1
		}
	}
	os.Exit(code)
}

// warmUp lets the runtime open what it opens once: the poller, and what os/exec tries.
func warmUp() {
	one, other, err := shmkit.Pair()
	if err != nil {
		panic(err)
	}
	one.Close()
	other.Close()
	if process, err := os.FindProcess(os.Getpid()); err == nil {
		process.Release()
	}
}

// stock is what a process has, and what lies on the machine under the names of these tests.
type stock struct {
	fds, maps, names, segments []string
	goroutines, threads        int
}

func takeStock() stock {
	return stock{openFDs(), sharedMaps(), ownNames(), ownSegments(), runtime.NumGoroutine(), threads()}
}

// leftSince names what is there now and was not before. What the runtime ends in its own time is waited for.
func leftSince(before stock) (left string) {
	for limit := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		now := takeStock()
		left = ""
		for _, part := range []struct {
			what        string
			before, now []string
		}{
			{"descriptors", before.fds, now.fds},
			{"mappings", before.maps, now.maps},
			{"names", before.names, now.names},
			{"segments", before.segments, now.segments},
		} {
			if len(part.now) > len(part.before) {
				left += fmt.Sprintf("%s: %d, before %d:\n%s\n", part.what, len(part.now), len(part.before), strings.Join(part.now, "\n"))
			}
		}
		if now.goroutines > before.goroutines {
			stacks := make([]byte, 1<<20)
			left += fmt.Sprintf("goroutines: %d, before %d:\n%s\n", now.goroutines, before.goroutines, stacks[:runtime.Stack(stacks, true)])
		}
		// Threads that once were needed stay; a leak of them would be of another order.
		if now.threads > before.threads+200 {
			left += fmt.Sprintf("threads: %d, before %d\n", now.threads, before.threads)
		}
		if left == "" || time.Now().After(limit) {
			return left
		}
		runtime.GC()
	}
}

func openFDs() (fds []string) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	for _, entry := range entries {
		// The directory's own descriptor is closed again, and has no target.
		if target, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil {
			fds = append(fds, entry.Name()+" "+target)
		}
	}
	return fds
}

// sharedMaps are the mappings that regions can have: shared ones, and private ones of files but for
// programs and their libraries. (Private anonymous memory is the runtime's, too.)
func sharedMaps() (maps []string) {
	for _, line := range lines("/proc/self/maps") {
		fields := strings.Fields(line)
		if len(fields[1]) != 4 {
			continue
		}
		shared := fields[1][3] == 's'
		file := len(fields) > 5 && strings.HasPrefix(fields[5], "/") && (strings.Contains(line, testPrefix) || strings.Contains(line, "memfd:"))
		if shared || file {
			maps = append(maps, line)
		}
	}
	return maps
}

func ownNames() []string {
	names, _ := filepath.Glob("/dev/shm/" + ownPrefix() + "*")
	hidden, _ := filepath.Glob("/dev/shm/.*" + ownPrefix() + "*")
	return append(names, hidden...)
}

// ownSegments are the System V segments that this process or one of its helpers has made.
func ownSegments() (segments []string) {
	for _, line := range lines("/proc/sysvipc/shm")[1:] {
		if fields := strings.Fields(line); slices.Contains(testPIDs(), fields[4]) {
			segments = append(segments, line)
		}
	}
	return segments
}

func threads() int {
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		panic(err)
	}
	return len(entries)
}

func lines(path string) []string {
	content, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	return strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
}

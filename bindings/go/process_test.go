package shmkit_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A helper is this test binary again, as another process. It does what a test has registered under a
// name, talks to the test by lines, and fails with what it returns.

const helperVariable = "SHMKIT_TEST_HELPER"

var helpers = map[string]func(h *helper) error{}

type helper struct {
	args []string
	in   *bufio.Reader
}

func (h *helper) say(format string, values ...any) { fmt.Printf(format+"\n", values...) }

// hear waits for a line of the test; io.EOF when the test is done with the helper.
func (h *helper) hear() (string, error) {
	line, err := h.in.ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err
}

func runHelper(name string) int {
	run := helpers[name]
	if run == nil {
		fmt.Fprintln(os.Stderr, "no helper", name)
		return 2
	}
	if err := run(&helper{os.Args[1:], bufio.NewReader(os.Stdin)}); err != nil {
		fmt.Fprintln(os.Stderr, "helper", name+":", err)
		return 1
	}
	return 0
}

// process is a helper, seen by its test.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	errors *strings.Builder
	waited bool
}

// start starts a helper, whose descriptors from 3 on are the files.
func start(t testing.TB, name string, files []*os.File, args ...string) *process {
	t.Helper()
	return startAs(t, name, files, nil, args...)
}

func startAs(t testing.TB, name string, files []*os.File, attributes *syscall.SysProcAttr, args ...string) *process {
	t.Helper()
	p, err := tryStart(t, name, files, attributes, args...)
	ok(t, err)
	return p
}

func tryStart(t testing.TB, name string, files []*os.File, attributes *syscall.SysProcAttr, args ...string) (*process, error) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	// The race detector waits a second at each exit, for what there is none of.
	cmd.Env = append(os.Environ(), helperVariable+"="+name, "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	cmd.ExtraFiles = files
	cmd.SysProcAttr = attributes
	p := &process{t: t, cmd: cmd, errors: new(strings.Builder)}
	cmd.Stderr = p.errors
	var err error
	p.in, err = cmd.StdinPipe()
	ok(t, err)
	out, err := cmd.StdoutPipe()
	ok(t, err)
	p.out = bufio.NewReader(out)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	pids.Store(strconv.Itoa(cmd.Process.Pid), true)
	// A helper that hangs fails its test instead.
	limit := time.AfterFunc(30*time.Second, func() { cmd.Process.Signal(syscall.SIGQUIT) })
	t.Cleanup(func() {
		limit.Stop()
		if !p.waited {
			p.kill()
		}
	})
	return p, nil
}

func (p *process) say(format string, values ...any) {
	p.t.Helper()
	_, err := fmt.Fprintf(p.in, format+"\n", values...)
	ok(p.t, err)
}

// hear waits for a line of the helper.
func (p *process) hear() string {
	p.t.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil {
		p.wait()
		p.t.Fatalf("the helper said no more: %v\n%s", err, p.errors)
	}
	return strings.TrimSuffix(line, "\n")
}

func (p *process) hears(want string) {
	p.t.Helper()
	if line := p.hear(); line != want {
		p.t.Fatalf("the helper said %q, not %q", line, want)
	}
}

// wait lets the helper come to its end.
func (p *process) wait() error {
	p.waited = true
	p.in.Close()
	io.Copy(io.Discard, p.out)
	return p.cmd.Wait()
}

// ends checks that the helper succeeds.
func (p *process) ends() {
	p.t.Helper()
	if err := p.wait(); err != nil {
		p.t.Fatalf("%v\n%s", err, p.errors)
	}
}

// kill ends the helper as no program can prevent.
func (p *process) kill() {
	p.cmd.Process.Kill()
	p.wait()
}

// pids are those of this process and its helpers.
var pids sync.Map

func testPIDs() []string {
	all := []string{strconv.Itoa(os.Getpid())}
	pids.Range(func(pid, _ any) bool {
		all = append(all, pid.(string))
		return true
	})
	return all
}

// inHelper is the testing.TB of a helper: what fails ends run, and is the helper's failure.
type inHelper struct {
	testing.TB
	failed error
}

func (t *inHelper) Helper() {}

func (t *inHelper) Cleanup(func()) { panic("a helper has no cleanup") }

func (t *inHelper) Fatal(values ...any) { t.end(fmt.Sprint(values...)) }

func (t *inHelper) Fatalf(format string, values ...any) { t.end(fmt.Sprintf(format, values...)) }

func (t *inHelper) end(why string) {
	_, file, line, _ := runtime.Caller(3)
	t.failed = fmt.Errorf("%s:%d: %s", filepath.Base(file), line, why)
	runtime.Goexit()
}

func (t *inHelper) run(work func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		work()
	}()
	<-done
}

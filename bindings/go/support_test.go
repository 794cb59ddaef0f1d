package shmkit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"shmkit"
)

var page = os.Getpagesize()

const testPrefix = "shmkit-go-test"

func ownPrefix() string { return fmt.Sprintf("%s-%d-", testPrefix, os.Getpid()) }

var number atomic.Int32

// rounds are fewer in builds that are slow.
func rounds(n int) int {
	if debugBuild || raceBuild {
		return max(n/10, 1)
	}
	return n
}

// newName is a POSIX name of the test's own, which goes with the test.
func newName(t testing.TB) string {
	name := fmt.Sprintf("%s%d", ownPrefix(), number.Add(1))
	t.Cleanup(func() { os.Remove("/dev/shm/" + name) })
	return name
}

// newPath is a path of the test's own.
func newPath(t testing.TB) string {
	return filepath.Join(t.TempDir(), fmt.Sprintf("%s-%d", testPrefix, number.Add(1)))
}

// newKey is a System V key of the test's own, whose segment goes with the test.
func newKey(t testing.TB) shmkit.SysVKey {
	for {
		key := shmkit.SysVKey(rand.Int32N(1<<30) + 1)
		if _, _, errno := syscall.Syscall(syscall.SYS_SHMGET, uintptr(key), 0, 0); errno == syscall.ENOENT {
			t.Cleanup(func() { removeKey(key) })
			return key
		}
	}
}

func removeKey(key shmkit.SysVKey) {
	if id, _, errno := syscall.Syscall(syscall.SYS_SHMGET, uintptr(key), 0, 0); errno == 0 {
		syscall.Syscall(syscall.SYS_SHMCTL, id, 0 /* IPC_RMID */, 0)
	}
}

// ok fails the test for an error.
func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func check(t testing.TB, is bool, format string, values ...any) {
	t.Helper()
	if !is {
		t.Fatalf(format, values...)
	}
}

func equal[T comparable](t testing.TB, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("got %v, want %v", got, want)
	}
}

// opened is for calls that make a region: opened(t)(shmkit.Create("frames", 1)). The region goes with
// the test.
func opened(t testing.TB) func(*shmkit.Region, error) *shmkit.Region {
	t.Helper()
	return func(r *shmkit.Region, err error) *shmkit.Region {
		t.Helper()
		ok(t, err)
		t.Cleanup(func() { ok(t, r.Close()) })
		return r
	}
}

// refused checks an error: a sentence that has the words in it, an *Error that agrees with itself, and
// what errors.Is finds.
func refused(t testing.TB, err, want error, words ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%v, and not %v", err, want)
	}
	var e *shmkit.Error
	if !errors.As(err, &e) {
		t.Fatalf("%T %v is no *Error", err, err)
	}
	if e.Op == "" || e.Message == "" || err.Error() != "shmkit: "+e.Op+": "+e.Message {
		t.Fatalf("an incomplete error: %#v", e)
	}
	if strings.Contains(e.Message, "%!") || strings.ContainsAny(e.Message, "\n\x00\x1b") {
		t.Fatalf("a spoiled message: %q", e.Message)
	}
	switch want := want.(type) {
	case syscall.Errno:
		if e.Errno != want || e.Code != shmkit.Code(-int(want)) {
			t.Fatalf("Errno %d and Code %d of %v", e.Errno, e.Code, err)
		}
	case shmkit.Code:
		if e.Errno != 0 || e.Code != want {
			t.Fatalf("Errno %d and Code %d of %v", e.Errno, e.Code, err)
		}
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Fatalf("%q does not say %q", err, word)
		}
	}
}

// refusedRegion is refused for a call that makes a region.
func refusedRegion(t testing.TB, r *shmkit.Region, err, want error, words ...string) {
	t.Helper()
	if r != nil {
		r.Close()
		t.Fatalf("a region (%v) in the place of %v", r, want)
	}
	refused(t, err, want, words...)
}

// sound checks that whatever error it is, it is a complete one.
func sound(t testing.TB, err error) {
	t.Helper()
	var e *shmkit.Error
	check(t, errors.As(err, &e), "%T %v is no *Error", err, err)
	for _, sentinel := range []error{e.Errno, e.Code, fs.ErrClosed} {
		if errors.Is(err, sentinel) && sentinel != syscall.Errno(0) {
			refused(t, err, sentinel)
			return
		}
	}
	t.Fatalf("%#v wraps nothing", e)
}

// unchanged checks that a piece of work leaves the process with the descriptors and mappings it had.
func unchanged(t testing.TB, work func()) {
	t.Helper()
	fds, maps := openFDs(), sharedMaps()
	work()
	if now := openFDs(); len(now) != len(fds) {
		t.Fatalf("descriptors:\n%s\nbefore:\n%s", strings.Join(now, "\n"), strings.Join(fds, "\n"))
	}
	if now := sharedMaps(); len(now) != len(maps) {
		t.Fatalf("mappings:\n%s\nbefore:\n%s", strings.Join(now, "\n"), strings.Join(maps, "\n"))
	}
}

// eventually waits for what other goroutines or processes bring about, and fails when they never do.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for limit := time.Now().Add(20 * time.Second); !is(); runtime.Gosched() {
		if time.Now().After(limit) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("never came: %s\n%s", what, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// within fails the test where work does not end: a hang shows its goroutines instead of the test's limit.
func within(t testing.TB, what string, work func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		work()
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		stacks := make([]byte, 1<<20)
		t.Fatalf("hangs: %s\n%s", what, stacks[:runtime.Stack(stacks, true)])
	}
}

// soon is a context that ends long before the test does, if something hangs.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func pair(t testing.TB) (*net.UnixConn, *net.UnixConn) {
	t.Helper()
	one, other, err := shmkit.Pair()
	ok(t, err)
	t.Cleanup(func() { one.Close(); other.Close() })
	return one, other
}

// write and read are for the region's bytes.
func write(t testing.TB, r *shmkit.Region, off int64, s string) {
	t.Helper()
	n, err := r.WriteAt([]byte(s), off)
	ok(t, err)
	equal(t, n, len(s))
}

func read(t testing.TB, r *shmkit.Region, off int64, n int) string {
	t.Helper()
	p := make([]byte, n)
	_, err := r.ReadAt(p, off)
	ok(t, err)
	return string(p)
}

func allZero(t testing.TB, r *shmkit.Region) {
	t.Helper()
	ok(t, r.Bytes(func(b []byte) error {
		if len(bytes.Trim(b, "\x00")) != 0 {
			return errors.New("not all zeros")
		}
		return nil
	}))
}

func inode(t testing.TB, path string) uint64 {
	t.Helper()
	var stat syscall.Stat_t
	ok(t, syscall.Stat(path, &stat))
	return stat.Ino
}

// withUmask runs work under another umask.
func withUmask(mask int, work func()) {
	defer syscall.Umask(syscall.Umask(mask))
	work()
}

// goroutinesIn counts the goroutines that are in a function of the package.
func goroutinesIn(function string) (count int) {
	stacks := make([]byte, 1<<22)
	for _, stack := range strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
		if strings.Contains(stack, "shmkit."+function+"(") && strings.Contains(stack, "[IO wait") {
			count++
		}
	}
	return count
}

func newSocketName() string { return fmt.Sprintf("%s%d", ownPrefix(), number.Add(1)) }

// group is goroutines that are waited for together.
type group struct{ sync.WaitGroup }

func (g *group) start(work func()) {
	g.Add(1)
	go func() {
		defer g.Done()
		work()
	}()
}

// watched is a context that tells when a call looks at its end, which it does once it has to wait.
type watched struct {
	context.Context
	once  sync.Once
	waits chan struct{}
}

func watch(ctx context.Context) *watched { return &watched{Context: ctx, waits: make(chan struct{})} }

func (w *watched) Done() <-chan struct{} {
	w.once.Do(func() { close(w.waits) })
	return w.Context.Done()
}

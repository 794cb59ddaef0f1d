package shmkit_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"shmkit"
)

// ipcKey is a System V key of the test's own, whose semaphores and queue go with the test.
func ipcKey(t testing.TB) shmkit.SysVKey {
	key := shmkit.SysVKey(rand.Int32N(1<<30) + 1)
	t.Cleanup(func() {
		if set, err := shmkit.OpenSysVSemaphores(key, 0); err == nil {
			set.Remove()
		}
		if queue, err := shmkit.OpenSysVQueue(key); err == nil {
			queue.Remove()
		}
	})
	return key
}

func ipcSet(t testing.TB, values ...int) shmkit.SysVSemaphores {
	t.Helper()
	set, created, err := shmkit.CreateSysVSemaphores(ipcKey(t), values)
	if err != nil || !created {
		t.Fatal(created, err)
	}
	return set
}

// ipcFails holds an error to be this one, in these words.
func ipcFails(t testing.TB, err error, want error, words ...string) {
	t.Helper()
	var e *shmkit.Error
	if !errors.Is(err, want) || !errors.As(err, &e) {
		t.Fatalf("got %v, want %v", err, want)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Fatalf("%q does not say %q", err, word)
		}
	}
}

func ipcOK(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestSysVSemaphores(t *testing.T) {
	key := ipcKey(t)
	_, err := shmkit.OpenSysVSemaphores(key, 0)
	ipcFails(t, err, fs.ErrNotExist, fmt.Sprintf("%#x", int32(key)))
	set, created, err := shmkit.CreateSysVSemaphores(key, []int{1, 0, 32767}, shmkit.OrOpen, shmkit.Mode(0o640))
	ipcOK(t, err)
	found, foundCreated, err := shmkit.CreateSysVSemaphores(key, []int{9}, shmkit.OrOpen)
	ipcOK(t, err)
	if !created || foundCreated || found != set {
		t.Fatal(set, created, found, foundCreated)
	}
	found, err = shmkit.OpenSysVSemaphores(key, 3)
	ipcOK(t, err)
	values, err := found.Values()
	ipcOK(t, err)
	if !slices.Equal(values, []int{1, 0, 32767}) {
		t.Fatal(values)
	}
	_, _, err = shmkit.CreateSysVSemaphores(key, []int{1})
	ipcFails(t, err, fs.ErrExist)
	_, err = shmkit.OpenSysVSemaphores(key, 4)
	ipcFails(t, err, syscall.EINVAL, "3 semaphores", "4")

	ipcOK(t, set.TryOperate(shmkit.SysVOp{Index: 0, Change: -1}, shmkit.SysVOp{Index: 1, Change: 5}))
	ipcFails(t, set.TryOperate(shmkit.SysVOp{Index: 1, Change: -1}, shmkit.SysVOp{Index: 0, Change: -1}), syscall.EAGAIN)
	state, err := set.State(1)
	ipcOK(t, err)
	if state != (shmkit.SysVSemaphoreState{Value: 5, LastPID: os.Getpid()}) {
		t.Fatal(state)
	}
	ipcOK(t, set.SetValue(1, 6))
	if value, err := set.Value(1); value != 6 || err != nil {
		t.Fatal(value, err)
	}
	ipcOK(t, set.SetValues([]int{7, 8, 9}))
	info, err := set.Stat()
	ipcOK(t, err)
	if info.Key != key || info.Count != 3 || info.Mode != 0o640 || info.OwnerUID != os.Geteuid() ||
		info.CreatorGID != os.Getegid() || time.Since(info.OperatedAt) > time.Minute || info.ChangedAt.IsZero() {
		t.Fatalf("%+v", info)
	}
	ipcOK(t, set.SetOwner(-1, -1, 0o600))
	ipcOK(t, set.Remove())
	ipcFails(t, set.Remove(), syscall.EINVAL, fmt.Sprint(int32(set)))
}

func TestSysVSemaphoresRefuse(t *testing.T) {
	key, set := ipcKey(t), ipcSet(t, 1, 2)
	create := func(key shmkit.SysVKey, values []int, options ...shmkit.Option) error {
		_, created, err := shmkit.CreateSysVSemaphores(key, values, options...)
		if created {
			t.Error("created")
		}
		return err
	}
	open := func(key shmkit.SysVKey, count int) error {
		_, err := shmkit.OpenSysVSemaphores(key, count)
		return err
	}
	value := func(index int) error { _, err := set.Value(index); return err }
	state := func(index int) error { _, err := set.State(index); return err }
	try := func(index, change int) error { return set.TryOperate(shmkit.SysVOp{Index: index, Change: change}) }
	for _, row := range []struct {
		err   error
		want  syscall.Errno
		words string
	}{
		{create(-1, []int{1}), syscall.EINVAL, "ftok"},
		{create(key, nil), syscall.EINVAL, "at least 1"},
		{create(key, make([]int, 1<<20)), syscall.EINVAL, "semmsl"},
		{create(key, []int{1, 32768}), syscall.ERANGE, "semaphore 1 to 32768"},
		{create(key, []int{-1}), syscall.ERANGE, "semaphore 0 to -1"},
		{create(key, []int{1}, shmkit.ReadOnly), syscall.EINVAL, "OrOpen and Mode"},
		{create(key, []int{1}, shmkit.SizeMin(1)), syscall.EINVAL, "SizeMin"},
		{create(key, []int{1}, nil), syscall.EINVAL, "nil"},
		{open(-1, 0), syscall.EINVAL, "ftok"},
		{open(0, 0), syscall.EINVAL, "IPC_PRIVATE"},
		{open(key, -1), syscall.EINVAL, "-1"},
		{value(2), syscall.EINVAL, "2 semaphores"},
		{value(-1), syscall.EINVAL, "-1"},
		{state(2), syscall.EINVAL, "2 semaphores"},
		{state(1 << 40), syscall.EINVAL, "1099511627776"},
		{try(2, 1), syscall.EFBIG, "2 semaphores"},
		{try(65536, 1), syscall.EFBIG, "65536"},
		{try(-1, 1), syscall.EFBIG, "-1"},
		{try(0, 32767), syscall.ERANGE, "32767"},
		{try(0, 32768), syscall.ERANGE, "32768"},
		{set.TryOperate(), syscall.EINVAL, "nothing"},
		{set.TryOperate(make([]shmkit.SysVOp, 10000)...), syscall.E2BIG, "semopm"},
		{set.SetValue(2, 1), syscall.EINVAL, "2 semaphores"},
		{set.SetValue(0, 32768), syscall.ERANGE, "32767"},
		{set.SetValue(0, 1<<40), syscall.ERANGE, "1099511627776"},
		{set.SetValues([]int{1}), syscall.EINVAL, "2 of them"},
		{set.SetValues([]int{1, 40000}), syscall.ERANGE, "40000"},
		{set.SetOwner(-2, 0, 0o600), syscall.EINVAL, "-2"},
		{set.SetOwner(0, 0, fs.ModeDir), syscall.EINVAL, "range"},
		{shmkit.SysVSemaphores(-1).Remove(), syscall.EINVAL, "-1"},
	} {
		ipcFails(t, row.err, row.want, row.words)
	}
	if values, err := set.Values(); err != nil || !slices.Equal(values, []int{1, 2}) {
		t.Fatal(values, err)
	}
}

func TestSysVSemaphoresWait(t *testing.T) {
	take := shmkit.SysVOp{Change: -1}
	waiting := func(ctx context.Context, set shmkit.SysVSemaphores) chan error {
		result, watching := make(chan error), watch(ctx)
		go func() { result <- set.Operate(watching, take) }()
		<-watching.waits
		return result
	}
	t.Run("until it can", func(t *testing.T) {
		set := ipcSet(t, 0)
		result := waiting(context.Background(), set)
		ipcOK(t, set.Operate(context.Background(), shmkit.SysVOp{Change: 1}))
		ipcOK(t, <-result)
	})
	t.Run("removed", func(t *testing.T) {
		set := ipcSet(t, 0)
		result := waiting(context.Background(), set)
		ipcOK(t, set.Remove())
		ipcFails(t, <-result, syscall.EIDRM, "removed")
	})
	t.Run("cancelled", func(t *testing.T) {
		set := ipcSet(t, 0)
		ctx, cancel := context.WithCancelCause(context.Background())
		result := waiting(ctx, set)
		why := errors.New("no longer wanted")
		cancel(why)
		ipcFails(t, <-result, why, "no longer wanted")
		ipcOK(t, set.SetValue(0, 1))
		ipcFails(t, set.Operate(ctx, take), why) // not even tried
		if value, err := set.Value(0); value != 1 || err != nil {
			t.Fatal(value, err)
		}
	})
	t.Run("deadline", func(t *testing.T) {
		set := ipcSet(t, 0)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		begin := time.Now()
		ipcFails(t, set.Operate(ctx, take), context.DeadlineExceeded)
		if time.Since(begin) < 20*time.Millisecond {
			t.Fatal("too early")
		}
	})
	t.Run("many hold no thread", func(t *testing.T) {
		set := ipcSet(t, 0)
		threads := func() int {
			tasks, err := os.ReadDir("/proc/self/task")
			ipcOK(t, err)
			return len(tasks)
		}
		const many = 200
		before := threads()
		var group sync.WaitGroup
		watching := make([]*watched, many)
		for i := range many {
			watching[i] = watch(context.Background())
			group.Add(1)
			go func() {
				defer group.Done()
				if err := set.Operate(watching[i], take); err != nil {
					t.Error(err)
				}
			}()
		}
		for _, w := range watching {
			<-w.waits
		}
		if now := threads(); now > before+many/4 {
			t.Errorf("%d threads before, %d now", before, now)
		}
		ipcOK(t, set.SetValue(0, many))
		group.Wait()
		if value, err := set.Value(0); value != 0 || err != nil {
			t.Fatal(value, err)
		}
	})
}

const holderVariable = "SHMKIT_TEST_SEMAPHORE_KEY"

// TestSysVSemaphoresHolder is the child of TestSysVSemaphoresUndo: it takes, and stays.
func TestSysVSemaphoresHolder(t *testing.T) {
	var key shmkit.SysVKey
	if _, err := fmt.Sscan(os.Getenv(holderVariable), &key); err != nil {
		t.Skip("for another process")
	}
	set, err := shmkit.OpenSysVSemaphores(key, 2)
	ipcOK(t, err)
	ipcOK(t, set.TryOperate(shmkit.SysVOp{Index: 0, Change: -1, Undo: true}, shmkit.SysVOp{Index: 1, Change: 1}))
	select {}
}

func TestSysVSemaphoresUndo(t *testing.T) {
	key := ipcKey(t)
	set, _, err := shmkit.CreateSysVSemaphores(key, []int{1, 0})
	ipcOK(t, err)
	holder := exec.Command(os.Args[0], "-test.run=^TestSysVSemaphoresHolder$")
	holder.Env = append(os.Environ(), fmt.Sprint(holderVariable, "=", int32(key)))
	ipcOK(t, holder.Start())
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	ipcOK(t, set.Operate(ctx, shmkit.SysVOp{Index: 1, Change: -1})) // it has taken
	ipcFails(t, set.TryOperate(shmkit.SysVOp{Change: -1}), syscall.EAGAIN)
	ipcOK(t, holder.Process.Kill())
	holder.Wait()
	ipcOK(t, set.TryOperate(shmkit.SysVOp{Change: -1}))
}

func ExampleSysVSemaphores_Operate() {
	ctx := context.Background()
	set, _, err := shmkit.CreateSysVSemaphores(shmkit.SysVPrivate, []int{1})
	if err != nil {
		panic(err)
	}
	defer set.Remove()

	// A lock that is free again when its holder is killed.
	lock := shmkit.SysVOp{Change: -1, Undo: true}
	unlock := shmkit.SysVOp{Change: 1, Undo: true}
	if err := set.Operate(ctx, lock); err != nil {
		panic(err)
	}
	fmt.Println(set.Value(0))
	if err := set.Operate(ctx, unlock); err != nil {
		panic(err)
	}
	fmt.Println(set.Value(0))
	// Output:
	// 0 <nil>
	// 1 <nil>
}

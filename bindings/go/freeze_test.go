package shmkit_test

import (
	"errors"
	"sync"
	"syscall"
	"testing"

	"shmkit"
)

// A peer seals the way back while a freeze fails: the region may then be for reading, which is an error
// of the writer and not his death.
func TestFreezingBesideAHostilePeer(t *testing.T) {
	const addSeals, sealFutureWrite = 1033, 16
	frozen := 0
	for range rounds(2000) {
		r, err := shmkit.Create("hostile", page)
		ok(t, err)
		file := must(r.File())
		other, err := shmkit.FromFile(file)
		ok(t, err)
		fd := file.Fd()
		var peer sync.WaitGroup
		peer.Add(1)
		begin := make(chan struct{})
		go func() {
			defer peer.Done()
			<-begin
			syscall.Syscall(syscall.SYS_FCNTL, fd, addSeals, sealFutureWrite)
		}()
		close(begin)
		check(t, r.Freeze() != nil, "it is mapped elsewhere, and frozen")
		peer.Wait()
		if _, err := r.WriteAt([]byte("x"), 0); errors.Is(err, syscall.EACCES) {
			frozen++
		} else {
			ok(t, err)
		}
		err = r.Bytes(func(b []byte) error { b[1] = 1; return nil })
		check(t, err == nil || errors.Is(err, syscall.EACCES), "%v", err)
		equal(t, len(read(t, r, 0, 1)), 1)
		ok(t, other.Close())
		ok(t, file.Close())
		ok(t, r.Close())
	}
	if frozen == 0 {
		t.Log("the peer was never in time")
	}
}

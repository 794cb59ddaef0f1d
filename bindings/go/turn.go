package shmkit

import (
	"context"
	"sync"
)

// A context ends a wait by the connection's deadline, which all waits on it share. So those that wait on
// one connection, in one direction, do so by turns, and wait for their turn under their own context.

type turnKey struct {
	conn      any // a pointer: *net.UnixConn, *net.UnixListener, *os.File
	direction direction
}

type turn struct {
	taken chan struct{} // holds one while somebody has it
	users int
}

var turns struct {
	sync.Mutex
	of map[turnKey]*turn
}

// takeTurn returns what gives the turn back, or nil where the context has ended first.
func takeTurn(ctx context.Context, conn any, direction direction) (giveBack func()) {
	key := turnKey{conn, direction}
	turns.Lock()
	t := turns.of[key]
	if t == nil {
		t = &turn{taken: make(chan struct{}, 1)}
		if turns.of == nil {
			turns.of = make(map[turnKey]*turn)
		}
		turns.of[key] = t
	}
	t.users++
	turns.Unlock()
	leave := func() {
		turns.Lock()
		defer turns.Unlock()
		if t.users--; t.users == 0 {
			delete(turns.of, key)
		}
	}
	select {
	case t.taken <- struct{}{}:
		return func() {
			<-t.taken
			leave()
		}
	case <-ctx.Done():
		leave()
		return nil
	}
}

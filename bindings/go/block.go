package shmkit

import (
	"runtime"
	"sync"
)

// A block is the memory of a few regions, and the net under them: when none of them can be reached any
// more, those that are still open are closed. An allocation and a finalizer for each region would cost a
// tenth of opening it.
type block struct {
	used    int
	regions [8]Region
}

var blocks = sync.Pool{New: func() any {
	b := new(block)
	runtime.SetFinalizer(b, (*block).closeForgotten)
	return b
}}

func allocate() *Region {
	b := blocks.Get().(*block)
	r := &b.regions[b.used]
	if b.used++; b.used < len(b.regions) {
		blocks.Put(b)
	}
	return r
}

func (b *block) closeForgotten() {
	for i := range b.used {
		if r := &b.regions[i]; r.state.word.Load() >= 0 && !r.lentForGood.Load() {
			// Not on the runtime's one goroutine for finalizers: a name that goes with its user can take a while.
			go r.Close()
		}
	}
}

package shmkit

import (
	"runtime"
	"sync"
	"sync/atomic"

	"shmkit/internal/capi"
)

// A block is the memory of a few regions, and has a net under them: when none of them can be reached any
// more, those that are still open are closed. An allocation and a cleanup for each region would cost a
// tenth of opening it, and so would a finalizer, which keeps a block and all that it refers to for longer.
type block struct {
	used    int
	opened  capi.Opened // what C tells of the next one
	regions [regionsABlock]Region
	handles *handles
}

const regionsABlock = 32

// handles outlive their block, and must not lead to it.
type handles [regionsABlock]held

// held is a region of C as long as it is open.
type held struct {
	capi.Handle
	lentForGood atomic.Bool // by UnsafeBytes
}

var blocks = sync.Pool{New: func() any {
	b := &block{handles: new(handles)}
	runtime.AddCleanup(b, (*handles).closeForgotten, b.handles)
	return b
}}

// takeBlock takes a block with room for a region, which giveBack gives back.
func takeBlock() *block { return blocks.Get().(*block) }

func (b *block) giveBack() {
	if b.used < len(b.regions) {
		blocks.Put(b)
	}
}

func (b *block) allocate() *Region {
	r := &b.regions[b.used]
	r.held = &b.handles[b.used]
	b.used++
	return r
}

func (h *handles) closeForgotten() {
	for i := range h {
		if region := h[i].Handle; region != (capi.Handle{}) && !h[i].lentForGood.Load() {
			// Not on the runtime's one goroutine for cleanups: a name that goes with its user can take a while.
			go region.Close()
		}
	}
}

package main

/*
#cgo CFLAGS: -O2 -I${SRCDIR}/../../include
#include <stddef.h>
#include <shmkit.h>

struct board {
	shm_party_table parties;
	shm_mutex lock;
	unsigned long counter;
};

static shm_party *party;
static struct board *board;

static int begin(void)
{
	static shm_region *region;
	int code = shm_region_create("bench", sizeof(struct board), NULL, &region, NULL);

	if (code < 0 || (code = shm_party_join(region, offsetof(struct board, parties), NULL, &party, NULL)) < 0)
		return code;
	board = shm_region_data(region);
	return shm_mutex_init(party, &board->lock, NULL);
}

static int turns(int count)
{
	int code = 0;

	for (int i = 0; i < count && code == 0; i++) {
		code = shm_mutex_lock(party, &board->lock);
		if (code == 0) {
			board->counter++;
			code = shm_mutex_unlock(party, &board->lock);
		}
	}
	return code;
}
*/
import "C"

import (
	"fmt"

	"shmkit"
)

// Many locks in one step: so the reference is no call of C for each.
const turns = 1000

func lock(b *bench) (ours, reference step, err error) {
	if code := C.begin(); code < 0 {
		return nil, nil, fmt.Errorf("begin in C: %d", code)
	}
	region, err := shmkit.Create("bench", shmkit.PartySize(0, 0)+shmkit.MutexSize)
	if err != nil {
		return nil, nil, err
	}
	party, err := region.Join(0)
	if err != nil {
		return nil, nil, err
	}
	mutex, err := party.Mutex(shmkit.PartySize(0, 0), func() error { return nil })
	if err != nil {
		return nil, nil, err
	}
	counter := 0
	ours = func() error {
		for range turns {
			mutex.Lock()
			counter++
			mutex.Unlock()
		}
		return nil
	}
	reference = func() error {
		if code := C.turns(turns); code != 0 {
			return fmt.Errorf("turns in C: %d", code)
		}
		return nil
	}
	return ours, reference, nil
}

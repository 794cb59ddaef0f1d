package capi

/*
#cgo noescape shm_barrier_cancel_watch
#cgo nocallback shm_barrier_cancel_watch
#cgo noescape shm_barrier_init
#cgo nocallback shm_barrier_init
#cgo noescape shm_barrier_wait_watch
#cgo nocallback shm_barrier_wait_watch
#cgo noescape shm_cond_broadcast
#cgo nocallback shm_cond_broadcast
#cgo noescape shm_cond_init
#cgo nocallback shm_cond_init
#cgo noescape shm_cond_signal
#cgo nocallback shm_cond_signal
#cgo noescape shm_cond_wait_watch
#cgo nocallback shm_cond_wait_watch
#cgo noescape shm_event_init
#cgo nocallback shm_event_init
#cgo noescape shm_event_is_set
#cgo nocallback shm_event_is_set
#cgo noescape shm_event_open
#cgo nocallback shm_event_open
#cgo noescape shm_mutex_open
#cgo nocallback shm_mutex_open
#cgo noescape shm_named_unlink
#cgo nocallback shm_named_unlink
#cgo noescape shm_event_reset
#cgo nocallback shm_event_reset
#cgo noescape shm_event_set
#cgo nocallback shm_event_set
#cgo noescape shm_event_wait_watch
#cgo nocallback shm_event_wait_watch
#cgo noescape shm_mutex_consistent
#cgo nocallback shm_mutex_consistent
#cgo noescape shm_mutex_init
#cgo nocallback shm_mutex_init
#cgo noescape shm_mutex_lock_watch
#cgo nocallback shm_mutex_lock_watch
#cgo noescape shm_mutex_number
#cgo nocallback shm_mutex_number
#cgo noescape shm_mutex_owner
#cgo nocallback shm_mutex_owner
#cgo noescape shm_mutex_trylock
#cgo nocallback shm_mutex_trylock
#cgo noescape shm_mutex_unlock
#cgo nocallback shm_mutex_unlock
#cgo noescape shm_once_begin_watch
#cgo nocallback shm_once_begin_watch
#cgo noescape shm_once_end
#cgo nocallback shm_once_end
#cgo noescape shm_once_init
#cgo nocallback shm_once_init
#cgo noescape shm_once_open
#cgo nocallback shm_once_open
#cgo noescape shm_party_join
#cgo nocallback shm_party_join
#cgo noescape shm_party_leave
#cgo nocallback shm_party_leave
#cgo noescape shm_rwlock_consistent
#cgo nocallback shm_rwlock_consistent
#cgo noescape shm_rwlock_init
#cgo nocallback shm_rwlock_init
#cgo noescape shm_rwlock_open
#cgo nocallback shm_rwlock_open
#cgo noescape shm_rwlock_read_watch
#cgo nocallback shm_rwlock_read_watch
#cgo noescape shm_rwlock_tryread
#cgo nocallback shm_rwlock_tryread
#cgo noescape shm_rwlock_trywrite
#cgo nocallback shm_rwlock_trywrite
#cgo noescape shm_rwlock_unlock
#cgo nocallback shm_rwlock_unlock
#cgo noescape shm_rwlock_write_watch
#cgo nocallback shm_rwlock_write_watch
#cgo noescape shm_semaphore_init
#cgo nocallback shm_semaphore_init
#cgo noescape shm_semaphore_open
#cgo nocallback shm_semaphore_open
#cgo noescape shm_semaphore_post
#cgo nocallback shm_semaphore_post
#cgo noescape shm_semaphore_trywait
#cgo nocallback shm_semaphore_trywait
#cgo noescape shm_semaphore_value
#cgo nocallback shm_semaphore_value
#cgo noescape shm_semaphore_wait_watch
#cgo nocallback shm_semaphore_wait_watch
#cgo noescape shm_watch_cancel
#cgo nocallback shm_watch_cancel
#cgo noescape shm_watch_open
#cgo nocallback shm_watch_open
#include "bridge.h"
*/
import "C"

import "unsafe"

// What the flags of C are called.
const (
	PartyCanShrink   = C.SHMKIT_PARTY_CAN_SHRINK
	EventAutoReset   = C.SHMKIT_EVENT_AUTO_RESET
	SemaphoreTracked = C.SHMKIT_SEMAPHORE_TRACKED
	NamedFind        = C.SHMKIT_NAMED_FIND
	NamedAnyOwner    = C.SHMKIT_NAMED_ANY_OWNER
)

// Party is a membership of C.
type Party struct{ party *C.shm_party }

// Join joins as a program whose holders of locks are no threads.
func (h Handle) Join(offset int, flags, slots, cells uint32) (Party, *Failure) {
	var party Party
	var said C.shm_error
	options := C.shm_party_options{
		size:  C.uint32_t(unsafe.Sizeof(C.shm_party_options{})),
		flags: C.uint32_t(flags) | C.SHMKIT_PARTY_ANY_THREAD,
		slots: C.uint32_t(slots),
		cells: C.uint32_t(cells),
	}
	code := C.shm_party_join(h.region, C.size_t(offset), &options, &party.party, &said)
	return party, failed(code, &said)
}

func (p Party) Leave() *Failure { return silent(C.shm_party_leave(p.party)) }

// PartySize is how many bytes a table has; 0 for an impossible one.
func PartySize(slots, cells uint32) int {
	return int(C.shm_party_size(C.uint32_t(slots), C.uint32_t(cells)))
}

// Watch is a descriptor of C that tells when a lock is worth another try.
type Watch struct{ watch *C.shm_watch }

func OpenWatch() (Watch, int, *Failure) {
	var watch Watch
	var said C.shm_error
	if f := failed(C.shm_watch_open(&watch.watch, &said), &said); f != nil {
		return watch, 0, f
	}
	return watch, int(C.shm_watch_fd(watch.watch)), nil
}

func (w Watch) Cancel() { C.shm_watch_cancel(w.watch) }

func (w Watch) Close() { C.shm_watch_close(w.watch) }

// tried is what a call answers that does not wait: done, also where an owner died, or what stood in the way.
func tried(code C.int) (died bool, f *Failure) {
	return code == C.SHMKIT_OWNER_DIED, silent(code)
}

func mutex(at unsafe.Pointer) *C.shm_mutex { return (*C.shm_mutex)(at) }

func (p Party) MutexInit(at unsafe.Pointer) (made bool, f *Failure) {
	var said C.shm_error
	code := C.shm_mutex_init(p.party, mutex(at), &said)
	return code == 1, failed(code, &said)
}

func (p Party) MutexTryLock(at unsafe.Pointer) (died bool, f *Failure) {
	return tried(C.shm_mutex_trylock(p.party, mutex(at)))
}

func (p Party) MutexLockWatch(at unsafe.Pointer, w Watch) (died bool, f *Failure) {
	return tried(C.shm_mutex_lock_watch(p.party, mutex(at), w.watch))
}

func (p Party) MutexUnlock(at unsafe.Pointer) *Failure {
	return silent(C.shm_mutex_unlock(p.party, mutex(at)))
}

func (p Party) MutexConsistent(at unsafe.Pointer) *Failure {
	return silent(C.shm_mutex_consistent(p.party, mutex(at)))
}

// MutexOwner is 0 for nobody.
func (p Party) MutexOwner(at unsafe.Pointer) (pid int, f *Failure) {
	var number C.int32_t
	code := C.shm_mutex_owner(p.party, mutex(at), &number)
	return int(number), silent(code)
}

func (p Party) MutexNumber(at unsafe.Pointer) uint32 {
	return uint32(C.shm_mutex_number(p.party, mutex(at)))
}

func event(at unsafe.Pointer) *C.shm_event { return (*C.shm_event)(at) }

func (p Party) EventInit(at unsafe.Pointer, flags uint32) (made bool, f *Failure) {
	var said C.shm_error
	code := C.shm_event_init(p.party, event(at), C.uint32_t(flags), &said)
	return code == 1, failed(code, &said)
}

func (p Party) EventSet(at unsafe.Pointer) *Failure {
	return silent(C.shm_event_set(p.party, event(at)))
}

func (p Party) EventReset(at unsafe.Pointer) (was bool, f *Failure) {
	code := C.shm_event_reset(p.party, event(at))
	return code == 1, silent(code)
}

func (p Party) EventIsSet(at unsafe.Pointer) (set bool, f *Failure) {
	code := C.shm_event_is_set(p.party, event(at))
	return code == 1, silent(code)
}

func (p Party) EventWaitWatch(at unsafe.Pointer, w Watch) *Failure {
	return silent(C.shm_event_wait_watch(p.party, event(at), w.watch))
}

func semaphore(at unsafe.Pointer) *C.shm_semaphore { return (*C.shm_semaphore)(at) }

func (p Party) SemaphoreInit(at unsafe.Pointer, units, flags uint32) (made bool, f *Failure) {
	var said C.shm_error
	code := C.shm_semaphore_init(p.party, semaphore(at), C.uint32_t(units), C.uint32_t(flags), &said)
	return code == 1, failed(code, &said)
}

func (p Party) SemaphoreWaitWatch(at unsafe.Pointer, w Watch) *Failure {
	return silent(C.shm_semaphore_wait_watch(p.party, semaphore(at), w.watch))
}

func (p Party) SemaphoreTryWait(at unsafe.Pointer) *Failure {
	return silent(C.shm_semaphore_trywait(p.party, semaphore(at)))
}

func (p Party) SemaphorePost(at unsafe.Pointer) *Failure {
	return silent(C.shm_semaphore_post(p.party, semaphore(at)))
}

func (p Party) SemaphoreValue(at unsafe.Pointer) (units int, f *Failure) {
	code := C.shm_semaphore_value(p.party, semaphore(at))
	return int(code), silent(code)
}

func rwlock(at unsafe.Pointer) *C.shm_rwlock { return (*C.shm_rwlock)(at) }

func (p Party) RWLockInit(at unsafe.Pointer) (made bool, f *Failure) {
	var said C.shm_error
	code := C.shm_rwlock_init(p.party, rwlock(at), &said)
	return code == 1, failed(code, &said)
}

func (p Party) RWLockReadWatch(at unsafe.Pointer, w Watch) (died bool, f *Failure) {
	return tried(C.shm_rwlock_read_watch(p.party, rwlock(at), w.watch))
}

func (p Party) RWLockWriteWatch(at unsafe.Pointer, w Watch) (died bool, f *Failure) {
	return tried(C.shm_rwlock_write_watch(p.party, rwlock(at), w.watch))
}

func (p Party) RWLockTryRead(at unsafe.Pointer) (died bool, f *Failure) {
	return tried(C.shm_rwlock_tryread(p.party, rwlock(at)))
}

func (p Party) RWLockTryWrite(at unsafe.Pointer) (died bool, f *Failure) {
	return tried(C.shm_rwlock_trywrite(p.party, rwlock(at)))
}

func (p Party) RWLockUnlock(at unsafe.Pointer) *Failure {
	return silent(C.shm_rwlock_unlock(p.party, rwlock(at)))
}

func (p Party) RWLockConsistent(at unsafe.Pointer) *Failure {
	return silent(C.shm_rwlock_consistent(p.party, rwlock(at)))
}

func once(at unsafe.Pointer) *C.shm_once { return (*C.shm_once)(at) }

func (p Party) OnceInit(at unsafe.Pointer) (made bool, f *Failure) {
	var said C.shm_error
	code := C.shm_once_init(p.party, once(at), &said)
	return code == 1, failed(code, &said)
}

// OnceBeginWatch tells whether it is for the caller to do.
func (p Party) OnceBeginWatch(at unsafe.Pointer, w Watch) (ours bool, f *Failure) {
	code := C.shm_once_begin_watch(p.party, once(at), w.watch)
	return code > 0, silent(code)
}

func (p Party) OnceEnd(at unsafe.Pointer, done bool) *Failure {
	how := C.int(0)
	if done {
		how = 1
	}
	return silent(C.shm_once_end(p.party, once(at), how))
}

func barrier(at unsafe.Pointer) *C.shm_barrier { return (*C.shm_barrier)(at) }

func (p Party) BarrierInit(at unsafe.Pointer, count uint32) (made bool, f *Failure) {
	var said C.shm_error
	code := C.shm_barrier_init(p.party, barrier(at), C.uint32_t(count), &said)
	return code == 1, failed(code, &said)
}

func (p Party) BarrierWaitWatch(at unsafe.Pointer, w Watch) (serial bool, f *Failure) {
	code := C.shm_barrier_wait_watch(p.party, barrier(at), w.watch)
	return code == C.SHMKIT_BARRIER_SERIAL, silent(code)
}

// BarrierCancelWatch is ECANCELED, or what BarrierWaitWatch would have answered.
func (p Party) BarrierCancelWatch(at unsafe.Pointer, w Watch) *Failure {
	return silent(C.shm_barrier_cancel_watch(p.party, barrier(at), w.watch))
}

func cond(at unsafe.Pointer) *C.shm_cond { return (*C.shm_cond)(at) }

func (p Party) CondInit(at unsafe.Pointer) (made bool, f *Failure) {
	var said C.shm_error
	code := C.shm_cond_init(p.party, cond(at), &said)
	return code == 1, failed(code, &said)
}

func (p Party) CondWaitWatch(at, mutexAt unsafe.Pointer, w Watch) (died bool, f *Failure) {
	return tried(C.shm_cond_wait_watch(p.party, cond(at), mutex(mutexAt), w.watch))
}

func (p Party) CondSignal(at unsafe.Pointer) *Failure {
	return silent(C.shm_cond_signal(p.party, cond(at)))
}

func (p Party) CondBroadcast(at unsafe.Pointer) *Failure {
	return silent(C.shm_cond_broadcast(p.party, cond(at)))
}

func namedOptions(flags, mode uint32) C.shm_named_options {
	return C.shm_named_options{
		size:  C.uint32_t(unsafe.Sizeof(C.shm_named_options{})),
		flags: C.uint32_t(flags) | C.SHMKIT_NAMED_ANY_THREAD,
		mode:  C.uint32_t(mode),
	}
}

// OpenMutex joins the party that comes with a name, and tells where its lock is.
func OpenMutex(name string, flags, mode uint32) (Party, unsafe.Pointer, *Failure) {
	var party Party
	var at *C.shm_mutex
	var said C.shm_error
	options := namedOptions(flags, mode)
	code := C.shm_mutex_open(text(name), &options, &party.party, &at, &said)
	return party, unsafe.Pointer(at), failed(code, &said)
}

// OpenEvent is OpenMutex, for an event of a kind.
func OpenEvent(name string, kind, flags, mode uint32) (Party, unsafe.Pointer, *Failure) {
	var party Party
	var at *C.shm_event
	var said C.shm_error
	options := namedOptions(flags, mode)
	code := C.shm_event_open(text(name), C.uint32_t(kind), &options, &party.party, &at, &said)
	return party, unsafe.Pointer(at), failed(code, &said)
}

func OpenRWLock(name string, flags, mode uint32) (Party, unsafe.Pointer, *Failure) {
	var party Party
	var at *C.shm_rwlock
	var said C.shm_error
	options := namedOptions(flags, mode)
	code := C.shm_rwlock_open(text(name), &options, &party.party, &at, &said)
	return party, unsafe.Pointer(at), failed(code, &said)
}

func OpenSemaphore(name string, units, kind, flags, mode uint32) (Party, unsafe.Pointer, *Failure) {
	var party Party
	var at *C.shm_semaphore
	var said C.shm_error
	options := namedOptions(flags, mode)
	code := C.shm_semaphore_open(text(name), C.uint32_t(units), C.uint32_t(kind), &options, &party.party, &at, &said)
	return party, unsafe.Pointer(at), failed(code, &said)
}

func OpenOnce(name string, flags, mode uint32) (Party, unsafe.Pointer, *Failure) {
	var party Party
	var at *C.shm_once
	var said C.shm_error
	options := namedOptions(flags, mode)
	code := C.shm_once_open(text(name), &options, &party.party, &at, &said)
	return party, unsafe.Pointer(at), failed(code, &said)
}

func UnlinkNamed(name string) *Failure {
	var said C.shm_error
	return failed(C.shm_named_unlink(text(name), &said), &said)
}

package capi

/*
#cgo noescape go_listed_free
#cgo nocallback go_listed_free
#cgo noescape go_shm_leftovers_list
#cgo nocallback go_shm_leftovers_list
#cgo noescape go_shm_limits_list
#cgo nocallback go_shm_limits_list
#cgo noescape go_shm_objects_list
#cgo nocallback go_shm_objects_list
#cgo noescape go_shm_objects_list_of
#cgo nocallback go_shm_objects_list_of
#cgo noescape go_shm_region_file_system
#cgo nocallback go_shm_region_file_system
#cgo noescape go_shm_region_holders
#cgo nocallback go_shm_region_holders
#cgo noescape go_shm_region_residency
#cgo nocallback go_shm_region_residency
#cgo noescape go_shm_traps_list
#cgo nocallback go_shm_traps_list
#cgo noescape shm_fits
#cgo nocallback shm_fits
#cgo noescape shm_leftover_check
#cgo nocallback shm_leftover_check
#cgo noescape shm_leftover_remove
#cgo nocallback shm_leftover_remove
#cgo noescape shm_leftover_remove_in_use
#cgo nocallback shm_leftover_remove_in_use
#cgo noescape shm_list_free
#cgo nocallback shm_list_free
#cgo noescape shm_process_usage
#cgo nocallback shm_process_usage
#cgo noescape shm_region_usage
#cgo nocallback shm_region_usage
#include "lists.h"
*/
import "C"

import (
	"io/fs"
	"math"
	"runtime"
	"strings"
	"time"
	"unsafe"
)

// What has no type of package shmkit's in it has the fields that users see: their types are made of
// these by conversion.

// Limit is shm_limit.
type Limit struct {
	Name, Source, Word, Unknown string
	Value, Used                 uint64
	Unit                        uint32
	HasUsed                     bool
	UsedUnknown                 string
}

// Object is shm_object; a number that is not known is -1.
type Object struct {
	Kind                                             int32
	Name                                             string
	ID                                               int
	Key                                              int32
	Device, Inode                                    uint64
	Size, Used, Swapped, Count, Attached             int
	OwnerUID, OwnerGID, CreatorUID, CreatorGID       int
	CreatorPID, LastPID, LastReceiverPID             int
	Mode                                             fs.FileMode
	Seals                                            uint32
	Unlinked                                         bool
	UsedAt, LeftAt, ModifiedAt, ChangedAt, CreatedAt time.Time
	Holders                                          []Holder
}

// Holder is shm_holder.
type Holder struct {
	PID                int
	Command            string
	UID                int
	StartedAt          time.Time
	StartTicks         uint64
	FD                 int
	Address            uintptr
	Length, Offset     int
	Shared             bool
	Readable, Writable bool
}

// Gap is shm_gap.
type Gap struct {
	Message string
	Count   int
	Cause   uint32
}

// Leftover is shm_leftover, with its object.
type Leftover struct {
	Object  Object
	Reason  string
	Reasons uint32
	Decided bool
}

// Trap is shm_trap.
type Trap struct {
	Name, Sentence, Remedy string
	Applies, Unknown       bool
}

// Run is shm_run.
type Run struct {
	Offset, Length int
	Resident       bool
}

// Usage is shm_usage.
type Usage struct {
	Size, Resident, Proportional int
	SharedClean, SharedDirty     int
	PrivateClean, PrivateDirty   int
	Huge, Locked, Swapped        int
	Mappings, PageSize           int
	Flags                        []string
}

// FileSystem is shm_file_system.
type FileSystem struct {
	Kind, MountPoint, Options string
	Size, Free, FilesFree     int
	InMemory                  bool
}

// ---- The machine ------------------------------------------------------------------------

func Limits() ([]Limit, *Failure) {
	var out C.listed
	var said C.shm_error
	code := C.go_shm_limits_list(&out, &said)
	defer C.go_listed_free(&out)
	return each(out.limits, out.limit_count, limit), failed(code, &said)
}

func Objects(what uint32) ([]Object, []Gap, *Failure) {
	var out C.listed
	var said C.shm_error
	code := C.go_shm_objects_list(C.uint32_t(what), &out, &said)
	defer C.go_listed_free(&out)
	return objects(&out), gaps(&out), failed(code, &said)
}

func ObjectsOf(pid int32, what uint32) ([]Object, []Gap, *Failure) {
	var out C.listed
	var said C.shm_error
	code := C.go_shm_objects_list_of(C.int32_t(pid), C.uint32_t(what), &out, &said)
	defer C.go_listed_free(&out)
	return objects(&out), gaps(&out), failed(code, &said)
}

func Traps() ([]Trap, *Failure) {
	var out C.listed
	var said C.shm_error
	code := C.go_shm_traps_list(&out, &said)
	defer C.go_listed_free(&out)
	return each(out.traps, out.trap_count, trap), failed(code, &said)
}

func Fits(kind int32, size int, options Options) *Failure {
	var said C.shm_error
	var o C.shm_region_options
	set(&o, &options)
	return failed(C.shm_fits(C.int(kind), nil, C.uint64_t(size), &o, &said), &said)
}

func FitsFile(path string, size int, options Options) *Failure {
	var said C.shm_error
	var o C.shm_region_options
	set(&o, &options)
	return failed(C.shm_fits(C.SHMKIT_KIND_FILE, text(path), C.uint64_t(size), &o, &said), &said)
}

// Found is a list of leftovers, by which they are removed. C has it as long as Go does.
type Found struct{ list *C.shm_list }

func Leftovers() (*Found, []Leftover, []Gap, *Failure) {
	var out C.listed
	var said C.shm_error
	code := C.go_shm_leftovers_list(&out, &said)
	defer C.go_listed_free(&out)
	if f := failed(code, &said); f != nil {
		return nil, nil, nil, f
	}
	found := &Found{out.list}
	runtime.AddCleanup(found, func(list *C.shm_list) { C.shm_list_free(list) }, out.list)
	out.list = nil
	all := each(out.leftovers, out.leftover_count, leftover)
	for i, object := range objects(&out) {
		all[i].Object = object
	}
	return found, all, gaps(&out), nil
}

func (l *Found) Check(number int) *Failure {
	defer runtime.KeepAlive(l)
	var said C.shm_error
	return failed(C.shm_leftover_check(l.list, C.size_t(number), &said), &said)
}

func (l *Found) Remove(number int) *Failure {
	defer runtime.KeepAlive(l)
	var said C.shm_error
	return failed(C.shm_leftover_remove(l.list, C.size_t(number), &said), &said)
}

func (l *Found) RemoveInUse(number int) *Failure {
	defer runtime.KeepAlive(l)
	var said C.shm_error
	return failed(C.shm_leftover_remove_in_use(l.list, C.size_t(number), &said), &said)
}

// ---- A region ---------------------------------------------------------------------------

func (h Handle) Holders(ways uint32) (holders []Holder, gone []Gap, f *Failure) {
	var out C.listed
	var said C.shm_error
	code := C.go_shm_region_holders(h.region, C.uint32_t(ways), &out, &said)
	defer C.go_listed_free(&out)
	return each(out.holders, out.holder_count, holder), gaps(&out), failed(code, &said)
}

// Residency also tells whether only this process's own touches are known.
func (h Handle) Residency(offset, length int) (runs []Run, own bool, f *Failure) {
	var out C.listed
	var said C.shm_error
	code := C.go_shm_region_residency(h.region, C.size_t(offset), C.size_t(length), &out, &said)
	defer C.go_listed_free(&out)
	return each(out.runs, out.run_count, run), code > 0, failed(code, &said)
}

func (h Handle) Usage() (Usage, *Failure) {
	var u C.shm_usage
	var said C.shm_error
	code := C.shm_region_usage(h.region, &u, C.size_t(unsafe.Sizeof(u)), &said)
	return usage(&u), failed(code, &said)
}

func UsageOf(pid int32, start, length uint64) (Usage, *Failure) {
	var u C.shm_usage
	var said C.shm_error
	code := C.shm_process_usage(C.int32_t(pid), C.uint64_t(start), C.uint64_t(length), &u, C.size_t(unsafe.Sizeof(u)), &said)
	return usage(&u), failed(code, &said)
}

func usage(u *C.shm_usage) Usage {
	return Usage{
		Size: int(u.size_bytes), Resident: int(u.resident_bytes), Proportional: int(u.proportional_bytes),
		SharedClean: int(u.shared_clean_bytes), SharedDirty: int(u.shared_dirty_bytes),
		PrivateClean: int(u.private_clean_bytes), PrivateDirty: int(u.private_dirty_bytes),
		Huge: int(u.huge_bytes), Locked: int(u.locked_bytes), Swapped: int(u.swapped_bytes),
		Mappings: int(u.mappings), PageSize: int(u.page_size),
		Flags: strings.Fields(C.GoString(&u.vm_flags[0])),
	}
}

func (h Handle) FileSystem() (FileSystem, *Failure) {
	var out C.listed
	var said C.shm_error
	code := C.go_shm_region_file_system(h.region, &out, &said)
	defer C.go_listed_free(&out)
	s := &out.file_system
	return FileSystem{
		Kind: C.GoString(s.kind), MountPoint: C.GoString(s.mount_point), Options: C.GoString(s.options),
		Size: unlimited(s.size_bytes), Free: unlimited(s.free_bytes), FilesFree: unlimited(s.files_free),
		InMemory: s.in_memory != 0,
	}, failed(code, &said)
}

// ---- From C's structs -------------------------------------------------------------------

// each makes something of Go's of every item of an array of C's.
func each[From, To any](items *From, count C.size_t, convert func(*From) To) []To {
	if count == 0 {
		return nil
	}
	to := make([]To, count)
	from := unsafe.Slice(items, count)
	for i := range from {
		to[i] = convert(&from[i])
	}
	return to
}

func limit(l *C.shm_limit) Limit {
	return Limit{
		Name: C.GoString(l.name), Source: C.GoString(l.source), Word: C.GoString(l.word), Unknown: C.GoString(l.unknown),
		Value: uint64(l.value), Used: uint64(l.used), Unit: uint32(l.unit), HasUsed: l.has_used != 0,
		UsedUnknown: C.GoString(l.used_unknown),
	}
}

// objects are those of a list, each with its holders.
func objects(out *C.listed) []Object {
	all := each(out.objects, out.object_count, object)
	holders := each(out.holders, out.holder_count, holder)
	for i, count := range unsafe.Slice(out.held, out.held_count) {
		all[i].Holders = holders[:count:count]
		holders = holders[count:]
	}
	return all
}

func object(o *C.shm_object) Object {
	return Object{
		Kind: int32(o.kind), Name: C.GoString(o.name), ID: int(o.id), Key: int32(o.key),
		Device: known(o.device), Inode: known(o.inode),
		// All bits set is -1.
		Size: int(o.size_bytes), Used: int(o.used_bytes), Swapped: int(o.swapped_bytes),
		Count: int(o.count), Attached: int(o.attach_count),
		OwnerUID: user(o.owner_uid), OwnerGID: user(o.owner_gid),
		CreatorUID: user(o.creator_uid), CreatorGID: user(o.creator_gid),
		CreatorPID: int(o.creator_pid), LastPID: int(o.last_pid), LastReceiverPID: int(o.last_receiver_pid),
		Mode: mode(uint32(known(o.mode))), Seals: uint32(known(o.seals)), Unlinked: o.unlinked != 0,
		UsedAt: at(o.used_at), LeftAt: at(o.left_at), ModifiedAt: at(o.modified_at),
		ChangedAt: at(o.changed_at), CreatedAt: at(o.created_at),
	}
}

func holder(h *C.shm_holder) Holder {
	return Holder{
		PID: int(h.pid), Command: C.GoString(h.command), UID: user(h.uid),
		StartedAt: at(h.started_at), StartTicks: uint64(h.start_ticks),
		FD: int(h.descriptor), Address: uintptr(h.start), Length: int(h.length_bytes), Offset: int(h.offset),
		Shared: h.shared != 0, Readable: h.rights&C.SHMKIT_RIGHTS_READ != 0, Writable: h.rights&C.SHMKIT_RIGHTS_WRITE != 0,
	}
}

func gaps(out *C.listed) []Gap {
	return each(out.gaps, out.gap_count, func(g *C.shm_gap) Gap {
		return Gap{C.GoString(g.message), int(g.count), uint32(g.cause)}
	})
}

func leftover(l *C.shm_leftover) Leftover {
	return Leftover{Reason: C.GoString(l.reason), Reasons: uint32(l.reasons), Decided: l.decided != 0}
}

func trap(t *C.shm_trap) Trap {
	return Trap{
		Name: C.GoString(t.name), Sentence: C.GoString(t.sentence), Remedy: C.GoString(t.remedy),
		Applies: t.applies > 0, Unknown: t.applies < 0,
	}
}

func run(r *C.shm_run) Run {
	return Run{Offset: int(r.offset), Length: int(r.length_bytes), Resident: r.resident != 0}
}

// known is 0 for a number with all bits set, which is none.
func known[N C.uint32_t | C.uint64_t](number N) uint64 {
	if ^number == 0 {
		return 0
	}
	return uint64(number)
}

func user(id C.uint32_t) int {
	if ^id == 0 {
		return -1
	}
	return int(id)
}

func unlimited(bytes C.uint64_t) int { return int(min(bytes, math.MaxInt)) }

// at is zero for a time that never was, or is not known.
func at(seconds C.int64_t) time.Time {
	if seconds <= 0 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}

// mode is a mode of the kernel's, whose bits beyond the permissions are others in Go.
func mode(bits uint32) fs.FileMode {
	m := fs.FileMode(bits) & fs.ModePerm
	for i, special := range []fs.FileMode{fs.ModeSticky, fs.ModeSetgid, fs.ModeSetuid} {
		if bits&(0o1000<<i) != 0 {
			m |= special
		}
	}
	return m
}

// Package capi calls libshmkit: one call of C for each function, and no C type in what it gives.
//
// Pointers into Go memory are passed for the length of a call only; libshmkit keeps none and never
// calls back.
package capi

/*
#cgo noescape go_shm_anon_create
#cgo nocallback go_shm_anon_create
#cgo noescape go_shm_file_create
#cgo nocallback go_shm_file_create
#cgo noescape go_shm_file_open
#cgo nocallback go_shm_file_open
#cgo noescape go_shm_posix_create
#cgo nocallback go_shm_posix_create
#cgo noescape go_shm_posix_open
#cgo nocallback go_shm_posix_open
#cgo noescape go_shm_recv_region
#cgo nocallback go_shm_recv_region
#cgo noescape go_shm_region_close
#cgo nocallback go_shm_region_close
#cgo noescape go_shm_region_create
#cgo nocallback go_shm_region_create
#cgo noescape go_shm_region_follow
#cgo nocallback go_shm_region_follow
#cgo noescape go_shm_region_freeze
#cgo nocallback go_shm_region_freeze
#cgo noescape go_shm_region_from_fd
#cgo nocallback go_shm_region_from_fd
#cgo noescape go_shm_region_grow
#cgo nocallback go_shm_region_grow
#cgo noescape go_shm_region_publish_read_only
#cgo nocallback go_shm_region_publish_read_only
#cgo noescape go_shm_region_seal
#cgo nocallback go_shm_region_seal
#cgo noescape go_shm_sysv_attach
#cgo nocallback go_shm_sysv_attach
#cgo noescape go_shm_sysv_attach_at
#cgo nocallback go_shm_sysv_attach_at
#cgo noescape go_shm_sysv_attach_id
#cgo nocallback go_shm_sysv_attach_id
#cgo noescape go_shm_sysv_create
#cgo nocallback go_shm_sysv_create
#cgo noescape go_shm_sysv_create_at
#cgo nocallback go_shm_sysv_create_at
#cgo noescape shm_connect_until
#cgo nocallback shm_connect_until
#cgo noescape shm_error_name
#cgo nocallback shm_error_name
#cgo noescape shm_guard_begin
#cgo nocallback shm_guard_begin
#cgo noescape shm_guard_enable
#cgo nocallback shm_guard_enable
#cgo noescape shm_guard_end
#cgo nocallback shm_guard_end
#cgo noescape shm_listen
#cgo nocallback shm_listen
#cgo noescape shm_peer_get
#cgo nocallback shm_peer_get
#cgo noescape shm_posix_unlink
#cgo nocallback shm_posix_unlink
#cgo noescape shm_recv_fd
#cgo nocallback shm_recv_fd
#cgo noescape shm_recv_fds
#cgo nocallback shm_recv_fds
#cgo noescape shm_region_advise
#cgo nocallback shm_region_advise
#cgo noescape shm_region_check
#cgo nocallback shm_region_check
#cgo noescape shm_region_fd
#cgo nocallback shm_region_fd
#cgo noescape shm_region_flush
#cgo nocallback shm_region_flush
#cgo noescape shm_region_flush_async
#cgo nocallback shm_region_flush_async
#cgo noescape shm_region_lock
#cgo nocallback shm_region_lock
#cgo noescape shm_region_nodes
#cgo nocallback shm_region_nodes
#cgo noescape shm_region_place
#cgo nocallback shm_region_place
#cgo noescape shm_region_prefault
#cgo nocallback shm_region_prefault
#cgo noescape shm_region_protect
#cgo nocallback shm_region_protect
#cgo noescape shm_region_seals
#cgo nocallback shm_region_seals
#cgo noescape shm_region_unlink
#cgo nocallback shm_region_unlink
#cgo noescape shm_region_unlock
#cgo nocallback shm_region_unlock
#cgo noescape shm_send_fd
#cgo nocallback shm_send_fd
#cgo noescape shm_send_fds
#cgo nocallback shm_send_fds
#cgo noescape shm_send_region
#cgo nocallback shm_send_region
#cgo noescape shm_strerror
#cgo nocallback shm_strerror
#cgo noescape shm_sysv_id
#cgo nocallback shm_sysv_id
#cgo noescape shm_sysv_key
#cgo nocallback shm_sysv_key
#cgo noescape shm_sysv_lock
#cgo nocallback shm_sysv_lock
#cgo noescape shm_sysv_queue_create
#cgo nocallback shm_sysv_queue_create
#cgo noescape shm_sysv_queue_open
#cgo nocallback shm_sysv_queue_open
#cgo noescape shm_sysv_queue_peek
#cgo nocallback shm_sysv_queue_peek
#cgo noescape shm_sysv_queue_remove
#cgo nocallback shm_sysv_queue_remove
#cgo noescape shm_sysv_queue_set_bytes_max
#cgo nocallback shm_sysv_queue_set_bytes_max
#cgo noescape shm_sysv_queue_set_owner
#cgo nocallback shm_sysv_queue_set_owner
#cgo noescape shm_sysv_queue_stat
#cgo nocallback shm_sysv_queue_stat
#cgo noescape shm_sysv_queue_try_receive
#cgo nocallback shm_sysv_queue_try_receive
#cgo noescape shm_sysv_queue_try_send
#cgo nocallback shm_sysv_queue_try_send
#cgo noescape shm_sysv_remove
#cgo nocallback shm_sysv_remove
#cgo noescape shm_sysv_sem_create
#cgo nocallback shm_sysv_sem_create
#cgo noescape shm_sysv_sem_open
#cgo nocallback shm_sysv_sem_open
#cgo noescape shm_sysv_sem_remove
#cgo nocallback shm_sysv_sem_remove
#cgo noescape shm_sysv_sem_set_owner
#cgo nocallback shm_sysv_sem_set_owner
#cgo noescape shm_sysv_sem_set_value
#cgo nocallback shm_sysv_sem_set_value
#cgo noescape shm_sysv_sem_set_values
#cgo nocallback shm_sysv_sem_set_values
#cgo noescape shm_sysv_sem_stat
#cgo nocallback shm_sysv_sem_stat
#cgo noescape shm_sysv_sem_stat_one
#cgo nocallback shm_sysv_sem_stat_one
#cgo noescape shm_sysv_sem_try_operate
#cgo nocallback shm_sysv_sem_try_operate
#cgo noescape shm_sysv_sem_value
#cgo nocallback shm_sysv_sem_value
#cgo noescape shm_sysv_sem_values
#cgo nocallback shm_sysv_sem_values
#cgo noescape shm_sysv_set_owner
#cgo nocallback shm_sysv_set_owner
#cgo noescape shm_sysv_stat
#cgo nocallback shm_sysv_stat
#cgo noescape shm_sysv_unlock
#cgo nocallback shm_sysv_unlock
#cgo noescape shm_version
#cgo nocallback shm_version
#include "bridge.h"
*/
import "C"

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
	"unsafe"
)

// Failure is a negative code, and the sentence that the same call gave for it; nil where none was.
type Failure struct {
	Code    int
	Message string
}

// Errno is the kernel's number, where the code is one; the library's own are at or below -4096.
func (f *Failure) Errno() syscall.Errno {
	if f.Code <= -4096 {
		return 0
	}
	return syscall.Errno(-f.Code)
}

// Handle is a region of C.
type Handle struct{ region *C.shm_region }

// Options are those of shm_region_options, and a size.
type Options struct {
	Flags, Mode, Seals       uint32
	Offset, SizeMin, SizeMax uint64
	Size                     int // of what is opened; 0 is all of it
}

// Opened is a region just opened, with what Go keeps of it.
type Opened struct{ c C.opened }

func (o *Opened) Handle() Handle       { return Handle{(*C.shm_region)(pointer(o.c.region))} }
func (o *Opened) Data() unsafe.Pointer { return pointer(o.c.data) }
func (o *Opened) Size() int            { return int(o.c.size) }
func (o *Opened) SizeMax() int         { return int(o.c.size_max) }
func (o *Opened) Kind() int32          { return int32(o.c.kind) }
func (o *Opened) ReadOnly() bool       { return o.c.read_only != 0 }
func (o *Opened) CanShrink() bool      { return o.c.can_shrink != 0 }
func (o *Opened) Created() bool        { return o.c.created != 0 }

// HugePage is the size of huge pages; 0 where none were asked for.
func (o *Opened) HugePage() int { return int(o.c.huge) }

// Changed is what a region has become.
type Changed struct {
	Size                int
	ReadOnly, CanShrink bool
}

// The versions of the header that this package was built with, and of the library that runs.
const headerVersion = C.SHMKIT_VERSION_MAJOR<<16 | C.SHMKIT_VERSION_MINOR<<8 | C.SHMKIT_VERSION_PATCH

func init() {
	if running := int(C.shm_version()); running>>16 != headerVersion>>16 || running < headerVersion {
		fmt.Fprintf(os.Stderr, "shmkit: this program was built for libshmkit %s, and the loader found %s: install the one that belongs to the Go sources\n",
			versionString(headerVersion), versionString(running))
		os.Exit(2)
	}
}

func versionString(version int) string {
	return fmt.Sprintf("%d.%d.%d", version>>16, version>>8&255, version&255)
}

// ErrorName is SHMKIT_E_… or the errno's name; ErrorText one phrase.
func ErrorName(code int) string { return C.GoString(C.shm_error_name(C.int(code))) }
func ErrorText(code int) string { return C.GoString(C.shm_strerror(C.int(code))) }

// failed makes a Failure of a code and what the call wrote into its error.
func failed(code C.int, said *C.shm_error) *Failure {
	if code >= 0 {
		return nil
	}
	message := unsafe.Slice((*byte)(unsafe.Pointer(&said.message)), len(said.message))
	return &Failure{int(code), string(message[:bytes.IndexByte(message, 0)])}
}

// silent is for calls that have no sentence: in one of Go's the phrase follows a colon.
func silent(code C.int) *Failure {
	if code >= 0 {
		return nil
	}
	phrase := ErrorText(int(code))
	return &Failure{int(code), strings.ToLower(phrase[:1]) + phrase[1:]}
}

// text is a string as C has it, in Go's memory; a NUL inside ends it, which the caller has excluded.
func text(s string) *C.char {
	return (*C.char)(unsafe.Pointer(unsafe.StringData(s + "\x00")))
}

// HasNUL tells whether C would see only a part of a string.
func HasNUL(s string) bool { return s != "" && strings.IndexByte(s, 0) >= 0 }

// set turns options into C's, field by field: a copy of the whole would wait for each of them.
func set(c *C.shm_region_options, o *Options) {
	c.size = C.uint32_t(unsafe.Sizeof(*c))
	c.flags = C.uint32_t(o.Flags)
	c.mode = C.uint32_t(o.Mode)
	c.seals = C.uint32_t(o.Seals)
	c.offset = C.uint64_t(o.Offset)
	c.size_min = C.uint64_t(o.SizeMin)
	c.size_max = C.uint64_t(o.SizeMax)
}

// PageSize is that of ordinary pages.
var PageSize = os.Getpagesize()

// failed is what a call that opens has said.
func (o *Opened) failed() *Failure {
	if o.c.code >= 0 {
		return nil
	}
	return o.failure()
}

func (o *Opened) failure() *Failure {
	code, said := int(o.c.code), pointer(o.c.said)
	if said == nil {
		return &Failure{code, ErrorText(code)}
	}
	defer C.free(said)
	return &Failure{code, C.GoString((*C.char)(said))}
}

// ---- Making and opening: the functions of the same names in C ---------------------------

func Create(name string, size int, options Options, out *Opened) *Failure {
	var o C.shm_region_options
	set(&o, &options)
	C.go_shm_region_create(text(name), C.size_t(size), &o, &out.c)
	return out.failed()
}

func FromFD(fd, size int, options Options, out *Opened) *Failure {
	var o C.shm_region_options
	set(&o, &options)
	C.go_shm_region_from_fd(C.int(fd), C.size_t(size), &o, &out.c)
	return out.failed()
}

func CreateAnonymous(size int, options Options, out *Opened) *Failure {
	var o C.shm_region_options
	set(&o, &options)
	C.go_shm_anon_create(C.size_t(size), &o, &out.c)
	return out.failed()
}

func CreateFile(path string, size int, options Options, out *Opened) *Failure {
	var o C.shm_region_options
	set(&o, &options)
	C.go_shm_file_create(text(path), C.size_t(size), &o, &out.c)
	return out.failed()
}

func OpenFile(path string, size int, options Options, out *Opened) *Failure {
	var o C.shm_region_options
	set(&o, &options)
	C.go_shm_file_open(text(path), C.size_t(size), &o, &out.c)
	return out.failed()
}

func CreatePOSIX(name string, size int, options Options, out *Opened) *Failure {
	var o C.shm_region_options
	set(&o, &options)
	C.go_shm_posix_create(text(name), C.size_t(size), &o, &out.c)
	return out.failed()
}

func OpenPOSIX(name string, options Options, out *Opened) *Failure {
	var o C.shm_region_options
	set(&o, &options)
	C.go_shm_posix_open(text(name), &o, &out.c)
	return out.failed()
}

func CreateSysV(key int32, size int, options Options, out *Opened) *Failure {
	var o C.shm_region_options
	set(&o, &options)
	C.go_shm_sysv_create(C.int32_t(key), C.size_t(size), &o, &out.c)
	return out.failed()
}

func AttachSysV(key int32, options Options, out *Opened) *Failure {
	var o C.shm_region_options
	set(&o, &options)
	C.go_shm_sysv_attach(C.int32_t(key), &o, &out.c)
	return out.failed()
}

func AttachSysVID(id int, options Options, out *Opened) *Failure {
	var o C.shm_region_options
	set(&o, &options)
	C.go_shm_sysv_attach_id(C.int(id), &o, &out.c)
	return out.failed()
}

func CreateSysVAt(path string, project, size int, options Options, out *Opened) *Failure {
	var o C.shm_region_options
	set(&o, &options)
	C.go_shm_sysv_create_at(text(path), C.int(project), C.size_t(size), &o, &out.c)
	return out.failed()
}

func AttachSysVAt(path string, project int, options Options, out *Opened) *Failure {
	var o C.shm_region_options
	set(&o, &options)
	C.go_shm_sysv_attach_at(text(path), C.int(project), &o, &out.c)
	return out.failed()
}

func RecvRegion(socket int, options Options, out *Opened) *Failure {
	var o C.shm_region_options
	set(&o, &options)
	C.go_shm_recv_region(C.int(socket), &o, &out.c)
	return out.failed()
}

// ---- Using ------------------------------------------------------------------------------

func (h Handle) Close() *Failure {
	var code C.int
	C.go_shm_region_close(h.region, &code)
	return silent(code)
}

func (h Handle) FD() (int, *Failure) { return number(C.shm_region_fd(h.region)) }

func (h Handle) SysVID() (int, *Failure) { return number(C.shm_sysv_id(h.region)) }

func (h Handle) Seals() (int, *Failure) { return number(C.shm_region_seals(h.region)) }

func number(code C.int) (int, *Failure) { return int(code), silent(code) }

func (h Handle) Check(offset, length int) *Failure {
	var said C.shm_error
	return failed(C.shm_region_check(h.region, C.size_t(offset), C.size_t(length), &said), &said)
}

func (h Handle) Prefault(offset, length int) *Failure {
	var said C.shm_error
	return failed(C.shm_region_prefault(h.region, C.size_t(offset), C.size_t(length), &said), &said)
}

func (h Handle) Advise(offset, length int, advice int32) *Failure {
	var said C.shm_error
	return failed(C.shm_region_advise(h.region, C.size_t(offset), C.size_t(length), C.int(advice), &said), &said)
}

func (h Handle) Lock(offset, length int) *Failure {
	var said C.shm_error
	return failed(C.shm_region_lock(h.region, C.size_t(offset), C.size_t(length), &said), &said)
}

func (h Handle) Unlock(offset, length int) *Failure {
	var said C.shm_error
	return failed(C.shm_region_unlock(h.region, C.size_t(offset), C.size_t(length), &said), &said)
}

func (h Handle) Protect(offset, length int, rights uint32) *Failure {
	var said C.shm_error
	return failed(C.shm_region_protect(h.region, C.size_t(offset), C.size_t(length), C.uint32_t(rights), &said), &said)
}

func (h Handle) Unlink() *Failure {
	var said C.shm_error
	return failed(C.shm_region_unlink(h.region, &said), &said)
}

func (h Handle) GuardEnable() *Failure {
	var said C.shm_error
	return failed(C.shm_guard_enable(h.region, &said), &said)
}

func (h Handle) Flush(offset, length int) *Failure {
	return silent(C.shm_region_flush(h.region, C.size_t(offset), C.size_t(length)))
}

func (h Handle) FlushAsync(offset, length int) *Failure {
	return silent(C.shm_region_flush_async(h.region, C.size_t(offset), C.size_t(length)))
}

func (h Handle) GuardBegin() *Failure { return silent(C.shm_guard_begin(h.region)) }

func (h Handle) GuardEnd() *Failure { return silent(C.shm_guard_end(h.region)) }

func (h Handle) Place(offset, length int, policy int32, nodes []int32) *Failure {
	var said C.shm_error
	code := C.shm_region_place(h.region, C.size_t(offset), C.size_t(length), C.int(policy), ints(nodes), C.size_t(len(nodes)), &said)
	return failed(code, &said)
}

func (h Handle) Nodes(offset, length int, nodes []int32) *Failure {
	var said C.shm_error
	code := C.shm_region_nodes(h.region, C.size_t(offset), C.size_t(length), ints(nodes), C.size_t(len(nodes)), &said)
	return failed(code, &said)
}

func ints(numbers []int32) *C.int { return (*C.int)(unsafe.Pointer(unsafe.SliceData(numbers))) }

// pointer is an address of C's.
func pointer(address C.uintptr_t) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&address)) }

func changed(c *C.changed) Changed {
	return Changed{int(c.size), c.rights == C.SHMKIT_RIGHTS_READ, c.can_shrink != 0}
}

func (h Handle) Grow(size int) (Changed, *Failure) {
	var out C.changed
	var said C.shm_error
	code := C.go_shm_region_grow(h.region, C.size_t(size), &out, &said)
	return changed(&out), failed(code, &said)
}

func (h Handle) Seal(seals uint32) (Changed, *Failure) {
	var out C.changed
	var said C.shm_error
	code := C.go_shm_region_seal(h.region, C.uint32_t(seals), &out, &said)
	return changed(&out), failed(code, &said)
}

func (h Handle) PublishReadOnly() (Changed, *Failure) {
	var out C.changed
	var said C.shm_error
	code := C.go_shm_region_publish_read_only(h.region, &out, &said)
	return changed(&out), failed(code, &said)
}

func (h Handle) Freeze() (Changed, *Failure) {
	var out C.changed
	var said C.shm_error
	code := C.go_shm_region_freeze(h.region, &out, &said)
	return changed(&out), failed(code, &said)
}

func (h Handle) Follow() (Changed, bool, *Failure) {
	var out C.changed
	var said C.shm_error
	code := C.go_shm_region_follow(h.region, &out, &said)
	return changed(&out), code > 0, failed(code, &said)
}

// ---- Names and System V -----------------------------------------------------------------

func UnlinkPOSIX(name string) *Failure {
	var said C.shm_error
	return failed(C.shm_posix_unlink(text(name), &said), &said)
}

func SysVKey(path string, project int) (int32, *Failure) {
	var key C.int32_t
	var said C.shm_error
	code := C.shm_sysv_key(text(path), C.int(project), &key, &said)
	return int32(key), failed(code, &said)
}

// SysVInfo is shm_sysv_info.
type SysVInfo struct {
	SizeBytes, AttachCount            uint64
	AttachedAt, DetachedAt, ChangedAt int64
	Key, ID                           int32
	OwnerUID, OwnerGID                uint32
	CreatorUID, CreatorGID            uint32
	CreatorPID, LastPID               int32
	Mode, Removed, Locked             uint32
}

func StatSysV(id int) (SysVInfo, *Failure) {
	var i C.shm_sysv_info
	var said C.shm_error
	code := C.shm_sysv_stat(C.int(id), &i, C.size_t(unsafe.Sizeof(i)), &said)
	return SysVInfo{
		SizeBytes: uint64(i.size_bytes), AttachCount: uint64(i.attach_count),
		AttachedAt: int64(i.attached_at), DetachedAt: int64(i.detached_at), ChangedAt: int64(i.changed_at),
		Key: int32(i.key), ID: int32(i.id),
		OwnerUID: uint32(i.owner_uid), OwnerGID: uint32(i.owner_gid),
		CreatorUID: uint32(i.creator_uid), CreatorGID: uint32(i.creator_gid),
		CreatorPID: int32(i.creator_pid), LastPID: int32(i.last_pid),
		Mode: uint32(i.mode), Removed: uint32(i.removed), Locked: uint32(i.locked),
	}, failed(code, &said)
}

func SetSysVOwner(id int, uid, gid, mode uint32) *Failure {
	var said C.shm_error
	return failed(C.shm_sysv_set_owner(C.int(id), C.uint32_t(uid), C.uint32_t(gid), C.uint32_t(mode), &said), &said)
}

func RemoveSysV(id int) *Failure {
	var said C.shm_error
	return failed(C.shm_sysv_remove(C.int(id), &said), &said)
}

func LockSysV(id int) *Failure {
	var said C.shm_error
	return failed(C.shm_sysv_lock(C.int(id), &said), &said)
}

func UnlockSysV(id int) *Failure {
	var said C.shm_error
	return failed(C.shm_sysv_unlock(C.int(id), &said), &said)
}

// ---- Hand-over: sockets that do not block ------------------------------------------------

func Listen(path string) (int, *Failure) {
	var fd C.int
	var said C.shm_error
	code := C.shm_listen(text(path), &fd, &said)
	return int(fd), failed(code, &said)
}

// Connect tries once: ETIMEDOUT where the listener's queue is full.
func Connect(path string) (int, *Failure) {
	var fd C.int
	var said C.shm_error
	code := C.shm_connect_until(text(path), 0, &fd, &said)
	return int(fd), failed(code, &said)
}

func SendRegion(socket int, h Handle) *Failure {
	var said C.shm_error
	return failed(C.shm_send_region(C.int(socket), h.region, &said), &said)
}

func SendFD(socket, fd int) *Failure {
	var said C.shm_error
	return failed(C.shm_send_fd(C.int(socket), C.int(fd), &said), &said)
}

func RecvFD(socket int) (int, *Failure) {
	var fd C.int
	var said C.shm_error
	code := C.shm_recv_fd(C.int(socket), &fd, &said)
	return int(fd), failed(code, &said)
}

func SendFDs(socket int, fds []int32, payload []byte) *Failure {
	var said C.shm_error
	code := C.shm_send_fds(C.int(socket), ints(fds), C.size_t(len(fds)), unsafe.Pointer(unsafe.SliceData(payload)), C.size_t(len(payload)), &said)
	return failed(code, &said)
}

func RecvFDs(socket int, fds []int32, payload []byte) *Failure {
	var said C.shm_error
	code := C.shm_recv_fds(C.int(socket), ints(fds), C.size_t(len(fds)), unsafe.Pointer(unsafe.SliceData(payload)), C.size_t(len(payload)), &said)
	return failed(code, &said)
}

// Peer is shm_peer.
type Peer struct {
	PID      int32
	UID, GID uint32
	PIDFD    int32
}

func PeerOf(socket int) (Peer, *Failure) {
	var p C.shm_peer
	var said C.shm_error
	code := C.shm_peer_get(C.int(socket), &p, C.size_t(unsafe.Sizeof(p)), &said)
	return Peer{int32(p.pid), uint32(p.uid), uint32(p.gid), int32(p.pidfd)}, failed(code, &said)
}

// SealNone in Options.Seals is no seal at all, where 0 is the default.
const SealNone = C.SHMKIT_SEAL_NONE

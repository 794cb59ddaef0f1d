package capi

// #include "bridge.h"
import "C"

import "unsafe"

// ---- System V semaphores and queues: the functions of the same names in C, but for those that wait ----

// SemOp is shm_sysv_sem_op.
type SemOp struct {
	Index  uint16
	Change int16
	Flags  uint16
}

// The flags of the C interface.
const (
	SemOrOpen     = C.SHMKIT_SEM_OR_OPEN
	SemUndo       = C.SHMKIT_SEM_UNDO
	QueueOrOpen   = C.SHMKIT_QUEUE_OR_OPEN
	QueueAtMost   = C.SHMKIT_QUEUE_AT_MOST
	QueueExcept   = C.SHMKIT_QUEUE_EXCEPT
	QueueTruncate = C.SHMKIT_QUEUE_TRUNCATE
)

var _ = [1]struct{}{}[unsafe.Sizeof(SemOp{})-unsafe.Sizeof(C.shm_sysv_sem_op{})]

func CreateSem(key int32, values []uint16, flags, mode uint32) (id int, created bool, f *Failure) {
	var out C.int
	var said C.shm_error
	code := C.shm_sysv_sem_create(C.int32_t(key), (*C.uint16_t)(unsafe.SliceData(values)), C.size_t(len(values)),
		C.uint32_t(flags), C.uint32_t(mode), &out, &said)
	return int(out), code > 0, failed(code, &said)
}

func OpenSem(key int32, countMin int) (int, *Failure) {
	var out C.int
	var said C.shm_error
	code := C.shm_sysv_sem_open(C.int32_t(key), C.size_t(countMin), &out, &said)
	return int(out), failed(code, &said)
}

func RemoveSem(id int) *Failure {
	var said C.shm_error
	return failed(C.shm_sysv_sem_remove(C.int(id), &said), &said)
}

func TryOperateSem(id int, ops []SemOp) *Failure {
	var said C.shm_error
	code := C.shm_sysv_sem_try_operate(C.int(id), (*C.shm_sysv_sem_op)(unsafe.Pointer(unsafe.SliceData(ops))),
		C.size_t(len(ops)), &said)
	return failed(code, &said)
}

func SemValue(id int, index uint32) (int, *Failure) {
	var said C.shm_error
	code := C.shm_sysv_sem_value(C.int(id), C.uint32_t(index), &said)
	return int(code), failed(code, &said)
}

func SemValues(id int, values []uint16) *Failure {
	var said C.shm_error
	code := C.shm_sysv_sem_values(C.int(id), (*C.uint16_t)(unsafe.SliceData(values)), C.size_t(len(values)), &said)
	return failed(code, &said)
}

func SetSemValue(id int, index uint32, value int32) *Failure {
	var said C.shm_error
	return failed(C.shm_sysv_sem_set_value(C.int(id), C.uint32_t(index), C.int(value), &said), &said)
}

func SetSemValues(id int, values []uint16) *Failure {
	var said C.shm_error
	code := C.shm_sysv_sem_set_values(C.int(id), (*C.uint16_t)(unsafe.SliceData(values)), C.size_t(len(values)), &said)
	return failed(code, &said)
}

// SemState is shm_sysv_sem_state.
type SemState struct {
	Value, LastPID          int32
	Waiting, WaitingForZero uint32
}

func SemStateOf(id int, index uint32) (SemState, *Failure) {
	var s C.shm_sysv_sem_state
	var said C.shm_error
	code := C.shm_sysv_sem_stat_one(C.int(id), C.uint32_t(index), &s, C.size_t(unsafe.Sizeof(s)), &said)
	return SemState{
		Value: int32(s.value), LastPID: int32(s.last_pid),
		Waiting: uint32(s.waiting), WaitingForZero: uint32(s.waiting_for_zero),
	}, failed(code, &said)
}

// Owned is what sets and queues have in common.
type Owned struct {
	Key                    int32
	OwnerUID, OwnerGID     uint32
	CreatorUID, CreatorGID uint32
	Mode                   uint32
	ChangedAt              int64
}

// SemInfo is shm_sysv_sem_info.
type SemInfo struct {
	Owned
	Count      uint64
	OperatedAt int64
}

func StatSem(id int) (SemInfo, *Failure) {
	var i C.shm_sysv_sem_info
	var said C.shm_error
	code := C.shm_sysv_sem_stat(C.int(id), &i, C.size_t(unsafe.Sizeof(i)), &said)
	return SemInfo{
		Owned: Owned{
			Key: int32(i.key), OwnerUID: uint32(i.owner_uid), OwnerGID: uint32(i.owner_gid),
			CreatorUID: uint32(i.creator_uid), CreatorGID: uint32(i.creator_gid),
			Mode: uint32(i.mode), ChangedAt: int64(i.changed_at),
		},
		Count: uint64(i.count), OperatedAt: int64(i.operated_at),
	}, failed(code, &said)
}

func SetSemOwner(id int, uid, gid, mode uint32) *Failure {
	var said C.shm_error
	return failed(C.shm_sysv_sem_set_owner(C.int(id), C.uint32_t(uid), C.uint32_t(gid), C.uint32_t(mode), &said), &said)
}

func CreateQueue(key int32, flags, mode uint32) (id int, created bool, f *Failure) {
	var out C.int
	var said C.shm_error
	code := C.shm_sysv_queue_create(C.int32_t(key), C.uint32_t(flags), C.uint32_t(mode), &out, &said)
	return int(out), code > 0, failed(code, &said)
}

func OpenQueue(key int32) (int, *Failure) {
	var out C.int
	var said C.shm_error
	code := C.shm_sysv_queue_open(C.int32_t(key), &out, &said)
	return int(out), failed(code, &said)
}

func RemoveQueue(id int) *Failure {
	var said C.shm_error
	return failed(C.shm_sysv_queue_remove(C.int(id), &said), &said)
}

func TrySendQueue(id int, kind int64, message []byte) *Failure {
	var said C.shm_error
	code := C.shm_sysv_queue_try_send(C.int(id), C.int64_t(kind), unsafe.Pointer(unsafe.SliceData(message)),
		C.size_t(len(message)), &said)
	return failed(code, &said)
}

func TryReceiveQueue(id int, kind int64, flags uint32, buffer []byte) (n int, received int64, f *Failure) {
	var out C.int64_t
	var said C.shm_error
	code := C.shm_sysv_queue_try_receive(C.int(id), C.int64_t(kind), C.uint32_t(flags),
		unsafe.Pointer(unsafe.SliceData(buffer)), C.size_t(len(buffer)), &out, &said)
	return max(0, int(code)), int64(out), failed(code, &said)
}

func PeekQueue(id int, index, flags uint32, buffer []byte) (n int, kind int64, f *Failure) {
	var out C.int64_t
	var said C.shm_error
	code := C.shm_sysv_queue_peek(C.int(id), C.uint32_t(index), C.uint32_t(flags),
		unsafe.Pointer(unsafe.SliceData(buffer)), C.size_t(len(buffer)), &out, &said)
	return max(0, int(code)), int64(out), failed(code, &said)
}

// QueueInfo is shm_sysv_queue_info.
type QueueInfo struct {
	Owned
	Messages, Bytes, BytesMax uint64
	SentAt, ReceivedAt        int64
	SenderPID, ReceiverPID    int32
}

func StatQueue(id int) (QueueInfo, *Failure) {
	var i C.shm_sysv_queue_info
	var said C.shm_error
	code := C.shm_sysv_queue_stat(C.int(id), &i, C.size_t(unsafe.Sizeof(i)), &said)
	return QueueInfo{
		Owned: Owned{
			Key: int32(i.key), OwnerUID: uint32(i.owner_uid), OwnerGID: uint32(i.owner_gid),
			CreatorUID: uint32(i.creator_uid), CreatorGID: uint32(i.creator_gid),
			Mode: uint32(i.mode), ChangedAt: int64(i.changed_at),
		},
		Messages: uint64(i.messages), Bytes: uint64(i.bytes), BytesMax: uint64(i.bytes_max),
		SentAt: int64(i.sent_at), ReceivedAt: int64(i.received_at),
		SenderPID: int32(i.sender_pid), ReceiverPID: int32(i.receiver_pid),
	}, failed(code, &said)
}

func SetQueueOwner(id int, uid, gid, mode uint32) *Failure {
	var said C.shm_error
	return failed(C.shm_sysv_queue_set_owner(C.int(id), C.uint32_t(uid), C.uint32_t(gid), C.uint32_t(mode), &said), &said)
}

func SetQueueBytesMax(id int, bytesMax uint64) *Failure {
	var said C.shm_error
	return failed(C.shm_sysv_queue_set_bytes_max(C.int(id), C.uint64_t(bytesMax), &said), &said)
}

/* The sizes, offsets and numbers that programs have compiled in. They stay as they are: a struct may
 * grow at its end, a constant may be added. tests/abi.sh compiles this as C11. */

#include <shmkit.h>
#include <stddef.h>

#define SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type " has another size")
#define FIELD(type, field, offset, bytes) \
    _Static_assert(offsetof(type, field) == (offset) && sizeof(((type *)0)->field) == (bytes), \
                   #type "." #field " lies elsewhere or has another size")
#define VALUE(constant, number) \
    _Static_assert((constant) == (number) && sizeof(constant) == sizeof(int), #constant " has another value")

SIZE(shm_region_options, 40);
FIELD(shm_region_options, size, 0, 4);
FIELD(shm_region_options, flags, 4, 4);
FIELD(shm_region_options, mode, 8, 4);
FIELD(shm_region_options, seals, 12, 4);
FIELD(shm_region_options, offset, 16, 8);
FIELD(shm_region_options, size_min, 24, 8);
FIELD(shm_region_options, size_max, 32, 8);

SIZE(shm_error, 256);
FIELD(shm_error, code, 0, 4);
FIELD(shm_error, message, 4, 252);

SIZE(shm_party_options, 16);
FIELD(shm_party_options, size, 0, 4);
FIELD(shm_party_options, flags, 4, 4);
FIELD(shm_party_options, slots, 8, 4);
FIELD(shm_party_options, cells, 12, 4);

/* In shared memory: docs/layout.md says what the bytes are. */
SIZE(shm_party_table, 12608);
FIELD(shm_party_table, opaque, 0, 12608);
SIZE(shm_mutex, 40);
FIELD(shm_mutex, opaque, 0, 40);
SIZE(shm_event, 32);
FIELD(shm_event, opaque, 0, 32);

SIZE(shm_named_options, 20);
FIELD(shm_named_options, size, 0, 4);
FIELD(shm_named_options, flags, 4, 4);
FIELD(shm_named_options, mode, 8, 4);
FIELD(shm_named_options, slots, 12, 4);
FIELD(shm_named_options, cells, 16, 4);
SIZE(shm_rwlock, 56);
FIELD(shm_rwlock, opaque, 0, 56);
SIZE(shm_barrier, 32);
FIELD(shm_barrier, opaque, 0, 32);
SIZE(shm_cond, 48);
FIELD(shm_cond, opaque, 0, 48);
SIZE(shm_semaphore, 32);
FIELD(shm_semaphore, opaque, 0, 32);
SIZE(shm_once, 32);
FIELD(shm_once, opaque, 0, 32);

SIZE(shm_sysv_info, 88);
FIELD(shm_sysv_info, size_bytes, 0, 8);
FIELD(shm_sysv_info, attach_count, 8, 8);
FIELD(shm_sysv_info, attached_at, 16, 8);
FIELD(shm_sysv_info, detached_at, 24, 8);
FIELD(shm_sysv_info, changed_at, 32, 8);
FIELD(shm_sysv_info, key, 40, 4);
FIELD(shm_sysv_info, id, 44, 4);
FIELD(shm_sysv_info, owner_uid, 48, 4);
FIELD(shm_sysv_info, owner_gid, 52, 4);
FIELD(shm_sysv_info, creator_uid, 56, 4);
FIELD(shm_sysv_info, creator_gid, 60, 4);
FIELD(shm_sysv_info, creator_pid, 64, 4);
FIELD(shm_sysv_info, last_pid, 68, 4);
FIELD(shm_sysv_info, mode, 72, 4);
FIELD(shm_sysv_info, removed, 76, 4);
FIELD(shm_sysv_info, locked, 80, 4);
FIELD(shm_sysv_info, reserved, 84, 4);

SIZE(shm_sysv_sem_op, 6);
FIELD(shm_sysv_sem_op, index, 0, 2);
FIELD(shm_sysv_sem_op, change, 2, 2);
FIELD(shm_sysv_sem_op, flags, 4, 2);

SIZE(shm_sysv_sem_info, 56);
FIELD(shm_sysv_sem_info, count, 0, 8);
FIELD(shm_sysv_sem_info, operated_at, 8, 8);
FIELD(shm_sysv_sem_info, changed_at, 16, 8);
FIELD(shm_sysv_sem_info, key, 24, 4);
FIELD(shm_sysv_sem_info, id, 28, 4);
FIELD(shm_sysv_sem_info, owner_uid, 32, 4);
FIELD(shm_sysv_sem_info, owner_gid, 36, 4);
FIELD(shm_sysv_sem_info, creator_uid, 40, 4);
FIELD(shm_sysv_sem_info, creator_gid, 44, 4);
FIELD(shm_sysv_sem_info, mode, 48, 4);
FIELD(shm_sysv_sem_info, reserved, 52, 4);

SIZE(shm_sysv_sem_state, 16);
FIELD(shm_sysv_sem_state, value, 0, 4);
FIELD(shm_sysv_sem_state, last_pid, 4, 4);
FIELD(shm_sysv_sem_state, waiting, 8, 4);
FIELD(shm_sysv_sem_state, waiting_for_zero, 12, 4);

SIZE(shm_sysv_queue_info, 88);
FIELD(shm_sysv_queue_info, messages, 0, 8);
FIELD(shm_sysv_queue_info, bytes, 8, 8);
FIELD(shm_sysv_queue_info, bytes_max, 16, 8);
FIELD(shm_sysv_queue_info, sent_at, 24, 8);
FIELD(shm_sysv_queue_info, received_at, 32, 8);
FIELD(shm_sysv_queue_info, changed_at, 40, 8);
FIELD(shm_sysv_queue_info, key, 48, 4);
FIELD(shm_sysv_queue_info, id, 52, 4);
FIELD(shm_sysv_queue_info, owner_uid, 56, 4);
FIELD(shm_sysv_queue_info, owner_gid, 60, 4);
FIELD(shm_sysv_queue_info, creator_uid, 64, 4);
FIELD(shm_sysv_queue_info, creator_gid, 68, 4);
FIELD(shm_sysv_queue_info, sender_pid, 72, 4);
FIELD(shm_sysv_queue_info, receiver_pid, 76, 4);
FIELD(shm_sysv_queue_info, mode, 80, 4);
FIELD(shm_sysv_queue_info, reserved, 84, 4);
SIZE(shm_limit, 72);
FIELD(shm_limit, name, 0, 8);
FIELD(shm_limit, source, 8, 8);
FIELD(shm_limit, word, 16, 8);
FIELD(shm_limit, unknown, 24, 8);
FIELD(shm_limit, used_unknown, 32, 8);
FIELD(shm_limit, value, 40, 8);
FIELD(shm_limit, used, 48, 8);
FIELD(shm_limit, unit, 56, 4);
FIELD(shm_limit, has_value, 60, 4);
FIELD(shm_limit, has_used, 64, 4);
FIELD(shm_limit, reserved, 68, 4);

SIZE(shm_object, 160);
FIELD(shm_object, name, 0, 8);
FIELD(shm_object, device, 8, 8);
FIELD(shm_object, inode, 16, 8);
FIELD(shm_object, size_bytes, 24, 8);
FIELD(shm_object, used_bytes, 32, 8);
FIELD(shm_object, swapped_bytes, 40, 8);
FIELD(shm_object, count, 48, 8);
FIELD(shm_object, attach_count, 56, 8);
FIELD(shm_object, used_at, 64, 8);
FIELD(shm_object, left_at, 72, 8);
FIELD(shm_object, modified_at, 80, 8);
FIELD(shm_object, changed_at, 88, 8);
FIELD(shm_object, created_at, 96, 8);
FIELD(shm_object, kind, 104, 4);
FIELD(shm_object, id, 108, 4);
FIELD(shm_object, key, 112, 4);
FIELD(shm_object, creator_pid, 116, 4);
FIELD(shm_object, last_pid, 120, 4);
FIELD(shm_object, last_receiver_pid, 124, 4);
FIELD(shm_object, owner_uid, 128, 4);
FIELD(shm_object, owner_gid, 132, 4);
FIELD(shm_object, creator_uid, 136, 4);
FIELD(shm_object, creator_gid, 140, 4);
FIELD(shm_object, mode, 144, 4);
FIELD(shm_object, seals, 148, 4);
FIELD(shm_object, unlinked, 152, 4);
FIELD(shm_object, reserved, 156, 4);

SIZE(shm_holder, 72);
FIELD(shm_holder, command, 0, 8);
FIELD(shm_holder, start, 8, 8);
FIELD(shm_holder, length_bytes, 16, 8);
FIELD(shm_holder, offset, 24, 8);
FIELD(shm_holder, started_at, 32, 8);
FIELD(shm_holder, start_ticks, 40, 8);
FIELD(shm_holder, pid, 48, 4);
FIELD(shm_holder, uid, 52, 4);
FIELD(shm_holder, descriptor, 56, 4);
FIELD(shm_holder, rights, 60, 4);
FIELD(shm_holder, shared, 64, 4);
FIELD(shm_holder, reserved, 68, 4);

SIZE(shm_gap, 24);
FIELD(shm_gap, message, 0, 8);
FIELD(shm_gap, count, 8, 8);
FIELD(shm_gap, cause, 16, 4);
FIELD(shm_gap, reserved, 20, 4);

SIZE(shm_leftover, 16);
FIELD(shm_leftover, reason, 0, 8);
FIELD(shm_leftover, reasons, 8, 4);
FIELD(shm_leftover, decided, 12, 4);

SIZE(shm_trap, 32);
FIELD(shm_trap, name, 0, 8);
FIELD(shm_trap, sentence, 8, 8);
FIELD(shm_trap, remedy, 16, 8);
FIELD(shm_trap, applies, 24, 4);
FIELD(shm_trap, reserved, 28, 4);

SIZE(shm_run, 24);
FIELD(shm_run, offset, 0, 8);
FIELD(shm_run, length_bytes, 8, 8);
FIELD(shm_run, resident, 16, 4);
FIELD(shm_run, reserved, 20, 4);

SIZE(shm_file_system, 56);
FIELD(shm_file_system, kind, 0, 8);
FIELD(shm_file_system, mount_point, 8, 8);
FIELD(shm_file_system, options, 16, 8);
FIELD(shm_file_system, size_bytes, 24, 8);
FIELD(shm_file_system, free_bytes, 32, 8);
FIELD(shm_file_system, files_free, 40, 8);
FIELD(shm_file_system, in_memory, 48, 4);
FIELD(shm_file_system, reserved, 52, 4);

SIZE(shm_usage, 216);
FIELD(shm_usage, size_bytes, 0, 8);
FIELD(shm_usage, resident_bytes, 8, 8);
FIELD(shm_usage, proportional_bytes, 16, 8);
FIELD(shm_usage, shared_clean_bytes, 24, 8);
FIELD(shm_usage, shared_dirty_bytes, 32, 8);
FIELD(shm_usage, private_clean_bytes, 40, 8);
FIELD(shm_usage, private_dirty_bytes, 48, 8);
FIELD(shm_usage, huge_bytes, 56, 8);
FIELD(shm_usage, locked_bytes, 64, 8);
FIELD(shm_usage, swapped_bytes, 72, 8);
FIELD(shm_usage, mappings, 80, 4);
FIELD(shm_usage, page_size, 84, 4);
FIELD(shm_usage, vm_flags, 88, 128);

SIZE(shm_peer, 16);
FIELD(shm_peer, pid, 0, 4);
FIELD(shm_peer, uid, 4, 4);
FIELD(shm_peer, gid, 8, 4);
FIELD(shm_peer, pidfd, 12, 4);

VALUE(SHMKIT_REGION_READ_ONLY, 1);
VALUE(SHMKIT_REGION_PRIVATE, 2);
VALUE(SHMKIT_REGION_REPLACE, 4);
VALUE(SHMKIT_REGION_PAST_END, 8);
VALUE(SHMKIT_REGION_OR_OPEN, 16);
VALUE(SHMKIT_REGION_POPULATE, 32);
VALUE(SHMKIT_REGION_LOCKED, 64);
VALUE(SHMKIT_REGION_NO_RESERVE, 128);
VALUE(SHMKIT_REGION_NO_FORK, 256);
VALUE(SHMKIT_REGION_AUTO_REMOVE, 512);
VALUE(SHMKIT_REGION_RISK_SHRINK, 1024);
VALUE(SHMKIT_REGION_RISK_REOPEN, 2048);
VALUE(SHMKIT_REGION_RISK_DISK, 4096);
VALUE(SHMKIT_REGION_GROWABLE, 8192);
VALUE(SHMKIT_REGION_MIRROR, 16384);
VALUE(SHMKIT_REGION_HUGE_2M, 32768);
VALUE(SHMKIT_REGION_HUGE_1G, 65536);
VALUE(SHMKIT_REGION_HUGE_FALLBACK, 131072);
VALUE(SHMKIT_REGION_NO_DUMP, 262144);
VALUE(SHMKIT_REGION_WIPE_ON_FORK, 524288);
VALUE(SHMKIT_REGION_UNLINK_LAST, 1048576);
VALUE(SHMKIT_REGION_UNLINK_CREATOR, 2097152);

VALUE(SHMKIT_SEAL_SEAL, 1);
VALUE(SHMKIT_SEAL_SHRINK, 2);
VALUE(SHMKIT_SEAL_GROW, 4);
VALUE(SHMKIT_SEAL_WRITE, 8);
VALUE(SHMKIT_SEAL_FUTURE_WRITE, 16);
VALUE(SHMKIT_SEAL_EXEC, 32);
VALUE(SHMKIT_SEAL_NONE, 1073741824);

VALUE(SHMKIT_KIND_MEMFD, 1);
VALUE(SHMKIT_KIND_DESCRIPTOR, 2);
VALUE(SHMKIT_KIND_ANONYMOUS, 3);
VALUE(SHMKIT_KIND_FILE, 4);
VALUE(SHMKIT_KIND_POSIX, 5);
VALUE(SHMKIT_KIND_SYSV, 6);
VALUE(SHMKIT_KIND_SEMAPHORES, 7);
VALUE(SHMKIT_KIND_QUEUE, 8);
VALUE(SHMKIT_KIND_NAMED_SEMAPHORE, 9);

VALUE(SHMKIT_RIGHTS_NONE, 0);
VALUE(SHMKIT_RIGHTS_READ, 1);
VALUE(SHMKIT_RIGHTS_WRITE, 2);
VALUE(SHMKIT_RIGHTS_READ_WRITE, 3);

VALUE(SHMKIT_ADVICE_NORMAL, 0);
VALUE(SHMKIT_ADVICE_RANDOM, 1);
VALUE(SHMKIT_ADVICE_SEQUENTIAL, 2);
VALUE(SHMKIT_ADVICE_WILL_NEED, 3);
VALUE(SHMKIT_ADVICE_HUGE, 4);
VALUE(SHMKIT_ADVICE_NO_HUGE, 5);
VALUE(SHMKIT_ADVICE_COLLAPSE, 6);
VALUE(SHMKIT_ADVICE_NO_DUMP, 7);
VALUE(SHMKIT_ADVICE_DUMP, 8);

VALUE(SHMKIT_PLACE_DEFAULT, 0);
VALUE(SHMKIT_PLACE_PREFERRED, 1);
VALUE(SHMKIT_PLACE_BIND, 2);
VALUE(SHMKIT_PLACE_INTERLEAVE, 3);

VALUE(SHMKIT_PARTY_ANY_THREAD, 1);
VALUE(SHMKIT_PARTY_CAN_SHRINK, 2);
VALUE(SHMKIT_OWNER_DIED, 1);
VALUE(SHMKIT_PARTY_CHANGED, 1);
VALUE(SHMKIT_EVENT_AUTO_RESET, 1);
VALUE(SHMKIT_NAMED_FIND, 1);
VALUE(SHMKIT_NAMED_ANY_OWNER, 2);
VALUE(SHMKIT_NAMED_ANY_THREAD, 4);
VALUE(SHMKIT_BARRIER_SERIAL, 1);

VALUE(SHMKIT_SEMAPHORE_TRACKED, 1);
VALUE(SHMKIT_ONCE_RUN, 2);

VALUE(SHMKIT_SEM_OR_OPEN, 512);
VALUE(SHMKIT_SEM_UNDO, 4096);
VALUE(SHMKIT_QUEUE_OR_OPEN, 512);
VALUE(SHMKIT_QUEUE_AT_MOST, 1);
VALUE(SHMKIT_QUEUE_EXCEPT, 8192);
VALUE(SHMKIT_QUEUE_TRUNCATE, 4096);
VALUE(SHMKIT_SELECT_SEGMENTS, 1);
VALUE(SHMKIT_SELECT_SEMAPHORES, 2);
VALUE(SHMKIT_SELECT_QUEUES, 4);
VALUE(SHMKIT_SELECT_POSIX, 8);
VALUE(SHMKIT_SELECT_MEMFDS, 16);
VALUE(SHMKIT_SELECT_ANONYMOUS, 32);
VALUE(SHMKIT_SELECT_FILES, 64);
VALUE(SHMKIT_SELECT_DESCRIPTORS, 128);
VALUE(SHMKIT_SELECT_MAPPINGS, 256);
VALUE(SHMKIT_SELECT_HOLDERS, 384);

VALUE(SHMKIT_UNIT_BYTES, 1);
VALUE(SHMKIT_UNIT_PAGES, 2);
VALUE(SHMKIT_UNIT_COUNT, 3);
VALUE(SHMKIT_UNIT_SETTING, 4);

VALUE(SHMKIT_GAP_PERMISSION, 1);
VALUE(SHMKIT_GAP_HIDDEN, 2);
VALUE(SHMKIT_GAP_PID_NAMESPACE, 3);
VALUE(SHMKIT_GAP_UNREADABLE, 4);
VALUE(SHMKIT_GAP_MALFORMED, 5);
VALUE(SHMKIT_GAP_ELSEWHERE, 6);
VALUE(SHMKIT_GAP_UNFOLLOWED, 7);

VALUE(SHMKIT_REASON_NOT_ATTACHED, 1);
VALUE(SHMKIT_REASON_NOT_OPEN, 2);
VALUE(SHMKIT_REASON_NO_HOLDER_SEEN, 4);
VALUE(SHMKIT_REASON_CREATOR_GONE, 8);
VALUE(SHMKIT_REASON_ABANDONED, 16);

VALUE(SHMKIT_FDS_MAX, 253);

VALUE(SHMKIT_E_SHRUNK, -4096);
VALUE(SHMKIT_E_NOT_REGION, -4097);
VALUE(SHMKIT_E_VERSION, -4098);
VALUE(SHMKIT_E_UNSEALED, -4099);
VALUE(SHMKIT_E_UNENFORCEABLE, -4100);
VALUE(SHMKIT_E_COLLISION, -4101);
VALUE(SHMKIT_E_ON_DISK, -4102);
VALUE(SHMKIT_E_UNGUARDED, -4103);
VALUE(SHMKIT_E_PEER_DIED, -4104);

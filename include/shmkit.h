/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * shmkit: shared memory for programs on one Linux machine.
 *
 * A region is a range of memory that several processes map. A handle, shm_region, stands for one,
 * whichever of the kernel's mechanisms made it:
 *
 *     shm_region_create       memfd: nameless, sealed, to be handed over. The one to begin with.
 *     shm_anon_create         anonymous memory, for children made by fork()
 *     shm_file_create, _open  a file: the bytes outlive the machine's restart
 *     shm_posix_create, _open a name that any process may open, gone with a restart
 *     shm_sysv_create, ...    a System V segment, for programs that use shmget()
 *     shm_region_from_fd      any descriptor of a file
 *
 * shm_send_region and shm_recv_region hand a region to another process over a Unix socket.
 * shm_party_join lets a process use the locks in a region: shm_mutex_..., shm_rwlock_... They are owned
 * by a process, and released by the kernel when it dies; the next one is told, by a positive result:
 * SHMKIT_OWNER_DIED. shm_barrier_... does not wait for the dead.
 * shm_cond_... and shm_semaphore_... lose no wake-up to them, and what shm_once_... begins is done by
 * another one.
 * shm_event_... is what others wait for. shm_mutex_open and the like find a lock by a name, without a
 * region. shm_watch_... waits by a descriptor.
 * shm_sysv_sem_... and shm_sysv_queue_... are System V's semaphores and message queues.
 * shmkit_helpers.h adds typed pointers, closing at the end of a scope, and deadlines from now.
 * Compile with `pkg-config --cflags --libs shmkit`.
 *
 * Results. A function that can fail returns int: 0 or a positive result, or a negative code: -errno
 * where the kernel or POSIX has a name for the failure, and a SHMKIT_E_ code (-4096 and below) where
 * it has none. Each function lists the codes to expect; the kernel may have others, so take every
 * negative result for a failure. A function that sets something up takes a shm_error last, which may
 * be NULL: on failure it says in one sentence what was tried, on what, and why it failed. Nothing is
 * kept for a thread; errno carries no result, and may have changed. -EINTR is never returned: a call
 * that a signal handler interrupts goes on. Outputs are written only on success, so let a handle
 * start as NULL.
 *
 * Arguments. NULL where something is needed, unknown flags, and numbers out of range are -EINVAL.
 * Every string ends with a NUL. Every descriptor that a call returns is close-on-exec. Structures
 * with a size may grow in later versions; set the size, and leave fields that you do not know 0.
 *
 * Threads. Every function may be called from any thread at any time, also on the same region, but
 * for shm_region_close, shm_party_leave and shm_watch_close, which end what they are given. The bytes
 * in a region are another matter: the library does not order what processes write there. Use atomics,
 * or locks: what was written before an unlock, a post, a set, or a wait at a barrier is seen by whoever
 * locks, takes or passes afterwards.
 *
 * Signal handlers may call shm_region_data, _size, _size_max, _page_size, _fd, _kind, _rights, _name,
 * _can_shrink and _at, shm_guard_begin and _end, shm_version, shm_strerror and shm_error_name; and
 * shm_region_read and _write on a region that cannot shrink and was never protected.
 *
 * fork(). A child has the regions of its parent and closes them for itself; shm_region_close is fine
 * in the child of a threaded process where free() is. With SHMKIT_REGION_NO_FORK the child must leave
 * the handle alone, and not close it either. exec() ends all mappings and closes all descriptors.
 *
 * The library starts no thread but those of shm_party_join and shm_watch_open, prints nothing, and installs no
 * signal handler but the one that shm_guard_enable is called for. It does not end the process, unless
 * an invariant of its own is broken.
 *
 * Manual: shmkit(7), shm_region(3), shm_growth(3), shm_publish(3), shm_placement(3), shm_guard(3),
 * shm_handover(3), shm_sysv(3), shm_sysv_sem(3), shm_sysv_queue(3), shm_inspect(3),
 * shm_party(3), shm_mutex(3), shm_cond(3), shm_rwlock(3), shm_semaphore(3), shm_barrier(3), shm_once(3),
 * shm_event(3), shm_watch(3), shm_named(3), shm_error(3).
 */


#ifndef SHMKIT_H
#define SHMKIT_H

/* Made from src/capi by cbindgen. Do not edit: change src/capi and run `make header`. */

#include <stddef.h>
#include <stdint.h>

/**
 * The version that this header describes; `shm_version()` tells which library is running.
 */
#define SHMKIT_VERSION_MAJOR 0

#define SHMKIT_VERSION_MINOR 1

#define SHMKIT_VERSION_PATCH 0

/**
 * Map for reading only: shm_region_write answers -EACCES, a store through the pointer raises
 * SIGSEGV, and a receiver of the region gets it for reading.
 */
#define SHMKIT_REGION_READ_ONLY 1

/**
 * Copy on write: this process's writes stay its own (MAP_PRIVATE). Not for System V.
 */
#define SHMKIT_REGION_PRIVATE 2

/**
 * shm_file_create, shm_posix_create: put a new object in the place of an existing one. Whoever
 * uses the old one keeps it; for a moment there may be no object under the name. A link is
 * replaced itself; a directory, socket or pipe is -ENODEV.
 */
#define SHMKIT_REGION_REPLACE 4

/**
 * shm_file_open, shm_region_from_fd: the mapping may be longer than its file. Access through the
 * pointer beyond the file's last page raises SIGBUS; shm_region_read and _write answer
 * SHMKIT_E_SHRUNK.
 */
#define SHMKIT_REGION_PAST_END 8

/**
 * shm_file_create, shm_posix_create, shm_sysv_create, shm_sysv_create_at: open the object where it
 * exists already (mode is then of no account). The call returns 1 when it created, 0 when it
 * found. A finder may run before the creator has written anything: the object has its size, and
 * zeros.
 */
#define SHMKIT_REGION_OR_OPEN 16

/**
 * Touch every page before the call returns, as shm_region_prefault does.
 */
#define SHMKIT_REGION_POPULATE 32

/**
 * Keep the pages in memory (mlock), within RLIMIT_MEMLOCK.
 */
#define SHMKIT_REGION_LOCKED 64

/**
 * Creating: do not reserve the memory. Sparse and quick, but a full file system or machine then
 * shows at the first touch, as SIGBUS or SHMKIT_E_SHRUNK. Opening: MAP_NORESERVE.
 */
#define SHMKIT_REGION_NO_RESERVE 128

/**
 * A child made by fork() does not get the mapping (MADV_DONTFORK), and must not use or close the
 * handle that it has inherited.
 */
#define SHMKIT_REGION_NO_FORK 256

/**
 * System V: mark the segment removed as soon as it is attached, so that it is destroyed with its
 * last user. Nobody finds it by its key from then on; shm_sysv_attach_id still attaches.
 */
#define SHMKIT_REGION_AUTO_REMOVE 512

/**
 * shm_recv_region: accept a descriptor that other processes can shrink. Use shm_region_read and
 * _write: access through the pointer can raise SIGBUS at any time.
 */
#define SHMKIT_REGION_RISK_SHRINK 1024

/**
 * Making, opening or receiving a read-only region: shm_send_region may send it later, although the
 * kernel cannot keep its receiver from opening it again for writing.
 */
#define SHMKIT_REGION_RISK_REOPEN 2048

/**
 * shm_posix_create, shm_posix_open: accept that /dev/shm is not a memory file system here, so that
 * the object lies on a disk.
 */
#define SHMKIT_REGION_RISK_DISK 4096

/**
 * The region can grow in place, up to size_max: so many addresses are set aside when it is made or
 * opened, and shm_region_grow and shm_region_follow move no pointer. Shared regions with a
 * descriptor, on ordinary pages, without _LOCKED, _PAST_END and _MIRROR. A memfd is then not
 * sealed against growing. Not for shm_recv_region: there the sender's region tells, and size_max.
 */
#define SHMKIT_REGION_GROWABLE 8192

/**
 * Map the bytes twice in a row: byte i lies at data + i and at data + size + i, so that a record
 * that runs over the end of a ring lies in one piece. shm_region_size counts the bytes once, and
 * has to be whole pages; offsets and lengths reach as far as twice the size, and
 * shm_region_protect, _lock, _advise and _place work on addresses. Keep a ring's cursors in
 * another region. Shared regions with a descriptor, on ordinary pages, that do not grow. Each
 * process asks for itself.
 */
#define SHMKIT_REGION_MIRROR 16384

/**
 * shm_region_create, shm_sysv_create: pages of 2 MiB from the machine's pool
 * (/sys/kernel/mm/hugepages); the size is rounded up to them. Opening and receiving: accept a
 * region on such pages, too. Page boundaries are then those of shm_region_page_size.
 */
#define SHMKIT_REGION_HUGE_2M 32768

/**
 * The same with pages of 1 GiB. Opening and receiving may name both, creating only one.
 */
#define SHMKIT_REGION_HUGE_1G 65536

/**
 * Creating: where the machine cannot give the huge pages, take the next smaller ones (1 GiB, 2
 * MiB, ordinary, where the size is not rounded). shm_region_page_size tells what it was.
 */
#define SHMKIT_REGION_HUGE_FALLBACK 131072

/**
 * Leave the region out of core dumps (MADV_DONTDUMP).
 */
#define SHMKIT_REGION_NO_DUMP 262144

/**
 * shm_anon_create with _PRIVATE: a child made by fork() finds zeros (MADV_WIPEONFORK). The kernel
 * does it for no other memory: -EINVAL.
 */
#define SHMKIT_REGION_WIPE_ON_FORK 524288

/**
 * shm_posix_create: the name goes with its last user: the shm_region_close of the last region that
 * a process made or opened under it. When the last user ended without closing (kill, exit, exec),
 * the next process that opens or creates the name through this library removes it first. Children
 * made by fork(), and receivers of the region, are no users of the name; but what a killed process
 * had open counts until the children that it left have ended too.
 *
 * Only processes of the object's owner remove the name: with another user the last close leaves
 * it. The object is marked in its mode (sticky, and executable for its owner): chmod(2) takes the
 * mark away, and then the name stays. A record lock (fcntl(2), lockf(3)) on all of the object
 * waits for its users: lock a range.
 */
#define SHMKIT_REGION_UNLINK_LAST 1048576

/**
 * shm_posix_create: the name goes with its creator: with this region's shm_region_close, or, when
 * its process ended without, with the next process that opens or creates it through this library.
 * Whoever has the object open keeps it. Otherwise as _UNLINK_LAST, and not together with it.
 */
#define SHMKIT_REGION_UNLINK_CREATOR 2097152

/**
 * Nobody may add seals (F_SEAL_SEAL). The numbers are the kernel's.
 */
#define SHMKIT_SEAL_SEAL 1

/**
 * Nobody may make the object smaller (F_SEAL_SHRINK).
 */
#define SHMKIT_SEAL_SHRINK 2

/**
 * Nobody may make the object larger (F_SEAL_GROW).
 */
#define SHMKIT_SEAL_GROW 4

/**
 * Nobody may write, ever. -EBUSY while a writable shared mapping lives (F_SEAL_WRITE).
 */
#define SHMKIT_SEAL_WRITE 8

/**
 * Nobody may write but through mappings that exist already (F_SEAL_FUTURE_WRITE, Linux 5.1).
 */
#define SHMKIT_SEAL_FUTURE_WRITE 16

/**
 * Nobody may make the object executable (F_SEAL_EXEC, Linux 6.3; ignored on older kernels).
 */
#define SHMKIT_SEAL_EXEC 32

/**
 * In shm_region_options.seals: create without any seal. Then nobody receives the region without
 * SHMKIT_REGION_RISK_SHRINK.
 */
#define SHMKIT_SEAL_NONE 1073741824

/**
 * A sealable memory file (memfd_create), made here, received, or from a descriptor.
 */
#define SHMKIT_KIND_MEMFD 1

/**
 * Another file that was opened elsewhere: shm_region_from_fd, shm_recv_region.
 */
#define SHMKIT_KIND_DESCRIPTOR 2

/**
 * Anonymous memory, shared with children made by fork(). No descriptor.
 */
#define SHMKIT_KIND_ANONYMOUS 3

/**
 * A file with a path.
 */
#define SHMKIT_KIND_FILE 4

/**
 * A POSIX shared memory object, as shm_open(3) has it.
 */
#define SHMKIT_KIND_POSIX 5

/**
 * A System V segment. No descriptor.
 */
#define SHMKIT_KIND_SYSV 6

/**
 * shm_region_protect: no access at all.
 */
#define SHMKIT_RIGHTS_NONE 0

/**
 * shm_region_protect: reading.
 */
#define SHMKIT_RIGHTS_READ 1

/**
 * shm_holder: writing. Of a descriptor that was opened for that alone; no region has it without
 * reading.
 */
#define SHMKIT_RIGHTS_WRITE 2

/**
 * shm_region_protect: reading and writing.
 */
#define SHMKIT_RIGHTS_READ_WRITE 3

/**
 * shm_region_advise: no special treatment (MADV_NORMAL).
 */
#define SHMKIT_ADVICE_NORMAL 0

/**
 * Pages are touched in no order (MADV_RANDOM).
 */
#define SHMKIT_ADVICE_RANDOM 1

/**
 * Pages are touched in order (MADV_SEQUENTIAL).
 */
#define SHMKIT_ADVICE_SEQUENTIAL 2

/**
 * Pages are needed soon (MADV_WILLNEED).
 */
#define SHMKIT_ADVICE_WILL_NEED 3

/**
 * Use huge pages where the system allows them by advice (MADV_HUGEPAGE).
 */
#define SHMKIT_ADVICE_HUGE 4

/**
 * Use no huge pages (MADV_NOHUGEPAGE).
 */
#define SHMKIT_ADVICE_NO_HUGE 5

/**
 * Make huge pages now, whatever the system's setting (MADV_COLLAPSE, Linux 6.1).
 */
#define SHMKIT_ADVICE_COLLAPSE 6

/**
 * Leave the pages out of a core dump (MADV_DONTDUMP).
 */
#define SHMKIT_ADVICE_NO_DUMP 7

/**
 * Put the pages into a core dump again (MADV_DODUMP).
 */
#define SHMKIT_ADVICE_DUMP 8

/**
 * shm_region_place: as the process's own policy says, mostly the node of the CPU that touches.
 */
#define SHMKIT_PLACE_DEFAULT 0

/**
 * On the first of these nodes, and elsewhere when it is full (MPOL_PREFERRED).
 */
#define SHMKIT_PLACE_PREFERRED 1

/**
 * On these nodes alone (MPOL_BIND).
 */
#define SHMKIT_PLACE_BIND 2

/**
 * Page by page on all of these nodes in turn (MPOL_INTERLEAVE).
 */
#define SHMKIT_PLACE_INTERLEAVE 3

/**
 * shm_sysv_sem_create: open the set where it exists (the kernel's IPC_CREAT).
 */
#define SHMKIT_SEM_OR_OPEN 512

/**
 * An operation: the kernel takes it back when the process ends, however it ends (SEM_UNDO).
 */
#define SHMKIT_SEM_UNDO 4096

/**
 * shm_sysv_queue_create: open the queue where it exists (the kernel's IPC_CREAT).
 */
#define SHMKIT_QUEUE_OR_OPEN 512

/**
 * Receiving: the oldest message of the lowest type that is at most `type`.
 */
#define SHMKIT_QUEUE_AT_MOST 1

/**
 * Receiving: the oldest message of another type than `type` (MSG_EXCEPT).
 */
#define SHMKIT_QUEUE_EXCEPT 8192

/**
 * Receiving and peeking: cut off what the buffer has no room for (MSG_NOERROR).
 */
#define SHMKIT_QUEUE_TRUNCATE 4096

/**
 * How many descriptors one message can carry at most (the kernel's SCM_MAX_FD).
 */
#define SHMKIT_FDS_MAX 253

/**
 * shm_party_join: a thread that locks what it has locked itself waits, instead of -EDEADLK: for
 * programs whose tasks move from thread to thread (goroutines), so that another task of the same
 * thread, which waits its turn, is not refused.
 */
#define SHMKIT_PARTY_ANY_THREAD 1

/**
 * shm_party_join: join although the memory can be taken away (files, POSIX objects, memfds without
 * the seal SHRINK, huge pages). A page that is gone is SIGBUS for whoever uses a lock on it, and
 * what a dying process holds may stay locked.
 */
#define SHMKIT_PARTY_CAN_SHRINK 2

/**
 * shm_party_wait: somebody has joined, left or died: a positive result.
 */
#define SHMKIT_PARTY_CHANGED 1

/**
 * A lock was got, and the process that had it died: a positive result, so a test for < 0 alone
 * overlooks it. What the lock guards may be half done.
 */
#define SHMKIT_OWNER_DIED 1

/**
 * shm_semaphore_init: a unit belongs to the process that took it, which alone can give it back; and
 * it comes back when that process dies.
 */
#define SHMKIT_SEMAPHORE_TRACKED 1

/**
 * shm_barrier_wait: this is the one of those who have met, any of them, that is to do what is to be
 * done once: a positive result.
 */
#define SHMKIT_BARRIER_SERIAL 1

/**
 * shm_once_begin: it is for the caller to do: a positive result.
 */
#define SHMKIT_ONCE_RUN 2

/**
 * shm_event_init, shm_event_open: whoever passes resets the event, so that each set lets one pass.
 */
#define SHMKIT_EVENT_AUTO_RESET 1

/**
 * shm_mutex_open and the like: only what is there, -ENOENT if nothing is.
 */
#define SHMKIT_NAMED_FIND 1

/**
 * shm_mutex_open and the like: also what another user has made, who can write to it whatever he likes.
 */
#define SHMKIT_NAMED_ANY_OWNER 2

/**
 * shm_mutex_open and the like: the same as SHMKIT_PARTY_ANY_THREAD.
 */
#define SHMKIT_NAMED_ANY_THREAD 4

/**
 * shm_object: a System V semaphore set.
 */
#define SHMKIT_KIND_SEMAPHORES 7

/**
 * shm_object: a System V message queue.
 */
#define SHMKIT_KIND_QUEUE 8

/**
 * shm_object: a POSIX object that sem_open(3) made.
 */
#define SHMKIT_KIND_NAMED_SEMAPHORE 9

/**
 * shm_objects_list: System V segments.
 */
#define SHMKIT_SELECT_SEGMENTS 1

/**
 * shm_objects_list: System V semaphore sets.
 */
#define SHMKIT_SELECT_SEMAPHORES 2

/**
 * shm_objects_list: System V message queues.
 */
#define SHMKIT_SELECT_QUEUES 4

/**
 * shm_objects_list: POSIX objects, and named semaphores.
 */
#define SHMKIT_SELECT_POSIX 8

/**
 * shm_objects_list: memfds, by the descriptors and mappings of all processes.
 */
#define SHMKIT_SELECT_MEMFDS 16

/**
 * shm_objects_list: shared anonymous memory.
 */
#define SHMKIT_SELECT_ANONYMOUS 32

/**
 * shm_objects_list_of: files that are mapped shared.
 */
#define SHMKIT_SELECT_FILES 64

/**
 * shm_objects_list: also who has the objects open. Alone, mappings are not looked at: that is
 * quicker, waits for no other process, and does not find what is only mapped.
 */
#define SHMKIT_SELECT_DESCRIPTORS 128

/**
 * shm_objects_list: also who has the objects mapped.
 */
#define SHMKIT_SELECT_MAPPINGS 256

/**
 * shm_objects_list: also who has the objects, by descriptors and mappings.
 */
#define SHMKIT_SELECT_HOLDERS 384

/**
 * shm_limit: bytes.
 */
#define SHMKIT_UNIT_BYTES 1

/**
 * shm_limit: pages; huge ones for the pools of huge pages.
 */
#define SHMKIT_UNIT_PAGES 2

/**
 * shm_limit: so many things.
 */
#define SHMKIT_UNIT_COUNT 3

/**
 * shm_limit: a number or a word with a meaning of its own.
 */
#define SHMKIT_UNIT_SETTING 4

/**
 * shm_gap: processes of other users, that may not be looked into.
 */
#define SHMKIT_GAP_PERMISSION 1

/**
 * shm_gap: /proc is mounted with hidepid.
 */
#define SHMKIT_GAP_HIDDEN 2

/**
 * shm_gap: processes outside of this PID namespace are not in /proc.
 */
#define SHMKIT_GAP_PID_NAMESPACE 3

/**
 * shm_gap: a file or directory could not be read.
 */
#define SHMKIT_GAP_UNREADABLE 4

/**
 * shm_gap: something was not in the form that the kernel is known to write.
 */
#define SHMKIT_GAP_MALFORMED 5

/**
 * shm_gap: attachments that the kernel counts, and that no process was seen to have.
 */
#define SHMKIT_GAP_ELSEWHERE 6

/**
 * shm_gap: what is only mapped, and may not be followed: size, owner and seals are not known.
 */
#define SHMKIT_GAP_UNFOLLOWED 7

/**
 * shm_leftover: the kernel counts no attachment.
 */
#define SHMKIT_REASON_NOT_ATTACHED 1

/**
 * shm_leftover: the kernel says that it is open and mapped nowhere.
 */
#define SHMKIT_REASON_NOT_OPEN 2

/**
 * shm_leftover: all processes could be seen, and none has it.
 */
#define SHMKIT_REASON_NO_HOLDER_SEEN 4

/**
 * shm_leftover, beside one of those: the process that made it has ended.
 */
#define SHMKIT_REASON_CREATOR_GONE 8

/**
 * shm_leftover, beside one of those: this library made it to go with its users, or was killed
 * before it had finished it.
 */
#define SHMKIT_REASON_ABANDONED 16

/**
 * The bytes are inside the region, but its backing does not hold them: the file was truncated, was
 * always shorter (`_PAST_END`), its file system is full, or no huge page is left. The raw pointer
 * would raise SIGBUS; in a guarded section it read zeros.
 */
#define SHMKIT_E_SHRUNK -4096

/**
 * What arrived is not a region, or not the one that its frame describes.
 */
#define SHMKIT_E_NOT_REGION -4097

/**
 * The other side speaks a version of the frame or layout that this library does not know.
 */
#define SHMKIT_E_VERSION -4098

/**
 * The memory can be taken away: the received descriptor can be shrunk under its receiver, and
 * `_RISK_SHRINK` was not given; or locks were to be used there, and `_PARTY_CAN_SHRINK` was not.
 */
#define SHMKIT_E_UNSEALED -4099

/**
 * A region that is read-only, or sealed against writing, is to be sent, and the receiver could
 * re-open it for writing, or truncate it, and `_RISK_REOPEN` was not given.
 */
#define SHMKIT_E_UNENFORCEABLE -4100

/**
 * The segment under this System V key was made for another path (an `ftok` collision), or not by
 * `shm_sysv_create_at`.
 */
#define SHMKIT_E_COLLISION -4101

/**
 * `/dev/shm` is no memory file system here, so the object would lie on a disk, and `_RISK_DISK`
 * was not given.
 */
#define SHMKIT_E_ON_DISK -4102

/**
 * No fault reaches the guard's SIGBUS handler: it was never installed, one that was installed
 * later does not call it, or the guard is not enabled for this region.
 */
#define SHMKIT_E_UNGUARDED -4103

/**
 * A process that was waited for has died: nobody has passed the barrier this time.
 */
#define SHMKIT_E_PEER_DIED -4104

/**
 * What a call of inspection has found, at one moment. Its strings live as long as it does.
 */
typedef struct shm_list shm_list;

/**
 * A process's membership of a party, opaque: made by shm_party_join, ended by shm_party_leave.
 */
typedef struct shm_party shm_party;

/**
 * A mapped range of memory that processes share, whichever kernel mechanism made it. Opaque.
 */
typedef struct shm_region shm_region;

/**
 * A descriptor that tells when a lock is worth another try, opaque: made by shm_watch_open, ended by
 * shm_watch_close.
 */
typedef struct shm_watch shm_watch;

/**
 * How to make or open a region. NULL in its place means all defaults, and so does a field that is
 * 0. Start from `shm_region_options o = { .size = sizeof o };`.
 */
typedef struct shm_region_options {
    /**
     * sizeof(shm_region_options). 0 is -EINVAL. A newer program's larger struct is accepted while
     * what this library does not know in it is 0, and is -E2BIG otherwise.
     */
    uint32_t size;
    /**
     * SHMKIT_REGION_ flags. One that is unknown, or that the call has no use for, is -EINVAL.
     */
    uint32_t flags;
    /**
     * Permission bits of the object to be created, at most 0777; 0 means 0600. The umask applies
     * to files and POSIX objects, not to memfd and System V.
     */
    uint32_t mode;
    /**
     * shm_region_create: SHMKIT_SEAL_ bits; 0 means SHRINK | GROW | EXEC, and SHRINK | EXEC with
     * _GROWABLE, which does not go with GROW.
     */
    uint32_t seals;
    /**
     * Where in the file the region begins, in bytes, a multiple of the page size: shm_file_open,
     * shm_region_from_fd, shm_posix_open.
     */
    uint64_t offset;
    /**
     * Opening, attaching, receiving: a smaller object is -EINVAL, with the sizes in the message.
     */
    uint64_t size_min;
    /**
     * Receiving: a larger region is -EFBIG; 0 means no cap, but a growable region is refused. With
     * _GROWABLE, and for a growable region received: how far it may grow here, in bytes, and no
     * less than its size.
     */
    uint64_t size_max;
} shm_region_options;

/**
 * What went wrong: the caller's own memory, filled on failure by calls that take it. Nothing in it
 * is to be freed.
 */
typedef struct shm_error {
    /**
     * The code that the call returned.
     */
    int32_t code;
    /**
     * One sentence that says what was tried, on what, and why it failed; ends with a NUL.
     */
    char message[252];
} shm_error;

/**
 * What the kernel knows of a System V segment (IPC_STAT). Times are seconds since 1970, 0 for
 * never; pids are those of the caller's PID namespace, 0 for a process that is not in it.
 */
typedef struct shm_sysv_info {
    /**
     * The size asked for at creation, in bytes.
     */
    uint64_t size_bytes;
    /**
     * How many mappings there are, of all processes.
     */
    uint64_t attach_count;
    /**
     * Last attach, last detach, last change.
     */
    int64_t attached_at;
    int64_t detached_at;
    int64_t changed_at;
    /**
     * The key; 0 for a private segment, and for one that is marked removed.
     */
    int32_t key;
    int32_t id;
    uint32_t owner_uid;
    uint32_t owner_gid;
    uint32_t creator_uid;
    uint32_t creator_gid;
    int32_t creator_pid;
    /**
     * The process that attached or detached last.
     */
    int32_t last_pid;
    /**
     * Permission bits, at most 0777.
     */
    uint32_t mode;
    /**
     * 1 when the segment is marked removed and goes with its last user, else 0.
     */
    uint32_t removed;
    /**
     * 1 when shm_sysv_lock holds it in memory, else 0.
     */
    uint32_t locked;
    /**
     * 0.
     */
    uint32_t reserved;
} shm_sysv_info;

/**
 * What is done to one semaphore: laid out as the kernel's struct sembuf.
 */
typedef struct shm_sysv_sem_op {
    /**
     * Of the semaphore in its set; the first has 0.
     */
    uint16_t index;
    /**
     * Added to its value, which never goes below 0: less than 0 waits until there is enough, 0
     * waits until the value is 0.
     */
    int16_t change;
    /**
     * 0 or SHMKIT_SEM_UNDO.
     */
    uint16_t flags;
} shm_sysv_sem_op;

/**
 * One semaphore. The four are asked for one after the other.
 */
typedef struct shm_sysv_sem_state {
    int32_t value;
    /**
     * The process that set, changed or tested it last, in the caller's PID namespace; 0 for none.
     */
    int32_t last_pid;
    /**
     * How many wait for it to grow, and for it to be 0.
     */
    uint32_t waiting;
    uint32_t waiting_for_zero;
} shm_sysv_sem_state;

/**
 * What the kernel knows of a set of semaphores (IPC_STAT). Times are seconds since 1970, 0 for
 * never.
 */
typedef struct shm_sysv_sem_info {
    /**
     * How many semaphores the set has.
     */
    uint64_t count;
    /**
     * Last operation; creation, or last change of owner, mode or values.
     */
    int64_t operated_at;
    int64_t changed_at;
    int32_t key;
    int32_t id;
    uint32_t owner_uid;
    uint32_t owner_gid;
    uint32_t creator_uid;
    uint32_t creator_gid;
    /**
     * Permission bits, at most 0777.
     */
    uint32_t mode;
    /**
     * 0.
     */
    uint32_t reserved;
} shm_sysv_sem_info;

/**
 * What the kernel knows of a message queue (IPC_STAT). Times are seconds since 1970, 0 for never;
 * pids are those of the caller's PID namespace, 0 for a process that is not in it, and for none.
 */
typedef struct shm_sysv_queue_info {
    /**
     * How many messages are in the queue, how many bytes in all of them, and how many it holds at
     * most.
     */
    uint64_t messages;
    uint64_t bytes;
    uint64_t bytes_max;
    /**
     * Last sending; last receiving; creation, or last change of owner, mode or limit.
     */
    int64_t sent_at;
    int64_t received_at;
    int64_t changed_at;
    int32_t key;
    int32_t id;
    uint32_t owner_uid;
    uint32_t owner_gid;
    uint32_t creator_uid;
    uint32_t creator_gid;
    /**
     * The processes that sent and received last.
     */
    int32_t sender_pid;
    int32_t receiver_pid;
    /**
     * Permission bits, at most 0777.
     */
    uint32_t mode;
    /**
     * 0.
     */
    uint32_t reserved;
} shm_sysv_queue_info;

/**
 * Who is at the other end of a Unix socket, as the kernel tells it.
 */
typedef struct shm_peer {
    /**
     * Process id in the caller's PID namespace; 0 when it is not in it.
     */
    int32_t pid;
    uint32_t uid;
    uint32_t gid;
    /**
     * A pidfd of the peer, close-on-exec and the caller's to close; -1 where the kernel has none
     * (before Linux 6.5).
     */
    int32_t pidfd;
} shm_peer;

/**
 * How to join a party. NULL means all defaults, and zero fields mean defaults.
 */
typedef struct shm_party_options {
    /**
     * sizeof(shm_party_options), always: 0 is -EINVAL.
     */
    uint32_t size;
    /**
     * SHMKIT_PARTY_ANY_THREAD | SHMKIT_PARTY_CAN_SHRINK
     */
    uint32_t flags;
    /**
     * Of a table that is made: how many keepers it has room for, at most 4096; 0 is 64. A process
     * has one, and one more for every 2000 locks that it has used: mutexes, read-write locks, onces
     * and tracked semaphores, once each, until it leaves. 63 keepers are the most. A slot is free
     * when its process has left, or when it has died and none of its threads can write any more. A
     * table that is there has its own number, and another one is -EINVAL.
     */
    uint32_t slots;
    /**
     * Of a table that is made: how many of its objects can count by process (read-write locks,
     * barriers, semaphores whose units come back), at most 4096; 0 is 32. Rounded up to a multiple
     * of 16. An object has its cell for as long as there is the table: none is given back. A table
     * that has less is -EINVAL.
     */
    uint32_t cells;
} shm_party_options;

/**
 * A lock in shared memory: zeros, at a multiple of 8, until shm_mutex_init.
 */
typedef struct shm_mutex {
    uint64_t opaque[5];
} shm_mutex;

/**
 * A read-write lock in shared memory: zeros, at a multiple of 8, until shm_rwlock_init.
 */
typedef struct shm_rwlock {
    uint64_t opaque[7];
} shm_rwlock;

/**
 * How to open a name. NULL means all defaults, and zero fields mean defaults.
 */
typedef struct shm_named_options {
    /**
     * sizeof(shm_named_options), always: 0 is -EINVAL.
     */
    uint32_t size;
    /**
     * SHMKIT_NAMED_FIND | SHMKIT_NAMED_ANY_OWNER | SHMKIT_NAMED_ANY_THREAD
     */
    uint32_t flags;
    /**
     * Permission bits of a new one, whatever the umask; 0 is 0600. Whoever is to use it needs both
     * reading and writing.
     */
    uint32_t mode;
    /**
     * As in shm_party_options.
     */
    uint32_t slots;
    /**
     * As in shm_party_options.
     */
    uint32_t cells;
} shm_named_options;

/**
 * A condition in shared memory: zeros, at a multiple of 8, until shm_cond_init.
 */
typedef struct shm_cond {
    uint64_t opaque[6];
} shm_cond;

/**
 * A semaphore in shared memory: zeros, at a multiple of 8, until shm_semaphore_init.
 */
typedef struct shm_semaphore {
    uint64_t opaque[4];
} shm_semaphore;

/**
 * A barrier in shared memory: zeros, at a multiple of 8, until shm_barrier_init.
 */
typedef struct shm_barrier {
    uint64_t opaque[4];
} shm_barrier;

/**
 * Something that is done once, in shared memory: zeros, at a multiple of 8, until shm_once_init.
 */
typedef struct shm_once {
    uint64_t opaque[4];
} shm_once;

/**
 * An event in shared memory: zeros, at a multiple of 8, until shm_event_init.
 */
typedef struct shm_event {
    uint64_t opaque[4];
} shm_event;

/**
 * A limit that shared memory meets.
 */
typedef struct shm_limit {
    /**
     * The kernel's name: "kernel.shmmax", "RLIMIT_NOFILE", "hugepages-2048kB".
     */
    const char *name;
    /**
     * Where it is set.
     */
    const char *source;
    /**
     * The value where it is a word ("never"), or NULL.
     */
    const char *word;
    /**
     * Why value is not known, or NULL.
     */
    const char *unknown;
    /**
     * Why used is not known, or NULL.
     */
    const char *used_unknown;
    /**
     * The value where it is a number; UINT64_MAX is no limit.
     */
    uint64_t value;
    /**
     * How much of it is in use, where has_used is 1; else 0.
     */
    uint64_t used;
    /**
     * SHMKIT_UNIT_…
     */
    uint32_t unit;
    /**
     * 1 when value is known, else 0.
     */
    uint32_t has_value;
    /**
     * 1: used is known, be it 0. 0 with used_unknown: something uses it up, and how much is not
     * known. 0 without: nothing uses it up, so there is nothing to know.
     */
    uint32_t has_used;
    /**
     * 0.
     */
    uint32_t reserved;
} shm_limit;

/**
 * A shared object. A number that this kind does not have, or that could not be seen, has all bits
 * set: UINT64_MAX, UINT32_MAX, -1. Times are seconds since 1970.
 */
typedef struct shm_object {
    /**
     * Any bytes: a POSIX name, a memfd's name, a file's path; or NULL.
     */
    const char *name;
    /**
     * A file's.
     */
    uint64_t device;
    uint64_t inode;
    /**
     * A segment's or a file's size, a queue's bytes.
     */
    uint64_t size_bytes;
    /**
     * The memory, or disk, that it takes. A segment's does not count what is swapped, a file's does.
     */
    uint64_t used_bytes;
    uint64_t swapped_bytes;
    /**
     * A set's semaphores, a queue's messages.
     */
    uint64_t count;
    /**
     * A segment's mappings, counted by the kernel.
     */
    uint64_t attach_count;
    /**
     * Last attached, semop, sent to; a file's last reading.
     */
    int64_t used_at;
    /**
     * Last detached, received from.
     */
    int64_t left_at;
    /**
     * The last writing of a file.
     */
    int64_t modified_at;
    /**
     * The last change of owner or rights, or of a file in any way.
     */
    int64_t changed_at;
    int64_t created_at;
    /**
     * SHMKIT_KIND_…
     */
    int32_t kind;
    /**
     * System V.
     */
    int32_t id;
    /**
     * System V. 0 (IPC_PRIVATE) is none: of private objects, of removed segments, and of kinds that
     * have no keys. Every other number is a key, -1 too.
     */
    int32_t key;
    int32_t creator_pid;
    /**
     * Who attached, detached or sent last.
     */
    int32_t last_pid;
    /**
     * Who received last.
     */
    int32_t last_receiver_pid;
    uint32_t owner_uid;
    uint32_t owner_gid;
    uint32_t creator_uid;
    uint32_t creator_gid;
    /**
     * Permission bits, of a file with those for set-user-ID, set-group-ID and sticky: at most 07777.
     */
    uint32_t mode;
    /**
     * A memfd's: SHMKIT_SEAL_…
     */
    uint32_t seals;
    /**
     * 1 when no name or key leads to it, so that it goes with its last user: a removed segment, an
     * unlinked file, and memfds and anonymous memory always. Else 0.
     */
    uint32_t unlinked;
    /**
     * 0.
     */
    uint32_t reserved;
} shm_object;

/**
 * One way in which a process has an object: a descriptor, or a mapping.
 */
typedef struct shm_holder {
    /**
     * The name of the process's command, at most 15 bytes: any but NUL.
     */
    const char *command;
    /**
     * The mapping's first address, and its length; 0 for a descriptor.
     */
    uint64_t start;
    uint64_t length_bytes;
    /**
     * Where in the object the mapping begins.
     */
    uint64_t offset;
    /**
     * When the process started, in seconds since 1970, or -1.
     */
    int64_t started_at;
    /**
     * The same in clock ticks since the machine's start: with the pid, it tells a process from
     * every other one. 0 where it is not known.
     */
    uint64_t start_ticks;
    int32_t pid;
    /**
     * The process's effective user; UINT32_MAX where it is not known.
     */
    uint32_t uid;
    /**
     * The descriptor's number; -1 for a mapping.
     */
    int32_t descriptor;
    /**
     * What the descriptor was opened for, or the mapping allows: SHMKIT_RIGHTS_READ, _WRITE, both
     * (_READ_WRITE), or _NONE.
     */
    uint32_t rights;
    /**
     * 1 for a shared mapping, 0 for a private one, or a descriptor.
     */
    uint32_t shared;
    /**
     * 0.
     */
    uint32_t reserved;
} shm_holder;

/**
 * Why there may be more than a list has.
 */
typedef struct shm_gap {
    /**
     * One sentence.
     */
    const char *message;
    /**
     * How many of what the message names; 0 where nobody can count them.
     */
    uint64_t count;
    /**
     * SHMKIT_GAP_…; more may be added.
     */
    uint32_t cause;
    /**
     * 0.
     */
    uint32_t reserved;
} shm_gap;

/**
 * What is known of an object of shm_leftovers_list beside the object itself.
 */
typedef struct shm_leftover {
    /**
     * Why it is taken for a leftover, in words, or why that cannot be told.
     */
    const char *reason;
    /**
     * The reasons one by one, SHMKIT_REASON_… together; 0 when it cannot be told.
     */
    uint32_t reasons;
    /**
     * 1 when nobody holds it; 0 when that cannot be told.
     */
    uint32_t decided;
} shm_leftover;

/**
 * Something that surprises, and whether it does here.
 */
typedef struct shm_trap {
    /**
     * Stable, for programs: "systemd-remove-ipc".
     */
    const char *name;
    /**
     * What is found here, and what follows from it.
     */
    const char *sentence;
    const char *remedy;
    /**
     * 1 it applies, 0 it does not, -1 that cannot be told, and the sentence says why.
     */
    int32_t applies;
    /**
     * 0.
     */
    uint32_t reserved;
} shm_trap;

/**
 * A range of pages that are all in memory, or all not.
 */
typedef struct shm_run {
    uint64_t offset;
    uint64_t length_bytes;
    /**
     * 1 in memory, 0 not.
     */
    uint32_t resident;
    /**
     * 0.
     */
    uint32_t reserved;
} shm_run;

/**
 * What mappings take in a process, in bytes: the sums of their figures in /proc/PID/smaps. A region
 * is one mapping, until parts of it are protected or locked.
 */
typedef struct shm_usage {
    /**
     * Of addresses.
     */
    uint64_t size_bytes;
    /**
     * Rss: in memory, and in this process's page tables.
     */
    uint64_t resident_bytes;
    /**
     * Pss: what several mappings have is shared out among them.
     */
    uint64_t proportional_bytes;
    uint64_t shared_clean_bytes;
    uint64_t shared_dirty_bytes;
    uint64_t private_clean_bytes;
    uint64_t private_dirty_bytes;
    /**
     * On huge pages, transparent ones or a pool's. A pool's are not part of resident_bytes.
     */
    uint64_t huge_bytes;
    uint64_t locked_bytes;
    uint64_t swapped_bytes;
    /**
     * Of how many mappings these are the sums: parts that were protected or locked are their own.
     */
    uint32_t mappings;
    /**
     * In bytes.
     */
    uint32_t page_size;
    /**
     * VmFlags of the first mapping, as proc(5) lists them, parted by spaces: "rd wr sh mr mw me ms".
     */
    char vm_flags[128];
} shm_usage;

/**
 * The file system that an object lies on.
 */
typedef struct shm_file_system {
    /**
     * "tmpfs", "ext4", …
     */
    const char *kind;
    /**
     * NULL for the kernel's own, which nobody mounted.
     */
    const char *mount_point;
    /**
     * "rw,noexec", …; empty where it is not mounted.
     */
    const char *options;
    /**
     * UINT64_MAX: no limit of its own, for these three.
     */
    uint64_t size_bytes;
    uint64_t free_bytes;
    /**
     * How many more files fit.
     */
    uint64_t files_free;
    /**
     * 1 when what lies there lies in memory only, else 0.
     */
    uint32_t in_memory;
    /**
     * 0.
     */
    uint32_t reserved;
} shm_file_system;

/**
 * Who uses the locks of a region: put it into a region's zeros, at a multiple of 8 (better 64).
 * For 64 processes; shm_party_size is for others.
 */
typedef struct shm_party_table {
    uint64_t opaque[1576];
} shm_party_table;



#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * ---- Versions and errors ----------------------------------------------------------------
 *
 * The running library's version: major << 16 | minor << 8 | patch.
 */
uint32_t shm_version(void);

/**
 * One phrase for a result code ("No such file or directory"), also for the SHMKIT_E_ codes.
 *
 * `code`: what a call of this library returned: 0 or positive is "Success".
 * Returns a string that lives as long as the program; never NULL.
 */
const char *shm_strerror(int code);

/**
 * The name of a result code ("ENOENT", "SHMKIT_E_SHRUNK"); "UNKNOWN" for a number that has none.
 *
 * Returns a string that lives as long as the program; never NULL.
 */
const char *shm_error_name(int code);

/**
 * ---- Making and opening regions ---------------------------------------------------------
 *
 * Makes a region without a name, to be handed over: memory with a descriptor (memfd_create(2)).
 *
 * The memory is reserved, close-on-exec, not executable, of mode 0600, and sealed, so that no
 * holder can shrink or grow it: access through its pointer never raises SIGBUS, for anybody.
 *
 * `name`: shown in /proc only, 249 bytes at most; need not be unique.
 * `size`: in bytes, kept to the byte; what remains of the last page is zeros that all may touch.
 * Only huge pages round it up (_HUGE_2M, _HUGE_1G): shm_region_size tells to what. They are set
 * aside in the pool, but not for good: a hole that a peer punches, a limit of the cgroup, or
 * _NO_RESERVE can leave none for a page at its first touch, so such a region counts as one that
 * can shrink (shm_region_can_shrink); shm_region_prefault finds out. Receivers need no
 * _RISK_SHRINK.
 * `options`: flags READ_ONLY PRIVATE POPULATE LOCKED NO_RESERVE NO_FORK NO_DUMP RISK_REOPEN
 * GROWABLE MIRROR HUGE_2M HUGE_1G HUGE_FALLBACK; mode, without execute bits unless
 * SHMKIT_SEAL_EXEC is left out; seals; size_max.
 * `region`: the new region, the caller's, to be closed once with shm_region_close.
 * `error`: NULL, or filled on failure.
 * Returns 0, or: -EINVAL an argument; -ENOSPC or -ENOMEM no memory, or no huge page is left in the
 * pool; -EOPNOTSUPP no huge pages of this size here; -EFBIG over RLIMIT_FSIZE; -EMFILE, -ENFILE no
 * descriptor is left; -EAGAIN, -ENOMEM, -EPERM over RLIMIT_MEMLOCK (_LOCKED).
 */
int shm_region_create(const char *name,
                      size_t size,
                      const struct shm_region_options *options,
                      struct shm_region **region,
                      struct shm_error *error);

/**
 * Makes a region of a descriptor from elsewhere: a file, a memfd, an object of shm_open(3).
 *
 * `fd`: stays the caller's; the region keeps a duplicate of its own.
 * `size`: in bytes from the offset; 0 means all of it. More than the file has is -EINVAL, unless
 * SHMKIT_REGION_PAST_END.
 * `options`: flags READ_ONLY PRIVATE PAST_END POPULATE LOCKED NO_RESERVE NO_FORK NO_DUMP
 * RISK_REOPEN GROWABLE MIRROR HUGE_2M HUGE_1G; offset; size_min; size_max.
 * Returns 0, or: -EBADF no open descriptor, or one that was opened with O_PATH; -ENODEV no regular
 * file (pipes, directories, devices: /dev/zero would map, and share nothing); -EOPNOTSUPP huge
 * pages stand behind it, and neither _HUGE_2M nor _HUGE_1G accepts them; -EACCES opened without
 * the rights for the mapping; -EPERM sealed against the writing that was asked for; -EINVAL an
 * argument, an offset that is no multiple of the page size, an empty file; -EOVERFLOW offset +
 * size; -ENOMEM too long, or too many mappings. The region is the caller's to close.
 */
int shm_region_from_fd(int fd,
                       size_t size,
                       const struct shm_region_options *options,
                       struct shm_region **region,
                       struct shm_error *error);

/**
 * Makes a region of anonymous memory, zeroed, to be shared with children made by fork().
 *
 * `size`: in bytes.
 * `options`: flags READ_ONLY PRIVATE POPULATE LOCKED NO_RESERVE NO_FORK NO_DUMP WIPE_ON_FORK.
 * Returns 0, or: -EINVAL an argument; -ENOMEM no memory; -EAGAIN, -ENOMEM, -EPERM over
 * RLIMIT_MEMLOCK (_LOCKED). The region is the caller's to close, in each process.
 */
int shm_anon_create(size_t size,
                    const struct shm_region_options *options,
                    struct shm_region **region,
                    struct shm_error *error);

/**
 * Creates a file of `size` zero bytes, its blocks reserved, and maps it.
 *
 * The file appears under its path with all its bytes, zeros: no opener sees it empty, and a
 * creator that is killed leaves nothing (O_TMPFILE and linkat(2); on a file system without
 * O_TMPFILE a hidden temporary name is used, which a kill can leave).
 *
 * `path`: of the new file; its directory must exist. An existing file is -EEXIST, unless _REPLACE
 * or _OR_OPEN. With _OR_OPEN an existing file smaller than `size` is -EINVAL, and a larger one is
 * mapped as far as `size`.
 * `options`: flags READ_ONLY PRIVATE REPLACE OR_OPEN POPULATE LOCKED NO_RESERVE NO_FORK NO_DUMP
 * RISK_REOPEN GROWABLE MIRROR; mode, which the umask narrows; size_max.
 * Returns 0, with _OR_OPEN 1 when it created and 0 when it found, or: -EINVAL an argument;
 * -EEXIST; -ENOENT, -ENOTDIR, -EACCES, -EROFS, -ELOOP the path; -EOPNOTSUPP a hugetlbfs;
 * -ENAMETOOLONG; -ENOSPC, -EDQUOT the file system is full; -EFBIG over RLIMIT_FSIZE; -ENODEV,
 * -EISDIR, -ENXIO what exists is no regular file. The region is the caller's to close; the file
 * stays until it is unlinked.
 */
int shm_file_create(const char *path,
                    size_t size,
                    const struct shm_region_options *options,
                    struct shm_region **region,
                    struct shm_error *error);

/**
 * Maps an existing file. The mapping never changes the file's size.
 *
 * `path`: the file; a symbolic link is followed.
 * `size`: in bytes from the offset; 0 means all of it. More than the file has is -EINVAL, unless
 * SHMKIT_REGION_PAST_END.
 * `options`: flags READ_ONLY PRIVATE PAST_END POPULATE LOCKED NO_RESERVE NO_FORK NO_DUMP
 * RISK_REOPEN GROWABLE MIRROR HUGE_2M HUGE_1G; offset; size_min; size_max.
 * Returns 0, or: -ENOENT, -ENOTDIR, -EACCES, -EROFS, -ELOOP, -ENAMETOOLONG the path; -ENODEV,
 * -EISDIR, -ENXIO no regular file; -EOPNOTSUPP as for shm_region_from_fd; -EINVAL an argument, an
 * offset that is no multiple of the page size, an empty file; -EOVERFLOW; -ENOMEM. The region is
 * the caller's to close.
 */
int shm_file_open(const char *path,
                  size_t size,
                  const struct shm_region_options *options,
                  struct shm_region **region,
                  struct shm_error *error);

/**
 * Creates a POSIX shared memory object, its memory reserved, and maps it. shm_open(3) opens it
 * too.
 *
 * The object appears under its name with all its bytes, zeros: no opener sees it empty, and a
 * creator that is killed leaves nothing. Any process that may write to it can also truncate it:
 * then access through the pointer raises SIGBUS, and shm_region_read and _write answer
 * SHMKIT_E_SHRUNK.
 *
 * `name`: leading slashes are dropped; then 1 to 255 bytes without a slash, not "." or "..". An
 * existing object is -EEXIST, unless _REPLACE or _OR_OPEN. With _OR_OPEN an existing object
 * smaller than `size` is -EINVAL, and a larger one is mapped as far as `size`.
 * `options`: flags READ_ONLY PRIVATE REPLACE OR_OPEN POPULATE LOCKED NO_RESERVE NO_FORK NO_DUMP
 * RISK_REOPEN RISK_DISK GROWABLE MIRROR UNLINK_LAST UNLINK_CREATOR; mode, which the umask narrows,
 * with the last two without execute bits; size_max.
 * Returns 0, with _OR_OPEN 1 when it created and 0 when it found, or: -EINVAL an argument, a bad
 * name; -ENAMETOOLONG; -EEXIST; -EACCES; -ELOOP a symbolic link stands there; -ENODEV, -EISDIR,
 * -ENXIO no regular file stands there; -ENOSPC /dev/shm is full; -EFBIG over RLIMIT_FSIZE;
 * SHMKIT_E_ON_DISK; -EAGAIN another process has held the lock under which names go
 * (shm_region_unlink) for a second; -EPERM what stands there is due to go, and another user's. The
 * region is the caller's to close; the name stays until shm_posix_unlink or shm_region_unlink,
 * unless _UNLINK_LAST or _UNLINK_CREATOR, for which /proc has to be mounted.
 */
int shm_posix_create(const char *name,
                     size_t size,
                     const struct shm_region_options *options,
                     struct shm_region **region,
                     struct shm_error *error);

/**
 * Maps all of an existing POSIX shared memory object, from the offset on.
 *
 * `name`: as for shm_posix_create.
 * `options`: flags READ_ONLY PRIVATE POPULATE LOCKED NO_RESERVE NO_FORK NO_DUMP RISK_REOPEN
 * RISK_DISK GROWABLE MIRROR; offset; size_min; size_max.
 * Returns 0, or: -ENOENT; -EACCES; -EINVAL an argument, a bad name, an object that is still empty;
 * -ENAMETOOLONG; -ELOOP a symbolic link; -ENODEV, -EISDIR, -ENXIO no regular file;
 * SHMKIT_E_ON_DISK; -ENOMEM; -EAGAIN, -EPERM as for shm_posix_create. An object whose _UNLINK_LAST
 * or _UNLINK_CREATOR is due is removed, and -ENOENT. The region is the caller's to close.
 */
int shm_posix_open(const char *name,
                   const struct shm_region_options *options,
                   struct shm_region **region,
                   struct shm_error *error);

/**
 * Removes a POSIX name (shm_unlink(3)), whatever it names by now: shm_region_unlink looks first.
 * Whoever has the object mapped or open keeps it.
 *
 * Returns 0, or: -ENOENT; -EACCES; -EPERM another user's object in a sticky directory; -EINVAL,
 * -ENAMETOOLONG a bad name.
 */
int shm_posix_unlink(const char *name, struct shm_error *error);

/**
 * Removes the name of a POSIX region or the path of a file region, if it still names this region's
 * object: a name that was removed and made again by others stays.
 *
 * Device and inode are compared under a lock on the name's directory (flock(2)) that _REPLACE and
 * whoever looks before it removes take too. Linux cannot remove a name by its inode: a program
 * that exchanges the name without that lock (shm_posix_unlink, and a new object), in the
 * microseconds between the look and the removal, can still lose its object's name. A relative path
 * is taken from the directory that is current now; a path that was a symbolic link is -ESTALE, as
 * the link is another file.
 * Returns 0, or: -EINVAL NULL; -EOPNOTSUPP the region has no name; -ENOENT the name is gone;
 * -ESTALE it names another object now, and stays; -EAGAIN another process has held the lock for a
 * second; -EACCES no right to remove from the directory, or to read it; -EPERM, -EROFS.
 */
int shm_region_unlink(const struct shm_region *region, struct shm_error *error);

/**
 * ---- Using a region ---------------------------------------------------------------------
 *
 * The region's first byte in this process, at a page's start; NULL for NULL. Other processes have
 * other addresses: store offsets in a region, never pointers. Valid until shm_region_close.
 */
void *shm_region_data(const struct shm_region *region);

/**
 * The region's size in bytes; 0 for NULL.
 */
size_t shm_region_size(const struct shm_region *region);

/**
 * How large the region can become in place, in bytes: with SHMKIT_REGION_GROWABLE what was set
 * aside for it, otherwise its size; 0 for NULL.
 */
size_t shm_region_size_max(const struct shm_region *region);

/**
 * The size of the pages behind the region, in bytes: the ordinary page's, or 2 MiB or 1 GiB where
 * it was made of pages from a pool (SHMKIT_REGION_HUGE_2M); 0 for NULL. Ordinary memory that the
 * kernel has put onto huge pages itself (SHMKIT_ADVICE_HUGE, _COLLAPSE) counts as ordinary.
 */
size_t shm_region_page_size(const struct shm_region *region);

/**
 * The region's descriptor. It stays the region's: do not close it; it is gone after
 * shm_region_close.
 *
 * Returns the descriptor, or: -EINVAL NULL; -EOPNOTSUPP the kind has none (anonymous, System V).
 */
int shm_region_fd(const struct shm_region *region);

/**
 * Which mechanism stands behind the region: SHMKIT_KIND_…, or -EINVAL for NULL.
 */
int shm_region_kind(const struct shm_region *region);

/**
 * What this process may do with the region: SHMKIT_RIGHTS_READ or _READ_WRITE, or -EINVAL for
 * NULL. A region that was received has what its sender gave and the receiver's options left of it.
 * shm_region_protect changes pages, not this; shm_region_freeze leaves _READ.
 */
int shm_region_rights(const struct shm_region *region);

/**
 * The name or path that the region was made or opened with; NULL where it has none (anonymous,
 * System V by key, received, from a descriptor). The region's string.
 */
const char *shm_region_name(const struct shm_region *region);

/**
 * Whether the memory behind the region can be taken away, so that access through the pointer can
 * raise SIGBUS: 1 for files, POSIX objects, memfds without the seal SHRINK, and pages from a pool
 * of huge pages; 0 for sealed memfds, anonymous memory and System V; -EINVAL for NULL.
 */
int shm_region_can_shrink(const struct shm_region *region);

/**
 * Copies bytes out of the region, checked: an error where access through the pointer would be out
 * of bounds or raise a signal, also when the file is truncated during the call.
 *
 * A bounds check and a memcpy where the memory cannot be taken away (shm_region_can_shrink), and
 * where it can but the region is guarded (shm_guard_enable); otherwise a copy by the kernel, which
 * costs a system call. Memory goes by whole pages: what a truncated file leaves of its last page
 * reads as zeros. Bytes that another process writes meanwhile arrive old or new, in any mixture.
 * `buffer`: at least `length` bytes; after a failure its content is undefined.
 * Returns 0, or: -EINVAL NULL; -ERANGE offset + length is beyond the region; SHMKIT_E_SHRUNK the
 * backing does not hold these bytes; -EACCES shm_region_protect forbids it; -EFAULT `buffer` is
 * not writable (only noticed on a copy by the kernel). shm_region_check gives the sentence.
 */
int shm_region_read(const struct shm_region *region, size_t offset, void *buffer, size_t length);

/**
 * Copies bytes into the region, checked as shm_region_read is. After a failure a prefix may have
 * been copied.
 *
 * Returns 0, or: -EACCES the region is read-only, or shm_region_protect forbids it; and as
 * shm_region_read, where -EFAULT says that `buffer` is not readable.
 */
int shm_region_write(struct shm_region *region, size_t offset, const void *buffer, size_t length);

/**
 * The address of `length` bytes at `offset`, after a check of the bounds and of the alignment. The
 * macro SHMKIT_AT of shmkit_helpers.h makes a typed pointer of it.
 *
 * `alignment`: a power of two; 1 for none.
 * `pointer`: valid until shm_region_close; not protected against SIGBUS.
 * Returns 0, or: -EINVAL NULL, the address is not a multiple of `alignment`, or that is no power
 * of two; -ERANGE beyond the region.
 */
int shm_region_at(const struct shm_region *region,
                  size_t offset,
                  size_t length,
                  size_t alignment,
                  void **pointer);

/**
 * Says in a sentence whether these bytes can be read (and written, where the region is writable):
 * the reason behind an error of shm_region_read and _write, with the numbers.
 *
 * Returns 0, or: -EINVAL NULL; -ERANGE beyond the region; SHMKIT_E_SHRUNK with the size that the
 * backing has now; -EACCES shm_region_protect forbids it. Another process may truncate the file
 * right afterwards: this is a diagnosis, no guarantee. Of the pages the first alone is touched,
 * unless shm_region_protect was called.
 */
int shm_region_check(const struct shm_region *region,
                     size_t offset,
                     size_t length,
                     struct shm_error *error);

/**
 * Writes a range to the file on disk and waits until it is there (msync(2), MS_SYNC). Other
 * processes see the bytes without it. For memory without a file there is nothing to do. Works on
 * whole pages, as shm_region_flush_async, _prefault, _lock and _unlock do; a length of 0 is
 * nothing.
 *
 * Returns 0, or: -EINVAL NULL; -ERANGE beyond the region; -EIO the device.
 */
int shm_region_flush(struct shm_region *region, size_t offset, size_t length);

/**
 * Starts to write a range to the file on disk and returns (sync_file_range(2); on Linux
 * msync(MS_ASYNC) does nothing). shm_region_flush waits for it.
 *
 * Returns 0, or: -EINVAL NULL; -ERANGE beyond the region; -EIO the device.
 */
int shm_region_flush_async(struct shm_region *region, size_t offset, size_t length);

/**
 * Touches every page of a range now, so that later accesses do not wait for page faults
 * (MADV_POPULATE_WRITE, or _READ where the region is read-only; before Linux 5.14 for reading
 * only, page by page).
 *
 * Returns 0, or: -EINVAL NULL; -ERANGE beyond the region; -ENOMEM no memory; SHMKIT_E_SHRUNK the
 * backing does not hold the range, or has no room for it; -EACCES shm_region_protect forbids it.
 */
int shm_region_prefault(struct shm_region *region,
                        size_t offset,
                        size_t length,
                        struct shm_error *error);

/**
 * Tells the kernel how a range will be used (madvise(2)). Only advice that cannot lose data is on
 * offer.
 *
 * `offset`: on a page boundary. `advice`: SHMKIT_ADVICE_….
 * Returns 0, or: -EINVAL NULL, unknown advice, an offset that is no multiple of the page size,
 * advice that this kernel or kind of memory does not know; -ERANGE beyond the region; -ENOMEM,
 * -EAGAIN no memory for huge pages (_COLLAPSE).
 */
int shm_region_advise(struct shm_region *region,
                      size_t offset,
                      size_t length,
                      int advice,
                      struct shm_error *error);

/**
 * No mutex: keeps the pages of a range from being swapped out (mlock(2)), until shm_region_unlock
 * or shm_region_close.
 *
 * Returns 0, or: -EINVAL NULL; -ERANGE beyond the region; -ENOMEM, -EAGAIN, -EPERM over
 * RLIMIT_MEMLOCK, whose value is in the message.
 */
int shm_region_lock(struct shm_region *region,
                    size_t offset,
                    size_t length,
                    struct shm_error *error);

/**
 * Ends shm_region_lock for a range (munlock(2)).
 *
 * Returns 0, or: -EINVAL NULL; -ERANGE beyond the region.
 */
int shm_region_unlock(struct shm_region *region,
                      size_t offset,
                      size_t length,
                      struct shm_error *error);

/**
 * Changes what this process may do with a range (mprotect(2)). From then on access through the
 * pointer raises SIGSEGV where it is forbidden; shm_region_read and _write answer -EACCES there,
 * and go through the kernel for the whole region. A shm_region_read or _write that another thread
 * has begun at that moment can still raise SIGSEGV.
 *
 * `offset`: on a page boundary. `rights`: SHMKIT_RIGHTS_…, no more than the region was opened
 * with.
 * Returns 0, or: -EINVAL NULL, unknown rights, an offset that is no multiple of the page size;
 * -ERANGE beyond the region; -EACCES more rights than the region has. For a guarded region
 * (shm_guard_enable) always -EINVAL.
 */
int shm_region_protect(struct shm_region *region,
                       size_t offset,
                       size_t length,
                       uint32_t rights,
                       struct shm_error *error);

/**
 * The seals that the region's object has: SHMKIT_SEAL_ bits.
 *
 * Returns the bits, 0 or positive, or: -EINVAL NULL, or a file system without seals (a disk's);
 * -EOPNOTSUPP the kind has no descriptor. POSIX objects always answer SHMKIT_SEAL_SEAL.
 */
int shm_region_seals(const struct shm_region *region);

/**
 * Adds seals to a memfd region, for every process and for good (fcntl(2), F_ADD_SEALS). All of
 * them or none.
 *
 * `seals`: SHMKIT_SEAL_ bits.
 * Returns 0, or: -EINVAL NULL, unknown seals, a file system without seals; -EBUSY SEAL_WRITE while
 * a writable shared mapping lives, this region's own too; -EPERM sealed against seals, or a
 * read-only descriptor; -EOPNOTSUPP the kind has no descriptor.
 */
int shm_region_seal(struct shm_region *region, uint32_t seals, struct shm_error *error);

/**
 * Unmaps the region and closes its descriptor. Names, files and System V segments stay; but with
 * SHMKIT_REGION_UNLINK_LAST or _UNLINK_CREATOR the name goes where that is due. In a child made by
 * fork() it does not: that is for the process that made or opened the region.
 *
 * To be called once for each region, when no thread uses it any more: the handle and every pointer
 * into the region are dangling afterwards, and using them is undefined. NULL is fine. SHMKIT_CLOSE
 * of shmkit_helpers.h sets the variable to NULL, so that closing twice is harmless.
 * Returns 0, or: -EBUSY a guarded section is open (shm_guard_begin), and the region stays. After
 * any other failure the region is gone all the same: a negative errno from munmap(2) or close(2);
 * -EAGAIN another process has held the lock under which names go for a second, -EPERM the object
 * is another user's: a name that was due stays, for the next who opens it to remove.
 */
int shm_region_close(struct shm_region *region);

/**
 * ---- Growing in place -------------------------------------------------------------------
 *
 * Makes a region with SHMKIT_REGION_GROWABLE larger, for all its users, without moving it:
 * pointers into it stay valid.
 *
 * The new bytes are reserved as at creation (unless SHMKIT_REGION_NO_RESERVE), and zeros, unless
 * the object had them already. This process can use them at once; others after shm_region_follow,
 * and nothing tells them but the program. Nothing ever gets smaller: of two that grow it at once
 * the larger size stays, and is then both's shm_region_size. A failure leaves the sizes of the
 * region and its object as they were; only a disk that ran full can have kept some of the new
 * blocks. A region that this process has published read-only can go on growing. Between
 * shm_region_size and shm_region_size_max access through the pointer can raise SIGBUS.
 * `size`: in bytes, up to shm_region_size_max. One that the region has already changes nothing.
 * Returns 0, or: -EINVAL NULL; -EOPNOTSUPP the region is not growable, or its file system cannot
 * reserve; -EFBIG over shm_region_size_max, or over RLIMIT_FSIZE; -ENOSPC, -EDQUOT, -ENOMEM no
 * memory or disk; -EACCES the region is read-only; -EPERM somebody has sealed it against growing;
 * SHMKIT_E_SHRUNK somebody has truncated it meanwhile.
 */
int shm_region_grow(struct shm_region *region, size_t size, struct shm_error *error);

/**
 * Takes over what others have grown: afterwards shm_region_size is the object's size (less the
 * region's offset in it), as far as shm_region_size_max. Pointers stay valid. The peer that grows
 * is not trusted: size_max is this process's own cap.
 *
 * Returns 1 when the region became larger, 0 when not, or: -EINVAL NULL; -EOPNOTSUPP the region is
 * not growable; SHMKIT_E_SHRUNK the object is smaller than the region, whose size stays as it is.
 */
int shm_region_follow(struct shm_region *region, struct shm_error *error);

/**
 * ---- Reading alone ----------------------------------------------------------------------
 *
 * Publishes a memfd region, for good: from now on nobody can write to it but this process, through
 * the mapping that it has. shm_send_region then hands it over for reading.
 *
 * The kernel keeps it so (F_SEAL_FUTURE_WRITE, Linux 5.1): no writing to the descriptor, no
 * mapping it writable, not after opening it again through /proc or changing its mode, neither by
 * another user nor by the same. SHRINK, SEAL, and EXEC unless the mode has execute bits, are
 * sealed too, so shm_region_freeze is -EPERM afterwards; and GROW unless the region is growable:
 * then whoever has its descriptor can make it larger, by zeros. What remains: a child that this
 * process forks inherits its mapping (SHMKIT_REGION_NO_FORK prevents that), and who may trace it
 * (ptrace(2), /proc/PID/mem) can write through it.
 *
 * The kernel does not look for writable mappings that exist already, so this call refuses where
 * there can be one: for a region that came from elsewhere, that was sent with the right to write,
 * or tried to, whose descriptor was asked for (shm_region_fd), or when the process has called
 * fork() since the region was made, be it with SHMKIT_REGION_NO_FORK, because a child has the
 * descriptor. posix_spawn(3) and system(3) do not count. A child made by a bare clone(2) or
 * _Fork(3), and a descriptor that another process of the same user took from /proc, are not seen.
 * No other thread may ask for the descriptor or send the region meanwhile: the call is -EBUSY
 * then, but the seals are there. Calling it again is no error.
 * Returns 0, or: -EINVAL NULL; -EBUSY others may have it writable, the message says why; -EPERM
 * somebody has sealed it against seals; -EOPNOTSUPP a kernel before Linux 5.1 (5.13 for huge
 * pages), no memfd (for files and POSIX objects the kernel gives no such promise), or a private
 * region.
 */
int shm_region_publish_read_only(struct shm_region *region, struct shm_error *error);

/**
 * Freezes a memfd region for good: nobody can write to it any more, this process included, nor
 * change its size (F_SEAL_WRITE, SHRINK and GROW). The region is read-only from then on: pointers
 * into it stay valid, for reading.
 *
 * Any process may call it that has a descriptor for writing. A process that has received the
 * region and still has it mapped is in the way, for reading too. No thread may write to the region
 * while this runs: that can raise SIGSEGV. SHMKIT_REGION_NO_FORK and _NO_DUMP are kept;
 * shm_region_protect, _advise, _lock and _place, and SHMKIT_REGION_LOCKED, are undone.
 * Returns 0, or: -EINVAL NULL, or shm_guard_enable was called; -EBUSY a shared mapping exists
 * elsewhere that was made from a descriptor for writing, or the kernel itself has pages in use:
 * the region stays writable; -EPERM sealed against seals, published or sealed with FUTURE_WRITE,
 * or a read-only descriptor; -EOPNOTSUPP no memfd, or a private region; -ENOMEM too many mappings.
 */
int shm_region_freeze(struct shm_region *region, struct shm_error *error);

/**
 * ---- On which memory --------------------------------------------------------------------
 *
 * Says on which NUMA nodes a range's pages shall lie (mbind(2)). For memfds, POSIX objects, System
 * V and shared anonymous memory that holds for all processes that use the region; for private
 * anonymous memory, for this process and its children; for files on a disk it says nothing of
 * pages to come. What was said last counts.
 *
 * Pages that exist already move, if this process has touched them and no other has them mapped.
 * Memory that was reserved at creation exists, touched by nobody yet: the call touches it, so that
 * it moves too (before Linux 5.14: only after shm_region_prefault). With _NO_RESERVE nothing has
 * to.
 *
 * `offset`: on a page boundary; `length`: rounded up to pages. `policy`: SHMKIT_PLACE_….
 * `nodes`, `node_count`: node numbers, at least one; NULL and 0 for _DEFAULT.
 * /sys/devices/system/node/online has those of this machine.
 * Returns 0, or: -EINVAL an argument, a node that is not there, or that has no memory for this
 * process (cpuset(7)); -ERANGE beyond the region; -EPERM a container's seccomp profile forbids
 * mbind; -ENOSYS a kernel without NUMA; -ENOMEM.
 */
int shm_region_place(struct shm_region *region,
                     size_t offset,
                     size_t length,
                     int policy,
                     const int *nodes,
                     size_t node_count,
                     struct shm_error *error);

/**
 * Tells where a range's pages lie (move_pages(2)): for each page, of shm_region_page_size, the
 * number of its NUMA node, or -ENOENT where this process has no page: it has not touched it,
 * though the page may be reserved or another process's; it has only read zeros of private memory;
 * or the page is swapped out. shm_region_prefault makes it known.
 *
 * `nodes`, `node_count`: room for as many numbers as pages of the range, from the one that holds
 * `offset` to the one that holds the last byte; another count is -EINVAL.
 * Returns 0, or: -EINVAL an argument; -ERANGE beyond the region; -EPERM a container's seccomp
 * profile; -ENOSYS a kernel without NUMA; -ENOMEM.
 */
int shm_region_nodes(const struct shm_region *region,
                     size_t offset,
                     size_t length,
                     int *nodes,
                     size_t node_count,
                     struct shm_error *error);

/**
 * ---- The fault guard --------------------------------------------------------------------
 *
 * Switches the fault guard on for a region, until it is closed. For memory that cannot shrink
 * there is nothing to do, and nothing is installed. It serves C code, in a Go program too; faults
 * of Go code are its runtime's.
 *
 * The first such call installs a SIGBUS handler for the process, for good (sigaction(2),
 * SA_SIGINFO and SA_ONSTACK). From then on, inside sections of this region (shm_guard_begin), a
 * page whose backing is gone reads as zeros instead of raising SIGBUS, and what is written to it
 * is lost; the section's end tells. shm_region_read and _write are such a section themselves, at
 * memcpy's speed. Every other SIGBUS goes to the handler that was there before, or ends the
 * process as it would have.
 *
 * A program with a handler of its own installs it before this call, and need not do more: it may
 * even leave by siglongjmp. One that is installed later keeps the old action, has SA_SIGINFO and
 * SA_ONSTACK, and passes on what is not its own: old.sa_sigaction(signal, info, context), and
 * return. This call and shm_guard_check look whether ours is reached; see there for how. A system
 * call that is given a pointer to a page that is gone, and that nobody has touched, answers
 * -EFAULT or does a part of its work, guard or not. SIGBUS must not be blocked: the kernel then
 * ends the process. shm_region_protect and shm_region_freeze are -EINVAL for a guarded region.
 * Children made by fork() are guarded as their parent is; after exec() nothing is left of it. They
 * inherit the open sections of threads that they have not got, and cannot close such a region;
 * shm_region_read and _write of other threads do not count. What shm_region_advise, _lock and
 * _place have said of a page is lost when it is put back. A shared object that has the static
 * library in it must not be unloaded any more; libshmkit.so itself stays when it is closed.
 * Returns 0, or: -EINVAL NULL, or shm_region_protect was called; SHMKIT_E_UNGUARDED a handler that
 * was installed later does not call ours; -EAGAIN, -ENOMEM as for shm_guard_check.
 */
int shm_guard_enable(struct shm_region *region, struct shm_error *error);

/**
 * Begins a guarded section: until shm_guard_end, access through the region's pointer does not
 * raise SIGBUS. Sections nest, overlap, and may be open in many threads; each begin needs one end,
 * in any thread and any order.
 *
 * A page that is gone is replaced by zeros for the whole process, other threads included, until
 * the last section of the region ends; then the file shows through again. While sections overlap
 * without a gap, the zeros stay; and in a writable region whose object was sealed with
 * SHMKIT_SEAL_FUTURE_WRITE meanwhile they stay for good, and each end tells. Costs a few
 * nanoseconds.
 * Returns 0, or: -EINVAL NULL; SHMKIT_E_UNGUARDED the guard is not enabled for this region (for
 * one that cannot shrink it need not be); -EOVERFLOW 16383 sections are open.
 */
int shm_guard_begin(struct shm_region *region);

/**
 * Ends a guarded section, whatever it answers but -EINVAL.
 *
 * Returns 0, or: SHMKIT_E_SHRUNK a page of the region that was touched was gone while the section
 * was open, in whichever thread or section: what was read can be zeros, what was written can be
 * lost; -EINVAL NULL, or no section is open.
 */
int shm_guard_end(struct shm_region *region);

/**
 * Looks whether a fault still reaches our handler. Where another handler has been installed since,
 * a child touches a page that is gone, for at most a second: the handlers run there, in memory of
 * its own but for what is shared, and without the program's descriptors. It is made by a bare
 * clone(2): no atfork handlers, no SIGCHLD, nothing for wait(2).
 *
 * Returns 0, or: SHMKIT_E_UNGUARDED ours is not reached, was never installed (no region that can
 * shrink was enabled), or SIGBUS is blocked in this thread; -EAGAIN, -ENOMEM no child could be
 * made.
 */
int shm_guard_check(struct shm_error *error);

/**
 * ---- System V segments ------------------------------------------------------------------
 *
 * The System V key of a path and a project, as ftok(3) makes it, but with errors: ftok answers -1,
 * which is a valid key.
 *
 * Only 8 bits of the project, 8 of the device and 16 of the inode enter the key: two paths can
 * have the same one. shm_sysv_create_at notices.
 * `path`: an existing file or directory. `project`: 0 to 255.
 * Returns 0, or: -EINVAL an argument; -ENOENT, -ENOTDIR, -EACCES, -ELOOP, -ENAMETOOLONG the path.
 */
int shm_sysv_key(const char *path, int project, int32_t *key, struct shm_error *error);

/**
 * Creates a System V segment and attaches it. It outlives every process until it is removed, or
 * the machine restarts.
 *
 * `key`: 0 (IPC_PRIVATE) always makes a new segment without a key. -1 is -EINVAL: it is what ftok
 * returns when it fails.
 * `size`: in bytes. An existing segment is -EEXIST, unless _OR_OPEN; then the region has the
 * existing segment's size, and one smaller than `size` is -EINVAL.
 * `options`: flags READ_ONLY OR_OPEN POPULATE LOCKED NO_RESERVE NO_FORK NO_DUMP AUTO_REMOVE
 * HUGE_2M HUGE_1G HUGE_FALLBACK; mode, which the umask does not narrow. Huge pages round the size
 * up, and need CAP_IPC_LOCK, or membership of the group in vm.hugetlb_shm_group.
 * Returns 0, with _OR_OPEN 1 when it created and 0 when it found, or: -EEXIST; -EINVAL an
 * argument, or a size over shmmax; -EOPNOTSUPP no huge pages of this size here; -EPERM no right to
 * huge pages; -ENOSPC shmmni or shmall is reached (the message names the limit, its value and its
 * file); -EACCES; -ENOMEM also an empty pool of huge pages. The region is the caller's to close,
 * which detaches; the segment goes with shm_sysv_remove.
 */
int shm_sysv_create(int32_t key,
                    size_t size,
                    const struct shm_region_options *options,
                    struct shm_region **region,
                    struct shm_error *error);

/**
 * Attaches all of the System V segment that has this key.
 *
 * `key`: 0 and -1 are -EINVAL.
 * `options`: flags READ_ONLY POPULATE LOCKED NO_FORK NO_DUMP AUTO_REMOVE; size_min, of which more
 * than the segment has is the kernel's -EINVAL. A segment on huge pages is attached too.
 * Returns 0, or: -ENOENT; -EACCES; -EINVAL; -ENOMEM; -EPERM _AUTO_REMOVE of another user's
 * segment. The region is the caller's to close, which detaches.
 */
int shm_sysv_attach(int32_t key,
                    const struct shm_region_options *options,
                    struct shm_region **region,
                    struct shm_error *error);

/**
 * Attaches all of the System V segment that has this id (shm_sysv_id, ipcs(1)), also one that is
 * marked removed.
 *
 * `options`: as for shm_sysv_attach.
 * Returns 0, or: -EINVAL no such id, or size_min; -EIDRM; -EACCES; -ENOMEM. The region is the
 * caller's to close, which detaches.
 */
int shm_sysv_attach_id(int id,
                       const struct shm_region_options *options,
                       struct shm_region **region,
                       struct shm_error *error);

/**
 * shm_sysv_create with the key of a path, and an identity of that path stored behind the region's
 * bytes, so that a segment made for another path under the same key (an ftok collision) is
 * noticed.
 *
 * `path`, `project`: as for shm_sysv_key. `size`: in bytes; the segment is up to 128 bytes larger.
 * `options`: as for shm_sysv_create, but no huge pages. mode loses its execute bits. With _OR_OPEN
 * a segment whose creator died half way is replaced, after a second.
 * Returns as shm_sysv_key and shm_sysv_create, and: SHMKIT_E_COLLISION (_OR_OPEN: the existing
 * segment belongs to another path; without it that is -EEXIST); -EAGAIN _OR_OPEN found a segment
 * that is not finished, and is used or another user's. Who creates it first decides what is in it:
 * the identity tells paths apart, not users; shm_sysv_stat tells the creator.
 */
int shm_sysv_create_at(const char *path,
                       int project,
                       size_t size,
                       const struct shm_region_options *options,
                       struct shm_region **region,
                       struct shm_error *error);

/**
 * Attaches the segment that shm_sysv_create_at made for this path and project.
 *
 * `options`: as for shm_sysv_attach.
 * Returns as shm_sysv_key and shm_sysv_attach, and: SHMKIT_E_COLLISION the segment under this key
 * was made for another path, or by other means; -EAGAIN its creator has not finished, or died half
 * way (shm_sysv_create_at with _OR_OPEN replaces it).
 */
int shm_sysv_attach_at(const char *path,
                       int project,
                       const struct shm_region_options *options,
                       struct shm_region **region,
                       struct shm_error *error);

/**
 * The System V id behind a region, for shm_sysv_stat, shm_sysv_remove, ipcs(1).
 *
 * Returns the id, 0 or positive, or: -EINVAL NULL; -EOPNOTSUPP not a System V region.
 */
int shm_sysv_id(const struct shm_region *region);

/**
 * Marks a segment removed (IPC_RMID): its key is free at once, its memory goes with its last user.
 * Removing it again while it is in use is no error.
 *
 * Returns 0, or: -EINVAL no such id; -EIDRM; -EPERM neither owner nor creator.
 */
int shm_sysv_remove(int id, struct shm_error *error);

/**
 * Reads what the kernel knows of a segment (IPC_STAT).
 *
 * `info`, `info_size`: the caller's struct and its sizeof. A shorter one is filled as far as it
 * goes, what a longer one has behind it becomes 0.
 * Returns 0, or: -EINVAL an argument, no such id; -EIDRM; -EACCES no right to read.
 */
int shm_sysv_stat(int id, struct shm_sysv_info *info, size_t info_size, struct shm_error *error);

/**
 * Changes a segment's owner and permission bits (IPC_SET).
 *
 * `uid`, `gid`: UINT32_MAX, which is (uid_t)-1, keeps what there is, as for chown(2). `mode`: at
 * most 0777.
 * Returns 0, or: -EINVAL an argument, no such id; -EIDRM; -EPERM neither owner nor creator.
 */
int shm_sysv_set_owner(int id, uint32_t uid, uint32_t gid, uint32_t mode, struct shm_error *error);

/**
 * Keeps a segment's pages in memory for all its users, once they are touched (SHM_LOCK).
 *
 * Returns 0, or: -EINVAL no such id; -EIDRM; -EPERM neither owner nor creator, or RLIMIT_MEMLOCK
 * is 0; -ENOMEM over RLIMIT_MEMLOCK, whose value is in the message.
 */
int shm_sysv_lock(int id, struct shm_error *error);

/**
 * Ends shm_sysv_lock (SHM_UNLOCK).
 *
 * Returns 0, or: -EINVAL no such id; -EIDRM; -EPERM neither owner nor creator.
 */
int shm_sysv_unlock(int id, struct shm_error *error);

/**
 * ---- System V semaphores ----------------------------------------------------------------
 *
 * Creates a set of semaphores. It outlives every process until it is removed, or the machine
 * restarts. Keys mean what they mean for segments.
 *
 * The values and the set appear together: who opens it by this library never sees it without them.
 * semget(2) shows it before; a plain program has to wait for them by itself.
 * `key`: 0 (IPC_PRIVATE) always makes a new set without a key. -1 is -EINVAL: it is what ftok
 * returns when it fails.
 * `values`, `count`: of the semaphores, 0 to 32767 each; NULL for zeros. A found set keeps its
 * own, and one with less than `count` semaphores is -EINVAL.
 * `flags`: SHMKIT_SEM_OR_OPEN, without which an existing set is -EEXIST. Then a set whose creator
 * died half way is replaced, after a second.
 * `mode`: permission bits, which the umask does not narrow; 0 is 0600. Execute bits are dropped.
 * Returns 0, with _OR_OPEN 1 when it created and 0 when it found, or: -EEXIST; -EINVAL an
 * argument, or a count over semmsl; -ERANGE a value; -ENOSPC semmni or semmns is reached (the
 * message names the limit, its value and its file); -EAGAIN _OR_OPEN found another user's set that
 * is not finished.
 */
int shm_sysv_sem_create(int32_t key,
                        const uint16_t *values,
                        size_t count,
                        uint32_t flags,
                        uint32_t mode,
                        int *id,
                        struct shm_error *error);

/**
 * Opens the set of semaphores that has this key. Its right is asked for when it is used.
 *
 * `key`: 0 and -1 are -EINVAL. `count_min`: a set with less semaphores is the kernel's -EINVAL.
 * Returns 0, or: -ENOENT; -EINVAL; -EAGAIN its creator has not set the values within a second: it
 * was stopped, or died (shm_sysv_sem_create with _OR_OPEN replaces it).
 */
int shm_sysv_sem_open(int32_t key, size_t count_min, int *id, struct shm_error *error);

/**
 * Removes a set (IPC_RMID), at once: whoever waits for it is told, by -EIDRM.
 *
 * Returns 0, or: -EINVAL no such id; -EIDRM; -EPERM neither owner nor creator.
 */
int shm_sysv_sem_remove(int id, struct shm_error *error);

/**
 * Does all operations in one step, or none of them, and waits for it as long as need be.
 *
 * `ops`, `count`: in the order in which they are to be done.
 * Returns 0, or, with nothing done: -EINVAL an argument, no such id; -EIDRM the set was removed,
 * perhaps while the call waited; -EACCES; -EFBIG no such semaphore; -E2BIG more operations than
 * semopm; -ERANGE a value over 32767; -ENOMEM.
 */
int shm_sysv_sem_operate(int id,
                         const struct shm_sysv_sem_op *ops,
                         size_t count,
                         struct shm_error *error);

/**
 * shm_sysv_sem_operate until a deadline, as for shm_accept_until.
 *
 * Returns as shm_sysv_sem_operate, and: -ETIMEDOUT; -EINVAL a negative deadline.
 */
int shm_sysv_sem_operate_until(int id,
                               const struct shm_sysv_sem_op *ops,
                               size_t count,
                               int64_t deadline_ns,
                               struct shm_error *error);

/**
 * shm_sysv_sem_operate without waiting.
 *
 * Returns as shm_sysv_sem_operate, and: -EAGAIN it would have to wait.
 */
int shm_sysv_sem_try_operate(int id,
                             const struct shm_sysv_sem_op *ops,
                             size_t count,
                             struct shm_error *error);

/**
 * The value of one semaphore (GETVAL).
 *
 * Returns the value, 0 to 32767, or: -EINVAL no such id, no such semaphore; -EIDRM; -EACCES.
 */
int shm_sysv_sem_value(int id, uint32_t index, struct shm_error *error);

/**
 * All values of a set, of the same moment (GETALL).
 *
 * `values`, `count`: room for exactly as many as there are (shm_sysv_sem_stat).
 * Returns 0, or: -EINVAL an argument, no such id; -EIDRM; -EACCES.
 */
int shm_sysv_sem_values(int id, uint16_t *values, size_t count, struct shm_error *error);

/**
 * Sets one semaphore (SETVAL), and wakes whom that lets go on. Operations on it with _UNDO are
 * not taken back any more.
 *
 * Returns 0, or: -ERANGE a value that is not 0 to 32767; -EINVAL no such id, no such semaphore;
 * -EIDRM; -EACCES.
 */
int shm_sysv_sem_set_value(int id, uint32_t index, int value, struct shm_error *error);

/**
 * Sets all semaphores of a set in one step (SETALL), as shm_sysv_sem_set_value does.
 *
 * `values`, `count`: exactly as many as there are.
 * Returns 0, or: -ERANGE a value over 32767; -EINVAL an argument, no such id; -EIDRM; -EACCES, to
 * read the set too.
 */
int shm_sysv_sem_set_values(int id, const uint16_t *values, size_t count, struct shm_error *error);

/**
 * Reads what the kernel knows of one semaphore.
 *
 * `state`, `state_size`: the caller's struct and its sizeof, as for shm_sysv_stat.
 * Returns 0, or: -EINVAL an argument, no such id, no such semaphore; -EIDRM; -EACCES.
 */
int shm_sysv_sem_stat_one(int id,
                          uint32_t index,
                          struct shm_sysv_sem_state *state,
                          size_t state_size,
                          struct shm_error *error);

/**
 * Reads what the kernel knows of a set (IPC_STAT).
 *
 * `info`, `info_size`: the caller's struct and its sizeof, as for shm_sysv_stat.
 * Returns 0, or: -EINVAL an argument, no such id; -EIDRM; -EACCES no right to read.
 */
int shm_sysv_sem_stat(int id,
                      struct shm_sysv_sem_info *info,
                      size_t info_size,
                      struct shm_error *error);

/**
 * Changes a set's owner and permission bits (IPC_SET).
 *
 * `uid`, `gid`: UINT32_MAX, which is (uid_t)-1, keeps what there is. `mode`: at most 0777; execute
 * bits are dropped.
 * Returns 0, or: -EINVAL an argument, no such id; -EIDRM; -EPERM neither owner nor creator.
 */
int shm_sysv_sem_set_owner(int id,
                           uint32_t uid,
                           uint32_t gid,
                           uint32_t mode,
                           struct shm_error *error);

/**
 * ---- System V message queues ------------------------------------------------------------
 *
 * Creates a message queue. It outlives every process, with what is in it, until it is removed, or
 * the machine restarts. Keys mean what they mean for segments.
 *
 * `key`: 0 (IPC_PRIVATE) always makes a new queue without a key. -1 is -EINVAL: it is what ftok
 * returns when it fails.
 * `flags`: SHMKIT_QUEUE_OR_OPEN, without which an existing queue is -EEXIST.
 * `mode`: permission bits, which the umask does not narrow; 0 is 0600. Execute bits are dropped.
 * Returns 0, with _OR_OPEN 1 when it created and 0 when it found, or: -EEXIST; -EINVAL an
 * argument; -ENOSPC msgmni is reached (the message names the limit, its value and its file);
 * -ENOMEM.
 */
int shm_sysv_queue_create(int32_t key,
                          uint32_t flags,
                          uint32_t mode,
                          int *id,
                          struct shm_error *error);

/**
 * Opens the message queue that has this key. Its right is asked for when it is used.
 *
 * `key`: 0 and -1 are -EINVAL.
 * Returns 0, or: -ENOENT; -EINVAL.
 */
int shm_sysv_queue_open(int32_t key, int *id, struct shm_error *error);

/**
 * Removes a queue and its messages (IPC_RMID), at once: whoever waits for it is told, by -EIDRM.
 *
 * Returns 0, or: -EINVAL no such id; -EIDRM; -EPERM neither owner nor creator.
 */
int shm_sysv_queue_remove(int id, struct shm_error *error);

/**
 * Sends a message, and waits for room as long as need be.
 *
 * `type`: positive. `message`, `size`: NULL and 0 for an empty one.
 * Returns 0, or: -EINVAL an argument, no such id, or a size over msgmax; -EIDRM the queue was
 * removed, perhaps while the call waited; -EACCES; -ENOMEM.
 */
int shm_sysv_queue_send(int id,
                        int64_t type,
                        const void *message,
                        size_t size,
                        struct shm_error *error);

/**
 * shm_sysv_queue_send until a deadline, as for shm_accept_until. The kernel has no such call:
 * this one tries, with pauses that grow to 4 ms.
 *
 * Returns as shm_sysv_queue_send, and: -ETIMEDOUT; -EINVAL a negative deadline.
 */
int shm_sysv_queue_send_until(int id,
                              int64_t type,
                              const void *message,
                              size_t size,
                              int64_t deadline_ns,
                              struct shm_error *error);

/**
 * shm_sysv_queue_send without waiting.
 *
 * Returns as shm_sysv_queue_send, and: -EAGAIN the queue is full.
 */
int shm_sysv_queue_try_send(int id,
                            int64_t type,
                            const void *message,
                            size_t size,
                            struct shm_error *error);

/**
 * Receives a message, and waits for one as long as need be.
 *
 * `type`: 0 for the oldest message, else a positive type: the oldest message of this type, with
 * SHMKIT_QUEUE_EXCEPT of any other type, with SHMKIT_QUEUE_AT_MOST of the lowest type up to it.
 * `flags`: these, and SHMKIT_QUEUE_TRUNCATE, without which a message that is longer than the
 * buffer is -E2BIG and stays.
 * `buffer`, `size`: for the bytes; NULL and 0 for none. `received_type`: for the message's type;
 * may be NULL.
 * Returns the length of what is in the buffer, 0 or more, or: -EINVAL an argument, no such id;
 * -EIDRM the queue was removed, perhaps while the call waited; -E2BIG; -EACCES; -ENOMEM.
 */
int shm_sysv_queue_receive(int id,
                           int64_t type,
                           uint32_t flags,
                           void *buffer,
                           size_t size,
                           int64_t *received_type,
                           struct shm_error *error);

/**
 * shm_sysv_queue_receive until a deadline, as for shm_accept_until. The kernel has no such call:
 * this one tries, with pauses that grow to 4 ms; a process that waits in shm_sysv_queue_receive
 * is served before it.
 *
 * Returns as shm_sysv_queue_receive, and: -ETIMEDOUT; -EINVAL a negative deadline.
 */
int shm_sysv_queue_receive_until(int id,
                                 int64_t type,
                                 uint32_t flags,
                                 int64_t deadline_ns,
                                 void *buffer,
                                 size_t size,
                                 int64_t *received_type,
                                 struct shm_error *error);

/**
 * shm_sysv_queue_receive without waiting.
 *
 * Returns as shm_sysv_queue_receive, and: -ENOMSG there is none of this type.
 */
int shm_sysv_queue_try_receive(int id,
                               int64_t type,
                               uint32_t flags,
                               void *buffer,
                               size_t size,
                               int64_t *received_type,
                               struct shm_error *error);

/**
 * Copies a message, which stays in the queue (MSG_COPY). Never waits.
 *
 * `index`: 0 for the oldest. `flags`: 0 or SHMKIT_QUEUE_TRUNCATE. The rest as for
 * shm_sysv_queue_receive.
 * Returns the length of what is in the buffer, or: -ENOMSG there are not as many; -E2BIG; -EINVAL
 * an argument, no such id; -EIDRM; -EACCES; -ENOSYS a kernel without CONFIG_CHECKPOINT_RESTORE.
 */
int shm_sysv_queue_peek(int id,
                        uint32_t index,
                        uint32_t flags,
                        void *buffer,
                        size_t size,
                        int64_t *received_type,
                        struct shm_error *error);

/**
 * Reads what the kernel knows of a queue (IPC_STAT).
 *
 * `info`, `info_size`: the caller's struct and its sizeof, as for shm_sysv_stat.
 * Returns 0, or: -EINVAL an argument, no such id; -EIDRM; -EACCES no right to read.
 */
int shm_sysv_queue_stat(int id,
                        struct shm_sysv_queue_info *info,
                        size_t info_size,
                        struct shm_error *error);

/**
 * Changes a queue's owner and permission bits (IPC_SET).
 *
 * `uid`, `gid`: UINT32_MAX, which is (uid_t)-1, keeps what there is. `mode`: at most 0777; execute
 * bits are dropped.
 * Returns 0, or: -EINVAL an argument, no such id; -EIDRM; -EPERM neither owner nor creator; -EACCES
 * no right to read (before Linux 4.17).
 */
int shm_sysv_queue_set_owner(int id,
                             uint32_t uid,
                             uint32_t gid,
                             uint32_t mode,
                             struct shm_error *error);

/**
 * Changes how many bytes a queue holds (IPC_SET). The messages in it stay, also where they are more.
 *
 * Returns 0, or: -EINVAL no such id; -EIDRM; -EPERM neither owner nor creator, or more than msgmnb
 * without CAP_SYS_RESOURCE; -EACCES no right to read (before Linux 4.17).
 */
int shm_sysv_queue_set_bytes_max(int id,
                                 uint64_t bytes_max,
                                 struct shm_error *error);

/**
 * ---- Hand-over between processes --------------------------------------------------------
 *
 * Opens a Unix socket that waits for connections, of type SOCK_SEQPACKET, close-on-exec.
 *
 * `path`: at most 107 bytes; '@name' is a name in the abstract namespace, which any user of the
 * machine may connect to and which goes with the socket. A socket file whose socket is gone is
 * replaced; anything else that stands there is -EADDRINUSE. The umask narrows who may connect.
 * `socket`: the caller's, for close(2). The file stays until it is unlinked.
 * Returns 0, or: -EINVAL NULL or empty; -ENAMETOOLONG; -EADDRINUSE; -EACCES, -ENOENT, -ENOTDIR,
 * -EROFS the path; -EMFILE, -ENFILE.
 */
int shm_listen(const char *path, int *socket, struct shm_error *error);

/**
 * Waits for a connection and takes it.
 *
 * `listener`: from shm_listen, or any listening Unix socket. `socket`: close-on-exec, the
 * caller's.
 * Returns 0, or: -EAGAIN nobody waits, on a non-blocking listener; -EBADF, -ENOTSOCK, -EINVAL not
 * a listening socket; -EMFILE, -ENFILE.
 */
int shm_accept(int listener, int *socket, struct shm_error *error);

/**
 * shm_accept until a deadline. `deadline_ns`: absolute, on CLOCK_MONOTONIC, in nanoseconds
 * (shmkit_deadline_in_ms of shmkit_helpers.h); one in the past tries once. As all the _until calls
 * do, it waits on non-blocking sockets too, and never answers -EAGAIN. Threads that share a
 * listener set O_NONBLOCK on it, or one of them can wait longer when another takes its connection.
 *
 * Returns as shm_accept, and: -ETIMEDOUT; -EINVAL a negative deadline.
 */
int shm_accept_until(int listener, int64_t deadline_ns, int *socket, struct shm_error *error);

/**
 * Connects to a listening SOCK_SEQPACKET socket, and waits while its queue is full.
 *
 * `path`: as for shm_listen. `socket`: close-on-exec, the caller's.
 * Returns 0, or: -EINVAL NULL or empty; -ENAMETOOLONG; -ENOENT nothing is there; -ECONNREFUSED
 * nobody listens; -EACCES; -EPROTOTYPE the listener is of another type; -EMFILE, -ENFILE.
 */
int shm_connect(const char *path, int *socket, struct shm_error *error);

/**
 * shm_connect until a deadline, as for shm_accept_until.
 *
 * Returns as shm_connect, and: -ETIMEDOUT; -EINVAL a negative deadline.
 */
int shm_connect_until(const char *path, int64_t deadline_ns, int *socket, struct shm_error *error);

/**
 * Who is at the other end: the process that connected, or that listened, when it did so. On a
 * socketpair(2) that is its creator.
 *
 * `peer`, `peer_size`: the caller's struct and its sizeof, as for shm_sysv_stat. The pidfd in it
 * is the caller's to close.
 * Returns 0, or: -EBADF, -ENOTSOCK, -EINVAL an argument; -ENOTCONN; -EMFILE, -ENFILE no descriptor
 * is left for the pidfd; -EOPNOTSUPP not a Unix socket.
 */
int shm_peer_get(int socket, struct shm_peer *peer, size_t peer_size, struct shm_error *error);

/**
 * Sends one descriptor and one byte, so that any program that receives descriptors understands it.
 *
 * What travels is the open file itself: the peer gets a number of its own for it, and the same
 * file offset. The caller may close `fd` right afterwards.
 * `socket`: a connected Unix socket, SOCK_SEQPACKET or SOCK_STREAM. TCP sockets are refused; a UDP
 * socket loses the descriptor, and the kernel does not tell.
 * Returns 0, or: -EBADF, the message tells which number; -EPIPE, -ECONNRESET the peer is gone
 * (never SIGPIPE); -EAGAIN a non-blocking socket's buffer is full; -ETOOMANYREFS more descriptors
 * are in flight than RLIMIT_NOFILE: try again when some have arrived; -ENOTCONN, -ENOTSOCK,
 * -EOPNOTSUPP not such a socket.
 */
int shm_send_fd(int socket, int fd, struct shm_error *error);

/**
 * shm_send_fd until a deadline, as for shm_accept_until.
 *
 * Returns as shm_send_fd, and: -ETIMEDOUT; -EINVAL a negative deadline.
 */
int shm_send_fd_until(int socket, int fd, int64_t deadline_ns, struct shm_error *error);

/**
 * Receives one descriptor and one byte, from shm_send_fd or any program that sends descriptors.
 *
 * Nothing is checked of what the descriptor is: shm_recv_region does that.
 * `fd`: close-on-exec, the caller's.
 * Returns 0, or: -EPROTO no descriptor or more than one came (all are closed); -ECONNRESET the
 * peer closed the connection, be it in good order; -EMFILE no descriptor is left here: the message
 * was consumed, the connection is in order; -EAGAIN nothing has come, on a non-blocking socket;
 * -EBADF, -ENOTCONN, -EINVAL, -ENOTSOCK not such a socket.
 */
int shm_recv_fd(int socket, int *fd, struct shm_error *error);

/**
 * shm_recv_fd until a deadline, as for shm_accept_until.
 *
 * Returns as shm_recv_fd, and: -ETIMEDOUT; -EINVAL a negative deadline.
 */
int shm_recv_fd_until(int socket, int64_t deadline_ns, int *fd, struct shm_error *error);

/**
 * Sends descriptors and a payload as one message. The receiver has to expect as many of both.
 *
 * `fds`, `fd_count`: 1 to SHMKIT_FDS_MAX. `payload`, `payload_size`: at least 1 byte, because a
 * message without bytes loses its descriptors; on SOCK_SEQPACKET no more than SO_SNDBUF allows.
 * Returns as shm_send_fd, and: -EINVAL an argument; -EMSGSIZE the payload is too long for one
 * message; -EPROTO a non-blocking SOCK_STREAM socket took only a part: close it. A bad number
 * among good ones is -EBADF, and nothing is sent.
 */
int shm_send_fds(int socket,
                 const int *fds,
                 size_t fd_count,
                 const void *payload,
                 size_t payload_size,
                 struct shm_error *error);

/**
 * shm_send_fds until a deadline, as for shm_accept_until. After -ETIMEDOUT in the middle of a
 * payload on SOCK_STREAM the connection is of no more use: close it.
 *
 * Returns as shm_send_fds, and: -ETIMEDOUT; -EINVAL a negative deadline.
 */
int shm_send_fds_until(int socket,
                       const int *fds,
                       size_t fd_count,
                       const void *payload,
                       size_t payload_size,
                       int64_t deadline_ns,
                       struct shm_error *error);

/**
 * Receives exactly `fd_count` descriptors and `payload_size` bytes, all or nothing.
 *
 * `fds`: room for `fd_count` numbers, 1 to SHMKIT_FDS_MAX; close-on-exec, the caller's.
 * `payload`: room for `payload_size` bytes, at least 1; undefined after a failure.
 * Returns as shm_recv_fd, where -EPROTO says that another number of descriptors or bytes came;
 * and: -EINVAL an argument.
 */
int shm_recv_fds(int socket,
                 int *fds,
                 size_t fd_count,
                 void *payload,
                 size_t payload_size,
                 struct shm_error *error);

/**
 * shm_recv_fds until a deadline, as for shm_accept_until. After -ETIMEDOUT in the middle of a
 * message on SOCK_STREAM the connection is of no more use: close it.
 *
 * Returns as shm_recv_fds, and: -ETIMEDOUT; -EINVAL a negative deadline.
 */
int shm_recv_fds_until(int socket,
                       int *fds,
                       size_t fd_count,
                       void *payload,
                       size_t payload_size,
                       int64_t deadline_ns,
                       struct shm_error *error);

/**
 * Hands a region to the process at the other end: its descriptor, and a frame of 64 bytes that
 * says what it is. The region stays the caller's, who may close it, and the socket, right
 * afterwards.
 *
 * The receiver gets the rights that the region has. To write while others only read, call
 * shm_region_publish_read_only first: whoever receives the region then gets it for reading, kept
 * so by the kernel. A region that is read-only but not sealed so, and against shrinking, is
 * refused, unless it has SHMKIT_REGION_RISK_REOPEN.
 * Returns as shm_send_fd, and: -EINVAL NULL; -EOPNOTSUPP a kind without a descriptor, or a private
 * writable region, whose bytes nobody else can see; SHMKIT_E_UNENFORCEABLE.
 */
int shm_send_region(int socket, const struct shm_region *region, struct shm_error *error);

/**
 * shm_send_region until a deadline, as for shm_accept_until.
 *
 * Returns as shm_send_region, and: -ETIMEDOUT; -EINVAL a negative deadline.
 */
int shm_send_region_until(int socket,
                          const struct shm_region *region,
                          int64_t deadline_ns,
                          struct shm_error *error);

/**
 * Receives a region from shm_send_region, checks it, and maps it. The sender is not trusted.
 *
 * Before anything is mapped: exactly one descriptor came; it was opened with the rights that the
 * frame claims; it is a regular file; nobody can shrink it; it holds the range that the frame
 * claims; the range fits size_min and size_max. Nothing is ever mapped executable. What is refused
 * is closed, its message is consumed, and the connection can go on.
 *
 * Receivers refuse files, POSIX objects and memfds without SHMKIT_SEAL_SHRINK, unless
 * _RISK_SHRINK.
 * `options`: flags READ_ONLY PRIVATE POPULATE LOCKED NO_FORK NO_DUMP MIRROR HUGE_2M HUGE_1G
 * RISK_SHRINK RISK_REOPEN; size_min; size_max. NULL takes the sender's rights, READ_ONLY narrows
 * them. A region that its sender made with _GROWABLE needs size_max, and can grow here up to the
 * smaller of that and the sender's; with _PRIVATE, _MIRROR or _LOCKED it keeps the size that it
 * has now.
 * Returns as shm_recv_fd, and: SHMKIT_E_NOT_REGION the message is no frame, or the descriptor is
 * not what it claims; SHMKIT_E_VERSION; SHMKIT_E_UNSEALED it can be shrunk, and not _RISK_SHRINK;
 * -EINVAL an argument, smaller than size_min, growable and no size_max; -EFBIG larger than
 * size_max; -EOPNOTSUPP huge pages stand behind it, and neither _HUGE_2M nor _HUGE_1G accepts
 * them; -ENOMEM no addresses or memory are left for it; -EPROTO also a non-blocking SOCK_STREAM
 * socket that has only a part of the frame: close it. The region is the caller's to close.
 */
int shm_recv_region(int socket,
                    const struct shm_region_options *options,
                    struct shm_region **region,
                    struct shm_error *error);

/**
 * shm_recv_region until a deadline, as for shm_accept_until. After -ETIMEDOUT in the middle of a
 * frame on SOCK_STREAM the connection is of no more use: close it.
 *
 * Returns as shm_recv_region, and: -ETIMEDOUT; -EINVAL a negative deadline.
 */
int shm_recv_region_until(int socket,
                          const struct shm_region_options *options,
                          int64_t deadline_ns,
                          struct shm_region **region,
                          struct shm_error *error);

/**
 * ---- Locks ------------------------------------------------------------------------------
 *
 * Joins the party whose table is at an offset of a region: from then on this process can use the
 * locks there, and its death is noticed, however it dies.
 *
 * Joining starts a thread, the party's keeper, which blocks all signals and sleeps until the party
 * is left. The kernel releases what the process holds when that thread dies with it.
 * `region`: writable, shared, and, unless SHMKIT_PARTY_CAN_SHRINK is given, one that cannot shrink.
 * It cannot be closed, -EBUSY, until the party is left.
 * `offset`: of a shm_party_table, or of shm_party_size bytes. Zeros become a table; whoever comes
 * later finds it. Nothing is written to other bytes, which are -EINVAL.
 * `options`: NULL, or flags, slots, cells.
 * Returns 0, or: -EINVAL an argument, a private region, no table; -EACCES the region is read-only;
 * SHMKIT_E_UNSEALED it can shrink; -ENOLCK all slots are taken, or the kernel has no thread for the
 * keeper (RLIMIT_NPROC); -ENOMEM no addresses: the party sets aside as many as the region has
 * (RLIMIT_AS); -ENOSYS before Linux 4.14.
 */
int shm_party_join(struct shm_region *region,
                   size_t offset,
                   const struct shm_party_options *options,
                   struct shm_party **party,
                   struct shm_error *error);

/**
 * Leaves a party; NULL is fine. The handle ends, and nobody may use it or a lock through it.
 *
 * In a child made by fork(), too, it ends the child's own handle alone. Of a party that came with a
 * name it detaches the memory, too.
 * Returns 0, or: -EBUSY through this handle the process has a mutex, a read-write lock for
 * reading or writing, units of a tracked semaphore, or a once that it has begun; or one of its
 * watches waits for something in the region. Then it stays joined. Membership of a barrier, units
 * of other semaphores and events are no reason to stay.
 */
int shm_party_leave(struct shm_party *party);

/**
 * How many bytes a table for so many slots and cells has, 0 for the default; 0 for more than 4096
 * of either.
 */
size_t shm_party_size(uint32_t slots, uint32_t cells);

/**
 * Who is in the party now.
 *
 * `pids`: room for the numbers of the processes, each in its own PID namespace; NULL for none.
 * `room`: for how many.
 * Returns how many there are, of which as many are stored as there is room for, or: -EINVAL.
 */
int shm_party_members(struct shm_party *party, int32_t *pids, size_t room);

/**
 * A number that is another one whenever somebody has joined, left or died since, for shm_party_wait.
 * Take it before you look at what you wait for.
 *
 * Returns 0, or: -EINVAL NULL.
 */
int shm_party_changes(struct shm_party *party,
                      uint32_t *changes);

/**
 * Waits for data and for a death at once: as long as the word has this value, and nobody has joined,
 * left or died since `seen`.
 *
 * Whoever changes the word calls shm_party_wake. Neither call orders memory: change the word by
 * an atomic store (release), and look at it by an atomic load (acquire). To wait for a death
 * alone, give a word that nobody changes. A death in the first 20 ms of a wait is heard of at
 * their end, any other at once.
 * `word`: in the party's region, at a multiple of 4.
 * `seen`: from shm_party_changes.
 * Returns 0 the word has another value, or was woken: look again; SHMKIT_PARTY_CHANGED (1)
 * shm_party_members tells who is left; or: -EINVAL; -ENOLCK in a child made by fork(), at its first
 * use of the party.
 */
int shm_party_wait(struct shm_party *party,
                   const uint32_t *word,
                   uint32_t value,
                   uint32_t seen);

/**
 * shm_party_wait until a deadline, in nanoseconds of CLOCK_MONOTONIC. One in the past looks once.
 *
 * Returns as shm_party_wait, and: -ETIMEDOUT; -EINVAL a negative deadline.
 */
int shm_party_wait_until(struct shm_party *party,
                         const uint32_t *word,
                         uint32_t value,
                         uint32_t seen,
                         int64_t deadline_ns);

/**
 * Wakes those who wait for a word, in shm_party_wait or by FUTEX_WAIT, after it was changed.
 *
 * `word`: in the party's region, at a multiple of 4.
 * `count`: how many at most.
 * Returns how many it woke, or: -EINVAL.
 */
int shm_party_wake(struct shm_party *party, const uint32_t *word, uint32_t count);

/**
 * Makes a lock of zeros, or finds that it is one. Every process that uses it may call this, in any
 * order and at the same time. There is nothing to destroy; its bytes are the lock's as long as
 * anybody is in the party.
 *
 * `mutex`: in the party's region, at a multiple of 8.
 * Returns 1 when it made the lock, 0 when it found it, or: -EINVAL NULL, outside of the region,
 * neither zeros nor a lock, or a lock of another party.
 */
int shm_mutex_init(struct shm_party *party, struct shm_mutex *mutex, struct shm_error *error);

/**
 * Locks, and waits for it as long as need be. The process owns the lock, not the thread: any
 * thread of it may unlock, and a thread that ends releases nothing. So do not unlock after a
 * negative result: another thread of this process may have the lock, and would lose it. Whoever
 * locks sees all that was written before the lock was unlocked, also what a dead owner wrote.
 *
 * When the owner dies, however, or executes another program, the next one gets the lock once
 * nothing of the dead process writes any more, and is told by SHMKIT_OWNER_DIED, which is
 * positive: it repairs what the lock guards and calls shm_mutex_consistent. If it dies before
 * that, the next one is told. A child made by fork() owns nothing of what its parent holds.
 * Returns 0, SHMKIT_OWNER_DIED (1), or, without the lock: -EDEADLK this thread has it (not with
 * SHMKIT_PARTY_ANY_THREAD); -ENOTRECOVERABLE somebody unlocked it without shm_mutex_consistent;
 * -EINVAL NULL, or not a lock of this party; -ENOLCK, -ENOMEM at this process's first use of the
 * lock: no slot or thread for one more keeper, no memory.
 */
int shm_mutex_lock(struct shm_party *party, struct shm_mutex *mutex);

/**
 * shm_mutex_lock until a deadline, in nanoseconds of CLOCK_MONOTONIC. One in the past tries once.
 *
 * Returns as shm_mutex_lock, and: -ETIMEDOUT; -EINVAL a negative deadline.
 */
int shm_mutex_lock_until(struct shm_party *party, struct shm_mutex *mutex, int64_t deadline_ns);

/**
 * Locks if nobody has it.
 *
 * Returns as shm_mutex_lock but for -EDEADLK, and: -EBUSY somebody has it, also this thread; or its
 * owner has died, and still writes.
 */
int shm_mutex_trylock(struct shm_party *party, struct shm_mutex *mutex);

/**
 * Unlocks. After SHMKIT_OWNER_DIED without shm_mutex_consistent nobody can lock it any more, ever.
 *
 * Returns 0, or: -EPERM this process does not own it through this party; -EINVAL NULL, or not a
 * lock of this party.
 */
int shm_mutex_unlock(struct shm_party *party, struct shm_mutex *mutex);

/**
 * Says that what the lock guards is repaired, after SHMKIT_OWNER_DIED. The lock stays locked.
 *
 * Returns 0, or, and nothing has changed: -EINVAL no owner died, or it has been said already;
 * -EPERM this process does not own it through this party, as when another of its threads has
 * unlocked it. Both are mistakes of the program: whoever has the lock from a dead owner never
 * gets them.
 */
int shm_mutex_consistent(struct shm_party *party, struct shm_mutex *mutex);

/**
 * Who owns the lock, which may have changed by the time that the call returns.
 *
 * `pid`: the owner's number, 1 or more, in its own PID namespace. Stays as it is unless the result
 * is 1.
 * Returns 1; 0 when nobody owns it; or: -ESRCH the owner is no member of the party, as one that is
 * dying just now; -EINVAL.
 */
int shm_mutex_owner(struct shm_party *party, const struct shm_mutex *mutex, int32_t *pid);

/**
 * For bindings that lock without a call: the number n by which this process owns the lock, once it
 * has used it, until it leaves the party; 0 before, and in a child made by fork().
 *
 * To lock, change the lock's first 32 bits from 0 to n (acquire). If they were not 0 call
 * shm_mutex_lock; if the second 32 bits are not 0, undo that and call it too. To unlock, change them
 * from n to 0 (release); if they were not n, call shm_mutex_unlock.
 * Returns n, or 0 for what is not a lock of this party.
 */
uint32_t shm_mutex_number(struct shm_party *party,
                          const struct shm_mutex *mutex);

/**
 * Makes a read-write lock of zeros, or finds that it is one. Every process that uses it may call
 * this, in any order and at the same time. There is nothing to destroy; its bytes are the lock's as
 * long as anybody is in the party. It takes one of the cells of the party's table.
 *
 * `rwlock`: in the party's region, at a multiple of 8.
 * Returns 1 when it made the lock, 0 when it found it, or: -EINVAL NULL, outside of the region,
 * neither zeros nor a read-write lock, or one of another party; -ENOLCK the table has no cell left.
 */
int shm_rwlock_init(struct shm_party *party, struct shm_rwlock *rwlock, struct shm_error *error);

/**
 * Opens a read-write lock by its name, or makes it: shm_mutex_open, for a read-write lock.
 *
 * Returns as shm_mutex_open.
 */
int shm_rwlock_open(const char *name,
                    const struct shm_named_options *options,
                    struct shm_party **party,
                    struct shm_rwlock **rwlock,
                    struct shm_error *error);

/**
 * Locks for reading, together with others, and waits as long as need be: until nobody writes, or
 * waits to write. A thread that reads already may read again, also while a writer waits; it unlocks
 * as often. That a thread reads is forgotten for all threads of its process once one thread has
 * unlocked for another, and not known at all with SHMKIT_PARTY_ANY_THREAD, nor of more than four
 * locks that a thread reads at once: then it waits behind the writer, which waits for it.
 *
 * A reader that dies holds up nobody. When a writer dies, or executes another program, the next
 * one is told by SHMKIT_OWNER_DIED (positive), once nothing of the dead process writes any more,
 * and has the lock FOR WRITING, also here, where it asked to read: it repairs what the lock
 * guards, calls shm_rwlock_consistent, and still writes until it unlocks. If it dies before that,
 * the next one is told.
 *
 * Do not unlock after a negative result: another thread of this process may have the lock, and
 * would lose it. Who reads sees all that was written before a writer unlocked; who writes, what
 * readers did before they unlocked, too.
 * Returns 0, SHMKIT_OWNER_DIED (1), or, without the lock: -EDEADLK this thread writes (not with
 * SHMKIT_PARTY_ANY_THREAD); -ENOTRECOVERABLE somebody unlocked it without shm_rwlock_consistent;
 * -EAGAIN this process reads 2147483646 times already; -EINVAL NULL, or not a read-write lock of
 * this party; -ENOLCK, -ENOMEM at this process's first use of the lock: no slot or thread for one
 * more keeper, no memory.
 */
int shm_rwlock_read(struct shm_party *party, struct shm_rwlock *rwlock);

/**
 * shm_rwlock_read until a deadline, in nanoseconds of CLOCK_MONOTONIC. One in the past tries once.
 *
 * Returns as shm_rwlock_read, and: -ETIMEDOUT; -EINVAL a negative deadline.
 */
int shm_rwlock_read_until(struct shm_party *party, struct shm_rwlock *rwlock, int64_t deadline_ns);

/**
 * Locks for reading if nobody writes, or waits to write.
 *
 * Returns as shm_rwlock_read but for -EDEADLK, and: -EBUSY somebody does, also this thread; or a
 * writer has died, and still writes.
 */
int shm_rwlock_tryread(struct shm_party *party, struct shm_rwlock *rwlock);

/**
 * Locks for writing, alone, and waits as long as need be: until those who read now have ended. New
 * readers wait meanwhile, so that a stream of them keeps no writer waiting. The process owns the
 * lock, not the thread.
 *
 * Returns as shm_rwlock_read but for -EAGAIN; -EDEADLK where this thread reads, too, as far as that
 * is known. Not with SHMKIT_PARTY_ANY_THREAD: there it waits for itself.
 */
int shm_rwlock_write(struct shm_party *party, struct shm_rwlock *rwlock);

/**
 * shm_rwlock_write until a deadline, in nanoseconds of CLOCK_MONOTONIC. One in the past tries once.
 *
 * Returns as shm_rwlock_write, and: -ETIMEDOUT; -EINVAL a negative deadline.
 */
int shm_rwlock_write_until(struct shm_party *party, struct shm_rwlock *rwlock, int64_t deadline_ns);

/**
 * Locks for writing if nobody reads or writes.
 *
 * Returns as shm_rwlock_write but for -EDEADLK, and: -EBUSY somebody does, also this thread; or a
 * writer has died, and still writes.
 */
int shm_rwlock_trywrite(struct shm_party *party, struct shm_rwlock *rwlock);

/**
 * Locks for reading if nobody writes, or waits to write; if somebody does, the watch's descriptor
 * becomes readable when it is worth another try. See shm_watch_open. After a writer's death it may take
 * 2 ms.
 *
 * Returns as shm_rwlock_tryread, but -EAGAIN for -EBUSY: the watch waits; and: -EDEADLK this thread
 * writes (not with SHMKIT_PARTY_ANY_THREAD); -EPERM the watch is another process's.
 */
int shm_rwlock_read_watch(struct shm_party *party,
                          struct shm_rwlock *rwlock,
                          struct shm_watch *watch);

/**
 * Locks for writing if nobody reads or writes; if somebody does, the watch's descriptor becomes
 * readable when it is worth another try. See shm_watch_open. After a writer's death it may take 2 ms.
 *
 * Where only readers are in the way, new ones wait from then on as for any writer, until this watch
 * has got the lock: so call shm_watch_cancel to give up, and not only leave the watch alone.
 * Returns as shm_rwlock_trywrite, but -EAGAIN for -EBUSY: the watch waits; and: -EDEADLK this thread
 * reads or writes, as far as that is known; -EPERM the watch is another process's.
 */
int shm_rwlock_write_watch(struct shm_party *party,
                           struct shm_rwlock *rwlock,
                           struct shm_watch *watch);

/**
 * Unlocks what this process has: the writing, or one of its readings. Any of its threads may. After
 * SHMKIT_OWNER_DIED without shm_rwlock_consistent nobody can lock it any more, ever.
 *
 * Returns 0, or: -EPERM this process has it neither for reading nor for writing through this party;
 * -EINVAL NULL, or not a read-write lock of this party.
 */
int shm_rwlock_unlock(struct shm_party *party, struct shm_rwlock *rwlock);

/**
 * Says that what the lock guards is repaired, after SHMKIT_OWNER_DIED. The lock stays locked for
 * writing.
 *
 * Returns 0, or, and nothing has changed: -EINVAL no writer died, or it has been said already;
 * -EPERM this process has it not for writing through this party.
 */
int shm_rwlock_consistent(struct shm_party *party, struct shm_rwlock *rwlock);

/**
 * Makes a condition of zeros, or finds that it is one. Every process that uses it may call this, in
 * any order and at the same time. There is nothing to destroy.
 *
 * `cond`: in the party's region, at a multiple of 8.
 * Returns 1 when it made the condition, 0 when it found it, or: -EINVAL NULL, outside of the region,
 * neither zeros nor a condition, or one of another party.
 */
int shm_cond_init(struct shm_party *party,
                  struct shm_cond *cond,
                  struct shm_error *error);

/**
 * Unlocks a mutex, waits for a signal, and locks the mutex again.
 *
 * It also returns without a signal, as when a process joins the party, leaves it, or dies: so
 * that what a dead process should have said, or has heard, is lost to nobody. Look again at what
 * is waited for, as with any condition. The mutex orders memory: what was written under it before
 * the signal is seen.
 *
 * The mutex is locked after 0, SHMKIT_OWNER_DIED and -ETIMEDOUT, it is not after
 * -ENOTRECOVERABLE, and with any other result it is as it was before the call.
 * Returns what shm_mutex_lock returns: 0, SHMKIT_OWNER_DIED (1: positive), or, without the mutex,
 * -ENOTRECOVERABLE, at once where the caller had the mutex from a dead owner and did not call
 * shm_mutex_consistent. Or, with nothing changed: -EPERM this process does not own the mutex; -EINVAL
 * NULL, or not a condition and a mutex of this party; -ENOLCK, -ENOMEM in a child made by fork(): no
 * slot or thread for its keeper, no memory.
 */
int shm_cond_wait(struct shm_party *party,
                  struct shm_cond *cond,
                  struct shm_mutex *mutex);

/**
 * shm_cond_wait until a deadline, in nanoseconds of CLOCK_MONOTONIC. One in the past unlocks the
 * mutex and locks it again.
 *
 * Returns as shm_cond_wait, and: -ETIMEDOUT with the mutex locked; -EINVAL a negative deadline, with
 * nothing changed. When the deadline is over and the mutex's owner has died, it is SHMKIT_OWNER_DIED.
 */
int shm_cond_wait_until(struct shm_party *party,
                        struct shm_cond *cond,
                        struct shm_mutex *mutex,
                        int64_t deadline_ns);

/**
 * Unlocks the mutex, and lets the watch wait for a signal: -EAGAIN. Its descriptor becomes readable
 * when there was one: see shm_watch_open. Then call again, with the same watch: now it locks the mutex,
 * for which the watch may have to wait as well, so that -EAGAIN comes again. The last call returns
 * what shm_mutex_lock_watch does, with the mutex locked; all before that without it. As after
 * shm_cond_wait, there may have been no signal.
 *
 * shm_watch_cancel ends the wait, with the mutex not locked: lock it then, if need be. Another one
 * who waits gets the signal that this would have got. A wait that is not ended by one of the two goes
 * on with the next call, which unlocks nothing.
 * Returns -EAGAIN the watch waits; or, as the last call, 0, SHMKIT_OWNER_DIED (1: positive), or, without
 * the mutex, -ENOTRECOVERABLE; or, with nothing changed: -EPERM this process does not own the mutex,
 * or the watch is another process's; -EINVAL NULL, or not a condition and a mutex of this party;
 * -ENOLCK, -ENOMEM as shm_cond_wait.
 */
int shm_cond_wait_watch(struct shm_party *party,
                        struct shm_cond *cond,
                        struct shm_mutex *mutex,
                        struct shm_watch *watch);

/**
 * Wakes one who waits, if anybody does. The caller need not own the mutex; what is waited for is to
 * be changed by one who does.
 *
 * A waiter may use the bytes of the condition for something else as soon as it has returned, and
 * nobody else uses the condition: a signal does not touch them any more.
 * Returns 0, or: -EINVAL NULL, or not a condition of this party.
 */
int shm_cond_signal(struct shm_party *party, struct shm_cond *cond);

/**
 * Wakes all who wait.
 *
 * Returns as shm_cond_signal.
 */
int shm_cond_broadcast(struct shm_party *party, struct shm_cond *cond);

/**
 * Makes a semaphore of zeros, or finds that it is one, which has its own number of units then. Every
 * process that uses it may call this, in any order and at the same time. There is nothing to
 * destroy.
 *
 * `semaphore`: in the party's region, at a multiple of 8.
 * `units`: how many there are at first; at most 2147483647. With SHMKIT_SEMAPHORE_TRACKED, where
 * there are never more, at least 1.
 * `flags`: 0, or SHMKIT_SEMAPHORE_TRACKED.
 * Returns 1 when it made the semaphore, 0 when it found it, or: -EINVAL NULL, outside of the region,
 * too many units, unknown flags, neither zeros nor a semaphore of this kind, or one of another party;
 * -ENOLCK a tracked one, and all cells of the party's table are given away (shm_party_options).
 */
int shm_semaphore_init(struct shm_party *party,
                       struct shm_semaphore *semaphore,
                       uint32_t units,
                       uint32_t flags,
                       struct shm_error *error);

/**
 * Opens a semaphore by its name, or makes it: shm_mutex_open, for a semaphore.
 *
 * `units`, `flags`: as for shm_semaphore_init.
 * Returns as shm_mutex_open.
 */
int shm_semaphore_open(const char *name,
                       uint32_t units,
                       uint32_t flags,
                       const struct shm_named_options *options,
                       struct shm_party **party,
                       struct shm_semaphore **semaphore,
                       struct shm_error *error);

/**
 * Takes a unit, and waits for one as long as need be.
 *
 * Who takes a unit sees what was written before it was given.
 *
 * A process that is killed while it waits takes no wake-up with it. The units of a tracked
 * semaphore that a dead process had are there again once nothing of it writes any more; those of
 * another one are gone. Nobody is told: what the unit stood for may be half done, so look at it,
 * or use a mutex.
 * Returns 0, or: -EINVAL NULL, or not a semaphore of this party; -ENOLCK, -ENOMEM at this process's
 * first use of a tracked one: no slot or thread for one more keeper, no memory.
 */
int shm_semaphore_wait(struct shm_party *party, struct shm_semaphore *semaphore);

/**
 * shm_semaphore_wait until a deadline, in nanoseconds of CLOCK_MONOTONIC. One in the past tries once.
 *
 * Returns as shm_semaphore_wait, and: -ETIMEDOUT; -EINVAL a negative deadline.
 */
int shm_semaphore_wait_until(struct shm_party *party,
                             struct shm_semaphore *semaphore,
                             int64_t deadline_ns);

/**
 * Takes a unit if there is one.
 *
 * Returns as shm_semaphore_wait, and: -EAGAIN there is none; or, of a tracked semaphore, a process
 * that takes one was stopped in the middle of that, for 10 ms.
 */
int shm_semaphore_trywait(struct shm_party *party, struct shm_semaphore *semaphore);

/**
 * Takes a unit if there is one; if not, the watch's descriptor becomes readable when it is worth
 * another try, for the units of a dead process, too. See shm_watch_open.
 *
 * Returns as shm_semaphore_wait, and: -EAGAIN there is none, and the watch waits; -EPERM the watch is
 * another process's.
 */
int shm_semaphore_wait_watch(struct shm_party *party,
                             struct shm_semaphore *semaphore,
                             struct shm_watch *watch);

/**
 * Gives a unit, and wakes one who waits.
 *
 * Who waited for a semaphore that is not tracked may use its bytes for something else as soon as it
 * has the unit, and nobody else uses the semaphore: this call does not touch them any more.
 * Returns 0, or: -EOVERFLOW there are 2147483647; -EPERM it is tracked, and this process has no unit
 * of it; -EINVAL NULL, or not a semaphore of this party.
 */
int shm_semaphore_post(struct shm_party *party,
                       struct shm_semaphore *semaphore);

/**
 * How many units there are to be taken, which may have changed by the time that the call returns.
 *
 * Returns 0 or more, or: -EINVAL NULL, or not a semaphore of this party.
 */
int shm_semaphore_value(struct shm_party *party, const struct shm_semaphore *semaphore);

/**
 * Makes a barrier of zeros, or finds that it is one, and makes this process a member of it until
 * it leaves the party. Every process that will wait calls this before, in any order and at the
 * same time: a member that dies is told to the others; one that dies before it was a member is
 * not, and the others wait for it. A child made by fork() is no member by its parent's call: it
 * calls this, or waits, itself. There is nothing to destroy; its bytes are the barrier's as long
 * as anybody is in the party. It takes one of the cells of the party's table.
 *
 * `barrier`: in the party's region, at a multiple of 8.
 * `count`: how many threads, of any processes, wait for each other: 1 to 1048575. The same for
 * all, and for ever: who leaves the party does not make it less.
 * Returns 1 when it made the barrier, 0 when it found it, or: -EINVAL NULL, outside of the region,
 * neither zeros nor a barrier, one of another party or for another count, or a count out of range;
 * -ENOLCK the table has no cell left.
 */
int shm_barrier_init(struct shm_party *party,
                     struct shm_barrier *barrier,
                     uint32_t count,
                     struct shm_error *error);

/**
 * Waits until as many threads wait as the barrier is for. Then all go on, and the barrier begins
 * anew. Each sees what all of them had written before they waited.
 *
 * When a member dies, all threads that wait are told by SHMKIT_E_PEER_DIED, once nothing of the
 * dead process writes any more. Nobody has passed then, and the barrier begins anew. A process
 * none of whose threads waited just then is told by the first of them that waits next, instead of
 * waiting. Several deaths can be told as one.
 * To leave the party is not to die, and nobody is told; but the barrier is for as many as before,
 * so the others wait until another one comes. To end without leaving is to die.
 * Returns SHMKIT_BARRIER_SERIAL (1) in one of the threads, 0 in the others, or: SHMKIT_E_PEER_DIED;
 * -EINVAL NULL, or not a barrier of this party; -ENOLCK in a child made by fork(), at its first use
 * of the party: no slot or thread for its keeper.
 */
int shm_barrier_wait(struct shm_party *party, struct shm_barrier *barrier);

/**
 * shm_barrier_wait until a deadline, in nanoseconds of CLOCK_MONOTONIC. One in the past tries once.
 *
 * Returns as shm_barrier_wait, and: -ETIMEDOUT, and it is as if this thread had never waited;
 * -EINVAL a negative deadline.
 */
int shm_barrier_wait_until(struct shm_party *party,
                           struct shm_barrier *barrier,
                           int64_t deadline_ns);

/**
 * Goes on if the others are there. If they are not, this has arrived, as one thread more that waits,
 * and the watch's descriptor becomes readable when the round may have ended: see shm_watch_open. Then
 * call again, with the same watch: it goes on with the arrival, and does not arrive again. A death may
 * make a call take 2 ms.
 *
 * shm_barrier_cancel_watch ends the wait before. To use the watch for something else, or to close it,
 * takes the arrival back, too, but tells nobody whether the round had ended.
 * Returns as shm_barrier_wait, and: -EAGAIN the watch waits; -EPERM the watch is another process's.
 */
int shm_barrier_wait_watch(struct shm_party *party,
                           struct shm_barrier *barrier,
                           struct shm_watch *watch);

/**
 * Gives up a wait of shm_barrier_wait_watch. Whoever gives up has not waited, for the others either;
 * unless the round had ended just before: then this says how, as shm_barrier_wait_watch would have.
 *
 * What the watch waited for is given up in any case, also if that was something else. A death that
 * nobody was told of yet is told by the next wait.
 * Returns -ECANCELED: given up, or the watch did not wait for this barrier; or 0, SHMKIT_E_PEER_DIED:
 * so the round had ended (the one who came last has SHMKIT_BARRIER_SERIAL, so a watch that has waited
 * has not); or: -EINVAL, and the watch waits on; -EPERM the watch is another process's.
 */
int shm_barrier_cancel_watch(struct shm_party *party,
                             struct shm_barrier *barrier,
                             struct shm_watch *watch);

/**
 * Makes it of zeros, or finds that it is one. Every process that uses it may call this, in any order
 * and at the same time. There is nothing to destroy; its bytes are its own as long as anybody is in
 * the party.
 *
 * `once`: in the party's region, at a multiple of 8.
 * Returns 1 when it made it, 0 when it found it, or: -EINVAL NULL, outside of the region, neither
 * zeros nor one, or one of another party.
 */
int shm_once_init(struct shm_party *party,
                  struct shm_once *once,
                  struct shm_error *error);

/**
 * Opens a once by its name, or makes it: shm_mutex_open, for a once.
 *
 * Returns as shm_mutex_open.
 */
int shm_once_open(const char *name,
                  const struct shm_named_options *options,
                  struct shm_party **party,
                  struct shm_once **once,
                  struct shm_error *error);

/**
 * Tells whether there is something to do, and waits while another one does it.
 *
 * With a positive result, and so test for > 0, the caller does it, and then calls shm_once_end.
 * When it dies before that, the next one is to do it.
 * Returns 0 it is done, and what was written for it can be seen; SHMKIT_ONCE_RUN (2) do it;
 * SHMKIT_OWNER_DIED (1) do it, and one who had begun has died: what it did may be half done. Or:
 * -EDEADLK this thread has begun it (not with SHMKIT_PARTY_ANY_THREAD); -EINVAL NULL, or none of
 * this party; -ENOLCK, -ENOMEM at this process's first use of it: no slot or thread for one more
 * keeper, no memory.
 */
int shm_once_begin(struct shm_party *party, struct shm_once *once);

/**
 * shm_once_begin until a deadline, in nanoseconds of CLOCK_MONOTONIC. One in the past tries once.
 *
 * Returns as shm_once_begin, and: -ETIMEDOUT; -EINVAL a negative deadline.
 */
int shm_once_begin_until(struct shm_party *party, struct shm_once *once, int64_t deadline_ns);

/**
 * Tells whether there is something to do; while another one does it, the watch's descriptor becomes
 * readable when it is worth another try. See shm_watch_open. After a death it may take 2 ms.
 *
 * Returns as shm_once_begin, and: -EAGAIN another one does it, and the watch waits; -EPERM the watch
 * is another process's.
 */
int shm_once_begin_watch(struct shm_party *party,
                         struct shm_once *once,
                         struct shm_watch *watch);

/**
 * Says how it went, after shm_once_begin with a positive result. What was written before is seen
 * by whoever is told that it is done, or that it is to be done again.
 *
 * `done`: no status, where 0 would be success: 1 it is done, for ever, as is any number but 0; 0
 * it could not be done, and the next one who begins is to do it.
 * Returns 0, or: -EPERM this process has not begun it through this party; -EINVAL NULL, or none of
 * this party.
 */
int shm_once_end(struct shm_party *party, struct shm_once *once, int done);

/**
 * Makes an event of zeros, which is not set, or finds that it is one. Every process that uses it may
 * call this, in any order and at the same time. There is nothing to destroy; its bytes are the
 * event's as long as anybody is in the party.
 *
 * `event`: in the party's region, at a multiple of 8.
 * `flags`: 0, an event that stays set until it is reset; or SHMKIT_EVENT_AUTO_RESET.
 * Returns 1 when it made the event, 0 when it found it, or: -EINVAL NULL, outside of the region,
 * unknown flags, neither zeros nor an event of this kind, or an event of another party.
 */
int shm_event_init(struct shm_party *party,
                   struct shm_event *event,
                   uint32_t flags,
                   struct shm_error *error);

/**
 * Opens an event by its name, or makes it: shm_mutex_open, for an event.
 *
 * `flags`: as for shm_event_init.
 * Returns as shm_mutex_open.
 */
int shm_event_open(const char *name,
                   uint32_t flags,
                   const struct shm_named_options *options,
                   struct shm_party **party,
                   struct shm_event **event,
                   struct shm_error *error);

/**
 * Sets the event: all who wait pass, and all who come, until it is reset; of an automatic one, one of
 * them. Whoever passes sees what was written before. It costs a system call only where somebody waits.
 *
 * Returns 0, or: -EINVAL NULL, or not an event of this party.
 */
int shm_event_set(struct shm_party *party,
                  struct shm_event *event);

/**
 * Resets the event: from now on those who come wait.
 *
 * Returns 1 when it was set, 0 when it was not, or: -EINVAL.
 */
int shm_event_reset(struct shm_party *party, struct shm_event *event);

/**
 * Whether the event is set. Unlike a wait it takes nothing from an automatic one.
 *
 * Returns 1, 0, or: -EINVAL.
 */
int shm_event_is_set(struct shm_party *party, const struct shm_event *event);

/**
 * Waits as long as need be until the event is set. An automatic one is then not set any more.
 * Whoever sleeps when a manual one is set passes, even if it is reset at once. What was written
 * before the event was set is seen.
 *
 * That the process dies which was to set the event is not noticed: where that can be, wait until
 * a deadline, or use a barrier, or shm_party_wait. A waiter that is killed takes no wake-up with
 * it: what it has not passed, another one passes.
 * Returns 0, or: -EINVAL NULL, or not an event of this party.
 */
int shm_event_wait(struct shm_party *party, struct shm_event *event);

/**
 * shm_event_wait until a deadline, in nanoseconds of CLOCK_MONOTONIC. One in the past tries once.
 *
 * Returns as shm_event_wait, and: -ETIMEDOUT; -EINVAL a negative deadline.
 */
int shm_event_wait_until(struct shm_party *party, struct shm_event *event, int64_t deadline_ns);

/**
 * Passes if the event is set; if not, the watch's descriptor becomes readable when it is worth
 * another try. See shm_watch_open.
 *
 * Returns 0, or: -EAGAIN it is not set, and the watch waits; -EPERM the watch is another process's;
 * -EINVAL NULL, or not an event of this party.
 */
int shm_event_wait_watch(struct shm_party *party, struct shm_event *event, struct shm_watch *watch);

/**
 * ---- Locks and descriptors --------------------------------------------------------------
 *
 * Opens a watch: an eventfd, for programs that wait for descriptors (poll, epoll, the runtime of a
 * language) and cannot sleep in a lock.
 *
 * A call that takes a watch never waits. Where it would, it lets the watch wait instead, and returns
 * -EAGAIN. The watch's descriptor becomes readable when it is worth another try: make the same call
 * again, with the same watch. Readable means no more than that; -EAGAIN may come again. It stays
 * readable until the next call with this watch, whatever that returns; to read it is fine, and not
 * necessary. So epoll may be level- or edge-triggered, and each -EAGAIN re-arms the watch.
 *
 * A watch waits for one thing at a time: to use it for another, or for another lock, gives up the
 * first. Do not let it be readable for long without a call: like a thread that was woken and does not
 * run it can be the only one that an unlock has woken, and the others wait for a second then.
 *
 * A thread of the library serves up to 127 watches: it starts with the first of them, blocks all
 * signals, and ends with the last. A watch does not go with the region or party: the same one serves
 * for any, and while it waits for something in a party, shm_party_leave is -EBUSY. In a child made
 * by fork() a watch is of no use but to be closed; it opens its own.
 * Returns 0, or: -EINVAL; -EMFILE no descriptor is free, or 8128 watches are open; -EAGAIN the kernel
 * has no thread (RLIMIT_NPROC); -ENOMEM.
 */
int shm_watch_open(struct shm_watch **watch,
                   struct shm_error *error);

/**
 * The watch's descriptor, close-on-exec and non-blocking. It is the watch's: to give it to somebody who
 * closes it, duplicate it.
 *
 * Returns the number, or: -EINVAL NULL.
 */
int shm_watch_fd(const struct shm_watch *watch);

/**
 * Makes the watch's descriptor readable when a word of the region has another value; at once if it has.
 *
 * The program that changes the word must wake for it: shm_party_wake (party, word, UINT32_MAX),
 * or FUTEX_WAKE, not private. Otherwise the descriptor stays as it is.
 * `word`: in the party's region, at a multiple of 4.
 * Returns 0, or: -EPERM the watch is another process's; -EINVAL.
 */
int shm_watch_word(struct shm_party *party,
                   const uint32_t *word,
                   uint32_t value,
                   struct shm_watch *watch);

/**
 * Gives up what the watch waits for; the descriptor is not readable any more. Whoever stops to wait
 * for a lock calls this (or closes the watch), so that another one gets the wake-up.
 *
 * Returns 0, or: -EPERM it is another process's; -EINVAL NULL.
 */
int shm_watch_cancel(struct shm_watch *watch);

/**
 * Gives up what the watch waits for, and closes its descriptor; NULL is fine.
 *
 * Returns 0.
 */
int shm_watch_close(struct shm_watch *watch);

/**
 * Locks if nobody has it; else the watch's descriptor becomes readable when it is worth another try.
 * See shm_watch_open. After the owner's death it may take 2 ms.
 *
 * Returns as shm_mutex_trylock, SHMKIT_OWNER_DIED (1) included, but -EAGAIN for -EBUSY: the watch
 * waits, also for a mutex that this thread has; and: -EPERM the watch is another process's.
 */
int shm_mutex_lock_watch(struct shm_party *party,
                         struct shm_mutex *mutex,
                         struct shm_watch *watch);

/**
 * ---- Locks by name ----------------------------------------------------------------------
 *
 * Opens a mutex by its name, or makes it: for programs that want a lock, and not a region.
 *
 * The lock lies in a System V segment of its own, which cannot shrink, and which any process of this
 * IPC namespace finds by a key made of the name. Who races to make it, or dies while he does, keeps
 * nobody from it. It stays until shm_named_unlink, or the machine's restart.
 *
 * `name`: 1 to 255 bytes, compared one by one. All kinds of objects share the names.
 * `options`: NULL, or flags, mode, slots, cells.
 * `party`: the membership that comes with it, for the calls on the lock. shm_party_leave ends it,
 * and detaches the segment.
 * `mutex`: where the lock is, until then.
 * Returns 0, or: -EINVAL an argument, or the name is that of another kind of object; -ENAMETOOLONG;
 * -ENOENT with SHMKIT_NAMED_FIND; -EPERM it is another user's, not this one's or root's; -EACCES its
 * mode forbids it; -EAGAIN somebody has begun to make it, and is not done after a second;
 * SHMKIT_E_COLLISION others have all keys of this name; -ENOSPC, -ENOMEM; and as shm_party_join.
 */
int shm_mutex_open(const char *name,
                   const struct shm_named_options *options,
                   struct shm_party **party,
                   struct shm_mutex **mutex,
                   struct shm_error *error);

/**
 * Takes a name away, of whatever kind. Who has it open keeps what he has; the next who opens it makes
 * another one, and both have the lock then, each his own. So unlink only when nobody uses it.
 *
 * Returns 0, or: -ENOENT; -EINVAL; -ENAMETOOLONG; -EPERM it is another user's; -EACCES.
 */
int shm_named_unlink(const char *name,
                     struct shm_error *error);

/**
 * ---- What the kernel knows --------------------------------------------------------------
 *
 * The calls that list something take a picture and store a handle at `list`; the calls that get
 * something read from it, by number from 0, and answer 1, or 0 behind the last. The list is the
 * caller's to free, with shm_list_free; its strings live until then. A list never changes, so any
 * thread may read it. What may not be seen never fails the rest: shm_gap_get tells why there may
 * be more.
 *
 * All limits that shared memory meets, each with its use and the place where it is set.
 *
 * Returns 0, or: -EINVAL NULL.
 */
int shm_limits_list(struct shm_list **list, struct shm_error *error);

/**
 * The limit of a number in a list of shm_limits_list.
 *
 * `limit`, `limit_size`: the caller's struct and its sizeof, as for shm_sysv_stat.
 * Returns 1, or: 0 there are no more; -EINVAL an argument.
 */
int shm_limit_get(const struct shm_list *list,
                  size_t index,
                  struct shm_limit *limit,
                  size_t limit_size);

/**
 * The limit of a name, such as "kernel.shmmax".
 *
 * Returns 1, or: 0 there is none of this name; -EINVAL an argument.
 */
int shm_limit_find(const struct shm_list *list,
                   const char *name,
                   struct shm_limit *limit,
                   size_t limit_size);

/**
 * Tells whether a region would fit before it is made: nothing is made, and no memory is reserved.
 *
 * `kind`: SHMKIT_KIND_MEMFD, _ANONYMOUS, _FILE, _POSIX or _SYSV. `path`: of a file, else NULL.
 * `size`: in bytes. `options`: those of the call that would make it. What it refuses is refused
 * here with the same code and sentence; OR_OPEN and REPLACE are taken as if there were none yet.
 * Returns 0, or the code that making it would end with, and `error` says which limit stands in the
 * way, its value, and where it is set: -EINVAL also an argument; -ENOSPC; -ENOMEM also addresses,
 * and memory that the kernel would promise and then kill for, because a control group or the
 * machine has less; -EFBIG; -EMFILE; -EPERM; -EBUSY; -EOPNOTSUPP no huge pages of this size here;
 * SHMKIT_E_ON_DISK; SHMKIT_E_SHRUNK; for a file, what its directory answers, and -EEXIST. A limit
 * that cannot be read stands in nobody's way, nor does the largest file that a file system knows.
 */
int shm_fits(int kind,
             const char *path,
             uint64_t size,
             const struct shm_region_options *options,
             struct shm_error *error);

/**
 * Shared objects of the machine, as far as this process may see them. System V objects are those
 * of its own IPC namespace.
 *
 * `select`: SHMKIT_SELECT_… together. _FILES is for shm_objects_list_of. What only processes tell
 * (_MEMFDS, _ANONYMOUS, _HOLDERS) takes one look at every process.
 * Returns 0, or: -EINVAL an argument.
 */
int shm_objects_list(uint32_t select, struct shm_list **list, struct shm_error *error);

/**
 * What one process has, with the ways in which it has it.
 *
 * Returns 0, or: -EINVAL an argument; -ESRCH no such process; -EACCES it may not be looked into.
 */
int shm_objects_list_of(int32_t pid,
                        uint32_t select,
                        struct shm_list **list,
                        struct shm_error *error);

/**
 * A region's object alone, and all who have it.
 *
 * `select`: 0 or SHMKIT_SELECT_HOLDERS; or _DESCRIPTORS or _MAPPINGS, for those who have it in that
 * way alone.
 * Returns 0, or: -EINVAL an argument; what the kernel answers.
 */
int shm_region_holders(const struct shm_region *region,
                       uint32_t select,
                       struct shm_list **list,
                       struct shm_error *error);

/**
 * The object of a number in a list of objects or leftovers.
 *
 * `object`, `object_size`: the caller's struct and its sizeof, as for shm_sysv_stat.
 * Returns 1, or: 0 there are no more; -EINVAL an argument.
 */
int shm_object_get(const struct shm_list *list,
                   size_t index,
                   struct shm_object *object,
                   size_t object_size);

/**
 * One of those who have an object, where the list was asked for them.
 *
 * `object`: the object's number. `index`: the holder's, from 0 for each object.
 * Returns 1, or: 0 there are no more; -EINVAL an argument.
 */
int shm_holder_get(const struct shm_list *list,
                   size_t object,
                   size_t index,
                   struct shm_holder *holder,
                   size_t holder_size);

/**
 * Why there may be more objects, holders or leftovers than the list has.
 *
 * Returns 1, or: 0 there are no more, so without any the list is complete; -EINVAL an argument.
 */
int shm_gap_get(const struct shm_list *list, size_t index, struct shm_gap *gap, size_t gap_size);

/**
 * Segments and POSIX objects that nobody has: the kernel counts who is attached, and tells an
 * object's owner whether it is open or mapped anywhere, also in containers and under way in a
 * socket. That alone does not make them garbage: a name may be meant to wait for its next user.
 *
 * Behind them come those of which it cannot be told. shm_object_get has the objects,
 * shm_leftover_get the reasons.
 * Returns 0, or: -EINVAL NULL.
 */
int shm_leftovers_list(struct shm_list **list, struct shm_error *error);

/**
 * The reason for an object in a list of shm_leftovers_list.
 *
 * Returns 1, or: 0 there are no more; -EINVAL an argument.
 */
int shm_leftover_get(const struct shm_list *list,
                     size_t index,
                     struct shm_leftover *leftover,
                     size_t leftover_size);

/**
 * Tells whether shm_leftover_remove would remove an object now.
 *
 * Returns as shm_leftover_remove, and removes nothing.
 */
int shm_leftover_check(const struct shm_list *list, size_t index, struct shm_error *error);

/**
 * As shm_leftover_remove, but also what somebody has: they keep its memory, and nobody else finds
 * it. It may have been written to since it was listed.
 *
 * Returns as shm_leftover_remove, but not -EBUSY for what is in use.
 */
int shm_leftover_remove_in_use(const struct shm_list *list, size_t index, struct shm_error *error);

/**
 * Removes an object of shm_leftovers_list, if it still is the one that was listed and nobody has
 * it.
 *
 * Returns 0, or: -EINVAL an argument; -EBUSY it is in use, or that cannot be told; -EPERM another
 * user's; -ESTALE it was changed since, or another object stands there; -ENOENT it is gone; -EAGAIN
 * another process has held the lock on /dev/shm for a second.
 */
int shm_leftover_remove(const struct shm_list *list, size_t index, struct shm_error *error);

/**
 * What is set up on this machine so that shared memory surprises: all that is known, whether it
 * applies or not, each with the remedy.
 *
 * Returns 0, or: -EINVAL NULL.
 */
int shm_traps_list(struct shm_list **list, struct shm_error *error);

/**
 * The trap of a number in a list of shm_traps_list.
 *
 * Returns 1, or: 0 there are no more; -EINVAL an argument.
 */
int shm_trap_get(const struct shm_list *list,
                 size_t index,
                 struct shm_trap *trap,
                 size_t trap_size);

/**
 * Tells which pages of a range are in memory, page by page: whole pages, as far as the range
 * touches them. Looking touches none.
 *
 * `offset`, `length`: in bytes. `list`: shm_run_get has the runs of pages, without gaps.
 * Returns 0, or: 1 only what this process has touched itself is told, because it may not write to
 * the file, or the pages are from a pool; -EINVAL an argument; -ERANGE beyond the region; what the
 * kernel answers.
 */
int shm_region_residency(const struct shm_region *region,
                         size_t offset,
                         size_t length,
                         struct shm_list **list,
                         struct shm_error *error);

/**
 * The run of a number in a list of shm_region_residency.
 *
 * Returns 1, or: 0 there are no more; -EINVAL an argument.
 */
int shm_run_get(const struct shm_list *list, size_t index, struct shm_run *run, size_t run_size);

/**
 * Reads what a region takes in this process: the sums over its mappings in /proc/self/smaps.
 *
 * `usage`, `usage_size`: the caller's struct and its sizeof, as for shm_sysv_stat.
 * Returns 0, or: -EINVAL an argument; -ENOENT and others: /proc cannot be read.
 */
int shm_region_usage(const struct shm_region *region,
                     struct shm_usage *usage,
                     size_t usage_size,
                     struct shm_error *error);

/**
 * Reads what a process has mapped between two addresses: the figures of /proc/PID/smaps. A holder's
 * mapping (shm_holder) has such addresses.
 *
 * `pid`: also this process, for one mapping of a region alone. `start`, `length_bytes`: mappings
 * that they touch count whole. `usage`, `usage_size`: as for shm_region_usage.
 * Returns 0, or: -EINVAL an argument; -ENOENT nothing is mapped there, or there is no such process;
 * -EACCES it may not be looked into; -ESRCH it has just ended.
 */
int shm_process_usage(int32_t pid,
                      uint64_t start,
                      uint64_t length_bytes,
                      struct shm_usage *usage,
                      size_t usage_size,
                      struct shm_error *error);

/**
 * The file system that a region's object lies on, with its free space.
 *
 * `list`: shm_file_system_get has it.
 * Returns 0, or: -EINVAL an argument; what the kernel answers.
 */
int shm_region_file_system(const struct shm_region *region,
                           struct shm_list **list,
                           struct shm_error *error);

/**
 * The file system in a list of shm_region_file_system; there is one.
 *
 * Returns 1, or: 0 in another list; -EINVAL an argument.
 */
int shm_file_system_get(const struct shm_list *list,
                        struct shm_file_system *file_system,
                        size_t file_system_size);

/**
 * Frees a list, and with it the strings that were read from it. NULL is fine.
 */
void shm_list_free(struct shm_list *list);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SHMKIT_H */

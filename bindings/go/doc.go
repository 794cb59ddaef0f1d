// Package shmkit is shared memory for Go programs on Linux: memory that several processes map, made by
// any mechanism the kernel has, behind one type, Region. The other processes may be Go, C or Rust
// programs, or know nothing of shmkit. It calls the C library libshmkit.
//
//	Create                     memfd: nameless, sealed, to be handed over. The one to begin with.
//	CreateFile, OpenFile       a file: the bytes outlive the machine's restart
//	CreatePOSIX, OpenPOSIX     a name that any process may open, gone with a restart
//	CreateSysV, AttachSysV     a System V segment, for programs that use shmget
//	FromFile                   any open file, also one that a parent has left open
//	CreateAnonymous            memory outside of Go's heap
//
// SendRegion and RecvRegion hand a region to another process over a Unix socket; the receiver checks it
// before it maps it, so neither has to trust the other.
//
// # Access
//
// ReadAt and WriteAt copy, and no call of C is in them: 64 bytes cost less than an empty one. Load and
// Store copy one value. Bytes, View and Slice lend the memory itself to a callback, which sees what
// others write at once. A peer that truncates a file would end the process by SIGBUS; in all of these it
// is ErrShrunk.
//
// The memory is not Go's: the garbage collector does not look into it, and no pointer may lie there.
// The order of writes does not come with it: use sync/atomic on fields of shared structs, or locks.
//
// # Closing
//
// A region stays mapped until Close, which waits for running calls and callbacks; whoever comes later
// gets ErrClosed. So no view can dangle, but one that a callback has kept: the build tag shmkit_debug,
// for tests, makes its next use end the program there. UnsafeBytes is for those who need more.
//
// # Semaphores and queues
//
// SysVSemaphores and SysVQueue are System V's, by the same keys as its segments. A semaphore that was
// taken with Undo goes back when its process ends, however it ends.
//
// # Locks
//
// Region.Join makes the process a member of a Party: of those who share locks in a region, also from C and
// Rust. There are Mutex, RWMutex, Cond, Semaphore, Barrier, Event and Once. What a process had that dies
// comes back, and the next one is told. OpenMutex, OpenRWMutex, OpenSemaphore, OpenEvent and OpenOnce need a name
// and no region; a Cond and a Barrier lie in one.
//
// # Waiting
//
// What waits for a socket waits in Go's netpoller, until its context ends, and holds no thread. So does what
// waits for a lock of a Party. What waits for a System V semaphore or queue tries, with pauses that grow to
// 4 milliseconds, and holds none either.
//
// # Inspection
//
// Region.Holders tells who has a region, Residency which of its pages are in memory, Usage what it takes
// here, FileSystem where it lies; Fits whether one could be made. What the kernel knows beyond regions is
// in package shmkit/inspect: limits, the objects of the machine, leftovers.
//
// # Building
//
// cgo and a C compiler are needed. The sources that `make install` brings find the library by
// pkg-config; the build tag shmkit_static takes the static library into the program.
package shmkit

package shmkit

import (
	"io/fs"
	"syscall"
	"unsafe"

	"shmkit/internal/capi"
)

// NamedOption says how to open a lock by its name: NamedFind, NamedAnyOwner, NamedMode.
type NamedOption func(*namedSettings)

type namedSettings struct {
	flags uint32
	mode  fs.FileMode
}

// NamedFind opens only what is there: ENOENT if nothing is.
func NamedFind() NamedOption {
	return func(s *namedSettings) { s.flags |= capi.NamedFind }
}

// NamedAnyOwner opens also what another user has made, who can write to it whatever he likes.
func NamedAnyOwner() NamedOption {
	return func(s *namedSettings) { s.flags |= capi.NamedAnyOwner }
}

// NamedMode sets the permission bits of a new one, whatever the umask; without it they are 0600. Whoever is to
// use the lock needs both reading and writing.
func NamedMode(permissions fs.FileMode) NamedOption {
	return func(s *namedSettings) { s.mode = permissions }
}

// OpenMutex opens the lock of this name, or makes it: for programs that want a lock, and not a region. It lies
// in a System V segment of its own, which any process of this IPC namespace finds, also those that are written
// in C and Rust, and which stays until UnlinkNamed, or the machine's restart.
//
// A name has 1 to 255 bytes; all kinds of objects share the names. repair is what it is for Party.Mutex.
// Mutex.Close ends the use.
//
// Errors: EINVAL (also the name of another kind of object, and no repair); ENAMETOOLONG; ENOENT (NamedFind);
// EPERM (it is another user's, not this one's or root's); EACCES; EAGAIN (its maker is not done after a second);
// ErrCollision (others have all keys of this name); ENOSPC; ENOMEM; ENOLCK.
func OpenMutex(name string, repair func() error, options ...NamedOption) (*Mutex, error) {
	const op = "OpenMutex"
	if repair == nil {
		return nil, refused(op, syscall.EINVAL, "no function repairs what a dead owner leaves")
	}
	p, at, err := openNamed(op, name, options, func(flags, mode uint32) (capi.Party, unsafe.Pointer, *capi.Failure) {
		return capi.OpenMutex(name, flags, mode)
	})
	if err != nil {
		return nil, err
	}
	return &Mutex{party: p, word: (*uint32)(at), state: (*uint32)(unsafe.Add(at, 4)), repair: repair}, nil
}

// OpenEvent is OpenMutex, for an event; autoReset is what it is for Party.Event. Event.Close ends the use.
func OpenEvent(name string, autoReset bool, options ...NamedOption) (*Event, error) {
	kind := uint32(0)
	if autoReset {
		kind = capi.EventAutoReset
	}
	p, at, err := openNamed("OpenEvent", name, options, func(flags, mode uint32) (capi.Party, unsafe.Pointer, *capi.Failure) {
		return capi.OpenEvent(name, kind, flags, mode)
	})
	if err != nil {
		return nil, err
	}
	return &Event{party: p, at: at}, nil
}

// OpenRWMutex is OpenMutex, for a lock that many have for reading; repair is what it is for Party.RWMutex.
// RWMutex.Close ends the use.
func OpenRWMutex(name string, repair func() error, options ...NamedOption) (*RWMutex, error) {
	const op = "OpenRWMutex"
	if repair == nil {
		return nil, refused(op, syscall.EINVAL, "no function repairs what a dead writer leaves")
	}
	p, at, err := openNamed(op, name, options, func(flags, mode uint32) (capi.Party, unsafe.Pointer, *capi.Failure) {
		return capi.OpenRWLock(name, flags, mode)
	})
	if err != nil {
		return nil, err
	}
	return &RWMutex{party: p, at: at, repair: repair}, nil
}

// OpenSemaphore is OpenMutex, for a semaphore; units and tracked are what they are for Party.Semaphore.
// Semaphore.Close ends the use.
func OpenSemaphore(name string, units int, tracked bool, options ...NamedOption) (*Semaphore, error) {
	const op = "OpenSemaphore"
	kind, err := semaphoreKind(op, units, tracked)
	if err != nil {
		return nil, err
	}
	p, at, err := openNamed(op, name, options, func(flags, mode uint32) (capi.Party, unsafe.Pointer, *capi.Failure) {
		return capi.OpenSemaphore(name, uint32(units), kind, flags, mode)
	})
	if err != nil {
		return nil, err
	}
	return &Semaphore{party: p, at: at}, nil
}

// OpenOnce is OpenMutex, for a once. Once.Close ends the use.
func OpenOnce(name string, options ...NamedOption) (*Once, error) {
	p, at, err := openNamed("OpenOnce", name, options, func(flags, mode uint32) (capi.Party, unsafe.Pointer, *capi.Failure) {
		return capi.OpenOnce(name, flags, mode)
	})
	if err != nil {
		return nil, err
	}
	return &Once{party: p, at: at}, nil
}

// UnlinkNamed takes a name away, of whatever kind. Who has it open keeps what he has; the next who opens it
// makes another one.
//
// Errors: ENOENT, EINVAL, ENAMETOOLONG, EACCES, EPERM (it is another user's).
func UnlinkNamed(name string) error {
	const op = "UnlinkNamed"
	if err := noNUL(op, "the name", name); err != nil {
		return err
	}
	return failure(op, capi.UnlinkNamed(name))
}

// Close ends the use of a lock that OpenMutex has opened; to close again does nothing. EBUSY while this process
// has the lock or waits for it, EINVAL for a lock in a region: Party.Leave.
func (m *Mutex) Close() error { return m.party.close() }

// Close ends the use of an event that OpenEvent has opened, as Mutex.Close does.
func (e *Event) Close() error { return e.party.close() }

// Close ends the use of a lock that OpenRWMutex has opened, as Mutex.Close does.
func (m *RWMutex) Close() error { return m.party.close() }

// Close ends the use of a semaphore that OpenSemaphore has opened, as Mutex.Close does; EBUSY, too, while this
// process has a unit of a tracked one.
func (s *Semaphore) Close() error { return s.party.close() }

// Close ends the use of a once that OpenOnce has opened, as Mutex.Close does.
func (o *Once) Close() error { return o.party.close() }

func openNamed(op, name string, options []NamedOption, open func(flags, mode uint32) (capi.Party, unsafe.Pointer, *capi.Failure)) (*Party, unsafe.Pointer, error) {
	if err := noNUL(op, "the name", name); err != nil {
		return nil, nil, err
	}
	var s namedSettings
	for _, option := range options {
		if option == nil {
			return nil, nil, refused(op, syscall.EINVAL, "an option is nil")
		}
		option(&s)
	}
	if s.mode&^fs.ModePerm != 0 {
		return nil, nil, refused(op, syscall.EINVAL, "mode %v has more than permission bits", s.mode)
	}
	forceGC()
	handle, at, f := open(s.flags, uint32(s.mode))
	if f != nil {
		return nil, nil, failure(op, f)
	}
	return &Party{handle: handle, named: true}, at, nil
}

func (p *Party) close() error {
	if !p.named {
		return refused("Close", syscall.EINVAL, "it lies in a region, and has no name")
	}
	return p.leave("Close")
}

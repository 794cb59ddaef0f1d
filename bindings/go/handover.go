package shmkit

import (
	"context"
	"os"
	"syscall"

	"shmkit/internal/capi"
)

// FilesMax is how many descriptors one message can carry at most.
const FilesMax = 253

// SendRegion hands a region to the process at the other end of a Unix socket: its descriptor, and a
// frame of 64 bytes that says what it is. The region stays the caller's, who may close it, and the
// connection, right afterwards.
//
// The receiver gets the rights that the region has; PublishReadOnly before, and it gets it for reading,
// kept so by the kernel.
//
// conn is a *net.UnixConn, an *os.File of a socket that does not block, or what RawConn returns, of type
// SOCK_SEQPACKET or SOCK_STREAM. A wait ends with ctx, and then nothing was sent; no thread is held
// meanwhile. Several goroutines may wait on one conn, each under its own ctx. To end a wait, the deadline
// of conn is used, and none is set afterwards: give limits by ctx, not by conn.SetDeadline.
//
// Errors: EPIPE, ECONNRESET (the peer is gone); ETOOMANYREFS (more descriptors are in flight than
// RLIMIT_NOFILE: try again when some have arrived); EOPNOTSUPP (a kind without a descriptor, or a
// private writable region); ErrUnenforceable.
func SendRegion(ctx context.Context, conn syscall.Conn, region *Region) error {
	const op = "SendRegion"
	if err := region.enter(op); err != nil {
		return err
	}
	defer region.leave()
	return exchange(ctx, op, conn, toSend, func(socket int) *capi.Failure {
		return capi.SendRegion(socket, region.held.Handle)
	})
}

// RecvRegion receives a region from SendRegion, or from shm_send_region of C, checks it, and maps it.
// The sender is not trusted: what is refused is closed, and the connection can go on.
//
// By default the region is taken with the rights and the size that its sender gives it. Memory that
// others can take away is refused, unless RiskShrink; so is a size over SizeMax, which a server that
// does not know its clients sets.
//
// Options: ReadOnly, Private, Populate, Locked, NoFork, NoDump, Mirror, Huge2M, Huge1G, RiskShrink,
// RiskReopen; SizeMin, SizeMax. conn and ctx are those of SendRegion. On SOCK_STREAM a frame that comes
// in pieces is EPROTO, and the connection of no more use.
//
// Errors: ErrNotRegion, ErrVersion, ErrUnsealed; EINVAL (smaller than SizeMin, or growable and no
// SizeMax); EFBIG (larger than SizeMax); EPROTO (not exactly one descriptor, or not a frame's bytes);
// EMFILE (no descriptor is left here); ECONNRESET (the peer closed the connection, be it in good order).
func RecvRegion(ctx context.Context, conn syscall.Conn, options ...Option) (*Region, error) {
	const op = "RecvRegion"
	o, err := settle(op, options)
	if err != nil {
		return nil, err
	}
	var region *Region
	b := takeBlock()
	defer b.giveBack()
	err = exchange(ctx, op, conn, toReceive, func(socket int) *capi.Failure {
		f := capi.RecvRegion(socket, o, &b.opened)
		if f == nil {
			region = b.newRegion("", Flag(o.Flags), false)
		}
		return f
	})
	return region, err
}

// SendFile sends an open file and one byte, which every program understands that receives descriptors.
// What travels is the open file itself: the peer shares its offset. The file stays the caller's. conn
// and ctx are those of SendRegion.
func SendFile(ctx context.Context, conn syscall.Conn, file *os.File) error {
	const op = "SendFile"
	return withFD(op, file, func(fd int) error {
		return exchange(ctx, op, conn, toSend, func(socket int) *capi.Failure { return capi.SendFD(socket, fd) })
	})
}

// RecvFile receives an open file and one byte; nothing is checked of what it is. The caller closes it.
// EPROTO where no descriptor came, or more than one. conn and ctx are those of SendRegion.
func RecvFile(ctx context.Context, conn syscall.Conn) (*os.File, error) {
	const op = "RecvFile"
	var fd int
	err := exchange(ctx, op, conn, toReceive, func(socket int) (f *capi.Failure) {
		fd, f = capi.RecvFD(socket)
		return f
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "received"), nil
}

// SendFiles sends 1 to FilesMax open files and a payload of at least one byte, as one message. The
// receiver has to expect as many of both. conn and ctx are those of SendRegion; on SOCK_STREAM a ctx
// that ends in the middle of the payload leaves the connection of no more use, and only one goroutine at
// a time may send payloads of more than a byte, and only one receive them.
//
// Errors as for SendRegion, and: EINVAL (the counts); EMSGSIZE (the payload is too long for one message).
func SendFiles(ctx context.Context, conn syscall.Conn, files []*os.File, payload []byte) error {
	const op = "SendFiles"
	fds := make([]int32, len(files))
	return withFDs(op, files, fds, func() error {
		rest := payload
		err := exchange(ctx, op, conn, toSend, func(socket int) *capi.Failure {
			first := payload
			if len(payload) > 1 && isStream(socket) {
				first = payload[:min(len(payload), oneBuffer)]
			}
			rest = payload[len(first):]
			return capi.SendFDs(socket, fds, first)
		})
		if err == nil && len(rest) > 0 {
			err = sendRest(ctx, op, conn, rest)
		}
		return err
	})
}

// RecvFiles receives exactly count open files, and exactly as many bytes as payload has, all or nothing.
// The caller closes the files. EPROTO where another number of either came; what payload holds is
// undefined then. conn and ctx are those of SendFiles.
func RecvFiles(ctx context.Context, conn syscall.Conn, count int, payload []byte) ([]*os.File, error) {
	const op = "RecvFiles"
	if count < 1 || count > FilesMax {
		return nil, refused(op, syscall.EINVAL, "%d files: a message carries 1 to %d", count, FilesMax)
	}
	fds := make([]int32, count)
	rest := payload
	err := exchange(ctx, op, conn, toReceive, func(socket int) *capi.Failure {
		// A stream may bring its bytes in pieces, the descriptors with the first.
		first := payload
		if len(payload) > 1 && isStream(socket) {
			first = payload[:1]
		}
		rest = payload[len(first):]
		return capi.RecvFDs(socket, fds, first)
	})
	if err == nil && len(rest) > 0 {
		if err = recvRest(ctx, op, conn, rest); err != nil {
			for _, fd := range fds {
				syscall.Close(int(fd))
			}
		}
	}
	if err != nil {
		return nil, err
	}
	files := make([]*os.File, count)
	for i, fd := range fds {
		files[i] = os.NewFile(uintptr(fd), "received")
	}
	return files, nil
}

// oneBuffer is what the kernel puts into one buffer of a stream, or not at all, however small SO_SNDBUF
// is: descriptors travel with it.
const oneBuffer = 2048

// withFDs lends the numbers of open files, none of which is closed meanwhile.
func withFDs(op string, files []*os.File, fds []int32, use func() error) error {
	if len(files) > FilesMax {
		return refused(op, syscall.EINVAL, "%d files: a message carries 1 to %d", len(files), FilesMax)
	}
	done := len(fds) - len(files)
	if len(files) == 0 {
		return use()
	}
	return withFD(op, files[0], func(fd int) error {
		fds[done] = int32(fd)
		return withFDs(op, files[1:], fds, use)
	})
}

// Peer is the process at the other end of a Unix socket: the one that connected, or that listened, when
// it did so.
type Peer struct {
	PID      int // in this process's PID namespace; 0 when it is not in it
	UID, GID int
	PIDFD    *os.File // a pidfd of it, which the caller closes; nil before Linux 6.5
}

// PeerOf tells who is at the other end. On a socketpair that is its creator. conn is that of SendRegion.
func PeerOf(conn syscall.Conn) (Peer, error) {
	const op = "PeerOf"
	var peer capi.Peer
	err := control(op, conn, func(socket int) (f *capi.Failure) {
		peer, f = capi.PeerOf(socket)
		return f
	})
	if err != nil {
		return Peer{}, err
	}
	p := Peer{PID: int(peer.PID), UID: int(peer.UID), GID: int(peer.GID)}
	if peer.PIDFD >= 0 {
		p.PIDFD = os.NewFile(uintptr(peer.PIDFD), "pidfd")
	}
	return p, nil
}

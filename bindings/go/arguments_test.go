package shmkit_test

import (
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"shmkit"
)

// openers are all functions that make a region, each with arguments that are good.
func openers(t *testing.T) map[string]func(...shmkit.Option) (*shmkit.Region, error) {
	path, name := newPath(t), newName(t)
	ok(t, os.WriteFile(path, make([]byte, 2*page), 0o600))
	ok(t, os.WriteFile("/dev/shm/"+name, make([]byte, 2*page), 0o600))
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	ok(t, err)
	t.Cleanup(func() { file.Close() })
	key := newKey(t)
	segment := opened(t)(shmkit.CreateSysV(key, 2*page))
	id := must(segment.SysVID())
	opened(t)(shmkit.CreateSysVAt(path, 2, 2*page))
	t.Cleanup(func() { removeKey(must(shmkit.SysVKeyOf(path, 2))) })
	one, other := pair(t)
	sent := opened(t)(shmkit.Create("sent", 2*page))
	ctx := soon(t)
	return map[string]func(...shmkit.Option) (*shmkit.Region, error){
		"Create":          func(o ...shmkit.Option) (*shmkit.Region, error) { return shmkit.Create("x", 2*page, o...) },
		"CreateAnonymous": func(o ...shmkit.Option) (*shmkit.Region, error) { return shmkit.CreateAnonymous(2*page, o...) },
		"CreateFile": func(o ...shmkit.Option) (*shmkit.Region, error) {
			os.Remove(path + "-made")
			return shmkit.CreateFile(path+"-made", 2*page, o...)
		},
		"OpenFile": func(o ...shmkit.Option) (*shmkit.Region, error) { return shmkit.OpenFile(path, o...) },
		"FromFile": func(o ...shmkit.Option) (*shmkit.Region, error) { return shmkit.FromFile(file, o...) },
		"CreatePOSIX": func(o ...shmkit.Option) (*shmkit.Region, error) {
			os.Remove("/dev/shm/" + name + "-made")
			t.Cleanup(func() { os.Remove("/dev/shm/" + name + "-made") })
			return shmkit.CreatePOSIX(name+"-made", 2*page, o...)
		},
		"OpenPOSIX": func(o ...shmkit.Option) (*shmkit.Region, error) { return shmkit.OpenPOSIX(name, o...) },
		"CreateSysV": func(o ...shmkit.Option) (*shmkit.Region, error) {
			r, err := shmkit.CreateSysV(0, 2*page, o...)
			if err == nil {
				shmkit.RemoveSysV(must(r.SysVID()))
			}
			return r, err
		},
		"AttachSysV":   func(o ...shmkit.Option) (*shmkit.Region, error) { return shmkit.AttachSysV(key, keepKey(o)...) },
		"AttachSysVID": func(o ...shmkit.Option) (*shmkit.Region, error) { return shmkit.AttachSysVID(id, keepKey(o)...) },
		"CreateSysVAt": func(o ...shmkit.Option) (*shmkit.Region, error) {
			r, err := shmkit.CreateSysVAt(path, 1, 2*page, o...)
			if err == nil {
				shmkit.RemoveSysV(must(r.SysVID()))
			}
			return r, err
		},
		"AttachSysVAt": func(o ...shmkit.Option) (*shmkit.Region, error) {
			return shmkit.AttachSysVAt(path, 2, keepKey(o)...)
		},
		"RecvRegion": func(o ...shmkit.Option) (*shmkit.Region, error) {
			ok(t, shmkit.SendRegion(ctx, one, sent))
			r, err := shmkit.RecvRegion(ctx, other, o...)
			// An option that is refused leaves the message where it was.
			if err != nil {
				drain(t, other)
			}
			return r, err
		},
	}
}

// keepKey leaves out what would remove the segment for the next.
func keepKey(options []shmkit.Option) (kept []shmkit.Option) {
	for _, option := range options {
		if option != shmkit.AutoRemove {
			kept = append(kept, option)
		}
	}
	return kept
}

// drain reads what a refusal may have left in the socket.
func drain(t *testing.T, conn *net.UnixConn) {
	raw, err := conn.SyscallConn()
	ok(t, err)
	ok(t, raw.Control(func(fd uintptr) {
		syscall.Recvmsg(int(fd), make([]byte, 100), nil, syscall.MSG_DONTWAIT)
	}))
}

// flagsOf is what each function's documentation lists.
var flagsOf = map[string]shmkit.Flag{
	"Create":          withFD | shmkit.NoReserve | huge | shmkit.HugeFallback,
	"CreateAnonymous": common | shmkit.Private | shmkit.NoReserve,
	"CreateFile":      withFD | shmkit.NoReserve | making,
	"OpenFile":        withFD | shmkit.NoReserve | shmkit.PastEnd | huge,
	"FromFile":        withFD | shmkit.NoReserve | shmkit.PastEnd | huge,
	"CreatePOSIX":     withFD | shmkit.NoReserve | making | shmkit.RiskDisk | shmkit.UnlinkLast | shmkit.UnlinkCreator,
	"OpenPOSIX":       withFD | shmkit.NoReserve | shmkit.RiskDisk,
	"CreateSysV":      sysv | shmkit.OrOpen | shmkit.NoReserve | huge | shmkit.HugeFallback,
	"AttachSysV":      sysv,
	"AttachSysVID":    sysv,
	"CreateSysVAt":    sysv | shmkit.OrOpen | shmkit.NoReserve,
	"AttachSysVAt":    sysv,
	"RecvRegion":      withFD | shmkit.RiskShrink | huge,
}

const (
	common = shmkit.ReadOnly | shmkit.Populate | shmkit.Locked | shmkit.NoFork | shmkit.NoDump
	withFD = common | shmkit.Private | shmkit.RiskReopen | shmkit.Mirror
	making = shmkit.Replace | shmkit.OrOpen
	sysv   = common | shmkit.AutoRemove
	huge   = shmkit.Huge2M | shmkit.Huge1G
)

// Unknown flags, and flags that the call has no use for, are EINVAL; the others are taken.
func TestFlags(t *testing.T) {
	for name, open := range openers(t) {
		for bit := range 32 {
			flag := shmkit.Flag(1) << bit
			// Without pages in the machine's pool these fail otherwise; alone it says nothing.
			if flagsOf[name]&flag&(huge|shmkit.HugeFallback) != 0 {
				continue
			}
			unchanged(t, func() {
				r, err := open(flag)
				if flagsOf[name]&flag == 0 {
					refusedRegion(t, r, err, syscall.EINVAL, name)
					return
				}
				if err != nil {
					t.Fatalf("%s with flag %#x: %v", name, flag, err)
				}
				ok(t, r.Close())
			})
		}
	}
}

// Options with a value that the call has no use for are errors too.
func TestOptionsOfOtherCalls(t *testing.T) {
	makes := func(name string) bool { return strings.HasPrefix(name, "Create") }
	for _, row := range []struct {
		name   string
		option shmkit.Option
		taken  func(name string) bool
	}{
		{"Mode", shmkit.Mode(0o644), func(name string) bool { return makes(name) && name != "CreateAnonymous" }},
		{"Sealed", shmkit.Sealed(shmkit.SealShrink), func(name string) bool { return name == "Create" }},
		{"Sealed(0)", shmkit.Sealed(0), func(name string) bool { return name == "Create" }},
		{"Size", shmkit.Size(page), func(name string) bool { return name == "OpenFile" || name == "FromFile" }},
		{"Offset", shmkit.Offset(int64(page)), func(name string) bool { return name == "OpenFile" || name == "FromFile" || name == "OpenPOSIX" }},
		{"SizeMin", shmkit.SizeMin(page), func(name string) bool { return !makes(name) }},
		{"SizeMax", shmkit.SizeMax(1 << 20), func(name string) bool { return name == "RecvRegion" }},
		{"GrowableTo", shmkit.GrowableTo(1 << 20), func(name string) bool { return flagsOf[name]&shmkit.Mirror != 0 && name != "RecvRegion" }},
	} {
		for name, open := range openers(t) {
			unchanged(t, func() {
				r, err := open(row.option)
				if !row.taken(name) {
					if err == nil {
						r.Close()
						t.Errorf("%s takes %s", name, row.name)
						return
					}
					refused(t, err, syscall.EINVAL, name)
					return
				}
				if err != nil {
					t.Fatalf("%s with %s: %v", name, row.name, err)
				}
				ok(t, r.Close())
			})
		}
	}
}

func TestValuesOfOptions(t *testing.T) {
	for name, open := range openers(t) {
		for _, option := range []shmkit.Option{
			shmkit.Size(-1), shmkit.Size(0), shmkit.Offset(-1), shmkit.Offset(math.MinInt64), shmkit.SizeMin(-1), shmkit.SizeMax(-1),
			shmkit.SizeMax(0), shmkit.GrowableTo(0), shmkit.GrowableTo(-1), shmkit.Mode(0), shmkit.Mode(0o10000), shmkit.Sealed(1 << 30),
			shmkit.GrowableTo(1), shmkit.GrowableTo(math.MaxInt), shmkit.SizeMin(math.MaxInt), shmkit.Offset(1),
		} {
			unchanged(t, func() {
				r, err := open(option)
				if r != nil {
					r.Close()
					t.Fatalf("%s takes a bad value", name)
				}
				sound(t, err)
				check(t, errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.EOVERFLOW), "%v", err)
			})
		}
	}
	r, err := openers(t)["RecvRegion"](shmkit.SizeMax(2*page - 1))
	refusedRegion(t, r, err, syscall.EFBIG, "8191", "8192")
}

// Sizes that no machine has: an error, and nothing was made on the way.
func TestSizes(t *testing.T) {
	path, name, key := newPath(t), newName(t), newKey(t)
	ok(t, os.WriteFile(path, make([]byte, page), 0o600))
	makers := map[string]func(size int) (*shmkit.Region, error){
		"Create":          func(size int) (*shmkit.Region, error) { return shmkit.Create("x", size) },
		"CreateAnonymous": func(size int) (*shmkit.Region, error) { return shmkit.CreateAnonymous(size) },
		"CreateFile":      func(size int) (*shmkit.Region, error) { return shmkit.CreateFile(path+"-made", size) },
		"CreatePOSIX":     func(size int) (*shmkit.Region, error) { return shmkit.CreatePOSIX(name, size) },
		"CreateSysV":      func(size int) (*shmkit.Region, error) { return shmkit.CreateSysV(key, size) },
		"CreateSysVAt":    func(size int) (*shmkit.Region, error) { return shmkit.CreateSysVAt(path, 9, size) },
		"OpenFile": func(size int) (*shmkit.Region, error) {
			return shmkit.OpenFile(path, shmkit.Size(size), shmkit.PastEnd)
		},
	}
	for op, create := range makers {
		for _, size := range []int{0, -1, math.MinInt} {
			unchanged(t, func() {
				r, err := create(size)
				refusedRegion(t, r, err, syscall.EINVAL, op, fmt.Sprint(size))
			})
		}
		for _, size := range []int{1 << 48, 1 << 62, math.MaxInt, math.MaxInt - page + 1} {
			unchanged(t, func() {
				r, err := create(size)
				if r != nil {
					r.Close()
					t.Fatalf("%s of %d bytes", op, size)
				}
				sound(t, err)
				is := false
				for _, want := range []error{syscall.EINVAL, syscall.ENOMEM, syscall.ENOSPC, syscall.EFBIG, syscall.EOVERFLOW} {
					is = is || errors.Is(err, want)
				}
				check(t, is, "%v", err)
			})
		}
	}
	_, err := os.Stat(path + "-made")
	check(t, os.IsNotExist(err), "a file was left")
	refused(t, shmkit.UnlinkPOSIX(name), syscall.ENOENT)
	r, err := shmkit.AttachSysV(key)
	refusedRegion(t, r, err, syscall.ENOENT)
}

func TestNames(t *testing.T) {
	for _, row := range []struct {
		name string
		want error
	}{{"with\x00NUL", syscall.EINVAL}, {"\x00", syscall.EINVAL}, {strings.Repeat("n", 250), syscall.EINVAL}} {
		r, err := shmkit.Create(row.name, 1)
		refusedRegion(t, r, err, row.want, "Create", "name")
	}
	opened(t)(shmkit.Create(strings.Repeat("n", 249), 1))
	r, err := shmkit.CreateFile("with\x00NUL", 1)
	refusedRegion(t, r, err, syscall.EINVAL, "CreateFile", "path", "NUL")
	r, err = shmkit.CreateFile("", 1)
	refusedRegion(t, r, err, syscall.ENOENT, "CreateFile")
	r, err = shmkit.CreateFile(filepath.Join(t.TempDir(), strings.Repeat("n", 256)), 1)
	refusedRegion(t, r, err, syscall.ENAMETOOLONG, "CreateFile")
}

// Every method that takes a range, on regions that can shrink, and cannot.
func TestRanges(t *testing.T) {
	const size = 8191
	forEveryKind(t, func(t *testing.T, m maker) {
		r := opened(t)(m.create(t, size))
		ranges := map[string]func(offset, length int) error{
			"Check":      r.Check,
			"Flush":      r.Flush,
			"FlushAsync": r.FlushAsync,
			"Prefault":   r.Prefault,
			"Lock":       r.Lock,
			"Unlock":     r.Unlock,
			"Advise":     func(offset, length int) error { return r.Advise(offset, length, shmkit.AdviceNormal) },
			"Protect":    func(offset, length int) error { return r.Protect(offset, length, shmkit.ReadWrite) },
			"Place":      func(offset, length int) error { return r.Place(offset, length, shmkit.PlaceDefault) },
			"Nodes":      func(offset, length int) error { _, err := r.Nodes(offset, length); return err },
			"Residency":  func(offset, length int) error { _, err := r.Residency(offset, length); return err },
		}
		for op, call := range ranges {
			for _, at := range [][2]int{{-1, 1}, {0, -1}, {-1, -1}, {math.MinInt, 1}, {0, math.MinInt}, {-page, page}} {
				refused(t, call(at[0], at[1]), syscall.EINVAL, op)
			}
			for _, at := range [][2]int{
				{2 * page, page}, {page, 2 * page}, {0, size + 1}, {math.MaxInt &^ (page - 1), 1}, {page, math.MaxInt}, {0, math.MaxInt},
				{math.MaxInt &^ (page - 1), math.MaxInt}, {1 << 32, 1}, {page, math.MaxInt - page + 1},
			} {
				refused(t, call(at[0], at[1]), syscall.ERANGE, op)
			}
			for _, at := range [][2]int{{math.MaxInt, 2}, {math.MaxInt, math.MaxInt}, {math.MaxInt, 1}} {
				err := call(at[0], at[1])
				sound(t, err)
				check(t, errors.Is(err, syscall.ERANGE) || errors.Is(err, syscall.EINVAL), "%s: %v", op, err)
			}
		}
		for _, op := range []string{"Advise", "Protect", "Place"} {
			refused(t, ranges[op](1, 1), syscall.EINVAL, op, "offset", "1")
		}
		for _, op := range []string{"Check", "Flush", "FlushAsync", "Prefault", "Lock", "Unlock", "Nodes", "Residency"} {
			ok(t, ranges[op](8190, 1))
			if op != "Nodes" {
				ok(t, ranges[op](size, 0))
			}
		}
		refused(t, r.Check(8190, 4), syscall.ERANGE, "8190", "8191")
		for _, advice := range []shmkit.Advice{-1, 9, math.MaxInt32, math.MinInt32} {
			refused(t, r.Advise(0, page, advice), syscall.EINVAL, "Advise", "advice")
		}
		for _, rights := range []shmkit.Rights{2, 4, 7, math.MaxUint32} {
			refused(t, r.Protect(0, page, rights), syscall.EINVAL, "Protect", "rights")
		}
		for _, policy := range []shmkit.Policy{-1, 4, math.MaxInt32} {
			refused(t, r.Place(0, page, policy, 0), syscall.EINVAL, "Place")
		}
		for _, nodes := range [][]int{{-1}, {1 << 20}, {1 << 32}, {math.MaxInt}, {math.MinInt}, {0, -1}} {
			refused(t, r.Place(0, page, shmkit.PlaceBind, nodes...), syscall.EINVAL, "Place")
		}
		refused(t, r.Place(0, page, shmkit.PlaceBind), syscall.EINVAL, "Place", "node")
		refused(t, r.Place(0, page, shmkit.PlaceDefault, 0), syscall.EINVAL, "Place", "node")
		refused(t, r.Grow(-1), syscall.EINVAL, "Grow", "-1")
		refused(t, r.Grow(size), syscall.EOPNOTSUPP, "Grow")
		grown, err := r.Follow()
		refused(t, err, syscall.EOPNOTSUPP, "Follow")
		check(t, !grown, "it has not grown")
	})
}

func TestWherePagesAre(t *testing.T) {
	r := opened(t)(shmkit.Create("nodes", 3*page))
	ok(t, r.Place(0, 3*page, shmkit.PlaceBind, 0))
	ok(t, r.Prefault(0, 3*page))
	nodes, err := r.Nodes(page-1, 2)
	ok(t, err)
	equal(t, fmt.Sprint(nodes), "[0 0]")
	ok(t, r.Place(0, 3*page, shmkit.PlaceDefault))
	sparse := opened(t)(shmkit.CreateAnonymous(2*page, shmkit.NoReserve))
	equal(t, fmt.Sprint(must(sparse.Nodes(0, 2*page))), "[-1 -1]")
}

func TestRefusalsOfFiles(t *testing.T) {
	path := newPath(t)
	ok(t, os.WriteFile(path, make([]byte, page), 0o600))
	closed, err := os.Open(path)
	ok(t, err)
	closed.Close()
	r, err := shmkit.FromFile(closed)
	refusedRegion(t, r, err, os.ErrClosed, "FromFile", "closed")
	for _, row := range []struct {
		flags   int
		want    error
		options []shmkit.Option
	}{
		{os.O_RDONLY, syscall.EACCES, nil},
		{os.O_WRONLY, syscall.EACCES, nil},
		{os.O_WRONLY, syscall.EACCES, []shmkit.Option{shmkit.ReadOnly}},
		{0o10000000 /* O_PATH */, syscall.EBADF, nil},
	} {
		file, err := os.OpenFile(path, row.flags, 0)
		ok(t, err)
		r, err := shmkit.FromFile(file, row.options...)
		refusedRegion(t, r, err, row.want, "FromFile")
		file.Close()
	}
	readable, writable, err := os.Pipe()
	ok(t, err)
	defer readable.Close()
	defer writable.Close()
	r, err = shmkit.FromFile(readable, shmkit.ReadOnly)
	refusedRegion(t, r, err, syscall.ENODEV, "FromFile")
	directory, err := os.Open(t.TempDir())
	ok(t, err)
	defer directory.Close()
	r, err = shmkit.FromFile(directory, shmkit.ReadOnly)
	refusedRegion(t, r, err, syscall.ENODEV, "FromFile")
}

func TestErrorsAgree(t *testing.T) {
	for code, name := range map[shmkit.Code]string{
		shmkit.ErrShrunk: "SHRUNK", shmkit.ErrNotRegion: "NOT_REGION", shmkit.ErrVersion: "VERSION", shmkit.ErrUnsealed: "UNSEALED",
		shmkit.ErrUnenforceable: "UNENFORCEABLE", shmkit.ErrCollision: "COLLISION", shmkit.ErrOnDisk: "ON_DISK", shmkit.ErrUnguarded: "UNGUARDED", shmkit.ErrPeerDied: "PEER_DIED",
	} {
		equal(t, code.Name(), "SHMKIT_E_"+name)
		check(t, code.Error() != "" && code.Error() != shmkit.Code(-5000).Error(), "%q", code.Error())
	}
	equal(t, shmkit.Code(-2).Name(), "ENOENT")
	equal(t, shmkit.Code(-2).Error(), "No such file or directory")
	equal(t, shmkit.Code(-99999).Name(), "UNKNOWN")
	equal(t, shmkit.Code(math.MinInt32).Name(), "UNKNOWN")
}

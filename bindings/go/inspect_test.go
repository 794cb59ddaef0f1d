package shmkit_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"shmkit"
	"shmkit/inspect"
)

func init() {
	// leftovers runs in namespaces of its own, with an empty /dev/shm and no System V objects.
	helpers["leftovers"] = func(h *helper) error {
		t := &inHelper{}
		t.run(func() {
			ok(t, syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""))
			ok(t, syscall.Mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=1m"))
			useLeftovers(t)
			useLimitsOfItsOwn(t)
		})
		return t.failed
	}
	// stranger is another user than its test, where the test is root; args are the test's pid and the
	// name of a POSIX object that nobody has.
	helpers["stranger"] = func(h *helper) error {
		t := &inHelper{}
		t.run(func() {
			ok(t, syscall.Setgroups(nil))
			ok(t, syscall.Setgid(65534))
			ok(t, syscall.Setuid(65534))
			// Its /proc/self would be root's.
			_, _, errno := syscall.Syscall(syscall.SYS_PRCTL, syscall.PR_SET_DUMPABLE, 1, 0)
			equal(t, errno, 0)
			lookAsStranger(t, must(strconv.Atoi(h.args[0])), h.args[1])
		})
		return t.failed
	}
}

func TestLimits(t *testing.T) {
	limits, err := inspect.Limits()
	ok(t, err)
	check(t, len(limits) > 25, "only %d limits", len(limits))
	for _, limit := range limits {
		check(t, limit.Name != "" && limit.Source != "" && limit.Unit >= inspect.Bytes && limit.Unit <= inspect.Setting, "%+v", limit)
		found, is := limits.Find(limit.Name)
		check(t, is && found == limit, "%v is not found by its name", limit)
		number, known := limit.Value.Number()
		says := 0
		for _, is := range []bool{known, limit.Value.Word() != "", limit.Value.Unknown() != ""} {
			if is {
				says++
			}
		}
		equal(t, says, 1)
		check(t, strings.Contains(limit.String(), limit.Name+": "+limit.Value.String()), "%v", limit)
		check(t, known || number == 0, "%v has a number that is not known", limit)

		// Each file with one number in it has the limit's.
		if strings.HasPrefix(limit.Source, "/proc/sys/") && limit.Source == "/proc/sys/"+strings.ReplaceAll(limit.Name, ".", "/") && known {
			equal(t, fmt.Sprint(limit.Name, number), fmt.Sprint(limit.Name, lines(limit.Source)[0]))
		}
	}
	for i, name := range []string{"semmsl", "semmns", "semopm", "semmni"} {
		number, _ := find(t, limits, "kernel.sem."+name).Value.Number()
		equal(t, strconv.FormatUint(number, 10), strings.Fields(lines("/proc/sys/kernel/sem")[0])[i])
	}
	for name, row := range map[string]string{"RLIMIT_MEMLOCK": "Max locked memory", "RLIMIT_NOFILE": "Max open files", "RLIMIT_FSIZE": "Max file size", "RLIMIT_AS": "Max address space"} {
		for _, line := range lines("/proc/self/limits") {
			if rest, is := strings.CutPrefix(line, row); is {
				equal(t, name+" "+find(t, limits, name).Value.String(), name+" "+strings.Fields(rest)[0])
			}
		}
	}
	memory, _ := find(t, limits, "MemTotal").Value.Number()
	equal(t, fmt.Sprintf("MemTotal: %d kB", memory/1024), strings.Join(strings.Fields(lines("/proc/meminfo")[0]), " "))

	equal(t, find(t, limits, "kernel.shmmax").Unit, inspect.Bytes)
	equal(t, find(t, limits, "kernel.shmall").Unit, inspect.Pages)
	used, known := find(t, limits, "kernel.shmmni").Used.Number()
	check(t, known && used <= 1<<20, "%d", used)
	_, known = find(t, limits, "kernel.shmmax").Used.Number()
	check(t, !known && find(t, limits, "kernel.shmmax").Used.Unknown() != "", "shmmax is used up")
	check(t, find(t, limits, "kernel.shmmni").HasUse && !find(t, limits, "kernel.shmmax").HasUse, "segments are counted, their size is not used up")
	equal(t, find(t, limits, "dev_shm.type").Value.Word(), "tmpfs")
	for _, name := range []string{"", "kernel.shmma", "KERNEL.SHMMAX", "kernel.shmmax\x00"} {
		_, is := limits.Find(name)
		check(t, !is, "there is a limit %q", name)
	}
	equal(t, inspect.Value{}.String(), "0")
	equal(t, inspect.Limit{Name: "a", Source: "/b", Unit: inspect.Bytes}.String(), "a: 0 bytes, 0 in use (/b)")
}

func find(t testing.TB, limits inspect.LimitList, name string) inspect.Limit {
	t.Helper()
	limit, is := limits.Find(name)
	check(t, is, "there is no limit %s", name)
	return limit
}

func useLimitsOfItsOwn(t testing.TB) {
	ok(t, os.WriteFile("/proc/sys/kernel/shmmax", []byte("8192"), 0))
	limits, err := inspect.Limits()
	ok(t, err)
	equal(t, find(t, limits, "kernel.shmmax").String(), "kernel.shmmax: 8192 bytes (/proc/sys/kernel/shmmax)")
	ok(t, shmkit.Fits(shmkit.SysV, 8192))
	refused(t, shmkit.Fits(shmkit.SysV, 8193), syscall.EINVAL, "kernel.shmmax is 8192 bytes (/proc/sys/kernel/shmmax)")

	refused(t, shmkit.Fits(shmkit.SysV, 8192, shmkit.GrowableTo(8192)), syscall.EINVAL, "shm_sysv_create has no use for the flag GROWABLE")
	refused(t, shmkit.Fits(shmkit.Memfd, 8192, shmkit.GrowableTo(4096)), syscall.EINVAL, "size_max is 4096, its size 8192")
	refused(t, shmkit.Fits(shmkit.Memfd, 8192, shmkit.GrowableTo(1<<62)), syscall.ENOMEM, "address")
	unlimited := syscall.Rlimit{Cur: math.MaxUint64, Max: math.MaxUint64}
	for _, row := range []struct {
		limit  syscall.Rlimit
		number uint64
		says   string
	}{{syscall.Rlimit{Cur: 1 << 20, Max: math.MaxUint64}, 1 << 20, "1048576"}, {unlimited, inspect.Unlimited, "unlimited"}} {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &row.limit); err != nil {
			continue // a user may not raise what was lowered
		}
		limits, err := inspect.Limits()
		ok(t, err)
		number, known := find(t, limits, "RLIMIT_FSIZE").Value.Number()
		check(t, known && number == row.number, "%d", number)
		equal(t, find(t, limits, "RLIMIT_FSIZE").Value.String(), row.says)
	}
}

// only is the one object for which is holds.
func only(t testing.TB, objects []inspect.Object, is func(o inspect.Object) bool) inspect.Object {
	t.Helper()
	var found []inspect.Object
	for _, object := range objects {
		if is(object) {
			found = append(found, object)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d objects, and not one: %v", len(found), found)
	}
	return found[0]
}

func named(kind shmkit.Kind, name string) func(o inspect.Object) bool {
	return func(o inspect.Object) bool { return o.Kind == kind && o.Name == name }
}

func numbered(kind shmkit.Kind, id int) func(o inspect.Object) bool {
	return func(o inspect.Object) bool { return o.Kind == kind && o.ID == id }
}

func TestObjectsOfTheMachine(t *testing.T) {
	name, key := "/"+newName(t), newKey(t)
	opened(t)(shmkit.CreatePOSIX(name, 5000, shmkit.Mode(0o640)))
	segment := opened(t)(shmkit.CreateSysV(key, 5000, shmkit.Mode(0o640)))
	memfd := opened(t)(shmkit.Create("objects", 5000))
	anonymous := opened(t)(shmkit.CreateAnonymous(3 * page))
	id := int(must(segment.SysVID()))

	// What only lists itself has no holders.
	objects, gaps, err := inspect.Objects(inspect.Segments | inspect.POSIX)
	ok(t, err)
	equal(t, len(gaps), 0)
	for _, object := range objects {
		check(t, object.Holders == nil, "%v has holders that nobody asked for", object)
		check(t, slices.Contains([]shmkit.Kind{shmkit.SysV, shmkit.POSIX, inspect.NamedSemaphore}, object.Kind), "%v", object)
	}
	posix := only(t, objects, named(shmkit.POSIX, name))
	stat := must(os.Stat("/dev/shm" + name))
	raw := stat.Sys().(*syscall.Stat_t)
	check(t, posix.Inode == raw.Ino && posix.Device == raw.Dev && posix.Size == 5000 && posix.Used == int(raw.Blocks)*512, "%+v", posix)
	check(t, posix.Mode == stat.Mode() && posix.OwnerUID == os.Geteuid() && posix.OwnerGID == os.Getegid(), "%+v", posix)
	equal(t, posix.ModifiedAt, stat.ModTime().Truncate(time.Second))
	check(t, posix.ID == -1 && posix.Attached == -1 && posix.Count == -1 && posix.CreatorUID == -1 && posix.LastPID == -1, "%+v", posix)
	equal(t, posix.String(), fmt.Sprintf("POSIX object %q", name))

	found := only(t, objects, numbered(shmkit.SysV, id))
	info := must(shmkit.StatSysV(shmkit.SysVID(id)))
	check(t, found.Key == key && found.Size == info.Size && found.Attached == 1 && found.Mode == info.Mode, "%+v", found)
	check(t, found.CreatorPID == os.Getpid() && found.LastPID == info.LastPID && found.LastReceiverPID == -1, "%+v", found)
	check(t, found.OwnerUID == info.OwnerUID && found.CreatorGID == info.CreatorGID && !found.Unlinked, "%+v", found)
	check(t, found.UsedAt.Equal(info.AttachedAt) && found.LeftAt.IsZero() && found.ChangedAt.Equal(info.ChangedAt), "%+v", found)
	check(t, found.Inode == 0 && found.Name == "" && found.Seals == 0, "%+v", found)
	equal(t, found.String(), fmt.Sprintf("System V segment %d (key %#x)", id, int32(key)))
	ok(t, shmkit.RemoveSysV(shmkit.SysVID(id)))
	objects, _, err = inspect.Objects(inspect.Segments)
	ok(t, err)
	removed := only(t, objects, numbered(shmkit.SysV, id))
	check(t, removed.Unlinked && removed.Key == 0 && removed.Mode == 0o640, "%+v", removed)

	objects, _, err = inspect.Objects(inspect.Machine)
	ok(t, err)
	sealed := only(t, objects, named(shmkit.Memfd, "objects"))
	check(t, sealed.Seals == must(memfd.Seals()) && sealed.Size == 5000 && sealed.Mode == 0o600, "%+v", sealed)
	equal(t, len(holdersIn(sealed.Holders, os.Getpid())), 2)
	own := holdersIn(only(t, objects, numbered(shmkit.SysV, id)).Holders, os.Getpid())
	check(t, len(own) == 1 && own[0].FD == -1 && own[0].Length == 2*page && own[0].Address == address(t, segment), "%+v", own)
	only(t, objects, func(o inspect.Object) bool {
		own := holdersIn(o.Holders, os.Getpid())
		return o.Kind == shmkit.Anonymous && len(own) == 1 && own[0].Address == address(t, anonymous)
	})
}

func TestObjectsThatAreNoRegions(t *testing.T) {
	const create, remove = 0o1600, 0
	queue, _, errno := syscall.Syscall(syscall.SYS_MSGGET, 0, create, 0)
	equal(t, errno, 0)
	defer syscall.Syscall(syscall.SYS_MSGCTL, queue, remove, 0)
	set, _, errno := syscall.Syscall(syscall.SYS_SEMGET, 0, 3, create)
	equal(t, errno, 0)
	defer syscall.Syscall6(syscall.SYS_SEMCTL, set, 0, remove, 0, 0, 0)
	message := struct {
		kind int
		text [5]byte
	}{1, [5]byte{}}
	_, _, errno = syscall.Syscall6(syscall.SYS_MSGSND, queue, uintptr(unsafe.Pointer(&message)), 5, 0, 0, 0)
	equal(t, errno, 0)
	name := newName(t)
	ok(t, os.WriteFile("/dev/shm/sem."+name, make([]byte, 32), 0o600))
	defer os.Remove("/dev/shm/sem." + name)

	objects, _, err := inspect.Objects(inspect.Queues | inspect.Semaphores | inspect.POSIX)
	ok(t, err)
	found := only(t, objects, numbered(inspect.MessageQueue, int(queue)))
	check(t, found.Count == 1 && found.Size == 5 && found.LastPID == os.Getpid() && found.LeftAt.IsZero() && !found.UsedAt.IsZero(), "%+v", found)
	equal(t, found.String(), fmt.Sprintf("System V queue %d (key 0x0)", queue))
	found = only(t, objects, numbered(inspect.SemaphoreSet, int(set)))
	check(t, found.Count == 3 && found.Size == -1, "%+v", found)
	equal(t, found.String(), fmt.Sprintf("System V semaphore set %d (key 0x0)", set))
	found = only(t, objects, named(inspect.NamedSemaphore, "/"+name))
	equal(t, found.String(), fmt.Sprintf("named semaphore %q", "/"+name))
}

func TestObjectsOfAProcess(t *testing.T) {
	r := opened(t)(shmkit.Create("held", 2*page))
	file := opened(t)(shmkit.CreateFile(newPath(t), page))
	p := held(t, r, "mapping")
	objects, _, err := inspect.ObjectsOf(p.cmd.Process.Pid, inspect.Machine|inspect.Files)
	ok(t, err)
	object := only(t, objects, named(shmkit.Memfd, "held"))
	check(t, len(object.Holders) == 1 && object.Holders[0].FD == -1, "%+v", object)

	objects, _, err = inspect.ObjectsOf(os.Getpid(), inspect.Files)
	ok(t, err)
	for _, object := range objects {
		equal(t, object.Kind, shmkit.File)
		check(t, len(object.Holders) > 0, "%v is nobody's", object)
	}
	only(t, objects, func(o inspect.Object) bool { return o.Inode == inode(t, file.Name()) })

	p.ends()
	for _, pid := range []int{p.cmd.Process.Pid, -1, math.MaxInt32, math.MaxInt, math.MinInt, os.Getpid() + 1<<32} {
		objects, gaps, err := inspect.ObjectsOf(pid, inspect.Machine)
		check(t, objects == nil && gaps == nil, "objects of no process")
		refused(t, err, syscall.ESRCH, "ObjectsOf", "process", strconv.Itoa(pid))
	}
	for _, what := range []inspect.Select{512, 1 << 31, math.MaxUint32} {
		objects, gaps, err := inspect.ObjectsOf(os.Getpid(), what)
		check(t, objects == nil && gaps == nil, "objects of an unknown kind")
		refused(t, err, syscall.EINVAL, "ObjectsOf", fmt.Sprintf("%#x", uint32(what&^511)))
		_, _, err = inspect.Objects(what)
		refused(t, err, syscall.EINVAL, "Objects")
	}
	objects, gaps, err := inspect.Objects(0)
	ok(t, err)
	check(t, objects == nil && gaps == nil, "objects that nobody asked for")
	equal(t, inspect.Object{Kind: shmkit.File, ID: -1, Inode: 7}.String(), "file of inode 7")
}

func TestUsageOfAProcess(t *testing.T) {
	r := opened(t)(shmkit.CreateAnonymous(2*page, shmkit.Populate))
	usage, err := inspect.UsageOf(os.Getpid(), address(t, r), 2*page)
	ok(t, err)
	check(t, usage.Resident == 2*page && usage.Mappings == 1 && slices.Contains(usage.Flags, "sh"), "%+v", usage)
	for _, pid := range []int{-1, 0, 1 << 40} {
		_, err := inspect.UsageOf(pid, address(t, r), 1)
		refused(t, err, syscall.ENOENT, "UsageOf")
	}
	_, err = inspect.UsageOf(os.Getpid(), 0, 1)
	refused(t, err, syscall.ENOENT, "UsageOf", "0x0")
	_, err = inspect.UsageOf(os.Getpid(), 0, -1)
	refused(t, err, syscall.EINVAL, "UsageOf", "-1")
}

func TestStringsOfCausesAndReasons(t *testing.T) {
	for want, s := range map[string]fmt.Stringer{
		"permission": shmkit.GapPermission, "pid-namespace": shmkit.GapPIDNamespace, "unfollowed": shmkit.GapUnfollowed,
		"cause 0": shmkit.GapCause(0), "cause 8": shmkit.GapCause(8), "cause 4294967295": shmkit.GapCause(math.MaxUint32),
		"": inspect.Reason(0), "not open": inspect.NotOpen, "not attached, creator gone": inspect.NotAttached | inspect.CreatorGone,
		"abandoned, 0x20": inspect.Abandoned | 32,
	} {
		equal(t, s.String(), want)
	}
}

func TestLeftovers(t *testing.T) { inNamespaces(t, "leftovers").ends() }

func useLeftovers(t testing.TB) {
	leave := func(name string) {
		r, err := shmkit.CreatePOSIX(name, page)
		ok(t, err)
		ok(t, r.Close())
	}
	all, gaps, err := inspect.Leftovers()
	ok(t, err)
	check(t, len(all) == 0 && len(gaps) == 0, "%v in an empty namespace; %v", all, gaps)

	leave("left")
	used, err := shmkit.CreatePOSIX("used", page)
	ok(t, err)
	segment, err := shmkit.CreateSysV(0, page)
	ok(t, err)
	id := must(segment.SysVID())
	ok(t, segment.Close())
	all, gaps, err = inspect.Leftovers()
	ok(t, err)
	check(t, len(all) == 2 && len(gaps) == 0, "%v; %v", all, gaps)
	slices.SortFunc(all, func(a, b inspect.Leftover) int { return int(a.Kind - b.Kind) })
	left, unattached := all[0], all[1]
	check(t, left.Name == "/left" && left.Size == page && left.Decided && strings.Contains(left.Reason, "open or mapped"), "%+v", left)
	check(t, left.Reasons == inspect.NotOpen && unattached.Reasons == inspect.NotAttached, "%v, and %v", left.Reasons, unattached.Reasons)
	check(t, unattached.ID == int(id) && unattached.Decided && strings.Contains(unattached.Reason, "attachment"), "%+v", unattached)

	// Whoever has it again keeps it.
	again, err := shmkit.OpenPOSIX("left")
	ok(t, err)
	refused(t, left.Check(), syscall.EBUSY, "Check", "/left")
	refused(t, left.Remove(), syscall.EBUSY, "Remove", "/left")
	ok(t, again.Close())
	// The list outlives what it was made with.
	all = nil
	runtime.GC()
	ok(t, left.Check())
	ok(t, left.Remove())
	refused(t, left.Remove(), syscall.ENOENT, "Remove", "gone")
	_, err = os.Stat("/dev/shm/left")
	check(t, os.IsNotExist(err), "it was not removed")
	leave("left")
	refused(t, left.Remove(), syscall.ESTALE, "Remove", "another")

	attached, err := shmkit.AttachSysVID(id)
	ok(t, err)
	refused(t, unattached.Remove(), syscall.EBUSY, "Remove", "attach count is 1")
	ok(t, unattached.RemoveInUse())
	info := must(shmkit.StatSysV(id))
	check(t, info.Removed && info.Attached == 1, "%+v", info)
	ok(t, attached.Close())
	refused(t, unattached.Check(), syscall.ENOENT, "Check")
	refused(t, unattached.RemoveInUse(), syscall.ENOENT, "RemoveInUse")

	ok(t, used.Unlink())
	ok(t, used.Close())
	for range 100 {
		leftovers, _, err := inspect.Leftovers()
		ok(t, err)
		check(t, len(leftovers) == 1 && leftovers[0].Name == "/left", "%v", leftovers)
	}
	runtime.GC()
	ok(t, shmkit.UnlinkPOSIX("left"))
	refused(t, inspect.Leftover{}.Check(), syscall.EINVAL, "Check", "listed")
	refused(t, inspect.Leftover{}.Remove(), syscall.EINVAL, "Remove", "listed")
	refused(t, inspect.Leftover{}.RemoveInUse(), syscall.EINVAL, "RemoveInUse", "listed")
}

// Another user sees a part, and is told so.
func TestPartialViews(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become another user")
	}
	name := newName(t)
	r, err := shmkit.CreatePOSIX(name, page, shmkit.Mode(0o644))
	ok(t, err)
	ok(t, r.Close())
	opened(t)(shmkit.Create("hidden", page))
	start(t, "stranger", nil, strconv.Itoa(os.Getpid()), "/"+name).ends()
	_, err = os.Stat("/dev/shm/" + name)
	ok(t, err)
}

func lookAsStranger(t testing.TB, pid int, name string) {
	objects, gaps, err := inspect.Objects(inspect.Machine)
	ok(t, err)
	denied := func(gap shmkit.Gap) bool {
		return gap.Count > 0 && gap.Cause == shmkit.GapPermission && strings.Contains(gap.String(), "may not be looked into")
	}
	check(t, slices.ContainsFunc(gaps, denied), "nothing is missing: %v", gaps)
	check(t, !slices.ContainsFunc(objects, named(shmkit.Memfd, "hidden")), "root's memfd is seen")
	equal(t, only(t, objects, named(shmkit.POSIX, name)).Size, page)
	_, _, err = inspect.ObjectsOf(pid, inspect.Memfds)
	refused(t, err, syscall.EACCES, "ObjectsOf", strconv.Itoa(pid))
	check(t, errors.Is(err, fs.ErrPermission), "%v", err)

	leftovers, gaps, err := inspect.Leftovers()
	ok(t, err)
	check(t, len(gaps) == 0, "%v", gaps) // all objects are seen
	at := slices.IndexFunc(leftovers, func(l inspect.Leftover) bool { return l.Name == name })
	check(t, at >= 0 && !leftovers[at].Decided && leftovers[at].Reason != "", "%v", leftovers)
	refused(t, leftovers[at].Check(), syscall.EBUSY, "Check")
	refused(t, leftovers[at].Remove(), syscall.EBUSY, "Remove")

	// Of a file that it may not write to, a process learns only what it has touched.
	r, err := shmkit.OpenPOSIX(name, shmkit.ReadOnly)
	ok(t, err)
	for _, want := range []int{0, page} {
		residency, err := r.Residency(0, page)
		ok(t, err)
		check(t, residency.OwnOnly && residency.Resident == want, "%+v", residency)
		read(t, r, 0, 1)
	}
	ok(t, r.Close())
}

func TestTraps(t *testing.T) {
	traps, err := inspect.Traps()
	ok(t, err)
	names := make(map[string]bool)
	for _, trap := range traps {
		check(t, trap.Name != "" && trap.Sentence != "" && trap.Remedy != "" && !(trap.Applies && trap.Unknown), "%+v", trap)
		names[trap.Name] = true
	}
	equal(t, len(names), len(traps))
	for _, name := range []string{"systemd-remove-ipc", "dev-shm-not-tmpfs", "dev-shm-tiny", "ipc-namespace", "overcommit-strict", "memlock-small"} {
		check(t, names[name], "no trap %s", name)
	}
}

// Whatever is asked at once, and of one list.
func TestInspectionIsConcurrent(t *testing.T) {
	name := newName(t)
	left, err := shmkit.CreatePOSIX(name, page)
	ok(t, err)
	ok(t, left.Close())
	r := opened(t)(shmkit.Create("concurrent", page))
	leftovers, _, err := inspect.Leftovers()
	ok(t, err)
	at := slices.IndexFunc(leftovers, func(l inspect.Leftover) bool { return l.Name == "/"+name })
	check(t, at >= 0, "%v", leftovers)
	var g group
	for range 4 {
		g.start(func() {
			for range rounds(20) {
				// Another one's lease makes it busy.
				if err := leftovers[at].Check(); err != nil && !errors.Is(err, syscall.EBUSY) && !errors.Is(err, syscall.EAGAIN) {
					t.Error(err)
				}
				for _, err := range []error{
					second(inspect.Limits()), second(r.Usage()), second(r.Residency(0, page)), second(r.FileSystem()), second(inspect.Traps()),
				} {
					if err != nil {
						t.Error(err)
					}
				}
				if holders, _, err := r.Holders(); err != nil || len(holders) < 2 {
					t.Error(holders, err)
				}
			}
		})
	}
	g.Wait()
}

func second[T any](_ T, err error) error { return err }

// Names are any bytes.
func TestStrangeNames(t *testing.T) {
	strange := filepath.Join("/dev/shm", ownPrefix()+"\x1b[2J\xff\n")
	ok(t, os.WriteFile(strange, nil, 0o600))
	defer os.Remove(strange)
	objects, _, err := inspect.Objects(inspect.POSIX)
	ok(t, err)
	object := only(t, objects, named(shmkit.POSIX, "/"+filepath.Base(strange)))
	equal(t, object.String(), fmt.Sprintf("POSIX object %q", object.Name))
	check(t, !strings.ContainsAny(object.String(), "\x1b\n"), "%q", object.String())
}

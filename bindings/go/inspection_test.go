package shmkit_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"shmkit"
)

func init() {
	// holds keeps what it got as descriptor 3, in one of the ways there are, until the test is done.
	helpers["holds"] = func(h *helper) error {
		if h.args[0] == "mapping" {
			b, err := syscall.Mmap(3, 0, 2*page, syscall.PROT_READ, syscall.MAP_SHARED)
			if err != nil {
				return err
			}
			defer syscall.Munmap(b)
			if err := syscall.Close(3); err != nil {
				return err
			}
		}
		h.say("ready")
		_, err := h.hear()
		if err == nil {
			return errors.New("the test says something")
		}
		return nil
	}
}

// held starts a helper that has a region in a way.
func held(t *testing.T, r *shmkit.Region, way string) *process {
	t.Helper()
	file, err := r.File()
	ok(t, err)
	defer file.Close()
	p := start(t, "holds", []*os.File{file}, way)
	p.hears("ready")
	return p
}

// holdersIn are those of a process, the descriptors first.
func holdersIn(holders []shmkit.Holder, pid int) (in []shmkit.Holder) {
	for _, holder := range holders {
		if holder.PID == pid {
			in = append(in, holder)
		}
	}
	slices.SortFunc(in, func(a, b shmkit.Holder) int { return b.FD - a.FD })
	return in
}

func TestHoldersOfARegion(t *testing.T) {
	for _, r := range []*shmkit.Region{
		opened(t)(shmkit.Create("held", 2*page)),
		opened(t)(shmkit.CreatePOSIX(newName(t), 2*page)),
		opened(t)(shmkit.CreateFile(newPath(t), 2*page)),
	} {
		descriptor, mapping := held(t, r, "descriptor"), held(t, r, "mapping")
		holders, _, err := r.Holders()
		ok(t, err)

		own := holdersIn(holders, os.Getpid())
		equal(t, len(own), 2)
		check(t, own[0].FD >= 3 && own[0].Length == 0 && own[0].Address == 0, "%+v", own[0])
		check(t, own[1].FD == -1 && own[1].Length == 2*page && own[1].Shared, "%+v", own[1])
		equal(t, own[1].Address, address(t, r))
		for _, holder := range own {
			check(t, holder.Readable && holder.Writable && holder.UID == os.Geteuid(), "%+v", holder)
		}

		others := holdersIn(holders, descriptor.cmd.Process.Pid)
		equal(t, len(others), 1)
		first := others[0]
		check(t, first.FD == 3 && first.Readable && first.Writable, "%+v", first)
		equal(t, first.Command, lines(fmt.Sprintf("/proc/%d/comm", first.PID))[0])
		check(t, first.StartTicks > 0 && !first.StartedAt.IsZero(), "%+v", first)
		equal(t, first.String(), fmt.Sprintf("process %d (%s), descriptor 3, for reading and writing", first.PID, first.Command))

		others = holdersIn(holders, mapping.cmd.Process.Pid)
		equal(t, len(others), 1)
		check(t, others[0].FD == -1 && others[0].Readable && !others[0].Writable, "%+v", others[0])
		equal(t, others[0].String(), fmt.Sprintf("process %d (%s), %d bytes mapped, for reading", others[0].PID, others[0].Command, 2*page))
		equal(t, len(holders), 4)
		openers, _, err := r.Openers()
		ok(t, err)
		equal(t, len(openers), 2)
		check(t, openers[0].FD >= 3 && openers[1].FD >= 3, "%+v", openers)

		descriptor.ends()
		mapping.kill()
		holders, _, err = r.Holders()
		ok(t, err)
		equal(t, len(holders), 2)
	}
}

// A segment is held by mappings alone, which the kernel counts; anonymous memory by this process.
func TestHoldersWithoutDescriptors(t *testing.T) {
	segment := opened(t)(shmkit.CreateSysV(0, page, shmkit.AutoRemove))
	anonymous := opened(t)(shmkit.CreateAnonymous(page))
	for _, r := range []*shmkit.Region{segment, anonymous} {
		holders, _, err := r.Holders()
		ok(t, err)
		equal(t, len(holders), 1)
		check(t, holders[0].PID == os.Getpid() && holders[0].FD == -1 && holders[0].Address == address(t, r), "%+v", holders[0])
	}
}

func TestStringsOfHolders(t *testing.T) {
	for _, row := range []struct {
		holder shmkit.Holder
		want   string
	}{
		{shmkit.Holder{PID: 1, Command: "a\x1b[2J", FD: 3, Writable: true}, `process 1 ("a\x1b[2J"), descriptor 3, for writing`},
		{shmkit.Holder{PID: 1, Command: "a b", FD: -1, Length: 8, Readable: true}, "process 1 (a b), 8 bytes mapped privately, for reading"},
		{shmkit.Holder{PID: 1, Command: "a", FD: -1, Length: 8, Shared: true}, "process 1 (a), 8 bytes mapped, without rights"},
	} {
		equal(t, row.holder.String(), row.want)
	}
}

func TestResidency(t *testing.T) {
	forEveryKind(t, func(t *testing.T, m maker) {
		if m.kind == shmkit.Descriptor || m.kind == shmkit.File {
			t.Skip("a disk's file is in memory as the kernel likes")
		}
		r := opened(t)(m.create(t, 4*page-1, shmkit.NoReserve))
		before, err := r.Residency(0, r.Size())
		ok(t, err)
		check(t, !before.OwnOnly, "%v", r)
		equal(t, before.Resident+before.Absent, 4*page)
		equal(t, fmt.Sprint(before.Runs), fmt.Sprint([]shmkit.Run{{0, 4 * page, false}}))
		write(t, r, int64(page), "x")
		after, err := r.Residency(0, r.Size())
		ok(t, err)
		equal(t, fmt.Sprint(after.Runs), fmt.Sprint([]shmkit.Run{{0, page, false}, {page, page, true}, {2 * page, 2 * page, false}}))
		equal(t, after.Resident, page)
		equal(t, after.Absent, 3*page)

		// Whole pages, as far as the range touches them.
		part, err := r.Residency(page+1, page)
		ok(t, err)
		equal(t, fmt.Sprint(part.Runs), fmt.Sprint([]shmkit.Run{{page, page, true}, {2 * page, page, false}}))
		none, err := r.Residency(page, 0)
		ok(t, err)
		check(t, none.Runs == nil && none.Resident == 0 && none.Absent == 0, "%+v", none)

		pages := 0
		for offset, resident := range after.Pages() {
			equal(t, offset, pages*page)
			equal(t, resident, pages == 1)
			pages++
		}
		equal(t, pages, 4)
		for offset := range after.Pages() {
			check(t, offset == 0, "it goes on after a break")
			break
		}
	})
}

// Whoever has touched the pages.
func TestResidencyIsTheObjects(t *testing.T) {
	name := newName(t)
	one := opened(t)(shmkit.CreatePOSIX(name, 2*page, shmkit.NoReserve))
	other := opened(t)(shmkit.OpenPOSIX(name))
	write(t, other, 0, "x")
	residency, err := one.Residency(0, 2*page)
	ok(t, err)
	equal(t, residency.Resident, page)
}

func TestUsage(t *testing.T) {
	forEveryKind(t, func(t *testing.T, m maker) {
		r := opened(t)(m.create(t, 4*page))
		write(t, r, 0, "x")
		ok(t, r.Lock(0, 4*page))
		usage, err := r.Usage()
		ok(t, err)
		figures := smaps(t, r)
		for name, got := range map[string]int{
			"Size": usage.Size, "Rss": usage.Resident, "Pss": usage.Proportional,
			"Shared_Clean": usage.SharedClean, "Shared_Dirty": usage.SharedDirty,
			"Private_Clean": usage.PrivateClean, "Private_Dirty": usage.PrivateDirty,
			"Locked": usage.Locked, "Swap": usage.Swapped, "KernelPageSize": usage.PageSize,
		} {
			equal(t, fmt.Sprintf("%s %d kB", name, got/1024), name+" "+strings.TrimSpace(figures[name]))
		}
		equal(t, usage.Size, 4*page)
		equal(t, usage.Resident, 4*page)
		equal(t, usage.Mappings, 1)
		equal(t, fmt.Sprint(usage.Flags), fmt.Sprint(strings.Fields(figures["VmFlags"])))
		check(t, slices.Contains(usage.Flags, "sh") && slices.Contains(usage.Flags, "lo"), "%v", usage.Flags)

		ok(t, r.Unlock(page, page))
		usage, err = r.Usage()
		ok(t, err)
		equal(t, usage.Mappings, 3)
		equal(t, usage.Size, 4*page)
	})
}

func TestFileSystem(t *testing.T) {
	r := opened(t)(shmkit.Create("memory", page))
	system, err := r.FileSystem()
	ok(t, err)
	equal(t, system, shmkit.FileSystem{Kind: "tmpfs", Size: math.MaxInt, Free: math.MaxInt, FilesFree: math.MaxInt, InMemory: true})

	directory := t.TempDir()
	path := directory + "/" + testPrefix
	for place, r := range map[string]*shmkit.Region{
		"/dev/shm": opened(t)(shmkit.CreatePOSIX(newName(t), page)),
		directory:  opened(t)(shmkit.CreateFile(path, page)),
	} {
		system, err := r.FileSystem()
		ok(t, err)
		var stat syscall.Statfs_t
		ok(t, syscall.Statfs(place, &stat))
		equal(t, system.Size, int(stat.Blocks)*int(stat.Bsize))
		check(t, system.Kind != "" && system.Options != "" && strings.HasPrefix(place, system.MountPoint), "%+v", system)
		check(t, system.Free > 0 && system.Free <= system.Size && system.FilesFree > 0, "%+v", system)
		equal(t, system.InMemory, system.Kind == "tmpfs")
	}
}

func TestFits(t *testing.T) {
	taken := filepath.Join(t.TempDir(), "taken")
	ok(t, os.WriteFile(taken, nil, 0o600))
	refused(t, shmkit.FitsFile(taken, 1), syscall.EEXIST, "taken")
	ok(t, shmkit.FitsFile(taken, 1, shmkit.Replace))

	for _, kind := range []shmkit.Kind{shmkit.Memfd, shmkit.Anonymous, shmkit.POSIX, shmkit.SysV} {
		ok(t, shmkit.Fits(kind, page))
		ok(t, shmkit.Fits(kind, page, shmkit.Mode(0o640), shmkit.NoReserve, shmkit.Locked))
		refused(t, shmkit.Fits(kind, 0), syscall.EINVAL, "Fits", "0 bytes")
		refused(t, shmkit.Fits(kind, -1), syscall.EINVAL, "Fits", "-1")
		err := shmkit.Fits(kind, 1<<50)
		sound(t, err)
		check(t, strings.Contains(err.Error(), strconv.Itoa(1<<50)), "%v has no numbers", err)
		refused(t, shmkit.Fits(kind, 1, shmkit.Flag(1<<31)), syscall.EINVAL, "Fits")
		refused(t, shmkit.Fits(kind, 1, nil), syscall.EINVAL, "Fits", "nil")
		refused(t, shmkit.Fits(kind, 1, shmkit.Size(1)), syscall.EINVAL, "Fits", "Size")
	}
	refused(t, shmkit.Fits(shmkit.File, page), syscall.EINVAL, "FitsFile")
	for _, kind := range []shmkit.Kind{shmkit.Descriptor, 0, -1, 7, 8, 9, 10, math.MaxInt32} {
		refused(t, shmkit.Fits(kind, page), syscall.EINVAL, "Fits", "kind")
	}

	path := newPath(t)
	ok(t, shmkit.FitsFile(path, page))
	_, err := os.Stat(path)
	check(t, os.IsNotExist(err), "a file was made")
	refused(t, shmkit.FitsFile(path, 1<<60), syscall.ENOSPC, "FitsFile", "free")
	refused(t, shmkit.FitsFile(path+"/no/file", 1), syscall.ENOENT, "FitsFile", "directory")
	refused(t, shmkit.FitsFile("with\x00NUL", 1), syscall.EINVAL, "FitsFile", "NUL")
	refused(t, shmkit.FitsFile(path, -1), syscall.EINVAL, "FitsFile", "-1")
}

package shmkit_test

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"shmkit"
)

func TestPOSIXIsAFileOfDevShm(t *testing.T) {
	name := newName(t)
	r := opened(t)(shmkit.CreatePOSIX("/"+name, 5000))
	write(t, r, 4990, "by shmkit!")
	content, err := os.ReadFile("/dev/shm/" + name)
	ok(t, err)
	equal(t, len(content), 5000)
	equal(t, string(content[4990:]), "by shmkit!")
}

func init() {
	// posix-plain writes and reads as a program that does not know shmkit.
	helpers["posix-plain"] = func(h *helper) error {
		file, err := os.OpenFile("/dev/shm/"+h.args[0], os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer file.Close()
		memory, err := syscall.Mmap(int(file.Fd()), 0, 100, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
		if err != nil {
			return err
		}
		h.say("%s", memory[:5])
		copy(memory[50:], "plain")
		h.say("written")
		_, err = h.hear()
		return err
	}
	// posix-user opens the name, and says so, until it is told to end.
	helpers["posix-user"] = func(h *helper) error {
		r, err := shmkit.CreatePOSIX(h.args[0], 100, shmkit.OrOpen, shmkit.UnlinkLast)
		if err != nil {
			return err
		}
		h.say("created %v", r.Created())
		if _, err := h.hear(); err != nil {
			return err
		}
		return r.Close()
	}
}

func TestPOSIXWithAProgramThatDoesNotKnowUs(t *testing.T) {
	name := newName(t)
	r := opened(t)(shmkit.CreatePOSIX(name, 100))
	write(t, r, 0, "hello")
	p := start(t, "posix-plain", nil, name)
	p.hears("hello")
	p.hears("written")
	equal(t, read(t, r, 50, 5), "plain")
	p.say("end")
	p.ends()

	// And what such a program has made.
	other := newName(t)
	ok(t, os.WriteFile("/dev/shm/"+other, []byte("made by others"), 0o600))
	theirs := opened(t)(shmkit.OpenPOSIX(other))
	equal(t, read(t, theirs, 0, 14), "made by others")
	check(t, !theirs.Created(), "it was there")
}

func TestPOSIXCreationIsExclusive(t *testing.T) {
	name := newName(t)
	r, err := shmkit.OpenPOSIX(name)
	refusedRegion(t, r, err, syscall.ENOENT, "OpenPOSIX", name)
	check(t, errors.Is(err, fs.ErrNotExist), "%v is no fs.ErrNotExist", err)
	first := opened(t)(shmkit.CreatePOSIX(name, 100))
	r, err = shmkit.CreatePOSIX(name, 100)
	refusedRegion(t, r, err, syscall.EEXIST, "CreatePOSIX", name)
	check(t, !opened(t)(shmkit.CreatePOSIX(name, 100, shmkit.OrOpen)).Created(), "it was there")
	second := opened(t)(shmkit.CreatePOSIX(name, 200, shmkit.Replace))
	refused(t, first.Unlink(), syscall.ESTALE, name)
	ok(t, second.Unlink())
	refused(t, second.Unlink(), syscall.ENOENT)
	refused(t, shmkit.UnlinkPOSIX(name), syscall.ENOENT, "UnlinkPOSIX", name)
	write(t, first, 0, "both live on")
	write(t, second, 0, "both live on")
	third := opened(t)(shmkit.CreatePOSIX(name, 100))
	allZero(t, third)
	ok(t, shmkit.UnlinkPOSIX("/"+name))
	refused(t, opened(t)(shmkit.Create(name, 1)).Unlink(), syscall.EOPNOTSUPP)
}

func TestPOSIXNameGoesWithTheLast(t *testing.T) {
	name := newName(t)
	there := func() bool {
		_, err := os.Stat("/dev/shm/" + name)
		return err == nil
	}
	first := opened(t)(shmkit.CreatePOSIX(name, 100, shmkit.UnlinkLast))
	other := start(t, "posix-user", nil, name)
	other.hears("created false")
	ok(t, first.Close())
	check(t, there(), "the name is gone too early")
	other.say("end")
	other.ends()
	check(t, !there(), "the last has not removed the name")

	// Whoever is killed leaves it to the next.
	killed := start(t, "posix-user", nil, name)
	killed.hears("created true")
	killed.kill()
	check(t, there(), "nobody could have removed the name")
	r, err := shmkit.OpenPOSIX(name)
	refusedRegion(t, r, err, syscall.ENOENT)
	check(t, !there(), "the next has not removed the name")

	creator := opened(t)(shmkit.CreatePOSIX(name, 100, shmkit.UnlinkCreator))
	user := opened(t)(shmkit.OpenPOSIX(name))
	ok(t, creator.Close())
	check(t, !there(), "the creator has not removed the name")
	write(t, user, 0, "still there")
	r, err = shmkit.CreatePOSIX(name, 1, shmkit.UnlinkLast, shmkit.UnlinkCreator)
	refusedRegion(t, r, err, syscall.EINVAL)
}

func TestPOSIXNames(t *testing.T) {
	for _, row := range []struct {
		name string
		want error
	}{
		{"", syscall.EINVAL}, {"/", syscall.EINVAL}, {"//", syscall.EINVAL}, {"/.", syscall.EINVAL}, {"/..", syscall.EINVAL},
		{"/a/b", syscall.EINVAL}, {"/a/", syscall.EINVAL}, {"/../x", syscall.EINVAL}, {"a\x00b", syscall.EINVAL}, {"\x00", syscall.EINVAL},
		{strings.Repeat("n", 256), syscall.ENAMETOOLONG}, {strings.Repeat("n", 100000), syscall.ENAMETOOLONG},
	} {
		unchanged(t, func() {
			r, err := shmkit.CreatePOSIX(row.name, 1)
			refusedRegion(t, r, err, row.want, "CreatePOSIX")
			r, err = shmkit.CreatePOSIX(row.name, 1, shmkit.OrOpen)
			refusedRegion(t, r, err, row.want)
			r, err = shmkit.OpenPOSIX(row.name)
			refusedRegion(t, r, err, row.want, "OpenPOSIX")
			refused(t, shmkit.UnlinkPOSIX(row.name), row.want, "UnlinkPOSIX")
		})
	}
	longest := ownPrefix() + strings.Repeat("n", 255-len(ownPrefix()))
	r := opened(t)(shmkit.CreatePOSIX("///"+longest, 1))
	ok(t, r.Unlink())
	// Control characters of a stranger's name do not reach a terminal.
	refused(t, shmkit.UnlinkPOSIX(testPrefix+"-\x1b[2J\n"), syscall.ENOENT)
}

func TestPOSIXObjectsThatAreNone(t *testing.T) {
	link, empty := newName(t), newName(t)
	ok(t, os.Symlink("/etc/passwd", "/dev/shm/"+link))
	ok(t, os.WriteFile("/dev/shm/"+empty, nil, 0o600))
	r, err := shmkit.OpenPOSIX(link, shmkit.ReadOnly)
	refusedRegion(t, r, err, syscall.ELOOP, link)
	r, err = shmkit.CreatePOSIX(link, 1, shmkit.OrOpen)
	refusedRegion(t, r, err, syscall.ELOOP, link)
	r, err = shmkit.OpenPOSIX(empty)
	refusedRegion(t, r, err, syscall.EINVAL, empty)
	directory := newName(t)
	ok(t, os.Mkdir("/dev/shm/"+directory, 0o700))
	r, err = shmkit.OpenPOSIX(directory, shmkit.ReadOnly)
	refusedRegion(t, r, err, syscall.ENODEV, directory)
	fifo := newName(t)
	ok(t, syscall.Mkfifo("/dev/shm/"+fifo, 0o600))
	r, err = shmkit.OpenPOSIX(fifo)
	refusedRegion(t, r, err, syscall.ENODEV, fifo)
}

func init() {
	helpers["posix-race"] = func(h *helper) error {
		for round := 0; ; round++ {
			name, err := h.hear()
			if err != nil {
				return nil
			}
			r, err := shmkit.CreatePOSIX(name, 100, shmkit.OrOpen)
			if err != nil {
				return err
			}
			h.say("%v %d", r.Created(), r.Size())
			if err := r.Close(); err != nil {
				return err
			}
		}
	}
}

// Of two who create at once, one makes it, and nobody sees it without its size.
func TestPOSIXOneOfTwoCreates(t *testing.T) {
	other := start(t, "posix-race", nil)
	for range rounds(200) {
		name := newName(t)
		other.say("%s", name)
		r, err := shmkit.CreatePOSIX(name, 100, shmkit.OrOpen)
		ok(t, err)
		equal(t, r.Size(), 100)
		want := "false 100"
		if !r.Created() {
			want = "true 100"
		}
		other.hears(want)
		ok(t, r.Unlink())
		ok(t, r.Close())
	}
	other.ends()
}

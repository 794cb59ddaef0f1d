// Package message is what sender and receiver have in common: the head of the region, the digest, the
// progress.
package message

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"shmkit"
)

// Head is the head of the region. Offsets count from the region's first byte.
type Head struct {
	TextOffset, TextSize uint64
	FileOffset, FileSize uint64
}

const (
	HeadSize = int(unsafe.Sizeof(Head{}))
	Chunk    = 16 << 20
)

// Exit ends the program, after an error with one line that says what C's programs say.
func Exit(err error) {
	if err == nil {
		os.Exit(0)
	}
	text := err.Error()
	var failure *shmkit.Error
	var onPath *os.PathError
	var errno syscall.Errno
	if errors.As(err, &failure) {
		text = failure.Message
	} else if errors.As(err, &onPath) && errors.As(err, &errno) {
		text = fmt.Sprintf("%s: %v", onPath.Path, Text(errno))
	}
	fmt.Fprintln(os.Stderr, text)
	os.Exit(1)
}

// Text is strerror(3)'s text; Go's own begins in lower case.
func Text(errno syscall.Errno) string { return shmkit.Code(-int(errno)).Error() }

// ShowProgress tells on stderr how far a large job is: a line rewritten on a terminal, else a line each
// tenth.
func ShowProgress(job string, before, done, total int) {
	info, err := os.Stderr.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	if total <= 256<<20 || !terminal && before*10/total == done*10/total {
		return
	}
	start, end := "", "\n"
	if terminal {
		start = "\r\033[K"
		if done < total {
			end = ""
		}
	}
	fmt.Fprintf(os.Stderr, "%s%s: %d of %d MiB%s", start, job, done>>20, total>>20, end)
}

// PrintSHA256 prints the digest of the bytes as sha256sum(1) does.
func PrintSHA256(job string, data []byte, name string) {
	digest := sha256.New()
	for done := 0; done < len(data); {
		n, _ := digest.Write(data[done:min(done+Chunk, len(data))])
		ShowProgress(job, done, done+n, len(data))
		done += n
	}
	fmt.Printf("%x  %s\n", digest.Sum(nil), name)
}

// PrintRegion prints which open file stands behind a region: the same one in both processes.
func PrintRegion(who string, region *shmkit.Region, file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	stat := info.Sys().(*syscall.Stat_t)
	major := stat.Dev>>8&0xfff | stat.Dev>>32&^0xfff
	minor := stat.Dev&0xff | stat.Dev>>12&^0xff
	fmt.Printf("%s: descriptor %d, device %d:%d, inode %d, %d bytes\n", who, file.Fd(), major, minor, stat.Ino, region.Size())
	return nil
}

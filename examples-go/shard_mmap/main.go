// ShardData, AttachShmWithMmap and DetachShmWithMmap over shmkit: two processes, one file, ./block.
//
//	shard_mmap write TEXT     makes ./block of 1024 zero bytes where it is missing, writes TEXT
//	shard_mmap read           prints it
package main

import (
	"bytes"
	"fmt"
	"os"
	"syscall"

	"shmkit"
)

const blockSize = 1024

// ShardData is a mapped file.
type ShardData struct {
	id     int    // the file's descriptor
	data   []byte // not guarded: the process ends if somebody truncates the file. Region.Bytes is
	region *shmkit.Region
}

// AttachShmWithMmap maps a file. Of prot PROT_WRITE counts, of flags MAP_PRIVATE; both as for mmap(2).
func AttachShmWithMmap(f *os.File, offset int64, length, prot, flags int) (*ShardData, error) {
	options := []shmkit.Option{shmkit.Offset(offset), shmkit.Size(length)}
	if prot&syscall.PROT_WRITE == 0 {
		options = append(options, shmkit.ReadOnly)
	}
	if flags&syscall.MAP_PRIVATE != 0 {
		options = append(options, shmkit.Private)
	}
	region, err := shmkit.FromFile(f, options...)
	if err != nil {
		return nil, err
	}
	data, err := region.UnsafeBytes()
	if err != nil {
		return nil, err
	}
	return &ShardData{int(f.Fd()), data, region}, nil
}

// DetachShmWithMmap unmaps. The bytes stay in the file.
func DetachShmWithMmap(sd *ShardData) error {
	sd.data = nil
	return sd.region.Close()
}

func write(text string) error {
	if len(text) > blockSize {
		return fmt.Errorf("the text has %d bytes, the block %d", len(text), blockSize)
	}
	block, err := shmkit.CreateFile("./block", blockSize, shmkit.OrOpen)
	if err != nil {
		return err
	}
	block.Close()
	f, err := os.OpenFile("./block", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	sd, err := AttachShmWithMmap(f, 0, blockSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return err
	}
	clear(sd.data[copy(sd.data, text):])
	return DetachShmWithMmap(sd)
}

func read() error {
	f, err := os.Open("./block")
	if err != nil {
		return err
	}
	defer f.Close()
	sd, err := AttachShmWithMmap(f, 0, blockSize, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return err
	}
	text, _, _ := bytes.Cut(sd.data, []byte{0})
	fmt.Printf("%s\n", text)
	return DetachShmWithMmap(sd)
}

func main() {
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 2 && args[0] == "write":
		err = write(args[1])
	case len(args) == 1 && args[0] == "read":
		err = read()
	default:
		fmt.Fprintln(os.Stderr, "usage: shard_mmap write TEXT | shard_mmap read")
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

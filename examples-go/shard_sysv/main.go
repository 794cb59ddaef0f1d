// ShardData, AttachShmWithSysV and DetachShmWithSysV over shmkit: two processes, one System V segment,
// under the key of the current directory.
//
//	shard_sysv write TEXT     makes the segment where it is missing, writes TEXT
//	shard_sysv read           prints it and removes the segment
package main

import (
	"bytes"
	"fmt"
	"os"

	"shmkit"
)

const (
	blockSize = 1024
	ipcCreat  = 0o1000 // IPC_CREAT, which Go's syscall package does not have
)

// ShardData is an attached segment.
type ShardData struct {
	id     int // the segment's
	data   []byte
	region *shmkit.Region
}

// AttachShmWithSysV attaches a segment. Of flag IPC_CREAT counts: it creates the segment, of mode 0600,
// where it is missing.
func AttachShmWithSysV(key, size, flag int) (*ShardData, error) {
	var region *shmkit.Region
	var err error
	if flag&ipcCreat != 0 {
		region, err = shmkit.CreateSysV(shmkit.SysVKey(key), size, shmkit.OrOpen)
	} else {
		region, err = shmkit.AttachSysV(shmkit.SysVKey(key), shmkit.SizeMin(size))
	}
	if err != nil {
		return nil, err
	}
	id, err := region.SysVID()
	if err != nil {
		return nil, err
	}
	// Nobody can make a segment smaller, so its plain bytes are safe until it is detached.
	data, err := region.UnsafeBytes()
	if err != nil {
		return nil, err
	}
	return &ShardData{int(id), data[:size], region}, nil
}

// DetachShmWithSysV detaches and removes. Others that have the segment attached keep it.
func DetachShmWithSysV(sd *ShardData) error {
	sd.data = nil
	if err := sd.region.Close(); err != nil {
		return err
	}
	return shmkit.RemoveSysV(shmkit.SysVID(sd.id))
}

func attach(flag int) (*ShardData, error) {
	key, err := shmkit.SysVKeyOf(".", 1)
	if err != nil {
		return nil, err
	}
	return AttachShmWithSysV(int(key), blockSize, flag)
}

func write(text string) error {
	if len(text) > blockSize {
		return fmt.Errorf("the text has %d bytes, the block %d", len(text), blockSize)
	}
	sd, err := attach(ipcCreat)
	if err != nil {
		return err
	}
	clear(sd.data[copy(sd.data, text):])
	return sd.region.Close() // the segment stays for the reader
}

func read() error {
	sd, err := attach(0)
	if err != nil {
		return err
	}
	text, _, _ := bytes.Cut(sd.data, []byte{0})
	fmt.Printf("%s\n", text)
	return DetachShmWithSysV(sd)
}

func main() {
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 2 && args[0] == "write":
		err = write(args[1])
	case len(args) == 1 && args[0] == "read":
		err = read()
	default:
		fmt.Fprintln(os.Stderr, "usage: shard_sysv write TEXT | shard_sysv read")
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

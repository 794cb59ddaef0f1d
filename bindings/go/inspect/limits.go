package inspect

import (
	"fmt"
	"math"
	"strconv"

	"shmkit/internal/capi"
)

// LimitList has the limits in an order that is good to read.
type LimitList []Limit

// Find returns the limit that has this name in the kernel.
func (l LimitList) Find(name string) (limit Limit, found bool) {
	for _, limit := range l {
		if limit.Name == name {
			return limit, true
		}
	}
	return Limit{}, false
}

// Limit is one limit that shared memory meets.
type Limit struct {
	Name   string // in the kernel: "kernel.shmmax", "RLIMIT_NOFILE", "hugepages-2048kB"; shm_inspect(3) lists them
	Value  Value  // what it is set to
	Used   Value  // how much of it is in use, where HasUse
	HasUse bool   // something uses it up; where not, Used is unknown, and there is nothing to know
	Unit   Unit   // of both
	Source string // where it is set: "/proc/sys/kernel/shmmax"
}

// String describes the limit: "kernel.shmmni: 4096, 12 in use (/proc/sys/kernel/shmmni)".
func (l Limit) String() string {
	s := l.Name + ": " + l.Value.String()
	if _, known := l.Value.Number(); known && l.Unit.String() != "" {
		s += " " + l.Unit.String()
	}
	if used, known := l.Used.Number(); known {
		s += fmt.Sprintf(", %d in use", used)
	}
	return s + " (" + l.Source + ")"
}

// Unit says what a limit counts.
type Unit uint32

const (
	Bytes   Unit = 1
	Pages   Unit = 2 // of memory; huge ones for the pools of huge pages
	Count   Unit = 3 // so many things
	Setting Unit = 4 // a number or a word with a meaning of its own
)

// String returns "bytes", "pages", or "" where the number says all.
func (u Unit) String() string {
	switch u {
	case Bytes:
		return "bytes"
	case Pages:
		return "pages"
	}
	return ""
}

// Unlimited is the number of a limit that is none.
const Unlimited uint64 = math.MaxUint64

// Value is a number, or Unlimited; or a word; or unknown, for a reason.
type Value struct {
	number  uint64
	word    string
	unknown string
}

// Number returns the number, which is Unlimited where there is no limit. It is not known where the
// value is a word, or unknown.
func (v Value) Number() (number uint64, known bool) {
	return v.number, v.word == "" && v.unknown == ""
}

// Word returns the value where it is a word ("always"), or "".
func (v Value) Word() string { return v.word }

// Unknown returns why the value is not known, or "".
func (v Value) Unknown() string { return v.unknown }

// String returns the number, "unlimited", the word, or "unknown" and the reason.
func (v Value) String() string {
	switch {
	case v.unknown != "":
		return "unknown: " + v.unknown
	case v.word != "":
		return v.word
	case v.number == Unlimited:
		return "unlimited"
	}
	return strconv.FormatUint(v.number, 10)
}

// Limits reads all limits that shared memory meets: of System V, of /dev/shm, of control groups, of
// this process, of the machine's memory and its huge pages.
func Limits() (LimitList, error) {
	found, f := capi.Limits()
	var limits LimitList
	for _, l := range found {
		used := Value{unknown: "nothing uses it up"}
		switch {
		case l.HasUsed:
			used = Value{number: l.Used}
		case l.UsedUnknown != "":
			used = Value{unknown: l.UsedUnknown}
		}
		limits = append(limits, Limit{
			Name:   l.Name,
			Value:  Value{l.Value, l.Word, l.Unknown},
			Used:   used,
			HasUse: l.HasUsed || l.UsedUnknown != "",
			Unit:   Unit(l.Unit),
			Source: l.Source,
		})
	}
	return limits, failure("Limits", f)
}

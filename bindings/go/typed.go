package shmkit

import (
	"reflect"
	"sync"
	"syscall"
	"unsafe"
)

// View lends the T at an offset of the region to a callback, in place: for reading, and for writing
// where the region is writable. It is valid inside the callback alone, as with Region.Bytes, which see
// for faults, panics and goroutines.
//
// T is a type of fixed size without pointers: numbers, arrays and structs of them, the types of
// sync/atomic; no string, slice, map, channel, function, interface, bool or pointer, because another
// process can write any bytes, and nothing of package sync, which knows one process. Its layout is this Go program's: in C the same struct has the same
// layout where its fields have the same sizes and alignments.
//
// In a program with the race detector, C does what atomic operations do: one on memory that a peer
// takes away in that very moment still ends the process.
//
// EINVAL for another type, and for an offset that is not a multiple of its alignment; ERANGE for one
// beyond the region.
func View[T any](r *Region, offset int, use func(value *T) error) error {
	return lendTyped("View", r, offset, 1, func(values []T) error { return use(&values[0]) })
}

// Slice lends count values of type T that begin at an offset of the region to a callback, as View
// does. The count may be one that another process has written: it is checked.
func Slice[T any](r *Region, offset, count int, use func(values []T) error) error {
	return lendTyped("Slice", r, offset, count, use)
}

// Load copies the T at an offset out of the region; T and errors are View's. Another process may write
// meanwhile: what has to be checked before it is used is loaded once, and the copy checked and used.
func Load[T any](r *Region, offset int) (value T, err error) {
	err = lendTyped("Load", r, offset, 1, func(values []T) error {
		value = values[0]
		return nil
	})
	if err != nil {
		var none T
		return none, err
	}
	return value, nil
}

// Store copies a T into the region; T and errors are View's. It is not atomic: others may see a part.
func Store[T any](r *Region, offset int, value T) error {
	return lendTyped("Store", r, offset, 1, func(values []T) error {
		values[0] = value
		return nil
	})
}

func lendTyped[T any](op string, r *Region, offset, count int, use func(values []T) error) error {
	size, align, err := shape[T](op)
	if err != nil {
		return err
	}
	return r.lend(op, func(b []byte) error {
		if offset < 0 || count < 0 {
			return refused(op, syscall.EINVAL, "%d values at offset %d", count, offset)
		}
		if offset%align != 0 {
			return refused(op, syscall.EINVAL, "offset %d is no multiple of %d, the alignment of %v", offset, align, reflect.TypeFor[T]())
		}
		if offset > len(b) || count > (len(b)-offset)/size {
			return refused(op, syscall.ERANGE, "%d values of %d bytes at offset %d are beyond the region: it has %d bytes", count, size, offset, len(b))
		}
		if count == 0 {
			return use(nil)
		}
		return use(unsafe.Slice((*T)(unsafe.Pointer(&b[offset])), count))
	})
}

// shape is a type's size and alignment, if it may lie in shared memory.
func shape[T any](op string) (size, align int, err error) {
	t := reflect.TypeFor[T]()
	if t.Size() == 0 {
		return 0, 0, refused(op, syscall.EINVAL, "%v has no size", t)
	}
	unfit, known := unfits.Load(t)
	if !known {
		unfit, _ = unfits.LoadOrStore(t, whyUnfit(t))
	}
	if why := unfit.(string); why != "" {
		return 0, 0, refused(op, syscall.EINVAL, "%v cannot lie in shared memory: it has a %s in it", t, why)
	}
	return int(t.Size()), t.Align(), nil
}

// unfits remembers whyUnfit for each type.
var unfits sync.Map

// whyUnfit names what a type has in it that other processes must not write; "" where it is fit.
func whyUnfit(t reflect.Type) string {
	if t.PkgPath() == "sync" {
		return t.String()
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return ""
	case reflect.Array:
		return whyUnfit(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if why := whyUnfit(t.Field(i).Type); why != "" {
				return why
			}
		}
		return ""
	}
	return t.Kind().String()
}

package shmkit_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"shmkit"
)

// facts are the methods of Region that have an answer at all times, and no error.
var facts = []string{"CanShrink", "Close", "Created", "Kind", "Name", "PageSize", "Rights", "Size", "SizeMax", "String"}

// callAll calls every method of the region but the facts, with arguments that are good, and hands each
// error to a check.
func callAll(t *testing.T, r *shmkit.Region, check func(method string, err error)) {
	t.Helper()
	value := reflect.ValueOf(r)
	for i := range value.NumMethod() {
		method := value.Type().Method(i)
		if slices.Contains(facts, method.Name) {
			continue
		}
		check(method.Name, call(t, method.Name, value.Method(i)))
	}
	ctx := soon(t)
	one, _ := pair(t)
	check("View", shmkit.View(r, 0, func(*int64) error { panic("called") }))
	check("Slice", shmkit.Slice(r, 0, 1, func([]int64) error { panic("called") }))
	check("SendRegion", shmkit.SendRegion(ctx, one, r))
}

// call calls a method, and returns its error.
func call(t *testing.T, name string, method reflect.Value) error {
	t.Helper()
	var in []reflect.Value
	signature := method.Type()
	for i := range signature.NumIn() {
		if signature.IsVariadic() && i == signature.NumIn()-1 {
			break
		}
		switch parameter := signature.In(i); parameter {
		case reflect.TypeFor[[]byte]():
			in = append(in, reflect.ValueOf(make([]byte, 1)))
		case reflect.TypeFor[func([]byte) error]():
			in = append(in, reflect.ValueOf(func([]byte) error { panic("called") }))
		case reflect.TypeFor[func(unsafe.Pointer) error]():
			in = append(in, reflect.ValueOf(func(unsafe.Pointer) error { panic("called") }))
		default:
			number := reflect.New(parameter).Elem()
			if number.CanInt() && name == "Grow" {
				number.SetInt(1)
			} else if !number.CanInt() && !number.CanUint() {
				t.Fatalf("%s has a parameter of a new type, %v: teach this test", name, parameter)
			}
			in = append(in, number)
		}
	}
	out := method.Call(in)
	last, is := out[len(out)-1].Interface().(error)
	if !is && signature.Out(signature.NumOut()-1) != reflect.TypeFor[error]() {
		t.Fatalf("%s has no error, and is none of the facts", name)
	}
	for _, result := range out[:len(out)-1] {
		if last != nil && !result.IsZero() {
			t.Errorf("%s fails, and returns %v", name, result)
		}
	}
	return last
}

func TestNoRegion(t *testing.T) {
	for name, r := range map[string]*shmkit.Region{"nil": nil, "zero": {}} {
		t.Run(name, func(t *testing.T) {
			callAll(t, r, func(method string, err error) {
				if err == nil {
					t.Errorf("%s succeeds", method)
					return
				}
				refused(t, err, syscall.EINVAL, method, "region")
			})
			var p [1]byte
			for _, bytes := range [][]byte{nil, p[:0], p[:]} {
				_, err := r.ReadAt(bytes, 0)
				refused(t, err, syscall.EINVAL, "ReadAt", "region")
				_, err = r.WriteAt(bytes, 0)
				refused(t, err, syscall.EINVAL, "WriteAt", "region")
			}
			equal(t, r.Size(), 0)
			equal(t, r.SizeMax(), 0)
			equal(t, r.PageSize(), 0)
			equal(t, r.Kind(), 0)
			equal(t, r.Name(), "")
			check(t, !r.Created() && !r.CanShrink(), "no region is made, or can shrink")
			check(t, r.String() != "" && fmt.Sprint(r) == r.String(), "%q", r)
			ok(t, r.Close())
			ok(t, r.Close())
		})
	}
}

func TestAfterClose(t *testing.T) {
	forEveryKind(t, func(t *testing.T, m maker) {
		r, err := m.create(t, 100)
		ok(t, err)
		before := r.String()
		size, kind, name, created, shrink := r.Size(), r.Kind(), r.Name(), r.Created(), r.CanShrink()
		ok(t, r.Close())
		callAll(t, r, func(method string, err error) {
			if err == nil {
				t.Errorf("%s of a closed region succeeds", method)
				return
			}
			refused(t, err, shmkit.ErrClosed, method, "closed")
		})
		for _, bytes := range [][]byte{nil, make([]byte, 0), make([]byte, 100), make([]byte, 200)} {
			for _, offset := range []int64{0, 50, 100, 1000, -1} {
				n, err := r.ReadAt(bytes, offset)
				equal(t, n, 0)
				refused(t, err, shmkit.ErrClosed, "ReadAt")
				n, err = r.WriteAt(bytes, offset)
				equal(t, n, 0)
				refused(t, err, shmkit.ErrClosed, "WriteAt")
			}
		}
		equal(t, r.String(), before)
		equal(t, r.Size(), size)
		equal(t, r.SizeMax(), size)
		equal(t, r.PageSize(), page)
		equal(t, r.Kind(), kind)
		equal(t, r.Name(), name)
		equal(t, r.Created(), created)
		equal(t, r.CanShrink(), shrink)
		ok(t, r.Close())
	})
}

// A function that takes a region or makes one is in this test or another: whoever adds one, thinks of it.
func TestEveryMethodIsKnown(t *testing.T) {
	region := reflect.TypeFor[*shmkit.Region]()
	for _, name := range facts {
		_, is := region.MethodByName(name)
		check(t, is, "Region has no method %s", name)
	}
}

func TestNilArguments(t *testing.T) {
	ctx := soon(t)
	one, other := pair(t)
	r := opened(t)(shmkit.Create("nil", 1))
	for name, open := range openers(t) {
		unchanged(t, func() {
			got, err := open(nil)
			refusedRegion(t, got, err, syscall.EINVAL, strings.Split(name, " ")[0], "option", "nil")
		})
	}
	got, err := shmkit.FromFile(nil)
	refusedRegion(t, got, err, syscall.EINVAL, "FromFile", "file", "nil")
	refused(t, shmkit.SendFile(ctx, one, nil), syscall.EINVAL, "SendFile", "file", "nil")
	refused(t, shmkit.SendRegion(ctx, one, nil), syscall.EINVAL, "SendRegion", "region", "nil")
	for _, conn := range noConns() {
		refused(t, shmkit.SendRegion(ctx, conn, r), syscall.EINVAL, "SendRegion", "nil")
		got, err = shmkit.RecvRegion(ctx, conn)
		refusedRegion(t, got, err, syscall.EINVAL, "RecvRegion", "nil")
		_, err = shmkit.RecvFile(ctx, conn)
		refused(t, err, syscall.EINVAL, "RecvFile", "nil")
		_, err = shmkit.RecvFiles(ctx, conn, 1, make([]byte, 1))
		refused(t, err, syscall.EINVAL, "RecvFiles", "nil")
		_, err = shmkit.PeerOf(conn)
		refused(t, err, syscall.EINVAL, "PeerOf", "nil")
	}
	_, err = shmkit.Accept(ctx, nil)
	refused(t, err, syscall.EINVAL, "Accept", "nil")
	// Nothing of all that has come through.
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = shmkit.RecvFile(ended, other)
	refused(t, err, context.Canceled, "RecvFile")
}

// A nil callback is a mistake of the program, as calling any nil function is; the region survives it.
func TestNilCallback(t *testing.T) {
	r := opened(t)(shmkit.Create("nil", 1))
	for _, lend := range []func(){
		func() { r.Bytes(nil) },
		func() { r.Pointer(nil) },
		func() { shmkit.View[int8](r, 0, nil) },
		func() { shmkit.Slice[int8](r, 0, 1, nil) },
	} {
		value := panicOf(lend)
		err, is := value.(error)
		check(t, is && strings.Contains(err.Error(), "nil pointer"), "%v", value)
	}
	write(t, r, 0, "x")
}

// panicOf is what work panics with.
func panicOf(work func()) (value any) {
	defer func() { value = recover() }()
	work()
	return nil
}

var errOfTheCallback = errors.New("of the callback")

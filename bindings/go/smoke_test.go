package shmkit
import ("testing";"context";"errors";"io";"os";"time";"io/fs")
func TestSmoke(t *testing.T) {
	r, err := Create("frames", 10000)
	if err != nil { t.Fatal(err) }
	if _, err := r.WriteAt([]byte("hello"), 9995); err != nil { t.Fatal(err) }
	b, err := io.ReadAll(io.NewSectionReader(r, 9995, 100))
	t.Logf("%q %v", b, err)
	_, err = r.WriteAt([]byte("hello"), 9996)
	t.Log(err)
	one, other, err := Pair()
	if err != nil { t.Fatal(err) }
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := SendRegion(ctx, one, r); err != nil { t.Fatal(err) }
	got, err := RecvRegion(ctx, other, ReadOnly)
	if err != nil { t.Fatal(err) }
	t.Log(got, got.Kind(), got.CanShrink())
	_, err = RecvRegion(ctx, other, ReadOnly)
	t.Log(err, errors.Is(err, context.DeadlineExceeded))
	_, err = got.WriteAt([]byte("x"), 0)
	t.Log(err, errors.Is(err, fs.ErrPermission))
	err = got.Bytes(func(b []byte) error { b[0] = 1; return nil })
	t.Log(err, errors.Is(err, fs.ErrPermission))
	f, _ := os.CreateTemp("", "x")
	defer os.Remove(f.Name())
	f.Truncate(3*4096)
	r2, err := FromFile(f)
	if err != nil { t.Fatal(err) }
	f.Truncate(4096)
	_, err = r2.ReadAt(make([]byte, 9000), 0)
	t.Log(err, errors.Is(err, ErrShrunk))
	err = r2.Bytes(func(b []byte) error { b[5000] = 1; return nil })
	t.Log(err, errors.Is(err, ErrShrunk))
	err = View(r2, 8192, func(v *[2]uint64) error { v[1] = 3; return nil})
	t.Log(err)
	err = View(r2, 8192, func(v *struct{s string}) error { return nil})
	t.Log(err)
	t.Log(r2.Close(), r2.Close())
	_, err = r2.ReadAt(make([]byte, 9000), 0)
	t.Log(err, errors.Is(err, ErrClosed))
	_, err = OpenPOSIX("nothing")
	t.Log(err, errors.Is(err, fs.ErrNotExist))
	got.Close(); r.Close()
}

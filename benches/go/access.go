package main

// static void empty(void) {}
import "C"

import "shmkit"

func emptyCall() error {
	C.empty()
	return nil
}

// sealed has its memory for good; a file's can be taken away.
func sealed(b *bench) (*shmkit.Region, error) { return shmkit.Create("bench", size, shmkit.Populate) }

func unsealed(b *bench) (*shmkit.Region, error) {
	return shmkit.CreateFile(b.path("unsealed"), size, shmkit.Populate)
}

func read64k(b *bench) (ours, reference step, err error) {
	return reads(b, sealed, size)
}

func read64kUnsealed(b *bench) (ours, reference step, err error) {
	return reads(b, unsealed, size)
}

func write64k(b *bench) (ours, reference step, err error) {
	return writes(b, sealed, size)
}

func write64kUnsealed(b *bench) (ours, reference step, err error) {
	return writes(b, unsealed, size)
}

func read64B(b *bench) (ours, reference step, err error) {
	ours, _, err = reads(b, sealed, 64)
	return ours, emptyCall, err
}

func read64BUnsealed(b *bench) (ours, reference step, err error) {
	ours, _, err = reads(b, unsealed, 64)
	return ours, emptyCall, err
}

func write64B(b *bench) (ours, reference step, err error) {
	ours, _, err = writes(b, sealed, 64)
	return ours, emptyCall, err
}

// reads and writes compare with copy from and to the same bytes.
func reads(b *bench, create func(*bench) (*shmkit.Region, error), length int) (ours, reference step, err error) {
	region, bytes, err := full(b, create)
	buffer := make([]byte, length)
	ours = func() error {
		_, err := region.ReadAt(buffer, 0)
		return err
	}
	reference = func() error {
		copy(buffer, bytes)
		return nil
	}
	return ours, reference, err
}

func writes(b *bench, create func(*bench) (*shmkit.Region, error), length int) (ours, reference step, err error) {
	region, bytes, err := full(b, create)
	buffer := make([]byte, length)
	ours = func() error {
		_, err := region.WriteAt(buffer, 0)
		return err
	}
	reference = func() error {
		copy(bytes, buffer)
		return nil
	}
	return ours, reference, err
}

// full is a region with bytes in it, and the bytes as a plain slice.
func full(b *bench, create func(*bench) (*shmkit.Region, error)) (*shmkit.Region, []byte, error) {
	region, err := create(b)
	if err != nil {
		return nil, nil, err
	}
	bytes, err := region.UnsafeBytes()
	for i := range bytes {
		bytes[i] = 1
	}
	return region, bytes, err
}

func lendBytes(b *bench) (ours, reference step, err error) {
	region, err := sealed(b)
	ours = func() error { return region.Bytes(func([]byte) error { return nil }) }
	return ours, emptyCall, err
}

func lendView(b *bench) (ours, reference step, err error) {
	region, err := sealed(b)
	ours = func() error { return shmkit.View(region, 64, func(*[8]uint64) error { return nil }) }
	return ours, emptyCall, err
}

package capi

// Made by `make lib`: the library of this tree, @SUM@.

// #cgo CFLAGS: -I${SRCDIR}/../../../../include
// #cgo !shmkit_static LDFLAGS: -L${SRCDIR}/../../../../target/lib -lshmkit -Wl,-rpath,${SRCDIR}/../../../../target/lib
// #cgo shmkit_static LDFLAGS: ${SRCDIR}/../../../../target/lib/libshmkit.a @NATIVE@
import "C"

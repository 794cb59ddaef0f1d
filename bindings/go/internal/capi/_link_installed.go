package capi

// Installed with the library @SUM@, which is where pkg-config says. With the tag shmkit_static the
// program contains it.

// #cgo !shmkit_static pkg-config: shmkit
// #cgo shmkit_static pkg-config: --static shmkit
// #cgo shmkit_static LDFLAGS: -l:libshmkit.a -Wl,--as-needed
import "C"

//go:build !cgo

package capi

const _ int = "the Go package shmkit calls the C library libshmkit: build with CGO_ENABLED=1, and have a C compiler"

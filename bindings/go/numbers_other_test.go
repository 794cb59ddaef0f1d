//go:build !amd64

package shmkit_test

const sysMemfdCreate = 279 // of arm64, riscv64 and others with the generic table

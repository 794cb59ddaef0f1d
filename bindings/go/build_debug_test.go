//go:build shmkit_debug

package shmkit_test

const debugBuild = true

//go:build race

package shmkit_test

const raceBuild = true

package shmkit_test

const sysMemfdCreate = 319

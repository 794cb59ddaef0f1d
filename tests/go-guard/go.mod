module shmkit.test/goguard

go 1.21

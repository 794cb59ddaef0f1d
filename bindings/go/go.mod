module shmkit

go 1.24

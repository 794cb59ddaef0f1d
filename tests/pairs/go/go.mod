module shmkit.pair

go 1.24

require shmkit v0.1.0

replace shmkit => ../../../bindings/go

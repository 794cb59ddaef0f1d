module shmkitbench

go 1.24.0

require (
	golang.org/x/sys v0.41.0
	shmkit v0.0.0
)

replace shmkit => ../../bindings/go

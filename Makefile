# `make help` lists the targets. Nothing here installs tools: `./dev TARGET` does that first.

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
RUST_MIN := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
CBINDGEN_VERSION := 0.29.4
STATICCHECK_VERSION := 0.8.2
GO_MIN := $(shell sed -n 's/^go //p' bindings/go/go.mod)
SONAME := libshmkit.so.0

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
GODIR ?= $(PREFIX)/share/shmkit/go
# Where the shells look for completions.
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR ?= $(PREFIX)/share/zsh/site-functions
FISHDIR ?= $(PREFIX)/share/fish/vendor_completions.d
DESTDIR ?=

CFLAGS ?= -O2 -g
C_FLAGS := -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Werror -Iinclude -Ibindings/c $(CFLAGS)
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
# What the static library needs from the system; the .pc file is the one place that says it.
NATIVE := $(shell sed -n 's/^Libs.private: //p' bindings/c/shmkit.pc.in)

RUST := Cargo.toml Cargo.lock build.rs $(shell find src -name '*.rs')
HEADERS := include/shmkit.h bindings/c/shmkit_helpers.h
STATIC := target/lib/libshmkit.a
SHARED := target/lib/libshmkit.so.$(VERSION)
GO_LINK := bindings/go/internal/capi/link.go
LIB := $(STATIC) $(SHARED) target/lib/$(SONAME) target/lib/libshmkit.so target/lib/shmkit-uninstalled.pc $(GO_LINK)
# The program, and what is made from its arguments.
TOOL := target/tool/shmkit
TOOL_RUST := $(RUST) $(shell find tools/shmkit -name target -prune -o -type f -print)
TOOL_ASSETS := $(addprefix target/tool/,shmkit.1 shmkit.bash _shmkit shmkit.fish)
# Where a language's examples are.
EXAMPLES_c := target/examples-c
EXAMPLES_rust := target/debug/examples
EXAMPLES_go := target/examples-go
EXAMPLES := $(patsubst examples-c/%.c,target/examples-c/%,$(wildcard examples-c/*.c))
GO_EXAMPLES := $(patsubst examples-go/%/main.go,target/examples-go/%,$(wildcard examples-go/*/main.go))
# The programs of tests/pairs, by the names that they have there.
PAIRS := c=target/pairs/c rust=$(EXAMPLES_rust)/pair go=target/pairs/go plain=target/pairs/plain
PAIRS_C := tests/pairs/contract.c tests/pairs/contract.h
TESTS := $(patsubst tests/c/%.c,target/tests-c/%,$(wildcard tests/c/*.c))
TESTS_ASAN := $(TESTS:target/tests-c/%=target/tests-asan/%)
TESTS_MUSL := $(patsubst tests/c/%.c,target/tests-musl/%,$(shell grep -L NO-MUSL: tests/c/*.c))
CHECKS := format lint header test loom tool c valgrind asan musl posix go examples claims pairs old-kernel demo abi install readme docs

.DEFAULT_GOAL := lib
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: lib tool demo check campaign loom bench bench-quick header install uninstall clean help examples rust go musl $(CHECKS:%=check-%)

# $(call example,LANGUAGE,NAME): a program of `make demo`.
example = $(or $(EXAMPLES_$1),$(error no examples in '$1': the languages are c, rust and go))/$2
LANG_SENDER ?= c
LANG_RECEIVER ?= c
SENDER := $(call example,$(LANG_SENDER),sender)
RECEIVER := $(call example,$(LANG_RECEIVER),receiver)
# What the checks run, each with each.
LANGUAGES := c rust go
SENDERS := $(foreach language,$(LANGUAGES),$(call example,$(language),sender))
RECEIVERS := $(foreach language,$(LANGUAGES),$(call example,$(language),receiver))

# The paths here are cargo's own, whatever the user has set for other projects.
unexport CARGO_TARGET_DIR CARGO_BUILD_TARGET GOFLAGS
export GOWORK := off
export GOTOOLCHAIN := local
export CC CXX

# $(call need,TOOL...): one line, and the end, where a tool is missing.
define need
@for tool in $1; do command -v $$tool >/dev/null || { \
    echo "make: $$tool is missing; ./dev check installs it" >&2; exit 1; }; done
endef

# The same for libcrypto, from which the examples have SHA-256.
define need_libcrypto
$(call need,pkg-config)
@pkg-config --exists libcrypto || { \
    echo "make: libcrypto's header is missing (libssl-dev); ./dev check installs it" >&2; exit 1; }
endef

define need_rust
@have=$$(rustc --version 2>/dev/null | cut -d' ' -f2); printf '%s\n' $(RUST_MIN) "$${have:-0}" | sort -VC || { \
    echo "make: Rust $(RUST_MIN) or newer is needed, here is $${have:-none}; to get it:" \
        "rustup update, or curl -sSf https://sh.rustup.rs | sh" >&2; exit 1; }
$(call need,cargo)
endef

define need_go
@have=$$(go env GOVERSION 2>/dev/null); printf '%s\n' go$(GO_MIN) "$${have:-go0}" | sort -VC || { \
    echo "make: Go $(GO_MIN) or newer is needed, here is $${have:-none}; to get it: https://go.dev/dl" >&2; exit 1; }
endef

# cbindgen's output differs from version to version.
define need_cbindgen
@[ "$$(cbindgen --version 2>/dev/null)" = "cbindgen $(CBINDGEN_VERSION)" ] || { \
    echo "make: cbindgen $(CBINDGEN_VERSION) is missing; ./dev check installs it" >&2; exit 1; }
endef

# Each version knows its own Go versions.
define need_staticcheck
@staticcheck -version 2>/dev/null | grep -qF "($(STATICCHECK_VERSION))" || { \
    echo "make: staticcheck $(STATICCHECK_VERSION) is missing; ./dev check installs it" >&2; exit 1; }
endef

heading = @printf '\n== %s ==\n' '$1'

## the libraries and their .pc file, in target/lib (the default)
lib: $(LIB)

## shmkit, the command-line tool, in target/tool
tool: $(TOOL) $(TOOL_ASSETS)

## two processes and a region between them [FILE=what is sent] [LANG_SENDER=, LANG_RECEIVER= c, rust or go]
demo: $(SENDER) $(RECEIVER) $(SHARED)
	@tests/demo.sh $(SENDER) $(RECEIVER) "$(or $(FILE),$(SHARED))"

## every check; nothing may be left behind
check:
	$(need_rust)
	$(need_go)
	$(need_staticcheck)
	$(need_cbindgen)
	$(need_libcrypto)
	$(call need,cargo-fmt cargo-clippy $(CC) $(CXX) pkg-config man groff valgrind)
	@tests/leftovers.sh $(MAKE) --no-print-directory $(CHECKS:%=check-%)
	@printf '\nmake check: all checks passed\n'

## what shmkit costs, against raw system calls; figures in target/bench
bench: $(LIB)
	$(need_rust)
	$(need_go)
	cargo run --locked --release --manifest-path benches/Cargo.toml

## the same in under two minutes
bench-quick: $(LIB)
	$(need_rust)
	$(need_go)
	cargo run --locked --release --manifest-path benches/Cargo.toml -- --quick

## processes that use locks are killed at random [DEATHS=10000]; the figures in one line
campaign:
	$(need_rust)
	SHMKIT_DEATHS=$(or $(DEATHS),10000) cargo test --quiet --locked --test locks campaign::

## the locks' algorithms under a model checker: loom
loom: check-loom

## include/shmkit.h, from src/capi
header:
	$(need_cbindgen)
	cbindgen --quiet --config cbindgen.toml --output include/shmkit.h .

## remove what was built
clean:
	rm -rf target benches/target tools/shmkit/target tests/loom/target

## this list
help:
	@awk '/^## / { text = substr($$0, 4) } /^[a-z-]+:/ && text { \
	    sub(":.*", ""); printf "make %-12s %s\n", $$0, text; text = "" }' Makefile

# ---- The library -------------------------------------------------------------------------

rust:
	$(need_rust)

go:
	$(need_go)

target/release/libshmkit.a: $(RUST)
	$(need_rust)
	cargo build --locked --release
	@touch $@

$(STATIC): target/release/libshmkit.a
	@mkdir -p $(@D)
	cp $< $@

# rustc cannot give symbols a version: it has a version script of its own, and the linker takes one.
$(SHARED): target/release/libshmkit.a abi/shmkit.map bindings/c/shmkit.pc.in
	$(call need,$(CC))
	@mkdir -p $(@D)
	$(CC) -shared -o $@ -Wl,--whole-archive $< -Wl,--no-whole-archive $(LDFLAGS) \
	    -Wl,--version-script=abi/shmkit.map -Wl,-soname,$(SONAME) -Wl,-z,defs -Wl,-z,relro,-z,now,-z,nodelete \
	    -Wl,--gc-sections $(NATIVE)

target/lib/$(SONAME) target/lib/libshmkit.so: $(SHARED)
	ln -sf $(<F) $@

# Where Go finds the library. Go's cache knows nothing of what lies outside of a package: the sum of the
# library and the header makes it build anew.
go_link = sed -e "s/@SUM@/$$(cat $(STATIC) $(HEADERS) | cksum | tr ' ' -)/" -e 's/@NATIVE@/$(NATIVE)/'

$(GO_LINK): bindings/go/internal/capi/_link_tree.go $(STATIC) $(HEADERS)
	@$(go_link) $< >$@

# $(call pc,LIBDIR,INCLUDEDIR,GODIR): the .pc file; directories below the prefix move with it.
pc = sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' \
    -e 's|@LIBDIR@|$(1:$(PREFIX)/%=$${prefix}/%)|' -e 's|@INCLUDEDIR@|$(2:$(PREFIX)/%=$${prefix}/%)|' \
    -e 's|@GODIR@|$(3:$(PREFIX)/%=$${prefix}/%)|' \
    bindings/c/shmkit.pc.in

target/lib/shmkit-uninstalled.pc: bindings/c/shmkit.pc.in Cargo.toml
	@mkdir -p $(@D)
	@$(call pc,$(CURDIR)/target/lib,$(CURDIR)/include,$(CURDIR)/bindings/go) | \
	    sed -e '/^Cflags:/s|$$| -I$(CURDIR)/bindings/c|' -e '/^Libs:/s|$$| -Wl,-rpath,$${libdir}|' >$@

# ---- The tool ----------------------------------------------------------------------------

$(TOOL): $(TOOL_RUST)
	$(need_rust)
	cargo build --locked --release --manifest-path tools/shmkit/Cargo.toml
	@install -D tools/shmkit/target/release/shmkit $@

$(TOOL_ASSETS) &: $(TOOL_RUST)
	$(need_rust)
	cargo run --quiet --locked --manifest-path tools/shmkit/Cargo.toml --example assets target/tool

# ---- Installation ------------------------------------------------------------------------

MAN3 := $(notdir $(wildcard man/*.3))
MAN7 := $(notdir $(wildcard man/*.7))
# The names that a page goes by: its functions, one a line below .SH NAME.
man_names = sed -n '/^\.SH NAME/,/^\.SH LIB/s/^\(shm_[a-z_]*\).*/\1.3/p'
MAN3_NAMES := $(shell $(man_names) $(MAN3:%=man/%))
D_BIN := $(DESTDIR)$(BINDIR)
D_LIB := $(DESTDIR)$(LIBDIR)
D_INCLUDE := $(DESTDIR)$(INCLUDEDIR)
D_MAN := $(DESTDIR)$(MANDIR)
D_GO := $(DESTDIR)$(GODIR)
D_BASH := $(DESTDIR)$(BASHDIR)
D_ZSH := $(DESTDIR)$(ZSHDIR)
D_FISH := $(DESTDIR)$(FISHDIR)
# The Go package without its tests; where it finds the library is another file when it is installed.
GO_SOURCES := $(patsubst bindings/go/%,%,$(filter-out %_test.go $(GO_LINK), \
    $(wildcard $(addprefix bindings/go/,go.mod *.go inspect/*.go internal/capi/[!_]*.go internal/capi/*.h))))
INSTALLED := $(addprefix $(D_LIB)/,$(notdir $(SHARED)) $(SONAME) libshmkit.so libshmkit.a pkgconfig/shmkit.pc) \
    $(addprefix $(D_INCLUDE)/,$(notdir $(HEADERS))) $(MAN3_NAMES:%=$(D_MAN)/man3/%) $(MAN7:%=$(D_MAN)/man7/%) \
    $(addprefix $(D_GO)/,$(GO_SOURCES) $(GO_LINK:bindings/go/%=%)) \
    $(D_BIN)/shmkit $(D_MAN)/man1/shmkit.1 $(D_BASH)/shmkit $(D_ZSH)/_shmkit $(D_FISH)/shmkit.fish

# The loader finds the library once its cache knows it; a DESTDIR is not where it will be.
ldconfig = @if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" = 0 ]; then ldconfig; \
    else echo "where the library is used, run as root: ldconfig"; fi

## to PREFIX=/usr/local; BINDIR=, LIBDIR=, INCLUDEDIR=, MANDIR=, GODIR=, DESTDIR= also count
install: $(LIB) tool
	install -d "$(D_LIB)/pkgconfig" "$(D_INCLUDE)" "$(D_MAN)/man3" "$(D_MAN)/man7"
	install $(SHARED) "$(D_LIB)"
	ln -sf $(notdir $(SHARED)) "$(D_LIB)/$(SONAME)"
	ln -sf $(SONAME) "$(D_LIB)/libshmkit.so"
	install -m 644 $(STATIC) "$(D_LIB)"
	install -m 644 $(HEADERS) "$(D_INCLUDE)"
	install -m 644 $(MAN3:%=man/%) "$(D_MAN)/man3"
	@for page in $(MAN3); do $(man_names) man/$$page | grep -vx $$page | \
	    while read -r name; do ln -sf $$page "$(D_MAN)/man3/$$name" || exit; done || exit; done
	install -m 644 $(MAN7:%=man/%) "$(D_MAN)/man7"
	install -d "$(D_GO)/inspect" "$(D_GO)/internal/capi"
	@for file in $(GO_SOURCES); do install -m 644 bindings/go/$$file "$(D_GO)/$$file" || exit; done
	$(go_link) bindings/go/internal/capi/_link_installed.go >"$(D_GO)/internal/capi/link.go"
	$(call pc,$(LIBDIR),$(INCLUDEDIR),$(GODIR)) >"$(D_LIB)/pkgconfig/shmkit.pc"
	install -D $(TOOL) "$(D_BIN)/shmkit"
	install -D -m 644 target/tool/shmkit.1 "$(D_MAN)/man1/shmkit.1"
	install -D -m 644 target/tool/shmkit.bash "$(D_BASH)/shmkit"
	install -D -m 644 target/tool/_shmkit "$(D_ZSH)/_shmkit"
	install -D -m 644 target/tool/shmkit.fish "$(D_FISH)/shmkit.fish"
	$(ldconfig)

## remove what install brought, with the same variables
uninstall:
	rm -f $(foreach file,$(INSTALLED),"$(file)")
	$(ldconfig)

# ---- C programs --------------------------------------------------------------------------

examples: $(EXAMPLES)

target/examples-c/%: examples-c/%.c $(wildcard examples-c/*.h) $(HEADERS) $(LIB)
	$(call need,$(CC))
	$(need_libcrypto)
	@mkdir -p $(@D)
	$(CC) $(C_FLAGS) -o $@ $< -Ltarget/lib -lshmkit -Wl,-rpath,$(CURDIR)/target/lib -Wl,--as-needed -lcrypto

# Without optimisation: `cargo test` builds the same, and a release build would replace the library's.
target/debug/examples/%: $(RUST) $(wildcard examples/*.rs examples/*/*.rs)
	$(need_rust)
	cargo build --quiet --locked --examples
	@touch $@

target/debug/examples/pair: $(wildcard tests/pairs/*.rs)

target/pairs/c: tests/pairs/pair.c $(PAIRS_C) $(HEADERS) $(LIB)
	@mkdir -p $(@D)
	$(CC) $(C_FLAGS) -o $@ $(filter %.c,$^) -Ltarget/lib -lshmkit -Wl,-rpath,$(CURDIR)/target/lib

target/pairs/plain: tests/pairs/plain.c $(PAIRS_C)
	@mkdir -p $(@D)
	$(CC) $(C_FLAGS) -o $@ $(filter %.c,$^) -lrt

target/tests-c/%: tests/c/%.c $(wildcard tests/c/*.h) $(HEADERS) $(LIB)
	@mkdir -p $(@D)
	@$(CC) $(C_FLAGS) -pthread -o $@ $< -Ltarget/lib -lshmkit -Wl,-rpath,$(CURDIR)/target/lib

target/tests-asan/%: tests/c/%.c $(wildcard tests/c/*.h) $(HEADERS) $(LIB)
	@mkdir -p $(@D)
	@$(CC) $(C_FLAGS) $(SANITIZE) -pthread -o $@ $< $(STATIC) $(NATIVE)

# Static programs with musl. The library is built without optimisation, which is quicker, and beside the others.
# The headers of the kernel are the system's, the unwinder is Rust's.
MUSL_TARGET := $(shell uname -m)-unknown-linux-musl
MUSL_STATIC := target/musl/$(MUSL_TARGET)/debug/libshmkit.a
musl_gcc = musl-gcc -static $(C_FLAGS) -idirafter /usr/include -idirafter /usr/include/$$(musl-gcc -print-multiarch)
musl_rust = $$(rustc --print target-libdir --target $(MUSL_TARGET) 2>/dev/null)
musl_link = $(MUSL_STATIC) -L$(musl_rust)/self-contained -lunwind
# What is missing, in words.
musl_lacks = command -v musl-gcc >/dev/null || echo "no musl-gcc (Debian: musl-tools);"; \
    [ -d "$(musl_rust)" ] || echo "no Rust for $(MUSL_TARGET) (rustup target add);"

$(MUSL_STATIC): $(RUST)
	$(need_rust)
	cargo rustc --quiet --locked --lib --crate-type staticlib --target $(MUSL_TARGET) --target-dir target/musl \
	    --config profile.dev.debug=false -- -D warnings
	@touch $@

target/tests-musl/%: tests/c/%.c $(wildcard tests/c/*.h) $(HEADERS) $(MUSL_STATIC)
	@mkdir -p $(@D)
	@$(musl_gcc) -o $@ $< $(musl_link)

target/libcs/musl: tests/libcs.c $(HEADERS) $(MUSL_STATIC)
	@mkdir -p $(@D)
	@$(musl_gcc) -o $@ $< $(musl_link)

target/libcs/glibc: tests/libcs.c $(HEADERS) $(LIB)
	@mkdir -p $(@D)
	@$(CC) $(C_FLAGS) -o $@ $< $(STATIC) $(NATIVE)

# POSIX calls over the library's objects, and programs that know nothing of it.
ADAPTER := target/posix-adapter/adapter.so
POSIX_PROGRAMS := $(patsubst tests/posix-adapter/programs/%.c,target/posix-adapter/%,$(wildcard tests/posix-adapter/programs/*.c))

$(ADAPTER): $(wildcard tests/posix-adapter/*.[ch]) $(HEADERS) $(LIB)
	@mkdir -p $(@D)
	@$(CC) $(C_FLAGS) -Wno-pedantic -fPIC -shared -o $@ $(filter %.c,$^) -Ltarget/lib -lshmkit -Wl,-rpath,$(CURDIR)/target/lib -ldl

target/posix-adapter/%: tests/posix-adapter/programs/%.c
	@mkdir -p $(@D)
	@$(CC) $(C_FLAGS) -pthread -o $@ $<

# ---- Go programs -------------------------------------------------------------------------

# The network is not needed.
go_build = GOPROXY=off GOFLAGS='-mod=mod -buildvcs=false' CGO_ENABLED=1 go build
GO_PACKAGE := $(GO_SOURCES:%=bindings/go/%) $(LIB)

target/examples-go/%: examples-go/%/main.go examples-go/go.mod $(wildcard examples-go/message/*.go) $(GO_PACKAGE)
	$(need_go)
	$(go_build) -C examples-go -o $(CURDIR)/$@ ./$*
	@touch $@

target/pairs/go: $(wildcard tests/pairs/go/*) $(GO_PACKAGE)
	$(need_go)
	$(go_build) -C tests/pairs/go -o $(CURDIR)/$@ .
	@touch $@

# ---- The parts of `make check`, each of which also runs alone -----------------------------

check-format:
	$(call heading,format: cargo fmt)
	cargo fmt --check
	cargo fmt --check --manifest-path benches/Cargo.toml
	cargo fmt --check --manifest-path tools/shmkit/Cargo.toml
	cargo fmt --check --manifest-path tests/loom/Cargo.toml

check-lint:
	$(call heading,lint: cargo clippy; cargo doc)
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --all-targets --features steps -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --quiet --locked --no-deps
	cargo clippy --locked --all-targets --manifest-path benches/Cargo.toml -- -D warnings
	cargo clippy --locked --all-targets --manifest-path tools/shmkit/Cargo.toml -- -D warnings
	cargo clippy --locked --all-targets --manifest-path tests/loom/Cargo.toml -- -D warnings

check-header:
	$(call heading,header: fresh; plain C and C++)
	@tests/header.sh

check-test:
	$(call heading,Rust tests)
	cargo test --locked
	cargo test --locked --features steps --test locks -- steps::

check-loom:
	$(call heading,the locks under a model checker)
	cargo test --quiet --locked --manifest-path tests/loom/Cargo.toml

check-tool: $(TOOL_ASSETS)
	$(call heading,the tool)
	cargo test --locked --manifest-path tools/shmkit/Cargo.toml
	@tests/completions.sh target/tool
	@! grep -q '^name = "clap' Cargo.lock || { echo "clap is in the library's Cargo.lock" >&2; exit 1; }

check-c: $(TESTS)
	$(call heading,C tests)
	@tests/c.sh plain

check-valgrind: $(TESTS)
	$(call heading,C tests under valgrind)
	@tests/c.sh valgrind

check-asan: $(TESTS_ASAN)
	$(call heading,C tests with the address and undefined behaviour sanitizers)
	@tests/c.sh asan

check-musl:
	$(call heading,musl: C tests; one region for musl and glibc)
	@lacks=$$($(musl_lacks)); if [ -n "$$lacks" ]; then echo SKIP musl: $$lacks; \
	    else $(MAKE) --no-print-directory musl; fi

musl: $(TESTS_MUSL) target/libcs/musl target/libcs/glibc
	@$(musl_gcc) -fsyntax-only abi/layout.c
	@tests/c.sh musl
	@timeout 60 target/libcs/glibc target/libcs/musl
	@timeout 60 target/libcs/musl target/libcs/glibc

check-posix: $(ADAPTER) $(POSIX_PROGRAMS)
	$(call heading,POSIX programs over shmkit)
	@tests/posix-adapter.sh $(abspath $(ADAPTER)) $(POSIX_PROGRAMS)

check-go: $(LIB)
	$(need_go)
	$(need_staticcheck)
	$(call heading,the Go package; the fault guard of C in a Go program)
	@tests/go.sh
	@tests/go-guard.sh

check-examples: $(EXAMPLES) $(GO_EXAMPLES) $(SENDERS) $(RECEIVERS) target/pairs/plain
	$(call heading,examples)
	@{ tests/examples.sh $(foreach language,$(LANGUAGES),$(language)=$(EXAMPLES_$(language))); \
	    echo $$? >target/examples.code; } | tee target/examples.out; exit $$(cat target/examples.code)

check-claims: check-examples
	$(call heading,claims)
	@cargo test --quiet --locked --test claims --no-run
	@cargo test --locked --test claims -- --show-output >target/claims.out 2>&1 || { cat target/claims.out; exit 1; }
	@tests/claims.sh target/claims.out target/examples.out

check-pairs: $(foreach pair,$(PAIRS),$(lastword $(subst =, ,$(pair))))
	$(call heading,every pair)
	@tests/pairs.sh $(PAIRS)

target/old-kernel: tests/old-kernel.c
	@mkdir -p $(@D)
	$(CC) $(C_FLAGS) -o $@ $<

# What docs/kernel-features.md says of kernels that lack something. Some of it only these tests meet.
OLD_KERNEL_TESTS := $(addprefix target/tests-c/,growth guard hostile_sender inspect)

check-old-kernel: target/old-kernel $(EXAMPLES) $(OLD_KERNEL_TESTS)
	$(call heading,examples and tests without newer kernel features)
	@target/old-kernel process_vm_readv fallocate O_TMPFILE AT_EMPTY_PATH MFD_NOEXEC_SEAL F_SEAL_EXEC \
	    MADV_POPULATE SO_PEERPIDFD -- tests/examples.sh
	@target/old-kernel AT_EMPTY_PATH MFD_NOEXEC_SEAL F_SEAL_EXEC -- tests/examples.sh
	@for test in $(OLD_KERNEL_TESTS); do code=0; \
	    target/old-kernel MFD_NOEXEC_SEAL F_SEAL_EXEC pidfd_open statx PROCMAP_QUERY -- timeout 90 $$test || code=$$?; \
	    case $$code in 0) echo "PASS $$test" ;; 77) echo "SKIP $$test" ;; *) echo "FAIL $$test"; exit 1 ;; esac; done

check-demo: $(SENDERS) $(RECEIVERS)
	$(call heading,the main job)
	@for sender in $(LANGUAGES); do for receiver in $(LANGUAGES); do \
	    echo "$$sender to $$receiver:"; $(MAKE) --no-print-directory demo LANG_SENDER=$$sender LANG_RECEIVER=$$receiver || exit; \
	    done; done

check-abi: $(LIB)
	$(call heading,ABI)
	@tests/abi.sh

check-install: $(LIB)
	$(call heading,installation)
	@tests/install.sh

check-readme: $(LIB)
	$(call heading,README)
	@tests/readme.sh

check-docs: $(LIB)
	$(call heading,documents)
	@tests/docs.sh

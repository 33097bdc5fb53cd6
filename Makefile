# Makefile - the short ways to build, test and measure HAKMEM; CMake does the work (CMakePresets.json).

PREFIX ?= /usr/local

.PHONY: all demo test test-sanitizers test-long test-programs bench bench-paths bench-learn check install clean help
.DEFAULT_GOAL := all

all: ## build build/libhakmem.so, build/libhakmem.a, build/libhakmem_api.a and build/hakmem
	@scripts/setup build
	@scripts/build product
	@echo "ready: build/libhakmem.so, build/libhakmem.a, build/libhakmem_api.a, build/hakmem"

demo: ## show what HAKMEM is for: programs on the system's malloc and on HAKMEM, side by side
	@scripts/setup build demo
	@scripts/build product
	@scripts/demo

test: ## run all tests, in the optimised and in the debug build
	@scripts/setup build test
	@scripts/test-all release debug

test-sanitizers: ## run the tests under AddressSanitizer, UBSan and ThreadSanitizer
	@scripts/setup build test sanitize
	@scripts/test-all asan tsan

test-long: ## run the long tests (stress by the thousand)
	@scripts/setup build test
	@scripts/test-all long

test-programs: all ## run real programs on HAKMEM, servers among them
	@scripts/setup demo programs
	@tests/programs/run

bench: all ## measure HAKMEM against other allocators
	@scripts/setup demo bench
	@bench/run

bench-paths: all ## count what a malloc and a free execute on a hit, and compare them with the kept disassembly
	@scripts/setup bench
	@bench/paths
	@bench/disassembly check

bench-learn: all ## measure learning against the static default and the best static setting
	@bench/learn/run $(BENCH_LEARN)

check: ## check the sources' form
	@scripts/setup build demo
	@scripts/check

install: all ## install to PREFIX (default: /usr/local); DESTDIR is put before it
	@cmake --install build --prefix "$(PREFIX)"

clean: ## remove all that was built
	rm -rf build

help: ## show this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' Makefile | expand -t 18

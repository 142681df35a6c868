# weft: build, show, test, install. Each target does what it needs first; nothing else has to be run before.

PREFIX ?= /usr/local
SWIFT  ?= swift
# release for use and figures; debug builds sooner.
CONFIG ?= release
WEFT   := .build/$(CONFIG)/weft
# Where the comparison suite lies, for `make bench`.
BENCH  ?=

# What the build links; everything else comes with Swift.
BUILD_PACKAGES := libssl-dev libzstd-dev pkg-config
# Clients, servers and checkers of others that tests hold the mesh against.
TEST_PACKAGES := curl openssl nginx wrk prometheus python3 python3-requests chromium

.PHONY: help setup setup-test build demo test test-sanitize install uninstall bench clean

help:
	@echo "make demo           build, and watch a mesh at work (Ctrl-C ends it)"
	@echo "make test           run all tests (WEFT_SLOW=1: also the one that builds us once more)"
	@echo "make test-sanitize  run those without processes under ThreadSanitizer, then AddressSanitizer"
	@echo "make build          build the binary: $(WEFT)"
	@echo "make install        copy it to $(PREFIX)/bin (PREFIX=...)"
	@echo "make bench          measure it against nginx, HAProxy and Envoy (BENCH=folder of the suite)"

setup:
	@command -v $(SWIFT) >/dev/null || { echo "a Swift toolchain, 6.3 or newer, is needed: https://swift.org/install"; exit 1; }
	@.ci/install "OpenSSL is the mesh's TLS and certificates, zstd compresses its metrics, pkg-config finds both" $(BUILD_PACKAGES)

setup-test: setup
	@.ci/install "tests talk through the mesh with real clients and servers, and have promtool check its metrics" $(TEST_PACKAGES)

# The Swift runtime goes into the binary, so that it runs where no toolchain is.
build: setup
	$(SWIFT) build -c $(CONFIG) --product weft --static-swift-stdlib

demo: build
	$(WEFT) demo

# Tests that start processes use the release build: what they measure and kill is what is shipped.
test: setup-test build
	WEFT_BINARY=$(CURDIR)/$(WEFT) $(SWIFT) test

# Races, memory errors and leaks, in debug builds of their own.
test-sanitize: setup
	SWIFT=$(SWIFT) .ci/sanitize thread
	SWIFT=$(SWIFT) .ci/sanitize address

install: build
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(WEFT) $(DESTDIR)$(PREFIX)/bin/weft

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/weft

bench: build
	@test -n "$(BENCH)" || { echo "where is the suite? make bench BENCH=folder"; exit 2; }
	WEFT=$(CURDIR)/$(WEFT) python3 $(BENCH)/bench.py run --subject $(CURDIR)/Benchmarks/subject.json

clean:
	rm -rf .build

# weft: build, show, test, install. Each target does what it needs first; nothing else has to be run before.

PREFIX ?= /usr/local
SWIFT  ?= swift
# release for use and figures; debug builds sooner.
CONFIG ?= release
WEFT   := .build/$(CONFIG)/weft
# Of `make bench`: words for Benchmarks/run.py, or the folder of a comparison suite that takes Benchmarks/subject.json.
BENCH_OPTIONS ?=
BENCH  ?=
# How long `make fuzz` gives each target, and which one if not all.
SECONDS ?= 60
TARGET ?=

# What the build links; everything else comes with Swift.
BUILD_PACKAGES := libssl-dev libzstd-dev pkg-config
# Clients, servers and checkers of others that tests hold the mesh against.
TEST_PACKAGES := curl openssl nginx wrk prometheus python3 python3-requests chromium postgresql redis-server redis-tools \
	python3-h2 python3-httpx python3-grpcio nghttp2-client nghttp2-server
# What counts an exchange's instructions, allocations and system calls.
COST_PACKAGES := valgrind strace

.PHONY: help setup setup-test build demo test test-sanitize record-costs profile install uninstall bench fuzz fuzz-again clean

help:
	@echo "make demo           build, and watch a mesh at work (Ctrl-C ends it)"
	@echo "make test           run all tests (WEFT_SLOW=1: also the one that builds us once more)"
	@echo "make test-sanitize  run those without processes under ThreadSanitizer, then AddressSanitizer"
	@echo "make fuzz           look for inputs that break a parser (SECONDS=60 for each target, TARGET=request for one)"
	@echo "make build          build the binary: $(WEFT)"
	@echo "make install        copy it to $(PREFIX)/bin (PREFIX=...)"
	@echo "make bench          measure it beside the nginx, HAProxy and Envoy that are found here (BENCH_OPTIONS=--quick)"
	@echo "make profile        what an exchange costs, by function"
	@echo "make record-costs   write down anew what it costs, after a change that is meant to cost"

setup:
	@command -v $(SWIFT) >/dev/null || { echo "a Swift toolchain, 6.3 or newer, is needed: https://swift.org/install"; exit 1; }
	@.ci/install "OpenSSL is the mesh's TLS and certificates, zstd compresses its metrics, pkg-config finds both" $(BUILD_PACKAGES)

setup-test: setup
	@.ci/install "tests talk through the mesh with real clients and servers, and have promtool check its metrics" $(TEST_PACKAGES)
	@.ci/install "what an exchange costs is counted, and held" $(COST_PACKAGES)

# The Swift runtime goes into the binary, so that it runs where no toolchain is.
build: setup
	$(SWIFT) build -c $(CONFIG) --product weft --static-swift-stdlib

demo: build
	$(WEFT) demo

# Tests that start processes use the release build: what they measure and kill is what is shipped.
test: setup-test build
	WEFT_BINARY=$(CURDIR)/$(WEFT) $(SWIFT) test
	WEFT_BINARY=$(CURDIR)/$(WEFT) python3 Tests/CostTests/costs.py
	WEFT_BINARY=$(CURDIR)/$(WEFT) python3 Tests/CostTests/costs.py growth

# What an exchange costs: counted anew and written down, or by function.
record-costs: build
	WEFT_BINARY=$(CURDIR)/$(WEFT) python3 Tests/CostTests/costs.py record

profile: build
	WEFT_BINARY=$(CURDIR)/$(WEFT) python3 Tests/CostTests/costs.py profile

# Races and memory errors, in debug builds of their own.
test-sanitize: setup
	SWIFT=$(SWIFT) .ci/sanitize thread
	SWIFT=$(SWIFT) .ci/sanitize address

install: build
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(WEFT) $(DESTDIR)$(PREFIX)/bin/weft

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/weft

bench: build
ifeq ($(BENCH),)
	WEFT_BINARY=$(CURDIR)/$(WEFT) python3 Benchmarks/run.py $(BENCH_OPTIONS)
else
	WEFT=$(CURDIR)/$(WEFT) python3 $(BENCH)/bench.py run --subject $(CURDIR)/Benchmarks/subject.json
endif

# All checks of a release build stay on, and the address sanitizer is added. libFuzzer brings main. Only the objects that are
# used are linked: libFuzzer looks at every edge of the program after every input.
FUZZ       := .build/fuzz
FUZZ_MAIN  := $(foreach target,FuzzEntry FuzzOracles,$(FUZZ)/release/$(target).build/*.o)
FUZZ_PARTS := $(foreach target,Host Pipeline CPlatform,$(FUZZ)/release/$(target).build/*.o)

$(FUZZ)/fuzz: setup
	$(SWIFT) build -c release --scratch-path $(FUZZ) --target FuzzEntry -Xswiftc -sanitize=fuzzer,address
	@rm -f $@ $@.a
	@ar rcs $@.a $(FUZZ_PARTS)
	@$(SWIFT)c -sanitize=fuzzer,address -o $@ $(FUZZ_MAIN) $@.a $$(pkg-config --libs openssl libzstd) >$@.log 2>&1; status=$$?; \
	grep -v 'Cannot export local symbol' $@.log; exit $$status

fuzz: $(FUZZ)/fuzz
	.ci/fuzz $(SECONDS) $(TARGET)

fuzz-again: $(FUZZ)/fuzz
	ln -sf fuzz $(FUZZ)/fuzz-$(TARGET)
	SWIFT_BACKTRACE=enable=no ASAN_OPTIONS=detect_leaks=0 $(FUZZ)/fuzz-$(TARGET) $(INPUT)

clean:
	rm -rf .build

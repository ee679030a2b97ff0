# Makefile - builds, tests and installs vecstore.
#
#   make            the library (static and shared) and the shell, in build/
#   make demo       installs what is missing, builds, and searches real data
#   make check      installs what is missing, and runs the tests (some minutes on two cores)
#   make check-long the campaigns: hours of crashes, faults and fuzzing in some minutes to an hour
#   make check-cross the tests on aarch64 and s390x (big-endian), under qemu
#   make coverage   branches of the store layer that the tests take (gcc; some minutes)
#   make amalgamation  makes vecstore.c from amalgamation/src
#   make help       all targets
#
# Variables: CC, CFLAGS, BUILD (folder), DATA (folder of real data for the larger tests), PREFIX and
# DESTDIR (install), OMIT_ZSTD=1 (no zstd: values are stored as they are, the shell cannot read .zst),
# SAN=address,undefined (sanitizers), JOBS (how many tests, and compilers for them, run side by side; as
# many as there are processors).

VERSION  := 0.1.0
SONAME   := libvecstore.so.0
BUILD    ?= build
DATA     ?= ../shared/data
PREFIX   ?= /usr/local
CFLAGS   ?= -O2 -g
JOBS     ?= $(shell getconf _NPROCESSORS_ONLN)
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror
POSIX    := -D_POSIX_C_SOURCE=200809L

SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)
ZSTDFLAGS := $(if $(OMIT_ZSTD),-DVS_OMIT_ZSTD)
LIBS     := $(if $(OMIT_ZSTD),,-lzstd )-lm -lpthread
ALL_CFLAGS = -std=c11 $(WARNINGS) $(CFLAGS) $(SANFLAGS) $(ZSTDFLAGS) -I. $(CPPFLAGS)
ALL_LDFLAGS = $(SANFLAGS) $(LDFLAGS)

MODULES  := $(sort $(wildcard amalgamation/src/*/*.c))
HEADERS  := $(wildcard amalgamation/src/*/*.h amalgamation/src/*/*.inc) vecstore.h
SHELL_C  := $(sort $(wildcard ext/shell/*.c))

.PHONY: all bench-programs demo check check-run check-long check-long-run check-cross check-cross-run \
        coverage \
        cross-programs check-threads deps \
        amalgamation check-amalgamation tidy format check-format bench fuzz fuzz-seeds install \
        clean help

all: $(BUILD)/libvecstore.a $(BUILD)/$(SONAME) $(BUILD)/vecstore

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | sed '/^$$/q'
	@echo "also: tidy format bench fuzz fuzz-seeds install clean deps check-long-run (no installing)"

# ---- library and shell ---------------------------------------------------------------------------

$(BUILD)/vecstore.o: vecstore.c vecstore.h
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -fPIC -fvisibility=hidden -c vecstore.c -o $@

$(BUILD)/libvecstore.a: $(BUILD)/vecstore.o
	$(AR) rcs $@ $^

$(BUILD)/$(SONAME): $(BUILD)/vecstore.o
	$(CC) $(ALL_LDFLAGS) -shared -Wl,-soname,$(SONAME) -o $@ $^ $(LIBS)
	ln -sf $(SONAME) $(BUILD)/libvecstore.so

$(BUILD)/vecstore: $(SHELL_C) $(wildcard ext/shell/*.h) $(BUILD)/libvecstore.a
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(SHELL_C) $(BUILD)/libvecstore.a \
	    $(LIBS)

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/include \
	    $(DESTDIR)$(PREFIX)/lib/pkgconfig
	install -m 755 $(BUILD)/vecstore $(DESTDIR)$(PREFIX)/bin/
	install -m 644 vecstore.h $(DESTDIR)$(PREFIX)/include/
	install -m 644 $(BUILD)/libvecstore.a $(DESTDIR)$(PREFIX)/lib/
	install -m 755 $(BUILD)/$(SONAME) $(DESTDIR)$(PREFIX)/lib/
	ln -sf $(SONAME) $(DESTDIR)$(PREFIX)/lib/libvecstore.so
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' -e 's|@LIBS@|$(LIBS)|' ext/vecstore.pc.in \
	    > $(DESTDIR)$(PREFIX)/lib/pkgconfig/vecstore.pc

# ---- the one file --------------------------------------------------------------------------------

$(BUILD)/amalgamate: amalgamation/amalgamate.c
	@mkdir -p $(@D)
	$(CC) -std=c11 $(WARNINGS) -O1 -o $@ $<

amalgamation: $(BUILD)/amalgamate
	$(BUILD)/amalgamate amalgamation vecstore.c

check-amalgamation: $(BUILD)/amalgamate
	@$(BUILD)/amalgamate amalgamation $(BUILD)/vecstore.c
	@cmp -s $(BUILD)/vecstore.c vecstore.c || \
	    { echo "vecstore.c is stale: run make amalgamation"; exit 1; }

# ---- what the machine needs ----------------------------------------------------------------------

deps:
	@.ci/deps build

# ---- demo ----------------------------------------------------------------------------------------

demo: deps
	@$(MAKE) --no-print-directory all
	@examples/demo.sh $(BUILD)

# ---- tests ---------------------------------------------------------------------------------------

# Unit tests link the modules, compiled one by one; all others link vecstore.c as it ships, once with
# and once without the assertions of -DVSI_DEBUG, and once with all databases mapped.
MODULE_O := $(patsubst amalgamation/src/%.c,$(BUILD)/modules/%.o,$(MODULES))
UNIT_T   := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit-%,$(sort $(wildcard tests/unit/*.c)))
WHOLE_C  := $(sort $(wildcard tests/api/*.c tests/model/*.c tests/format/*.c tests/recall/*.c))
WHOLE_T  := $(foreach c,$(WHOLE_C),$(BUILD)/tests/$(subst /,-,$(patsubst tests/%.c,%,$(c))))
SIM_C    := tests/fault/sim.c tests/fault/logfile.c tests/fault/workload.c tests/fault/verify.c
SIM_H    := $(wildcard tests/fault/*.h) tests/vt.h
FAULT_T  := $(patsubst tests/fault/test_%.c,$(BUILD)/tests/fault-%,$(wildcard tests/fault/test_*.c))
# Small limits, so that short programs stream transactions and force syncs.
SMALL    := -DVSI_STREAM_BYTES=4096 -DVSI_UNSYNCED_MAX=20000 -DVSI_CHECKPOINT_LOG_BYTES=24000 \
            -DVSI_SPILL_BYTES=4096 -DVSI_TAIL_PAGES=4 -DVSI_RESERVE_PAGES=32 -DVSI_STEP_PAGES=4 \
            -DVSI_RESERVE_LOG_BYTES=4096 -DVSI_WINDOW_BYTES=65536ull
# Small windows, so that slabs lie on their borders, and programs run out of them.
WINDOWS  := -DVSI_WINDOW_BYTES=131072ull -DVSI_WINDOWS_BYTES_MAX=4194304ull

.SECONDARY: $(MODULE_O)

$(BUILD)/modules/%.o: amalgamation/src/%.c $(HEADERS)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -DVSI_DEBUG -Iamalgamation/src -c $< -o $@

$(BUILD)/tests/vt.o: tests/vt.c tests/vt.h
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c $< -o $@

$(BUILD)/tests/vecstore-debug.o: vecstore.c vecstore.h
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -DVSI_DEBUG -c $< -o $@

$(BUILD)/tests/vecstore-windows.o: vecstore.c vecstore.h
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -DVSI_DEBUG $(WINDOWS) -c $< -o $@

$(BUILD)/tests/vecstore-small.o: vecstore.c vecstore.h
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -DVSI_DEBUG $(SMALL) -c $< -o $@

$(BUILD)/tests/unit-%: tests/unit/%.c $(MODULE_O) $(BUILD)/tests/vt.o
	$(CC) $(ALL_CFLAGS) $(POSIX) -DVSI_DEBUG -Itests -Iamalgamation/src $(ALL_LDFLAGS) -o $@ $< \
	    $(BUILD)/tests/vt.o $(MODULE_O) $(LIBS)

define whole_rule
$(BUILD)/tests/$(subst /,-,$(patsubst tests/%.c,%,$(1))): $(1) $(BUILD)/vecstore.o \
        $(BUILD)/tests/vecstore-debug.o $(BUILD)/tests/vecstore-windows.o tests/mapped.h \
        $(BUILD)/tests/vt.o
	$$(CC) $$(ALL_CFLAGS) $$(POSIX) -Itests $$(ALL_LDFLAGS) -o $$@ $(1) $(BUILD)/tests/vt.o \
	    $(BUILD)/vecstore.o $(LIBS)
	$$(CC) $$(ALL_CFLAGS) $$(POSIX) -Itests $$(ALL_LDFLAGS) -o $$@-debug $(1) \
	    $(BUILD)/tests/vt.o $(BUILD)/tests/vecstore-debug.o $(LIBS)
	$$(CC) $$(ALL_CFLAGS) $$(POSIX) -Itests -include tests/mapped.h $$(ALL_LDFLAGS) -o $$@-mapped \
	    $(1) $(BUILD)/tests/vt.o $(BUILD)/tests/vecstore-windows.o $(LIBS)
endef
$(foreach c,$(WHOLE_C),$(eval $(call whole_rule,$(c))))
$(BUILD)/tests/model-million: tests/model/oracle.h

$(BUILD)/tests/fault-%: tests/fault/test_%.c $(SIM_C) $(SIM_H) $(BUILD)/tests/vt.o \
        $(BUILD)/tests/vecstore-small.o
	$(CC) $(ALL_CFLAGS) $(POSIX) -Itests -Itests/fault $(ALL_LDFLAGS) -o $@ $< $(SIM_C) \
	    $(BUILD)/tests/vt.o $(BUILD)/tests/vecstore-small.o $(LIBS)

$(BUILD)/tests/crash: tests/fault/crash.c $(SIM_C) $(SIM_H) tests/vt.c \
        $(BUILD)/tests/vecstore-small.o
	$(CC) $(ALL_CFLAGS) $(POSIX) -DVT_NO_MAIN -Itests -Itests/fault $(ALL_LDFLAGS) -o $@ $< \
	    $(SIM_C) tests/vt.c $(BUILD)/tests/vecstore-small.o $(LIBS)

# Transactions that stream, and no checkpoints that nobody asked for.
STREAM   := -DVSI_STREAM_BYTES=4096 -DVSI_RESERVE_LOG_BYTES=1024
FLIPS_T  := $(BUILD)/tests/fault-flips
FLIPS_C  := tests/fault/flips.c tests/fault/known.c tests/fault/logfile.c

$(BUILD)/tests/vecstore-stream.o: vecstore.c vecstore.h
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(STREAM) -c $< -o $@

$(BUILD)/tests/vecstore-stream-debug.o: vecstore.c vecstore.h
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -DVSI_DEBUG $(STREAM) -c $< -o $@

$(FLIPS_T): $(FLIPS_C) $(SIM_H) $(BUILD)/tests/vt.o \
        $(BUILD)/tests/vecstore-stream.o $(BUILD)/tests/vecstore-stream-debug.o
	$(CC) $(ALL_CFLAGS) $(POSIX) -Itests -Itests/fault $(ALL_LDFLAGS) -o $@ $(FLIPS_C) \
	    $(BUILD)/tests/vt.o $(BUILD)/tests/vecstore-stream.o $(LIBS)
	$(CC) $(ALL_CFLAGS) $(POSIX) -Itests -Itests/fault $(ALL_LDFLAGS) -o $@-debug $(FLIPS_C) \
	    $(BUILD)/tests/vt.o $(BUILD)/tests/vecstore-stream-debug.o $(LIBS)

FUZZ_T := $(patsubst %,$(BUILD)/tests/fuzz-%,log file api import)

# Of the programs that map their databases these say most; LONG=1 runs all.
MAPPED_T := $(if $(LONG),$(WHOLE_T:%=%-mapped),$(patsubst %,$(BUILD)/tests/%-mapped,api-threads api-limit \
    api-mapped api-checkpoint model-records))
TESTS := $(UNIT_T) $(WHOLE_T) $(WHOLE_T:%=%-debug) $(MAPPED_T) $(FAULT_T) $(FLIPS_T) $(FLIPS_T:%=%-debug)
CRASH_FAST := --images 4000 --chains 600 --oom 1 --faults 2000 --every 8 --quiet

check: deps
	@.ci/deps check
	@$(MAKE) --no-print-directory -j$(JOBS) check-run

# SUITE: only the test programs whose name contains it.
check-run: check-amalgamation all bench-programs $(UNIT_T) $(WHOLE_T) $(FAULT_T) $(FLIPS_T) $(BUILD)/tests/crash \
        $(FUZZ_T)
	@VECSTORE_DATA="$(DATA)" BUILD="$(BUILD)" CC="$(CC)" CFLAGS="$(CFLAGS) $(SANFLAGS)" \
	    SAN="$(SAN)" SUITE="$(SUITE)" JOBS="$(JOBS)" tests/run.sh $(TESTS) -- $(CRASH_FAST)

# The concurrency suite alone, for SAN=thread.
check-threads: $(BUILD)/tests/api-threads
	@SUITE=api-threads NO_SCRIPTS=1 BUILD="$(BUILD)" tests/run.sh $(BUILD)/tests/api-threads \
	    $(BUILD)/tests/api-threads-debug $(BUILD)/tests/api-threads-mapped --

check-long: deps
	@.ci/deps long
	@$(MAKE) --no-print-directory -j$(JOBS) check-long-run

check-long-run:
	@$(MAKE) --no-print-directory check-run LONG=1
	@VECSTORE_DATA="$(DATA)" BUILD="$(BUILD)" CC="$(CC)" CFLAGS="$(CFLAGS)" tests/long.sh

check-cross: deps
	@.ci/deps cross
	@$(MAKE) --no-print-directory check-cross-run

cross-programs: $(UNIT_T) $(WHOLE_T) $(FAULT_T) $(FLIPS_T) $(BUILD)/tests/crash $(FUZZ_T)

check-cross-run:
	@BUILD="$(BUILD)" JOBS="$(JOBS)" tests/cross.sh

# Counters and a build of its own; no optimization, for it merges branches.
coverage:
	@mkdir -p "$(BUILD)/coverage"
	@BUILD="$(BUILD)/coverage" JOBS="$(JOBS)" MAKE="$(MAKE)" tests/coverage.sh

# ---- fuzzing -------------------------------------------------------------------------------------

# The same targets replay files under any compiler, and explore under clang's libFuzzer.
FUZZ_C := fuzz/target.c fuzz/replay.c tests/vt.c
FUZZ_FLAGS = $(ALL_CFLAGS) $(POSIX) -DVT_NO_MAIN -Itests -Itests/fault

$(FUZZ_T): $(FUZZ_C) fuzz/target.h $(SIM_H) $(BUILD)/tests/vecstore-small.o

$(BUILD)/tests/fuzz-log $(BUILD)/tests/fuzz-file $(BUILD)/tests/fuzz-api: $(BUILD)/tests/fuzz-%: \
        fuzz/%.c $(SIM_C)
	$(CC) $(FUZZ_FLAGS) $(ALL_LDFLAGS) -o $@ $< $(FUZZ_C) $(SIM_C) \
	    $(BUILD)/tests/vecstore-small.o $(LIBS)

IMPORT_C := ext/shell/import.c ext/shell/vecs.c ext/shell/text.c

$(BUILD)/tests/fuzz-import: fuzz/import.c $(IMPORT_C) $(wildcard ext/shell/*.h)
	$(CC) $(FUZZ_FLAGS) -Iext/shell $(ALL_LDFLAGS) -o $@ $< $(FUZZ_C) $(IMPORT_C) \
	    $(BUILD)/tests/vecstore-small.o $(LIBS)

# Writes the seeds in fuzz/corpus anew; inputs that were found stay.
$(BUILD)/fuzz-seeds: fuzz/seeds.c $(SIM_C) $(SIM_H) tests/vt.c vecstore.c vecstore.h
	@mkdir -p $(@D)
	$(CC) $(FUZZ_FLAGS) -DVSI_STREAM_BYTES=4096 -DVSI_UNSYNCED_MAX=20000 $(ALL_LDFLAGS) -o $@ $< \
	    $(SIM_C) tests/vt.c vecstore.c $(LIBS)

fuzz-seeds: $(BUILD)/fuzz-seeds
	for target in log file api import; do \
	    mkdir -p fuzz/corpus/$$target && $(BUILD)/fuzz-seeds $$target fuzz/corpus/$$target || exit 1; \
	done

fuzz: deps
	@.ci/deps fuzz
	@BUILD="$(BUILD)" fuzz/run.sh

# ---- upkeep --------------------------------------------------------------------------------------

C_FILES = $(wildcard amalgamation/*.c amalgamation/src/*/*.[ch] ext/*/*.[ch] tests/*.[ch] \
    tests/*/*.[ch] fuzz/*.[ch] examples/*.c) vecstore.h

tidy: $(BUILD)/vecstore.o $(BUILD)/libvecstore.a
	@tests/tidy.sh $(BUILD)

format:
	clang-format -i $(C_FILES)

check-format:
	clang-format --dry-run -Werror $(C_FILES)

BENCH_P := $(patsubst bench/%.c,$(BUILD)/bench/%,$(wildcard bench/*.c))

$(BUILD)/bench/%: bench/%.c bench/bench.h vecstore.h $(BUILD)/libvecstore.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< $(BUILD)/libvecstore.a $(LIBS)

bench-programs: $(BENCH_P)

bench: bench-programs
	@echo "make bench: the benchmark harness comes with the kernels; until then: build/vecstore FILE bench,"
	@echo "and the programs that bench/RESULTS.md names: $(BENCH_P)"

clean:
	rm -rf $(BUILD)

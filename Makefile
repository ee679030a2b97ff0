# Makefile - builds, tests and installs vecstore.
#
#   make            the library (static and shared) and the shell, in build/
#   make demo       installs what is missing, builds, and searches real data
#   make check      installs what is missing, and runs the tests (some minutes on two cores)
#   make check-long the campaigns: hours of crashes, faults and fuzzing in some minutes to an hour
#   make check-cross the tests on aarch64 and s390x (big-endian), under qemu, and in 32 bits
#   make coverage   branches of the store layer that the tests take (gcc; some minutes)
#   make amalgamation  makes vecstore.c from amalgamation/src
#   make bench      benchmarks through hyperfine; bench-save and bench-compare say what a change does to them
#   make help       all targets
#
# Variables: CC, CFLAGS, BUILD (folder), DATA (folder of real data for the larger tests), PREFIX and
# DESTDIR (install), OMIT_ZSTD=1 (no zstd: values are stored as they are, the shell cannot read .zst),
# OMIT_EDIT=1 (the prompt without libedit, also where it is there), SAN=address,undefined (sanitizers),
# JOBS (how many tests, and compilers for them, run side by side; as many as there are processors).

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

# libedit, where a program with it links: then the prompt edits its lines. Asked once, when the shell is built.
EDIT_ASK  = mkdir -p $(BUILD) && printf '%s\n' '\#include <histedit.h>' 'int main(void) { return !el_init; }' | \
    $(CC) $(SANFLAGS) $(CPPFLAGS) $(LDFLAGS) -x c - -o $(BUILD)/ask-libedit -ledit 2>/dev/null && echo yes
HAS_EDIT  = $(eval HAS_EDIT := $$(if $$(OMIT_EDIT),,$$(shell $$(EDIT_ASK))))$(HAS_EDIT)
SHELL_C  := $(sort $(wildcard ext/shell/*.c))

.PHONY: all demo check check-run test-programs check-long check-long-run check-cross check-cross-run \
        coverage \
        cross-programs check-threads deps \
        amalgamation powers check-amalgamation tidy format check-format fuzz fuzz-seeds install clean help \
        bench bench-ready bench-programs bench-save bench-compare bench-kernels bench-peers

all: $(BUILD)/libvecstore.a $(BUILD)/$(SONAME) $(BUILD)/vecstore

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile
	@echo "also: tidy format bench-kernels bench-peers fuzz fuzz-seeds install clean deps check-long-run (no installing)"

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
	$(CC) $(ALL_CFLAGS) $(if $(HAS_EDIT),-DSHELL_LIBEDIT) $(ALL_LDFLAGS) -o $@ $(SHELL_C) \
	    $(BUILD)/libvecstore.a $(if $(HAS_EDIT),-ledit) $(LIBS)

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/include \
	    $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 docs/vecstore.1 $(DESTDIR)$(PREFIX)/share/man/man1/
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

# The table of base/number.c; tests/unit/number.c verifies it.
$(BUILD)/powers: amalgamation/powers.c
	@mkdir -p $(@D)
	$(CC) -std=c11 $(WARNINGS) -O1 -o $@ $<

powers: $(BUILD)/powers
	$(BUILD)/powers > amalgamation/src/base/powers.inc

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

# Unit tests link the modules, compiled one by one; all others link vecstore.c as it ships, with the
# assertions of -DVSI_DEBUG, and with all databases mapped; those of faults with small limits, so that short
# programs stream transactions and force syncs. What is not shipped is compiled in half the time.
TEST_CC  = $(CC) $(subst -O2,-O1,$(ALL_CFLAGS))
PROG_CC  = $(TEST_CC) $(POSIX) -Itests
T        := $(BUILD)/tests
MODULE_O := $(patsubst amalgamation/src/%.c,$(BUILD)/modules/%.o,$(MODULES))
UNIT_T   := $(patsubst tests/unit/%.c,$T/unit-%,$(sort $(wildcard tests/unit/*.c)))
WHOLE_C  := $(sort $(wildcard tests/api/*.c tests/model/*.c tests/format/*.c tests/recall/*.c))
WHOLE_T  := $(foreach c,$(WHOLE_C),$T/$(subst /,-,$(patsubst tests/%.c,%,$(c))))
SIM_O    := $(patsubst %,$T/obj/%.o,sim logfile workload verify)
TEST_H   := $(wildcard tests/*.h tests/*/*.h) vecstore.h
FAULT_T  := $(patsubst tests/fault/test_%.c,$T/fault-%,$(wildcard tests/fault/test_*.c))
FLIPS_T  := $T/fault-flips
FLIPS_O  := $(patsubst %,$T/obj/%.o,flips known logfile)
FUZZ_T   := $(patsubst %,$T/fuzz-%,log file api import formats json grammar codes)

SMALL    := -DVSI_STREAM_BYTES=4096 -DVSI_UNSYNCED_MAX=20000 -DVSI_CHECKPOINT_LOG_BYTES=24000 \
            -DVSI_SPILL_BYTES=4096 -DVSI_TAIL_PAGES=4 -DVSI_RESERVE_PAGES=32 -DVSI_STEP_PAGES=4 \
            -DVSI_RESERVE_LOG_BYTES=4096 -DVSI_WINDOW_BYTES=65536ull -DVSI_ENCODE_ROWS=6
# Transactions that stream, and no checkpoints that nobody asked for.
STREAM   := -DVSI_STREAM_BYTES=4096 -DVSI_RESERVE_LOG_BYTES=1024
# Small windows, so that slabs lie on their borders, and programs run out of them.
WINDOWS  := -DVSI_WINDOW_BYTES=131072ull -DVSI_WINDOWS_BYTES_MAX=4194304ull

.SECONDARY:

$(BUILD)/modules/%.o: amalgamation/src/%.c $(HEADERS)
	@mkdir -p $(@D)
	$(TEST_CC) -DVSI_DEBUG -Iamalgamation/src -c $< -o $@

# The ways in which the one file is compiled for tests.
$T/vecstore-debug.o: LIMITS = -DVSI_DEBUG
$T/vecstore-windows.o: LIMITS = -DVSI_DEBUG $(WINDOWS)
$T/vecstore-small.o: LIMITS = -DVSI_DEBUG $(SMALL)
$T/vecstore-stream.o: LIMITS = $(STREAM)
$T/vecstore-stream-debug.o: LIMITS = -DVSI_DEBUG $(STREAM)

$T/vecstore-%.o: vecstore.c vecstore.h
	@mkdir -p $(@D)
	$(TEST_CC) $(LIMITS) -c $< -o $@

$T/vt.o: tests/vt.c tests/vt.h
	@mkdir -p $(@D)
	$(TEST_CC) -c $< -o $@

# For programs with a main of their own.
$T/obj/vt.o: tests/vt.c tests/vt.h
	@mkdir -p $(@D)
	$(TEST_CC) -DVT_NO_MAIN -c $< -o $@

$T/obj/%.o: tests/fault/%.c $(TEST_H)
	@mkdir -p $(@D)
	$(PROG_CC) -Itests/fault -c $< -o $@

$T/unit-%: tests/unit/%.c $(MODULE_O) $T/vt.o $(TEST_H)
	$(PROG_CC) -DVSI_DEBUG -Iamalgamation/src $(ALL_LDFLAGS) -o $@ $< $T/vt.o $(MODULE_O) $(LIBS)

# NAME, NAME-debug and NAME-mapped from tests/FOLDER/PROGRAM.c; the first two link the same object.
define whole_rule
$T/obj/$(2).o: $(1) $(TEST_H)
	@mkdir -p $$(@D)
	$$(PROG_CC) -c $$< -o $$@

$T/$(2): $T/obj/$(2).o $T/vt.o $(BUILD)/vecstore.o
	$$(PROG_CC) $$(ALL_LDFLAGS) -o $$@ $$^ $$(LIBS)

$T/$(2)-debug: $T/obj/$(2).o $T/vt.o $T/vecstore-debug.o
	$$(PROG_CC) $$(ALL_LDFLAGS) -o $$@ $$^ $$(LIBS)

$T/$(2)-mapped: $(1) $T/vt.o $T/vecstore-windows.o $(TEST_H)
	$$(PROG_CC) -include tests/mapped.h $$(ALL_LDFLAGS) -o $$@ $$(filter %.c %.o,$$^) $$(LIBS)
endef
$(foreach c,$(WHOLE_C),$(eval $(call whole_rule,$(c),$(subst /,-,$(patsubst tests/%.c,%,$(c))))))

$T/fault-%: $T/obj/test_%.o $(SIM_O) $T/vt.o $T/vecstore-small.o
	$(PROG_CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$T/crash: $T/obj/crash.o $(SIM_O) $T/obj/vt.o $T/vecstore-small.o
	$(PROG_CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(FLIPS_T): $(FLIPS_O) $T/vt.o $T/vecstore-stream.o
	$(PROG_CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(FLIPS_T)-debug: $(FLIPS_O) $T/vt.o $T/vecstore-stream-debug.o
	$(PROG_CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

# WAY is how much of it runs. long, with LONG=1: everything. Usually: of the programs that map their databases those
# that say most, and the slowest programs with assertions only. san, with SAN: all with assertions only, for what
# these miss the sanitizer sees. brief, with BRIEF=1, for one more compiler: programs as they ship; what the
# assertions say does not depend on it.
WAY := $(if $(LONG),long,$(if $(SAN),san,$(if $(BRIEF),brief,usual)))
MAPPED_T := $(patsubst %,$T/%-mapped,api-threads api-limit api-mapped api-checkpoint model-records)
SLOW_T   := $(filter %-limit %-savepoints %-checkpoint,$(WHOLE_T))
FORMS_T_long  := $(WHOLE_T) $(WHOLE_T:%=%-debug) $(WHOLE_T:%=%-mapped) $(FLIPS_T) $(FLIPS_T)-debug
FORMS_T_usual := $(filter-out $(SLOW_T),$(WHOLE_T)) $(WHOLE_T:%=%-debug) $(MAPPED_T) $(FLIPS_T) $(FLIPS_T)-debug
FORMS_T_san   := $(WHOLE_T:%=%-debug) $(MAPPED_T) $(FLIPS_T)-debug
FORMS_T_brief := $(WHOLE_T) $(FLIPS_T)
TESTS := $(UNIT_T) $(FORMS_T_$(WAY)) $(FAULT_T)
# With BRIEF=1 a smaller slice of the campaigns, under sanitizers, which take five times as long, half of that; what
# damages files byte by byte and fails call after call then takes fewer of them (VT_BRIEF).
SLICE := $(filter san brief,$(WAY))
CRASH_usual := --images 2500 --chains 400 --oom 1 --faults 1500 --every 8
CRASH_long  := $(CRASH_usual)
CRASH_brief := --images 800 --chains 130 --oom 1 --faults 500 --every 24
CRASH_san   := --images 400 --chains 65 --oom 1 --faults 250 --every 48

check: deps
	@.ci/deps check
	@$(MAKE) --no-print-directory -j$(JOBS) check-run

test-programs: $(TESTS) $T/crash $(FUZZ_T)

# SUITE: only the test programs whose name contains it.
check-run: check-amalgamation all $(if $(SAN),,bench-programs) test-programs
	@$(if $(SLICE),VT_BRIEF=1) VECSTORE_DATA="$(DATA)" BUILD="$(BUILD)" CC="$(CC)" CFLAGS="$(CFLAGS) $(SANFLAGS)" \
	    SAN="$(SAN)" SUITE="$(SUITE)" LONG="$(LONG)" JOBS="$(JOBS)" tests/run.sh $(TESTS) -- $(CRASH_$(WAY)) --quiet

# The concurrency suite alone, for SAN=thread.
check-threads: $(filter $T/api-threads%,$(FORMS_T_$(WAY)))
	@SUITE=api-threads NO_SCRIPTS=1 BUILD="$(BUILD)" tests/run.sh $^ --

check-long: deps
	@.ci/deps long
	@$(MAKE) --no-print-directory -j$(JOBS) check-long-run

check-long-run:
	@$(MAKE) --no-print-directory check-run LONG=1
	@VECSTORE_DATA="$(DATA)" BUILD="$(BUILD)" CC="$(CC)" CFLAGS="$(CFLAGS)" tests/long.sh

check-cross: deps
	@.ci/deps cross
	@$(MAKE) --no-print-directory check-cross-run

# Of the interface those that tests/cross.sh runs.
CROSS_T := $(filter $(foreach t,records search transactions cursor payload drop,%/api-$t) \
    $T/model-%,$(WHOLE_T))
cross-programs: $(UNIT_T) $(CROSS_T) $(FAULT_T) $(FLIPS_T) $T/crash $(FUZZ_T)

check-cross-run:
	@BUILD="$(BUILD)" JOBS="$(JOBS)" tests/cross.sh

# Counters and a build of its own; no optimization, for it merges branches.
coverage:
	@mkdir -p "$(BUILD)/coverage"
	@BUILD="$(BUILD)/coverage" JOBS="$(JOBS)" MAKE="$(MAKE)" tests/coverage.sh

# ---- fuzzing -------------------------------------------------------------------------------------

# The same targets replay files under any compiler, and explore under clang's libFuzzer.
FUZZ_O := $T/obj/fuzz-target.o $T/obj/fuzz-replay.o $T/obj/vt.o

$T/obj/fuzz-%.o: fuzz/%.c fuzz/target.h $(TEST_H) $(wildcard ext/shell/*.h)
	@mkdir -p $(@D)
	$(PROG_CC) -Itests/fault -Iext/shell -c $< -o $@

$T/obj/shell-%.o: ext/shell/%.c $(wildcard ext/shell/*.h) vecstore.h
	@mkdir -p $(@D)
	$(TEST_CC) -c $< -o $@

$T/fuzz-log $T/fuzz-file $T/fuzz-api: $(SIM_O)
READER_M := reader companion batch buffer key format stream vecs layout element npy safetensors jsonl csv text
$T/fuzz-import: $(patsubst %,$T/obj/shell-%.o,$(READER_M) import ahead field names progress)
$T/fuzz-formats: $(patsubst %,$T/obj/shell-%.o,$(READER_M) writer table vectors sink)

$T/fuzz-grammar: $(patsubst %,$T/obj/shell-%.o,words rows query_json text)

# What no interface reaches yet: with the modules.
$T/obj/fuzz-codes.o: TEST_CC += -DVSI_DEBUG -Iamalgamation/src
$T/fuzz-codes: $T/obj/fuzz-codes.o $(FUZZ_O) $(MODULE_O)
	$(PROG_CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(filter-out $T/fuzz-codes,$(FUZZ_T)): $T/fuzz-%: $T/obj/fuzz-%.o $(FUZZ_O) $T/vecstore-small.o
	$(PROG_CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

# Writes the seeds in fuzz/corpus anew; inputs that were found stay.
$T/vecstore-seeds.o: LIMITS = -DVSI_STREAM_BYTES=4096 -DVSI_UNSYNCED_MAX=20000 -DVSI_ENCODE_ROWS=6

$(BUILD)/fuzz-seeds: $T/obj/fuzz-seeds.o $(SIM_O) $T/obj/vt.o $T/vecstore-seeds.o
	$(PROG_CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

fuzz-seeds: $(BUILD)/fuzz-seeds
	for target in log file api import formats json grammar codes; do \
	    mkdir -p fuzz/corpus/$$target && $(BUILD)/fuzz-seeds $$target fuzz/corpus/$$target || exit 1; \
	done

fuzz: deps
	@.ci/deps fuzz
	@BUILD="$(BUILD)" fuzz/run.sh

# ---- upkeep --------------------------------------------------------------------------------------

C_FILES = $(wildcard amalgamation/*.c amalgamation/src/*/*.[ch] ext/*/*.[ch] tests/*.[ch] \
    tests/*/*.[ch] fuzz/*.[ch] bench/*.[ch] bench/*/*.[ch] examples/*.c examples/*.cc examples/*/*.c) vecstore.h

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

# Includes the library, for its kernels have no names outside.
$(BUILD)/bench/kernels: vecstore.c

bench-programs: $(BENCH_P)

# KERNELS: what to measure and how, as bench/kernels.c says.
bench-kernels: deps $(BUILD)/bench/kernels
	@mkdir -p $(BUILD)/bench/out
	$(BUILD)/bench/kernels --csv $(BUILD)/bench/out/kernels.csv $(KERNELS) | tee $(BUILD)/bench/out/kernels.md

# BENCH: only those whose name contains it; NAME: of the baseline; LAST=1: what the last run measured. More in bench/run.py.
NAME    ?= base
BENCH_RUN = PYTHONDONTWRITEBYTECODE=1 BUILD="$(BUILD)" /usr/bin/python3 bench/run.py

$(BUILD)/bench/makevecs: tests/shell/makevecs.c
	@mkdir -p $(@D)
	$(CC) -O2 -o $@ $< -lm

bench-ready: deps
	@.ci/deps bench
	@$(MAKE) --no-print-directory -s $(BUILD)/vecstore $(BUILD)/bench/clusters $(BUILD)/bench/makevecs

bench: bench-ready
	@$(BENCH_RUN) run

bench-save: bench-ready
	@$(BENCH_RUN) save $(NAME)

bench-compare: bench-ready
	@$(BENCH_RUN) compare $(NAME)

# Beside packaged peers, as bench/peers/run.sh says. PEERS: a folder with those of npm; PASSES: how many.
bench-peers:
	@BUILD="$(BUILD)" MODULES="$(PEERS)" bench/peers/run.sh $(or $(PASSES),3)

clean:
	rm -rf $(BUILD)

#!/bin/sh
# coverage.sh - which branches of the store layer the tests take. Builds the library without optimization
# and with counters, runs the programs of `make check` with it, and prints what coverage.py makes of the
# counts: branches that were never taken, a table by module, and whether that is enough.
#
# Environment: BUILD (folder, default build/coverage), JOBS, VT_SCRATCH, CRASH (options of the crash
# campaign), GCC (which gcc; gcov must be its own).
set -u
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build/coverage}
crash=${CRASH:---images 600 --chains 80 --oom 1 --faults 600 --every 8 --quiet}
jobs=${JOBS:-$(getconf _NPROCESSORS_ONLN)}

${MAKE:-make} --no-print-directory -j"$jobs" BUILD="$build" CC="${GCC:-gcc}" LDFLAGS=--coverage \
    CFLAGS="-O0 -g --coverage -fprofile-update=atomic" LONG=1 all test-programs >"$build.log" 2>&1 || {
    tail -n 40 "$build.log"
    exit 1
}
find "$build" -name '*.gcda' -exec rm -f {} +

# What runs both with and without assertions takes the same branches; and this is no library as it ships, so
# the scripts that look at one are left out.
programs=$(find "$build/tests" -type f -perm -u+x ! -name crash ! -name 'fuzz-*' ! -name makevecs \
    ! -name '*-debug' | sort)
# shellcheck disable=SC2086
BUILD=$build CC="${GCC:-gcc}" SAN=coverage JOBS=$jobs tests/run.sh $programs -- $crash || exit 1
tests/coverage.py "$build"

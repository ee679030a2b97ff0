#!/bin/sh
# cross.sh [ARCH...] - the tests on other processors under qemu: aarch64, and s390x, which is big-endian.
# Store, codecs, format and kernels; the golden files prove that all platforms read and write the same.
# Campaigns are small here: what they find does not depend on the processor, and is looked for elsewhere.
# Last line: `cross: N passed, N failed, N skipped`.
set -u
build=${BUILD:-build}
jobs=${JOBS:-$(getconf _NPROCESSORS_ONLN)}
passed=0 failed=0 skipped=0
[ $# -gt 0 ] || set -- aarch64 s390x

programs() { # the test programs of a build folder
    ls "$1"/tests/unit-* "$1"/tests/fault-* "$1"/tests/api-records "$1"/tests/api-search \
        "$1"/tests/api-transactions "$1"/tests/api-cursor "$1"/tests/model-* 2>/dev/null |
        grep -v -e '-debug$' -e '-mapped$' -e 'unit-posix$'
}

for arch in "$@"; do
    start=$(date +%s)
    dir=$build/cross-$arch
    if ! make -s -j"$jobs" BUILD="$dir" CC="$arch-linux-gnu-gcc" LDFLAGS=-static CFLAGS=-O2 \
        cross-programs >"$build/cross.log" 2>&1; then
        tail -n 20 "$build/cross.log"
        echo "FAILED $arch: does not build"
        failed=$((failed + 1))
        continue
    fi
    # shellcheck disable=SC2046
    VT_BRIEF=1 VT_OPS=3000 RUNNER="qemu-$arch" BUILD="$dir" NO_SCRIPTS=1 tests/run.sh $(programs "$dir") -- \
        --images 300 --every 50 --chains 60 --quiet >"$build/cross.out" 2>&1
    counts=$(tail -n 1 "$build/cross.out")
    grep -v '^[0-9]* passed' "$build/cross.out"
    echo "$arch: $counts, $(($(date +%s) - start)) s"
    # shellcheck disable=SC2046
    set_counts() { passed=$((passed + $1)) failed=$((failed + $3)) skipped=$((skipped + $5)); }
    set_counts $(echo "$counts" | tr -d ,)
done
echo "cross: $passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]

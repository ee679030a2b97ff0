#!/bin/sh
# cross.sh [ARCH...] - the tests on other processors under qemu: aarch64, and s390x, which is big-endian; on
# x86-64 also with addresses of 32 bits, without zstd, of which Debian has no such library beside the other.
# Store, codecs, format and kernels; the golden files prove that all platforms read and write the same.
# Campaigns are small here, and sweeps of failing calls and full disks are left out under emulation: what they find does not
# depend on the processor, and is looked for elsewhere.
# Last line: `cross: N passed, N failed, N skipped`.
set -u
build=${BUILD:-build}
jobs=${JOBS:-$(getconf _NPROCESSORS_ONLN)}
passed=0 failed=0 skipped=0
[ $# -gt 0 ] || set -- aarch64 s390x i386

programs() { # the test programs of a build folder
    ls "$1"/tests/unit-* "$1"/tests/fault-* "$1"/tests/api-records "$1"/tests/api-search \
        "$1"/tests/api-transactions "$1"/tests/api-cursor "$1"/tests/api-payload "$1"/tests/api-drop \
        "$1"/tests/model-* 2>/dev/null |
        grep -v -e '-debug$' -e '-mapped$' -e 'unit-posix$' ${runner:+-e 'fault-sweep$' -e 'fault-full$'}
}

for arch in "$@"; do
    start=$(date +%s)
    dir=$build/cross-$arch compiler=$arch-linux-gnu-gcc runner=qemu-$arch omit=""
    if [ "$arch" = i386 ]; then
        [ "$(uname -m)" = x86_64 ] || continue
        compiler="gcc -m32 -idirafter /usr/include/x86_64-linux-gnu" runner="" omit=1
    fi
    # Tests may mix sizes of 32 and 64 bits; tests/build/header.sh compiles the library with all warnings.
    if ! make -s -j"$jobs" BUILD="$dir" CC="$compiler" LDFLAGS=-static CFLAGS="-O2 -Wno-conversion" \
        OMIT_ZSTD="$omit" cross-programs >"$build/cross.log" 2>&1; then
        tail -n 20 "$build/cross.log"
        echo "FAILED $arch: does not build"
        failed=$((failed + 1))
        continue
    fi
    # shellcheck disable=SC2046
    VT_BRIEF=1 VT_OPS=3000 RUNNER="$runner" BUILD="$dir" NO_SCRIPTS=1 tests/run.sh $(programs "$dir") -- \
        --images 100 --every 100 --chains 20 --quiet >"$build/cross.out" 2>&1
    # Sets of kernels add to what the command line names.
    if [ "$arch" = aarch64 ] && ! aarch64-linux-gnu-gcc -march=armv8.6-a -O1 -I. -c vecstore.c -o "$dir/later.o" >>"$build/cross.log" 2>&1; then
        grep -m 3 error: "$build/cross.log"
        echo "FAILED $arch: vecstore.c for armv8.6-a"
        failed=$((failed + 1))
    fi
    # Without dot products of bytes, and with them but without products of matrices.
    for cpu in cortex-a53 cortex-a76; do
        [ "$arch" = aarch64 ] || continue
        qemu-aarch64 -cpu $cpu "$dir/tests/unit-kernels" >>"$build/cross.log" 2>&1 && continue
        tail -n 5 "$build/cross.log"
        echo "FAILED $arch: kernels on $cpu"
        failed=$((failed + 1))
    done
    counts=$(tail -n 1 "$build/cross.out")
    grep -v '^[0-9]* passed' "$build/cross.out"
    echo "$arch: $counts, $(($(date +%s) - start)) s"
    # shellcheck disable=SC2046
    set_counts() { passed=$((passed + $1)) failed=$((failed + $3)) skipped=$((skipped + $5)); }
    set_counts $(echo "$counts" | tr -d ,)
done
echo "cross: $passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]

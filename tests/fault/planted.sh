#!/bin/sh
# planted.sh [PATCH...] - plants known bugs into a copy of the modules, one at a time, and checks that
# the fault tests notice. A campaign that cannot fail proves nothing.
#
# Every patch in tests/fault/planted is applied to a scratch copy, vecstore.c is made from it, and the
# log and checkpoint tests and a small campaign run until one fails. Last line: `planted: N passed, N failed, ...`.
set -u
build=${BUILD:-build}/planted
cc=${CC:-cc}
passed=0 failed=0
[ $# -gt 0 ] || set -- tests/fault/planted/*.patch
rm -rf "$build"
mkdir -p "$build"
$cc -std=c11 -O1 -o "$build/amalgamate" amalgamation/amalgamate.c || exit 1
flags="-std=c11 -O1 -D_POSIX_C_SOURCE=200809L -I. -Itests -Itests/fault -DVSI_DEBUG
    -DVSI_STREAM_BYTES=4096 -DVSI_UNSYNCED_MAX=20000 -DVSI_CHECKPOINT_LOG_BYTES=24000"
sim="tests/fault/sim.c tests/fault/logfile.c tests/fault/workload.c tests/fault/verify.c tests/vt.c"

# Runs a test program; true when it fails or crashes.
notices() {
    timeout 300 "$@" >"$build/out" 2>&1 || {
        grep -m 1 FAILED "$build/out" || echo "ended with a crash: $*"
        return 0
    }
    return 1
}

# Without a bug nothing may be noticed; then each patch in turn.
for patch in none "$@"; do
    name=$(basename "$patch" .patch)
    rm -rf "$build/tree"
    mkdir -p "$build/tree"
    cp -r amalgamation "$build/tree/"
    if [ "$patch" != none ] && ! patch -s -p1 --no-backup-if-mismatch -d "$build/tree" <"$patch" >"$build/out" 2>&1; then
        echo "FAILED $name: the patch does not apply any more; renew it"
        failed=$((failed + 1))
        continue
    fi
    # shellcheck disable=SC2086
    "$build/amalgamate" "$build/tree/amalgamation" "$build/vecstore.c" &&
        $cc $flags -c "$build/vecstore.c" -o "$build/vecstore.o" 2>"$build/out" &&
        $cc $flags -o "$build/log" tests/fault/test_log.c $sim "$build/vecstore.o" -lm -lpthread &&
        $cc $flags -o "$build/api" tests/api/checkpoint.c tests/vt.c "$build/vecstore.o" -lm -lpthread &&
        $cc $flags -DVT_NO_MAIN -o "$build/crash" tests/fault/crash.c $sim "$build/vecstore.o" \
            -lm -lpthread || {
        cat "$build/out"
        echo "FAILED $name: does not compile"
        failed=$((failed + 1))
        continue
    }
    if seen=$(notices "$build/log") || seen=$(notices "$build/api") ||
        seen=$(notices "$build/crash" --oom 1 --quiet) ||
        seen=$(notices "$build/crash" --images 20000 --chains 6000 --quiet) ||
        seen=$(notices "$build/crash" --faults 8000 --quiet) ||
        seen=$(notices "$build/crash" --chains 40000 --seed 5 --quiet); then
        if [ "$patch" = none ]; then
            echo "FAILED the code as it is: $seen"
            failed=$((failed + 1))
            break
        fi
        echo "caught $name: $seen"
        passed=$((passed + 1))
    elif [ "$patch" = none ]; then
        echo "nothing is noticed in the code as it is"
    else
        echo "FAILED $name: nothing noticed the planted bug"
        failed=$((failed + 1))
    fi
done
echo "planted: $passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]

#!/bin/sh
# planted.sh [PATCH...] - plants known bugs into a copy of the modules, one at a time, and checks that
# the fault tests notice. A campaign that cannot fail proves nothing.
#
# Every patch in tests/fault/planted is applied to a scratch copy, vecstore.c is made from it, and the
# log, checkpoint and memory tests, the model test and a small campaign run until one fails. A patch whose surroundings have
# changed is refused: it might land elsewhere. Last line: `planted: N passed, N failed, ...`.
set -u
build=${BUILD:-build}/planted
cc=${CC:-cc}
passed=0 failed=0
[ $# -gt 0 ] || set -- none tests/fault/planted/*.patch
rm -rf "$build"
mkdir -p "$build"
$cc -std=c11 -O1 -o "$build/amalgamate" amalgamation/amalgamate.c || exit 1
flags="-std=c11 -O1 -D_POSIX_C_SOURCE=200809L -I. -Itests -Itests/fault -DVSI_DEBUG"
small="-DVSI_STREAM_BYTES=4096 -DVSI_UNSYNCED_MAX=20000 -DVSI_CHECKPOINT_LOG_BYTES=24000
    -DVSI_SPILL_BYTES=4096 -DVSI_TAIL_PAGES=4 -DVSI_RESERVE_PAGES=32 -DVSI_STEP_PAGES=4
    -DVSI_RESERVE_LOG_BYTES=4096 -DVSI_ENCODE_ROWS=6"
sim="tests/fault/sim.c tests/fault/logfile.c tests/fault/workload.c tests/fault/verify.c tests/vt.c"

# Runs a test program; true when it fails or crashes, or takes an hour.
notices() {
    timeout 3600 "$@" >"$build/out" 2>&1
    case $? in
    0) return 1 ;;
    124) echo "did not end: $*" ;;
    *) grep -m 1 FAILED "$build/out" || echo "ended with a crash: $*" ;;
    esac
    return 0
}

# Builds a unit test with the one file in place of the modules, and runs it.
unit() {
    # shellcheck disable=SC2086
    if ! $cc $flags -w -I"$build/tree/amalgamation/src" -include "$build/whole.c" \
        -c "tests/unit/$1.c" -o "$build/unit.o" ||
        ! $cc -o "$build/unit" "$build/unit.o" "$build/vt.o" -lzstd -lm -lpthread; then
        echo "unit-$1 does not compile"
        return 0
    fi
    notices "$build/unit"
}

# Builds a test of the interface, and runs all its tests or those named.
api() {
    name=$1
    shift
    # shellcheck disable=SC2086
    if ! $cc $flags -o "$build/api" "tests/api/$name.c" "$build/vt.o" "$build/plain.o" -lzstd -lm \
        -lpthread; then
        echo "api-$name does not compile"
        return 0
    fi
    notices "$build/api" "$@"
}

# Builds the model test of one database, and runs its program in memory; prints the step that noticed.
million() {
    # shellcheck disable=SC2086
    if ! $cc $flags -o "$build/million" tests/model/million.c "$build/vt.o" "$build/plain.o" -lzstd \
        -lm -lpthread; then
        echo "model-million does not compile"
        return 0
    fi
    VT_OPS=20000 notices "$build/million" a_million_calls_in_memory_agree_with_plain_arrays
}

# What threads do with little memory.
threads() {
    api threads with_little_memory_readers_beside_a_writer_see_what_their_snapshots_must_show \
        with_little_memory_checkpoints_and_checks_beside_all_of_them_disturb_nobody
}

# shellcheck disable=SC2086
$cc $flags -c -o "$build/vt.o" tests/vt.c || exit 1

# Without a bug (none) nothing may be noticed; then each patch in turn.
for patch in "$@"; do
    name=$(basename "$patch" .patch)
    rm -rf "$build/tree"
    mkdir -p "$build/tree"
    cp -r amalgamation "$build/tree/"
    if [ "$patch" != none ] && ! patch -s -p1 -F 0 --no-backup-if-mismatch -d "$build/tree" <"$patch" >"$build/out" 2>&1; then
        echo "FAILED $name: the patch does not apply any more; renew it"
        failed=$((failed + 1))
        continue
    fi
    # shellcheck disable=SC2086
    "$build/amalgamate" "$build/tree/amalgamation" "$build/vecstore.c" &&
        $cc $flags $small -c "$build/vecstore.c" -o "$build/vecstore.o" 2>"$build/out" &&
        $cc $flags -c "$build/vecstore.c" -o "$build/plain.o" 2>"$build/out" &&
        $cc $flags -o "$build/log" tests/fault/test_log.c $sim "$build/vecstore.o" -lzstd -lm -lpthread &&
        $cc $flags -o "$build/full" tests/fault/test_full.c $sim "$build/vecstore.o" -lzstd -lm -lpthread &&
        $cc $flags -DVT_NO_MAIN -o "$build/crash" tests/fault/crash.c $sim "$build/vecstore.o" \
            -lzstd -lm -lpthread || {
        cat "$build/out"
        echo "FAILED $name: does not compile"
        failed=$((failed + 1))
        continue
    }
    sed '/#pragma GCC poison/d' "$build/vecstore.c" >"$build/whole.c" # tests have memory of their own
    if seen=$(notices "$build/log") || seen=$(notices "$build/full") || seen=$(api checkpoint) ||
        seen=$(api compression) || seen=$(api trailers) || seen=$(api keys) || seen=$(api fields) ||
        seen=$(api payload) || seen=$(api drop) || seen=$(api vacuum) || seen=$(api codes) ||
        seen=$(unit apply) ||
        seen=$(unit reside) || seen=$(unit version) || seen=$(unit slab) || seen=$(unit pager) ||
        seen=$(unit spill) || seen=$(unit window) || seen=$(api mapped) ||
        seen=$(unit savepoint) || seen=$(api limit) || seen=$(threads) ||
        seen=$(notices "$build/crash" --oom 1 --quiet) ||
        seen=$(million) ||
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

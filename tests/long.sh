#!/bin/sh
# long.sh - the campaigns at the size that docs/TESTING.md reports, after `make check` has passed.
# Environment: BUILD, CC, CFLAGS, VECSTORE_DATA, SOAK (seconds, default 120), SEED.
set -u
build=${BUILD:-build}
seed=${SEED:-1}
passed=0 failed=0 skipped=0

stage() { # COMMAND...: prints all; its last line with counts is added
    start=$(date +%s)
    "$@" 2>&1 | tee "$build/long.log"
    counts=$(sed -n 's/^.*: \([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p' \
        "$build/long.log" | tail -n 1)
    add() { passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3)); }
    # shellcheck disable=SC2086
    add ${counts:-0 1 0}
    echo "($(($(date +%s) - start)) s)"
}

VT_LONG=1 stage "$build/tests/fault-log"
VT_LONG=1 stage "$build/tests/fault-sweep"
VT_LONG=1 stage "$build/tests/fault-flips"
VT_LONG=1 VT_SEED=$seed stage "$build/tests/model-million"
stage "$build/tests/crash" --seed "$seed" --images 210000 --chains 21000 --oom 8 --faults 70000
stage tests/fault/planted.sh
stage tests/model/model.sh
BUILD=$build/coverage stage tests/coverage.sh
[ -x tests/fault/soak.sh ] && stage tests/fault/soak.sh "${SOAK:-120}"

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]

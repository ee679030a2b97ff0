#!/bin/sh
# model.sh - the protocol of tests/model/store.pml, checked in every state by SPIN: as it is, which must
# break no assertion, and with planted bugs, each of which must break one.
#
# Prints states, depth, memory and time of each. Environment: BUILD, MODEL_CC. Last line:
# `model: N passed, N failed, N skipped`.
set -u
build=${BUILD:-build}/model
model=$(cd "$(dirname "$0")" && pwd)/store.pml
passed=0 failed=0
if ! command -v spin >/dev/null; then
    echo "skipped model: no spin here (apt-get install spin)"
    echo "model: 0 passed, 0 failed, 1 skipped"
    exit 0
fi

figure() { sed -n "s/$1/\\1/p" "$build/out" | head -n 1 | tr -d ' '; }

# check WANT BOUNDS...: searches all states; WANT is `sound`, or the bug that must be found.
check() {
    want=$1
    shift
    bug=-D$want
    [ "$want" != sound ] || bug=""
    rm -rf "$build"
    mkdir -p "$build"
    # shellcheck disable=SC2086
    if ! (cd "$build" && spin -a "$@" $bug "$model" >out 2>&1 &&
        ${MODEL_CC:-gcc} -O2 -DSAFETY -DCOLLAPSE -DMEMLIM=2000 -o pan pan.c >>out 2>&1); then
        cat "$build/out"
        echo "FAILED model: $want $* does not compile"
        failed=$((failed + 1))
        return
    fi
    (cd "$build" && ./pan -m200000 -w24 >out 2>&1)
    found=$(figure '^pan:1: \(.*\)')
    echo "$want $*: $(figure '\(.*\) states, stored') states, depth $(figure '.*depth reached \([0-9]*\).*')," \
        "$(figure ' *\([0-9]*\).[0-9]*.total actual memory usage') MB," \
        "$(figure 'pan: elapsed time \(.*\) seconds') s${found:+: $found}"
    is_whole=$(grep -c 'errors: 0$' "$build/out")
    [ "$(grep -c -e 'max search depth' -e 'out of memory' -e 'Search not completed' "$build/out")" = 0 ] || is_whole=0
    if [ "$want" = sound ] && [ "$is_whole" = 1 ]; then
        passed=$((passed + 1))
    elif [ "$want" != sound ] && case "$found" in assertionviolated*) true ;; *) false ;; esac then
        passed=$((passed + 1))
    else
        grep -e '^error' -e '^pan:' "$build/out"
        echo "FAILED model: $want $*"
        failed=$((failed + 1))
    fi
}

check sound -DLSNS=3 -DCRASHES=2 -DFAILURES=0 -DDAMAGES=0
check sound -DLSNS=3 -DCRASHES=1 -DFAILURES=1 -DDAMAGES=0
check sound -DLSNS=2 -DCRASHES=2 -DFAILURES=0 -DDAMAGES=1
check sound -DLSNS=2 -DCRASHES=1 -DFAILURES=1 -DDAMAGES=1
check BUG_REUSE_EARLY -DLSNS=3 -DCRASHES=1 -DFAILURES=0 -DDAMAGES=0
check BUG_READER_PAGES -DLSNS=4 -DCRASHES=0 -DFAILURES=0 -DDAMAGES=0 -DCHECKPOINTS=4
check BUG_NAME_BEFORE_SYNC -DLSNS=2 -DCRASHES=1 -DFAILURES=0 -DDAMAGES=0
check BUG_ACK_BEFORE_META -DLSNS=2 -DCRASHES=1 -DFAILURES=0 -DDAMAGES=0
check BUG_LOG_GOES_EARLY -DLSNS=2 -DCRASHES=1 -DFAILURES=0 -DDAMAGES=1
check BUG_DRAFT_STAYS -DLSNS=2 -DCRASHES=1 -DFAILURES=1 -DDAMAGES=0

echo "model: $passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]

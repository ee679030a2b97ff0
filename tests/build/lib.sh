# lib.sh - what the scripts of tests/build share; sourced from the top folder.
BUILD=${BUILD:-build}
CC=${CC:-cc}
CFLAGS=${CFLAGS:--O2}
passed=0 failed=0 skipped=0
scratch=$(mktemp -d "${VT_SCRATCH:-/tmp}/build-XXXXXX")
trap 'rm -rf "$scratch"' EXIT

check() { # CLAIM COMMAND
    if (eval "$2") >"$scratch/check.log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED $1: $2"
        tail -n 10 "$scratch/check.log"
    fi
}

finish() { # NAME
    echo "$1: $passed passed, $failed failed, $skipped skipped"
    [ "$failed" = 0 ]
    exit $?
}

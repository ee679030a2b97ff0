#!/bin/sh
# run.sh TEST... -- CRASH-OPTION... - runs test programs and scripts, prints what fails, and a last line
# `N passed, N failed, N skipped` of what really ran.
#
# Environment: BUILD, CC, CFLAGS, VECSTORE_DATA; SUITE: only tests whose name contains it; RUNNER: an
# emulator in front of each program; NO_SCRIPTS=1: only programs; SAN: scripts that look at the library
# as it ships are left out.
set -u
export VT_SCRATCH="${VT_SCRATCH:-/tmp}" BUILD="${BUILD:-build}"
passed=0 failed=0 skipped=0

# Runs a command whose last line is `NAME: N passed, N failed, N skipped`.
run() {
    name=$1
    shift
    case "$name" in *"${SUITE:-}"*) ;; *) return ;; esac
    output=$("$@" 2>&1)
    status=$?
    last=$(printf '%s\n' "$output" | grep ' passed, ' | tail -n 1)
    counts=$(printf '%s\n' "$last" |
        sed -n 's/.*: \([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p')
    if [ -z "$counts" ]; then
        printf '%s\n' "$output" | tail -n 40
        echo "FAILED $name: ended with status $status and without a count"
        failed=$((failed + 1))
        return
    fi
    # shellcheck disable=SC2086
    set -- $counts
    passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
    if [ "$2" != 0 ] || [ "$3" != 0 ] || [ $status != 0 ]; then
        printf '%s\n' "$output" | tail -n 40
    fi
    if [ $status != 0 ] && [ "$2" = 0 ]; then
        echo "FAILED $name: all passed, yet it ended with status $status"
        failed=$((failed + 1))
    fi
}

while [ $# -gt 0 ] && [ "$1" != -- ]; do
    # shellcheck disable=SC2086
    run "$(basename "$1")" ${RUNNER:-} "$1"
    shift
done
shift

# shellcheck disable=SC2086
run fault-crash ${RUNNER:-} "$BUILD/tests/crash" "$@"
# shellcheck disable=SC2086
run fuzz-corpus ${RUNNER:-} "$BUILD/tests/fuzz-log" fuzz/corpus/log

if [ -z "${NO_SCRIPTS:-}" ]; then
    for script in tests/shell/*.sh; do
        [ -x "$script" ] && run "shell-$(basename "$script" .sh)" "$script"
    done
fi
if [ -z "${NO_SCRIPTS:-}${SAN:-}" ]; then
    for script in tests/format/*.sh; do
        [ -x "$script" ] && run "format-$(basename "$script" .sh)" "$script"
    done
    for script in tests/build/*.sh; do
        [ -x "$script" ] && run "build-$(basename "$script" .sh)" "$script"
    done
    run tidy tests/tidy.sh "$BUILD"
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]

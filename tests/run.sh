#!/bin/sh
# run.sh TEST... -- CRASH-OPTION... - runs test programs and scripts, several at a time, prints what fails,
# and a last line `N passed, N failed, N skipped` of what really ran.
#
# Environment: BUILD, CC, CFLAGS, VECSTORE_DATA; SUITE: only tests whose name contains it; RUNNER: an
# emulator in front of each program; NO_SCRIPTS=1: only programs; SAN: scripts that look at the library
# as it ships are left out; JOBS: how many run side by side, otherwise as many as there are processors;
# TIMES=1: prints how long each took, the longest first.
set -u
export VT_SCRATCH="${VT_SCRATCH:-/tmp}" BUILD="${BUILD:-build}"

# run.sh --job FOLDER N: runs the command of FOLDER/N.command, an argument a line; its output and status
# become FOLDER/N.output and FOLDER/N.status.
if [ "${1:-}" = --job ]; then
    job=$2/$3
    set --
    while IFS= read -r arg; do set -- "$@" "$arg"; done <"$job.command"
    start=$(date +%s%N)
    "$@" >"$job.output" 2>&1
    echo "$? $((($(date +%s%N) - start) / 1000000))" >"$job.status"
    exit 0
fi

passed=0 failed=0 skipped=0 count=0
folder=$(mktemp -d "$VT_SCRATCH/vecstore-run-XXXXXX") || exit 1
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' HUP INT TERM

# add NAME COMMAND...: to be run; its last line is `NAME: N passed, N failed, N skipped`.
add() {
    case "$1" in *"${SUITE:-}"*) ;; *) return ;; esac
    count=$((count + 1))
    echo "$1" >"$folder/$count.name"
    shift
    printf '%s\n' "$@" >"$folder/$count.command"
}

# result N: what came of a command that was run.
result() {
    name=$(cat "$folder/$1.name")
    output=$folder/$1.output
    status=none took=0 # unless its runner was killed
    [ ! -s "$folder/$1.status" ] || read -r status took <"$folder/$1.status"
    counts=$(grep -a ' passed, ' "$output" | tail -n 1 |
        sed -n 's/.*: \([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p')
    if [ -z "$counts" ]; then
        tail -n 40 "$output"
        echo "FAILED $name: ended with status $status and without a count"
        failed=$((failed + 1))
        return
    fi
    [ -z "${TIMES:-}" ] || echo "$took $name" >>"$folder/times"
    # shellcheck disable=SC2086
    set -- $counts
    passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
    if [ "$2" != 0 ] || [ "$3" != 0 ] || [ "$status" != 0 ]; then
        tail -n 40 "$output"
    fi
    if [ "$status" != 0 ] && [ "$2" = 0 ]; then
        echo "FAILED $name: all passed, yet it ended with status $status"
        failed=$((failed + 1))
    fi
}

while [ $# -gt 0 ] && [ "$1" != -- ]; do
    # shellcheck disable=SC2086
    add "$(basename "$1")" ${RUNNER:-} "$1"
    shift
done
shift

for target in log file api import formats json grammar codes; do
    # shellcheck disable=SC2086
    add fuzz-$target ${RUNNER:-} "$BUILD/tests/fuzz-$target" fuzz/corpus/$target
done

if [ -z "${NO_SCRIPTS:-}${SAN:-}" ]; then
    add tidy tests/tidy.sh "$BUILD"
fi
if [ -z "${NO_SCRIPTS:-}" ]; then
    for script in tests/shell/*.sh; do
        [ "${script##*/}" = lib.sh ] || add "shell-$(basename "$script" .sh)" "$script"
    done
fi
if [ -z "${NO_SCRIPTS:-}${SAN:-}" ]; then
    for script in tests/build/*.sh; do
        [ "${script##*/}" = lib.sh ] || add "build-$(basename "$script" .sh)" "$script"
    done
    for script in tests/format/*.sh; do
        [ "${script##*/}" = lib.sh ] || add "format-$(basename "$script" .sh)" "$script"
    done
fi
# shellcheck disable=SC2086
add fault-crash ${RUNNER:-} "$BUILD/tests/crash" "$@"

# The long ones are the last of the list and begin first; results are printed in the order of the list.
[ "$count" = 0 ] || seq "$count" -1 1 |
    xargs -P "${JOBS:-$(getconf _NPROCESSORS_ONLN)}" -n 1 "$0" --job "$folder"
n=0
while [ $((n += 1)) -le "$count" ]; do result $n; done
[ ! -s "$folder/times" ] ||
    sort -rn "$folder/times" | awk '{ printf "%6d.%03d s  %s\n", $1 / 1000, $1 % 1000, $2 }'

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]

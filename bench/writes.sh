#!/bin/sh
# writes.sh FILE.fvecs [ROUNDS] - durable writes beside SQLite, sqlite-vec and zvec: rows a second in batches of 1,000 and
# one by one, bytes per vector of the closed database. Rounds are interleaved; medians, and their ratio to SQLite's.
#
# Environment: BATCH (1000), SINGLES (500), SCRATCH (a folder on the device to be measured; here), CORE (0),
# MODULES (a folder in which `npm install sqlite-vec @zvec/zvec` was run; without it these two are left out).
# SQLite is Debian's (libsqlite3-dev); sqlite-vec is the extension of its npm package, loaded by the same C program.
set -eu
cd "$(dirname "$0")/.."
[ $# -ge 1 ] || { sed -n '2,/^set/s/^# //p' "$0"; exit 2; }
file=$1 rounds=${2:-5} batch=${BATCH:-1000} singles=${SINGLES:-500} core=${CORE:-0}
make build/libvecstore.a >/dev/null
scratch=$(mktemp -d "${SCRATCH:-.}/bench-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
sqlite=-DWITH_SQLITE
printf '#include <sqlite3.h>\n' | cc -E - >/dev/null 2>&1 || sqlite=
# shellcheck disable=SC2086
cc -std=c11 -O2 -I. $sqlite bench/writes.c build/libvecstore.a -lzstd -lm -lpthread ${sqlite:+-lsqlite3} \
    -o "$scratch/writes"

one() { # NAME COMMAND...: a line of its figures
    name=$1
    shift
    rm -rf "$scratch"/db*
    taskset -c "$core" "$@" >>"$scratch/$name.txt"
    echo "$name" >>"$scratch/names"
}
db=$scratch/db vec0=$(find "${MODULES:-/nowhere}/node_modules" -name 'vec0.so' 2>/dev/null | head -n 1)
for _ in $(seq "$rounds"); do
    one vecstore-full "$scratch/writes" vecstore "$file" "$db" "$batch" "$singles" full
    [ -z "$sqlite" ] || one sqlite-full "$scratch/writes" sqlite "$file" "$db" "$batch" "$singles" full
    [ -z "$sqlite" ] || [ -z "$vec0" ] ||
        one sqlite-vec-full "$scratch/writes" "$vec0" "$file" "$db" "$batch" "$singles" full
    one vecstore-off "$scratch/writes" vecstore "$file" "$db" "$batch" "$singles" off
    [ -z "$sqlite" ] || one sqlite-off "$scratch/writes" sqlite "$file" "$db" "$batch" "$singles" off
    [ -z "${MODULES:-}" ] || one zvec-unsynced node bench/writes_zvec.mjs "$file" "$db" "$batch" "$singles"
done

median() { # FILE COLUMN
    awk -v c="$2" '{ print $c }' "$1" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}
base=$scratch/sqlite-full.txt
[ -f "$base" ] || base=$scratch/vecstore-full.txt
printf '%-18s %12s %8s %12s %8s %10s\n' "" "batch rows/s" ratio "single rows/s" ratio bytes
for name in $(awk '!seen[$0]++' "$scratch/names"); do
    f=$scratch/$name.txt
    awk -v n="$name" -v b="$(median "$f" 1)" -v s="$(median "$f" 2)" -v z="$(median "$f" 3)" \
        -v b0="$(median "$base" 1)" -v s0="$(median "$base" 2)" \
        'BEGIN { printf "%-18s %12d %8.2f %12d %8.2f %10.1f\n", n, b, b / b0, s, s / s0, z }'
done

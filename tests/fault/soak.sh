#!/bin/sh
# soak.sh [SECONDS] - imports real vectors with the vecstore command and kills it with SIGKILL at random
# moments, again and again. After each kill the database is checked at level 3, its count may only have
# grown, and is a multiple of the batch or all rows; a finished import must have recall 1.0000.
#
# Environment: BUILD, VECSTORE_DATA (else the shipped slice is used), SEED. Last line:
# `soak: N passed, N failed, N skipped`, one per kill and per finished import.
set -u
cd "$(dirname "$0")/../.." || exit 1
seconds=${1:-120}
vecstore=${BUILD:-build}/vecstore
seed=${SEED:-1}
batch=500
scratch=$(mktemp -d "${VT_SCRATCH:-/tmp}/vecstore-soak-XXXXXX") || exit 1
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' HUP INT TERM
db=$scratch/soak.vs
passed=0 failed=0 kills=0 imports=0 beside=0

source=${VECSTORE_DATA:-none}/fashion-mnist
query=$source/query.bvecs
if [ -d "$source" ]; then
    head -c $((200 * 788)) "$query" >"$scratch/query.bvecs" # 200 queries of 784 bytes
    query=$scratch/query.bvecs
else
    source=examples/data query=examples/data/query.bvecs.zst
fi
name=base.bvecs.zst

draw() { # $drawn: a number below $1, from the seed
    seed=$(((seed * 1103515245 + 12345) % 2147483648))
    drawn=$((seed / 65536 % $1))
}
count() { "$vecstore" "$db" info c --mode json | sed -n 's/.*"count":\([0-9]*\).*/\1/p'; }
bad() {
    failed=$((failed + 1))
    echo "FAILED soak: $1"
}

# Rows of the source, from an import that nobody disturbs. Its duration is the span of the kills.
"$vecstore" "$db" create c --dim 784 --type u8 || exit 1
start=$(date +%s%N)
"$vecstore" "$db" import c "$source/$name" --labels "$source/base_labels.u8" --batch $batch 2>/dev/null ||
    bad "the first import failed"
span=$((($(date +%s%N) - start) / 1000000))
total=$(count)
end=$(($(date +%s) + seconds))

while [ "$(date +%s)" -lt "$end" ] && [ "$failed" = 0 ]; do
    rm -f "$db" "$db"-wal-*
    "$vecstore" "$db" create c --dim 784 --type u8 || exit 1
    last=0
    while [ "$last" -lt "$total" ] && [ "$failed" = 0 ] && [ "$(date +%s)" -lt "$end" ]; do
        "$vecstore" "$db" import c "$source/$name" --labels "$source/base_labels.u8" --batch $batch \
            2>"$scratch/err" &
        pid=$!
        draw $((span * 2 / 3 + 50))
        sleep "$(awk -v ms=$drawn 'BEGIN { printf "%.3f", ms / 1000 }')"
        if kill -9 $pid 2>/dev/null; then kills=$((kills + 1)); else beside=$((beside + 1)); fi
        wait $pid 2>/dev/null
        now=$(count)
        if ! "$vecstore" "$db" check --level 3 2>"$scratch/err"; then
            bad "kill $kills: $(cat "$scratch/err")"
        elif [ "$now" -lt "$last" ]; then
            bad "kill $kills: $now rows, $last were there before"
        elif [ $((now % batch)) != 0 ] && [ "$now" != "$total" ]; then
            bad "kill $kills: $now rows is no multiple of the batch of $batch"
        else
            passed=$((passed + 1))
        fi
        last=$now
    done
    if [ "$last" = "$total" ]; then
        imports=$((imports + 1))
        line=$("$vecstore" "$db" recall c --queries "$query" --truth "$source/gt.ivecs")
        case "$line" in "recall@10 1.0000 "*) passed=$((passed + 1)) ;; *) bad "$line" ;; esac
    fi
done
[ $kills -gt 0 ] || bad "nothing was killed"
echo "soak: $total rows, seed ${SEED:-1}: $kills kills, $beside came after the end, $imports imports finished"
echo "soak: $passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]

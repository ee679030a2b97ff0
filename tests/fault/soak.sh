#!/bin/sh
# soak.sh [SECONDS] - imports real vectors with the vecstore command and kills it with SIGKILL at random
# moments, again and again. After each kill the database is checked at level 3, its count may only have
# grown, and is a multiple of the batch or all rows. An import that was not killed must have succeeded.
# A finished file has all rows, recall 1.0000, and answers byte for byte as one that nobody disturbed,
# labels included; then a new file is begun. The last one is finished after the time is over.
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
pid=""
trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null; rm -rf "$scratch"' EXIT
trap 'exit 130' HUP INT TERM
db=$scratch/soak.vs
passed=0 failed=0 kills=0 halfway=0 imports=0 beside=0

source=${VECSTORE_DATA:-none}/fashion-mnist
query=$source/query.bvecs
if [ -d "$source" ]; then
    head -c $((200 * 788)) "$query" >"$scratch/query.bvecs" # 200 queries of 784 bytes
    query=$scratch/query.bvecs
else
    source=examples/data query=examples/data/query.bvecs.zst
fi
name=base.bvecs.zst

draw() { # $drawn: a number below $1 and below 32768, from the seed
    seed=$(((seed * 1103515245 + 12345) % 2147483648))
    drawn=$((seed / 65536 % $1))
}
count() { # nothing when the database cannot be read
    "$vecstore" "$db" info c --mode json | sed -n 's/.*"count":\([0-9]*\).*/\1/p'
}
fresh() {
    rm -f "$db" "$db"-wal-*
    "$vecstore" "$db" create c --dim 784 --type u8 || exit 1
}
# The vecstore command takes the place of the shell that runs this, so that $! is its process.
import() {
    exec "$vecstore" "$db" import c "$source/$name" --labels "$source/base_labels.u8" --batch $batch
}
answers() { "$vecstore" "$db" search c --near "@$query" --mode json; }
bad() {
    failed=$((failed + 1))
    echo "FAILED soak: $1"
}
pause() { sleep "$(awk -v ms="$1" 'BEGIN { printf "%.3f", ms / 1000 }')"; }

# After each kill; sets $last to the count.
verify() {
    now=$(count)
    if [ -z "$now" ]; then
        bad "kill $kills: the database cannot be read"
    elif ! "$vecstore" "$db" check --level 3 >"$scratch/out" 2>"$scratch/err"; then
        bad "kill $kills: $(cat "$scratch/out" "$scratch/err")"
    elif [ "$now" -lt "$last" ]; then
        bad "kill $kills: $now rows, $last were there before"
    elif [ $((now % batch)) != 0 ] && [ "$now" != "$total" ]; then
        bad "kill $kills: $now rows is no multiple of the batch of $batch"
    else
        passed=$((passed + 1))
    fi
    [ "${now:-0}" -le "$last" ] || [ "${now:-0}" -ge "$total" ] || halfway=$((halfway + 1))
    last=${now:-0}
}

# One import, killed somewhere or at its end.
kill_one() {
    (import 2>"$scratch/err") &
    pid=$!
    draw $((span / 2 + 20))
    pause $drawn
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    status=$?
    pid=""
    case $status in
    137) kills=$((kills + 1)) ;;
    0) beside=$((beside + 1)) ;;
    *) bad "an import behind row $last ended with $status: $(cat "$scratch/err")" ;;
    esac
    [ "$failed" != 0 ] || verify
    if [ "$failed" = 0 ] && [ $status = 0 ] && [ "$last" != "$total" ]; then
        bad "an import ended with 0 and left $last of $total rows"
    fi
}

# The same command goes on until all rows are there.
finish_one() {
    if ! (import 2>"$scratch/err"); then
        bad "going on behind row $last: $(cat "$scratch/err")"
        return
    fi
    imports=$((imports + 1))
    line=$("$vecstore" "$db" recall c --queries "$query" --truth "$source/gt.ivecs")
    answers >"$scratch/answers"
    if [ "$(count)" != "$total" ]; then
        bad "the finished import has $(count) of $total rows"
    elif case "$line" in "recall@10 1.0000 "*) false ;; *) true ;; esac then
        bad "the finished import: $line"
    elif ! cmp "$scratch/answers" "$scratch/undisturbed"; then
        bad "the finished import answers otherwise than one that nobody disturbed"
    else
        passed=$((passed + 1))
    fi
}

# Rows, answers and duration of imports that nobody disturbs: the shortest says when to kill.
span=""
for _ in 1 2 3; do
    fresh
    start=$(date +%s%N)
    (import 2>/dev/null) || bad "an import that nobody disturbed failed"
    took=$((($(date +%s%N) - start) / 1000000))
    if [ $took -lt "${span:-$((took + 1))}" ]; then span=$took; fi
done
total=$(count)
answers >"$scratch/undisturbed"
if [ "${total:-0}" -le $((2 * batch)) ] || [ ! -s "$scratch/undisturbed" ]; then
    bad "the first import left '$total' rows"
fi
echo "soak: $total rows by batches of $batch, $span ms undisturbed, seed ${SEED:-1}"
end=$(($(date +%s) + seconds))

while [ "$(date +%s)" -lt "$end" ] && [ "$failed" = 0 ]; do
    fresh
    last=0
    while [ "$last" -lt "$total" ] && [ "$failed" = 0 ] && [ "$(date +%s)" -lt "$end" ]; do
        kill_one
    done
    [ "$failed" != 0 ] || finish_one
done
[ $halfway -gt 0 ] || bad "no kill left an import half done"
echo "soak: $kills kills, $halfway of them left a larger and unfinished import," \
    "$beside came after the end, $imports imports finished"
if [ "$failed" != 0 ]; then
    kept=${VT_SCRATCH:-/tmp}/soak-failed-$$
    cp -r "$scratch" "$kept" && echo "soak: the files are kept in $kept"
fi
echo "soak: $passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]

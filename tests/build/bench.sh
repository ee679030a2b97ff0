#!/bin/sh
# bench.sh - the verdicts of make bench-compare and the recall of peers on samples that are made up; kernels measured
# once; one benchmark measured, saved and compared, where hyperfine is there.
set -u
. tests/build/lib.sh
export PYTHONDONTWRITEBYTECODE=1
claims="/usr/bin/python3 tests/build/bench_stats.py"

list=$($claims)
check "there are claims about the comparison" "[ \$(echo '$list' | wc -w) -ge 15 ]"
for claim in $list; do
    check "$(echo "$claim" | tr _ ' ')" "$claims $claim '$scratch'"
done

kernels=$BUILD/bench/kernels
check "every kernel of every set is measured in both caches and memory" \
    "'$kernels' --dim 100 --rounds 1 --ms 1 --mib 4 --csv '$scratch/k.csv' >'$scratch/k.md' 2>&1"
sets=$(sed -n 's/^Reading alone.* Sets: \(.*\)\.$/\1/p' "$scratch/k.md")
for set in $sets; do
    check "$set is among them" "grep -q '^[a-z0-9]*,[a-z0-9]*,100,$set,memory,[0-9.]*[1-9]' '$scratch/k.csv'"
done
check "the lowest set has all kernels, those of codes too" "[ \$(grep -c ',100,scalar,' '$scratch/k.csv') = 105 ]"
check "and prepares queries for codes" "grep -q '^| cosine | 100 | scalar | [0-9.]*[1-9]' '$scratch/k.md'"
check "codes and what is done with them can be chosen" \
    "'$kernels' --type rq2 --metric bounds --dim 65 --set scalar --rounds 1 --ms 1 --mib 4 --csv '$scratch/k.csv' &&
    [ \$(grep -c '^rq2,bounds,65,scalar,' '$scratch/k.csv') = 3 ] && [ \$(wc -l <'$scratch/k.csv') = 4 ]"
check "codes that there are not are refused" "! '$kernels' --type rq3 --rounds 1"
check "a set that the machine lacks is refused" "! '$kernels' --set nosuch"

if command -v hyperfine >/dev/null 2>&1; then
    quick="BENCH=open/closed BENCH_RUNS=5 BENCH_ROWS=500 BUILD='$scratch'"
    mkdir "$scratch/bench"
    ln -s "$(cd "$BUILD" && pwd)/vecstore" "$scratch/vecstore"
    check "its generator compiles" "$CC $CFLAGS -o '$scratch/bench/clusters' bench/clusters.c"
    check "a benchmark is measured and saved" "$quick /usr/bin/python3 bench/run.py save one"
    check "and compared with what was saved: the same samples have not changed" \
        "$quick LAST=1 /usr/bin/python3 bench/run.py compare one | grep -q '^| open/closed .* +0.0 % .* no change'"
    check "hyperfine's figures stay" "grep -q '\"median\"' '$scratch/bench/out/hyperfine/open-closed.1.json'"
    check "a baseline that is not there is refused by name" \
        "! $quick LAST=1 /usr/bin/python3 bench/run.py compare two 2>'$scratch/said' && grep -q \"'two'\" '$scratch/said'"
else
    skipped=$((skipped + 1))
    echo "skipped build-bench: a benchmark through hyperfine: it is not here"
fi

finish build-bench

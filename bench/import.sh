#!/bin/sh
# import.sh [ROUNDS] - how fast the vecstore command imports, beside the device: the same bytes by dd
# with one sync at the end, and as many syncs of one block as the import has commits. Rounds are
# interleaved; medians of seconds and the ratios are printed.
#
# Environment: BUILD, DATA (folder with fashion-mnist; else the shipped slice), BATCH (rows, 1000).
set -eu
cd "$(dirname "$0")/.."
vecstore=${BUILD:-build}/vecstore
rounds=${1:-7} batch=${BATCH:-1000}
source=${DATA:-none}/fashion-mnist
[ -d "$source" ] || source=examples/data
scratch=$(mktemp -d ./bench-XXXXXX)
trap 'rm -rf "$scratch"' EXIT
db=$scratch/x.vs

seconds() { # COMMAND...: how long it took
    start=$(date +%s%N)
    "$@" >/dev/null 2>&1
    echo $((($(date +%s%N) - start) / 1000)) | awk '{ printf "%.6f\n", $1 / 1e6 }'
}
median() { sort -n "$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

for _ in $(seq "$rounds"); do
    rm -f "$db" "$db"-wal-*
    "$vecstore" "$db" create c --dim 784 --type u8
    seconds "$vecstore" "$db" import c "$source/base.bvecs.zst" --batch "$batch" >>"$scratch/import"
    bytes=$(cat "$db" "$db"-wal-* | wc -c)
    rows=$("$vecstore" "$db" info c --mode json | sed -n 's/.*"count":\([0-9]*\).*/\1/p')
    rm -f "$scratch/raw"
    seconds dd if=/dev/zero of="$scratch/raw" bs=$((batch * 848)) count=$((bytes / (batch * 848))) \
        conv=fdatasync >>"$scratch/write"
    seconds dd if=/dev/zero of="$scratch/raw" bs=4096 count=$(((rows + batch - 1) / batch)) \
        oflag=dsync conv=notrunc >>"$scratch/sync"
done
awk -v rows="$rows" -v bytes="$bytes" -v batch="$batch" -v import="$(median "$scratch/import")" \
    -v write="$(median "$scratch/write")" -v sync="$(median "$scratch/sync")" 'BEGIN {
    printf "import   %.3f s: %d rows, %.0f rows/s, %d commits, %.3f bytes written per user byte\n",
        import, rows, rows / import, rows / batch, bytes / (rows * 784)
    printf "write    %.3f s: the same bytes by dd, one sync; import / write %.2f\n", write, import / write
    printf "sync     %.3f s: as many synced 4 KiB blocks; import / (write + sync) %.2f\n", sync,
        import / (write + sync)
}'

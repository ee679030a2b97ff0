#!/bin/sh
# data.sh - exact search on real data equals the truth that came with the data. The folder is
# VECSTORE_DATA; without it this is skipped. VT_LONG=1 asks all queries, otherwise the first 200.
. "$(dirname "$0")/lib.sh"

if [ ! -d "$data/fashion-mnist" ]; then
    skip "exact search equals the truth of real data" "VECSTORE_DATA has no folder of data"
    finish
fi
if ! has_zstd; then
    skip "exact search equals the truth of real data" "this build cannot read .zst files"
    finish
fi

# first N FILE OUT: the first N rows of a file of vectors, or all with VT_LONG.
first() {
    row=$(($(od -An -td4 -N4 "$2" | tr -d ' ') * $(case "$2" in *.bvecs) echo 1 ;; *) echo 4 ;; esac) + 4))
    if [ -n "${VT_LONG:-}" ]; then cp "$2" "$3"; else head -c $(($1 * row)) "$2" >"$3"; fi
}

# equals COLLECTION DIM TYPE METRIC FOLDER BASE QUERY TRUTH
equals() {
    [ "$(count data.db "$1" 2>/dev/null)" ] || "$vecstore" data.db create "$1" --dim "$2" --type "$3" --metric "$4"
    first 200 "$data/$5/$7" "query.${7##*.}"
    vs data.db import "$1" "$data/$5/$6"
    says "$1: $6 is imported" "rows"
    vs data.db recall "$1" --queries "query.${7##*.}" --truth "$data/$5/$8"
    queries=$(sed -n 's/.*queries=\([0-9]*\).*/\1/p' out)
    prints "$1: exact search equals $8" "recall@10 1.0000 queries=$queries k=10"
    [ -z "${VT_LONG:-}" ] || printf '%s %s %s %s: %s rows, %s\n' "$5" "$3" "$4" "$8" \
        "$(count data.db "$1")" "$(cat out)"
}

equals fashion 784 u8 l2 fashion-mnist base.bvecs.zst query.bvecs gt.ivecs
equals sift 128 u8 l2 sift-photo base.bvecs.zst query.bvecs gt.ivecs
equals words 100 f32 cosine words-sgns100 base.fvecs.zst query.fvecs gt.ivecs
equals dots 100 f32 ip words-sgns100 base.fvecs.zst query.fvecs gt_ip.ivecs
equals bible 1024 f32 cosine bible-bge-large base.fvecs query.fvecs gt.ivecs
equals bible 1024 f32 cosine bible-bge-large base.fvecs query_ood.fvecs gt_ood.ivecs
vs data.db check
says "the database is clean at level 3" "clean at level 3"

finish

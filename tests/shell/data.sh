#!/bin/sh
# data.sh - exact search on real data equals the truth that came with the data. The folder is
# VECSTORE_DATA; without it this is skipped. VT_LONG=1 asks all queries, otherwise the first 200.
#
# Three claims about each set: recall is 1.0000; the distances that search prints are those of the
# truth, rank by rank; where they are whole numbers the keys are the same too, ties by lower key.
# The second one matters: recall alone does not notice truth that belongs to something else.
. "$(dirname "$0")/lib.sh"

if [ ! -d "$data/fashion-mnist" ]; then
    skip "exact search equals the truth of real data" "VECSTORE_DATA has no folder of data"
    finish
fi
if ! has_zstd; then
    skip "exact search equals the truth of real data" "this build cannot read .zst files"
    finish
fi
compile_makevecs

# imports COLLECTION ROWS FOLDER FILE ARG...: a new collection, made with ARG..., has these rows. With $texts the metadata
# and texts of that file come along.
texts=""
imports() {
    collection=$1 all=$2 folder=$3 file=$4
    shift 4
    "$vecstore" data.db create "$collection" "$@"
    set -- data.db import "$collection" "$data/$folder/$file"
    [ ! -f "$data/$folder/base_labels.u8" ] || set -- "$@" --labels "$data/$folder/base_labels.u8"
    [ -z "$texts" ] || set -- "$@" --metadata "$data/$folder/$texts"
    start=$(date +%s%N)
    vs "$@"
    took=$((($(date +%s%N) - start) / 1000000))
    says "$collection: $file is imported" "import: $all rows added"
    same "$collection: it has all rows" "$all" "$(count data.db "$collection")"
    [ -z "${VT_LONG:-}" ] || echo "$folder/$file: $all rows imported in $took ms"
}

# equals COLLECTION ROW-BYTES QUERY TRUTH TOLERANCE [RELATIVE]: distances may differ by TOLERANCE plus
# RELATIVE times the distance: what vecstore.h allows for single precision, and that the truth's are
# stored as f32 (6e-8).
equals() {
    truth=$data/$folder/$4
    query=query.${3##*.}
    cp "$data/$folder/$3" "$query"
    chmod u+w "$query"
    [ -n "${VT_LONG:-}" ] || { head -c $((200 * $2)) "$query" >less && mv less "$query"; }
    queries=$(($(wc -c <"$query") / $2))
    vs data.db recall "$1" --queries "$query" --truth "$truth"
    prints "$1: no query of $3 misses a neighbour of $4" "recall@10 1.0000 queries=$queries k=10"
    [ -z "${VT_LONG:-}" ] || echo "$folder $1 $3 $4: $(cat out)"

    vs data.db search "$1" --near "@$query" -k 10 --mode json
    grep -o '"query"\|"key":[0-9]*,"distance":[-+.e0-9]*' out | sed 's/"key"://; s/,"distance":/ /' |
        awk '/query/ { q++; next } { print q, $1, $2 }' >hits
    same "$1: $3: search finds ten for each query" $((10 * queries)) "$(wc -l <hits | tr -d ' ')"
    "$makevecs" text ivecs <"$truth" | cut -d' ' -f1-10 | head -n "$queries" >keys
    "$makevecs" text fvecs <"${truth%.ivecs}_dist.fvecs" | cut -d' ' -f1-10 | head -n "$queries" |
        tr ' ' '\n' >distances
    # shellcheck disable=SC2016 # awk's
    holds "$1: $3: the distances are those of $4, rank by rank" awk -v most="$5" -v relative="${6:-6e-8}" '
        NR == FNR { want[NR] = $1; next }
        { off = $3 - want[FNR]; off = off < 0 ? -off : off
          size = want[FNR] < 0 ? -want[FNR] : want[FNR] }
        off > most + relative * size { print "query " $1 - 1 ", key " $2 ": distance " $3 ", truth " \
            want[FNR] >"/dev/stderr"; exit 1 }
        END { exit FNR == 0 }' distances hits
    if [ "$5" = 0 ] && [ $# = 5 ]; then
        awk 'NR > 1 && $1 != query { print row; row = "" } { query = $1; row = row (row == "" ? "" : " ") $2 }
            END { print row }' hits >found
        holds "$1: $3: the keys are those of $4, in its order" cmp keys found
    fi
}

imports fashion 60000 fashion-mnist base.bvecs.zst --dim 784 --type u8
equals fashion 788 query.bvecs gt.ivecs 0
# The hits of search carry the label that their key has in the file.
od -An -v -tu1 -w1 "$data/fashion-mnist/base_labels.u8" | tr -d ' ' >labels
grep -o '"key":[0-9]*\|"label":[0-9]*' out | cut -d: -f2 | paste -d' ' - - >labelled
# shellcheck disable=SC2016 # awk's
holds "fashion: each hit has the label of its row" awk '
    NR == FNR { label[NR - 1] = $1; next } $2 "" != label[$1] { exit 1 } END { exit FNR == 0 }' labels labelled
imports sift 33017 sift-photo base.bvecs.zst --dim 128 --type u8
equals sift 132 query.bvecs gt.ivecs 0
imports words 60000 words-sgns100 base.fvecs.zst --dim 100 --metric cosine
equals words 404 query.fvecs gt.ivecs 5e-6
# The longest vector has length 7.3: the terms of a product sum to 54 at most.
imports dots 60000 words-sgns100 base.fvecs.zst --dim 100 --metric ip
equals dots 404 query.fvecs gt_ip.ivecs 2.7e-4
imports bible 2824 bible-bge-large base.fvecs --dim 1024 --metric cosine
equals bible 4100 query.fvecs gt.ivecs 5e-6
equals bible 4100 query_ood.fvecs gt_ood.ivecs 5e-6
# Vectors of zeros and many duplicates.
imports zeros 4400 edge-zero-dup base.fvecs --dim 50 --metric cosine
equals zeros 204 query.fvecs gt.ivecs 5e-6
imports duplicates 4400 edge-zero-dup base.fvecs --dim 50 --metric l2
equals duplicates 204 query.fvecs gt_l2.ivecs 0 5.06e-6

# ---- with their metadata and texts ---------------------------------------------------------------

# keeps COLLECTION: the metadata of all records are those of the file, in its order, whatever white space it has.
keeps() {
    "$vecstore" data.db scan "$1" --mode jsonl >scanned
    holds "$1: the metadata and texts are those of $texts" /usr/bin/python3 -c '
import json, sys, zstandard
file = open(sys.argv[2], "rb")
if sys.argv[2].endswith(".zst"):
    file = zstandard.ZstdDecompressor().stream_reader(file)
rows = file.read().splitlines()
records = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
assert len(rows) == len(records), (len(rows), len(records))
for i, (row, record) in enumerate(zip(rows, records)):
    assert record["key"] == i and record["metadata"] == json.loads(row), (i, record, row)
' scanned "$data/$folder/$texts"
}

texts=meta.jsonl.zst
imports told 2824 bible-bge-large base.fvecs --dim 1024 --metric cosine
keeps told
imports named 60000 words-sgns100 base.fvecs.zst --dim 100 --metric cosine
keeps named
imports products 23076 products base.fvecs.zst --dim 192 --metric cosine
keeps products
equals products 772 query.fvecs gt.ivecs 5e-6
imports reuters 17554 reuters base.fvecs.zst --dim 128 --metric cosine
keeps reuters
equals reuters 516 query.fvecs gt.ivecs 5e-6
texts=docs.jsonl.zst
imports npl 11429 text-npl docs_lsa.fvecs.zst --dim 128 --metric cosine
keeps npl
equals npl 516 query_lsa.fvecs gt_lsa.ivecs 5e-6
imports cranfield 1400 text-cranfield docs_lsa.fvecs.zst --dim 128 --metric cosine
keeps cranfield
equals cranfield 516 query_lsa.fvecs gt_lsa.ivecs 5e-6
texts=""
imports sift5k 4500 sift5k base.bvecs --dim 128 --type u8
equals sift5k 132 query.bvecs gt.ivecs 0
imports deep 1800 deep96-2k base.fvecs --dim 96 --metric cosine
equals deep 388 query.fvecs gt.ivecs 5e-6

vs data.db check
says "the database is clean at level 3" "clean at level 3"

finish

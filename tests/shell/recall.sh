#!/bin/sh
# recall.sh - the figure that recall prints: right for every metric and type, and below 1 when search
# returns less than the truth asks for.
. "$(dirname "$0")/lib.sh"
compile_makevecs

# random KIND ELEMENT-BYTES: base.KIND and, of other numbers, query.KIND; rows of 24 elements.
random() {
    "$makevecs" random "$1" 3020 24 >all
    head -c $((3000 * (4 + 24 * $2))) all >"base.$1"
    tail -c $((20 * (4 + 24 * $2))) all >"query.$1"
}
random fvecs 4
random bvecs 1

for type in f32 u8; do
    [ $type = f32 ] && kind=fvecs || kind=bvecs
    for metric in l2 ip cosine; do
        fresh $type-$metric.db --dim 24 --type $type --metric $metric
        vs $type-$metric.db import c base.$kind
        says "$type $metric: all rows are imported" "3000 rows added"
        for k in 1 7 100; do
            vs $type-$metric.db recall c --queries query.$kind -k $k
            prints "$type $metric: search agrees with a double-precision loop at k $k" \
                "recall@$k 1.0000 queries=20 k=$k"
        done
    done
done
vs f32-l2.db recall c --queries query.fvecs -k 4000
prints "k may exceed the number of records" "recall@4000 1.0000 queries=20 k=4000"

# ---- truth of a file -----------------------------------------------------------------------------

# The keys that search returned, a row per query.
"$vecstore" f32-l2.db search c --near @query.fvecs -k 10 --mode json |
    grep -o '"query"\|"key":[0-9]*' | sed 's/"key"://' |
    awk '/query/ { if (NR > 1) print ""; next } { printf "%s ", $1 } END { print "" }' >keys
same "search gave 20 rows of 10 keys" "20 200" "$(wc -lw <keys | tr -s ' ' | sed 's/^ //')"

# recall_is CLAIM FIGURE K AWK-PROGRAM: with truth made from the keys by awk.
recall_is() {
    awk "$4" keys | "$makevecs" rows ivecs >truth.ivecs
    vs f32-l2.db recall c --queries query.fvecs --truth truth.ivecs -k "$3"
    prints "$1" "recall@$3 $2 queries=20 k=$3"
}
# shellcheck disable=SC2016 # awk's
{
    recall_is "truth that search found gives 1" 1.0000 10 '1'
    recall_is "truth may have more columns than k" 1.0000 10 '{ print $0, 2999, 2999 }'
    recall_is "... and k may be smaller" 1.0000 3 '1'
    recall_is "-1 ends a row of truth" 1.0000 10 '{ print $1, $2, $3, -1, -1, -1, -1, -1, -1, -1 }'
    recall_is "a row of -1 asks for nothing" 1.0000 10 \
        'NR > 1 { print; next } { print -1, -1, -1, -1, -1, -1, -1, -1, -1, -1 }'
    # Truth that says its 10th neighbour is as near as the n-th: only n of the hits are that near.
    recall_is "hits farther than the truth do not count" 0.5000 10 \
        '{ print $1, $2, $3, $4, $5, $5, $5, $5, $5, $5 }'
    recall_is "... one of ten is a tenth" 0.1000 10 '{ for (i = 0; i < 10; i++) printf "%s ", $1; print "" }'
    recall_is "one hit short of all is not rounded up to 1" 0.9950 10 \
        'NR > 1 { print; next } { print $1, $2, $3, $4, $5, $6, $7, $8, $9, $9 }'
}
vs f32-l2.db bench c --queries query.fvecs --truth truth.ivecs
same "bench measures the same recall" 0.9950 "$(sed -n 2p out | cut -d, -f2)"

awk '{ $1 = 3000; print }' keys | "$makevecs" rows ivecs >truth.ivecs
vs f32-l2.db recall c --queries query.fvecs --truth truth.ivecs -k 1
fails "truth that names a key that is not there is refused" 3000
head -n 19 keys | "$makevecs" rows ivecs >truth.ivecs
vs f32-l2.db recall c --queries query.fvecs --truth truth.ivecs
fails "truth with fewer rows than queries is refused" truth.ivecs 19 20
vs f32-l2.db recall c --queries query.fvecs --truth nosuch.ivecs
fails "truth that is missing is named" nosuch.ivecs

finish

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

header=params,recall,qps,p50_us,p99_us
number='[0-9][0-9]*\.[0-9]'

# sweeps CLAIM PARAMS,RECALL...: the last vs printed the header and these rows with three figures each.
sweeps() {
    claim=$1
    shift
    { echo "$header"; printf '%s,N,N,N\n' "$@"; } >want
    sed "2,\$s/,$number,$number,$number\$/,N,N,N/" out >shape
    if [ "$status" = 0 ] && cmp -s want shape; then pass; else fail_run "$claim" "$(cat want)"; fi
}

# keys_of DB QUERIES K: the keys that search returned, a row per query.
keys_of() {
    "$vecstore" "$1" search c --near "@$2" -k "$3" --mode json | grep -o '"query"\|"key":[0-9]*' |
        sed 's/"key"://' | awk '/query/ { if (NR > 1) print row; row = ""; next }
            { row = row (row == "" ? "" : " ") $1 } END { print row }'
}

for type in f32 u8; do
    [ $type = f32 ] && kind=fvecs || kind=bvecs
    for metric in l2 ip cosine; do
        db=$type-$metric.db truth=truth-$type-$metric.ivecs
        fresh $db --dim 24 --type $type --metric $metric
        vs $db import c "base.$kind"
        says "$type $metric: all rows are imported" "3000 rows added"
        "$makevecs" nearest $metric 120 "base.$kind" "query.$kind" >"$truth"
        for k in 1 7 100; do
            vs $db recall c --queries "query.$kind" -k $k
            prints "$type $metric: search agrees with the command's own truth at k $k" \
                "recall@$k 1.0000 queries=20 k=$k"
            vs $db recall c --queries "query.$kind" -k $k --truth "$truth"
            prints "$type $metric: ... and with that of another program" \
                "recall@$k 1.0000 queries=20 k=$k"
        done
        vs $db bench c --queries "query.$kind" --truth "$truth" --sweep k=1,7,100
        sweeps "$type $metric: bench --sweep has a row per value, and the recall of each" \
            k=1,1.0000 k=7,1.0000 k=100,1.0000
    done
done
# Bytes are computed in whole numbers, so keys are not a matter of rounding, nor is the order of ties.
for metric in l2 ip; do
    same "u8 $metric: search has exactly the keys of the other program, in its order" \
        "$("$makevecs" text ivecs <truth-u8-$metric.ivecs | cut -d' ' -f1-100)" \
        "$(keys_of u8-$metric.db query.bvecs 100)"
done
vs f32-l2.db recall c --queries query.fvecs -k 4000
prints "k may exceed the number of records" "recall@4000 1.0000 queries=20 k=4000"

# The other types, of numbers that all of them have; sums of those are whole numbers.
"$makevecs" text bvecs <base.bvecs | awk '{ for (i = 1; i <= NF; i++) $i %= 100; print }' |
    "$makevecs" rows bvecs >small.bvecs
"$makevecs" text bvecs <query.bvecs | awk '{ for (i = 1; i <= NF; i++) $i %= 100; print }' |
    "$makevecs" rows bvecs >small-query.bvecs
"$makevecs" text bvecs <base.bvecs | awk '{ for (i = 1; i <= NF; i++) $i %= 2; print }' |
    "$makevecs" rows bvecs >bits.bvecs
head -c 560 bits.bvecs >bits-query.bvecs
type_agrees() { # TYPE METRIC FILE: recall and keys are those of another program
    db=$1-$2.db
    fresh "$db" --dim 24 --type "$1" --metric "$2"
    vs "$db" import c "$3.bvecs"
    says "$1 $2: all rows are imported" "3000 rows added"
    "$makevecs" nearest "$2" 100 "$3.bvecs" "$3-query.bvecs" >types.ivecs
    vs "$db" recall c --queries "$3-query.bvecs" -k 100 --truth types.ivecs
    prints "$1 $2: search agrees with another program" "recall@100 1.0000 queries=20 k=100"
    vs "$db" recall c --queries "$3-query.bvecs" -k 7
    prints "$1 $2: ... and with the command's own truth" "recall@7 1.0000 queries=20 k=7"
    [ "$2" = cosine ] || [ "$2" = jaccard ] || # the order of keys there is a matter of rounding
        same "$1 $2: the keys are the same, in their order" "$("$makevecs" text ivecs <types.ivecs)" \
            "$(keys_of "$db" "$3-query.bvecs" 100)"
}
for metric in l2 ip cosine l1; do
    for type in f16 bf16 i8; do type_agrees $type $metric small; done
done
for type in f32 u8; do type_agrees $type l1 small; done
for metric in hamming jaccard; do type_agrees bit $metric bits; done
fresh two.db --dim 24 --type bit
vs two.db import c small.bvecs
fails "a number that bits do not have is refused with its row" "row 0" "0 or 1"

# 3000 rows with 16 different vectors, so that all borders of k are ties.
"$makevecs" random bvecs 3000 4 | "$makevecs" text bvecs |
    awk '{ print $1 % 2, $2 % 2, $3 % 2, $4 % 2 }' | "$makevecs" rows bvecs >ties.bvecs
head -c 160 ties.bvecs >ties-query.bvecs
for metric in l2 ip cosine; do
    fresh ties.db --dim 4 --type u8 --metric $metric
    vs ties.db import c ties.bvecs
    "$makevecs" nearest $metric 50 ties.bvecs ties-query.bvecs >ties.ivecs
    for k in 1 10 50; do
        vs ties.db recall c --queries ties-query.bvecs --truth ties.ivecs -k $k
        prints "ties at $metric cost no recall at k $k" "recall@$k 1.0000 queries=20 k=$k"
    done
    same "ties at $metric are ordered by key" "$("$makevecs" text ivecs <ties.ivecs)" \
        "$(keys_of ties.db ties-query.bvecs 50)"
done

# ---- truth of a file -----------------------------------------------------------------------------

keys_of f32-l2.db query.fvecs 10 >keys
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

vs f32-l2.db recall c --queries query.fvecs --truth truth-f32-ip.ivecs
# shellcheck disable=SC2016 # awk's
holds "truth of another metric gives a recall below 1: $(cat out)" awk '{ exit !($2 < 1) }' out

# Recall is how many of the truth's k neighbours were returned (|returned and true| / k). Truth of
# something else has hardly one of them: it must not be taken for perfect.
# below CLAIM AWK-PROGRAM: with truth made from the keys by awk, recall@10 is below a half.
below() {
    awk "$2" keys | "$makevecs" rows ivecs >truth.ivecs
    vs f32-l2.db recall c --queries query.fvecs --truth truth.ivecs
    figure=$(sed -n 's/^recall@10 \([01]\.[0-9]*\) queries=20 k=10$/\1/p' out)
    holds "$1: $figure" awk -v figure="${figure:-1}" 'BEGIN { exit !(figure < 0.5) }'
}
# shellcheck disable=SC2016 # awk's
{
    below "truth of the next query gives a recall below 1" \
        'NR == 1 { first = $0; next } { print } END { print first }'
    below "truth of rows that no search found gives a recall below 1" \
        '{ print 2990, 2991, 2992, 2993, 2994, 2995, 2996, 2997, 2998, 2999 }'
    # The nearest record in truth's first place, and a far one in its last.
    below "truth with one right neighbour in ten gives a recall below 1" \
        '{ print $1, 2991, 2992, 2993, 2994, 2995, 2996, 2997, 2998, 2999 }'
}

awk '{ $1 = 3000; print }' keys | "$makevecs" rows ivecs >truth.ivecs
vs f32-l2.db recall c --queries query.fvecs --truth truth.ivecs -k 1
fails "truth that names a key that is not there is refused" 3000
head -n 19 keys | "$makevecs" rows ivecs >truth.ivecs
vs f32-l2.db recall c --queries query.fvecs --truth truth.ivecs
fails "truth with fewer rows than queries is refused" truth.ivecs 19 20
vs f32-l2.db recall c --queries query.fvecs --truth nosuch.ivecs
fails "truth that is missing is named" nosuch.ivecs

finish

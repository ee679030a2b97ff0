#!/bin/sh
# derived.sh - the other element types and metrics on sets made from real ones: exact search has the neighbours that
# another program finds in double precision, also after export and import through every format that can hold them.
# The folder of data is VECSTORE_DATA; without it this is skipped. VT_LONG=1 takes eight times as many rows.
. "$(dirname "$0")/lib.sh"

if [ ! -d "$data/fashion-mnist" ]; then
    skip "other types on sets made from real ones" "VECSTORE_DATA has no folder of data"
    finish
fi
if ! has_zstd; then
    skip "other types on sets made from real ones" "this build cannot read .zst files"
    finish
fi
compile_makevecs
rows=500 queries=20
[ -z "${VT_LONG:-}" ] || rows=4000 queries=40

unpacked() {
    /usr/bin/python3 -c '
import shutil, sys, zstandard
shutil.copyfileobj(zstandard.ZstdDecompressor().stream_reader(open(sys.argv[1], "rb")), sys.stdout.buffer)
' "$1"
}

# part KIND FILE ROWS: the first rows as text.
part() {
    case "$2" in *.zst) unpacked "$2" ;; *) cat "$2" ;; esac 2>/dev/null | "$makevecs" text "$1" | head -n "$3"
}
part fvecs "$data/words-sgns100/base.fvecs.zst" $rows >words
part fvecs "$data/words-sgns100/query.fvecs" $queries >words-query
part bvecs "$data/fashion-mnist/base.bvecs.zst" $rows >fashion
part bvecs "$data/fashion-mnist/query.bvecs" $queries >fashion-query
same "there are rows of both" "$rows $rows" "$(wc -l <words | tr -d ' ') $(wc -l <fashion | tr -d ' ')"

# made SET KIND AWK-EXPRESSION-OF-x: SET.KIND and SET-query.KIND, an element for each of the real ones. Printed
# one by one: mawk takes a hundred times as long to assign each field of a long line.
made() {
    for suffix in "" -query; do
        awk "function of(x) { return $3 } { for (i = 1; i <= NF; i++) printf \"%s \", of(\$i); print \"\" }" "$4$suffix" |
            "$makevecs" rows "$2" >"$1$suffix.$2"
    done
}
made tens fvecs 'x < 0 ? int(x * 25 - 0.5) : int(x * 25 + 0.5)' words # whole numbers, for i8
made sign bvecs 'x > 0' words
made real fvecs x words
made dark bvecs 'x > 99' fashion
made half bvecs 'int(x / 2)' fashion # 0 to 127, so of every type

# finds SET KIND TYPE METRIC DIM: a collection of this type has the neighbours of the other program, which is given the
# numbers that the collection has, as it exports them.
finds() {
    set=$1 kind=$2 type=$3 metric=$4 db=$1-$3-$4.db
    fresh "$db" --dim "$5" --type "$type" --metric "$metric"
    vs "$db" import c "$set.$kind"
    says "$set $type $metric: all rows are imported" "$rows rows added"
    held=$set.$kind
    if [ "$type" = f16 ] || [ "$type" = bf16 ]; then
        vs "$db" export c rounded.jsonl
        sed 's/.*"vector":\[\([^]]*\)\].*/\1/; s/,/ /g' rounded.jsonl | "$makevecs" rows fvecs >"$set-$type.fvecs"
        held=$set-$type.fvecs
        fresh queries.db --dim "$5" --type "$type" --metric "$metric"
        "$vecstore" queries.db import c "$set-query.$kind" 2>/dev/null
        "$vecstore" queries.db export c rounded.jsonl 2>/dev/null
        sed 's/.*"vector":\[\([^]]*\)\].*/\1/; s/,/ /g' rounded.jsonl | "$makevecs" rows fvecs >"$set-$type-query.fvecs"
        rm -f queries.db
    fi
    query=${held%.*}-query.${held##*.}
    "$makevecs" nearest "$metric" 50 "$held" "$query" >truth.ivecs
    vs "$db" recall c --queries "$query" -k 50 --truth truth.ivecs
    prints "$set $type $metric: search agrees with another program" "recall@50 1.0000 queries=$queries k=50"
}

# survives FORMAT: the same neighbours after export and import.
survives() {
    rm -f again.db "again.$1"
    vs "$db" export c "again.$1"
    says "$set $type $metric: export to $1"
    fresh again.db --dim "$dim" --type "$type" --metric "$metric"
    vs again.db import c "again.$1"
    says "... and import" "$rows rows added"
    vs again.db recall c --queries "$query" -k 50 --truth truth.ivecs
    prints "... lose no neighbour" "recall@50 1.0000 queries=$queries k=50"
    "$vecstore" "$db" scan c --vectors --mode csv >one
    "$vecstore" again.db scan c --vectors --mode csv >two
    holds "... and no bit" cmp one two
}

for metric in l2 ip cosine l1; do
    dim=100
    finds real fvecs f16 $metric $dim
    [ $metric != l2 ] || for format in jsonl csv npy safetensors fvecs; do survives $format; done
    finds real fvecs bf16 $metric $dim
    [ $metric != ip ] || for format in jsonl safetensors; do survives $format; done
    finds tens fvecs i8 $metric $dim
    [ $metric != l1 ] || for format in jsonl tsv npy i8vecs i8bin safetensors; do survives $format; done
    dim=784
    finds half bvecs u8 $metric $dim
    [ $metric != cosine ] || for format in jsonl.zst csv npy bvecs u8bin safetensors; do survives $format; done
    finds half bvecs i8 $metric $dim
done
dim=100
finds real fvecs f32 l1 $dim
for format in jsonl npy fvecs fbin safetensors; do survives $format; done
for metric in hamming jaccard; do
    finds sign bvecs bit $metric 100
    finds dark bvecs bit $metric 784
    dim=784
    for format in jsonl csv; do survives $format; done
done

finish

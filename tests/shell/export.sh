#!/bin/sh
# export.sh - exporting: what comes out comes in again, exactly; what a format cannot hold is said.
. "$(dirname "$0")/lib.sh"
compile_makevecs

# records DB: all records, vectors whole.
records() {
    "$vecstore" "$1" scan c --vectors --mode jsonl
}

# elements TYPE: rows of numbers that the type has, its extremes among them.
elements() {
    case $1 in
    f32) printf '%s\n' '0.1,-0,1e-45' '3.4028235e38,-1.17549435e-38,16777217' '0.333333343,7,-2.5' ;;
    f16) printf '%s\n' '0.1,-0,5.9604645e-8' '65504,-6.1035156e-5,2049' '0.33,7,-2.5' ;;
    bf16) printf '%s\n' '0.1,-0,9.2e-41' '3.38e38,-1.1754944e-38,257' '0.33,7,-2.5' ;;
    i8) printf '%s\n' '-128,127,0' '1,-1,2' '3,4,5' ;;
    u8) printf '%s\n' '0,255,128' '1,2,3' '4,5,6' ;;
    bit) printf '%s\n' '0,1,1' '1,0,0' '0,0,1' ;;
    esac
}

# trip TYPE FORMAT [OPTION...]: what the collection of a TYPE in the database one has is in another one as well.
trip() {
    type=$1 format=$2
    shift 2
    rm -f file."$format" keys meta
    vs one export c "file.$format" "$@"
    says "$type as $format is written" "3 records written"
    holds "... and nothing else is left" test ! -e "file.$format.part-"*
    fresh two --dim 3 --type "$type"
    vs two import c "file.$format" "$@"
    says "... and read" "3 rows added"
    same "$type as $format and back" "$(records one)" "$(records two)"
    for name in one two; do
        "$vecstore" $name export c $name.jsonl 2>/dev/null
    done
    holds "... every bit of it" cmp one.jsonl two.jsonl
}

uuid=00112233-4455-6677-8899-aabbccddeeff
for type in f32 f16 bf16 i8 u8 bit; do
    fresh one --dim 3 --type $type
    elements $type | awk -v q="'" '{ print "put c " (NR == 1 ? 5 : NR == 2 ? "text:a,b" : "7/uuid:'$uuid'") " [" $0 "] " \
        (NR == 2 ? "" : q "{\"n\": [1.50, \"a,\\\"b\\t\"]}" q) }' >script
    "$vecstore" one <script >out 2>err || fail "records of $type" "$(cat err)"
    same "three records of $type" 3 "$(count one)"
    formats="jsonl csv tsv"
    has_zstd && formats="$formats jsonl.zst csv.zst"
    for format in $formats; do trip "$type" "$format"; done
    case $type in
    f32 | f16 | bf16) formats="fvecs fbin npy safetensors" ;;
    i8) formats="i8vecs i8bin npy safetensors fvecs fbin" ;;
    u8) formats="bvecs u8bin npy safetensors fvecs" ;;
    bit) formats="bvecs u8bin i8bin npy safetensors fbin" ;;
    esac
    has_zstd && formats="$formats npy.zst"
    for format in $formats; do trip "$type" "$format" --keys keys --metadata meta; done
done

# ---- what is in the files ------------------------------------------------------------------------

fresh one --dim 2
printf '%s\n' "put c 1 [1,2] '{\"a\":1}'" 'put c 2 [3,4]' 'put c text:x [5,6]' >script
"$vecstore" one <script 2>err || fail "records" "$(cat err)"
"$vecstore" one put c 7/1 '[7,8]' '{"b":
2}'
"$vecstore" one put c bytes:00ff '[0.5,-0]'
vs one export c - --format jsonl
prints "JSON lines on the standard output" '{"key":1,"vector":[1,2],"metadata":{"a":1}}' \
    '{"key":2,"vector":[3,4]}' '{"key":"bytes:00ff","vector":[0.5,-0]}' '{"key":"text:x","vector":[5,6]}' \
    '{"key":"7/1","vector":[7,8],"metadata":{"b":2}}'
vs one export c - --format csv --to bytes:01
prints "a CSV of a range" key,vector,metadata '1,"[1,2]","{""a"":1}"' '2,"[3,4]",' 'bytes:00ff,"[0.5,-0]",'
vs one export c - --format tsv --namespace 7
prints "a TSV of a namespace" "key	vector	metadata" '7/1	[7,8]	"{""b"":2}"'
vs one export c v.fbin --from 2 --to text:x --namespace 0
says "a range of vectors" "2 records written" "fbin holds no keys" "--keys FILE"
same "... whose number is in front" " 02 00 00 00 02 00 00 00" "$(head -c 8 v.fbin | od -An -tx1)"
vs one export c v.npy
says "what is left out is said" "npy holds no metadata" "npy holds no keys"
same "an array begins at a multiple of 64" 168 "$(wc -c <v.npy | tr -d ' ')"
holds "... behind its header" grep -qa "{'descr': '<f4', 'fortran_order': False, 'shape': (5, 2), } *$" v.npy
vs one export c - --format fvecs --keys keys --to 3
same "keys beside vectors" "1 2" "$(paste -sd ' ' keys)"
printf 'old\n' >v.bvecs
vs one export c v.bvecs
fails "what the format cannot hold is an error" "v.bvecs: record bytes:00ff: element 0 is no number that u8 has"
same "... and the old file stays" old "$(cat v.bvecs)"
same "... with nothing beside it" v.bvecs "$(echo v.bvecs*)"
vs one export c v.ivecs
fails "ivecs are no vectors" "ids"
vs one export c v
usage "an unknown name" "--format"
vs one export c no/such.jsonl
fails "a folder that is not there" "no/such.jsonl"
vs one export nosuch v.jsonl
fails "a collection that is not there" "nosuch"
vs one export c v.jsonl --keys keys
usage "JSON lines have the keys themselves" "--keys"
if [ -w /dev/full ]; then
    "$vecstore" one export c - --format jsonl >/dev/full 2>err
    same "a full device is an error" 1 $?
    holds "... that is told" grep -q "cannot be written" err
fi
"$vecstore" one >out 2>err <<'END'
begin
put c 99 [9,9]
export c inside.jsonl
rollback
END
same "a transaction exports what it sees" 6 "$(wc -l <inside.jsonl | tr -d ' ')"
vs one export c whole.npy
vs one search c --near @whole.npy -k 1 --mode csv
holds "a file that was exported is one of queries" grep -q '^4,1,7/1,0,' out
awk 'BEGIN { for (i = 0; i < 100; i++) { printf "{\"key\":%d,\"vector\":[1,2],\"metadata\":{\"t\":\"", i
    for (j = 0; j < 40000; j++) printf "0123456789abcdef"; print "\"}}" } }' >huge.jsonl
fresh huge --dim 2
vs huge import c huge.jsonl
says "64 MB of metadata" "100 rows added"
vs huge export c again.jsonl
holds "... and back" cmp huge.jsonl again.jsonl
fresh none --dim 2
for format in jsonl csv npy fvecs safetensors; do
    vs none export c "none.$format"
    says "an empty collection as $format" "0 records written"
done
vs none import c none.npy
fails "no rows" "empty"
vs none import c none.jsonl
says "no lines" "0 rows added"

finish

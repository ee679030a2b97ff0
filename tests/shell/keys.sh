#!/bin/sh
# keys.sh - keys as words: numbers, texts, bytes, UUIDs, namespaces.
. "$(dirname "$0")/lib.sh"

vs k.vs create c --dim 2
uuid=00112233-4455-6677-8899-aabbccddeeff
for key in 7 text:abc "text:two words" text:7 bytes:00ff "uuid:$uuid" 3/7 3/text:abc text:3/7 0; do
    vs k.vs put c "$key" '[1, 2]' "{\"key\":\"$key\"}"
    holds "put $key" [ "$status" = 0 ]
    vs k.vs get c "$key" --mode csv
    holds "get $key" grep -q "\"\"key\"\":\"\"$key\"\"" out
done
vs k.vs count c
prints "ten records" 10
vs k.vs scan c --mode tsv
prints "they come in order, and as they were typed" "key	metadata" \
    '0	{"key":"0"}' '7	{"key":"7"}' 'bytes:00ff	{"key":"bytes:00ff"}' 'text:3/7	{"key":"text:3/7"}' \
    'text:7	{"key":"text:7"}' 'text:abc	{"key":"text:abc"}' 'text:two words	{"key":"text:two words"}' \
    "uuid:$uuid	{\"key\":\"uuid:$uuid\"}" '3/7	{"key":"3/7"}' '3/text:abc	{"key":"3/text:abc"}'
vs k.vs scan c --namespace 3 --mode jsonl
prints "one namespace; a key that is no number is a string" \
    '{"key":"3/7","metadata":{"key":"3/7"}}' '{"key":"3/text:abc","metadata":{"key":"3/text:abc"}}'
vs k.vs scan c --prefix text:a --mode tsv
prints "a prefix is of one namespace" "key	metadata" 'text:abc	{"key":"text:abc"}'
vs k.vs scan c --from text:7 --to "uuid:$uuid" --mode tsv
prints "from one key up to another" "key	metadata" 'text:7	{"key":"text:7"}' \
    'text:abc	{"key":"text:abc"}' 'text:two words	{"key":"text:two words"}'
vs k.vs search c --near '[1, 2]' -k 2 --mode tsv
prints "hits at one distance are in the order of keys" "query	rank	key	distance	metadata" \
    '0	1	0	0	{"key":"0"}' '0	2	7	0	{"key":"7"}'
vs k.vs search c --key text:abc -k 3 --mode jsonl
holds "a text's neighbours" grep -q '"key":"bytes:00ff"' out
vs k.vs distance c "uuid:$uuid" 3/7
prints "the distance of two keys" 0
vs k.vs set c text:abc '{"new":1}'
vs k.vs get c text:abc --mode tsv
prints "metadata of a text" "key	metadata" 'text:abc	{"new":1}'
vs k.vs del c text:abc bytes:00FF "uuid:00112233445566778899AABBCCDDEEFF"
holds "three are deleted" [ "$status" = 0 ]
vs k.vs count c
prints "seven are left" 7

long=$(printf 'text:%01024d' 0)
vs k.vs put c "$long" '[0, 0]'
holds "the longest text" [ "$status" = 0 ]
for key in "${long}0" text: bytes: bytes:0 bytes:0g uuid:00 "uuid:$uuid-00" 3/ 4294967296/1 x 1.5 /5 ''; do
    vs k.vs get c "$key"
    usage "'$key' is no key" "the key is '$key'" "text:"
done
vs k.vs scan c --prefix 5
fails "a number is no prefix" "prefix"
vs k.vs check
holds "the database is sound" [ "$status" = 0 ]
finish

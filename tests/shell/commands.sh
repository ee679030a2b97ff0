#!/bin/sh
# commands.sh - what the commands do beyond the forms: records, transactions, searches, notes, schema.
. "$(dirname "$0")/lib.sh"
compile_makevecs

# keys: the keys of the collection c, in a line.
keys() {
    "$vecstore" db scan c --mode csv | sed 1d | cut -d, -f1 | tr '\n' ' ' | sed 's/ $//'
}

vs db create c --dim 2

# ---- put, get, set, del --------------------------------------------------------------------------

vs db put c 1 '[1, 2]' '{"a": 1}'
prints "put prints nothing"
vs db get c 1 --vectors --mode jsonl
prints "get has vector and metadata" '{"key":1,"vector":[1,2],"metadata":{"a":1}}'
vs db put c 1 '[3, 4]'
vs db get c 1 --vectors --mode jsonl
prints "put replaces both" '{"key":1,"vector":[3,4],"metadata":null}'
vs db put c 1 '[5, 6]' --insert
fails "put --insert of a key that exists is an error" "key 1"
vs db put c 2 '[5, 6]' --replace
fails "put --replace of one that does not is one" "key 2"
vs db put c 1 '[5, 6]' --ignore
prints "put --ignore leaves it"
vs db get c 1 --vectors --mode jsonl
prints "... as it was" '{"key":1,"vector":[3,4],"metadata":null}'
vs db put c 2 '[5, 6]' --insert --ignore
usage "modes exclude each other" "--insert"
rows some.fvecs "7 8" "9 10"
vs db put c 2 @some.fvecs
fails "a file of several rows needs --row" "2 rows" "--row"
vs db put c 2 @some.fvecs --row 1
vs db get c 2 --vectors --mode jsonl
prints "--row says which" '{"key":2,"vector":[9,10],"metadata":null}'
vs db put c 2 @some.fvecs --row 2
fails "... of those that there are" "no row 2"
vs db put c 3 '[1]'
fails "a vector of another dimension is refused" "dimension is 1" "has 2"
vs db put c 3 '[1,'
fails "... and a malformed one" "vector"
vs db put c 3 1,2
usage "... and what is none" "'1,2'"
vs db put c x '[1,2]'
usage "a key is a number" "'x'" 18446744073709551615
vs db put c 18446744073709551615 '[1,2]' '{"a":'
fails "metadata that are no JSON are refused" "metadata: expected a value"
vs db put c 18446744073709551615 '[1,2]'
same "the largest key" "1 2 18446744073709551615" "$(keys)"
vs db put nosuch 1 '[1,2]'
fails "a missing collection is named" "'nosuch'" "there is 'c'"
vs db put cc 1 '[1,2]'
fails "... and the nearest" "'cc'" "nearest is 'c'"
"$vecstore" few create one --dim 1
for n in 2 3 4 5 6 7 8 9; do "$vecstore" few create "number$n" --dim 1; done
vs few count numbre3
fails "of many collections only the nearest" "nearest is 'number" "ls lists"
vs few import numbre3 none.jsonl
fails "a missing file is said first" none.jsonl
echo '{"key":1,"vector":[1]}' >one.jsonl
vs few import numbre3 one.jsonl
fails "import into a missing one says the nearest, and what makes one" "nearest is 'number" "create numbre3 --dim"
vs db get c 1 7 2 --mode csv
fails "get of a key that does not exist is an error" "key 7"
same "... the others are printed" "1,|2," "$(sed 1d out | paste -sd'|' -)"
vs db set c 1 '{"b":2}'
vs db get c 1 --vectors --mode jsonl
prints "set leaves the vector" '{"key":1,"vector":[3,4],"metadata":{"b":2}}'
vs db set c 1 null
vs db get c 1 --mode jsonl
prints "set null removes the metadata" '{"key":1,"metadata":null}'
vs db set c 7 '{}'
fails "set of a key that does not exist is an error" "key 7"
vs db del c 18446744073709551615
prints "del prints nothing"
vs db del c 18446744073709551615
fails "del of a key that does not exist is an error" 18446744073709551615
vs db put c 4 '[1,1]'
vs db del c 4 5 2
fails "... of several too" "2 of 3"
same "... and the others are deleted" 1 "$(keys)"

# ---- scan, count, distance -----------------------------------------------------------------------

seq 0 2 30 | awk '{ print $1, 0 }' | "$makevecs" rows fvecs >sixteen.fvecs
"$vecstore" db import c sixteen.fvecs --start-key 10 2>/dev/null
vs db scan c --from 24 --mode csv
prints "scan --from begins there" key,metadata 24, 25,
vs db scan c --from 11 --limit 2 --mode csv
prints "--limit ends it" key,metadata 11, 12,
vs db scan c --limit 0 --mode csv
prints "... also at once" key,metadata
vs db scan c --from x
usage "--from is a key" "'x'"
vs db count c
prints "count is a number" 17
vs db distance c 10 12
prints "distance is in the collection's metric" 16
vs db distance c 10 99
fails "... of records that exist" "key 99"

# ---- search --------------------------------------------------------------------------------------

# found: the keys that the last vs printed as jsonl.
found() {
    sed -n 's/.*"key":\([0-9]*\).*/\1/p' out | tr '\n' ' ' | sed 's/ $//'
}
vs db search c --key 12 -k 2 --mode jsonl
same "search --key leaves the record out" "11 13" "$(found)"
vs db search c --key 99
fails "... of one that exists" "key 99"
vs db search c --near '[4,0]' --radius 16 --mode jsonl
same "--radius finds all that are not farther" "12 11 13 10 14" "$(found)"
vs db search c --near '[4,0]' --radius 16 -k 3 --mode jsonl
same "... with -k the nearest" "12 11 13" "$(found)"
vs db search c --near '[4,0]' --radius -1 --mode jsonl
prints "... none within less than nothing"
vs db search c --near '[4,0]' --radius inf --mode jsonl
same "... all within infinity" 17 "$(wc -l <out | tr -d ' ')"
vs db search c --near '[4,0]' --radius nan
usage "a radius is a number" "'nan'"
vs db search c --key 12 --radius 1
usage "--radius and --key exclude each other"
vs db search c --key 12 --near '[1,2]'
usage "--near and --key exclude each other"
vs db search c --json '{"near": [4, 0], "k": 2, "mode": "jsonl"}'
same "--json is the options as an object" "12 11" "$(found)"
vs db search c --json ' { "near" : "@sixteen.fvecs" , "k":1, "vectors": true, "mode":"csv"}'
same "... of every kind" 17 "$(wc -l <out | tr -d ' ')"
vs db search c --json '{"key": 12, "radius": 3}'
usage "... with the same checks"
for json in '' x '[]' '{' '{"near"}' '{"near":}' '{"near":[1,2]' '{"near":[1,2],}' '{"near":[1,2]}x' '{near:[1,2]}' \
    '{"near":[1,2] "k":1}' '{"nosuch":1}' '{"k":0,"near":[1,2]}' '{"near":[1,2],"near":[1,2]}' \
    '{"near":[1,2],"nosuch":false}' '{"near":"@a\n"}' '{"near":[1,2],"k":true}'; do
    vs db search c --json "$json"
    usage "--json '$json' is wrong usage"
done

# ---- transactions --------------------------------------------------------------------------------

before=$(keys)
session "begin" "put c 100 [1,1]" "put c 101 [1,1]" "count c" "rollback" "count c"
prints "what is rolled back was seen, and is gone" 19 17
same "... from the file too" "$before" "$(keys)"
session "begin" "put c 100 [1,1]" "commit"
same "what is committed stays" "$before 100" "$(keys)"
session "begin" "put c 101 [1,1]"
fails "a transaction that is open at the end is rolled back, and said" "rolled back"
same "... also with .exit" 1 "$(session "begin" "put c 101 [1,1]" ".exit"; grep -c "rolled back" err)"
same "... neither stays" "$before 100" "$(keys)"
session "begin" "savepoint a" "del c 100" "savepoint b" "del c 10" "count c" "rollback-to b" "count c" "rollback-to a" \
    "count c" "release a" "commit"
prints "savepoints nest" 16 17 18
session "begin" "savepoint a" "savepoint b" "release a" "rollback-to b" "rollback"
fails "a savepoint that ended is none" "'b'" "no other"
session "begin" "savepoint first" "savepoint second" "rollback-to frist" "rollback"
fails "... of those that there are the nearest is said" "'frist'" "nearest is 'first'" "'first' and 'second'"
session "begin" "savepoint a" "del c 100" "savepoint a" "rollback-to a" "count c" "release a" "rollback-to a" "count c"
same "of two with one name the inner one is meant" "17 18" "$(tr '\n' ' ' <out | sed 's/ $//')"
session "commit"
fails "commit without begin is an error that says so" begin
session "begin" "begin" "rollback"
fails "begin twice is one" commit
session "begin" "import c some.fvecs" "checkpoint" "rollback"
fails "what commits by itself is refused inside" "import: commits by itself" "checkpoint: commits by itself"
session "begin" "put c 100 [1,1] --insert" "put c 102 [2,2]" "commit"
same "a failed command leaves the transaction as it was" "$before 100 102" "$(keys)"
session "begin" "create d --dim 1" "put d 1 [1]" "ls" "search d --near [2] --mode jsonl" "kv put k v" "rollback" "ls" "kv get k"
same "collections and notes belong to it" 'c d {"query":0,"rank":1,"key":1,"distance":1,"metadata":null} c' \
    "$(tr '\n' ' ' <out | sed 's/ $//')"
fails "... and go with it" "kv: "
session "scan c --limit 1" "put c 103 [1,1]" "del c 103" "checkpoint" "check"
says "reading, writing and checking take turns in one session" "clean at level 3"
session "count c --memory 20" "put c 1 [1,1] --memory 30 --compression none" "count c --mmap"
same "options of the database may change from command to command" "19 19" "$(tr '\n' ' ' <out | sed 's/ $//')"
session "begin" "count c --memory 20" "rollback"
fails "... not in a transaction" "commit or rollback"
session ".open other" "begin" ".open db"
fails ".open of another database that is missing" other
session "begin" ".open other" "rollback"
fails ".open is refused in a transaction" "commit or rollback"

# ---- notes, schema, stats ------------------------------------------------------------------------

vs db kv put name value
prints "kv put prints nothing"
vs db kv get name
prints "kv get prints the value" value
vs db kv put name other --collection c
vs db kv get name --collection c
prints "a collection has its own" other
vs db kv del name
vs db kv get name
fails "kv del deletes"
vs db kv del name
prints "... also what is not there"
vs db kv get name --collection c
prints "... not that of the collection" other
vs db kv frob name
usage "kv has three actions" "'frob'" get
vs db kv put name
usage "kv put needs a value" "KEY VALUE"
vs db kv get name value
usage "kv get takes none"
vs db create "it's" --dim 3 --type u8 --metric cosine
vs db schema
cp out schema
prints "schema prints commands" "create --dim 2 --type f32 --metric l2 --index auto -- c" \
    "create --dim 3 --type u8 --metric cosine --index auto -- 'it'\\''s'"
"$vecstore" copied.db <schema
vs copied.db schema
holds "... that make the same collections" cmp schema out
vs codes.db create c --dim 3 --index "flat(codes=rq4)"
vs codes.db schema
cp out schema
"$vecstore" again.db <schema
vs again.db schema
holds "... also of an index that needs quotes" cmp schema out
holds "... which is there" grep -q "'flat(codes=rq4)'" schema
vs db schema c
same "... or one of them" 1 "$(wc -l <out | tr -d ' ')"
vs db schema nosuch
fails "... that exists" "'nosuch'"
vs db ls
prints "ls lists names" c "it's"
vs db stats
holds "stats has the size of the file" grep -q '^file_bytes  *[1-9]' out
vs db checkpoint
prints "checkpoint prints nothing"
vs db check
says "the database is clean" clean
for command in "get c 1" "put c 1 [1,2]" "set c 1 {}" "del c 1" "scan c" "count c" "distance c 1 2" "ls" "schema" \
    "stats" "kv get k" "kv put k v" "checkpoint"; do
    # shellcheck disable=SC2086
    vs nosuch.db $command
    fails "${command%% *}: a missing database is named" nosuch.db
    holds "... and not made" test ! -e nosuch.db
done

finish

#!/bin/sh
# modes.sh - how rows are printed: every mode, with values that are hard to print.
. "$(dirname "$0")/lib.sh"
compile_makevecs

# shellcheck disable=SC2317 # for holds
valid_json() {
    "$makevecs" json <out
}

"$vecstore" db create c --dim 2
"$vecstore" db put c 1 '[1, 2]' '{"a":"x, \"y\""}'
"$vecstore" db put c 20 '[0.5, -1e20]'

vs db scan c --mode box
prints "box draws a frame" \
    "┌─────┬──────────────┬──────────────────┐" \
    "│ key │ vector       │ metadata         │" \
    "├─────┼──────────────┼──────────────────┤" \
    "│   1 │ [1 2]        │ {\"a\":\"x, \\\"y\\\"\"} │" \
    "│  20 │ [0.5 -1e+20] │                  │" \
    "└─────┴──────────────┴──────────────────┘"
vs db scan c --mode table
prints "table aligns columns, numbers to the right" \
    "                 key vector                    metadata" \
    "                   1 [1 2]                     {\"a\":\"x, \\\"y\\\"\"}" \
    "                  20 [0.5 -1e+20]              "
vs db scan c --mode json
prints "json is an array of objects" '[{"key":1,"metadata":{"a":"x, \"y\""}},' ' {"key":20,"metadata":null}]'
vs db scan c --mode jsonl
prints "jsonl is an object a line" '{"key":1,"metadata":{"a":"x, \"y\""}}' '{"key":20,"metadata":null}'
holds "... each well-formed" valid_json
vs db scan c --mode csv
prints "csv quotes commas and quotes" key,metadata '1,"{""a"":""x, \""y\""""}"' 20,
vs db scan c --mode tsv
prints "tsv separates by tabs" "key	metadata" '1	{"a":"x, \\"y\\""}' "20	"
vs db scan c --mode markdown
prints "markdown is a table" \
    "| key | vector       | metadata         |" "|----:|--------------|------------------|" \
    "|   1 | [1 2]        | {\"a\":\"x, \\\"y\\\"\"} |" "|  20 | [0.5 -1e+20] |                  |"
vs db scan c --mode line
prints "line is a line per value" "     key = 1" "  vector = [1 2]" "metadata = {\"a\":\"x, \\\"y\\\"\"}" "" \
    "     key = 20" "  vector = [0.5 -1e+20]" "metadata = "
vs db scan c
cp out default
vs db scan c --mode plain
holds "without a terminal plain is the default" cmp default out
vs db scan c --mode=nosuch
usage "an unknown mode is wrong usage, with the known ones" "'nosuch'" "box, table, json, jsonl, csv, tsv, markdown, line, plain"
vs db check --mode json
usage "a command without rows has no mode" "--mode"

# ---- vectors -------------------------------------------------------------------------------------

vs db get c 20 --vectors --mode json
prints "--vectors prints the vector as JSON, each element as its type reads it" \
    '[{"key":20,"vector":[0.5,-1e+20],"metadata":null}]'
vs db get c 1 --vectors --mode csv
prints "... in csv too" key,vector,metadata '1,"[1,2]","{""a"":""x, \""y\""""}"'
"$vecstore" db create wide --dim 768
awk 'BEGIN { printf "%s", "[0.125"; for (i = 1; i < 768; i++) printf ",-0.3125"; print "]" }' >wide.json
"$vecstore" db put wide 5 "$(cat wide.json)"
vs db get wide 5 --mode line
prints "a long vector is shortened" "     key = 5" "  vector = [0.125 -0.312 ... 768]" "metadata = "
vs db get wide 5 --mode jsonl --vectors
prints "... or printed as a whole" "{\"key\":5,\"vector\":$(cat wide.json),\"metadata\":null}"
"$vecstore" db create bits --dim 10 --type bit
"$vecstore" db put bits 1 '[1,0,1,1,0,0,0,0,1,1]'
vs db get bits 1 --vectors --mode csv
prints "bits are numbers" key,vector,metadata '1,"[1,0,1,1,0,0,0,0,1,1]",'
"$vecstore" db create f --dim 3
"$vecstore" db put f 1 '[0.1, 16777217, 1e-40]'
vs db get f 1 --vectors --mode csv
prints "f32 are the shortest numbers that read back" key,vector,metadata '1,"[0.1,16777216,1e-40]",'

# ---- names and notes that are hard to print ------------------------------------------------------

"$vecstore" names create 'grün|"a",b' --dim 1
"$vecstore" names create '日本' --dim 1
vs names ls --mode box
prints "widths are counted in characters" "┌────────────┐" "│ collection │" "├────────────┤" \
    "│ grün|\"a\",b │" "│ 日本         │" "└────────────┘"
vs names ls --mode markdown
prints "markdown escapes |" "| collection  |" "|-------------|" "| grün\\|\"a\",b |" "| 日本          |"
vs names ls --mode csv
prints "csv leaves UTF-8 as it is" collection '"grün|""a"",b"' "日本"
vs names ls --mode jsonl
prints "json escapes quotes" '{"name":"grün|\"a\",b"}' '{"name":"日本"}'
note=$(printf 'line\none\ttab\r\033[31m\001\\"\302\233\303')
"$vecstore" names kv put k "$note"
vs names kv get k
prints "plain prints a note as it is" "$note"
vs names kv get k --mode jsonl
prints "json escapes control characters and what is no UTF-8" \
    "$(printf '{"value":"line\\none\\ttab\\r\\u001b[31m\\u0001\\\\\\"\302\233\\ufffd"}')"
holds "... well-formed" valid_json
vs names kv get k --mode csv
prints "csv quotes line feeds" value "\"$(printf '%s' "$note" | sed 's/"/""/g')\""
vs names kv get k --mode tsv
prints "tsv escapes tabs, line feeds and backslashes" value "$(printf 'line\\none\\ttab\\r\033[31m\001\\\\"\302\233\303')"
for mode in box table markdown line; do
    vs names kv get k --mode $mode
    holds "$mode shows control characters, so that a value cannot steer a terminal" \
        grep -qF 'line\none\ttab\r\x1b[31m\x01' out
    holds "... also those of two bytes" grep -qF '\u009b' out
done

# ---- no rows, many rows --------------------------------------------------------------------------

"$vecstore" db create none --dim 1
vs db scan none --mode json
prints "no rows are an empty array" "[]"
vs db scan none --mode jsonl
prints "... nothing in jsonl"
vs db scan none --mode csv
prints "... a header in csv" key,metadata
vs db scan none --mode box
same "... a frame in box" 4 "$(wc -l <out | tr -d ' ')"
seq 1 3000 | "$makevecs" rows fvecs >many.fvecs
"$vecstore" db import none many.fvecs --start-key 1000000 2>/dev/null
for mode in box table markdown csv tsv jsonl plain; do
    vs db scan none --mode $mode
    same "$mode prints all of 3000 rows" 3000 "$(grep -c '100[0-9][0-9][0-9][0-9]' out)"
done
vs db scan none --mode json
same "json too" 3000 "$(grep -c '"key":' out)"

# ---- several queries -----------------------------------------------------------------------------

rows two.fvecs "1 2" "0.5 0"
vs db search c --near @two.fvecs -k 1 --mode csv
prints "csv of several queries is one list" query,rank,key,distance,metadata '0,1,1,0,"{""a"":""x, \""y\""""}"' \
    '1,1,1,4.25,"{""a"":""x, \""y\""""}"'
vs db search c --near @two.fvecs -k 1 --mode jsonl
prints "jsonl too" '{"query":0,"rank":1,"key":1,"distance":0,"metadata":{"a":"x, \"y\""}}' \
    '{"query":1,"rank":1,"key":1,"distance":4.25,"metadata":{"a":"x, \"y\""}}'
vs db search c --near @two.fvecs -k 1 --mode box
same "box is a table for each" 11 "$(wc -l <out | tr -d ' ')"
vs db bench c --queries two.fvecs --mode json
holds "bench has no recall without truth: null" grep -q '^\[{"params":"-","recall":null,"qps":[0-9.]*,' out
vs db recall c --queries two.fvecs --mode json
prints "recall has modes" '[{"k":10,"recall":1.0000,"queries":2}]'
vs db info c --mode csv
prints "info has modes" collection,records,dim,type,metric,index c,2,2,f32,l2,auto
vs db stats --mode csv
holds "stats has modes" grep -q '^file_bytes,[0-9]' out

# ---- settings ------------------------------------------------------------------------------------

session ".mode csv" "count c" ".headers off" "count c" ".mode" ".mode auto" "count c" ".headers"
prints ".mode and .headers stay" count 2 2 csv 2 off
session ".mode json" "count c --mode line"
prints "--mode is stronger than .mode" "count = 2"
session ".mode jsonl" ".vectors on" "get c 1"
prints ".vectors prints them whole" '{"key":1,"vector":[1,2],"metadata":{"a":"x, \"y\""}}'
session ".limit 1" ".mode csv" ".headers off" "scan c" "search c --near [1,2]" "scan c --limit 2" ".limit 0" "scan c"
same ".limit is the default of scan and search" 6 "$(wc -l <out | tr -d ' ')"
session ".output file.txt" "count c" ".output" "ls" ".once once.txt" "count c" "count f"
same ".output sends data to a file, .once those of one command" "2|2|c wide bits f none 1" \
    "$(cat file.txt)|$(cat once.txt)|$(tr '\n' ' ' <out | sed 's/ $//')"
session ".output no/such/folder"
fails "... a file that cannot be made is named" no/such/folder
session ".param set v [1,2]" ".param set key 1" "search c --near :v -k 1 --mode jsonl" "get c :key --mode csv" ".param" \
    "kv put k ':v'" "kv get k" "kv put k a:v" "kv get k"
prints "parameters are words of their own that are not quoted" \
    '{"query":0,"rank":1,"key":1,"distance":0,"metadata":{"a":"x, \"y\""}}' key,metadata \
    '1,"{""a"":""x, \""y\""""}"' "v [1,2]" "key 1" ":v" "a:v"
session ".mode jsno"
fails "a mode that is none is said, with the nearest and all" "'jsno'" "expected one of auto, box" "nearest is 'json'"
session ".param set name 1" "get c :nmae"
fails "the nearest parameter is said" "':nmae'" "':name'"
session ".help mode" ".help .limit" ".help count"
same ".help says more of one, also of other commands" ".mode .limit usage:" "$(sed -n 's/^\([^ ]*\).*/\1/p' out | head -n 3 | tr '\n' ' ' | sed 's/ $//')"
session ".help .modus"
fails "... or that there is none" "'.modus'" "'.mode'"
session "help .mode"
holds "help knows them too" grep -q '^\.mode \[MODE\]' out
session "get c :nosuch"
fails "a parameter that is not set is said" ":nosuch" ".param set"
session ".param set v 1" ".param unset v" "get c :v"
fails "... also when it was unset" ":v"
session ".param set 1x 2"
fails "a parameter's name is a word" "1x"
session ".timer on" "count c"
says ".timer says how long a command took" "time: 0." "user 0." "system 0."
session ".echo on" "count c"
says ".echo says the command" "count c"
session ".limit x"
fails "a wrong value is said" "'x'"
session ".headers maybe"
fails "... and of a switch" "'maybe'" "on|off"
session ".open other" "create d --dim 1" "ls" ".open db" "count c"
prints ".open goes on with another database" d 2
session ".open other" ".open nosuch" "ls"
fails "... a missing one is said when it is needed" nosuch

if [ -w /dev/full ]; then
    for mode in box json csv line; do
        "$vecstore" db scan c --mode $mode >/dev/full 2>err
        same "scan --mode $mode ends with 1 when stdout is full" 1 $?
    done
    session ".once /dev/full" "count c"
    fails ".once says when a file could not be written" "cannot be written"
    echo "count c" | "$vecstore" db >/dev/full 2>err
    same "a script ends with 1 when stdout is full" 1 $?
fi

finish

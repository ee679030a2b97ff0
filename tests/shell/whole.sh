#!/bin/sh
# whole.sh - collections as a whole: copy, drop, what they take, vacuum; payloads of records.
. "$(dirname "$0")/lib.sh"

vs db create c --dim 2 --max-records 100
vs db put c 1 '[1, 2]' '{"a": 1}'
vs db put c text:two '[3, 4]'
vs db kv put note value --collection c
vs db alias set other c

# ---- copy and drop -------------------------------------------------------------------------------

vs db copy c d
says "copy says how many records" "2 records copied"
vs db scan d --vectors --mode jsonl
"$vecstore" db scan c --vectors --mode jsonl >of_c
holds "the copy has the same records" cmp out of_c
vs db kv get note --collection d
holds "... and notes" grep -q "value" out
vs db limits d --mode csv
holds "... and limits" grep -q "100" out
vs db copy c d
fails "a name that is taken is refused" "'d' exists"
vs db copy nosuch e
fails "copy of what is not there" "'nosuch'"
vs db copy c
usage "copy needs a name" "NAME"
vs db drop c --if-empty
fails "drop --if-empty keeps one with records" "'c' has 2 records"
vs db drop other
says "drop takes an alias, and says what went" "dropped, with 2 records"
vs db ls
prints "the other one remains, no alias" "d"
vs db drop c
fails "drop of what is gone" "'c'"
session "begin" "drop d" "ls" "rollback" "ls"
holds "a drop is rolled back with its transaction" grep -q "d" out
vs db check --level 3
says "nothing is damaged" "clean"

# ---- payload -------------------------------------------------------------------------------------

awk 'BEGIN { for (i = 0; i < 40000; i++) print "line", i }' >text
vs db payload put d 1 text
prints "payload put prints nothing"
vs db payload get d 1 back
holds "payload get writes the same file" cmp text back
"$vecstore" db payload get d 1 >back
holds "... or prints it" cmp text back
"$vecstore" db payload append d 1 <text
cat text text >twice
"$vecstore" db payload get d 1 - >back
holds "append adds to the end" cmp twice back
vs db payload cut d 1 "$(wc -c <text)"
"$vecstore" db payload get d 1 >back
holds "cut leaves the front" cmp text back
vs db payload cut d 1
"$vecstore" db payload get d 1 >back
same "cut without a number leaves nothing" 0 "$(wc -c <back)"
vs db payload put d text:two nosuchfile
fails "a file that is not there" "nosuchfile"
vs db payload get d 99 made
fails "a key that is not there" "key 99"
holds "... makes no file" [ ! -e made ]
vs db payload cut d 1 x
usage "bytes are a number" "'x'"
vs db payload cut d 1 5
fails "... that it has" "0 bytes"
vs db payload take d 1
usage "an action that is none" "'take'" "get, put, append and cut"
vs db payload get d no:key
usage "a key that is none" "'no:key'"

# ---- stats and vacuum ----------------------------------------------------------------------------

"$vecstore" db payload put d 1 text
vs db stats d --mode csv
holds "stats of a collection" grep -q "records,2" out
holds "... by structure" grep -q "payload_bytes," out
vs db stats nosuch
fails "stats of what is not there" "'nosuch'"
vs db vacuum
says "vacuum says what became of the file" "bytes, before"
vs db vacuum --budget 1
says "... in steps" "bytes, before"
vs db check --level 3
says "nothing is damaged after all" "clean"

finish

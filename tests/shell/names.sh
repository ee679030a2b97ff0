#!/bin/sh
# names.sh - collections under other names, their limits, what is said of them; deleting ranges of keys.
. "$(dirname "$0")/lib.sh"
compile_makevecs

vs db create c --dim 2
vs db create d --dim 2 --max-records 2 --max-bytes 1000
vs db put c 1 '[1, 2]'

# ---- rename and alias ----------------------------------------------------------------------------

vs db alias
prints "there are no aliases"
vs db ls
prints "... and ls has names alone" c d
vs db alias set web c
prints "alias set prints nothing"
vs db alias set -- "it's \"x\"" c
vs db get web 1 --mode csv
prints "an alias is taken as a collection" key,metadata 1,
vs db put web 2 '[3, 4]'
vs db count web
prints "... also for changes" 2
vs db alias list --mode csv
prints "alias list is in the order of names" alias,collection '"it'"'"'s ""x""",c' web,c
vs db alias
same "... as alias alone" 2 "$(wc -l <out | tr -d ' ')"
vs db ls --mode jsonl
prints "ls has the aliases of each" '{"name":"c","aliases":["it'"'"'s \"x\"","web"]}' '{"name":"d","aliases":[]}'
vs db ls
prints "... when there are some" "c [\"it's \\\"x\\\"\",\"web\"]" "d []"
vs db alias set web d
vs db count web
prints "an alias may lead elsewhere" 0
vs db rename web dd
prints "rename prints nothing"
vs db alias list --mode csv
prints "an alias follows a collection that has another name" alias,collection '"it'"'"'s ""x""",c' web,dd
vs db rename c dd
fails "a name is of one collection" "dd"
vs db rename c web
fails "... or of one alias" "web"
vs db rename nosuch x
fails "rename of what is not there" "'nosuch'" "'c'" "'dd'" "'web'"
vs db alias set c dd
fails "an alias is no name of a collection" "'c'"
vs db alias set x nosuch
fails "an alias leads to a collection" "'nosuch'"
vs db alias drop web
prints "alias drop prints nothing"
vs db count web
fails "... and the name is gone" "'web'"
vs db alias drop wet
fails "one that is not there is said" "'wet'" "it's"
vs db alias drop "it's \"x\""
vs db alias drop web
fails "... also when there is no other" "no other" "alias set"
vs db alias frob x
usage "alias has three actions" "'frob'" set drop list
for words in "set x" "set" "drop" "drop a b" "list a"; do
    # shellcheck disable=SC2086
    vs db alias $words
    usage "alias $words is wrong usage" "takes"
done
session "begin" "rename c e" "alias set f e" "ls" "count f" "rollback" "ls"
prints "both belong to a transaction" 'e ["f"]' 'dd []' 2 c dd

# ---- limits --------------------------------------------------------------------------------------

vs db limits dd --mode csv
prints "limits says what there is and may be" limit,now,most records,0,2 bytes,0,1000
vs db limits c --mode jsonl
prints "... or no limit" '{"limit":"records","now":2,"most":null}' '{"limit":"bytes","now":32,"most":null}'
vs db put dd 1 '[1, 2]'
vs db put dd 2 '[1, 2]'
vs db put dd 3 '[1, 2]'
fails "what is beyond it is refused" "may have 2 records"
vs db limits dd --max-records 3
prints "limits sets one"
vs db limits dd --mode csv
prints "... and leaves the other" limit,now,most records,2,3 bytes,32,1000
vs db limits dd --max-records 0 --max-bytes 0
vs db limits dd --mode csv
prints "0 is none" limit,now,most records,2, bytes,32,
vs db limits nosuch --max-bytes 1
fails "limits of what is not there" "'nosuch'"
vs db limits dd --max-bytes x
usage "a limit is a number" "'x'"
session "begin" "limits dd --max-records 1" "rollback" "put dd 3 [1,2]"
prints "limits belong to a transaction"

# ---- info and schema -----------------------------------------------------------------------------

vs db alias set web c
vs db limits c --max-records 50 --max-bytes 4000
time='[0-9]\{4\}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\.[0-9]\{6\}Z'
vs db info web --mode json
sed "s/$time/TIME/g" out >shape && mv shape out
prints "info in json has all of a collection, also by its alias" '{"collections":[{"name":"c","count":2,"dim":2,'\
'"type":"f32","metric":"l2","index":"auto","bytes":32,"created":"TIME","changed":"TIME","max_records":50,"max_bytes":4000,"aliases":["web"]}]}'
vs db info c --mode csv
prints "... elsewhere what it has always had" collection,records,dim,type,metric,index c,2,2,f32,l2,auto
vs db info dd --long --mode csv
sed "s/$time/TIME/g" out >shape && mv shape out
prints "... or all" collection,records,dim,type,metric,index,bytes,created,changed,max_records,max_bytes,aliases \
    'dd,3,2,f32,l2,auto,48,TIME,TIME,,,[]'
vs db create two --field a:1 --field 'b:2:u8:l1:optional' --max-bytes 77
vs db info two --long --mode json
sed "s/$time/TIME/g" out >shape && mv shape out
prints "of several fields" '{"collections":[{"name":"two","count":0,"dim":1,"type":"f32","metric":"l2","index":"auto",'\
'"field":"a","optional":false,"bytes":0,"created":"TIME","changed":"TIME","max_records":null,"max_bytes":77,"aliases":[]},'\
'{"name":"two","count":0,"dim":2,"type":"u8","metric":"l1","index":"auto","field":"b","optional":true,"bytes":0,'\
'"created":"TIME","changed":"TIME","max_records":null,"max_bytes":77,"aliases":[]}]}'
before=$("$vecstore" db info c --long --mode csv | sed 1d | cut -d, -f8,9)
vs db put c 3 '[0, 0]'
vs db info c --long --mode csv
same "a change changes its time alone" "${before%,*}" "$(sed 1d out | cut -d, -f8)"
holds "... which goes on" [ "${before#*,}" != "$(sed 1d out | cut -d, -f9)" ]
vs db alias set -- ":p q" dd
vs db create --dim 1 -- :name
vs db schema
cp out schema
prints "schema has limits and aliases" \
    "create --dim 2 --type f32 --metric l2 --index auto --max-records 50 --max-bytes 4000 -- c" "alias set -- web c" \
    "create --dim 2 --type f32 --metric l2 --index auto -- dd" "alias set -- ':p q' dd" \
    "create --field a:1:f32:l2:auto --field b:2:u8:l1:auto:optional --max-bytes 77 -- two" \
    "create --dim 1 --type f32 --metric l2 --index auto -- ':name'"
"$vecstore" copied <schema
vs copied schema
holds "... that make the same" cmp schema out
vs db schema web
same "of one, by its alias" 2 "$(wc -l <out | tr -d ' ')"

# ---- del -----------------------------------------------------------------------------------------

# keys: of the collection r, in a line.
keys() {
    "$vecstore" db scan r --mode csv | sed 1d | cut -d, -f1 | tr '\n' ' ' | sed 's/ $//'
}
vs db create r --dim 1
for key in 1 2 3 4 5 text:a text:a..b text:b 7/1 7/2; do
    "$vecstore" db put r "$key" '[1]'
done
vs db del r 1 2 x 3
usage "a word that is no key deletes nothing" "'x'"
same "... not even what is in front of it" "1 2 3 4 5 text:a text:a..b text:b 7/1 7/2" "$(keys)"
vs db del r
usage "del wants keys or a range" "--range .."
vs db del r 1 --range 1..2
usage "... not both" "'1'"
vs db del r --range 2..4
says "del of a range says how many" "2 records deleted"
same "... which are those" "1 4 5 text:a text:a..b text:b 7/1 7/2" "$(keys)"
vs db del r --from 5 --to text:a
says "--from and --to are the same" "1 records deleted"
vs db del r --range 5..2
says "nothing is in front of itself" "0 records deleted"
vs db scan r --range text:a..b..text:b --mode csv
prints "two dots of a key are its own" key,metadata text:a..b,
vs db del r --range text:a..text:b
says "... not those between two" "2 records deleted"
vs db del r --prefix text:b
says "--prefix" "1 records deleted"
same "... deletes those that begin so" "1 4 7/1 7/2" "$(keys)"
for range in 1 . x..2 1..x 1.2 text:..1; do
    vs db del r --range "$range"
    usage "--range $range is none" "'$range'"
done
vs db del r --range 1..2 --to 3
usage "--range is both ends" "--to"
vs db del r --prefix 5
fails "a number is no prefix" prefix
session "begin" "del r --namespace 7" "count r" "rollback" "count r"
prints "a range belongs to a transaction" 2 4
vs db del r --namespace 7
says "--namespace alone is all of it" "2 records deleted"
session "begin" "savepoint s" "del r --range 1.." "rollback-to s" "count r" "commit"
prints "... and to its savepoints" 2
vs db del r --range ..
says "two dots are all" "2 records deleted"
same "... which are gone" "" "$(keys)"
seq 1 4321 | "$makevecs" rows fvecs >many.fvecs
"$vecstore" db import r many.fvecs 2>/dev/null
vs db del r --range 21..4300
says "many are deleted" "4279 records deleted"
same "... no others" 42 "$(keys | wc -w | tr -d ' ')"
vs db del nosuch --range ..
fails "del of what is not there" "'nosuch'"
vs db export r out.csv --range 4300..4302
says "export has ranges too" "2 records"
vs db check
says "the database is clean" clean
vs none.vs rename a b
fails "a missing database is named" none.vs
holds "... and not made" test ! -e none.vs
finish

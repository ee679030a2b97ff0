#!/bin/sh
# forms.sh - the forms of the vecstore command that scripts rely on: every command with every option,
# its output, its messages and its exit codes.
. "$(dirname "$0")/lib.sh"
compile_makevecs

# Header, rank, key, distance and metadata with single blanks: tables may change their widths.
narrow() {
    tr -s ' ' <out | sed 's/^ //; s/ $//' >narrow && mv narrow out
}

# The collections of info --mode json, without the members that a form does not promise.
promised() {
    sed 's/,"index":"[a-z]*"//g; s/,"bytes":[^}]*}/}/g' out >promised && mv promised out
}

# shellcheck disable=SC2317 # for holds
valid_json() {
    "$makevecs" json <out
}

# no_stdout CLAIM: the last vs failed, with a message and without data.
no_stdout() {
    if [ "$status" != 0 ] && [ ! -s out ] && [ -s err ]; then
        pass
    else
        fail_run "$1" "an error, no stdout"
    fi
}

# ---- help and version ----------------------------------------------------------------------------

version=$(sed -n 's/^#define VS_VERSION *"\(.*\)"$/\1/p' "$root/vecstore.h")
vs --version
prints "--version prints the version of vecstore.h" "$(head -n 1 out)"
same "--version begins with name and version" "vecstore $version" "$(cut -d' ' -f1,2 out)"
vs --help
prints "--help ends with 0" "$(cat out)"
for command in create import search recall bench info check; do
    holds "--help names $command" grep -qF "vecstore FILE $command" out
done
vs
usage "no argument is wrong usage, and lists the commands" "vecstore FILE create"
vs db
usage "a file alone is wrong usage"
vs db nosuch
usage "an unknown command is named" "'nosuch'"
vs db createx c --dim 2
usage "a command is not guessed from its beginning" "'createx'"

# describes COMMAND OPTION...: its help says how it is called and names every option.
describes() {
    command=$1
    shift
    vs "$command" --help
    cp out short
    prints "$command --help ends with 0" "$(cat out)"
    same "$command --help begins with the usage" "usage: vecstore FILE $command" \
        "$(head -n 1 out | cut -d' ' -f1-4)"
    for option in "$@"; do
        holds "$command --help names $option" grep -qF -e "$option" out
    done
    vs db "$command" --help
    holds "$command --help is the same behind a file" cmp short out
    holds "$command --help makes no file" test ! -e db
    vs db "$command" --nosuch 1
    usage "$command refuses an unknown option, with its usage" "--nosuch" "usage: vecstore FILE"
}
describes create --dim --type --metric --index f32 u8 l2 ip cosine auto flat
describes import --format --labels --batch --start-key fvecs bvecs
describes search --near -k --mode table json
describes recall --queries --truth -k
describes bench --queries --truth -k --sweep
describes info --mode
describes check --level

# ---- create --------------------------------------------------------------------------------------

vs db create c --dim 2
prints "create prints nothing"
holds "create says nothing" test ! -s err
vs db create c --dim 2
fails "a collection that exists is an error naming it" "'c'" exists
vs db create c --dim 3 --type u8
fails "... also when it is another" "'c'" exists
vs db create cos --dim 3 --metric cosine --type f32 --index flat
prints "create takes every option"
vs db create inner --index=auto --metric=ip --type=f32 --dim=2
prints "create takes option=value in any order"
vs db create --dim 4 --type u8 bytes
prints "arguments may follow options"
vs db create --dim 2 -- -x
prints "behind -- a name may begin with -"
vs db create -- --help --dim 2
same "behind -- nothing is an option, also not --help" 2 "$status"
vs db info --mode json
promised
prints "info --mode json lists the collections in the order of their creation" \
    "{\"collections\":[\
{\"name\":\"c\",\"count\":0,\"dim\":2,\"type\":\"f32\",\"metric\":\"l2\"},\
{\"name\":\"cos\",\"count\":0,\"dim\":3,\"type\":\"f32\",\"metric\":\"cosine\"},\
{\"name\":\"inner\",\"count\":0,\"dim\":2,\"type\":\"f32\",\"metric\":\"ip\"},\
{\"name\":\"bytes\",\"count\":0,\"dim\":4,\"type\":\"u8\",\"metric\":\"l2\"},\
{\"name\":\"-x\",\"count\":0,\"dim\":2,\"type\":\"f32\",\"metric\":\"l2\"}]}"

vs e.db create e --dim 3 --compression lz4
usage "compression is none or zstd" "--compression is 'lz4', expected one of none, zstd"
for compression in none zstd; do
    vs "$compression.db" create e --dim 3 --compression $compression
    says "a database is created with compression $compression"
done
vs db create
usage "create needs a name" "usage: vecstore FILE create"
vs db create d
usage "create needs --dim" "--dim"
vs db create d e --dim 2
usage "create takes one name" "'e'"
for dim in 0 65536 -1 1.5 1e2 0x10 '' ' 2' '2 ' 99999999999999999999; do
    vs db create d --dim "$dim"
    usage "--dim '$dim' is wrong usage" "--dim" "'$dim'" 65535
done
vs db create d --dim
usage "--dim without a value is wrong usage" "--dim"
vs db create d --dim=2 --dim 2
usage "an option given twice is wrong usage" "--dim" twice
vs db create d --dim 2 --type f64
usage "an unknown type is wrong usage, with the known ones" "'f64'" "f32, u8, f16, bf16, i8, bit"
vs db create d --dim 2 --metric L2
usage "an unknown metric is wrong usage, with the known ones" "'L2'" l2 ip cosine
vs db create d --dim 2 --type bit --metric l2
fails "a metric that is none of the type's is refused, with those that are" l2 bit "hamming or jaccard"
vs db create d --dim 2 --index hnsw
usage "an unknown index is wrong usage, with the known ones" "'hnsw'" auto flat
vs db create d --dim 65535
prints "the largest dimension is 65535"

vs db create '' --dim 2
fails "an empty name is refused" name
name255=$(printf '%0255d' 0)
vs db create "$name255" --dim 2
prints "a name may have 255 bytes"
vs db create "0$name255" --dim 2
fails "a name of 256 bytes is refused" 255
vs db create "$(printf 'a\tb')" --dim 2
fails "a control character in a name is refused" "control character"
vs db create "$(printf 'a\303')" --dim 2
fails "a name that is not UTF-8 is refused" UTF-8
vs no/such/folder/db create c --dim 2
fails "a folder that is missing is named" no/such/folder
mkdir folder
vs folder create c --dim 2
fails "a folder is no database" folder
echo "to be or not to be, that is the question of this file" >text
cp text text.copy
vs text create c --dim 2
fails "a file of something else is refused" text "not a vecstore database"
holds "... and stays as it was" cmp text text.copy
: >empty.db
vs empty.db create c --dim 2
prints "an empty file becomes a database"

# ---- info ----------------------------------------------------------------------------------------

vs names.db create "it's \"a\" \\ ü €😀/%s" --dim 1
prints "a name may have quotes, backslashes and UTF-8"
vs names.db info --mode json
promised
prints "info --mode json escapes quotes and backslashes" "{\"collections\":[\
{\"name\":\"it's \\\"a\\\" \\\\ ü €😀/%s\",\"count\":0,\"dim\":1,\"type\":\"f32\",\"metric\":\"l2\"}]}"
holds "... and is well-formed JSON" valid_json
vs names.db info "it's \"a\" \\ ü €😀/%s"
holds "info finds such a name" grep -qF "ü €😀/%s" out
vs names.db info nosuch
fails "an unknown collection is named" "'nosuch'"
vs names.db info '%s%n"'
fails "... also when it looks like a format" "'%s%n\"'"
vs db info c --mode json
promised
prints "info COLLECTION is only about that one" \
    '{"collections":[{"name":"c","count":0,"dim":2,"type":"f32","metric":"l2"}]}'
vs db info -- -x
same "info -- -x shows the collection -x" 2 "$(wc -l <out | tr -d ' ')"
vs db info
narrow
same "info begins with a header" "collection records dim type metric index" "$(head -n 1 out)"
holds "info shows a row per collection" grep -qx "cos 0 3 f32 cosine flat" out
cp out default
vs db info --mode table
narrow
holds "... and --mode table is the default" cmp default out
vs db info --mode=json
holds "info --mode json is well-formed JSON" valid_json
vs db info c d
usage "info takes one collection" "'d'"
vs db info --mode xml
usage "an unknown mode is wrong usage, with the known ones" "'xml'" table json

# ---- import --------------------------------------------------------------------------------------

rows one.fvecs "1 2"
rows three.fvecs "3 4" "-1 0.5" "1e10 -0"
printf '\007\000\377' >three.u8
vs db import c one.fvecs
prints "import prints nothing on stdout"
same "import says how many rows it added" "vecstore: import: 1 rows added" "$(cat err)"
vs db import c three.fvecs --start-key 100 --labels three.u8 --batch 2 --format fvecs
says "import takes every option" "3 rows added"
vs db import c three.fvecs --start-key=18446744073709551613 --batch=1 --labels=three.u8
says "keys reach the largest 64-bit number" "3 rows added"
vs db search c --near '[0,0]' -k 7 --mode json
prints "keys are row number plus start key, labels are metadata" "{\"query\":0,\"hits\":[\
{\"key\":101,\"distance\":1.25,\"metadata\":{\"label\":0}},\
{\"key\":18446744073709551614,\"distance\":1.25,\"metadata\":{\"label\":0}},\
{\"key\":0,\"distance\":5,\"metadata\":null},\
{\"key\":100,\"distance\":25,\"metadata\":{\"label\":7}},\
{\"key\":18446744073709551613,\"distance\":25,\"metadata\":{\"label\":7}},\
{\"key\":102,\"distance\":1e+20,\"metadata\":{\"label\":255}},\
{\"key\":18446744073709551615,\"distance\":1e+20,\"metadata\":{\"label\":255}}]}"
holds "... well-formed JSON" valid_json
cp three.fvecs noname
vs db import c noname --start-key 200
fails "a name that does not tell the format is an error that tells the way out" noname --format
vs db import c noname --start-key 200 --format=fvecs
says "--format tells it" "3 rows added"
rows four.bvecs "0 1 254 255" "9 8 7 6"
vs db import bytes four.bvecs
says "bvecs go into a u8 collection" "2 rows added"
rows whole.fvecs "0 1 254 255"
vs db import bytes whole.fvecs --start-key 10
says "whole numbers as fvecs go into a u8 collection" "1 rows added"
rows two.bvecs "1 255"
vs db import c two.bvecs --start-key 300
says "bvecs go into an f32 collection" "1 rows added"
vs db import -- c one.fvecs
says "-- may stand before all arguments"
vs db import c
usage "import needs a file" "usage: vecstore FILE import"
vs db import c one.fvecs two.bvecs
usage "import takes one file" "'two.bvecs'"
vs db import c one.fvecs --format parquet
usage "an unknown format is wrong usage, with the known ones" "'parquet'" fvecs bvecs
for batch in 0 -1 x 1.5 ''; do
    vs db import c one.fvecs --batch "$batch"
    usage "--batch '$batch' is wrong usage" "--batch"
done
for key in -1 x 18446744073709551616; do
    vs db import c one.fvecs --start-key "$key"
    usage "--start-key '$key' is wrong usage" "--start-key"
done
vs db import c one.fvecs --labels
usage "--labels without a value is wrong usage" "--labels"

# creates DB COLLECTION: a missing collection is an error whose last line, in a shell, makes it.
creates() {
    vs "$1" import "$2" four.bvecs
    fails "a missing collection '$2' in '$1' is an error with the create line" \
        create "--dim 4" "--type u8"
    holds "... and makes no file" test ! -e "$1"
    tail -n 1 err | sed "s|^ *vecstore |'$vecstore' |" >create.sh
    holds "... the line makes the collection" sh create.sh
    vs "$1" import "$2" four.bvecs
    says "... as the import needs it" "2 rows added"
}
creates missing.db shapes
creates 'my data.db' "it's"

# ---- search --------------------------------------------------------------------------------------

vs db create line --dim 1
seq 0 11 | "$makevecs" rows fvecs >line.fvecs
vs db import line line.fvecs
says "twelve rows" "12 rows added"
vs db search line --near '[0]'
narrow
prints "search prints a table of the ten nearest" "rank key distance metadata" "1 0 0" "2 1 1" \
    "3 2 4" "4 3 9" "5 4 16" "6 5 25" "7 6 36" "8 7 49" "9 8 64" "10 9 81"
vs db search line --near '[0]' --mode json
cp out read
vs db search line --mmap --near '[0]' --mode json
same "search --mmap finds the same" "$(cat read)" "$(cat out)"
vs db info --mmap
holds "every command takes --mmap" test "$status" = 0
vs db search line --near '[0]' --mmap=1
usage "--mmap takes no value" "--mmap takes no value"
vs db search line --near '[0]' -k 2 --mode table
narrow
prints "-k says how many" "rank key distance metadata" "1 0 0" "2 1 1"
vs db search line -k=2 --mode=json --near='[1.5]'
prints "equal distances are ordered by key" '{"query":0,"hits":[{"key":1,"distance":0.25,"metadata":null},{"key":2,"distance":0.25,"metadata":null}]}'
for near in '[-0]' '[0.0]' '[0e5]' '[0E-1]' '[0.25e+0]' '[-1.5e-1]'; do
    vs db search line --near "$near" -k 1 --mode json
    holds "$near is a number of JSON" grep -q '"key":0,' out
done
rows ends.fvecs "-1" "12"
vs db search line --near @ends.fvecs -k 1 --mode json
prints "--near @FILE asks for each row, a line each" \
    '{"query":0,"hits":[{"key":0,"distance":1,"metadata":null}]}' \
    '{"query":1,"hits":[{"key":11,"distance":1,"metadata":null}]}'
holds "... well-formed JSON" valid_json
vs db search line --near=@ends.fvecs -k 1 --mode table
narrow
prints "... and a table each" "rank key distance metadata" "1 0 1" "" \
    "rank key distance metadata" "1 11 1"
vs db search line --near @line.fvecs -k 4294967294 --mode json
same "-k above the count finds all" 144 "$(tr '{' '\n' <out | grep -c '^"key"')"
holds "... well-formed JSON" valid_json
vs db search cos --near '[1,0,0]' --mode json
prints "nothing is found in an empty collection" '{"query":0,"hits":[]}'
vs db search c --near ' [ 1 , 2e0 ] ' -k 1 --mode json
vs db search c --near '[ 1 ,	2e0 ]' -k 1 --mode json
prints "white space is allowed in the array" \
    '{"query":0,"hits":[{"key":0,"distance":0,"metadata":null}]}'
vs db search --near '[1,2]' -- -x
prints "-- before the collection's name" " rank                  key             distance  metadata"
rows axes.fvecs "1 0 0" "0 2 0" "-3 0 0" "0 0 0"
vs db import cos axes.fvecs
vs db search cos --near '[5,0,0]' --mode json
prints "cosine is one minus the cosine, a zero vector at distance 1" "{\"query\":0,\"hits\":[\
{\"key\":0,\"distance\":0,\"metadata\":null},{\"key\":1,\"distance\":1,\"metadata\":null},\
{\"key\":3,\"distance\":1,\"metadata\":null},{\"key\":2,\"distance\":2,\"metadata\":null}]}"
rows inner.fvecs "1 0" "3 4" "-2 0"
vs db import inner inner.fvecs
vs db search inner --near '[2,0.5]' --mode json
prints "ip is minus the inner product" "{\"query\":0,\"hits\":[\
{\"key\":1,\"distance\":-8,\"metadata\":null},{\"key\":0,\"distance\":-2,\"metadata\":null},\
{\"key\":2,\"distance\":4,\"metadata\":null}]}"
vs db search bytes --near '[0,1,254,255]' -k 2 --mode json
prints "numbers of an array may go to a u8 collection" "{\"query\":0,\"hits\":[\
{\"key\":0,\"distance\":0,\"metadata\":null},{\"key\":10,\"distance\":0,\"metadata\":null}]}"
vs db search c --near @two.bvecs -k 1 --mode json
prints "bytes may ask an f32 collection" \
    '{"query":0,"hits":[{"key":300,"distance":0,"metadata":null}]}'

# reads_back DISTANCE ROW QUERY: the inner product of ROW and QUERY, printed as the shortest number
# that is not another one.
reads_back() {
    rows near.fvecs "$2"
    fresh ip.db --dim 2 --metric ip
    vs ip.db import c near.fvecs
    vs ip.db search c --near "[$(echo "$3" | tr ' ' ,)]" --mode json
    prints "distance $1 reads back as itself" \
        "{\"query\":0,\"hits\":[{\"key\":0,\"distance\":$1,\"metadata\":null}]}"
}
reads_back -16777216 "4096 0" "4096 0"
reads_back -0.0009765625 "0.0009765625 0" "1 0"
reads_back 1e+20 "-10000000000 0" "10000000000 0"
reads_back -0.1875 "0.25 0.125" "0.5 0.5"
reads_back -99.99999999999999 "10 0.00000011920928955078125" "10 -0.00000011920928955078125"
reads_back -100.00000000000001 "10 0.00000011920928955078125" "10 0.00000011920928955078125"

vs db search line
usage "search needs --near" "--near"
vs db search --near '[1]'
usage "search needs a collection"
vs db search line --near
usage "--near without a value is wrong usage" "--near"
for near in '' 1 1,2 line.fvecs '{}' ; do
    vs db search line --near "$near"
    usage "--near '$near' is wrong usage" "--near"
done
for k in 0 -1 x 1.5 '' 18446744073709551616; do
    vs db search line --near '[1]' -k "$k"
    usage "-k '$k' is wrong usage" "-k"
done
vs db search line --near '[1]' --mode xml
usage "an unknown mode is wrong usage" "'xml'" table json
for near in '[]' '[1' '[1,]' '[1]x' '[nan]' '[-inf]' '[1e39]' '["1"]' '[1 2]' '[[1]]' '[null]' \
    '[0x10]' '[01]' '[5.]' '[.5]' '[+1]' '[1e]' '[1e+]' '[-]' '[1d]'; do
    vs db search line --near "$near" --mode json
    fails "the vector $near is refused"
    no_stdout "... without data"
done
vs db search line --near '[1,2]' --mode json
fails "a query of another dimension is refused, with both" 2 1 "'line'"
no_stdout "... without data"
vs db search line --near @one.fvecs
fails "... also from a file" 2 1 "'line'"
vs db search bytes --near '[0.5,0,0,0]'
fails "a u8 collection refuses a fraction"
vs db search bytes --near '[256,0,0,0]'
fails "... and a number above 255"
vs db search line --near @nosuch.fvecs
fails "a missing file is named" nosuch.fvecs
vs db search line --near @folder
fails "a folder is no file of queries" folder
: >empty.fvecs
vs db search line --near @empty.fvecs
fails "an empty file is named" empty.fvecs empty
printf '\001\000\000\000\000' >short.fvecs
vs db search line --near @short.fvecs
fails "a malformed file is named, with row and reason" short.fvecs "row 0"
no_stdout "... without data"
rows ids.ivecs "1"
vs db search line --near @ids.ivecs
fails "ivecs are no queries" ids.ivecs

# ---- recall and bench ----------------------------------------------------------------------------

rows ends.ivecs "0 1 2 3 4 5 6 7 8 9" "11 10 9 8 7 6 5 4 3 2"
vs db recall line --queries ends.fvecs
prints "recall prints one line, k is 10" "recall@10 1.0000 queries=2 k=10"
vs db recall line --queries=ends.fvecs --truth=ends.ivecs -k=3
prints "recall takes every option" "recall@3 1.0000 queries=2 k=3"
vs db recall line
usage "recall needs --queries" "--queries"
vs db recall line --queries ends.fvecs -k 0
usage "recall -k 0 is wrong usage" "-k"
vs db recall line --queries nosuch.fvecs
fails "a missing file of queries is named" nosuch.fvecs
no_stdout "... without data"
vs db recall line --queries one.fvecs
fails "queries of another dimension are refused" 2 1

header=params,recall,qps,p50_us,p99_us
number='[0-9][0-9]*\(\.[0-9]*\)\{0,1\}'

# benches CLAIM PARAMS-AND-RECALL...: the last vs printed the header and such rows.
benches() {
    claim=$1
    shift
    {
        echo "$header"
        printf '%s,N,N,N\n' "$@"
    } >want
    sed "2,\$s/,$number,$number,$number\$/,N,N,N/" out >shape
    if [ "$status" = 0 ] && cmp -s want shape; then pass; else fail_run "$claim" "$(cat want)"; fi
}
vs db bench line --queries ends.fvecs
benches "bench prints a header and a row, without truth no recall" "-,-"
# shellcheck disable=SC2016 # awk's
holds "p50 is not above p99" awk -F, 'NR > 1 && ($4 > $5 || $3 <= 0) { exit 1 }' out
vs db bench line --queries=ends.fvecs --truth=ends.ivecs -k=3
benches "bench with truth measures recall" "-,1.0000"
vs db bench line --queries ends.fvecs --truth ends.ivecs --sweep k=1,5,10
benches "--sweep gives a row per value" "k=1,1.0000" "k=5,1.0000" "k=10,1.0000"
vs db bench line --queries ends.fvecs --sweep=k=7
benches "--sweep=name=value" "k=7,-"
vs db bench line
usage "bench needs --queries" "--queries"
vs db bench line --queries ends.fvecs -k x
usage "bench -k x is wrong usage" "-k"
for sweep in foo =1 k= k=0 k=x k=1,x k=1,,2 ''; do
    vs db bench line --queries ends.fvecs --sweep "$sweep"
    usage "--sweep '$sweep' is wrong usage" "--sweep"
done
vs db bench line --queries ends.fvecs --sweep nosuch=1
no_stdout "a parameter that the index does not know is refused before any data"
vs db bench line --queries ends.fvecs --truth ends.ivecs -k 11
fails "truth with too few columns is refused" ends.ivecs

# ---- check ---------------------------------------------------------------------------------------

for level in 0 1 2 3; do
    vs db check --level $level
    prints "check --level $level of a clean database ends with 0, no data"
done
vs db check
prints "check of a clean database ends with 0"
vs db check --level=2
prints "check takes --level=N"
for level in 4 -1 x ''; do
    vs db check --level "$level"
    usage "--level '$level' is wrong usage" "--level"
done
vs db check c
usage "check takes no argument" "'c'"

# ---- what all commands share ---------------------------------------------------------------------

for command in "info" "check" "search c --near [1,2]" "recall c --queries one.fvecs" \
    "bench c --queries one.fvecs"; do
    # shellcheck disable=SC2086 # the words of the command
    vs nosuch.db $command
    fails "${command%% *}: a missing database is named" nosuch.db
    no_stdout "... without data"
    holds "... and not made" test ! -e nosuch.db
    # shellcheck disable=SC2086
    vs text $command
    fails "${command%% *}: a file of something else is refused" text
    no_stdout "... without data"
done
for command in "search nosuch --near [1,2]" "recall nosuch --queries one.fvecs" \
    "bench nosuch --queries one.fvecs" "import nosuch one.fvecs"; do
    # shellcheck disable=SC2086
    vs db $command
    fails "${command%% *}: a missing collection is named" "'nosuch'"
    no_stdout "... without data"
done

# The bytes of all files of a database.
fingerprint() {
    cksum "$1"*
}
before=$(fingerprint db)
vs db info
vs db search line --near '[1]'
vs db recall line --queries ends.fvecs
vs db bench line --queries ends.fvecs
vs db check
same "reading changes no byte of the database" "$before" "$(fingerprint db)"

if [ -w /dev/full ]; then
    for command in "info --mode json" "search line --near [1]" "recall line --queries ends.fvecs" \
        "bench line --queries ends.fvecs"; do
        # shellcheck disable=SC2086
        "$vecstore" db $command >/dev/full 2>err
        same "${command%% *} ends with 1 when stdout is full" 1 $?
    done
    for command in --help --version "create --help"; do
        # shellcheck disable=SC2086
        "$vecstore" $command >/dev/full 2>err
        same "$command ends with 1 when stdout is full" 1 $?
    done
else
    skip "stdout that is full is an error" "no /dev/full"
fi
"$vecstore" db create c --dim 2 2>&- >&- <&-
same "a message goes nowhere, not into the database, when stderr is closed" 1 $?
vs db check
says "... which stays clean" clean
fresh closed.db --dim 2
"$vecstore" closed.db import c one.fvecs 2>&- >&- <&-
same "an import has no need of stdin, stdout or stderr" 0 $?
vs closed.db check
says "... and its messages are not in the database" clean
same "... which has the row" 1 "$(count closed.db)"

# A session that was killed leaves its log: an import waits for a label in a pipe when it is killed, and two
# batches are committed then.
cp db live
vs live create later --dim 1
holds "a closed database is one file" test ! -e live-wal-1
seq 0 59 | "$makevecs" rows fvecs >later.fvecs
mkfifo labels.u8
exec 3<>labels.u8
"$vecstore" live import later later.fvecs --labels labels.u8 --batch 6 2>/dev/null 3>&- &
pid=$!
printf 'twelve bytes' >&3
timeout 60 "$makevecs" drained <&3
printf x >&3
timeout 60 "$makevecs" drained <&3
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
same "the import was still running" 137 $?
exec 3>&-
log=$(find . -name 'live-wal-*')
log=${log#./live}
same "a killed session leaves one log file" 1 "$(find . -name 'live-wal-*' | grep -c .)"

# bad_copy DB: bad is a copy of it, with its log.
bad_copy() {
    rm -f bad bad-wal-*
    cp "$1" bad
    [ "$1" != live ] || cp "live$log" "bad$log"
}

# damages CLAIM DB SUFFIX OFFSET...: changed bytes are found by check, and nothing wrong is searched.
damages() {
    bad_copy "$2"
    claim=$1 file=bad$3
    shift 3
    for offset in "$@"; do
        printf '\125\252\125' | dd of="$file" bs=1 seek="$offset" conv=notrunc 2>/dev/null
    done
    vs bad check
    fails "check finds $claim"
    vs bad search line --near '[0]' -k 1 --mode json
    if [ "$status" = 0 ]; then
        prints "... and search is right" '{"query":0,"hits":[{"key":0,"distance":0,"metadata":null}]}'
    else
        no_stdout "... and search refuses"
    fi
}
damages "a damaged first meta page" db "" 20
damages "a damaged second meta page" db "" 65556
# Bytes in each page behind the meta pages, as far as the file goes.
pages=$(awk -v n="$(wc -c <db)" 'BEGIN { for (at = 131172; at < n; at += 4096) print at }')
# shellcheck disable=SC2086
damages "damaged pages behind them" db "" $pages
damages "a damaged log header" live "$log" 40
damages "a damaged log frame" live "$log" 4150
bad_copy live
rm "bad$log"
vs bad check
fails "check names a log file that is missing" "bad$log"
bad_copy live
vs bad check
says "with its log the copy is clean" clean
same "... and has what was committed before the kill" 12 "$(count bad later)"
vs bad search line --near '[0]' -k 1 --mode json
prints "... and search is right" '{"query":0,"hits":[{"key":0,"distance":0,"metadata":null}]}'

finish

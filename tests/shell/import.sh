#!/bin/sh
# import.sh - importing: what is refused and what stays then, going on after an interruption, memory.
. "$(dirname "$0")/lib.sh"
compile_makevecs
patience=300 # seconds: where a device is busy some hundred synced commits take minutes

# good N [FIRST]: N rows of dimension 2 for makevecs, (i, i mod 7) from i = FIRST on.
good() {
    awk -v n="$1" -v first="${2:-0}" 'BEGIN { for (i = first; i < first + n; i++) print i, i % 7 }'
}

# ---- what is refused -----------------------------------------------------------------------------

# refuses CLAIM FILE ROW REASON [OPTION...]: an import by batches of two rows stops at ROW, says so,
# and has committed the complete batches before it.
refuses() {
    claim=$1 file=$2 row=$3 reason=$4
    shift 4
    rm -f r.db r.db-wal-*
    "$vecstore" r.db create c --dim 2 --type "${type:-f32}"
    vs r.db import c "$file" --batch 2 "$@"
    fails "$claim is refused with file, row and reason" "$file: " "row $row:" "$reason"
    same "$claim: nothing but complete batches is committed" $((row / 2 * 2)) "$(count r.db)"
}

# malformed CLAIM NAME REASON LINE: the LINE as row 5 of 8 and as row 0, each in a file of its own.
malformed() {
    { good 5; echo "$4"; good 2 6; } | "$makevecs" rows fvecs >"$2.fvecs"
    refuses "$1 in the middle" "$2.fvecs" 5 "$3"
    { echo "$4"; good 2; } | "$makevecs" rows fvecs >"$2-first.fvecs"
    refuses "$1 at the start" "$2-first.fvecs" 0 "$3"
}
malformed "dimension 0" dim0 "dimension is 0" "dim=0 1 2"
malformed "a negative dimension" negative "dimension is" "dim=-1 1 2"
malformed "the most negative dimension" most "dimension is" "dim=-2147483648 1 2"
malformed "a huge dimension" huge "dimension is 2147483647" "dim=2147483647 1 2"
malformed "a dimension just too large" large "dimension is 65536" "dim=65536 1 2"
malformed "NaN" nan "element 0" "nan 2"
malformed "infinity" inf "element 1" "1 inf"
malformed "minus infinity" minus "element 1" "1 -inf"
{ good 5; echo "1 2 3"; good 2; } | "$makevecs" rows fvecs >three.fvecs
refuses "another dimension in the middle" three.fvecs 5 "dimension is 3, expected 2"
{ good 5; echo "1"; good 2; } | "$makevecs" rows fvecs >one.fvecs
refuses "a smaller dimension in the middle" one.fvecs 5 "dimension is 1, expected 2"
good 8 | "$makevecs" rows fvecs >good.fvecs
for bytes in 61 62 63; do
    head -c $bytes good.fvecs >cut$bytes.fvecs
    refuses "a dimension cut after $((bytes - 60)) bytes" cut$bytes.fvecs 5 "ends inside"
done
for bytes in 64 65 68 71; do
    head -c $bytes good.fvecs >cut$bytes.fvecs
    refuses "a row cut after $((bytes - 60)) bytes" cut$bytes.fvecs 5 "ends inside"
done
for bytes in 1 3 4 11; do
    head -c $bytes good.fvecs >cut$bytes.fvecs
    refuses "a file of $bytes bytes" cut$bytes.fvecs 0 "ends inside"
done
good 8 | "$makevecs" rows bvecs >good.bvecs
type=u8
head -c 35 good.bvecs >cut.bvecs
refuses "a row of bytes that is cut" cut.bvecs 5 "ends inside"
{ good 5; echo "1 2 3"; } | "$makevecs" rows bvecs >three.bvecs
refuses "another dimension among bytes" three.bvecs 5 "dimension is 3, expected 2"
for value in 0.5 256 -1; do
    { good 5; echo "1 $value"; good 2; } | "$makevecs" rows fvecs >lossy.fvecs
    refuses "$value for a u8 collection" lossy.fvecs 5 "u8"
done
unset type
refuses "fvecs read as bvecs" good.fvecs 1 "dimension is" --format bvecs

# refuses_file CLAIM FILE TEXT...: the file as a whole is refused and nothing changes.
refuses_file() {
    claim=$1 file=$2
    shift 2
    before=$(count good.db)
    vs good.db import c "$file"
    fails "$claim is refused" "$file" "$@"
    same "$claim: nothing is committed" "$before" "$(count good.db)"
}
fresh good.db --dim 2
vs good.db import c good.fvecs
says "a good file is imported" "8 rows added"
: >empty.fvecs
mkdir folder.fvecs
good 8 | "$makevecs" rows ivecs >ids.ivecs
echo "1 2 3 4" >text.txt
head -c 1000 /dev/zero | tr '\0' 'x' >text.fvecs
refuses_file "an empty file" empty.fvecs empty
refuses_file "a folder" folder.fvecs folder
refuses_file "a missing file" missing.fvecs
refuses_file "a file of ids" ids.ivecs ivecs
refuses_file "a name without a known ending" text.txt --format
refuses_file "text" text.fvecs "row 0" dimension
refuses_file "a file of zeros" /dev/zero --format
printf '1 2 3\n4 5 6\n' | "$makevecs" rows fvecs >wide.fvecs
refuses_file "a file of another dimension" wide.fvecs 3 2 "'c'"

# ---- compressed files ----------------------------------------------------------------------------

# refuses_zst CLAIM FILE REASON: ... at some row, with only complete batches of 10 committed.
refuses_zst() {
    fresh z.db --dim 100
    vs z.db import c "$2" --batch 10
    fails "$1 is refused with file, row and reason" "$2: row " "$3"
    row=$(sed -n 's/.*: row \([0-9]*\):.*/\1/p' err)
    same "$1: only complete batches before that row" $((${row:-1} / 10 * 10)) "$(count z.db)"
}
if has_zstd; then
    "$makevecs" random fvecs 1500 100 >z.fvecs # 606,000 bytes, blocks of 100,003 bytes when packed
    "$makevecs" zst <z.fvecs >z.fvecs.zst
    fresh z.db --dim 100
    vs z.db import c z.fvecs.zst
    says "FILE.zst is read directly" "1500 rows added"
    vs z.db recall c --queries z.fvecs.zst -k 1
    prints "... and so are queries" "recall@1 1.0000 queries=1500 k=1"
    vs z.db search c --near @z.fvecs -k 1 --mode json
    same "... with the rows of the plain file" 1500 "$(grep -c '"distance":0,' out)"
    head -c 404000 z.fvecs | "$makevecs" zst >two.fvecs.zst
    tail -c 202000 z.fvecs | "$makevecs" zst >>two.fvecs.zst
    fresh z.db --dim 100
    vs z.db import c two.fvecs.zst
    says "two frames are one file" "1500 rows added"
    cp z.fvecs.zst named
    vs z.db import c named --start-key 5000 --format fvecs
    fails "without .zst it is not a compressed file" named "row 0"

    for bytes in 605000 606010 300000 200012 100 5; do
        head -c $bytes z.fvecs.zst >cut.fvecs.zst
        refuses_zst "a .zst cut after $bytes bytes" cut.fvecs.zst ""
    done
    { head -c 200012 z.fvecs.zst; printf '\377\377\377'; tail -c +200016 z.fvecs.zst; } >bad.fvecs.zst
    refuses_zst "a .zst with a damaged block" bad.fvecs.zst zstd
    { printf 'XXXX'; tail -c +5 z.fvecs.zst; } >bad.fvecs.zst
    refuses_zst "a .zst with another magic number" bad.fvecs.zst zstd
    { cat z.fvecs.zst; echo "something else"; } >bad.fvecs.zst
    refuses_zst "a .zst with something behind it" bad.fvecs.zst zstd
    cp z.fvecs bad.fvecs.zst
    refuses_zst "a plain file named .zst" bad.fvecs.zst zstd
    head -c 605999 z.fvecs | "$makevecs" zst >bad.fvecs.zst
    refuses_zst "a .zst whose last row is cut" bad.fvecs.zst "ends inside"
    refuses_file "an empty .zst" empty.fvecs.zst empty
    "$makevecs" zst <empty.fvecs >nothing.fvecs.zst
    refuses_file "a .zst of nothing" nothing.fvecs.zst empty

    shipped=$root/examples/data/base.bvecs.zst
    { head -c 1000000 "$shipped"; printf 'damaged!'; tail -c +1000009 "$shipped"; } >bad.bvecs.zst
    fresh s.db --dim 784 --type u8
    vs s.db import c bad.bvecs.zst --batch 10
    fails "damage inside compressed data is found" bad.bvecs.zst "row " zstd
    head -c 1000000 "$shipped" >cut.bvecs.zst
    vs s.db import c cut.bvecs.zst --batch 10 --start-key 10000
    fails "compressed data that end too early are found" cut.bvecs.zst "row "
    same "... and only complete batches committed" 0 $(($(count s.db) % 10))
else
    vs good.db import c empty.fvecs.zst
    fails "a build without zstd says so" empty.fvecs.zst VS_OMIT_ZSTD
    skip "compressed files" "a build without zstd"
fi

# ---- labels --------------------------------------------------------------------------------------

# labelled CLAIM BYTES MOST TEXT...: 8 rows in batches of 2 with these labels; at most MOST stay.
labelled() {
    claim=$1 labels=$2 most=$3
    shift 3
    printf '%s' "$labels" >labels.u8
    fresh l.db --dim 2
    vs l.db import c good.fvecs --batch 2 --labels labels.u8
    fails "$claim are refused with file, row and reason" labels.u8 "$@"
    now=$(count l.db)
    same "$claim: only complete batches are committed" 0 $((now % 2))
    holds "$claim: at most $most rows are committed, here $now" test "$now" -le "$most"
}
labelled "labels that end one row too early" 1234567 6 "row 7"
labelled "labels that end in the middle" 123 2 "row 3"
labelled "labels of no row" '' 0 "row 0"
labelled "labels of one row too many" 123456789 6 "8 rows"
printf '12345678' >labels.u8
vs l.db import c good.fvecs --batch 2 --labels labels.u8
says "with the right labels the same import goes on"
vs l.db search c --near '[0,0]' -k 8 --mode json
same "... and each row has its label" "0:49 1:50 2:51 3:52 4:53 5:54 6:55 7:56" "$(tr '{' '\n' <out |
    sed -n 's/^"key":\([0-9]*\).*/\1/p; s/^"label":\([0-9]*\).*/\1/p' | paste -d: - - | sort -n |
    tr '\n' ' ' | sed 's/ $//')"
vs l.db import c good.fvecs --start-key 100 --labels nosuch.u8
fails "a missing file of labels is named" nosuch.u8
mkdir folder.u8
vs l.db import c good.fvecs --start-key 100 --labels folder.u8
fails "a folder of labels is refused" folder.u8
same "... before anything is committed" 8 "$(count l.db)"

# ---- sources and keys ----------------------------------------------------------------------------

fresh k.db --dim 2
"$vecstore" k.db create other --dim 2
vs k.db import c good.fvecs --batch 3
says "the last batch may be smaller" "8 rows added"
vs k.db import c good.fvecs
says "the same source again does nothing" "0 rows added"
cp good.fvecs renamed.fvecs
vs k.db import c renamed.fvecs --batch 1
says "... also under another name" "0 rows added"
same "... and changes no count" 8 "$(count k.db)"
vs k.db import c good.fvecs --start-key 8
says "another start key is another import" "8 rows added"
vs k.db import c good.fvecs --start-key=8
says "... which is remembered too" "0 rows added"
same "... of which both have all rows" 16 "$(count k.db)"
vs k.db import other good.fvecs
says "another collection is another import" "8 rows added"
good 9 | "$makevecs" rows fvecs >longer.fvecs
vs k.db import c longer.fvecs
fails "a longer file is another source: its first key exists" longer.fvecs "row 0" "key 0 exists"
good 8 1 | "$makevecs" rows fvecs >other.fvecs
vs k.db import c other.fvecs
fails "a file of the same size and other bytes is another source" "key 0 exists" "row 0"
vs k.db import c good.fvecs --start-key 9
fails "an existing key is an error that names it" "key 9 exists" "row 0"
same "... and adds nothing" 16 "$(count k.db)"

fresh m.db --dim 2
good 1 | "$makevecs" rows fvecs >single.fvecs
vs m.db import c single.fvecs --start-key 5
vs m.db import c good.fvecs --batch 2
fails "an existing key in the middle names the row" "row 5:" "key 5 exists"
same "... after the complete batches" 5 "$(count m.db)"
vs m.db import c good.fvecs --batch 2
fails "... again when it is tried again" "key 5 exists"
same "... and adds nothing" 5 "$(count m.db)"
fresh m.db --dim 2
vs m.db import c good.fvecs --batch 1 --start-key 18446744073709551614
fails "a key beyond 64 bits names the row" "row 2:"
same "... after the keys that fit" 2 "$(count m.db)"

# A source is its size and the hash of its first mebibyte.
"$makevecs" random fvecs 40000 7 >size.fvecs # rows of 32 bytes: row 32768 begins the second mebibyte
{ head -c 1048576 size.fvecs; tail -c 32 size.fvecs; tail -c +1048609 size.fvecs; } >behind.fvecs
{ head -c 1048544 size.fvecs; tail -c 32 size.fvecs; tail -c +1048577 size.fvecs; } >within.fvecs
fresh x.db --dim 7
vs x.db import c size.fvecs
says "a file of more than a mebibyte" "40000 rows added"
vs x.db import c behind.fvecs
says "another row behind the first mebibyte leaves the same source" "0 rows added"
vs x.db import c within.fvecs
fails "another row at its end makes another source" "key 0 exists"

# A pipe can be read only once: it is imported as a whole, or refused before anything is committed.
"$makevecs" random fvecs 65536 7 >pipe.fvecs # 2 MiB, rows of 32 bytes
fresh p.db --dim 7
timeout "$patience" sh -c "cat pipe.fvecs | '$vecstore' p.db import c /dev/stdin --format fvecs" >out 2>err
status=$?
[ "$status" = 0 ] && want=65536 || want=0
same "a pipe gives all its rows, or none (exit $status)" "$want" "$(count p.db)"
fresh p.db --dim 7
mkfifo pipe
cat pipe.fvecs >pipe &
timeout "$patience" "$vecstore" p.db import c pipe --format fvecs >out 2>err
status=$?
exec 4<>pipe # a writer that still waits for a reader goes on, and finds none
exec 4>&-
wait $!
[ "$status" = 0 ] && want=65536 || want=0
same "a named pipe gives all its rows, or none (exit $status)" "$want" "$(count p.db)"

# ---- interrupted imports -------------------------------------------------------------------------

total=6000 batch=6
awk -v n=$total 'BEGIN { for (i = 0; i < n; i++) print i, i % 7, i % 11 }' |
    "$makevecs" rows fvecs >rows.fvecs
octal=$(awk 'BEGIN { for (i = 0; i < 256; i++) printf "\\%03o", i }')
# shellcheck disable=SC2059 # the bytes 0 to 255
printf "$octal" >bytes.u8
for _ in 1 2 3 4 5 6 7 8; do cat bytes.u8 bytes.u8 bytes.u8; done | head -c $total >labels.u8

# The labels come through a pipe that is held open, so that no import can end before it is killed,
# however fast the machine is. When a pipe of whole batches is empty and one label more was asked for,
# those batches are committed; when only the first is known the kill comes anywhere among them.
mkfifo pipe.u8
fresh i.db --dim 3
last=0
for round in 1 2 3 4 5 6 7; do
    fed=$((round * 840))
    exec 3<>pipe.u8
    "$vecstore" i.db import c rows.fvecs --labels pipe.u8 --batch $batch 2>killed 3>&- &
    pid=$!
    head -c $fed labels.u8 >&3
    timeout "$patience" "$makevecs" drained <&3
    if [ $((round % 2)) = 1 ]; then
        printf x >&3
        timeout "$patience" "$makevecs" drained <&3
    fi
    if [ $round = 1 ]; then
        vs i.db info
        fails "while an import runs others are told which process it is" "in use" "$pid"
    fi
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    status=$?
    said=""
    [ $status = 137 ] || said=": $(cat killed)"
    same "round $round: the import was still running" 137 "$status$said"
    exec 3>&-
    now=$(count i.db)
    same "round $round: killed, complete batches remain" 0 $((now % batch))
    holds "round $round: the count only grows, $last to $now" test "$now" -ge "$last"
    holds "round $round: no row came before its label, $now of $fed" test "$now" -le $fed
    if [ $((round % 2)) = 1 ]; then
        same "round $round: all batches before the killed one are there" $fed "$now"
    fi
    vs i.db check
    says "round $round: killed, the database is clean" clean
    last=$now
done
vs i.db import c rows.fvecs --labels labels.u8 --batch 7
says "the import goes on behind row $last" "$((total - last)) rows added to the $last of"
same "all rows are there" $total "$(count i.db)"
vs i.db search c --near @rows.fvecs -k 1 --mode json
awk -v n=$total 'BEGIN { for (i = 0; i < n; i++)
    printf "{\"query\":%d,\"hits\":[{\"key\":%d,\"distance\":0,\"metadata\":{\"label\":%d}}]}\n",
        i, i, i % 256 }' >want
holds "each row is there under its key with its label" cmp want out
vs i.db import c rows.fvecs --labels labels.u8
says "then the same import does nothing" "0 rows added to the $total"
vs i.db check
says "then the database is clean" clean

# ---- memory and progress -------------------------------------------------------------------------

# peaks NAME ROWS: an import of ROWS x 1024 f32, which this version keeps in memory, needs little more.
peaks() {
    fresh big.db --dim 1024
    "$makevecs" peak peak "$vecstore" big.db import c "$1" 2>err
    same "$2 rows of 4 KiB are imported" "vecstore: import: $2 rows added" "$(cat err)"
    holds "... with 64 MiB of memory besides the data: peak $(cat peak) KiB" \
        test $(($(cat peak) - 4 * $2)) -lt 65536
    rm -f big.db big.db-wal-*
}
case " ${CFLAGS:-}" in
*-fsanitize*) skip "imports need little memory besides the data" "sanitizers need more" ;;
*)
    "$makevecs" random fvecs 50000 1024 >big.fvecs
    peaks big.fvecs 50000
    if has_zstd; then
        head -c 41000000 big.fvecs | "$makevecs" zst >big.fvecs.zst
        peaks big.fvecs.zst 10000
    fi
    rm -f big.fvecs big.fvecs.zst
    ;;
esac

fresh t.db --dim 2
if script -qec true /dev/null >/dev/null 2>&1 </dev/null; then
    script -qec "'$vecstore' t.db import c good.fvecs --batch 1" /dev/null >out </dev/null
    holds "a terminal sees progress" grep -q "8 rows, .* rows/s" out
else
    skip "a terminal sees progress" "no terminal can be made here (script)"
fi
vs t.db import c good.fvecs --start-key 100
same "without a terminal there is only the result" "vecstore: import: 8 rows added" "$(cat err)"

finish

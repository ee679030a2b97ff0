#!/bin/sh
# reader.sh - docs/FORMAT.md is enough to read a database: reader.py, which is written from it alone, lists
# what the shell shows, vector by vector, and finds what is damaged. Databases after a clean close, and with
# the logs of a killed session.
. "$(dirname "$0")/../shell/lib.sh"
reader=$root/tests/format/reader.py

python=""
for modules in "xxhash, zstandard" xxhash; do
    for candidate in python3 /usr/bin/python3; do
        [ -n "$python" ] || ! "$candidate" -c "import $modules" 2>err || python=$candidate
    done
done
if [ -z "$python" ]; then
    skip "a reader in another language" "no Python 3 with xxhash here (apt-get install python3-xxhash)"
    finish
fi
compile_makevecs
# Compiled once: there are some two hundred runs.
"$python" -c 'import py_compile, sys; py_compile.compile(sys.argv[1], sys.argv[2], doraise=True)' \
    "$reader" reader.pyc && reader=$PWD/reader.pyc

# ---- what is claimed -----------------------------------------------------------------------------

# reads [--fsck] DB: runs the reader; what came of it is in $status, listing and err.
reads() {
    command_line="reader.py $*"
    status=0
    timeout 300 "$python" "$reader" "$@" >listing 2>err || status=$?
}

# refused CLAIM [TEXT...]: the last reads ended with 1, an empty listing, and one line that has each text.
refused() {
    claim=$1
    shift
    cp listing out
    if [ "$status" = 1 ] && [ ! -s listing ] && [ "$(wc -l <err)" -eq 1 ] && err_has "$@"; then
        pass
    else
        fail_run "$claim" "1, nothing on stdout, one line on stderr with: $*"
    fi
}

# read_well CLAIM: the last reads ended with 0 and with a digest that is the recorded one.
read_well() {
    cp listing out
    if [ "$status" = 0 ] && [ ! -s err ] && tail -n 1 listing | grep -q '^digest [0-9a-f]\{32\} ok$'; then
        pass
    else
        fail_run "$1" "0, and a last line: digest ... ok"
    fi
}

# hits DB COLLECTION DIM COUNT: every record as the shell shows it, "KEY METADATA" in the order of keys.
hits() {
    zeros=$(awk -v n="$3" 'BEGIN { for (i = 0; i < n; i++) printf "%s0", i ? "," : "[" }')]
    vs "$1" search "$2" --near "$zeros" -k "$4" --mode json
    grep -o '"key":[0-9]*,"distance":[-+.e0-9]*,"metadata":\(null\|{[^}]*}\)' out |
        sed 's/^"key":\([0-9]*\),.*"metadata":/\1 /; s/ null$/ -/' | sort -n
}

# listed_records ID: the same from the listing; metadata of these tests have no backslash of their own.
listed_records() {
    sed -n "s/ payload=.*//; s/^record $1 \([0-9]*\) [0-9a-f]* \(.*\)/\1 \2/p" listing |
        sed 's/^\([0-9]*\) "\(.*\)"$/\1 \2/; s/\\"/"/g'
}

# agrees CLAIM DB: the listing is what the shell shows, --fsck finds nothing, no file changes.
agrees() {
    agreed=$1 db=$2
    cksum "$db"* >before
    reads --fsck "$db"
    read_well "$agreed: --fsck passes"
    mv listing fscked
    reads "$db"
    read_well "$agreed: it can be read"
    holds "$agreed: --fsck prints the same listing" cmp listing fscked
    cksum "$db"* >after
    holds "$agreed: reading changes no file" cmp before after
    vs "$db" info --mode json
    sed 's/,"bytes":[0-9]*,"created":"[^"]*","changed":"[^"]*","max_records":[^,]*,"max_bytes":[^,]*,"aliases":\[[^]]*\]//g' out >shape
    # shellcheck disable=SC2016 # sed's
    listed=$(sed -n 's/^collection [0-9]* \(.*\) dim=\([0-9]*\) type=\(.*\) metric=\(.*\) index=\(.*\) created=.* count=\([0-9]*\)$/{"name":"\1","count":\6,"dim":\2,"type":"\3","metric":"\4","index":"\5"}/p' listing)
    same "$agreed: collections" "$(cat shape)" "{\"collections\":[$(printf '%s' "$listed" | tr '\n' ',')]}"
    sed -n 's/^collection \([0-9]*\) \(.*\) dim=\([0-9]*\) .* count=\([1-9][0-9]*\)$/\1 \3 \4 \2/p' listing >full
    while read -r id dim records name; do
        hits "$db" "$name" "$dim" "$records" >shown
        listed_records "$id" >listed
        same "$agreed: keys and metadata of $name" "$(cksum <shown) $records" "$(cksum <listed) $(wc -l <listed | tr -d ' ')"
    done <full
}

# vectors_are CLAIM ID FILE KEY [ROWS]: rows of a file of vectors are the records from KEY on.
vectors_are() {
    "$python" - "$3" "$4" "${5:-}" >want <<'PY'
import struct, sys, xxhash
path, key, rows = sys.argv[1:]
data, at, row = open(path, "rb").read(), 0, 0
while at < len(data) and (not rows or row < int(rows)):
    size = struct.unpack_from("<i", data, at)[0] * (1 if path.endswith(".bvecs") else 4)
    print(int(key) + row, xxhash.xxh3_128_hexdigest(data[at + 4:at + 4 + size]))
    at, row = at + 4 + size, row + 1
PY
    awk -v id="$2" -v from="$4" -v rows="$(wc -l <want)" \
        '$1 == "record" && $2 == id && $3 >= from && $3 < from + rows { print $3, $4 }' listing >got
    holds "$1: the vectors are those of $3" cmp want got
}

# flip FILE OFFSET BIT
flip() {
    byte=$(od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' ')
    # shellcheck disable=SC2059 # the format is the byte
    printf "\\$(printf '%03o' $((byte ^ 1 << $3)))" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}

# copied: a copy of the database, to be damaged.
copied() {
    rm -f hurt.db hurt.db-wal-*
    for file in "$1" "$1"-wal-*; do
        [ ! -f "$file" ] || cp "$file" "hurt.db${file#"$1"}"
    done
}

# u64 FILE OFFSET
u64() {
    od -An -tu8 -j "$2" -N 8 "$1" | tr -d ' '
}

# ---- not yet a database --------------------------------------------------------------------------

none=$(printf '%032d' 0)
reads missing.db
refused "a missing file" missing.db
: >empty.db
reads empty.db
same "an empty file is an empty database" "checkpoint 0 lsn 0 digest $none
digest $none ok" "$(cat listing)"
head -c 65536 /dev/zero >half.db
reads half.db
read_well "zeros up to page B are an empty database"
cp half.db torn.db
printf 'vecstore torn' >>torn.db
reads torn.db
read_well "... and so they are before a torn page B"
: >half.db-wal-1
reads half.db
refused "a log file beside them says that content was lost" half.db-wal-1
head -c 100000 /dev/zero >zeros.db
reads zeros.db
refused "longer zeros are no database" magic
echo "some text" >text.db
reads text.db
refused "text is no database" magic

# ---- databases that are kept in the repository ---------------------------------------------------

for kept in "$root"/tests/format/0.4/*/t.vs; do
    [ -f "$kept" ] || continue
    reads --fsck "$kept"
    read_well "${kept#"$root"/} is read"
    same "${kept#"$root"/} has its digest" "digest $(cat "${kept%/*}/digest") ok" "$(tail -n 1 listing)"
done

# ---- after a clean close -------------------------------------------------------------------------

rows five.fvecs "1 2 3" "4 5 6" "0 0 0" "-1 0.5 1e30" "7 8 9"
rows five.bvecs "1 2 3" "4 5 6" "0 0 0" "255 254 253" "7 8 9"
printf '\001\002\000\377\011' >five.u8
fresh none.db --dim 3
agrees "a collection without records" none.db
for metric in l2 ip cosine; do
    for type in f32 u8; do
        file=five.fvecs
        [ $type = f32 ] || file=five.bvecs
        "$vecstore" all.db create "$metric of $type" --dim 3 --type $type --metric $metric --index flat
        "$vecstore" all.db import "$metric of $type" $file --labels five.u8 --start-key 1000 2>err
        "$vecstore" all.db import "$metric of $type" $file 2>err
    done
done
"$vecstore" all.db create "größe" --dim 65535 --type u8
"$makevecs" random bvecs 3 65535 >wide.bvecs
"$vecstore" all.db import "größe" wide.bvecs --start-key 18446744073709551600 2>err
rows small.bvecs "1 0 1" "0 0 1" "0 0 0" "1 1 1" "0 1 0"
for type in f16 bf16 i8 bit; do
    for metric in l2 ip cosine l1 hamming jaccard; do
        "$vecstore" all.db create "$metric of $type" --dim 3 --type $type --metric $metric 2>err || continue
        "$vecstore" all.db import "$metric of $type" small.bvecs --labels five.u8 2>err
    done
done
agrees "types, metrics, labels and names" all.db
for id in 1 3 5; do
    vectors_are "types, metrics, labels and names" $id five.fvecs 1000
    vectors_are "types, metrics, labels and names" $((id + 1)) five.bvecs 0
done
same "every label is listed as metadata" 100 "$(grep -c '^record .* "{\\"label\\":[0-9]*}"$' listing)"
same "an import leaves its position as a note" 13 "$(grep -c '^note [1-7] 696d706f7274' listing)"

"$makevecs" random bvecs 1500 50 >bytes.bvecs
"$makevecs" random fvecs 1500 50 >floats.fvecs
fresh codes.db --dim 50 --index "flat(codes=rq4)"
for metric in l2 ip cosine; do
    for type in f32 u8 f16 bf16; do
        file=bytes.bvecs
        [ $type != f32 ] || file=floats.fvecs
        "$vecstore" codes.db create "$metric of $type" --dim 50 --type $type --metric $metric --index "flat(codes=rq8)"
        "$vecstore" codes.db import "$metric of $type" $file 2>err
    done
done
for codes in f16 bf16; do
    for metric in l2 ip cosine; do
        "$vecstore" codes.db create "$metric by $codes" --dim 50 --metric $metric --index "flat(codes=$codes)"
        "$vecstore" codes.db import "$metric by $codes" floats.fvecs 2>err
    done
done
agrees "codes" codes.db

"$makevecs" random fvecs 6000 50 >many.fvecs
head -c 6000 many.fvecs >many.u8
fresh many.db --dim 50
agrees_after() { # ROW: the import of all rows from there on, by batches, in a session of its own
    "$vecstore" many.db import c many.fvecs --labels many.u8 --batch 700 --start-key "$1" 2>err
    agrees "thousands of records from $1 on" many.db
    vectors_are "thousands of records from $1 on" 1 many.fvecs "$1"
}
agrees_after 5000000000
agrees_after 0
for i in 1 2 3 4 5 6 7 8; do
    "$vecstore" many.db create "more $i" --dim "$i" --metric ip
    head -c $((i * 1000)) /dev/zero | tr '\0' "$i" >more.u8
    awk -v n=$((i * 100)) -v dim=$i 'BEGIN { for (r = 0; r < n; r++) { for (d = 0; d < dim; d++) printf "%d ", r + d
        print "" } }' | "$makevecs" rows fvecs >more.fvecs
    "$vecstore" many.db import "more $i" more.fvecs --labels more.u8 2>err
done
agrees "pages that were freed and used again by many sessions" many.db

# ---- large values, compressed and not ------------------------------------------------------------

cat >large.c <<'C'
/* large FILE ROUND none|zstd [TRAILER-BYTES]: metadata and notes around whole pages, of letters that repeat
 * or of noise. */
#include "vecstore.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(int argc, char **argv) {
    static char text[130000], name[1000];
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_collection_options shape = VS_COLLECTION_OPTIONS_INIT;
    vs_db *db = NULL;
    vs_collection *c = NULL;
    unsigned random = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
    options.flags = VS_OPEN_CREATE;
    options.compression = argc > 3 && !strcmp(argv[3], "zstd") ? VS_COMPRESSION_ZSTD : VS_COMPRESSION_NONE;
    options.trailer_bytes = argc > 4 ? (uint32_t)atoi(argv[4]) : 0;
    size_t page = 4096 - options.trailer_bytes;
    vs_field fields[2] = {VS_FIELD_INIT, VS_FIELD_INIT};
    fields[0].dim = 2;
    fields[1].dim = 9;
    fields[1].name = "more";
    fields[1].type = VS_BIT;
    fields[1].flags = VS_FIELD_OPTIONAL;
    shape.fields = fields;
    shape.field_count = 2;
    vs_status st = vs_open(argv[1], &options, &db);
    if (st == VS_OK && vs_collection_open(db, NULL, "c", &c) != VS_OK)
        st = vs_collection_create(db, NULL, "c", &shape, &c);
    for (unsigned i = 0; st == VS_OK && i < 60; i++) {
        size_t bytes = i < 48 ? 4096 * (i / 12) + page - 14 + i % 12 : 10000 * (i - 47);
        float v[2] = {(float)i, 1};
        vs_record r = VS_RECORD_INIT;
        for (size_t k = 0; k < bytes; k++) {
            random = random * 1103515245 + 12345;
            text[k] = (char)(i % 3 ? 'a' + k / 11 % 7 + (k % 11 == i % 11) : random >> 16);
        }
        st = vs_kv_put(db, NULL, i % 2 ? c : NULL, &i, sizeof i, text, bytes);
        for (size_t k = 0; i % 3 == 0 && k < bytes; k++)
            text[k] = (char)('a' + (text[k] & 15));
        memcpy(text, "{\"t\":\"", 6);
        memcpy(text + bytes - 2, "\"}", 2);
        snprintf(name, sizeof name, "key %0*u", i % 7 ? 12 : 900, i);
        r.key = i % 4 == 1   ? vs_key_text(name)
                : i % 4 == 2 ? vs_key_uuid(name)
                             : vs_key_u64(i);
        r.key.space = i % 3 ? 0 : i;
        r.vector = v;
        r.metadata = text;
        r.metadata_bytes = bytes;
        vs_vector bits = {"\351\1", VS_BIT, 1};
        r.vectors = &bits;
        r.vector_count = i % 5 == 0;
        if (st == VS_OK)
            st = vs_put(c, NULL, &r, VS_UPSERT);
    }
    vs_collection_close(c);
    fprintf(stderr, "%s", st ? vs_errmsg(db) : "");
    return vs_close(db) || st;
}
C
# shellcheck disable=SC2086 # CC and CFLAGS may have arguments
holds "the program that writes large values compiles" \
    ${CC:-cc} ${CFLAGS:-} -I"$root" -o large large.c "$build/libvecstore.a" -lzstd -lm -lpthread
large_is_read() { # CLAIM: what large.db holds
    reads --fsck large.db
    read_well "$1"
    same "$1: all are there" "60 60" "$(grep -c '^record' listing) $(grep -c '^note' listing)"
}
holds "large values are written" ./large large.db 1 none
large_is_read "large values as they are"
same "no feature is named then" 0 "$(u64 large.db 40)"
sed -n '/^record\|^note/p' listing >plain
holds "a database with trailers is written" ./large trailers.db 1 none 40
reads --fsck trailers.db
read_well "a database with trailers"
same "a database with trailers: all are there" "60 60" "$(grep -c '^record' listing) $(grep -c '^note' listing)"
same "the feature trailers is named" "2 40" "$(u64 trailers.db 40) $(u64 trailers.db 96)"
vs trailers.db check --level 3
says "a database with trailers has no damage"
"$python" - <<'PY'
import xxhash
data = bytearray(open("trailers.db", "rb").read())
for at in (0, 65536):
    data[at + 40] = data[at + 96] = 0
    data[at + 4080:at + 4096] = xxhash.xxh3_128_intdigest(bytes(data[at:at + 4080])).to_bytes(16, "little")
open("bare.db", "wb").write(data)
PY
reads bare.db
refused "nodes with trailers in a file that does not say so" "trailer bytes"
vs bare.db info
same "the library says so as well" "1 1" "$status $(grep -c "a node's trailer has another size" err)"
if "$python" -c 'import zstandard' 2>err; then
    holds "compressed values are written" ./large packed.db 1 zstd
    same "the feature is named then" 1 "$(u64 packed.db 40)"
    holds "compressed values take half of the pages" [ "$(wc -c <packed.db)" -lt $(($(wc -c <large.db) * 2 / 3)) ]
    mv packed.db large.db
    large_is_read "compressed values"
    sed -n '/^record\|^note/p' listing >packed
    holds "they are the same" cmp plain packed
    holds "values are written both ways" ./large large.db 2 none
    large_is_read "a file of both, after a session without"
    holds "values are written both ways" ./large large.db 3 zstd
    large_is_read "a file of both, after a session with"
    "$python" - <<'PY'
import struct, xxhash
data = bytearray(open("large.db", "rb").read())
for at in (0, 65536):
    data[at + 40] = 0
    data[at + 4080:at + 4096] = xxhash.xxh3_128_intdigest(bytes(data[at:at + 4080])).to_bytes(16, "little")
open("silent.db", "wb").write(data)
PY
    reads silent.db
    refused "a compressed value in a file that does not say so" "needed features" compressed
    vs silent.db check --level 2
    same "check says so as well" "1 1" "$status $(grep -c 'do not say so' out err | awk -F: '{ n += $2 } END { print n }')"
else
    skip "compressed values" "no zstandard for Python here (apt-get install python3-zstandard)"
fi

# ---- payloads ------------------------------------------------------------------------------------

cat >payloads.c <<'C'
/* payloads FILE ROUND none|zstd close|kill: payloads around whole pieces, written, cut, moved and deleted.
 * payloads FILE: of each record in the order of keys, u64 bytes of its payload, and these. */
#include "vecstore.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
enum { PIECE = 65536, RECORDS = 30, MOST = 300000 };
static unsigned char data[MOST];
static const size_t sizes[] = {0, 1, 24, 1100, 1400, 5000, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE - 1,
                               2 * PIECE, 2 * PIECE + 1, 3 * PIECE, 200000, MOST};
static size_t size_of(unsigned i) { return sizes[i % (sizeof sizes / sizeof sizes[0])]; }

static vs_key key_of(unsigned i) {
    static char name[1024];
    snprintf(name, sizeof name, "key %0*u", i % 7 ? 12 : 900, i);
    vs_key key = i % 4 == 1 ? vs_key_text(name) : i % 4 == 2 ? vs_key_uuid(name) : vs_key_u64(i);
    key.space = i % 5 ? 0 : i;
    return key;
}

static void fill(size_t bytes, unsigned random) {
    for (size_t k = 0; k < bytes; k++) {
        random = random * 1103515245 + 12345;
        data[k] = (unsigned char)(bytes % 2 ? random >> 16 : 'a' + k % 7);
    }
}

static vs_status put(vs_collection *c, vs_txn *txn, unsigned i, float value) {
    float v[2] = {value, 1};
    vs_record r = VS_RECORD_INIT;
    r.key = key_of(i);
    r.vector = v;
    return vs_put(c, txn, &r, VS_UPSERT);
}

static vs_status step(vs_collection *c, vs_txn *txn, unsigned i, unsigned round) {
    vs_record r = VS_RECORD_INIT;
    size_t bytes = size_of(i * 7 + round), at;
    vs_status st = vs_get(c, txn, key_of(i), &r);
    at = (size_t)r.payload_bytes;
    if (st == VS_ERR_NOT_FOUND)
        st = put(c, txn, i, 0);
    if (st != VS_OK)
        return st;
    fill(bytes, i + round);
    switch ((i + round) % 6) {
    case 0:
        st = vs_delete(c, txn, key_of(i));
        return st == VS_OK && i % 2 ? put(c, txn, i, 1) : st;
    case 1:
        return vs_payload_truncate(c, txn, key_of(i), at < size_of(i) ? at / 2 : size_of(i));
    case 2:
        return vs_payload_write(c, txn, key_of(i), at / 2, data, bytes);
    case 3:
        st = vs_payload_write(c, txn, key_of(i), at, data, bytes);
        return st == VS_OK ? put(c, txn, i, (float)round) : st;
    default:
        return vs_payload_write(c, txn, key_of(i), 0, data, bytes);
    }
}

static vs_status change(vs_db *db, vs_collection *c, unsigned round) {
    vs_txn *txn = NULL;
    unsigned point = 0;
    vs_status st = VS_OK;
    for (unsigned i = 0; st == VS_OK && i < RECORDS; i++)
        st = step(c, NULL, i, round);
    if (st == VS_OK && round % 2)
        st = vs_checkpoint(db);
    if (st == VS_OK)
        st = vs_begin(db, VS_TXN_WRITE, &txn);
    for (unsigned i = 0; st == VS_OK && i < RECORDS; i++) {
        st = vs_savepoint(txn, &point);
        if (st == VS_OK)
            st = step(c, txn, i, round + 1);
        if (st == VS_OK && i % 4 == 3)
            st = vs_rollback_to(txn, point);
    }
    return st == VS_OK ? vs_commit(txn, VS_SYNC_FULL) : st;
}

static vs_status dump(vs_collection *c) {
    vs_cursor *cursor = NULL;
    vs_record r = VS_RECORD_INIT;
    vs_status st = vs_scan(c, NULL, NULL, &cursor);
    while (st == VS_OK && (st = vs_step(cursor)) == VS_ROW) {
        st = vs_cursor_record(cursor, &r);
        size_t n = 1, bytes = 0;
        fwrite(&r.payload_bytes, 8, 1, stdout);
        for (; st == VS_OK && n; bytes += n) {
            st = vs_payload_read(c, NULL, r.key, bytes, data, 100000, &n);
            fwrite(data, 1, n, stdout);
        }
        if (bytes != r.payload_bytes)
            return VS_ERR_CORRUPT;
    }
    vs_cursor_close(cursor);
    return st == VS_DONE ? VS_OK : st;
}

int main(int argc, char **argv) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_collection_options shape = VS_COLLECTION_OPTIONS_INIT;
    vs_db *db = NULL;
    vs_collection *c = NULL;
    options.flags = argc == 2 ? VS_OPEN_READONLY : VS_OPEN_CREATE;
    options.compression = argc > 3 && !strcmp(argv[3], "zstd") ? VS_COMPRESSION_ZSTD : VS_COMPRESSION_NONE;
    shape.dim = 2;
    vs_status st = vs_open(argv[1], &options, &db);
    if (st == VS_OK && vs_collection_open(db, NULL, "c", &c) != VS_OK)
        st = vs_collection_create(db, NULL, "c", &shape, &c);
    if (st == VS_OK)
        st = argc == 2 ? dump(c) : change(db, c, (unsigned)atoi(argv[2]));
    fprintf(stderr, "%s", st ? vs_errmsg(c) : "");
    fflush(stdout);
    if (argc > 4 && !strcmp(argv[4], "kill"))
        _exit(st);
    vs_collection_close(c);
    return vs_close(db) || st;
}
C
# shellcheck disable=SC2086 # CC and CFLAGS may have arguments
holds "the program that writes payloads compiles" \
    ${CC:-cc} ${CFLAGS:-} -I"$root" -o payloads payloads.c "$build/libvecstore.a" -lzstd -lm -lpthread

# payloads_agree CLAIM DB: the listing has sizes and hashes of what the library reads, record by record.
payloads_agree() {
    reads --fsck "$2"
    read_well "$1"
    holds "$1: the library reads them" sh -c "./payloads $2 >dumped"
    "$python" - >want <<'PY'
import struct, xxhash
data, at = open("dumped", "rb").read(), 0
while at < len(data):
    size = struct.unpack_from("<Q", data, at)[0]
    run = data[at + 8:at + 8 + size]
    print(f"payload={size}:{xxhash.xxh3_128_hexdigest(run)}" if size else "none")
    at += 8 + size
PY
    sed -n '/^record/ { s/.* \(payload=[0-9]*:[0-9a-f]*\)$/\1/; t done
        s/.*/none/; : done
        p; }' listing >got
    holds "$1: sizes and hashes" cmp want got
    holds "$1: there are some" [ "$(grep -c payload= got)" -ge 10 ]
    vs "$2" check --level 3
    says "$1: check finds no damage"
}
codec=none
if "$python" -c 'import zstandard' 2>err; then codec=zstd; fi
round=0
for end in close kill kill close kill close; do
    packed=$codec
    [ $((round % 3)) != 1 ] || packed=none
    holds "payloads are written, round $round" ./payloads payloads.db $round $packed $end
    payloads_agree "payloads of round $round, $packed, $end" payloads.db
    [ $round != 2 ] || for file in payloads.db*; do cp "$file" "logged${file#payloads}"; done
    round=$((round + 1))
done
holds "... with logs behind a killed session" [ -f logged.db-wal-2 ]
holds "... and none behind a clean close" [ "$(ls payloads.db*)" = payloads.db ]

# payloads_torn CLAIM: the reader and check say the same of what is damaged, and if nothing is, of what there is.
payloads_torn() {
    vs hurt.db check --level 3
    verdict=$status
    reads --fsck hurt.db
    same "$1: damage or not, as check says" "$verdict" "$status"
    [ "$status" = 0 ] || damaged=$((damaged + 1))
    [ "$status" != 0 ] || ./payloads hurt.db >/dev/null 2>err || fail "$1: $(cat err)"
}
damaged=0
size=$(wc -c <payloads.db)
for part in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24; do
    copied payloads.db
    at=$((131072 + (size - 131072) / 25 * part + part))
    flip hurt.db $at $((part % 8))
    payloads_torn "byte $at of payloads flipped"
done
holds "most flips in payloads are found" [ $damaged -ge 8 ]
damaged=0
last=$(ls logged.db-wal-* | tail -n 1)
for part in 1 2 3 4 5 6 7 8 9; do
    copied logged.db
    at=$((4096 + ($(wc -c <"$last") - 4096) / 10 * part))
    flip "hurt.db${last#logged.db}" $at $part
    payloads_torn "byte $at of a log of payloads flipped"
    copied logged.db
    head -c $at "$last" >"hurt.db${last#logged.db}"
    payloads_torn "a log of payloads cut at $at"
done
holds "flips in durable frames of payloads are found" [ $damaged -ge 3 ]

# ---- damage after a clean close ------------------------------------------------------------------

# What the reader says about damage is what vecstore check says.
"$vecstore" small.db create c --dim 3 --type u8
"$vecstore" small.db import c five.bvecs --labels five.u8 2>err
reads small.db
cp listing whole
flips() { # OFFSET...
    for offset in "$@"; do
        copied small.db
        flip hurt.db "$offset" $((offset % 8))
        vs hurt.db check --level 3
        verdict=$status
        reads --fsck hurt.db
        same "--fsck finds the flipped byte $offset as check does" "$verdict" "$status"
        [ "$status" = 0 ] || found=$((found + 1))
        reads hurt.db
        [ "$status" != 0 ] || holds "no other listing after a flip of byte $offset" cmp listing whole
    done
}
found=0
flips 0 15 16 18 40 48 64 72 80 135 160 200 260 4000 4079 4080 4095
same "every flip in meta page A is found" 17 $found
found=0
flips 65536 65600 65668 69600 69631
same "every flip in meta page B is found" 5 $found
catalog=$(($(u64 small.db 192) % 1099511627776 * 4096)) # the low 40 bits are its page
found=0
flips $catalog $((catalog + 2)) $((catalog + 17)) $((catalog + 2000)) $((catalog + 4095))
same "every flip in the catalog is found" 5 $found
found=0
# shellcheck disable=SC2046 # a number a line
flips $(awk -v end="$(wc -c <small.db)" 'BEGIN { for (at = 131072; at < end; at += 2731) print at }')
holds "most flips elsewhere are found" [ $found -ge 20 ]
flips 32768 32776 40000 100000
copied small.db
flip hurt.db 100 1
reads hurt.db
holds "one valid meta page is enough to read" cmp listing whole
flip hurt.db 65636 1
reads hurt.db
refused "none is not" "meta page"
copied small.db
flip hurt.db $((catalog + 3000)) 1
reads hurt.db
refused "a damaged node is named with both hashes" catalog "page $((catalog / 4096))" "hash: found" expected
head -c $(($(wc -c <small.db) - 4096)) small.db >hurt.db
reads hurt.db
refused "a file that was cut" "truncated"
flip small.db 16 0
flip small.db 65552 0
reads small.db
refused "neither page verifies after their version was changed" "meta page"

# ---- with the logs of a killed session -----------------------------------------------------------

# killed DB FILE: an import by small batches, killed -9 when the file FILE has come and 300 KB are in it.
killed() {
    "$vecstore" "$1" import c big.fvecs --labels big.u8 --batch 20 2>err &
    importer=$!
    tries=0
    while [ $tries -lt 3000 ] && { [ ! -f "$2" ] || [ "$(wc -c <"$2")" -lt 300000 ]; }; do
        kill -0 $importer 2>/dev/null || break
        sleep 0.01
        tries=$((tries + 1))
    done
    kill -9 $importer 2>/dev/null
    wait $importer 2>/dev/null
    holds "an import was killed when $2 was there" [ -f "$2" ]
}

# resumes CLAIM DB: what it has now are the first rows of the file.
resumes() {
    agrees "$1" "$2"
    records=$(grep -c '^record' listing)
    holds "$1: whole batches" [ $((records % 20)) = 0 ]
    vectors_are "$1" 1 big.fvecs 0 "$records"
}
"$makevecs" random fvecs 40000 200 >big.fvecs
head -c 40000 big.fvecs >big.u8
fresh k.db --dim 200
killed k.db k.db-wal-2
resumes "a killed session" k.db
same "its content is in the log alone" "checkpoint 1" "$(head -n 1 listing | cut -d' ' -f1-2)"
killed k.db k.db-wal-3
resumes "two killed sessions" k.db
holds "the log is two files" [ -f k.db-wal-2 ]
cp listing whole

# torn CLAIM: the reader and the shell say the same about damaged logs.
torn() {
    vs hurt.db info --mode json
    verdict=$status
    counted=$(sed -n 's/.*"count":\([0-9]*\).*/\1/p' out)
    reads hurt.db
    same "$1: damage or not, as the shell says" "$verdict" "$status"
    same "$1: as many records as the shell has" "$counted" "$(sed -n 's/^collection .*count=//p' listing)"
}
last=k.db-wal-3
size=$(wc -c <$last)
before=$(wc -c <k.db-wal-2)
for cut in 1 63 64 65 4096 4159 4160 4161 8192 9000 50000; do
    copied k.db
    head -c $((size - cut)) $last >hurt.db-wal-3
    torn "the log cut by $cut bytes"
done
for offset in 0 20 24 45 50 60 70 80 4090 4096 4100 4120 4130 4140 4160 5000 30000 200000; do
    copied k.db
    flip hurt.db-wal-3 "$offset" $((offset % 8))
    torn "byte $offset of the log flipped"
    copied k.db
    flip hurt.db-wal-2 "$offset" $((offset % 8))
    torn "byte $offset of the log file before flipped"
done
for back in 5000 4200 100 70 40 1; do
    copied k.db
    flip hurt.db-wal-3 $((size - back)) 3
    torn "byte $back before the end of the log flipped"
    copied k.db
    flip hurt.db-wal-2 $((before - back)) 3
    torn "byte $back before the end of the log file before flipped"
done
copied k.db
head -c 70000 /dev/zero >>hurt.db-wal-3
reads hurt.db
holds "zeros behind the log are nothing" cmp listing whole
copied k.db
rm hurt.db-wal-2
reads hurt.db
refused "a missing log file" hurt.db-wal-2 VS_ERR_LOG_MISSING
copied k.db
cp k.db-wal-3 hurt.db-wal-4
reads hurt.db
refused "a next log file of another generation" hurt.db-wal-4 "generation: found 3, expected 4"
head -c 5000 /dev/zero >hurt.db-wal-4
reads hurt.db
holds "a next log file without a header is nothing" cmp listing whole
for generation in 1 9; do
    copied k.db
    head -c 100 text.db >hurt.db-wal-$generation
    reads hurt.db
    holds "log file $generation is a leftover" cmp listing whole
done

"$vecstore" k.db import c big.fvecs --labels big.u8 --batch 1000 2>err
agrees "after the import went on to its end" k.db
vectors_are "after the import went on to its end" 1 big.fvecs 0
holds "a clean close leaves no log" [ "$(ls k.db*)" = k.db ]

# Two checkpoints and the log behind both: the first log file went with the checkpoint of create.
fresh two.db --dim 200
killed two.db two.db-wal-3
resumes "a session that was killed after a checkpoint" two.db
holds "... still has the log of the checkpoint before" [ -f two.db-wal-2 ]
cp listing whole
copied two.db
catalog=$(($(u64 two.db 192) % 1099511627776 * 4096))
flip hurt.db $((catalog + 4000)) 2
reads hurt.db
read_well "the checkpoint before is taken when the catalog is damaged"
same "... with the same content" "$(sed 1d whole | cksum)" "$(sed 1d listing | cksum)"
holds "... from another checkpoint" [ "$(head -n 1 whole)" != "$(head -n 1 listing)" ]
torn "a damaged catalog"
reads --fsck hurt.db
refused "--fsck finds the damaged catalog" catalog

# A log with savepoints: operations that were taken back after they had reached it.
# shellcheck disable=SC2086 # CC and CFLAGS may have arguments
if ${CC:-cc} ${CFLAGS:-} -I"$root" -o savepoints "$root/tests/shell/makesavepoints.c" "$build/libvecstore.a" \
    -lzstd -lm -lpthread 2>err; then
    for limit in "" 1; do
        rm -f sp.db*
        # shellcheck disable=SC2086
        holds "a log with savepoints is made" ./savepoints sp.db $limit
        agrees "savepoints in the log, limit '$limit'" sp.db
        same "... what was taken back is not there" "0 1 2 3 4 5 6 7 8 9 10 " \
            "$(sed -n 's/^record 1 \([0-9]*\) .*/\1/p' listing | tr '\n' ' ')"
        same "... notes" 11 "$(grep -c '^note 0 ' listing)"
        copied sp.db
        head -c 9000000 sp.db-wal-1 >hurt.db-wal-1
        reads hurt.db
        same "a transaction with savepoints that was not committed is nothing" "digest $none ok" "$(tail -n 1 listing)"
    done
else
    fail "makesavepoints compiles" "$(cat err)"
fi

# ---- tokens of transactions ----------------------------------------------------------------------

cat >tokens.c <<'C'
/* tokens FILE FROM TO: transactions with these numbers as tokens, one of them large enough to go to the log early; ends
 * without closing. */
#include "vecstore.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv) {
    static char text[1000000];
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    vs_txn *txn = NULL;
    char token[20];
    long last = argc > 3 ? atol(argv[3]) : 0;
    options.flags = VS_OPEN_CREATE;
    vs_status st = vs_open(argv[1], &options, &db);
    for (long i = last ? atol(argv[2]) : 0; st == VS_OK && i < last; i++) {
        size_t bytes = (size_t)snprintf(token, sizeof token, "token %ld", i);
        st = vs_begin(db, VS_TXN_WRITE, &txn);
        if (st == VS_OK)
            st = vs_txn_token(txn, token, bytes, NULL);
        for (char k = 0; st == VS_OK && i == 3 && k < 3; k++)
            st = vs_kv_put(db, txn, NULL, &k, 1, text, sizeof text);
        if (st == VS_OK)
            st = vs_commit(txn, VS_SYNC_OFF);
    }
    if (st != VS_OK)
        fprintf(stderr, "%s\n", vs_errmsg(db));
    _exit(st);
}
C
# shellcheck disable=SC2086 # CC and CFLAGS may have arguments
holds "the program that writes tokens compiles" \
    ${CC:-cc} ${CFLAGS:-} -D_POSIX_C_SOURCE=200809L -I"$root" -o tokens tokens.c "$build/libvecstore.a" -lzstd -lm \
    -lpthread
holds "tokens are written" ./tokens tok.db 0 40
agrees "tokens in the log" tok.db
same "each token is there, and its place" "40 41" \
    "$(grep -c '^note 4294967295 ' listing) $(grep -c '^note 4294967294 ' listing)"
holds "more tokens than are kept are written" ./tokens tok.db 40 65543
vs tok.db checkpoint
agrees "tokens that were forgotten" tok.db
same "the newest are there" "65536 65537" \
    "$(grep -c '^note 4294967295 ' listing) $(grep -c '^note 4294967294 ' listing)"
same "the oldest are not" "0 1" "$(grep -c "^note 4294967295 $(printf 'token 6' | od -An -tx1 | tr -d ' ') " listing) $(
    grep -c "^note 4294967295 $(printf 'token 7' | od -An -tx1 | tr -d ' ') " listing)"
vs tok.db check --level 3
says "a database with tokens has no damage"

# ---- collections that are dropped ----------------------------------------------------------------

cat >drops.c <<'C'
/* drops FILE STEP: collections with everything that one can have come and go; a step leaves what it did in the
 * log, a step that ends with a checkpoint leaves none. */
#define _POSIX_C_SOURCE 200809L
#include "vecstore.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static vs_db *db;
static vs_txn *txn;
static vs_status st = VS_OK;
static void then(vs_status next) {
    st = st == VS_OK ? next : st;
}
static vs_collection *open_coll(const char *name) {
    vs_collection *c = NULL;
    if (st == VS_OK)
        st = vs_collection_open(db, txn, name, &c);
    return c;
}
static void make(const char *name, const char *alias) {
    static char text[70000];
    vs_collection_options shape = VS_COLLECTION_OPTIONS_INIT;
    vs_collection *c = NULL;
    shape.dim = 3;
    then(vs_collection_create(db, txn, name, &shape, &c));
    for (unsigned i = 0; st == VS_OK && i < 700; i++) {
        float v[3] = {(float)i, 1, (float)strlen(name)};
        vs_record r = VS_RECORD_INIT;
        r.key = vs_key_u64(i);
        r.vector = v;
        r.metadata = i % 3 ? NULL : "{\"a\":1}";
        r.metadata_bytes = i % 3 ? 0 : 7;
        then(vs_put(c, txn, &r, VS_INSERT));
    }
    memset(text, 'p', sizeof text);
    for (unsigned i = 0; st == VS_OK && i < 5; i++) {
        then(vs_payload_write(c, txn, vs_key_u64(i), 0, text, 14000 * (i + 1)));
        then(vs_kv_put(db, txn, c, &i, sizeof i, text, 1000 * i));
    }
    then(vs_alias_set(db, txn, alias, c));
    then(vs_collection_set_limits(c, txn, 1000, 0));
    vs_collection_close(c);
}
static void drop(const char *name) {
    vs_collection *c = open_coll(name);
    then(vs_collection_drop(c, txn));
    vs_collection_close(c);
}
static void copy(const char *name, const char *to) {
    vs_collection *c = open_coll(name);
    then(vs_collection_copy(c, txn, to, NULL));
    vs_collection_close(c);
}
int main(int argc, char **argv) {
    int step = argc > 2 ? atoi(argv[2]) : 0;
    uint32_t point = 0;
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    options.flags = VS_OPEN_CREATE;
    options.sync = VS_SYNC_OFF;
    st = vs_open(argv[1], &options, &db);
    if (step == 1) { /* made and dropped in the log */
        make("stays", "s");
        make("goes", "g");
        drop("goes");
        then(vs_begin(db, VS_TXN_WRITE, &txn));
        make("brief", "b");
        drop("brief");
        make("brief", "b");
        copy("brief", "copy of brief");
        drop("brief");
        then(vs_commit(txn, VS_SYNC_FULL));
        txn = NULL;
    } else if (step == 2) { /* what the checkpoint has is dropped in the log, once taken back */
        then(vs_checkpoint(db));
        then(vs_begin(db, VS_TXN_WRITE, &txn));
        then(vs_savepoint(txn, &point));
        drop("copy of brief");
        then(vs_rollback_to(txn, point));
        drop("stays");
        make("stays", "s");
        drop("stays");
        then(vs_commit(txn, VS_SYNC_FULL));
        txn = NULL;
    } else if (step == 3) {
        then(vs_checkpoint(db));
    } else if (step == 4) { /* nothing is left */
        drop("copy of brief");
        then(vs_checkpoint(db));
        then(vs_checkpoint(db));
    }
    if (st != VS_OK)
        fprintf(stderr, "%s\n", vs_errmsg(db));
    _exit(st);
}
C
# shellcheck disable=SC2086 # CC and CFLAGS may have arguments
holds "the program that drops collections compiles" \
    ${CC:-cc} ${CFLAGS:-} -I"$root" -o drops drops.c "$build/libvecstore.a" -lzstd -lm -lpthread
has_only() { # CLAIM IDS RECORDS NOTES
    same "$1: what is left" "$2$3 $4" \
        "$(sed -n 's/^collection \([0-9]*\) .*/\1/p' listing | tr '\n' ' ')$(grep -c '^record' listing) $(grep -c '^note' listing)"
}
holds "collections are dropped" ./drops drop.db 1
agrees "drops in the log" drop.db
has_only "drops in the log" "1 5 " 1400 10
holds "a collection of the checkpoint is dropped" ./drops drop.db 2
agrees "a drop behind a checkpoint" drop.db
has_only "a drop behind a checkpoint" "5 " 700 5
holds "a checkpoint after drops is made" ./drops drop.db 3
agrees "a checkpoint after drops" drop.db
has_only "a checkpoint after drops" "5 " 700 5
holds "the last collection is dropped" ./drops drop.db 4
agrees "all collections dropped" drop.db
has_only "all collections dropped" "" 0 0
same "all collections dropped: the digest is that of nothing" "digest $none ok" "$(tail -n 1 listing)"
vs drop.db check --level 3
says "a database whose collections were dropped has no damage"
vs drop.db create another --dim 2
agrees "a collection after all were dropped" drop.db
same "a collection after all were dropped: its id is new" 1 "$(grep -c '^collection 7 another' listing)"

# What vs_serialize gives of a database is one file, and all of it is as the document has it.
serializes() { # CLAIM DB
    rm -f ser.db*
    reads "$2"
    sed 1d listing >whole
    holds "$1: it serializes" ./serialized "$2" ser.db
    agrees "$1, serialized" ser.db
    sed 1d listing >part
    holds "$1, serialized: the same content" cmp whole part
}
# shellcheck disable=SC2086 # as above
if ${CC:-cc} ${CFLAGS:-} -I"$root" -o serialized "$root/tests/shell/makeserialized.c" "$build/libvecstore.a" \
    -lzstd -lm -lpthread 2>err; then
    serializes "types, metrics, labels and names" all.db
    serializes "savepoints in the log" sp.db
    serializes "two checkpoints and a log" two.db
    copied two.db
    flip hurt.db $((catalog + 4000)) 2
    serializes "the checkpoint before, when the catalog is damaged" hurt.db
    cp k.db closed.db
    serializes "a closed database" closed.db
    holds "a closed database serializes to its bytes" cmp closed.db ser.db
else
    fail "makeserialized compiles" "$(cat err)"
fi

finish

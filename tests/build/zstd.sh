#!/bin/sh
# zstd.sh - a library built with OMIT_ZSTD=1: it passes the tests of the interface, links without zstd,
# refuses a database that has compressed values by name, and each build reads what the other one wrote.
set -u
. tests/build/lib.sh
plain=$scratch/plain

cat >"$scratch/store.c" <<'C'
/* store FILE write BYTES | store FILE read BYTES: a note of so many letters. */
#include "vecstore.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(int argc, char **argv) {
    static char value[100000], found[100000];
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    size_t bytes = argc > 3 ? (size_t)atol(argv[3]) : 0, got = 0;
    memset(value, 'a', sizeof value);
    options.flags = VS_OPEN_CREATE;
    vs_status st = vs_open(argv[1], &options, &db);
    if (st == VS_OK && !strcmp(argv[2], "write"))
        st = vs_kv_put(db, NULL, NULL, "k", 1, value, bytes);
    else if (st == VS_OK)
        st = vs_kv_get(db, NULL, NULL, "k", 1, found, sizeof found, &got);
    printf("%s %s\n", vs_status_name(st), st ? vs_errmsg(db) : "");
    if (st == VS_OK && !strcmp(argv[2], "read") && (got != bytes || memcmp(found, value, bytes)))
        st = VS_ERR_CORRUPT;
    vs_status closed = vs_close(db);
    return st || closed;
}
C

check "the library and tests of its interface build without zstd" \
    "make -s BUILD='$plain' CFLAGS=-O1 OMIT_ZSTD=1 JOBS=1 '$plain/libvecstore.a' '$plain/vecstore' \
        '$plain/tests/api-compression' '$plain/tests/api-checkpoint-debug' '$plain/tests/api-notes-debug'"
for test in api-compression api-checkpoint-debug api-notes-debug; do
    check "without zstd $test passes" "'$plain/tests/$test' | tail -n 1 | grep -q ' 0 failed, 0 skipped'"
done
check "a compressed file is refused by its shell, with the reason" \
    "'$plain/vecstore' '$scratch/x.vs' create c --dim 784 --type u8 &&
     '$plain/vecstore' '$scratch/x.vs' import c examples/data/base.bvecs.zst 2>&1 | grep -q 'VS_OMIT_ZSTD'"
check "nothing of zstd is left in the object" "! nm '$plain/vecstore.o' | grep ZSTD_"
check "its pkg-config file does not name zstd, the other's does" \
    "make -s install BUILD='$plain' CFLAGS=-O1 OMIT_ZSTD=1 DESTDIR='$scratch/p' PREFIX=/usr &&
     make -s install BUILD='$BUILD' DESTDIR='$scratch/z' PREFIX=/usr &&
     ! grep zstd '$scratch/p/usr/lib/pkgconfig/vecstore.pc' &&
     grep -q '^Libs.private: -lzstd -lm' '$scratch/z/usr/lib/pkgconfig/vecstore.pc'"

check "a program links with either library" \
    "$CC $CFLAGS -I. -o '$scratch/with' '$scratch/store.c' '$BUILD/libvecstore.a' -lzstd -lm -lpthread &&
     $CC $CFLAGS -I. -o '$scratch/without' '$scratch/store.c' '$plain/libvecstore.a' -lm -lpthread"
check "without zstd a value is written and read, and read with it" \
    "'$scratch/without' '$scratch/a.vs' write 40000 && '$scratch/without' '$scratch/a.vs' read 40000 &&
     '$scratch/with' '$scratch/a.vs' read 40000"
check "what zstd did not touch is read without it" \
    "'$scratch/with' '$scratch/b.vs' write 3000 && '$scratch/without' '$scratch/b.vs' read 3000"
check "the same value takes less of a file with zstd" \
    "'$scratch/with' '$scratch/c.vs' write 90000 && '$scratch/with' '$scratch/c.vs' read 90000 &&
     [ \$(wc -c <'$scratch/c.vs') -lt 180000 ]"
cp "$scratch/c.vs" "$scratch/before.vs"
"$scratch/without" "$scratch/c.vs" read 90000 >"$scratch/said"
check "a build without zstd refuses a database that needs it, by name" \
    "cat '$scratch/said'; grep -q '^VS_ERR_UNSUPPORTED .*c.vs.* zstd' '$scratch/said'"
check "its shell refuses it as well, and nothing has changed" \
    "! '$plain/vecstore' '$scratch/c.vs' check 2>'$scratch/said' && grep -q zstd '$scratch/said' &&
     cmp '$scratch/c.vs' '$scratch/before.vs'"

finish build-zstd

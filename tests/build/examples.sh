#!/bin/sh
# examples.sh - the README's program is examples/hello.c; every example compiles without a warning and
# runs; an installed library is found by pkg-config's flags.
set -u
. tests/build/lib.sh
here=$(pwd)

sed -n '/^```c$/,/^```$/p' README.md | sed '1d;$d' >"$scratch/readme.c"
check "the README shows examples/hello.c" "cmp '$scratch/readme.c' examples/hello.c"

for example in examples/*.c; do
    name=$(basename "$example" .c)
    check "$name compiles" "$CC -std=c11 -Wall -Wextra -Wpedantic -Werror $CFLAGS -I. \
        -o '$scratch/$name' $example vecstore.c -lzstd -lm -lpthread"
    check "$name runs" "cd '$scratch' && ./$name"
    check "$name runs again on what it left" "cd '$scratch' && ./$name"
done
check "hello finds red" "[ \"\$(cd '$scratch' && ./hello)\" = '{\"name\":\"red\"}' ]"

root=$scratch/root
check "make install" "make -s install BUILD='$BUILD' DESTDIR='$root' PREFIX=/usr"
check "installs the shell and its manual, the header, both libraries and the pkg-config file" \
    "[ -x '$root/usr/bin/vecstore' ] && [ -f '$root/usr/share/man/man1/vecstore.1' ] && [ -f '$root/usr/include/vecstore.h' ] &&
     [ -f '$root/usr/lib/libvecstore.a' ] && [ -f '$root/usr/lib/libvecstore.so.0' ] &&
     grep -q '^Version: 0.1.0' '$root/usr/lib/pkgconfig/vecstore.pc'"
check "a program links with the installed shared library" \
    "$CC $CFLAGS -I'$root/usr/include' -o '$scratch/shared' '$here/examples/hello.c' \
     -L'$root/usr/lib' -lvecstore && cd '$scratch' && LD_LIBRARY_PATH='$root/usr/lib' ./shared"
check "the shared library exports only vs_ names" \
    "! nm -D --defined-only '$root/usr/lib/libvecstore.so.0' | grep -v ' vs_'"
check "a shell without zstd builds and says so" \
    "make -s BUILD='$scratch/nozstd' CFLAGS=-O0 OMIT_ZSTD=1 '$scratch/nozstd/vecstore' &&
     '$scratch/nozstd/vecstore' '$scratch/x.vs' create c --dim 784 --type u8 &&
     '$scratch/nozstd/vecstore' '$scratch/x.vs' import c examples/data/base.bvecs.zst 2>&1 |
         grep -q 'VS_OMIT_ZSTD'"

finish build-examples

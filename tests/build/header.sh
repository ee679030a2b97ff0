#!/bin/sh
# header.sh - vecstore.h in every language that includes it, vecstore.c with every switch, and that the
# header documents what it declares and the library defines it.
set -u
. tests/build/lib.sh
warn="-Wall -Wextra -Wpedantic -Werror"
cat >"$scratch/use.c" <<'C'
#include "vecstore.h"
int main(void) {
    return vs_version_number() == VS_VERSION_NUMBER ? 0 : 1;
}
C
cp "$scratch/use.c" "$scratch/use.cc"

for compiler in "$CC" gcc clang; do
    command -v "${compiler%% *}" >/dev/null || continue
    for std in c99 c11 c17; do
        check "$compiler reads the header as $std" \
            "$compiler -std=$std $warn -I. -c -o '$scratch/use.o' '$scratch/use.c'"
    done
done
for compiler in g++ clang++; do
    command -v $compiler >/dev/null || continue
    for std in c++11 c++17; do
        check "$compiler reads the header as $std" \
            "$compiler -std=$std $warn -I. -c -o '$scratch/use.o' '$scratch/use.cc'"
    done
    check "a program of $compiler links and runs" \
        "$compiler -std=c++11 -I. -c -o '$scratch/use.o' '$scratch/use.cc' &&
         $CC $CFLAGS -o '$scratch/use' '$scratch/use.o' '$BUILD/libvecstore.a' -lm -lpthread &&
         '$scratch/use'"
done

check "bare cc -O2 -c vecstore.c compiles without a word" \
    "cc -O2 -c vecstore.c -o '$scratch/bare.o' && [ ! -s '$scratch/check.log' ]"
for switches in "-std=gnu17 -O3" "-std=c17 -Os" -DVS_OMIT_ZSTD -DVS_THREADSAFE=0; do
    check "vecstore.c with $switches" \
        "$CC $warn $switches -c vecstore.c -o '$scratch/switches.o'"
done
if echo 'int main(void){return 0;}' | $CC -m32 -x c - -o "$scratch/m32" 2>/dev/null; then
    check "vecstore.c with -m32" "$CC $warn -m32 -O2 -c vecstore.c -o '$scratch/m32.o'"
fi
check "a build for one thread runs" \
    "$CC -O1 -DVS_THREADSAFE=0 -I. -o '$scratch/hello' examples/hello.c vecstore.c -lm &&
     (cd '$scratch' && ./hello)"
check "the library folds into one file of the program" \
    "printf '#define VS_API static\n#include \"vecstore.c\"\nint main(void) { return vs_version_number() != VS_VERSION_NUMBER; }\n' \
         >'$scratch/one.c' &&
     $CC -O1 -I. -Wno-unused-function -o '$scratch/one' '$scratch/one.c' -lm -lpthread && '$scratch/one'"

# ---- what is declared ----------------------------------------------------------------------------

sed -n 's/^\(VS_NODISCARD \)\{0,1\}VS_API .*[ *]\(vs_[a-z0-9_]*\)(.*/\2/p' vecstore.h | sort >"$scratch/declared"
check "functions are found in the header" "[ \$(wc -l <'$scratch/declared') -gt 30 ]"
nm -g --defined-only "$BUILD/vecstore.o" | sed -n 's/.* \(vs_[a-z0-9_]*\)$/\1/p' | sort >"$scratch/defined"
check "every declared function is defined, and no other one is public" \
    "diff '$scratch/declared' '$scratch/defined'"
while read -r name; do
    awk -v name="$name" '/^\/\* / { text = "" } { text = text $0 "\n" }
        $0 ~ "[ *]" name "\\(" && /VS_API/ { print text; exit }' vecstore.h >"$scratch/doc"
    check "$name is documented with its errors and threads" \
        "grep -q '^/\\* $name - ' '$scratch/doc' && grep -q 'Errors:\\|Returns' '$scratch/doc' &&
         grep -q 'Threads:' '$scratch/doc'"
done <"$scratch/declared"

version=$(sed -n 's/^#define VS_VERSION *"\(.*\)"$/\1/p' vecstore.h)
check "the Makefile has the header's version" "grep -q '^VERSION *:= $version\$' Makefile"
check "the change log begins with the header's version" \
    "grep -m1 '^## ' CHANGELOG.md | grep -q '^## $version'"
check "VS_VERSION_NUMBER says the same" \
    "[ \$(sed -n 's/^#define VS_VERSION_NUMBER *\\([0-9]*\\).*/\\1/p' vecstore.h) = \
       \$(echo $version | awk -F. '{ print \$1 * 1000000 + \$2 * 1000 + \$3 }') ]"

finish build-header

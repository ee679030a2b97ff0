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

# One name of each compiler: cc is often gcc. Without LONG=1 the build's own: CI builds with both.
others="gcc clang"
[ -n "${LONG:-}" ] || others=""
compilers=$(for compiler in "$CC" $others; do
    command -v "${compiler%% *}" >/dev/null && echo "$($compiler --version | sed 's/^[^ ]* //; q')|$compiler"
done | awk -F'|' '!seen[$1]++ { print $2 }')
each_compiler() { # FUNCTION: called with each compiler, which may have arguments
    while read -r compiler; do "$1" "$compiler"; done <<LIST
$compilers
LIST
}
reads_header() {
    for std in c99 c11 c17; do
        check "$1 reads the header as $std" \
            "$1 -std=$std $warn -I. -c -o '$scratch/use.o' '$scratch/use.c'"
    done
}
each_compiler reads_header
for compiler in g++ clang++; do
    command -v $compiler >/dev/null || continue
    for std in c++11 c++17; do
        check "$compiler reads the header as $std" \
            "$compiler -std=$std $warn -I. -c -o '$scratch/use.o' '$scratch/use.cc'"
    done
    check "a program of $compiler links and runs" \
        "$compiler -std=c++11 -I. -c -o '$scratch/use.o' '$scratch/use.cc' &&
         $CC $CFLAGS -o '$scratch/use' '$scratch/use.o' '$BUILD/libvecstore.a' -lzstd -lm -lpthread &&
         '$scratch/use'"
done

check "bare cc -O2 -c vecstore.c compiles without a word" \
    "cc -O2 -c vecstore.c -o '$scratch/bare.o' && [ ! -s '$scratch/check.log' ]"
check "as C++ it says what is wrong" \
    "! c++ -x c++ -c vecstore.c -o '$scratch/bare.o' 2>'$scratch/words' && grep -q 'compile it as C' '$scratch/words'"
echo '#include <stdio.h>' >"$scratch/m32.c"
m32="-m32 -idirafter /usr/include/x86_64-linux-gnu" # asm/errno.h
if $CC $m32 -c "$scratch/m32.c" -o "$scratch/m32.o" 2>/dev/null; then
    check "vecstore.c with -m32" "$CC $warn -Wconversion $m32 -O2 -c vecstore.c -o '$scratch/m32.o'"
else
    skipped=$((skipped + 1))
    echo "skipped build-header: vecstore.c with -m32: $CC has no 32-bit headers here"
fi
check "the library folds into one file of the program" \
    "printf '#define VS_API static\n#include \"vecstore.c\"\nint main(void) { return vs_version_number() != VS_VERSION_NUMBER; }\n' \
         >'$scratch/one.c' &&
     $CC -O0 -I. -Wno-unused-function -o '$scratch/one' '$scratch/one.c' -lzstd -lm -lpthread && '$scratch/one'"

# ---- what an object file has ---------------------------------------------------------------------

# Sections that a running program may write to. Tables of addresses are written by the loader alone.
writable() { # OBJECT
    readelf -SW "$1" | sed 's/^ *\[ *[0-9]*\]//' |
        awk '$5 !~ /^0+$/ && $7 ~ /W/ && $1 !~ /^\.data\.rel\.ro(\.|$)/ { print $1, $5 }'
    nm "$1" | grep ' C ' # common symbols have no section
}
# Memory, strings, files, clocks, locks; a compiler may write malloc, calloc or strcpy by itself.
allowed="__errno_location __stack_chk_fail __xpg_strerror_r bcmp calloc clock_gettime close fchmod fchown
    fcntl fcntl64 fdatasync free fstat fstat64 fsync ftruncate ftruncate64 geteuid getpid malloc memchr
    madvise memcmp memcpy memmove memset mmap mmap64 munmap open open64 posix_fallocate posix_fallocate64 pread
    pread64 pwrite pwrite64 read readlink realloc realpath snprintf sqrt stat stat64 strchr strcmp strcpy
    strlen strrchr strstr syscall sysconf unlink vsnprintf _GLOBAL_OFFSET_TABLE_
    pthread_cond_broadcast pthread_cond_destroy pthread_cond_init pthread_cond_timedwait pthread_cond_wait
    pthread_condattr_destroy pthread_condattr_init pthread_condattr_setclock pthread_mutex_destroy
    pthread_mutex_init pthread_mutex_lock pthread_mutex_unlock"
zstd="ZSTD_CCtx_setParameter ZSTD_compress2 ZSTD_createCCtx_advanced ZSTD_createDCtx_advanced
    ZSTD_decompressDCtx ZSTD_findFrameCompressedSize ZSTD_freeCCtx ZSTD_freeDCtx ZSTD_getErrorName
    ZSTD_getFrameContentSize ZSTD_isError"
# shellcheck disable=SC2086 # a word a line
printf '%s\n' $allowed $zstd | sort >"$scratch/allowed"
unexpected() { # OBJECT: symbols that it needs and the list has not
    nm -u "$1" | awk '{ print $2 }' | sed 's/@.*//' | sort -u | comm -23 - "$scratch/allowed"
}
object_is_clean() { # NAME OBJECT
    check "$1 has no writable data" "writable '$2' >'$scratch/w'; cat '$scratch/w'; [ ! -s '$scratch/w' ]"
    check "$1 needs nothing beyond the listed functions" \
        "unexpected '$2' >'$scratch/u'; cat '$scratch/u'; [ ! -s '$scratch/u' ]"
}
compiles_library() {
    for switches in -O0 "-std=gnu17 -O1 -fPIC" "-std=c17 -Os" -DVS_OMIT_ZSTD -DVS_THREADSAFE=0; do
        check "$1 compiles vecstore.c with $switches" \
            "$1 $warn $switches -c vecstore.c -o '$scratch/switches.o'"
        object_is_clean "$1 $switches: the object" "$scratch/switches.o"
        [ "$switches" != -DVS_OMIT_ZSTD ] ||
            check "$1 $switches: nothing of zstd is left" "! nm '$scratch/switches.o' | grep -i zstd_"
        [ "$switches" != -DVS_THREADSAFE=0 ] ||
            check "$1 $switches: a program for one thread links and runs" \
                "$1 $switches -I. -o '$scratch/hello' examples/hello.c '$scratch/switches.o' -lzstd -lm &&
                 (cd '$scratch' && ./hello)"
    done
}
each_compiler compiles_library
object_is_clean "vecstore.o of the build" "$BUILD/vecstore.o"
object_is_clean "the object of bare cc -O2" "$scratch/bare.o"
for line in "int counter = 1;" "static int zero; int *at(void) { return &zero; }" \
    "extern int other; int *place = &other;"; do
    echo "$line" >"$scratch/dirty.c"
    check "writable data would be seen: $line" \
        "$CC -fPIC -c '$scratch/dirty.c' -o '$scratch/dirty.o' && writable '$scratch/dirty.o' | grep ."
done
printf 'int printf(const char *, ...); void f(void) { printf("%%d", 1); }\n' >"$scratch/dirty.c"
$CC -c "$scratch/dirty.c" -o "$scratch/dirty.o"
check "a function beyond the list would be seen" "[ \"\$(unexpected '$scratch/dirty.o')\" = printf ]"
check "the library links with zstd, libc, libm and pthread, and nothing is left open" \
    "$CC -shared -Wl,-z,defs -o '$scratch/closed.so' '$BUILD/vecstore.o' -lzstd -lm -lpthread"

# ---- what is declared ----------------------------------------------------------------------------

sed -n 's/^\(VS_NODISCARD \)\{0,1\}VS_API .*[ *]\(vs_[a-z0-9_]*\)(.*/\2/p' vecstore.h | sort >"$scratch/declared"
check "each VS_API of the header declares a function that is found" \
    "[ \$(wc -l <'$scratch/declared') = \$(grep -cE '^(VS_NODISCARD )?VS_API ' vecstore.h) ] &&
     [ -s '$scratch/declared' ]"
nm -g --defined-only "$BUILD/vecstore.o" | awk '{ print $3 }' | sort >"$scratch/defined"
check "every declared function is defined, and nothing else is public" \
    "diff '$scratch/declared' '$scratch/defined'"
# What the comment above each function of a header lacks of the form that all have: its name first, each
# parameter as a row of its own or as the [size] of another, its errors, its threads. Prints a line for each.
undocumented() { # HEADER
    awk '
    function rows_name(parameter,    i, head) {
        for (i = 1; i <= rows; i++) {
            head = row[i]
            sub(/  .*/, "", head)
            if (("," head ",") ~ "[, ]" parameter "," || row[i] ~ "\\[([^]]*[^]a-z0-9_])?" parameter "([^]a-z0-9_][^]]*)?\\]")
                return 1
        }
        return 0
    }
    function judge(declaration,    name, list, n, i, parameter) {
        name = declaration
        sub(/\(.*/, "", name)
        sub(/.*[ *]/, "", name)
        if (index(comment, "/* " name " - ") != 1)
            print name ": the comment does not begin with its name"
        if (comment !~ /[ .]Errors: /)
            print name ": no Errors:"
        if (comment !~ /[ .]Threads: /)
            print name ": no Threads:"
        sub(/^[^(]*\(/, "", declaration)
        sub(/\);.*/, "", declaration)
        n = declaration == "void" ? 0 : split(declaration, list, ",")
        for (i = 1; i <= n; i++) {
            parameter = list[i]
            sub(/.*[ *]/, "", parameter)
            if (!rows_name(parameter))
                print name ": no word about " parameter
        }
    }
    /^\/\* / { comment = ""; rows = 0; in_comment = 1 }
    in_comment {
        comment = comment $0 " "
        if (/^ \*   [a-z]/)
            row[++rows] = substr($0, 6)
        if (/\*\//)
            in_comment = 0
        next
    }
    /^(VS_NODISCARD )?VS_API / { declaration = ""; is_open = 1 }
    is_open {
        declaration = declaration " " $0
        if (/;/) {
            gsub(/ +/, " ", declaration)
            judge(declaration)
            comment = ""
            rows = is_open = 0
        }
    }' "$1"
}
check "each function is documented: every parameter, errors, threads" \
    "undocumented vecstore.h >'$scratch/lacking'; cat '$scratch/lacking'; [ ! -s '$scratch/lacking' ]"
cat >"$scratch/lacking.h" <<'C'
/* vs_all - what has all.
 *
 *   from, to   two
 *   out        [room] many; a line that goes on
 *              below
 *
 * Errors: none.  Threads: any. */
VS_NODISCARD VS_API vs_status vs_all(const void *from, void *to, char *out,
                                     size_t room);

/* vs_some - what lacks the second one, although its name is in the text.
 *
 *   from   one
 *
 * Errors: VS_ERR_INVALID (to).
 * Threads: any. */
VS_API int vs_some(const void *from, int to);

/* vs_silent - nothing else.
 *
 *   a   one
 *
 * Returns 0. */
VS_API int vs_silent(int a);

VS_API int vs_bare(void);
C
printf '%s\n' "vs_some: no word about to" "vs_silent: no Errors:" "vs_silent: no Threads:" \
    "vs_bare: the comment does not begin with its name" "vs_bare: no Errors:" "vs_bare: no Threads:" \
    >"$scratch/expected"
check "what a comment lacks would be seen" "undocumented '$scratch/lacking.h' | diff '$scratch/expected' -"

# Calls in the tests of the interface: everywhere, and wrong ones.
never_called() { # FUNCTIONS FILE...: those of a list that no file calls
    list=$1
    shift
    while read -r name; do
        grep -qE "(^|[^a-z0-9_])$name\(" "$@" || echo "$name"
    done <"$list"
}
check "tests/api calls every function" \
    "never_called '$scratch/declared' tests/api/*.c >'$scratch/n'; cat '$scratch/n'; [ ! -s '$scratch/n' ]"
check "tests/api/misuse.c calls every function" \
    "never_called '$scratch/declared' tests/api/misuse.c >'$scratch/n'; cat '$scratch/n'; [ ! -s '$scratch/n' ]"
printf '%s\n' vs_get vs_get_vectors vs_put >"$scratch/list"
echo "x = vs_get_vectors(1) + my_vs_put(2) + vs_get + vs_put;" >"$scratch/calls.c"
check "a function that is not called would be seen" \
    "[ \"\$(never_called '$scratch/list' '$scratch/calls.c' | xargs)\" = 'vs_get vs_put' ]"

version=$(sed -n 's/^#define VS_VERSION *"\(.*\)"$/\1/p' vecstore.h)
check "the Makefile has the header's version" "grep -q '^VERSION *:= $version\$' Makefile"
check "the change log begins with the header's version" \
    "grep -m1 '^## ' CHANGELOG.md | grep -q '^## $version'"
check "VS_VERSION_NUMBER says the same" \
    "[ \$(sed -n 's/^#define VS_VERSION_NUMBER *\\([0-9]*\\).*/\\1/p' vecstore.h) = \
       \$(echo $version | awk -F. '{ print \$1 * 1000000 + \$2 * 1000 + \$3 }') ]"

finish build-header

#!/bin/sh
# docs.sh - docs/API.md names every public function and its pieces of C run, docs/ERRORS.md has every
# status; no page speaks of a name that the header lacks.
set -u
. tests/build/lib.sh

$CC -E -DVS_API='' vecstore.h | grep -oE '\bvs_[a-z0-9_]+\(' | tr -d '(' | sort -u >"$scratch/functions"
sed -n '/^typedef int vs_status;/,/^};/p' vecstore.h | grep -oE '^ *VS_[A-Z0-9_]+ =' | tr -d ' =' | sort \
    >"$scratch/statuses"
grep -oE '\b(vs|VS)_[A-Za-z0-9_]+' vecstore.h | sort -u >"$scratch/names"

# The names of a list that a page does not have in `...`, alone or with something behind.
unnamed() { # LIST PAGE
    grep -oE '`[^`]*`' "$2" | grep -oE '\b(vs|VS)_[A-Za-z0-9_]+' | sort -u | comm -23 "$1" -
}
unknown() { # PAGE: names in it that the header lacks
    grep -oE '\b(vs|VS)_[A-Za-z0-9_]+' "$1" | grep -v '_$' | sort -u | comm -23 - "$scratch/names"
}
nothing() { # the output of a command must be none; it is printed
    "$@" >"$scratch/lines"
    cat "$scratch/lines"
    [ ! -s "$scratch/lines" ]
}

check "the header has functions and statuses" \
    "[ \$(wc -l <'$scratch/functions') -ge 60 ] && [ \$(wc -l <'$scratch/statuses') -ge 30 ]"
check "API.md names every public function" "nothing unnamed '$scratch/functions' docs/API.md"
check "ERRORS.md has every status" "nothing unnamed '$scratch/statuses' docs/ERRORS.md"
sed 's/`vs_get`//g; s/`VS_ERR_BUSY`//g' docs/API.md docs/ERRORS.md >"$scratch/lacking.md"
check "a function that is not named would be seen" \
    "[ \"\$(unnamed '$scratch/functions' '$scratch/lacking.md')\" = vs_get ]"
check "a status that is not there would be seen" \
    "[ \"\$(unnamed '$scratch/statuses' '$scratch/lacking.md')\" = VS_ERR_BUSY ]"
for page in README.md docs/API.md docs/ERRORS.md docs/DURABILITY.md docs/THREADS.md; do
    check "$page speaks of no name that the header lacks" "nothing unknown $page"
done
echo 'vs_open vs_opne VS_OK VS_ERR_NONE' >"$scratch/wrong.md"
check "a name that the header lacks would be seen" \
    "[ \"\$(unknown '$scratch/wrong.md' | xargs)\" = 'VS_ERR_NONE vs_opne' ]"
for page in $(grep -ohE '\b[A-Z]+\.md\b|\b(docs|examples|bench)/[A-Za-z0-9_./]+\.[a-z]+\b' README.md docs/API.md \
    docs/ERRORS.md docs/DURABILITY.md docs/THREADS.md | sort -u); do
    check "$page, which a page names, is there" "[ -e '$page' ] || [ -e 'docs/$page' ]"
done

# The first piece of C stands outside of main, the others within.
awk '/^```c$/ { n++; is_code = 1; if (n == 2) print "int main(void) {"; next }
     /^```$/ { is_code = 0 } is_code { print } END { print "}" }' docs/API.md >"$scratch/api.c"
check "the pieces of API.md make a program" "$CC -std=c11 -Wall -Wextra -Wpedantic -Werror $CFLAGS -I. \
    -o '$scratch/api' '$scratch/api.c' '$BUILD/libvecstore.a' -lzstd -lm -lpthread"
check "which runs" "cd '$scratch' && ./api && [ -f api.vs ]"
check "and runs again on what it left" "cd '$scratch' && ./api"

finish build-docs

#!/bin/sh
# amalgamate.sh - the generator refuses what breaks the rules of the layers, with file and line, and is
# deterministic and local.
set -u
. tests/build/lib.sh
generator=$BUILD/amalgamate

# A small tree that is right; each test breaks one thing in it.
fresh_tree() {
    rm -rf "$scratch/t"
    mkdir -p "$scratch/t/src/low" "$scratch/t/src/high"
    printf 'layer low\nmodule port system *\nmodule bits\nlayer high uses low\nmodule top\n' \
        >"$scratch/t/manifest"
    printf '#include <stdio.h>\n' >"$scratch/t/src/low/port.h"
    printf '#include "low/port.h"\nint bits(void);\n' >"$scratch/t/src/low/bits.h"
    printf '#include "low/bits.h"\nint bits(void) {\n    return 1;\n}\n' >"$scratch/t/src/low/bits.c"
    printf '#include "low/bits.h"\nint top(void) {\n    return bits();\n}\n' >"$scratch/t/src/high/top.c"
}

refuses() { # NAME PATTERN: the generator fails and says PATTERN
    "$generator" "$scratch/t" "$scratch/out.c" >"$scratch/log" 2>&1
    status=$?
    check "$1" "[ $status != 0 ] && grep -q '$2' '$scratch/log'"
}

fresh_tree
check "accepts a sound tree" "'$generator' '$scratch/t' '$scratch/out.c'"
"$generator" "$scratch/t" "$scratch/out2.c"
check "gives the same bytes again" "cmp -s '$scratch/out.c' '$scratch/out2.c'"
check "its output compiles" "$CC -c -o '$scratch/out.o' '$scratch/out.c'"
sed -i 's/return 1/return 2/' "$scratch/t/src/low/bits.c"
"$generator" "$scratch/t" "$scratch/out2.c"
check "changes one line for one changed line" \
    "[ \$(diff '$scratch/out.c' '$scratch/out2.c' | grep -c '^[<>]') = 2 ]"
check "names no date, path or line number" \
    "! grep -qE '#line|20[0-9][0-9]-|$scratch' '$scratch/out.c'"

fresh_tree
echo 'int extra;' >"$scratch/t/src/low/extra.c"
refuses "refuses an unlisted file" 'src/low/extra.c:1: error: the manifest does not list'
fresh_tree
echo 'module gone' >>"$scratch/t/manifest"
refuses "refuses a listed file that is missing" 'manifest:6: error: gone does not exist'
fresh_tree
printf '#include "high/top.h"\n' >>"$scratch/t/src/low/bits.h"
echo 'int top(void);' >"$scratch/t/src/high/top.h"
refuses "refuses an include of a later layer" 'src/low/bits.h:3: error: layer low may not use layer high'
fresh_tree
sed -i 's/high uses low/high/' "$scratch/t/manifest"
refuses "refuses a layer not named after uses" 'src/high/top.c:1: error: layer high may not use layer low'
fresh_tree
sed -i '1i #include "low/bits.h"' "$scratch/t/src/low/port.h"
refuses "refuses a cycle" 'src/low/port.h:1: error: bits.h comes later'
fresh_tree
sed -i '1i #include <stdlib.h>' "$scratch/t/src/high/top.c"
refuses "refuses a system header outside its place" 'src/high/top.c:1: error: <stdlib.h> may not'
fresh_tree
sed -i '1i #include "bits.h"' "$scratch/t/src/high/top.c"
refuses "refuses an include without its layer" 'src/high/top.c:1: error: "bits.h" is no listed module'
fresh_tree
sed -i '1i #include "high/bits.h"' "$scratch/t/src/high/top.c"
refuses "refuses an include under a wrong layer" 'src/high/top.c:1: error: bits.h is in layer low'
fresh_tree
cp "$scratch/t/src/low/bits.c" "$scratch/t/src/high/bits.c"
echo 'module bits' >>"$scratch/t/manifest"
refuses "refuses two files of one name" 'manifest:6: error: a file named bits.c is listed already'
fresh_tree
printf 'int crlf;\r\n' >>"$scratch/t/src/high/top.c"
refuses "refuses CRLF" 'src/high/top.c:5: error: lines end with LF'

cp vecstore.c "$scratch/stale.c"
echo >>"$scratch/stale.c"
mkdir -p "$scratch/stale"
cp -r amalgamation Makefile vecstore.h "$scratch/stale/"
cp "$scratch/stale.c" "$scratch/stale/vecstore.c"
check "make notices a hand-edited vecstore.c" \
    "make -s -C '$scratch/stale' check-amalgamation 2>&1 | grep -q 'stale: run make amalgamation'"

finish build-amalgamate

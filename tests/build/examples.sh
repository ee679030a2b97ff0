#!/bin/sh
# examples.sh - the README's program is examples/hello.c; every example compiles without a warning and
# runs; an installed library is found by pkg-config's flags.
set -u
. tests/build/lib.sh
here=$(pwd)
CXX=${CXX:-c++}

sed -n '/^```c$/,/^```$/p' README.md | sed '1d;$d' >"$scratch/readme.c"
check "the README shows examples/hello.c" "cmp '$scratch/readme.c' examples/hello.c"

check "hello compiles as its first line says" "$CC -std=c11 -Wall -Wextra -Wpedantic -Werror -I. \
    -o '$scratch/hello' examples/hello.c vecstore.c -lzstd -lm -lpthread"
for example in examples/*.c examples/*.cc; do
    name=$(basename "${example%.*}")
    case "$example" in
    */hello.c) ;;
    *.cc)
        check "$name compiles" "$CXX -std=c++11 -Wall -Wextra -Wpedantic -Werror $CFLAGS -I. \
            -o '$scratch/$name' $example '$BUILD/libvecstore.a' -lzstd -lm -lpthread"
        ;;
    *)
        check "$name compiles" "$CC -std=c11 -Wall -Wextra -Wpedantic -Werror $CFLAGS -I. \
            -o '$scratch/$name' $example '$BUILD/libvecstore.a' -lzstd -lm -lpthread"
        ;;
    esac
    check "$name runs" "cd '$scratch' && ./$name '$here/examples/data'"
    check "$name runs again on what it left" "cd '$scratch' && ./$name '$here/examples/data' >$name.output"
    check "the README names $name" "grep -q '$(basename "$example")' README.md"
done
check "hello finds red" "[ \"\$(cd '$scratch' && ./hello)\" = '{\"name\":\"red\"}' ]"
nearest=$(od -An -td4 -j4 -N12 examples/data/gt.ivecs | xargs) # the first three of the first query
check "batch_import is complete, does nothing twice, and finds what is nearest" \
    "grep -qx '5000 rows, 0 of them new' '$scratch/batch_import.output' &&
     [ \"\$(sed -n 's/^row \([0-9]*\) at .*/\1/p' '$scratch/batch_import.output' | xargs)\" = '$nearest' ]"

if command -v cmake >/dev/null 2>&1; then
    check "the CMake project builds and runs as it stands" \
        "cmake -S examples/cmake -B '$scratch/cmake' -DCMAKE_C_COMPILER='$CC' -DCMAKE_BUILD_TYPE=Debug &&
         cmake --build '$scratch/cmake' && cd '$scratch' && cmake/app | grep -q 'record 1 of 1 at squared distance 25'"
    mkdir "$scratch/alone"
    check "and anywhere with the two files in it" \
        "cp examples/cmake/CMakeLists.txt examples/cmake/main.c vecstore.h vecstore.c '$scratch/alone' &&
         cd '$scratch/alone' && cmake -S . -B out -DCMAKE_C_COMPILER='$CC' -DCMAKE_BUILD_TYPE=Debug &&
         cmake --build out && out/app"
else
    skipped=$((skipped + 1))
    echo "skipped build-examples: the CMake project: there is no cmake here"
fi

# The lines of the README, in a folder that has what they name.
mkdir "$scratch/readme"
ln -s "$here/examples" "$here/vecstore.h" "$here/vecstore.c" "$scratch/readme"
case "$BUILD" in /*) ln -s "$BUILD" "$scratch/readme/build" ;; *) ln -s "$here/$BUILD" "$scratch/readme/build" ;; esac
lines_of() { # HEADING
    sed -n "/^## $1\$/,/^## /p" README.md | sed -n 's/^    //p'
}
lines_of "In your program" >"$scratch/program.sh"
lines_of "The shell" >"$scratch/shell.sh"
check "the README's lines for a program run" \
    "cd '$scratch/readme' && sh -e ../program.sh >../words && grep -q '\"red\"' ../words"
check "the README's lines for the shell run" "cd '$scratch/readme' && sh -e ../shell.sh >../words 2>&1"
check "and find what they should" \
    "grep -q '^recall@10 1.0000' '$scratch/words' && grep -q '1  *text:alan .*1912' '$scratch/words' &&
     grep -q '2 rows added' '$scratch/words' && [ -s '$scratch/readme/people.csv' ]"

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

finish build-examples

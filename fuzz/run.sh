#!/bin/sh
# run.sh - explores every fuzz target with libFuzzer under AddressSanitizer and UBSan for SECONDS (600)
# each, from the seeds in fuzz/corpus; new inputs go to $BUILD/fuzz. Prints edges and corpus size, and
# fails when an input is found that breaks a target.
set -eu
build=${BUILD:-build}/fuzz
seconds=${SECONDS_EACH:-600}
mkdir -p "$build"

target() { # NAME: fuzz/NAME.c, corpus in fuzz/corpus/NAME
    clang -std=c11 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -I. -Itests \
        -Itests/fault -D_POSIX_C_SOURCE=200809L -DVT_NO_MAIN -DVSI_DEBUG -DVSI_STREAM_BYTES=4096 \
        -DVSI_UNSYNCED_MAX=20000 -DVSI_CHECKPOINT_LOG_BYTES=24000 -o "$build/$1" "fuzz/$1.c" \
        tests/fault/sim.c tests/fault/logfile.c tests/vt.c vecstore.c -lm -lpthread
    mkdir -p "$build/corpus-$1"
    echo "fuzz $1: $seconds seconds"
    ASAN_OPTIONS=allocator_may_return_null=1 "$build/$1" -max_total_time="$seconds" -max_len=65536 \
        -print_final_stats=1 -artifact_prefix="$build/$1-" "$build/corpus-$1" "fuzz/corpus/$1" \
        >"$build/$1.log" 2>&1 || { tail -40 "$build/$1.log"; exit 1; }
    grep -E 'cov:' "$build/$1.log" | tail -1
    grep -E 'stat::number_of_executed_units|stat::peak_rss_mb' "$build/$1.log"
    echo "corpus: $(find "$build/corpus-$1" -type f | wc -l) inputs, no finding"
}

target log

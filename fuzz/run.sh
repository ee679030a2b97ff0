#!/bin/sh
# run.sh - explores the fuzz targets with libFuzzer under AddressSanitizer and UBSan, one after the other,
# for SECONDS_EACH (600) each, from the seeds in fuzz/corpus; new inputs go to $BUILD/fuzz. Prints
# executions, edges and corpus size of each, and fails when an input is found that breaks a target.
# TARGETS: only these.
set -eu
build=${BUILD:-build}/fuzz
seconds=${SECONDS_EACH:-600}
targets=${TARGETS:-log file api import formats json grammar codes}
mkdir -p "$build"

library=vecstore.c

target() { # NAME LIMIT SOURCE...: fuzz/NAME.c with inputs of at most LIMIT bytes, corpus in fuzz/corpus/NAME
    name=$1 limit=$2
    shift 2
    case " $targets " in *" $name "*) ;; *) return 0 ;; esac
    # shellcheck disable=SC2086 # $library may be several files
    clang -std=c11 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -I. -Itests \
        -Itests/fault -Iext/shell -Iamalgamation/src -D_POSIX_C_SOURCE=200809L -DVT_NO_MAIN -DVSI_DEBUG -DFUZZ_EXPLORE \
        -DVSI_STREAM_BYTES=4096 -DVSI_UNSYNCED_MAX=20000 -DVSI_CHECKPOINT_LOG_BYTES=24000 \
        -DVSI_RESERVE_PAGES=32 -DVSI_STEP_PAGES=4 -DVSI_RESERVE_LOG_BYTES=4096 -DVSI_ENCODE_ROWS=6 \
        -o "$build/$name" "fuzz/$name.c" fuzz/target.c "$@" tests/vt.c $library -lzstd -lm -lpthread
    mkdir -p "$build/corpus-$name"
    echo "fuzz $name: $seconds seconds"
    # The importer's own messages are not wanted: libFuzzer and the sanitizers keep their stderr.
    ASAN_OPTIONS=allocator_may_return_null=1:malloc_context_size=6:quarantine_size_mb=16 "$build/$name" -max_total_time="$seconds" \
        -max_len="$limit" -timeout=20 -close_fd_mask=2 -print_final_stats=1 \
        -artifact_prefix="$build/$name-" "$build/corpus-$name" "fuzz/corpus/$name" \
        >"$build/$name.log" 2>&1 || { tail -40 "$build/$name.log"; exit 1; }
    edges=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$build/$name.log" | tail -n 1)
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$build/$name.log")
    corpus=$(find "$build/corpus-$name" -type f | wc -l)
    echo "fuzz $name: $runs executions, $edges edges, a corpus of $corpus inputs, no finding"
}

target log 65536 tests/fault/sim.c tests/fault/logfile.c
target file 131072 tests/fault/logfile.c
target api 4096 tests/fault/sim.c
shell_sources() { # NAME...: files of ext/shell
    for module in "$@"; do printf 'ext/shell/%s.c ' "$module"; done
}
readers=$(shell_sources reader companion batch buffer key format stream vecs layout element npy safetensors \
    jsonl csv text)
# shellcheck disable=SC2086,SC2046 # lists of files
target import 8192 $readers $(shell_sources import ahead field names progress)
# shellcheck disable=SC2086,SC2046
target formats 4096 $readers $(shell_sources writer table vectors sink)
target json 4096
target grammar 4096 ext/shell/words.c ext/shell/rows.c ext/shell/query_json.c ext/shell/text.c
library=$(echo amalgamation/src/*/*.c) # codes are behind no interface yet
target codes 4096

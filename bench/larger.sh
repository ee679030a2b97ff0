#!/bin/sh
# larger.sh BASE.fvecs|bvecs QUERIES TRUTH.ivecs DIM METRIC [TIMES] - searches a database that is TIMES (4) times as large as the
# memory that it may take: read piece by piece, with an address space that holds no more than the limit and 64 MiB (RLIMIT_AS), and
# in the mapped file. With and without codes. Says how many of the true neighbours were found, queries a second, and
# the most memory of its own (RssAnon) that the process had, looked at 50 times a second.
#
# Environment: BUILD (build), SCRATCH (a folder for databases; the system's), COUNT (queries that are asked, 50).
set -eu
cd "$(dirname "$0")/.."
[ $# -ge 5 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | sed '$d'; exit 2; }
base=$1 queries=$2 truth=$3 dim=$4 metric=$5 times=${6:-4} count=${COUNT:-50}
vecstore=$PWD/${BUILD:-build}/vecstore
scratch=$(mktemp -d "${SCRATCH:-${TMPDIR:-/tmp}}/larger-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' HUP INT TERM

# rows_of FILE OUT: the first COUNT rows of a file whose rows begin with their dimension.
rows_of() {
    first=$(od -An -tu4 -N4 "$1" | tr -d ' ')
    case $1 in *.bvecs) bytes=$((4 + first)) ;; *) bytes=$((4 + 4 * first)) ;; esac
    head -c $((bytes * count)) "$1" >"$2"
}

# peak COMMAND...: runs it, its output in out; the most RssAnon seen, in KiB, in peak.
peak() {
    "$@" >"$scratch/out" 2>"$scratch/err" &
    pid=$! most=0
    while kill -0 $pid 2>/dev/null; do
        now=$(sed -n 's/^RssAnon:[^0-9]*\([0-9]*\).*/\1/p' /proc/$pid/status 2>/dev/null || true)
        [ "${now:-0}" -le "$most" ] || most=$now
        sleep 0.02
    done
    wait $pid || { cat "$scratch/err" >&2; exit 1; }
    echo "$most" >"$scratch/peak"
}

rows_of "$queries" "$scratch/q.${queries##*.}"
rows_of "$truth" "$scratch/truth.ivecs"
asked=$scratch/q.${queries##*.}
echo "| index | file | limit | how | recall | queries/s | RssAnon at most |"
echo "|---|---|---|---|---|---|---|"
for index in flat "flat(codes=rq4)"; do
    db=$scratch/$index.vs
    "$vecstore" "$db" create c --dim "$dim" --metric "$metric" --index "$index" >"$scratch/out" 2>&1
    "$vecstore" "$db" import c "$base" >"$scratch/out" 2>&1
    mib=$(($(wc -c <"$db") / 1048576)) limit=$(($(wc -c <"$db") / 1048576 / times))
    for how in pread mmap; do
        [ $how = pread ] && space=$(((limit + 64) * 1024)) || space=unlimited
        [ $how = pread ] && map="" || map=--mmap
        # shellcheck disable=SC2016,SC2086 # the inner shell expands it
        peak sh -c 'ulimit -v "$1"; shift; exec "$@"' sh "$space" "$vecstore" "$db" bench c \
            --queries "$asked" --truth "$scratch/truth.ivecs" -k 10 --memory $limit $map --mode csv
        sed -n 2p "$scratch/out" | tr -d '"' | {
            IFS=, read -r _ recall qps _
            echo "| $index | $mib MiB | $limit MiB | $how | $recall | $qps | $(($(cat "$scratch/peak") / 1024)) MiB |"
        }
    done
done

#!/bin/sh
# run.sh [PASSES] - exact search of vecstore and of packaged peers, side by side: each pass runs all of them in turn, on
# one core, one thread each, and medians of the passes are compared (3 unless told otherwise, never fewer).
#
# Peers: faiss (flat) and hnswlib (brute force) from Debian's packages; sqlite-vec, loaded by Debian's SQLite; usearch, zvec and lancedb
# through node, which is marked. Modes: one query at a time, and 200 at once where a library has a call for that. All
# get rows of f32; vecstore is also measured with u8 where the set is of bytes. What a library needs is built once, before.
#
# Environment: BUILD (build), VECSTORE_DATA (a folder of real sets; without it the shipped slice), SETS (of fashion-mnist words sift-photo
# products slice), MODULES (a folder in which `npm install sqlite-vec usearch @zvec/zvec @lancedb/lancedb
# apache-arrow` was run; without it these are left out), CORE (0), SCRATCH (a folder for databases; the system's).
# Writes to $BUILD/bench/out/peers: raw.csv (each pass), peers.csv, peers.md and peers.svg.
set -eu
cd "$(dirname "$0")/../.."
passes=${1:-3} build=${BUILD:-build} core=${CORE:-0} modules=${MODULES:-}
[ "$passes" -ge 3 ] 2>/dev/null || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2; }
data=${VECSTORE_DATA:-}
sets=${SETS:-$([ -n "$data" ] && echo "fashion-mnist words sift-photo products" || echo slice)}
k=10 queries=200
out=$build/bench/out/peers
vecstore=$build/vecstore
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 LANCE_LOG=error RUST_LOG=error MODULES="$modules" PYTHONDONTWRITEBYTECODE=1
mkdir -p "$out"
.ci/deps build
.ci/deps peers
make -s BUILD="$build" "$build/libvecstore.a" "$vecstore"
scratch=$(mktemp -d "${SCRATCH:-${TMPDIR:-/tmp}}/peers-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' HUP INT TERM

# ---- peers: a line each of name|interface|command, the command without its arguments ---------------

version() { dpkg-query -W -f '${Version}' "$1" | sed 's/[-+].*//'; }
npm_version() { node -p "require('$modules/node_modules/$1/package.json').version"; }
add() { printf '%s|%s|%s\n' "$1" "$2" "$3" >>"$scratch/peers"; }
warn="-Wall -Wextra -O2 -I."

# shellcheck disable=SC2086
cc -std=c11 $warn bench/peers/peer_vecstore.c "$build/libvecstore.a" -o "$scratch/vecstore" -lzstd -lm -lpthread
add "vecstore f32" native "$scratch/vecstore"
add "vecstore f32 codes" native "env INDEX=flat(codes=rq4) $scratch/vecstore"
add "vecstore u8" native "env TYPE=u8 $scratch/vecstore"
# shellcheck disable=SC2086
c++ -std=c++17 $warn -fopenmp bench/peers/peer_faiss.cpp -o "$scratch/faiss" -lfaiss -lopenblas
add "faiss $(version libfaiss-dev)" native "$scratch/faiss"
# shellcheck disable=SC2086
c++ -std=c++17 $warn bench/peers/peer_hnswlib.cpp -o "$scratch/hnswlib"
add "hnswlib $(version libhnswlib-dev)" native "$scratch/hnswlib"
if [ -n "$modules" ]; then
    vec0=$(find "$modules/node_modules" -name 'vec0.so' | head -n 1)
    # shellcheck disable=SC2086
    cc -std=c11 $warn bench/peers/peer_sqlite_vec.c -o "$scratch/sqlite-vec" -lsqlite3 -lm
    add "sqlite-vec $(npm_version sqlite-vec)" native "env VEC0=$vec0 $scratch/sqlite-vec"
    for name in usearch @zvec/zvec @lancedb/lancedb; do
        add "${name##*/} $(npm_version "$name")" node "node bench/peers/peer_node.mjs ${name##*/}"
    done
else
    echo "without MODULES: no sqlite-vec, usearch, zvec and lancedb" >&2
fi

# ---- sets: base.fvecs, query.fvecs, truth.ivecs and what they are ----------------------------------

# floats FILE DIM OUT: vectors of any kind as fvecs.
floats() {
    rm -f "$scratch/x.vs"*
    "$vecstore" "$scratch/x.vs" create c --dim "$2" 2>/dev/null
    "$vecstore" "$scratch/x.vs" import c "$1" 2>/dev/null
    "$vecstore" "$scratch/x.vs" export c "$3" 2>/dev/null
    rm -f "$scratch/x.vs"*
}

prepare() { # SET: sets metric and elements
    metric=l2 elements=u8 folder=$data/$1
    case "$1" in
    fashion-mnist) dim=784 ;;
    sift-photo) dim=128 ;;
    words) metric=cosine elements=f32 dim=100 folder=$data/words-sgns100 ;;
    products) metric=cosine elements=f32 dim=192 ;;
    slice) dim=784 folder=examples/data ;;
    *) echo "run.sh: no set '$1'" >&2 && exit 2 ;;
    esac
    floats "$(echo "$folder"/base.?vecs*)" "$dim" "$scratch/base.fvecs"
    floats "$(echo "$folder"/query.?vecs*)" "$dim" "$scratch/query.fvecs"
    cp "$folder/gt.ivecs" "$scratch/truth.ivecs"
}

# each COMMAND: with name, interface, run (the peer's command) and store, for every peer that fits the set.
each() {
    while IFS='|' read -r name interface run; do
        [ "$name" != "vecstore u8" ] || [ "$elements" = u8 ] || continue
        store=$scratch/store-$(echo "$name" | tr ' ' -)
        "$1" </dev/null
    done <"$scratch/peers"
}

build_one() {
    echo "  build $name" >&2
    # shellcheck disable=SC2086
    taskset -c "$core" $run build "$scratch/base.fvecs" "$store" "$metric" ||
        { echo "$name cannot be built on $set" >&2 && exit 1; }
}

search_one() {
    echo "  pass $pass $name" >&2
    # shellcheck disable=SC2086
    taskset -c "$core" $run search "$scratch/base.fvecs" "$store" "$metric" "$scratch/query.fvecs" $k $queries \
        "$scratch/found" >"$scratch/lines"
    while read -r mode asked qps p50 p99; do
        recall=$(/usr/bin/python3 bench/peers/peers.py score "$scratch/base.fvecs" "$scratch/query.fvecs" \
            "$scratch/truth.ivecs" "$metric" $k "$scratch/found.$mode.ivecs")
        echo "$set,$name,$interface,$pass,$mode,$asked,$qps,$p50,$p99,$recall" >>"$out/raw.csv"
    done <"$scratch/lines"
}

echo "set,peer,interface,pass,mode,queries,qps,p50_us,p99_us,recall" >"$out/raw.csv"
for set in $sets; do
    echo "$set" >&2
    prepare "$set"
    each build_one
    for pass in $(seq "$passes"); do each search_one; done
    rm -rf "$scratch"/store-* "$scratch"/*.fvecs
done
/usr/bin/python3 bench/peers/peers.py summary "$out/raw.csv" "$out"

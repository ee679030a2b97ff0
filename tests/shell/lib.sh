# shellcheck shell=sh
# lib.sh - what the tests of the vecstore command share. A script sources it first, then states
# claims, and ends with `finish`. It runs in a scratch folder of its own, which goes at the end.
#
#   vs ARG...              runs vecstore; what came of it is in $status, out and err
#   session LINE...        the same with the lines as commands in the database db, from a pipe
#   prints CLAIM [LINE...] the last vs ended with 0, stdout is exactly these lines
#   says CLAIM [TEXT...]   ... ended with 0, stderr has each text
#   usage CLAIM [TEXT...]  ... ended with 2, nothing on stdout, stderr has each text
#   fails CLAIM [TEXT...]  ... ended with 1, stderr begins with "vecstore: ", has each text
#   same CLAIM WANT GOT    two strings are equal
#   holds CLAIM COMMAND... a command succeeds
#   skip CLAIM REASON      not tried here
#
# Environment: BUILD (folder of vecstore), CC, CFLAGS, VECSTORE_DATA, VT_SCRATCH.
set -u
export LC_ALL=C

suite=$(basename "$0" .sh)
# shellcheck disable=SC2164 # it holds this file
cd "$(dirname "$0")/../.."
root=$PWD
absolute() {
    case "$1" in /*) printf '%s' "$1" ;; *) printf '%s' "$root/$1" ;; esac
}
build=$(absolute "${BUILD:-build}")
vecstore=$build/vecstore
makevecs=$build/tests/makevecs
# shellcheck disable=SC2034 # the scripts use it
data=$(absolute "${VECSTORE_DATA:-no-data}")
passed=0 failed=0 skipped=0 status=0 command_line=""

scratch=$(mktemp -d "${VT_SCRATCH:-/tmp}/vecstore-$suite-XXXXXX") || exit 1
trap 'cd /; rm -rf "$scratch"' EXIT
trap 'exit 130' HUP INT TERM
cd "$scratch" || exit 1

finish() {
    echo "$suite: $passed passed, $failed failed, $skipped skipped"
    [ "$failed" = 0 ]
    exit
}

# ---- claims --------------------------------------------------------------------------------------

pass() {
    passed=$((passed + 1))
}

# fail CLAIM DETAIL
fail() {
    failed=$((failed + 1))
    echo "FAILED $suite: $1"
    printf '%s\n' "$2" | sed 's/^/    /'
}

skip() {
    skipped=$((skipped + 1))
    echo "skipped $suite: $1: $2"
}

vs() {
    command_line="vecstore $*"
    status=0
    timeout "${limit:-120}" "$vecstore" "$@" >out 2>err </dev/null || status=$?
}

session() {
    command_line="a script: $*"
    status=0
    printf '%s\n' "$@" | timeout "${limit:-120}" "$vecstore" db >out 2>err || status=$?
}

# fail_run CLAIM WANT: the last vs was not as wanted.
fail_run() {
    fail "$1" "$command_line
expected $2
status   $status
stdout   $(head -c 600 out)
stderr   $(head -c 600 err)"
}

# err_has TEXT...: stderr has each text.
err_has() {
    for text in "$@"; do
        grep -qF -e "$text" err || return 1
    done
}

prints() {
    claim=$1
    shift
    if [ $# -gt 0 ]; then printf '%s\n' "$@" >want; else : >want; fi
    if [ "$status" = 0 ] && cmp -s want out; then pass; else fail_run "$claim" "0 and: $*"; fi
}

says() {
    claim=$1
    shift
    if [ "$status" = 0 ] && err_has "$@"; then pass; else fail_run "$claim" "0 and: $*"; fi
}

usage() {
    claim=$1
    shift
    if [ "$status" = 2 ] && [ ! -s out ] && [ -s err ] && err_has "$@"; then
        pass
    else
        fail_run "$claim" "2, no stdout, and: $*"
    fi
}

fails() {
    claim=$1
    shift
    if [ "$status" = 1 ] && grep -q '^vecstore: ' err && err_has "$@"; then
        pass
    else
        fail_run "$claim" "1 and: $*"
    fi
}

same() {
    if [ "$2" = "$3" ]; then
        pass
    else
        fail "$1" "expected $(printf '%s' "$2" | head -c 600)
found    $(printf '%s' "$3" | head -c 600)"
    fi
}

holds() {
    claim=$1
    shift
    if "$@" >/dev/null 2>why; then pass; else fail "$claim" "$*: $(head -c 600 why)"; fi
}

# ---- what the scripts need -----------------------------------------------------------------------

# compile_makevecs: the helper program, or the end of the script. Scripts may do so side by side: each
# puts a finished program into place, by a rename within one folder.
compile_makevecs() {
    mkdir -p "$build/tests"
    source=$root/tests/shell/makevecs.c
    # shellcheck disable=SC2086 # CC may have arguments
    if ! ${CC:-cc} -O2 -o "$makevecs.$$" "$source" -lm || ! mv "$makevecs.$$" "$makevecs"; then
        fail "the helper program compiles" "${CC:-cc} $source"
        finish
    fi
}

# rows FILE LINE...: a file of vectors, one line of numbers per row; the kind is the file's ending.
rows() {
    path=$1
    shift
    printf '%s\n' "$@" | "$makevecs" rows "${path##*.}" >"$path"
}

# fresh DB ARG...: a new database with the collection c, made with ARG...
fresh() {
    fresh_db=$1
    shift
    rm -f "$fresh_db" "$fresh_db"-wal-*
    "$vecstore" "$fresh_db" create c "$@" || fail "create $*" "vecstore $fresh_db create c $*"
}

# count DB [COLLECTION]: how many records it has.
count() {
    "$vecstore" "$1" info "${2:-c}" --mode json | sed -n 's/.*"count":\([0-9]*\).*/\1/p'
}

# The build can read .zst files: not one with OMIT_ZSTD=1.
has_zstd() {
    : >empty.fvecs.zst
    vs nothing.vs import c empty.fvecs.zst
    ! err_has VS_OMIT_ZSTD
}

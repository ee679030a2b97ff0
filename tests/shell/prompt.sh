#!/bin/sh
# prompt.sh - the prompt, in a terminal: what it shows, editing, Ctrl-C and Ctrl-D.
. "$(dirname "$0")/lib.sh"

if ! python3 -c 'import os, pty; os.waitstatus_to_exitcode' 2>/dev/null; then
    skip "the prompt works in a terminal" "no python3 (3.9) to make one"
    finish
fi
compile_makevecs
export XDG_STATE_HOME="$scratch/state" TERM=xterm HOME="$scratch"

# at_prompt CODE STEP...: vecstore db in a terminal; what it showed is in out.
at_prompt() {
    want=$1 status=0
    shift
    command_line="in a terminal: $*"
    printf '%s\n' 'wait vecstore> ' "$@" >steps
    python3 "$root/tests/shell/terminal.py" steps "$vecstore" db >out 2>err </dev/null || status=$?
    [ "$status" = "$want" ]
}
# shows CLAIM TEXT...: the last at_prompt ended as wanted, and showed each text.
shows() {
    claim=$1
    shift
    if [ "$status" != "$want" ]; then
        fail_run "$claim" "$want"
        return
    fi
    for text in "$@"; do
        grep -qF -e "$text" out || { fail_run "$claim" "$text"; return; }
    done
    pass
}

"$vecstore" db create c --dim 2
"$vecstore" db put c 1 '[1,2]'

at_prompt 0 'type count c\r' 'wait ┌' 'wait 1 │' 'wait vecstore> ' 'type \x04'
shows "a terminal gets a greeting, a prompt and boxes" "vecstore 0.1.0, db: help" "│     1 │"
holds "no colours" test "$(grep -c "$(printf '\033\\[[0-9;]*m')" out)" = 0
at_prompt 3 'type .exit 3\r'
shows ".exit ends it with a code"
at_prompt 0 'type nosuch\r' 'wait unknown command' 'wait vecstore> ' 'type \x04'
shows "an error is said and forgotten: Ctrl-D ends with 0" "vecstore: unknown command 'nosuch'"
at_prompt 0 "type kv put k 'one\r" 'wait ...> ' "type two'\r" 'wait vecstore> ' 'type kv get k --mode plain\r' 'wait one' \
    'wait two' 'wait vecstore> ' 'type \x04'
shows "a line that goes on has another prompt" "...> "
at_prompt 1 'type begin\r' 'wait vecstore*> ' 'type put c 2 [3,4]\r' 'wait vecstore*> ' 'type \x04' 'wait rolled back'
shows "so has a transaction; Ctrl-D rolls it back, and says so"
at_prompt 0 'type nosuch x\x03' 'wait vecstore> ' 'type count c --mode line\r' 'wait count = 1' 'wait vecstore> ' 'type \x04'
shows "Ctrl-C drops the line"
holds "... which does not run" test "$(grep -c 'unknown command' out)" = 0
at_prompt 0 "type kv put k 'open\r" 'wait ...> ' 'type \x03' 'wait vecstore> ' 'type count c --mode line\r' 'wait count = 1' 'wait vecstore> ' \
    'type \x04'
shows "... also one that goes on"
at_prompt 0 "type put c 7 [1,1] '{\"n\":\"gr\303\274n\"}'\r" 'wait vecstore> ' 'type get c 7 --mode jsonl\r' \
    "wait {\"key\":7,\"metadata\":{\"n\":\"gr\303\274n\"}}" 'wait vecstore> ' 'type \x04'
shows "UTF-8 may be typed"

# ---- Ctrl-C while something runs -----------------------------------------------------------------

"$makevecs" random fvecs 20000 8 >many.fvecs
"$vecstore" db create many --dim 8
"$vecstore" db import many many.fvecs 2>/dev/null
at_prompt 0 'type search many --near @many.fvecs -k 1 --mode csv\r' 'wait ,distance' 'type \x03' 'wait nterrupt' \
    'wait vecstore> ' 'type count many --mode line\r' 'wait count = 20000' 'wait vecstore> ' 'type \x04'
shows "Ctrl-C ends a search, not the session"
printf 'search many --near @many.fvecs -k 1 --mode csv\ncount many --mode line\n' >script.txt
at_prompt 0 'type .read script.txt\r' 'wait ,distance' 'type \x03' 'wait nterrupt' 'wait vecstore> ' \
    'type count c --mode line\r' 'wait count = 2' 'wait vecstore> ' 'type \x04'
shows "... and the script that it is in"
same "... which does not go on" 0 "$(grep -c 'count = 20000' out)"
at_prompt 0 'type .echo on\r' 'wait vecstore> ' 'type recall many --queries many.fvecs\r' 'wait many.fvecs' \
    'wait many.fvecs' 'type \x03' 'wait nterrupt' 'wait vecstore> ' 'type \x04'
shows "... and a measurement"
# Labels come slowly, so that the import lasts.
mkfifo labels
"$vecstore" db create slow --dim 8
{ seq 100 | while read -r _; do printf x; sleep 0.1; done; } >labels 2>/dev/null &
feeder=$!
at_prompt 0 'type import slow many.fvecs --labels labels --batch 1\r' 'wait rows/s, ' 'wait left' \
    'type \x03' 'wait interrupted; the same import goes on' 'wait vecstore> ' 'type \x04'
shows "an import shows after two seconds how far it is; Ctrl-C ends it behind a batch"
kill $feeder 2>/dev/null
wait $feeder 2>/dev/null
printf 'wait ,distance\ntype \\x03\n' >steps
printf 'search many --near @many.fvecs -k 1 --mode csv\ncount many --mode line\n' >long.txt
python3 "$root/tests/shell/terminal.py" steps sh -c "exec '$vecstore' db <long.txt" >out 2>err </dev/null
same "Ctrl-C ends a script of stdin with 1" 1 $?
same "... which does not go on" 0 "$(grep -c 'count = 20000' out)"

# ---- editing -------------------------------------------------------------------------------------

echo "count c" | "$vecstore" db >out 2>&1
if grep -q XDG_STATE_HOME "$vecstore"; then
    history=$XDG_STATE_HOME/vecstore/history
    holds "the history is kept" grep -q count "$history"
    same "... for its owner alone" "-rw------- drwx------" \
        "$(stat -c %A "$history") $(stat -c %A "$(dirname "$history")")"
    rm -r "$XDG_STATE_HOME"
    echo "count c" | "$vecstore" db >out 2>&1
    holds "... of terminals only" test ! -e "$XDG_STATE_HOME"
    at_prompt 0 'type kv put k first\r' 'wait vecstore> ' 'type \x04'
    at_prompt 0 'type \x1b[A' 'wait first' 'type \x7f\x7f\x7f\x7f\x7fsecond\r' 'wait vecstore> ' \
        'type kv get k --mode line\r' 'wait value = second' 'wait vecstore> ' 'type \x04'
    shows "the arrow keys bring back a line of the session before, to be changed"
    at_prompt 0 'type cou\t' 'wait nt ' 'type ma\t' 'wait ny ' 'type --mo\t' 'wait de ' 'type li\t\r' 'wait count = 20000' 'wait vecstore> ' \
        'type \x04'
    shows "Tab completes commands, collections, options and modes"
    at_prompt 0 'type roll\t' 'wait back' 'type \t' 'wait rollback-to' 'type \x15.exi\t\r'
    shows "... lists several, and completes dot commands"
    at_prompt 0 'type alias se\t' 'wait t ' 'type web ma\t\r' 'wait vecstore> ' 'type create two --field title:2 --field text:3\r' \
        'wait vecstore> ' 'type count we\t --mode line\r' 'wait count = 20000' 'wait vecstore> ' \
        'type put two 1 --vector ti\t' 'wait tle=' 'type [1,2] --vector te\t' 'wait xt=' 'type [1,2,3]\r' 'wait vecstore> ' \
        'type search two --near [1,2] --field ti\t --mode li\t -k 1\r' 'wait distance = 0' 'wait vecstore> ' 'type \x04'
    shows "... aliases and fields"
    at_prompt 1 'type begin\r' 'wait vecstore*> ' 'type savepoint first\r' 'wait vecstore*> ' 'type rollback-to fi\t' 'wait rst ' \
        'type \r' 'wait vecstore*> ' 'type .param set number 7\r' 'wait vecstore*> ' 'type get c :nu\t--mode line\r' 'wait key = 7' \
        'wait vecstore*> ' 'type .head\t' 'wait ers ' 'type of\t\r' 'wait vecstore*> ' 'type \x04'
    shows "... savepoints, parameters, and what dot commands take"
    mkdir "$scratch/files"
    echo "count c --mode line" >"$scratch/files/script.txt"
    rows "$scratch/files/one.fvecs" "1 2"
    at_prompt 0 'type .read fil\t' 'wait es/' 'type scr\t\r' 'wait count = 2' 'wait vecstore> ' \
        'type search c --near @files/o\t' 'wait ne.fvecs ' 'type -k 1 --mode line\r' 'wait distance = 0' 'wait vecstore> ' 'type \x04'
    shows "... and files"
    unset XDG_STATE_HOME
    at_prompt 0 'type ls\r' 'wait vecstore> ' 'type \x04'
    holds "without XDG_STATE_HOME the history is in ~/.local/state" test -f "$HOME/.local/state/vecstore/history"
    export HOME=/proc/nosuch
    at_prompt 0 'type count c --mode line\r' 'wait count = 2' 'wait vecstore> ' 'type \x04'
    shows "a history that cannot be written is no error"
else
    skip "lines are edited" "this build has no libedit"
fi

finish

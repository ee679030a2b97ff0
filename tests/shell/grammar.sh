#!/bin/sh
# grammar.sh - how words are found and parsed: in arguments, in scripts; what an unknown word is answered; that
# help and manual name what there is.
. "$(dirname "$0")/lib.sh"
compile_makevecs

# ---- splitting -----------------------------------------------------------------------------------

# splits CLAIM WANT LINE...: the line's words, a number of the line by kv put and get, are WANT.
splits() {
    claim=$1 want=$2
    shift 2
    session "$@"
    prints "$claim" "$want"
}
vs db create c --dim 2
splits "blanks and tabs separate words" "v" "kv   put	k v" "	kv get k "
splits "single quotes keep blanks, double quotes and backslashes" 'a "b"  \c' "kv put k 'a \"b\"  \\c'" "kv get k"
splits "double quotes keep blanks, single quotes and #" "it's #1" 'kv put k "it'"'"'s #1"' "kv get k"
splits "in double quotes a backslash makes quotes and backslashes ordinary, nothing else" 'a"b\c\n$x' \
    'kv put k "a\"b\\c\n$x"' "kv get k"
splits "a backslash makes any character ordinary" "a b'c#" "kv put k a\\ b\\'c\\#" "kv get k"
splits "quotes may stand inside of a word" "abcd" "kv put k a'b'\"c\"d" "kv get k"
splits "empty quotes are a word" "" "kv put k ''" "kv get k"
splits "# in a word is no comment" "a#b" "kv put k a#b # a comment" "# another" "kv get k"
splits "; and | and \$ and * are ordinary" 'a;b|c$d*' 'kv put k a;b|c$d*' "kv get k"
splits "a backslash at the end of a line joins the next" "ab" "kv put \\" "  k a\\" "b" "kv get k"
splits "... also in double quotes" "ab" 'kv put k "a\' 'b"' "kv get k"
session "kv put k 'one" "two # no comment'" "kv get k"
prints "a quote goes on in the next line" "one" "two # no comment"
printf 'kv put k v\r\nkv get k\r\n' | "$vecstore" db >out 2>err
prints "lines may end with CR and LF" "v"
printf 'kv get k' | "$vecstore" db >out 2>err
prints "the last line needs no line feed" "v"
printf '\n\n  \n# nothing\n' | "$vecstore" db >out 2>err
prints "lines without words are nothing"
session "count c" "kv put k 'abc" "count c"
same "an open quote at the end is wrong usage, and fails the script" 1 "$status"
holds "... with the line where it begins" grep -q "stdin:2: a quote" err
session 'kv get \'
holds "nothing behind the last backslash is said" grep -q "stdin:1: nothing follows the backslash" err
printf 'kv put k a\000b\ncount c\n' | "$vecstore" db >out 2>err
same "a NUL byte fails its line" "1 0" "$? $(cat out)"
holds "... and is said" grep -q "stdin:1: a NUL byte" err
long=$(awk 'BEGIN { for (i = 0; i < 100000; i++) printf "0123456789" }')
printf 'kv put k %s\nkv get k\n' "$long" | "$vecstore" db >out 2>err
same "a word may have a million bytes" 1000001 "$(wc -c <out | tr -d ' ')"
awk 'BEGIN { printf "kv put k \047"; for (i = 0; i < 200000; i++) print "xy"; print "\047"; print "kv get k" }' >many.txt
"$vecstore" db <many.txt >out 2>err
same "... and many lines" 600001 "$(wc -c <out | tr -d ' ')"

# ---- the same words everywhere -------------------------------------------------------------------

vs db put c 1 '[1, 2]' '{"a":1}'
prints "put prints nothing"
for words in "get c 1" "scan c --from 1 --limit 1" "search c --near [1,2] -k 1 --mode json" "count c" \
    "info --mode json" "ls" "schema" "distance c 1 1" "check"; do
    # shellcheck disable=SC2086
    vs db $words
    cp out arguments
    session "$words"
    holds "'$words' prints the same from arguments and from a script" cmp arguments out
    same "... and ends with 0" 0 "$status"
done
echo "count c" >count.txt
"$vecstore" db <count.txt >out 2>err
prints "commands may come from a file" 1
session ".read count.txt" "count c"
prints "... also through .read" 1 1
echo ".read loop.txt" >loop.txt
session ".read loop.txt"
fails "scripts that read each other end" "loop.txt" "more than 16"
session ".read nosuch.txt"
fails "a script that is missing is named" nosuch.txt
mkdir folder
session ".read folder"
fails "a folder is no script" folder

# ---- what is wrong -------------------------------------------------------------------------------

vs db serch c --near '[1,2]'
usage "the nearest command is said" "'serch'" "'search'"
vs db frobnicate
usage "... when one is near" "'frobnicate'"
holds "... else none" test "$(grep -c nearest err)" = 0
vs db search c --neer '[1,2]'
usage "the nearest option is said" "'--neer'" "--near" "usage: vecstore FILE search"
vs db search c --near 1,2
usage "numbers without brackets are no vector, and that is said" "--near is '1,2', expected @FILE or '[number"
vs db scan c --memry 3
usage "... also one of those of all commands" "--memory"
session ".mod json" "count c"
same "a script goes on behind an error" 1 "$(cat out)"
fails "the nearest dot command is said" "stdin:1" "'.mod'" "'.mode'"
session "nosuch"
same "an unknown command in a script fails it" 1 "$status"
session ".bail on" "nosuch" "count c"
same ".bail ends it, with the error's code" "2 " "$status $(cat out)"
session ".bail on" "get c 7" "count c"
same "... of a failure 1" 1 "$status"
session "count c" ".exit 7" "count c"
same ".exit ends it with a code" "7 1" "$status $(cat out)"
printf '.exit 5\n' >five.txt
session ".read five.txt" "count c"
same "... also from a script that was read" "5 " "$status $(cat out)"
session ".exit 300"
fails "... of at most 255" "300"
printf 'nosuch\ncount c\n' >inner.txt
session ".read inner.txt" "count c"
holds "messages name the script and its line" grep -q "inner.txt:1: unknown command" err
same "... and an error inside is one outside, behind which it goes on" "1 1 1" "$status $(tr '\n' ' ' <out | sed 's/ $//')"
for command in begin commit rollback "savepoint s" "rollback-to s" "release s"; do
    # shellcheck disable=SC2086
    vs db $command
    usage "'$command' alone is wrong usage" "scripts"
done
"$vecstore" db </dev/null >out 2>err
same "nothing on stdin is wrong usage" 2 $?
: | "$vecstore" db >out 2>err
same "an empty pipe is no error" 0 $?

# ---- help and the manual -------------------------------------------------------------------------

vs help --all
cp out all
prints "help --all ends with 0" "$(cat out)"
commands=$(sed -n 's/^  vecstore FILE \([a-z][a-z-]*\)  *.*/\1/p' all)
holds "help lists the commands" test "$(echo "$commands" | wc -l)" -gt 20
for command in $commands; do
    vs help "$command"
    cp out short
    prints "help $command ends with 0" "$(cat out)"
    vs db "$command" --help
    holds "$command --help is the same" cmp short out
    holds "help --all has it" grep -q "^usage: vecstore FILE $command\$\|^usage: vecstore FILE $command " all
    printf 'help %s\n' "$command" | "$vecstore" db >out 2>err
    holds "the prompt calls it $command" grep -q "^usage: $command" out
done
vs help nosuch
usage "help of nothing is wrong usage" "'nosuch'"
echo text >help
vs help info --mode json
fails "a file that is called help is a database" "help"
rm help
session "help" ".help"
holds "help at the prompt names commands and dot commands" grep -q "^  search " out
holds "... .help the latter" grep -q "^\.mode " out

manual=$root/docs/vecstore.1
# Each command and each option of the table is in the manual, and the other way round.
sed -n 's/^\.It Cm \([a-z][a-z-]*\).*/\1/p' "$manual" | sort >documented
echo "$commands" | sort >known
same "the manual has exactly the commands that there are" "$(cat known)" "$(cat documented)"
awk '/^usage: / { command = $4 } / -/ || /\[-/ { n = split($0, part, /[][ |=]+/)
    for (i = 1; i <= n; i++) if (command && /^(usage|  *\[|  *-)/ && part[i] ~ /^--?[a-z-]+$/) print command, part[i] }' all |
    grep -v -e '--help$' | sort -u >known
awk '/^\.It Cm / { command = $3 } /^\.Ss|^\.Sh/ { command = "" }
    command { for (i = 1; i < NF; i++) if ($i == "Fl") print command, "-" $(i + 1) }' "$manual" | sort -u >documented
holds "... they have options" test "$(wc -l <known)" -gt 40
same "... and exactly their options" "$(cat known)" "$(cat documented)"
printf '.help\n' | "$vecstore" db | sed -n 's/^\(\.[a-z]*\).*/\1/p' | sort >known
sed -n 's/^\.It Ic \(\.[a-z]*\).*/\1/p' "$manual" | sort >documented
same "... and exactly the dot commands" "$(cat known)" "$(cat documented)"

finish

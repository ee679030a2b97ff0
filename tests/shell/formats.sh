#!/bin/sh
# formats.sh - importing records and vectors of every format: what is mapped where, what is refused, going on.
. "$(dirname "$0")/lib.sh"
compile_makevecs

# content: all records of db, vectors whole.
content() {
    "$vecstore" db scan c --vectors --mode jsonl
}

# gives CLAIM LINE...: the last import succeeded and the collection is this.
gives() {
    claim=$1
    shift
    says "$claim"
    same "$claim: the records" "$(printf '%s\n' "$@")" "$(content)"
}

# refuses CLAIM FILE TEXT...: nothing of a file is imported into the empty collection; with $options.
refuses() {
    claim=$1 file=$2
    shift 2
    # shellcheck disable=SC2086 # none, or several words
    vs db import c "$file" ${options:-}
    fails "$claim is refused" "$file" "$@"
    same "$claim: nothing is lost or added" "" "$(content)"
}

# ---- JSON lines ----------------------------------------------------------------------------------

uuid=00112233-4455-6677-8899-aabbccddeeff
cat >keys.jsonl <<END
{"key":1,"vector":[0.1,-0],"metadata":{"a": [1, 2]}}

{"key":18446744073709551615,"vector":[1e-45,3.4028235e38],"metadata":null}
{"key":"text:two words","vector":[1,2]}
{"vector":[3,4],"key":"uuid:$uuid","metadata":{}}
{"key":"7/bytes:00ff","vector":[5,6],"other":{"vector":[9]}}
{"key":"7/42","vector":[7,8]}
END
fresh db --dim 2
vs db import c keys.jsonl
gives "JSON lines with keys of all kinds" '{"key":1,"vector":[0.1,-0],"metadata":{"a":[1,2]}}' \
    '{"key":18446744073709551615,"vector":[1e-45,3.4028235e+38],"metadata":null}' \
    '{"key":"text:two words","vector":[1,2],"metadata":null}' \
    "{\"key\":\"uuid:$uuid\",\"vector\":[3,4],\"metadata\":{}}" \
    '{"key":"7/42","vector":[7,8],"metadata":null}' \
    '{"key":"7/bytes:00ff","vector":[5,6],"metadata":null}'
vs db import c keys.jsonl
says "the same file again does nothing" "0 rows added" "nothing was left"
vs db import c keys.jsonl --again
fails "unless it is asked for: then its keys exist" "line 1: key 1 exists"
vs db import c keys.jsonl --again --ignore
says "... and may be passed over" "6 rows put"

cat >own.jsonl <<'END'
{"id":"doc-1","emb":[1,2],"title":"a \"b\"","n":1.50,"nested":{"x":[null]}}
{"id":7,"emb":[3,4]}
END
fresh db --dim 2
vs db import c own.jsonl --key id --vector emb --metadata rest --text-keys
gives "members under other names, and the rest as metadata" \
    '{"key":7,"vector":[3,4],"metadata":null}' \
    '{"key":"text:doc-1","vector":[1,2],"metadata":{"title":"a \"b\"","n":1.50,"nested":{"x":[null]}}}'
fresh db --dim 2
vs db import c own.jsonl --key row --start-key 5 --vector emb --metadata nested
gives "rows as keys, one member as metadata" '{"key":5,"vector":[1,2],"metadata":{"x":[null]}}' \
    '{"key":6,"vector":[3,4],"metadata":null}'
vs db import c own.jsonl --append --vector emb --metadata none
gives "the database chooses keys" '{"key":5,"vector":[1,2],"metadata":{"x":[null]}}' \
    '{"key":6,"vector":[3,4],"metadata":null}' '{"key":7,"vector":[1,2],"metadata":null}' \
    '{"key":8,"vector":[3,4],"metadata":null}'
fresh db --dim 2
vs db import c own.jsonl --key id --vector emb --text-keys
says "what is not mapped is left out, and that is said" "2 rows added" "such as 'title'; --metadata rest keeps it"
vs db import c own.jsonl --key id --vector emb --text-keys --metadata none --again --upsert
same "... unless it was asked for" "vecstore: import: 2 rows put" "$(cat err)"

# bad CLAIM LINE TEXT...: the LINE as the third line of a file, with each answer to it.
bad() {
    claim=$1 line=$2
    shift 2
    printf '%s\n' '{"key":1,"vector":[1,2]}' '' "$line" '{"key":2,"vector":[3,4]}' >bad.jsonl
    fresh db --dim 2
    vs db import c bad.jsonl
    fails "$claim is refused" "bad.jsonl: line 3: " "$@"
    same "$claim: nothing is imported" "" "$(content)"
    vs db import c bad.jsonl --on-error log --log refused
    says "$claim may be passed over" "2 rows added, 1 refused"
    holds "... and is logged" grep -q "^bad.jsonl: line 3: .*$(printf '%s' "$1" | sed 's/[][]/\\\\&/g')" refused
    vs db import c bad.jsonl --on-error skip
    says "... and is remembered" "nothing was left"
    rm -f refused
}
bad "no JSON" '{"key":3,"vector":[1,}' "'vector', byte "
bad "another value" '[1,2]' "expected a JSON object"
bad "something behind the object" '{"key":3,"vector":[1,2]} x' "byte 25"
bad "a short vector" '{"key":3,"vector":[1]}' "'vector' has 1 elements, expected 2"
bad "a long vector" '{"key":3,"vector":[1,2,3]}' "'vector' has 3 elements, expected 2"
bad "a vector of words" '{"key":3,"vector":["1","2"]}' "expected a number"
bad "a vector that is none" '{"key":3,"vector":"[1,2]"}' "'vector' is no array"
bad "a number that is too large" '{"key":3,"vector":[1,1e39]}' "range of float"
bad "no vector" '{"key":3}' "vector"
bad "no key" '{"vector":[1,2]}' "there is no 'key'"
bad "a key that is none" '{"key":"x","vector":[1,2]}' "the key is 'x'"
bad "a negative key" '{"key":-1,"vector":[1,2]}' "is no key"
bad "a key with a NUL" '{"key":"text:a\u0000b","vector":[1,2]}' "the key is"
bad "a key twice" '{"key":3,"vector":[1,2],"key":4}' "'key' is there twice"
bad "metadata that are no object" '{"key":3,"vector":[1,2],"metadata":[1]}' "metadata"
bad "a key of the file" '{"key":1,"vector":[1,2]}' "key 1 exists"
bad "broken UTF-8" "$(printf '{"key":3,"vector":[1,2],"x":"\377"}')" "byte "

printf '{"key":1,"vector":[1,2]}\r\n{"key":2,"vector":[3,4]}' >crlf.jsonl
fresh db --dim 2
vs db import c crlf.jsonl
says "lines may end with CR LF, the last without" "2 rows added"
"$vecstore" db import c - --format jsonl --start-key 1 >out 2>err <<'END'
{"key":3,"vector":[1,2]}
END
status=$?
says "the standard input" "1 rows added"
for mode in upsert replace; do
    echo "{\"key\":1,\"vector\":[9,9],\"metadata\":{\"mode\":\"$mode\"}}" >one.jsonl
    vs db import c one.jsonl --$mode
    holds "--$mode replaces" grep -qF "$mode" <<END
$(content)
END
done
echo '{"key":77,"vector":[9,9]}' >one.jsonl
vs db import c one.jsonl --replace
fails "--replace wants keys that exist" "line 1" 77
vs db import c one.jsonl --replace --insert
usage "the modes exclude each other" "exclude"
vs db import c one.jsonl --append --key id
usage "so do --append and --key" "--append"
vs db import c one.jsonl --field nosuch
fails "an unknown field" "no field 'nosuch'"

# ---- tables --------------------------------------------------------------------------------------

printf '\357\273\277id,name,v0,v1,v2,n\r\n1,"a, ""b""\nc",0.5,-1,2e3,7\r\ntext:x,,1,2,3,1.50\r\n' >t.csv
fresh db --dim 3
vs db import c t.csv --key id --vector v0..v2 --metadata rest
gives "a CSV: a range of columns, quotes, line ends in cells" \
    '{"key":1,"vector":[0.5,-1,2000],"metadata":{"name":"a, \"b\"\nc","n":7}}' \
    '{"key":"text:x","vector":[1,2,3],"metadata":{"name":"","n":1.50}}'
fresh db --dim 3
vs db import c t.csv --key id --vector v0..v2
says "... a column that is left out is said" "2 rows added" "such as 'name'; --metadata rest keeps it"
printf 'key\tvector\tmetadata\n5\t"[1,2, 3]"\t"{""a"":1}"\n6\t[4,5,6]\t\n' >t.tsv
fresh db --dim 3
vs db import c t.tsv
gives "a TSV: a vector in one column" '{"key":5,"vector":[1,2,3],"metadata":{"a":1}}' \
    '{"key":6,"vector":[4,5,6],"metadata":null}'

printf 'id,a,name,b\n1,0.5,x,2\n2,3,7,4\n' >numeric.csv
fresh db --dim 2
vs db import c numeric.csv --key id --vector numeric --metadata rest
gives "all numeric columns" '{"key":1,"vector":[0.5,2],"metadata":{"name":"x"}}' \
    '{"key":2,"vector":[3,4],"metadata":{"name":7}}'
fresh db --dim 3
vs db import c numeric.csv --key id --vector numeric
fails "... are as many as the dimension says" "line 2: 2 columns are numeric, expected 3"

# bad_csv CLAIM ROW TEXT: the ROW behind a good one is refused, and another one can follow.
bad_csv() {
    printf '%s\n' key,v0,v1 1,1,2 "$2" 3,5,6 >bad.csv
    fresh db --dim 2
    vs db import c bad.csv --vector v0..v1
    fails "$1 is refused" "bad.csv: line 3: " "$3"
    vs db import c bad.csv --vector v0..v1 --on-error skip
    says "$1 may be passed over" "2 rows added, 1 refused"
}
bad_csv "a cell too few" 2,3 "2 cells, expected 3"
bad_csv "a cell too many" 2,3,4,5 "4 cells, expected 3"
bad_csv "a word for a number" 2,3,x "column 'v1' is 'x', expected a number"
bad_csv "an empty number" 2,3, "column 'v1'"
bad_csv "NaN" 2,3,nan "column 'v1'"
bad_csv "something behind a quote" '2,"3"x,4' "cell 2: a quote"
bad_csv "no key" ,3,4 "the key is ''"
printf 'key,v0,v1\n1,1,2\n2,"3,4\n3,4,5\n' >open.csv
vs db import c open.csv --vector v0..v1 --on-error skip
fails "a quote that is never closed ends the import" "open.csv: line 3: cell 2"
: >empty.csv
vs db import c empty.csv
fails "an empty table" "empty.csv" "header"
vs db import c bad.csv --vector v0..v2
fails "an unknown column" "bad.csv: line 1" "v0..v2"
vs db import c bad.csv --vector key..v1
fails "a column with two meanings" "'key' is asked for twice"
vs db import c bad.csv --vector v1
fails "a column that is no array" "no array of numbers"

# ---- arrays --------------------------------------------------------------------------------------

# npy FILE VERSION HEADER BYTES: an array with this header; BYTES for printf.
# shellcheck disable=SC2059 # they are formats
npy() {
    { printf '\223NUMPY'
      case $2 in
      1) printf '\001\000'; printf "\\$(printf %03o ${#3})\\000" ;;
      *) printf "\\00$2\\000"; printf "\\$(printf %03o ${#3})\\000\\000\\000" ;;
      esac
      printf '%s' "$3"
      printf "$4"; } >"$1"
}
# array CLAIM DESCR BYTES WANT: two rows of two elements.
array() {
    npy a.npy "${version:-1}" "{'descr': '$2', 'fortran_order': False, 'shape': (2, 2), }" "$3"
    fresh db --dim 2 --type "${type:-f32}"
    vs db import c a.npy
    says "npy of $1"
    same "npy of $1: elements" "$4" "$(content | sed 's/.*"vector":\[\(.*\)\],.*/\1/' | tr '\n' ' ')"
}
array f4 '<f4' '\000\000\200\077\000\000\000\100\000\000\100\100\000\000\200\300' '1,2 3,-4 '
array "big-endian f4" '>f4' '\077\200\000\000\100\000\000\000\100\100\000\000\300\200\000\000' '1,2 3,-4 '
array f8 '<f8' '\232\231\231\231\231\231\271\077\000\000\000\000\000\000\000\100\000\000\000\000\000\000\010\100\000\000\000\000\000\000\020\300' '0.1,2 3,-4 '
version=2
array f2 '<f2' '\000\074\000\100\000\102\000\304' '1,2 3,-4 '
version=3
array u1 '|u1' '\001\002\003\377' '1,2 3,255 '
array i1 '|i1' '\001\002\003\374' '1,2 3,-4 '
version=1
array i2 '<i2' '\001\000\002\000\003\000\374\377' '1,2 3,-4 '
array u2 '>u2' '\000\001\000\002\000\003\377\377' '1,2 3,65535 '
array i4 '<i4' '\001\000\000\000\002\000\000\000\003\000\000\000\374\377\377\377' '1,2 3,-4 '
array i8 '<i8' '\001\0\0\0\0\0\0\0\002\0\0\0\0\0\0\0\003\0\0\0\0\0\0\0\374\377\377\377\377\377\377\377' '1,2 3,-4 '
type=bit
array "bits" '|b1' '\001\000\000\001' '1,0 0,1 '
unset type
npy one.npy 1 "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }" '\000\000\200\077\000\000\000\100'
fresh db --dim 2
vs db import c one.npy
gives "npy of one dimension is a row" '{"key":0,"vector":[1,2],"metadata":null}'

fresh db --dim 2
# hostile CLAIM HEADER BYTES TEXT...
hostile() {
    claim=$1
    npy h.npy 1 "$2" "$3"
    shift 3
    refuses "$claim" h.npy "$@"
}
hostile "Fortran's order" "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }" '' "fortran_order"
hostile "complex numbers" "{'descr': '<c8', 'fortran_order': False, 'shape': (2, 2), }" '' "element type"
hostile "objects" "{'descr': '|O', 'fortran_order': False, 'shape': (2, 2), }" '' "element type"
hostile "three dimensions" "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2, 2), }" '' "(rows, dim)"
hostile "no dimension" "{'descr': '<f4', 'fortran_order': False, 'shape': (), }" '' "(rows, dim)"
hostile "a huge shape" "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }" '' rows
hostile "a shape beyond 64 bits" "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 4), }" '' "(rows, dim)"
hostile "a dimension beyond the limit" "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 65536), }" '' 65536
hostile "a dimension of 0" "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 0), }" '' "dimension is 0"
hostile "another dimension" "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3), }" '\0\0\0\0\0\0\0\0\0\0\0\0' "dimension is 3"
hostile "a file that is too short" "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }" '\0\0\0\0\0\0\0\0\0\0\0\0' "row 1: the file ends inside the row"
hostile "a file that is too long" "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2), }" '\0\0\0\0\0' "row 2: expected the end"
hostile "no header" "x" '' "begins with '{'"
hostile "NaN" "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }" '\0\0\300\177\0\0\0\0' "row 0: element 0"
hostile "an integer that f32 lacks" "{'descr': '<i4', 'fortran_order': False, 'shape': (1, 2), }" '\0\0\0\0\001\0\0\001' "row 0: element 1 is no integer"
hostile "a double that f32 lacks" "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2), }" '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\360\177' "row 0: element 1"
head -c 9 one.npy >cut.npy
refuses "a header that is cut" cut.npy "ends inside its header"
npy long.npy 2 x ''
printf '\223NUMPY\002\000\377\377\377\377' >long.npy
refuses "a header of 4 GiB" long.npy "longer header"

printf '\002\0\0\0\002\0\0\0\001\002\003\377' >a.u8bin
cp a.u8bin a.i8bin
printf '\001\0\0\0\002\0\0\0\000\000\200\077\000\000\000\100' >a.fbin
printf '\002\0\0\0\001\377\002\0\0\0\003\004' >a.i8vecs
for expected in 'u8bin:1,2 3,255 ' 'i8bin:1,2 3,-1 ' 'fbin:1,2 ' 'i8vecs:1,-1 3,4 '; do
    fresh db --dim 2
    vs db import c "a.${expected%%:*}"
    same "${expected%%:*}" "${expected#*:}" "$(content | sed 's/.*"vector":\[\(.*\)\],.*/\1/' | tr '\n' ' ')"
done
fresh db --dim 2
printf '\377\377\377\377\002\0\0\0\001' >huge.u8bin
refuses "u8bin with too many rows" huge.u8bin "rows"
printf '\002\0\0\0\002\0\0\0\001\002\003' >short.u8bin
refuses "u8bin that is cut" short.u8bin "row 1: the file ends"
printf '\002\0\0\0\002' >head.u8bin
refuses "u8bin whose header is cut" head.u8bin "header"

# ---- safetensors ---------------------------------------------------------------------------------

# tensors FILE HEADER BYTES: the same of safetensors.
# shellcheck disable=SC2059 # they are formats
tensors() {
    { printf "\\$(printf %03o ${#2})\\0\\0\\0\\0\\0\\0\\0"
      printf '%s' "$2"
      printf "$3"; } >"$1"
}
two='"a":{"dtype":"U8","shape":[2,2],"data_offsets":[0,4]},"b":{"dtype":"BF16","shape":[1,2],"data_offsets":[4,8]}'
tensors two.safetensors "{\"__metadata__\":{\"x\":\"y\"},$two}" '\001\002\003\004\200\077\000\100'
fresh db --dim 2
vs db import c two.safetensors --tensor b
gives "a tensor behind another" '{"key":0,"vector":[1,2],"metadata":null}'
fresh db --dim 2
vs db import c two.safetensors --tensor a
gives "a tensor in front of another" '{"key":0,"vector":[1,2],"metadata":null}' \
    '{"key":1,"vector":[3,4],"metadata":null}'
fresh db --dim 2
refuses "one of several tensors" two.safetensors "several tensors" "--tensor"
options="--tensor c"
refuses "an unknown tensor" two.safetensors "no such tensor"
unset options
tensors t.safetensors '{"a":{"dtype":"U8","shape":[2,2],"data_offsets":[0,4611686018427387904]}}' ''
refuses "offsets out of range" t.safetensors "offsets 0 to 4611686018427387904"
tensors t.safetensors '{"a":{"dtype":"U8","shape":[2,2],"data_offsets":[8,4]}}' ''
refuses "offsets that go backwards" t.safetensors "offsets 8 to 4"
tensors t.safetensors '{"a":{"dtype":"U8","shape":[2,2],"data_offsets":[1000,1004]}}' '\001'
refuses "offsets behind the end" t.safetensors "ends inside"
tensors t.safetensors '{"a":{"dtype":"F8","shape":[2,2],"data_offsets":[0,4]}}' ''
refuses "an unknown type" t.safetensors "F8"
tensors t.safetensors '{"a":{"dtype":"U8","shape":[4611686018427387904,4],"data_offsets":[0,4]}}' ''
refuses "a huge tensor" t.safetensors "rows"
tensors t.safetensors '{"a":{"dtype":"U8","shape":[2,"x"],"data_offsets":[0,4]}}' ''
refuses "a shape of words" t.safetensors "dtype, shape"
tensors t.safetensors '{"a":{"dtype":"U8","shape":[2,2],"data_offsets":[0,4]}' ''
refuses "a header that is no JSON" t.safetensors "JSON object"
printf '\377\377\377\377\377\377\377\377' >t.safetensors
refuses "a header of 2^64 bytes" t.safetensors "length"

# ---- several vector fields -----------------------------------------------------------------------

fresh db --field text:2:f32:cosine --field a:b:3:u8:optional --field 'flags x:4:bit:jaccard:flat:optional'
vs db info c --mode csv
prints "info shows each field" collection,records,dim,type,metric,index,field,optional \
    c,0,2,f32,cosine,auto,text,false c,0,3,u8,l2,auto,a:b,true c,0,4,bit,jaccard,flat,"flags x",true
vs db schema
prints "schema has the fields" "create --field text:2:f32:cosine:auto --field a:b:3:u8:l2:auto:optional \
--field 'flags x:4:bit:jaccard:flat:optional' -- c"
cp out made
rm -f again
"$vecstore" again <made
vs again schema
holds "... and makes them" cmp made out
cat >fields.jsonl <<'END'
{"key":1,"text":[1,2],"a:b":[1,2,3],"flags x":[0,1,1,0],"metadata":{"n":1}}
{"key":2,"text":[3,4]}
{"key":3,"text":[5,6],"flags x":[1,1,1,1],"a:b":null}
END
vs db import c fields.jsonl
says "JSON lines with several fields" "3 rows added"
vs db export c - --format jsonl
prints "... and back" '{"key":1,"text":[1,2],"a:b":[1,2,3],"flags x":[0,1,1,0],"metadata":{"n":1}}' \
    '{"key":2,"text":[3,4]}' '{"key":3,"text":[5,6],"flags x":[1,1,1,1]}'
for format in csv tsv; do
    vs db export c "fields.$format"
    rm -f again
    "$vecstore" again <made
    vs again import c "fields.$format"
    says "several fields as $format" "3 rows added"
    "$vecstore" again export c again.jsonl 2>err
    "$vecstore" db export c db.jsonl 2>err
    holds "... and back" cmp db.jsonl again.jsonl
done
vs db export c flags.npy --field 'flags x' --keys flags.keys
says "one field as npy" "2 records written" "1 records without a vector 'flags x' were left out" "one field"
vs db export c flags.npy --field nosuch
fails "an unknown field" "no field 'nosuch'"
echo '{"id":9,"other":[7,8],"a:b":[4,5,6]}' >mapped.jsonl
vs db import c mapped.jsonl --key id --vector other --field text
says "--field says which vector --vector is" "1 rows added"
echo '{"key":10,"a:b":[4,5,6]}' >mapped.jsonl
vs db import c mapped.jsonl
fails "a record lacks a vector that it must have" "line 1: there is no vector 'text'"
fresh db --field one:2:optional --field two:2:optional
vs db import c one.npy --field two
says "a file of vectors for the second field" "1 rows added"
vs db export c - --format jsonl
prints "... is there" '{"key":0,"two":[1,2]}'
rm -f db
for field in x x:0 x:65536 x:2:f64 x:2:f32:l3 :2 x:2:l2 x:2:flat "$(printf '%065d' 0):2"; do
    vs db create d --field "$field"
    usage "--field $field is refused" "$field"
done
vs db create d --field x:2 --dim 3
usage "fields have their own dimensions" "--dim"
vs db create d
usage "a dimension or fields" "--dim is needed"
vs db create d --field key:2
vs db export d d.jsonl
fails "a field that is called as a member is" "'key'"

# ---- companions ----------------------------------------------------------------------------------

printf '1 2\n3 4\n' | "$makevecs" rows fvecs >v.fvecs
printf 'text:a\n7/5\n' >v.keys
printf '{"x":1}\nnull\n' >v.metadata
fresh db --dim 2
vs db import c v.fvecs --keys v.keys --metadata v.metadata
gives "keys and metadata beside a file of vectors" '{"key":"text:a","vector":[1,2],"metadata":{"x":1}}' \
    '{"key":"7/5","vector":[3,4],"metadata":null}'
printf '7\n-1\n' | "$makevecs" rows ivecs >v.ivecs
fresh db --dim 2
vs db import c v.fvecs --labels v.ivecs
gives "labels from ivecs" '{"key":0,"vector":[1,2],"metadata":{"label":7}}' \
    '{"key":1,"vector":[3,4],"metadata":{"label":-1}}'
printf '7 8 9\n' | "$makevecs" rows ivecs >v.ivecs
fresh db --dim 2
vs db import c v.fvecs --labels v.ivecs
fails "too few of them" "v.ivecs: row 1"
fresh db --dim 2
echo text:a >short.keys
vs db import c v.fvecs --keys short.keys
fails "keys that are too few" "short.keys: row 1"
echo more >>v.metadata
vs db import c v.fvecs --metadata v.metadata
fails "metadata of rows that there are not" "v.metadata: more lines than the 2 rows"
same "... nothing is imported" "" "$(content)"
vs db import c v.fvecs --key id
usage "vectors have no names" "--key"

# ---- killed and continued ------------------------------------------------------------------------

# killed FILE ROWS: an import that is killed again and again has all rows at the end.
killed() {
    fresh db --dim 3
    for pause in 0.02 0.05 0.1 0.2; do
        "$vecstore" db import c "$1" --batch 20 2>/dev/null &
        pid=$!
        sleep "$pause"
        kill -9 $pid 2>/dev/null
        wait $pid 2>/dev/null
        same "$1 killed after $pause s: whole batches of $(count db) rows" 0 $(($(count db) % 20))
    done
    vs db import c "$1"
    says "$1 goes on" "rows"
    same "$1 has all rows" "$2" "$(count db)"
    same "... with their vectors" "$(awk -v n="$2" 'BEGIN { for (i = 0; i < n; i++)
        printf "{\"key\":%d,\"vector\":[%d,%d,%d],\"metadata\":null}\n", i, i, i % 7, i % 11 }' | cksum)" \
        "$(content | cksum)"
}
awk 'BEGIN { for (i = 0; i < 4000; i++) printf "{\"key\":%d,\"vector\":[%d,%d,%d]}\n", i, i, i % 7, i % 11 }' >many.jsonl
killed many.jsonl 4000
npy many.npy 1 "{'descr': '<f4', 'fortran_order': False, 'shape': (4000, 3), }" ''
awk 'BEGIN { for (i = 0; i < 4000; i++) print i, i % 7, i % 11 }' | "$makevecs" rows raw >>many.npy
killed many.npy 4000

finish

#!/bin/sh
# fields.sh - several vector fields in get, put, set, scan, search, distance and recall; parts of records.
. "$(dirname "$0")/lib.sh"
compile_makevecs

vs db create p --field title:2 --field text:3:u8:l2:optional
vs db put p 1 '[1, 2]' '{"a":1}'
prints "a vector alone is that of the first field"
vs db put p 2 '{"text": [1, 2, 3], "title": [3, 4]}' '{"b":[1]}'
prints "an object has a vector for each field"
vs db put p 3 --vector 'text=[7,8,9]' --vector 'title=[5,6]' '{"c":3}'
prints "so does --vector, once for each"
rows some.fvecs "7 8" "9 10"
vs db put p text:k --vector title=@some.fvecs --row 1 --vector text=null
prints "a vector may come from a file, null is none"
vs db get p 1 2 3 text:k --vectors --mode jsonl
prints "get has a member for each field" '{"key":1,"title":[1,2],"text":null,"metadata":{"a":1}}' \
    '{"key":2,"title":[3,4],"text":[1,2,3],"metadata":{"b":[1]}}' \
    '{"key":3,"title":[5,6],"text":[7,8,9],"metadata":{"c":3}}' \
    '{"key":"text:k","title":[9,10],"text":null,"metadata":null}'
vs db get p 3 --mode json
prints "without --vectors there is none in json" '[{"key":3,"metadata":{"c":3}}]'
vs db get p 3 1 --mode line
prints "... and all in what is read" "     key = 3" "   title = [5 6]" "    text = [7 8 9]" \
    'metadata = {"c":3}' "" "     key = 1" "   title = [1 2]" "    text = " 'metadata = {"a":1}'
vs db scan p --vectors --field text --mode csv
prints "--field says which are printed" key,text,metadata '1,,"{""a"":1}"' '2,"[1,2,3]","{""b"":[1]}"' \
    '3,"[7,8,9]","{""c"":3}"' text:k,,
vs db get p 2 --vectors --field text --field title --mode csv
prints "... in the order that they have" key,title,text,metadata '2,"[3,4]","[1,2,3]","{""b"":[1]}"'
vs db get p 2 --field titel
fails "the nearest field is said, and those that there are" "'p'" "'titel'" "nearest is 'title'" "'title' and 'text'"
vs db put p 1 --vector 'tixt=[1]'
fails "... of --vector" "'tixt'" "'text'"
vs db put p 1 '{"tixt":[1]}'
fails "... of an object" "'tixt'" "'text'"
vs db put p 1 '{"title":[1]}'
fails "a dimension is that of the field" "title: dimension is 1" "field 'title' of collection 'p' has 2"
vs db put p 1 '{"title":[1,2],"text":[1,2,256]}'
fails "... an element that of its type" "text" "element 2" u8
vs db put p 1 '{"text":[1,2,3]}'
fails "a field that is not optional is needed" title
for object in '{' '{}x' '{"title"}' '{"title":[1,2]' '{"title":[1,2],}' '{"title":1}' '{"title":"x"}' '{"title":{}}' \
    '{"title":[1,2],"title":[1,2]}'; do
    vs db put p 1 "$object"
    usage "the object $object is refused" "put"
done
vs db put p 1 --vector 'title=[1,2]' --vector '[1,2]'
usage "two vectors of one field are refused" "two vectors 'title'"
vs db put p 1 --vector 'title=3'
usage "... and what is none" "'3'"
vs db put p 1 --vector ''
usage "... also nothing"
vs db put p 9 '[1,2,3]' --field text
fails "--field is the field of the vector" title
vs db get p 1 --vectors --mode jsonl
prints "what was refused changed nothing" '{"key":1,"title":[1,2],"text":null,"metadata":{"a":1}}'

# ---- search --------------------------------------------------------------------------------------

vs db search p --near '[1,2,4]' --field text --mode jsonl
prints "a search of a field passes over what has none" \
    '{"query":0,"rank":1,"key":2,"distance":1,"metadata":{"b":[1]}}' \
    '{"query":0,"rank":2,"key":3,"distance":97,"metadata":{"c":3}}'
vs db search p --near '[1,2]' --radius 8 --mode csv --vectors
prints "the first is searched unless --field says another; --vectors prints those of the record" \
    query,rank,key,distance,metadata,title,text '0,1,1,0,"{""a"":1}","[1,2]",' '0,2,2,8,"{""b"":[1]}","[3,4]","[1,2,3]"'
vs db search p --key 2 --field text --vectors --mode csv
prints "... of the field that is searched alone" query,rank,key,distance,metadata,text '0,1,3,108,"{""c"":3}","[7,8,9]"'
vs db search p --json '{"near":[1,2,4],"field":"text","k":1,"mode":"csv"}'
prints "a JSON query has the member field" query,rank,key,distance,metadata '0,1,2,1,"{""b"":[1]}"'
vs db search p --near '[1,2,4]' --field text --radius 1 --mode csv
prints "--radius too" query,rank,key,distance,metadata '0,1,2,1,"{""b"":[1]}"'
vs db search p --key 1 --field text
fails "a record without the field has no neighbours" "key 1"
vs db search p --near '[1,2]' --field text
fails "a query has the dimension of the field" "dimension is 2" "'text'" 3
vs db search p --near '[1,2]' --field nosuch
fails "a field that is missing is said" "'nosuch'" "'title' and 'text'"
vs db distance p 2 3 --field text
prints "distance is of a field" 108
vs db distance p 2 3
prints "... or of the first" 8
vs db distance p 1 3 --field text
fails "... that both have" "key 1"
rows asked.bvecs "1 2 3" "9 9 9"
vs db recall p --queries asked.bvecs --field text -k 1
prints "recall is of a field" "recall@1 1.0000 queries=2 k=1"
rows truth.ivecs "2" "1"
vs db recall p --queries asked.bvecs --field text -k 1 --truth truth.ivecs
fails "... and names a record of the truth that has none" "record 1" "'text'"
vs db bench p --queries asked.bvecs --field text -k 1
holds "bench too" [ "$status" = 0 ]

# ---- names ---------------------------------------------------------------------------------------

vs db create odd --field key:1 --field 'a"b,c=d:1:f32' --field metadata:1
vs db put odd 1 '{"key":[1],"a\"b,c=d":[2],"metadata":[3]}'
vs db put odd 2 --vector 'key=[4]' --vector 'a"b,c=d=[5]' --vector 'metadata=[6]'
vs db scan odd --vectors --mode jsonl
prints "names of fields are escaped, and told from those of other columns" \
    '{"key":1,"vector:key":[1],"a\"b,c=d":[2],"vector:metadata":[3],"metadata":null}' \
    '{"key":2,"vector:key":[4],"a\"b,c=d":[5],"vector:metadata":[6],"metadata":null}'
vs db get odd 1 --vectors --mode csv
prints "... in csv" 'key,vector:key,"a""b,c=d",vector:metadata,metadata' '1,[1],[2],[3],'
vs db get odd 1 --field 'a"b,c=d' --mode markdown
prints "... and in tables" '| key | a"b,c=d | metadata |' '|----:|---------|----------|' '|   1 | [2]     |          |'
vs db create eight --field a:1 --field b:1 --field c:1 --field d:1 --field e:1 --field f:1 --field g:1 --field h:1
vs db put eight 1 '{"a":[1],"b":[2],"c":[3],"d":[4],"e":[5],"f":[6],"g":[7],"h":[8]}'
vs db search eight --key 1 --vectors --mode json
prints "eight fields are printed" '{"query":0,"hits":[]}'
vs db get eight 1 --vectors --versions --mode jsonl
holds "... with all there is" grep -q '"version":[0-9]*,"a":\[1\].*"h":\[8\],"metadata":null' out

# ---- parts of records ----------------------------------------------------------------------------

# version KEY: of a record.
version() {
    "$vecstore" db get p "$1" --versions --mode csv | sed 1d | cut -d, -f2
}
vs db put p 1 --patch '{"a":null,"n":{"x":1}}'
prints "--patch changes some of the metadata"
vs db put p 1 --patch '{"n":{"y":2}}' --vector 'text=[3,2,1]'
vs db get p 1 --vectors --mode jsonl
prints "... and vectors that are given, nothing else" \
    '{"key":1,"title":[1,2],"text":[3,2,1],"metadata":{"n":{"x":1,"y":2}}}'
vs db put p 1 '[8,9]' --patch '{}' --vector text=null
usage "with --vector there is no other vector" "'[8,9]'"
vs db put p 1 '{"title":[8,9],"text":null}' --patch '{}'
vs db get p 1 --vectors --mode jsonl
prints "null takes a vector away" '{"key":1,"title":[8,9],"text":null,"metadata":{"n":{"x":1,"y":2}}}'
vs db put p 1 --vector title=null --patch '{}'
fails "... not one that is needed" title
vs db put p 99 --patch '{}'
fails "--patch is for records that exist" "key 99"
vs db put p 1 --patch '[1]'
fails "a patch is an object" "metadata: expected a JSON object"
vs db put p 1 '[1,2]' '{}' --patch '{}'
usage "--patch and metadata exclude each other" "--patch"
vs db put p 1 --patch '{}' --mode insert
usage "... and --mode" "--patch"
old=$(version 1)
vs db put p 1 '[1,1]' '{}' --if-version "$old"
prints "--if-version of the version that is there"
vs db put p 1 '[2,2]' '{}' --if-version "$old"
fails "... and of one that was" version
vs db put p 1 --patch '{"z":1}' --if-version "$old"
fails "... with --patch"
vs db set p 1 '{"z":1}' --if-version "$old"
fails "... with set"
vs db set p 1 '{"z":2}' --if-version "$(version 1)"
prints "... which takes the right one"
vs db get p 1 --vectors --mode jsonl
prints "a version that is not there changes nothing" '{"key":1,"title":[1,1],"text":null,"metadata":{"z":2}}'
vs db put p 1 '[2,2]' --if-version 0
usage "no version is 0" "--if-version"
vs db put p 1 '[2,2]' --if-version 5 --insert
usage "what is inserted has no version" "version"

# ---- modes and --append --------------------------------------------------------------------------

vs db put p 1 '[2,2]' --mode insert
fails "--mode insert of a key that exists is an error" "key 1"
vs db put p 50 '[2,2]' --mode replace
fails "--mode replace of one that does not" "key 50"
vs db put p 1 '[2,2]' --mode ignore
prints "--mode ignore leaves it"
vs db get p 1 --vectors --mode jsonl
prints "... as it was" '{"key":1,"title":[1,1],"text":null,"metadata":{"z":2}}'
vs db put p 1 '[2,2]' --mode upsert
prints "--mode upsert replaces it"
vs db put p 1 '[2,2]' --mode upset
usage "an unknown mode is said, with the nearest and all" "'upset'" "upsert, insert, replace, ignore" "nearest"
vs db put p 1 '[2,2]' --mode upsert --insert
usage "modes exclude each other" "--mode"
vs db put p --append '[1,2]' '{"new":1}'
prints "--append prints the key" 4
vs db put p --append --vector 'title=[1,2]' --namespace 7
prints "... in a namespace" 7/5
vs db put p --append '{"title":[1,2]}' '{}' --mode upsert
usage "--append writes a new record" "--append"
vs db put p --append
usage "... which has a vector" "vector"
vs db put p --append 4 '[1,2]'
usage "... and no key" "'4'"
vs db put p 4 '[1,2]' --namespace 7
usage "--namespace is for --append" "--namespace"
vs db put p
usage "put wants a key" "key"
vs db put p 4
usage "... and a vector" "vector"
vs db put p 4 '[1,2]' '{}' '{}'
usage "... and nothing more" "unexpected"
session ".mode csv" "begin" "put p --append [1,2]" "rollback"
prints ".mode is that of the key" key 6
vs db check
says "the database is clean" clean
finish

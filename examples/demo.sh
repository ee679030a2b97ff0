#!/bin/sh
# demo.sh BUILD - vecstore's main job on the shipped slice of Fashion-MNIST: import pictures of clothes
# durably, find the nearest of some, and compare with the exact truth.
set -eu
build=${1:-build}
data=$(dirname "$0")/data
db=$build/demo.vs
vecstore=$build/vecstore

rm -f "$db" "$db"-wal-*
echo "\$ vecstore demo.vs create clothes --dim 784 --type u8"
"$vecstore" "$db" create clothes --dim 784 --type u8
echo "\$ vecstore demo.vs import clothes base.bvecs.zst --labels base_labels.u8"
"$vecstore" "$db" import clothes "$data/base.bvecs.zst" --labels "$data/base_labels.u8"
echo "\$ vecstore demo.vs info"
"$vecstore" "$db" info
echo "\$ vecstore demo.vs search clothes --near @query.bvecs.zst -k 5    (the first 3 of 500)"
"$vecstore" "$db" search clothes --near "@$data/query.bvecs.zst" -k 5 | head -20
labels=$(od -An -tu1 -N3 "$data/query_labels.u8")
echo "(these queries have the labels$labels)"
echo "\$ vecstore demo.vs recall clothes --queries query.bvecs.zst --truth gt.ivecs"
"$vecstore" "$db" recall clothes --queries "$data/query.bvecs.zst" --truth "$data/gt.ivecs"

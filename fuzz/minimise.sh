#!/usr/bin/env bash
# Makes the committed corpus of a target out of a grown one: fuzz/minimise.sh TARGET FOLDER
#
# Seeds stay. Of the rest the files are kept that reach edges which no smaller one does (how often an edge is passed does not
# count, or there would be hundreds), at most FILES (40), each of at most BYTES (1024).
set -euo pipefail
cd "$(dirname "$0")/.."
target="$1" grown="$2"
files="${FILES:-40}" bytes="${BYTES:-1024}"
corpus="fuzz/corpus/$target"
export RUSTC_BOOTSTRAP=1

work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
mkdir "$work/all"
# What fuzzing found before has a hexadecimal name; it is judged again.
for folder in "$corpus" "$grown"; do
    find "$folder" -type f -regextype posix-extended -regex '.*/[0-9a-f]{40}' -size "-$((bytes + 1))c" -exec cp -t "$work/all" {} +
done
cargo fuzz cmin "$target" "$work/all" -- -use_counters=0 -max_len="$bytes" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
find "$corpus" -type f -regextype posix-extended -regex '.*/[0-9a-f]{40}' -delete
find "$work/all" -type f -printf '%s %f\n' | sort -n | tail -n "$files" | while read -r _ name; do cp "$work/all/$name" "$corpus"; done
echo "$target: $(find "$corpus" -type f | wc -l) files, $(du -sb "$corpus" | cut -f1) bytes"

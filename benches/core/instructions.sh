#!/usr/bin/env bash
# Instructions per operation of rows, by callgrind: the difference between a long and a short run, so that setting up
# does not count. Repeatable to the instruction on any machine, busy or not.
#
#   benches/core/instructions.sh GROUP ROW [GROUP ROW]...      (names as benches/core.sh prints them)
set -euo pipefail
cd "$(dirname "$0")/../.."
bench="${CARGO_TARGET_DIR:-target}/release/longshore-core-benches"
[[ -x "$bench" ]] || cargo build --release --quiet -p longshore-core-benches

# Prints the instructions of a run with so many operations.
instructions() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$bench" --count "$1" "$2" "$3" 2>&1 |
        awk '/Collected/ { print $4 }'
}

while [[ $# -ge 2 ]]; do
    short=$(instructions "$1" "$2" 32000)
    long=$(instructions "$1" "$2" 96000)
    printf '%-14s %-44s %6d instructions\n' "$1" "$2" $(((long - short) / 64000))
    shift 2
done

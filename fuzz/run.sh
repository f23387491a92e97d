#!/usr/bin/env bash
# Runs every fuzz target for some seconds, from its corpus on: fuzz/run.sh [SECONDS [TARGET...]], 20 seconds by default.
#
# What is found goes to fuzz/artifacts/TARGET; reproduce it with
#   RUSTC_BOOTSTRAP=1 cargo fuzz run TARGET fuzz/artifacts/TARGET/NAME
# The committed corpora are only read. Sanitizers and coverage are unstable flags: RUSTC_BOOTSTRAP lets the stable
# compiler take them.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds="${1:-20}"
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo fuzz list)
export RUSTC_BOOTSTRAP=1

found=$(mktemp -d)
trap 'rm -r "$found"' EXIT
cargo fuzz build >"$found/log" 2>&1 || { cat "$found/log" >&2; exit 1; }
for target in "${targets[@]}"; do
    corpus="fuzz/corpus/$target"
    [ -d "$corpus" ] || { echo "fuzz/run.sh: $target has no corpus in $corpus" >&2; exit 1; }
    mkdir "$found/$target"
    begun=$SECONDS
    # Sequences of operations cost their square: short ones find more.
    case "$target" in core_*) longest=1024 ;; planner) longest=4096 ;; *) longest=65536 ;; esac
    # The first folder takes what is new, the others are read.
    if ! cargo fuzz run "$target" "$found/$target" "$corpus" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=$longest -print_final_stats=1 >"$found/log" 2>&1; then
        tail -n 60 "$found/log"
        echo "fuzz/run.sh: $target failed" >&2
        exit 1
    fi
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$found/log")
    echo "$target: $runs runs in $((SECONDS - begun)) s, nothing found"
done

#!/bin/sh
# Runs every mutant of mutants.txt against the test that must catch it, and fails if one survives. The mutants are those of
# loom-tests that one order of atomics can show: steps dropped or swapped, not orderings weakened.
set -eu
cd "$(dirname "$0")/.."
export RUSTFLAGS="${RUSTFLAGS:-} --cfg shuttle"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target/shuttle}"
# Enough for races of two single steps; a mutant is caught by the first of its schedules that goes wrong.
export SHUTTLE_ITERATIONS=5000
export RUST_BACKTRACE=0
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

cargo test -p shuttle-tests --test schedules --no-run --message-format=json 2>"$work/build" |
    grep -o '"executable":"[^"]*/schedules-[^"]*"' | cut -d'"' -f4 >"$work/tests" || true
tests=$(cat "$work/tests")
[ -x "$tests" ] || { cat "$work/build" >&2; exit 1; }

# Without a mutant every test must pass, or "caught" would mean nothing.
"$tests" >"$work/clean" 2>&1 || { cat "$work/clean" >&2; exit 1; }

grep -v '^#' shuttle-tests/mutants.txt >"$work/list"
survivors=0
while read -r mutant test; do
    if LONGSHORE_MUTANT="$mutant" timeout 120 "$tests" --exact "$test" >"$work/run" 2>&1; then
        survivors=$((survivors + 1))
        echo "SURVIVED  $mutant  $test"
    else
        echo "caught    $mutant: $(grep -a -m1 -A1 "panicked at" "$work/run" | tail -1 | cut -c1-90)"
    fi
done <"$work/list"
echo "$(wc -l <"$work/list") mutants, $survivors survived"
[ "$survivors" -eq 0 ]

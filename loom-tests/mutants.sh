#!/bin/sh
# Runs every mutant of mutants.txt against the model that must catch it, and fails if one survives or takes too long, if a
# model fails without a mutant, or if the list and the code name different mutants. One build serves all: a mutant is
# chosen by the environment variable LONGSHORE_MUTANT (core/src/sync/model.rs).
#
#   --real-epoch  only those that a model of the cache catches, with crossbeam's own collector
set -eu
cd "$(dirname "$0")/.."
export LOOM_MAX_PREEMPTIONS="${LOOM_MAX_PREEMPTIONS:-2}"
export LOOM_MAX_BRANCHES="${LOOM_MAX_BRANCHES:-10000}"
export RUST_BACKTRACE=0
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

flags="--cfg loom" target=target/loom which='.'
if [ "${1:-}" = --real-epoch ]; then
    flags="--cfg loom --cfg crossbeam_loom" target=target/loom-epoch which=' cache'
fi

grep -v '^#' loom-tests/mutants.txt | awk '{ print $1 }' | sort >"$work/listed"
grep -rhoE '(mutant|weaken|weaken_to)\([^"]*"[a-z-]+"' core/src | grep -oE '"[a-z-]+"' | tr -d '"' | sort -u >"$work/coded"
diff "$work/listed" "$work/coded" || { echo "mutants.txt and core name different mutants" >&2; exit 1; }
grep -v '^#' loom-tests/mutants.txt | grep -- "$which" >"$work/mutants"

target="${CARGO_TARGET_DIR:-$target}"
RUSTFLAGS="${RUSTFLAGS:-} $flags" CARGO_TARGET_DIR="$target" \
    cargo test --profile loom -p loom-tests --test models --no-run --message-format=json 2>"$work/build" |
    grep -o '"executable":"[^"]*/models-[^"]*"' | cut -d'"' -f4 >"$work/models" || true
models=$(cat "$work/models")
[ -x "$models" ] || { cat "$work/build" >&2; exit 1; }

# Without a mutant every model that is relied on must hold, or "caught" would mean nothing.
awk '{ print $2 }' "$work/mutants" | sort -u | xargs "$models" --exact --test-threads 2 \
    >"$work/clean" 2>&1 || { cat "$work/clean" >&2; exit 1; }
grep -q "test result: ok. $(awk '{ print $2 }' "$work/mutants" | sort -u | wc -l) passed" "$work/clean" ||
    { echo "mutants.txt names a model that is not there or is ignored" >&2; exit 1; }

survivors=0
while read -r mutant model; do
    code=0
    LONGSHORE_MUTANT="$mutant" timeout 120 "$models" --exact "$model" >"$work/run" 2>&1 || code=$?
    case "$code" in
        0) survivors=$((survivors + 1)) && echo "SURVIVED  $mutant  $model" ;;
        124) survivors=$((survivors + 1)) && echo "TOO SLOW  $mutant  $model" ;;
        *) echo "caught    $mutant: $(grep -m1 -A1 "panicked at\|deadlock" "$work/run" | tail -1 | cut -c1-90)" ;;
    esac
done <"$work/mutants"
echo "$(wc -l <"$work/mutants") mutants, $survivors survived"
[ "$survivors" -eq 0 ]

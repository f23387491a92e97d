#!/usr/bin/env bash
# Everything that must hold, from a clean clone on. Stops at the first failure. Installs what is missing.
#
#   ./test.sh             all steps
#   ./test.sh fmt tests   these steps only; their names are below
#
# Equal flags share a target folder: target/ (checks, tests, examples, demo), target/loom, target/loom-epoch, target/shuttle, target/tsan,
# target/asan, fuzz/target.
# Every step prints its time.
set -euo pipefail
cd "$(dirname "$0")"

# Step, what it does. The order is: cheapest first.
STEPS=(contracts fmt clippy tests doctests examples demo loom mutants shuttle thread-sanitizer address-sanitizer fuzz)

# Seconds per fuzz target.
FUZZ_SECONDS="${FUZZ_SECONDS:-20}"

step_contracts() { python3 .ci/contracts.py --check; }

step_fmt() { cargo fmt --all --check; }

step_clippy() { cargo clippy --workspace --all-targets -- -D warnings; }

step_tests() { cargo nextest run --config-file .ci/nextest.toml --workspace; }

step_doctests() { cargo test --workspace --doc; }

step_examples() { cargo build --workspace --examples; }

# The development build, which is there already; ./demo.sh alone builds for speed.
step_demo() {
    local data
    data=$(mktemp -d)
    LONGSHORE_PROFILE=dev ./demo.sh --size 128 --dir "$data"
    rm -r "$data"
}

# Every model, then those of the cache with crossbeam's own collector.
step_loom() {
    loom-tests/table.py --check
    loom-tests/run.sh
    loom-tests/run.sh --real-epoch
}

step_mutants() {
    loom-tests/mutants.sh
    loom-tests/mutants.sh --real-epoch
}

step_shuttle() {
    shuttle-tests/run.sh "${SHUTTLE_ITERATIONS:-2000}"
    shuttle-tests/mutants.sh
}

step_thread-sanitizer() { .ci/sanitize.sh thread; }

step_address-sanitizer() { .ci/sanitize.sh address; }

step_fuzz() { fuzz/run.sh "$FUZZ_SECONDS"; }

for name in "$@"; do
    case " ${STEPS[*]} " in
        *" $name "*) ;;
        *)
            echo "test.sh: no step is called '$name'; there are: ${STEPS[*]}" >&2
            exit 2
            ;;
    esac
done
[ $# -eq 0 ] || STEPS=("$@")

now=install
trap '[ $? -eq 0 ] || echo "test.sh: step $now failed" >&2' EXIT

# shellcheck source=.ci/install.sh
. .ci/install.sh "${STEPS[@]}"

times=()
for now in "${STEPS[@]}"; do
    printf '\n=== %s\n' "$now"
    begun=$SECONDS
    "step_$now"
    times+=("$((SECONDS - begun)) s  $now")
    echo "--- $now: $((SECONDS - begun)) s"
done
printf '\nAll steps passed in %d s:\n' "$SECONDS"
printf '  %s\n' "${times[@]}"

#!/bin/sh
# Runs core, and the engine's prefetcher, under random schedules: shuttle-tests/run.sh [ITERATIONS [TEST...]]
#
# ITERATIONS is per test and scheduler; there are two of these, random and PCT. A failing test prints its schedule, and
#   SHUTTLE_REPLAY=SCHEDULE shuttle-tests/run.sh 1 TEST
# runs that one again (SHUTTLE_REPLAY_FILE=FILE if it is long). SHUTTLE_RANDOM_SEED=NUMBER begins elsewhere.
#
# Own target directory: the flag would rebuild everything else.
set -eu
cd "$(dirname "$0")/.."
export SHUTTLE_ITERATIONS="${1:-2000}"
[ $# -eq 0 ] || shift
export RUSTFLAGS="${RUSTFLAGS:-} --cfg shuttle"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target/shuttle}"
export RUST_BACKTRACE="${RUST_BACKTRACE:-0}"
cargo test -p shuttle-tests --test schedules -- "$@"
cargo test -p longshore --no-default-features --lib -- schedules "$@"

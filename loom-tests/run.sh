#!/bin/sh
# Model-checks every protocol of longshore-core. Arguments go to the test binary (a model's name, --nocapture, ...).
#
#   --real-epoch          as the first argument: only the models of the cache, with crossbeam's collector as it is instead
#                         of the stand-in of core/src/epoch/model.rs
#   LOOM_MAX_PREEMPTIONS  how many times a run may switch threads against their will (2 unless given; 3: slower,
#                         see README.md)
#   LOOM_MAX_BRANCHES     how long a run may be before it is taken for a spin
#
# Own target directories: the flags would rebuild everything else.
set -eu
cd "$(dirname "$0")/.."
flags="--cfg loom" target=target/loom models=
if [ "${1:-}" = --real-epoch ]; then
    shift
    flags="--cfg loom --cfg crossbeam_loom" target=target/loom-epoch models=cache
fi
export RUSTFLAGS="${RUSTFLAGS:-} $flags"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$target}"
export LOOM_MAX_PREEMPTIONS="${LOOM_MAX_PREEMPTIONS:-2}"
export LOOM_MAX_BRANCHES="${LOOM_MAX_BRANCHES:-10000}"
# shellcheck disable=SC2086 # no model named: no filter
exec cargo test --profile loom -p loom-tests --test models -- $models "$@"

#!/bin/sh
# Model-checks every protocol of longshore-core. Arguments go to the test binary (a model's name, --nocapture, ...).
#
#   LOOM_MAX_PREEMPTIONS  how many times a run may switch threads against their will (2: what most bugs need; 3: slower)
#   LOOM_MAX_BRANCHES     how long a run may be before it is taken for a spin
#
# Own target directory: the flag would rebuild everything else.
set -eu
cd "$(dirname "$0")/.."
export RUSTFLAGS="${RUSTFLAGS:-} --cfg loom"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target/loom}"
export LOOM_MAX_PREEMPTIONS="${LOOM_MAX_PREEMPTIONS:-3}"
export LOOM_MAX_BRANCHES="${LOOM_MAX_BRANCHES:-10000}"
exec cargo test --profile loom -p loom-tests --test models -- "$@"

#!/usr/bin/env bash
# Runs tests under a sanitizer: .ci/sanitize.sh thread|address [arguments of nextest]
#
#   thread   core's tests whose threads share atomics alone: what x86 hides of a missing ordering
#   address  core's tests, and the main job end to end: use after free, double free, leaks
#
# Sanitizers are unstable flags; RUSTC_BOOTSTRAP lets the stable compiler take them, so that everybody runs the same one.
# A target is named so that build scripts and macros, which run inside the compiler, are built without them.
set -euo pipefail
cd "$(dirname "$0")/.."
kind="${1:-}"
shift || true

export RUSTC_BOOTSTRAP=1
export CARGO_INCREMENTAL=0
target="$(rustc -vV | sed -n 's/^host: //p')"
nextest=(cargo nextest run --config-file .ci/nextest.toml --target "$target")

case "$kind" in
    thread)
        export RUSTFLAGS="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer --cfg tsan"
        export CARGO_TARGET_DIR=target/tsan
        export TSAN_OPTIONS="suppressions=$PWD/.ci/tsan-suppressions.txt halt_on_error=1"
        exec "${nextest[@]}" -p longshore-core "$@"
        ;;
    address)
        export RUSTFLAGS="-Zsanitizer=address"
        export CARGO_TARGET_DIR=target/asan
        ASAN_OPTIONS="detect_leaks=1" exec "${nextest[@]}" -p longshore-core -p longshore-tests -E "not binary(conformance)" "$@"
        ;;
    *)
        echo "usage: .ci/sanitize.sh thread|address [arguments of cargo nextest run]" >&2
        exit 2
        ;;
esac

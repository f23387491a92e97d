#!/usr/bin/env bash
# Builds longshore and runs the main job once, on data it writes itself: longshore demo. Arguments are passed on (--help).
#
#   LONGSHORE_PROFILE   release (the default) or dev: faster to build, slower to run
set -euo pipefail
cd "$(dirname "$0")"

# rustup's default folder, for a shell that was opened before it was installed.
[ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ] && PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
if ! command -v cargo >/dev/null; then
    echo "demo.sh: cargo is missing. Get Rust with" >&2
    echo "    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh" >&2
    echo "and run this again." >&2
    exit 1
fi
# The independent Zarr writer brings C and C++ codecs.
if ! { command -v cc && command -v c++; } >/dev/null; then
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "demo.sh: a C and a C++ compiler are needed (Debian: sudo apt-get install g++)" >&2
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends g++ libc6-dev >/dev/null
fi

exec cargo run --profile "${LONGSHORE_PROFILE:-release}" -p longshore --bin longshore -- demo "$@"

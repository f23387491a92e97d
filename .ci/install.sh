# Sourced by test.sh with the names of its steps: finds or installs what they need, or fails. Exports LONGSHORE_PYTHON.
# shellcheck shell=bash

missing() {
    echo "test.sh: $1" >&2
    exit 1
}

# Debian packages, where we may install them.
debian() {
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        missing "$* is missing; install it (Debian: apt-get install $*) and run again"
    fi
    echo "Installing $*"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

# A cargo subcommand, built here. Unoptimised: it is used once or twice, and building it costs more than running it.
cargo_tool() {
    command -v "$1" >/dev/null || cargo install --locked --debug "$1"
}

rust_component() {
    cargo "$1" --version >/dev/null 2>&1 || rustup component add "$2"
}

# A Python with the packages that write test arrays. Made anew whenever the requirements change.
python_with_zarr() {
    local requirements=tests/python/requirements.txt
    command -v python3 >/dev/null || debian python3
    python3 -c 'import ensurepip, venv' 2>/dev/null || debian python3-venv
    if ! cmp -s "$requirements" .venv/requirements.txt; then
        python3 -m venv --clear .venv
        .venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$requirements"
        cp "$requirements" .venv/requirements.txt
    fi
    export LONGSHORE_PYTHON="$PWD/.venv/bin/python"
}

[ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ] && PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
command -v cargo >/dev/null || missing "cargo is missing; get it with: curl https://sh.rustup.rs -sSf | sh"
# zarrs brings C and C++ codecs, libFuzzer is C++.
{ command -v cc && command -v c++; } >/dev/null || debian g++ libc6-dev

for name in "$@"; do
    case "$name" in
        contracts) command -v python3 >/dev/null || debian python3 ;;
        fmt) rust_component fmt rustfmt ;;
        clippy) rust_component clippy clippy ;;
        tests)
            cargo_tool cargo-nextest
            [ -n "${LONGSHORE_PYTHON:-}" ] || python_with_zarr
            ;;
        thread-sanitizer | address-sanitizer) cargo_tool cargo-nextest ;;
        fuzz) cargo_tool cargo-fuzz ;;
    esac
done

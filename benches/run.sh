#!/usr/bin/env bash
# Compares Longshore with its peers on scenarios: benches/run.sh [OPTIONS] SCENARIO...      (benches/run.sh --help)
# A scenario is a file, or the name of one in benches/scenarios. The Python peers need benches/peers/setup.sh once.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
python="$root/.cache/peers-venv/bin/python"
[[ -x "$python" ]] || { echo "no Python peers (benches/peers/setup.sh makes their environment)" >&2; python=python3; }
cd "$root"
cargo build --release --quiet -p longshore -p longshore-benches --bins
exec "$python" benches/peers/compare.py "$@"

#!/usr/bin/env bash
# Makes the virtual environment of the Python peers in .cache/peers-venv (ignored by git).
# PYTHON names the interpreter; without it the newest of 3.13, 3.12, 3.11 that runs is taken (zarr-python 3.2 and later want 3.12).
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
venv="$root/.cache/peers-venv"
if [[ -z "${PYTHON:-}" ]]; then
    for candidate in python3.13 python3.12 "$HOME"/.pyenv/versions/3.1[32].*/bin/python python3.11 python3; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            PYTHON="$candidate"
            break
        fi
    done
fi
[[ -x "$venv/bin/python" ]] || "$PYTHON" -m venv "$venv"
"$venv/bin/pip" install --quiet --upgrade tensorstore zarr zarrs numpy xxhash
"$venv/bin/pip" list 2>/dev/null | grep -i -E '^(tensorstore|zarr|zarrs|numpy|xxhash) '

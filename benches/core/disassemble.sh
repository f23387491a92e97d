#!/usr/bin/env bash
# Shows that handle -> value under a held guard has no locked instruction: prints the function's instructions, and fails
# if one of them is a `lock` or an `xchg` with memory, or if the function cannot be found.
# The calls in it lead to what is not the hot path: the second look at an unpublished entry, and the panics.
set -euo pipefail
cd "$(dirname "$0")/../.."
bench="${CARGO_TARGET_DIR:-target}/release/longshore-core-benches"
[[ -x "$bench" ]] || cargo build --release --quiet -p longshore-core-benches

code=$(objdump --disassemble --demangle --no-show-raw-insn "$bench" |
    awk '/^[0-9a-f]+ <.*>:$/ { on = /probe_handle_to_value/ } on && NF')
[[ -n "$code" ]] || { echo "the probe is not in $bench" >&2; exit 1; }
printf '%s\n' "$code"
if grep -E '\block\b|\bxchg\b.*\(|\bmfence\b' <<<"$code"; then
    echo "handle -> value has a locked instruction" >&2
    exit 1
fi
echo "handle -> value: $(grep -cE '^ +[0-9a-f]+:' <<<"$code") instructions, cold paths included, none of them locked"

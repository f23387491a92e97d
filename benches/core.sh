#!/usr/bin/env bash
# Measures longshore-core against the caches it could have used: one table per question, each aim met or missed.
#
#   benches/core.sh [--rounds N] [--scale F] [GROUP...]   groups by prefix: hit, miss/4096, ...; --list names them
#   benches/core.sh --quick                               5 short rounds, and nothing but the tables
#
# Without groups it also counts instructions (valgrind), looks at the code (objdump), counts system calls (strace) and
# weighs entries. About six minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --quiet -p longshore-core-benches
bench="${CARGO_TARGET_DIR:-target}/release/longshore-core-benches"
case "${1:-}" in
    --quick) exec "$bench" --rounds 5 --scale 0.25 ;;
    *) "$bench" "$@" ;;
esac
[[ " $* " =~ \ [a-z]+ ]] && exit 0

printf '\nInstructions per operation, hashing included (callgrind)\n'
for entries in 4096 65536; do
    rows=()
    for row in "ours, same batch" "ours, new batch" "ours, same batch, 32 at once" "sharded mutex + hashbrown" "sharded mutex + lru" \
        dashmap papaya "papaya, one guard per 32" quick_cache moka "foyer (s3fifo)"; do
        rows+=("hit/$entries/1" "$row")
    done
    benches/core/instructions.sh "${rows[@]}"
done
benches/core/instructions.sh miss/4096 "ours: request, complete, drain, evict" miss/4096 "quick_cache, Arc values" \
    miss/4096 "(quick_cache, single flight, Arc)" gate arrive bell ring watermark "1000 entries"
printf '\nLocked instructions on the way from a handle to its value (objdump)\n'
benches/core/disassemble.sh | tail -1
printf '\nSystem calls (strace)\n'
benches/core/syscalls.sh
printf '\nBytes per entry beside key and value (a counting allocator)\n'
cargo test --release --quiet -p longshore-core-benches --test memory -- --nocapture | grep -E '[0-9]\.[0-9]|arithmetic'

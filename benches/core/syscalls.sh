#!/usr/bin/env bash
# Shows that a gate's arrivals and a bell's rings make no system call: strace counts those of a short and of a long run,
# which must not differ by more than what the clock and the allocator do.
set -euo pipefail
cd "$(dirname "$0")/../.."
bench="${CARGO_TARGET_DIR:-target}/release/longshore-core-benches"
[[ -x "$bench" ]] || cargo build --release --quiet -p longshore-core-benches

# Prints the futex calls, and all calls but those that read the clock, of a run with so many operations.
calls() {
    strace -f -c -S name -o "$out" "$bench" --count "$1" "$2" "$3"
    awk -v what="$4" '$NF == "total" || $1 == "%" || /^-/ { next } what == "all" ? $NF != "clock_gettime" : $NF == what { n += $4 } END { print n + 0 }' "$out"
}

out=$(mktemp)
trap 'rm "$out"' EXIT
failed=0
# A counter that counts nothing would be content with everything: two threads that wake each other do call the futex.
woken=$(calls wake "ours: mailbox, completion, bell" 2000 futex)
echo "wake, for comparison: $woken futex calls in 2000 round trips"
[[ $woken -ge 2000 ]] || failed=1
for case in "gate:arrive" "bell:ring" "handle/64/1:ours, guard per look-up" "hit/4096/1:ours, new batch"; do
    group=${case%%:*} row=${case#*:}
    short=$(calls "$group" "$row" 10000 all) long=$(calls "$group" "$row" 1010000 all) futex=$(calls "$group" "$row" 1010000 futex)
    echo "$group, $row: $((long - short)) system calls more for 1 M operations more, $futex on futexes"
    [[ $((long - short)) -le 10 ]] || failed=1
done
exit $failed

//! One look-up by itself, so that its instructions can be read: `benches/core/disassemble.sh`.

use crate::ours::{Fault, Ours};
use longshore_core::cache::{CacheReader, Handle, Lookup};
use longshore_core::epoch::Guard;

/// Handle to value under a guard that is held.
#[inline(never)]
pub fn probe_handle_to_value(reader: &CacheReader<u64, Fault>, handle: Handle, guard: &Guard<'_>) -> u64 {
    match reader.get(handle, guard) {
        Lookup::Ready(value) => *value,
        _ => 0,
    }
}

/// Looks one value up.
#[must_use]
pub fn run() -> u64 {
    let mut ours = Ours::new(1);
    let handle = ours.load(7, &7_u64);
    let thread = ours.epoch.register();
    let guard = thread.pin();
    probe_handle_to_value(&ours.reader, handle, &guard)
}

//! One look-up by itself, so that its instructions can be read: `benches/core/disassemble.sh`.

use crate::ours::Fault;
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

//! What an entry costs beside its key and its value, counted by the allocator, for ours and for every peer.
//!
//! `cargo test --release -p longshore-core-benches --test memory -- --nocapture` prints the table.

use longshore_core_benches::each_peer;
use longshore_core_benches::keys::Key;
use longshore_core_benches::ours::Ours;
use longshore_core_benches::peers::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes asked for and not given back.
static LIVE: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Relaxed: a sum that is read when nobody allocates.
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // Relaxed: as above.
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(at, layout) };
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Key and value, which everybody has to hold.
const PAYLOAD: usize = size_of::<Key>() + size_of::<u64>();

/// Bytes that `make` keeps, beside keys and values.
fn beside<C>(entries: usize, make: impl FnOnce(usize) -> C) -> f64 {
    // Relaxed, twice: nobody else allocates.
    let before = LIVE.load(Ordering::Relaxed);
    let cache = make(entries);
    let bytes = LIVE.load(Ordering::Relaxed) - before;
    drop(cache);
    bytes as f64 - (entries * PAYLOAD) as f64
}

fn keys(entries: usize) -> impl Iterator<Item = Key> {
    (0..entries as u64).map(Key::new)
}

fn ours(entries: usize) -> Ours<Key> {
    let mut ours = Ours::new(entries);
    for key in keys(entries) {
        ours.ask(key.hash64(), &key);
        ours.drain();
    }
    assert_eq!(ours.owner.stats().entries, entries);
    ours
}

fn peer<P: Peer<u64>>(entries: usize) -> P {
    let peer = P::new(entries);
    keys(entries).for_each(|key| peer.put(key, 1));
    peer
}

/// One test, since others would allocate beside it.
#[test]
fn an_entry_costs_at_most_80_bytes_beside_key_and_value() {
    // By arithmetic. Index 16; record: word 8, tag 4, waiters 4; links 12; slot: word 8, link 4, and 4 to align; pointer
    // 8. The value's box: a generation and a tag.
    let computed = 16 + 16 + 12 + 16 + 8 + 8;
    println!("ours by arithmetic: {computed}");
    assert!(computed <= 80);
    // What does not grow, the wheel's lists above all, is the same for both sizes.
    let each = (beside(60_000, ours) - beside(20_000, ours)) / 40_000.0;
    println!("ours by allocator: {each:.2} for each further entry");
    assert!((each - f64::from(computed)).abs() < 0.1, "measured {each}, computed {computed}");
    for entries in [10_000, 65_536, 100_000] {
        println!("{entries} entries, everything counted\n    {:<28} {:>6.1}", "ours", beside(entries, ours) / entries as f64);
        macro_rules! row {
            ($peer:ident) => {
                let bytes = beside(entries, peer::<$peer<u64>>) / entries as f64;
                println!("    {:<28} {bytes:>6.1}", <$peer<u64> as Peer<u64>>::NAME);
            };
        }
        each_peer!(row);
    }
}

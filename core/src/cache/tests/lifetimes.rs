//! How long values live, and that each is destroyed once.

use super::*;

#[test]
fn c03_a_value_under_a_guard_outlives_its_eviction() {
    let mut rig = Rig::new(1);
    let handle = rig.load(1, 0);
    let reader = rig.reader.clone();
    let thread = rig.epoch.register();
    let guard = thread.pin();
    let Lookup::Ready(value) = reader.get(handle, &guard) else { panic!("not ready") };
    for key in 2..200 {
        rig.watermark.advance_to(B(key));
        rig.load(key, key);
        assert_eq!(value.number, 1, "alive and unchanged");
    }
    rig.collect();
    assert_eq!(rig.see(handle), Seen::Stale);
    assert_eq!(value.number, 1);
    let while_held = rig.dropped();
    drop(guard);
    rig.collect();
    assert!(rig.dropped() > while_held, "the guard held something");
    let Rig { owner, reader: other, thread: own, epoch, dropped, .. } = rig;
    drop((owner, reader, other, thread, own, epoch));
    assert_eq!(dropped.load(Ordering::Relaxed), 199, "each once");
}

#[test]
fn c03_what_is_evicted_is_destroyed_while_the_cache_lives() {
    let mut rig = Rig::new(2);
    for key in 0..100 {
        rig.watermark.advance_to(B(key));
        rig.load(key, key);
    }
    rig.collect();
    assert_eq!(rig.dropped(), 98);
}

#[test]
fn c03_a_reader_alone_keeps_nothing_back() {
    let mut rig = Rig::new(2);
    let handle = rig.load(0, 0);
    let (pending, completion) = rig.fetch(1, 0);
    completion.complete(rig.value(1)); // completed, never drained
    let Rig { owner, reader, thread, epoch, dropped, .. } = rig;
    drop(owner);
    assert_eq!([handle, pending].map(|handle| see(&reader, handle, &thread)), [Seen::Stale, Seen::Stale]);
    (0..8).for_each(|_| thread.pin().flush());
    assert_eq!(dropped.load(Ordering::Relaxed), 2, "the owner's end ends the values");
    drop((reader, thread, epoch));
    assert_eq!(dropped.load(Ordering::Relaxed), 2);
}

#[test]
fn two_caches_share_an_epoch() {
    let mut rig = Rig::new(1);
    let mut other = cache::<u64, String, Fault>(1, &rig.epoch, rig.watermark.clone(), Arc::new(Bell::new()));
    let Request::Fetch(text, completion) = other.0.request(0, &0, B(0), WaiterId(0)) else { panic!() };
    completion.complete("text".into());
    let number = rig.load(5, 0);
    let guard = rig.thread.pin();
    assert!(matches!(other.1.get(text, &guard), Lookup::Ready(text) if text == "text"));
    assert!(matches!(rig.reader.get(number, &guard), Lookup::Ready(value) if value.number == 5));
}

/// Nobody calls `collect`: deliveries come of themselves, and a busy cache keeps few values beyond their time.
#[test]
fn c03_a_busy_cache_destroys_what_it_evicts() {
    const CAPACITY: u64 = 64;
    const CYCLES: u64 = 2000;
    let mut rig = Rig::new(CAPACITY as usize);
    for key in 0..CYCLES {
        rig.load(key, key);
        rig.watermark.advance_to(B(key + 1));
    }
    let evicted = rig.owner.stats().evictions;
    assert_eq!(evicted, CYCLES - CAPACITY);
    // A delivery is a sixteenth of the capacity, and the collector is a few of them behind.
    assert!(rig.dropped() as u64 > evicted - CAPACITY, "{} of {evicted} destroyed", rig.dropped());
}

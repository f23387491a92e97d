//! Threads that meet in the cache: what the models check exhaustively and small, here once large.

use super::*;
use std::sync::mpsc;

#[test]
fn c02_c03_readers_never_see_a_dead_or_foreign_value() {
    const KEYS: u64 = 30_000;
    let mut rig = Rig::new(16);
    let newest: Arc<std::sync::atomic::AtomicU64> = Arc::default();
    let recent: Arc<[std::sync::atomic::AtomicU64]> = (0..64).map(|_| std::sync::atomic::AtomicU64::new(u64::MAX)).collect();
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (reader, epoch) = (rig.reader.clone(), rig.epoch.clone());
            let (newest, recent) = (newest.clone(), recent.clone());
            std::thread::spawn(move || {
                let thread = epoch.register();
                let (mut ready, mut key) = (0_u64, 0);
                while newest.load(Ordering::Acquire) != KEYS {
                    key = (key + 7) % 64;
                    // The handle packed with its key: 8 + 24 + 32 bits.
                    let packed = recent[key as usize].load(Ordering::Acquire);
                    if packed == u64::MAX {
                        continue;
                    }
                    let handle = Handle { slot: (packed & 0xff) as u32, generation: (packed >> 8 & 0xff_ffff) as u32 };
                    let guard = thread.pin();
                    if let Lookup::Ready(value) = reader.get(handle, &guard) {
                        assert_eq!(value.number, packed >> 32);
                        std::hint::spin_loop();
                        assert_eq!(value.number, packed >> 32, "alive until the guard drops");
                        ready += 1;
                    }
                }
                ready
            })
        })
        .collect();
    for key in 0..KEYS {
        rig.watermark.advance_to(B(key.saturating_sub(8)));
        let handle = rig.load(key, key);
        let packed = key << 32 | u64::from(handle.generation()) << 8 | u64::from(handle.slot());
        recent[(key % 64) as usize].store(packed, Ordering::Release);
    }
    newest.store(KEYS, Ordering::Release);
    readers.into_iter().for_each(|reader| _ = reader.join().unwrap());
    let Rig { owner, reader, thread, epoch, dropped, .. } = rig;
    drop((owner, reader, thread, epoch));
    assert_eq!(dropped.load(Ordering::Relaxed), KEYS as usize);
}

#[test]
fn c05_c22_completions_from_other_threads_wake_the_owner_and_lose_nobody() {
    const KEYS: u64 = 20_000;
    let mut rig = Rig::new(64);
    let (workers, ends): (Vec<_>, Vec<_>) = (0..3)
        .map(|_| {
            let (send, receive) = mpsc::channel::<(u64, Completion<Tracked, Fault>)>();
            let dropped = rig.dropped.clone();
            let worker = std::thread::spawn(move || {
                for (key, completion) in receive {
                    match key % 3 {
                        0 => completion.complete(Tracked { number: key, dropped: dropped.clone() }),
                        1 => completion.fail(Fault::Code(key)),
                        _ => drop(completion),
                    }
                }
            });
            (worker, send)
        })
        .unzip();
    let (mut told, mut key) = (0, 0);
    while told < KEYS {
        let ticket = rig.bell.listen();
        while key < KEYS {
            match rig.owner.request(spread(key), &key, B(0), WaiterId(key as u32)) {
                Request::Fetch(_, completion) => ends[key as usize % 3].send((key, completion)).unwrap(),
                Request::Saturated => break,
                other => panic!("{other:?}"),
            }
            key += 1;
        }
        let mut done = Vec::new();
        rig.owner.drain_completed(|handle, waiter| done.push((handle, waiter)));
        if done.is_empty() {
            rig.bell.wait(ticket); // would hang if a completion were lost
        }
        told += done.len() as u64;
        for (handle, waiter) in done {
            let key = u64::from(waiter.0);
            let expected = [Seen::Ready(key), Seen::Failed(Fault::Code(key)), Seen::Failed(Fault::Cancelled)];
            assert_eq!(rig.see(handle), expected[key as usize % 3]);
            rig.owner.forget(handle);
        }
    }
    drop(ends);
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    assert_eq!(rig.owner.stats().entries, 0);
}

#[test]
fn c07_the_owner_may_go_while_completions_come() {
    for round in 0..300 {
        let mut rig = Rig::new(8);
        let completions: Vec<_> = (0..8).map(|key| rig.fetch(key, 0).1).collect();
        let (dropped, gate) = (rig.dropped.clone(), Arc::new(std::sync::Barrier::new(2)));
        let worker = std::thread::spawn({
            let (dropped, gate) = (dropped.clone(), gate.clone());
            move || {
                gate.wait();
                for (number, completion) in (0..).zip(completions) {
                    completion.complete(Tracked { number, dropped: dropped.clone() });
                }
            }
        });
        gate.wait();
        for _ in 0..round {
            std::hint::spin_loop();
        }
        let Rig { owner, reader, thread, epoch, .. } = rig;
        drop(owner);
        worker.join().unwrap();
        (0..8).for_each(|_| thread.pin().flush());
        assert_eq!(dropped.load(Ordering::Relaxed), 8, "no reader is needed to get rid of them");
        drop((reader, thread, epoch));
        assert_eq!(dropped.load(Ordering::Relaxed), 8);
    }
}

use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;

use super::*;

struct Bench {
    cache: DescriptorCache,
    counters: Arc<Counters>,
}

impl Bench {
    fn new(capacity: usize) -> Self {
        Self { cache: DescriptorCache::new(capacity), counters: Arc::default() }
    }

    fn open(&self, key: &ObjectKey) -> OpenFile {
        let null = std::fs::File::open("/dev/null").unwrap();
        OpenFile::new(key, (null.into(), 0), &self.counters)
    }

    fn get(&self, key: &ObjectKey) -> Lease<'_> {
        self.cache.get_or_open(key, || Ok(self.open(key))).unwrap()
    }

    fn open_now(&self) -> u64 {
        self.counters.snapshot().open_files
    }
}

fn key(number: usize) -> ObjectKey {
    format!("object/{number}").into()
}

/// Waits until `count` readers wait for the flight of `key`.
fn await_waiters(cache: &DescriptorCache, key: &ObjectKey, count: u32) {
    let (set, _) = cache.place(key);
    let begun = std::time::Instant::now();
    while lock(&set.slow).flights.iter().all(|flight| flight.key != *key || lock(&flight.state).waiters < count) {
        assert!(begun.elapsed().as_secs() < 60, "the readers do not wait for the one who opens");
        std::thread::yield_now();
    }
}

#[test]
fn c40_never_more_files_than_the_capacity_and_every_one_closed() {
    for capacity in [1, 2, 16, 64] {
        let bench = Bench::new(capacity);
        assert_eq!(bench.cache.capacity(), capacity);
        for number in 0..500 {
            drop(bench.get(&key(number % 200)));
            assert!(bench.open_now() <= capacity as u64);
        }
        let counters = Arc::clone(&bench.counters);
        drop(bench);
        let stats = counters.snapshot();
        assert_eq!(stats.opens, stats.closes);
    }
}

#[test]
fn c40_one_open_however_many_ask_at_once() {
    let (bench, opens) = (Bench::new(16), AtomicUsize::new(0));
    let key = key(0);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let lease = bench.cache.get_or_open(&key, || {
                    // The opener holds out until all others wait for it.
                    await_waiters(&bench.cache, &key, 5);
                    opens.fetch_add(1, Ordering::Relaxed);
                    Ok(bench.open(&key))
                });
                assert_eq!(lease.unwrap().key, key);
            });
        }
    });
    assert_eq!(opens.load(Ordering::Relaxed), 1);
    let (set, _) = bench.cache.place(&key);
    assert!(set.slots.iter().all(|slot| slot.word.load(Ordering::Relaxed) & !STATE == 0), "all leases are given back");
}

#[test]
fn c40_a_failed_open_fails_who_waited_and_is_not_remembered() {
    let (bench, opens) = (Bench::new(16), AtomicUsize::new(0));
    let key = key(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let answer = bench.cache.get_or_open(&key, || {
                    await_waiters(&bench.cache, &key, 3);
                    opens.fetch_add(1, Ordering::Relaxed);
                    Err(StoreError::NotFound)
                });
                assert!(matches!(answer, Err(StoreError::NotFound)));
            });
        }
    });
    assert_eq!(opens.load(Ordering::Relaxed), 1);
    assert_eq!(bench.get(&key).key, key);
}

#[test]
fn c40_a_leased_file_is_never_evicted() {
    let bench = Bench::new(2);
    let (first, second) = (bench.get(&key(0)), bench.get(&key(1)));
    for number in 2..50 {
        // All slots are leased: these are opened for their reader only, and closed after it.
        assert_eq!(bench.get(&key(number)).key, key(number));
        assert_eq!(bench.open_now(), 2);
    }
    assert_eq!((&first.key, &second.key), (&key(0), &key(1)));
    assert!(rustix::fs::fstat(&first.fd).is_ok() && rustix::fs::fstat(&second.fd).is_ok());
    drop(first);
    drop(bench.get(&key(2)));
    assert!(bench.cache.get(&key(0)).is_none(), "given back, it made room");
}

#[test]
fn an_opener_that_must_not_wait_never_does() {
    let bench = Bench::new(16);
    let key = key(0);
    let nothing = bench.cache.try_get_or_open(&key, || Ok(None));
    assert!(matches!(nothing, Ok(None)));
    assert!(lock(&bench.cache.place(&key).0.slow).flights.is_empty(), "its flight is over");
    let (in_flight, wait) = mpsc::channel();
    let (go, gate) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let (bench, key) = (&bench, &key);
        scope.spawn(move || {
            let open = || {
                in_flight.send(()).unwrap();
                gate.recv().unwrap();
                Ok(bench.open(key))
            };
            drop(bench.cache.get_or_open(key, open).unwrap());
        });
        wait.recv().unwrap();
        assert!(matches!(bench.cache.try_get_or_open(key, || unreachable!()), Ok(None)));
        go.send(()).unwrap();
    });
    assert!(bench.cache.try_get_or_open(&key, || unreachable!()).unwrap().is_some());
}

#[test]
fn a_reader_whose_opener_gave_up_opens_by_itself() {
    let bench = Bench::new(16);
    let key = key(0);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let (set, _) = bench.cache.place(&key);
            while lock(&set.slow).flights.is_empty() {
                std::thread::yield_now();
            }
            bench.get(&key).key.clone()
        });
        let abandoned = bench.cache.try_get_or_open(&key, || {
            await_waiters(&bench.cache, &key, 1);
            Ok(None)
        });
        assert!(matches!(abandoned, Ok(None)));
        assert_eq!(waiter.join().unwrap(), key);
    });
}

#[test]
fn offers_fill_room_and_take_none_away() {
    let bench = Bench::new(2);
    (0..4).for_each(|number| bench.cache.offer(bench.open(&key(number))));
    assert_eq!(bench.open_now(), 2);
    assert!(bench.cache.get(&key(0)).is_some() && bench.cache.get(&key(1)).is_some());
    bench.cache.offer(bench.open(&key(0)));
    assert_eq!(bench.open_now(), 2, "one file is kept once");
    bench.cache.forget(&key(0));
    assert!(bench.cache.get(&key(0)).is_none());
    assert_eq!(bench.open_now(), 1);
}

#[test]
fn c40_readers_that_evict_each_other_always_get_their_own_file() {
    const SEED: u64 = 0x5EED;
    println!("seed {SEED:#x}");
    let bench = Bench::new(4);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let bench = &bench;
            scope.spawn(move || {
                let mut state = SEED ^ (thread << 32);
                for _ in 0..20_000 {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let wanted = key((state >> 60) as usize);
                    match state >> 58 & 3 {
                        0 => drop(bench.cache.get(&wanted).inspect(|lease| assert_eq!(lease.key, wanted))),
                        1 => bench.cache.forget(&wanted),
                        2 => {
                            let lease = bench.cache.try_get_or_open(&wanted, || Ok(Some(bench.open(&wanted))));
                            drop(lease.unwrap().inspect(|lease| assert_eq!(lease.key, wanted)));
                        }
                        _ => assert_eq!(bench.get(&wanted).key, wanted),
                    }
                    // 4 kept, and one for each thread while it reads.
                    assert!(bench.open_now() <= 8 + 4);
                }
            });
        }
    });
    for set in &bench.cache.sets {
        assert!(lock(&set.slow).flights.is_empty());
        assert!(set.slots.iter().all(|slot| slot.word.load(Ordering::Relaxed) & !STATE == 0));
    }
    assert!(bench.open_now() <= 4);
}

//! What goes wrong, goes wrong by name: errors, policies, stores that fail, loaders that are closed.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use longshore::store::{Fault, FaultOn, FaultRule, FaultWhen, LatencyScope};
use longshore::{CropBox, Dtype, Error, Loader, OnError, PushError, Sample, SampleError, Stage};
use longshore_tests::{chain, document, expected, memory_stores, sample, sharded, write_array, zstd};
use serde_json::json;

const SHAPE: [u64; 3] = [16, 32, 32];
const CROP: [u64; 3] = [8, 8, 8];

fn array(dir: &Path) -> Arc<str> {
    write_array(dir, "a", &document(&SHAPE, &[16, 16, 32], sharded(&[8, 8, 8], chain(zstd()))), 3, |_| true);
    "memory://data/a".into()
}

fn rule(key: &str, on: FaultOn, when: FaultWhen, fault: Fault) -> FaultRule {
    FaultRule { key: key.into(), on, when, fault }
}

fn only_error(loader: &mut Loader, sample: Sample) -> Arc<SampleError> {
    match loader.batches([sample]).next() {
        Some(Err(Error::Batch { first, .. })) => first,
        other => panic!("an error was due, not {other:?}"),
    }
}

/// C38: transient errors are retried and leave nothing behind; permanent ones are reported at once.
#[test]
fn c38_transient_errors_pass_and_permanent_ones_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let uri = array(dir.path());
    let rules = vec![
        rule("*zarr.json", FaultOn::Fetch, FaultWhen::First(3), Fault::Transient),
        rule("*c/0/0/0", FaultOn::Any, FaultWhen::First(3), Fault::Transient),
        rule("*c/0/1/0", FaultOn::Fetch, FaultWhen::Always, Fault::Permanent),
    ];
    let stores = memory_stores(dir.path(), rules, Some(Duration::from_secs(60)));
    let mut loader = Loader::builder().crop(CROP, Dtype::Native).stores(stores).build().unwrap();
    let batch = loader.batches([sample(&uri, &[0, 0, 0], &CROP)]).next().unwrap().unwrap();
    assert!(batch.row::<u16>(0).unwrap() == expected(3, &SHAPE, &[0, 0, 0], &CROP, 0));
    let error = only_error(&mut loader, sample(&uri, &[0, 20, 0], &CROP));
    assert_eq!((error.stage, error.sample.get()), (Stage::ShardIndex, 1));
}

/// C38: a transient error that outlasts its deadline fails its samples, and the next request asks anew.
#[test]
fn c38_a_transient_failure_is_not_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let uri = array(dir.path());
    let rules = vec![
        rule("*zarr.json", FaultOn::Fetch, FaultWhen::First(1), Fault::Transient),
        rule("*c/0/0/0", FaultOn::Fetch, FaultWhen::First(1), Fault::Transient),
        rule("*c/0/0/0", FaultOn::Read, FaultWhen::First(1), Fault::Transient),
    ];
    let mut loader = Loader::builder().crop(CROP, Dtype::Native).stores(memory_stores(dir.path(), rules, None)).build().unwrap();
    let one = || sample(&uri, &[0, 0, 0], &CROP);
    let stages: Vec<Stage> = (0..3).map(|_| only_error(&mut loader, one()).stage).collect();
    assert_eq!(stages, [Stage::ArrayMetadata, Stage::ShardIndex, Stage::Read]);
    assert!(loader.batches([one()]).next().unwrap().is_ok());
}

/// C39: an error names sample, URI, box, stage, object and cause; by policy the batch fails, the row is filled, or left out.
#[test]
fn c39_errors_are_named_and_policies_followed() {
    let dir = tempfile::tempdir().unwrap();
    let uri = array(dir.path());
    let flip = || vec![rule("*c/0/0/0", FaultOn::Read, FaultWhen::Always, Fault::Flip { offset: 0, mask: 0xff })];
    let samples = || {
        let starts = [[0i64, 16, 0], [0, 0, 0], [8, 24, 8], [0, 16, 8]];
        let absent = Sample::new("memory://data/absent", CropBox::new([(0, 8), (0, 8), (0, 8)]).unwrap());
        let mut samples: Vec<Sample> = starts.iter().map(|start| sample(&uri, start, &CROP)).collect();
        samples.push(absent);
        samples.push(sample(&uri, &[0, 24, 0], &CROP));
        samples
    };
    let build = |policy| {
        let builder = Loader::builder().crop(CROP, Dtype::Native).batch(2).on_error(policy);
        builder.stores(memory_stores(dir.path(), flip(), None)).build().unwrap()
    };
    let right = |start: &[i64]| expected(3, &SHAPE, start, &CROP, 0);

    let mut loader = build(OnError::Fail);
    let outcomes: Vec<_> = loader.batches(samples()).collect();
    let text = outcomes[0].as_ref().unwrap_err().to_string();
    for part in ["batch 0", "sample 1", "memory://data/a", "[0..8, 0..8, 0..8]", "decode", "c/0/0/0", "zstd"] {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
    assert!(outcomes[1].as_ref().is_ok_and(|batch| batch.row::<u16>(0).unwrap() == right(&[8, 24, 8])));
    let text = outcomes[2].as_ref().unwrap_err().to_string();
    assert!(text.contains("sample 4") && text.contains("memory://data/absent") && text.contains("array metadata"), "{text}");
    assert_eq!(loader.stats().failed_samples, 2);

    let mut loader = build(OnError::Fill);
    let batches: Vec<_> = loader.batches(samples()).map(Result::unwrap).collect();
    assert_eq!(batches.iter().map(|batch| batch.len()).collect::<Vec<_>>(), [2, 2, 2]);
    assert!(batches[0].row::<u16>(0).unwrap() == right(&[0, 16, 0]) && batches[0].rows()[0].error.is_none());
    assert!(batches[0].row::<u16>(1).unwrap().iter().all(|&value| value == 0));
    assert_eq!(batches[0].rows()[1].error.as_ref().unwrap().stage, Stage::Decode);
    assert!(batches[2].rows()[0].error.is_some() && batches[2].row::<u16>(1).unwrap() == right(&[0, 24, 0]));
    drop(batches);

    let mut loader = build(OnError::Skip);
    let batches: Vec<_> = loader.batches(samples()).map(Result::unwrap).collect();
    assert_eq!(batches.iter().map(|batch| (batch.len(), batch.skipped().len())).collect::<Vec<_>>(), [(1, 1), (2, 0), (1, 1)]);
    assert!(batches[2].row::<u16>(0).unwrap() == right(&[0, 24, 0]) && batches[2].rows()[0].sample.get() == 5);
}

/// C32: a truncated shard and a short read are errors that name object and offset, for raw chunks too.
#[test]
fn c32_short_objects_are_errors() {
    for (name, codecs) in [("zstd", chain(zstd())), ("raw", chain(json!([])))] {
        let dir = tempfile::tempdir().unwrap();
        write_array(dir.path(), "a", &document(&SHAPE, &[16, 16, 32], sharded(&[8, 8, 8], codecs)), 3, |_| true);
        let uri: Arc<str> = "memory://data/a".into();
        // The index is read whole; the chunks are gone.
        let rules = vec![rule("*c/0/0/0", FaultOn::Read, FaultWhen::Always, Fault::Truncate { size: 100 })];
        let stores = memory_stores(dir.path(), rules, None);
        let mut loader = Loader::builder().crop(CROP, Dtype::Native).stores(stores).build().unwrap();
        let error = only_error(&mut loader, sample(&uri, &[8, 8, 16], &CROP));
        let text = error.to_string();
        assert!(error.stage == Stage::Read && text.contains("c/0/0/0") && text.contains("ends early"), "{name}: {text}");
        // The object is shorter than its index.
        let rules = vec![rule("*c/0/0/0", FaultOn::Fetch, FaultWhen::Always, Fault::Truncate { size: 100 })];
        let stores = memory_stores(dir.path(), rules, None);
        let mut loader = Loader::builder().crop(CROP, Dtype::Native).stores(stores).build().unwrap();
        assert_eq!(only_error(&mut loader, sample(&uri, &[8, 8, 16], &CROP)).stage, Stage::ShardIndex);
    }
}

/// C16: errors of the prefetcher's own making fail the batch too: a box outside, a wrong rank, a URI of no store.
#[test]
fn c16_bad_boxes_and_uris_fail_their_batch() {
    let dir = tempfile::tempdir().unwrap();
    let uri = array(dir.path());
    let stores = memory_stores(dir.path(), Vec::new(), None);
    let mut loader = Loader::builder().crop(CROP, Dtype::Native).stores(stores).build().unwrap();
    let error = only_error(&mut loader, sample(&uri, &[12, 0, 0], &CROP));
    assert!(error.stage == Stage::Plan && error.to_string().contains("12..20"), "{error}");
    let rank = Sample::new(uri.clone(), CropBox::new([(0, 1), (0, 8), (0, 8), (0, 8)]).unwrap());
    assert!(only_error(&mut loader, rank).to_string().contains("4 axes"));
    let scheme = Sample::new("ftp://x/y", CropBox::new([(0, 8), (0, 8), (0, 8)]).unwrap());
    assert!(only_error(&mut loader, scheme).to_string().contains("ftp"));
    assert!(loader.batches([sample(&uri, &[0, 0, 0], &CROP)]).next().unwrap().is_ok());
}

/// What cannot fit is refused on push, and by the builder, with words.
#[test]
fn misfits_are_refused_at_once() {
    let mut loader = Loader::builder().crop(CROP, Dtype::Native).build().unwrap();
    let wrong = Sample::new("x", CropBox::new([(0, 8), (0, 9), (0, 8)]).unwrap());
    match loader.push(wrong) {
        Err(PushError::Invalid { reason, .. }) => assert!(reason.contains("[8, 9, 8]") && reason.contains("[8, 8, 8]"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let message = |builder: longshore::Builder| builder.build().unwrap_err().to_string();
    assert!(message(Loader::builder()).contains("at least one field"));
    assert!(message(Loader::builder().crop([0], Dtype::F32)).contains("axis 0 is 0"));
    assert!(message(Loader::builder().crop([8], Dtype::F32).batch(0)).contains("batch is 0"));
    // C41: too small a budget says what is needed.
    let text = message(Loader::builder().crop([64, 64, 64], Dtype::F32).batch(16).memory_budget(1 << 20));
    assert!(text.contains(&(3 * 16 * 64u64.pow(3) * 4).to_string()) && text.contains("raise memory_budget"), "{text}");
}

/// C26: closing at any moment, from any thread, ends every wait, and every thread ends.
#[test]
fn c26_closing_ends_every_wait() {
    let dir = tempfile::tempdir().unwrap();
    let uri = array(dir.path());
    for (number, key) in ["*zarr.json", "*c/0/0/0"].iter().enumerate() {
        for on in [FaultOn::Fetch, FaultOn::Read] {
            let stores = memory_stores(dir.path(), vec![rule(key, on, FaultWhen::Always, Fault::Never)], None);
            let builder = Loader::builder().crop(CROP, Dtype::Native).batch(2).lookahead(4).stores(stores.clone());
            let (mut push, mut pop) = builder.build().unwrap().split();
            let closer = pop.closer();
            let popper = std::thread::spawn(move || {
                let popped = pop.pop();
                matches!(popped, Err(Error::Closed)) || (number == 0 && on == FaultOn::Read && popped.is_ok())
            });
            let uri = uri.clone();
            let pusher = std::thread::spawn(move || {
                loop {
                    if let Err(error) = push.push_blocking(sample(&uri, &[0, 0, 0], &CROP)) {
                        return matches!(error, PushError::Closed(_));
                    }
                }
            });
            std::thread::sleep(Duration::from_millis(20));
            closer.close();
            assert!(popper.join().unwrap() && pusher.join().unwrap(), "{key} {on:?}");
            // These stores are the test's own, not the loader's: what they hold back is given up here.
            stores.close();
        }
    }
}

/// C26: finished batches can still be popped from a closed loader.
#[test]
fn c26_finished_batches_survive_the_close() {
    let dir = tempfile::tempdir().unwrap();
    let uri = array(dir.path());
    let stores = memory_stores(dir.path(), Vec::new(), None);
    let (mut push, mut pop) = Loader::builder().crop(CROP, Dtype::Native).stores(stores).build().unwrap().split();
    push.push(sample(&uri, &[0, 0, 0], &CROP)).unwrap();
    push.drain().unwrap();
    pop.close();
    assert!(pop.pop().unwrap().is_some());
    assert!(matches!(pop.pop(), Err(Error::Closed)));
}

/// C25: drain returns when everything pushed is delivered, and the loader goes on.
#[test]
fn c25_drain_waits_for_everything_in_flight() {
    let dir = tempfile::tempdir().unwrap();
    let uri = array(dir.path());
    let rules = vec![rule("*", FaultOn::Any, FaultWhen::Always, Fault::Delay(Duration::from_millis(10)))];
    let stores = memory_stores(dir.path(), rules, None);
    let builder = Loader::builder().crop(CROP, Dtype::Native).batch(2).buffers(4).stores(stores);
    let (mut push, mut pop) = builder.build().unwrap().split();
    for round in 0..2 {
        for _ in 0..6 {
            push.push(sample(&uri, &[0, 0, 0], &CROP)).unwrap();
        }
        push.drain().unwrap();
        for batch in 0..3 {
            match pop.try_pop() {
                Ok(longshore::Popped::Batch(found)) => assert_eq!(found.id(), round * 3 + batch),
                other => panic!("drained, but {other:?}"),
            }
        }
    }
}

/// C23: a loader with nothing to do uses no CPU.
#[test]
fn c23_idle_means_idle() {
    let dir = tempfile::tempdir().unwrap();
    let uri = array(dir.path());
    let stores = memory_stores(dir.path(), vec![rule("*c/0/1/0", FaultOn::Any, FaultWhen::Always, Fault::Never)], None);
    let mut loader = Loader::builder().crop(CROP, Dtype::Native).stores(stores.clone()).build().unwrap();
    assert!(loader.batches([sample(&uri, &[0, 0, 0], &CROP)]).next().unwrap().is_ok());
    // One sample waits for a shard that never comes.
    loader.push(sample(&uri, &[0, 16, 0], &CROP)).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let (begun, before) = (Instant::now(), threads_cpu());
    std::thread::sleep(Duration::from_secs(2));
    let used = threads_cpu() - before;
    assert!(used <= begun.elapsed().mul_f64(0.001) + TICK, "{used:?} of CPU in 2 s");
    stores.close();
}

/// CPU time of this process comes in ticks of this length.
const TICK: Duration = Duration::from_millis(10);

/// CPU time of the loader's threads.
fn threads_cpu() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let ticks = tasks.filter_map(|task| {
        let stat = std::fs::read_to_string(task.ok()?.path().join("stat")).ok()?;
        let (head, tail) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = tail.split_whitespace().collect();
        head.contains("(longshore").then(|| fields[11].parse::<u64>().unwrap_or(0) + fields[12].parse::<u64>().unwrap_or(0))
    });
    TICK * u32::try_from(ticks.sum::<u64>()).unwrap()
}

/// C12, C13: caches of a few slots, samples of many shards, any interleaving: every sample resolves, each gate counted once.
#[test]
fn c12_tiny_caches_do_not_deadlock() {
    let dir = tempfile::tempdir().unwrap();
    let document = document(&[64, 64, 64], &[16, 16, 16], sharded(&[8, 8, 8], chain(zstd())));
    for seed in 0..4 {
        write_array(dir.path(), &format!("a{seed}"), &document, seed, |_| true);
    }
    let rules = || vec![rule("*", FaultOn::Fetch, FaultWhen::Probability(0.5), Fault::Delay(Duration::from_millis(2)))];
    for slots in [1, 2, 7] {
        let stores = memory_stores(dir.path(), rules(), None);
        let crop = [40, 40, 40];
        let builder = Loader::builder().crop(crop, Dtype::Native).batch(3).lookahead(24).cache_slots(slots).stores(stores);
        let mut loader = builder.build().unwrap();
        let starts = longshore_tests::starts(30, &[24, 24, 24]);
        let uri = |n: usize| -> Arc<str> { format!("memory://data/a{}", n % 4).into() };
        let samples: Vec<Sample> = starts.iter().enumerate().map(|(n, start)| sample(&uri(n), start, &crop)).collect();
        let mut seen = 0;
        for batch in loader.batches(samples) {
            let batch = batch.unwrap();
            for row in 0..batch.len() {
                assert!(batch.row::<u16>(row).unwrap() == expected((seen % 4) as u64, &[64; 3], &starts[seen], &crop, 0), "sample {seen}");
                seen += 1;
            }
        }
        assert_eq!(seen, 30, "with {slots} slots");
    }
}

/// C26: a loader that is dropped while its stores hold requests back gives them up: its memory is free at once.
#[test]
fn c26_a_dropped_loader_gives_up_what_waits() {
    let dir = tempfile::tempdir().unwrap();
    let path = write_array(dir.path(), "a", &document(&SHAPE, &[16, 16, 32], sharded(&[8, 8, 8], chain(zstd()))), 3, |_| true);
    let uri: Arc<str> = path.to_str().unwrap().into();
    let hour = "const:3600s".parse().unwrap();
    let mut loader = Loader::builder().crop(CROP, Dtype::Native).latency(hour, LatencyScope::All).build().unwrap();
    loader.push(sample(&uri, &[0, 0, 0], &CROP)).unwrap();
    while loader.stats().metadata[0].misses == 0 {
        std::thread::yield_now();
    }
    // The request under way holds the sample's URI.
    assert!(Arc::strong_count(&uri) > 1);
    drop(loader);
    assert_eq!(Arc::strong_count(&uri), 1);
}

/// C32: a shard that is cut off after its index was read: the chunk that is gone is an error, read inline or not, raw or not.
#[test]
fn c32_a_shard_cut_off_under_us_is_an_error() {
    for codecs in [chain(json!([])), chain(zstd())] {
        let dir = tempfile::tempdir().unwrap();
        let shape = [32, 32, 32];
        let path = write_array(dir.path(), "a", &document(&shape, &shape, sharded(&[16, 32, 32], codecs)), 3, |_| true);
        let uri: Arc<str> = path.to_str().unwrap().into();
        let mut loader = Loader::builder().crop(CROP, Dtype::Native).build().unwrap();
        assert!(loader.batches([sample(&uri, &[0, 0, 0], &CROP)]).next().unwrap().is_ok());
        let shard = std::fs::OpenOptions::new().write(true).open(path.join("c/0/0/0")).unwrap();
        shard.set_len(100).unwrap();
        let error = only_error(&mut loader, sample(&uri, &[20, 0, 0], &CROP));
        let text = error.to_string();
        assert!(error.stage == Stage::Read && text.contains("c/0/0/0") && text.contains("ends early"), "{text}");
    }
}

//! The main job, end to end: boxes out of arrays that `zarrs` wrote, against arithmetic.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use longshore::store::{LatencyModel, LatencyScope, MetadataIo};
use longshore::{CropBox, Dtype, Field, FieldRequest, Loader, Outside, Popped, PushError, Sample};
use longshore_tests::{chain, document, expected, sample, sharded, starts, write_array, zstd};

const SHAPE: [u64; 3] = [40, 50, 60];
const CROP: [u64; 3] = [12, 20, 24];
const ROOM: [u64; 3] = [28, 30, 36];

/// Arrays of seed 0, 1, ... in shards; every third shard is not stored when `holes`.
fn arrays(count: u64, holes: bool) -> (tempfile::TempDir, Vec<Arc<str>>) {
    let dir = tempfile::tempdir().unwrap();
    let document = document(&SHAPE, &[16, 32, 32], sharded(&[8, 16, 16], chain(zstd())));
    let uris = (0..count).map(|seed| {
        let path = write_array(dir.path(), &format!("a{seed}"), &document, seed, |cell| !holes || cell.iter().sum::<u64>() % 3 != 1);
        path.to_str().unwrap().into()
    });
    let uris = uris.collect();
    (dir, uris)
}

/// What arrays with holes hold.
fn with_holes(seed: u64, start: &[i64]) -> Vec<u16> {
    let stored = expected(seed, &SHAPE, start, &CROP, 0);
    let at = longshore_tests::positions(&CROP);
    at.zip(stored)
        .map(|(p, value)| {
            let cell: u64 = p.iter().zip(start).zip([16, 32, 32]).map(|((p, s), n)| (p + *s as u64) / n).sum();
            if cell % 3 == 1 { 0 } else { value }
        })
        .collect()
}

/// C19, C31: samples of many arrays, some shards missing, metadata late and out of order: every batch right, in order, ids dense.
#[test]
fn c19_batches_come_in_order_whatever_comes_late() {
    let (_dir, uris) = arrays(5, true);
    let latency: LatencyModel = "lognormal:2ms,1.5,50ms".parse().unwrap();
    for scope in [LatencyScope::Metadata, LatencyScope::All] {
        let builder = Loader::builder().crop(CROP, Dtype::Native).batch(3).lookahead(24).latency(latency, scope).seed(7);
        let mut loader = builder.build().unwrap();
        let starts = starts(60, &ROOM);
        let samples: Vec<Sample> = starts.iter().enumerate().map(|(n, start)| sample(&uris[n % 5], start, &CROP)).collect();
        let mut seen = 0;
        for (id, batch) in loader.batches(samples).enumerate() {
            let batch = batch.unwrap();
            assert_eq!(batch.id(), id as u64);
            for row in 0..batch.len() {
                assert_eq!(batch.rows()[row].sample.get(), seen as u64);
                assert!(batch.row::<u16>(row).unwrap() == with_holes((seen % 5) as u64, &starts[seen]), "sample {seen}, {scope:?}");
                seen += 1;
            }
        }
        assert_eq!(seen, 60);
    }
}

/// C21: a partial last batch comes with its true length, or not at all.
#[test]
fn c21_a_partial_last_batch_is_delivered_or_dropped() {
    let (_dir, uris) = arrays(1, false);
    for (drop_last, lengths) in [(false, vec![4, 4, 2]), (true, vec![4, 4])] {
        let mut loader = Loader::builder().crop(CROP, Dtype::Native).batch(4).drop_last(drop_last).build().unwrap();
        let samples = starts(10, &ROOM).into_iter().map(|start| sample(&uris[0], &start, &CROP));
        let found: Vec<usize> = loader.batches(samples).map(|batch| batch.unwrap().len()).collect();
        assert_eq!(found, lengths);
        // The loader goes on, and ids stay dense among what was pushed.
        let samples = starts(4, &ROOM).into_iter().map(|start| sample(&uris[0], &start, &CROP));
        assert_eq!(loader.batches(samples).map(|batch| batch.unwrap().id()).collect::<Vec<_>>(), [3]);
    }
}

/// C37: a chunk that several samples of the window need is read once and decoded once.
#[test]
fn c37_a_chunk_of_the_window_is_decoded_once() {
    let (_dir, uris) = arrays(1, false);
    let starts = starts(64, &ROOM);
    let mut distinct = HashSet::new();
    let mut references = 0;
    for start in &starts {
        let ranges: Vec<_> = start.iter().zip(CROP).zip([8, 16, 16]).map(|((&s, n), c)| s as u64 / c..(s as u64 + n - 1) / c + 1).collect();
        for z in ranges[0].clone() {
            for y in ranges[1].clone() {
                for x in ranges[2].clone() {
                    distinct.insert([z, y, x]);
                    references += 1;
                }
            }
        }
    }
    let mut loader = Loader::builder().crop(CROP, Dtype::Native).batch(4).lookahead(64).build().unwrap();
    for start in &starts {
        loader.push(sample(&uris[0], start, &CROP)).unwrap();
    }
    loader.finish();
    let mut batches = 0;
    while let Some(batch) = loader.pop().unwrap() {
        batches += batch.len() / 4;
    }
    let stats = loader.stats();
    assert_eq!((batches, stats.chunks_referenced), (16, references));
    assert_eq!(stats.chunks_decoded, distinct.len() as u64, "{references} references to {} chunks", distinct.len());
    // Without reuse the same samples decode more.
    let mut loader = Loader::builder().crop(CROP, Dtype::Native).batch(4).lookahead(64).reuse(false).build().unwrap();
    let samples = starts.iter().map(|start| sample(&uris[0], start, &CROP));
    assert_eq!(loader.batches(samples).filter(|batch| batch.is_ok()).count(), 16);
    assert!(loader.stats().chunks_decoded > distinct.len() as u64);
}

/// C41: the arrays' own type turns out wider than the byte per element that a budget just large enough had counted. Fewer
/// buffers do then; no batch fails.
#[test]
fn c41_a_type_wider_than_counted_takes_fewer_buffers() {
    let (dir, shape, crop) = (tempfile::tempdir().unwrap(), [100; 3], [96; 3]);
    let document = document(&shape, &[50; 3], chain(zstd()));
    let path = write_array(dir.path(), "wide", &document, 1, |_| true);
    let uri: Arc<str> = path.to_str().unwrap().into();
    let counted = 3 * 2 * 96u64.pow(3) + (4 << 20);
    let mut loader = Loader::builder().crop(crop, Dtype::Native).batch(2).memory_budget(counted).build().unwrap();
    let starts = starts(12, &[4; 3]);
    let samples: Vec<Sample> = starts.iter().map(|start| sample(&uri, start, &crop)).collect();
    let mut rows = 0;
    for batch in loader.batches(samples) {
        for row in batch.unwrap().as_slice::<u16>().unwrap().chunks_exact(96usize.pow(3)) {
            assert!(row == expected(1, &shape, &starts[rows], &crop, 0), "sample {rows}");
            rows += 1;
        }
    }
    assert_eq!(rows, 12);
    assert!(loader.stats().memory_peak <= counted);
}

/// C41: the budget is never exceeded, however small, and the bytes stay right.
#[test]
fn c41_a_small_budget_holds() {
    let (_dir, uris) = arrays(3, false);
    let batch_bytes = 3 * 4 * CROP.iter().product::<u64>() * 2;
    let budget = batch_bytes + (5 << 20);
    let mut loader = Loader::builder().crop(CROP, Dtype::F16).batch(4).lookahead(64).memory_budget(budget).build().unwrap();
    let starts = starts(80, &ROOM);
    let samples: Vec<Sample> = starts.iter().enumerate().map(|(n, start)| sample(&uris[n % 3], start, &CROP)).collect();
    assert_eq!(loader.batches(samples).filter(|batch| batch.is_ok()).count(), 20);
    let stats = loader.stats();
    assert!(stats.memory_peak <= budget && stats.memory_peak > batch_bytes, "{stats:#?}");
}

/// C42: memory that a user holds is not written again, and holding one batch keeps only that buffer.
#[test]
fn c42_held_batches_keep_their_bytes() {
    let (_dir, uris) = arrays(2, false);
    let starts = starts(64, &ROOM);
    let mut loader = Loader::builder().crop(CROP, Dtype::Native).batch(4).buffers(3).build().unwrap();
    let samples: Vec<Sample> = starts.iter().enumerate().map(|(n, start)| sample(&uris[n % 2], start, &CROP)).collect();
    let mut batches = loader.batches(samples);
    let first = batches.next().unwrap().unwrap();
    let copy = first.bytes().to_vec();
    let rest = batches.by_ref().map(|batch| batch.unwrap().len()).sum::<usize>();
    assert_eq!(rest, 60);
    assert!(first.bytes() == copy);
    drop(batches);
    // A batch outlives its loader.
    drop(loader);
    assert!(first.bytes() == copy);
}

/// Outside policies: fill value, constant, edge.
#[test]
fn boxes_may_leave_the_array_by_policy() {
    let (_dir, uris) = arrays(1, false);
    let start = [-5i64, 40, 50];
    for (outside, value) in [(Outside::Fill, 0u16), (Outside::Constant(77.0), 77)] {
        let mut loader = Loader::builder().field(Field::new("", CROP).outside(outside)).build().unwrap();
        let batch = loader.batches([sample(&uris[0], &start, &CROP)]).next().unwrap().unwrap();
        assert!(batch.row::<u16>(0).unwrap() == expected(0, &SHAPE, &start, &CROP, value));
    }
    let mut loader = Loader::builder().field(Field::new("", CROP).outside(Outside::Edge)).build().unwrap();
    let batch = loader.batches([sample(&uris[0], &start, &CROP)]).next().unwrap().unwrap();
    let clamped = longshore_tests::positions(&CROP).map(|p| {
        let at: Vec<u64> = p.iter().zip(start).zip(SHAPE).map(|((&p, s), n)| (s + p as i64).clamp(0, n as i64 - 1) as u64).collect();
        longshore_tests::element(0, &at)
    });
    assert!(batch.row::<u16>(0).unwrap() == clamped.collect::<Vec<_>>());
}

/// Two fields of one sample: own arrays, own shapes, own types, scale and offset; names in any order; squeezed axes.
#[test]
fn fields_are_tensors_of_their_own() {
    let (_dir, uris) = arrays(2, false);
    let image = Field::new("image", [20, 24]).dtype(Dtype::F32).scale_offset(0.5, 3.0);
    let label = Field::new("label", [4, 4, 4]);
    let mut loader = Loader::builder().field(image).field(label).batch(2).build().unwrap();
    let boxed = |axes: [(i64, i64); 3]| CropBox::new(axes).unwrap();
    let of = |z: i64| {
        let image = FieldRequest { name: "image".into(), uri: uris[0].clone(), crop_box: boxed([(z, z + 1), (2, 22), (3, 27)]) };
        let label = FieldRequest { name: "label".into(), uri: uris[1].clone(), crop_box: boxed([(z, z + 4), (0, 4), (0, 4)]) };
        Sample::with_fields([label, image])
    };
    let batch = loader.batches((0..2).map(of)).next().unwrap().unwrap();
    assert_eq!(batch.field("image").unwrap().shape(), [2, 20, 24]);
    for z in 0..2i64 {
        let stored = expected(0, &SHAPE, &[z, 2, 3], &[1, 20, 24], 0);
        let scaled: Vec<f32> = stored.iter().map(|&value| value as f32 * 0.5 + 3.0).collect();
        assert!(batch.field("image").unwrap().row::<f32>(z as usize).unwrap() == scaled);
        let label = batch.field("label").unwrap();
        assert!(label.row::<u16>(z as usize).unwrap() == expected(1, &SHAPE, &[z, 0, 0], &[4, 4, 4], 0));
        assert!(label.row::<f32>(0).is_err());
    }
}

/// Both ways of reading metadata, and unsharded arrays, give the same bytes.
#[test]
fn metadata_io_and_plain_chunks() {
    let (dir, _) = arrays(1, false);
    let document = document(&SHAPE, &[8, 16, 16], chain(zstd()));
    let path = write_array(dir.path(), "plain", &document, 9, |cell| cell[0] != 1);
    let uri: Arc<str> = format!("file://{}", path.display()).into();
    for metadata in [MetadataIo::Auto, MetadataIo::Pread] {
        let mut loader = Loader::builder().crop(CROP, Dtype::Native).metadata_io(metadata).build().unwrap();
        let batch = loader.batches([sample(&uri, &[5, 6, 7], &CROP)]).next().unwrap().unwrap();
        let stored = expected(9, &SHAPE, &[5, 6, 7], &CROP, 0);
        let holes = longshore_tests::positions(&CROP).zip(stored).map(|(p, value)| if (p[0] + 5) / 8 == 1 { 0 } else { value });
        assert!(batch.row::<u16>(0).unwrap() == holes.collect::<Vec<_>>());
    }
}

/// A full lookahead refuses and hands back; popping makes room; ends can live in threads of their own.
#[test]
fn the_two_ends_work_apart() {
    let (_dir, uris) = arrays(1, false);
    let (mut push, mut pop) = Loader::builder().crop(CROP, Dtype::Native).batch(2).lookahead(4).buffers(1).build().unwrap().split();
    assert!(matches!(pop.try_pop(), Ok(Popped::Empty)));
    let starts = starts(40, &ROOM);
    let mut refused = 0;
    for start in starts.iter().take(20) {
        match push.push(sample(&uris[0], start, &CROP)) {
            Ok(_) => {}
            Err(PushError::Full(back)) => {
                assert_eq!(back.fields()[0].uri, uris[0]);
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(refused > 0);
    let taken = 20 - refused;
    let uri = uris[0].clone();
    let pusher = std::thread::spawn(move || {
        for start in &starts[20..] {
            push.push_blocking(sample(&uri, start, &CROP)).unwrap();
        }
        push.finish();
        push
    });
    let mut samples = 0;
    while let Some(batch) = pop.pop().unwrap() {
        samples += batch.len();
    }
    assert_eq!(samples, taken + 20);
    let mut push = pusher.join().unwrap();
    assert!(matches!(push.push(sample(&uris[0], &[0, 0, 0], &CROP)), Err(PushError::Closed(_))));
    assert!(matches!(pop.pop_timeout(Duration::from_millis(1)), Ok(Popped::Finished)));
}

/// An iterator that is dropped in the middle leaves nothing behind for the next one.
#[test]
fn an_abandoned_iterator_leaves_no_batches_behind() {
    let (_dir, uris) = arrays(1, false);
    let mut loader = Loader::builder().crop(CROP, Dtype::Native).batch(2).lookahead(8).build().unwrap();
    let many = starts(1000, &ROOM);
    drop(loader.batches(many.iter().map(|start| sample(&uris[0], start, &CROP))).next());
    let wanted = starts(4, &[3, 3, 3]);
    let samples: Vec<Sample> = wanted.iter().map(|start| sample(&uris[0], start, &CROP)).collect();
    let rows: Vec<Vec<u16>> = loader
        .batches(samples)
        .flat_map(|batch| {
            let batch = batch.unwrap();
            (0..batch.len()).map(|row| batch.row::<u16>(row).unwrap().to_vec()).collect::<Vec<_>>()
        })
        .collect();
    let right: Vec<Vec<u16>> = wanted.iter().map(|start| expected(0, &SHAPE, start, &CROP, 0)).collect();
    assert!(rows == right);
}

//! The main job, end to end: boxes out of arrays that `zarrs` wrote, against arithmetic.

use std::sync::Arc;

use longshore::{CropBox, Dtype, Loader, Sample};
use longshore_tests::{chain, document, element, positions, sharded, write_array, zstd};

fn sample(uri: &Arc<str>, start: &[i64], shape: &[u64]) -> Sample {
    Sample::new(uri.clone(), CropBox::new(start.iter().zip(shape).map(|(&s, &n)| (s, s + n as i64))).unwrap())
}

/// Deterministic starts within `0..=room` per axis.
fn starts(count: u64, room: &[u64]) -> Vec<Vec<i64>> {
    (0..count)
        .map(|n| room.iter().enumerate().map(|(axis, &room)| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(axis as u32 * 13 + 7) % (room + 1)) as i64).collect())
        .collect()
}

#[test]
fn crops_of_a_sharded_array_are_right() {
    let dir = tempfile::tempdir().unwrap();
    let document = document(&[40, 50, 60], &[16, 32, 32], sharded(&[8, 16, 16], chain(zstd())));
    let path = write_array(dir.path(), "a", &document, 1, |_| true);
    let uri: Arc<str> = path.to_str().unwrap().into();
    let crop = [12u64, 20, 24];
    let starts = starts(50, &[28, 30, 36]);
    let mut loader = Loader::builder().crop(crop, Dtype::Native).batch(4).build().unwrap();
    let samples: Vec<Sample> = starts.iter().map(|start| sample(&uri, start, &crop)).collect();
    let mut seen = 0;
    for (number, batch) in loader.batches(samples).enumerate() {
        let batch = batch.unwrap();
        assert_eq!(batch.id(), number as u64);
        for row in 0..batch.len() {
            let start = &starts[seen];
            let expected: Vec<u16> =
                positions(&crop).map(|p| element(1, &p.iter().zip(start).map(|(p, s)| p + *s as u64).collect::<Vec<_>>())).collect();
            assert!(batch.row::<u16>(row).unwrap() == expected, "sample {seen} at {start:?}");
            seen += 1;
        }
    }
    assert_eq!(seen, 50);
    println!("{:#?}", loader.stats());
}

//! What the command does with input that is in order.

use std::path::Path;
use std::process::Command;

use longshore::Sample;
use longshore::sampler::{Edge, RandomCrops, Tiles, Volume};
use xxhash_rust::xxh3::xxh3_64;

use crate::arrays::{SHAPE, create, document, le_bytes, npy, read, write};
use crate::command::{end, longshore, start};

/// Bytes of the batches that `samples` make, by `zarrs`.
fn expected(folder: &Path, samples: &[Sample]) -> Vec<u8> {
    let rows = samples.iter().map(|sample| &sample.fields()[0]);
    rows.flat_map(|row| le_bytes(&read(folder, &row.uri, row.crop_box.axes()))).collect()
}

#[test]
fn a_crop_is_what_zarrs_reads() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a");
    longshore(folder.path(), &["crop", "a", "--box", "3:17,5:21,0:40", "-o", "c.npy"]).ok();
    let (header, bytes) = npy(&folder.path().join("c.npy"));
    assert!(header.contains("'descr': '<u2'") && header.contains("'shape': (14, 16, 40)"), "{header}");
    assert_eq!(bytes, le_bytes(&read(folder.path(), "a", &[(3, 17), (5, 21), (0, 40)])));
    assert!(!folder.path().join("c.npy.part").exists());
}

#[test]
fn crops_are_cast_and_filled_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a");
    let run = |outside: &str, dtype: &str| {
        let arguments = ["crop", "a", "--box", "0:1,0:1,-1:2", "--dtype", dtype, "--outside", outside, "-o", "c.npy"];
        let ended = longshore(folder.path(), &arguments).ok();
        (npy(&folder.path().join("c.npy")).1, ended.stderr)
    };
    let f32s = |values: [f32; 3]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
    assert_eq!(run("fill", "f32").0, f32s([7.0, 100.0, 101.0]));
    assert_eq!(run("edge", "f32").0, f32s([100.0, 100.0, 101.0]));
    assert_eq!(run("9", "f32").0, f32s([9.0, 100.0, 101.0]));
    // The value is one of the array's elements: its type must hold it.
    let arguments = ["crop", "a", "--box", "0:1,0:1,-1:2", "--outside", "-2.5", "-o", "c.npy"];
    longshore(folder.path(), &arguments).failed(1, &["-2.5", "uint16"]);
    // bfloat16 is the upper half of float32: 7.0 = 0x40E0, 100.0 = 0x42C8, 101.0 = 0x42CA.
    let (bytes, stderr) = run("fill", "bf16");
    assert_eq!(bytes, le_bytes(&[0x40E0, 0x42C8, 0x42CA]));
    assert!(stderr.contains("bfloat16"), "{stderr}");
}

#[test]
fn random_crops_come_in_order_whatever_the_threads() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a");
    write(folder.path(), "b");
    let stream = ["stream", "--uri", "a", "--uri", "b", "--random", "50", "--seed", "9", "--crop", "6,7,8", "--batch", "16", "--json"];
    let mut sums = Vec::new();
    for threads in ["1", "4"] {
        let ended = longshore(folder.path(), &[&stream[..], &["--out", "out", "--threads", threads]].concat()).ok();
        let report = ended.json();
        assert_eq!((report["samples"].as_u64(), report["batches"].as_u64()), (Some(50), Some(4)));
        sums.push(report["checksum"].as_str().unwrap().to_owned());
    }
    let volumes = ["a", "b"].map(|name| Volume::new(name, SHAPE));
    let samples: Vec<Sample> = RandomCrops::new(volumes, &[6, 7, 8], 9).unwrap().iter_from(0).take(50).collect();
    let bytes = expected(folder.path(), &samples);
    assert_eq!(sums, [format!("{:016x}", xxh3_64(&bytes)), sums[0].clone()]);
    let written: Vec<u8> = (0..4).flat_map(|i| npy(&folder.path().join(format!("out/batch-{i:06}.npy"))).1).collect();
    assert!(written == bytes);
    assert!(npy(&folder.path().join("out/batch-000003.npy")).0.contains("'shape': (2, 6, 7, 8)"));
}

#[test]
fn tiles_walk_the_array() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a");
    let tiles = Tiles::new([Volume::new("a", SHAPE)], &[8, 16, 16], None, Edge::Shift).unwrap();
    let samples: Vec<Sample> = tiles.iter_from(0).collect();
    let sum = |samples: &[Sample]| format!("{:016x}", xxh3_64(&expected(folder.path(), samples)));
    let run = |more: &[&str]| {
        let stream = ["stream", "--uri", "a", "--tiles", "--crop", "8,16,16", "--batch", "4", "--json"];
        longshore(folder.path(), &[&stream[..], more].concat()).ok().json()
    };
    assert_eq!(run(&[])["checksum"], sum(&samples));
    assert_eq!(run(&["--repeat", "2"])["checksum"], sum(&[samples.clone(), samples.clone()].concat()));
    let odd: Vec<Sample> = samples.iter().skip(1).step_by(2).cloned().collect();
    assert_eq!(run(&["--rank", "1/2"])["checksum"], sum(&odd));
    let whole = samples.len() / 4 * 4;
    let dropped = run(&["--drop-last"]);
    assert_eq!((dropped["samples"].as_u64(), &dropped["checksum"]), (Some(whole as u64), &sum(&samples[..whole]).into()));
    // Filled tiles at the border reach outside, whole ones do not.
    assert_eq!(run(&["--edge", "fill", "--outside", "fill"])["samples"].as_u64(), Some(3 * 2 * 3));
    assert_eq!(run(&["--edge", "drop"])["samples"].as_u64(), Some(2 * 2));
}

#[test]
fn a_samples_file_has_several_fields() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a");
    let line = |start: u64| {
        let end = start + 4;
        format!(
            "{{\"image\": {{\"uri\": \"a\", \"box\": [[{start},{end}],[0,4],[0,4]]}}, \"label\": {{\"uri\": \"a\", \"box\": [[0,1],[{start},{end}],[0,2]]}}}}\n"
        )
    };
    std::fs::write(folder.path().join("s.jsonl"), [line(0), line(3), line(9)].concat()).unwrap();
    let fields = ["--field", "name=image,crop=4x4x4,dtype=f32", "--field", "name=label,crop=4x2"];
    let stream = ["stream", "--samples", "s.jsonl", "--batch", "2", "--out", "out", "--json"];
    let report = longshore(folder.path(), &[&stream[..], &fields[..]].concat()).ok().json();
    assert_eq!((report["samples"].as_u64(), report["batches"].as_u64()), (Some(3), Some(2)));
    let (header, bytes) = npy(&folder.path().join("out/batch-000001.image.npy"));
    assert!(header.contains("<f4") && header.contains("(1, 4, 4, 4)"), "{header}");
    let image = read(folder.path(), "a", &[(9, 13), (0, 4), (0, 4)]);
    assert_eq!(bytes, image.iter().flat_map(|&value| f32::from(value).to_le_bytes()).collect::<Vec<_>>());
    let (header, bytes) = npy(&folder.path().join("out/batch-000000.label.npy"));
    assert!(header.contains("<u2") && header.contains("(2, 4, 2)"), "{header}");
    let label = [read(folder.path(), "a", &[(0, 1), (0, 4), (0, 2)]), read(folder.path(), "a", &[(0, 1), (3, 7), (0, 2)])].concat();
    assert_eq!(bytes, le_bytes(&label));
}

/// C39: what fails is told; what does not fail is delivered.
#[test]
fn c39_failed_samples_follow_the_policy() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a");
    let good = "{\"uri\": \"a\", \"box\": [[0,2],[0,2],[0,2]]}\n";
    let bad = "{\"uri\": \"gone\", \"box\": [[0,2],[0,2],[0,2]]}\n";
    std::fs::write(folder.path().join("s.jsonl"), [good, bad, good, good].concat()).unwrap();
    let run = |policy: &str| {
        let stream = ["stream", "--samples", "s.jsonl", "--crop", "2,2,2", "--batch", "2", "--out", policy, "--json", "--on-error", policy];
        longshore(folder.path(), &stream)
    };
    let rows = |policy: &str, batch: usize| npy(&folder.path().join(format!("{policy}/batch-{batch:06}.npy"))).1;
    let row = le_bytes(&read(folder.path(), "a", &[(0, 2), (0, 2), (0, 2)]));

    let fail = run("fail");
    fail.failed(1, &["batch 0 failed", "gone", "sample", "array metadata", "not found"]);
    assert_eq!((fail.json()["failed_batches"].as_u64(), fail.json()["batches"].as_u64()), (Some(1), Some(1)));
    assert_eq!(rows("fail", 1), [row.clone(), row.clone()].concat());
    assert!(!folder.path().join("fail/batch-000000.npy").exists());

    let fill = run("fill").ok();
    assert!(fill.stderr.contains("gone"), "{fill:#?}");
    assert_eq!((fill.json()["failed_samples"].as_u64(), fill.json()["batches"].as_u64()), (Some(1), Some(2)));
    assert_eq!(rows("fill", 0)[..row.len()], row);

    let skip = run("skip").ok();
    assert_eq!(skip.json()["samples"].as_u64(), Some(3));
    assert_eq!(rows("skip", 0), row);
}

#[test]
fn inspect_says_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a");
    let report = longshore(folder.path(), &["inspect", "a", "--json"]).ok().json();
    assert_eq!(report["shape"], serde_json::json!(SHAPE));
    assert_eq!((report["objects"].as_u64(), report["objects_stored"].as_u64()), (Some(8), Some(8)));
    assert_eq!((report["supported"].as_bool(), report["data_type"].as_str()), (Some(true), Some("uint16")));
    let on_disk: u64 =
        (0..8).map(|i| std::fs::metadata(folder.path().join(format!("a/c/{}/{}/{}", i / 4, i / 2 % 2, i % 2))).unwrap().len()).sum();
    assert_eq!(report["stored_bytes"].as_u64(), Some(on_disk));
    let text = longshore(folder.path(), &["inspect", "a"]).ok().stdout;
    assert!(["20x30x40", "zstd", "c/0/0/0", "8 of 8 objects"].iter().all(|fact| text.contains(fact)), "{text}");

    // Nothing is stored: everything is fill, and that is said.
    create(folder.path(), "empty", document());
    let text = longshore(folder.path(), &["inspect", "empty"]).ok().stdout;
    assert!(text.contains("fill value"), "{text}");
}

#[test]
fn the_demo_checks_itself() {
    let folder = tempfile::tempdir().unwrap();
    let run = || longshore(folder.path(), &["demo", "--dir", "d", "--size", "64", "--json"]).ok().json();
    let (first, second) = (run(), run());
    assert_eq!(first["identical"].as_bool(), Some(true));
    assert_eq!(first["stream"]["checksum"], second["stream"]["checksum"]);
    assert!(longshore(folder.path(), &["demo", "--dir", "d", "--size", "64"]).ok().stdout.contains("identical"));
}

#[test]
fn bench_runs_a_scenario_and_reuses_its_data() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = serde_json::json!({
        "name": "tiny", "sample_shape": [8, 8, 8], "samples_per_batch": 4, "lookahead_samples": 16, "dtype": "f32", "n_batches": 5,
        "warmup_batches": 2, "repeats": 2, "seed": 3, "sampling": "random", "memory_bytes": 268435456, "threads": 2,
        "arrays": { "count": 2, "shape": [32, 32, 32], "dtypes": ["u16"], "chunk_shape": [8, 8, 8], "shard_shape": [16, 16, 16],
            "codecs": [{ "name": "zstd", "level": 3 }], "pattern": "image" },
    });
    std::fs::write(folder.path().join("tiny.json"), scenario.to_string()).unwrap();
    let report = longshore(folder.path(), &["bench", "tiny.json", "--json", "--checksum"]).ok().json();
    let runs = report["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    assert!(runs.iter().all(|run| run["batches"].as_u64() == Some(5) && run["samples"].as_u64() == Some(20)));
    assert_eq!(runs[0]["checksum"], runs[1]["checksum"]);
    assert!(report["samples_per_s"]["median"].as_f64().unwrap() > 0.0);
    let again = longshore(folder.path(), &["bench", "tiny.json", "--json", "--checksum", "--repeat", "1"]).ok().json();
    assert_eq!(again["runs"][0]["checksum"], runs[0]["checksum"]);
}

/// The first signal ends the stream; what was done is told.
#[test]
fn an_interrupted_stream_tells_what_it_did() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a");
    let stream = ["stream", "--uri", "a", "--random", "100000000", "--crop", "4,4,4", "--batch", "1", "--out", "out", "--json"];
    let child = start(folder.path(), &[&stream[..], &["--latency", "const:20ms", "--lookahead", "1"]].concat());
    let first = folder.path().join("out/batch-000000.npy");
    // No deadline: without a batch the command hangs, and the test with it; the harness says so.
    while !first.exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    let ended = end(child);
    ended.failed(130, &["interrupted"]);
    assert_eq!(ended.json()["interrupted"].as_bool(), Some(true));
    assert!(ended.json()["batches"].as_u64().unwrap() >= 1);
}

//! Any bytes as a samples file: an error that names the line, or samples whose boxes are boxes.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use longshore::samples_file::SamplesFile;

/// One file per process, in memory where the machine has such a folder.
static PATH: LazyLock<PathBuf> = LazyLock::new(|| {
    let shared = PathBuf::from("/dev/shm");
    let folder = if shared.is_dir() { shared } else { std::env::temp_dir() };
    folder.join(format!("longshore-fuzz-{}.jsonl", std::process::id()))
});

fuzz_target!(|bytes: &[u8]| {
    std::fs::write(&*PATH, bytes).expect("a folder for temporary files");
    let file = SamplesFile::open(&*PATH).expect("the file was just written");
    let lines = bytes.split(|&byte| byte == b'\n').count();
    for (number, sample) in file.enumerate() {
        assert!(number < lines, "more samples than lines");
        match sample {
            Ok(sample) => {
                assert!(!sample.fields().is_empty());
                for field in sample.fields() {
                    assert!(field.crop_box.shape().all(|extent| extent > 0));
                }
            }
            Err(error) => {
                let line = error.line.expect("the file can be read");
                assert!((1..=lines as u64).contains(&line) && !error.reason.is_empty());
            }
        }
    }
    std::fs::remove_file(&*PATH).expect("the file was just written");
});

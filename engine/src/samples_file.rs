//! Sample files: one JSON object a line.
//!
//! ```text
//! {"uri": "a.zarr", "box": [[0, 64], [0, 64], [0, 64]]}
//! {"image": {"uri": "a.zarr", "box": [[0, 64]]}, "label": {"uri": "b.zarr", "box": [[0, 64]]}}
//! ```
//!
//! The first form is a sample of one unnamed field, the second one of several named fields. Empty lines are skipped.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};
use thiserror::Error;

use crate::sample::{CropBox, FieldRequest, Sample};

/// Longest line that is read, bytes.
const MAX_LINE_BYTES: u64 = 1 << 20;
/// Most fields a sample may have.
const MAX_FIELDS: usize = 1024;

/// Why a samples file was refused.
#[derive(Debug, Error)]
#[error("{}{}: {reason}", path.display(), line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct SamplesFileError {
    /// The file.
    pub path: PathBuf,
    /// Number of the line, from 1; `None` if the file itself is to blame.
    pub line: Option<u64>,
    /// What was found and what is allowed.
    pub reason: String,
}

/// Reads the samples of a file one by one; holds one line and the distinct URIs in memory.
///
/// Iteration ends after the first error.
#[derive(Debug)]
pub struct SamplesFile {
    path: PathBuf,
    lines: BufReader<File>,
    line: u64,
    text: Vec<u8>,
    /// One `Arc` per distinct URI or name, shared by all samples.
    names: HashSet<Arc<str>>,
    ended: bool,
}

impl SamplesFile {
    /// Opens a file.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, SamplesFileError> {
        let path = path.into();
        let file = File::open(&path).map_err(|error| refuse(&path, None, error.to_string()))?;
        Ok(Self { path, lines: BufReader::new(file), line: 0, text: Vec::new(), names: HashSet::new(), ended: false })
    }

    /// The next line that is not empty; `None` at the end.
    fn next_line(&mut self) -> Result<Option<()>, String> {
        loop {
            self.text.clear();
            let read = (&mut self.lines).take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut self.text);
            self.line += 1;
            match read.map_err(|error: io::Error| error.to_string())? {
                0 => return Ok(None),
                length if length as u64 > MAX_LINE_BYTES => return Err(format!("the line is longer than {MAX_LINE_BYTES} bytes")),
                _ if self.text.trim_ascii().is_empty() => {}
                _ => return Ok(Some(())),
            }
        }
    }

    fn next_sample(&mut self) -> Result<Option<Sample>, String> {
        if self.next_line()?.is_none() {
            return Ok(None);
        }
        let text = std::mem::take(&mut self.text);
        let sample = parse(&text, &mut self.names);
        self.text = text;
        sample.map(Some)
    }
}

impl Iterator for SamplesFile {
    type Item = Result<Sample, SamplesFileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.next_sample().map_err(|reason| refuse(&self.path, Some(self.line), reason)).transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

fn refuse(path: &Path, line: Option<u64>, reason: String) -> SamplesFileError {
    SamplesFileError { path: path.to_path_buf(), line, reason }
}

fn parse(text: &[u8], names: &mut HashSet<Arc<str>>) -> Result<Sample, String> {
    let document: Map<String, Value> = serde_json::from_slice(text).map_err(|error| format!("not a JSON object: {error}"))?;
    if document.len() > MAX_FIELDS {
        return Err(format!("{} fields, at most {MAX_FIELDS} are possible", document.len()));
    }
    // A field called "uri" is an object, the member of the short form is a string.
    if document.get("uri").is_none_or(Value::is_object) && !document.contains_key("box") {
        let fields = document.iter().map(|(name, value)| {
            let members = value
                .as_object()
                .ok_or_else(|| format!("field {name:?} is {}, it must be an object with \"uri\" and \"box\"", kind(value)))?;
            request(name, members, names).map_err(|reason| format!("field {name:?}: {reason}"))
        });
        let fields = fields.collect::<Result<Vec<_>, _>>()?;
        return if fields.is_empty() {
            Err("the sample is empty, it needs \"uri\" and \"box\"".into())
        } else {
            Ok(Sample::with_fields(fields))
        };
    }
    Ok(Sample::with_fields([request("", &document, names)?]))
}

fn request(name: &str, members: &Map<String, Value>, names: &mut HashSet<Arc<str>>) -> Result<FieldRequest, String> {
    if let Some(unknown) = members.keys().find(|key| !matches!(key.as_str(), "uri" | "box")) {
        return Err(format!("unknown member {unknown:?}; a request has \"uri\" and \"box\""));
    }
    let uri = members.get("uri").ok_or("\"uri\" is missing")?;
    let uri = uri.as_str().ok_or_else(|| format!("\"uri\" is {}, it must be a string", kind(uri)))?;
    let crop_box = parse_box(members.get("box").ok_or("\"box\" is missing")?)?;
    Ok(FieldRequest { name: intern(name, names), uri: intern(uri, names), crop_box })
}

fn parse_box(value: &Value) -> Result<CropBox, String> {
    let shape = || format!("\"box\" is {}, it must be a list of [start, end] pairs of integers", kind(value));
    let pair = |axis: &Value| {
        let axis = axis.as_array().filter(|axis| axis.len() == 2).ok_or_else(shape)?;
        Ok::<_, String>((axis[0].as_i64().ok_or_else(shape)?, axis[1].as_i64().ok_or_else(shape)?))
    };
    let axes = value.as_array().ok_or_else(shape)?;
    CropBox::new(axes.iter().map(pair).collect::<Result<Vec<_>, _>>()?)
}

fn intern(text: &str, names: &mut HashSet<Arc<str>>) -> Arc<str> {
    if let Some(known) = names.get(text) {
        return known.clone();
    }
    let new: Arc<str> = Arc::from(text);
    names.insert(new.clone());
    new
}

/// A JSON value in words, short however long it is.
fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "a boolean".into(),
        Value::Number(number) => number.to_string().chars().take(40).collect(),
        Value::String(text) => format!("the string {:?}", text.chars().take(40).collect::<String>()),
        Value::Array(items) => format!("a list of {} items", items.len()),
        Value::Object(members) => format!("an object of {} members", members.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Result<Sample, String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("samples.jsonl");
        std::fs::write(&path, text).unwrap();
        SamplesFile::open(path).unwrap().map(|sample| sample.map_err(|error| error.to_string())).collect()
    }

    #[test]
    fn both_forms_are_read_and_uris_are_shared() {
        let text = "{\"uri\": \"a\", \"box\": [[0, 4], [-2, 2]]}\n\n{\"image\": {\"uri\": \"a\", \"box\": [[0,1]]}, \"uri\": {\"uri\": \"b\", \"box\": [[5,9]]}}";
        let samples: Vec<Sample> = read(text).into_iter().map(Result::unwrap).collect();
        assert_eq!(samples[0], Sample::new("a", CropBox::new([(0, 4), (-2, 2)]).unwrap()));
        let fields = samples[1].fields();
        assert_eq!((&*fields[0].name, &*fields[1].name, &*fields[1].uri), ("image", "uri", "b"));
        assert_eq!(fields[1].crop_box, CropBox::new([(5, 9)]).unwrap());
        assert!(Arc::ptr_eq(&samples[0].fields()[0].uri, &fields[0].uri));
    }

    #[test]
    fn refusals_name_the_line_and_the_reason() {
        let cases = [
            ("nonsense", "not a JSON object"),
            ("[1]", "not a JSON object"),
            ("{}", "empty"),
            ("{\"uri\": \"a\"}", "\"box\" is missing"),
            ("{\"box\": [[0,1]]}", "\"uri\" is missing"),
            ("{\"uri\": 7, \"box\": [[0,1]]}", "\"uri\" is 7"),
            ("{\"uri\": \"a\", \"box\": [[0,1]], \"weight\": 2}", "\"weight\""),
            ("{\"uri\": \"a\", \"box\": []}", "1 to 32 axes"),
            ("{\"uri\": \"a\", \"box\": [[0,1,2]]}", "pairs"),
            ("{\"uri\": \"a\", \"box\": [[0,0.5]]}", "pairs"),
            ("{\"uri\": \"a\", \"box\": [[0,99999999999999999999]]}", "pairs"),
            ("{\"uri\": \"a\", \"box\": [[4,4]]}", "after the start"),
            ("{\"image\": 5}", "field \"image\" is 5"),
            ("{\"image\": {\"uri\": \"a\"}}", "field \"image\""),
        ];
        for (line, reason) in cases {
            let samples = read(&format!("{{\"uri\": \"a\", \"box\": [[0,1]]}}\n{line}\n{{\"uri\": \"a\", \"box\": [[0,1]]}}\n"));
            assert_eq!(samples.len(), 2, "iteration ends at the error: {line}");
            let error = samples[1].as_ref().unwrap_err();
            assert!(error.contains("line 2") && error.contains(reason), "{line}: {error}");
        }
    }

    #[test]
    fn an_endless_line_is_not_read_whole() {
        let samples = read(&format!("{{\"uri\": \"{}", "a".repeat(3 << 20)));
        assert!(samples[0].as_ref().unwrap_err().contains("longer than"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = SamplesFile::open("/nowhere/samples.jsonl").unwrap_err();
        assert!(error.to_string().contains("/nowhere/samples.jsonl"), "{error}");
    }
}

//! How the command fails: on one readable screen, with an exit code that says what kind of failure it was.

use std::fmt::Write as _;
use std::process::ExitCode;

use longshore::store::StoreError;
use longshore::zarr::ZarrError;
use longshore::{Cause, Error, SampleError, Stage};

use crate::style::To;

/// Help where no `zarr.json` is.
pub const NO_ARRAY: &str = "is this the array's own folder? Arrays of Zarr v2 (.zarray) are not read";

/// Why a command ends with an exit code other than 0.
#[derive(Debug)]
pub enum Failure {
    /// Batches failed, or the input is bad: 1. The text may have several lines.
    Failed(String),
    /// It was said before: 1.
    Told,
    /// The arguments cannot work together: 2.
    Usage(String),
    /// SIGINT or SIGTERM: 130. What was done is printed.
    Interrupted,
}

impl Failure {
    /// Prints the failure to stderr.
    pub fn show(&self) -> ExitCode {
        let (text, code) = match self {
            Self::Failed(text) => (text.as_str(), 1),
            Self::Told => ("", 1),
            Self::Usage(text) => (text.as_str(), 2),
            Self::Interrupted => ("interrupted", 130),
        };
        if !text.is_empty() {
            eprintln!("{} {text}", To::Stderr.bad("error:"));
        }
        ExitCode::from(code)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Config(error) => Self::Usage(error.to_string()),
            other => Self::Failed(describe(&other)),
        }
    }
}

/// A failure to write or read `what`.
pub fn io(what: impl std::fmt::Display, error: &std::io::Error) -> Failure {
    Failure::Failed(format!("{what}: {error}"))
}

/// An error of the loader, one fact per line.
pub fn describe(error: &Error) -> String {
    match error {
        Error::Batch { batch, first, failed } => {
            let others = if *failed > 1 { format!(", the first of {failed} failed samples is:") } else { String::new() };
            format!("batch {batch} failed{others}\n{}", describe_sample(first))
        }
        other => other.to_string(),
    }
}

/// A failed sample, one fact per line.
pub fn describe_sample(error: &SampleError) -> String {
    let mut text = String::new();
    let mut fact = |label: &str, value: &str| {
        let _ = writeln!(text, "  {} {value}", To::Stderr.faint(&format!("{label:<8}")));
    };
    fact("sample", &error.sample.to_string());
    if !error.field.is_empty() {
        fact("field", &error.field);
    }
    fact("array", &error.uri);
    fact("box", &error.crop_box.to_string());
    fact("stage", error.stage.name());
    if let Some(object) = &error.object {
        fact("object", object);
    }
    fact("reason", &error.cause.to_string());
    if let Some(help) = help(error.stage, &error.cause) {
        fact("help", help);
    }
    text.truncate(text.trim_end().len());
    text
}

/// What to change, where the reason does not say it already.
fn help(stage: Stage, cause: &Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::Store(error) => store_help(stage, error)?,
        Cause::Zarr(ZarrError::NotAnArray(_)) => "name an array of Zarr format 3; a group's arrays are in its folders",
        Cause::Zarr(ZarrError::Unsupported(_)) => "`longshore inspect` says what is read; rewrite the array with other codecs",
        Cause::Zarr(ZarrError::ShardIndex(_)) => "the shard is damaged or cut off: copy it again or rewrite it",
        Cause::Codec(_) | Cause::Short { .. } => "the object is damaged or cut off: copy it again or rewrite it",
        Cause::Box(_) => "move the box inside, or say what is outside: --outside fill, edge or a number",
        Cause::NoCast(_) => "use --dtype native",
        Cause::Memory { .. } => "raise --memory, or use smaller batches, a smaller lookahead or fewer buffers",
        _ => return None,
    })
}

fn store_help(stage: Stage, error: &StoreError) -> Option<&'static str> {
    Some(match error {
        StoreError::NotFound if stage == Stage::ArrayMetadata => NO_ARRAY,
        StoreError::Permanent(_) => "check the path and its permissions",
        StoreError::Transient(_) => "the storage kept failing until the retry deadline: try again later",
        _ => return None,
    })
}

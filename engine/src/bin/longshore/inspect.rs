//! `longshore inspect`: what an array is, how it is read, whether its layout suits crops.

use longshore::Cause;
use longshore::inspect::{Inspection, inspect};
use longshore::store::StoreError;
use longshore::zarr::{ArrayMeta, ArrayToBytes, ChunkKeys, Layout, ZarrError, describe_shape};
use serde_json::{Value, json};

use crate::args::Inspect;
use crate::failure::{self, Failure};
use crate::report::{self, bytes};
use crate::style::To;

/// Objects asked for at most: enough for a share that is right within a percent, and a second on a slow store.
const MOST_OBJECTS: u64 = 10_000;

pub fn run(arguments: &Inspect) -> Result<(), Failure> {
    let found = inspect(&arguments.uri, MOST_OBJECTS).map_err(|cause| refused(&arguments.uri, &cause))?;
    if arguments.json {
        report::print(&to_json(&arguments.uri, &found).to_string())?;
    } else {
        report::print(&report::table(&rows(&arguments.uri, &found)))?;
    }
    if found.decodes.is_err() || found.stored.corrupt_index.is_some() || found.stored.failed > 0 { Err(Failure::Told) } else { Ok(()) }
}

/// The failure for an array whose metadata could not be had.
pub fn refused(uri: &str, cause: &Cause) -> Failure {
    let help = match cause {
        Cause::Store(StoreError::NotFound) => Some(failure::NO_ARRAY),
        Cause::Zarr(ZarrError::NotAnArray(_)) => Some("name an array of Zarr format 3; a group's arrays are in its folders"),
        Cause::Zarr(ZarrError::Unsupported(_)) => Some("rewrite the array without it"),
        _ => None,
    };
    let object = if matches!(cause, Cause::Uri(_)) { "" } else { "zarr.json: " };
    let help = help.map(|help| format!("\n  {} {help}", To::Stderr.faint("help"))).unwrap_or_default();
    Failure::Failed(format!("{uri}: {object}{cause}{help}"))
}

fn rows(uri: &str, found: &Inspection) -> Vec<(&'static str, String)> {
    let meta = &found.meta;
    let mut rows = vec![
        ("array", To::Stdout.strong(uri)),
        ("shape", format!("{} ({} decoded)", describe_shape(&meta.shape), bytes(decoded_bytes(meta)))),
        ("type", meta.data_type.name().to_owned()),
        ("fill", meta.fill_value.describe(meta.data_type)),
        ("grid", grid(found)),
        ("objects", format!("{} each", found.layout)),
        ("keys", keys(meta)),
        ("codecs", meta.codecs.to_string()),
        ("read", reading(found)),
        ("stored", stored(found)),
    ];
    if let Some(compression) = found.compression() {
        rows.push(("packing", format!("{compression:.2} times smaller than decoded")));
    }
    if let Some(reason) = &found.stored.corrupt_index {
        rows.push(("damage", To::Stdout.bad(reason)));
    }
    if let Some(reason) = &found.stored.first_failure {
        rows.push(("failure", To::Stdout.bad(&format!("{} objects cannot be read: {reason}", found.stored.failed))));
    }
    rows.extend(found.advice.iter().map(|advice| ("advice", To::Stdout.doubtful(advice))));
    if found.advice.is_empty() {
        rows.push(("advice", To::Stdout.good("none: the layout suits crops")));
    }
    rows
}

fn decoded_bytes(meta: &ArrayMeta) -> f64 {
    meta.shape.iter().fold(meta.data_type.size() as f64, |bytes, &extent| bytes * extent as f64)
}

fn grid(found: &Inspection) -> String {
    let (cell, grid) = (describe_shape(&found.meta.chunk_shape), describe_shape(&found.meta.grid_shape()));
    let what = if is_sharded(found) { "shards" } else { "chunks" };
    format!("{grid} {what} of {cell} ({} each decoded)", bytes(found.cell_bytes() as f64))
}

fn is_sharded(found: &Inspection) -> bool {
    matches!(found.meta.codecs.array_to_bytes, ArrayToBytes::Sharding(_))
}

fn keys(meta: &ArrayMeta) -> String {
    let kind = match meta.keys {
        ChunkKeys::Default(_) => "default",
        ChunkKeys::V2(_) => "v2",
    };
    let mut example = String::new();
    meta.keys.write_key(&vec![0; meta.rank()], &mut example);
    format!("{kind}, as in {example}")
}

fn reading(found: &Inspection) -> String {
    let unit = match &found.layout {
        Layout::Sharded(_) => "chunk by chunk through the shard index",
        Layout::Plain { .. } if is_sharded(found) => "shard by shard, each decoded whole",
        Layout::Plain { .. } => "chunk by chunk",
    };
    match &found.decodes {
        Err(reason) => To::Stdout.bad(&format!("cannot be decoded: {reason}")),
        Ok(decoding) if decoding.is_identity => To::Stdout.good(&format!("{unit}; stored as they are: only what a crop needs is read")),
        Ok(decoding) if decoding.decodes_parts => To::Stdout.good(&format!("{unit}; parts of a chunk are decoded by themselves")),
        Ok(decoding) => To::Stdout.good(&format!("{unit}; a chunk of {} is decoded whole", bytes(decoding.chunk_bytes as f64))),
    }
}

fn stored(found: &Inspection) -> String {
    let stored = &found.stored;
    let asked = if stored.asked < stored.cells { format!(" asked for, of {} in all", stored.cells) } else { String::new() };
    let mut text = format!("{} of {} objects{asked}, {}", stored.found, stored.asked, bytes(stored.bytes as f64));
    if stored.indexes > 0 {
        let share = 100.0 * stored.index_entries_stored as f64 / stored.index_entries.max(1) as f64;
        text += &format!("; {share:.0} % of the chunks in {} indexes read", stored.indexes);
    }
    text
}

fn to_json(uri: &str, found: &Inspection) -> Value {
    let (meta, stored) = (&found.meta, &found.stored);
    json!({
        "uri": uri,
        "shape": meta.shape.as_slice(),
        "data_type": meta.data_type.name(),
        "fill_value": meta.fill_value.describe(meta.data_type),
        "grid_shape": meta.grid_shape().as_slice(),
        "cell_shape": meta.chunk_shape.as_slice(),
        "chunk_shape": found.layout.chunk_shape(),
        "sharded": is_sharded(found),
        "read_by_chunk": matches!(found.layout, Layout::Sharded(_)) || !is_sharded(found),
        "keys": keys(meta),
        "codecs": meta.codecs.to_string(),
        "supported": found.decodes.is_ok(),
        "unsupported_reason": found.decodes.as_ref().err(),
        "objects": stored.cells,
        "objects_asked": stored.asked,
        "objects_stored": stored.found,
        "objects_failed": stored.failed,
        "stored_bytes": stored.bytes,
        "chunks_in_indexes": stored.index_entries,
        "chunks_stored_in_indexes": stored.index_entries_stored,
        "corrupt_index": stored.corrupt_index,
        "compression": found.compression(),
        "advice": found.advice,
    })
}

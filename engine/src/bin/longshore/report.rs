//! What a run did: a table for people, JSON for machines.

use std::fmt::Write as _;
use std::io::Write as _;

use longshore::Stats;
use serde_json::{Value, json};

use crate::drive::Outcome;
use crate::failure::{self, Failure};
use crate::measure::{peak_rss_bytes, quantile};
use crate::style::To;

/// Prints `text` and a newline to stdout. A reader that went away (`| head`) is no failure.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(failure::io("stdout", &error)),
        _ => Ok(()),
    }
}

/// Prints what a stream did.
pub fn print_stream(outcome: &Outcome, as_json: bool) -> Result<(), Failure> {
    if as_json { print(&to_json(outcome).to_string()) } else { print(&table(&rows(outcome))) }
}

/// One run as JSON: counts, seconds and bytes, no other units.
pub fn to_json(outcome: &Outcome) -> Value {
    let stats = &outcome.stats;
    let phases: serde_json::Map<String, Value> = stats
        .metadata
        .iter()
        .map(|phase| (phase.phase.to_owned(), json!({ "hits": phase.hits, "misses": phase.misses, "evictions": phase.evictions })))
        .collect();
    json!({
        "samples": outcome.samples,
        "batches": outcome.batches,
        "failed_samples": outcome.failed_samples,
        "failed_batches": outcome.failed_batches,
        "interrupted": outcome.interrupted,
        "seconds": outcome.seconds,
        "samples_per_s": per_second(outcome.samples, outcome),
        "out_bytes": outcome.out_bytes,
        "out_bytes_per_s": per_second(outcome.out_bytes, outcome),
        "first_batch_s": outcome.first_batch_s,
        "read_bytes": stats.read_bytes,
        "read_ops": stats.read_ops,
        "read_ops_inline": stats.read_ops_inline,
        "chunks_decoded": stats.chunks_decoded,
        "chunks_referenced": stats.chunks_referenced,
        "chunks_reused": stats.chunks_reused,
        "chunks_filled": stats.chunks_filled,
        "decoded_bytes": stats.decoded_bytes,
        "cpu_s": outcome.cpu_s,
        "cpu_s_per_gb": cpu_per_gb(outcome),
        "peak_rss_bytes": peak_rss_bytes(),
        "memory_peak_bytes": stats.memory_peak,
        "memory_budget_bytes": stats.memory_budget,
        "pop_wait_s": { "p50": wait(outcome, 0.5), "p99": wait(outcome, 0.99), "max": wait(outcome, 1.0) },
        "stage_s": {
            "plan": stats.stage.plan_s, "read": stats.stage.read_s, "decode": stats.stage.decode_s, "assemble": stats.stage.assemble_s,
        },
        "metadata": phases,
        "checksum": outcome.checksum.map(|sum| format!("{sum:016x}")),
    })
}

/// One run in rows of label and value.
pub fn rows(outcome: &Outcome) -> Vec<(&'static str, String)> {
    let stats = &outcome.stats;
    let mut rows = vec![
        ("samples", format!("{} in {} batches", outcome.samples, outcome.batches)),
        ("time", format!("{} ({} to the first batch)", seconds(outcome.seconds), outcome.first_batch_s.map_or("-".into(), seconds))),
        ("throughput", throughput(outcome)),
        ("waits", format!("median {}, p99 {}, longest {}", waits(outcome, 0.5), waits(outcome, 0.99), waits(outcome, 1.0))),
        ("reads", format!("{} in {} requests ({} from memory)", bytes(stats.read_bytes as f64), stats.read_ops, stats.read_ops_inline)),
        ("chunks", chunks(stats)),
        ("metadata", metadata(stats)),
        ("stages", stages(stats)),
        ("cost", format!("{} of CPU, {} per GB out", seconds(outcome.cpu_s), seconds(cpu_per_gb(outcome)))),
        ("memory", memory(stats)),
    ];
    if let Some(sum) = outcome.checksum {
        rows.push(("checksum", format!("{sum:016x} (xxh3-64)")));
    }
    if outcome.failed_batches + outcome.failed_samples > 0 {
        let text = format!("{} samples, {} batches", outcome.failed_samples, outcome.failed_batches);
        rows.push(("failed", To::Stdout.bad(&text)));
    }
    rows
}

/// Rows with their labels aligned.
pub fn table(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (label, value) in rows {
        let _ = writeln!(text, "{}  {value}", To::Stdout.faint(&format!("{label:<width$}")));
    }
    text.truncate(text.trim_end().len());
    text
}

/// Samples and bytes per second.
pub fn throughput(outcome: &Outcome) -> String {
    let samples = format!("{:.1} samples/s", per_second(outcome.samples, outcome));
    format!("{}, {}/s", To::Stdout.strong(&samples), bytes(per_second(outcome.out_bytes, outcome)))
}

fn chunks(stats: &Stats) -> String {
    format!(
        "{} needed, {} decoded ({}), {} shared or kept, {} fill",
        stats.chunks_referenced,
        stats.chunks_decoded,
        bytes(stats.decoded_bytes as f64),
        stats.chunks_referenced.saturating_sub(stats.chunks_decoded).saturating_sub(stats.chunks_filled),
        stats.chunks_filled
    )
}

fn metadata(stats: &Stats) -> String {
    let phase = |phase: &longshore::CachePhase| format!("{} {} hits, {} misses", phase.phase, phase.hits, phase.misses);
    stats.metadata.iter().filter(|phase| phase.hits + phase.misses > 0).map(phase).collect::<Vec<_>>().join("; ")
}

fn stages(stats: &Stats) -> String {
    let stage = &stats.stage;
    format!(
        "plan {}, read {}, decode {}, assemble {}",
        seconds(stage.plan_s),
        seconds(stage.read_s),
        seconds(stage.decode_s),
        seconds(stage.assemble_s)
    )
}

fn memory(stats: &Stats) -> String {
    let [rss, peak, budget] = [peak_rss_bytes(), stats.memory_peak, stats.memory_budget].map(|value| bytes(value as f64));
    format!("{rss} resident at most, {peak} of the budget of {budget} used")
}

fn per_second(count: u64, outcome: &Outcome) -> f64 {
    if outcome.seconds > 0.0 { count as f64 / outcome.seconds } else { 0.0 }
}

fn cpu_per_gb(outcome: &Outcome) -> f64 {
    if outcome.out_bytes > 0 { outcome.cpu_s / (outcome.out_bytes as f64 / 1e9) } else { 0.0 }
}

fn wait(outcome: &Outcome, q: f64) -> f64 {
    quantile(&outcome.waits_s, q)
}

fn waits(outcome: &Outcome, q: f64) -> String {
    seconds(wait(outcome, q))
}

/// A time in the unit that suits it.
pub fn seconds(seconds: f64) -> String {
    match seconds {
        s if s >= 100.0 => format!("{s:.0} s"),
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 1e-3 => format!("{:.2} ms", s * 1e3),
        s if s > 0.0 => format!("{:.1} us", s * 1e6),
        _ => "0 s".into(),
    }
}

/// A size in the unit that suits it; decimal, as storage is sold.
pub fn bytes(bytes: f64) -> String {
    match bytes {
        b if b >= 1e12 => format!("{:.2} TB", b / 1e12),
        b if b >= 1e9 => format!("{:.2} GB", b / 1e9),
        b if b >= 1e6 => format!("{:.1} MB", b / 1e6),
        b if b >= 1e3 => format!("{:.1} kB", b / 1e3),
        b => format!("{b:.0} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_suit_their_values() {
        assert_eq!([0.0, 2.5e-6, 0.0125, 1.5, 250.0].map(seconds), ["0 s", "2.5 us", "12.50 ms", "1.50 s", "250 s"]);
        assert_eq!([0.0, 999.0, 1500.0, 2.5e6, 3e9, 4.25e12].map(bytes), ["0 B", "999 B", "1.5 kB", "2.5 MB", "3.00 GB", "4.25 TB"]);
    }

    #[test]
    fn the_json_has_what_machines_read() {
        let outcome = Outcome { samples: 32, batches: 2, seconds: 0.5, out_bytes: 1000, checksum: Some(0xAB), ..Outcome::default() };
        let json = to_json(&outcome);
        assert_eq!(json["samples_per_s"].as_f64(), Some(64.0));
        assert_eq!(json["out_bytes_per_s"].as_f64(), Some(2000.0));
        assert_eq!(json["checksum"], "00000000000000ab");
        for key in [
            "first_batch_s",
            "read_bytes",
            "read_ops",
            "chunks_decoded",
            "chunks_referenced",
            "cpu_s",
            "peak_rss_bytes",
            "pop_wait_s",
            "metadata",
        ] {
            assert!(json.get(key).is_some(), "{key}");
        }
        assert!(json["pop_wait_s"]["p99"].is_number());
    }
}

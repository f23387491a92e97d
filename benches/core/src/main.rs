//! `longshore-core-benches [--rounds N] [--scale F] [--list] [PREFIX...]`: measures the groups whose names begin so (all,
//! if none is given), and says of each aim whether it is met.
//! `longshore-core-benches --count GROUP ROW OPS`: does one row's operations and nothing else, for callgrind and strace.
//! `longshore-core-benches --probe`: one look-up, for objdump.

use longshore_core_benches::bench::{Group, Results};
use longshore_core_benches::{probe, sections};
use std::process::ExitCode;

const USAGE: &str = "usage: [--rounds N] [--scale F] [--list] [GROUP...], or --count GROUP ROW OPS";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("--count") => count(&args[1..]),
        Some("--probe") => {
            println!("{}", probe::run());
            ExitCode::SUCCESS
        }
        _ => tables(&args),
    }
}

fn count(args: &[String]) -> ExitCode {
    let [group, row, ops] = args else { panic!("{USAGE}") };
    let groups = sections::all();
    let row = groups.iter().filter(|g| g.name == *group).flat_map(|g| &g.rows).find(|r| r.name == *row);
    let mut body = (row.expect("no such row").build)();
    body(ops.parse().expect(USAGE));
    ExitCode::SUCCESS
}

fn tables(args: &[String]) -> ExitCode {
    let (mut rounds, mut scale, mut prefixes) = (21, 1.0, Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().expect(USAGE);
        match arg.as_str() {
            "--rounds" => rounds = value().parse().expect(USAGE),
            "--scale" => scale = value().parse().expect(USAGE),
            "--list" => {
                sections::all().iter().for_each(|group| println!("{}", group.name));
                return ExitCode::SUCCESS;
            }
            other if other.starts_with('-') => panic!("{USAGE}"),
            prefix => prefixes.push(prefix),
        }
    }
    let groups = sections::all();
    let chosen = |group: &&Group| prefixes.is_empty() || prefixes.iter().any(|prefix| group.name.starts_with(prefix));
    let (mut met, mut missed) = (0, Vec::new());
    for group in groups.iter().filter(chosen) {
        let results = group.measure(rounds, (group.ops as f64 * scale) as usize);
        print_rows(group, &results);
        for aim in &group.aims {
            let (measured, kept) = (aim.judge)(&results);
            println!("  {} {}: {measured}", if kept { "met   " } else { "MISSED" }, aim.what);
            if kept { met += 1 } else { missed.push(format!("{}: {}: {measured}", group.name, aim.what)) }
        }
    }
    println!("\n{met} aims met, {} missed", missed.len());
    missed.iter().for_each(|aim| println!("  missed  {aim}"));
    ExitCode::SUCCESS
}

fn print_rows(group: &Group, results: &Results) {
    println!("\n{}  [{}]", group.title, group.name);
    println!("  {:<42} {:>9}  {:>20}", group.unit, "median", "quartiles");
    for row in &group.rows {
        let (low, high) = results.quartiles(&row.name);
        println!("  {:<42} {:>9.2}  {:>9.2} - {:>8.2}", row.name, results.median(&row.name), low, high);
    }
}

//! The `longshore` command: looks into Zarr arrays, cuts crops out of them, streams batches, measures.
#![allow(unreachable_pub, reason = "a binary has no public face")]

mod args;
mod bench;
mod crop;
mod demo;
mod drive;
mod failure;
mod inspect;
mod measure;
mod parse;
mod progress;
mod report;
mod signal;
mod source;
mod stream;
mod style;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Arguments, Command};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let interrupt = match signal::Interrupt::install() {
        Ok(interrupt) => interrupt,
        Err(failure) => return failure.show(),
    };
    let outcome = match arguments.command {
        Command::Demo(arguments) => demo::run(&arguments, &interrupt),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Crop(arguments) => crop::run(&arguments),
        Command::Stream(arguments) => stream::run(&arguments, &interrupt),
        Command::Bench(arguments) => bench::run(&arguments, &interrupt),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.show(),
    }
}

//! `dataset SCENARIO.json DIR`: writes the data set of a scenario if it is not there, and prints its folder.

use std::path::Path;
use std::process::ExitCode;

use longshore_benches::{dataset, scenario::Scenario};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, dir] = arguments.as_slice() else {
        eprintln!("usage: dataset SCENARIO.json DIR");
        return ExitCode::from(2);
    };
    let made = Scenario::load(Path::new(file)).and_then(|scenario| {
        dataset::ensure_dataset(&scenario, Path::new(dir))?;
        Ok(dataset::dataset_root(&scenario, Path::new(dir)))
    });
    match made {
        Ok(root) => {
            println!("{}", root.display());
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("dataset: {reason}");
            ExitCode::FAILURE
        }
    }
}

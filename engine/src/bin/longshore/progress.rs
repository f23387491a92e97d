//! A progress bar on stderr, where that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How often the bar is redrawn at least, also while nothing comes.
const TICK: Duration = Duration::from_millis(200);

/// A bar over `total` steps called `what`, a spinner where the total is unknown. Draws nothing where nobody looks.
pub fn bar(total: Option<u64>, what: &str) -> ProgressBar {
    let bar = match total {
        Some(total) => ProgressBar::new(total).with_style(style(&format!("{{bar:32.green}} {{pos}}/{{len}} {what} {{msg}} {{eta}}"))),
        None => ProgressBar::new_spinner().with_style(style(&format!("{{spinner}} {{pos}} {what} {{msg}} {{elapsed}}"))),
    };
    if !bar.is_hidden() {
        bar.enable_steady_tick(TICK);
    }
    bar
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates are constants of this file")
}

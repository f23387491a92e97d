//! Colour, where somebody looks.

use std::io::IsTerminal;

use clap::builder::Styles;
use clap::builder::styling::{AnsiColor, Style};

/// Colours of the help texts and usage errors.
pub const CLAP: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default().bold())
    .usage(AnsiColor::Yellow.on_default().bold())
    .literal(AnsiColor::Green.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

/// Where a text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    Stdout,
    Stderr,
}

impl To {
    /// Terminals that do not refuse colour get it (<https://no-color.org>).
    fn coloured(self) -> bool {
        let terminal = match self {
            Self::Stdout => std::io::stdout().is_terminal(),
            Self::Stderr => std::io::stderr().is_terminal(),
        };
        terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
    }

    /// A heading or a number that matters.
    pub fn strong(self, text: &str) -> String {
        self.paint(text, Style::new().bold())
    }

    /// Something is wrong.
    pub fn bad(self, text: &str) -> String {
        self.paint(text, AnsiColor::Red.on_default().bold())
    }

    /// Something is well.
    pub fn good(self, text: &str) -> String {
        self.paint(text, AnsiColor::Green.on_default())
    }

    /// Something could be better.
    pub fn doubtful(self, text: &str) -> String {
        self.paint(text, AnsiColor::Yellow.on_default())
    }

    /// What labels the rest.
    pub fn faint(self, text: &str) -> String {
        self.paint(text, Style::new().dimmed())
    }

    fn paint(self, text: &str, style: Style) -> String {
        if self.coloured() { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

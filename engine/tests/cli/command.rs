//! Runs the built command; nothing may hang.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest a command may run: far beyond what any takes, so that only a hang is cut off.
const DEADLINE: Duration = Duration::from_secs(120);

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// The JSON it printed.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// Asserts that it failed with `code`, on one readable screen that contains all of `facts`.
    #[track_caller]
    pub fn failed(&self, code: i32, facts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        for fact in facts {
            assert!(self.stderr.contains(fact), "{fact:?} is not said: {self:#?}");
        }
        assert!(self.stderr.lines().count() <= 24, "more than a screen: {self:#?}");
        for word in ["panicked", "RUST_BACKTRACE"] {
            assert!(!self.stderr.contains(word), "{self:#?}");
        }
    }
}

/// Starts the command in `folder`.
pub fn start(folder: &Path, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_longshore"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts")
}

/// Waits for its end; kills it and fails at the deadline.
pub fn end(mut child: Child) -> Ended {
    let reader = |mut pipe: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut text = String::new();
            pipe.read_to_string(&mut text).expect("the output is UTF-8");
            text
        })
    };
    let stdout = reader(Box::new(child.stdout.take().expect("piped")));
    let stderr = reader(Box::new(child.stderr.take().expect("piped")));
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("the child can be waited for") {
            break status;
        }
        if begun.elapsed() > DEADLINE {
            child.kill().expect("the child can be killed");
            panic!("the command hangs: {}{}", stdout.join().unwrap(), stderr.join().unwrap());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    Ended { code: status.code(), stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

/// Runs the command in `folder` to its end.
pub fn longshore(folder: &Path, arguments: &[&str]) -> Ended {
    end(start(folder, arguments))
}

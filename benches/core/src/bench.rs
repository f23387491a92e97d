//! Interleaved rounds: every row of a group is measured once per round, in turn, and what is judged is the median over
//! the rounds of the ratio within one round. On a machine that others use too, that is what stays the same; a benchmark
//! that finishes one row before it begins the next compares moments.

use std::collections::BTreeMap;

/// Runs about so many operations and answers the nanoseconds that one took.
pub type Body = Box<dyn FnMut(usize) -> f64>;

/// Answers what was measured and whether it keeps a promise.
pub type Judge = Box<dyn Fn(&Results) -> (String, bool)>;

/// One line of a table.
pub struct Row {
    /// Its name.
    pub name: String,
    /// Sets up.
    pub build: Box<dyn Fn() -> Body>,
}

/// Something promised about a group, and how to tell.
pub struct Aim {
    /// What is promised.
    pub what: String,
    /// Answers what was measured and whether it keeps the promise.
    pub judge: Judge,
}

/// Rows that are compared with one another.
pub struct Group {
    /// What selects it on the command line.
    pub name: String,
    /// The head of its table.
    pub title: String,
    /// What its numbers are.
    pub unit: &'static str,
    /// Operations per sample.
    pub ops: usize,
    /// The rows.
    pub rows: Vec<Row>,
    /// What is promised.
    pub aims: Vec<Aim>,
}

impl Group {
    /// A group without rows.
    #[must_use]
    pub fn new(name: impl Into<String>, title: impl Into<String>, ops: usize) -> Self {
        Self { name: name.into(), title: title.into(), unit: "ns", ops, rows: Vec::new(), aims: Vec::new() }
    }

    /// Adds a row.
    pub fn row<B: FnMut(usize) -> f64 + 'static>(&mut self, name: impl Into<String>, build: impl Fn() -> B + 'static) {
        self.rows.push(Row { name: name.into(), build: Box::new(move || Box::new(build())) });
    }

    /// Adds an aim.
    pub fn aim(&mut self, what: impl Into<String>, judge: impl Fn(&Results) -> (String, bool) + 'static) {
        self.aims.push(Aim { what: what.into(), judge: Box::new(judge) });
    }

    /// Measures every row `rounds` times, in turn.
    #[must_use]
    pub fn measure(&self, rounds: usize, ops: usize) -> Results {
        let mut bodies: Vec<Body> = self.rows.iter().map(|row| (row.build)()).collect();
        let mut samples: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        bodies.iter_mut().for_each(|body| _ = body(ops)); // warms up
        for _ in 0..rounds {
            for (row, body) in self.rows.iter().zip(&mut bodies) {
                samples.entry(row.name.clone()).or_default().push(body(ops));
            }
        }
        Results(samples)
    }
}

/// The samples of a group, by row.
pub struct Results(BTreeMap<String, Vec<f64>>);

impl Results {
    /// The median of a row.
    #[must_use]
    pub fn median(&self, row: &str) -> f64 {
        median(self.samples(row).to_vec())
    }

    /// The lower and the upper quartile of a row.
    #[must_use]
    pub fn quartiles(&self, row: &str) -> (f64, f64) {
        let mut sorted = self.samples(row).to_vec();
        sorted.sort_by(f64::total_cmp);
        (sorted[sorted.len() / 4], sorted[sorted.len() * 3 / 4])
    }

    /// The median over the rounds of `row` divided by `base`.
    #[must_use]
    pub fn ratio(&self, row: &str, base: &str) -> f64 {
        median(self.samples(row).iter().zip(self.samples(base)).map(|(a, b)| a / b).collect())
    }

    /// The row with the lowest median among those that `which` admits.
    #[must_use]
    pub fn best(&self, which: impl Fn(&str) -> bool) -> &str {
        let rows = self.0.keys().filter(|row| which(row));
        rows.min_by(|a, b| self.median(a).total_cmp(&self.median(b))).expect("a row is admitted")
    }

    fn samples(&self, row: &str) -> &[f64] {
        self.0.get(row).unwrap_or_else(|| panic!("no row '{row}' in {:?}", self.0.keys()))
    }
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// An aim as most are: `row` takes at most `factor` times as long as the best of the rows that `which` admits.
pub fn at_most_best<W: Fn(&str) -> bool + 'static>(row: &str, factor: f64, which: W) -> impl Fn(&Results) -> (String, bool) + use<W> {
    let row = row.to_owned();
    move |results| {
        let best = results.best(&which);
        let ratio = results.ratio(&row, best);
        (format!("{ratio:.2} x {best}"), ratio <= factor)
    }
}

/// The same against one row.
pub fn at_most(row: &str, factor: f64, base: &str) -> impl Fn(&Results) -> (String, bool) + use<> {
    let base = base.to_owned();
    at_most_best(row, factor, move |name| name == base)
}

/// `row` takes at most so many nanoseconds.
pub fn at_most_ns(row: &str, limit: f64) -> impl Fn(&Results) -> (String, bool) + use<> {
    let row = row.to_owned();
    move |results| {
        let median = results.median(&row);
        (format!("{median:.2} ns"), median <= limit)
    }
}

//! A slow store, made of a fast one: each request waits before it is passed on.
//!
//! Delays wait in a [`DelayQueue`], so they run side by side, as round trips do: a thousand requests of 50 ms each take
//! 50 ms together.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::counters::StoreStats;
use super::timer::{Clock, DelayQueue, Fired};
use super::{CostModel, FetchDone, Now, ObjectKey, ReadDone, Span, Store, StoreError};
use crate::random::Random;

/// Longest delay that any model draws.
const LONGEST: Duration = Duration::from_secs(3600);

/// How long requests wait.
///
/// As text: `const:50ms`, or `lognormal:MEDIAN,SIGMA[,CAP[,BASELINE]]` as in `lognormal:50ms,2.0,1s`. Units are `ns`, `us`,
/// `ms` and `s`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LatencyModel {
    /// All the same.
    Constant(Duration),
    /// `baseline + min(cap, median * exp(sigma * N(0, 1)))`.
    LogNormal {
        /// Half of the requests wait less than this (beyond the baseline).
        median: Duration,
        /// Standard deviation of the logarithm; 0 and above.
        sigma: f64,
        /// Longest wait beyond the baseline.
        cap: Duration,
        /// What every request waits.
        baseline: Duration,
    },
}

/// Which requests wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LatencyScope {
    /// Metadata ([`Store::fetch`]) only.
    #[default]
    Metadata,
    /// Bulk reads too; nothing can then be read at once.
    All,
}

impl LatencyModel {
    fn draw(&self, random: &Random) -> Duration {
        match *self {
            Self::Constant(delay) => delay,
            Self::LogNormal { median, sigma, cap, baseline } => {
                let seconds = median.as_secs_f64() * (sigma * random.normal()).exp();
                baseline.saturating_add(Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).min(cap)).min(LONGEST)
            }
        }
    }

    /// The typical delay.
    pub fn median(&self) -> Duration {
        match *self {
            Self::Constant(delay) => delay,
            Self::LogNormal { median, cap, baseline, .. } => baseline.saturating_add(median.min(cap)),
        }
    }
}

impl FromStr for LatencyModel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = "use `const:50ms` or `lognormal:50ms,2.0[,cap[,baseline]]`";
        let (kind, rest) = text.split_once(':').ok_or_else(|| format!("latency {text:?}: {usage}"))?;
        let parts: Vec<_> = rest.split(',').map(str::trim).collect();
        match (kind, &parts[..]) {
            ("const", [delay]) => Ok(Self::Constant(parse_duration(delay)?)),
            ("lognormal", [median, sigma, more @ ..]) if more.len() <= 2 => Ok(Self::LogNormal {
                median: parse_duration(median)?,
                sigma: parse_sigma(sigma)?,
                cap: more.first().map_or(Ok(LONGEST), |cap| parse_duration(cap))?,
                baseline: more.get(1).map_or(Ok(Duration::ZERO), |baseline| parse_duration(baseline))?,
            }),
            _ => Err(format!("latency {text:?}: {usage}")),
        }
    }
}

impl fmt::Display for LatencyModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(delay) => write!(f, "const:{delay:?}"),
            Self::LogNormal { median, sigma, cap, baseline } => write!(f, "lognormal:{median:?},{sigma},{cap:?},{baseline:?}"),
        }
    }
}

fn parse_sigma(text: &str) -> Result<f64, String> {
    let sigma = text.parse().ok().filter(|sigma: &f64| sigma.is_finite() && *sigma >= 0.0);
    sigma.ok_or_else(|| format!("sigma {text:?} is not a number of 0 or more"))
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("duration {text:?} is not a number with a unit (ns, us, ms, s) of at most an hour");
    let digits = text.find(|c: char| !matches!(c, '0'..='9' | '.')).ok_or_else(bad)?;
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => return Err(bad()),
    };
    let seconds = number.parse::<f64>().map_err(|_| bad())? * scale;
    Duration::try_from_secs_f64(seconds).ok().filter(|duration| *duration <= LONGEST).ok_or_else(bad)
}

/// A store whose requests wait.
#[derive(Debug)]
pub struct Latency {
    // Goes first: what waits is answered `Cancelled`, and its thread never drops the last reference to `inner`.
    queue: DelayQueue,
    inner: Arc<dyn Store>,
    model: LatencyModel,
    scope: LatencyScope,
    random: Random,
}

impl Latency {
    /// Makes `inner` slow. The same `seed` and order of requests give the same delays.
    ///
    /// # Errors
    /// The thread of the delays could not be started.
    pub fn new(inner: Arc<dyn Store>, model: LatencyModel, scope: LatencyScope, seed: u64, clock: Clock) -> io::Result<Self> {
        Ok(Self { queue: DelayQueue::new(clock)?, inner, model, scope, random: Random::new(seed) })
    }

    fn is_slow(&self) -> bool {
        self.scope == LatencyScope::All
    }
}

impl Store for Latency {
    fn fetch(&self, key: ObjectKey, span: Span, limit: u64, done: FetchDone) {
        let inner = Arc::clone(&self.inner);
        let call = move |fired| match fired {
            Fired::Due => inner.fetch(key, span, limit, done),
            Fired::Cancelled => done(Err(StoreError::Cancelled)),
        };
        self.queue.after(self.model.draw(&self.random), Box::new(call));
    }

    fn read(&self, key: ObjectKey, offset: u64, into: Vec<u8>, done: ReadDone) {
        if !self.is_slow() {
            return self.inner.read(key, offset, into, done);
        }
        let inner = Arc::clone(&self.inner);
        let call = move |fired| match fired {
            Fired::Due => inner.read(key, offset, into, done),
            Fired::Cancelled => done(into, Err(StoreError::Cancelled)),
        };
        self.queue.after(self.model.draw(&self.random), Box::new(call));
    }

    fn try_read_now(&self, key: &ObjectKey, offset: u64, into: &mut [u8]) -> Now {
        if self.is_slow() { Now::WouldBlock } else { self.inner.try_read_now(key, offset, into) }
    }

    fn try_read_whole_now(&self, key: &ObjectKey, limit: u64, into: &mut Vec<u8>) -> Now {
        if self.is_slow() { Now::WouldBlock } else { self.inner.try_read_whole_now(key, limit, into) }
    }

    fn size_now(&self, key: &ObjectKey) -> Option<Result<u64, StoreError>> {
        if self.is_slow() { None } else { self.inner.size_now(key) }
    }

    fn close(&self) {
        self.queue.cancel();
        self.inner.close();
    }

    fn cost(&self) -> CostModel {
        let inner = self.inner.cost();
        if !self.is_slow() {
            return inner;
        }
        // What a stream of 100 MB/s brings in one delay is read rather than asked for again; many delays run side by side.
        let gap_bytes = (self.model.median().as_secs_f64() * 100e6) as u64;
        CostModel {
            gap_bytes: inner.gap_bytes.max(gap_bytes.min(1 << 20)),
            max_read_bytes: inner.max_read_bytes.max(16 << 20),
            depth: inner.depth.max(256),
        }
    }

    fn stats(&self) -> StoreStats {
        let inner = self.inner.stats();
        StoreStats { in_flight: inner.in_flight + self.queue.len() as u64, ..inner }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::super::conformance::{self, fetch, read};
    use super::super::memory::tests::subject;
    use super::super::timer::ManualClock;
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn latency(inner: Arc<dyn Store>, model: &str, scope: LatencyScope, clock: Clock) -> Latency {
        Latency::new(inner, model.parse().unwrap(), scope, 1, clock).unwrap()
    }

    #[test]
    fn conformance_behind_latency() {
        for scope in [LatencyScope::Metadata, LatencyScope::All] {
            for model in ["const:0ms", "lognormal:20us,1.0,200us"] {
                conformance::check(|| subject().wrapped(|inner| Arc::new(latency(inner, model, scope, Clock::Real))));
            }
        }
    }

    #[test]
    fn requests_wait_side_by_side() {
        let clock = ManualClock::new();
        let subject = subject();
        let key = (subject.put)("object", b"bytes");
        let store = latency(Arc::clone(&subject.store), "const:50ms", LatencyScope::All, Clock::Manual(Arc::clone(&clock)));
        let (sender, receiver) = mpsc::channel();
        for _ in 0..1000 {
            let (fetched, read) = (sender.clone(), sender.clone());
            store.fetch(Arc::clone(&key), Span::Whole, 10, Box::new(move |answer| fetched.send(answer.is_ok()).unwrap()));
            store.read(Arc::clone(&key), 0, vec![0; 5], Box::new(move |_, answer| read.send(answer.is_ok()).unwrap()));
        }
        clock.advance(49 * MS);
        assert_eq!(store.stats().in_flight, 2000);
        assert!(matches!(store.try_read_now(&key, 0, &mut [0; 5]), Now::WouldBlock));
        assert!(store.size_now(&key).is_none());
        clock.advance(MS);
        assert!(receiver.iter().take(2000).all(|right| right));
    }

    #[test]
    fn latency_on_metadata_leaves_bulk_reads_alone() {
        let clock = ManualClock::new();
        let subject = subject();
        let key = (subject.put)("object", b"bytes");
        let store = latency(Arc::clone(&subject.store), "const:50ms", LatencyScope::Metadata, Clock::Manual(clock));
        assert_eq!(read(&store, &key, 0, 5).unwrap(), b"bytes");
        assert!(matches!(store.try_read_now(&key, 0, &mut [0; 5]), Now::Done(Ok(5))));
        assert_eq!(store.cost(), subject.store.cost());
    }

    #[test]
    fn what_waits_when_the_store_goes_is_cancelled() {
        let subject = subject();
        let key = (subject.put)("object", b"bytes");
        let store = latency(Arc::clone(&subject.store), "const:50ms", LatencyScope::All, Clock::Manual(ManualClock::new()));
        let (sender, receiver) = mpsc::channel();
        let other = sender.clone();
        store.fetch(Arc::clone(&key), Span::Whole, 10, Box::new(move |answer| sender.send(answer.map(|_| ())).unwrap()));
        store.read(Arc::clone(&key), 0, vec![0; 5], Box::new(move |_, answer| other.send(answer.map(|_| ())).unwrap()));
        drop(store);
        let answers: Vec<_> = receiver.iter().collect();
        assert!(matches!(&answers[..], [Err(StoreError::Cancelled), Err(StoreError::Cancelled)]), "{answers:?}");
        assert!(fetch(&*subject.store, &key, Span::Whole, 10).is_ok(), "the store below lives on");
    }

    #[test]
    fn log_normal_delays_have_the_median_and_the_spread_asked_for() {
        let model: LatencyModel = "lognormal:50ms,0.5,200ms,10ms".parse().unwrap();
        let random = Random::new(7);
        let mut delays: Vec<_> = (0..20_001).map(|_| model.draw(&random).as_secs_f64()).collect();
        delays.sort_by(f64::total_cmp);
        let quantile = |percent: usize| delays[percent * 200];
        // 10 ms + 50 ms * exp(0.5 z) with z of the normal distribution's quantiles: -1.2816, 0, 1.2816.
        for (percent, expected) in [(10, 0.03634), (50, 0.06), (90, 0.10490)] {
            assert!((quantile(percent) / expected - 1.0).abs() < 0.03, "{percent} %: {}", quantile(percent));
        }
        assert!(delays[0] > 0.01 && delays[20_000] <= 0.21);
        assert_eq!(model.median(), 60 * MS);
    }

    #[test]
    fn models_are_read_and_written_as_text() {
        assert_eq!("const:50ms".parse(), Ok(LatencyModel::Constant(50 * MS)));
        assert_eq!("const:1.5s".parse(), Ok(LatencyModel::Constant(1500 * MS)));
        let model = LatencyModel::LogNormal { median: 50 * MS, sigma: 2.0, cap: 1000 * MS, baseline: Duration::ZERO };
        assert_eq!("lognormal:50ms,2.0,1s".parse(), Ok(model));
        assert_eq!(model.to_string().parse(), Ok(model));
        for bad in ["", "50ms", "const:", "const:50", "const:-1ms", "const:1h", "const:1ms,2", "lognormal:1ms", "lognormal:1ms,-1"] {
            assert!(bad.parse::<LatencyModel>().is_err(), "{bad}");
        }
        for bad in ["lognormal:1ms,nan", "lognormal:1ms,1,1ms,1ms,1ms", "uniform:1ms", "const:9e99s", "const:4000s"] {
            assert!(bad.parse::<LatencyModel>().is_err(), "{bad}");
        }
    }
}

//! A store that fails on purpose, by rule, for tests and rehearsals.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::counters::{StoreStats, add};
use super::pool::lock;
use super::timer::{Clock, DelayQueue, Fired};
use super::{CostModel, FetchDone, Fetched, Now, ObjectKey, ReadDone, Span, Store, StoreError, span};
use crate::random::Random;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An error that may pass.
    Transient,
    /// An error that will not.
    Permanent,
    /// The object is said not to be there.
    NotFound,
    /// Only the first bytes of what was asked for arrive.
    Short {
        /// Bytes that arrive.
        bytes: u64,
    },
    /// One byte of the object is wrong, in every answer that has it.
    Flip {
        /// Where in the object.
        offset: u64,
        /// Bits that are inverted.
        mask: u8,
    },
    /// The object ends early, for suffix requests too.
    Truncate {
        /// Size that is left, bytes.
        size: u64,
    },
    /// The request waits before it is passed on.
    Delay(Duration),
    /// The request is answered only when the store goes: `Cancelled`.
    Never,
}

/// Which requests a rule is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FaultOn {
    /// All of them.
    #[default]
    Any,
    /// Metadata ([`Store::fetch`]).
    Fetch,
    /// Bulk reads ([`Store::read`]).
    Read,
}

/// Which of the requests that a rule is about fail.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum FaultWhen {
    /// All of them.
    #[default]
    Always,
    /// The n-th, counted from 1.
    Nth(u64),
    /// The first n.
    First(u64),
    /// Each with this probability, drawn from the store's seed.
    Probability(f64),
}

/// One rule. The first rule that applies to a request decides.
#[derive(Clone, Debug)]
pub struct FaultRule {
    /// Keys it is about; `*` stands for any characters, `/` included.
    pub key: String,
    /// Requests it is about.
    pub on: FaultOn,
    /// Which of them fail.
    pub when: FaultWhen,
    /// How they fail.
    pub fault: Fault,
}

impl FaultRule {
    fn is_about(&self, key: &str, on: FaultOn) -> bool {
        (self.on == FaultOn::Any || self.on == on) && matches(&self.key, key)
    }
}

/// Whether `text` is `pattern`, where `*` stands for any characters. Linear for each star: the pattern is the tester's.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.ends_with(tail)
}

/// A store that fails by rule. Reads at once are refused wherever a rule may apply: they take the waiting road.
#[derive(Debug)]
pub struct Faults {
    // Goes first, as in `Latency`.
    queue: DelayQueue,
    never: Mutex<Vec<Parked>>,
    inner: Arc<dyn Store>,
    rules: Vec<(FaultRule, AtomicU64)>,
    random: Random,
    injected: AtomicU64,
}

/// A callback that is called when the store goes.
struct Parked(Box<dyn FnOnce() + Send>);

impl std::fmt::Debug for Parked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Parked")
    }
}

impl Faults {
    /// Makes `inner` fail by `rules`. The same `seed` and order of requests give the same faults.
    ///
    /// # Errors
    /// The thread of the delays could not be started.
    pub fn new(inner: Arc<dyn Store>, rules: Vec<FaultRule>, seed: u64, clock: Clock) -> io::Result<Self> {
        let rules = rules.into_iter().map(|rule| (rule, AtomicU64::new(0))).collect();
        let (queue, never) = (DelayQueue::new(clock)?, Mutex::default());
        Ok(Self { queue, never, inner, rules, random: Random::new(seed), injected: AtomicU64::new(0) })
    }

    fn fault(&self, key: &str, on: FaultOn) -> Option<Fault> {
        let (rule, _) = self.rules.iter().find(|(rule, requests)| {
            if !rule.is_about(key, on) {
                return false;
            }
            // Relaxed: each request gets its own number.
            let number = requests.fetch_add(1, Ordering::Relaxed) + 1;
            match rule.when {
                FaultWhen::Always => true,
                FaultWhen::Nth(nth) => number == nth,
                FaultWhen::First(first) => number <= first,
                FaultWhen::Probability(probability) => self.random.unit() < probability,
            }
        })?;
        add(&self.injected, 1);
        Some(rule.fault)
    }

    fn leaves_alone(&self, key: &str) -> bool {
        !self.rules.iter().any(|(rule, _)| rule.is_about(key, FaultOn::Read))
    }

    fn park(&self, call: impl FnOnce() + Send + 'static) {
        lock(&self.never).push(Parked(Box::new(call)));
    }
}

fn injected(kind: &str, key: &str) -> Arc<str> {
    format!("{kind} fault injected on {key}").into()
}

/// What an error fault answers; `None`: the fault is none.
fn error_of(fault: Fault, key: &str) -> Option<StoreError> {
    match fault {
        Fault::Transient => Some(StoreError::Transient(injected("transient", key))),
        Fault::Permanent => Some(StoreError::Permanent(injected("permanent", key))),
        Fault::NotFound => Some(StoreError::NotFound),
        _ => None,
    }
}

/// Spoils the `bytes` that begin at `offset` of the object; answers how many there are left.
fn spoil(fault: Fault, offset: u64, bytes: &mut [u8]) -> usize {
    let length = bytes.len();
    let at_most = |left: u64| length.min(usize::try_from(left).unwrap_or(usize::MAX));
    match fault {
        Fault::Short { bytes } => at_most(bytes),
        Fault::Truncate { size } => at_most(size.saturating_sub(offset)),
        Fault::Flip { offset: wrong, mask } => {
            let index = wrong.checked_sub(offset).and_then(|index| usize::try_from(index).ok());
            if let Some(byte) = index.and_then(|index| bytes.get_mut(index)) {
                *byte ^= mask;
            }
            length
        }
        _ => length,
    }
}

/// Spoils an answer to `span`.
fn spoil_fetched(fault: Fault, span: Span, fetched: Fetched) -> Fetched {
    let Fetched { mut bytes, object_size } = fetched;
    let offset = match span {
        Span::Whole => 0,
        Span::Range { offset, .. } => offset,
        Span::Suffix { .. } => object_size.unwrap_or(0).saturating_sub(bytes.len() as u64),
    };
    let left = spoil(fault, offset, &mut bytes);
    bytes.truncate(left);
    Fetched { bytes, object_size }
}

/// Cuts `span` out of the first `size` bytes of a whole object.
fn cut(fetched: Fetched, size: u64, span: Span, limit: u64) -> Result<Fetched, StoreError> {
    let size = size.min(fetched.bytes.len() as u64);
    let (offset, length) = span::resolve(span, size, limit)?;
    let (offset, length) = (offset as usize, length as usize);
    Ok(Fetched { bytes: fetched.bytes[offset..offset + length].to_vec(), object_size: Some(size) })
}

impl Store for Faults {
    fn fetch(&self, key: ObjectKey, span: Span, limit: u64, done: FetchDone) {
        let Some(fault) = self.fault(&key, FaultOn::Fetch) else { return self.inner.fetch(key, span, limit, done) };
        match fault {
            Fault::Never => self.park(move || done(Err(StoreError::Cancelled))),
            Fault::Delay(delay) => {
                let inner = Arc::clone(&self.inner);
                let call = move |fired| match fired {
                    Fired::Due => inner.fetch(key, span, limit, done),
                    Fired::Cancelled => done(Err(StoreError::Cancelled)),
                };
                self.queue.after(delay, Box::new(call));
            }
            Fault::Truncate { size } => {
                let answered = move |answer: Result<_, _>| done(answer.and_then(|fetched| cut(fetched, size, span, limit)));
                self.inner.fetch(key, Span::Whole, u64::MAX, Box::new(answered));
            }
            Fault::Short { .. } | Fault::Flip { .. } => {
                let answered = move |answer: Result<_, _>| done(answer.map(|fetched| spoil_fetched(fault, span, fetched)));
                self.inner.fetch(key, span, limit, Box::new(answered));
            }
            // By way of the queue: a callback is not called within the call that asks.
            Fault::Transient | Fault::Permanent | Fault::NotFound => {
                let call = move |fired| done(Err(answer_of(fired, fault, &key)));
                self.queue.after(Duration::ZERO, Box::new(call));
            }
        }
    }

    fn read(&self, key: ObjectKey, offset: u64, into: Vec<u8>, done: ReadDone) {
        let Some(fault) = self.fault(&key, FaultOn::Read) else { return self.inner.read(key, offset, into, done) };
        match fault {
            Fault::Never => self.park(move || done(into, Err(StoreError::Cancelled))),
            Fault::Delay(delay) => {
                let inner = Arc::clone(&self.inner);
                let call = move |fired| match fired {
                    Fired::Due => inner.read(key, offset, into, done),
                    Fired::Cancelled => done(into, Err(StoreError::Cancelled)),
                };
                self.queue.after(delay, Box::new(call));
            }
            Fault::Short { .. } | Fault::Flip { .. } | Fault::Truncate { .. } => {
                let answered = move |mut bytes: Vec<u8>, answer: Result<usize, _>| {
                    let answer = answer.map(|filled| spoil(fault, offset, &mut bytes[..filled]));
                    done(bytes, answer);
                };
                self.inner.read(key, offset, into, Box::new(answered));
            }
            Fault::Transient | Fault::Permanent | Fault::NotFound => {
                let call = move |fired| done(into, Err(answer_of(fired, fault, &key)));
                self.queue.after(Duration::ZERO, Box::new(call));
            }
        }
    }

    fn try_read_now(&self, key: &ObjectKey, offset: u64, into: &mut [u8]) -> Now {
        if self.leaves_alone(key) { self.inner.try_read_now(key, offset, into) } else { Now::WouldBlock }
    }

    fn try_read_whole_now(&self, key: &ObjectKey, limit: u64, into: &mut Vec<u8>) -> Now {
        if self.leaves_alone(key) { self.inner.try_read_whole_now(key, limit, into) } else { Now::WouldBlock }
    }

    fn size_now(&self, key: &ObjectKey) -> Option<Result<u64, StoreError>> {
        if self.leaves_alone(key) { self.inner.size_now(key) } else { None }
    }

    fn close(&self) {
        self.answer_parked();
        self.queue.cancel();
        self.inner.close();
    }

    fn cost(&self) -> CostModel {
        self.inner.cost()
    }

    fn stats(&self) -> StoreStats {
        let inner = self.inner.stats();
        let held = self.queue.len() + lock(&self.never).len();
        // Relaxed: a counter.
        let faults = inner.faults + self.injected.load(Ordering::Relaxed);
        StoreStats { faults, in_flight: inner.in_flight + held as u64, ..inner }
    }
}

fn answer_of(fired: Fired, fault: Fault, key: &str) -> StoreError {
    match fired {
        Fired::Due => error_of(fault, key).unwrap_or(StoreError::Cancelled),
        Fired::Cancelled => StoreError::Cancelled,
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        self.answer_parked();
    }
}

impl Faults {
    fn answer_parked(&self) {
        let parked = std::mem::take(&mut *lock(&self.never));
        parked.into_iter().for_each(|parked| parked.0());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::super::conformance::{self, fetch, pattern, read};
    use super::super::memory::tests::subject;
    use super::super::retry::{Retry, RetryPolicy};
    use super::super::timer::ManualClock;
    use super::*;

    fn rule(key: &str, on: FaultOn, when: FaultWhen, fault: Fault) -> FaultRule {
        FaultRule { key: key.into(), on, when, fault }
    }

    fn faults(inner: Arc<dyn Store>, rules: Vec<FaultRule>) -> Arc<Faults> {
        Arc::new(Faults::new(inner, rules, 1, Clock::Real).unwrap())
    }

    /// A store with one object of 1000 bytes and one rule for it.
    fn broken(on: FaultOn, when: FaultWhen, fault: Fault) -> (Arc<Faults>, ObjectKey, Vec<u8>) {
        let subject = subject();
        let data = pattern(1000);
        let key = (subject.put)("a/object", &data);
        (faults(subject.store, vec![rule("a/*", on, when, fault)]), key, data)
    }

    #[test]
    fn conformance_behind_faults_that_do_not_apply() {
        let rules = || vec![rule("elsewhere/*", FaultOn::Any, FaultWhen::Always, Fault::Permanent)];
        conformance::check(|| subject().wrapped(|inner| faults(inner, rules())));
        let delayed = || vec![rule("*", FaultOn::Any, FaultWhen::Always, Fault::Delay(Duration::ZERO))];
        conformance::check(|| subject().wrapped(|inner| faults(inner, delayed())));
    }

    #[test]
    fn errors_come_as_ruled() {
        let (store, key, _) = broken(FaultOn::Any, FaultWhen::Nth(2), Fault::Permanent);
        assert!(fetch(&*store, &key, Span::Whole, 1000).is_ok());
        assert!(matches!(fetch(&*store, &key, Span::Whole, 1000), Err(StoreError::Permanent(_))));
        assert!(fetch(&*store, &key, Span::Whole, 1000).is_ok());
        let (store, key, _) = broken(FaultOn::Read, FaultWhen::First(1), Fault::NotFound);
        assert!(fetch(&*store, &key, Span::Whole, 1000).is_ok());
        assert!(matches!(store.try_read_now(&key, 0, &mut [0]), Now::WouldBlock));
        assert!(matches!(read(&*store, &key, 0, 10), Err(StoreError::NotFound)));
        assert!(read(&*store, &key, 0, 10).is_ok());
        assert_eq!(store.stats().faults, 1);
    }

    #[test]
    fn c32_short_flipped_and_truncated_answers_arrive_as_such() {
        let all = FaultWhen::Always;
        let (store, key, data) = broken(FaultOn::Any, all, Fault::Short { bytes: 7 });
        assert_eq!(read_cut(&*store, &key, 10, 100), data[10..17]);
        assert_eq!(fetch(&*store, &key, Span::Suffix { length: 100 }, 100).unwrap().bytes, data[900..907]);

        let (store, key, data) = broken(FaultOn::Any, all, Fault::Flip { offset: 950, mask: 0x10 });
        let mut wrong = data.clone();
        wrong[950] ^= 0x10;
        assert_eq!(read(&*store, &key, 900, 100).unwrap(), wrong[900..]);
        assert_eq!(read(&*store, &key, 0, 950).unwrap(), data[..950]);
        assert_eq!(fetch(&*store, &key, Span::Suffix { length: 60 }, 60).unwrap().bytes, wrong[940..]);
        assert_eq!(fetch(&*store, &key, Span::Whole, 1000).unwrap().bytes, wrong);

        let (store, key, data) = broken(FaultOn::Any, all, Fault::Truncate { size: 600 });
        assert_eq!(read_cut(&*store, &key, 590, 100), data[590..600]);
        assert_eq!(read_cut(&*store, &key, 700, 100), [0u8; 0]);
        assert_eq!(fetch(&*store, &key, Span::Suffix { length: 20 }, 20).unwrap().bytes, data[580..600]);
        assert_eq!(fetch(&*store, &key, Span::Whole, 1000).unwrap().bytes, data[..600]);
    }

    /// As the suite's `read`, which insists that bytes beyond the answer are untouched: these faults leave them spoiled.
    fn read_cut(store: &dyn Store, key: &ObjectKey, offset: u64, length: usize) -> Vec<u8> {
        let (sender, receiver) = mpsc::channel();
        let done = move |buffer: Vec<u8>, answer: Result<usize, StoreError>| sender.send(buffer[..answer.unwrap()].to_vec()).unwrap();
        store.read(Arc::clone(key), offset, vec![0; length], Box::new(done));
        receiver.recv().unwrap()
    }

    #[test]
    fn a_request_that_is_never_answered_is_cancelled_when_the_store_goes() {
        let (store, key, _) = broken(FaultOn::Any, FaultWhen::Always, Fault::Never);
        let (sender, receiver) = mpsc::channel();
        let other = sender.clone();
        store.fetch(Arc::clone(&key), Span::Whole, 10, Box::new(move |answer| sender.send(answer.map(|_| ())).unwrap()));
        store.read(key, 0, vec![0; 5], Box::new(move |_, answer| other.send(answer.map(|_| ())).unwrap()));
        assert_eq!(store.stats().in_flight, 2);
        drop(store);
        let answers: Vec<_> = receiver.iter().collect();
        assert!(matches!(&answers[..], [Err(StoreError::Cancelled), Err(StoreError::Cancelled)]), "{answers:?}");
    }

    #[test]
    fn chance_follows_the_seed() {
        let run = |seed| {
            let subject = subject();
            let key = (subject.put)("object", b"x");
            let rules = vec![rule("*", FaultOn::Any, FaultWhen::Probability(0.3), Fault::Transient)];
            let store = Faults::new(subject.store, rules, seed, Clock::Real).unwrap();
            (0..1000).map(|_| fetch(&store, &key, Span::Whole, 1).is_err()).collect::<Vec<_>>()
        };
        let failures = run(3);
        assert_eq!(failures, run(3));
        assert_ne!(failures, run(4));
        let count = failures.iter().filter(|failed| **failed).count();
        assert!((230..370).contains(&count), "{count} of 1000 at 0.3");
    }

    #[test]
    fn patterns() {
        for (pattern, text) in [("a", "a"), ("*", ""), ("*", "a/b"), ("a/*", "a/b/c"), ("*/zarr.json", "x/zarr.json"), ("a*c*e", "abcde")] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a", "ab"), ("a*", "b"), ("*a", "ab"), ("a*a", "a"), ("a*bb*b", "abb"), ("", "a")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    /// Patient: a test that waits for success must not run into the deadline on a busy machine.
    fn retrying(inner: Arc<dyn Store>, clock: Clock) -> Retry {
        retrying_until(Duration::from_secs(600), inner, clock)
    }

    fn retrying_until(deadline: Duration, inner: Arc<dyn Store>, clock: Clock) -> Retry {
        let (first_backoff, max_backoff) = (Duration::from_millis(10), Duration::from_millis(40));
        let policy = RetryPolicy { first_backoff, max_backoff, deadline };
        Retry::new(inner, policy, 5, clock).unwrap()
    }

    #[test]
    fn conformance_behind_retries() {
        conformance::check(|| subject().wrapped(|inner| Arc::new(retrying(inner, Clock::Real))));
    }

    #[test]
    fn c38_transient_errors_are_retried_until_they_pass() {
        for on in [FaultOn::Fetch, FaultOn::Read] {
            let (store, key, data) = broken(on, FaultWhen::First(3), Fault::Transient);
            let store = retrying(store, Clock::Real);
            assert_eq!(fetch(&store, &key, Span::Whole, 1000).unwrap().bytes, data);
            assert_eq!(read(&store, &key, 0, 1000).unwrap(), data);
            assert_eq!((store.stats().retries, store.stats().faults), (3, 3));
        }
    }

    #[test]
    fn c38_what_stays_transient_ends_at_the_deadline_and_says_so() {
        for on in [FaultOn::Fetch, FaultOn::Read] {
            let (broken, key, _) = broken(on, FaultWhen::Always, Fault::Transient);
            let store = retrying_until(Duration::from_millis(100), Arc::clone(&broken) as Arc<dyn Store>, Clock::Real);
            let error = match on {
                FaultOn::Fetch => fetch(&store, &key, Span::Whole, 1000).map(|_| ()).unwrap_err(),
                _ => read(&store, &key, 0, 10).map(|_| ()).unwrap_err(),
            };
            let tries = broken.stats().faults;
            assert!(error.is_transient(), "still transient: nobody may cache it");
            assert!(error.to_string().contains(&format!("gave up after {tries} tries")), "{error}");
            assert!(error.to_string().contains(&*key), "{error}");
            assert_eq!(store.stats().retries, tries - 1);
        }
    }

    #[test]
    fn c38_permanent_answers_come_at_once() {
        for fault in [Fault::Permanent, Fault::NotFound] {
            let (store, key, _) = broken(FaultOn::Any, FaultWhen::Always, fault);
            // The clock stands still: a retry would never come.
            let store = retrying(store, Clock::Manual(ManualClock::new()));
            assert!(fetch(&store, &key, Span::Whole, 1000).is_err());
            assert!(read(&store, &key, 0, 10).is_err());
            assert_eq!(store.stats().retries, 0);
        }
    }

    #[test]
    fn c38_a_retry_that_waits_when_the_store_goes_is_cancelled() {
        let (broken, key, _) = broken(FaultOn::Any, FaultWhen::Always, Fault::Transient);
        let store = retrying(broken, Clock::Manual(ManualClock::new()));
        let (sender, receiver) = mpsc::channel();
        store.fetch(key, Span::Whole, 1000, Box::new(move |answer| sender.send(answer.map(|_| ())).unwrap()));
        while store.stats().faults == 0 {
            std::thread::yield_now();
        }
        drop(store);
        assert!(matches!(receiver.recv(), Ok(Err(StoreError::Cancelled | StoreError::Transient(_)))));
    }
}

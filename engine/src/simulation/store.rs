//! The store of a run: its time is virtual, its answers come when the run lets them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::dice::Dice;
use super::world::{Fault, World};
use crate::store::{CostModel, FetchDone, Fetched, Now, ObjectKey, ReadDone, Span, Store, StoreError, StoreStats};

/// Virtual time, nanoseconds.
pub(super) type Time = u64;

/// Serves a world.
pub(super) struct SimStore {
    world: Arc<World>,
    cost: CostModel,
    state: Mutex<State>,
}

struct State {
    dice: Dice,
    median: Time,
    now: Time,
    /// Share of reads that are answered at once.
    inline: f64,
    pending: BTreeMap<(Time, u64), Pending>,
    /// Requests that are never answered.
    parked: Vec<Pending>,
    requests: u64,
    transients: BTreeMap<String, u32>,
    closed: bool,
}

enum Pending {
    Fetch { key: ObjectKey, span: Span, limit: u64, done: FetchDone },
    Read { key: ObjectKey, offset: u64, into: Vec<u8>, done: ReadDone },
}

impl SimStore {
    pub(super) fn new(world: Arc<World>, dice: Dice) -> Self {
        let cost = CostModel { gap_bytes: dice.roll(0..=64), max_read_bytes: dice.roll(1..=2000), depth: 4 };
        let inline = *dice.pick(&[0.0, 0.5, 1.0]);
        let median = *dice.pick(&[1_000, 100_000, 50_000_000]);
        let state = State {
            dice,
            median,
            now: 0,
            inline,
            pending: BTreeMap::new(),
            parked: Vec::new(),
            requests: 0,
            transients: BTreeMap::new(),
            closed: false,
        };
        Self { world, cost, state: Mutex::new(state) }
    }

    /// Time of the next answer.
    pub(super) fn next_due(&self) -> Option<Time> {
        self.state().pending.keys().next().map(|key| key.0)
    }

    /// Requests that wait for an answer which will come.
    pub(super) fn in_flight(&self) -> usize {
        self.state().pending.len()
    }

    pub(super) fn set_now(&self, now: Time) {
        self.state().now = now;
    }

    /// Gives the next answer.
    pub(super) fn answer_next(&self) {
        let next = self.state().pending.pop_first();
        if let Some((_, pending)) = next {
            self.answer(pending);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit(&self, pending: Pending) {
        let mut state = self.state();
        if state.closed {
            drop(state);
            return cancel(pending);
        }
        let key = match &pending {
            Pending::Fetch { key, .. } | Pending::Read { key, .. } => key,
        };
        if self.world.faults.get(&**key) == Some(&Fault::Never) {
            return state.parked.push(pending);
        }
        let due = state.now + state.dice.latency(state.median);
        state.requests += 1;
        let number = state.requests;
        state.pending.insert((due, number), pending);
    }

    fn answer(&self, pending: Pending) {
        match pending {
            Pending::Fetch { key, span, limit, done } => done(self.fetch_now(&key, span, limit)),
            Pending::Read { key, offset, mut into, done } => {
                let answer = self.read_now(&key, offset, &mut into);
                done(into, answer);
            }
        }
    }

    fn fetch_now(&self, key: &str, span: Span, limit: u64) -> Result<Fetched, StoreError> {
        let object = self.object(key)?;
        let size = object.len() as u64;
        let (offset, length) = match span {
            Span::Whole => (0, size),
            Span::Range { offset, length } => (offset.min(size), length.min(size - offset.min(size))),
            Span::Suffix { length } => (size - length.min(size), length.min(size)),
        };
        if length > limit {
            return Err(StoreError::TooLarge { observed: length, allowed: limit });
        }
        let object_size = self.state().dice.chance(0.5).then_some(size);
        Ok(Fetched { bytes: object[offset as usize..][..length as usize].to_vec(), object_size })
    }

    fn read_now(&self, key: &str, offset: u64, into: &mut [u8]) -> Result<usize, StoreError> {
        let object = self.object(key)?;
        let rest = object.get(offset as usize..).unwrap_or(&[]);
        let read = rest.len().min(into.len());
        into[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    /// An object as it shows itself to one request.
    fn object(&self, key: &str) -> Result<Arc<[u8]>, StoreError> {
        let object = self.world.objects.get(key).ok_or(StoreError::NotFound)?;
        match self.world.faults.get(key) {
            None => Ok(object.clone()),
            Some(Fault::Permanent | Fault::Never) => Err(StoreError::Permanent("simulated".into())),
            Some(Fault::Truncated(size)) => Ok(object[..*size].into()),
            Some(Fault::Transient(times)) => {
                let mut state = self.state();
                let so_far = state.transients.entry(key.to_owned()).or_default();
                *so_far += 1;
                if *so_far <= *times { Err(StoreError::Transient("simulated".into())) } else { Ok(object.clone()) }
            }
        }
    }

    /// Whether a read is answered at once.
    fn is_inline(&self, key: &str) -> bool {
        let state = self.state();
        self.world.faults.get(key) != Some(&Fault::Never) && state.dice.chance(state.inline)
    }
}

fn cancel(pending: Pending) {
    match pending {
        Pending::Fetch { done, .. } => done(Err(StoreError::Cancelled)),
        Pending::Read { into, done, .. } => done(into, Err(StoreError::Cancelled)),
    }
}

impl Store for SimStore {
    fn fetch(&self, key: ObjectKey, span: Span, limit: u64, done: FetchDone) {
        self.submit(Pending::Fetch { key, span, limit, done });
    }

    fn read(&self, key: ObjectKey, offset: u64, into: Vec<u8>, done: ReadDone) {
        self.submit(Pending::Read { key, offset, into, done });
    }

    fn try_read_now(&self, key: &ObjectKey, offset: u64, into: &mut [u8]) -> Now {
        if self.is_inline(key) { Now::Done(self.read_now(key, offset, into)) } else { Now::WouldBlock }
    }

    fn try_read_whole_now(&self, key: &ObjectKey, limit: u64, into: &mut Vec<u8>) -> Now {
        if !self.is_inline(key) {
            return Now::WouldBlock;
        }
        Now::Done(self.fetch_now(key, Span::Whole, limit).map(|fetched| {
            *into = fetched.bytes;
            into.len()
        }))
    }

    fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let mut waiting = std::mem::take(&mut state.parked);
        waiting.extend(std::mem::take(&mut state.pending).into_values());
        drop(state);
        waiting.into_iter().for_each(cancel);
    }

    fn cost(&self) -> CostModel {
        self.cost
    }

    fn stats(&self) -> StoreStats {
        StoreStats::default()
    }
}

impl fmt::Debug for SimStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimStore")
    }
}

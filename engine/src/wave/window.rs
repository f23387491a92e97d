//! The chunks that planned batches need, and those of them that are decoded already.
//!
//! A chunk that several crops of the window want is read and decoded once. Decoded chunks stay within a byte budget and leave in the
//! order of their next use: the window knows the future, so the one needed last goes first (Belady's rule).

use std::cmp::Reverse;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use hashbrown::HashTable;
use slab::Slab;
use smallvec::SmallVec;

use super::task::{ChunkId, Kept, Outcome};
use crate::array::Array;
use crate::memory::{AlignedBytes, Budget, Purpose};
use crate::plan::batch::StoredAt;
use crate::zarr::Axes;

/// A crop's need of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ref {
    pub(crate) batch: u64,
    pub(crate) row: u32,
    pub(crate) field: u16,
}

/// A chunk that somebody needs, or that is still there.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) array: Arc<Array>,
    pub(crate) coords: Axes<u64>,
    pub(crate) at: StoredAt,
    /// Unserved needs, in the order of batches.
    pub(crate) refs: VecDeque<Ref>,
    pub(crate) state: State,
    /// Scatters under way; while there are any the chunk's memory cannot be had.
    scatters: u32,
    hash: u64,
    /// Place in `retained`, while kept and not being scattered.
    rank: Option<Rank>,
}

#[derive(Debug)]
pub(crate) enum State {
    Idle,
    /// A worker has it.
    Loading,
    Kept(Arc<Kept>),
    /// Not stored: fill.
    Missing,
}

/// Next use first, then recency: the largest leaves first; among chunks of no known use the one that came first.
type Rank = (u64, Reverse<u64>, ChunkId);

/// Next use of a chunk that no planned batch needs.
pub(crate) const NEVER: u64 = u64::MAX;

/// The chunk table. Owned by the engine thread.
#[derive(Debug)]
pub(crate) struct Window {
    chunks: Slab<Chunk>,
    index: HashTable<ChunkId>,
    retained: BTreeSet<Rank>,
    budget: Budget,
    /// Bytes of the budget that decoded chunks may take.
    limit: u64,
    /// Bytes of the budget that are neither theirs nor the batches'.
    reserve: u64,
    /// Buffers of evicted chunks, for the next one of their length.
    spare: Vec<AlignedBytes>,
    ticks: u64,
    refs: usize,
}

/// Spare buffers beyond this are freed.
const MAX_SPARE: usize = 64;

impl Window {
    pub(crate) fn new(budget: Budget, limit: u64, reserve: u64) -> Self {
        let (chunks, index) = (Slab::new(), HashTable::new());
        Self { chunks, index, retained: BTreeSet::new(), budget, limit, reserve, spare: Vec::new(), ticks: 0, refs: 0 }
    }

    /// Unserved needs.
    pub(crate) fn refs(&self) -> usize {
        self.refs
    }

    pub(crate) fn chunk(&self, id: ChunkId) -> &Chunk {
        &self.chunks[id]
    }

    /// Records a need; `at` is asked only for a chunk that is not known yet.
    pub(crate) fn refer(&mut self, array: &Arc<Array>, coords: &[u64], at: impl FnOnce() -> StoredAt, need: Ref) -> ChunkId {
        // The table holds the array alive, so its address names it.
        let address = Arc::as_ptr(array) as usize;
        let number = array.chunk_number(coords);
        let hash = mix(address as u64 ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let same = |&id: &ChunkId| Arc::as_ptr(&self.chunks[id].array) as usize == address && self.chunks[id].coords.as_slice() == coords;
        let id = match self.index.find(hash, same) {
            Some(&id) => id,
            None => {
                let chunk = Chunk {
                    array: array.clone(),
                    coords: coords.iter().copied().collect(),
                    at: at(),
                    refs: VecDeque::new(),
                    state: State::Idle,
                    scatters: 0,
                    hash,
                    rank: None,
                };
                let id = self.chunks.insert(chunk);
                let chunks = &self.chunks;
                self.index.insert_unique(hash, id, |&id| chunks[id].hash);
                id
            }
        };
        self.refs += 1;
        self.chunks[id].refs.push_back(need);
        self.rerank(id);
        id
    }

    /// Takes the needs of batches up to `newest`: they are being served.
    pub(crate) fn take_refs(&mut self, id: ChunkId, newest: u64) -> SmallVec<[Ref; 4]> {
        let chunk = &mut self.chunks[id];
        let mut taken = SmallVec::new();
        while chunk.refs.front().is_some_and(|need| need.batch <= newest) {
            taken.extend(chunk.refs.pop_front());
        }
        self.refs -= taken.len();
        self.rerank(id);
        taken
    }

    /// Drops the needs of one batch: it will not be rendered.
    pub(crate) fn forget_refs(&mut self, id: ChunkId, batch: u64) {
        let refs = &mut self.chunks[id].refs;
        let before = refs.len();
        refs.retain(|need| need.batch != batch);
        self.refs -= before - refs.len();
        self.rerank(id);
        self.release(id);
    }

    /// The oldest batch with an unserved need of the chunk.
    pub(crate) fn next_use(&self, id: ChunkId) -> u64 {
        self.chunks[id].refs.front().map_or(NEVER, |need| need.batch)
    }

    pub(crate) fn begin_load(&mut self, id: ChunkId) {
        self.set_state(id, State::Loading);
    }

    /// Memory for a chunk to stay in, if keeping it is worth more than what is kept: evicts what is needed later.
    pub(crate) fn keep_buffer(&mut self, id: ChunkId) -> Option<AlignedBytes> {
        let len = self.chunks[id].array.decoder.decoded_len();
        let next_use = self.next_use(id);
        loop {
            if let Some(at) = self.spare.iter().rposition(|bytes| bytes.len() == len) {
                return Some(self.spare.swap_remove(at));
            }
            if self.budget.used_for(Purpose::Decoded).saturating_add(len as u64) <= self.limit && self.has_room(len as u64) {
                return AlignedBytes::new(&self.budget, Purpose::Decoded, len);
            }
            if self.spare.pop().is_some() {
                continue;
            }
            let &(victim_use, _, victim) = self.retained.last()?;
            // Equal uses: the one already there stays, nothing is gained by decoding it again.
            if victim_use <= next_use {
                return None;
            }
            self.evict(victim);
        }
    }

    /// Whether this much more for chunks or batches leaves the reserve untouched.
    fn has_room(&self, bytes: u64) -> bool {
        let used = self.budget.used_for(Purpose::Decoded) + self.budget.used_for(Purpose::Batches);
        used.saturating_add(bytes).saturating_add(self.reserve) <= self.budget.total()
    }

    /// Frees kept chunks, the one needed last first, until there is room for `bytes` (or none is left to free).
    pub(crate) fn make_room(&mut self, bytes: u64) {
        while !self.has_room(bytes) {
            if self.spare.pop().is_some() {
                continue;
            }
            let Some(&(_, _, victim)) = self.retained.last() else { return };
            self.evict(victim);
        }
    }

    /// A scatter of the kept chunk is on its way.
    pub(crate) fn begin_scatter(&mut self, id: ChunkId) {
        self.chunks[id].scatters += 1;
        self.rerank(id);
    }

    /// What became of a load or a scatter.
    pub(crate) fn settle(&mut self, id: ChunkId, outcome: Outcome) {
        match outcome {
            Outcome::Kept(kept) => self.set_state(id, State::Kept(Arc::new(kept))),
            Outcome::Missing => self.set_state(id, State::Missing),
            Outcome::Dropped => self.set_state(id, State::Idle),
            Outcome::Failed(buffer) => {
                self.set_state(id, State::Idle);
                self.spare(buffer);
            }
            Outcome::Scattered => {
                self.chunks[id].scatters -= 1;
                self.rerank(id);
            }
        }
    }

    /// Forgets a kept chunk's bytes: they do not cover what is needed now.
    pub(crate) fn discard(&mut self, id: ChunkId) {
        let state = std::mem::replace(&mut self.chunks[id].state, State::Idle);
        self.rerank(id);
        self.spare_kept(state);
    }

    /// Drops the entry of a chunk that nobody needs and that holds nothing.
    pub(crate) fn release(&mut self, id: ChunkId) {
        let Some(chunk) = self.chunks.get(id) else { return };
        if !chunk.refs.is_empty() || chunk.scatters > 0 || !matches!(chunk.state, State::Idle | State::Missing) {
            return;
        }
        let hash = chunk.hash;
        if let Ok(entry) = self.index.find_entry(hash, |&known| known == id) {
            entry.remove();
        }
        self.chunks.remove(id);
    }

    fn evict(&mut self, id: ChunkId) {
        self.discard(id);
        self.release(id);
    }

    fn spare_kept(&mut self, state: State) {
        if let State::Kept(kept) = state
            && let Ok(kept) = Arc::try_unwrap(kept)
        {
            self.spare(Some(kept.bytes));
        }
    }

    fn spare(&mut self, buffer: Option<AlignedBytes>) {
        if let Some(buffer) = buffer
            && self.spare.len() < MAX_SPARE
        {
            self.spare.push(buffer);
        }
    }

    fn set_state(&mut self, id: ChunkId, state: State) {
        self.chunks[id].state = state;
        self.rerank(id);
    }

    /// Keeps `retained` in step with the chunk's state and next use.
    fn rerank(&mut self, id: ChunkId) {
        let next_use = self.next_use(id);
        let chunk = &mut self.chunks[id];
        let is_kept = matches!(chunk.state, State::Kept(_)) && chunk.scatters == 0;
        if is_kept && chunk.rank.is_some_and(|rank| rank.0 == next_use) {
            return;
        }
        if let Some(rank) = chunk.rank.take() {
            self.retained.remove(&rank);
        }
        if is_kept {
            self.ticks += 1;
            let rank = (next_use, Reverse(self.ticks), id);
            chunk.rank = Some(rank);
            self.retained.insert(rank);
        }
    }
}

fn mix(x: u64) -> u64 {
    let product = u128::from(x) * 0xD6E8_FEB8_6659_FD93;
    (product as u64) ^ (product >> 64) as u64
}

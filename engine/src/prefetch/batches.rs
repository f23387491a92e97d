//! The batches that are being filled or resolved, each behind its gate.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use longshore_core::gate::{GateHandle, GateOwner};
use longshore_core::ordinal::BatchId;

use super::work::{SampleWork, Ticket};

/// Batches from the oldest unplanned one to the one being filled.
pub(crate) struct Batches {
    gates: GateOwner,
    open: VecDeque<OpenBatch>,
    /// Id of `open[0]`.
    first: u64,
    size: usize,
}

struct OpenBatch {
    gate: GateHandle,
    rows: Vec<Option<SampleWork>>,
    unfinished: usize,
    sealed: bool,
    /// Handed to the engine with the ticket; filled before the last token is dropped.
    work: Arc<OnceLock<Vec<SampleWork>>>,
    delivered: bool,
}

/// Place of a sample: its batch, and its row there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) batch: BatchId,
    pub(crate) row: u32,
}

impl Batches {
    pub(crate) fn new(gates: GateOwner, size: usize) -> Self {
        Self { gates, open: VecDeque::new(), first: 0, size }
    }

    /// The place of the next sample, holding one token of its batch's gate until [`Self::finish`].
    /// `None` while every gate is taken: a watermark brings one back.
    pub(crate) fn admit(&mut self) -> Option<Place> {
        if self.open.back().is_none_or(|batch| batch.sealed) {
            let gate = self.gates.open()?;
            self.open.push_back(OpenBatch {
                gate,
                rows: Vec::with_capacity(self.size),
                unfinished: 0,
                sealed: false,
                work: Arc::new(OnceLock::new()),
                delivered: false,
            });
        }
        let id = self.first + self.open.len() as u64 - 1;
        let batch = self.open.back_mut().expect("there is a batch being filled: opened above if not");
        self.gates.add(batch.gate, 1);
        batch.rows.push(None);
        batch.unfinished += 1;
        Some(Place { batch: BatchId::new(id), row: batch.rows.len() as u32 - 1 })
    }

    /// True when the batch being filled has all its samples.
    pub(crate) fn is_full(&self) -> bool {
        self.open.back().is_some_and(|batch| !batch.sealed && batch.rows.len() == self.size)
    }

    /// True when the batch being filled has some samples.
    pub(crate) fn has_partial(&self) -> bool {
        self.open.back().is_some_and(|batch| !batch.sealed)
    }

    /// Ends the batch being filled: its ticket, and whether that made its gate ready.
    pub(crate) fn seal(&mut self) -> Option<(Ticket, bool)> {
        let id = self.first + (self.open.len() as u64).checked_sub(1)?;
        let batch = self.open.back_mut().filter(|batch| !batch.sealed)?;
        batch.sealed = true;
        let ticket = Ticket { id: BatchId::new(id), gate: batch.gate, work: batch.work.clone() };
        batch.hand_over();
        Some((ticket, self.gates.arrive(batch.gate)))
    }

    /// A sample became terminal. True if that made its batch's gate ready.
    pub(crate) fn finish(&mut self, place: Place, work: SampleWork) -> bool {
        let batch = &mut self.open[(place.batch.get() - self.first) as usize];
        let failed = work.fields.is_err();
        batch.rows[place.row as usize] = Some(work);
        batch.unfinished -= 1;
        batch.hand_over();
        if failed { self.gates.fail(batch.gate) } else { self.gates.arrive(batch.gate) }
    }

    /// A fetch that a sample of the batch waits for began.
    pub(crate) fn fetch_began(&mut self, batch: BatchId) {
        let gate = self.open[(batch.get() - self.first) as usize].gate;
        self.gates.add(gate, 1);
    }

    /// Such a fetch was answered. The sample's own token is still held, so this never makes the gate ready.
    pub(crate) fn fetch_ended(&mut self, batch: BatchId) {
        let gate = self.open[(batch.get() - self.first) as usize].gate;
        let ready = self.gates.arrive(gate);
        debug_assert!(!ready, "the sample's token outlives its fetches");
    }

    /// Recycles the gates of every batch below the watermark: the engine has planned them.
    pub(crate) fn retire_below(&mut self, watermark: BatchId) {
        while self.first < watermark.get() && !self.open.is_empty() {
            let batch = self.open.pop_front().expect("not empty");
            self.gates.release(batch.gate);
            self.first += 1;
        }
    }
}

impl OpenBatch {
    /// Publishes the rows once the batch is sealed and every sample terminal; the caller drops the last token after.
    fn hand_over(&mut self) {
        if self.sealed && self.unfinished == 0 && !self.delivered {
            self.delivered = true;
            let rows = std::mem::take(&mut self.rows);
            let rows = rows.into_iter().map(|row| row.expect("every sample of a finished batch is terminal")).collect();
            self.work.set(rows).expect("handed over once");
            self.work = Arc::default();
        }
    }
}

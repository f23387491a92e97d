//! What a run must deliver, by arithmetic.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use super::world::{Fault, World};
use crate::batch::Batch;
use crate::config::{Dtype, OnError, Outside};
use crate::error::{Cause, Error, SampleError};
use crate::runtime::Delivery;
use crate::sample::Sample;

/// The settings of a run that the outcome depends on.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) batch: usize,
    pub(super) on_error: OnError,
    pub(super) drop_last: bool,
    pub(super) fields: Vec<(Dtype, Outside)>,
    /// The budget has so little room that anything may be refused memory.
    pub(super) is_short: bool,
}

/// Whether a sample comes back as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Fine,
    /// Something that it needs misbehaves, now and then or in a way that need not show.
    MayFail,
    MustFail,
}

struct Expected {
    sample: Sample,
    /// Elements, per field; `None` where the box is refused.
    crops: Vec<Option<Vec<u16>>>,
    verdict: Verdict,
}

enum Due {
    /// The samples of a batch, and its id.
    Batch(u64, Range<usize>),
    Mark,
}

/// The plain model beside a run.
pub(super) struct Model {
    world: Arc<World>,
    rules: Rules,
    samples: Vec<Expected>,
    /// First sample of the batch being filled.
    open: usize,
    ids: u64,
    due: VecDeque<Due>,
    pub(super) counts: Counts,
}

/// How deliveries turned out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) batches: u64,
    pub(super) failed_batches: u64,
    pub(super) rows: u64,
    pub(super) failed_rows: u64,
    pub(super) partial_batches: u64,
    pub(super) marks: u64,
}

impl Model {
    pub(super) fn new(world: Arc<World>, rules: Rules) -> Self {
        Self { world, rules, samples: Vec::new(), open: 0, ids: 0, due: VecDeque::new(), counts: Counts::default() }
    }

    pub(super) fn pushed(&self) -> u64 {
        self.samples.len() as u64
    }

    /// Whether everything that was sealed was delivered.
    pub(super) fn is_settled(&self) -> bool {
        self.due.is_empty()
    }

    pub(super) fn push(&mut self, sample: Sample) {
        let mut crops = Vec::new();
        let mut verdict = if self.rules.is_short { Verdict::MayFail } else { Verdict::Fine };
        for (request, &(_, outside)) in sample.fields.iter().zip(&self.rules.fields) {
            let array = self.world.arrays.iter().find(|array| array.uri == request.uri).expect("samples name arrays of the world");
            let crop = array.crop(&request.crop_box, outside);
            if crop.is_none() {
                verdict = Verdict::MustFail;
            }
            for key in array.objects_of(&request.crop_box, outside) {
                verdict = verdict.max(match self.world.faults.get(&key) {
                    None => Verdict::Fine,
                    Some(Fault::Permanent) => Verdict::MustFail,
                    // A document that ends early is no JSON.
                    Some(Fault::Truncated(_)) if key == array.document_key() => Verdict::MustFail,
                    Some(_) => Verdict::MayFail,
                });
            }
            crops.push(crop);
        }
        self.samples.push(Expected { sample, crops, verdict });
        if self.samples.len() - self.open == self.rules.batch {
            self.seal();
        }
    }

    pub(super) fn seal(&mut self) {
        let rows = self.open..self.samples.len();
        if rows.is_empty() {
            return;
        }
        self.open = rows.end;
        // A partial batch that is not wanted has an id, and is never seen.
        if rows.len() == self.rules.batch || !self.rules.drop_last {
            self.due.push_back(Due::Batch(self.ids, rows));
        }
        self.ids += 1;
    }

    pub(super) fn mark(&mut self) {
        self.due.push_back(Due::Mark);
    }

    /// Checks what was delivered against what is due.
    pub(super) fn take(&mut self, delivery: &Delivery) {
        let due = self.due.pop_front().unwrap_or_else(|| panic!("nothing is due, delivered was {delivery:?}"));
        match (due, delivery) {
            (Due::Mark, Delivery::Mark) => self.counts.marks += 1,
            (Due::Batch(id, rows), Delivery::Batch(batch)) => self.take_batch(id, rows, batch),
            (Due::Batch(id, rows), Delivery::Failed(error)) => self.take_failure(id, rows, error),
            (Due::Mark, other) => panic!("a mark is due, delivered was {other:?}"),
            (Due::Batch(id, _), Delivery::Mark) => panic!("batch {id} is due, delivered was a mark"),
        }
    }

    fn take_batch(&mut self, id: u64, rows: Range<usize>, batch: &Batch) {
        assert_eq!(batch.id(), id, "C19: ids are dense and in push order");
        let failed: Vec<&Arc<SampleError>> = match self.rules.on_error {
            OnError::Fail | OnError::Fill => batch.rows().iter().filter_map(|row| row.error.as_ref()).collect(),
            OnError::Skip => batch.skipped().iter().collect(),
        };
        assert!(failed.is_empty() || self.rules.on_error != OnError::Fail, "C39: a failed sample fails its batch");
        failed.iter().for_each(|error| self.check_error(error, rows.clone()));
        let seqs: BTreeSet<usize> = failed.iter().map(|error| error.sample.get() as usize).collect();
        for seq in rows.clone() {
            assert!(seqs.contains(&seq) || self.samples[seq].verdict < Verdict::MustFail, "sample {seq} cannot have succeeded");
        }
        let expected: Vec<usize> = match self.rules.on_error {
            OnError::Skip => rows.clone().filter(|seq| !seqs.contains(seq)).collect(),
            _ => rows.clone().collect(),
        };
        assert_eq!(batch.rows().iter().map(|row| row.sample.get() as usize).collect::<Vec<_>>(), expected, "rows in push order");
        assert_eq!(batch.rows().len() + batch.skipped().len(), rows.len());
        self.check_bytes(batch);
        self.counts.batches += 1;
        self.counts.rows += batch.rows().len() as u64;
        self.counts.failed_rows += failed.len() as u64;
        self.counts.partial_batches += u64::from(rows.len() < self.rules.batch);
    }

    /// Compares every element of a batch, now or after it was held for a while (C42).
    pub(super) fn check_bytes(&self, batch: &Batch) {
        for (field, tensor) in batch.tensors().iter().enumerate() {
            let elements: Vec<f64> = match self.rules.fields[field].0 {
                Dtype::Native => tensor.as_slice::<u16>().expect("the arrays' type").iter().map(|&element| element.into()).collect(),
                _ => tensor.as_slice::<f32>().expect("the field's type").iter().map(|&element| element.into()).collect(),
            };
            let len = elements.len() / batch.rows().len().max(1);
            for (index, row) in batch.rows().iter().enumerate() {
                let expected = &self.samples[row.sample.get() as usize];
                assert_eq!(*row.origin, expected.sample);
                let found = &elements[index * len..][..len];
                match &row.error {
                    Some(_) => assert!(found.iter().all(|element| *element == found[0]), "a failed row is fill"),
                    None => {
                        let crop = expected.crops[field].as_ref().expect("a box outside its array fails");
                        let equal = found.len() == crop.len() && found.iter().zip(crop).all(|(&found, &crop)| found == f64::from(crop));
                        assert!(equal, "sample {}, field {field}: {found:?}, expected {crop:?}", row.sample);
                    }
                }
            }
        }
    }

    fn take_failure(&mut self, id: u64, rows: Range<usize>, error: &Error) {
        let Error::Batch { batch, first, failed } = error else { panic!("batch {id} ended with {error}") };
        assert_eq!(*batch, id, "C19: ids are dense and in push order");
        assert!((1..=rows.len()).contains(failed));
        if self.rules.on_error != OnError::Fail {
            // Where every sample failed and no array has yet said what type its elements have, no batch can be made.
            let is_native = self.rules.fields.iter().any(|(dtype, _)| *dtype == Dtype::Native);
            let is_hopeless = self.samples[rows.clone()].iter().all(|expected| expected.verdict > Verdict::Fine);
            let is_unknown = is_native && is_hopeless && self.counts.rows == self.counts.failed_rows;
            let excused = is_unknown || (self.rules.is_short && matches!(first.cause, Cause::Memory { .. }));
            assert!(excused, "batch {id} failed in spite of {:?}: {first}", self.rules.on_error);
        }
        self.check_error(first, rows);
        self.counts.failed_batches += 1;
    }

    fn check_error(&self, error: &SampleError, rows: Range<usize>) {
        let seq = error.sample.get() as usize;
        assert!(rows.contains(&seq), "C39: the error names sample {seq}, the batch has {rows:?}");
        let expected = &self.samples[seq];
        assert!(expected.verdict > Verdict::Fine, "nothing is wrong with sample {seq}: {error}");
        let named = expected.sample.fields.iter().any(|request| request.uri == error.uri && request.crop_box == error.crop_box);
        assert!(named, "C39: the error names no field of its sample: {error}");
        assert!(!matches!(error.cause, Cause::Closed), "{error}");
        assert!(self.rules.is_short || !matches!(error.cause, Cause::Memory { .. }), "{error}");
    }
}

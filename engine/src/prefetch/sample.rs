//! One sample's state on its way through the caches.

use std::sync::Arc;

use longshore_core::ordinal::SampleSeq;
use longshore_core::slot::Handle;
use smallvec::SmallVec;

use super::batches::Place;
use super::work::{FieldWork, SampleWork, ShardRef};
use crate::array::Array;
use crate::error::{Cause, SampleError, Stage};
use crate::plan::geometry::Window;
use crate::prefetch::values::FetchError;
use crate::sample::Sample;

/// A sample between admission and its end.
pub(crate) struct SampleState {
    pub(crate) seq: SampleSeq,
    pub(crate) origin: Arc<Sample>,
    pub(crate) place: Place,
    /// Answers it waits for.
    pub(crate) pending: u32,
    pub(crate) step: Step,
    pub(crate) fields: SmallVec<[FieldState; 1]>,
    /// Among the stalled: it met a full cache at its cursor.
    pub(crate) is_stalled: bool,
    /// The first error; the sample ends when nothing is pending any more.
    pub(crate) error: Option<Arc<SampleError>>,
}

/// Which metadata is being asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Arrays,
    Shards,
    Layouts,
    Done,
}

/// One field on its way. `asked` counts the requests of the current step that were made: the cursor a full cache stops at.
#[derive(Default)]
pub(crate) struct FieldState {
    pub(crate) asked: usize,
    pub(crate) array_handle: Option<Handle>,
    pub(crate) array: Option<Arc<Array>>,
    pub(crate) window: Option<Window>,
    pub(crate) shards: Vec<(u64, Option<ShardRef>)>,
}

impl SampleState {
    pub(crate) fn new(seq: SampleSeq, origin: Arc<Sample>, place: Place) -> Self {
        let fields = origin.fields.iter().map(|_| FieldState::default()).collect();
        Self { seq, origin, place, pending: 0, step: Step::Arrays, fields, is_stalled: false, error: None }
    }

    /// How far the sample has come; grows with every request made.
    pub(crate) fn progress(&self) -> (u8, usize) {
        (self.step as u8, self.fields.iter().map(|field| field.asked).sum())
    }

    /// Remembers the first error, with everything that names it.
    pub(crate) fn fail(&mut self, field: usize, stage: Stage, object: Option<String>, cause: Cause) {
        if self.error.is_some() {
            return;
        }
        let request = &self.origin.fields[field];
        self.error = Some(Arc::new(SampleError {
            sample: self.seq,
            field: request.name.clone(),
            uri: request.uri.clone(),
            crop_box: request.crop_box.clone(),
            stage,
            object,
            cause,
        }));
    }

    pub(crate) fn fail_fetch(&mut self, field: usize, error: &FetchError) {
        self.fail(field, error.stage, error.object.clone(), error.cause.clone());
    }

    /// The sample's end.
    pub(crate) fn into_work(self) -> SampleWork {
        let fields = match self.error {
            Some(error) => Err(error),
            None => Ok(self.fields.into_iter().map(FieldState::into_work).collect()),
        };
        SampleWork { seq: self.seq, origin: self.origin, fields }
    }
}

impl FieldState {
    pub(crate) fn waits_for(&self, handle: Handle, step: Step) -> bool {
        match step {
            Step::Arrays => self.array_handle == Some(handle),
            Step::Shards => self.shards.iter().any(|(_, shard)| matches!(shard, Some(ShardRef::Cached(h)) if *h == handle)),
            Step::Layouts | Step::Done => false,
        }
    }

    fn into_work(self) -> FieldWork {
        let resolved = "a sample without error that is done has resolved every field";
        FieldWork {
            array: self.array.expect(resolved),
            window: self.window.expect(resolved),
            shards: self.shards.into_iter().map(|(number, shard)| (number, shard.expect(resolved))).collect(),
        }
    }
}

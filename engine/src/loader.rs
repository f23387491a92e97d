//! The loader: samples in at one end, batches out at the other.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use longshore_core::ordinal::SampleSeq;
use longshore_core::ring::PopError;

use crate::batch::Batch;
use crate::config::Builder;
use crate::error::{Error, PushError};
use crate::runtime::{Delivery, Intake, Item, Outlet, Runtime};
use crate::sample::Sample;
use crate::stats::Stats;

/// Streams batches: push samples, pop batches. Build one with [`Loader::builder`].
///
/// Dropping it closes it: its threads end, whatever was under way is given up. Batches that the user still holds stay valid.
pub struct Loader {
    push: PushEnd,
    pop: PopEnd,
    /// Marks of abandoned [`Batches`] iterators that are still on their way.
    stale_marks: usize,
}

/// Where samples go in.
pub struct PushEnd {
    intake: Intake,
    runtime: Arc<Runtime>,
}

/// Where batches come out.
pub struct PopEnd {
    outlet: Outlet,
    runtime: Arc<Runtime>,
}

/// Closes a loader from anywhere.
#[derive(Clone, Debug)]
pub struct Closer {
    runtime: std::sync::Weak<Runtime>,
}

/// Answer of a pop that does not wait for ever.
#[derive(Debug)]
pub enum Popped {
    /// The next batch.
    Batch(Batch),
    /// None yet.
    Empty,
    /// None will come: the loader was finished and everything is delivered.
    Finished,
}

impl Loader {
    /// Starts a configuration.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn start(builder: Builder) -> Result<Self, Error> {
        let (runtime, intake, outlet) = Runtime::start(builder)?;
        let runtime = Arc::new(runtime);
        Ok(Self { push: PushEnd { intake, runtime: runtime.clone() }, pop: PopEnd { outlet, runtime }, stale_marks: 0 })
    }

    /// The two ends apart, for a thread each.
    pub fn split(self) -> (PushEnd, PopEnd) {
        (self.push, self.pop)
    }

    /// Streams `samples` as batches: pulls from the iterator as far as the lookahead has room, so it may be endless.
    /// A partial last batch is delivered (or dropped, as configured) when the iterator ends.
    pub fn batches<I>(&mut self, samples: I) -> Batches<'_, I::IntoIter>
    where
        I: IntoIterator<Item = Sample>,
    {
        Batches { loader: self, samples: samples.into_iter().fuse(), held: None, sealed: false, done: false }
    }

    /// See [`PushEnd::push`].
    ///
    /// # Errors
    /// As there.
    pub fn push(&mut self, sample: Sample) -> Result<SampleSeq, PushError> {
        self.push.push(sample)
    }

    /// See [`PushEnd::finish`].
    pub fn finish(&mut self) {
        self.push.finish();
    }

    /// See [`PopEnd::pop`].
    ///
    /// # Errors
    /// As there.
    pub fn pop(&mut self) -> Result<Option<Batch>, Error> {
        self.pop.pop()
    }

    /// See [`PopEnd::try_pop`].
    ///
    /// # Errors
    /// As there.
    pub fn try_pop(&mut self) -> Result<Popped, Error> {
        self.pop.try_pop()
    }

    /// See [`PopEnd::pop_timeout`].
    ///
    /// # Errors
    /// As there.
    pub fn pop_timeout(&mut self, timeout: Duration) -> Result<Popped, Error> {
        self.pop.pop_timeout(timeout)
    }

    /// Counters since the loader was built.
    pub fn stats(&self) -> Stats {
        self.pop.stats()
    }

    /// Ends everything now; every wait, in any thread, returns [`Error::Closed`].
    pub fn close(&self) {
        self.pop.runtime.close();
    }

    /// A handle that closes this loader from another thread.
    pub fn closer(&self) -> Closer {
        Closer { runtime: Arc::downgrade(&self.pop.runtime) }
    }
}

impl Closer {
    /// Ends everything now; every wait, in any thread, returns [`Error::Closed`]. Without effect on a loader that is gone.
    pub fn close(&self) {
        if let Some(runtime) = self.runtime.upgrade() {
            runtime.close();
        }
    }
}

impl PushEnd {
    /// Takes a sample if the lookahead has room. Never waits.
    ///
    /// # Errors
    /// `Full`, `Closed` and `Invalid` hand the sample back.
    pub fn push(&mut self, sample: Sample) -> Result<SampleSeq, PushError> {
        let sample = self.runtime.check(sample)?;
        self.intake.push(sample, None)
    }

    /// Takes a sample, waiting for room.
    ///
    /// # Errors
    /// `Closed` and `Invalid` hand the sample back.
    pub fn push_blocking(&mut self, sample: Sample) -> Result<SampleSeq, PushError> {
        let sample = self.runtime.check(sample)?;
        self.intake.push(sample, Some(None))
    }

    /// Takes a sample, waiting for room at most so long.
    ///
    /// # Errors
    /// `Full` after the time-out; `Closed` and `Invalid`. All hand the sample back.
    pub fn push_timeout(&mut self, sample: Sample, timeout: Duration) -> Result<SampleSeq, PushError> {
        let sample = self.runtime.check(sample)?;
        self.intake.push(sample, Some(Instant::now().checked_add(timeout)))
    }

    /// Samples that can be pushed right now.
    pub fn room(&self) -> usize {
        self.intake.room()
    }

    /// Ends the batch being filled; it will be shorter. Nothing happens if it is empty.
    ///
    /// # Errors
    /// `Closed`.
    pub fn seal(&mut self) -> Result<(), Error> {
        self.intake.control(Item::Seal)
    }

    /// No more samples will come. What was pushed is delivered, then pops answer `None`.
    pub fn finish(&mut self) {
        self.intake.finish();
    }

    /// Waits until nothing pushed so far is in flight anywhere: every full batch is ready to be popped or was popped, every
    /// metadata request is answered. Somebody else must pop meanwhile if more batches are on their way than there are buffers.
    /// The loader accepts work during and after.
    ///
    /// # Errors
    /// `Closed`.
    pub fn drain(&mut self) -> Result<(), Error> {
        self.intake.drain()
    }

    /// See [`Loader::close`].
    pub fn close(&self) {
        self.runtime.close();
    }

    /// See [`Loader::closer`].
    pub fn closer(&self) -> Closer {
        Closer { runtime: Arc::downgrade(&self.runtime) }
    }

    /// Counters since the loader was built.
    pub fn stats(&self) -> Stats {
        self.runtime.stats()
    }
}

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader").field("closed", &self.pop.runtime.is_closed()).field("room", &self.push.room()).finish_non_exhaustive()
    }
}

impl fmt::Debug for PushEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushEnd").field("room", &self.room()).finish_non_exhaustive()
    }
}

impl fmt::Debug for PopEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PopEnd").field("closed", &self.runtime.is_closed()).finish_non_exhaustive()
    }
}

impl Drop for PushEnd {
    /// A push end that is gone pushes no more: the same as [`PushEnd::finish`].
    fn drop(&mut self) {
        self.intake.finish();
    }
}

impl PopEnd {
    /// The next batch, in push order; `None` when the loader was finished and everything is delivered. Waits.
    ///
    /// # Errors
    /// [`Error::Batch`] in place of a batch that failed: the next pop goes on with the next batch. [`Error::Closed`].
    pub fn pop(&mut self) -> Result<Option<Batch>, Error> {
        match self.next(Wait::Forever)? {
            Popped::Batch(batch) => Ok(Some(batch)),
            Popped::Finished | Popped::Empty => Ok(None),
        }
    }

    /// The next batch if it is there.
    ///
    /// # Errors
    /// As [`Self::pop`].
    pub fn try_pop(&mut self) -> Result<Popped, Error> {
        self.next(Wait::No)
    }

    /// The next batch if it comes in time.
    ///
    /// # Errors
    /// As [`Self::pop`].
    pub fn pop_timeout(&mut self, timeout: Duration) -> Result<Popped, Error> {
        self.next(Wait::Until(Instant::now().checked_add(timeout)))
    }

    /// See [`Loader::close`].
    pub fn close(&self) {
        self.runtime.close();
    }

    /// See [`Loader::closer`].
    pub fn closer(&self) -> Closer {
        Closer { runtime: Arc::downgrade(&self.runtime) }
    }

    /// Counters since the loader was built.
    pub fn stats(&self) -> Stats {
        self.runtime.stats()
    }

    fn next(&mut self, wait: Wait) -> Result<Popped, Error> {
        loop {
            match self.next_delivery(wait)? {
                Some(Delivery::Batch(batch)) => return Ok(Popped::Batch(batch)),
                Some(Delivery::Failed(error)) => return Err(error),
                Some(Delivery::Mark) => continue,
                None if self.runtime.is_closed() => return Err(Error::Closed),
                None if matches!(wait, Wait::Forever) || self.outlet.is_finished() => return Ok(Popped::Finished),
                None => return Ok(Popped::Empty),
            }
        }
    }

    /// One delivery; `None` if there is none (yet, or ever).
    fn next_delivery(&mut self, wait: Wait) -> Result<Option<Delivery>, Error> {
        match self.outlet.try_pop() {
            Ok(delivery) => {
                self.runtime.record_wait(Duration::ZERO, &delivery);
                return Ok(Some(delivery));
            }
            Err(PopError::Closed) => return Ok(None),
            Err(PopError::Empty) => {}
        }
        let begun = Instant::now();
        let popped = match wait {
            Wait::No => return Ok(None),
            Wait::Forever | Wait::Until(None) => self.outlet.pop_blocking(),
            Wait::Until(Some(end)) => self.outlet.pop_timeout(end.saturating_duration_since(begun)),
        };
        let delivery = popped.ok();
        if let Some(delivery) = &delivery {
            self.runtime.record_wait(begun.elapsed(), delivery);
        }
        Ok(delivery)
    }
}

impl Drop for PopEnd {
    /// Nobody will take batches any more: the same as [`PopEnd::close`].
    fn drop(&mut self) {
        self.runtime.close();
    }
}

#[derive(Clone, Copy)]
enum Wait {
    No,
    Until(Option<Instant>),
    Forever,
}

/// Iterator over the batches of one sequence of samples; made by [`Loader::batches`].
///
/// A failed batch is one `Err` item, and iteration goes on. It ends after `Closed` and after the last batch.
pub struct Batches<'a, I> {
    loader: &'a mut Loader,
    samples: std::iter::Fuse<I>,
    held: Option<Sample>,
    sealed: bool,
    done: bool,
}

impl<I: Iterator<Item = Sample>> Iterator for Batches<'_, I> {
    type Item = Result<Batch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        loop {
            if let Err(error) = self.refill() {
                self.done = matches!(error, Error::Closed);
                return Some(Err(error));
            }
            match self.loader.pop.next_delivery(Wait::Forever) {
                Ok(Some(Delivery::Mark)) if self.loader.stale_marks > 0 => self.loader.stale_marks -= 1,
                Ok(Some(_)) if self.loader.stale_marks > 0 => {}
                Ok(Some(Delivery::Batch(batch))) => return Some(Ok(batch)),
                Ok(Some(Delivery::Failed(error))) => return Some(Err(error)),
                Ok(Some(Delivery::Mark)) => {
                    self.done = true;
                    return None;
                }
                Ok(None) => {
                    self.done = true;
                    return Some(Err(Error::Closed));
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl<I: Iterator<Item = Sample>> Batches<'_, I> {
    /// Pushes until the lookahead is full or the samples are at their end.
    fn refill(&mut self) -> Result<(), Error> {
        while !self.sealed {
            let Some(sample) = self.held.take().or_else(|| self.samples.next()) else {
                self.loader.push.intake.control(Item::SealAndMark)?;
                self.sealed = true;
                return Ok(());
            };
            match self.loader.push.push(sample) {
                Ok(_) => {}
                Err(PushError::Full(sample)) => {
                    self.held = Some(sample);
                    return Ok(());
                }
                Err(PushError::Closed(_)) => return Err(Error::Closed),
                Err(PushError::Invalid { reason, .. }) => return Err(Error::Invalid(reason)),
            }
        }
        Ok(())
    }
}

impl<I> Drop for Batches<'_, I> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        // What is still on its way belongs to nobody: the next iterator throws it away up to this mark.
        if self.sealed || self.loader.push.intake.control(Item::SealAndMark).is_ok() {
            self.loader.stale_marks += 1;
        }
    }
}

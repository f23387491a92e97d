//! The lookahead: pushed samples that nobody has looked at yet, in push order, each stamped with its [`SampleSeq`].
//!
//! A [`ring`](mod@crate::ring) behind an opaque face. A push never blocks and never loses: it is accepted, and then it
//! will be pulled, or it is refused and the sample handed back. The stamp is the ring's own count, so both ends know it
//! without storing it, and it has no gaps whatever is refused in between.

use crate::bell::Bell;
use crate::ordinal::SampleSeq;
use crate::ring::{Closer, Consumer, PopError, Producer, PushError, ring};
use crate::sync::Arc;
use std::time::Duration;

/// A lookahead of `capacity` samples. A push rings `consumer`; a pull or a close rings `producer`.
///
/// # Panics
/// If `capacity` is zero or exceeds 2^31.
#[must_use]
pub fn lookahead<T: Send>(capacity: usize, consumer: Arc<Bell>, producer: Arc<Bell>) -> (LookaheadPush<T>, LookaheadPull<T>) {
    let (push, pull) = ring(capacity, consumer, producer);
    (LookaheadPush { ring: push }, LookaheadPull { ring: pull })
}

/// The end that takes samples in. Dropping it closes the lookahead.
pub struct LookaheadPush<T> {
    ring: Producer<T>,
}

impl<T: Send> LookaheadPush<T> {
    /// Accepts a sample and stamps it. Never blocks.
    ///
    /// # Errors
    /// Hands the sample back if the lookahead is full or closed.
    pub fn push(&mut self, sample: T) -> Result<SampleSeq, PushError<T>> {
        let stamp = SampleSeq::new(self.ring.pushed());
        self.ring.try_push(sample).map(|()| stamp)
    }

    /// Accepts a sample, waiting at most `patience` for room. For callers that would rather wait than keep the sample.
    ///
    /// # Errors
    /// Hands the sample back if the lookahead is closed, or full until the time is over.
    pub fn push_timeout(&mut self, sample: T, patience: Duration) -> Result<SampleSeq, PushError<T>> {
        let stamp = SampleSeq::new(self.ring.pushed());
        self.ring.push_timeout(sample, patience).map(|()| stamp)
    }

    /// The stamp of the next sample that is accepted.
    #[must_use]
    pub fn next_seq(&self) -> SampleSeq {
        SampleSeq::new(self.ring.pushed())
    }

    /// Samples waiting at some moment during the call.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether none was waiting.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// The most samples that can wait.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.ring.capacity()
    }

    /// Accepts no more samples. Those accepted can still be pulled.
    pub fn close(&self) {
        self.ring.close();
    }

    /// What lets any thread close the lookahead.
    #[must_use]
    pub fn closer(&self) -> Closer {
        self.ring.closer()
    }
}

/// The end that hands samples out. Dropping it closes the lookahead.
pub struct LookaheadPull<T> {
    ring: Consumer<T>,
}

impl<T: Send> LookaheadPull<T> {
    /// The oldest waiting sample with its stamp. Never blocks.
    ///
    /// # Errors
    /// Says whether more may come.
    pub fn pull(&mut self) -> Result<(SampleSeq, T), PopError> {
        let stamp = SampleSeq::new(self.ring.popped());
        self.ring.try_pop().map(|sample| (stamp, sample))
    }

    /// The oldest waiting sample with its stamp, sleeping on the consumer's bell until there is one.
    ///
    /// # Errors
    /// [`PopError::Closed`], once the lookahead is closed and empty.
    pub fn pull_blocking(&mut self) -> Result<(SampleSeq, T), PopError> {
        let stamp = SampleSeq::new(self.ring.popped());
        self.ring.pop_blocking().map(|sample| (stamp, sample))
    }

    /// Samples waiting at some moment during the call.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether none was waiting.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Accepts no more samples. Those accepted can still be pulled.
    pub fn close(&self) {
        self.ring.close();
    }

    /// What lets any thread close the lookahead.
    #[must_use]
    pub fn closer(&self) -> Closer {
        self.ring.closer()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_dense_whatever_is_refused() {
        let (mut push, mut pull) = lookahead(2, Arc::new(Bell::new()), Arc::new(Bell::new()));
        assert_eq!(push.push('a'), Ok(SampleSeq::new(0)));
        assert_eq!(push.push('b'), Ok(SampleSeq::new(1)));
        assert_eq!(push.push('c'), Err(PushError::Full('c')), "refused, not blocked and not lost");
        assert_eq!(push.next_seq(), SampleSeq::new(2));
        assert_eq!(pull.pull(), Ok((SampleSeq::new(0), 'a')));
        assert_eq!(push.push('c'), Ok(SampleSeq::new(2)));
        push.close();
        assert_eq!(push.push('d'), Err(PushError::Closed('d')));
        assert_eq!(pull.pull(), Ok((SampleSeq::new(1), 'b')));
        assert_eq!(pull.pull_blocking(), Ok((SampleSeq::new(2), 'c')));
        assert_eq!(pull.pull(), Err(PopError::Closed));
    }
}

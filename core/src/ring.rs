//! A bounded queue from one producer to one consumer, allocated once.
//!
//! ```text
//! tail = [pushed:63 | closed:1]    head = popped
//!
//! push   full?  -> Full / Closed        else write the cell, CAS tail: (n, open) -> (n + 1, open), ring the consumer
//! pop    empty? -> Empty / Closed       else read the cell, head = n + 1, ring the producer
//! close  tail |= closed, ring both      by either end, by dropping either end, or by a `Closer` from any thread
//! ```
//!
//! The close is a bit of the tail, and a push is a compare-exchange on the tail. So a push that succeeded came before
//! the close and will be popped, and a push after the close hands its value back: nothing is accepted and then lost.
//! The compare-exchange can fail for the close alone, since only the producer moves the count: push is wait-free.
//!
//! | operation | ordering | pairs with |
//! |---|---|---|
//! | push: CAS of tail | Release | pop's load: the cell is written before it is announced |
//! | pop: load of tail | Acquire | push; also close |
//! | pop: store of head | Release | push's load of head: the cell is read before it is given back |
//! | push: load of head | Acquire | pop |
//! | close: fetch_or of tail | Release | pop; it goes on with the release sequence of the pushes before it |

use crate::bell::Bell;
use crate::sync::{Arc, AtomicU64, Deadline, Ordering, UnsafeCell, mutant, weaken};
use crossbeam_utils::CachePadded;
use std::mem::MaybeUninit;
use std::time::Duration;

const CLOSED: u64 = 1;

/// A value that was not pushed, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushError<T> {
    /// No cell is free (after a timed push: within the time given).
    Full(T),
    /// The ring is closed.
    Closed(T),
}

/// Why nothing was popped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PopError {
    /// Nothing is there (after a timed pop: within the time given), but something may come.
    Empty,
    /// Nothing is there and nothing will come.
    Closed,
}

/// The two words and the two bells. Apart from the cells, so that a [`Closer`] needs no type of value.
struct Words {
    tail: CachePadded<AtomicU64>,
    head: CachePadded<AtomicU64>,
    consumer: Arc<Bell>,
    producer: Arc<Bell>,
}

impl Words {
    fn close(&self) {
        // Release: continues the producer's release sequence; the consumer that sees the bit sees every cell.
        self.tail.fetch_or(CLOSED, weaken("ring-close-relaxed", Ordering::Release));
        if !mutant("ring-close-no-ring") {
            self.consumer.ring();
            self.producer.ring();
        }
    }

    fn is_closed(&self) -> bool {
        // Acquire: pairs with the Release of `close`.
        self.tail.load(Ordering::Acquire) & CLOSED != 0
    }

    fn len(&self) -> usize {
        // Relaxed: a snapshot that is out of date anyway. The head is read first: the tail only grows, so the
        // difference is never negative, though it may exceed the capacity if both moved in between.
        let head = self.head.load(Ordering::Relaxed);
        let tail = self.tail.load(Ordering::Relaxed) >> 1;
        tail.saturating_sub(head) as usize
    }
}

struct Cells<T> {
    words: Arc<Words>,
    cells: Box<[UnsafeCell<MaybeUninit<T>>]>,
}

// SAFETY: a cell is reached by the producer before it is announced in `tail` and by the consumer after, never by both
// (the orderings are in the module's head), so values only move between threads: `T: Send` is enough.
unsafe impl<T: Send> Send for Cells<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Cells<T> {}

impl<T> Cells<T> {
    fn cell(&self, index: u64) -> &UnsafeCell<MaybeUninit<T>> {
        // The number of cells is a power of two, so the mask is exact.
        &self.cells[index as usize & (self.cells.len() - 1)]
    }
}

impl<T> Drop for Cells<T> {
    fn drop(&mut self) {
        // Relaxed: both ends are gone, and dropping the last `Arc` acquired what they did.
        let head = self.words.head.load(Ordering::Relaxed);
        let tail = self.words.tail.load(Ordering::Relaxed) >> 1;
        for index in head..tail {
            // SAFETY: cells in head..tail were written and not read, and nobody else is left.
            self.cell(index).with_mut(|cell| unsafe { (*cell).assume_init_drop() });
        }
    }
}

/// A ring with room for `capacity` values. Pushes ring `consumer`, pops ring `producer`, a close rings both. Each bell
/// may also be rung by others, and two rings may share one, as long as one thread sleeps on it.
///
/// # Panics
/// If `capacity` is zero or exceeds 2^31.
#[must_use]
pub fn ring<T: Send>(capacity: usize, consumer: Arc<Bell>, producer: Arc<Bell>) -> (Producer<T>, Consumer<T>) {
    assert!(capacity > 0 && capacity <= 1 << 31, "a ring holds 1 to 2^31 values, {capacity} asked");
    let words =
        Arc::new(Words { tail: CachePadded::new(AtomicU64::new(0)), head: CachePadded::new(AtomicU64::new(0)), consumer, producer });
    let cells = (0..capacity.next_power_of_two()).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect();
    let cells = Arc::new(Cells { words: words.clone(), cells });
    let producer = Producer { words: words.clone(), cells: cells.clone(), tail: 0, head_seen: 0, capacity };
    (producer, Consumer { words, cells, head: 0, tail_seen: 0, capacity })
}

/// The end that pushes. Dropping it closes the ring.
pub struct Producer<T> {
    words: Arc<Words>,
    cells: Arc<Cells<T>>,
    /// Values pushed so far: the count in `words.tail`, which no one else moves.
    tail: u64,
    /// A past value of `words.head`: at least so many were popped.
    head_seen: u64,
    capacity: usize,
}

impl<T: Send> Producer<T> {
    /// Pushes `value` if there is room. Never blocks.
    ///
    /// # Errors
    /// Hands the value back if the ring is full or closed.
    pub fn try_push(&mut self, value: T) -> Result<(), PushError<T>> {
        if self.tail - self.head_seen == self.capacity as u64 {
            // Acquire: pairs with the Release of the pop that gave the cell back.
            self.head_seen = self.words.head.load(weaken("ring-head-load-relaxed", Ordering::Acquire));
            if self.tail - self.head_seen == self.capacity as u64 {
                let closed = self.words.is_closed();
                return Err(if closed { PushError::Closed(value) } else { PushError::Full(value) });
            }
        }
        let cell = self.cells.cell(self.tail);
        // SAFETY: the cell was read by the consumer or never written, and is not announced: the producer alone reaches
        // it.
        cell.with_mut(|cell| unsafe { (*cell).write(value) });
        // Release: pairs with the Acquire of the pop. Relaxed on failure: the close carries nothing for the producer.
        let (now, next) = (self.tail << 1, (self.tail + 1) << 1);
        let release = weaken("ring-tail-store-relaxed", Ordering::Release);
        let announced = if mutant("ring-push-ignores-close") {
            self.words.tail.swap(next, release);
            true
        } else {
            self.words.tail.compare_exchange(now, next, release, Ordering::Relaxed).is_ok()
        };
        if !announced {
            // SAFETY: written above and not announced.
            return Err(PushError::Closed(cell.with_mut(|cell| unsafe { (*cell).assume_init_read() })));
        }
        self.tail += 1;
        if !mutant("ring-push-no-ring") {
            self.words.consumer.ring();
        }
        Ok(())
    }

    /// Pushes `value`, sleeping on the producer's bell while the ring is full.
    ///
    /// # Errors
    /// Hands the value back, as [`PushError::Closed`], once the ring is closed.
    pub fn push_blocking(&mut self, mut value: T) -> Result<(), PushError<T>> {
        loop {
            let ticket = self.words.producer.listen();
            match self.try_push(value) {
                Err(PushError::Full(back)) => value = back,
                answer => return answer,
            }
            self.words.producer.wait(ticket);
        }
    }

    /// The same for at most `patience`.
    ///
    /// # Errors
    /// Hands the value back once the ring is closed or the time is over.
    pub fn push_timeout(&mut self, mut value: T, patience: Duration) -> Result<(), PushError<T>> {
        let deadline = Deadline::after(patience);
        loop {
            let ticket = self.words.producer.listen();
            match self.try_push(value) {
                Err(PushError::Full(back)) => value = back,
                answer => return answer,
            }
            match deadline.left() {
                Some(Duration::ZERO) => return Err(PushError::Full(value)),
                Some(left) => _ = self.words.producer.wait_timeout(ticket, left),
                None => self.words.producer.wait(ticket),
            }
        }
    }
}

impl<T> Producer<T> {
    /// Values pushed over the ring's life.
    #[must_use]
    pub fn pushed(&self) -> u64 {
        self.tail
    }
}

/// The end that pops. Dropping it closes the ring; what is still queued is destroyed with the ring.
pub struct Consumer<T> {
    words: Arc<Words>,
    cells: Arc<Cells<T>>,
    /// Values popped so far: `words.head`, which no one else moves.
    head: u64,
    /// A past count of `words.tail`: at least so many were pushed.
    tail_seen: u64,
    capacity: usize,
}

impl<T: Send> Consumer<T> {
    /// Pops the oldest value, if there is one. Never blocks.
    ///
    /// # Errors
    /// Says whether more may come. Values pushed before the close are popped first.
    pub fn try_pop(&mut self) -> Result<T, PopError> {
        if self.head == self.tail_seen {
            // Acquire: pairs with the Release of the push that wrote the cell.
            let tail = self.words.tail.load(weaken("ring-tail-load-relaxed", Ordering::Acquire));
            self.tail_seen = tail >> 1;
            if self.head == self.tail_seen {
                return Err(if tail & CLOSED != 0 { PopError::Closed } else { PopError::Empty });
            }
        }
        // SAFETY: head < tail, so the cell was written and announced, and the producer keeps off until it is given
        // back below.
        let value = self.cells.cell(self.head).with_mut(|cell| unsafe { (*cell).assume_init_read() });
        self.head += 1;
        // Release: pairs with the Acquire of the push that reuses the cell.
        self.words.head.store(self.head, weaken("ring-head-store-relaxed", Ordering::Release));
        if !mutant("ring-pop-no-ring") {
            self.words.producer.ring();
        }
        Ok(value)
    }

    /// Pops the oldest value, sleeping on the consumer's bell while there is none.
    ///
    /// # Errors
    /// [`PopError::Closed`], once the ring is closed and empty.
    pub fn pop_blocking(&mut self) -> Result<T, PopError> {
        loop {
            let ticket = self.words.consumer.listen();
            match self.try_pop() {
                Err(PopError::Empty) => self.words.consumer.wait(ticket),
                answer => return answer,
            }
        }
    }

    /// The same for at most `patience`.
    ///
    /// # Errors
    /// [`PopError::Empty`] when the time is over, [`PopError::Closed`] once the ring is closed and empty.
    pub fn pop_timeout(&mut self, patience: Duration) -> Result<T, PopError> {
        let deadline = Deadline::after(patience);
        loop {
            let ticket = self.words.consumer.listen();
            match self.try_pop() {
                Err(PopError::Empty) => {}
                answer => return answer,
            }
            match deadline.left() {
                Some(Duration::ZERO) => return Err(PopError::Empty),
                Some(left) => _ = self.words.consumer.wait_timeout(ticket, left),
                None => self.words.consumer.wait(ticket),
            }
        }
    }
}

impl<T> Consumer<T> {
    /// Values popped over the ring's life.
    #[must_use]
    pub fn popped(&self) -> u64 {
        self.head
    }
}

macro_rules! both_ends {
    ($end:ident) => {
        impl<T> $end<T> {
            /// Closes the ring: pushes are refused from now on, what is queued can still be popped, and whoever sleeps
            /// on either bell wakes.
            pub fn close(&self) {
                self.words.close();
            }

            /// What lets any thread close the ring.
            #[must_use]
            pub fn closer(&self) -> Closer {
                Closer { words: self.words.clone() }
            }

            /// Whether the ring was closed.
            #[must_use]
            pub fn is_closed(&self) -> bool {
                self.words.is_closed()
            }

            /// Values queued at some moment during the call.
            #[must_use]
            pub fn len(&self) -> usize {
                self.words.len().min(self.capacity)
            }

            /// Whether nothing was queued at some moment during the call.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// The most values that can be queued.
            #[must_use]
            pub fn capacity(&self) -> usize {
                self.capacity
            }
        }

        impl<T> Drop for $end<T> {
            fn drop(&mut self) {
                self.words.close();
            }
        }
    };
}

both_ends!(Producer);
both_ends!(Consumer);

/// Closes a ring from any thread.
#[derive(Clone)]
pub struct Closer {
    words: Arc<Words>,
}

impl Closer {
    /// Closes the ring, as its ends can.
    pub fn close(&self) {
        self.words.close();
    }

    /// Whether the ring was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.words.is_closed()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;

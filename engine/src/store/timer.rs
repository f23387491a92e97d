//! Things to do later: one thread, a heap, no polling. Nothing waiting, nothing running: it sleeps without a time-out.

use std::cmp::Ordering as Order;
use std::collections::BinaryHeap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::pool::{join, lock};

/// What time it is, for a [`DelayQueue`].
#[derive(Clone, Debug)]
pub enum Clock {
    /// The monotonic clock of the machine.
    Real,
    /// A clock that stands until a test moves it.
    Manual(Arc<ManualClock>),
}

/// A clock that only [`ManualClock::advance`] moves.
#[derive(Debug, Default)]
pub struct ManualClock {
    now: Mutex<Duration>,
    queues: Mutex<Vec<Weak<Shared>>>,
}

impl ManualClock {
    /// A clock at zero.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Time since this clock was made.
    pub fn now(&self) -> Duration {
        *lock(&self.now)
    }

    /// Moves the clock on; whatever became due is done by the queues' threads soon after.
    pub fn advance(&self, by: Duration) {
        let mut now = lock(&self.now);
        *now = now.saturating_add(by);
        drop(now);
        lock(&self.queues).retain(|queue| {
            queue.upgrade().is_some_and(|queue| {
                // Under the lock, so that a queue that just looked at the clock is waiting by now.
                let _heap = lock(&queue.heap);
                queue.changed.notify_all();
                true
            })
        });
    }
}

/// Why a delayed call was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fired {
    /// Its time has come.
    Due,
    /// The queue is closing.
    Cancelled,
}

/// What is called, once.
pub type Call = Box<dyn FnOnce(Fired) + Send>;

/// Calls functions after a delay, on its own thread, never under a lock. Dropping it calls the rest with
/// [`Fired::Cancelled`].
pub struct DelayQueue {
    shared: Arc<Shared>,
    clock: Clock,
    start: Instant,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    heap: Mutex<Heap>,
    changed: Condvar,
}

#[derive(Default)]
struct Heap {
    entries: BinaryHeap<Entry>,
    sequence: u64,
    closed: bool,
}

/// Greatest: the earliest; of those due at one time, the first that came.
struct Entry {
    due: Duration,
    sequence: u64,
    call: Call,
}

impl DelayQueue {
    /// A queue by `clock`. Starts a thread.
    ///
    /// # Errors
    /// The thread could not be started.
    pub fn new(clock: Clock) -> io::Result<Self> {
        let shared = Arc::new(Shared { heap: Mutex::default(), changed: Condvar::new() });
        if let Clock::Manual(manual) = &clock {
            lock(&manual.queues).push(Arc::downgrade(&shared));
        }
        let start = Instant::now();
        let (its_shared, its_clock) = (Arc::clone(&shared), clock.clone());
        let thread = std::thread::Builder::new().name("longshore-timer".into()).spawn(move || its_shared.work(&its_clock, start))?;
        Ok(Self { shared, clock, start, thread: Some(thread) })
    }

    /// Time since the queue (or its manual clock) was made.
    pub fn now(&self) -> Duration {
        self.clock.now(self.start)
    }

    /// Calls `call` after `delay`.
    pub fn after(&self, delay: Duration, call: Call) {
        let due = self.now().saturating_add(delay);
        let mut heap = lock(&self.shared.heap);
        if heap.closed {
            drop(heap);
            return Entry { due, sequence: 0, call }.fire(Fired::Cancelled);
        }
        heap.sequence += 1;
        let sequence = heap.sequence;
        heap.entries.push(Entry { due, sequence, call });
        // Only a new first entry changes what the thread waits for.
        if heap.entries.peek().is_some_and(|first| first.sequence == sequence) {
            self.shared.changed.notify_one();
        }
    }

    /// Calls everything that waits, and everything that will be asked for, with [`Fired::Cancelled`]. The thread ends.
    pub fn cancel(&self) {
        let rest = {
            let mut heap = lock(&self.shared.heap);
            heap.closed = true;
            std::mem::take(&mut heap.entries)
        };
        self.shared.changed.notify_all();
        rest.into_sorted_vec().into_iter().rev().for_each(|entry| entry.fire(Fired::Cancelled));
    }

    /// Calls that are waiting.
    pub fn len(&self) -> usize {
        lock(&self.shared.heap).entries.len()
    }

    /// Whether no call is waiting.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Clock {
    fn now(&self, start: Instant) -> Duration {
        match self {
            Self::Real => start.elapsed(),
            Self::Manual(manual) => manual.now(),
        }
    }
}

impl Shared {
    fn work(&self, clock: &Clock, start: Instant) {
        let mut heap = lock(&self.heap);
        while !heap.closed {
            let now = clock.now(start);
            match heap.entries.peek().map(|first| first.due) {
                Some(due) if due <= now => {
                    let entry = heap.entries.pop();
                    drop(heap);
                    entry.into_iter().for_each(|entry| entry.fire(Fired::Due));
                    heap = lock(&self.heap);
                }
                Some(due) if matches!(clock, Clock::Real) => {
                    heap = self.changed.wait_timeout(heap, due - now).unwrap_or_else(PoisonError::into_inner).0;
                }
                _ => heap = self.changed.wait(heap).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

impl Drop for DelayQueue {
    fn drop(&mut self) {
        lock(&self.shared.heap).closed = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            join(thread);
        }
        self.cancel();
    }
}

impl Entry {
    fn fire(self, fired: Fired) {
        if catch_unwind(AssertUnwindSafe(|| (self.call)(fired))).is_err() {
            tracing::error!("a delayed call panicked");
        }
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Order {
        (other.due, other.sequence).cmp(&(self.due, self.sequence))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

impl std::fmt::Debug for Heap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Heap").field("waiting", &self.entries.len()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for DelayQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DelayQueue").field("waiting", &self.len()).field("clock", &self.clock).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    type Note = (u32, Fired);

    fn queue() -> (DelayQueue, Arc<ManualClock>, mpsc::Sender<Note>, mpsc::Receiver<Note>) {
        let clock = ManualClock::new();
        let (sender, receiver) = mpsc::channel();
        (DelayQueue::new(Clock::Manual(Arc::clone(&clock))).unwrap(), clock, sender, receiver)
    }

    fn note(sender: &mpsc::Sender<(u32, Fired)>, number: u32) -> Call {
        let sender = sender.clone();
        Box::new(move |fired| sender.send((number, fired)).unwrap())
    }

    #[test]
    fn calls_come_when_due_in_order_of_their_time() {
        let (queue, clock, sender, receiver) = queue();
        for (delay, number) in [(30, 3), (10, 1), (20, 2), (10, 11), (0, 0)] {
            queue.after(delay * MS, note(&sender, number));
        }
        assert_eq!(receiver.recv(), Ok((0, Fired::Due)));
        clock.advance(9 * MS);
        assert_eq!(queue.len(), 4);
        clock.advance(11 * MS);
        assert_eq!(receiver.iter().take(3).map(|(number, _)| number).collect::<Vec<_>>(), [1, 11, 2]);
        assert_eq!(queue.len(), 1);
        assert_eq!(queue.now(), 20 * MS);
    }

    #[test]
    fn delays_run_side_by_side() {
        let (queue, clock, sender, receiver) = queue();
        (0..1000).for_each(|number| queue.after(50 * MS, note(&sender, number)));
        clock.advance(50 * MS);
        assert!(receiver.iter().take(1000).map(|(number, _)| number).eq(0..1000));
    }

    #[test]
    fn closing_calls_the_rest_once_with_cancelled() {
        let (queue, _clock, sender, receiver) = queue();
        (0..10).for_each(|number| queue.after(number * 10 * MS + MS, note(&sender, number)));
        drop((queue, sender));
        let calls: Vec<_> = receiver.iter().collect();
        assert!(calls.iter().map(|(number, _)| *number).eq(0..10));
        assert!(calls.iter().all(|(_, fired)| *fired == Fired::Cancelled));
    }

    #[test]
    fn a_call_may_close_its_own_queue_and_may_panic() {
        let (queue, clock, sender, receiver) = queue();
        queue.after(MS, Box::new(|_| panic!("on purpose")));
        queue.after(3 * MS, note(&sender, 2));
        let shared = Arc::new(Mutex::new(None));
        let its_own = Arc::clone(&shared);
        queue.after(2 * MS, Box::new(move |_| drop(lock(&its_own).take())));
        *lock(&shared) = Some(queue);
        clock.advance(2 * MS);
        assert_eq!(receiver.recv(), Ok((2, Fired::Cancelled)));
    }

    #[test]
    fn the_real_clock_fires_too() {
        let (sender, receiver) = mpsc::channel();
        let queue = DelayQueue::new(Clock::Real).unwrap();
        let before = Instant::now();
        queue.after(5 * MS, note(&sender, 1));
        assert_eq!(receiver.recv(), Ok((1, Fired::Due)));
        assert!(before.elapsed() >= 5 * MS, "never early");
    }
}

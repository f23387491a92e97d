//! Threads that block so that others need not.
//!
//! Jobs wait in a lock-free queue. The lock is taken to sleep and to wake, never while there is work. Threads are started
//! when a job finds nobody asleep, up to a bound: a store that is hardly used has one.
//!
//! *No lost wake-up.* A thread about to sleep (holding the lock) adds itself to `sleepers`, then looks at the queue once
//! more. A submitter pushes, then reads `sleepers` with a read-modify-write. Both touch one word with read-modify-writes,
//! so one comes first: either the submitter sees the sleeper and rings under the lock, or the sleeper synchronises with
//! the submitter and sees the job. Who rings also takes one off `sleepers`, so that a burst of jobs wakes as many threads,
//! and starts new ones, instead of ringing one sleeper many times.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crossbeam_queue::SegQueue;

/// Locks; a poisoned lock is taken as it is (the data behind each lock of this room is valid at every step).
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Joins a thread, unless it is the calling one: a callback may drop the last reference to its own store.
pub(crate) fn join(handle: JoinHandle<()>) {
    if handle.thread().id() != thread::current().id() && handle.join().is_err() {
        tracing::error!("a thread of a store panicked");
    }
}

/// A bounded set of threads that run jobs of one kind.
pub(crate) struct Pool<J: Send + 'static> {
    shared: Arc<Shared<J>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    name: &'static str,
    max_threads: usize,
}

struct Shared<J> {
    queue: SegQueue<J>,
    sleepers: AtomicUsize,
    started: AtomicUsize,
    closed: AtomicBool,
    /// Wake-ups given and not yet taken.
    wakeups: Mutex<usize>,
    bell: Condvar,
    run: Box<dyn Fn(J) + Send + Sync>,
}

impl<J: Send + 'static> Pool<J> {
    /// A pool of one thread that grows to at most `max_threads`.
    pub(crate) fn new(name: &'static str, max_threads: usize, run: impl Fn(J) + Send + Sync + 'static) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: SegQueue::new(),
            sleepers: AtomicUsize::new(0),
            started: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            wakeups: Mutex::new(0),
            bell: Condvar::new(),
            run: Box::new(run),
        });
        let pool = Self { shared, threads: Mutex::new(Vec::new()), name, max_threads: max_threads.max(1) };
        pool.start_thread()?;
        Ok(pool)
    }

    /// Hands a job over. Never waits for a job to run.
    pub(crate) fn submit(&self, job: J) {
        let shared = &*self.shared;
        shared.queue.push(job);
        // AcqRel: a read-modify-write that pairs with the sleeper's (module head); adding 0 reads the newest value.
        if shared.sleepers.fetch_add(0, Ordering::AcqRel) > 0 && shared.wake_one() {
            return;
        }
        // Relaxed: a stale count starts a thread too few now, or is corrected under the lock of `threads`.
        if shared.started.load(Ordering::Relaxed) < self.max_threads
            && let Err(error) = self.start_thread()
        {
            tracing::warn!(%error, name = self.name, "no further I/O thread could be started; going on with those there are");
        }
    }

    fn start_thread(&self) -> std::io::Result<()> {
        let mut threads = lock(&self.threads);
        if threads.len() >= self.max_threads {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        let handle = thread::Builder::new().name(format!("{}-{}", self.name, threads.len())).spawn(move || shared.work())?;
        threads.push(handle);
        // Relaxed: a hint, see `submit`.
        self.shared.started.store(threads.len(), Ordering::Relaxed);
        Ok(())
    }
}

impl<J> Shared<J> {
    fn work(&self) {
        loop {
            // Acquire: pairs with the Release of `drop`; whoever sees it stops taking jobs.
            while !self.closed.load(Ordering::Acquire)
                && let Some(job) = self.queue.pop()
            {
                if catch_unwind(AssertUnwindSafe(|| (self.run)(job))).is_err() {
                    tracing::error!("an I/O job panicked");
                }
            }
            if !self.sleep() {
                return;
            }
        }
    }

    /// Sleeps until there may be work. False: the pool is closed.
    fn sleep(&self) -> bool {
        let mut wakeups = lock(&self.wakeups);
        // AcqRel: see the module head.
        self.sleepers.fetch_add(1, Ordering::AcqRel);
        // Acquire: pairs with the Release of `drop`, which sets it under the lock: it cannot slip in before the wait.
        let closed = || self.closed.load(Ordering::Acquire);
        if !closed() && !self.queue.is_empty() {
            // Relaxed: taken back under the lock that `wake_one` holds to trust the count.
            self.sleepers.fetch_sub(1, Ordering::Relaxed);
            return true;
        }
        while *wakeups == 0 && !closed() {
            wakeups = self.bell.wait(wakeups).unwrap_or_else(PoisonError::into_inner);
        }
        *wakeups = wakeups.saturating_sub(1);
        !closed()
    }

    /// Wakes one sleeper, if there is one that nobody woke yet.
    fn wake_one(&self) -> bool {
        let mut wakeups = lock(&self.wakeups);
        // Relaxed, twice: `sleepers` only goes down under this lock, and what it guards was ordered by `submit`.
        if self.sleepers.load(Ordering::Relaxed) == 0 {
            return false;
        }
        self.sleepers.fetch_sub(1, Ordering::Relaxed);
        *wakeups += 1;
        self.bell.notify_one();
        true
    }

    fn drop_queued(&self) {
        while let Some(job) = self.queue.pop() {
            drop(job);
        }
    }
}

impl<J: Send + 'static> Drop for Pool<J> {
    fn drop(&mut self) {
        {
            let _wakeups = lock(&self.shared.wakeups);
            // Release: pairs with the Acquire loads of `work`.
            self.shared.closed.store(true, Ordering::Release);
            self.shared.bell.notify_all();
        }
        // Queued jobs are answered now (their replies say `Cancelled` when dropped); the running ones end by themselves.
        self.shared.drop_queued();
        for handle in lock(&self.threads).drain(..) {
            join(handle);
        }
        self.shared.drop_queued();
    }
}

impl<J: Send + 'static> std::fmt::Debug for Pool<J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("name", &self.name).field("max_threads", &self.max_threads).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn every_job_runs_once_and_threads_stay_bounded() {
        let (sender, receiver) = mpsc::channel();
        let pool = Pool::new("test-pool", 3, move |job: u32| sender.send((job, thread::current().id())).unwrap()).unwrap();
        thread::scope(|scope| {
            for part in 0..4 {
                let pool = &pool;
                scope.spawn(move || (0..1000).for_each(|job| pool.submit(part * 1000 + job)));
            }
        });
        let mut answers: Vec<_> = receiver.iter().take(4000).collect();
        answers.sort_by_key(|(job, _)| *job);
        assert!(answers.iter().map(|(job, _)| *job).eq(0..4000));
        let threads: std::collections::HashSet<_> = answers.iter().map(|(_, thread)| *thread).collect();
        assert!(threads.len() <= 3, "{} threads", threads.len());
    }

    #[test]
    fn a_panicking_job_does_not_take_its_thread_along() {
        let (sender, receiver) = mpsc::channel();
        let pool =
            Pool::new("test-pool", 1, move |job: u32| if job == 0 { panic!("on purpose") } else { sender.send(job).unwrap() }).unwrap();
        pool.submit(0);
        pool.submit(7);
        assert_eq!(receiver.recv(), Ok(7));
    }

    #[test]
    fn jobs_that_wait_when_the_pool_is_dropped_are_dropped_too() {
        let (started, wait_for_start) = mpsc::channel();
        let (release, gate) = mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let pool = Pool::new("test-pool", 1, move |_job: Arc<()>| {
            started.send(()).unwrap();
            let _ = lock(&gate).recv();
        })
        .unwrap();
        let job = Arc::new(());
        (0..5).for_each(|_| pool.submit(Arc::clone(&job)));
        wait_for_start.recv().unwrap();
        drop(release);
        drop(pool);
        assert_eq!(Arc::strong_count(&job), 1);
    }
}

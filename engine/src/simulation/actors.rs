//! The loader's own threads, each as an actor that takes one step at a time.

use std::sync::Arc;
use std::time::Duration;

use longshore_core::bell::{Bell, Ticket};

use crate::backend::host::HostWorker;
use crate::prefetch::Prefetcher;
use crate::runtime::Shared;
use crate::wave::Engine;
use crate::wave::task::Task;
use crate::wave::workers::TaskQueue;

/// Sleeps where a thread would: until its bell rings after it last listened.
pub(super) struct Sleeper {
    bell: Arc<Bell>,
    asleep: Option<Ticket>,
}

impl Sleeper {
    pub(super) fn new(bell: &Arc<Bell>) -> Self {
        Self { bell: bell.clone(), asleep: None }
    }

    pub(super) fn is_awake(&mut self) -> bool {
        if let Some(ticket) = self.asleep
            && self.bell.wait_timeout(ticket, Duration::ZERO)
        {
            self.asleep = None;
        }
        self.asleep.is_none()
    }

    /// One turn of a thread's loop: listens, steps, and falls asleep if there was nothing to do.
    pub(super) fn turn(&mut self, step: impl FnOnce() -> bool) -> bool {
        let ticket = self.bell.listen();
        let worked = step();
        if !worked {
            self.asleep = Some(ticket);
        }
        worked
    }
}

/// A thread of the loader that loops over `step`.
pub(super) struct Looper<T> {
    pub(super) sleeper: Sleeper,
    /// `None` once its loop has ended.
    pub(super) body: Option<T>,
}

impl<T> Looper<T> {
    pub(super) fn new(bell: &Arc<Bell>, body: T) -> Self {
        Self { sleeper: Sleeper::new(bell), body: Some(body) }
    }

    pub(super) fn can_act(&mut self) -> bool {
        self.body.is_some() && self.sleeper.is_awake()
    }

    fn turn(&mut self, shared: &Shared, step: impl FnOnce(&mut T) -> bool) -> bool {
        if shared.is_closed() {
            self.body = None;
            return true;
        }
        let body = self.body.as_mut().expect("a loop that has not ended");
        self.sleeper.turn(|| step(body))
    }
}

impl Looper<Prefetcher> {
    pub(super) fn act(&mut self, shared: &Shared) -> bool {
        self.turn(shared, Prefetcher::step)
    }
}

impl Looper<Engine> {
    pub(super) fn act(&mut self, shared: &Shared) -> bool {
        self.turn(shared, Engine::step)
    }
}

/// The worker pool: any of its workers takes the next task to its end.
pub(super) struct Pool {
    pub(super) queue: Arc<TaskQueue<Task>>,
    pub(super) workers: Vec<HostWorker>,
}

impl Pool {
    pub(super) fn can_act(&self) -> bool {
        !self.queue.is_empty()
    }

    pub(super) fn act(&mut self, worker: usize) {
        let task = self.queue.pop().expect("the queue is neither empty nor closed");
        self.workers[worker].run(task);
    }
}

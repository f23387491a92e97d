//! The worker pool: tasks in, completions out. Tasks that hold staged bytes go first.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_queue::SegQueue;
use longshore_core::semaphore::Semaphore;

/// The queue that workers sleep on. Lock-free; one futex for the sleepers.
#[derive(Debug)]
pub(crate) struct TaskQueue<T> {
    urgent: SegQueue<T>,
    normal: SegQueue<T>,
    /// One permit per queued task.
    tasks: Semaphore,
}

impl<T> TaskQueue<T> {
    pub(crate) fn new() -> Self {
        Self { urgent: SegQueue::new(), normal: SegQueue::new(), tasks: Semaphore::new(0) }
    }

    pub(crate) fn push(&self, task: T) {
        self.normal.push(task);
        self.tasks.release(1);
    }

    /// Ahead of everything pushed normally: its bytes occupy staging memory.
    pub(crate) fn push_urgent(&self, task: T) {
        self.urgent.push(task);
        self.tasks.release(1);
    }

    /// The next task; waits for one. `None` once the queue is closed and empty.
    pub(crate) fn pop(&self) -> Option<T> {
        // A permit stands for a task that was pushed before it, so one of the two queues has it.
        self.tasks.acquire().then(|| self.urgent.pop().or_else(|| self.normal.pop())).flatten()
    }

    /// Whether a pop would wait.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.normal.is_empty()
    }

    pub(crate) fn close(&self) {
        self.tasks.close();
    }
}

/// Threads that run tasks until the queue is closed.
#[derive(Debug)]
pub(crate) struct Workers<T> {
    queue: Arc<TaskQueue<T>>,
    threads: Vec<JoinHandle<()>>,
}

impl<T: Send + 'static> Workers<T> {
    /// Starts `count` threads; `body` makes each thread's function, which is called with every task.
    ///
    /// # Errors
    /// The first thread that could not be started; those before it are stopped again.
    pub(crate) fn start<F>(queue: Arc<TaskQueue<T>>, count: usize, mut body: impl FnMut(usize) -> F) -> std::io::Result<Self>
    where
        F: FnMut(T) + Send + 'static,
    {
        let mut workers = Self { queue: queue.clone(), threads: Vec::with_capacity(count) };
        for number in 0..count {
            let (queue, mut run) = (queue.clone(), body(number));
            let thread = std::thread::Builder::new().name(format!("longshore-work-{number}"));
            workers.threads.push(thread.spawn(move || {
                while let Some(task) = queue.pop() {
                    run(task);
                }
            })?);
        }
        Ok(workers)
    }
}

impl<T> Drop for Workers<T> {
    /// Tasks still queued are run to their end by the worker that takes them: each looks at the loader's closed flag first.
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

//! Processor time of one thread: what others on the machine do shows in it only through the caches.

use std::sync::Barrier;
use std::time::Duration;

/// The processor time that the calling thread has used.
#[must_use]
pub fn thread_time() -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec; the clock exists on every Linux.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut now) };
    assert_eq!(answer, 0, "the thread's clock cannot be read");
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Nanoseconds of processor time per operation, `ops` of which `work` does.
pub fn per_op(ops: usize, work: impl FnOnce()) -> f64 {
    let begun = thread_time();
    work();
    (thread_time() - begun).as_nanos() as f64 / ops as f64
}

/// Runs `work` on so many threads, which set up, meet at the barrier and time themselves. Answers their mean.
pub fn parallel(threads: usize, work: impl Fn(usize, &Barrier) -> f64 + Sync) -> f64 {
    let barrier = Barrier::new(threads);
    if threads == 1 {
        return work(0, &barrier);
    }
    std::thread::scope(|scope| {
        let (work, barrier) = (&work, &barrier);
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread, barrier))).collect();
        let count = threads.len() as f64;
        threads.into_iter().map(|thread| thread.join().expect("a measuring thread panicked")).sum::<f64>() / count
    })
}

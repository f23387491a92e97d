//! Wave slots: the fixed set of units that I/O and decode are bounded by.
//!
//! ```text
//! Free ──reserve──▶ Reserved ──commit──▶ Running ──last task done──▶ Free
//!                      └──roll back──▶ Free
//! ```
//! Reservation is a move-only type: committing or rolling back twice does not compile (C44). `Running` stands for Reading, Staged,
//! Decoding and Assembling: on the host each task of the wave passes through them by itself while its bytes are warm.

/// Bounds of one wave. What a wave reserves and what admits a chunk to it are both [`Limits::admits`] (C43).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Stored bytes in flight.
    pub(crate) staged_bytes: u64,
    /// Decoded bytes in flight.
    pub(crate) decoded_bytes: u64,
    /// Chunks.
    pub(crate) chunks: u64,
}

/// What a wave holds, or would.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) staged_bytes: u64,
    pub(crate) decoded_bytes: u64,
    pub(crate) chunks: u64,
}

impl Reserved {
    pub(crate) fn is_empty(&self) -> bool {
        self.tasks == 0
    }
}

impl Load {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            staged_bytes: self.staged_bytes.saturating_add(other.staged_bytes),
            decoded_bytes: self.decoded_bytes.saturating_add(other.decoded_bytes),
            chunks: self.chunks.saturating_add(other.chunks),
        }
    }
}

impl Limits {
    /// Whether a wave that holds `held` takes `more`. An empty wave takes anything: one task too large for every wave goes alone.
    pub(crate) fn admits(&self, held: Load, more: Load) -> bool {
        let sum = held.plus(more);
        held == Load::default()
            || (sum.staged_bytes <= self.staged_bytes && sum.decoded_bytes <= self.decoded_bytes && sum.chunks <= self.chunks)
    }
}

/// The slots. Owned by the engine thread.
#[derive(Debug)]
pub(crate) struct WavePool {
    limits: Limits,
    /// Tasks outstanding per slot; 0 is free.
    running: Vec<usize>,
}

/// A slot that is being filled. Commit it or roll it back, once.
#[must_use = "a reservation holds its slot until it is committed or rolled back"]
#[derive(Debug)]
pub(crate) struct Reserved {
    slot: usize,
    load: Load,
    tasks: usize,
}

/// Names the wave a task belongs to. One per task; handing it in retires the task.
#[derive(Debug)]
pub(crate) struct TaskOfWave(usize);

impl WavePool {
    pub(crate) fn new(slots: usize, limits: Limits) -> Self {
        Self { limits, running: vec![0; slots] }
    }

    /// A free slot to fill, if there is one.
    pub(crate) fn reserve(&mut self) -> Option<Reserved> {
        let slot = self.running.iter().position(|&tasks| tasks == 0)?;
        self.running[slot] = RESERVED;
        Some(Reserved { slot, load: Load::default(), tasks: 0 })
    }

    /// Takes one more task into a reservation, if the limits admit it.
    pub(crate) fn admit(&self, wave: &mut Reserved, more: Load) -> Option<TaskOfWave> {
        if !self.limits.admits(wave.load, more) {
            return None;
        }
        wave.load = wave.load.plus(more);
        wave.tasks += 1;
        Some(TaskOfWave(wave.slot))
    }

    /// Starts the wave: its tasks are on their way.
    pub(crate) fn commit(&mut self, wave: Reserved) {
        self.running[wave.slot] = wave.tasks;
    }

    /// Gives an empty reservation back.
    pub(crate) fn roll_back(&mut self, wave: Reserved) {
        assert_eq!(wave.tasks, 0, "a wave with tasks is committed");
        self.running[wave.slot] = 0;
    }

    /// A task of a running wave is done.
    pub(crate) fn retire(&mut self, task: TaskOfWave) {
        let tasks = &mut self.running[task.0];
        assert!((1..RESERVED).contains(tasks), "a task belongs to a running wave");
        *tasks -= 1;
    }

    /// True when nothing is in flight.
    #[cfg(test)]
    fn is_idle(&self) -> bool {
        self.running.iter().all(|&tasks| tasks == 0)
    }
}

const RESERVED: usize = usize::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { staged_bytes: 100, decoded_bytes: 1000, chunks: 4 };

    fn load(staged_bytes: u64) -> Load {
        Load { staged_bytes, decoded_bytes: 0, chunks: 1 }
    }

    /// C43: a wave takes what fits, and nothing beyond any one limit.
    #[test]
    fn c43_every_limit_admits_up_to_itself() {
        let held = Load { staged_bytes: 60, decoded_bytes: 600, chunks: 3 };
        assert!(LIMITS.admits(held, Load { staged_bytes: 40, decoded_bytes: 400, chunks: 1 }));
        for more in [
            Load { staged_bytes: 41, ..Load::default() },
            Load { decoded_bytes: 401, ..Load::default() },
            Load { chunks: 2, ..Load::default() },
            Load { staged_bytes: u64::MAX, ..Load::default() },
        ] {
            assert!(!LIMITS.admits(held, more), "{more:?}");
        }
        assert!(LIMITS.admits(Load::default(), load(5000)), "too large for any wave: alone in one");
    }

    /// C44: a slot is free, reserved or running; tasks retire one by one and free it with the last.
    #[test]
    fn c44_a_slot_is_freed_by_its_last_task() {
        let mut pool = WavePool::new(2, LIMITS);
        let mut first = pool.reserve().unwrap();
        let second = pool.reserve().unwrap();
        assert!(pool.reserve().is_none());
        pool.roll_back(second);
        let tasks: Vec<_> = (0..2).map(|_| pool.admit(&mut first, load(50)).unwrap()).collect();
        assert!(pool.admit(&mut first, load(1)).is_none());
        pool.commit(first);
        assert!(!pool.is_idle());
        for task in tasks {
            pool.retire(task);
        }
        assert!(pool.is_idle());
    }

    #[test]
    #[should_panic(expected = "a wave with tasks is committed")]
    fn c44_a_wave_with_tasks_cannot_be_rolled_back() {
        let mut pool = WavePool::new(1, LIMITS);
        let mut wave = pool.reserve().unwrap();
        let _task = pool.admit(&mut wave, load(1));
        pool.roll_back(wave);
    }
}

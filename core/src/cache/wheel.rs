//! The order of eviction: a wheel of lists by batch, and the dead. The owner's alone; no atomics.
//!
//! ```text
//!             place(last >= swept)                       sweep passes the batch, last below the mark
//!   [ out ] ----------------------> [ bucket last % W ] --------------------------------------------> [ dead, FIFO ]
//!      ^  '--- place(last < swept) ---------------------------------------------------------------------^    |
//!      |                              ^  '-- last rose meanwhile: to the bucket of its last                  |
//!      '-------- unlink --------------+---------------------------------------------------- evicted ---------'
//! ```
//!
//! Pins of the living do not touch the wheel. When room is needed, the sweep catches up with the watermark: it takes the buckets it
//! passes, in order, sends what is below the mark to the dead and hangs the rest where it belongs by now. Each slot
//! moves at most once per batch that pinned it, so the cost is O(evicted + re-pinned + batches passed), and the dead
//! leave in the order of their newest batch. A request that hits one of the dead revives it at once; a pin by a reader
//! is noticed when the slot's turn to be evicted comes. A batch further ahead than the wheel is wide shares a bucket with a nearer
//! one and is hung there again when that is swept.

const NIL: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Link {
    prev: u32,
    next: u32,
    list: u32,
}

#[derive(Clone, Copy)]
struct List {
    head: u32,
    tail: u32,
}

const EMPTY: List = List { head: NIL, tail: NIL };

pub(super) struct Wheel {
    links: Box<[Link]>,
    /// The buckets, and behind them the dead.
    lists: Box<[List]>,
    /// Every batch below this has been swept.
    swept: u64,
    /// Slots in buckets.
    hung: usize,
}

impl Wheel {
    /// A wheel for `slots`, with at least `buckets` buckets, that begins at batch `swept`.
    pub(super) fn new(slots: usize, buckets: usize, swept: u64) -> Self {
        let buckets = buckets.clamp(1, 1 << 20).next_power_of_two();
        Self {
            links: vec![Link { prev: NIL, next: NIL, list: NIL }; slots].into_boxed_slice(),
            lists: vec![EMPTY; buckets + 1].into_boxed_slice(),
            swept,
            hung: 0,
        }
    }

    /// Puts a slot that is in no list where its newest batch belongs.
    #[inline]
    pub(super) fn place(&mut self, slot: u32, last: u64) {
        if last < self.swept {
            self.append(self.dead(), slot);
        } else {
            self.append(last as u32 & (self.dead() - 1), slot);
            self.hung += 1;
        }
    }

    /// Every batch below this has been swept.
    #[inline]
    pub(super) fn swept(&self) -> u64 {
        self.swept
    }

    /// Whether a slot is in a list.
    #[inline]
    pub(super) fn hangs(&self, slot: u32) -> bool {
        self.links[slot as usize].list != NIL
    }

    /// Whether a slot is among the dead.
    #[inline]
    pub(super) fn is_dead(&self, slot: u32) -> bool {
        self.links[slot as usize].list == self.dead()
    }

    /// The slot to evict first, if any is dead.
    #[inline]
    pub(super) fn first_dead(&self) -> Option<u32> {
        let head = self.lists[self.dead() as usize].head;
        (head != NIL).then_some(head)
    }

    /// The slot behind this one in its list.
    #[inline]
    pub(super) fn after(&self, slot: u32) -> Option<u32> {
        let next = self.links[slot as usize].next;
        (next != NIL).then_some(next)
    }

    /// Brings a slot's links near.
    #[inline]
    pub(super) fn prefetch(&self, slot: u32) {
        super::prefetch::line(&raw const self.links[slot as usize]);
    }

    /// Takes a slot out of its list.
    #[inline]
    pub(super) fn unlink(&mut self, slot: u32) {
        let Link { prev, next, list } = self.links[slot as usize];
        debug_assert_ne!(list, NIL, "slot {slot} is in no list");
        match prev {
            NIL => self.lists[list as usize].head = next,
            prev => self.links[prev as usize].next = next,
        }
        match next {
            NIL => self.lists[list as usize].tail = prev,
            next => self.links[next as usize].prev = prev,
        }
        self.links[slot as usize] = Link { prev: NIL, next: NIL, list: NIL };
        if list != self.dead() {
            self.hung -= 1;
        }
    }

    /// Catches up with the watermark. Answers whether there was anything to catch up with.
    pub(super) fn sweep(&mut self, watermark: u64, last: impl Fn(u32) -> u64) -> bool {
        if watermark <= self.swept {
            return false;
        }
        if watermark - self.swept >= u64::from(self.dead()) && self.hung > 0 {
            self.resort(watermark, last);
            return true;
        }
        while self.swept < watermark && self.hung > 0 {
            let bucket = self.swept as u32 & (self.dead() - 1);
            self.swept += 1;
            let mut slot = self.detach(bucket);
            while slot != NIL {
                let next = self.links[slot as usize].next;
                self.hung -= 1;
                self.place(slot, last(slot));
                slot = next;
            }
        }
        self.swept = watermark;
        true
    }

    /// The mark jumped over the whole wheel: put everything in order at once instead of batch by batch.
    fn resort(&mut self, watermark: u64, last: impl Fn(u32) -> u64) {
        let mut slots = Vec::with_capacity(self.hung);
        for bucket in 0..self.dead() {
            let mut slot = self.detach(bucket);
            while slot != NIL {
                slots.push((last(slot), slot));
                slot = self.links[slot as usize].next;
            }
        }
        slots.sort_by_key(|(last, _)| *last);
        self.swept = watermark;
        self.hung = 0;
        slots.into_iter().for_each(|(last, slot)| self.place(slot, last));
    }

    /// Empties a bucket; answers its first slot, from which the links lead on. The caller counts them out.
    #[inline]
    fn detach(&mut self, bucket: u32) -> u32 {
        std::mem::replace(&mut self.lists[bucket as usize], EMPTY).head
    }

    #[inline]
    fn append(&mut self, list: u32, slot: u32) {
        let tail = std::mem::replace(&mut self.lists[list as usize].tail, slot);
        match tail {
            NIL => self.lists[list as usize].head = slot,
            tail => self.links[tail as usize].next = slot,
        }
        self.links[slot as usize] = Link { prev: tail, next: NIL, list };
    }

    /// The index of the list of the dead, which is also the number of buckets.
    #[inline]
    fn dead(&self) -> u32 {
        self.lists.len() as u32 - 1
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    fn dead_in_order(wheel: &mut Wheel) -> Vec<u32> {
        std::iter::from_fn(|| wheel.first_dead().inspect(|slot| wheel.unlink(*slot))).collect()
    }

    #[test]
    fn the_dead_leave_by_newest_batch_whatever_the_width() {
        // Slots hang at a batch of their own, are pinned on, and the mark moves by various strides.
        for buckets in [1, 2, 8, 64] {
            for stride in [1, 3, 100] {
                let hung_at: Vec<u64> = (0..40).map(|slot| slot * 7 % 23).collect();
                let last: Vec<u64> = hung_at.iter().enumerate().map(|(slot, at)| at + slot as u64 * 5 % 17).collect();
                let mut wheel = Wheel::new(40, buckets, 0);
                (0..40).for_each(|slot| wheel.place(slot, hung_at[slot as usize]));
                let mut left: Vec<u32> = Vec::new();
                let mut mark = 0;
                while mark < 60 {
                    mark += stride;
                    wheel.sweep(mark, |slot| last[slot as usize]);
                    let dead = dead_in_order(&mut wheel);
                    assert!(dead.iter().all(|slot| last[*slot as usize] < mark));
                    left.extend(dead);
                    let due = last.iter().filter(|last| **last < mark).count();
                    assert_eq!(left.len(), due, "buckets {buckets}, stride {stride}, mark {mark}");
                }
                let order: Vec<u64> = left.iter().map(|slot| last[*slot as usize]).collect();
                assert!(order.is_sorted(), "buckets {buckets}, stride {stride}: {order:?}");
                assert_eq!(wheel.hung, 0);
            }
        }
    }

    #[test]
    fn c10_catching_up_costs_what_is_evicted_and_not_what_is_cached() {
        for slots in [1_000, 100_000] {
            let mut wheel = Wheel::new(slots, 1024, 0);
            (0..slots as u32).for_each(|slot| wheel.place(slot, if slot < 3 { 0 } else { 500 }));
            let looks = std::cell::Cell::new(0);
            let last = |slot| {
                looks.set(looks.get() + 1);
                if slot < 3 { 0 } else { 500 }
            };
            assert!(wheel.sweep(400, last));
            assert_eq!(dead_in_order(&mut wheel), [0, 1, 2]);
            assert_eq!(looks.get(), 3, "of {slots}");
        }
    }

    #[test]
    fn the_revived_wait_for_their_new_batch() {
        let mut wheel = Wheel::new(3, 8, 0);
        (0..3).for_each(|slot| wheel.place(slot, 0));
        assert!(!wheel.is_dead(1));
        wheel.sweep(1, |_| 0);
        assert!(wheel.is_dead(1));
        wheel.unlink(1);
        wheel.place(1, 4);
        assert_eq!(dead_in_order(&mut wheel), [0, 2]);
        wheel.sweep(5, |_| 4);
        assert_eq!(dead_in_order(&mut wheel), [1]);
    }

    #[test]
    fn unlinking_anywhere_keeps_the_rest() {
        let mut wheel = Wheel::new(5, 4, 0);
        (0..5).for_each(|slot| wheel.place(slot, 1));
        [0, 2, 4].into_iter().for_each(|slot| wheel.unlink(slot));
        wheel.place(4, 0);
        assert!(wheel.sweep(2, |slot| u64::from(slot != 4)));
        assert_eq!(dead_in_order(&mut wheel), [4, 1, 3]);
        assert!(!wheel.sweep(2, |_| 0));
    }
}

//! The word of a cache slot: which incarnation, in which phase, pinned up to which batch.
//!
//! ```text
//! word = [generation:25 | phase:3 | last:36]
//!
//!           claim            publish (Ready / Failed)          try_retire, retire_now
//!   Free ----------> Loading ------------------------> Ready  -------------------------> Retired
//!    ^                  |                              Failed                              |
//!    |                  '------------- abandon: the owner is gone ------------------------>|
//!    '------------------------------- recycle: generation + 1 -----------------------------'
//! ```
//!
//! *Law: the value of the word never decreases.* Phases are numbered in this order, `last` only rises within a phase,
//! and recycling raises the generation above both. So there is no ABA, a stale expected value can only fail, and
//! `fetch_max` means "pin, unless the slot has moved on".
//!
//! | transition | who | operation | ordering, and what it pairs with |
//! |---|---|---|---|
//! | Free -> Loading(last = b) | owner | swap | Relaxed: handing the handle over publishes it |
//! | pin to batch b | anyone with a handle | load; nothing to do if last >= b, else fetch_max | Acquire / AcqRel: with the publication, so that who pinned sees the value |
//! | Loading -> Ready, Failed | the completion's holder | fetch_add of phases | Release: with loads and pins; AcqRel, since it goes on from the pins |
//! | Loading -> Retired | the same, if the owner is gone | fetch_add of phases | Release |
//! | Ready, Failed -> Retired | owner | compare-exchange from a value with last < watermark | AcqRel: the owner takes what the completer wrote |
//! | Retired -> Free, generation + 1 | owner | swap | Release: with loads, whose handle is stale from here on |
//!
//! Pin beats eviction or eviction beats pin, never both: both are read-modify-writes of one word. A pin by load alone
//! is safe, because a retired value would be larger than the one read, and nothing whose `last` reaches the watermark
//! is evicted. A slot may be reused at once: what a reader holds is the value, which [`crate::epoch`] keeps alive, and
//! the value says which incarnation it belongs to.
//!
//! Every transition is a read-modify-write, the owner's too, where a store would do: it costs nanoseconds per miss, the
//! word's modification order is one chain of read-modify-writes that needs no argument, and loom, which lets a late
//! `fetch_max` of a stale pin reorder with plain stores, can check it.
//!
//! Generations do not wrap. A slot that has used its last one stays Retired for good (33.5 M incarnations).

use crate::ordinal::{BatchId, ORDINAL_BITS};
use crate::sync::{AtomicU64, Ordering, mutant, weaken, weaken_to};

/// Bits of the generation.
pub const GENERATION_BITS: u32 = 25;

/// The greatest generation.
pub const MAX_GENERATION: u32 = (1 << GENERATION_BITS) - 1;

const PHASE_BITS: u32 = 3;
const PHASE_ONE: u64 = 1 << ORDINAL_BITS;
const GENERATION_ONE: u64 = 1 << (ORDINAL_BITS + PHASE_BITS);
const LAST: u64 = PHASE_ONE - 1;

const _: () = assert!(GENERATION_BITS + PHASE_BITS + ORDINAL_BITS == u64::BITS);

/// Names one incarnation of one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

const _: () = assert!(size_of::<Handle>() == 8);

impl Handle {
    /// The index of the slot: equal for entries that used one slot after another.
    #[must_use]
    pub fn slot(self) -> u32 {
        self.slot
    }

    /// The incarnation of the slot.
    #[must_use]
    pub fn generation(self) -> u32 {
        self.generation
    }
}

/// Where a slot is in its life. The order is the order of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Nobody's.
    Free = 0,
    /// Claimed; a completion is out.
    Loading = 1,
    /// Holds a value.
    Ready = 2,
    /// Holds an error.
    Failed = 3,
    /// Evicted, or left behind by its owner.
    Retired = 4,
}

/// A slot's word at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotWord(u64);

impl SlotWord {
    /// Packs the three fields.
    ///
    /// # Panics
    /// If the generation exceeds [`MAX_GENERATION`].
    #[inline]
    #[must_use]
    pub fn new(generation: u32, phase: Phase, last: BatchId) -> Self {
        assert!(generation <= MAX_GENERATION);
        Self(u64::from(generation) * GENERATION_ONE + phase as u64 * PHASE_ONE + last.get())
    }

    /// The incarnation.
    #[inline(always)]
    #[must_use]
    pub fn generation(self) -> u32 {
        (self.0 / GENERATION_ONE) as u32
    }

    /// The phase.
    #[inline(always)]
    #[must_use]
    pub fn phase(self) -> Phase {
        match self.0 / PHASE_ONE % (1 << PHASE_BITS) {
            0 => Phase::Free,
            1 => Phase::Loading,
            2 => Phase::Ready,
            3 => Phase::Failed,
            // The transitions below make no greater one.
            _ => Phase::Retired,
        }
    }

    /// The newest batch that pinned the entry.
    #[inline(always)]
    #[must_use]
    pub fn last(self) -> BatchId {
        BatchId::new(self.0 & LAST)
    }

    /// The word once `batch` has pinned it too.
    #[inline(always)]
    #[must_use]
    pub fn pinned_by(self, batch: BatchId) -> Self {
        Self((self.0 & !LAST) | (self.0 & LAST).max(batch.get()))
    }
}

/// The atomic word of one slot; one method per transition.
#[derive(Debug)]
pub struct Slot(AtomicU64);

impl Default for Slot {
    fn default() -> Self {
        Self::new()
    }
}

impl Slot {
    /// A free slot of generation 0.
    #[must_use]
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The word.
    #[inline]
    #[must_use]
    pub fn load(&self) -> SlotWord {
        // Acquire: pairs with the Release of whoever made the transition that is seen.
        SlotWord(self.0.load(weaken("slot-load-relaxed", Ordering::Acquire)))
    }

    /// Free -> Loading, pinned by `batch`. The owner's. Answers the generation.
    #[inline]
    #[must_use]
    pub fn claim(&self, batch: BatchId) -> u32 {
        // Relaxed: the owner wrote it last; others only try to pin, in vain.
        let word = SlotWord(self.0.load(Ordering::Relaxed));
        debug_assert_eq!(word.phase(), Phase::Free);
        // Relaxed: nobody knows this generation before its handle is handed over, which publishes it. A swap, not a
        // store: see the module's head.
        self.0.swap(SlotWord::new(word.generation(), Phase::Loading, batch).0, Ordering::Relaxed);
        word.generation()
    }

    /// Raises `last` to `batch`, whoever calls. Answers the word that was pinned, as it was before, or `None` if the
    /// incarnation is over.
    #[inline]
    #[must_use]
    pub fn pin(&self, generation: u32, batch: BatchId) -> Option<SlotWord> {
        let mut word = self.load();
        // Bounded: a further turn means that the phase rose, which it does at most twice before it is Retired.
        loop {
            let phase = word.phase();
            if word.generation() != generation || !matches!(phase, Phase::Loading | Phase::Ready | Phase::Failed) {
                return None;
            }
            if word.last() >= batch {
                return Some(word);
            }
            let pinned = SlotWord::new(generation, phase, batch).0;
            if mutant("slot-pin-store") {
                // Release, as below; the mutant overwrites what happened since the load.
                self.0.store(pinned, Ordering::Release);
                return Some(word);
            }
            // Acquire: pairs with the publication. Release: the eviction that follows has seen the pin.
            let order = weaken_to("slot-pin-no-acquire", Ordering::AcqRel, Ordering::Release);
            let before = SlotWord(self.0.fetch_max(pinned, order));
            if mutant("slot-pin-unchecked") || (before.generation() == generation && before.phase() == phase) {
                return Some(before);
            }
            word = before;
        }
    }

    /// Loading -> Ready or Failed. Wait-free, and keeps pins that come at the same time. The completion's holder's.
    #[inline]
    pub fn publish(&self, phase: Phase) {
        debug_assert!(matches!(phase, Phase::Ready | Phase::Failed));
        if mutant("slot-publish-store") {
            // Release, as below; the mutant forgets the pins since the load.
            let word = SlotWord(self.0.load(Ordering::Acquire));
            self.0.store(SlotWord::new(word.generation(), phase, word.last()).0, Ordering::Release);
            return;
        }
        self.leave_loading(phase, weaken_to("slot-publish-no-release", Ordering::AcqRel, Ordering::Acquire));
    }

    /// Loading -> Retired: the owner is gone, and so is the reason to publish. The completion's holder's.
    pub fn abandon(&self) {
        self.leave_loading(Phase::Retired, Ordering::AcqRel);
    }

    #[inline]
    fn leave_loading(&self, phase: Phase, order: Ordering) {
        let phases = phase as u64 - Phase::Loading as u64;
        // Release: pairs with the Acquire of loads and pins. Acquire: goes on from the pins so far.
        let before = SlotWord(self.0.fetch_add(phases * PHASE_ONE, order));
        debug_assert_eq!(before.phase(), Phase::Loading);
    }

    /// Ready or Failed -> Retired, if the newest batch that pinned the entry is below `watermark`. The owner's.
    ///
    /// # Errors
    /// Answers the word if it is pinned or in another phase.
    #[inline]
    pub fn try_retire(&self, watermark: BatchId) -> Result<(), SlotWord> {
        let mut word = self.load();
        // Bounded: a further turn means that `last` rose; it does so below the watermark only finitely often.
        loop {
            if !matches!(word.phase(), Phase::Ready | Phase::Failed) || word.last() >= watermark {
                return Err(word);
            }
            match self.retire_from(word) {
                Ok(()) => return Ok(()),
                Err(now) => word = now,
            }
        }
    }

    /// Ready or Failed -> Retired, pinned or not. Whoever calls; answers whether this call did it.
    #[must_use]
    pub fn retire_now(&self, generation: u32) -> bool {
        let mut word = self.load();
        // Bounded as `try_retire`: pins come from finitely many holders of handles.
        while word.generation() == generation && matches!(word.phase(), Phase::Ready | Phase::Failed) {
            match self.retire_from(word) {
                Ok(()) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    #[inline]
    fn retire_from(&self, word: SlotWord) -> Result<(), SlotWord> {
        let retired = SlotWord::new(word.generation(), Phase::Retired, word.last()).0;
        if mutant("slot-retire-store") {
            // Release, as below; the mutant evicts although a pin came in between.
            self.0.store(retired, Ordering::Release);
            return Ok(());
        }
        // Acquire: pairs with the publication, whose value is about to be taken. Release: who sees it retired sees
        // what the owner did before. Acquire on failure: the word is judged again.
        self.0.compare_exchange(word.0, retired, Ordering::AcqRel, Ordering::Acquire).map(|_| ()).map_err(SlotWord)
    }

    /// Retired -> Free of the next generation. The owner's. Answers false if generations up to `last_generation` are
    /// used up: the slot stays Retired for good.
    #[inline]
    #[must_use]
    pub fn recycle(&self, last_generation: u32) -> bool {
        // Relaxed: the owner wrote it last; others only try to pin, in vain.
        let word = SlotWord(self.0.load(Ordering::Relaxed));
        debug_assert_eq!(word.phase(), Phase::Retired);
        if word.generation() >= last_generation.min(MAX_GENERATION) {
            return false;
        }
        let next = if mutant("slot-recycle-same-generation") { word.generation() } else { word.generation() + 1 };
        // Release: pairs with the Acquire of loads, which find their handle stale. A swap: see the module's head.
        self.0.swap(SlotWord::new(next, Phase::Free, BatchId::ZERO).0, Ordering::Release);
        true
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const B: fn(u64) -> BatchId = BatchId::new;

    #[test]
    fn a_life_never_decreases_the_word() {
        let slot = Slot::new();
        let mut words = vec![slot.load()];
        for generation in 0..3 {
            assert_eq!(slot.claim(B(7)), generation);
            words.push(slot.load());
            assert_eq!(slot.pin(generation, B(9)), words.last().copied());
            words.push(slot.load());
            slot.publish(if generation == 1 { Phase::Failed } else { Phase::Ready });
            words.push(slot.load());
            assert_eq!(words.last().unwrap().last(), B(9), "publishing keeps the pin");
            assert_eq!(slot.try_retire(B(9)).unwrap_err().last(), B(9));
            assert_eq!(slot.try_retire(B(10)), Ok(()));
            words.push(slot.load());
            assert_eq!(slot.pin(generation, B(11)), None);
            assert!(slot.recycle(MAX_GENERATION));
            words.push(slot.load());
            assert_eq!(slot.pin(generation, B(11)), None);
            assert_eq!(slot.load(), *words.last().unwrap(), "a stale pin changes nothing");
        }
        assert!(words.is_sorted());
    }

    #[test]
    fn c04_a_worn_slot_stays_retired() {
        let slot = Slot::new();
        for generation in 0..=3 {
            assert_eq!(slot.claim(B(0)), generation);
            slot.publish(Phase::Ready);
            assert_eq!(slot.try_retire(B(1)), Ok(()));
            assert_eq!(slot.recycle(3), generation < 3);
        }
        assert_eq!(slot.load().phase(), Phase::Retired);
        (0..=3).for_each(|generation| assert_eq!(slot.pin(generation, B(5)), None));
    }

    #[test]
    fn abandoning_and_retiring_at_once() {
        let slot = Slot::new();
        let generation = slot.claim(B(5));
        assert!(!slot.retire_now(generation), "loading");
        slot.abandon();
        assert_eq!(slot.load().phase(), Phase::Retired);
        assert!(slot.recycle(MAX_GENERATION));
        let generation = slot.claim(B(5));
        slot.publish(Phase::Failed);
        assert!(!slot.retire_now(generation + 1));
        assert!(slot.retire_now(generation), "pinned, and retired all the same");
        assert!(!slot.retire_now(generation), "once");
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: proptest::test_runner::RngSeed::Fixed(36), failure_persistence: None, ..Default::default() })]

        #[test]
        fn the_fields_survive_packing(generation in 0..=MAX_GENERATION, last in 0..=BatchId::MAX.get(), phase in 0..5_usize) {
            let phase = [Phase::Free, Phase::Loading, Phase::Ready, Phase::Failed, Phase::Retired][phase];
            let word = SlotWord::new(generation, phase, B(last));
            prop_assert_eq!((word.generation(), word.phase(), word.last()), (generation, phase, B(last)));
        }

        #[test]
        fn words_order_as_their_fields(a in any::<(u32, u64)>(), b in any::<(u32, u64)>()) {
            let word = |(g, l): (u32, u64)| (g & MAX_GENERATION, l & LAST);
            let ((ga, la), (gb, lb)) = (word(a), word(b));
            let pack = |g, l| SlotWord::new(g, Phase::Ready, B(l));
            prop_assert_eq!(pack(ga, la).cmp(&pack(gb, lb)), (ga, la).cmp(&(gb, lb)));
        }
    }
}

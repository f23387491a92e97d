//! The owner's index: from a hash to the slots whose keys may have it. The owner's alone; no atomics.
//!
//! ```text
//! line = [ 8 tags | 8 slots ], one cache line, taken places first
//!
//! insert: the first line with room, from the home of the tag on       find: the lines from the home on, up to one with room
//! remove: the last of the line fills the gap; if the line was full, an entry that had to pass over it comes back
//! ```
//!
//! Keys lie in the slots' records, so a line is all that a look-up reads of the index before it compares the one key:
//! 16 bytes per slot, where a table that holds the keys leaves a key's room free for every entry that it does not have.
//! There are no tombstones: *every line between an entry and its home is full*, which is why a look-up may stop at the
//! first line that is not. Nothing is ever moved to another place of memory, and nothing allocates after construction.

/// Places of a line.
const PLACES: usize = 8;

/// Slots per line for which the index is laid out: one line in twenty is full then, and its overflow sits next door.
const SLOTS_PER_LINE: usize = 4;

/// A mark that no free place has.
const TAKEN: u32 = 1 << 31;
const FREE: u32 = 0;

/// What is kept of a hash: 31 bits of it, stirred, and a mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tag(u32);

impl Tag {
    /// The tag of a hash. The multiplication spreads what a weak hash has in a few bits over those that are kept.
    #[inline(always)]
    pub(super) fn new(hash: u64) -> Self {
        Self((hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32 | TAKEN)
    }
}

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line {
    tags: [u32; PLACES],
    slots: [u32; PLACES],
}

const _: () = assert!(size_of::<Line>() == 64);

impl Line {
    const EMPTY: Self = Self { tags: [FREE; PLACES], slots: [0; PLACES] };

    /// The places whose tag is this, a bit for each.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn places(&self, tag: u32) -> u32 {
        use std::arch::x86_64::*;
        let tags: *const __m128i = self.tags.as_ptr().cast();
        // SAFETY: every x86-64 has SSE2. The eight tags are two vectors, and a line is aligned to more than a vector is.
        unsafe {
            let tag = _mm_set1_epi32(tag as i32);
            let (low, high) = (_mm_cmpeq_epi32(_mm_load_si128(tags), tag), _mm_cmpeq_epi32(_mm_load_si128(tags.add(1)), tag));
            let bytes = _mm_packs_epi16(_mm_packs_epi32(low, high), _mm_setzero_si128());
            _mm_movemask_epi8(bytes) as u32
        }
    }

    /// The places whose tag is this, a bit for each.
    #[cfg(not(target_arch = "x86_64"))]
    #[inline(always)]
    fn places(&self, tag: u32) -> u32 {
        self.tags.iter().enumerate().map(|(place, other)| u32::from(*other == tag) << place).sum()
    }

    #[inline(always)]
    fn is_full(&self) -> bool {
        self.tags[PLACES - 1] != FREE
    }

    #[inline(always)]
    fn len(&self) -> usize {
        (self.places(FREE) | 1 << PLACES).trailing_zeros() as usize
    }

    #[inline(always)]
    fn push(&mut self, tag: u32, slot: u32) {
        let place = self.len();
        (self.tags[place], self.slots[place]) = (tag, slot);
    }

    #[inline(always)]
    fn swap_remove(&mut self, place: usize) {
        let last = self.len() - 1;
        (self.tags[place], self.slots[place]) = (self.tags[last], self.slots[last]);
        self.tags[last] = FREE;
    }
}

/// A search for a tag that goes on from candidate to candidate.
pub(super) struct Search {
    tag: u32,
    at: usize,
    /// Of the line where it stands, those that have the tag and were not offered yet.
    places: u32,
}

pub(super) struct Index {
    lines: Box<[Line]>,
}

impl Index {
    /// An index with room for `slots`, and with lines to spare: some line is never full, which ends every search.
    pub(super) fn new(slots: usize) -> Self {
        Self { lines: vec![Line::EMPTY; slots / SLOTS_PER_LINE + 2].into_boxed_slice() }
    }

    /// Begins a search: where it stands after its first line, whose first candidate is nearly always the one.
    #[inline(always)]
    pub(super) fn begin(&self, tag: Tag) -> Search {
        let at = self.home(tag.0);
        Search { tag: tag.0, at, places: self.lines[at].places(tag.0) }
    }

    /// The next slot that has the tag.
    #[inline(always)]
    pub(super) fn next(&self, search: &mut Search) -> Option<u32> {
        // Bounded: some line is not full.
        while search.places == 0 {
            if !self.lines[search.at].is_full() {
                return None;
            }
            search.at = self.after(search.at);
            search.places = self.lines[search.at].places(search.tag);
        }
        self.candidate(search)
    }

    /// The same, but in the line where the search stands.
    #[inline(always)]
    pub(super) fn candidate(&self, search: &mut Search) -> Option<u32> {
        let place = search.places.trailing_zeros() as usize;
        search.places &= search.places.wrapping_sub(1);
        (place < PLACES).then(|| self.lines[search.at].slots[place])
    }

    /// Brings near the line where a search for this tag begins.
    #[inline(always)]
    pub(super) fn prefetch(&self, tag: Tag) {
        super::prefetch::line(&raw const self.lines[self.home(tag.0)]);
    }

    /// Adds a slot that is not there.
    pub(super) fn insert(&mut self, tag: Tag, slot: u32) {
        let mut at = self.home(tag.0);
        // Bounded: some line is not full.
        while self.lines[at].is_full() {
            at = self.after(at);
        }
        self.lines[at].push(tag.0, slot);
    }

    /// Takes a slot out. Answers whether it was there.
    pub(super) fn remove(&mut self, tag: Tag, slot: u32) -> bool {
        let mut at = self.home(tag.0);
        loop {
            let line = &self.lines[at];
            let mut places = line.places(tag.0);
            while places != 0 {
                let place = places.trailing_zeros() as usize;
                if line.slots[place % PLACES] == slot {
                    self.vacate(at, place);
                    return true;
                }
                places &= places - 1;
            }
            // Bounded: some line is not full.
            if !line.is_full() {
                return false;
            }
            at = self.after(at);
        }
    }

    /// Empties a place, and lets those that had to pass over its line come back, one after the other.
    fn vacate(&mut self, mut at: usize, mut place: usize) {
        // Bounded: each turn goes on to a later line, and stops at one that was not full.
        while {
            let was_full = self.lines[at].is_full();
            self.lines[at].swap_remove(place);
            was_full
        } {
            let Some((from, which)) = self.passed_over(at) else { return };
            let Line { tags, slots } = self.lines[from];
            self.lines[at].push(tags[which], slots[which]);
            (at, place) = (from, which);
        }
    }

    /// An entry of a later line whose home is this line or an earlier one.
    fn passed_over(&self, gap: usize) -> Option<(usize, usize)> {
        let mut at = self.after(gap);
        while at != gap {
            let line = &self.lines[at];
            let passed = |place: &usize| self.distance(self.home(line.tags[*place]), at) >= self.distance(gap, at);
            if let Some(place) = (0..line.len()).find(passed) {
                return Some((at, place));
            }
            if !line.is_full() {
                return None;
            }
            at = self.after(at);
        }
        None
    }

    #[inline(always)]
    fn home(&self, tag: u32) -> usize {
        ((u64::from(tag & !TAKEN) * self.lines.len() as u64) >> 31) as usize
    }

    #[inline(always)]
    fn after(&self, at: usize) -> usize {
        if at + 1 == self.lines.len() { 0 } else { at + 1 }
    }

    /// Steps from one line to another.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.lines.len() - from }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Index {
        /// Every line between an entry and its home is full, and the taken places of a line come first.
        fn validate(&self) -> usize {
            let mut entries = 0;
            for (at, line) in self.lines.iter().enumerate() {
                assert!(line.tags[line.len()..].iter().all(|tag| *tag == FREE), "a gap in line {at}");
                for tag in &line.tags[..line.len()] {
                    let mut between = self.home(*tag);
                    while between != at {
                        assert!(self.lines[between].is_full(), "line {between} is not full, yet line {at} has its overflow");
                        between = self.after(between);
                    }
                }
                entries += line.len();
            }
            entries
        }

        fn found(&self, tag: Tag) -> Vec<u32> {
            let mut search = self.begin(tag);
            let mut found: Vec<u32> = std::iter::from_fn(|| self.next(&mut search)).collect();
            found.sort_unstable();
            found
        }
    }

    /// Hashes that spread, that crowd into a few lines, and that are all the same.
    fn hash(kind: u8, slot: u32) -> u64 {
        match kind {
            0 => u64::from(slot),
            1 => u64::from(slot % 3),
            _ => 7,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: proptest::test_runner::RngSeed::Fixed(8), failure_persistence: None, ..Default::default() })]

        #[test]
        fn c11_it_holds_what_a_plain_set_holds(capacity in 1_usize..80, kind in 0_u8..3, steps in prop::collection::vec(any::<u32>(), 1..400)) {
            let mut index = Index::new(capacity);
            let mut there = std::collections::BTreeSet::new();
            for step in steps {
                let slot = step % capacity as u32;
                let tag = Tag::new(hash(kind, slot));
                if there.insert(slot) {
                    index.insert(tag, slot);
                } else {
                    there.remove(&slot);
                    prop_assert!(index.remove(tag, slot));
                    prop_assert!(!index.remove(tag, slot));
                }
                prop_assert_eq!(index.validate(), there.len());
                let expected: Vec<u32> = there.iter().copied().filter(|other| Tag::new(hash(kind, *other)) == tag).collect();
                prop_assert_eq!(index.found(tag), expected);
            }
        }
    }

    #[test]
    fn c11_every_slot_fits_whatever_the_hashes() {
        for capacity in [1, 2, 4, 5, 7, 8, 9, 40, 1000] {
            for kind in 0..3 {
                let mut index = Index::new(capacity);
                (0..capacity as u32).for_each(|slot| index.insert(Tag::new(hash(kind, slot)), slot));
                assert_eq!(index.validate(), capacity);
                for slot in 0..capacity as u32 {
                    assert!(index.found(Tag::new(hash(kind, slot))).contains(&slot));
                }
                (0..capacity as u32).for_each(|slot| assert!(index.remove(Tag::new(hash(kind, slot)), slot)));
                assert_eq!(index.validate(), 0);
            }
        }
    }
}

//! Keys of 64 bytes, their one hash, and streams of them: everybody looks up the same.

use std::cell::LazyCell;
use std::hash::{BuildHasher, Hash, Hasher};
use std::rc::Rc;
use xxhash_rust::xxh3::xxh3_64;

/// A key as long as a cache line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key(pub [u8; 64]);

impl Key {
    /// The key number `n`: distinct for distinct numbers, and no two alike at either end.
    #[must_use]
    pub fn new(n: u64) -> Self {
        let mut random = Random(n);
        let mut key = [0; 64];
        key.chunks_exact_mut(8).for_each(|word| word.copy_from_slice(&random.draw().to_le_bytes()));
        Self(key)
    }

    /// Its hash, as every table here computes it.
    #[inline(always)]
    #[must_use]
    pub fn hash64(&self) -> u64 {
        xxh3_64(&self.0)
    }
}

impl Hash for Key {
    #[inline(always)]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

/// Hashes what is written in one piece with XXH3.
#[derive(Clone, Copy, Default)]
pub struct Xxh3(u64);

impl Hasher for Xxh3 {
    #[inline(always)]
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64(bytes);
    }

    #[inline(always)]
    fn finish(&self) -> u64 {
        self.0
    }
}

impl BuildHasher for Xxh3 {
    type Hasher = Self;

    #[inline(always)]
    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.draw()) * n as u128) >> 64) as usize
    }

    /// A number in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The numbers below `n` in random order.
#[must_use]
pub fn shuffled(n: usize, seed: u64) -> Vec<u32> {
    let mut random = Random(seed);
    let mut all: Vec<u32> = (0..n as u32).collect();
    (1..n).rev().for_each(|i| all.swap(i, random.below(i + 1)));
    all
}

/// Keys to ask for from front to back, so that reading them costs no cache misses. They are made when they are needed.
#[derive(Clone)]
pub struct Stream(Rc<LazyCell<Rc<[Key]>, Make>>);

type Make = Box<dyn FnOnce() -> Rc<[Key]>>;

impl Stream {
    /// The keys of these numbers.
    pub fn new(numbers: impl FnOnce() -> Vec<u32> + 'static) -> Self {
        let make = || numbers().into_iter().map(|n| Key::new(u64::from(n))).collect();
        Self(Rc::new(LazyCell::new(Box::new(make))))
    }

    /// All of them.
    #[must_use]
    pub fn keys(&self) -> Rc<[Key]> {
        Rc::clone(&self.0)
    }
}

/// `len` numbers below `n` whose frequency falls as rank^-s, ranks spread over the numbers at random.
#[must_use]
pub fn zipf(n: usize, s: f64, len: usize, seed: u64) -> Vec<u32> {
    let mut total = 0.0;
    let sums: Vec<f64> = (1..=n)
        .map(|rank| {
            total += (rank as f64).powf(-s);
            total
        })
        .collect();
    let (number, mut random) = (shuffled(n, seed), Random(seed ^ 1));
    (0..len).map(|_| number[sums.partition_point(|sum| *sum < random.unit() * total).min(n - 1)]).collect()
}

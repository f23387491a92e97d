//! Seeded numbers for delays, faults, jitter and simulated runs: the same seed, the same run. Not for secrets.

use std::sync::atomic::{AtomicU64, Ordering};

/// A sequence of numbers that many threads may draw from (splitmix64: the state is a counter, so drawing is one add).
#[derive(Debug)]
pub(crate) struct Random(AtomicU64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// 64 random bits.
    pub(crate) fn bits(&self) -> u64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        // Relaxed: each draw gets its own number; nothing else depends on the order.
        let mut bits = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// Uniform in `[0, 1)`.
    pub(crate) fn unit(&self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Standard normal (Box-Muller).
    pub(crate) fn normal(&self) -> f64 {
        // 1 - unit is in (0, 1]: its logarithm is finite.
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_splitmix64() {
        // The published first outputs for the seed 1234567 (Vigna's splitmix64.c).
        let random = Random::new(1_234_567);
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423, 4_593_380_528_125_082_431];
        assert_eq!(std::array::from_fn(|_| random.bits()), expected);
    }

    #[test]
    fn normal_numbers_have_mean_0_and_deviation_1() {
        let random = Random::new(1);
        let draws: Vec<_> = (0..100_000).map(|_| random.normal()).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        // Five standard errors.
        assert!(mean.abs() < 5.0 / 316.0 && (variance - 1.0).abs() < 5.0 * 1.414 / 316.0, "{mean} {variance}");
    }
}

//! Random numbers without state: the n-th is computed, not reached.
//!
//! One draw is a pure function of `(seed, a, b)`, all arithmetic modulo 2^64:
//!
//! ```text
//! mix(z)              = splitmix64's finaliser
//! key(seed, a)        = mix(mix(seed + G) + a * G)                    with G = 0x9E3779B97F4A7C15
//! draw(seed, a, b, n) = (mix(key(seed, a) + (b + 1) * G) * n) >> 64   the product in 128 bits; in [0, n)
//! ```
//!
//! The scenario bench and its Python peers draw by the same rule. The bias of the multiply-shift is below n / 2^64.

/// The odd integer nearest 2^64 divided by the golden ratio: splitmix64's increment.
pub const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The finaliser of splitmix64.
pub const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A number in `[0, n)` (0 for `n` = 0), a pure function of its arguments.
pub const fn draw(seed: u64, a: u64, b: u64, n: u64) -> u64 {
    let key = mix(mix(seed.wrapping_add(GOLDEN)).wrapping_add(a.wrapping_mul(GOLDEN)));
    let bits = mix(key.wrapping_add(b.wrapping_add(1).wrapping_mul(GOLDEN)));
    ((bits as u128 * n as u128) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mixer_is_splitmix64() {
        // First outputs of splitmix64 seeded with 1234567, from its reference implementation (Vigna, prng.di.unimi.it).
        let expected = [6457827717110365317_u64, 3203168211198807973, 9817491932198370423];
        for (step, expected) in (1..).zip(expected) {
            assert_eq!(mix(1234567_u64.wrapping_add(GOLDEN.wrapping_mul(step))), expected);
        }
    }

    #[test]
    fn draws_stay_in_range_and_spread() {
        let mut counts = [0u32; 7];
        for a in 0..7000 {
            counts[draw(3, a, 0, 7) as usize] += 1;
        }
        // 1000 each, the standard deviation is 29.
        assert!(counts.iter().all(|&count| (850..1150).contains(&count)), "{counts:?}");
        assert_eq!((draw(1, 2, 3, 0), draw(1, 2, u64::MAX, 1)), (0, 0));
    }
}

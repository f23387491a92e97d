//! Samplers: endless or finite sequences of samples whose n-th member is computed, never reached.
//!
//! `sampler.get(n)` costs the same for every `n`, so to resume is to remember one number, and `w` ranks share a sequence
//! without talking: rank `r` takes numbers `r, r + w, r + 2w, ...`.

pub mod counter;
mod random;
mod tiles;
mod volume;

pub use random::{RandomCrops, Weighting};
pub use tiles::{Edge, Tiles};
pub use volume::Volume;

/// Which members of a sequence one of several equal workers takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    rank: u64,
    world: u64,
}

impl Share {
    const ALL: Self = Self { rank: 0, world: 1 };

    fn new(rank: u64, world: u64) -> Result<Self, String> {
        if world == 0 || rank >= world {
            return Err(format!("rank {rank} of {world}: the rank must lie in 0..{world}, the world must be at least 1"));
        }
        Ok(Self { rank, world })
    }

    /// Number, in the whole sequence, of this share's `n`-th member; `None` beyond 2^64.
    fn number(self, n: u64) -> Option<u64> {
        n.checked_mul(self.world)?.checked_add(self.rank)
    }

    /// Members of this share in a sequence of `total`.
    fn count(self, total: u64) -> u64 {
        total.saturating_sub(self.rank).div_ceil(self.world)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_partition_a_sequence() {
        for (world, total) in [(1, 5), (2, 5), (3, 7), (4, 3), (5, 0)] {
            let mut all: Vec<u64> = (0..world)
                .map(|rank| Share::new(rank, world).unwrap())
                .flat_map(|share| (0..share.count(total)).map(move |n| share.number(n).unwrap()))
                .collect();
            all.sort_unstable();
            assert_eq!(all, (0..total).collect::<Vec<_>>(), "world {world}");
        }
        assert!(Share::new(2, 2).is_err() && Share::new(0, 0).is_err());
    }
}

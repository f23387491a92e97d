//! Where the crops of a scenario stand: the same in every reader, in whatever order they are asked for.
//!
//! Every draw is [`counter::draw`](crate::sampler::counter::draw), a pure function of its arguments.
//!
//! *Random*: sample `s` reads array `draw(seed, s, 0, arrays)` and starts on axis `d` at `draw(seed, s, d + 1, shape[d] - sample[d] + 1)`.
//!
//! *Tiles*: an array has `shape[d] / sample[d]` tiles per axis; tiles of all arrays are numbered array first, then row-major.
//! Pass `p` visits them in the order of a Fisher-Yates shuffle: from the identity, for `i` from `tiles - 1` down to 1, swap `i`
//! with `draw(seed ^ 0x7469_6C65, p, i, i + 1)`. Sample `s` is tile `s % tiles` of pass `s / tiles`.
//!
//! `benches/peers/positions.py` is the same in Python; a test compares them.

use super::scenario::{Sampling, Scenario};
use crate::sampler::counter::draw;

const TILES_SALT: u64 = 0x7469_6C65;

/// One crop: which array, and the first element per axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Number of the array.
    pub array: usize,
    /// First element per axis.
    pub start: Vec<u64>,
}

/// Positions of samples `0..count` of a scenario.
pub fn positions(scenario: &Scenario, count: usize) -> Vec<Position> {
    match scenario.sampling {
        Sampling::Random => (0..count as u64).map(|sample| random(scenario, sample)).collect(),
        Sampling::Tiles => tiles(scenario, count),
    }
}

fn random(scenario: &Scenario, sample: u64) -> Position {
    let starts = scenario.arrays.shape.iter().zip(&scenario.sample_shape).zip(1..);
    Position {
        array: draw(scenario.seed, sample, 0, scenario.arrays.count as u64) as usize,
        start: starts.map(|((shape, extent), axis)| draw(scenario.seed, sample, axis, shape - extent + 1)).collect(),
    }
}

fn tiles(scenario: &Scenario, count: usize) -> Vec<Position> {
    let grid: Vec<u64> = scenario.arrays.shape.iter().zip(&scenario.sample_shape).map(|(shape, extent)| shape / extent).collect();
    let per_array: u64 = grid.iter().product();
    let total = per_array * scenario.arrays.count as u64;
    let mut out = Vec::with_capacity(count);
    for pass in 0.. {
        if out.len() == count {
            break;
        }
        let order = shuffled(total, scenario.seed ^ TILES_SALT, pass);
        let left = count - out.len();
        out.extend(order.into_iter().take(left).map(|tile| tile_position(scenario, &grid, per_array, tile)));
    }
    out
}

fn shuffled(n: u64, seed: u64, pass: u64) -> Vec<u64> {
    let mut order: Vec<u64> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i as usize, draw(seed, pass, i, i + 1) as usize);
    }
    order
}

fn tile_position(scenario: &Scenario, grid: &[u64], per_array: u64, tile: u64) -> Position {
    let mut rest = tile % per_array;
    let mut start = vec![0; grid.len()];
    for axis in (0..grid.len()).rev() {
        start[axis] = rest % grid[axis] * scenario.sample_shape[axis];
        rest /= grid[axis];
    }
    Position { array: (tile / per_array) as usize, start }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::path::Path;
    use std::process::Command;

    use super::*;

    fn scenario(name: &str) -> Scenario {
        Scenario::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../benches/scenarios/{name}.json"))).unwrap()
    }

    #[test]
    fn crops_lie_inside_and_cover_the_range() {
        let scenario = scenario("default");
        let crops = positions(&scenario, 20_000);
        assert!(crops.iter().all(|crop| crop.array < 8 && crop.start.iter().all(|start| *start <= 384)));
        assert!(crops.iter().any(|crop| crop.start[2] == 0) && crops.iter().any(|crop| crop.start[2] == 384));
        let mean = crops.iter().map(|crop| crop.start[0] as f64).sum::<f64>() / 20_000.0;
        // 192, the standard error is 111 / sqrt(20 000) = 0.8.
        assert!((mean - 192.0).abs() < 4.0, "mean {mean}");
    }

    #[test]
    fn a_pass_of_tiles_visits_each_once() {
        let scenario = scenario("disjoint");
        let crops = positions(&scenario, 1024);
        for pass in crops.chunks(512) {
            let distinct: HashSet<_> = pass.iter().map(|crop| (crop.array, crop.start.clone())).collect();
            assert_eq!(distinct.len(), 512);
        }
        assert_ne!(crops[..512], crops[512..]);
    }

    #[test]
    fn python_draws_the_same() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches");
        for name in ["default", "disjoint", "small-crops", "smoke"] {
            let output = Command::new("python3")
                .arg(root.join("peers/positions.py"))
                .arg(root.join(format!("scenarios/{name}.json")))
                .arg("1000")
                .output()
                .expect("python3 runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let theirs = String::from_utf8(output.stdout).unwrap();
            let ours: Vec<String> = positions(&scenario(name), 1000)
                .iter()
                .map(|crop| format!("{} {}", crop.array, crop.start.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")))
                .collect();
            assert_eq!(theirs.lines().collect::<Vec<_>>(), ours, "{name}");
        }
    }
}

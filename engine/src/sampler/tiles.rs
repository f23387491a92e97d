//! Crops on a regular grid: every array is walked once, tile by tile.

use super::{Share, Volume};
use crate::sample::Sample;
use crate::zarr::Axes;

/// What becomes of a tile that does not fit at the end of an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Edge {
    /// It is left out: only whole tiles.
    Drop,
    /// It reaches outside: the field's [`Outside`](crate::Outside) must say what is there.
    Fill,
    /// It is moved back until it ends with the axis, overlapping its neighbour.
    #[default]
    Shift,
}

/// A finite sequence of tiles: all of the first array in row-major order, then all of the next.
#[derive(Clone, Debug)]
pub struct Tiles {
    grids: Vec<Grid>,
    /// Per volume: tiles of it and of all before it.
    tiles_through: Vec<u64>,
    share: Share,
}

#[derive(Clone, Debug)]
struct Grid {
    volume: Volume,
    crop: Axes<u64>,
    stride: Axes<u64>,
    counts: Axes<u64>,
    edge: Edge,
}

impl Tiles {
    /// Tiles of shape `crop` every `stride` elements (`None`: side by side). A crop of fewer axes than an array takes the leading
    /// axes one element at a time.
    ///
    /// # Errors
    /// A sentence, if nothing could be tiled: no volumes, a stride of 0, a crop that an array cannot hold (with [`Edge::Shift`]),
    /// or 2^64 tiles and more.
    pub fn new(volumes: impl IntoIterator<Item = Volume>, crop: &[u64], stride: Option<&[u64]>, edge: Edge) -> Result<Self, String> {
        let grids = volumes.into_iter().map(|volume| Grid::new(volume, crop, stride, edge)).collect::<Result<Vec<_>, _>>()?;
        if grids.is_empty() {
            return Err("tiles need at least one array".into());
        }
        let mut through = 0u64;
        let mut tiles_through = Vec::with_capacity(grids.len());
        for grid in &grids {
            let tiles = grid.counts.iter().try_fold(1u64, |n, &count| n.checked_mul(count));
            through = tiles.and_then(|tiles| through.checked_add(tiles)).ok_or("more than 2^64 tiles: choose a larger stride")?;
            tiles_through.push(through);
        }
        Ok(Self { grids, tiles_through, share: Share::ALL })
    }

    /// Only the tiles of one of `world` equal workers: numbers `rank`, `rank + world`, ...
    ///
    /// # Errors
    /// A sentence, if `rank` is not below `world`.
    pub fn rank(mut self, rank: u64, world: u64) -> Result<Self, String> {
        self.share = Share::new(rank, world)?;
        Ok(self)
    }

    /// Tiles of this rank.
    pub fn len(&self) -> u64 {
        self.share.count(self.tiles_through.last().copied().unwrap_or(0))
    }

    /// True if this rank has no tiles.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tile `n` of this rank; `None` beyond the last.
    pub fn get(&self, n: u64) -> Option<Sample> {
        let number = self.share.number(n)?;
        let chosen = self.tiles_through.partition_point(|&through| through <= number);
        let grid = self.grids.get(chosen)?;
        let before = chosen.checked_sub(1).map_or(0, |previous| self.tiles_through[previous]);
        grid.volume.sample(grid.tile(number - before))
    }

    /// Tiles `n`, `n + 1`, ... of this rank.
    pub fn iter_from(&self, n: u64) -> impl Iterator<Item = Sample> + '_ {
        (n..).map_while(|n| self.get(n))
    }

    /// As [`Self::iter_from`], keeping the sampler inside.
    pub fn into_iter_from(self, n: u64) -> impl Iterator<Item = Sample> {
        (n..).map_while(move |n| self.get(n))
    }
}

impl Grid {
    fn new(volume: Volume, crop: &[u64], stride: Option<&[u64]>, edge: Edge) -> Result<Self, String> {
        let fitted = volume.fit(crop)?;
        let stride = match stride {
            None => fitted.clone(),
            Some(stride) if stride.len() == crop.len() => {
                volume.fit(stride).map_err(|_| format!("the stride {stride:?} must be 1 to 2^61 on each axis"))?
            }
            Some(stride) => return Err(format!("the stride {stride:?} has {} axes, the crop has {}", stride.len(), crop.len())),
        };
        let mut counts = Axes::new();
        for (axis, ((&shape, &extent), &step)) in volume.shape().iter().zip(&fitted).zip(&stride).enumerate() {
            if edge == Edge::Shift && extent > shape && shape > 0 {
                return Err(format!(
                    "{}: a tile of {extent} cannot be shifted into axis {axis}, which has {shape} elements: use edge fill or a smaller crop",
                    volume.name()
                ));
            }
            counts.push(tiles_along(shape, extent, step, edge));
        }
        Ok(Self { volume, crop: fitted, stride, counts, edge })
    }

    /// Box of the `number`-th tile, row-major.
    fn tile(&self, mut number: u64) -> Axes<(i64, i64)> {
        let mut axes: Axes<(i64, i64)> = Axes::from_elem((0, 0), self.counts.len());
        for axis in (0..self.counts.len()).rev() {
            let index = number % self.counts[axis];
            number /= self.counts[axis];
            let mut start = index * self.stride[axis];
            if self.edge == Edge::Shift {
                start = start.min(self.volume.shape()[axis] - self.crop[axis]);
            }
            axes[axis] = (start as i64, (start + self.crop[axis]) as i64);
        }
        axes
    }
}

/// Tiles along one axis. With `Shift` and `Fill` the last one is the first that reaches the end, or the last that starts inside.
fn tiles_along(shape: u64, extent: u64, stride: u64, edge: Edge) -> u64 {
    match edge {
        _ if shape == 0 => 0,
        Edge::Drop if extent > shape => 0,
        Edge::Drop => (shape - extent) / stride + 1,
        // Once a tile reaches the end, a further one would show nothing new; a stride beyond the crop leaves gaps on purpose.
        Edge::Shift | Edge::Fill => (shape.saturating_sub(extent).div_ceil(stride) + 1).min(shape.div_ceil(stride)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(tiles: &Tiles) -> Vec<Vec<i64>> {
        tiles.iter_from(0).map(|sample| sample.fields()[0].crop_box.axes().iter().map(|axis| axis.0).collect()).collect()
    }

    fn along(shape: u64, crop: u64, stride: u64, edge: Edge) -> Vec<i64> {
        starts(&Tiles::new([Volume::new("a", [shape])], &[crop], Some(&[stride]), edge).unwrap()).concat()
    }

    #[test]
    fn edges_do_what_they_say() {
        assert_eq!(along(10, 4, 4, Edge::Drop), [0, 4]);
        assert_eq!(along(10, 4, 4, Edge::Shift), [0, 4, 6]);
        assert_eq!(along(10, 4, 4, Edge::Fill), [0, 4, 8]);
        for edge in [Edge::Drop, Edge::Shift, Edge::Fill] {
            assert_eq!(along(12, 4, 4, edge), [0, 4, 8]);
            assert_eq!(along(8, 4, 2, edge), [0, 2, 4]);
            assert_eq!(along(9, 1, 4, edge), [0, 4, 8]);
        }
        assert_eq!(along(9, 4, 2, Edge::Shift), [0, 2, 4, 5]);
        assert_eq!(along(9, 4, 2, Edge::Fill), [0, 2, 4, 6]);
        assert_eq!(along(3, 4, 4, Edge::Fill), [0]);
        assert!(along(3, 4, 4, Edge::Drop).is_empty() && along(0, 4, 4, Edge::Shift).is_empty());
    }

    #[test]
    fn every_element_is_covered_when_nothing_is_dropped() {
        for shape in 1..20u64 {
            for crop in 1..=shape {
                for stride in 1..=crop {
                    for edge in [Edge::Shift, Edge::Fill] {
                        let mut seen = vec![false; shape as usize];
                        for start in along(shape, crop, stride, edge) {
                            assert!(start < shape as i64);
                            (start..start + crop as i64).for_each(|at| seen.get_mut(at as usize).into_iter().for_each(|seen| *seen = true));
                        }
                        assert!(seen.iter().all(|seen| *seen), "shape {shape} crop {crop} stride {stride} {edge:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn tiles_go_row_major_through_one_array_after_another() {
        let volumes = [Volume::new("a", [2, 4]), Volume::new("empty", [0, 4]), Volume::new("b", [2, 2])];
        let tiles = Tiles::new(volumes, &[1, 2], None, Edge::Drop).unwrap();
        assert_eq!(starts(&tiles), [[0, 0], [0, 2], [1, 0], [1, 2], [0, 0], [1, 0]]);
        assert_eq!(&*tiles.get(4).unwrap().fields()[0].uri, "b");
        assert_eq!((tiles.len(), tiles.get(6)), (6, None));
    }

    #[test]
    fn ranks_share_the_tiles() {
        let whole = Tiles::new([Volume::new("a", [7, 5])], &[2, 2], None, Edge::Shift).unwrap();
        let ranks: Vec<Tiles> = (0..5).map(|rank| whole.clone().rank(rank, 5).unwrap()).collect();
        assert_eq!(ranks.iter().map(Tiles::len).sum::<u64>(), whole.len());
        for n in 0..whole.len() {
            assert_eq!(whole.get(n), ranks[(n % 5) as usize].get(n / 5));
        }
        assert_eq!(whole.clone().into_iter_from(3).collect::<Vec<_>>(), whole.iter_from(0).skip(3).collect::<Vec<_>>());
        assert_eq!(ranks[4].get(u64::MAX), None);
    }

    #[test]
    fn leading_axes_are_walked_one_by_one() {
        let tiles = Tiles::new([Volume::new("a", [3, 4, 4])], &[4, 4], None, Edge::Drop).unwrap();
        assert_eq!(starts(&tiles), [[0, 0, 0], [1, 0, 0], [2, 0, 0]]);
    }

    #[test]
    fn what_cannot_work_is_said() {
        let volume = || [Volume::new("tiny", [3])];
        assert!(Tiles::new(volume(), &[4], None, Edge::Shift).unwrap_err().contains("axis 0"));
        assert!(Tiles::new(volume(), &[2], Some(&[0]), Edge::Drop).unwrap_err().contains("stride"));
        assert!(Tiles::new(volume(), &[2], Some(&[1, 1]), Edge::Drop).unwrap_err().contains("stride"));
        assert!(Tiles::new([], &[2], None, Edge::Drop).is_err());
        let huge = [Volume::new("a", [1 << 60, 1 << 60])];
        assert!(Tiles::new(huge, &[1, 1], None, Edge::Drop).unwrap_err().contains("2^64"));
    }
}

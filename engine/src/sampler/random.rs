//! Crops at uniformly random places.

use super::counter::draw;
use super::{Share, Volume};
use crate::sample::Sample;
use crate::zarr::Axes;

/// How often each array is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weighting {
    /// Every array equally often, whatever its size.
    #[default]
    Arrays,
    /// In proportion to its number of elements.
    Voxels,
}

/// An endless sequence of crops at random places: the array is drawn by [`Weighting`], then each start uniformly among those that
/// keep the crop inside.
///
/// The sequence is a pure function of seed, arrays and crop: sample `s` draws its array with `draw(seed, s, 0, ..)` and its start on
/// axis `d` with `draw(seed, s, d + 1, ..)` of [`counter`](super::counter).
#[derive(Clone, Debug)]
pub struct RandomCrops {
    volumes: Vec<Volume>,
    crops: Vec<Axes<u64>>,
    /// Per volume: elements of it and of all before it. Empty for [`Weighting::Arrays`].
    voxels_through: Vec<u64>,
    seed: u64,
    share: Share,
}

impl RandomCrops {
    /// Crops of shape `crop` (elements) out of `volumes`. A crop of fewer axes than an array takes one element of each leading axis.
    ///
    /// # Errors
    /// A sentence, if there are no volumes or one of them is smaller than the crop.
    pub fn new(volumes: impl IntoIterator<Item = Volume>, crop: &[u64], seed: u64) -> Result<Self, String> {
        let volumes: Vec<Volume> = volumes.into_iter().collect();
        if volumes.is_empty() {
            return Err("random crops need at least one array".into());
        }
        let crops = volumes.iter().map(|volume| fit_inside(volume, crop)).collect::<Result<_, _>>()?;
        Ok(Self { volumes, crops, voxels_through: Vec::new(), seed, share: Share::ALL })
    }

    /// How often each array is drawn. Default: each equally often.
    ///
    /// # Errors
    /// A sentence, if all arrays together have 2^64 elements or more.
    pub fn weighting(mut self, weighting: Weighting) -> Result<Self, String> {
        self.voxels_through.clear();
        if weighting == Weighting::Voxels {
            let mut through = 0u64;
            for volume in &self.volumes {
                let voxels = volume.shape().iter().try_fold(1u64, |n, &extent| n.checked_mul(extent));
                through = voxels
                    .and_then(|voxels| through.checked_add(voxels))
                    .ok_or("the arrays together have more than 2^64 elements: draw by arrays instead")?;
                self.voxels_through.push(through);
            }
        }
        Ok(self)
    }

    /// Only the samples of one of `world` equal workers: numbers `rank`, `rank + world`, ...
    ///
    /// # Errors
    /// A sentence, if `rank` is not below `world`.
    pub fn rank(mut self, rank: u64, world: u64) -> Result<Self, String> {
        self.share = Share::new(rank, world)?;
        Ok(self)
    }

    /// Sample `n` of this rank. Numbers beyond 2^64 / world wrap around.
    pub fn get(&self, n: u64) -> Sample {
        let number = n.wrapping_mul(self.share.world).wrapping_add(self.share.rank);
        let chosen = self.volume(number);
        let (volume, crop) = (&self.volumes[chosen], &self.crops[chosen]);
        let starts = volume.shape().iter().zip(crop).zip(1u64..);
        let axes = starts.map(|((&shape, &extent), axis)| {
            let start = draw(self.seed, number, axis, shape - extent + 1) as i64;
            (start, start + extent as i64)
        });
        volume.sample(axes.collect()).expect("extents and ranks were checked at construction")
    }

    /// Samples `n`, `n + 1`, ... of this rank, without end.
    pub fn iter_from(&self, n: u64) -> impl Iterator<Item = Sample> + '_ {
        (n..).map(|n| self.get(n))
    }

    /// As [`Self::iter_from`], keeping the sampler inside.
    pub fn into_iter_from(self, n: u64) -> impl Iterator<Item = Sample> {
        (n..).map(move |n| self.get(n))
    }

    fn volume(&self, number: u64) -> usize {
        match self.voxels_through.last() {
            None => draw(self.seed, number, 0, self.volumes.len() as u64) as usize,
            Some(&total) => {
                let voxel = draw(self.seed, number, 0, total);
                self.voxels_through.partition_point(|&through| through <= voxel)
            }
        }
    }
}

fn fit_inside(volume: &Volume, crop: &[u64]) -> Result<Axes<u64>, String> {
    let fitted = volume.fit(crop)?;
    match fitted.iter().zip(volume.shape()).position(|(crop, shape)| crop > shape) {
        None => Ok(fitted),
        Some(axis) => Err(format!(
            "{}: the crop {crop:?} does not fit into the shape {:?} (axis {axis}): choose a smaller crop",
            volume.name(),
            volume.shape()
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn axes(sample: &Sample) -> Vec<(i64, i64)> {
        sample.fields()[0].crop_box.axes().to_vec()
    }

    #[test]
    fn crops_lie_inside_and_reach_both_ends() {
        let sampler = RandomCrops::new([Volume::new("a", [10, 20])], &[4, 20], 7).unwrap();
        let starts: Vec<i64> = sampler.iter_from(0).take(500).map(|sample| axes(&sample)[0].0).collect();
        assert_eq!((*starts.iter().min().unwrap(), *starts.iter().max().unwrap()), (0, 6));
        assert!(sampler.iter_from(0).take(500).all(|sample| axes(&sample)[1] == (0, 20) && sample.fields()[0].crop_box.rank() == 2));
    }

    #[test]
    fn starts_follow_the_published_rule() {
        // By hand from the rule in `counter`, for array 1 of 2 and three axes.
        let volumes = [Volume::new("a", [64, 64, 64]), Volume::new("b", [64, 64, 64])];
        let sampler = RandomCrops::new(volumes, &[16, 8, 4], 99).unwrap();
        for n in 0..100u64 {
            let sample = sampler.get(n);
            let name = ["a", "b"][draw(99, n, 0, 2) as usize];
            assert_eq!(&*sample.fields()[0].uri, name);
            let starts = [draw(99, n, 1, 49), draw(99, n, 2, 57), draw(99, n, 3, 61)];
            assert_eq!(axes(&sample).iter().map(|axis| axis.0 as u64).collect::<Vec<_>>(), starts);
        }
    }

    #[test]
    fn ranks_interleave_into_the_whole_and_any_number_resumes() {
        let whole = RandomCrops::new([Volume::new("a", [100, 100])], &[3, 3], 5).unwrap();
        let ranks: Vec<RandomCrops> = (0..3).map(|rank| whole.clone().rank(rank, 3).unwrap()).collect();
        for n in 0..60u64 {
            assert_eq!(whole.get(n), ranks[(n % 3) as usize].get(n / 3));
        }
        let resumed: Vec<Sample> = whole.iter_from(40).take(5).collect();
        assert_eq!(resumed, whole.iter_from(0).skip(40).take(5).collect::<Vec<_>>());
        assert!(whole.rank(3, 3).is_err());
    }

    #[test]
    fn voxels_weigh_large_arrays_more() {
        let volumes = [Volume::new("small", [10, 10]), Volume::new("large", [30, 10])];
        let sampler = RandomCrops::new(volumes, &[2, 2], 11).unwrap();
        let count = |sampler: &RandomCrops| {
            let mut counts: HashMap<String, u32> = HashMap::new();
            sampler.iter_from(0).take(4000).for_each(|sample| *counts.entry(sample.fields()[0].uri.to_string()).or_default() += 1);
            counts["large"]
        };
        // 2000 and 3000 expected, standard deviations 32 and 27.
        assert!((1850..2150).contains(&count(&sampler)));
        assert!((2850..3150).contains(&count(&sampler.weighting(Weighting::Voxels).unwrap())));
    }

    #[test]
    fn missing_leading_axes_take_one_element_each() {
        let sampler = RandomCrops::new([Volume::new("a", [5, 2, 64, 64])], &[8, 8], 0).unwrap();
        let extents: Vec<u64> = sampler.get(3).fields()[0].crop_box.shape().collect();
        assert_eq!(extents, [1, 1, 8, 8]);
    }

    #[test]
    fn what_cannot_work_is_said() {
        let error = RandomCrops::new([Volume::new("tiny", [8, 4])], &[8, 8], 0).unwrap_err();
        assert!(error.contains("tiny") && error.contains("axis 1"), "{error}");
        assert!(RandomCrops::new([], &[1], 0).is_err());
        assert!(RandomCrops::new([Volume::new("a", [4])], &[0], 0).unwrap_err().contains("axis 0"));
        assert!(RandomCrops::new([Volume::new("a", [4])], &[1, 1], 0).is_err());
        assert!(RandomCrops::new([Volume::new("a", [u64::MAX])], &[1], 0).is_err());
        let huge = RandomCrops::new([Volume::new("a", [1 << 40, 1 << 40])], &[1, 1], 0).unwrap();
        assert!(huge.weighting(Weighting::Voxels).is_err());
    }

    #[test]
    fn fields_share_the_box() {
        let volume = Volume::with_fields([("image", "i.zarr"), ("label", "l.zarr")], [32, 32]);
        let sample = RandomCrops::new([volume], &[4, 4], 1).unwrap().get(0);
        assert_eq!(sample.fields()[0].crop_box, sample.fields()[1].crop_box);
        assert_eq!((&*sample.fields()[1].name, &*sample.fields()[1].uri), ("label", "l.zarr"));
    }
}

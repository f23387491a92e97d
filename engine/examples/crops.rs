//! Random crops out of some arrays, in batches: `cargo run --release --example crops -- a.zarr b.zarr`.

use longshore::inspect::read_metadata;
use longshore::sampler::{RandomCrops, Volume};
use longshore::{Dtype, Loader};

const CROP: [u64; 3] = [64, 64, 64];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut volumes = Vec::new();
    for uri in std::env::args().skip(1) {
        volumes.push(Volume::new(uri.as_str(), read_metadata(&uri)?.shape));
    }
    let sampler = RandomCrops::new(volumes, &CROP, 42)?;

    let mut loader = Loader::builder().crop(CROP, Dtype::F32).batch(16).lookahead(256).build()?;
    for batch in loader.batches(sampler.into_iter_from(0).take(1600)) {
        let batch = batch?;
        let elements: &[f32] = batch.as_slice()?;
        let mean = elements.iter().map(|&element| f64::from(element)).sum::<f64>() / elements.len() as f64;
        println!("batch {} of shape {:?}: mean {mean:.3}", batch.id(), batch.shape());
    }
    println!("{:?}", loader.stats().stage);
    Ok(())
}

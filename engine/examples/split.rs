//! Samples that come from one thread, batches that go to another: `cargo run --release --example split -- image.zarr label.zarr`.

use longshore::inspect::read_metadata;
use longshore::sampler::{Edge, Tiles, Volume};
use longshore::{Dtype, Field, Loader, PushError};

const CROP: [u64; 3] = [64, 64, 64];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(image), Some(label)) = (arguments.next(), arguments.next()) else {
        return Err("name an array of images and one of labels, of one shape".into());
    };
    let shape = read_metadata(&image)?.shape;
    let tiles = Tiles::new([Volume::with_fields([("image", image), ("label", label)], shape)], &CROP, None, Edge::Shift)?;

    // Labels keep their integer type, images become floats in [0, 1].
    let image = Field::new("image", CROP).dtype(Dtype::F32).scale_offset(1.0 / 65535.0, 0.0);
    let (mut push, mut pop) = Loader::builder().field(image).field(Field::new("label", CROP)).batch(4).build()?.split();

    let pusher = std::thread::spawn(move || {
        for sample in tiles.into_iter_from(0) {
            match push.push_blocking(sample) {
                Ok(_) => {}
                Err(PushError::Closed(_)) => return,
                Err(error) => panic!("the sampler and the loader disagree: {error}"),
            }
        }
        // Dropping the push end says that no more will come.
    });
    while let Some(batch) = pop.pop()? {
        let (image, label) = (&batch.tensors()[0], &batch.tensors()[1]);
        println!("batch {}: {image:?} and {label:?}", batch.id());
    }
    pusher.join().map_err(|_| "the pushing thread broke")?;
    Ok(())
}

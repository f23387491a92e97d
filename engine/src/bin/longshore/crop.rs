//! `longshore crop`: one box into a NumPy file.

use longshore::zarr::DataType;
use longshore::{Field, Loader, Sample};

use crate::args::Crop;
use crate::failure::Failure;
use crate::stream::{note_bfloat16, write_tensor};
use crate::style::To;

/// Memory that a loader for a single crop needs beside its buffers.
const SLACK_BYTES: u64 = 1 << 30;

pub fn run(arguments: &Crop) -> Result<(), Failure> {
    let field = Field::new("", arguments.crop_box.shape()).dtype(arguments.dtype).outside(arguments.outside);
    // The widest element is 16 bytes, and one buffer is all that is rendered.
    let crop_bytes = arguments.crop_box.shape().try_fold(16u64, |bytes, extent| bytes.checked_mul(extent)).unwrap_or(u64::MAX);
    let budget = crop_bytes.saturating_mul(2).saturating_add(SLACK_BYTES).min(i64::MAX as u64);
    let mut loader = Loader::builder().field(field).batch(1).buffers(1).lookahead(1).memory_budget(budget).build()?;
    let sample = Sample::new(arguments.uri.as_str(), arguments.crop_box.clone());
    let batch = loader.batches([sample]).next().ok_or_else(|| Failure::Failed("the loader delivered nothing".into()))??;
    let tensor = &batch.tensors()[0];
    if tensor.data_type() == DataType::BFloat16 {
        note_bfloat16();
    }
    write_tensor(&arguments.out, tensor, &tensor.shape()[1..])?;
    let shape = longshore::zarr::describe_shape(&arguments.crop_box.shape().collect::<Vec<_>>());
    eprintln!("{} {} {shape} in {}", To::Stderr.good("wrote"), tensor.data_type().name(), arguments.out.display());
    Ok(())
}

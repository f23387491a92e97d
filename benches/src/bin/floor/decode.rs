//! One worker: reads a chunk, decodes the part that is wanted, scatters it.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileExt;

use longshore_benches::positions::Position;
use longshore_benches::scenario::{Codec, Scenario};
use zstd_safe::DCtx;

use crate::blosc;
use crate::objects::{Objects, Stored};
use crate::plan::{Job, Overlap, overlap};
use crate::scatter::{Output, fill, scatter};

/// Buffers and contexts of one thread.
pub(crate) struct Worker {
    scenario: Scenario,
    parts: bool,
    encoded: Vec<u8>,
    decoded: Vec<u8>,
    scratch: blosc::Scratch,
    zstd: DCtx<'static>,
}

impl Worker {
    pub(crate) fn new(scenario: &Scenario, parts: bool) -> Self {
        let zstd = DCtx::create();
        Self { scenario: scenario.clone(), parts, encoded: Vec::new(), decoded: Vec::new(), scratch: blosc::Scratch::default(), zstd }
    }

    /// Decodes the chunk of `job` and scatters it into every crop that wants it.
    pub(crate) fn run(&mut self, job: &Job, crops: &[Position], objects: &Objects, output: Output) -> Result<(), String> {
        let arrays = &self.scenario.arrays;
        let dtype = arrays.dtypes[job.array % arrays.dtypes.len()];
        let codec = arrays.codecs[job.array % arrays.codecs.len()];
        let overlaps: Vec<Overlap> = job.crops.iter().map(|crop| overlap(&self.scenario, &job.chunk, &crops[*crop])).collect();
        let chunk_shape: Vec<usize> = arrays.chunk_shape.iter().map(|extent| *extent as usize).collect();
        let sample_shape: Vec<usize> = self.scenario.sample_shape.iter().map(|extent| *extent as usize).collect();
        let len = chunk_shape.iter().product::<usize>() * dtype.size();
        let wanted = if self.parts { wanted(&overlaps, &chunk_shape, dtype.size()) } else { 0..len };
        let stored = objects.stored(job.array, &job.chunk);
        let decoded = self.decode(codec, stored, len, wanted).map_err(|reason| format!("chunk {:?}: {reason}", job.chunk))?;
        for (crop, overlap) in job.crops.iter().zip(&overlaps) {
            match decoded {
                Some(decoded) => scatter(decoded, dtype, &chunk_shape, overlap, output, *crop, &sample_shape),
                None => fill(overlap, output, *crop, &sample_shape),
            }
        }
        Ok(())
    }

    fn decode<'a>(
        &'a mut self,
        codec: Codec,
        stored: Stored<'a>,
        len: usize,
        wanted: std::ops::Range<usize>,
    ) -> Result<Option<&'a [u8]>, String> {
        self.decoded.resize(len, 0);
        if codec == Codec::None
            && let Stored::Range { file, offset, .. } = stored
        {
            // Stored bytes are decoded bytes: read the wanted part where it belongs.
            let part = &mut self.decoded[wanted.clone()];
            file.read_exact_at(part, offset + wanted.start as u64).map_err(|error| error.to_string())?;
            return Ok(Some(&self.decoded));
        }
        let encoded = match stored {
            Stored::Missing => return Ok(None),
            Stored::Mapped(bytes) => bytes,
            Stored::Range { file, offset, len } => {
                self.encoded.resize(self.encoded.len().max(len), 0);
                file.read_exact_at(&mut self.encoded[..len], offset).map_err(|error| error.to_string())?;
                &self.encoded[..len]
            }
            Stored::Whole(path) => match File::open(path) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error.to_string()),
                Ok(mut file) => {
                    self.encoded.resize(self.encoded.len().max(2 * len + 4096), 0);
                    let read = file.read(&mut self.encoded).map_err(|error| error.to_string())?;
                    &self.encoded[..read]
                }
            },
        };
        match codec {
            Codec::None => return Ok(Some(encoded)),
            Codec::Zstd { .. } => {
                let written = self.zstd.decompress(&mut self.decoded[..], encoded).map_err(zstd_safe::get_error_name)?;
                if written != len {
                    return Err(format!("decodes to {written} bytes instead of {len}"));
                }
            }
            Codec::Blosc { .. } => blosc::decode(encoded, &mut self.decoded, wanted, &mut self.zstd, &mut self.scratch)?,
        }
        Ok(Some(&self.decoded))
    }
}

/// The contiguous byte range of the chunk that covers all overlaps.
fn wanted(overlaps: &[Overlap], shape: &[usize], size: usize) -> std::ops::Range<usize> {
    let at = |point: &dyn Fn(usize) -> usize| shape.iter().enumerate().fold(0, |at, (axis, extent)| at * extent + point(axis));
    let first = overlaps.iter().map(|part| at(&|axis| part.from[axis])).min().unwrap_or(0);
    let last = overlaps.iter().map(|part| at(&|axis| part.from[axis] + part.extent[axis] - 1)).max().unwrap_or(0);
    first * size..(last + 1) * size
}

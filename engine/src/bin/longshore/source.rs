//! Where the samples of a stream come from, and the fields they need.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use longshore::inspect::read_metadata;
use longshore::sampler::{RandomCrops, Tiles, Volume};
use longshore::samples_file::{SamplesFile, SamplesFileError};
use longshore::{Field, Sample};

use crate::args::Stream;
use crate::failure::Failure;
use crate::parse::FieldSpec;

/// A sequence of samples.
pub struct Source {
    pub samples: Box<dyn Iterator<Item = Sample>>,
    /// How many, where that is known.
    pub total: Option<u64>,
    /// What the loader must deliver.
    pub fields: Vec<Field>,
    /// Why the sequence ended early: look at it after the stream.
    pub broken: Broken,
}

/// An error in the middle of a samples file.
#[derive(Clone, Debug, Default)]
pub struct Broken(Rc<RefCell<Option<SamplesFileError>>>);

impl Broken {
    pub fn check(&self) -> Result<(), Failure> {
        match self.0.borrow_mut().take() {
            Some(error) => Err(Failure::Failed(error.to_string())),
            None => Ok(()),
        }
    }
}

impl Source {
    pub fn new(arguments: &Stream) -> Result<Self, Failure> {
        match &arguments.samples {
            Some(path) => from_file(arguments, path),
            None => from_arrays(arguments),
        }
    }
}

fn from_arrays(arguments: &Stream) -> Result<Source, Failure> {
    let Some(crop) = arguments.crop.as_ref().filter(|_| arguments.field.is_empty()) else {
        return Err(Failure::Usage("--field describes the fields of a --samples file; with --uri use --crop and --dtype".into()));
    };
    let volumes = arguments.uri.iter().map(|uri| volume(uri)).collect::<Result<Vec<_>, _>>()?;
    let (rank, world) = arguments.rank.unwrap_or((0, 1));
    let repeat = arguments.repeat as u64;
    let (samples, per_pass): (Box<dyn Iterator<Item = Sample>>, u64) = if let Some(count) = arguments.random {
        let sampler = RandomCrops::new(volumes, &crop.0, arguments.seed);
        let sampler = sampler.and_then(|sampler| sampler.weighting(arguments.weight.into())).and_then(|sampler| sampler.rank(rank, world));
        let sampler = sampler.map_err(Failure::Failed)?;
        (
            Box::new((0..repeat).flat_map(move |_| {
                (0..count).map({
                    let sampler = sampler.clone();
                    move |n| sampler.get(n)
                })
            })),
            count,
        )
    } else {
        let stride = arguments.stride.as_ref().map(|stride| stride.0.as_slice());
        let tiles = Tiles::new(volumes, &crop.0, stride, arguments.edge.into()).and_then(|tiles| tiles.rank(rank, world));
        let tiles = tiles.map_err(Failure::Failed)?;
        let count = tiles.len();
        (Box::new((0..repeat).flat_map(move |_| tiles.clone().into_iter_from(0))), count)
    };
    let fields = vec![field(arguments, None, "")?];
    Ok(Source { samples, total: per_pass.checked_mul(repeat), fields, broken: Broken::default() })
}

fn volume(uri: &str) -> Result<Volume, Failure> {
    let meta = read_metadata(uri).map_err(|cause| crate::inspect::refused(uri, &cause))?;
    Ok(Volume::new(uri, meta.shape))
}

fn from_file(arguments: &Stream, path: &Path) -> Result<Source, Failure> {
    let open = || SamplesFile::open(path).map_err(|error| Failure::Failed(error.to_string()));
    let first = match open()?.next() {
        Some(first) => first.map_err(|error| Failure::Failed(error.to_string()))?,
        None => return Err(Failure::Failed(format!("{}: there is no sample in it", path.display()))),
    };
    let mut fields = arguments.field.iter().map(|spec| field(arguments, Some(spec), &spec.name)).collect::<Result<Vec<_>, _>>()?;
    // A loader with one field may call it anything, so one description fits a file without names.
    let described = |name: &str| arguments.field.iter().any(|spec| spec.name == name || (name.is_empty() && arguments.field.len() == 1));
    for request in first.fields().iter().filter(|request| !described(&request.name)) {
        fields.push(field(arguments, None, &request.name)?);
    }
    let broken = Broken::default();
    let (rank, world) = arguments.rank.unwrap_or((0, 1));
    let world = usize::try_from(world).map_err(|_| Failure::Usage(format!("--rank: a world of {world} is too large")))?;
    // The file was just read: an error in a later pass is one in the middle, and is kept like it.
    let passes = (0..arguments.repeat).map({
        let (broken, path) = (broken.clone(), Arc::<Path>::from(path));
        move |_| pass(&path, &broken).skip(rank as usize).step_by(world)
    });
    // After an error no further pass is begun.
    let samples = passes.take_while({
        let broken = broken.clone();
        move |_| broken.0.borrow().is_none()
    });
    Ok(Source { samples: Box::new(samples.flatten()), total: None, fields, broken })
}

/// The samples of a file up to its end or its first error, which is kept in `broken`.
fn pass(path: &Path, broken: &Broken) -> impl Iterator<Item = Sample> + use<> {
    let kept = broken.clone();
    let keep = move |result: Result<Sample, SamplesFileError>| result.map_err(|error| *kept.0.borrow_mut() = Some(error)).ok();
    match SamplesFile::open(path) {
        Ok(file) => Some(file.map_while(keep)),
        Err(error) => {
            *broken.0.borrow_mut() = Some(error);
            None
        }
    }
    .into_iter()
    .flatten()
}

fn field(arguments: &Stream, spec: Option<&FieldSpec>, name: &str) -> Result<Field, Failure> {
    let crop = spec.and_then(|spec| spec.crop.as_ref()).or(arguments.crop.as_ref());
    let crop = crop.ok_or_else(|| Failure::Usage(format!("the field {name:?} has no crop: give --crop, or crop= in its --field")))?;
    let dtype = spec.and_then(|spec| spec.dtype).unwrap_or(arguments.dtype);
    let outside = spec.and_then(|spec| spec.outside).unwrap_or(arguments.outside);
    Ok(Field::new(name, crop.0.iter().copied()).dtype(dtype).outside(outside))
}

//! What the command line can say.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use longshore::sampler::{Edge, Weighting};
use longshore::{CropBox, Dtype, OnError, Outside};

use crate::parse::{self, FieldSpec, Shape};

#[derive(Debug, Parser)]
#[command(name = "longshore", version, about = "Streams batches of n-D crops out of Zarr v3 arrays, fast", styles = crate::style::CLAP)]
#[command(after_help = "Exit codes: 0 done, 1 failed batches or bad input, 2 usage, 130 interrupted.")]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Writes a small data set, streams random crops from it and checks every byte.
    Demo(Demo),
    /// Says what an array is, how it is read, and whether its layout suits crops.
    Inspect(Inspect),
    /// Cuts one box out of an array into a NumPy file.
    Crop(Crop),
    /// Streams batches of crops; writes them, or measures how fast they come.
    Stream(Box<Stream>),
    /// Runs a scenario file: writes its data set if needed, streams, reports medians.
    Bench(Bench),
}

#[derive(Debug, Args)]
pub struct Demo {
    /// Where the data set goes; kept, and used again by the next demo. Default: `longshore-demo` in the system's temporary folder.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Extent of each of the four arrays along each of their three axes, elements.
    #[arg(long, value_name = "ELEMENTS", default_value_t = 256, value_parser = clap::value_parser!(u64).range(64..=4096))]
    pub size: u64,
    /// Prints JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Inspect {
    /// The array: a path or a URI.
    pub uri: String,
    /// Prints JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Crop {
    /// The array: a path or a URI.
    pub uri: String,
    /// What to cut: START:END per axis, as in 0:64,0:64,0:64.
    #[arg(long = "box", value_name = "BOX", value_parser = parse::crop_box, allow_hyphen_values = true)]
    pub crop_box: CropBox,
    /// The file to write.
    #[arg(short, long, value_name = "FILE.npy")]
    pub out: PathBuf,
    /// Element type of the file.
    #[arg(long, default_value = "native", value_parser = parse::dtype)]
    pub dtype: Dtype,
    /// What lies outside the array: `error` (nothing may), `fill` (its fill value), `edge` (its nearest element), or a number.
    #[arg(long, default_value = "error", value_parser = parse::outside, allow_hyphen_values = true)]
    pub outside: Outside,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["samples", "uri"]))]
#[command(group = ArgGroup::new("how").args(["random", "tiles"]))]
pub struct Stream {
    /// Shape of a crop, as in 64,64,64. A crop of fewer axes than the array takes one element of each leading axis.
    #[arg(long, value_name = "SHAPE", value_parser = parse::shape, required_unless_present = "field")]
    pub crop: Option<Shape>,
    /// Samples per batch.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = parse::positive)]
    pub batch: usize,
    /// Element type of the batches.
    #[arg(long, default_value = "native", value_parser = parse::dtype)]
    pub dtype: Dtype,
    /// One field of several: name=image[,crop=64x64x64][,dtype=f32][,outside=fill]; what is left out is as given for all.
    #[arg(long, value_name = "FIELD", value_parser = parse::field)]
    pub field: Vec<FieldSpec>,
    /// What lies outside the arrays: `error` (nothing may), `fill` (the fill value), `edge` (the nearest element), or a number.
    #[arg(long, default_value = "error", value_parser = parse::outside, allow_hyphen_values = true)]
    pub outside: Outside,

    /// Streams the samples of this file: one JSON object a line, {"uri": "a.zarr", "box": [[0,64],[0,64],[0,64]]}.
    #[arg(long, value_name = "FILE.jsonl", help_heading = "Samples")]
    pub samples: Option<PathBuf>,
    /// An array to take crops from; give it several times for several arrays.
    #[arg(long, value_name = "URI", num_args = 1.., requires = "how", help_heading = "Samples")]
    pub uri: Vec<String>,
    /// Streams this many crops at random places.
    #[arg(long, value_name = "N", requires = "uri", help_heading = "Samples")]
    pub random: Option<u64>,
    /// Seed of the random places.
    #[arg(long, default_value_t = 0, help_heading = "Samples")]
    pub seed: u64,
    /// How often each array is drawn.
    #[arg(long, value_enum, default_value_t = ByWeight::Arrays, help_heading = "Samples")]
    pub weight: ByWeight,
    /// Streams all tiles of the arrays.
    #[arg(long, requires = "uri", help_heading = "Samples")]
    pub tiles: bool,
    /// Elements from one tile to the next. Default: the crop.
    #[arg(long, value_name = "SHAPE", value_parser = parse::shape, requires = "tiles", help_heading = "Samples")]
    pub stride: Option<Shape>,
    /// What becomes of a tile that does not fit at an array's end.
    #[arg(long, value_enum, default_value_t = AtEdge::Shift, help_heading = "Samples")]
    pub edge: AtEdge,
    /// Takes only the samples of rank R of W: numbers R, R + W, ...
    #[arg(long, value_name = "R/W", value_parser = parse::rank, help_heading = "Samples")]
    pub rank: Option<(u64, u64)>,
    /// Streams the whole sequence this many times.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = parse::positive, help_heading = "Samples")]
    pub repeat: usize,

    /// Writes every batch into this folder, as batch-000000.npy or, with several fields, batch-000000.image.npy.
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Leaves out the batches' checksum (which costs a pass over their bytes).
    #[arg(long, help_heading = "Output")]
    pub no_checksum: bool,
    /// Prints JSON instead of a table.
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// What a failed sample does: the batch fails, its row holds fill values, or its row is left out.
    #[arg(long, value_enum, default_value_t = Policy::Fail, help_heading = "Output")]
    pub on_error: Policy,
    /// Leaves out a last batch that is not full.
    #[arg(long, help_heading = "Output")]
    pub drop_last: bool,

    #[command(flatten)]
    pub tuning: Tuning,
}

/// What the loader may use, and what storage to imitate.
#[derive(Clone, Debug, Default, Args)]
pub struct Tuning {
    /// Samples known before they are due.
    #[arg(long, value_name = "N", value_parser = parse::positive, help_heading = "Tuning")]
    pub lookahead: Option<usize>,
    /// Decode threads. Default: one per core.
    #[arg(long, value_name = "N", value_parser = parse::positive, help_heading = "Tuning")]
    pub threads: Option<usize>,
    /// Memory for everything, as in 1GiB. Default: a quarter of what the process may use, at most 4 GiB.
    #[arg(long, value_name = "BYTES", value_parser = parse::bytes, help_heading = "Tuning")]
    pub memory: Option<u64>,
    /// Batches rendered or held at once.
    #[arg(long, value_name = "N", value_parser = parse::positive, help_heading = "Tuning")]
    pub buffers: Option<usize>,
    /// Delays requests as slow storage would: const:50ms, lognormal:50ms,2.0 or lognormal:50ms,2.0,1s (median, sigma, cap).
    #[arg(long, value_name = "DELAY", help_heading = "Tuning")]
    pub latency: Option<String>,
    /// Which requests are delayed.
    #[arg(long, value_enum, default_value_t = Delayed::All, help_heading = "Tuning")]
    pub latency_on: Delayed,
    /// Decodes every chunk anew for each crop that needs it.
    #[arg(long, help_heading = "Tuning")]
    pub no_reuse: bool,
}

#[derive(Debug, Args)]
pub struct Bench {
    /// The scenario, as in benches/scenarios/default.json.
    pub scenario: PathBuf,
    /// Where data sets are kept between runs.
    #[arg(long, value_name = "DIR", default_value = "bench-data")]
    pub dir: PathBuf,
    /// Runs. Default: what the scenario says.
    #[arg(long, value_name = "N", value_parser = parse::positive)]
    pub repeat: Option<usize>,
    /// Adds the batches' checksum, for comparing readers (costs a pass over their bytes).
    #[arg(long)]
    pub checksum: bool,
    /// Prints JSON instead of a table.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub tuning: Tuning,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ByWeight {
    /// Each array equally often.
    Arrays,
    /// In proportion to the arrays' sizes.
    Voxels,
}

impl From<ByWeight> for Weighting {
    fn from(weight: ByWeight) -> Self {
        match weight {
            ByWeight::Arrays => Self::Arrays,
            ByWeight::Voxels => Self::Voxels,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AtEdge {
    /// It is left out.
    Drop,
    /// It reaches outside; --outside says what is there.
    Fill,
    /// It is moved back inside.
    Shift,
}

impl From<AtEdge> for Edge {
    fn from(edge: AtEdge) -> Self {
        match edge {
            AtEdge::Drop => Self::Drop,
            AtEdge::Fill => Self::Fill,
            AtEdge::Shift => Self::Shift,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Policy {
    /// The batch fails; the others come.
    Fail,
    /// Its row holds fill values.
    Fill,
    /// Its row is left out.
    Skip,
}

impl From<Policy> for OnError {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Fail => Self::Fail,
            Policy::Fill => Self::Fill,
            Policy::Skip => Self::Skip,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Delayed {
    /// zarr.json and shard indexes only.
    Metadata,
    /// Every request.
    #[default]
    All,
}

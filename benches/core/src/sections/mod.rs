//! What is measured, one file per question.

pub mod evict;
pub mod handle;
pub mod hit;
pub mod limbo;
pub mod miss;
pub mod wake;
pub mod words;
pub mod zipf;

use crate::bench::Group;

/// Every group, in the order of the table.
#[must_use]
pub fn all() -> Vec<Group> {
    [handle::groups(), hit::groups(), miss::groups(), zipf::groups(), evict::groups(), limbo::groups(), words::groups(), wake::groups()]
        .into_iter()
        .flatten()
        .collect()
}

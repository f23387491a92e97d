//! The engine thread: plans resolved batches, drives the wave pool, delivers in push order.
//!
//! ```text
//! tickets ─▶ [gate ready?] ─▶ plan ─▶ window of needed chunks ─▶ active batches ─▶ waves ─▶ workers ─▶ completions ─▶ ready ring
//!                               └─▶ watermark
//! ```
//! It sleeps on its bell, which a ticket, a gate, a completion, a returned batch, a taken delivery and a close ring.

pub(crate) mod dispatch;
mod engine;
mod render;
pub(crate) mod slots;
pub(crate) mod task;
pub(crate) mod window;
pub(crate) mod workers;

pub(crate) use engine::{Engine, EngineParts};

//! Boxes to chunks to reads. Pure: no I/O, no waiting, no clock.

pub(crate) mod batch;
pub(crate) mod geometry;
pub(crate) mod outside;
pub(crate) mod reads;

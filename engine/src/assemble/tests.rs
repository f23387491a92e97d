//! Scatter, fill and conversions, against arithmetic written independently of the code.

mod exact;
mod move_boxes;
mod rounding;

//! Placeholder, replaced in this change series.

//! Where waves stage, decode and assemble.
//!
//! The engine speaks to a backend through tasks and completions only ([`crate::wave`]): what memory a batch lives in, and who
//! decodes, is the backend's business.

pub(crate) mod host;

//! The `longshore` command, driven as a user drives it. Arrays are written, and expected values read, by the `zarrs` crate.
#![allow(unreachable_pub, reason = "a test binary has no public face")]

mod arrays;
mod bad_input;
mod command;
mod good_input;

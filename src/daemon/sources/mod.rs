//! Where frames come from: cameras, clips, programs and the synthetic subject; and the thread that takes them.

pub mod capture;
pub mod child;
pub mod footage;
pub mod piped;
pub mod source;
pub mod stamps;

#[cfg(test)]
mod capture_test;

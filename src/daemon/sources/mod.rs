//! Where frames come from: cameras, clips, programs and the synthetic subject; and the thread that takes them.

pub(crate) mod capture;
pub(crate) mod child;
pub(crate) mod footage;
pub(crate) mod piped;
pub(crate) mod source;
pub(crate) mod stamps;

#[cfg(test)]
mod capture_test;

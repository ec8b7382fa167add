//! Training material from a folder that the user names (`--assets DIR`).

pub mod ict;
pub mod portraits;

//! The edges of glint: files, camera, broker, service manager.

pub mod allocations;
pub mod bench;
pub mod camera;
pub mod inspect;
pub mod media;
pub mod replay;

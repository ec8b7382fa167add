//! The edges of glint: files, camera, broker, service manager.

pub mod allocations;
pub mod bench;
pub mod camera;
pub mod cameras;
#[allow(dead_code)] // read by the daemon that follows
pub mod config;
pub mod inspect;
pub mod media;
#[allow(dead_code)] // the daemon that fills it follows
pub mod outbox;
pub mod replay;

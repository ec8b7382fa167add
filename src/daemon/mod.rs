//! The edges of glint: files, camera, broker, service manager.
//!
//! Rooms, from the ground up; a room imports only rooms above it in this list.
#![allow(clippy::disallowed_methods)] // clocks are read here: at the edges

pub mod clock;
pub mod config;
pub mod grab;

pub mod camera;
pub mod sources;

pub mod outbox;

pub mod mqtt;

pub mod runtime;

pub mod commands;

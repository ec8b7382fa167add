//! The edges of glint: files, camera, broker, service manager.
//!
//! Rooms, from the ground up; a room imports only rooms above it in this list.
#![allow(clippy::disallowed_methods)] // clocks are read here: at the edges

pub(crate) mod clock;
pub(crate) mod config;
pub(crate) mod finding;
pub(crate) mod grab;
pub(crate) mod whole;

pub(crate) mod models;

pub(crate) mod camera;
pub(crate) mod sources;

pub(crate) mod outbox;

pub(crate) mod mqtt;

pub(crate) mod page;

pub(crate) mod runtime;

pub(crate) mod doctor;

pub(crate) mod summary;

pub(crate) mod report;

pub(crate) mod selftest;

pub(crate) mod commands;

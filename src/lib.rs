//! glint: micro-expressions out of video.
//!
//! The modules in reading order, which is the order in which a frame passes through them:
//!
//! | module | meaning |
//! |---|---|
//! | [`frame`] | one video frame as luma, with sequence number and time |
//! | [`clip`] | video files and image folders, read and written |
//! | [`face`] | frame -> stabilised crop of the face |
//! | [`flow`] | two crops -> dense optical flow and optical strain |
//! | [`intensity`] | flow -> action unit intensities against a neutral face; thresholds |
//! | [`gate`] | which action units rise above their own rest, and fall again |
//! | [`spot`] | intensities over time -> onset, apex, offset |
//! | [`model`] | model files, their specifications and digests |
//! | [`student`] | a movement's flow between onset and apex -> its class |
//! | [`int8`] | the quantized layers of a network as one operator |
//! | [`pipeline`] | all of the above: `Pipeline::push(&Frame) -> Step` |
//! | [`bundle`] | model files as one file, with goldens |
//! | [`event`] | what is published |
//! | [`inject`] | known movements put into footage |
//! | [`synth`] | a synthetic subject with known action units: demo, tests, training |
//!
//! [`au`] and [`geometry`] are the vocabulary, [`canvas`] and [`drawing`] draw plots, [`statistics`] has the median.
//! Nothing here reads a clock or a socket: time comes with the frames. The edges (camera, MQTT, systemd, command line) belong to
//! the binary `glintd`.

#![warn(unreachable_pub)] // What is public is for everybody.
#![warn(clippy::missing_errors_doc)]
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))] // A library returns what it has to say.

pub mod au;
pub mod bundle;
pub mod canvas;
pub mod clip;
pub mod drawing;
pub mod event;
pub mod face;
pub mod flow;
pub mod frame;
pub mod gate;
pub mod geometry;
pub mod inject;
pub mod int8;
pub mod intensity;
mod kernels;
pub mod model;
pub mod pipeline;
pub mod plain;
mod random;
#[allow(unreachable_pub)] // Its history is public to the spotter alone.
pub mod spot;
pub mod statistics;
pub mod student;
pub mod synth;
#[cfg(test)]
mod tolerances;

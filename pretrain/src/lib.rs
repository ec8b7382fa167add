//! glint-pretrain: trains, evaluates and exports the networks that glintd runs.
//!
//! | module | meaning |
//! |---|---|
//! | [`assets`] | portraits, the ICT head, priors: read from a folder given on the command line |
//! | [`image`] | gray images with a pyramid, sampled under a similarity |
//! | [`augment`] | random similarity, light, blur and noise; procedural backgrounds |
//! | [`databases`] | annotated micro-expressions as they are published: sheets, frames, classes |
//! | [`npy`] | NumPy's array files |
//! | [`holdout`] | which people train no network |
//! | [`backend`] | what trainings run on: CPU, CUDA or Vulkan, chosen at run time |
//! | [`statistics`] | scores, regressions, calibration |
//! | [`net`] | the network shapes, in burn, and their export to ONNX |
//! | [`faces`] | how well faces are found, followed and held still |
//! | [`quantize`] | convolutions of a trained network to int8 |
//! | [`train`] | the training loop |
//! | [`subject`] | the synthetic subject, computed from portraits and the ICT head |
//! | [`student`] | the way from people to the student's files |
//! | [`recognition`] | how well classes are recognised: real samples, protocol, methods |
//! | [`run`] | recipes, run folders, checkpoints, pictures, reports |
//! | [`corpus`] | the people, scenes and sequences that networks are trained on |
//! | [`spotting`] | how well movements are found: generated sequences, scores, curves |
//! | [`pairs`] | pairs of crops on disk |
//! | [`filter`] | recognisable pairs out of unlabelled video |
//! | [`contrast`] | dual-view contrastive training, probe, fine-tuning |
//! | [`threshold`] | the minimum recognisable intensity of each AU |
//! | [`ship`] | model files with specification and digest |
//! | [`commands`] | the commands: arguments, and calls of the others |
#![warn(unreachable_pub)] // What is public is for everybody.
#![allow(clippy::disallowed_methods)] // Progress and run folders carry the time; the core does not.

pub mod assets;
pub mod augment;
pub mod backend;
pub mod commands;
pub mod contrast;
pub mod corpus;
pub mod databases;
pub mod faces;
pub mod filter;
pub mod holdout;
pub mod image;
pub mod net;
pub mod npy;
pub mod pairs;
pub mod quantize;
pub mod recognition;
pub mod run;
pub mod ship;
pub mod spotting;
pub mod statistics;
pub mod student;
pub mod subject;
pub mod threshold;
pub mod train;

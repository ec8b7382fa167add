//! The program from outside: its command line, its configuration, its conversation with a broker.
#![allow(clippy::disallowed_methods)] // waits for programs and brokers

mod au_stream;
mod broker;
mod cli;
mod clips;
mod config;
mod daemon;
mod doctor;
mod documented;
mod examples;
mod exports;
mod guide;
mod minisign;
mod models;
mod mqtt;
mod page;
mod pages;
mod report;
mod schema;
mod selftest;
mod service;
mod subscriber;
mod tls;
mod tools;
mod units;
mod video;
mod writes;

use std::path::Path;
use std::process::{Command, Output};

use glint::clip::{AviWriter, Codec, Rate};
use glint::synth::{Action, Camera, Pack, Scene, Script, Subject};

/// `glintd` with arguments.
fn glintd(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_glintd"));
    command.args(arguments);
    command
}

/// Runs `glintd` to its end.
fn run(arguments: &[&str]) -> Output {
    glintd(arguments).output().expect("glintd starts")
}

/// What a program said on stderr.
fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Frames of [`smile`] in a second.
const SMILE_FPS: f64 = 60.0;

/// The first `frames` frames of a synthetic person of 640x480 who smiles a little from 2 s on (AU 12, both sides, 30 %
/// of the full movement), as luma.
fn smile(frames: u64) -> impl Iterator<Item = Vec<u8>> {
    let script = Script::new(vec![Action::micro(12, 0.3, 2_000_000_000)]).expect("a script");
    let subject = Subject::random(Pack::embedded().expect("a pack"), 1);
    let mut scene = Scene::new(subject, script, Camera::default());
    (0..frames).map(move |seq| scene.frame(seq, SMILE_FPS).luma)
}

/// [`smile`] as an AVI.
fn write_smile(path: &Path, codec: Codec, frames: u64) {
    let rate = Rate::from_fps(SMILE_FPS).expect("a rate");
    let mut writer = AviWriter::create(path, rate, (640, 480), codec).expect("a clip");
    smile(frames).for_each(|luma| writer.write(&luma).expect("written"));
    writer.finish().expect("written");
}

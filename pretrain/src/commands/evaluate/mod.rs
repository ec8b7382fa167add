//! `glint-pretrain evaluate`: how well it all works. One module a question.

pub mod au;
pub mod classes;
pub mod faces;
pub mod few;
pub mod filter;
pub mod inputs;
pub mod megc2019;
pub mod pretraining;
pub mod speed;
pub mod spotting;
pub mod student;

use anyhow::Result;

/// Measure the shipped models and the daemon's own chain.
#[derive(clap::Subcommand)]
pub enum Command {
    /// AU intensities against the human codes of a database.
    Au(au::Args),
    /// Classes of the movements that the daemon's chain finds.
    Classes(classes::Args),
    /// What `filter` keeps of generated video.
    Filter(filter::Args),
    /// The gain of contrastive pretraining.
    Pretraining(pretraining::Args),
    /// The gain of pretraining for the student that ships.
    Student(student::Args),
    /// Training speed on random views.
    Speed(speed::Args),
    /// The gain from labelling a few subjects.
    Few(few::Args),
    /// Compare alternative inputs of the student with motion at 28 x 28.
    Inputs(inputs::Args),
    /// Recognition on published flow images of real micro-expressions.
    Megc2019(megc2019::Args),
    /// Detector, landmarks and stabiliser.
    Faces(faces::Args),
    /// Spotting: which movements are found.
    Spotting(spotting::Args),
}

/// Runs the command.
pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Au(args) => au::run(args),
        Command::Classes(args) => classes::run(args),
        Command::Filter(args) => filter::run(args),
        Command::Pretraining(args) => pretraining::run(args),
        Command::Student(args) => student::run(args),
        Command::Speed(args) => speed::run(args),
        Command::Few(args) => few::run(args),
        Command::Inputs(args) => inputs::run(args),
        Command::Megc2019(args) => megc2019::run(args),
        Command::Faces(args) => faces::run(args),
        Command::Spotting(args) => spotting::run(args),
    }
}

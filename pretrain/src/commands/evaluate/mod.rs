//! `glint-pretrain evaluate`: how well it all works. One module a question.

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

/// Measures the shipped models and the daemon's own chain.
#[derive(clap::Subcommand)]
pub enum Command {
    /// The words given to movements that are found.
    Classes(classes::Args),
    /// What the filter keeps of generated video.
    Filter(filter::Args),
    /// What contrastive pretraining is worth.
    Pretraining(pretraining::Args),
    /// What pretraining is worth to the student that ships.
    Student(student::Args),
    /// Training steps on random views.
    Speed(speed::Args),
    /// How much real labels help, from few subjects on.
    Few(few::Args),
    /// What the student could see beyond motion at 28 x 28.
    Inputs(inputs::Args),
    /// Recognition on published real flow images.
    Megc2019(megc2019::Args),
    /// How well faces are found, followed and held still.
    Faces(faces::Args),
    /// How well movements are found.
    Spotting(spotting::Args),
}

/// Runs the command.
pub fn run(command: &Command) -> Result<()> {
    match command {
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

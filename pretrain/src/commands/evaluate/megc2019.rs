//! `glint-pretrain evaluate megc2019`: recognition on published real flow images, leave-one-subject-out.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::recognition::megc;
use crate::recognition::protocol::{Method, Predictions, PreparedSamples, leave_one_out, student};
use crate::recognition::report::{RecognitionReport, write_csv};
use crate::run::{Run, bar, plot};
use crate::statistics::score::{argmax, calibration_error, reliability};

/// Measure recognition on published flow images of real micro-expressions. Leave one subject out at a time: glint and
/// its baselines in the same folds, with fixed schedules. With --zero-shot, measure the student as shipped, which has
/// seen none of these samples.
#[derive(clap::Args)]
#[command(
    after_help = "Example: glint-pretrain evaluate megc2019 --data ../data/megc2019 --zero-shot --json"
)]
pub struct Args {
    /// Folder with `index.csv` (file, database, subject, class) and `flow/`.
    #[arg(long)]
    data: PathBuf,
    /// Measure the student as shipped.
    #[arg(long, conflicts_with = "methods")]
    zero_shot: bool,
    /// Number of seeds of the methods that have one.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=20))]
    seeds: u64,
    /// Rows of the table.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Method::Glint, Method::Logreg, Method::Cnn, Method::Ststnet])]
    methods: Vec<Method>,
    /// Folder with student.onnx and student.toml [default: the built-in student].
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Write every prediction as CSV: method, seed, database, subject, file, truth, prediction.
    #[arg(long, value_name = "FILE.csv")]
    predictions: Option<PathBuf>,
    /// Print a JSON object instead of the table.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let samples = megc::load(&args.data)?;
    let mut student = student(args.models.as_deref())?;
    let settings = BTreeMap::from([
        ("methods", format!("{:?}", args.methods)),
        ("zero_shot", args.zero_shot.to_string()),
        ("seeds", args.seeds.to_string()),
        ("student", format!("sha256:{}", student.sha256())),
    ]);
    let run =
        Run::start(if args.zero_shot { "megc2019-zero-shot" } else { "megc2019" }, 0, &settings, false)?;
    let mut ece = None;
    let predictions: Vec<(Method, Predictions)> = if args.zero_shot {
        // Straight through the daemon's model: no mirror image, no average.
        let probabilities: Vec<[f32; 3]> = samples
            .iter()
            .map(|s| student.probabilities(&s.motion).map_err(anyhow::Error::msg))
            .collect::<Result<_>>()?;
        let bins = reliability(&probabilities, &samples.iter().map(|s| s.class).collect::<Vec<_>>());
        run.plot("calibration.svg", "Confidence and accuracy on real samples", &plot::calibration(&bins))?;
        ece = Some(calibration_error(&bins));
        vec![(Method::Glint, vec![probabilities.iter().map(argmax).collect()])]
    } else {
        let material = PreparedSamples::new(&samples, &mut student)?;
        let people = megc::subjects(&samples).len() as u64;
        args.methods
            .iter()
            .map(|&method| {
                let bar = bar(method.name(), args.seeds * people);
                let predictions = leave_one_out(&material, method, args.seeds, &bar)?;
                bar.finish_and_clear();
                // A method can take many minutes: whoever waits sees each when it is there.
                let report = RecognitionReport::new(&samples, &[(method, predictions.clone())], None)?;
                report.rows.iter().for_each(|row| eprintln!("{}", row.line()));
                Ok((method, predictions))
            })
            .collect::<Result<_>>()?
    };
    if let Some(path) = &args.predictions {
        write_csv(path, &samples, &predictions).with_context(|| path.display().to_string())?;
    }
    let report = RecognitionReport::new(&samples, &predictions, ece)?;
    report.keep(run)?;
    if args.json {
        println!("{}", report.json());
    } else {
        report.print();
    }
    Ok(())
}

//! `glint-pretrain evaluate megc2019`: recognition on published real flow images, leave-one-subject-out.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use glint::event::Class;
use glint::model::Checked;
use glint::pipeline::Models;
use glint::student::Student;
use serde_json::{Map, Value, json};

use crate::recognition::megc::{self, Sample, word};
use crate::recognition::protocol::{Material, Method, Predictions, by_subject, leave_one_out};
use crate::run::{Run, bar, plot};
use crate::statistics::score::{BySubject, argmax, calibration_error, mean_sd, reliability};

/// Leaves one subject out at a time: glint and its baselines in the same folds, with fixed schedules. With --zero-shot the
/// student as it is shipped, which has seen none of these samples.
#[derive(clap::Args)]
#[command(
    after_help = "Example: glint-pretrain evaluate megc2019 --data ../data/megc2019 --zero-shot --json"
)]
pub struct Args {
    /// Folder with `index.csv` (file, database, subject, class) and `flow/`.
    #[arg(long)]
    data: PathBuf,
    /// The shipped student, untouched.
    #[arg(long, conflicts_with = "methods")]
    zero_shot: bool,
    /// Seeds of the methods that have one.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=20))]
    seeds: u64,
    /// Rows of the table.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Method::Glint, Method::Logreg, Method::Cnn, Method::Ststnet])]
    methods: Vec<Method>,
    /// Folder with student.onnx and student.toml; without it those that are compiled in.
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Every prediction as CSV: method, seed, database, subject, file, truth, prediction.
    #[arg(long, value_name = "FILE.csv")]
    predictions: Option<PathBuf>,
    /// One JSON object on stdout instead of the table.
    #[arg(long)]
    json: bool,
}

/// How often a setting of glint's has been scored on these samples, in all: recipes of the synthetic material and ways to
/// adapt to real subjects. Beside every table, because whoever tries often enough finds something.
pub const SETTINGS_SCORED: u32 = 154;

/// Reads the student of a folder, or the one that is compiled in.
pub fn student(models: Option<&Path>) -> Result<Student> {
    let file = match models {
        Some(dir) => Checked::load(dir, "student")?,
        None => Models::embedded()?.student,
    };
    Ok(Student::new(&file)?)
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
    let found: Vec<(Method, Predictions)> = if args.zero_shot {
        // Straight through the daemon's model: no mirror image, no average.
        let said: Vec<[f32; 3]> = samples
            .iter()
            .map(|s| student.probabilities(&s.motion).map_err(anyhow::Error::msg))
            .collect::<Result<_>>()?;
        let bins = reliability(&said, &samples.iter().map(|s| s.class).collect::<Vec<_>>());
        run.figure("calibration.png", "Confidence and accuracy on real samples", &plot::calibration(&bins))?;
        ece = Some(calibration_error(&bins));
        vec![(Method::Glint, vec![said.iter().map(argmax).collect()])]
    } else {
        let material = Material::new(&samples, &mut student)?;
        let people = megc::subjects(&samples).len() as u64;
        args.methods
            .iter()
            .map(|&method| {
                let bar = bar(method.name(), args.seeds * people);
                let said = leave_one_out(&material, method, args.seeds, &bar)?;
                bar.finish_and_clear();
                // A method can take many minutes: whoever waits sees each when it is there.
                let report = Report::new(&samples, &[(method, said.clone())], None)?;
                report.rows.iter().for_each(|row| eprintln!("{}", row.line()));
                Ok((method, said))
            })
            .collect::<Result<_>>()?
    };
    if let Some(path) = &args.predictions {
        write_csv(path, &samples, &found).with_context(|| path.display().to_string())?;
    }
    let report = Report::new(&samples, &found, ece)?;
    report.keep(run)?;
    if args.json {
        println!("{}", report.json());
    } else {
        report.print();
    }
    Ok(())
}

fn write_csv(path: &Path, samples: &[Sample], found: &[(Method, Predictions)]) -> Result<()> {
    let mut out = std::io::BufWriter::new(std::fs::File::create(path)?);
    writeln!(out, "method,seed,database,subject,file,truth,prediction")?;
    for (method, seeds) in found {
        for (seed, said) in seeds.iter().enumerate() {
            for (s, &c) in samples.iter().zip(said) {
                let Sample { database, subject, file, .. } = s;
                let (truth, said) = (word(Class::ALL[s.class]), word(Class::ALL[c]));
                writeln!(out, "{},{seed},{database},{subject},{file},{truth},{said}", method.name())?;
            }
        }
    }
    out.flush()?;
    Ok(())
}

/// One cell of the table.
struct Cell {
    uf1: f64,
    uar: f64,
    uf1_sd: f64,
    ci95: [f64; 2],
}

struct Row {
    method: Method,
    /// Composite first, then the databases.
    cells: Vec<(String, Cell)>,
    all: BySubject,
}

impl Row {
    /// Its line of the table.
    fn line(&self) -> String {
        let cells = self.cells.iter().map(|(_, c)| format!("{:<14}", format!("{:.3}/{:.3}", c.uf1, c.uar)));
        let c = &self.cells[0].1;
        let interval = format!("{:.3}  {:.3} to {:.3}", c.uf1_sd, c.ci95[0], c.ci95[1]);
        format!("{:<10}{}{interval}", self.method.name(), cells.collect::<String>())
    }
}

struct Report {
    samples: usize,
    rows: Vec<Row>,
    /// First method against each other one: difference of UF1 and p.
    paired: Vec<(Method, Method, f64, f64)>,
    /// Calibration error of the untouched student.
    ece: Option<f64>,
}

impl Report {
    fn new(samples: &[Sample], found: &[(Method, Predictions)], ece: Option<f64>) -> Result<Self> {
        let mut databases: Vec<&str> = samples.iter().map(|s| s.database.as_str()).collect();
        databases.sort_unstable();
        databases.dedup();
        let cell = |scored: &BySubject| {
            let totals = scored.totals();
            let of =
                |f: fn(&crate::statistics::score::Confusion) -> f64| totals.iter().map(f).collect::<Vec<_>>();
            let ((uf1, uf1_sd), (uar, _)) = (mean_sd(&of(|c| c.uf1())), mean_sd(&of(|c| c.uar())));
            Cell { uf1, uar, uf1_sd, ci95: scored.interval(1) }
        };
        let rows: Vec<Row> = found
            .iter()
            .map(|(method, said)| {
                let all = by_subject(samples, said, |_| true);
                let mut cells = vec![("composite".to_owned(), cell(&all))];
                for d in &databases {
                    cells.push(((*d).to_owned(), cell(&by_subject(samples, said, |s| s.database == **d))));
                }
                Row { method: *method, cells, all }
            })
            .collect();
        let first = rows.first().context("no methods")?;
        ensure!(!first.all.0.is_empty(), "no predictions");
        let paired = rows[1..]
            .iter()
            .map(|other| {
                let (difference, p) = first.all.paired(&other.all, 1);
                (first.method, other.method, difference, p)
            })
            .collect();
        Ok(Self { samples: samples.len(), rows, paired, ece })
    }

    fn json(&self) -> Value {
        let methods: Map<String, Value> = self
            .rows
            .iter()
            .map(|row| {
                let cell = |c: &Cell| json!({"uf1": c.uf1, "uar": c.uar, "uf1_sd": c.uf1_sd, "ci95": c.ci95});
                let cells: Map<String, Value> =
                    row.cells.iter().map(|(name, c)| (name.clone(), cell(c))).collect();
                (row.method.name().to_owned(), Value::Object(cells))
            })
            .collect();
        let paired: Vec<Value> = self
            .paired
            .iter()
            .map(|(a, b, d, p)| json!({"method": a.name(), "against": b.name(), "uf1_difference": d, "p": p}))
            .collect();
        json!({"samples": self.samples, "settings_scored": SETTINGS_SCORED, "methods": methods, "paired": paired, "ece": self.ece})
    }

    fn print(&self) {
        let Some(first) = self.rows.first() else { return };
        print!("{:<10}", "UF1/UAR");
        first.cells.iter().for_each(|(name, _)| print!("{name:<14}"));
        println!("sd     95 % interval (subjects)");
        for row in &self.rows {
            println!("{}", row.line());
        }
        for (a, b, d, p) in &self.paired {
            println!(
                "{} against {}: {d:+.3} UF1, p = {p:.3} (paired, subjects exchanged)",
                a.name(),
                b.name()
            );
        }
        if let Some(ece) = self.ece {
            println!("expected calibration error {ece:.3}");
        }
        println!(
            "{} samples; settings of glint scored on such images in all: {SETTINGS_SCORED}, and about 200 for method.md, \
             whose findings are used",
            self.samples
        );
    }

    fn keep(&self, run: Run) -> Result<()> {
        run.log(&self.json())?;
        let names = ["negative", "positive", "surprise"];
        for row in &self.rows {
            if let Some(total) = row.all.totals().first() {
                let name = row.method.name();
                run.figure(
                    &format!("confusion-{name}.png"),
                    &format!("Confusion of {name}, first seed"),
                    &plot::confusion(&total.0, names),
                )?;
            }
        }
        let mut header = vec!["method"];
        header.extend(self.rows[0].cells.iter().map(|(name, _)| name.as_str()));
        header.push("95 % interval");
        let rows: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|row| {
                let mut cells = vec![row.method.name().to_owned()];
                cells.extend(row.cells.iter().map(|(_, c)| format!("{:.3}/{:.3}", c.uf1, c.uar)));
                cells.push(format!("{:.3} to {:.3}", row.cells[0].1.ci95[0], row.cells[0].1.ci95[1]));
                cells
            })
            .collect();
        run.table(
            &format!("UF1/UAR, {} samples, {SETTINGS_SCORED} settings scored", self.samples),
            &header,
            &rows,
        );
        run.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_and_predictions_have_the_keys_of_the_contract() {
        let dir = megc::tests::folder(4);
        let samples = megc::load(dir.path()).expect("samples");
        let mut student = student(None).expect("student");
        let material = Material::new(&samples, &mut student).expect("material");
        let bar = indicatif::ProgressBar::hidden();
        let found: Vec<(Method, Predictions)> = [Method::Glint, Method::Logreg]
            .map(|m| (m, leave_one_out(&material, m, 1, &bar).expect("runs")))
            .into();
        let report = Report::new(&samples, &found, None).expect("report").json();
        assert_eq!(report["samples"], 24);
        for method in ["glint", "logreg"] {
            for database in ["composite", "smic", "casme2"] {
                let cell = &report["methods"][method][database];
                assert!(cell["uf1"].as_f64().is_some_and(|v| (0.0..=1.0).contains(&v)), "{report}");
                assert!(cell["uar"].is_number() && cell["uf1_sd"].is_number() && cell["ci95"][1].is_number());
            }
        }
        assert_eq!(report["paired"][0]["against"], "logreg");
        let csv = dir.path().join("predictions.csv");
        write_csv(&csv, &samples, &found).expect("writes");
        let text = std::fs::read_to_string(csv).expect("text");
        assert!(text.starts_with(
            "method,seed,database,subject,file,truth,prediction\nglint,0,smic,s00,0_0.png,negative,"
        ));
        assert_eq!(text.lines().count(), 1 + 2 * 24);
    }
}

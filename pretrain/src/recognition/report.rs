//! Tables of the leave-one-subject-out protocol: scores, intervals, paired tests, predictions.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use glint::event::Class;
use serde_json::{Map, Value, json};

use super::megc::FlowSample;
use super::protocol::{Method, Predictions, by_subject};
use crate::run::{Run, plot};
use crate::statistics::score::{BySubject, Confusion, mean_sd};

/// How often a setting of glint's has been scored on these samples, in all: recipes of the synthetic material and ways to
/// adapt to real subjects. Beside every table, because whoever tries often enough finds something.
pub const SETTINGS_SCORED: u32 = 159;

/// Every prediction as CSV.
pub fn write_csv(path: &Path, samples: &[FlowSample], predictions: &[(Method, Predictions)]) -> Result<()> {
    let mut out = std::io::BufWriter::new(std::fs::File::create(path)?);
    writeln!(out, "method,seed,database,subject,file,truth,prediction")?;
    for (method, seeds) in predictions {
        for (seed, classes) in seeds.iter().enumerate() {
            for (s, &c) in samples.iter().zip(classes) {
                let FlowSample { database, subject, file, .. } = s;
                let (truth, predicted) = (Class::ALL[s.class], Class::ALL[c]);
                writeln!(out, "{},{seed},{database},{subject},{file},{truth},{predicted}", method.name())?;
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

/// A row of the table.
pub struct Row {
    method: Method,
    /// Composite first, then the databases.
    cells: Vec<(String, Cell)>,
    all: BySubject,
}

impl Row {
    /// Its line of the table.
    pub fn line(&self) -> String {
        let cells = self.cells.iter().map(|(_, c)| format!("{:<14}", format!("{:.3}/{:.3}", c.uf1, c.uar)));
        let c = &self.cells[0].1;
        let interval = format!("{:.3}  {:.3} to {:.3}", c.uf1_sd, c.ci95[0], c.ci95[1]);
        format!("{:<10}{}{interval}", self.method.name(), cells.collect::<String>())
    }
}

/// Scores of methods in the same folds.
pub struct RecognitionReport {
    samples: usize,
    /// A row a method.
    pub rows: Vec<Row>,
    /// First method against each other one: difference of UF1 and p.
    paired: Vec<(Method, Method, f64, f64)>,
    /// Calibration error of the untouched student.
    ece: Option<f64>,
}

impl RecognitionReport {
    /// Scores predictions: composite, each database, each method against the first.
    pub fn new(
        samples: &[FlowSample],
        predictions: &[(Method, Predictions)],
        ece: Option<f64>,
    ) -> Result<Self> {
        let mut databases: Vec<&str> = samples.iter().map(|s| s.database.as_str()).collect();
        databases.sort_unstable();
        databases.dedup();
        let cell = |scored: &BySubject| {
            let totals = scored.totals();
            let scores = |f: fn(&Confusion) -> f64| totals.iter().map(f).collect::<Vec<_>>();
            let ((uf1, uf1_sd), (uar, _)) = (mean_sd(&scores(|c| c.uf1())), mean_sd(&scores(|c| c.uar())));
            Cell { uf1, uar, uf1_sd, ci95: scored.interval(1) }
        };
        let rows: Vec<Row> = predictions
            .iter()
            .map(|(method, predicted)| {
                let all = by_subject(samples, predicted, |_| true);
                let mut cells = vec![("composite".to_owned(), cell(&all))];
                for d in &databases {
                    cells.push((
                        (*d).to_owned(),
                        cell(&by_subject(samples, predicted, |s| s.database == **d)),
                    ));
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

    /// As one JSON object.
    pub fn json(&self) -> Value {
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

    /// As a table on stdout.
    pub fn print(&self) {
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
            "{} samples; settings of glint scored on such images in all: {SETTINGS_SCORED}, and about 200 in the \
             study whose findings are used",
            self.samples
        );
    }

    /// Into the folder of a run, which it finishes.
    pub fn keep(&self, run: Run) -> Result<()> {
        run.log(&self.json())?;
        for row in &self.rows {
            if let Some(total) = row.all.totals().first() {
                let name = row.method.name();
                run.plot(
                    &format!("confusion-{name}.svg"),
                    &format!("Confusion of {name}, first seed"),
                    &plot::confusion(&total.0, Class::NAMES),
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
    use super::super::megc;
    use super::super::protocol::{PreparedSamples, leave_one_out, student};
    use super::*;

    #[test]
    fn report_and_predictions_have_the_keys_of_the_contract() {
        let dir = megc::tests::folder(4);
        let samples = megc::load(dir.path()).expect("samples");
        let mut student = student(None).expect("student");
        let material = PreparedSamples::new(&samples, &mut student).expect("material");
        let bar = indicatif::ProgressBar::hidden();
        let predictions: Vec<(Method, Predictions)> = [Method::Glint, Method::Logreg]
            .map(|m| (m, leave_one_out(&material, m, 1, &bar).expect("runs")))
            .into();
        let report = RecognitionReport::new(&samples, &predictions, None).expect("report").json();
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
        write_csv(&csv, &samples, &predictions).expect("writes");
        let text = std::fs::read_to_string(csv).expect("text");
        assert!(text.starts_with(
            "method,seed,database,subject,file,truth,prediction\nglint,0,smic,s00,0_0.png,negative,"
        ));
        assert_eq!(text.lines().count(), 1 + 2 * 24);
    }
}

//! Temperature and abstention of the student, from rendered pairs of people who train nothing.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use glint::event::Class;
use glint::model::{Checked, FileSpec, Lineage, sha256_hex};
use glint::student::{Student, StudentSpec};
use serde_json::json;

use super::recipe::{Abstention, StudentRecipe};
use super::teachers::Teachers;
use crate::corpus::person::{self, Person, Split};
use crate::run::{Run, plot};
use crate::statistics::score::{
    Confusion, argmax, calibration_error, probabilities, reliability, temperature,
};
use crate::train::student::{Noise, SyntheticMaterial, TrainingSample};

/// Rendered pairs of people who train nothing.
pub struct Held {
    calibration: Vec<TrainingSample>,
    report: Vec<TrainingSample>,
}

/// What a student's confidence needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    /// Divides the logits.
    pub temperature: f32,
    /// Confidence below which the student abstains.
    pub threshold: f32,
}

impl Calibration {
    fn spec(self, file: FileSpec, lineage: Lineage) -> StudentSpec {
        let (temperature, min_confidence) = (self.temperature, self.threshold);
        let lineage = Some(lineage).filter(|l| *l != Lineage::default());
        StudentSpec { file, classes: Class::ALL.to_vec(), temperature, min_confidence, lineage }
    }

    pub(super) fn write(self, dir: &Path, bytes: &[u8], made_by: &str, lineage: &Lineage) -> Result<()> {
        crate::ship::write(dir, "student", "onnx", bytes, made_by, |file| self.spec(file, lineage.clone()))
    }
}

impl Held {
    /// Renders them.
    pub fn render(recipe: &StudentRecipe, assets: &Path, seed: u64) -> Result<Self> {
        let people = person::people(assets, Split::HeldOut, recipe.held_out_people, seed)?.people;
        let (mut half, mut other): (Vec<Person>, Vec<Person>) = (Vec::new(), Vec::new());
        for (i, p) in people.into_iter().enumerate() {
            // People come as portrait, head, portrait, ...: both halves get both kinds.
            if i / 2 % 2 == 0 { half.push(p) } else { other.push(p) }
        }
        let material = SyntheticMaterial {
            fields: 0,
            rendered: recipe.held_out_pairs / 2,
            noise: Noise { rendered: 0.0, ..recipe.material.noise.clone() },
            ..recipe.material.clone()
        };
        Ok(Self {
            calibration: material.pairs(&half, seed ^ 0x63)?,
            report: material.pairs(&other, seed ^ 0x72)?,
        })
    }

    /// Logs how well the teachers' mean does.
    pub fn report_teachers(&self, teachers: &Teachers, run: &Run) -> Result<()> {
        let all = confusion(&teachers.mean_probabilities(&self.report)?, &self.report);
        let summary =
            json!({"held_out_pairs": self.report.len(), "teacher_uf1": all.uf1(), "teacher_uar": all.uar()});
        println!("{summary}");
        run.log(&summary)
    }

    /// UF1 of the teachers' mean and of a student's file on the people who are reported.
    pub fn scores(&self, teachers: &Teachers, student: &mut Student) -> Result<[f64; 2]> {
        let outputs = [teachers.mean_probabilities(&self.report)?, log_odds(student, &self.report)?];
        Ok(outputs.map(|outputs| confusion(&outputs, &self.report).uf1()))
    }

    /// Chooses temperature and threshold on one half of the people and reports on the other: stdout, run folder.
    pub fn calibrate(
        &self,
        recipe: &StudentRecipe,
        teachers: &Teachers,
        [float, int8]: [&[u8]; 2],
        run: &Run,
    ) -> Result<Calibration> {
        let (mut float, mut int8) = (deployed(float)?, deployed(int8)?);
        let classes = |pairs: &[TrainingSample]| pairs.iter().map(|p| p.class).collect::<Vec<_>>();
        let (known, logits) = (classes(&self.calibration), log_odds(&mut int8, &self.calibration)?);
        let temperature = temperature(&logits, &known);
        let calm =
            |logits: &[[f32; 3]]| logits.iter().map(|z| probabilities(z, temperature)).collect::<Vec<_>>();
        let threshold = threshold(&calm(&logits), &known, &recipe.abstention);

        let truth = classes(&self.report);
        let predicted = calm(&log_odds(&mut int8, &self.report)?);
        let bins = reliability(&predicted, &truth);
        let pairs = || predicted.iter().zip(&truth);
        let all = Confusion::from_pairs(pairs().map(|(p, &c)| (c, argmax(p))));
        let sure = Confusion::from_pairs(
            pairs().filter(|(p, _)| p[argmax(p)] >= threshold).map(|(p, &c)| (c, argmax(p))),
        );
        let kept: u32 = sure.0.iter().flatten().sum();
        let abstained = 1.0 - f64::from(kept) / truth.len() as f64;
        let (teacher, float) =
            (teachers.mean_probabilities(&self.report)?, log_odds(&mut float, &self.report)?);
        let [of_teacher, of_float] = [&teacher, &float].map(|predicted| confusion(predicted, &self.report));
        let agreement = |other: &[[f32; 3]]| {
            other.iter().zip(&predicted).filter(|(a, b)| argmax(a) == argmax(b)).count() as f64
                / truth.len() as f64
        };
        let ece = calibration_error(&bins);
        let summary = json!({
            "held_out_pairs": truth.len(), "int8_uf1": all.uf1(), "int8_uar": all.uar(), "ece": ece,
            "temperature": temperature, "threshold": threshold, "abstained": abstained,
            "uf1_not_abstained": sure.uf1(), "teacher_uf1": of_teacher.uf1(), "f32_uf1": of_float.uf1(),
            "agreement_with_teacher": agreement(&teacher), "agreement_with_f32": agreement(&float),
        });
        run.log(&summary)?;
        println!("{summary}");
        run.plot("confusion.svg", "People who trained nothing", &plot::confusion(&all.0, Class::NAMES))?;
        run.plot("calibration.svg", "Confidence and accuracy", &plot::calibration(&bins))?;
        let summary = summary.as_object().context("summary")?;
        let rows: Vec<Vec<String>> = summary.iter().map(|(k, v)| vec![k.clone(), v.to_string()]).collect();
        run.table("Rendered pairs of people who trained nothing", &["what", "value"], &rows);
        Ok(Calibration { temperature, threshold })
    }
}

/// What was said of samples against their classes.
fn confusion(outputs: &[[f32; 3]], samples: &[TrainingSample]) -> Confusion {
    Confusion::from_pairs(outputs.iter().zip(samples).map(|(p, sample)| (sample.class, argmax(p))))
}

/// The student of a file in memory, as the daemon runs it, with temperature 1.
pub(super) fn deployed(bytes: &[u8]) -> Result<Student> {
    let sha256 = sha256_hex(bytes);
    let file = FileSpec {
        kind: "student".into(),
        file: "student.onnx".into(),
        sha256: sha256.clone(),
        made_by: String::new(),
    };
    let spec = Calibration { temperature: 1.0, threshold: 0.0 }.spec(file, Lineage::default());
    Ok(Student::new(&Checked { path: "student.onnx".into(), spec, sha256, bytes: bytes.to_vec().into() })?)
}

/// Log odds of samples, through the daemon's own model.
fn log_odds(student: &mut Student, pairs: &[TrainingSample]) -> Result<Vec<[f32; 3]>> {
    let odds = |p: &TrainingSample| {
        Ok(student.probabilities(&p.motion).map_err(|e| anyhow!(e))?.map(|p| p.max(1e-9).ln()))
    };
    pairs.iter().map(odds).collect()
}

/// The least confidence from which on answers are as accurate as wanted.
fn threshold(probabilities: &[[f32; 3]], classes: &[usize], wanted: &Abstention) -> f32 {
    let mut answers: Vec<(f32, bool)> =
        probabilities.iter().zip(classes).map(|(p, &c)| (p[argmax(p)], argmax(p) == c)).collect();
    answers.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut least = wanted.greatest;
    let mut right = 0.0;
    for (i, (confidence, correct)) in answers.iter().enumerate() {
        right += f32::from(*correct);
        // Answers of one confidence stand or fall together.
        let last = answers.get(i + 1).is_none_or(|next| next.0 < *confidence);
        if last && right / (i + 1) as f32 >= wanted.accuracy {
            least = least.min(*confidence);
        }
    }
    // A guess among three is right in a third of the cases.
    (least.clamp(1.0 / 3.0, wanted.greatest) * 1000.0).floor() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_keeps_answers_accurate() {
        // Sure answers are right, others in half of the cases.
        let probabilities: Vec<[f32; 3]> =
            (0..200).map(|i| if i < 100 { [0.9, 0.05, 0.05] } else { [0.5, 0.3, 0.2] }).collect();
        let classes: Vec<usize> = (0..200).map(|i| usize::from(i >= 100 && i % 2 == 0)).collect();
        let wanted = |accuracy| Abstention { accuracy, greatest: 0.8 };
        assert_eq!(threshold(&probabilities, &classes, &wanted(0.95)), 0.8);
        assert_eq!(threshold(&probabilities, &classes, &wanted(0.7)), 0.5);
    }
}

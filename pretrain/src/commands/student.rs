//! `glint-pretrain student`: teachers, student, calibration and export, one after the other.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use glint::event::Class;
use glint::model::{Checked, FileSpec, parse_onnx, sha256_hex};
use glint::student::{SIDE, Student, StudentSpec};
use indicatif::ProgressBar;
use prost::Message;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::corpus::person::{self, Person, Split};
use crate::net::perceptron::Perceptron;
use crate::quantize::{evenly, quantise};
use crate::recognition::megc::{self, Sample};
use crate::recognition::protocol::{self, Method, leave_one_out};
use crate::recognition::tuning;
use crate::run::{Run, plot, recipe};
use crate::statistics::score::{
    Confusion, argmax, calibration_error, probabilities, reliability, temperature,
};
use crate::train::student::{Material, Noise, Pair, Target, Training, ensemble, rows, train};

/// Trains teachers on synthetic motion, distils the student from them, calibrates it on other people and writes
/// student.onnx and student.toml.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain student --assets ../data --seed 1")]
pub struct Args {
    /// Folder with `portraits/` and `ict/`.
    #[arg(long)]
    assets: PathBuf,
    /// Folder for the model files.
    #[arg(long, default_value = "models")]
    out: PathBuf,
    /// Seed of people, movements and weights.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// TOML recipe; without it the built-in `recipes/student.toml`.
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// Folder of labelled samples (`index.csv`, `flow/`): a regression on them is added to the student.
    #[arg(long, value_name = "DIR")]
    labelled: Option<PathBuf>,
    /// A run of seconds: shows that it works, not what it can.
    #[arg(long)]
    quick: bool,
    /// Continues an interrupted run.
    #[arg(long)]
    resume: bool,
}

/// Training samples on which activations are watched for their scales.
const QUANTISATION_SAMPLES: usize = 400;

/// Everything that is fixed beforehand.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Networks whose mean the student learns.
    pub teachers: usize,
    /// People who train nothing: half of them calibrate, half are reported.
    pub held_out_people: usize,
    /// Rendered pairs of these people.
    pub held_out_pairs: usize,
    /// Training samples.
    pub material: Material,
    /// How a teacher is trained.
    pub teacher: Training,
    /// How the student is trained.
    pub student: Training,
    /// When the student says nothing.
    pub abstention: Abstention,
}

/// How the threshold of abstention is chosen.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Abstention {
    /// Accuracy wanted of what is not abstained from.
    pub accuracy: f32,
    /// The threshold is never above this.
    pub greatest: f32,
}

impl Recipe {
    /// Reads a recipe, or the built-in one.
    pub fn read(path: Option<&Path>, quick: bool) -> Result<Self> {
        let mut recipe: Self =
            recipe::read(path, "recipes/student.toml", include_str!("../../recipes/student.toml"))?;
        if quick {
            (recipe.teachers, recipe.held_out_people, recipe.held_out_pairs) = (2, 4, 120);
            let material = &mut recipe.material;
            (material.people, material.fields, material.rendered) = (6, 600, 60);
            for training in [&mut recipe.teacher, &mut recipe.student] {
                (training.schedule.steps, training.schedule.batch) = (40, 64);
            }
        }
        ensure!(
            recipe.teachers > 0 && recipe.held_out_people >= 2,
            "recipe: teachers or held_out_people is too small"
        );
        Ok(recipe)
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let recipe = Recipe::read(args.recipe.as_deref(), args.quick)?;
    let run = Run::start("student", args.seed, &recipe, args.resume)?;
    let training = material(&recipe, &args.assets, args.seed)?;
    let inputs = rows(&training);
    let teachers = teachers(&recipe, &training, &inputs, args.seed, &run)?;
    let mut student = distil(&recipe, &training, &inputs, &teachers, args.seed, &run)?;
    let mut made_by = format!("glint-pretrain student --assets DIR --seed {}", args.seed);
    if let Some(path) = &args.recipe {
        made_by += &format!(" --recipe {}", path.display());
    }
    if let Some(dir) = &args.labelled {
        tune(&mut student, &megc::load(dir)?, &training, &run)?;
        made_by += " --labelled DIR";
    }
    if args.quick {
        made_by += " --quick";
    }
    finish(&recipe, &args.assets, args.seed, (&teachers, &student, &training), (&args.out, &made_by), run)
}

/// Tunes the student on labelled samples, and says what that is worth on people whose labels are not seen.
fn tune(student: &mut Perceptron, samples: &[Sample], training: &[Pair], run: &Run) -> Result<()> {
    if megc::subjects(samples).len() < 2 {
        eprintln!("warning: one subject alone: what tuning is worth on others cannot be told");
    } else {
        let mut untouched = deployed(&quantised(&student.export(), training)?)?;
        let material = protocol::Material::new(samples, &mut untouched)?;
        let all: Vec<usize> = (0..samples.len()).collect();
        let uf1 =
            |said: &[usize]| Confusion::of(samples.iter().map(|s| s.class).zip(said.iter().copied())).uf1();
        let tuned = leave_one_out(&material, Method::Glint, 1, &ProgressBar::hidden())?;
        let [untouched, tuned] = [uf1(&material.zero_shot(&all)), uf1(&tuned[0])];
        let said =
            json!({"labelled": samples.len(), "uf1_untouched": untouched, "uf1_tuned_left_out": tuned});
        run.log(&said)?;
        eprintln!("{said}");
        if tuned <= untouched {
            eprintln!("warning: leaving one subject out, tuning does not help on these samples");
        }
    }
    tuning::tune(student, samples);
    Ok(())
}

/// Quantises, calibrates and writes a student: the int8 form to `out`, the f32 form beside the run.
pub fn finish(
    recipe: &Recipe,
    assets: &Path,
    seed: u64,
    (teachers, student, training): (&[Perceptron], &Perceptron, &[Pair]),
    (out, made_by): (&Path, &str),
    run: Run,
) -> Result<()> {
    let float = student.export();
    let int8 = quantised(&float, training)?;
    let held = Held::render(recipe, assets, seed)?;
    let calibration = held.calibrate(recipe, teachers, [&float, &int8], &run)?;
    // Both forms can be measured on the same samples: `evaluate megc2019 --zero-shot --models`.
    calibration.write(&run.dir().join("f32"), &float, made_by)?;
    calibration.write(out, &int8, made_by)?;
    run.finish()
}

/// The int8 form of the student, calibrated on training samples.
fn quantised(float: &[u8], training: &[Pair]) -> Result<Vec<u8>> {
    let model = parse_onnx(float).map_err(|e| anyhow!(e))?;
    let step = (training.len() / QUANTISATION_SAMPLES).max(1);
    let inputs: Vec<Vec<f32>> = training.iter().step_by(step).map(|p| p.motion.clone()).collect();
    let done = quantise(&model, [1, 3, SIDE, SIDE], &inputs, evenly)?;
    eprintln!("int8: error {:.4} of the logits' spread, on {} inputs", done.relative_error[0], inputs.len());
    Ok(done.model.encode_to_vec())
}

/// The student of a file in memory, as the daemon runs it, with temperature 1.
fn deployed(bytes: &[u8]) -> Result<Student> {
    let sha256 = sha256_hex(bytes);
    let spec = Calibration { temperature: 1.0, threshold: 0.0 }.spec(FileSpec {
        kind: "student".into(),
        file: "student.onnx".into(),
        sha256: sha256.clone(),
        made_by: String::new(),
    });
    Ok(Student::new(&Checked { path: "student.onnx".into(), spec, sha256, bytes: bytes.to_vec().into() })?)
}

/// Log odds of samples, through the daemon's own model.
fn log_odds(student: &mut Student, pairs: &[Pair]) -> Result<Vec<[f32; 3]>> {
    let of =
        |p: &Pair| Ok(student.probabilities(&p.motion).map_err(|e| anyhow!(e))?.map(|p| p.max(1e-9).ln()));
    pairs.iter().map(of).collect()
}

/// Training samples of a recipe.
pub fn material(recipe: &Recipe, assets: &Path, seed: u64) -> Result<Vec<Pair>> {
    let people = person::people(assets, Split::Train, recipe.material.people, seed)?;
    recipe.material.pairs(&people.people, seed)
}

/// Trains the teachers.
pub fn teachers(
    recipe: &Recipe,
    pairs: &[Pair],
    inputs: &[f32],
    seed: u64,
    run: &Run,
) -> Result<Vec<Perceptron>> {
    (0..recipe.teachers)
        .map(|k| {
            let seed = seed.wrapping_mul(1000).wrapping_add(k as u64);
            train(pairs, inputs, &Target::Class, &recipe.teacher, &format!("teacher-{k}"), seed, run)
        })
        .collect()
}

/// Trains the student on what its teachers say.
pub fn distil(
    recipe: &Recipe,
    pairs: &[Pair],
    inputs: &[f32],
    teachers: &[Perceptron],
    seed: u64,
    run: &Run,
) -> Result<Perceptron> {
    let said = ensemble(teachers, inputs)?;
    let student = train(
        pairs,
        inputs,
        &Target::Teacher(&said),
        &recipe.student,
        "student",
        seed.wrapping_mul(1000) + 999,
        run,
    )?;
    ensure!(student.parameters() <= 150_000, "the student has {} parameters", student.parameters());
    Ok(student)
}

/// Rendered pairs of people who train nothing.
pub struct Held {
    calibration: Vec<Pair>,
    report: Vec<Pair>,
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
    fn spec(self, file: FileSpec) -> StudentSpec {
        let (temperature, min_confidence) = (self.temperature, self.threshold);
        StudentSpec { file, classes: Class::ALL.to_vec(), temperature, min_confidence }
    }

    fn write(self, dir: &Path, bytes: &[u8], made_by: &str) -> Result<()> {
        crate::ship::write(dir, "student", "onnx", bytes, made_by, |file| self.spec(file))
    }
}

impl Held {
    /// Renders them.
    pub fn render(recipe: &Recipe, assets: &Path, seed: u64) -> Result<Self> {
        let people = person::people(assets, Split::HeldOut, recipe.held_out_people, seed)?.people;
        let (mut half, mut other): (Vec<Person>, Vec<Person>) = (Vec::new(), Vec::new());
        for (i, p) in people.into_iter().enumerate() {
            // People come as portrait, head, portrait, ...: both halves get both kinds.
            if i / 2 % 2 == 0 { half.push(p) } else { other.push(p) }
        }
        let material = Material {
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
    pub fn report_teachers(&self, teachers: &[Perceptron], run: &Run) -> Result<()> {
        let said = ensemble(teachers, &rows(&self.report))?;
        let all = Confusion::of(said.iter().zip(&self.report).map(|(p, pair)| (pair.class, argmax(p))));
        let summary =
            json!({"held_out_pairs": self.report.len(), "teacher_uf1": all.uf1(), "teacher_uar": all.uar()});
        println!("{summary}");
        run.log(&summary)
    }

    /// Chooses temperature and threshold on one half of the people and reports on the other: stdout, run folder.
    pub fn calibrate(
        &self,
        recipe: &Recipe,
        teachers: &[Perceptron],
        [float, int8]: [&[u8]; 2],
        run: &Run,
    ) -> Result<Calibration> {
        let (mut float, mut int8) = (deployed(float)?, deployed(int8)?);
        let classes = |pairs: &[Pair]| pairs.iter().map(|p| p.class).collect::<Vec<_>>();
        let (known, logits) = (classes(&self.calibration), log_odds(&mut int8, &self.calibration)?);
        let temperature = temperature(&logits, &known);
        let calm =
            |logits: &[[f32; 3]]| logits.iter().map(|z| probabilities(z, temperature)).collect::<Vec<_>>();
        let threshold = threshold(&calm(&logits), &known, &recipe.abstention);

        let (truth, inputs) = (classes(&self.report), rows(&self.report));
        let said = calm(&log_odds(&mut int8, &self.report)?);
        let bins = reliability(&said, &truth);
        let pairs = || said.iter().zip(&truth);
        let all = Confusion::of(pairs().map(|(p, &c)| (c, argmax(p))));
        let sure =
            Confusion::of(pairs().filter(|(p, _)| p[argmax(p)] >= threshold).map(|(p, &c)| (c, argmax(p))));
        let kept: u32 = sure.0.iter().flatten().sum();
        let abstained = 1.0 - f64::from(kept) / truth.len() as f64;
        let teacher = ensemble(teachers, &inputs)?;
        let of_teacher = Confusion::of(teacher.iter().zip(&truth).map(|(p, &c)| (c, argmax(p))));
        let float = log_odds(&mut float, &self.report)?;
        let of_float = Confusion::of(float.iter().zip(&truth).map(|(p, &c)| (c, argmax(p))));
        let agreement = |other: &[[f32; 3]]| {
            other.iter().zip(&said).filter(|(a, b)| argmax(a) == argmax(b)).count() as f64
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
        let names = ["negative", "positive", "surprise"];
        run.figure("confusion.png", "People who trained nothing", &plot::confusion(&all.0, names))?;
        run.figure("calibration.png", "Confidence and accuracy", &plot::calibration(&bins))?;
        let summary = summary.as_object().context("summary")?;
        let rows: Vec<Vec<String>> = summary.iter().map(|(k, v)| vec![k.clone(), v.to_string()]).collect();
        run.table("Rendered pairs of people who trained nothing", &["what", "value"], &rows);
        Ok(Calibration { temperature, threshold })
    }
}

/// The least confidence from which on answers are as accurate as wanted.
pub fn threshold(said: &[[f32; 3]], classes: &[usize], wanted: &Abstention) -> f32 {
    let mut answers: Vec<(f32, bool)> =
        said.iter().zip(classes).map(|(p, &c)| (p[argmax(p)], argmax(p) == c)).collect();
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
    fn the_built_in_recipe_is_read() {
        let recipe = Recipe::read(None, false).expect("recipe");
        assert!(recipe.teachers >= 3);
    }

    #[test]
    fn the_threshold_keeps_answers_accurate() {
        // Sure answers are right, others in half of the cases.
        let said: Vec<[f32; 3]> =
            (0..200).map(|i| if i < 100 { [0.9, 0.05, 0.05] } else { [0.5, 0.3, 0.2] }).collect();
        let classes: Vec<usize> = (0..200).map(|i| usize::from(i >= 100 && i % 2 == 0)).collect();
        let wanted = |accuracy| Abstention { accuracy, greatest: 0.8 };
        assert_eq!(threshold(&said, &classes, &wanted(0.95)), 0.8);
        assert_eq!(threshold(&said, &classes, &wanted(0.7)), 0.5);
    }
}

//! From a trained student to its files: tuning on labelled samples, the int8 form, calibration.

use std::path::Path;

use anyhow::{Result, anyhow};
use glint::model::parse_onnx;
use glint::student::SIDE;
use indicatif::ProgressBar;
use prost::Message;
use serde_json::json;

use super::calibration::{Held, deployed};
use super::recipe::StudentRecipe;
use super::teachers::Teachers;
use crate::net::perceptron::Perceptron;
use crate::quantize::{evenly, quantize};
use crate::recognition::megc::{self, FlowSample};
use crate::recognition::protocol::{self, Method, leave_one_out};
use crate::recognition::tuning;
use crate::run::Run;
use crate::statistics::score::Confusion;
use crate::train::student::TrainingSample;

/// Training samples on which activations are watched for their scales.
const QUANTIZATION_SAMPLES: usize = 400;

/// Tunes the student on labelled samples, and says what that is worth on people whose labels are not seen.
pub fn tune(
    student: &mut Perceptron,
    samples: &[FlowSample],
    training: &[TrainingSample],
    run: &Run,
) -> Result<()> {
    if megc::subjects(samples).len() < 2 {
        eprintln!("warning: one subject alone: what tuning is worth on others cannot be told");
    } else {
        let mut untouched = deployed(&quantized(&student.export(), training)?)?;
        let material = protocol::PreparedSamples::new(samples, &mut untouched)?;
        let all: Vec<usize> = (0..samples.len()).collect();
        let uf1 = |predicted: &[usize]| {
            Confusion::from_pairs(samples.iter().map(|s| s.class).zip(predicted.iter().copied())).uf1()
        };
        let tuned = leave_one_out(&material, Method::Glint, 1, &ProgressBar::hidden())?;
        let [untouched, tuned] = [uf1(&material.zero_shot(&all)), uf1(&tuned[0])];
        let summary =
            json!({"labelled": samples.len(), "uf1_untouched": untouched, "uf1_tuned_left_out": tuned});
        run.log(&summary)?;
        eprintln!("{summary}");
        if tuned <= untouched {
            eprintln!("warning: leaving one subject out, tuning does not help on these samples");
        }
    }
    tuning::tune(student, samples);
    Ok(())
}

/// Quantizes, calibrates and writes a student: the int8 form to `out`, the f32 form beside the run.
pub fn finish(
    recipe: &StudentRecipe,
    assets: &Path,
    seed: u64,
    (teachers, student, training): (&Teachers, &Perceptron, &[TrainingSample]),
    (out, made_by): (&Path, &str),
    run: Run,
) -> Result<()> {
    let float = student.export();
    let int8 = quantized(&float, training)?;
    let held = Held::render(recipe, assets, seed)?;
    let calibration = held.calibrate(recipe, teachers, [&float, &int8], &run)?;
    // Both forms can be measured on the same samples: `evaluate megc2019 --zero-shot --models`.
    let lineage = teachers.descent()?;
    calibration.write(&run.dir().join("f32"), &float, made_by, &lineage)?;
    calibration.write(out, &int8, made_by, &lineage)?;
    run.finish()
}

/// The int8 form of the student, calibrated on training samples.
pub(super) fn quantized(float: &[u8], training: &[TrainingSample]) -> Result<Vec<u8>> {
    let model = parse_onnx(float).map_err(|e| anyhow!(e))?;
    let step = (training.len() / QUANTIZATION_SAMPLES).max(1);
    let inputs: Vec<Vec<f32>> = training.iter().step_by(step).map(|p| p.motion.clone()).collect();
    let done = quantize(&model, [1, 3, SIDE, SIDE], &inputs, evenly)?;
    eprintln!("int8: error {:.4} of the logits' spread, on {} inputs", done.relative_error[0], inputs.len());
    Ok(done.model.encode_to_vec())
}

//! `glint-pretrain au`: fits the table of AU fields.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use glint::au::UNIT_COUNT;
use glint::face::{CROP_HEIGHT, CROP_WIDTH};
use glint::flow::{FlowEngine, Settings};
use glint::gate::{AuSpec, FEATURES, Thresholds, features};
use glint::geometry::Similarity;
use glint::synth::{Pack, Subject, render_crop};
use rand::Rng;
use rayon::prelude::*;

use crate::augment::{generator, normal};

/// Renders faces with known intensities, measures their flow as the daemon does and fits the field of
/// every AU and side: au.bin and au.toml.
#[derive(clap::Args)]
pub struct Args {
    /// Folder for the model files.
    #[arg(long, default_value = "models")]
    out: PathBuf,
    /// Seed of the faces.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Rendered faces.
    #[arg(long, default_value_t = 3000)]
    samples: usize,
}

/// Faces a person: one neutral reference serves them all.
const FACES_A_PERSON: usize = 10;
/// Pull of a field towards zero, in units of one sample at full intensity.
const RIDGE: f64 = 0.5;

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    ensure!(args.samples >= 20 * UNIT_COUNT, "--samples: at least {}", 20 * UNIT_COUNT);
    let pack = Pack::embedded()?;
    let people = args.samples.div_ceil(FACES_A_PERSON);
    let rows: Vec<([f32; UNIT_COUNT], Vec<f32>)> = (0..people)
        .into_par_iter()
        .flat_map_iter(|person| {
            let mut rng = generator(args.seed, person as u64);
            let subject = Subject::random(pack.clone(), rng.random());
            let mut engine = FlowEngine::new(CROP_WIDTH, CROP_HEIGHT, Settings::QUICK);
            let mut crop = Vec::new();
            // The neutral reference is a mean over many frames: nearly free of noise.
            render_crop(&subject, &[0.0; UNIT_COUNT], &Similarity::IDENTITY, (0.1, rng.random()), &mut crop);
            engine.set_reference(&crop);
            (0..FACES_A_PERSON)
                .map(|_| {
                    let fractions = random_fractions(&mut rng);
                    let jitter = Similarity {
                        tx: 0.03 * normal(&mut rng),
                        ty: 0.03 * normal(&mut rng),
                        ..Similarity::IDENTITY
                    };
                    let noise = rng.random_range(0.3..2.0);
                    render_crop(&subject, &fractions, &jitter, (noise, rng.random()), &mut crop);
                    let mut row = vec![0.0; FEATURES];
                    features(engine.run(&crop), &mut row);
                    (fractions, row)
                })
                .collect::<Vec<_>>()
        })
        .collect();

    // Least squares of every feature on the fractions: (A'A + ridge) B = A'F.
    let mut gram = vec![vec![0.0f64; UNIT_COUNT]; UNIT_COUNT];
    let mut right = vec![vec![0.0f64; FEATURES]; UNIT_COUNT];
    for (fractions, row) in &rows {
        for (i, &a) in fractions.iter().enumerate().filter(|(_, a)| **a > 0.0) {
            for (g, &b) in gram[i].iter_mut().zip(fractions) {
                *g += f64::from(a * b);
            }
            for (r, &f) in right[i].iter_mut().zip(row) {
                *r += f64::from(a * f);
            }
        }
    }
    for (i, g) in gram.iter_mut().enumerate() {
        g[i] += RIDGE;
    }
    eliminate(&mut gram, &mut right);
    let mut variance = vec![0.0f64; FEATURES];
    for (fractions, row) in &rows {
        for (k, (v, f)) in variance.iter_mut().zip(row).enumerate() {
            let explained: f64 = fractions
                .iter()
                .zip(&right)
                .filter(|(a, _)| **a > 0.0)
                .map(|(a, field)| f64::from(*a) * field[k])
                .sum();
            *v += (f64::from(*f) - explained).powi(2) / rows.len() as f64;
        }
    }
    let fields = right.iter().flatten().map(|v| *v as f32);
    // A floor: nothing is measured better than a hundredth of a pixel.
    let deviation = variance.iter().map(|v| v.sqrt().max(0.01) as f32);
    let bytes: Vec<u8> = fields.chain(deviation).flat_map(f32::to_le_bytes).collect();
    let made_by = format!("glint-pretrain au --seed {} --samples {}", args.seed, args.samples);
    crate::ship::write(&args.out, "au", "bin", &bytes, &made_by, |file| AuSpec {
        file,
        thresholds: Thresholds::uniform(DEFAULT_THRESHOLD),
    })
}

/// Between a tenth and a fifth of the full movement observers begin to see something in small
/// movements; letter A begins at 0.5. One value for all AUs until thresholds are measured.
const DEFAULT_THRESHOLD: f32 = 0.45;

/// One to four units, weak ones more often than strong ones; both sides together more often than one.
fn random_fractions(rng: &mut impl Rng) -> [f32; UNIT_COUNT] {
    let mut out = [0.0; UNIT_COUNT];
    for _ in 0..rng.random_range(1..=3) {
        let au = glint::au::AUS[rng.random_range(0..glint::au::AU_COUNT)];
        let value = 0.7 * rng.random::<f32>().powi(2) + 0.03;
        let side = match rng.random_range(0..10) {
            0..=2 => glint::au::Side::Left,
            3..=5 => glint::au::Side::Right,
            _ => glint::au::Side::Both,
        };
        glint::au::unit_indices(au, side).for_each(|k| out[k] = value);
    }
    out
}

/// Gauss-Jordan elimination of a symmetric positive matrix with many right sides.
fn eliminate(matrix: &mut [Vec<f64>], right: &mut [Vec<f64>]) {
    let n = matrix.len();
    for i in 0..n {
        let pivot = 1.0 / matrix[i][i];
        matrix[i].iter_mut().for_each(|v| *v *= pivot);
        right[i].iter_mut().for_each(|v| *v *= pivot);
        let (row, side) = (matrix[i].clone(), right[i].clone());
        for k in (0..n).filter(|&k| k != i) {
            let factor = matrix[k][i];
            if factor != 0.0 {
                matrix[k].iter_mut().zip(&row).for_each(|(v, r)| *v -= factor * r);
                right[k].iter_mut().zip(&side).for_each(|(v, r)| *v -= factor * r);
            }
        }
    }
}

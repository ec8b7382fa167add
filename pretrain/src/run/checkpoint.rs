//! The state of a training, written so that it can be continued with the same result.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use burn::module::AutodiffModule;
use burn::optim::Optimizer;
use burn::record::{BinBytesRecorder, FullPrecisionSettings, Record, Recorder};

use super::Run;
use crate::train::CpuTrain;

const MAGIC: &[u8; 8] = b"glintst1";

/// Where a stage stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Steps done.
    pub step: usize,
    /// Running mean of the loss.
    pub mean: Option<f32>,
}

/// File of a stage.
fn path(run: &Run, stage: &str) -> PathBuf {
    run.dir().join(format!("{stage}.state"))
}

fn bytes<R: Record<CpuTrain>>(record: R) -> Result<Vec<u8>> {
    Ok(BinBytesRecorder::<FullPrecisionSettings>::default().record(record, ())?)
}

fn record<R: Record<CpuTrain>>(bytes: &[u8]) -> Result<R> {
    Ok(BinBytesRecorder::<FullPrecisionSettings>::default().load(bytes.to_vec(), &Default::default())?)
}

/// Writes the state of `stage`: network, optimiser, progress, length of the metrics.
pub fn save<M, O>(run: &Run, stage: &str, model: &M, optimiser: &O, progress: Progress) -> Result<()>
where
    M: AutodiffModule<CpuTrain>,
    O: Optimizer<M, CpuTrain>,
{
    let (model, optimiser) = (bytes(model.clone().into_record())?, bytes(optimiser.to_record())?);
    let mut out = MAGIC.to_vec();
    out.extend((progress.step as u64).to_le_bytes());
    out.extend(progress.mean.unwrap_or(f32::NAN).to_le_bytes());
    out.extend(run.logged()?.to_le_bytes());
    out.extend((model.len() as u64).to_le_bytes());
    out.extend(model);
    out.extend(optimiser);
    // A crash while writing leaves the old state whole.
    let (path, fresh) = (path(run, stage), path(run, &format!("{stage}.new")));
    std::fs::write(&fresh, out).with_context(|| fresh.display().to_string())?;
    std::fs::rename(&fresh, &path).with_context(|| path.display().to_string())
}

/// Reads the state of `stage` where the run resumes and has one. Of a stage that has not done its `steps`, metrics that
/// were logged later are forgotten.
pub fn load<M, O>(run: &Run, stage: &str, steps: usize, model: M, optimiser: O) -> Result<(M, O, Progress)>
where
    M: AutodiffModule<CpuTrain>,
    O: Optimizer<M, CpuTrain>,
{
    let path = path(run, stage);
    if !run.resumes() || !path.exists() {
        return Ok((model, optimiser, Progress { step: 0, mean: None }));
    }
    let data = std::fs::read(&path).with_context(|| path.display().to_string())?;
    let parsed = parse(&data).with_context(|| path.display().to_string())?;
    let model = model.load_record(record(parsed.model)?);
    let optimiser = optimiser.load_record(record(parsed.optimiser)?);
    if parsed.progress.step < steps {
        run.rewind(parsed.logged)?;
    }
    Ok((model, optimiser, parsed.progress))
}

struct Parsed<'a> {
    progress: Progress,
    logged: u64,
    model: &'a [u8],
    optimiser: &'a [u8],
}

fn parse(data: &[u8]) -> Result<Parsed<'_>> {
    ensure!(data.starts_with(MAGIC) && data.len() >= 36, "not a checkpoint");
    let word = |at: usize| {
        let mut b = [0; 8];
        b.copy_from_slice(&data[at..at + 8]);
        u64::from_le_bytes(b)
    };
    let mean = f32::from_le_bytes([data[16], data[17], data[18], data[19]]);
    let length = word(28) as usize;
    ensure!(data.len() - 36 >= length, "checkpoint is cut");
    Ok(Parsed {
        progress: Progress { step: word(8) as usize, mean: Some(mean).filter(|m| m.is_finite()) },
        logged: word(20),
        model: &data[36..36 + length],
        optimiser: &data[36 + length..],
    })
}

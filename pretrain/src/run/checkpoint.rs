//! The state of a training, written so that it can be continued with the same result.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use burn::module::{AutodiffModule, Module, ModuleMapper, Param, ParamId};
use burn::optim::Optimizer;
use burn::record::{BinBytesRecorder, FullPrecisionSettings, Record, Recorder};
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};

use super::Run;

const MAGIC: &[u8; 8] = b"glintst2";
/// Magic, step, mean, length of the metrics, lengths of network and optimiser.
const HEAD: usize = 44;

/// Where a stage stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Steps done.
    pub step: usize,
    /// Running mean of the loss.
    pub mean: Option<f32>,
}

/// What a checkpoint gives back.
pub struct State<M, O> {
    /// The network.
    pub model: M,
    /// The optimiser.
    pub optimiser: O,
    /// Where the stage stands.
    pub progress: Progress,
    /// What else was saved.
    pub extra: Vec<u8>,
}

/// File of a stage.
fn path(run: &Run, stage: &str) -> PathBuf {
    run.dir().join(format!("{stage}.state"))
}

/// A record of any backend as bytes; its numbers are f32.
pub fn to_bytes<B: Backend, R: Record<B>>(record: R) -> Result<Vec<u8>> {
    let recorder = BinBytesRecorder::<FullPrecisionSettings>::default();
    Ok(Recorder::<B>::record(&recorder, record, ())?)
}

/// A record out of the bytes of [`to_bytes`], for any backend.
pub fn from_bytes<B: Backend, R: Record<B>>(bytes: &[u8], device: &B::Device) -> Result<R> {
    let recorder = BinBytesRecorder::<FullPrecisionSettings>::default();
    Ok(Recorder::<B>::load(&recorder, bytes.to_vec(), device)?)
}

/// A network whose parameters are numbered in order: burn draws their names at random, and so no two files would be equal.
pub fn numbered<B: Backend, M: Module<B>>(module: M) -> M {
    struct Number(u64);
    impl<B: Backend> ModuleMapper<B> for Number {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
            let (_, tensor, mapper) = param.consume();
            self.0 += 1;
            Param::from_mapped_value(ParamId::from(self.0), tensor, mapper)
        }
    }
    module.map(&mut Number(0))
}

/// Writes the state of `stage`: network, optimiser, progress, length of the metrics.
pub fn save<B, M, O>(run: &Run, stage: &str, model: &M, optimiser: &O, progress: Progress) -> Result<()>
where
    B: AutodiffBackend,
    M: AutodiffModule<B>,
    O: Optimizer<M, B>,
{
    save_with(run, stage, model, optimiser, progress, &[])
}

/// As [`save`], with whatever else the training needs.
pub fn save_with<B, M, O>(
    run: &Run,
    stage: &str,
    model: &M,
    optimiser: &O,
    progress: Progress,
    extra: &[u8],
) -> Result<()>
where
    B: AutodiffBackend,
    M: AutodiffModule<B>,
    O: Optimizer<M, B>,
{
    let model = to_bytes::<B, _>(model.clone().into_record())?;
    let optimiser = to_bytes::<B, _>(optimiser.to_record())?;
    let mut out = MAGIC.to_vec();
    out.extend((progress.step as u64).to_le_bytes());
    out.extend(progress.mean.unwrap_or(f32::NAN).to_le_bytes());
    out.extend(run.logged()?.to_le_bytes());
    out.extend((model.len() as u64).to_le_bytes());
    out.extend((optimiser.len() as u64).to_le_bytes());
    out.extend(model);
    out.extend(optimiser);
    out.extend(extra);
    // A crash while writing leaves the old state whole.
    let (path, fresh) = (path(run, stage), path(run, &format!("{stage}.new")));
    std::fs::write(&fresh, out).with_context(|| fresh.display().to_string())?;
    std::fs::rename(&fresh, &path).with_context(|| path.display().to_string())
}

/// Reads the state of `stage` where the run resumes and has one. Of a stage that has not done its `steps`, metrics that
/// were logged later are forgotten.
pub fn load<B, M, O>(run: &Run, stage: &str, steps: usize, model: M, optimiser: O) -> Result<(M, O, Progress)>
where
    B: AutodiffBackend,
    M: AutodiffModule<B>,
    O: Optimizer<M, B>,
{
    let state = load_with(run, stage, steps, model, optimiser, &Default::default())?;
    Ok((state.model, state.optimiser, state.progress))
}

/// As [`load`], onto a device, with what [`save_with`] saved beside.
pub fn load_with<B, M, O>(
    run: &Run,
    stage: &str,
    steps: usize,
    model: M,
    optimiser: O,
    device: &B::Device,
) -> Result<State<M, O>>
where
    B: AutodiffBackend,
    M: AutodiffModule<B>,
    O: Optimizer<M, B>,
{
    let path = path(run, stage);
    if !run.resumes() || !path.exists() {
        let progress = Progress { step: 0, mean: None };
        return Ok(State { model, optimiser, progress, extra: Vec::new() });
    }
    let data = std::fs::read(&path).with_context(|| path.display().to_string())?;
    let parsed = parse(&data).with_context(|| path.display().to_string())?;
    let model = model.load_record(from_bytes::<B, _>(parsed.model, device)?);
    let optimiser = optimiser.load_record(from_bytes::<B, _>(parsed.optimiser, device)?);
    if parsed.progress.step < steps {
        run.rewind(parsed.logged)?;
    }
    Ok(State { model, optimiser, progress: parsed.progress, extra: parsed.extra.to_vec() })
}

struct Parsed<'a> {
    progress: Progress,
    logged: u64,
    model: &'a [u8],
    optimiser: &'a [u8],
    extra: &'a [u8],
}

fn parse(data: &[u8]) -> Result<Parsed<'_>> {
    ensure!(data.starts_with(MAGIC) && data.len() >= HEAD, "not a checkpoint of this version");
    let word = |at: usize| {
        let mut b = [0; 8];
        b.copy_from_slice(&data[at..at + 8]);
        u64::from_le_bytes(b)
    };
    let mean = f32::from_le_bytes([data[16], data[17], data[18], data[19]]);
    let (model, optimiser) = (word(28) as usize, word(36) as usize);
    let rest = (data.len() - HEAD).checked_sub(model).and_then(|n| n.checked_sub(optimiser));
    ensure!(rest.is_some(), "checkpoint is truncated");
    let (model, rest) = data[HEAD..].split_at(model);
    let (optimiser, extra) = rest.split_at(optimiser);
    let progress = Progress { step: word(8) as usize, mean: Some(mean).filter(|m| m.is_finite()) };
    Ok(Parsed { progress, logged: word(20), model, optimiser, extra })
}

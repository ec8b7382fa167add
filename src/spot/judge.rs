//! What is no micro-expression: limits of the [`Measures`], each explained in `docs/spotting.md`.

use super::{Measures, Rejection, Settings};

/// A movement is a blink when the lids move by this multiple of what anything else does,
pub(super) const LIDS_SHARE: f32 = 1.8;
/// and at least so much.
const LIDS_LEAST: f32 = 0.3;
/// Movements closer to each other than this belong together.
const GAP_MS: f32 = 170.0;
/// A jaw that leads by this factor speaks,
pub(super) const JAW: f32 = 1.0;
/// if anything moves within this time.
const JAW_GAP_MS: f32 = 500.0;
/// and one that moves by this factor more than all else does in any case.
const JAW_ALONE: f32 = 2.5;
/// Greatest deviation of the head from a straight path, in eye distances.
const HEAD: f32 = 0.1;
/// Greatest travel of the head.
const TRAVEL: f32 = 0.12;
/// Least quality of the registration.
const QUALITY: f32 = 0.8;
/// Greatest drop of that quality.
const DROP: f32 = 0.055;
/// Greatest change of the logarithm of brightness,
const LIGHT: f32 = 0.035;
/// and greatest deviation from a steady change.
const FLASH: f32 = 0.03;
/// Greatest rise of the share of pixels that flow could not explain.
const OUTLIERS: f32 = 0.12;
/// Greatest share that the raised cosine leaves unexplained.
const MISFIT: f32 = 0.03;
/// A movement that leaves less than this unexplained
const SURE_MISFIT: f32 = 0.003;
/// and is so far above the noise is one, whatever it does to the registration.
const SURE_CONTRAST: f32 = 100.0;
/// Least height over the noise of the signal.
const CONTRAST: f32 = 12.0;
/// Greatest change of the level of rest.
const STEP: f32 = 0.35;

/// Why a movement is no micro-expression.
pub fn judge(m: &Measures, settings: &Settings) -> Option<Rejection> {
    // Brows that rise pull at the registration, and skin that folds cannot be explained by flow: what rises and falls
    // this exactly is no hand and no turn.
    let sure = m.misfit < SURE_MISFIT && m.contrast > SURE_CONTRAST;
    let causes = [
        (m.lids > LIDS_SHARE && m.strongest > LIDS_LEAST, Rejection::Blink),
        (m.duration_ms > settings.max_ms, Rejection::Macro),
        (m.duration_ms < settings.min_ms, Rejection::TooShort),
        (
            m.gap_ms < GAP_MS || m.jaw > JAW_ALONE || (m.jaw > JAW && m.any_gap_ms < JAW_GAP_MS),
            Rejection::Speech,
        ),
        (m.travel > TRAVEL || (!sure && (m.head > HEAD || m.quality < QUALITY)), Rejection::HeadMotion),
        (m.light > LIGHT || m.flash > FLASH, Rejection::Light),
        (m.misfit > MISFIT || (!sure && (m.outliers > OUTLIERS || m.drop > DROP)), Rejection::Shape),
        (m.step.abs() > STEP || m.contrast < CONTRAST, Rejection::Shape),
    ];
    causes.into_iter().find(|(holds, _)| *holds).map(|(_, cause)| cause)
}

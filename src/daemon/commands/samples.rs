//! Times of many runs, and their quantiles.

/// Microseconds of each run of a stage.
#[derive(Default)]
pub(super) struct StageTimes(pub(super) Vec<f32>);

impl StageTimes {
    pub(super) fn quantile(&mut self, q: f32) -> Option<f32> {
        self.0.sort_unstable_by(f32::total_cmp);
        let last = self.0.len().checked_sub(1)?;
        self.0.get((q * last as f32).round() as usize).copied()
    }
}

pub(super) fn round(v: f32) -> f64 {
    (f64::from(v) * 10.0).round() / 10.0
}

//! Times of many runs, and their quantiles.

use serde_json::json;

/// Microseconds of each run of a stage.
#[derive(Default)]
pub(super) struct Samples(pub(super) Vec<f32>);

impl Samples {
    pub(super) fn quantile(&mut self, q: f32) -> Option<f32> {
        self.0.sort_unstable_by(f32::total_cmp);
        let last = self.0.len().checked_sub(1)?;
        self.0.get((q * last as f32).round() as usize).copied()
    }

    pub(super) fn json(&mut self) -> serde_json::Value {
        match (self.quantile(0.5), self.quantile(0.99)) {
            (Some(p50), Some(p99)) => json!({"p50_us": round(p50), "p99_us": round(p99)}),
            _ => json!({"p50_us": null, "p99_us": null}),
        }
    }
}

pub(super) fn round(v: f32) -> f64 {
    (f64::from(v) * 10.0).round() / 10.0
}

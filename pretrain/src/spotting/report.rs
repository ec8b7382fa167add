//! Everything that `evaluate spotting` measures, as tables or as JSON.

use std::collections::BTreeMap;
use std::path::PathBuf;

use glint::au::AUS;
use glint::pipeline::Counters;
use serde_json::{Map, Value, json};

use super::curve::{self, Weibull};
use super::intensity::{self, Agreement, Reading};
use super::rate::{AtRate, SMALL_PX, rejections, share};
use super::real;
use super::score::{Tally, binomial_interval, poisson_interval};
use super::watch::WatchedClip;

/// Movements by what people look like: trait, then its value.
pub type Groups = BTreeMap<String, BTreeMap<String, Tally>>;

/// Everything that was measured; parts that were left out are empty.
pub struct SpottingReport {
    /// Each frame rate.
    pub rates: Vec<AtRate>,
    /// Movements of all intensities,
    pub curve: Tally,
    /// and the curve of recall through them.
    pub fit: Weibull,
    /// Faces that do nothing.
    pub still: Counters,
    /// AU intensities,
    pub readings: Vec<Reading>,
    /// and poses that could not be measured.
    pub lost_poses: usize,
    /// Real clips without truth.
    pub clips: Vec<(String, WatchedClip)>,
    /// Real footage with truth.
    pub real: Vec<(PathBuf, real::FootageReport)>,
    /// Movements of each group of people.
    pub groups: Groups,
}

impl SpottingReport {
    /// Nothing but real clips.
    pub fn nothing(clips: Vec<(String, WatchedClip)>) -> Self {
        let fit = Weibull::fit(&[]);
        let (still, readings) = (Counters::default(), Vec::new());
        Self {
            rates: Vec::new(),
            curve: Tally::default(),
            fit,
            still,
            readings,
            lost_poses: 0,
            clips,
            real: Vec::new(),
            groups: Groups::new(),
        }
    }

    /// Agreement of each AU, and the mean of ICC over them.
    fn agreements(&self) -> (Vec<(u8, Agreement)>, Agreement, f64) {
        let by_au: Vec<(u8, Agreement)> = AUS
            .iter()
            .enumerate()
            .map(|(k, &au)| (au, intensity::agreement(&self.readings, |r| r.au == k)))
            .collect();
        let known: Vec<f64> = by_au.iter().map(|(_, a)| a.icc).filter(|v| v.is_finite()).collect();
        let icc = known.iter().sum::<f64>() / known.len() as f64;
        (by_au, intensity::agreement(&self.readings, |_| true), icc)
    }

    /// One object.
    pub fn json(&self) -> Value {
        let fps: Map<String, Value> = self
            .rates
            .iter()
            .map(|r| {
                let [onset, apex, offset] = r.tally.median_errors_ms();
                let lags = r.tally.median_lags_ms().map(number);
                let (low, high) = poisson_interval(r.false_alarms);
                let (small, small_total) = r.tally.below(SMALL_PX);
                let value = json!({
                    "f1": number(r.tally.f1()), "precision": number(r.tally.precision()),
                    "recall": number(r.tally.recall()), "movements": r.tally.truth,
                    "onset_ms": number(onset), "apex_ms": number(apex), "offset_ms": number(offset), "lags_ms": lags,
                    "false_per_min": number(r.false_alarms as f64 / r.minutes), "minutes": number(r.minutes),
                    "false_per_min_ci95": [number(low / r.minutes), number(high / r.minutes)],
                    "false_by_cause": r.causes, "recall_small": number(share(small as u64, small_total as u64)),
                    "movements_small": small_total, "rejected": rejections(&r.rejected),
                    "moving_share": number(share(r.moving, r.frames)),
                    "gate_open_share": number(share(r.rejected.gate_open, r.frames)),
                });
                (r.fps.to_string(), value)
            })
            .collect();
        let (by_au, all, icc) = self.agreements();
        let aus: Map<String, Value> = by_au
            .iter()
            .map(|(au, a)| {
                let value = json!({"mae_active": number(a.active), "mae_idle": number(a.idle), "icc": number(a.icc),
                                   "gain": number(a.gain)});
                (glint::intensity::au_key(*au), value)
            })
            .collect();
        let clips: Map<String, Value> = self
            .clips
            .iter()
            .map(|(name, s)| {
                let value = json!({
                    "seconds": number(s.seconds), "events": s.movements.len(),
                    "rejected": rejections(&s.counters),
                    "no_face_share": number(1.0 - share(s.face, s.counters.frames)),
                    "moving_share": number(share(s.moving, s.counters.frames)),
                    "gate_open_share": number(share(s.counters.gate_open, s.counters.frames)),
                });
                (name.clone(), value)
            })
            .collect();
        json!({
            "fps": fps, "au_mae_active": number(all.active), "au_mae_idle": number(all.idle), "au_icc": number(icc),
            "aus": aus, "poses_lost": self.lost_poses,
            "asleep_share": number(1.0 - self.still.gate_open as f64 / self.still.frames as f64),
            "student_runs_still": self.still.student_runs,
            "threshold_75": self.fit.threshold(0.75).map(number), "curve_movements": self.curve.truth,
            "clips": clips,
            "groups": self.groups.iter().map(|(name, groups)| (name.clone(), groups.iter().map(|(value, t)| {
                let (low, high) = binomial_interval(t.hits, t.truth);
                (value.clone(), json!({"recall": number(t.recall()), "recall_ci95": [number(low), number(high)],
                                       "movements": t.truth, "precision": number(t.precision())}))
            }).collect::<Map<_, _>>().into())).collect::<Map<String, Value>>(),
            "real": self.real.iter().map(|(dir, r)| json!({
                "folder": dir, "recall": number(r.visible_recall()), "f1": number(r.visible_f1()),
                "recall_ci95": [number(r.interval.0), number(r.interval.1)], "movements": r.visible.1,
                "recall_all": number(r.tally.recall()), "f1_all": number(r.tally.f1()), "movements_all": r.tally.truth,
                "wrong": r.wrong, "minutes": number(r.minutes), "gate_open_share": number(r.gate_open),
            })).collect::<Vec<_>>(),
        })
    }

    /// Tables on stdout; parts that were left out are not there.
    pub fn print(&self) {
        if !self.rates.is_empty() {
            self.print_rates();
        }
        if self.curve.truth > 0 {
            self.print_curve();
        }
        if !self.groups.is_empty() {
            self.print_groups();
        }
        if self.still.frames > 0 {
            println!(
                "\nstill faces: gate shut in {:.2} % of {} frames, {} runs of the student, {} events",
                100.0 - 100.0 * share(self.still.gate_open, self.still.frames),
                self.still.frames,
                self.still.student_runs,
                self.still.events
            );
        }
        if !self.readings.is_empty() {
            let (by_au, all, icc) = self.agreements();
            println!("\nAU    MAE active   idle    ICC(3,1)   gain");
            for (au, a) in by_au {
                println!("{au:2}        {:6.2}   {:5.2}     {:6.2}  {:6.2}", a.active, a.idle, a.icc, a.gain);
            }
            println!(
                "all       {:6.2}   {:5.2}     {icc:6.2}  {:6.2}   ({} poses not measured)",
                all.active, all.idle, all.gain, self.lost_poses
            );
        }
        for (dir, r) in &self.real {
            println!("\n{}: {}", dir.display(), r.line());
            for (name, hits, wrong, total) in &r.clips {
                println!("{name:32} found {hits} of {total}, wrong {wrong}");
            }
        }
        if !self.clips.is_empty() {
            println!("\nreal clips        seconds  events   no face  moving  gate open   rejected");
        }
        for (name, s) in &self.clips {
            let frames = s.counters.frames;
            println!(
                "{name:32} {:6.1} {:4}      {:5.3}   {:5.3}     {:5.3}   {:?}",
                s.seconds,
                s.movements.len(),
                1.0 - share(s.face, frames),
                share(s.moving, frames),
                share(s.counters.gate_open, frames),
                rejections(&s.counters)
            );
        }
    }

    fn print_rates(&self) {
        println!(
            "fps     F1  prec.  recall (n)   <{SMALL_PX} px (n)  onset  apex  offset ms   false/min (95 %)    min"
        );
        for r in &self.rates {
            println!("{}", r.line());
        }
        println!(
            "\nwrong among movements, a minute: {}",
            self.rates
                .iter()
                .map(|r| { format!("{:.2} at {}", r.wrong as f64 / r.mixed_minutes.max(1e-9), r.fps) })
                .collect::<Vec<_>>()
                .join(", ")
        );
        println!("\nmedian lag of onset, apex and offset in ms: early ones are negative");
        for r in &self.rates {
            let [onset, apex, offset] = r.tally.median_lags_ms();
            println!("{:3}  {onset:6.1} {apex:5.1} {offset:5.1}", r.fps);
        }
        println!(
            "\ndistractors alone: false alarms by cause; candidates rejected by cause; frames moving, gate open"
        );
        for r in self.rates.iter().filter(|r| r.minutes > 0.0) {
            println!(
                "{:3}  {:?}; {:?}; {:.3} {:.3}",
                r.fps,
                r.causes,
                rejections(&r.rejected),
                share(r.moving, r.frames),
                share(r.rejected.gate_open, r.frames)
            );
        }
    }

    fn print_groups(&self) {
        println!("\npeople                recall (95 %, of movements)    n   precision");
        for (name, groups) in &self.groups {
            for (value, t) in groups {
                let (low, high) = binomial_interval(t.hits, t.truth);
                println!(
                    "{:22}{:5.2} ({low:.2}-{high:.2})           {:6}       {:5.2}",
                    format!("{name} {value}"),
                    t.recall(),
                    t.truth,
                    t.precision()
                );
            }
        }
    }

    fn print_curve(&self) {
        println!("\nrecall by intensity, {} movements", self.curve.truth);
        for b in curve::bins(&self.curve.movements) {
            let (low, high) = b.interval;
            let recall = b.recall().unwrap_or(f64::NAN);
            println!(
                "{:5.1}-{:4.1} %  {recall:5.2} ({low:.2}-{high:.2})  n {}",
                100.0 * b.range.0,
                100.0 * b.range.1,
                b.total
            );
        }
        match self.fit.threshold(0.75) {
            Some(x) => println!("75 % are found at {:.1} % of the full movement", 100.0 * x),
            None => println!("75 % are never found"),
        }
        let (small, total) = self.curve.below(SMALL_PX);
        let (low, high) = binomial_interval(small, total);
        println!("under {SMALL_PX} px of travel: {small} of {total} ({low:.2}-{high:.2})");
    }
}

/// To three digits, as JSON; null of what was not measured.
fn number(v: f64) -> Value {
    json!(v.is_finite().then(|| (v * 1000.0).round() / 1000.0))
}

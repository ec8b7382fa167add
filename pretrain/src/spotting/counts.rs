//! How spotting in long videos is counted: strictly one to one, and as a published scorer does it.
//!
//! Intervals are frames, the first and the last one included, and one is another where their intersection is half of their
//! union or more. The published count is that of genbing99/STRS-Metric (`strs_metric.py`) and of
//! `Utils/mean_average_precision_str` of zizheng-guo/BoostingVRME, where the test for "already matched" is commented out:
//! every pair of an event and a movement that fit counts as a hit, so that one movement may be found twice.

use serde_json::{Value, json};

use super::score::MIN_IOU;

/// Classes of the words: negative, positive, surprise.
const CLASSES: usize = 3;

/// Class of the movement and of the event of a hit.
type Words = (Option<usize>, Option<usize>);

/// An interval and its class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LabelledInterval {
    /// First and last frame.
    pub span: (i64, i64),
    /// Of a movement: `None` of another emotion. Of an event: `None` without a word.
    pub class: Option<usize>,
}

/// Intersection over union of two intervals of frames.
fn iou(a: (i64, i64), b: (i64, i64)) -> f64 {
    let both = (a.1.min(b.1) - a.0.max(b.0) + 1).max(0);
    let all = (a.1 - a.0 + 1) + (b.1 - b.0 + 1) - both;
    both as f64 / all.max(1) as f64
}

/// Hits, false alarms and misses, and the words of the hits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that are a movement.
    pub hits: usize,
    /// Events that are none.
    pub wrong: usize,
    /// Movements without an event.
    pub missed: usize,
    /// The words of each hit.
    words: Vec<Words>,
}

impl Counts {
    /// Counts one video strictly: the best overlaps first, each movement and each event once.
    pub fn strict(&mut self, truth: &[LabelledInterval], spotted: &[LabelledInterval]) {
        let mut pairs = fits(truth, spotted);
        pairs.sort_by(|a, b| b.2.total_cmp(&a.2));
        let (mut taken, mut used) = (vec![false; truth.len()], vec![false; spotted.len()]);
        for (t, f, _) in pairs {
            if !taken[t] && !used[f] {
                (taken[t], used[f]) = (true, true);
                self.words.push((truth[t].class, spotted[f].class));
            }
        }
        self.add(&taken, &used, taken.iter().filter(|t| **t).count());
    }

    /// Counts one video as the published scorer does.
    pub fn published(&mut self, truth: &[LabelledInterval], spotted: &[LabelledInterval]) {
        let pairs = fits(truth, spotted);
        let (mut taken, mut used) = (vec![false; truth.len()], vec![false; spotted.len()]);
        for &(t, f, _) in &pairs {
            (taken[t], used[f]) = (true, true);
            self.words.push((truth[t].class, spotted[f].class));
        }
        self.add(&taken, &used, pairs.len());
    }

    fn add(&mut self, taken: &[bool], used: &[bool], hits: usize) {
        self.hits += hits;
        self.wrong += used.iter().filter(|u| !**u).count();
        self.missed += taken.iter().filter(|t| !**t).count();
    }

    /// Share of what was published that is a hit; 0 of nothing.
    pub fn precision(&self) -> f64 {
        share(self.hits, self.hits + self.wrong)
    }

    /// Share of the movements that were hit; 0 of nothing.
    pub fn recall(&self) -> f64 {
        share(self.hits, self.hits + self.missed)
    }

    /// Harmonic mean of the two.
    pub fn f1(&self) -> f64 {
        harmonic(self.precision(), self.recall())
    }

    /// F1 of the words of the hits: harmonic mean of precision and recall, each a mean over the classes (Liong et al. 2023).
    /// An event without a word is a word missed.
    pub fn analysis_f1(&self) -> f64 {
        let count = |test: &dyn Fn(&Words) -> bool| self.words.iter().filter(|w| test(w)).count();
        let (mut precision, mut recall) = (0.0, 0.0);
        for class in (0..CLASSES).map(Some) {
            let right = count(&|w| w.0 == class && w.1 == class);
            precision += share(right, count(&|w| w.1 == class)) / CLASSES as f64;
            recall += share(right, count(&|w| w.0 == class)) / CLASSES as f64;
        }
        harmonic(precision, recall)
    }

    /// The spot-then-recognize score: F1 of spotting times F1 of the words.
    pub fn strs(&self) -> f64 {
        self.f1() * self.analysis_f1()
    }

    /// One object; without annotated emotions no score of the words.
    pub fn json(&self, emotions: bool) -> Value {
        json!({
            "hits": self.hits, "wrong": self.wrong, "missed": self.missed, "precision": self.precision(),
            "recall": self.recall(), "f1": self.f1(),
            "analysis_f1": emotions.then(|| self.analysis_f1()), "strs": emotions.then(|| self.strs()),
        })
    }

    /// A line of the table.
    pub fn line(&self, emotions: bool) -> String {
        let words = match emotions {
            true => format!("{:8.4}  {:.4}", self.analysis_f1(), self.strs()),
            false => "no emotions annotated".into(),
        };
        format!(
            "{:5} {:6} {:6}    {:.4}  {:.4}  {:.4}  {words}",
            self.hits,
            self.wrong,
            self.missed,
            self.precision(),
            self.recall(),
            self.f1()
        )
    }
}

/// Movement, event and overlap of each pair that fits.
fn fits(truth: &[LabelledInterval], spotted: &[LabelledInterval]) -> Vec<(usize, usize, f64)> {
    let mut out = Vec::new();
    for (f, event) in spotted.iter().enumerate() {
        for (t, movement) in truth.iter().enumerate() {
            let overlap = iou(movement.span, event.span);
            if overlap >= MIN_IOU {
                out.push((t, f, overlap));
            }
        }
    }
    out
}

fn share(part: usize, total: usize) -> f64 {
    part as f64 / total.max(1) as f64
}

fn harmonic(a: f64, b: f64) -> f64 {
    if a + b > 0.0 { 2.0 * a * b / (a + b) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(spans: &[(i64, i64, Option<usize>)]) -> Vec<LabelledInterval> {
        spans.iter().map(|&(from, to, class)| LabelledInterval { span: (from, to), class }).collect()
    }

    #[test]
    fn frames_at_both_ends_count() {
        assert_eq!(iou((10, 19), (10, 19)), 1.0);
        assert_eq!(iou((10, 19), (15, 24)), 5.0 / 15.0);
        // A half exactly: a hit for both counts.
        assert_eq!(iou((10, 19), (10, 14)), 0.5);
        assert_eq!(iou((10, 19), (20, 29)), 0.0);
    }

    #[test]
    fn one_movement_found_twice_is_one_hit_or_two() {
        let truth = labelled(&[(100, 119, Some(0)), (200, 219, Some(1)), (300, 319, Some(2))]);
        let spotted =
            labelled(&[(98, 118, Some(0)), (104, 122, Some(1)), (200, 216, Some(1)), (400, 420, Some(2))]);
        let (mut strict, mut published) = (Counts::default(), Counts::default());
        strict.strict(&truth, &spotted);
        published.published(&truth, &spotted);
        assert_eq!((strict.hits, strict.wrong, strict.missed), (2, 2, 1));
        assert_eq!((published.hits, published.wrong, published.missed), (3, 1, 1));
        assert!((strict.f1() - 2.0 * 0.5 * (2.0 / 3.0) / (0.5 + 2.0 / 3.0)).abs() < 1e-12);
        assert!((published.f1() - 0.75).abs() < 1e-12);
        // Strictly both words are right, of two of the three classes.
        assert!((strict.analysis_f1() - 2.0 / 3.0).abs() < 1e-12);
        assert!((strict.strs() - strict.f1() * 2.0 / 3.0).abs() < 1e-12);
        // The second event on the first movement has a wrong word: precision (1 + 1/2) / 3, recall (1/2 + 1) / 3.
        assert!((published.analysis_f1() - 0.5).abs() < 1e-12);
    }

    #[test]
    fn silence_and_words_withheld_score_nothing() {
        let truth = labelled(&[(10, 20, Some(1)), (50, 60, None)]);
        let mut nothing = Counts::default();
        nothing.strict(&truth, &[]);
        assert_eq!((nothing.missed, nothing.f1(), nothing.analysis_f1(), nothing.strs()), (2, 0.0, 0.0, 0.0));
        let mut silent = Counts::default();
        silent.strict(&truth, &labelled(&[(10, 20, None), (50, 60, Some(0))]));
        assert_eq!((silent.hits, silent.f1(), silent.analysis_f1()), (2, 1.0, 0.0));
        assert!(silent.json(false)["strs"].is_null() && silent.json(true)["strs"] == 0.0);
    }
}

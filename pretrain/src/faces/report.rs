//! What was measured of faces, as tables and as JSON.

use serde_json::{Map, Value, json};

use super::clips::FollowedClip;
use super::detection::DetectionTrial;
use super::mean;
use super::points::LandmarkErrors;
use super::still::Residual;

/// Landmarks of one method on rendered heads.
pub(super) type LandmarkMethod = (&'static str, LandmarkErrors);

/// A row of residual motion.
pub(super) struct ResidualMotion {
    pub(super) name: &'static str,
    pub(super) residual: Residual,
    pub(super) millis: f32,
}

/// What subgroups are made of.
pub(super) struct Shown {
    pub(super) year: i32,
    pub(super) skin_luma: f32,
}

/// What was measured.
pub struct FaceReport {
    pub(super) unseen: Vec<Shown>,
    pub(super) trials: Vec<DetectionTrial>,
    pub(super) labels: Vec<Option<f32>>,
    pub(super) confused: (usize, usize),
    pub(super) heads: Vec<LandmarkMethod>,
    pub(super) still: Vec<ResidualMotion>,
    pub(super) clips: Vec<FollowedClip>,
}

/// Widths of a face between which recall is told.
const SIZES: [f32; 5] = [48.0, 64.0, 96.0, 144.0, 300.0];

/// A group of portraits with their results.
struct Group {
    name: String,
    portraits: usize,
    recall: f32,
    nme_percent: f32,
}

/// To four digits, as JSON; null of what was not measured.
fn number(v: f32) -> Value {
    json!(v.is_finite().then(|| (f64::from(v) * 1e4).round() / 1e4))
}

impl FaceReport {
    fn nme(&self) -> f32 {
        mean(self.labels.iter().flatten().copied())
    }

    /// Frames with a face that were found, and all of them, over clips that show one.
    fn pooled(&self) -> (usize, usize) {
        let shown = self.clips.iter().filter(|c| !c.name.contains("no_face"));
        shown.fold((0, 0), |(face, all), c| (face + c.face, all + c.frames))
    }

    fn groups(&self) -> Vec<Group> {
        let era = |p: &Shown| match p.year {
            ..1910 => "before 1910",
            1910..1950 => "1910-1949",
            1950..1990 => "1950-1989",
            _ => "1990 and later",
        };
        let mut skin: Vec<f32> = self.unseen.iter().map(|p| p.skin_luma).collect();
        let by_person = skin.clone();
        skin.sort_unstable_by(f32::total_cmp);
        let (low, high) = (skin[skin.len() / 4], skin[skin.len() * 3 / 4]);
        let shade = |i: usize| match by_person[i] {
            v if v < low => "darkest quarter of skin",
            v if v >= high => "lightest quarter of skin",
            _ => "skin between",
        };
        let names = [
            "before 1910",
            "1910-1949",
            "1950-1989",
            "1990 and later",
            "darkest quarter of skin",
            "skin between",
            "lightest quarter of skin",
        ];
        names
            .iter()
            .map(|&name| {
                let member: Vec<usize> = (0..self.unseen.len())
                    .filter(|&i| era(&self.unseen[i]) == name || shade(i) == name)
                    .collect();
                let hits = &self.trials[0].hits;
                let n = self.unseen.len();
                Group {
                    name: name.into(),
                    portraits: member.len(),
                    recall: mean(
                        (0..hits.len())
                            .filter(|i| member.binary_search(&(i % n)).is_ok())
                            .map(|i| f32::from(hits[i])),
                    ),
                    nme_percent: mean(member.iter().filter_map(|&i| self.labels[i])),
                }
            })
            .filter(|g| g.portraits > 0)
            .collect()
    }

    /// As one JSON object.
    pub fn json(mut self) -> Value {
        let groups: Map<String, Value> = self
            .groups()
            .into_iter()
            .map(|g| {
                (g.name, json!({"portraits": g.portraits, "recall": number(g.recall), "nme_percent": number(g.nme_percent)}))
            })
            .collect();
        let row = |t: &mut DetectionTrial| {
            json!({"recall": number(t.recall()), "fp_per_100": number(t.false_per_100()),
                   "iou": number(mean(t.overlaps.iter().copied())), "detect_ms": number(t.median_ms())})
        };
        let (stage, detector) = (row(&mut self.trials[0]), row(&mut self.trials[1]));
        let reference: Map<String, Value> =
            self.trials[2..].iter_mut().map(|t| (t.name.clone(), row(t))).collect();
        let still: Map<String, Value> = self
            .still
            .iter()
            .map(|s| {
                let value = json!({"rms_px": number(s.residual.rms()), "unsteady_share": number(s.residual.unsteady_share()),
                                   "track_ms": number(s.millis)});
                (s.name.to_owned(), value)
            })
            .collect();
        let clips: Map<String, Value> = self
            .clips
            .iter()
            .map(|c| {
                let value =
                    json!({"frames": c.frames, "face": c.face, "steady": c.steady, "switches": c.switches()});
                (c.name.clone(), value)
            })
            .collect();
        let (face, frames) = self.pooled();
        json!({
            "recall": stage["recall"], "fp_per_100": stage["fp_per_100"], "nme_percent": number(self.nme()),
            "rms_moving_px": number(self.still[1].residual.rms()), "rms_still_px": number(self.still[0].residual.rms()),
            "track_ms": number(self.still[1].millis), "detect_ms": detector["detect_ms"], "reference": reference,
            "detector": detector, "portraits": self.unseen.len(), "scenes": self.trials[0].hits.len(),
            "empty_frames": self.trials[0].empty_frames,
            "portrait_pairs": {"alike": self.confused.0, "of": self.confused.1},
            "landmarks_missed": self.labels.iter().filter(|l| l.is_none()).count(),
            "heads": self.heads.iter().map(|(name, a)| ((*name).to_owned(), json!(a))).collect::<Map<_, _>>(),
            "still": still, "clips": clips,
            "clips_face_share": number(face as f32 / frames as f32),
            "subgroups": groups,
        })
    }

    /// As tables on stdout.
    pub fn print(mut self) {
        println!(
            "detector                              recall   IoU   FP/100   median ms   ({} scenes, {} frames without a face)",
            self.trials[0].hits.len(),
            self.trials[0].empty_frames
        );
        for t in &mut self.trials {
            let (recall, fp, iou) = (t.recall(), t.false_per_100(), mean(t.overlaps.iter().copied()));
            let millis = t.median_ms();
            println!("{:36}  {recall:6.4}  {iou:5.3}  {fp:6.2}   {:8.3}", t.name, millis);
        }
        let sizes = SIZES
            .windows(2)
            .map(|s| format!("{}-{} px {:.3}", s[0], s[1], self.trials[0].recall_between(s[0], s[1])));
        println!("recall of the stage by width of the face: {}", sizes.collect::<Vec<_>>().join(", "));
        let missed = self.labels.iter().filter(|l| l.is_none()).count();
        println!(
            "\nlandmarks against the portraits' labels: {:.2} % of the eye distance ({} portraits, {missed} not found)",
            self.nme(),
            self.labels.len()
        );
        let (alike, pairs) = self.confused;
        println!("different portraits taken for one person who comes back: {alike} of {pairs} pairs");
        for (name, a) in &self.heads {
            println!(
                "on rendered heads, {name:10} {:.2} %, without each point's mean offset {:.2} %, {} not found",
                a.nme_percent, a.nme_aligned_percent, a.missed
            );
        }
        println!("\nmotion left in the crop       RMS px   not steady   tracking ms");
        for s in &self.still {
            println!(
                "{:28} {:7.4}   {:8.3}      {:7.3}",
                s.name,
                s.residual.rms(),
                s.residual.unsteady_share(),
                s.millis
            );
        }
        if !self.clips.is_empty() {
            println!("\nclip                               frames   face    steady  switches");
            for c in &self.clips {
                let share = |n: usize| n as f32 / c.frames as f32;
                println!(
                    "{:34} {:5}  {:6.3}  {:6.3}  {:4}",
                    c.name,
                    c.frames,
                    share(c.face),
                    share(c.steady),
                    c.switches()
                );
            }
            let (face, frames) = self.pooled();
            println!("all with a face                    {frames:5}  {:6.3}", face as f32 / frames as f32);
        }
        println!("\nportraits                     n   recall   NME %");
        for g in self.groups() {
            println!("{:26} {:4}   {:6.3}   {:5.2}", g.name, g.portraits, g.recall, g.nme_percent);
        }
    }
}

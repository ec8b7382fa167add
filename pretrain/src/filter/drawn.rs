//! Pairs that were drawn, not filmed: a file of them is judged pair by pair, without tracker and gate.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use glint::au::AU_COUNT;
use serde_json::json;

use super::judge::{PairFilter, Reason};
use super::recording::Job;
use super::report::{Line, UnitReport};
use super::units::ScanUnit;
use crate::pairs::{self, Pair};

impl Job<'_> {
    /// Judges a file of pairs; those that are kept go to `out`, without the truth that may stand beside them.
    pub(super) fn judge_pairs(&self, unit: &ScanUnit, out: &Path) -> Result<UnitReport> {
        let mut judge = PairFilter::new(self.models, self.rules.range)?;
        let name = || out.display().to_string();
        let mut tar = tar::Builder::new(BufWriter::new(File::create(out).with_context(name)?));
        let mut report = self.report(unit);
        pairs::read_file(&unit.path, &mut |pair: Pair| {
            let (reason, intensities) = judge.decide(&pair.crops.onset, &pair.crops.apex);
            let reason = if self.rules.unfiltered { Reason::Kept } else { reason };
            let line = line(report.pairs, reason, &intensities);
            report.pairs += 1;
            if reason == Reason::Kept {
                pairs::write(&mut tar, &unlabelled(unit, pair, &line))?;
            }
            report.lines.push(line);
            Ok(())
        })?;
        tar.into_inner().and_then(|mut file| file.flush()).with_context(name)?;
        Ok(report)
    }
}

/// The pair with what was measured of it, and nothing that was known of it before but person and origin.
fn unlabelled(unit: &ScanUnit, pair: Pair, line: &Line) -> Pair {
    let facts = json!({"subject": pair.subject(), "origin": pair.origin(), "measured": line.aus});
    Pair { id: format!("{}-{}", unit.id(), pair.id), crops: pair.crops, facts }
}

fn line(index: u64, reason: Reason, intensities: &[f32; AU_COUNT]) -> Line {
    Line {
        reference: None,
        target: index,
        target_ms: 0.0,
        span_ms: [0.0; 2],
        reason,
        aus: Line::aus(intensities),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::{pair, plan, shard};
    use crate::filter::judge::{MACRO_FROM, Range};
    use crate::filter::report::merge;
    use crate::filter::scan::Rules;
    use crate::filter::units;
    use glint::intensity::by_au;
    use glint::pipeline::Models;

    fn filtered(corpus: &Path, out: &Path, macro_from: f32, unfiltered: bool) -> Vec<Pair> {
        let models = Models::embedded().expect("models");
        let least = by_au(&models.au.spec.thresholds.by_unit().expect("thresholds"));
        let rules = Rules { range: Range { least, macro_from }, max_ms: 350.0, unfiltered };
        let job = Job { out, fps: 30.0, depth_pattern: None, models: &models, rules };
        for unit in units::find(corpus).expect("units") {
            let done = job.unit(&unit, &indicatif::ProgressBar::hidden()).expect("judged");
            assert_eq!((done.frames, done.pairs), (0, 24));
        }
        let summary = merge(&[out.to_owned()], out).expect("summed up");
        assert_eq!((summary.units, summary.frames, summary.pairs), (1, 0, 24));
        let mut pairs = Vec::new();
        pairs::read(out, |p| {
            pairs.push(p);
            Ok(())
        })
        .expect("pairs");
        pairs
    }

    #[test]
    fn drawn_pairs_are_judged_and_lose_their_truth() {
        let [corpus, kept, all] = [(); 3].map(|()| tempfile::tempdir().expect("folder"));
        let cast = plan::tests::cast();
        let mut writer = shard::Writer::create(corpus.path()).expect("folder");
        for i in 0..24 {
            writer.add(&shard::pack(&pair::sample(&cast, 5, i), 5).expect("a sample")).expect("written");
        }
        writer.finish().expect("index");
        // All of them are micro-expressions: only a lower limit leaves some out.
        let pairs = filtered(corpus.path(), kept.path(), 1.0, false);
        assert!((2..24).contains(&pairs.len()), "{}", pairs.len());
        for p in &pairs {
            assert_eq!(
                (p.origin(), p.facts["class"].is_null(), p.facts["aus"].is_null()),
                ("rendered", true, true)
            );
            assert!(p.id.starts_with("shard-00000_tar-") && p.facts["measured"].is_object());
            assert_eq!(p.subject(), pair::sample(&cast, 5, p.id[16..].parse().expect("an index")).person);
        }
        assert_eq!(filtered(corpus.path(), all.path(), MACRO_FROM, true).len(), 24);
    }
}

//! The results of an experiment, as text and as JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::bench::{Bench, Variant};
use super::difference::{FEW, TrainingScore, au, mean, over_draws, over_people, uf1};
use crate::filter::judge::Reason;
use crate::statistics::score::uf1_uar;

/// A table with what was compared.
pub struct Results {
    /// Pairs that the filter keeps, and all pairs, by what was generated.
    kept_of: BTreeMap<String, [usize; 2]>,
    rows: Vec<Value>,
    contrasts: Vec<Value>,
    real_samples: usize,
}

impl Bench<'_> {
    /// Means over seeds and intervals over people.
    pub(super) fn results(&self, variants: &[Variant], outcomes: &[Vec<TrainingScore>]) -> Results {
        let people: Vec<&str> = self.labelled.iter().map(|m| m.pair.subject()).collect();
        let truth: Vec<&[f32]> = self.labelled.iter().map(|m| &m.truth[..]).collect();
        let everyone: Vec<usize> = (0..people.len()).collect();
        let reference = &outcomes[0];
        let table: Vec<Value> = variants
            .iter()
            .zip(outcomes)
            .map(|(v, o)| {
                let over_seeds = |f: &dyn Fn(&TrainingScore) -> f64| -> Vec<f64> { o.iter().map(f).collect() };
                let uf1_of_seed = over_seeds(&|o| uf1_uar(&o.rows, 3).0);
                let deviation = |v: &[f64]| {
                    let m = mean(v);
                    (v.iter().map(|x| (x - m).powi(2)).sum::<f64>() / (v.len().max(2) - 1) as f64).sqrt()
                };
                let (low, high) =
                    over_people(&people, self.settings.seed, |picks| uf1(o, picks) - uf1(reference, picks));
                let column = |pick: &dyn Fn(&TrainingScore) -> &Vec<Vec<f64>>| -> Vec<f64> {
                    let n = pick(&o[0]).len();
                    (0..n).map(|k| mean(&over_seeds(&|o| mean(&pick(o)[k])))).collect()
                };
                json!({
                    "name": v.name, "pairs": v.pool.len(), "uf1": mean(&uf1_of_seed),
                    "uf1_sd": deviation(&uf1_of_seed), "against_first": [low, high], "au": au(o, &truth, &everyone), "few": column(&|o| &o.few),
                    "real_few": column(&|o| &o.real),
                    "retrieval": mean(&over_seeds(&|o| 0.5 * f64::from(o.retrieval[0] + o.retrieval[1]))),
                })
            })
            .collect();
        let contrasts: Vec<Value> = self
            .contrasts()
            .iter()
            .map(|&(first, second)| {
                let (a, b) = (&outcomes[first], &outcomes[second]);
                let class = over_people(&people, self.settings.seed, |p| uf1(a, p) - uf1(b, p));
                let aus = over_people(&people, self.settings.seed, |p| au(a, &truth, p) - au(b, &truth, p));
                let real: Vec<_> =
                    (0..a[0].real.len()).map(|k| over_draws(a, b, k, self.settings.seed)).collect();
                json!({
                    "of": variants[first].name, "less": variants[second].name, "uf1": class, "au": aus,
                    "real_few": real,
                })
            })
            .collect();
        let counts: BTreeMap<String, [usize; 2]> =
            self.pool.iter().zip(&self.kept).fold(BTreeMap::new(), |mut sums, (made, reason)| {
                let name = serde_json::to_value(made.what).ok().and_then(|v| v.as_str().map(str::to_owned));
                let sum = sums.entry(name.unwrap_or_default()).or_insert([0; 2]);
                sum[0] += usize::from(*reason == Reason::Kept);
                sum[1] += 1;
                sums
            });
        Results { kept_of: counts, rows: table, contrasts, real_samples: self.real.len() }
    }
}

impl Results {
    /// As one JSON object.
    pub fn json(&self) -> Value {
        json!({
            "kept_of": self.kept_of, "rows": self.rows, "contrasts": self.contrasts,
            "real_samples": self.real_samples
        })
    }

    /// As tables on stdout.
    pub fn print(&self) {
        let kept: Vec<String> =
            self.kept_of.iter().map(|(what, [k, n])| format!("{what} {k} of {n}")).collect();
        println!("kept by the pair filter: {}", kept.join(", "));
        let few_heads = FEW.map(|n| format!("{n} people")).join(" | ");
        println!(
            "| pretraining | pairs | UF1 (sd) | difference, 95 % | AU r | {few_heads} | real: {few_heads} | retrieval |"
        );
        println!("|---|---|---|---|---|{}{}---|", "---|".repeat(FEW.len()), "---|".repeat(FEW.len()));
        for row in &self.rows {
            let number = |v: &Value| v.as_f64().map_or("-".into(), |x| format!("{x:.3}"));
            let list = |v: &Value| (0..FEW.len()).map(|k| number(&v[k])).collect::<Vec<_>>().join(" | ");
            println!(
                "| {} | {} | {} ({}) | {} to {} | {} | {} | {} | {} |",
                row["name"].as_str().unwrap_or_default(),
                row["pairs"],
                number(&row["uf1"]),
                number(&row["uf1_sd"]),
                number(&row["against_first"][0]),
                number(&row["against_first"][1]),
                number(&row["au"]),
                list(&row["few"]),
                list(&row["real_few"]),
                number(&row["retrieval"])
            );
        }
        if self.contrasts.is_empty() {
            return;
        }
        println!("\n| difference, 95 % | less | UF1 | AU r | real: {few_heads} |");
        println!("|---|---|---|---|{}", "---|".repeat(FEW.len()));
        for row in &self.contrasts {
            let interval = |v: &Value| match (v[0].as_f64(), v[1].as_f64()) {
                (Some(low), Some(high)) => format!("{low:.3} to {high:.3}"),
                _ => "-".into(),
            };
            let real: Vec<String> = (0..FEW.len()).map(|k| interval(&row["real_few"][k])).collect();
            println!(
                "| {} | {} | {} | {} | {} |",
                row["of"].as_str().unwrap_or_default(),
                row["less"].as_str().unwrap_or_default(),
                interval(&row["uf1"]),
                interval(&row["au"]),
                real.join(" | ")
            );
        }
    }
}

//! Rows of the tables, and which of their differences answer a question.

use anyhow::Result;

use super::bench::{Bench, ExperimentTable, Variant};
use crate::contrast::recipe::{Defects, Negatives, Optimiser, PretrainRecipe, ViewEncoding};
use crate::contrast::shape::EncoderShape;
use crate::contrast::unlabelled::What;
use crate::contrast::views::View;
use crate::filter::judge::Reason;

impl Bench<'_> {
    /// Indices of pool pairs that pass a test.
    fn pick(&self, test: impl Fn(usize) -> bool) -> Vec<usize> {
        (0..self.pool.len()).filter(|&i| test(i)).collect()
    }

    pub(super) fn variants(&self) -> Result<Vec<Variant>> {
        let edge = PretrainRecipe::named("edge")?;
        let all = self.pick(|_| true);
        let kept = self.pick(|i| self.kept[i] == Reason::Kept);
        // Pairs are drawn independently of each other, so the first ones are a fair sample of all.
        let as_many = &all[..kept.len()];
        let deep = self.pick(|i| self.kept[i] == Reason::Kept && self.pool_views[&View::Depth][i].is_some());
        let row = |name: &str, recipe: PretrainRecipe, pool: &[usize]| Variant {
            name: name.into(),
            recipe,
            trained: true,
            pool: pool.to_vec(),
        };
        let perceptron = EncoderShape::Perceptron { layers: vec![128, 96] };
        let side = |view: View| ViewEncoding { view, reduce: 4, encoder: perceptron.clone() };
        let views = |first: View, second: View, noise: f32| PretrainRecipe {
            noise,
            first: side(first),
            second: side(second),
            ..edge.clone()
        };
        let alike = PretrainRecipe { negatives: Negatives::InBatch { alike: 0.5 }, ..edge.clone() };
        let paper = Optimiser::Sgd { rate: 0.003, momentum: 0.9, decay: 1e-4 };
        let bank = |count: usize, momentum: f32| Negatives::Bank { count, momentum };
        Ok(match self.settings.table {
            ExperimentTable::Claims => vec![
                Variant { trained: false, ..row("no pretraining (random encoders)", edge.clone(), &all) },
                row("unfiltered pairs", edge.clone(), &all),
                row("unfiltered, as many as filtered", edge.clone(), as_many),
                row("filtered pairs", edge.clone(), &kept),
                row(
                    "micro-expressions alone (by the truth)",
                    edge.clone(),
                    &self.pick(|i| self.pool[i].what == What::Micro),
                ),
                row("unfiltered, as many, positives by likeness of intensity", alike.clone(), as_many),
                row("filtered, positives by likeness of intensity", alike, &kept),
            ],
            ExperimentTable::Views => vec![
                Variant { trained: false, ..row("no pretraining", edge.clone(), &deep) },
                row("motion alone, twice with noise 0.6", views(View::Motion, View::Motion, 0.6), &deep),
                row(
                    "appearance alone, twice with noise 0.6",
                    views(View::Appearance, View::Appearance, 0.6),
                    &deep,
                ),
                row("motion + appearance", views(View::Motion, View::Appearance, 0.0), &deep),
                row("motion + depth", views(View::Motion, View::Depth, 0.0), &deep),
                row("appearance + depth (the paper's)", views(View::Appearance, View::Depth, 0.0), &deep),
            ],
            ExperimentTable::Bank => vec![
                row("in batch, T 0.1, AdamW (default)", edge.clone(), &kept),
                row("in batch, T 0.05", PretrainRecipe { temperature: 0.05, ..edge.clone() }, &kept),
                row(
                    "bank K 2048, T 0.05, momentum 0.5, SGD 0.003 (the paper's code)",
                    PretrainRecipe {
                        temperature: 0.05,
                        negatives: bank(2048, 0.5),
                        optimiser: paper,
                        ..edge.clone()
                    },
                    &kept,
                ),
                row(
                    "the same bank and T, AdamW",
                    PretrainRecipe { temperature: 0.05, negatives: bank(2048, 0.5), ..edge.clone() },
                    &kept,
                ),
                row(
                    "bank K 4096, T 0.07 (README), AdamW",
                    PretrainRecipe { temperature: 0.07, negatives: bank(4096, 0.5), ..edge.clone() },
                    &kept,
                ),
                row("in batch, SGD 0.003", PretrainRecipe { optimiser: paper, ..edge.clone() }, &kept),
            ],
            ExperimentTable::Defects => {
                let with = |defects: Defects| PretrainRecipe { defects, ..edge.clone() };
                vec![
                    row("none", edge.clone(), &kept),
                    row(
                        "second view without gradient",
                        with(Defects { second_without_gradient: true, ..Defects::default() }),
                        &kept,
                    ),
                    row(
                        "flips unpaired",
                        with(Defects { unpaired_flips: true, ..Defects::default() }),
                        &kept,
                    ),
                    row(
                        "75 % of the pairs mismatched",
                        with(Defects { mismatched: 0.75, ..Defects::default() }),
                        &kept,
                    ),
                    row(
                        "all three",
                        with(Defects {
                            second_without_gradient: true,
                            unpaired_flips: true,
                            mismatched: 0.75,
                        }),
                        &kept,
                    ),
                ]
            }
        })
    }

    /// Rows of the table whose differences answer one of its questions.
    pub(super) fn contrasts(&self) -> &'static [(usize, usize)] {
        match self.settings.table {
            // Rows: none, unfiltered, as many, filtered, by the truth, likeness (as many), likeness (filtered).
            ExperimentTable::Claims => {
                &[(1, 0), (3, 0), (3, 1), (3, 2), (4, 2), (5, 2), (6, 3), (6, 5), (6, 0)]
            }
            ExperimentTable::Bank => &[(2, 0), (2, 5), (3, 1)],
            ExperimentTable::Views | ExperimentTable::Defects => &[],
        }
    }
}

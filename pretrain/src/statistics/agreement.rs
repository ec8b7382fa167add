//! How far what is measured agrees with what people coded, over frames; intervals over subjects.

use super::score::resampled;

/// Two raters over many frames, as sums: those of subjects are added, and no frame is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RaterSums {
    count: f64,
    sum: [f64; 2],
    square: [f64; 2],
    product: f64,
    error: f64,
}

/// Variance under which a rater said one thing all the time.
const NO_VARIANCE: f64 = 1e-9;

impl RaterSums {
    /// Adds a frame.
    pub fn push(&mut self, coded: f64, measured: f64) {
        self.count += 1.0;
        for (k, value) in [coded, measured].into_iter().enumerate() {
            self.sum[k] += value;
            self.square[k] += value * value;
        }
        self.product += coded * measured;
        self.error += (coded - measured).abs();
    }

    /// Adds the frames of another.
    pub fn add(&mut self, other: &Self) {
        self.count += other.count;
        for k in 0..2 {
            self.sum[k] += other.sum[k];
            self.square[k] += other.square[k];
        }
        self.product += other.product;
        self.error += other.error;
    }

    /// Frames.
    pub fn count(&self) -> u64 {
        self.count as u64
    }

    /// Variances of what was coded and measured, and their covariance.
    fn variances(&self) -> (f64, f64, f64) {
        let n = self.count.max(1.0);
        let [x, y] = self.sum.map(|s| s / n);
        (self.square[0] / n - x * x, self.square[1] / n - y * y, self.product / n - x * y)
    }

    /// ICC(3,1), two fixed raters, consistency (Shrout and Fleiss 1979): `(BMS - EMS) / (BMS + EMS)`, which is twice the
    /// covariance over the sum of the variances. `None` where what was coded never varies.
    pub fn icc(&self) -> Option<f64> {
        let (coded, measured, both) = self.variances();
        (coded > NO_VARIANCE).then(|| 2.0 * both / (coded + measured))
    }

    /// Pearson's correlation; `None` where either rater never varies.
    pub fn pcc(&self) -> Option<f64> {
        let (coded, measured, both) = self.variances();
        (coded > NO_VARIANCE && measured > NO_VARIANCE).then(|| both / (coded * measured).sqrt())
    }

    /// Mean absolute error; `None` of nothing.
    pub fn mae(&self) -> Option<f64> {
        (self.count > 0.0).then(|| self.error / self.count)
    }
}

/// Whether something is there, by code and by measurement, over many frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Presence {
    /// By both.
    pub hits: u64,
    /// By measurement alone.
    pub wrong: u64,
    /// By code alone.
    pub missed: u64,
    /// By neither.
    pub absent: u64,
}

impl Presence {
    /// Adds a frame.
    pub fn push(&mut self, coded: bool, measured: bool) {
        match (coded, measured) {
            (true, true) => self.hits += 1,
            (false, true) => self.wrong += 1,
            (true, false) => self.missed += 1,
            (false, false) => self.absent += 1,
        }
    }

    /// Adds the frames of another.
    pub fn add(&mut self, other: &Self) {
        self.hits += other.hits;
        self.wrong += other.wrong;
        self.missed += other.missed;
        self.absent += other.absent;
    }

    /// Frames.
    pub fn count(&self) -> u64 {
        self.hits + self.wrong + self.missed + self.absent
    }

    /// Frames in which it is there by code.
    pub fn coded(&self) -> u64 {
        self.hits + self.missed
    }

    /// F1; `None` where it never is there by code.
    pub fn f1(&self) -> Option<f64> {
        let all = 2 * self.hits + self.wrong + self.missed;
        (self.coded() > 0).then(|| 2.0 * self.hits as f64 / all as f64)
    }
}

/// 95 % intervals of figures under resampling of subjects. `figures` is told how often each subject is drawn. `None` of a
/// figure that fewer than nine in ten draws have, and of all with fewer than two subjects.
pub fn intervals(
    subjects: usize,
    seed: u64,
    figures: impl Fn(&[u32]) -> Vec<Option<f64>>,
) -> Vec<Option<[f64; 2]>> {
    let mut drawn: Vec<Vec<f64>> = vec![Vec::new(); figures(&vec![1; subjects]).len()];
    if subjects < 2 {
        return vec![None; drawn.len()];
    }
    let mut draws = 0;
    for weight in resampled(subjects, seed) {
        draws += 1;
        for (values, figure) in drawn.iter_mut().zip(figures(&weight)) {
            values.extend(figure);
        }
    }
    drawn
        .into_iter()
        .map(|mut values| {
            values.sort_by(f64::total_cmp);
            let at = |q: f64| values.get((q * values.len() as f64) as usize).copied();
            let interval = [at(0.025)?, at(0.975)?];
            (10 * values.len() >= 9 * draws).then_some(interval)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(rows: &[[f64; 2]]) -> RaterSums {
        let mut out = RaterSums::default();
        rows.iter().for_each(|r| out.push(r[0], r[1]));
        out
    }

    #[test]
    fn figures_of_two_judges_are_those_computed_by_hand() {
        // Shrout and Fleiss 1979, table 2, the first two judges. Sums of squares about the means: 40/3 and 13.5, of
        // products 10; the differences are 7, 5, 4, 6, 5, 4.
        let judges = [[9.0, 2.0], [6.0, 1.0], [8.0, 4.0], [7.0, 1.0], [10.0, 5.0], [6.0, 2.0]];
        let p = pairs(&judges);
        assert!((p.icc().expect("ICC") - 20.0 / (40.0 / 3.0 + 13.5)).abs() < 1e-12);
        assert!((p.icc().expect("ICC") - 0.745_342).abs() < 1e-6);
        assert!((p.pcc().expect("PCC") - 10.0 / (40.0 / 3.0 * 13.5_f64).sqrt()).abs() < 1e-12);
        assert!((p.mae().expect("MAE") - 31.0 / 6.0).abs() < 1e-12);
        // A constant between the raters does not count for the ICC, a scale does, and for the correlation neither does.
        let shifted = pairs(&judges.map(|r| [r[0], r[0] + 3.0]));
        assert!((shifted.icc().expect("ICC") - 1.0).abs() < 1e-9);
        let scaled = pairs(&judges.map(|r| [r[0], 3.0 * r[0]]));
        assert!((scaled.icc().expect("ICC") - 0.6).abs() < 1e-9, "2 * 3 / (1 + 9)");
        assert!((scaled.pcc().expect("PCC") - 1.0).abs() < 1e-9);
    }

    #[test]
    fn sums_of_subjects_add_up_and_nothing_has_no_figure() {
        let (one, two) = ([[0.0, 0.2], [3.0, 2.5]], [[5.0, 4.0], [1.0, 0.0]]);
        let mut sum = pairs(&one);
        sum.add(&pairs(&two));
        assert_eq!(sum, pairs(&[one, two].concat()));
        assert_eq!(sum.count(), 4);
        assert_eq!((pairs(&[]).mae(), pairs(&[]).icc(), pairs(&[]).pcc()), (None, None, None));
        let silent = pairs(&[[0.0, 1.0], [0.0, 2.0]]);
        assert_eq!((silent.icc(), silent.pcc(), silent.mae()), (None, None, Some(1.5)));
        assert_eq!(pairs(&[[0.0, 1.0], [2.0, 1.0]]).pcc(), None);
    }

    #[test]
    fn presence_counts_frames() {
        let mut p = Presence::default();
        for (coded, measured) in [(true, true), (true, true), (false, true), (true, false), (false, false)] {
            p.push(coded, measured);
        }
        assert_eq!((p.hits, p.wrong, p.missed, p.absent, p.count(), p.coded()), (2, 1, 1, 1, 5, 3));
        assert!((p.f1().expect("F1") - 4.0 / 6.0).abs() < 1e-12);
        let wrong = Presence { wrong: 3, ..Presence::default() };
        assert_eq!(wrong.f1(), None);
    }

    #[test]
    fn intervals_are_those_of_subjects() {
        // Nine subjects with an error of 1, one with 2: the mean of ten draws lies between.
        let errors: Vec<f64> = (0..10).map(|k| if k == 0 { 2.0 } else { 1.0 }).collect();
        let mean = |weight: &[u32]| {
            let sum: f64 = errors.iter().zip(weight).map(|(e, w)| e * f64::from(*w)).sum();
            vec![Some(sum / 10.0), (weight[0] > 0).then_some(1.0)]
        };
        let figures = intervals(10, 1, mean);
        // The share of draws of the tenth is Poisson-like with mean 1: 2.5 % have none, 97.5 % at most three.
        assert_eq!(figures[0], Some([1.0, 1.3]));
        assert_eq!(figures[1], None, "a third of the draws have no such figure");
        assert_eq!(intervals(1, 1, |_| vec![Some(1.0)]), [None]);
    }
}

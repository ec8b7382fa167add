//! Robust statistics.

/// The median, the upper one of an even number; `None` of nothing.
pub fn median(values: &[f32]) -> Option<f32> {
    let mut sorted = values.to_vec();
    let middle = sorted.len() / 2;
    (middle < sorted.len()).then(|| *sorted.select_nth_unstable_by(middle, f32::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_number_has_the_upper_one() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(3.0));
    }
}

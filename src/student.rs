//! The student: motion between onset and apex to a class.

/// Side of the student's input.
pub const SIDE: usize = 28;

/// Means of 2x2 blocks of three planes of [`SIDE`] x [`SIDE`]: what the student's first layer does.
pub fn pool2(motion: &[f32]) -> Vec<f32> {
    let half = SIDE / 2;
    let mut out = Vec::with_capacity(motion.len() / 4);
    for plane in motion.chunks_exact(SIDE * SIDE) {
        for y in 0..half {
            for x in 0..half {
                let at = 2 * y * SIDE + 2 * x;
                out.push(0.25 * (plane[at] + plane[at + 1] + plane[at + SIDE] + plane[at + SIDE + 1]));
            }
        }
    }
    out
}

//! Starts that ended while models were loaded: too little memory, or a network that the engine aborts on, ends the process
//! before it can say so. The next starts are told by a file in the state folder, and leave the bundle out.

use std::path::{Path, PathBuf};

use crate::daemon::whole;

/// So many starts may end in loading; the next one leaves the newest bundle out. One may be a power cut.
const PATIENCE: u32 = 3;

/// A start that is under way.
pub(crate) struct Attempt {
    /// None: nothing is installed.
    file: Option<PathBuf>,
}

fn file(state: &Path) -> PathBuf {
    state.join("models.attempts")
}

fn count(file: &Path) -> u32 {
    glint::plain::read_text(file, 64).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// How many of the newest bundles are left out: in a start that is under way, or else in the next one.
pub(super) fn left_out(state: &Path, attempt: Option<&Attempt>) -> usize {
    let starts = count(&file(state)) + u32::from(attempt.is_none());
    (starts / (PATIENCE + 1)) as usize
}

/// Nothing has ended yet: what is installed has changed.
pub(super) fn forget(state: &Path) {
    // Most of the time there is none.
    _ = std::fs::remove_file(file(state));
}

impl Attempt {
    /// Nothing is installed that could end a start.
    pub(super) fn none() -> Self {
        Self { file: None }
    }

    /// Notes that models are about to be loaded.
    pub(super) fn begin(state: &Path) -> Self {
        let file = file(state);
        let attempt = Self { file: Some(file.clone()) };
        attempt.write(count(&file).saturating_add(1));
        attempt
    }

    /// Notes that the process lives.
    pub(crate) fn end(self) {
        let Some(file) = &self.file else { return };
        match count(file) / (PATIENCE + 1) {
            0 => _ = std::fs::remove_file(file),
            // What is left out stays left out, and what is used now has all attempts before it.
            left_out => self.write(left_out * (PATIENCE + 1) - 1),
        }
    }

    fn write(&self, count: u32) {
        let Some(file) = &self.file else { return };
        if let Err(e) = whole::replace(file, format!("{count}\n").as_bytes(), 0o600) {
            tracing::warn!(file = %file.display(), "starts that end while models are loaded cannot be counted: {e}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_left_out_after_three_starts_that_ended_in_loading() {
        let dir = tempfile::tempdir().expect("folder");
        let state = dir.path();
        Attempt::none().end();
        assert!(!file(state).exists(), "nothing is installed, and nothing is written");
        let starts = |endings: &[bool]| -> Vec<usize> {
            let one = |lives: &bool| {
                let before = left_out(state, None);
                let attempt = Attempt::begin(state);
                let out = left_out(state, Some(&attempt));
                assert_eq!(before, out, "the next start is foretold");
                if *lives {
                    attempt.end();
                }
                out
            };
            endings.iter().map(one).collect()
        };
        assert_eq!(
            starts(&[true, false, false, true, false, false, false]),
            [0; 7],
            "a start that lives counts anew"
        );
        assert_eq!(starts(&[true, true, false, true]), [1; 4], "it stays left out");
        // The second does not live either.
        assert_eq!(starts(&[false, false, false, false]), [1, 1, 1, 1]);
        assert_eq!(starts(&[true, true]), [2, 2]);
        forget(state);
        assert_eq!(starts(&[true]), [0]);
        assert!(!file(state).exists());
    }
}

//! All model files of the pipeline, from a folder or compiled in.

use std::path::Path;

use crate::face::detector::DetectorSpec;
use crate::face::landmarks::LandmarksSpec;
use crate::intensity::AuSpec;
use crate::model::{Checked, ModelError};
use crate::spot::JudgeSpec;
use crate::student::StudentSpec;

/// All model files, digests checked.
pub struct Models {
    /// Face detector.
    pub detector: Checked<DetectorSpec>,
    /// Landmark network.
    pub landmarks: Checked<LandmarksSpec>,
    /// Fields and thresholds of the AUs.
    pub au: Checked<AuSpec>,
    /// The judge of candidates.
    pub judge: Checked<JudgeSpec>,
    /// The student.
    pub student: Checked<StudentSpec>,
}

impl Models {
    /// The models that are compiled in.
    ///
    /// # Errors
    /// [`ModelError`] where a compiled file is damaged.
    pub fn embedded() -> Result<Self, ModelError> {
        Ok(Self {
            detector: Checked::embedded(
                "detector",
                include_str!("../../models/detector.toml"),
                include_bytes!("../../models/detector.onnx"),
            )?,
            landmarks: Checked::embedded(
                "landmarks",
                include_str!("../../models/landmarks.toml"),
                include_bytes!("../../models/landmarks.onnx"),
            )?,
            au: Checked::embedded(
                "au",
                include_str!("../../models/au.toml"),
                include_bytes!("../../models/au.bin"),
            )?,
            judge: Checked::embedded(
                "judge",
                include_str!("../../models/judge.toml"),
                include_bytes!("../../models/judge.bin"),
            )?,
            student: Checked::embedded(
                "student",
                include_str!("../../models/student.toml"),
                include_bytes!("../../models/student.onnx"),
            )?,
        })
    }

    /// The models of a folder.
    ///
    /// # Errors
    /// [`ModelError`] names the first file that cannot be used.
    pub fn load(dir: &Path) -> Result<Self, ModelError> {
        Self::with(dir, Checked::load(dir, "judge")?, Checked::load(dir, "student")?)
    }

    /// The models of files that `read` gives by their names; `place` stands before these names in errors.
    ///
    /// # Errors
    /// [`ModelError`] names the first file that cannot be used.
    pub fn read_with(
        place: &Path,
        mut read: impl FnMut(&str) -> Result<Vec<u8>, ModelError>,
    ) -> Result<Self, ModelError> {
        Ok(Self {
            detector: Checked::read_with(place, "detector", &mut read)?,
            landmarks: Checked::read_with(place, "landmarks", &mut read)?,
            au: Checked::read_with(place, "au", &mut read)?,
            judge: Checked::read_with(place, "judge", &mut read)?,
            student: Checked::read_with(place, "student", &mut read)?,
        })
    }

    /// The models of a folder, or what is wrong with each file; of a folder that is none, with the first.
    ///
    /// # Errors
    /// One [`ModelError`] per file that cannot be used.
    pub fn load_all(dir: &Path) -> Result<Self, Vec<ModelError>> {
        fn keep<S>(
            loaded: Result<Checked<S>, ModelError>,
            wrong: &mut Vec<ModelError>,
        ) -> Option<Checked<S>> {
            loaded.map_err(|error| wrong.push(error)).ok()
        }
        if !dir.is_dir() {
            return Self::load(dir).map_err(|error| vec![error]);
        }
        let mut wrong = Vec::new();
        let judge = keep(Checked::load(dir, "judge"), &mut wrong);
        let student = keep(Checked::load(dir, "student"), &mut wrong);
        let detector = keep(Checked::load(dir, "detector"), &mut wrong);
        let landmarks = keep(Checked::load(dir, "landmarks"), &mut wrong);
        let au = keep(Checked::load(dir, "au"), &mut wrong);
        match (detector, landmarks, au, judge, student) {
            (Some(detector), Some(landmarks), Some(au), Some(judge), Some(student)) => {
                Ok(Self { detector, landmarks, au, judge, student })
            }
            _ => Err(wrong),
        }
    }

    /// The models of a folder; judge and student come from elsewhere: a folder in which they are still to be trained
    /// has none.
    ///
    /// # Errors
    /// [`ModelError`] names the first file that cannot be used.
    pub fn with(
        dir: &Path,
        judge: Checked<JudgeSpec>,
        student: Checked<StudentSpec>,
    ) -> Result<Self, ModelError> {
        Ok(Self {
            detector: Checked::load(dir, "detector")?,
            landmarks: Checked::load(dir, "landmarks")?,
            au: Checked::load(dir, "au")?,
            judge,
            student,
        })
    }

    /// Name and SHA-256 of each file.
    pub fn digests(&self) -> [(&'static str, &str); 5] {
        [
            ("detector", &self.detector.sha256),
            ("landmarks", &self.landmarks.sha256),
            ("au", &self.au.sha256),
            ("judge", &self.judge.sha256),
            ("student", &self.student.sha256),
        ]
    }
}

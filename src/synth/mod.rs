//! A synthetic subject with known action units: for the demo, the tests and the training corpora.
//!
//! ```
//! use glint::synth::{Action, Camera, Scene, Script, Subject};
//!
//! let subject = Subject::random(glint::synth::Pack::embedded()?, 7);
//! let script = Script::new(vec![Action::micro(12, 0.2, 1_000_000_000)])?;
//! let mut scene = Scene::new(subject, script, Camera::default());
//! let frame = scene.frame(0, 100.0);
//! assert_eq!((frame.width, frame.height), (640, 480));
//! # Ok::<(), glint::synth::SynthError>(())
//! ```

mod camera;
mod crop;
mod face;
mod life;
mod motion;
mod pack;
mod props;
mod prototypes;
mod raster;
mod render;
mod script;
#[cfg(test)]
mod tests;

pub use camera::{Camera, NoiseTable, jpeg_round_trip};
pub use crop::{displacement, draw_crop, face_to_crop, lens_blur, render_crop};
pub use face::{FACE_EYE_DISTANCE, FACE_EYES, Face};
pub use life::{HeadMove, Life};
pub use motion::{Gaze, HeadMotion, Speech, Turn};
pub use pack::{
    ATLAS_HEIGHT, MESH_LANDMARKS, MOUTH_COLUMNS, MOUTH_LINE, MOUTH_ROWS, Pack, PackArrays, Subject,
    SubjectSpec, TEXTURE_HEIGHT, TEXTURE_WIDTH,
};
pub use props::{Glare, Glasses, Hand};
pub use prototypes::{class_of_units, combinations};
pub use raster::{Pose, fill};
pub use render::{Scene, Truth};
pub use script::{Action, LightChange, Lighting, Profile, Script};

/// What can be wrong with a script or a pack.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SynthError {
    /// The script asks for something that a face cannot do.
    #[error("action {index}: {reason}")]
    Script {
        /// Index of the action in the script.
        index: usize,
        /// What is wrong, and what is allowed.
        reason: String,
    },
    /// A part of the script other than the actions is out of range.
    #[error("{part}: {reason}")]
    Part {
        /// Which part.
        part: &'static str,
        /// What is wrong, and what is allowed.
        reason: String,
    },
    /// The pack is damaged or of another version.
    #[error("subject pack: {0}")]
    Pack(String),
    /// The pack's file.
    #[error(transparent)]
    Model(#[from] crate::model::ModelError),
}

//! What a site chooses, and why a pipeline cannot be built.

use serde::{Deserialize, Serialize};

use crate::event::Kind;
use crate::intensity::Thresholds;
use crate::model::ModelError;

/// Why class words may be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Purpose {
    /// Scientific study.
    Research,
    /// Care of a patient.
    Clinical,
    /// Help for a person with an impairment.
    Accessibility,
    /// Showing what the device does.
    Demonstration,
    /// Only on a medical or safety basis.
    Workplace,
    /// Only on a medical or safety basis.
    Education,
}

/// What a site may choose.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Faces to follow at once.
    pub max_tracks: usize,
    /// Class words are given only with a purpose.
    pub purpose: Option<Purpose>,
    /// Kinds to publish.
    pub kinds: Vec<Kind>,
    /// Overrides the thresholds of the AU file.
    pub thresholds: Option<Thresholds>,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_tracks: 1, purpose: None, kinds: vec![Kind::Micro], thresholds: None }
    }
}

/// Why a pipeline cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// A model file.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Thresholds of the site.
    #[error("gate thresholds: {0}")]
    Thresholds(String),
}

//! Portraits that move: the photograph on the mesh, displaced as the head that was fitted to it.

use anyhow::Result;
use glint::geometry::Point;
use glint::synth::{Pack, Subject};

use super::fit::{Fit, fit};
use crate::assets::ict::Head;
use crate::assets::portraits::Portrait;
use crate::subject::{Topology, align, units};

/// Portraits turned further than this show one side of the face badly.
const MAX_TURN: f32 = 0.3;
/// Lips of the photograph that lie further apart than this share of the eye distance show teeth, which would stay
/// between closed lips.
const MAX_LIP_GAP: f32 = 0.09;
/// Landmarks of the face mesh at the middle of the inner lips.
const INNER_LIPS: [usize; 2] = [13, 14];
/// A fit that is worse than this (eye distances) is no fit.
const MAX_RESIDUAL: f32 = 0.08;

/// Why a portrait is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unfit {
    /// The head is turned.
    Turned,
    /// The mouth is open.
    OpenMouth,
    /// The head could not be fitted.
    NoFit,
}

/// Whether a portrait can be made to move, and the fit of its head.
pub fn usable(head: &Head, portrait: &Portrait) -> Result<Fit, Unfit> {
    let (_, points) = align(portrait);
    let gap = points[INNER_LIPS[0]].distance(points[INNER_LIPS[1]]) / glint::synth::FACE_EYE_DISTANCE;
    if gap > MAX_LIP_GAP {
        return Err(Unfit::OpenMouth);
    }
    let fit = fit(head, portrait).map_err(|_| Unfit::NoFit)?;
    if fit.residual > MAX_RESIDUAL {
        return Err(Unfit::NoFit);
    }
    if fit.turn() > MAX_TURN { Err(Unfit::Turned) } else { Ok(fit) }
}

/// The person of a portrait. `seed` chooses brightness and the fine texture that the photograph is too small to hold.
pub fn subject(
    topology: &Topology,
    head: &Head,
    portrait: &Portrait,
    fit: &Fit,
    seed: u64,
) -> Result<Subject> {
    let (to_texture, points): (_, Vec<Point>) = align(portrait);
    let person = head.with_identity(&fit.identity).turned(&fit.rotation);
    let (moves, _) = units::displacements(&person, &points)?;
    let arrays = topology.person(portrait, &to_texture, &points, &moves);
    Ok(Subject::random(Pack::from_arrays(arrays), seed))
}

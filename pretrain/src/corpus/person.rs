//! The people of the corpus: portraits that move and rendered heads, behind one face.

use std::collections::BTreeMap;
use std::path::Path;

use crate::holdout::is_held_out;
use anyhow::{Context, Result, ensure};
use glint::face::landmarks::LANDMARK_COUNT;
use glint::flow::Flow;
use glint::geometry::{Point, Similarity};
use glint::synth::{Face, Pose, Subject};
use rayon::prelude::*;

use super::head::{HeadFace, Model, PlacedHead};
use super::portrait::{Unfit, subject, usable};
use crate::assets::ict::Head;
use crate::assets::portraits;
use crate::augment::generator;
use crate::subject::Topology;

/// How a person is drawn.
pub enum Look {
    /// A photograph on a mesh.
    Portrait(Subject),
    /// A rendered head.
    Head(HeadFace),
}

/// One person.
pub struct Person {
    /// Identifier; decides who is held out ([`crate::holdout`]).
    pub id: String,
    /// How the person is drawn.
    pub look: Look,
}

/// A placed person.
#[derive(Clone)]
pub enum Placed {
    /// Vertices of a portrait's mesh.
    Portrait(Vec<Point>),
    /// Vertices of a head.
    Head(PlacedHead),
}

impl Default for Placed {
    fn default() -> Self {
        Self::Portrait(Vec::new())
    }
}

impl Person {
    /// `portrait` or `head`.
    pub fn source(&self) -> &'static str {
        match self.look {
            Look::Portrait(_) => "portrait",
            Look::Head(_) => "head",
        }
    }

    /// Whether the person is kept apart from all training.
    pub fn held_out(&self) -> bool {
        is_held_out(&self.id)
    }

    /// The 68 landmarks in face coordinates of the face at rest with its head turned.
    pub fn landmarks_at_rest(&self, turn: [f32; 2]) -> [Point; LANDMARK_COUNT] {
        match &self.look {
            Look::Portrait(face) => {
                let mut placed = Vec::new();
                face.place(&Pose { turn, ..Pose::NEUTRAL }, &Similarity::IDENTITY, &mut placed);
                face.landmarks(&placed)
            }
            Look::Head(face) => face.landmarks_at_rest(turn),
        }
    }

    /// Writes the true displacement between two placements into `flow` as [`Face::field`] does; returns the depth of
    /// the first one in face units (greater is nearer, 0 at the eyes' inner corner, NaN where there is no face), which
    /// photographs have not.
    pub fn survey(&self, from: &Placed, to: &Placed, flow: &mut Flow) -> Option<Vec<f32>> {
        match (&self.look, from, to) {
            (Look::Head(face), Placed::Head(from), Placed::Head(to)) => {
                let mut depth = vec![f32::NAN; flow.width * flow.height];
                face.survey(from, to, flow, Some(&mut depth));
                Some(depth)
            }
            _ => {
                self.field(from, to, flow);
                None
            }
        }
    }
}

impl Placed {
    /// Carries the vertices on.
    pub fn carry(&mut self, by: &Similarity) {
        let points = match self {
            Self::Portrait(points) => points,
            Self::Head(head) => &mut head.points,
        };
        points.iter_mut().for_each(|p| *p = by.apply(*p));
    }
}

impl Face for Person {
    type Posed = Placed;

    fn place(&self, pose: &Pose, to_image: &Similarity, out: &mut Placed) {
        match &self.look {
            Look::Portrait(face) => {
                if !matches!(out, Placed::Portrait(_)) {
                    *out = Placed::Portrait(Vec::new());
                }
                if let Placed::Portrait(out) = out {
                    face.place(pose, to_image, out);
                }
            }
            Look::Head(face) => {
                if !matches!(out, Placed::Head(_)) {
                    *out = Placed::Head(PlacedHead::default());
                }
                if let Placed::Head(out) = out {
                    face.place(pose, to_image, out);
                }
            }
        }
    }

    fn draw(&self, placed: &Placed, scale: f32, plane: &mut [f32], width: usize) {
        match (&self.look, placed) {
            (Look::Portrait(face), Placed::Portrait(placed)) => face.draw(placed, scale, plane, width),
            (Look::Head(face), Placed::Head(placed)) => face.draw(placed, scale, plane, width),
            _ => debug_assert!(false, "placed by another person"),
        }
    }

    fn field(&self, from: &Placed, to: &Placed, flow: &mut Flow) {
        match (&self.look, from, to) {
            (Look::Portrait(face), Placed::Portrait(from), Placed::Portrait(to)) => {
                face.field(from, to, flow)
            }
            (Look::Head(face), Placed::Head(from), Placed::Head(to)) => face.field(from, to, flow),
            _ => debug_assert!(false, "placed by another person"),
        }
    }

    fn landmarks(&self, placed: &Placed) -> [Point; LANDMARK_COUNT] {
        match (&self.look, placed) {
            (Look::Portrait(face), Placed::Portrait(placed)) => face.landmarks(placed),
            (Look::Head(face), Placed::Head(placed)) => face.landmarks(placed),
            _ => [Point::default(); LANDMARK_COUNT],
        }
    }
}

/// Which people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Split {
    /// Everybody; the index says who is held out.
    All,
    /// Those on whom networks may train and settings be chosen.
    Train,
    /// Those on whom figures are reported.
    HeldOut,
}

impl Split {
    /// Whether a person of this id belongs to it.
    pub fn takes(self, id: &str) -> bool {
        match self {
            Self::All => true,
            Self::Train => !is_held_out(id),
            Self::HeldOut => is_held_out(id),
        }
    }
}

/// People, and how many portraits of those that were looked at were of no use.
pub struct People {
    /// Portraits and heads in turn.
    pub people: Vec<Person>,
    /// Portraits left out, by reason.
    pub unfit: BTreeMap<Unfit, usize>,
}

/// Makes `count` people out of the assets (`portraits/` and `ict/`): half of them portraits, as far as there are usable
/// ones, the others rendered heads. The same seed gives the same people in the same order.
pub fn people(assets: &Path, split: Split, count: usize, seed: u64) -> Result<People> {
    ensure!(count > 0, "people: 0; allowed: 1 or more");
    let model = Model::load(&assets.join("ict"))?;
    let lite = Head::load(&assets.join("ict/ict_face_lite.bin"))?;
    let all = portraits::load(&assets.join("portraits"))?;
    // The mesh is made on the mean of those that may train, whoever is shown.
    let training: Vec<_> = all.iter().filter(|p| !p.held_out()).collect();
    let topology = Topology::new(&training, &lite).context("portraits")?;
    let mut wanted: Vec<_> = all.iter().filter(|p| split.takes(&p.id)).collect();
    shuffle(&mut wanted, seed);
    // As many as are needed, and no more: most of the time goes into the fits.
    let mut unfit = BTreeMap::new();
    let mut fitted = Vec::new();
    for some in wanted.chunks(64) {
        if fitted.len() >= count / 2 {
            break;
        }
        let fits: Vec<_> = some.par_iter().map(|p| (*p, usable(&lite, p))).collect();
        for (portrait, fit) in fits {
            match fit {
                Ok(fit) => fitted.push((portrait, fit)),
                Err(reason) => *unfit.entry(reason).or_insert(0) += 1,
            }
        }
    }
    fitted.truncate(count / 2);
    let portraits: Vec<Person> = fitted
        .par_iter()
        .enumerate()
        .map(|(i, (portrait, fit))| {
            let look = subject(&topology, &lite, portrait, fit, seed.wrapping_add(i as u64))
                .with_context(|| format!("portrait {}", portrait.id))?;
            Ok(Person { id: portrait.id.clone(), look: Look::Portrait(look) })
        })
        .collect::<Result<_>>()?;
    let ids = (0u64..).map(|k| (k, format!("head-{seed}-{k:05}"))).filter(|(_, id)| split.takes(id));
    let ids: Vec<_> = ids.take(count - portraits.len()).collect();
    let heads: Vec<Person> = ids
        .into_par_iter()
        .map(|(k, id)| {
            let face = HeadFace::random(&model, &mut generator(seed ^ 0x6865_6164, k));
            Person { id, look: Look::Head(face) }
        })
        .collect();
    // In turn, so that the first few people are of both kinds.
    let mut people = Vec::with_capacity(count);
    let (mut portraits, mut heads) = (portraits.into_iter(), heads.into_iter());
    loop {
        let before = people.len();
        people.extend(portraits.next());
        people.extend(heads.next());
        if people.len() == before {
            return Ok(People { people, unfit });
        }
    }
}

/// `count` portraits of a split that move, in the order of [`people`].
pub fn portraits_alone(assets: &Path, split: Split, count: usize, seed: u64) -> Result<Vec<Person>> {
    let mut people = people(assets, split, 2 * count, seed)?.people;
    people.retain(|p| matches!(p.look, Look::Portrait(_)));
    Ok(people)
}

fn shuffle<T>(items: &mut [T], seed: u64) {
    use rand::Rng;
    let mut rng = generator(seed, 0x70656f);
    for i in (1..items.len()).rev() {
        items.swap(i, rng.random_range(0..=i));
    }
}

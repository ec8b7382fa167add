//! How well glint would see here: known movements are put into the footage of a place, and counted again.
//!
//! A [`plan`] says when and which, where the face is [`calm`] enough; [`retouch`] puts them in; [`clip`] and [`live`] let two
//! pipelines watch, one without them; [`score`] and [`report`] say what was found.

mod calm;
pub(crate) mod clip;
pub(crate) mod live;
mod picture;
mod plan;
pub(crate) mod report;
mod retouch;
mod score;
mod trial;

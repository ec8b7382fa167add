//! A frame with the movements in it.

use std::collections::VecDeque;

use glint::frame::Frame;
use glint::inject::{Carrier, Injection};

/// Puts movements into frames, one after the other.
#[derive(Default)]
pub(super) struct Retouch {
    /// Luma of the last frame as it came.
    untouched: Vec<u8>,
    /// The same as it is shown.
    shown: Frame,
    spare: Vec<u8>,
}

impl Retouch {
    /// The frame as it is shown.
    pub(super) fn apply(
        &mut self,
        frame: &Frame,
        carrier: &Carrier,
        injected: &VecDeque<Injection>,
    ) -> &Frame {
        let Frame { seq, at_ns, width, height, .. } = *frame;
        let shown = Frame { seq, at_ns, width, height, luma: std::mem::take(&mut self.shown.luma) };
        self.shown = shown;
        // A picture that the camera repeats shows the movement as it was.
        if frame.luma != self.untouched {
            self.untouched.clone_from(&frame.luma);
            self.shown.luma.clone_from(&frame.luma);
            if let Some(place) = carrier.at(at_ns) {
                injected.iter().for_each(|m| m.apply(&mut self.shown, &place, &mut self.spare));
            }
        }
        &self.shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glint::au::Side;
    use glint::geometry::Similarity;
    use glint::synth::Profile;

    #[test]
    fn a_repeated_picture_shows_the_movement_as_it_was() {
        let place = Similarity { a: 1.0, b: 0.0, tx: 20.0, ty: 20.0 };
        let mut carrier = Carrier::default();
        carrier.extend([40, 80, 120].map(|ms| (ms * 1_000_000, Some(place))));
        let subject = Injection::subject().expect("subject");
        let times = [10, 80, 300].map(|ms| ms * 1_000_000);
        let movements =
            VecDeque::from([Injection::new(&subject, vec![(12, Side::Both, 1.0)], times, Profile::Cosine)]);
        let luma: Vec<u8> = (0..200 * 200).map(|i| (i % 200 * 7 % 251) as u8).collect();
        let mut frame = Frame { seq: 1, at_ns: 40_000_000, width: 200, height: 200, luma };
        let mut retouch = Retouch::default();
        let first = retouch.apply(&frame, &carrier, &movements).clone();
        assert_ne!(first.luma, frame.luma, "it moves");
        (frame.seq, frame.at_ns) = (2, 80_000_000);
        let again = retouch.apply(&frame, &carrier, &movements);
        assert_eq!((again.seq, &again.luma), (2, &first.luma));
        frame.luma[0] ^= 1;
        (frame.seq, frame.at_ns) = (3, 120_000_000);
        assert_ne!(retouch.apply(&frame, &carrier, &movements).luma, first.luma);
        // Nothing is known of the face: the frame is as it came.
        (frame.seq, frame.at_ns) = (4, 121_000_000);
        frame.luma[0] ^= 1;
        assert_eq!(retouch.apply(&frame, &carrier, &movements).luma, frame.luma);
    }
}

//! Figure and page of made-up clips.

use std::collections::BTreeMap;
use std::path::Path;

use glint::au::{Side, UNIT_COUNT, unit_indices};
use glint::drawing::Shape;
use glint::event::{AuReading, Kind, Movement, TimingQuality};
use quick_xml::Reader;
use quick_xml::events::Event as Xml;

use super::{Record, Row, figure, page};
use crate::daemon::summary::Concluded;

/// Counts elements by `name` and by `name.class`. Panics where the text is no well-formed XML.
fn elements(text: &str) -> BTreeMap<String, usize> {
    let mut reader = Reader::from_str(text);
    let mut counts = BTreeMap::new();
    let mut depth = 0;
    loop {
        let event = reader.read_event().unwrap_or_else(|e| panic!("{e} at {}", reader.error_position()));
        match event {
            Xml::Start(ref element) | Xml::Empty(ref element) => {
                depth += i32::from(matches!(event, Xml::Start(_)));
                let name = element.name().as_ref().to_owned();
                for attribute in element.attributes() {
                    let attribute = attribute.expect("an attribute");
                    if attribute.key.as_ref() == "class" {
                        *counts.entry(format!("{name}.{}", attribute.value)).or_default() += 1;
                    }
                }
                *counts.entry(name).or_default() += 1;
            }
            Xml::End(_) => depth -= 1,
            Xml::GeneralRef(entity) => {
                assert!(["amp", "lt", "gt", "quot", "#39"].contains(&&*entity), "{entity:?}");
            }
            Xml::Eof => break,
            _ => {}
        }
    }
    assert_eq!(depth, 0, "an element is open at the end");
    counts
}

fn movement(kind: Kind, onset_ns: i64, au: u8) -> Movement {
    Movement {
        kind,
        onset_ns,
        apex_ns: onset_ns + 120_000_000,
        offset_ns: onset_ns + 300_000_000,
        track: 1,
        aus: vec![AuReading::new(au, Side::Left, 1.02)],
        label: None,
        abstained: false,
        fps: 100.0,
        timing_quality: TimingQuality::Good,
        track_quality: 1.0,
        model: "sha256:00".into(),
        evidence: "facial_movement".into(),
    }
}

fn candidate(kind: Kind, onset_ns: i64, cause: &'static str) -> Concluded {
    Concluded {
        track: 1,
        kind,
        onset_ns,
        apex_ns: onset_ns + 50_000_000,
        offset_ns: onset_ns + 200_000_000,
        aus: vec![AuReading::new(4, Side::Both, 0.7)],
        cause,
    }
}

/// Rows at `fps` with a trace of AU 12 left, and everything else at `rest(row, unit)`.
fn rows(seconds: f64, fps: f64, rest: impl Fn(usize, usize) -> f32) -> Vec<Row> {
    let row = |i: usize| {
        let mut units: [f32; UNIT_COUNT] = std::array::from_fn(|k| rest(i, k));
        unit_indices(12, Side::Left).for_each(|k| units[k] = if i % 50 < 10 { 1.5 } else { 0.1 });
        Row {
            at_ns: (i as f64 / fps * 1e9) as i64,
            units: (i % 400 > 5).then_some(units),
            face: Some((0.9 + rest(i, 0) / 50.0, rest(i, 1))),
            light: Some(100.0 + rest(i, 2)),
            fps: fps as f32,
            state: if i % 400 == 3 { "moving" } else { "quiet" },
            after_gap: i % 700 == 300,
        }
    };
    (0..(seconds * fps) as usize).map(row).collect()
}

/// What shades the lanes, in all events of a figure.
fn shading(events: Vec<Movement>, seconds: f64) -> usize {
    let count = events.len();
    let record = Record { rows: rows(seconds, 10.0, |_, _| 0.0), events, ..Record::default() };
    let groups = figure::whole(&record, "a clip").shapes;
    let of_events = groups.iter().filter_map(|shape| match shape {
        Shape::Group { class: "event", shapes, .. } => Some(shapes.len() - 1),
        _ => None,
    });
    let of_events: Vec<usize> = of_events.collect();
    assert_eq!(of_events.len(), count, "each has its mark");
    of_events.iter().sum()
}

#[test]
fn events_that_would_cover_half_an_hour_of_traces_have_marks_alone() {
    let every = |s: i64, n: i64| (1..=n).map(|i| movement(Kind::Micro, i * s * 1_000_000_000, 12)).collect();
    assert!(shading(every(60, 25), 1800.0) > 25);
    assert_eq!(shading(every(2, 800), 1800.0), 0);
}

#[test]
fn every_event_and_every_rejected_candidate_is_there_once() {
    let events = [(Kind::Micro, 1, 12), (Kind::Blink, 2, 45), (Kind::Macro, 4, 17)];
    let events = events.map(|(kind, s, au)| movement(kind, s * 1_000_000_000, au)).to_vec();
    let mut record = Record { rows: rows(6.0, 100.0, |_, _| 0.0), events, ..Record::default() };
    record.conclude(vec![
        candidate(Kind::Micro, 1_000_000_000, "noise"),
        candidate(Kind::Micro, 3_000_000_000, "speech"),
        candidate(Kind::Micro, 3_010_000_000, "head_motion"),
    ]);
    assert_eq!(record.rejected.len(), 2, "what was told is not rejected");
    let svg = figure::whole(&record, "a clip").svg("a clip");
    let counts = elements(&svg);
    assert_eq!((counts["g.event"], counts["g.rejected"]), (3, 2));
    for words in [
        "<title>micro. Onset 1.000 s, apex 1.120 s, offset 1.300 s. AU12 left 1.02 (A)</title>",
        "<title>rejected: speech. Onset 3.000 s",
        "<title>rejected: head_motion. Onset 3.010 s",
        "<title>Frames are missing: 2.990 to 3.000 s</title>",
        ">lip corner puller<",
        ">E</text>",
        ">time (s)<",
        ">frames/s<",
        ">luma of the face<",
    ] {
        assert!(svg.contains(words), "{words}");
    }
    // A lane for what moves or takes part in an event, and for nothing else.
    let lanes: Vec<&str> =
        svg.split(">AU").skip(1).filter_map(|rest| rest.split_once("</text>")).map(|(au, _)| au).collect();
    assert_eq!(lanes, ["12", "17", "45"]);

    let page = page::html(&record, "a clip", "600 frames, 6.0 s");
    let counts = elements(&page);
    assert_eq!((counts["g.event"], counts["g.rejected"], counts["tr.movement"]), (3, 2, 3));
    assert!(page.contains("<p class=\"summary\">600 frames, 6.0 s.</p>"));
    assert!(page.contains("<figure id=\"event-1\">") && !page.contains("event-2"));
    for outside in ["src=", "href=\"http", "url(", "<script", "@import", "<link"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn names_are_escaped_and_addresses_lose_their_password() {
    let record = Record { rows: rows(1.0, 50.0, |_, _| 0.0), ..Record::default() };
    let name = page::name(Path::new("/home/me/<script>alert('1')</script> & \"co\".mp4"));
    assert_eq!(name, "script> & \"co\".mp4");
    for name in [name, "<b>&\u{7}".into()] {
        let page = page::html(&record, &name, "a <b> & c");
        elements(&page);
        elements(&figure::whole(&record, &name).svg(&name));
        assert!(page.contains("a &lt;b&gt; &amp; c"));
    }
    let address = page::name(Path::new("rtsp://me:secret@cam.example:554/one?token=x"));
    assert_eq!(address, "rtsp://***@cam.example:554/one?***");
    assert_eq!(page::name(Path::new("-")), "standard input");
    assert_eq!(page::name(Path::new("frames/")), "frames");
}

#[test]
fn clips_without_rows_faces_or_movements_have_a_figure() {
    let blank =
        Row { at_ns: 5, units: None, face: None, light: None, fps: 0.0, state: "noface", after_gap: false };
    for rows in [vec![], vec![blank.clone()], vec![blank.clone(), Row { at_ns: 40_000_000, ..blank }]] {
        let record = Record { rows, ..Record::default() };
        let drawing = figure::whole(&record, "nobody");
        elements(&drawing.svg("nobody"));
        assert!(drawing.canvas().png().is_ok());
        let page = page::html(&record, "nobody", "no frame");
        assert!(page.contains("No face was found.") && page.contains("<p>None.</p>"));
    }
}

#[test]
fn a_face_that_does_not_move_is_no_missing_face() {
    let mut record = Record { rows: rows(1.0, 50.0, |_, _| 0.0), ..Record::default() };
    record.rows.iter_mut().for_each(|row| row.units = Some([0.4; UNIT_COUNT]));
    assert!(figure::whole(&record, "calm").svg("calm").contains(">No action unit reached A (0.5)"));
}

#[test]
fn the_picture_has_the_size_of_the_figure_and_shows_the_traces() {
    let record = Record {
        rows: rows(4.0, 100.0, |_, _| 0.0),
        events: vec![movement(Kind::Micro, 1_000_000_000, 12)],
        ..Record::default()
    };
    let drawing = figure::whole(&record, "a clip");
    let png = drawing.canvas().png().expect("encodes");
    let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().expect("a PNG");
    let info = reader.info();
    assert_eq!((info.width, info.height), (drawing.width as u32, drawing.height as u32));
    let mut data = vec![0; 3 * info.width as usize * info.height as usize];
    reader.next_frame(&mut data).expect("pixels");
    let count = |color: [u8; 3]| data.chunks_exact(3).filter(|p| **p == color).count();
    assert!(count(super::lanes::LEFT_SIDE) > 1000, "the trace of AU 12");
    assert!(count([255, 240, 178]) > 1000, "the shading of the event");
    assert!(count(glint::canvas::INK) > 2000, "the words");
}

#[test]
fn half_an_hour_stays_under_three_megabytes() {
    let noise = |i: usize, k: usize| {
        let hash = (i as u64 * 64 + k as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        (hash % 100) as f32 / 100.0 + if hash.is_multiple_of(997) { 2.0 } else { 0.0 }
    };
    let minutes = 30;
    let kinds = [Kind::Micro, Kind::Blink, Kind::Blink, Kind::Blink, Kind::Macro];
    let events = (0..40 * minutes).map(|i| {
        let au = if i % 5 == 0 { 12 } else { 45 };
        movement(kinds[i % 5], i as i64 * 1_500_000_000, au)
    });
    let causes = ["noise", "speech", "head_motion", "light"];
    // As many as a restless face has.
    let rejected =
        (0..400 * minutes).map(|i| candidate(Kind::Micro, i as i64 * 150_000_000 + 7, causes[i % 4]));
    let mut record = Record {
        rows: rows(60.0 * minutes as f64, 60.0, noise),
        events: events.collect(),
        ..Record::default()
    };
    record.conclude(rejected.collect());
    let page = page::html(&record, "long.mp4", "108000 frames");
    let counts = elements(&page);
    assert_eq!((counts["g.event"], counts["tr.movement"]), (1200, 1200));
    let (whole, _) = page.split_once("</figure>").expect("the figure");
    let joined = whole.split("<title>").skip(1).filter_map(|title| title.split_once(" rejected, "));
    let counts: Vec<usize> = joined.map(|(count, _)| count.parse().expect("a count")).collect();
    assert!((400..=501).contains(&counts.len()), "{} marks", counts.len());
    assert_eq!(counts.iter().sum::<usize>(), 12_000);
    assert!(page.contains("head_motion 6, light 6, noise 6, speech 6"), "causes of 3.6 s");
    assert!(page.contains("The first 100 of 240."));
    assert!(page.len() < 3_000_000, "{} bytes", page.len());
    // Twenty lanes at two points a column stay a picture that a browser draws at once.
    let svg = figure::whole(&record, "long.mp4").svg("long.mp4");
    assert!(svg.len() < 2_500_000, "{} bytes", svg.len());
}

//! Exports of known events.

use std::path::Path;

use glint::au::Side;
use glint::event::{AuReading, Event, Kind, Movement, TimingQuality};
use quick_xml::Reader;
use quick_xml::events::Event as Xml;

use super::*;

fn movement(track: u32, kind: Kind, ms: [i64; 3], aus: &[(u8, Side, f32)]) -> Event {
    let [onset_ns, apex_ns, offset_ns] = ms.map(|ms| ms * 1_000_000);
    let aus = aus.iter().map(|(au, side, intensity)| AuReading::new(*au, *side, *intensity)).collect();
    let data = Movement {
        kind,
        onset_ns,
        apex_ns,
        offset_ns,
        track,
        aus,
        label: None,
        abstained: false,
        fps: 100.0,
        timing_quality: TimingQuality::Good,
        track_quality: 0.97,
        model: "sha256:00".into(),
        evidence: "facial_movement".into(),
    };
    Event::new("replay", "s", None, data)
}

/// A smile that has a smaller one in it, as the pipeline would not tell it, and a blink; out of order.
fn events() -> Vec<Event> {
    vec![
        movement(1, Kind::Blink, [3_600_010, 3_600_080, 3_600_200], &[(45, Side::Both, 3.0)]),
        movement(1, Kind::Macro, [1000, 1500, 3000], &[(12, Side::Both, 2.0)]),
        movement(1, Kind::Micro, [1200, 1260, 1400], &[(12, Side::Both, 1.02), (6, Side::Left, 0.31)]),
    ]
}

fn content(events: &[Event]) -> Content<'_> {
    Content { name: "a & <b> --> c.avi", clip: Path::new("/nonexistent/a.avi"), events }
}

/// Attributes of the elements of a name, in their order.
fn elements(text: &str, name: &str) -> Vec<std::collections::BTreeMap<String, String>> {
    let (mut reader, mut elements) = (Reader::from_str(text), Vec::new());
    loop {
        match reader.read_event().expect("well-formed") {
            Xml::Start(e) | Xml::Empty(e) if e.name().as_ref() == name => elements.push(
                e.attributes()
                    .map(|a| a.expect("an attribute"))
                    .map(|a| (a.key.as_ref().to_string(), a.value.to_string()))
                    .collect(),
            ),
            Xml::Eof => return elements,
            _ => {}
        }
    }
}

#[test]
fn endings_choose_the_format() {
    for (name, format) in [("a.eaf", Format::Eaf), ("a.VTT", Format::Vtt), ("b.x.jsonl", Format::JsonLines)] {
        assert_eq!(Target::new(name.into()).expect("known").format, format);
    }
    let table = Target::new("sub-01_events.tsv".into()).expect("known");
    assert_eq!(table.sidecar.as_deref(), Some(Path::new("sub-01_events.json")));
    for name in ["a", "a.csv", ".vtt", "a.json"] {
        assert!(
            Target::new(name.into()).is_err_and(|e| e.contains(".eaf, .vtt, .tsv, .edf, .jsonl")),
            "{name}"
        );
    }
}

#[test]
fn elan_has_a_tier_for_each_unit_and_nothing_overlaps() {
    let events = events();
    let text = eaf::document(&content(&events), Path::new("/tmp"), "2026-01-01T00:00:00.000Z");
    let tiers: Vec<String> =
        elements(&text, "TIER").into_iter().map(|mut t| t.remove("TIER_ID").expect("a name")).collect();
    let expected = ["movement", "movement (2)", "phase", "phase (2)", "AU06L", "AU12", "AU12 (2)", "AU45"];
    assert_eq!(tiers, expected);
    let slots = elements(&text, "TIME_SLOT");
    let at = |id: &str| {
        let slot = slots.iter().find(|s| s["TIME_SLOT_ID"] == id).expect("a slot");
        slot["TIME_VALUE"].parse::<i64>().expect("a number")
    };
    assert!(slots.windows(2).all(|w| at(&w[0]["TIME_SLOT_ID"]) <= at(&w[1]["TIME_SLOT_ID"])), "{slots:?}");
    let annotations = elements(&text, "ALIGNABLE_ANNOTATION");
    assert_eq!((annotations.len(), slots.len()), (3 + 6 + 4, 26), "{text}");
    for a in &annotations {
        assert!(at(&a["TIME_SLOT_REF1"]) < at(&a["TIME_SLOT_REF2"]), "{a:?}");
    }
    assert!(text.contains("<ANNOTATION_VALUE>1.02 A</ANNOTATION_VALUE>"), "{text}");
    assert!(text.contains("micro: AU12 both sides 1.02 (A), AU6 left 0.31"), "{text}");
}

#[test]
fn elan_finds_the_video_beside_the_document() {
    let dir = tempfile::tempdir().expect("folder");
    let clip = dir.path().join("a b.mp4");
    std::fs::write(&clip, "").expect("file");
    let content = Content { name: "a b.mp4", clip: &clip, events: &[] };
    let text = eaf::document(&content, dir.path(), "2026-01-01T00:00:00.000Z");
    let media = &elements(&text, "MEDIA_DESCRIPTOR")[0];
    assert!(media["MEDIA_URL"].starts_with("file:///") && media["MEDIA_URL"].ends_with("/a%20b.mp4"));
    assert_eq!(
        (media["RELATIVE_MEDIA_URL"].as_str(), media["MIME_TYPE"].as_str()),
        ("./a%20b.mp4", "video/mp4")
    );
    let elsewhere = eaf::document(&content, Path::new("/"), "2026-01-01T00:00:00.000Z");
    assert!(!elsewhere.contains("RELATIVE_MEDIA_URL"));
    let piped = Content { name: "standard input", clip: Path::new("-"), events: &[] };
    assert!(elements(&eaf::document(&piped, dir.path(), "x"), "MEDIA_DESCRIPTOR").is_empty());
}

#[test]
fn captions_come_by_time_and_hold_no_mark_up() {
    let events = events();
    let text = vtt::document(&content(&events));
    let cues: Vec<&str> = text.lines().filter(|line| line.contains("-->")).collect();
    assert_eq!(
        cues,
        ["00:00:01.000 --> 00:00:03.000", "00:00:01.200 --> 00:00:01.400", "01:00:00.010 --> 01:00:00.200"]
    );
    assert!(text.starts_with("WEBVTT\n\nNOTE\nFacial movements in a &amp; &lt;b&gt; --&gt; c.avi"), "{text}");
}

#[test]
fn faces_are_told_apart_where_there_are_several() {
    let mut events = events();
    events.push(movement(2, Kind::Micro, [1210, 1300, 1420], &[(12, Side::Right, 1.0)]));
    let content = content(&events);
    assert!(vtt::document(&content).contains("face 2: micro: AU12 right 1.00 (A)"));
    let text = eaf::document(&content, Path::new("/tmp"), "2026-01-01T00:00:00.000Z");
    let tier = elements(&text, "TIER").into_iter().find(|t| t["TIER_ID"] == "AU12R@face 2").expect("a tier");
    assert_eq!(tier["PARTICIPANT"], "face 2");
    assert!(String::from_utf8_lossy(&edf::file(&content)).contains("micro/AU12R/face2"));
    assert!(bids::table(&content).contains("\t2\tAU12R\t1.00\tA\t"));
}

#[test]
fn the_table_of_bids_has_its_columns_described() {
    let events = events();
    let table = bids::table(&content(&events));
    let mut lines = table.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let header = lines.next().expect("a header");
    assert_eq!(header[..3], ["onset", "duration", "trial_type"]);
    let rows: Vec<_> = lines.collect();
    assert!(rows.len() == 3 && rows.iter().all(|row| row.len() == header.len()), "{table}");
    assert_eq!(rows[1][..4], ["1.200000", "0.200000", "micro", "1.260000"]);
    assert_eq!(rows[1][5..8], ["AU12;AU06L", "1.02;0.31", "A;n/a"]);
    let described: serde_json::Value = serde_json::from_str(&bids::sidecar()).expect("JSON");
    let described: Vec<&String> = described.as_object().expect("an object").keys().collect();
    assert!(header.iter().all(|name| described.iter().any(|d| d == name)) && described.len() == header.len());
}

#[test]
fn annotations_of_edf_fill_records() {
    let many: Vec<Event> = (0..200)
        .map(|k| {
            movement(1, Kind::Micro, [k * 1000, k * 1000 + 50, k * 1000 + 100], &[(12, Side::Both, 1.0)])
        })
        .collect();
    let bytes = edf::file(&content(&many));
    let text = String::from_utf8(bytes.clone()).expect("ASCII");
    assert_eq!((&text[..8], text[192..197].trim()), ("0       ", "EDF+C"));
    let records: usize = text[236..244].trim().parse().expect("a number");
    let samples: usize = text[256 + 216..256 + 224].trim().parse().expect("a number");
    assert!(records > 1 && bytes.len() == 512 + records * 2 * samples, "{records} records of {samples}");
    for record in bytes[512..].chunks(2 * samples) {
        assert!(record.starts_with(b"+0\x14\x14\0"));
    }
    assert_eq!(text.matches("micro/AU12\u{14}\0").count(), 200);
    assert!(text.contains("\0+7.000000\u{15}0.100000\u{14}micro/AU12"));
    let none = edf::file(&content(&[]));
    assert_eq!(none.len(), 512 + 4096, "a file without events has one record");
}

#[test]
fn lines_are_events() {
    let events = events();
    let text = json_lines(&content(&events));
    let back: Vec<Event> = text.lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
    assert_eq!(back, events);
}

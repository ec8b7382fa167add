//! `glintd inspect --report` and `--plot` on a clip: pages and pictures that can be opened anywhere.

use base64::Engine as _;
use glint::clip::Codec;
use glint::face::{CROP_HEIGHT, CROP_WIDTH};
use glint::frame::{LumaDecoder, PixelFormat};
use quick_xml::Reader;
use quick_xml::events::Event as Xml;

use super::{run, stderr};

/// Panics where a text is no well-formed XML; counts `<g class="CLASS">`.
fn groups(text: &str, class: &str) -> usize {
    let (mut reader, mut count) = (Reader::from_str(text), 0);
    loop {
        match reader.read_event().expect("well-formed") {
            Xml::Start(element) if element.name().as_ref() == "g" => {
                let is_it = |a: &quick_xml::events::attributes::Attribute| a.value == class;
                count += usize::from(element.attributes().flatten().any(|a| is_it(&a)));
            }
            Xml::Eof => return count,
            _ => {}
        }
    }
}

#[test]
fn a_report_shows_what_the_closing_line_says() {
    let dir = tempfile::tempdir().expect("folder");
    let at = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    let (clip, page, svg, png) = (at("a & b.avi"), at("a.html"), at("a.svg"), at("a.PNG"));
    super::write_smile(clip.as_ref(), Codec::Mjpeg(95), 180);

    let output = run(&["inspect", &clip, "--report", &page, "--plot", &svg, "--explain", &at("why.jsonl")]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(output.stdout.is_empty(), "no table was asked for");
    let page = std::fs::read_to_string(&page).expect("a page");
    let stderr_text = stderr(&output);
    let closing = stderr_text.lines().last().expect("a closing line");
    assert!(closing.starts_with("180 frames, 3.0 s"), "{closing}");
    assert!(page.contains(&format!("<p class=\"summary\">{closing}.</p>")), "{closing}");
    assert!(page.contains("<h1>a &amp; b.avi</h1>"));
    let why = std::fs::read_to_string(at("why.jsonl")).expect("lines");
    let lines = why.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let told: Vec<_> = lines.filter(|line| line["verdict"] == "micro").collect();
    assert_eq!(told.len(), 1, "{why}");
    // Milliseconds with two digits there, seconds with three here.
    let onset = told[0]["onset_ms"].as_f64().expect("a time") / 1e3;
    let title = format!("<title>micro. Onset {:.2}", (onset * 1e2).floor() / 1e2);
    assert_eq!(groups(&page, "event") + groups(&page, "rejected"), why.lines().count(), "{why}");
    assert!(page.contains(&title) && page.contains("AU12 both sides"));
    assert!(page.contains("id=\"event-1\""));

    assert!(!page.contains("<img") && !page.contains("data:"), "no face unless it was asked for");

    let drawn = std::fs::read_to_string(&svg).expect("a drawing");
    assert!(drawn.starts_with("<svg ") && page.contains(drawn.trim_end()), "the page has the same figure");
    assert_eq!(groups(&drawn, "event"), groups(&page, "event"));

    let output = run(&["inspect", &clip, "--to", "0.2", "--plot", &png]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(std::fs::read(&png).expect("a picture").starts_with(b"\x89PNG"));
}

#[test]
fn a_report_shows_the_face_where_that_is_asked_for() {
    let dir = tempfile::tempdir().expect("folder");
    let at = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    let (clip, page) = (at("a.avi"), at("a.html"));
    super::write_smile(clip.as_ref(), Codec::Mjpeg(95), 180);
    let output = run(&["inspect", &clip, "--report", &page, "--with-faces"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let page = std::fs::read_to_string(&page).expect("a page");
    assert!(page.contains("img-src data:") && page.contains("pictures of a face, at 1 of 1."));
    let (_, picture) = page.split_once("data:image/jpeg;base64,").expect("a picture");
    let (picture, _) = picture.split_once('"').expect("an end");
    let jpeg = base64::engine::general_purpose::STANDARD.decode(picture).expect("base 64");
    let mut luma = Vec::new();
    let size = LumaDecoder::default().decode(PixelFormat::Mjpg, 0, 0, 0, &jpeg, &mut luma).expect("a JPEG");
    assert_eq!(size, (6 * CROP_WIDTH, CROP_HEIGHT));
    // Before and at the onset the face is the same; at the apex the mouth is another one.
    let mouth = |at: usize, x: usize| {
        let luma = &luma;
        (100..140).map(move |y| i32::from(luma[y * 6 * CROP_WIDTH + at * CROP_WIDTH + x]))
    };
    let apart = |a: usize, b: usize| -> i32 {
        (20..108).flat_map(|x| mouth(a, x).zip(mouth(b, x))).map(|(p, q)| (p - q).abs()).sum()
    };
    assert!(apart(0, 3) > 2 * apart(0, 1), "{} {}", apart(0, 3), apart(0, 1));

    let output = run(&["inspect", &clip, "--csv", &at("a.csv"), "--with-faces"]);
    assert_eq!(output.status.code(), Some(2), "there is no page to put it on");
}

#[test]
fn outputs_that_cannot_be_are_refused_before_the_clip_is_read() {
    let output = run(&["inspect", "none.avi"]);
    assert_eq!(output.status.code(), Some(2), "nothing to write");
    let output = run(&["inspect", "none.avi", "--plot", "a.jpg"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("must end in .svg or .png"), "{}", stderr(&output));
    for option in ["--report", "--plot", "--csv"] {
        let output = run(&["inspect", "none.avi", option, "/nonexistent/a.svg"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("/nonexistent/a.svg"), "{}", stderr(&output));
    }
}

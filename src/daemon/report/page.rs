//! The report: one HTML page that needs nothing else, neither a server nor a script.

use std::fmt::Write as _;
use std::path::Path;

use glint::clip::display_name;
use glint::drawing::escape;
use glint::event::{Kind, Movement, TimingQuality};

use super::faces::Strip;
use super::{Record, figure, kind_name, readings, seconds};

/// Close-ups are drawn of so many micro-expressions: a page stays small enough to be mailed.
const CLOSE_UPS: usize = 100;

const STYLE: &str = "
body { font: 15px/1.5 sans-serif; color: #222; margin: 2em auto; padding: 0 1em; max-width: 1260px; }
h1 { font-size: 1.5em; overflow-wrap: anywhere; }
h2 { font-size: 1.15em; margin-top: 2em; }
svg, img { max-width: 100%; height: auto; }
.faces { display: block; }
table { border-collapse: collapse; }
th, td { text-align: left; padding: .2em 1em .2em 0; border-bottom: 1px solid #ddd; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
.near { display: flex; flex-wrap: wrap; gap: 1em; }
figure { margin: 0; break-inside: avoid; }
figcaption { font-size: .9em; }
footer { margin-top: 2em; font-size: .9em; color: #555; }
@media print {
  @page { size: A4 landscape; margin: 12mm; }
  body { margin: 0; max-width: none; font-size: 10pt; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  a { color: inherit; text-decoration: none; }
  tr { break-inside: avoid; }
  .whole svg { max-height: 180mm; }
}
";

/// The name of a clip in titles: that of its file, or an address without who opens it.
pub(crate) fn name(clip: &Path) -> String {
    let text = clip.to_string_lossy();
    if text == "-" {
        return "standard input".into();
    }
    if text.contains("://") {
        return display_name(clip);
    }
    clip.file_name().map_or_else(|| text.clone().into_owned(), |name| name.to_string_lossy().into_owned())
}

/// The page about a clip. `summary`: the closing line of the run.
pub(crate) fn html(record: &Record, name: &str, summary: &str) -> String {
    let title = escape(name);
    // Pictures of faces stand in the page itself.
    let images = if record.strips.is_some() { "; img-src data:" } else { "" };
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'{images}\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width\"/>\n\
         <title>{title}: glint report</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <h1>{title}</h1>\n<p class=\"summary\">{}.</p>\n",
        escape(summary)
    );
    let drawing = figure::whole(record, &format!("{name}: action units, intensity 0 to 5"));
    _ = write!(
        out,
        "<figure class=\"whole\">\n{}<figcaption>Each lane is an action unit that reached A or took part in an event; \
         the letters A to E are the levels of FACS. Point at a mark for its times, its action units and the cause of a \
         rejection.</figcaption>\n</figure>\n",
        drawing.svg(&format!("Action units of {name} over time"))
    );
    events(record, &mut out);
    close_ups(record, &mut out);
    _ = write!(
        out,
        "<footer><p>glintd {}, evidence: facial movement. A facial movement is not an emotion, and glint is not a lie \
         detector.</p></footer>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION")
    );
    out
}

/// Micro-expressions with a close-up: their places among the events.
fn shown(record: &Record) -> impl Iterator<Item = (usize, &Movement)> {
    record.events.iter().enumerate().filter(|(_, e)| e.kind == Kind::Micro).take(CLOSE_UPS)
}

/// The table of events.
fn events(record: &Record, out: &mut String) {
    if record.events.is_empty() {
        out.push_str("<h2>Events</h2>\n<p>None.</p>\n");
        return;
    }
    out.push_str(
        "<h2>Events</h2>\n<table>\n<thead><tr><th class=\"n\">no.</th><th>kind</th><th class=\"n\">onset (s)</th>\
         <th class=\"n\">apex (s)</th><th class=\"n\">offset (s)</th><th class=\"n\">length (ms)</th>\
         <th>action units, intensity, level</th><th>timing</th></tr></thead>\n<tbody>\n",
    );
    let close: Vec<usize> = shown(record).map(|(i, _)| i).collect();
    for (i, e) in record.events.iter().enumerate() {
        let number = i + 1;
        let number = match close.binary_search(&i) {
            Ok(_) => format!("<a href=\"#event-{number}\">{number}</a>"),
            Err(_) => number.to_string(),
        };
        let [onset, apex, offset] = [e.onset_ns, e.apex_ns, e.offset_ns].map(seconds);
        let timing = match e.timing_quality {
            TimingQuality::Good => "good",
            TimingQuality::Degraded => "degraded",
        };
        _ = writeln!(
            out,
            "<tr class=\"movement\"><td class=\"n\">{number}</td><td>{}</td><td class=\"n\">{onset:.3}</td>\
             <td class=\"n\">{apex:.3}</td><td class=\"n\">{offset:.3}</td><td class=\"n\">{:.0}</td>\
             <td>{}</td><td>{timing}</td></tr>",
            kind_name(e.kind),
            (offset - onset) * 1e3,
            escape(&readings(&e.aus))
        );
    }
    out.push_str("</tbody>\n</table>\n");
}

/// Each micro-expression at full time resolution.
fn close_ups(record: &Record, out: &mut String) {
    let all = record.events.iter().filter(|e| e.kind == Kind::Micro).count();
    if all == 0 {
        return;
    }
    out.push_str("<h2>Micro-expressions</h2>\n");
    if all > CLOSE_UPS {
        _ = writeln!(out, "<p>The first {CLOSE_UPS} of {all}.</p>");
    }
    if let Some(strips) = &record.strips {
        _ = writeln!(out, "<p>This page holds pictures of a face, at {} of {all}.</p>", strips.len());
    }
    out.push_str("<div class=\"near\">\n");
    for (i, e) in shown(record) {
        let (number, onset) = (i + 1, seconds(e.onset_ns));
        let label = format!("Event {number} at {onset:.3} s");
        _ = write!(
            out,
            "<figure id=\"event-{number}\">\n<figcaption>{number}: {onset:.3} s. {}</figcaption>\n{}{}</figure>\n",
            escape(&readings(&e.aus)),
            figure::near(record, e).svg(&label),
            record.strips.as_ref().and_then(|s| s.get(&i)).map_or_else(String::new, Strip::html)
        );
    }
    out.push_str("</div>\n");
}

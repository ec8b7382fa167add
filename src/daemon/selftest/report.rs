//! The result of a self-test: counts, as lines and as JSON.

use std::collections::BTreeMap;

use glint::event::Movement;
use glint::inject::Injection;
use glint::pipeline::Counters;
use serde_json::{Value, json};

use crate::daemon::summary::Summary;

/// Borders of the classes of size: greatest displacement in pixels for eyes 64 pixels apart.
const SIZES: [f32; 5] = [0.0, 1.0, 2.0, 3.0, f32::INFINITY];
/// From this share of dropped frames on a result says more of the machine than of the place.
const MANY_DROPPED: f64 = 0.02;

/// Errors of one kind, in tenths of a millisecond: how many there are of each.
#[derive(Default)]
pub(super) struct Errors(BTreeMap<u32, u64>);

impl Errors {
    fn add(&mut self, error_ns: i64) {
        *self.0.entry((error_ns as f64 / 1e5).abs().round() as u32).or_default() += 1;
    }

    /// The median in milliseconds.
    fn median(&self) -> Option<f64> {
        let mut before = self.0.values().sum::<u64>() / 2;
        for (tenths, n) in &self.0 {
            if before < *n {
                return Some(f64::from(*tenths) / 10.0);
            }
            before -= n;
        }
        None
    }
}

/// What a live source adds.
#[derive(Default)]
pub(super) struct Live {
    /// What it is called in a sentence.
    pub(super) what: &'static str,
    /// Frames that this machine had no time for.
    pub(super) dropped: u64,
    /// Frames that were damaged.
    pub(super) damaged: u64,
    /// Whether it ended before its time.
    pub(super) is_interrupted: bool,
    /// What was seen in each hour; the last one may be shorter.
    pub(super) hours: Vec<Hour>,
}

/// Candidates of an hour of the footage as it is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hour {
    /// How much of it was seen.
    pub(super) seconds: f64,
    /// Events: micro, macro, blink.
    pub(super) events: [u64; 3],
    /// Rejected candidates by cause.
    pub(super) rejected: BTreeMap<&'static str, u64>,
}

impl Hour {
    /// What has come between two counts.
    pub(super) fn between(before: &Counters, after: &Counters, seconds: f64) -> Self {
        let events = |c: &Counters| [c.events_micro, c.events_macro, c.events_blink];
        let (first, last) = (events(before), events(after));
        let causes = before.rejected().into_iter().zip(after.rejected());
        Self {
            seconds,
            events: std::array::from_fn(|k| last[k] - first[k]),
            rejected: causes.map(|((cause, a), (_, b))| (cause, b - a)).collect(),
        }
    }

    fn json(&self) -> Value {
        let [micro, long, blink] = self.events;
        json!({
            "seconds": thousandths(self.seconds), "events": {"micro": micro, "macro": long, "blink": blink},
            "rejected": self.rejected,
        })
    }
}

/// Counts of all rounds.
#[derive(Default)]
pub(crate) struct SelftestReport {
    /// What was seen in the footage as it is.
    pub(crate) untouched: Summary,
    /// Micro-expressions told of it.
    pub(super) alone: usize,
    pub(crate) injected: usize,
    pub(super) found: usize,
    /// Found and injected where the face is calm, and elsewhere.
    pub(super) calm: (usize, usize),
    pub(super) elsewhere: (usize, usize),
    /// Events in the rounds that are no injected movement and were not there without them.
    pub(super) wrong: usize,
    pub(super) rounds: usize,
    pub(super) errors: [Errors; 3],
    pub(super) by_au: BTreeMap<u8, (usize, usize)>,
    pub(super) by_size: [(usize, usize); SIZES.len() - 1],
    pub(super) rejected: BTreeMap<&'static str, u64>,
    /// Of a live source.
    pub(super) live: Option<Live>,
}

fn thousandths(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

fn causes(counts: &BTreeMap<&'static str, u64>) -> String {
    let counted: Vec<String> =
        counts.iter().filter(|(_, n)| **n > 0).map(|(cause, n)| format!("{cause} {n}")).collect();
    if counted.is_empty() { "none".into() } else { counted.join(", ") }
}

impl SelftestReport {
    /// Counts an injected movement, and the event that is it.
    pub(super) fn count(&mut self, movement: &Injection, event: Option<&Movement>, is_calm: bool) {
        let hit = usize::from(event.is_some());
        (self.injected, self.found) = (self.injected + 1, self.found + hit);
        let place = if is_calm { &mut self.calm } else { &mut self.elsewhere };
        *place = (place.0 + hit, place.1 + 1);
        for (au, ..) in &movement.parts {
            let counts = self.by_au.entry(*au).or_default();
            *counts = (counts.0 + hit, counts.1 + 1);
        }
        if let Some(k) = SIZES.windows(2).position(|s| (s[0]..s[1]).contains(&movement.peak_px)) {
            self.by_size[k] = (self.by_size[k].0 + hit, self.by_size[k].1 + 1);
        }
        if let Some(e) = event {
            let course = &movement.course;
            let pairs =
                [(course.onset_ns, e.onset_ns), (course.apex_ns, e.apex_ns), (course.offset_ns, e.offset_ns)];
            for (errors, (truth, measured)) in self.errors.iter_mut().zip(pairs) {
                errors.add(measured - truth);
            }
        }
    }

    /// The end of a round: what was rejected with the movements in it.
    pub(super) fn end_round(&mut self, counters: &Counters) {
        self.rounds += 1;
        for (cause, n) in counters.rejected() {
            *self.rejected.entry(cause).or_default() += n;
        }
    }

    fn minutes(&self) -> f64 {
        self.untouched.seconds / 60.0
    }

    /// Share of the movements that was found.
    pub(super) fn recall(&self) -> Option<f64> {
        (self.injected > 0).then(|| self.found as f64 / self.injected as f64)
    }

    fn f1(&self) -> Option<f64> {
        let all = self.injected + self.found + self.wrong;
        (self.injected > 0).then(|| 2.0 * self.found as f64 / all as f64)
    }

    pub(super) fn false_per_min(&self) -> f64 {
        self.alone as f64 / self.minutes().max(1e-9)
    }

    /// Median error in ms: of the onset, the apex, the offset.
    pub(super) fn error(&self, k: usize) -> Option<f64> {
        self.errors[k].median()
    }

    /// What is as it is: the clip, the camera.
    fn what(&self) -> &'static str {
        self.live.as_ref().map_or("clip", |live| live.what)
    }

    /// How much was watched, in words.
    pub(super) fn alarms(&self) -> String {
        format!(
            "{:.1} false alarms a minute in {:.1} min of the {} as it is",
            self.false_per_min(),
            self.minutes(),
            self.what()
        )
    }

    pub(super) fn sizes(&self) -> impl Iterator<Item = (String, usize, usize)> {
        self.by_size.iter().zip(SIZES.windows(2)).map(|((hits, total), s)| {
            let name = if s[1].is_finite() { format!("{}-{}", s[0], s[1]) } else { format!(">={}", s[0]) };
            (name, *hits, *total)
        })
    }

    /// Share of the frames that this machine had no time for.
    fn dropped_share(&self, live: &Live) -> f64 {
        live.dropped as f64 / (live.dropped + self.untouched.counters.frames).max(1) as f64
    }

    pub(crate) fn json(&self) -> Value {
        let share = |hits: usize, total: usize| json!({"found": hits, "injected": total});
        let by_au: BTreeMap<String, Value> = self
            .by_au
            .iter()
            .map(|(au, (hits, total))| (glint::intensity::au_key(*au), share(*hits, *total)))
            .collect();
        let by_px: BTreeMap<String, Value> =
            self.sizes().map(|(name, hits, total)| (name, share(hits, total))).collect();
        let mut out = json!({
            "minutes": thousandths(self.minutes()), "rounds": self.rounds, "injected": self.injected,
            "found": self.found, "recall": self.recall().map(thousandths), "f1": self.f1().map(thousandths),
            "false_per_min": thousandths(self.false_per_min()),
            "onset_ms": self.error(0), "apex_ms": self.error(1), "offset_ms": self.error(2),
            "calm": share(self.calm.0, self.calm.1), "elsewhere": share(self.elsewhere.0, self.elsewhere.1),
            "by_au": by_au, "by_px": by_px, "rejected": self.rejected, "untouched": self.untouched.json(),
        });
        if let Some(live) = &self.live {
            out["interrupted"] = json!(live.is_interrupted);
            out["frames_dropped"] = json!(live.dropped);
            out["frames_damaged"] = json!(live.damaged);
            out["hours"] = live.hours.iter().map(Hour::json).collect();
        }
        out
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let mut out = Vec::new();
        match self.recall().zip(self.f1()) {
            Some((recall, f1)) => self.found_lines(recall, f1, &mut out),
            None => out.push(format!("no movement was put in; {}", self.alarms())),
        }
        if let Some(live) = &self.live {
            self.live_lines(live, &mut out);
        }
        out
    }

    fn found_lines(&self, recall: f64, f1: f64, out: &mut Vec<String>) {
        out.push(format!(
            "{} of {} movements found ({:.0} %), F1 {f1:.2}; {}",
            self.found,
            self.injected,
            100.0 * recall,
            self.alarms()
        ));
        out.push(format!(
            "where the face is calm {} of {}, beside blinks, talk and other movements {} of {}",
            self.calm.0, self.calm.1, self.elsewhere.0, self.elsewhere.1
        ));
        if let [Some(onset), Some(apex), Some(offset)] = [0, 1, 2].map(|k| self.error(k)) {
            out.push(format!("median error: onset {onset} ms, apex {apex} ms, offset {offset} ms"));
        }
        out.push("size in px for eyes 64 px apart, found of injected".into());
        out.extend(self.sizes().map(|(name, hits, total)| format!("  {name:<8} {hits:3} of {total:3}")));
        out.push("AU, found of injected".into());
        out.extend(self.by_au.iter().map(|(au, (hits, total))| format!("  {au:<8} {hits:3} of {total:3}")));
        let rounds = if self.live.is_some() { "with the movements in it" } else { "all rounds" };
        out.push(format!("rejected candidates, {rounds}: {}", causes(&self.rejected)));
    }

    fn live_lines(&self, live: &Live, out: &mut Vec<String>) {
        let c = &self.untouched.counters;
        out.push(format!(
            "the {} as it is: {} micro, {} macro, {} blink; rejected candidates: {}",
            live.what,
            c.events_micro,
            c.events_macro,
            c.events_blink,
            causes(&c.rejected().into_iter().collect())
        ));
        if live.hours.len() > 1 {
            out.push("hour, minutes watched, events, rejected candidates".into());
            out.extend(live.hours.iter().enumerate().map(|(k, hour)| {
                let events: u64 = hour.events.iter().sum();
                format!("  {:<4} {:5.1} {events:5}  {}", k + 1, hour.seconds / 60.0, causes(&hour.rejected))
            }));
        }
        let dropped = self.dropped_share(live);
        if dropped > MANY_DROPPED {
            out.push(format!(
                "{:.0} % of the frames were dropped: this machine is too slow to test at this rate, and glintd run finds more",
                100.0 * dropped
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_that_of_all_errors() {
        let mut errors = Errors::default();
        assert_eq!(errors.median(), None);
        for ms in [8.04, -3.0, 1.0, 20.0] {
            errors.add((ms * 1e6) as i64);
        }
        assert_eq!(errors.median(), Some(8.0), "the upper one of two");
        errors.add(0);
        assert_eq!(errors.median(), Some(3.0));
    }

    #[test]
    fn a_live_report_says_what_it_saw_also_where_nothing_could_be_put_in() {
        let seen = Counters { frames: 800, events_micro: 2, rejected_blink: 7, ..Counters::default() };
        let hour = Hour::between(&Counters::default(), &seen, 40.0);
        assert_eq!((hour.events, hour.rejected["blink"]), ([2, 0, 0], 7));
        let live = Live { what: "camera", dropped: 200, hours: vec![hour.clone()], ..Live::default() };
        let mut report = SelftestReport { alone: 2, live: Some(live), ..SelftestReport::default() };
        report.untouched = Summary { counters: seen, seconds: 40.0 };
        let text = report.lines().join("\n");
        for words in [
            "no movement was put in; 3.0 false alarms a minute in 0.7 min of the camera as it is",
            "the camera as it is: 2 micro, 0 macro, 0 blink; rejected candidates: blink 7",
            "20 % of the frames were dropped",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(!text.contains("hour,"), "one row is no table");
        let json = report.json();
        assert!(json["recall"].is_null() && json["f1"].is_null());
        assert_eq!(
            (&json["frames_dropped"], &json["hours"][0]["rejected"]["blink"]),
            (&json!(200), &json!(7))
        );
        report.live.iter_mut().for_each(|live| live.hours.push(hour.clone()));
        assert!(report.lines().join("\n").contains("\n  2      0.7     2  blink 7"));
    }
}

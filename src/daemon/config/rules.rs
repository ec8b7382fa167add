//! The rules of a configuration that are not of one key alone, and those of texts.

use glint::pipeline::Purpose;

use super::Config;
use super::broker::{URLS, named};

/// Longest text that MQTT can send (a length of 16 bits).
const MQTT_TEXT: usize = 65_535;

/// What is wrong with one key of a configuration that parses.
pub(crate) struct Problem {
    /// The key with its table.
    pub(crate) key: &'static str,
    /// Why.
    pub(crate) reason: String,
    /// What would be right.
    pub(crate) allowed: &'static str,
    /// Other keys that play a part.
    pub(crate) with: &'static [&'static str],
}

impl Config {
    /// Everything that [`super::keys`] does not say of each key by itself.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut problems = self.source_problems();
        problems.extend(self.texts());
        problems.extend(self.pairs());
        problems.extend(self.page_problems());
        problems
    }

    /// Texts of a form.
    fn texts(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut check = |ok: bool, key, reason: String, allowed| {
            if !ok {
                problems.push(Problem { key, reason, allowed, with: &[] });
            }
        };
        // The reasons show no text: one that stands in the wrong place may be a secret.
        if let Some(reason) =
            of_text(self.device.id(), 64, |c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        {
            check(false, "device.id", reason, "1 to 64 letters, digits, - and _");
        }
        let digits = |s: &String| s.len() == 64 && s.bytes().all(|b| b.is_ascii_hexdigit());
        check(
            self.face.detector_sha256.as_ref().is_none_or(digits),
            "face.detector_sha256",
            "not a digest".into(),
            "64 hexadecimal digits",
        );
        if let Err(reason) = self.model.keys() {
            check(
                false,
                "model.trusted_keys",
                reason,
                "the second line of a file minisign.pub, 56 characters each",
            );
        }
        if let Err(reason) = self.mqtt.broker() {
            check(false, "mqtt.url", reason, URLS);
        }
        for (key, prefix) in
            [("mqtt.prefix", &self.mqtt.prefix), ("mqtt.discovery_prefix", &self.mqtt.discovery_prefix)]
        {
            let reason = of_text(prefix, 256, |c| !matches!(c, '+' | '#' | '$'));
            let is_level_empty = || prefix.split('/').any(str::is_empty);
            let reason = reason.or_else(|| {
                is_level_empty()
                    .then(|| "an empty level: / at the beginning or end, or twice in a row".into())
            });
            if let Some(reason) = reason {
                check(false, key, reason, "levels divided by /, none empty, without + # $");
            }
        }
        for (key, text, most, allowed) in [
            ("mqtt.client_id", &self.mqtt.client_id, 128, "1 to 128 bytes"),
            ("mqtt.username", &self.mqtt.username, MQTT_TEXT, "1 to 65535 bytes"),
        ] {
            if let Some(reason) = text.as_ref().and_then(|text| of_text(text, most, |_| true)) {
                check(false, key, reason, allowed);
            }
        }
        problems
    }

    /// Keys that need each other.
    fn pairs(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut check = |ok: bool, key, with, reason: &str, allowed| {
            if !ok {
                problems.push(Problem { key, reason: reason.into(), allowed, with });
            }
        };
        check(
            self.face.detector.is_some() || self.face.detector_sha256.is_none(),
            "face.detector_sha256",
            &["face.detector"],
            "given without face.detector",
            "both, face.detector alone, or none",
        );
        let certificate = self.mqtt.cert.is_some();
        check(
            certificate == self.mqtt.key.is_some(),
            if certificate { "mqtt.cert" } else { "mqtt.key" },
            if certificate { &["mqtt.key"] } else { &["mqtt.cert"] },
            "one of mqtt.cert and mqtt.key is missing",
            "both or none",
        );
        check(
            self.mqtt.password_file.is_none() || self.mqtt.username.is_some(),
            "mqtt.password_file",
            &["mqtt.username"],
            "given without mqtt.username",
            "both, or none",
        );
        check(
            self.stream.au_hz.is_none() || self.deployment.purpose.is_some(),
            "stream.au_hz",
            &["deployment.purpose"],
            "measurements of single frames need deployment.purpose",
            "with a purpose: a number, 1 to 30",
        );
        let restricted = matches!(self.deployment.purpose, Some(Purpose::Workplace | Purpose::Education));
        check(
            !restricted || self.deployment.basis.is_some(),
            "deployment.purpose",
            &["deployment.basis"],
            "workplace and education need deployment.basis",
            "research, clinical, accessibility, demonstration; workplace and education with \
             deployment.basis = \"medical\" or \"safety\"",
        );
        problems
    }
}

/// What is wrong with a text of up to so many bytes, of these characters.
fn of_text(text: &str, most: usize, fits: impl Fn(char) -> bool) -> Option<String> {
    if text.is_empty() {
        return Some("empty".into());
    }
    if text.len() > most {
        return Some(format!("{} bytes, more than {most}", text.len()));
    }
    let wrong = text.chars().find(|c| c.is_control() || !fits(*c))?;
    Some(format!("{} is not allowed", named(wrong)))
}

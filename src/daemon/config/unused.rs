//! Keys that are set and have no effect beside the others: whoever set them expects one.

use glint::pipeline::Purpose;

use super::{Config, MqttConfig, PageConfig, SourceKind, StreamFormat};

impl Config {
    /// The keys that are set and not used, and why not.
    pub(crate) fn unused(&self) -> Vec<(&'static str, String)> {
        let mut out = self.unused_of_source();
        let mut note = |is_set: bool, key, why: &str| {
            if is_set {
                out.push((key, format!("not used: {why}")));
            }
        };
        let (mqtt, page) = (&self.mqtt, &self.page);
        if mqtt.broker().is_ok_and(|broker| !broker.tls) {
            let why = "mqtt.url begins with mqtt://, which is not encrypted; mqtts:// is";
            note(mqtt.ca.is_some(), "mqtt.ca", why);
            note(mqtt.cert.is_some(), "mqtt.cert", why);
            note(mqtt.key.is_some(), "mqtt.key", why);
        }
        let has_prefix = mqtt.discovery_prefix != MqttConfig::default().discovery_prefix;
        note(has_prefix && !mqtt.discovery, "mqtt.discovery_prefix", "mqtt.discovery is false");
        if page.listen.is_none() {
            let why = "without page.listen there is no page";
            note(page.token_file.is_some(), "page.token_file", why);
            note(page.hosts.is_some(), "page.hosts", why);
            let confirmation_s = PageConfig::default().confirmation_s;
            note(page.confirmation_s != confirmation_s, "page.confirmation_s", why);
        }
        let max_bytes = super::AuditConfig::default().max_bytes;
        let has_size = self.audit.max_bytes != max_bytes;
        note(
            has_size && !self.is_audited(),
            "audit.max_bytes",
            "neither audit.enabled nor page.listen is set",
        );
        let needs_basis = matches!(self.deployment.purpose, Some(Purpose::Workplace | Purpose::Education));
        let has_basis = self.deployment.basis.is_some();
        let why = "only the purposes workplace and education need it";
        note(has_basis && !needs_basis, "deployment.basis", why);
        out
    }

    /// Those of the tables `source` and `camera`.
    fn unused_of_source(&self) -> Vec<(&'static str, String)> {
        use SourceKind::{Clip, Command, Synthetic, V4l2};
        let Self { source, camera, .. } = self;
        let (kind, default) = (source.kind, super::CameraConfig::default());
        let (is_live, is_raw) = (kind == V4l2, kind == Command && source.format == StreamFormat::Raw);
        let why = format!("source.kind is \"{kind}\"");
        let of_format = format!("{why}, and source.format is not \"raw\"");
        let of_raw = if kind == Command { &of_format } else { &why };
        let mut out = Vec::new();
        for (is_set, is_used, key, why) in [
            (source.path.is_some(), matches!(kind, V4l2 | Clip), "source.path", &why),
            (source.command.is_some(), kind == Command, "source.command", &why),
            (source.format != StreamFormat::default(), kind == Command, "source.format", &why),
            (camera.format.is_some(), is_live || is_raw, "camera.format", of_raw),
            (camera.size.is_some(), is_live || is_raw, "camera.size", of_raw),
            (camera.fps.is_some(), kind != Command, "camera.fps", &why),
            (camera.rotate != default.rotate, kind != Synthetic, "camera.rotate", &why),
            (camera.mirror != default.mirror, kind != Synthetic, "camera.mirror", &why),
            (camera.power_line_hz != default.power_line_hz, is_live, "camera.power_line_hz", &why),
            (camera.lock_exposure != default.lock_exposure, is_live, "camera.lock_exposure", &why),
        ] {
            if is_set && !is_used {
                out.push((key, format!("not used: {why}")));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unused(text: &str) -> Vec<&'static str> {
        Config::parse("g", text).expect(text).unused().into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn keys_without_effect_are_named() {
        for (text, keys) in [
            (
                "source.kind = \"clip\"\nsource.path = \"/a\"\nsource.command = [\"x\"]",
                &["source.command"][..],
            ),
            ("source.kind = \"command\"\nsource.command = [\"x\"]\nsource.path = \"/a\"", &["source.path"]),
            ("source.kind = \"synthetic\"\nsource.path = \"/a\"", &["source.path"]),
            ("source.format = \"nut\"", &["source.format"]),
            ("source.kind = \"clip\"\nsource.path = \"/a\"\ncamera.size = [64, 48]", &["camera.size"]),
            (
                "source.kind = \"synthetic\"\ncamera.rotate = 90\ncamera.lock_exposure = true",
                &["camera.rotate", "camera.lock_exposure"],
            ),
            ("mqtt.url = \"mqtt://x\"\nmqtt.ca = \"/ca\"", &["mqtt.ca"]),
            ("mqtt.url = \"mqtts://x\"\nmqtt.ca = \"/ca\"", &[]),
            ("mqtt.discovery_prefix = \"ha\"", &["mqtt.discovery_prefix"]),
            ("page.token_file = \"/t\"\npage.hosts = [\"a\"]", &["page.token_file", "page.hosts"]),
            ("page.listen = \"127.0.0.1:1\"\npage.token_file = \"/t\"", &[]),
            ("audit.max_bytes = 4096", &["audit.max_bytes"]),
            ("deployment.basis = \"safety\"", &["deployment.basis"]),
            ("deployment.purpose = \"education\"\ndeployment.basis = \"safety\"", &[]),
        ] {
            assert_eq!(unused(text), keys, "{text}");
        }
    }

    #[test]
    fn what_is_used_is_not_named() {
        assert!(unused("").is_empty());
        assert!(unused(&Config::default().to_toml()).is_empty(), "every default, written out");
        let raw = "source.kind = \"command\"\nsource.command = [\"x\"]\nsource.format = \"raw\"\n\
                   camera.size = [64, 48]\ncamera.format = \"GREY\"\ncamera.rotate = 90";
        assert!(unused(raw).is_empty());
    }
}

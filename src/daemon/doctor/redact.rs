//! Texts without secrets: what a bug report may hold.

use crate::daemon::config::Config;
use crate::daemon::mqtt::credentials::password_file;

/// What stands in the place of a secret.
const MASK: &str = "***";

/// Takes secrets out of texts.
pub(super) struct Redactor {
    secrets: Vec<String>,
}

impl Redactor {
    /// The secrets of a configuration: the password, and what stands behind the name of the program in `source.command`.
    pub(super) fn new(config: &Config) -> Self {
        let password = password_file(config).and_then(|path| std::fs::read_to_string(path).ok());
        let mut secrets: Vec<String> =
            password.iter().map(|p| p.trim_end_matches(['\r', '\n']).to_owned()).collect();
        secrets.extend(config.mqtt.username.clone());
        for word in config.source.command.iter().flatten().skip(1) {
            // An option may be named; what it is set to may not.
            let value = match word.strip_prefix('-') {
                Some(option) => option.split_once('=').map_or("", |(_, value)| value),
                None => word.as_str(),
            };
            secrets.extend((value.len() > 3 && value.parse::<f64>().is_err()).then(|| value.to_owned()));
        }
        secrets.retain(|secret| !secret.trim().is_empty());
        // The longest first: one may be a part of another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { secrets }
    }

    /// The text without them, and without logins and queries of addresses.
    pub(super) fn clean(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for secret in &self.secrets {
            out = out.replace(secret.as_str(), MASK);
            // As TOML and JSON write it.
            let quoted = serde_json::Value::from(secret.as_str()).to_string();
            out = out.replace(quoted.trim_matches('"'), MASK);
        }
        addresses(&out)
    }

    /// The effective configuration; the program of `source.command` alone is named.
    pub(super) fn configuration(&self, config: &Config) -> String {
        let mut shown = config.clone();
        if let Some(command) = &mut shown.source.command {
            command.iter_mut().skip(1).for_each(|word| *word = MASK.into());
        }
        self.clean(&shown.to_toml())
    }
}

/// Masks `USER:PASSWORD@` and `?QUERY` of every address in a text.
fn addresses(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "\"'<>`".contains(c)).unwrap_or(after.len());
        let (address, behind) = after.split_at(end);
        let (address, query) = address.split_once('?').map_or((address, ""), |(a, _)| (a, "?"));
        let host = address.find('/').unwrap_or(address.len());
        // A password may hold a slash that nobody has escaped: the last @ counts.
        match address.rfind('@') {
            Some(login) => {
                out.push_str(MASK);
                out.push_str(&address[login..]);
            }
            None => {
                out.push_str(&address[..host]);
                out.push_str(&address[host..]);
            }
        }
        if !query.is_empty() {
            out.push_str("?***");
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_survives() {
        let dir = tempfile::tempdir().expect("folder");
        let file = dir.path().join("password");
        std::fs::write(&file, "pl\"anted\n").expect("file");
        let text = format!(
            "[mqtt]\nusername = \"kiosk-user\"\npassword_file = {file:?}\n[source]\nkind = \"command\"\n\
             command = [\"grab\", \"--token=tok-en\", \"-r\", \"30\", \"rtsp://me:camera-pw@cam/s?key=k1\"]\n\
             path = \"rtsp://me:pa/th@cam/stream?key=k2\"\n"
        );
        let config = Config::parse("g", &text).expect("valid");
        let redactor = Redactor::new(&config);
        let log = "login kiosk-user with pl\"anted and pl\\\"anted failed; grab --token=tok-en -r 30 \
                   rtsp://me:camera-pw@cam/s?key=k1; https://x/y?z=1 mqtt://host:1883";
        for shown in [redactor.configuration(&config), redactor.clean(log)] {
            for secret in ["anted", "kiosk-user", "camera-pw", "tok-en", "pa/th", "k1", "k2", "z=1"] {
                assert!(!shown.contains(secret), "{secret}: {shown}");
            }
        }
        let shown = redactor.clean(log);
        assert!(shown.contains("https://x/y?***") && shown.contains("mqtt://host:1883"), "{shown}");
        assert!(redactor.configuration(&config).contains("\"grab\""));
    }
}

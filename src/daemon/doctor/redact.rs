//! Texts without secrets: what a bug report may hold.

use std::path::Path;

use glint::clip::{display_name, mask_logins};
use glint::plain;

use crate::daemon::config::Config;
use crate::daemon::mqtt::credentials::password_file;

/// What stands in the place of a secret.
const MASK: &str = "***";
/// Largest file of a secret that is read, in bytes.
const MAX_BYTES: u64 = 65_535;
/// A shorter secret is masked where it is a word of its own: within other words it would make them unreadable, and tell by
/// that what it is.
const LONG: usize = 6;

/// Takes secrets out of texts.
pub(super) struct Redactor {
    secrets: Vec<String>,
}

impl Redactor {
    /// The secrets of a configuration: password and user, the token of the page, logins and queries of addresses, and what
    /// stands behind the name of the program in `source.command`.
    pub(super) fn new(config: &Config) -> Self {
        let files = [password_file(config), config.page.token_file.clone()];
        let read = |path: &Path| plain::read_text(path, MAX_BYTES).ok();
        let mut secrets: Vec<String> = files.iter().flatten().filter_map(|path| read(path)).collect();
        secrets.iter_mut().for_each(|secret| secret.truncate(secret.trim_end_matches(['\r', '\n']).len()));
        secrets.extend(config.mqtt.username.clone());
        let path = config.source.path.as_ref().map(|path| path.display().to_string());
        let arguments = config.source.command.iter().flatten().skip(1);
        for word in path.iter().chain(arguments.clone()) {
            secrets.extend(of_address(word));
        }
        secrets.extend(arguments.filter_map(|word| value(word)).map(str::to_owned));
        // As addresses write it, and as TOML and JSON do.
        let spellings = |secret: String| {
            let json = serde_json::Value::from(secret.as_str()).to_string();
            [decoded(&secret), json.trim_matches('"').to_owned(), secret]
        };
        let mut secrets: Vec<String> = secrets.into_iter().flat_map(spellings).collect();
        secrets.retain(|secret| !secret.trim().is_empty());
        // The longest first: one may be a part of another.
        secrets.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        secrets.dedup();
        Self { secrets }
    }

    /// The text without them, and without logins and queries of addresses.
    pub(super) fn clean(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for secret in &self.secrets {
            out = masked(&out, secret);
        }
        mask_logins(&out)
    }

    /// The effective configuration; the program of `source.command` alone is named.
    pub(super) fn configuration(&self, config: &Config) -> String {
        let mut shown = config.clone();
        if let Some(command) = &mut shown.source.command {
            command.iter_mut().skip(1).for_each(|word| *word = MASK.into());
        }
        if let Some(path) = &mut shown.source.path {
            *path = display_name(path).into();
        }
        self.clean(&shown.to_toml())
    }
}

/// A text with a mask in the place of each secret.
fn masked(text: &str, secret: &str) -> String {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(secret) {
        let (before, from) = rest.split_at(at);
        let (found, after) = from.split_at(secret.len());
        let last = before.chars().next_back().or_else(|| out.chars().next_back());
        let inside = last.is_some_and(is_part) || after.chars().next().is_some_and(is_part);
        out.push_str(before);
        out.push_str(if secret.chars().count() < LONG && inside { found } else { MASK });
        rest = after;
    }
    out + rest
}

/// What is secret of an address: its login, user and password each by itself, and its query.
fn of_address(word: &str) -> Vec<String> {
    let Some((_, rest)) = word.split_once("://") else { return Vec::new() };
    let (login, place) = rest.rsplit_once('@').unwrap_or(("", rest));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let query = place.split_once('?').map_or("", |(_, query)| query);
    let values = query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
    [login, user, password, query].into_iter().chain(values).map(str::to_owned).collect()
}

/// What may be secret of an argument: a word that is no option, what an option is set to, and what is joined to a short one.
fn value(word: &str) -> Option<&str> {
    let value = match word.strip_prefix("--") {
        Some(option) => option.split_once('=').map_or("", |(_, value)| value),
        None => match word.strip_prefix('-') {
            Some(option) if option.contains('=') => option.split_once('=').map_or("", |(_, value)| value),
            Some(option) => option.char_indices().nth(1).map_or("", |(at, _)| &option[at..]),
            None => word,
        },
    };
    // A rate, a channel and the like; a PIN has more digits.
    (value.chars().count() > 3).then_some(value)
}

/// A text with its `%41` as the characters that they stand for.
fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((byte, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(code) if *byte == b'%' => {
                bytes.push(code);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_survives() {
        let dir = tempfile::tempdir().expect("folder");
        let [file, token] = ["password", "token"].map(|name| dir.path().join(name));
        std::fs::write(&file, "pl\"anted\n").expect("file");
        std::fs::write(&token, "page-token-0123456789\n").expect("file");
        let text = format!(
            "[mqtt]\nusername = \"kiosk-user\"\npassword_file = {file:?}\n[page]\nlisten = \"0.0.0.0:8080\"\n\
             token_file = {token:?}\n[source]\nkind = \"command\"\n\
             command = [\"grab\", \"--token=tok-en\", \"-r\", \"30\", \"-ppass-joined\", \"--pin\", \"48151623\", \
             \"rtsp://me:camera-pw@cam/s?key=k1\"]\n"
        );
        let config = Config::parse("g", &text).expect("valid");
        let redactor = Redactor::new(&config);
        let log = "login kiosk-user with pl\"anted and pl\\\"anted failed; grab --token=tok-en -r 30 -ppass-joined 48151623 \
                   rtsp://me:camera-pw@cam/s?key=k1; https://x/y?z=1 mqtt://host:1883 page-token-0123456789 \
                   meter camera-pw 30 frames";
        for shown in [redactor.configuration(&config), redactor.clean(log)] {
            let secrets =
                ["anted", "kiosk-user", "camera-pw", "tok-en", "joined", "4815", "k1", "z=1", "page-token"];
            for secret in secrets {
                assert!(!shown.contains(secret), "{secret}: {shown}");
            }
        }
        let shown = redactor.clean(log);
        assert!(shown.contains("https://x/y?***") && shown.contains("mqtt://host:1883"), "{shown}");
        assert!(
            shown.contains("meter") && shown.contains("30 frames"),
            "a short name is no part of a word: {shown}"
        );
        assert!(redactor.configuration(&config).contains("\"grab\""));
    }

    #[test]
    fn no_sign_of_a_password_ends_the_login_of_a_camera() {
        for password in
            ["pa/th", "pa?th", "pa th", "pa'th", "pa<th", "pa`th", "p@th", "pa%20th", "pa#th", "pa\\\\th"]
        {
            let text =
                format!("[source]\nkind = \"clip\"\npath = \"rtsp://me:{password}@cam/stream?key=k2\"\n");
            let config = Config::parse("g", &text).expect("valid");
            let redactor = Redactor::new(&config);
            let address = config.source.path.as_ref().expect("a path").display();
            let log = format!("cannot open {address}: refused; password {}", decoded(password));
            for shown in [redactor.configuration(&config), redactor.clean(&log)] {
                assert!(!shown.contains("th@"), "{password}: {shown}");
                assert!(!shown.contains(&decoded(password)) && !shown.contains("k2"), "{password}: {shown}");
                assert!(shown.contains("cam/stream"), "{password}: {shown}");
            }
        }
    }
}

//! A message to a topic of commands, as `COMMAND/PAYLOAD`.

use crate::daemon::mqtt::command::Command;

pub(crate) fn any_message(bytes: &[u8]) {
    let (word, payload) = bytes.split_at(bytes.iter().position(|b| *b == b'/').unwrap_or(bytes.len()));
    let payload = payload.get(1..).unwrap_or_default();
    let word = String::from_utf8_lossy(word);
    if let Some(accepted) = Command::parse(&word, payload).map(Command::as_str) {
        assert!(!payload.is_empty() && payload.len() <= 256, "{} bytes", payload.len());
        assert!(accepted == word || word == "pause" && accepted == "resume", "{word} is {accepted}");
    }
}

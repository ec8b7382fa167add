//! A message to a topic of commands, as `COMMAND/PAYLOAD`.
#![no_main]

#[allow(dead_code)]
#[path = "../../src/daemon/mqtt"]
mod mqtt {
    mod command;

    /// The word of the command that a message is.
    pub(crate) fn accepted(word: &str, payload: &[u8]) -> Option<&'static str> {
        command::Command::parse(word, payload).map(command::Command::as_str)
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (word, payload) = bytes.split_at(bytes.iter().position(|b| *b == b'/').unwrap_or(bytes.len()));
    let payload = payload.get(1..).unwrap_or_default();
    let word = String::from_utf8_lossy(word);
    if let Some(accepted) = mqtt::accepted(&word, payload) {
        assert!(!payload.is_empty() && payload.len() <= 256, "{} bytes", payload.len());
        assert!(accepted == word || word == "pause" && accepted == "resume", "{word} is {accepted}");
    }
});

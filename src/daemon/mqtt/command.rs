//! Commands: the words in topics, and what counts as one.

/// Longest content of a command.
const MAX_COMMAND_BYTES: usize = 256;

/// What a user may ask for over MQTT (`<prefix>/<device>/<command>/set`) or by signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// Close the camera.
    Pause,
    /// Open it again.
    Resume,
    /// Take the present face as neutral.
    Calibrate,
    /// Empty the outbox.
    Purge,
}

impl Command {
    pub(crate) const ALL: [Self; 4] = [Self::Pause, Self::Resume, Self::Calibrate, Self::Purge];

    /// The word in topics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Calibrate => "calibrate",
            Self::Purge => "purge",
        }
    }

    /// A message to `<command>/set`. A switch says `OFF` to undo a pause. An empty one clears what a broker has retained,
    /// and is no command.
    pub(super) fn parse(word: &str, payload: &[u8]) -> Option<Self> {
        if payload.is_empty() || payload.len() > MAX_COMMAND_BYTES {
            return None;
        }
        let command = Self::ALL.into_iter().find(|c| c.as_str() == word)?;
        let off = payload.eq_ignore_ascii_case(b"off") || payload.eq_ignore_ascii_case(b"false");
        match (command, off) {
            (Self::Pause, true) => Some(Self::Resume),
            (_, true) => None,
            _ => Some(command),
        }
    }
}

#[cfg(test)]
#[path = "../../../tests/fuzz/daemon/command.rs"]
mod target;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_message_is_taken_for_what_it_says(message in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..400),
            "(pause|resume|calibrate|purge)/(?i:on|off|true|false|1|0|x{250,260})".prop_map(String::into_bytes),
        ]) {
            super::target::any_message(&message);
        }

        /// Whatever is published on a topic of commands: a command is one of the words, with content of a bounded length, and
        /// means what it says.
        #[test]
        fn only_commands_are_accepted(word in prop_oneof!["[a-z/+#$]{0,12}", "pause|resume|calibrate|purge"],
                                      payload in prop_oneof![
                                          prop::collection::vec(any::<u8>(), 0..400),
                                          "(?i:on|off|true|false|1|0)".prop_map(String::into_bytes),
                                      ]) {
            let off = payload.eq_ignore_ascii_case(b"off") || payload.eq_ignore_ascii_case(b"false");
            let expected = match word.as_str() {
                _ if payload.is_empty() || payload.len() > MAX_COMMAND_BYTES => None,
                "pause" if off => Some("resume"),
                "pause" | "resume" | "calibrate" | "purge" if !off => Some(word.as_str()),
                _ => None,
            };
            prop_assert_eq!(Command::parse(&word, &payload).map(Command::as_str), expected);
        }
    }

    #[test]
    fn commands_are_words_and_a_switch_can_undo_a_pause() {
        assert_eq!(Command::parse("pause", b"1"), Some(Command::Pause));
        assert_eq!(Command::parse("pause", b"ON"), Some(Command::Pause));
        assert_eq!(Command::parse("pause", b"off"), Some(Command::Resume));
        assert_eq!(Command::parse("purge", b"OFF"), None);
        assert_eq!(Command::parse("open", b"1"), None);
        assert_eq!(Command::parse("purge", b""), None, "an empty message clears what is retained");
        assert_eq!(Command::parse("pause", &[b'x'; 70_000]), None);
    }
}

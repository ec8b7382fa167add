//! The token of those who may see the page from elsewhere.

use std::path::Path;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Shortest token: 16 characters of base64 are 96 bits.
const MIN_CHARS: usize = 16;
/// Longest token: what is longer is another file.
const MAX_BYTES: u64 = 1024;

/// A token. Its digest is kept, so that the time of a comparison tells neither content nor length.
pub(crate) struct Token([u8; 32]);

impl Token {
    /// Reads the first line of a file.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = glint::plain::read_text(path, MAX_BYTES).map_err(|e| e.to_string())?;
        let token = text.trim_end_matches(['\r', '\n']);
        if token.chars().any(|c| !c.is_ascii_graphic()) {
            return Err("a token is one line of letters, digits and signs without spaces".into());
        }
        if token.len() < MIN_CHARS {
            return Err(format!("the token has {} characters; at least {MIN_CHARS}", token.len()));
        }
        Ok(Self::hashed(token.as_bytes()))
    }

    fn hashed(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Whether this is the token.
    pub(super) fn is(&self, given: &[u8]) -> bool {
        Self::hashed(given).0.ct_eq(&self.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_line_of_enough_signs() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("token");
        let read = |text: &str| {
            std::fs::write(&path, text).expect("file");
            Token::read(&path)
        };
        let token = read("0123456789abcdef\n").expect("long enough");
        assert!(token.is(b"0123456789abcdef"));
        for wrong in [&b"0123456789abcdeF"[..], b"0123456789abcdef\n", b"0123456789abcde", b""] {
            assert!(!token.is(wrong));
        }
        for (text, reason) in [
            ("short\n", "at least 16"),
            ("", "at least 16"),
            ("0123456789abcdef\nsecond line", "one line"),
            ("a token with spaces", "without spaces"),
            (&"x".repeat(2000), "at most 1024"),
        ] {
            let error = read(text).err().expect("refused");
            assert!(error.contains(reason), "{error}");
        }
        assert!(Token::read(&dir.path().join("none")).is_err());
    }
}

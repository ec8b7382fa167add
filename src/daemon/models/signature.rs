//! Whose bundle it is: a signature of minisign (Ed25519), at the start of the file or beside it.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minisign_verify::{Error, PublicKey, Signature};

/// How a signature begins.
const START: &[u8] = b"untrusted comment:";
/// Lines of a signature.
const LINES: usize = 4;
/// Largest signature: comments may have some length.
pub(crate) const MAX_BYTES: usize = 16 << 10;

/// An archive whose signature holds.
#[derive(Debug)]
pub(crate) struct Signed<'a> {
    /// The signature, with the line break behind it.
    pub(crate) text: String,
    /// What was signed.
    pub(crate) archive: &'a [u8],
    /// The comment that was signed with it.
    pub(crate) comment: String,
}

/// Whether a file begins with its signature.
pub(crate) fn is_inside(file: &[u8]) -> bool {
    file.starts_with(START)
}

/// Where minisign writes the signature of a file.
pub(crate) fn name_beside(path: &Path) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(".minisig");
    name.into()
}

/// Compares a file with its signature, which stands before it or is `beside`. The error says in words what is wrong.
pub(crate) fn verify<'a>(
    path: &Path,
    file: &'a [u8],
    beside: Option<&str>,
    keys: &[PublicKey],
) -> Result<Signed<'a>, String> {
    let fail = |reason: String| format!("{}: {reason}", path.display());
    let (text, archive) = if is_inside(file) {
        divide(file).ok_or_else(|| fail("the signature at its start is truncated".into()))?
    } else if let Some(text) = beside {
        (text.to_owned(), file)
    } else {
        return Err(fail(format!(
            "not signed: no signature at its start, and no {}; sign it with: minisign -S -s KEY -m {}",
            name_beside(path).display(),
            path.display()
        )));
    };
    let damaged = |e: Error| fail(format!("not a minisign signature: {e}"));
    let signature = Signature::decode(&text).map_err(damaged)?;
    for key in keys {
        // Both forms of minisign are Ed25519 over all of the file; the older one does not hash it first.
        match key.verify(archive, &signature, true) {
            Ok(()) => {
                let comment = signature.trusted_comment().to_owned();
                let text = text.lines().take(LINES).flat_map(|line| [line, "\n"]).collect();
                return Ok(Signed { text, archive, comment });
            }
            Err(Error::UnexpectedKeyId) => {}
            Err(_) => {
                return Err(fail(
                    "the signature does not fit: the file or the signature was changed or damaged after it was signed; \
                     copy both again from where they were made"
                        .into(),
                ));
            }
        }
    }
    let id = key_id(&text).unwrap_or_else(|| "?".into());
    Err(fail(format!(
        "signed with the key {id}, which model.trusted_keys does not name; add its public key if you trust it"
    )))
}

/// The signature at the start of a file, and the rest.
fn divide(file: &[u8]) -> Option<(String, &[u8])> {
    let head = &file[..file.len().min(MAX_BYTES)];
    let (end, _) = head.iter().enumerate().filter(|(_, b)| **b == b'\n').nth(LINES - 1)?;
    let text = std::str::from_utf8(&file[..=end]).ok()?;
    Some((text.to_owned(), &file[end + 1..]))
}

/// The id of the key that has signed, as minisign prints it.
fn key_id(text: &str) -> Option<String> {
    let bytes = STANDARD.decode(text.lines().nth(1)?.trim()).ok()?;
    let id: [u8; 8] = bytes.get(2..10)?.try_into().ok()?;
    Some(format!("{:016X}", u64::from_le_bytes(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key and a signature that minisign 0.9 has made of the four bytes `test`, hashed first as it does by default.
    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    const SIGNATURE: &str = "untrusted comment: signature from minisign secret key\n\
        RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n\
        trusted comment: timestamp:1633700835\tfile:test\tprehashed\n\
        wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==\n";

    fn check(file: &[u8], beside: Option<&str>) -> Result<String, String> {
        let keys = [PublicKey::from_base64(KEY).expect("a key")];
        verify(Path::new("b"), file, beside, &keys).map(|signed| {
            assert_eq!((signed.text.as_str(), signed.archive), (SIGNATURE, &b"test"[..]));
            signed.comment
        })
    }

    #[test]
    fn what_minisign_signs_is_taken_with_the_signature_before_it_or_beside_it() {
        let inside = [SIGNATURE.as_bytes(), b"test"].concat();
        let comment = "timestamp:1633700835\tfile:test\tprehashed";
        assert_eq!(check(&inside, None).as_deref(), Ok(comment));
        assert_eq!(check(b"test", Some(SIGNATURE)).as_deref(), Ok(comment));
        // Without the last line break, or with those of another system.
        assert_eq!(check(b"test", Some(SIGNATURE.trim_end())).as_deref(), Ok(comment));
        assert_eq!(check(b"test", Some(&SIGNATURE.replace('\n', "\r\n"))).as_deref(), Ok(comment));
    }

    #[test]
    fn every_other_file_is_refused_with_a_reason() {
        let error = |file: &[u8], beside| check(file, beside).expect_err("not what was signed");
        assert!(error(b"test", None).starts_with("b: not signed: "), "{}", error(b"test", None));
        assert!(error(b"test", None).ends_with("minisign -S -s KEY -m b"));
        assert!(error(b"Test", Some(SIGNATURE)).contains("the signature does not fit"));
        // The comment is signed too.
        let other = SIGNATURE.replace("1633700835", "1733700835");
        assert!(error(b"test", Some(&other)).contains("the signature does not fit"));
        for cut in [20, 60, 160, 220, SIGNATURE.len() - 1] {
            assert!(!error(&SIGNATURE.as_bytes()[..cut], None).is_empty());
        }
        assert!(error(b"test", Some("x\ny\nz\n")).contains("not a minisign signature"));
        let nobody = verify(Path::new("b"), b"test", Some(SIGNATURE), &[]).expect_err("nobody is trusted");
        assert!(nobody.contains("the key E7620F1842B4E81F, which model.trusted_keys"), "{nobody}");
    }
}

//! Signatures as minisign makes them, with a key made of a number: unit tests and integration tests install bundles with it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{Ed25519KeyPair, KeyPair};

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("32 bytes")
}

/// The public key, as the second line of `minisign.pub`.
pub(crate) fn public_key(seed: u8) -> String {
    STANDARD.encode([&b"Ed"[..], &[seed; 8], pair(seed).public_key().as_ref()].concat())
}

/// The four lines of a signature, in the form that does not hash the file first (`minisign -S -l`).
pub(crate) fn signature(seed: u8, file: &[u8]) -> String {
    let (pair, comment) = (pair(seed), "signed by a test");
    let signature = pair.sign(file);
    let all = pair.sign(&[signature.as_ref(), comment.as_bytes()].concat());
    let line = STANDARD.encode([&b"Ed"[..], &[seed; 8], signature.as_ref()].concat());
    format!("untrusted comment: a test\n{line}\ntrusted comment: {comment}\n{}\n", STANDARD.encode(all))
}

/// A file with its signature before it.
pub(crate) fn signed(seed: u8, file: &[u8]) -> Vec<u8> {
    [signature(seed, file).as_bytes(), file].concat()
}

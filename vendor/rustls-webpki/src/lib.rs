//! What rumqttc 0.25 uses of rustls-webpki 0.102: the name `webpki::Error`, for a variant of an error that it never makes.
//!
//! rustls itself checks certificates, with rustls-webpki 0.103. The crate that this one stands in for has the advisories
//! RUSTSEC-2026-0049, -0098, -0099 and -0104, which its last release does not mend. A call of anything else in it does not
//! compile, so a change of rumqttc cannot bring it back unseen.
#![no_std]

/// An error that nobody can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {}

impl core::fmt::Display for Error {
    fn fmt(&self, _: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {}
    }
}

impl core::error::Error for Error {}

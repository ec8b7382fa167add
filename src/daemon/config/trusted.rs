//! Who may sign bundles of models.

use minisign_verify::PublicKey;

use super::ModelConfig;

impl ModelConfig {
    /// The keys that are trusted. The error names one that is none, and does not show it: it may be the secret key.
    pub(crate) fn keys(&self) -> Result<Vec<PublicKey>, String> {
        let read = |(n, text): (usize, &String)| {
            PublicKey::from_base64(text.trim())
                .map_err(|_| format!("entry {} is not a public key of minisign", n + 1))
        };
        self.trusted_keys.iter().flatten().enumerate().map(read).collect()
    }
}

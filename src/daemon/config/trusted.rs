//! Who may sign bundles of models.

use minisign_verify::PublicKey;

use super::ModelConfig;

impl ModelConfig {
    /// The keys that are trusted. The error names one that is none.
    pub(crate) fn keys(&self) -> Result<Vec<PublicKey>, String> {
        let read = |text: &String| {
            PublicKey::from_base64(text.trim()).map_err(|_| format!("{text:?} is no public key of minisign"))
        };
        self.trusted_keys.iter().flatten().map(read).collect()
    }
}

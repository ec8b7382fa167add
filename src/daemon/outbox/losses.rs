//! Events that were lost, counted for the whole life of an outbox.

use serde::{Deserialize, Serialize};

/// Events that were never delivered, by cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Lost {
    /// Older than the limit.
    pub(crate) by_age: u64,
    /// Pushed out by newer ones.
    pub(crate) by_size: u64,
    /// Emptied by command.
    pub(crate) purged: u64,
    /// Stretches of the file that could not be read, each of one event or more.
    #[serde(default)]
    pub(crate) damaged: u64,
}

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

impl Lost {
    /// Each count by a function of both.
    fn zip(self, other: Self, of: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            by_age: of(self.by_age, other.by_age),
            by_size: of(self.by_size, other.by_size),
            purged: of(self.purged, other.purged),
            damaged: of(self.damaged, other.damaged),
        }
    }

    /// The sum.
    pub(crate) fn plus(self, other: Self) -> Self {
        self.zip(other, u64::saturating_add)
    }

    /// What is not in another.
    pub(crate) fn beyond(self, other: Self) -> Self {
        self.zip(other, u64::saturating_sub)
    }
}

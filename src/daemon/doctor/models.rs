//! The models that are used, and installed bundles that are not.

use crate::daemon::finding::Finding;
use crate::daemon::runtime::files::Chosen;

/// Which models these are.
pub(super) fn digests(chosen: &Chosen) -> Finding {
    let names: Vec<String> =
        chosen.models.digests().iter().map(|(name, d)| format!("{name} {}", &d[..12])).collect();
    Finding::good("models", format!("{}, {}", names.join(", "), chosen.origin()))
}

/// What was installed and is not used.
pub(crate) fn rejected(chosen: &Chosen) -> Vec<Finding> {
    let remedy =
        "install the bundle again (glintd models install FILE), or give it up (glintd models rollback)";
    let finding = |reason: &String| {
        let text = format!("{reason}; the models are those {}", chosen.origin());
        Finding::warning("models", "models_unusable", text, remedy)
    };
    chosen.rejected.iter().map(finding).collect()
}

//! The commands of README and docs: every one is understood.

use std::path::Path;

use super::pages::{Shown, uses};
use super::pretrain;

#[test]
fn every_command_is_understood() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let shown = uses(root, "glint-pretrain");
    assert!(shown.len() > 30, "{} commands", shown.len());
    for Shown { page, arguments } in shown {
        // Arguments are read before the help is printed.
        let output = pretrain().args(&arguments).arg("--help").output().expect("glint-pretrain starts");
        let reason = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {arguments:?}: {reason}", page.display());
    }
}

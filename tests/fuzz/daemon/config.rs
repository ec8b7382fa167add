//! The configuration: what is refused is refused with its place.

use crate::daemon::config::Config;

pub(crate) fn any_text(text: &str) {
    if let Err(error) = Config::parse("g.toml", text) {
        assert!(error.to_string().starts_with("g.toml:"), "{error}");
    }
}

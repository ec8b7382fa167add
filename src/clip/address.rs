//! Addresses that only ffmpeg can open, and how messages name them: without login and query.

use std::path::Path;

/// What stands in the place of a login or a query.
const MASK: &str = "***";

/// Whether a path is an address that only ffmpeg can open: `rtsp://...`, `https://...`.
pub(super) fn is_address(path: &Path) -> bool {
    path.to_str().and_then(|p| p.split_once("://")).is_some_and(|(scheme, _)| {
        scheme.len() > 1 && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+')
    })
}

/// How messages name a clip: its path; of an address `rtsp://***@camera/stream?***` in place of login and query.
pub fn display_name(path: &Path) -> String {
    let text = path.display().to_string();
    // A password may hold a space or a quote, at which an address in the middle of a text would end.
    match text.split_once("://") {
        Some((scheme, rest)) if is_address(path) => format!("{scheme}://{}", masked(rest)),
        _ => text,
    }
}

/// A text in which no address shows its login and its query.
pub fn mask_logins(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        let end = after.find(|c: char| c.is_whitespace() || "\"'<>`".contains(c)).unwrap_or(after.len());
        // What ends a phrase is none of the address.
        let end = after[..end].trim_end_matches([':', ',', ';', '.', ')']).len();
        let (address, behind) = after.split_at(end);
        out = format!("{out}{before}://{}", masked(address));
        rest = behind;
    }
    out + rest
}

/// An address behind its `://`. A password may hold a slash or a question mark that nobody has escaped: the last @ ends the
/// login.
fn masked(address: &str) -> String {
    let (login, place) = match address.rfind('@') {
        Some(at) => (MASK, &address[at..]),
        None => ("", address),
    };
    match place.split_once(['?', '#']) {
        Some((place, _)) => format!("{login}{place}?{MASK}"),
        None => format!("{login}{place}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_address_is() {
        assert!(is_address(Path::new("rtsp://camera.local/stream")));
        assert!(is_address(Path::new("https://example.org/a.mp4")));
        assert!(!is_address(Path::new("a/b.mp4")));
        assert!(!is_address(Path::new("c:/x.mp4")) && !is_address(Path::new("://")));
    }

    #[test]
    fn names_and_texts_show_no_login() {
        for password in [
            "secret", "se@cret", "se/cret", "se?cret", "se cret", "se'cret", "se<c>ret", "se#cret", "se:cret",
        ] {
            let name = display_name(Path::new(&format!("rtsp://me:{password}@camera:554/one?token=x")));
            assert_eq!(name, "rtsp://***@camera:554/one?***", "{password}");
        }
        assert_eq!(display_name(Path::new("a@b/c?d.avi")), "a@b/c?d.avi");
        assert_eq!(display_name(Path::new("rtsp://camera/one")), "rtsp://camera/one");
        assert_eq!(
            mask_logins("rtsp://me:p@ss@10.0.0.1:554/a: refused, (http://x/y?z=1): and 'mqtt://host:1883'"),
            "rtsp://***@10.0.0.1:554/a: refused, (http://x/y?***): and 'mqtt://host:1883'"
        );
        assert_eq!(mask_logins("no address @ all"), "no address @ all");
    }
}

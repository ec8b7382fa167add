//! docs/guide/troubleshooting.md: every exit status, reason and problem that the sources know is on the page.

use std::collections::BTreeSet;
use std::path::Path;

const PAGE: &str = include_str!("../docs/guide/troubleshooting.md");

/// A file of `src/daemon` without its tests.
fn source(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/daemon").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned()
}

/// A literal that is a word of the topics.
fn is_word(text: &str) -> bool {
    text.len() > 2 && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// Literals of a piece of source.
fn literals(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').skip(1).step_by(2)
}

/// The body of the function that `head` begins.
fn body<'a>(text: &'a str, head: &str) -> &'a str {
    let from = text.find(head).unwrap_or_else(|| panic!("no {head} any more: look where its words are now"));
    let rest = &text[from..];
    &rest[..rest.find("\n    }\n").unwrap_or(rest.len())]
}

/// Reasons of `state` and words of `health.problems`.
fn words_of_topics() -> BTreeSet<String> {
    let places = [
        ("runtime/visibility.rs", "fn reason("),
        ("runtime/serve/state.rs", "fn state("),
        ("outbox/mod.rs", "fn problems("),
        ("mqtt/mod.rs", "fn problems("),
        ("runtime/audit.rs", "fn problem("),
        ("runtime/files.rs", "fn problem("),
        ("page/mod.rs", "fn problem("),
    ];
    let mut words = BTreeSet::new();
    for (file, head) in places {
        let text = source(file);
        let listed: Vec<&str> = literals(body(&text, head)).filter(|w| is_word(w)).collect();
        assert!(!listed.is_empty(), "{file}: {head} has no words any more: look where they are now");
        words.extend(listed.into_iter().map(str::to_owned));
    }
    words
}

/// Names of faults and warnings of `glintd doctor`, and of its words on the page: the second argument, where both are
/// literals.
fn words_of_the_doctor() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/daemon/doctor");
    let names = std::fs::read_dir(folder).expect("a folder").map(|entry| {
        let name = entry.expect("readable").file_name().to_string_lossy().into_owned();
        format!("doctor/{name}")
    });
    let mut words = BTreeSet::new();
    for name in names.chain(["runtime/findings.rs".into()]) {
        let text = source(&name);
        for call in ["Finding::fault(", "Finding::warning("] {
            for after in text.split(call).skip(1) {
                let mut parts = after.split('"');
                let (first, _, between, second) = (parts.next(), parts.next(), parts.next(), parts.next());
                let adjacent =
                    first.is_some_and(|f| f.trim().is_empty()) && between.map(str::trim) == Some(",");
                words.extend(second.filter(|w| adjacent && is_word(w)).map(str::to_owned));
            }
        }
    }
    words
}

#[test]
fn every_reason_and_problem_is_on_the_page() {
    let (topics, doctor) = (words_of_topics(), words_of_the_doctor());
    assert!(topics.len() >= 15, "{topics:?}");
    assert!(doctor.len() >= 20, "{doctor:?}");
    for word in topics.union(&doctor) {
        let row = PAGE.lines().find(|line| line.starts_with(&format!("| `{word}` |")));
        let row = row.unwrap_or_else(|| panic!("docs/guide/troubleshooting.md has no row of `{word}`"));
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert!(cells.len() == 3 && cells.iter().all(|c| !c.is_empty()), "meaning and remedy: {row}");
    }
}

#[test]
fn no_row_is_of_a_word_that_nobody_says() {
    let mut known = words_of_topics();
    known.extend(words_of_the_doctor());
    // These are no literal beside the call.
    known.extend(
        ["camera_permission", "camera_busy", "broker_certificate", "file_unusable"].map(str::to_owned),
    );
    for row in PAGE.lines() {
        let cell = row.strip_prefix("| `").and_then(|rest| rest.split_once("` |"));
        if let Some((word, _)) = cell.filter(|(word, _)| is_word(word)) {
            assert!(known.contains(word), "docs/guide/troubleshooting.md: nothing says `{word}`");
        }
    }
}

#[test]
fn every_exit_status_is_on_the_page() {
    let statuses = [0, 1, 2, i32::from(super::EX_CONFIG)];
    for status in statuses {
        assert!(PAGE.contains(&format!("\n| {status} |")), "docs/guide/troubleshooting.md: status {status}");
    }
}

//! The commands that README and docs show: the lines of their `sh` blocks.

use std::path::{Path, PathBuf};

/// A command of a page, as the shell would split it.
pub(crate) struct Shown {
    /// The page, for messages.
    pub(crate) page: PathBuf,
    /// The arguments behind the program's name.
    pub(crate) arguments: Vec<String>,
}

/// All uses of a program on the pages of the repository whose root is `root`.
pub(crate) fn uses(root: &Path, program: &str) -> Vec<Shown> {
    let mut pages = vec![root.join("README.md")];
    markdown(&root.join("docs"), &mut pages);
    pages.sort();
    let mut uses = Vec::new();
    for page in pages {
        let text = std::fs::read_to_string(&page).expect("a page");
        for line in shell_lines(&text) {
            for command in words(&line).split(|word| word == "|") {
                // What stands before the program is another one, as sudo, or its folder.
                let is_it = |word: &String| Path::new(word).file_name().is_some_and(|name| name == program);
                let Some(at) = command.iter().take(2).position(is_it) else { continue };
                let arguments = command[at + 1..].to_vec();
                uses.push(Shown { page: page.clone(), arguments });
            }
        }
    }
    uses
}

fn markdown(folder: &Path, pages: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            markdown(&path, pages);
        } else if path.extension().is_some_and(|e| e == "md") {
            pages.push(path);
        }
    }
}

/// Lines of the blocks of a page that are marked `sh`. A backslash at the end continues a line.
fn shell_lines(text: &str) -> Vec<String> {
    let (mut lines, mut open, mut continued): (Vec<String>, bool, bool) = (Vec::new(), false, false);
    for line in text.lines().map(str::trim) {
        if let Some(language) = line.strip_prefix("```") {
            open = language == "sh";
            continue;
        }
        if !open {
            continue;
        }
        let part = line.trim_end_matches('\\');
        match lines.last_mut() {
            Some(last) if continued => last.push_str(part),
            _ => lines.push(part.to_owned()),
        }
        continued = line.ends_with('\\');
    }
    lines
}

/// Words of a line: quotes join, a comment ends it, and so does a redirection.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                word.get_or_insert_default();
                quote = Some(c);
            }
            (None, '#') if word.is_none() => break,
            (None, '>') => break,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn lines_are_split_as_a_shell_does() {
    let page = "```sh\nsudo glintd a 'b c' \\\n  d   # e\nx - | glintd f > g\n```\n```text\nglintd h\n```\n";
    let split: Vec<Vec<String>> = shell_lines(page).iter().map(|line| words(line)).collect();
    assert_eq!(split, [vec!["sudo", "glintd", "a", "b c", "d"], vec!["x", "-", "|", "glintd", "f"]]);
}

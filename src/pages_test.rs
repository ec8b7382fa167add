//! docs/man and docs/completions: made of the arguments, for the package.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::aot::{Bash, Fish, Zsh, generate};

use super::Cli;

/// The program as a package has it: without the demo.
fn program() -> clap::Command {
    let all = Cli::command();
    let about = all.get_about().cloned().unwrap_or_default();
    clap::Command::new("glintd")
        .about(about)
        .disable_version_flag(true)
        .subcommand_required(true)
        .args(all.get_arguments().cloned())
        .subcommands(all.get_subcommands().filter(|c| c.get_name() != "demo").cloned())
}

/// Each page: its path below docs/ and its text.
fn pages() -> Vec<(String, Vec<u8>)> {
    let mut out = Vec::new();
    let mut built = program();
    built.build();
    let mut page = |command: &clap::Command| {
        let source = concat!("glintd ", env!("CARGO_PKG_VERSION"));
        let page = clap_mangen::Man::new(command.clone()).source(source);
        let mut text = Vec::new();
        page.render(&mut text).expect("memory");
        out.push((format!("man/{}", page.get_filename()), text));
    };
    page(&built);
    fn each(command: &clap::Command, page: &mut impl FnMut(&clap::Command)) {
        for command in command.get_subcommands().filter(|c| c.get_name() != "help") {
            page(command);
            each(command, page);
        }
    }
    each(&built, &mut page);
    for (shell, name) in [("bash", "glintd.bash"), ("zsh", "_glintd"), ("fish", "glintd.fish")] {
        let mut text = Vec::new();
        match shell {
            "bash" => generate(Bash, &mut program(), "glintd", &mut text),
            "zsh" => generate(Zsh, &mut program(), "glintd", &mut text),
            _ => generate(Fish, &mut program(), "glintd", &mut text),
        }
        out.push((format!("completions/{name}"), text));
    }
    out
}

#[test]
fn manual_pages_and_completions_are_those_of_the_arguments() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut expected: Vec<String> = Vec::new();
    for (name, text) in pages() {
        let path = docs.join(&name);
        if std::env::var_os("GLINT_WRITE_SCHEMAS").is_some() {
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
            std::fs::write(&path, &text).expect("written");
        }
        let published = std::fs::read(&path).unwrap_or_else(|e| panic!("docs/{name}: {e}"));
        assert!(published == text, "docs/{name}: GLINT_WRITE_SCHEMAS=1 cargo test writes it");
        expected.push(name);
    }
    for folder in ["man", "completions"] {
        for entry in std::fs::read_dir(docs.join(folder)).expect("folder") {
            let name = format!("{folder}/{}", entry.expect("readable").file_name().to_string_lossy());
            assert!(expected.contains(&name), "docs/{name} is of no command any more");
        }
    }
}

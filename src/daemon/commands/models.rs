//! `glintd models`: bundles of models: checked, installed, listed, given up.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use minisign_verify::PublicKey;
use serde_json::{Value, json};

use super::media::print_line;
use crate::daemon::config::{Config, ConfigError, DEFAULT_PATH};
use crate::daemon::models::store::Store;
use crate::daemon::models::{Sound, THIS, examine};
use crate::daemon::runtime::{files, memory};

/// What is to be done.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Check a bundle and use it. The previous bundle is kept.
    ///
    /// The signature is checked first, then version, digests, networks and goldens. A bundle that fails changes nothing.
    #[command(after_help = "Example: glintd models install models-2026-11.glint")]
    Install(FileArgs),
    /// Check a bundle as install does, and install nothing.
    #[command(after_help = "Example: glintd models verify models-2026-11.glint")]
    Verify(FileArgs),
    /// List what is installed, whether it can be used, and which is in use.
    #[command(after_help = "Example: glintd models list --json")]
    List(ListArgs),
    /// Remove the newest bundle. The previous one, or the built-in models, take effect.
    #[command(after_help = "Example: glintd models rollback")]
    Rollback(PlaceArgs),
}

/// Where bundles are kept, and whose are taken.
#[derive(clap::Args)]
pub(crate) struct PlaceArgs {
    /// The configuration file: it names the trusted keys (model.trusted_keys) and the state folder (that of outbox.path).
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// The state folder, where the unit sets another one (/var/lib/glint-door of glintd@door).
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

/// Arguments of `install` and `verify`.
#[derive(clap::Args)]
pub(crate) struct FileArgs {
    /// The bundle. Its signature stands at its start, or lies beside it as FILE.minisig.
    file: PathBuf,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Arguments of `list`.
#[derive(clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// One JSON object on stdout.
    #[arg(long)]
    json: bool,
}

/// Does it.
pub(crate) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Install(args) => install(args),
        Command::Verify(args) => verify(args),
        Command::List(args) => list(args),
        Command::Rollback(args) => rollback(args),
    }
}

/// The configuration, its keys and the folder of its bundles.
struct Place {
    config: Config,
    keys: Vec<PublicKey>,
    store: Store,
}

impl PlaceArgs {
    fn open(&self) -> Result<Place, ConfigError> {
        let (config, _) = memory::load(&self.config, None)?;
        let keys = config.model.keys().map_err(|reason| config.wrong("model.trusted_keys", reason))?;
        let state = self.state.clone().unwrap_or_else(|| memory::folder(&config));
        Ok(Place { config, keys, store: Store::in_state(&state) })
    }
}

impl Place {
    /// Checks a bundle; without a trusted key there is nothing to check it with.
    fn examine(&self, file: &Path) -> anyhow::Result<Sound> {
        if self.keys.is_empty() {
            let reason = "no key is trusted, so no bundle can be checked; allowed: the public keys of those whose bundles you \
                          take, the second line of minisign.pub each";
            return Err(self.config.wrong("model.trusted_keys", reason).into());
        }
        Ok(examine(file, &self.keys)?)
    }
}

/// A bundle in a line: what it is called, its id, and the student that events name.
fn line(sound: &Sound) -> String {
    let Sound { id, comment, bundle, .. } = sound;
    let student = &bundle.models.student.sha256;
    // A signer may write what a terminal obeys.
    let comment: String = comment.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{} ({id}), student sha256:{}..., signed: {comment}", bundle.manifest.name, &student[..12])
}

fn verify(args: &FileArgs) -> anyhow::Result<ExitCode> {
    let sound = args.place.open()?.examine(&args.file)?;
    print_line(&format!("{} can be installed", line(&sound)))?;
    Ok(ExitCode::SUCCESS)
}

fn install(args: &FileArgs) -> anyhow::Result<ExitCode> {
    let place = args.place.open()?;
    let sound = place.examine(&args.file)?;
    let before = place.store.install(&sound, &place.keys)?;
    print_line(&format!("{} is installed", line(&sound)))?;
    match before {
        Some(id) => {
            eprintln!("the bundle before ({id}) stays beside it; glintd models rollback goes back to it")
        }
        None => eprintln!("glintd models rollback goes back to the built-in models"),
    }
    if place.config.model.path.is_some() {
        eprintln!(
            "warning: {}",
            place
                .config
                .places
                .line("model.path", "set, and it wins over every bundle: take it away to use this one")
        );
    }
    eprintln!("a running glintd uses it after: systemctl reload glintd");
    Ok(ExitCode::SUCCESS)
}

fn rollback(args: &PlaceArgs) -> anyhow::Result<ExitCode> {
    let place = args.open()?;
    let gone = place.store.rollback()?;
    let selected = place.store.open(&place.keys, None);
    selected.rejected.iter().for_each(|reason| eprintln!("warning: {reason}"));
    let now = selected.sound.as_ref().map_or_else(|| "the built-in models".into(), line);
    print_line(&format!("{gone} was removed; in use: {now}"))?;
    eprintln!("a running glintd follows after: systemctl reload glintd");
    Ok(ExitCode::SUCCESS)
}

fn list(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let place = args.place.open()?;
    let ids = place.store.ids().unwrap_or_else(|reason| {
        eprintln!("warning: {reason}");
        Vec::new()
    });
    let all: Vec<_> = place.store.each(ids, &place.keys, None).collect();
    let newest = all.iter().find(|(sound, _)| sound.is_ok()).map(|(_, id)| id.as_str());
    let in_force =
        if place.config.model.path.is_some() { "model.path" } else { newest.unwrap_or("built-in") };
    let bundles: Vec<Value> = all.iter().map(|(sound, id)| as_json(sound.as_ref(), id, in_force)).collect();
    if args.json {
        let built_in = files::built_in()?;
        let report =
            json!({ "version": THIS, "in_force": in_force, "bundles": bundles, "built_in": built_in });
        print_line(&report.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    for (sound, id) in &all {
        let mark = if in_force == id { "*" } else { " " };
        match sound {
            Ok(sound) => print_line(&format!("{mark} {}", line(sound)))?,
            Err(reason) => print_line(&format!("{mark} {id} cannot be used: {reason}"))?,
        }
    }
    if let Some(path) = &place.config.model.path {
        print_line(&format!("* model.path {}", path.display()))?;
    }
    print_line(&format!(
        "{} built-in models of glintd {THIS}",
        if in_force == "built-in" { "*" } else { " " }
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn as_json(sound: Result<&Sound, &crate::daemon::models::Refused>, id: &str, in_force: &str) -> Value {
    let active = in_force == id;
    match sound {
        Ok(Sound { bundle, comment, .. }) => json!({
            "id": id, "name": bundle.manifest.name, "glintd": bundle.manifest.glintd, "signed": comment,
            "models": files::digests(&bundle.models), "in_force": active, "problem": null,
        }),
        Err(reason) => json!({ "id": id, "in_force": active, "problem": reason.to_string() }),
    }
}

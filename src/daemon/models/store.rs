//! Where installed bundles lie: the folder `models` in the state folder.
//!
//! Each is a file `<id>.glint`, kept as it came, so that its signature is checked again at every start. `index.json` names the
//! one in use and the one before it. A file is on disk before the index names it, and the index is replaced as a whole: a
//! power cut leaves the old bundle in use.

use std::fs::{File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use glint::plain;
use minisign_verify::PublicKey;
use serde::{Deserialize, Serialize};

use super::attempts::Attempt;
use super::{ID_DIGITS, Refused, Sound, attempts, examine};
use crate::daemon::whole;

/// Version of the index.
const SCHEMA: u32 = 1;
/// Largest index that is read, in bytes.
const MAX_INDEX: u64 = 4096;
/// Name of the index.
const INDEX: &str = "index.json";
/// Ending of a bundle.
const ENDING: &str = "glint";
/// Held by the command that changes the folder.
const LOCK: &str = ".lock";

/// What is installed, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Index {
    /// Version of this file.
    schema: u32,
    /// Ids of bundles.
    bundles: Vec<String>,
}

/// The folder.
pub(crate) struct Store {
    state: PathBuf,
    dir: PathBuf,
}

/// What is to be used.
#[derive(Default)]
pub(crate) struct Selected {
    /// The newest bundle that can be used.
    pub(crate) sound: Option<Sound>,
    /// Why newer ones cannot, the newest first.
    pub(crate) rejected: Vec<String>,
}

impl Store {
    /// The folder of a state folder; it need not exist.
    pub(crate) fn in_state(state: &Path) -> Self {
        Self { state: state.to_owned(), dir: state.join("models") }
    }

    /// Where a bundle lies.
    pub(crate) fn path(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}.{ENDING}"))
    }

    /// Ids of what is installed, the newest first; none where there is no index. The reason of a failure comes back as text.
    pub(crate) fn ids(&self) -> Result<Vec<String>, String> {
        let path = self.dir.join(INDEX);
        let fail = |reason: String| format!("{}: {reason}", path.display());
        let text = match plain::read(&path, MAX_INDEX) {
            Ok(text) => text,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            Err(e) => return Err(fail(e.to_string())),
        };
        let index: Index = serde_json::from_slice(&text).map_err(|e| fail(e.to_string()))?;
        if index.schema != SCHEMA {
            return Err(fail(format!("schema: {}; this version reads {SCHEMA}", index.schema)));
        }
        // An id becomes a file name.
        let is_id = |id: &String| id.len() == ID_DIGITS && id.bytes().all(|b| b.is_ascii_hexdigit());
        match index.bundles.iter().find(|id| !is_id(id)) {
            Some(id) => Err(fail(format!("{id:?} is not an id"))),
            None => Ok(index.bundles),
        }
    }

    /// Notes that models are about to be loaded, where any are installed.
    pub(crate) fn begin(&self) -> Attempt {
        let is_empty = self.ids().is_ok_and(|ids| ids.is_empty());
        if is_empty { Attempt::none() } else { Attempt::begin(&self.state) }
    }

    /// Bundles by their ids, the newest first, each with why it cannot be used; looked at as they are asked for. `attempt`: the
    /// start that they are looked at for.
    pub(crate) fn each(
        &self,
        ids: Vec<String>,
        keys: &[PublicKey],
        attempt: Option<&Attempt>,
    ) -> impl Iterator<Item = (Result<Sound, Refused>, String)> {
        let left_out = attempts::left_out(&self.state, attempt);
        ids.into_iter().enumerate().map(move |(k, id)| {
            let path = self.path(&id);
            if k < left_out {
                let reason = format!("{}: glintd ended again and again while it was loaded", path.display());
                return (Err(Refused::Unusable(reason)), id);
            }
            (examine(&path, keys), id)
        })
    }

    /// The newest bundle that can be used: whose signature, digests and goldens hold.
    pub(crate) fn open(&self, keys: &[PublicKey], attempt: Option<&Attempt>) -> Selected {
        let mut selected = Selected::default();
        let ids = self.ids().unwrap_or_else(|reason| {
            selected.rejected.push(reason);
            Vec::new()
        });
        for (sound, _) in self.each(ids, keys, attempt) {
            match sound {
                Ok(sound) => {
                    selected.sound = Some(sound);
                    break;
                }
                Err(reason) => selected.rejected.push(reason.to_string()),
            }
        }
        selected
    }

    /// Puts a bundle in use. The newest of those before it that can be used stays beside it; its id comes back.
    pub(crate) fn install(&self, sound: &Sound, keys: &[PublicKey]) -> anyhow::Result<Option<String>> {
        std::fs::create_dir_all(&self.dir)
            .and_then(|()| std::fs::set_permissions(&self.dir, Permissions::from_mode(0o755)))
            .with_context(|| cannot_write(&self.dir))?;
        let _lock = self.lock()?;
        // What cannot be read is replaced.
        let before = self
            .each(self.ids().unwrap_or_default(), keys, None)
            .find(|(earlier, id)| *id != sound.id && earlier.is_ok())
            .map(|(_, id)| id);
        let path = self.path(&sound.id);
        whole::replace(&path, &sound.file, 0o644).with_context(|| cannot_write(&path))?;
        self.write(std::iter::once(&sound.id).chain(&before).cloned().collect())?;
        Ok(before)
    }

    /// Takes the newest bundle away; its id comes back.
    pub(crate) fn rollback(&self) -> anyhow::Result<String> {
        let nothing = "no bundle is installed: the built-in models are in use already";
        if !self.dir.is_dir() {
            bail!(nothing);
        }
        let _lock = self.lock()?;
        let mut ids = match self.ids() {
            Ok(ids) if ids.is_empty() => bail!(nothing),
            Ok(ids) => ids,
            // An index that cannot be read names nothing that could be kept.
            Err(_) => vec!["what a damaged index named".into()],
        };
        let gone = ids.remove(0);
        self.write(ids)?;
        Ok(gone)
    }

    /// Names these as installed, and removes every other file: what an interrupted installation has left, too.
    fn write(&self, bundles: Vec<String>) -> anyhow::Result<()> {
        let path = self.dir.join(INDEX);
        let index = Index { schema: SCHEMA, bundles };
        let text = serde_json::to_string_pretty(&index)? + "\n";
        whole::replace(&path, text.as_bytes(), 0o644).with_context(|| cannot_write(&path))?;
        attempts::forget(&self.state);
        for entry in std::fs::read_dir(&self.dir).with_context(|| cannot_write(&self.dir))?.flatten() {
            let name = entry.file_name();
            let named = index.bundles.iter().any(|id| *name == *format!("{id}.{ENDING}"));
            if named || name == INDEX || name == LOCK {
                continue;
            }
            // It takes room, and does no harm.
            if let Err(e) = std::fs::remove_file(entry.path()) {
                tracing::warn!(file = %entry.path().display(), "a file that is not used any more cannot be removed: {e}");
            }
        }
        Ok(())
    }

    /// Two commands at once would each undo what the other does.
    fn lock(&self) -> anyhow::Result<File> {
        let path = self.dir.join(LOCK);
        let file = File::create(&path).with_context(|| cannot_write(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(std::fs::TryLockError::WouldBlock) => {
                bail!(
                    "{}: another glintd models changes this folder; try again when it has ended",
                    path.display()
                )
            }
            Err(std::fs::TryLockError::Error(e)) => Err(e).with_context(|| cannot_write(&path)),
        }
    }
}

fn cannot_write(path: &Path) -> String {
    format!(
        "{}: cannot be written, and nothing has changed; run this as root (sudo), or make room on the disk",
        path.display()
    )
}
